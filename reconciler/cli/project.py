"""The commands for a project and its account: plan, apply, drift, status, show."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reconciler import commands
from reconciler.cli.context import (
    Context,
    fail_option,
    input_path,
    json_option,
    output_path,
    pass_context,
    sandbox_option,
    undo_option,
)
from reconciler.cli.options import HASH, TIME, WAIVER, option, wanted
from reconciler.cli.streams import is_terminal
from reconciler.cli.unexpected import terminable
from reconciler.model.errors import EXIT_INTERRUPTED, EXIT_PARTIAL, EXIT_PENDING, EXIT_REFUSED, UsageError

if TYPE_CHECKING:
    from reconciler.model.plan import Plan
    from reconciler.model.report import Report

allow_option = option(
    "--allow",
    multiple=True,
    metavar="CODE[:KEY]",
    callback=wanted(WAIVER),
    help="Waive a refusal by name; may be given several times.",
)


@click.command()
@json_option
@option("--detailed-exitcode", is_flag=True, help="Exit 2 when changes are pending, 5 when refused.")
@option("--notes", is_flag=True, help="Show notes too, such as specs that have ended.")
@undo_option
@option("--out", type=output_path, help="Write the plan to a file too, for `apply FILE`.")
@option(
    "--at",
    metavar="TIME",
    callback=wanted(TIME),
    help="Plan as if it were this time, such as 2026-12-24T00:00:00; without an offset in the project's time zone.",
)
@fail_option
@allow_option
@option(
    "--allow-file",
    type=input_path,
    help="A file of such waivers, one per line, as `github waivers` writes it.",
)
@sandbox_option
@pass_context
def plan(
    context: Context,
    as_json: bool,
    detailed_exitcode: bool,
    fail_on_refusals: bool,
    notes: bool,
    undo: bool,
    out: Path | None,
    at: str | None,
    allow: tuple[str, ...],
    allow_file: Path | None,
) -> int:
    """Show what apply would do.

    Reads the live account and writes nothing to it. Refusals come first, one summary line last.
    """
    from reconciler.cli import printing  # noqa: PLC0415 - see there

    made = commands.plan(context.workspace(), allow=allow, allow_file=allow_file, at=at, out=out)
    if as_json:
        click.echo(printing.plan_as_json(made), nl=False)
    else:
        text = printing.plan_text(made, colour=context.colours(), notes=notes, undo=undo)
        click.echo(text, nl=False, color=context.colours())
    # 5 before 2: what is refused is not merely pending.
    if made.refusals and (detailed_exitcode or fail_on_refusals):
        return EXIT_REFUSED
    return EXIT_PENDING if detailed_exitcode and not made.empty else 0


@click.command()
@click.argument("file", metavar="[PLANFILE]", type=click.Path(path_type=Path), required=False)
@json_option
@option("-y", "--yes", is_flag=True, help="Do not ask. Needed where there is no terminal.")
@option("--report", type=output_path, help="Write the report to a file too: .md, .html or .json.")
@option(
    "--rejected",
    type=output_path,
    help="Write the merchants that WeChat Pay rejected to a CSV file, with its reasons.",
)
@option(
    "--lock-timeout",
    type=click.FloatRange(min=0),
    default=60.0,
    show_default=True,
    help="Seconds to wait for another apply on the same account and namespace.",
)
@option(
    "--tip",
    metavar="REF",
    help="Continue only if the project's files are the same at this commit of git, such as FETCH_HEAD; else exit 6.",
)
@option(
    "--expect",
    metavar="DIGEST",
    callback=wanted(HASH),
    help="Continue only if the plan has this digest (64 hex digits).",
)
@allow_option
@sandbox_option
@pass_context
def apply(
    context: Context,
    file: Path | None,
    as_json: bool,
    yes: bool,
    report: Path | None,
    rejected: Path | None,
    lock_timeout: float,
    tip: str | None,
    expect: str | None,
    allow: tuple[str, ...],
) -> int:
    """Make the live account match the specs.

    Plans again, shows the plan, asks, writes, and reads back every write. Exits 7 if something is left to do, and 5 if
    only refusals hold back what is left: a refusal of a key holds back that key, and the rest is applied. The report
    says what is left, or why nothing was written.

    With PLANFILE (from `plan --out`) or --expect it continues only if the new plan is the one that was reviewed; with
    PLANFILE also if it is what is left of it after part of it was done. Otherwise it exits 6 and writes nothing. It
    does the same if the journal says that this plan was applied completely before.

    Only one apply runs at a time on an account and namespace. The first Ctrl-C lets it finish what is in flight, report
    and exit 130; the second stops it at once, and the next apply finds out what has happened.
    """
    from reconciler.cli import printing  # noqa: PLC0415 - see there

    def on_plan(made: Plan) -> None:
        text = printing.plan_text(made, colour=context.colours())
        if as_json:
            # stdout must hold one JSON document and nothing else.
            click.echo(text, nl=False, err=True, color=context.colours())
        else:
            context.say(text)

    def on_report(happened: Report) -> None:
        context.say(printing.report(happened, as_json=as_json, colour=context.colours()))

    # CI cancels jobs with SIGTERM, and the report must be written all the same.
    with terminable():
        happened = commands.apply(
            context.workspace(),
            confirm=lambda made: yes or _agreed(printing.question(made)),
            plan_file=file,
            expect=expect,
            allow=allow,
            tip=tip,
            lock_timeout=lock_timeout,
            report=report,
            rejected=rejected,
            on_plan=on_plan,
            on_report=on_report,
        )
    if happened is None:
        return 0
    # Before `complete`: whoever pressed Ctrl-C must not be told exit 0.
    if happened.interrupted:
        return EXIT_INTERRUPTED
    if happened.complete:
        return 0
    return EXIT_REFUSED if happened.only_held else EXIT_PARTIAL


@click.command()
@json_option
@option("--all", "everything", is_flag=True, help="List ended activities too.")
@sandbox_option
@pass_context
def status(context: Context, as_json: bool, everything: bool) -> int:
    """List live activities and how they stand to the specs."""
    from reconciler.cli import printing  # noqa: PLC0415 - see there

    found = commands.status(context.workspace())
    click.echo(printing.status(found, as_json=as_json, everything=everything), nl=False)
    return 0


@click.command()
@json_option
@sandbox_option
@pass_context
def drift(context: Context, as_json: bool) -> int:
    """Report what was changed outside, and what is pending; exits 2 if anything.

    Made for a schedule: merchants edited and activities paused or terminated by hand, terms that differ, new
    activities that nobody manages. Edits of the specs that are not applied yet are listed separately, as pending. The
    journal tells the two apart.
    """
    from reconciler.cli import printing  # noqa: PLC0415 - see there

    found = commands.status(context.workspace())
    click.echo(printing.drift(found, as_json=as_json), nl=False)
    return EXIT_PENDING if found.drifts else 0


@click.command()
@click.argument("name", metavar="KEY")
@json_option
@sandbox_option
@pass_context
def show(context: Context, name: str, as_json: bool) -> int:
    """Show one activity: spec, live, merchants, goods, and what applies have done to it.

    KEY is a spec's key or an activity_id.
    """
    from reconciler.cli import printing  # noqa: PLC0415 - see there

    click.echo(printing.show(commands.show(context.workspace(), name), as_json=as_json), nl=False)
    return 0


def _agreed(question: str) -> bool:
    """Whether a person says yes to what will be done. Never asks where there is no terminal."""
    # An answer from a pipe would be an accident, and an end cannot be taken back.
    if not is_terminal(sys.stdin):
        raise UsageError("There is no terminal to ask on.", remedy="Give --yes to apply without asking.")
    from reconciler.cli.interrupts import stopping_at_once  # noqa: PLC0415 - asyncio, for who asks

    click.echo(err=True)
    try:
        with stopping_at_once():
            answer: str = click.prompt(question, default="no", show_default=False, err=True)
    # click turns Ctrl-C into Abort, which `commands` does not know, and would report as a defect.
    except click.Abort as error:
        raise KeyboardInterrupt from error
    # The whole word: Enter or "y" comes too easily for what cannot be undone.
    return answer.strip() == "yes"
