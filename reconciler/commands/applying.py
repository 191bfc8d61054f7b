"""Make the live account match the specs: the whole of ``apply``, whoever calls it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from reconciler.apply import PollPolicy, UploadedImages, apply_plan, refuse
from reconciler.commands.plan_files import show_plan
from reconciler.commands.planning import plan_as_expected, plan_as_reviewed, plan_project
from reconciler.commands.reporting import ApplyReporter, reported
from reconciler.commands.runs import (
    not_older,
    not_spent,
    open_run,
    remember,
    resume,
    run_ended,
    run_started,
    up_to_date,
)
from reconciler.commands.session import Account, Session, open_session
from reconciler.commands.workspace import Progress, Workspace, no_progress
from reconciler.journal.entry import OperationFinished
from reconciler.journal.journal import Run
from reconciler.model.errors import JournalError, PaygiftError, UsageError
from reconciler.model.plan import Plan
from reconciler.model.report import Report
from reconciler.model.witness import Witness
from reconciler.plan import held_in, plan_digest
from reconciler.spec import Project, read_image
from reconciler.system.origin import Origin, require_tip

Confirm = Callable[[Plan], bool]
"""Is asked whether a plan that is not empty shall be applied."""


def _seen(_: object) -> None:
    """Nobody looks."""


def apply(
    workspace: Workspace,
    *,
    confirm: Confirm,
    plan_file: Path | None = None,
    expect: str | None = None,
    allow: Iterable[str] = (),
    tip: str | None = None,
    lock_timeout: float = 60.0,
    report: Path | None = None,
    rejected: Path | None = None,
    on_plan: Callable[[Plan], None] = _seen,
    on_report: Callable[[Report], None] = _seen,
) -> Report | None:
    """Make the live account match the specs, and tell what came of it; ``None`` if ``confirm`` said no.

    Takes the lock of the account and namespace, finds out what became of a run that died, reads the files, plans, and
    raises for what is refused. Then it asks ``confirm``, writes, and reads back every write. At the end, also of an
    apply that failed, it writes the files that are wanted and tells those whom `notify` in paygift.yaml names.

    ``plan_file`` or ``expect`` (a digest, 64 hex digits) say which plan was reviewed: no other is applied. ``allow``
    waives refusals, CODE or CODE:KEY. With ``tip``, a commit of git, nothing of the project may differ there.
    ``lock_timeout`` is how many seconds other applies are waited for. ``report`` is a file that ends in .md, .html or
    .json, ``rejected`` one for the merchants that WeChat Pay rejected, as CSV. ``on_plan`` is given the plan before
    anything of it is refused, ``on_report`` the outcome before it is written to files.

    What failed on the way is in the report: ``Report.complete`` tells whether something is left (exit code 7; 5 if only
    what is refused, 130 if it was interrupted). Raises, and then nothing was written but what the error says:
    UsageError (exit code 1), ProjectError (3), CredentialsError (4), RefusedError (5), StaleError (6), LockedError and
    other JournalErrors (1), RemoteError (1; 4 for credentials that WeChat Pay rejects), InterruptedRunError (130), and
    UnexpectedError for a defect of paygift (1).
    """
    # Before anything else: an option that is wrong must not remove an earlier report.
    wanted = WantedPlan.checked(plan_file, expect, tuple(allow))
    remark = workspace.callbacks.remark
    with (
        reported(
            report,
            environ=workspace.environ,
            warn=remark,
            rejected=rejected,
            plan_file=plan_file,
            sandbox=workspace.sandbox,
        ) as reporter,
        open_session(workspace) as session,
    ):
        reporter.bind(session)
        happened = _come_to(Applying(session, wanted, reporter, confirm, on_plan, lock_timeout, tip))
        if happened is not None:
            try:
                on_report(happened)
            finally:
                # finally: that stdout is full must not cost the report as well.
                reporter.publish(happened)
    return happened


def _come_to(applying: Applying) -> Report | None:
    """What it came to. Once that is known, nothing that fails afterwards, such as giving back the lock, hides it."""
    session, reporter = applying.session, applying.reporter
    try:
        return session.run(applying.run())
    except (PaygiftError, OSError, KeyboardInterrupt) as error:
        # Once it is known what was written, nothing may turn that into "nothing was written".
        if reporter.happened is None:
            raise
        session.callbacks.remark(f"Warning: after everything was written: {str(error) or type(error).__name__}")
        return reporter.happened


@dataclass(frozen=True, slots=True)
class WantedPlan:
    """Which plan may be applied: the one in ``file``, the one with the digest ``expect``, or any with ``allow``."""

    file: Path | None = None
    expect: str | None = None
    allow: tuple[str, ...] = ()

    @classmethod
    def checked(cls, file: Path | None, expect: str | None, allow: tuple[str, ...]) -> WantedPlan:
        """Raises UsageError for what cannot go together, and for a digest that is none."""
        if file is not None and (expect is not None or allow):
            raise UsageError("A PLANFILE says by itself what is expected and allowed: give nothing beside it.")
        # An empty or shortened digest, from a step of CI that failed, must not pass for none.
        if expect is not None and not re.fullmatch(r"[0-9a-f]{64}", expect):
            raise UsageError(f"--expect takes a digest of 64 hex digits, not {expect!r}.")
        return cls(file, expect, allow)

    async def plan(
        self,
        account: Account,
        project: Project,
        reporter: ApplyReporter,
        witness: Witness,
        on_progress: Progress,
    ) -> Plan:
        """The plan to apply now. ``reporter`` learns which one is expected. Raises StaleError for another one."""
        if self.file is not None:
            reviewed = show_plan(self.file)
            reporter.expected, reporter.reviewed_at = plan_digest(reviewed), reviewed.made_at
            return await plan_as_reviewed(account, project, reviewed, witness=witness, on_progress=on_progress)
        if self.expect is not None:
            reporter.expected = self.expect
            return await plan_as_expected(
                account, project, self.expect, allow=self.allow, witness=witness, on_progress=on_progress
            )
        return await plan_project(account, project, allow=self.allow, witness=witness, on_progress=on_progress)


@dataclass(frozen=True)
class Applying:
    """One apply in its session: the lock, the plan, the question, the writes."""

    session: Session
    wanted: WantedPlan
    reporter: ApplyReporter
    confirm: Confirm
    on_plan: Callable[[Plan], None] = _seen
    lock_timeout: float = 60.0
    tip: str | None = None

    async def run(self) -> Report | None:
        """``None`` where ``confirm`` said no. Raises as ``apply`` does."""
        before = self.session
        async with (
            before.connect() as account,
            open_run(
                before.journal,
                mchid=account.mchid,
                namespace=before.project.namespace,
                clock=before.clock,
                lock_timeout=self.lock_timeout,
                remark=before.callbacks.remark,
                origin=before.origin,
            ) as run,
        ):
            return await self.under_lock(account, run)

    async def under_lock(self, account: Account, run: Run) -> Report | None:
        """The same once the lock is held: what was read before may be of another time, as others have applied since."""
        # While we waited, another apply may have pulled, merged and applied a newer commit.
        session = self.session.reread()
        self.reporter.bind(session)
        if self.tip is not None:
            # Under the lock: before it, the branch could move on while we wait.
            require_tip(session.project.root, self.tip, session.project.reads)
        origin = session.origin
        # Without this, an old pipeline that is started again would end what was merged since.
        doubt = await not_older(run, session.project.root, origin.commit)
        if doubt:
            session.callbacks.remark(doubt)
        # Before planning: an open create may have happened, and would be planned a second time.
        for sentence in _resumed(await resume(account.api, run, clock=account.clock)):
            session.callbacks.remark(sentence)
        account = replace(account, uploaded=session.images.known)
        # After resuming, so that the plan sees what it found.
        made = await self._plan(account, session, run, origin)
        refuse(made)
        # After refuse(): nobody should say yes to what is then refused.
        if not made.empty and not self.confirm(made):
            session.callbacks.remark("Nothing was written.")
            return None
        return await self._write(account, session, run, made, origin)

    async def _plan(self, account: Account, session: Session, run: Run, origin: Origin) -> Plan:
        reporter = self.reporter
        with session.callbacks.progress("Reading activities") as progress:
            witness = await run.witness()
            reporter.plan = made = await self.wanted.plan(account, session.project, reporter, witness, progress)
        if reporter.expected and not made.empty:
            # An empty plan passes: to apply again what is done already is not an error.
            await not_spent(run, origin.commit, reporter.expected, reporter.reviewed_at)
        self.on_plan(made)
        return made

    async def _write(self, account: Account, session: Session, run: Run, made: Plan, origin: Origin) -> Report:
        reporter, callbacks = self.reporter, session.callbacks
        # Before the call and not after: once it may have begun, "nothing was written" would be a lie.
        reporter.writing = True
        try:
            with (
                callbacks.progress("Applying") as progress,
                (callbacks.stoppable or _unstoppable)() as stop,
            ):
                reporter.happened = happened = await write(
                    account,
                    session.project,
                    made,
                    run=run,
                    origin=origin,
                    uploaded=session.images,
                    stop=stop,
                    reviewed=reporter.expected,
                    on_progress=progress,
                )
        except JournalError:
            reporter.writing = False  # raised only where the run could not even be begun
            raise
        return happened


@contextmanager
def _unstoppable() -> Iterator[asyncio.Event]:
    yield asyncio.Event()


def _resumed(found: Sequence[OperationFinished]) -> Iterator[str]:
    if found:
        yield "An earlier run ended before the outcome of these was known:"
    for each in found:
        about = " ".join(part for part in (each.key, each.operation, each.activity_id) if part)
        yield f"  {about} — {each.status.value}"


async def write(
    account: Account,
    project: Project,
    made: Plan,
    *,
    run: Run,
    origin: Origin,
    uploaded: UploadedImages | None = None,
    stop: asyncio.Event | None = None,
    poll: PollPolicy | None = None,
    reviewed: str = "",
    on_progress: Progress = no_progress,
) -> Report:
    """Do what ``made`` says, which somebody has agreed to. What open refusals hold is left out.

    Every request is written down in ``run`` before it leaves, and every outcome after it; and, also where there is
    nothing to do, what of the specs must outlast their files. ``uploaded`` remembers images from one run to the next,
    ``reviewed`` is the digest of the plan that alone may be applied, if only one may. Once ``stop`` is set, what is in
    flight is finished and nothing more is begun. Raises JournalError before anything is sent if the run cannot be
    written down.
    """
    held = held_in(made).keys  # of which the files do not hold yet
    # Before the first request: a run that dies must not forget a `protect` that it was given.
    await remember(run, [spec for spec in project.activities if spec.key not in held])
    if made.empty:
        await up_to_date(run, origin.commit)
    else:
        # Intent before action: a create without an entry would be unknown to the next run.
        await run.begin(run_started(origin, made, reviewed))
    happened = await apply_plan(
        account.api,
        made,
        read_image=lambda image: read_image(project.root, image),
        clock=account.clock,
        uploaded=uploaded,
        record=run,
        stop=stop,
        poll=poll,
        on_progress=on_progress,
    )
    return happened if made.empty else await run_ended(run, happened)
