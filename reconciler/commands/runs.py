"""The journal of an apply, wired to its account and project: the lock, what died before, what happened.

Imported by the commands that keep a journal only, since it imports SQLAlchemy.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from reconciler import __version__
from reconciler.apply import Lookups, PollPolicy
from reconciler.apply import resume as ask
from reconciler.journal.entry import OperationFinished, RunEnded, RunStarted
from reconciler.journal.holder import Holder
from reconciler.journal.journal import Journal, Run, locked
from reconciler.journal.location import JournalLocation
from reconciler.journal.process import Process
from reconciler.journal.witness import remembered
from reconciler.journal.worker import Worker
from reconciler.model.activity import BEIJING, DesiredActivity
from reconciler.model.clock import Clock
from reconciler.model.errors import JournalError, StaleError
from reconciler.model.operations import TerminateActivity
from reconciler.model.plan import Plan
from reconciler.model.report import Report
from reconciler.plan import plan_digest, rest
from reconciler.system.origin import Origin, age_remark
from reconciler.wechatpay.api import PayGiftApi

OPENING_SECONDS: Final = 60.0
"""What opening a journal may take: connecting, looking for damage in a large file, bringing an old one up to date."""
CLOSING_SECONDS: Final = 1.0


def run_started(here: Origin, made: Plan, reviewed: str = "") -> RunStarted:
    """What the journal says of a run that is about to apply what is not held of ``made``.

    ``reviewed`` is the digest of the plan that alone may be applied, if only one may.
    """
    doing = rest(made)
    return RunStarted(
        plan_digest(made),
        len(doing.operations),
        who=here.who,
        host=here.host,
        pid=here.pid,
        commit=here.commit,
        job_url=here.job_url,
        version=__version__,
        switches=_switches(doing),
        reviewed=reviewed,
    )


async def not_spent(run: Run, commit: str, digest: str, made_at: datetime | None) -> None:
    """Raise StaleError if the reviewed plan with ``digest`` was applied completely: it is applied once.

    ``made_at`` is when that plan was made, if that is known: one that was made after an application is another one,
    which was reviewed anew. Else another ``commit`` tells that. Raises JournalError.
    """
    for each in await run.applications(digest):
        # A digest alone is not spent permanently: add, remove and add again are three reviews.
        anew = each.commit != commit if made_at is None else made_at >= each.at
        if not anew:
            raise StaleError(
                f"This plan was applied completely by run {each.run}, at "
                f"{each.at.astimezone(BEIJING):%Y-%m-%d %H:%M:%S} Beijing time: what was done then has been undone "
                "since. A reviewed plan is applied once.",
                remedy="Nothing was written. Plan again, and have that reviewed.",
            )


async def remember(run: Run, desired: Sequence[DesiredActivity]) -> None:
    """Write down what of the specs must outlast their files, if it is something else than what is written already.

    Raises JournalError.
    """
    before = await run.memory()
    after = remembered(before, desired)
    # One entry for each change and not for each run, or the journal would grow with every check.
    if after != before:
        await run.remember(after)


def _switches(made: Plan) -> dict[str, str]:
    """What ends once a start under another key stands in for it: were this run to die between the two, nothing else
    would tell that they belong together.
    """
    return {
        step.activity_id: change.key
        for change in made.changes
        for step in change.operations
        if isinstance(step, TerminateActivity) and step.key != change.key
    }


async def up_to_date(run: Run, commit: str) -> None:
    """Write down that nothing had to be done for the files of ``commit``, if it is known. Raises JournalError."""
    if commit and commit != await run.applied():
        await run.up_to_date(commit)


async def not_older(run: Run, root: Path, commit: str) -> str:
    """A sentence for people about what cannot be known of the order of commits, or nothing.

    Raises StaleError if the files of the project in ``root``, of ``commit``, are older than those that were applied
    last, JournalError.
    """
    return age_remark(root, commit, await run.applied())


async def run_ended(run: Run, happened: Report) -> Report:
    """The report with its place in the journal. That the last line could not be written changes nothing else of it."""
    counts = Counter(outcome.status.value for outcome in happened.outcomes)
    try:
        refusals = tuple(each.name for each in happened.held)
        head = await run.end(RunEnded(dict(counts), interrupted=happened.interrupted, held_by=refusals))
    # Everything is written by now: an error here would tell people that it is not.
    except JournalError as error:
        unwritten = f"The end of this run could not be written down: {error}"
        return replace(happened, run=run.run, remarks=(*happened.remarks, unwritten))
    return replace(happened, run=run.run, journal_head=head)


@asynccontextmanager
async def open_run(
    location: JournalLocation,
    *,
    mchid: str,
    namespace: str,
    clock: Clock,
    lock_timeout: float,
    remark: Callable[[str], None],
    origin: Origin,
) -> AsyncIterator[Run]:
    """The lock of the account ``mchid`` and ``namespace``, with the journal in ``location`` that is written under it.

    Waits up to ``lock_timeout`` seconds for other applies, in the order in which they came. ``remark`` is given
    sentences for people: for whom it waits, that a damaged journal was set aside. ``origin`` tells others who holds
    it, and which files this is about. Raises LockedError, JournalError.
    """

    def tell_damage(moved_to: Path) -> None:
        remark(
            f"The journal was damaged. It was moved to {moved_to}, and a new one begun. What was done can no longer be "
            "looked up there, and what only it recorded is lost: the `protect` and `adopt` of deleted specs, and "
            "which activities the list ought to show."
        )

    since = f"{datetime.now(UTC).astimezone(BEIJING):%Y-%m-%d %H:%M:%S} Beijing time"
    me = Holder(origin.who, Process.this(), since, commit=origin.commit)
    worker = Worker(location.name)
    try:
        database = await worker.do(lambda: location.open_to_write(tell_damage), deadline_seconds=OPENING_SECONDS)
        if database.remark:
            remark(database.remark)
        journal = Journal(database, mchid=mchid, namespace=namespace, clock=clock)
        try:
            async with locked(journal, me, timeout_seconds=lock_timeout, worker=worker, tell=remark) as run:
                yield run
        finally:
            try:
                await worker.do(database.close, deadline_seconds=CLOSING_SECONDS)
            except JournalError:
                # A server that does not answer must not keep an apply that is done.
                worker.later(database.close)
    finally:
        worker.stop()


async def resume(api: PayGiftApi, run: Run, *, clock: Clock, poll: PollPolicy | None = None) -> list[OperationFinished]:
    """Find out what became of the requests of runs that died, and write it down (concepts.md#apply).

    Raises RemoteError if WeChat Pay could not be asked: then they stay open.
    """
    interrupted = await run.open_intents()
    if not interrupted:
        return []
    lookups = Lookups(api, clock=clock, poll=poll or PollPolicy())
    found = await ask(lookups, interrupted)
    for outcome in found:
        # One by one: what is found out must outlast a second crash.
        await run.conclude(outcome)
    return found
