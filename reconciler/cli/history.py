"""The commands for the journal: history, and unlock. They need no credentials."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reconciler import commands
from reconciler.cli.context import Context, output_path, pass_context, remark, sandbox_option
from reconciler.cli.options import HASH, KEY, NUMBER, TIME, option, wanted
from reconciler.cli.streams import is_terminal
from reconciler.model.characters import safe, safe_json
from reconciler.model.errors import EXIT_ERROR

if TYPE_CHECKING:
    from reconciler.commands.journals import Held

OUTCOMES = ("done", "already done", "partial", "failed", "unknown", "not started", "open")


@click.group(invoke_without_command=True)
@option("--json", "as_json", is_flag=True, help="JSON on stdout instead of a table; with request bodies.")
@option("--key", default="", callback=wanted(KEY), help="Only operations of this key.")
@option("--activity-id", default="", callback=wanted(NUMBER), help="Only operations of this activity.")
@option(
    "--outcome",
    "outcomes",
    type=click.Choice(OUTCOMES),
    multiple=True,
    help="Only with this outcome; may be given several times. open: its run ended before the outcome was known.",
)
@option(
    "--since",
    metavar="TIME",
    callback=wanted(TIME),
    help="From this time on, such as 2026-12-24T00:00:00+08:00.",
)
@option("--until", metavar="TIME", callback=wanted(TIME), help="Before this time.")
@sandbox_option
@click.pass_context
def history(
    click_context: click.Context,
    as_json: bool,
    key: str,
    activity_id: str,
    outcomes: tuple[str, ...],
    since: str | None,
    until: str | None,
) -> None:
    """Show what applies have done: who, when, what, and how it ended. Needs no credentials.

    Read from the journal: .paygift/journal.db, or the PostgreSQL database of PAYGIFT_JOURNAL_URL.
    """
    if click_context.invoked_subcommand is not None:
        return
    # Here, so that --help waits for no renderer.
    from reconciler.render.json_ import dumps, history_json  # noqa: PLC0415
    from reconciler.render.text import listing_text  # noqa: PLC0415
    from reconciler.render.views.history import history_view  # noqa: PLC0415

    context = click_context.find_object(Context)
    assert context is not None  # noqa: S101 - made by the command above this one
    found = commands.history(
        context.workspace(), key=key, activity_id=activity_id, outcomes=outcomes, since=since, until=until
    )
    view = history_view(found.rows, found.wanted)
    text = dumps(history_json(found.rows)) if as_json else listing_text(view)
    click.echo(text, nl=False)


@history.command()
@click.argument("file", type=output_path, required=False)
@pass_context
def export(context: Context, file: Path | None) -> None:
    """Write the journal as an audit file: JSON lines that chain by hash. On stdout without FILE."""
    lines = commands.export_journal(context.workspace(), file)
    if file is None:
        text = "".join(f"{line}\n" for line in lines)
        click.echo(safe_json(text), nl=False)  # each hash is of what a line means, not of how it is written
    else:
        remark(f"{len(lines)} entries in {file}.")


@history.command(short_help="Check that no entry was removed or altered.")
@click.argument("file", type=click.Path(path_type=Path), required=False)
@option(
    "--head",
    "heads",
    multiple=True,
    metavar="HASH",
    callback=wanted(HASH),
    help="The hash of the last entry, as a report shows it; once for each account.",
)
@pass_context
def verify(context: Context, file: Path | None, heads: tuple[str, ...]) -> int:
    """Check that no entry was removed or altered: of an audit FILE, or without one of the journal itself.

    Exits 1 and names each line that was altered, or before which entries are missing. Entries cut off at the end of an
    account's journal, or all of it, are noticed only if --head says how it ended.
    """
    for head in heads:  # an empty one, from a step of CI that failed, must not pass for none
        if not re.fullmatch(r"[0-9a-f]{64}", head):
            raise click.UsageError(f"--head takes a hash of 64 hex digits, not {head!r}.")
    found = commands.verify_journal(context.workspace(), file, heads=heads)
    for each in found.breaks:
        click.echo(safe(f"line {each.line}: {each.reason}" if each.line else each.reason))
    if found.breaks:
        remark(f"Not as it was written: {len(found.breaks)} of {found.entries} entries do not fit.")
        return EXIT_ERROR
    click.echo(f"{found.entries} entries, each as it was written.")
    return 0


@click.command()
@option("-y", "--yes", is_flag=True, help="Do not ask. Needed where there is no terminal.")
@sandbox_option
@pass_context
def unlock(context: Context, yes: bool) -> int:
    """Take the lock from an apply that is dead, and say whose it was.

    If it lives after all, it can send nothing more: it notices before its next request.
    """

    def agreed(held: Held) -> bool:
        for mchid, holder in held:
            click.echo(safe(f"Account {mchid}: {holder}."))
        if yes:
            return True
        if not is_terminal(sys.stdin):
            raise click.UsageError("There is no terminal to ask on. Give --yes to unlock without asking.")
        answer: str = click.prompt(
            "Take the lock away? Type yes to take it", default="no", show_default=False, err=True
        )
        return answer.strip() == "yes"

    taken = commands.unlock(context.workspace(), confirm=agreed)
    if taken is None:
        remark("Nothing was changed.")
    elif not taken:
        click.echo("Nobody holds the lock.")
    for displaced in taken or ():
        click.echo(safe(f"The lock was taken from {displaced}." if displaced else "The lock has been given back."))
    return 0
