"""The wiring: one function per command, usable from Python without a terminal.

A command opens a session (see ``session``), connects to its ``Account``, and calls one of ``plan``, ``apply``,
``status`` and ``show``. Nothing here decides; everything here connects.

Those that read the account take what its journal knows as ``witness`` (see ``audit.witness_of``); ``journal_flaw`` says
why that could not be read, where it could not.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.commands.session import system_clock
from reconciler.model.activity import DesiredActivity, LiveActivity
from reconciler.model.clock import Clock
from reconciler.model.errors import StaleError, UsageError
from reconciler.model.findings import WAIVABLE, Finding, FindingKind, Severity
from reconciler.model.identity import Ownership
from reconciler.model.witness import NO_WITNESS, Witness

if TYPE_CHECKING:
    import asyncio

    from reconciler.apply import PollPolicy, UploadedImages
    from reconciler.commands.settings import Remote
    from reconciler.journal.journal import Run
    from reconciler.live.reader import LiveRead
    from reconciler.model.coupon import CouponRead
    from reconciler.model.operations import KnownImage
    from reconciler.model.plan import Plan
    from reconciler.model.policy import Policy
    from reconciler.model.report import Report
    from reconciler.spec import Project
    from reconciler.wechatpay.api import PayGiftApi

Progress = Callable[[int, int], None]


def _no_progress(done: int, total: int) -> None:
    """Nobody is watching."""


@dataclass(frozen=True, slots=True)
class Account:
    """A connected account, real or a ``sandbox``: the API, the clock that is valid there, and its merchant number.

    ``uploaded`` are the images that are known to have been uploaded there, by their SHA-256: they explain which image
    of an activity differs, and decide nothing.
    """

    api: PayGiftApi
    clock: Clock
    mchid: str
    sandbox: bool = False
    uploaded: Mapping[str, KnownImage] = field(default_factory=dict)


@asynccontextmanager
async def connect(
    remote: Remote, clock: Clock = system_clock, *, uploaded: Mapping[str, KnownImage] | None = None
) -> AsyncIterator[Account]:
    """A client for ``remote``, closed at the end. Nothing is sent before the first call."""
    from reconciler.wechatpay.api import PayGiftApi
    from reconciler.wechatpay.client import Client

    async with Client(
        remote.credentials,
        base_url=remote.base_url,
        backup_url=remote.backup_url,
        rate=remote.rate,
        concurrency=remote.concurrency,
    ) as client:
        yield Account(
            PayGiftApi(client), clock, remote.credentials.mchid, remote.sandbox, uploaded=uploaded or {}
        )


async def plan(
    account: Account,
    project: Project,
    *,
    allow: Iterable[str] = (),
    witness: Witness = NO_WITNESS,
    journal_flaw: str = "",
    on_progress: Progress = _no_progress,
) -> Plan:
    """The plan for ``project`` at the account's present moment. ``allow`` waives refusals: CODE or CODE:KEY."""
    _, made = await _read_and_plan(account, project, allow, witness, journal_flaw, on_progress)
    return made


async def plan_as_reviewed(
    account: Account,
    project: Project,
    reviewed: Plan,
    *,
    witness: Witness = NO_WITNESS,
    on_progress: Progress = _no_progress,
) -> Plan:
    """The plan to apply now, which is ``reviewed`` or what is left of it after part of it was done.

    Live is read again and planned again, with the waivers of ``reviewed``. Raises StaleError, whose ``details`` are
    the difference, for anything else: another account or namespace, edited specs, a changed account, a plan that has
    expired. What was refused in the review stays refused, whatever has become of its cause.
    """
    from reconciler.plan import as_reviewed, may_be_of, not_held, staleness, with_findings
    from reconciler.render.views.stale import stale_lines

    for name, theirs, ours in (
        ("namespace", reviewed.namespace, project.namespace),
        ("account", reviewed.mchid, account.mchid),
    ):
        if theirs != ours:
            raise StaleError(
                f"The plan is for the {name} {theirs}, and this is {ours}. Nothing was written.",
                remedy="Use the plan of this repository and account.",
            )
    planning = _Planning(account, project, _checked_policy(project, reviewed.allow), witness)
    live, fresh = await planning.plan(on_progress)
    then = unexplained = None
    if may_be_of(reviewed.made_at, fresh.made_at):
        then = await planning.of(live, reviewed.made_at, account.uploaded)
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
    return with_findings(fresh, as_reviewed(reviewed, fresh), policy_of(project, reviewed.allow))


async def plan_as_expected(
    account: Account,
    project: Project,
    digest: str,
    *,
    allow: Iterable[str] = (),
    witness: Witness = NO_WITNESS,
    on_progress: Progress = _no_progress,
) -> Plan:
    """The plan to apply now, if its digest is ``digest``. Raises StaleError otherwise.

    A digest alone cannot tell what is left of a plan that was partly done, nor what was refused in its review, if
    something else is refused now: for that, keep the plan file.
    """
    from reconciler.plan import digests_of_review, plan_digest

    _, fresh = await _read_and_plan(account, project, allow, witness, "", on_progress)
    if digest not in digests_of_review(fresh):
        raise StaleError(
            f"The plan's digest is {plan_digest(fresh)}, and {digest} was reviewed. Nothing was written.",
            remedy="Plan again, and have the new plan reviewed.",
        )
    return fresh


def save_plan(made: Plan, file: Path) -> None:
    """Write ``made`` to ``file`` (see ``output``). Raises UsageError if it cannot be written."""
    from reconciler.render.json_ import dumps, plan_json
    from reconciler.system.output_files import write

    write(dumps(plan_json(made)), file)


def saved_plan(file: Path) -> Plan:
    """The plan in ``file``. Raises UsageError if it cannot be read, StaleError if it is no intact plan."""
    from reconciler.system.input_files import parsed_json, read_input

    content = read_input(file)
    try:
        data = parsed_json(content)
    except ValueError as error:
        raise StaleError(
            f"{file} is not a plan file: {error}.", remedy="Make one with `plan --out`."
        ) from error
    return intact_plan(data)


def intact_plan(data: object) -> Plan:
    """The plan in a file's data, if that tells everything as this paygift tells it of what it holds. Raises StaleError
    otherwise.
    """
    from reconciler.plan import read_plan
    from reconciler.render.json_ import edited_place

    plan = read_plan(data)
    flaw = edited_place(data, plan)
    if flaw:
        raise StaleError(
            f"This plan file tells something else than what it holds ({flaw}): it was edited, "
            "or made by another paygift.",
            remedy="Make it again with `paygift plan --out FILE`, and have it reviewed.",
        )
    return plan


async def apply(
    account: Account,
    project: Project,
    made: Plan,
    *,
    uploaded: UploadedImages | None = None,
    run: Run | None = None,
    stop: asyncio.Event | None = None,
    poll: PollPolicy | None = None,
    reviewed: str = "",
    on_progress: Progress = _no_progress,
) -> Report:
    """Do what ``made`` says; ``uploaded`` remembers pictures from one run to the next, and ``reviewed`` is the digest
    of the plan that alone may be applied, if only one may.

    With a ``run`` (see ``journaling.open_run``) every request is written down before it leaves, and every outcome
    after it; and, also where there is nothing to do, what of the specs must outlast their files. Once ``stop`` is set,
    what is in flight is finished and nothing more is begun. What open refusals hold is left out. Raises RefusedError
    before anything is written if that is all there is, JournalError before anything is sent if the run cannot be
    written down.
    """
    from reconciler.apply import apply_plan, refuse
    from reconciler.commands.runs import begun, ended, remember, up_to_date
    from reconciler.plan import held_in
    from reconciler.spec import read_image

    refuse(made)
    if run is not None:
        held = held_in(made).keys  # of which the files do not hold yet
        await remember(run, [spec for spec in project.activities if spec.key not in held])
        if made.empty:
            await up_to_date(run, project.root)
        else:
            await run.begin(begun(project.root, made, reviewed))
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
    return happened if run is None or made.empty else await ended(run, happened)


@dataclass(frozen=True, slots=True)
class AccountStatus:
    """The account beside the specs: every live activity with the key that manages it, and what a plan would do.

    ``witness`` is what the journal knows of it.
    """

    now: datetime
    desired: tuple[DesiredActivity, ...]
    live: tuple[tuple[str | None, LiveActivity], ...]
    plan: Plan
    witness: Witness = NO_WITNESS


async def status(
    account: Account,
    project: Project,
    *,
    witness: Witness = NO_WITNESS,
    journal_flaw: str = "",
    on_progress: Progress = _no_progress,
) -> AccountStatus:
    """Managed, unmanaged and ended activities, ours first, by key and then by id."""
    live, made = await _read_and_plan(account, project, (), witness, journal_flaw, on_progress)
    ownership = Ownership.of(project.namespace, project.activities)
    keyed = ((ownership.key_of(activity), activity) for activity in live)
    ordered = sorted(keyed, key=lambda pair: (pair[0] is None, pair[0] or "", pair[1].activity_id))
    return AccountStatus(made.made_at, project.activities, tuple(ordered), made, witness)


@dataclass(frozen=True, slots=True)
class Shown:
    """One activity from all sides. ``goods`` are goods ids by activity id, empty for full-send activities."""

    desired: DesiredActivity | None
    live: tuple[LiveActivity, ...]
    goods: Mapping[str, tuple[str, ...]]
    now: datetime


async def show(account: Account, project: Project, name: str, *, witness: Witness = NO_WITNESS) -> Shown:
    """The spec and the live activities of a key, or one activity by its id. Raises UsageError if there is neither."""
    from reconciler.live.reader import read_live

    now = account.clock()
    desired = next((activity for activity in project.activities if activity.key == name), None)
    everything = await read_live(
        account.api, namespace=project.namespace, desired=project.activities, now=now, witness=witness
    )
    ownership = Ownership.of(project.namespace, project.activities)
    mine = [live for live in everything.activities if name in (ownership.key_of(live), live.activity_id)]
    if desired is None and not mine:
        keys = {*(each.key for each in project.activities), *map(ownership.key_of, everything.activities)}
        raise UsageError(f"There is no spec and no live activity called {name!r}.", remedy=_meant(name, keys))
    complete = [
        live
        if live.merchants is not None
        else replace(live, merchants=await account.api.merchant_ids(live.activity_id))
        for live in mine
    ]
    goods = {
        live.activity_id: tuple([item.goods_id async for item in account.api.goods(live.activity_id)])
        for live in mine
    }
    return Shown(desired, tuple(complete), goods, now)


def _meant(name: str, keys: Iterable[str | None]) -> str:
    """Which of ``keys`` may have been meant by ``name``: a few, since there may be thousands."""
    from difflib import get_close_matches

    known = sorted(each for each in keys if each)
    alike = get_close_matches(name.casefold(), known)
    if alike:
        return f"Did you mean {' or '.join(alike)}? `paygift status` lists all keys."
    return "Give an activity_id, or a key: `paygift status` lists all." if known else "There are no specs."


async def _read_and_plan(
    account: Account,
    project: Project,
    allow: Iterable[str],
    witness: Witness,
    journal_flaw: str,
    on_progress: Progress,
) -> tuple[tuple[LiveActivity, ...], Plan]:
    planning = _Planning(account, project, _checked_policy(project, allow), witness, journal_flaw)
    live, made = await planning.plan(on_progress)
    return live.activities, made


@dataclass(frozen=True, slots=True)
class _Planning:
    """All that a plan depends on but the live account, the moment, and what this machine remembers of images."""

    account: Account
    project: Project
    policy: Policy
    witness: Witness
    journal_flaw: str = ""
    coupons: dict[str, CouponRead] = field(default_factory=dict)
    """Those that were read, by stock; ``None`` for one that does not exist."""

    async def plan(self, on_progress: Progress) -> tuple[LiveRead, Plan]:
        """The account as it is now, and the plan for it."""
        from reconciler.live.reader import read_live
        from reconciler.plan import image_findings, with_findings, with_known_images

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
        from reconciler.live.reader import read_coupons
        from reconciler.plan import coupon_findings, make_plan, stocks_named, unproven_creates, with_findings

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
        unread = [each for each in stocks_named(made) if each not in self.coupons]
        self.coupons.update(await read_coupons(self.account.api, unread))
        found = (
            *coupon_findings(made, self.coupons),
            *unproven_creates(made, live.activities, self.coupons, self.witness),
            *_account_findings(self.account, self.project),
            *_journal_findings(self.journal_flaw),
        )
        suggested = replace(
            made, findings=tuple(_suggesting(self.project.root, each) for each in made.findings)
        )
        return with_findings(suggested, found, self.policy)


def _account_findings(account: Account, project: Project) -> Iterator[Finding]:
    """A project that does not say whose it is takes any credentials; the sandbox is nobody's."""
    if project.account is None and not account.sandbox:
        yield Finding.of(FindingKind.ACCOUNT_NOT_NAMED, facts={"mchid": account.mchid})


def _suggesting(root: Path, finding: Finding) -> Finding:
    """A refusal that a higher generation answers, with the line to write in the spec."""
    from reconciler.spec import generation_line

    wanted = finding.facts.get("next_generation")
    if finding.severity is not Severity.REFUSAL or finding.source is None or not isinstance(wanted, int):
        return finding
    suggestion = generation_line(root, finding.source, wanted)
    return (
        finding if suggestion is None else replace(finding, facts={**finding.facts, "suggestion": suggestion})
    )


def _journal_findings(flaw: str) -> Iterator[Finding]:
    if flaw:
        yield Finding.of(FindingKind.JOURNAL_NOT_READ, facts={"problem": flaw})


def policy_of(project: Project, allow: Iterable[str] = ()) -> Policy:
    """The policy section of paygift.yaml, with this run's waivers."""
    from reconciler.model.activity import Window
    from reconciler.model.policy import Freeze, Policy
    from reconciler.spec.context import instant_of

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
        allow=frozenset(allow),
    )


def _checked_policy(project: Project, allow: Iterable[str]) -> Policy:
    policy = policy_of(project, allow)
    _check_waivers(policy)
    return policy


def _check_waivers(policy: Policy) -> None:
    """A waiver with a typing mistake must not be a silent one. Raises UsageError."""
    from difflib import get_close_matches

    for waiver in policy.unknown_waivers:
        alike = get_close_matches(waiver.partition(":")[0], WAIVABLE, 1)
        hint = f"did you mean {alike[0]}?" if alike else f"there are {', '.join(sorted(WAIVABLE))}."
        raise UsageError(f"--allow {waiver}: no refusal has this code;", remedy=hint)
