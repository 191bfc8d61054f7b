"""The plan of a project at its account: read, decided, and compared with the one that was reviewed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from difflib import get_close_matches
from functools import partial
from pathlib import Path

from reconciler.commands.plan_files import save_plan
from reconciler.commands.session import Account, Session, open_session
from reconciler.commands.workspace import Progress, Workspace, no_progress
from reconciler.journal.worker import READING_SECONDS, Worker
from reconciler.live.reader import LiveRead, read_coupons, read_live
from reconciler.model.activity import Window
from reconciler.model.coupon import CouponRead
from reconciler.model.errors import JournalError, StaleError, UsageError
from reconciler.model.findings import WAIVABLE, Finding, FindingKind, Severity
from reconciler.model.operations import KnownImage
from reconciler.model.plan import Plan
from reconciler.model.policy import Freeze, Policy
from reconciler.model.witness import NO_WITNESS, Witness
from reconciler.plan import (
    as_reviewed,
    coupon_findings,
    digests_of_review,
    image_findings,
    make_plan,
    may_be_of,
    not_held,
    plan_digest,
    staleness,
    stocks_named,
    unproven_creates,
    with_findings,
    with_known_images,
)
from reconciler.render.views.stale import stale_lines
from reconciler.spec import Project, generation_line
from reconciler.spec.context import instant_of
from reconciler.system.input_files import read_input
from reconciler.system.output_files import Output


def plan(
    workspace: Workspace,
    *,
    allow: Iterable[str] = (),
    allow_file: Path | None = None,
    at: str | None = None,
    out: Path | None = None,
) -> Plan:
    """What ``apply`` would do. Reads the live account, and writes nothing to it.

    ``allow`` waives refusals by name, CODE or CODE:KEY; ``allow_file`` names a file with more of them, one a line.
    ``at`` is a time (see ``instant_from``): the plan as it would be then. ``out`` is where the plan is kept as a file,
    for ``apply`` and ``show_plan``.

    What is refused is a finding of the plan, not an error. Raises UsageError for a waiver that is unknown and a file
    that cannot be read or written (exit code 1), ProjectError (3), CredentialsError (4), RemoteError where the account
    cannot be read completely (1; 4 for credentials that WeChat Pay rejects). A journal that cannot be read is a
    finding, too.
    """
    # A file of it would look like one that was made now, and reviewers would approve it.
    if at is not None and out is not None:
        raise UsageError("A plan for another time cannot be applied: give --at or --out.")
    if out is not None:
        Output.checked(out)  # a plan of ten thousand activities takes a while
    allowed = [*allow, *(_waivers_in(allow_file) if allow_file is not None else ())]
    with open_session(workspace, at=at) as session:
        made = session.run(_plan(session, allowed))
    if out is not None:
        save_plan(made, out)
    return made


def _waivers_in(file: Path) -> list[str]:
    try:
        lines = read_input(file).decode().splitlines()
    except UnicodeDecodeError as error:
        raise UsageError(f"--allow-file {file} cannot be read: it is not UTF-8.") from error
    return [line.strip() for line in lines if line.strip()]


async def _plan(session: Session, allow: Iterable[str]) -> Plan:
    _, made = await read_and_plan(session, allow)
    return made


async def read_and_plan(
    session: Session, allow: Iterable[str] = (), *, witness: tuple[Witness, str] | None = None
) -> tuple[LiveRead, Plan]:
    """The account and the plan for it, connected for as long as that takes.

    ``witness`` is what the journal knows and why that could not be read, where the caller has looked already.
    """
    known, unread = witness or await read_witness(session)
    async with session.connect() as account:
        with session.callbacks.progress("Reading activities") as progress:
            planning = Planning.checked(account, session.project, allow, known, unread)
            return await planning.plan(progress)


async def read_witness(session: Session) -> tuple[Witness, str]:
    """What the journal knows, and why it could not be read where it could not. Looking does not make it.

    Signals are answered meanwhile, whatever its server or disk does.
    """
    if not session.journal.exists:
        return NO_WITNESS, ""
    from reconciler.journal.reader import read_witness as read  # noqa: PLC0415 - SQLAlchemy, for who has a journal

    worker = Worker(session.journal.name)
    try:
        look = partial(read, session.journal, mchid=session.mchid, namespace=session.project.namespace)
        return await worker.do(look, deadline_seconds=READING_SECONDS), ""
    # A plan without the journal is worth more than none; what it could not know is a finding.
    except (JournalError, UsageError) as error:
        return NO_WITNESS, error.message
    finally:
        # Not joined: a database server that hangs must not keep the command.
        worker.stop()


async def plan_project(
    account: Account,
    project: Project,
    *,
    allow: Iterable[str] = (),
    witness: Witness = NO_WITNESS,
    on_progress: Progress = no_progress,
) -> Plan:
    """The plan for ``project`` at the account's present moment. ``allow`` waives refusals: CODE or CODE:KEY."""
    _, made = await Planning.checked(account, project, allow, witness).plan(on_progress)
    return made


async def plan_as_reviewed(
    account: Account,
    project: Project,
    reviewed: Plan,
    *,
    witness: Witness = NO_WITNESS,
    on_progress: Progress = no_progress,
) -> Plan:
    """The plan to apply now, which is ``reviewed`` or what is left of it after part of it was done.

    Live is read again and planned again, with the waivers of ``reviewed``. Raises StaleError, whose ``details`` are
    the difference, for anything else: another account or namespace, edited specs, a changed account, a plan that has
    expired. What was refused in the review stays refused, whatever has become of its cause.
    """
    # First, since for another account everything would differ and hide the reason.
    for name, theirs, ours in (
        ("namespace", reviewed.namespace, project.namespace),
        ("account", reviewed.mchid, account.mchid),
    ):
        if theirs != ours:
            raise StaleError(
                f"The plan is for the {name} {theirs}, and this is {ours}. Nothing was written.",
                remedy="Use the plan of this repository and account.",
            )
    # The reviewed waivers and no others: --allow cannot be given beside a plan file.
    planning = Planning.checked(account, project, reviewed.allow, witness)
    live, fresh = await planning.plan(on_progress)
    then = unexplained = None
    if may_be_of(reviewed.made_at, fresh.made_at):
        then = await planning.of(live, reviewed.made_at, account.uploaded)
        # Where nothing is remembered it would be the same plan once more.
        unexplained = await planning.of(live, reviewed.made_at, {}) if account.uploaded else None
    reasons = not_held(
        staleness(reviewed, fresh, live.activities, now=fresh.made_at, then=then, unexplained=unexplained),
        fresh,
    )
    if reasons:
        raise StaleError(
            "The plan is no longer what was reviewed. Nothing was written.",
            details=stale_lines(reasons),
            remedy="Plan again, and have the new plan reviewed.",
        )
    # `fresh` is what is done, and not `reviewed`: its preconditions are of this moment.
    return with_findings(fresh, as_reviewed(reviewed, fresh), policy_of(project, reviewed.allow))


async def plan_as_expected(
    account: Account,
    project: Project,
    digest: str,
    *,
    allow: Iterable[str] = (),
    witness: Witness = NO_WITNESS,
    on_progress: Progress = no_progress,
) -> Plan:
    """The plan to apply now, if its digest is ``digest``. Raises StaleError otherwise.

    A digest alone cannot tell what is left of a plan that was partly done, nor what was refused in its review, if
    something else is refused now: for that, keep the plan file.
    """
    fresh = await plan_project(account, project, allow=allow, witness=witness, on_progress=on_progress)
    # Two digests: what is refused only since the review is held, and the rest may go on.
    if digest not in digests_of_review(fresh):
        raise StaleError(
            f"The plan's digest is {plan_digest(fresh)}, and {digest} was reviewed. Nothing was written.",
            remedy="Plan again, and have the new plan reviewed.",
        )
    return fresh


@dataclass(frozen=True, slots=True)
class Planning:
    """All that a plan depends on but the live account, the moment, and what this machine remembers of images."""

    account: Account
    project: Project
    policy: Policy
    witness: Witness
    journal_unread: str = ""
    coupons: dict[str, CouponRead] = field(default_factory=dict)
    """Those that were read, by stock; ``None`` for one that does not exist."""

    @classmethod
    def checked(
        cls,
        account: Account,
        project: Project,
        allow: Iterable[str],
        witness: Witness,
        journal_unread: str = "",
    ) -> Planning:
        """Raises UsageError for a waiver that is unknown: one with a typing mistake must not be a silent one."""
        policy = policy_of(project, allow)
        # Before the account is read: a typing mistake must not cost minutes.
        for waiver in policy.unknown_waivers:
            alike = get_close_matches(waiver.partition(":")[0], WAIVABLE, 1)
            hint = f"did you mean {alike[0]}?" if alike else f"there are {', '.join(sorted(WAIVABLE))}."
            raise UsageError(f"--allow {waiver}: no refusal has this code;", remedy=hint)
        return cls(account, project, policy, witness, journal_unread)

    async def plan(self, on_progress: Progress) -> tuple[LiveRead, Plan]:
        """The account as it is now, and the plan for it."""
        now = self.account.clock()
        live = await read_live(
            self.account.api,
            namespace=self.project.namespace,
            desired=self.project.activities,
            now=now,
            witness=self.witness,
            on_progress=on_progress,
        )
        made = await self.of(live, now, self.account.uploaded)
        found = image_findings(made, live.activities, self.project.activities, self.account.uploaded)
        return live, with_findings(with_known_images(made, self.account.uploaded), found, self.policy)

    async def of(self, live: LiveRead, now: datetime, uploaded: Mapping[str, KnownImage]) -> Plan:
        """The plan for ``live`` as it would be at ``now``."""
        made = make_plan(
            self.project.activities,
            live.activities,
            namespace=self.project.namespace,
            now=now,
            mchid=self.account.mchid,
            policy=self.policy,
            witness=self.witness,
            unreadable=live.unreadable,
            uploaded={sha256: image.url for sha256, image in uploaded.items()},
        )
        # Shared by up to three plans of one apply, so that each stock is asked for once.
        unread = [each for each in stocks_named(made) if each not in self.coupons]
        self.coupons.update(await read_coupons(self.account.api, unread))
        found = (
            *coupon_findings(made, self.coupons),
            *unproven_creates(made, live.activities, self.coupons, self.witness),
            *_account_findings(self.account, self.project),
            *_journal_findings(self.journal_unread),
        )
        suggested = replace(made, findings=tuple(_suggesting(self.project.root, each) for each in made.findings))
        return with_findings(suggested, found, self.policy)


def _account_findings(account: Account, project: Project) -> Iterator[Finding]:
    """A project that does not say whose it is takes any credentials; the sandbox is nobody's."""
    if project.account is None and not account.sandbox:
        yield Finding.of(FindingKind.ACCOUNT_NOT_NAMED, facts={"mchid": account.mchid})


def _suggesting(root: Path, finding: Finding) -> Finding:
    """A refusal that a higher generation answers, with the line to write in the spec."""
    wanted = finding.facts.get("next_generation")
    if finding.severity is not Severity.REFUSAL or finding.source is None or not isinstance(wanted, int):
        return finding
    suggestion = generation_line(root, finding.source, wanted)
    return finding if suggestion is None else replace(finding, facts={**finding.facts, "suggestion": suggestion})


def _journal_findings(unread: str) -> Iterator[Finding]:
    if unread:
        yield Finding.of(FindingKind.JOURNAL_NOT_READ, facts={"problem": unread})


def policy_of(project: Project, allow: Iterable[str] = ()) -> Policy:
    """The policy section of paygift.yaml, with this run's waivers."""
    written = project.policy
    spans = (
        Window(instant_of(each.begin_time, project.timezone), instant_of(each.end_time, project.timezone))
        for each in written.freeze
    )
    return Policy(
        on_removed=written.on_removed,
        max_terminations=written.max_terminations,
        max_replacements_running=written.max_replacements_running,
        max_merchant_deletions=written.max_merchant_deletions,
        allow_replace_running=written.allow_replace_running,
        freeze=tuple(Freeze(span, each.reason) for span, each in zip(spans, written.freeze, strict=True)),
        warn_before_end=written.warn_before_end,
        # Never from paygift.yaml: a waiver is for one plan (docs/decisions/waivers.md).
        allow=frozenset(allow),
    )
