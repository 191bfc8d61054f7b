"""The commands for a project: validate, plan, apply, status, show."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from reconciler.cli.context import (
    Bar,
    Context,
    fail_option,
    input_path,
    output_path,
    pass_context,
    sandbox_option,
    undo_option,
)
from reconciler.cli.options import HASH, TIME, WAIVER, option, wanted
from reconciler.cli.streams import is_terminal
from reconciler.model.errors import (
    EXIT_INTERRUPTED,
    EXIT_INVALID,
    EXIT_PARTIAL,
    EXIT_PENDING,
    EXIT_REFUSED,
)

if TYPE_CHECKING:
    from reconciler.commands.reconcile import Account, AccountStatus, Shown
    from reconciler.commands.reporting import ApplyReporter
    from reconciler.commands.session import Session
    from reconciler.journal.entry import OperationFinished
    from reconciler.journal.history import Row
    from reconciler.journal.journal import Run
    from reconciler.model.diagnostics import Diagnostic
    from reconciler.model.plan import Plan
    from reconciler.model.report import Report
    from reconciler.model.witness import Witness

allow_option = option(
    "--allow",
    multiple=True,
    metavar="CODE[:KEY]",
    callback=wanted(WAIVER),
    help="Waive a refusal by name; may be given several times.",
)
json_option = option("--json", "as_json", is_flag=True, help="JSON on stdout instead of text.")


@click.command()
@json_option
@sandbox_option
@pass_context
def validate(context: Context, as_json: bool) -> int:
    """Check paygift.yaml and all specs; needs no credentials.

    Prints every mistake as file:line:column and exits 3, or says how many specs are fine.
    """
    from reconciler.commands.session import check_untracked
    from reconciler.model.characters import safe
    from reconciler.model.diagnostics import condensed
    from reconciler.model.errors import ProjectError
    from reconciler.spec import load_project

    root = context.root()
    now = context.account_ref().now
    doubt = ""
    problems: tuple[Diagnostic, ...] = ()
    notes: tuple[Diagnostic, ...] = ()
    count = 0
    try:
        doubt = check_untracked(root)
        project = load_project(root, now=now)
        count, notes = len(project.activities), project.notes
    except ProjectError as error:
        if not as_json:
            raise
        problems = error.problems
    if doubt:
        click.echo(f"Warning: {safe(doubt)}", err=True)
    if as_json:
        from reconciler.render.json_ import dumps, problems_json

        click.echo(dumps(problems_json(problems, specs=count, notes=notes)), nl=False)
        return EXIT_INVALID if problems else 0
    for note in condensed(notes):
        click.echo(f"note: {safe(str(note))}", err=True)
    click.echo(f"{count} spec{'' if count == 1 else 's'} fine.")
    if count == 0:
        click.echo(
            "No specs were found. Look at `activities:` in paygift.yaml, and at the checkout.", err=True
        )
    return 0


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
    from reconciler.commands import reconcile

    if at is not None and out is not None:
        raise click.UsageError("A plan for another time cannot be applied: give --at or --out.")
    if out is not None:
        from reconciler.system.output_files import Output

        Output.checked(out)  # a plan of ten thousand activities takes a while
    if allow_file is not None:
        allow = (*allow, *_waivers_in(allow_file))
    with context.session(at=at) as session:
        made = _run(_plan(session, allow))
    if out is not None:
        reconcile.save_plan(made, out)
    if as_json:
        from reconciler.render.json_ import dumps, plan_json

        click.echo(dumps(plan_json(made)), nl=False)
    else:
        text = _plan_text(context, made, notes=notes, undo=undo)
        click.echo(text, nl=False, color=context.colours())
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
    help="Go on only if the project's files are the same at this commit of git, such as FETCH_HEAD; else exit 6.",
)
@option(
    "--expect",
    metavar="DIGEST",
    callback=wanted(HASH),
    help="Go on only if the plan has this digest (64 hex digits).",
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

    With PLANFILE (from `plan --out`) or --expect it goes on only if the new plan is the one that was reviewed; with
    PLANFILE also if it is what is left of it after part of it was done. Otherwise it exits 6 and writes nothing. It
    does the same if the journal says that this plan was applied completely before.

    Only one apply runs at a time on an account and namespace. The first Ctrl-C lets it finish what is in flight, report
    and exit 130; the second stops it at once, and the next apply finds out what has happened.
    """
    wanted = _Wanted(file, expect, allow)
    with (
        context.attempt(report, rejected=rejected, plan_file=file) as attempt,
        context.session() as session,
    ):
        attempt.knows(session)
        applying = _Applying(
            context, session, wanted, attempt, as_json=as_json, yes=yes, lock_timeout=lock_timeout, tip=tip
        )
        happened = _come_to(applying)
        if happened is None:
            return 0
        _tell_outcome(context, attempt, happened, as_json=as_json)
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
    from reconciler.render.views.status import status_rows, status_view

    with context.session() as session:
        found = _run(_status(session))
    rows = status_rows(found.live, found.desired, found.plan, everything=everything, witness=found.witness)
    if as_json:
        from reconciler.render.json_ import dumps, status_json

        click.echo(dumps(status_json(rows, found.plan)), nl=False)
    else:
        from reconciler.render.text import listing_text

        click.echo(listing_text(status_view(rows, found.plan)), nl=False)
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
    from reconciler.plan import drifts

    with context.session() as session:
        found = _run(_status(session))
    drifted = drifts(found.plan, [live for _, live in found.live], found.desired, found.witness)
    if as_json:
        from reconciler.render.json_ import drift_json, dumps

        click.echo(dumps(drift_json(drifted, found.plan)), nl=False)
    else:
        from reconciler.render.text import listing_text
        from reconciler.render.views.drift import drift_view

        click.echo(listing_text(drift_view(drifted)), nl=False)
    return EXIT_PENDING if drifted else 0


@click.command()
@click.argument("name", metavar="KEY")
@json_option
@sandbox_option
@pass_context
def show(context: Context, name: str, as_json: bool) -> int:
    """Show one activity: spec, live, merchants, goods, and what applies have done to it.

    KEY is a spec's key or an activity_id.
    """
    from reconciler.render.json_ import dumps, show_json
    from reconciler.render.text import listing_text
    from reconciler.render.views.show import show_view

    with context.session() as session:
        shown = _run(_show(session, name))
        done = _done_to(session, name)
    if as_json:
        click.echo(dumps(show_json(shown.desired, shown.live, shown.goods, done)), nl=False)
    else:
        view = show_view(shown.desired, shown.live, shown.goods, done, now=shown.now)
        click.echo(listing_text(view), nl=False)
    return 0


Result = TypeVar("Result")


def _run(work: Coroutine[Any, Any, Result]) -> Result:
    """Import asyncio only where something is sent: it would double what `validate` imports."""
    from reconciler.cli.interrupts import run

    return run(work)


def _waivers_in(file: Path) -> list[str]:
    from reconciler.model.errors import UsageError
    from reconciler.system.input_files import read_input

    try:
        lines = read_input(file).decode().splitlines()
    except UnicodeDecodeError as error:
        raise UsageError(f"--allow-file {file} cannot be read: it is not UTF-8.") from error
    return [line.strip() for line in lines if line.strip()]


async def _plan(session: Session, allow: tuple[str, ...]) -> Plan:
    from reconciler.commands import reconcile

    witness, flaw = await _witness(session)
    async with reconcile.connect(session.remote, session.clock, uploaded=session.images.known) as account:
        with Bar("Reading activities") as bar:
            return await reconcile.plan(
                account, session.project, allow=allow, witness=witness, journal_flaw=flaw, on_progress=bar
            )


async def _witness(session: Session) -> tuple[Witness, str]:
    """What the journal knows, and why it could not be read where it could not. Looking does not make it.

    Signals are answered meanwhile, whatever its server or disk does.
    """
    from reconciler.model.errors import JournalError, UsageError
    from reconciler.model.witness import NO_WITNESS

    if not session.journal.exists:
        return NO_WITNESS, ""
    from functools import partial

    from reconciler.commands.journal import witness_of
    from reconciler.journal.worker import READING_SECONDS, Worker

    mchid, namespace = session.remote.credentials.mchid, session.project.namespace
    worker = Worker(session.journal.name)
    try:
        look = partial(witness_of, session.journal, mchid=mchid, namespace=namespace)
        return await worker.do(look, deadline_seconds=READING_SECONDS), ""
    except (JournalError, UsageError) as error:
        return NO_WITNESS, error.message
    finally:
        worker.stop()


async def _told_witness(session: Session) -> tuple[Witness, str]:
    """The same, for a command that shows no findings."""
    witness, flaw = await _witness(session)
    if flaw:
        _tell(f"Warning: {flaw} What only the journal knows is not taken into account.")
    return witness, flaw


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Which plan may be applied: the one in ``file``, the one with the digest ``expect``, or any with ``allow``."""

    file: Path | None
    expect: str | None
    allow: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.file is not None and (self.expect is not None or self.allow):
            raise click.UsageError(
                "A PLANFILE says by itself what is expected and allowed: give nothing beside it."
            )
        # An empty or shortened digest, from a step of CI that failed, must not pass for none.
        if self.expect is not None and not re.fullmatch(r"[0-9a-f]{64}", self.expect):
            raise click.UsageError(f"--expect takes a digest of 64 hex digits, not {self.expect!r}.")

    async def plan(
        self, account: Account, session: Session, attempt: ApplyReporter, witness: Witness, bar: Bar
    ) -> Plan:
        from reconciler.commands import reconcile
        from reconciler.plan import plan_digest

        project = session.project
        if self.file is not None:
            reviewed = reconcile.saved_plan(self.file)
            attempt.expected, attempt.reviewed_at = plan_digest(reviewed), reviewed.made_at
            return await reconcile.plan_as_reviewed(
                account, project, reviewed, witness=witness, on_progress=bar
            )
        if self.expect is not None:
            attempt.expected = self.expect
            return await reconcile.plan_as_expected(
                account, project, self.expect, allow=self.allow, witness=witness, on_progress=bar
            )
        return await reconcile.plan(account, project, allow=self.allow, witness=witness, on_progress=bar)


@dataclass(frozen=True, slots=True)
class _Applying:
    """One run of apply on a terminal or in CI: the lock, the plan, the question, the writes."""

    context: Context
    session: Session
    wanted: _Wanted
    attempt: ApplyReporter
    as_json: bool
    yes: bool
    lock_timeout: float
    tip: str | None = None

    async def run(self) -> Report | None:
        """``None`` when the person at the terminal said no."""
        from reconciler.commands import reconcile
        from reconciler.commands import runs as journaling
        from reconciler.system.origin import Origin, require_tip

        before = self.session
        async with (
            reconcile.connect(before.remote, before.clock) as account,
            journaling.open_run(
                before.journal,
                mchid=account.mchid,
                namespace=before.project.namespace,
                clock=before.clock,
                lock_timeout=self.lock_timeout,
                tell=_tell,
                commit=Origin.of(os.environ, before.project.root).commit,
            ) as run,
        ):
            # What was read before the lock was held may be of another time: somebody else has applied since.
            session = before.reread()
            self.attempt.knows(session)
            if self.tip is not None:
                require_tip(session.project.root, self.tip, session.project.reads)
            doubt = await journaling.not_older(run, session.project.root)
            if doubt:
                _tell(doubt)
            _tell_resumed(await journaling.resume(account.api, run, clock=account.clock))
            return await self._plan_and_apply(session, replace(account, uploaded=session.images.known), run)

    async def _plan_and_apply(self, session: Session, account: Account, run: Run) -> Report | None:
        from reconciler.apply import refuse
        from reconciler.cli.interrupts import interruptible
        from reconciler.commands import reconcile
        from reconciler.commands import runs as journaling
        from reconciler.model.errors import JournalError

        attempt = self.attempt
        with Bar("Reading activities") as bar:
            witness = await run.witness()
            attempt.plan = made = await self.wanted.plan(account, session, attempt, witness, bar)
        if attempt.expected and not made.empty:
            await journaling.not_spent(run, session.project.root, attempt.expected, attempt.reviewed_at)
        text = _plan_text(self.context, made)
        if self.as_json:
            click.echo(text, nl=False, err=True, color=self.context.colours())
        else:
            self.context.say(text)
        refuse(made)
        if not made.empty and not self.yes and not _agreed(made):
            click.echo("Nothing was written.", err=True)
            return None
        attempt.writing = True
        try:
            with Bar("Applying") as bar, interruptible() as stop:
                attempt.happened = await reconcile.apply(
                    account,
                    session.project,
                    made,
                    uploaded=session.images,
                    run=run,
                    stop=stop,
                    reviewed=attempt.expected,
                    on_progress=bar,
                )
        except JournalError:
            attempt.writing = False  # raised only where the run could not even be begun
            raise
        return attempt.happened


def _come_to(applying: _Applying) -> Report | None:
    """What it came to. Once that is known, nothing that fails afterwards, such as giving back the lock, hides it."""
    from reconciler.model.errors import PaygiftError

    try:
        return _run(applying.run())
    except (PaygiftError, OSError, KeyboardInterrupt) as error:
        if applying.attempt.happened is None:
            raise
        _tell(f"Warning: after everything was written: {str(error) or type(error).__name__}")
        return applying.attempt.happened


def _tell_outcome(context: Context, attempt: ApplyReporter, happened: Report, *, as_json: bool) -> None:
    """On the streams, in the files, and to whom `notify` names: each of them, whatever becomes of the others."""
    from reconciler.render.json_ import dumps, report_json
    from reconciler.render.text import report_text
    from reconciler.render.views.report import report_view

    try:
        text = report_text(report_view(happened), colour=context.colours())
        context.say(dumps(report_json(happened)) if as_json else text)
    finally:
        attempt.leave(happened)


def _tell(sentence: str) -> None:
    from reconciler.model.characters import safe

    click.echo(safe(sentence), err=True)


def _tell_resumed(found: Sequence[OperationFinished]) -> None:
    from reconciler.model.characters import safe

    if found:
        click.echo("An earlier run ended before it knew what became of:", err=True)
    for each in found:
        about = " ".join(part for part in (each.key, each.operation, each.activity_id) if part)
        click.echo(f"  {safe(about)} — {each.status.value}", err=True)


def _agreed(made: Plan) -> bool:
    """Whether a person says yes to what will be done. Never asks where there is no terminal."""
    from reconciler.cli.interrupts import stopping_at_once
    from reconciler.model.errors import UsageError
    from reconciler.render.views.plan import question

    if not is_terminal(sys.stdin):
        raise UsageError("There is no terminal to ask on.", remedy="Give --yes to apply without asking.")
    click.echo(err=True)
    with stopping_at_once():
        answer: str = click.prompt(question(made), default="no", show_default=False, err=True)
    return answer.strip() == "yes"


async def _status(session: Session) -> AccountStatus:
    from reconciler.commands import reconcile

    witness, flaw = await _told_witness(session)
    async with reconcile.connect(session.remote, session.clock, uploaded=session.images.known) as account:
        with Bar("Reading activities") as bar:
            return await reconcile.status(
                account, session.project, witness=witness, journal_flaw=flaw, on_progress=bar
            )


async def _show(session: Session, name: str) -> Shown:
    from reconciler.commands import reconcile

    witness, _ = await _told_witness(session)
    async with reconcile.connect(session.remote, session.clock) as account:
        return await reconcile.show(account, session.project, name, witness=witness)


def _done_to(session: Session, name: str) -> list[Row]:
    """What the journal tells of a key or an activity_id; nothing where there is no journal."""
    if not session.journal.exists:
        return []
    from reconciler.commands.journal import history_of
    from reconciler.journal.history import EVERYTHING

    rows = history_of(session.project.root, session.journal, EVERYTHING)
    return [row for row in rows if name in (row.key, row.activity_id)]


def _plan_text(context: Context, made: Plan, *, notes: bool = False, undo: bool = False) -> str:
    from reconciler.plan import plan_digest
    from reconciler.render.text import plan_text
    from reconciler.render.views.plan import plan_view

    colour = context.colours()
    return plan_text(plan_view(made), digest=plan_digest(made), colour=colour, notes=notes, undo=undo)
