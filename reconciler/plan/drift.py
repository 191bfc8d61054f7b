"""What on the account is not as the specs say: changed outside of paygift, or only not applied yet. Pure.

Read from the same plan that apply would do, and from what the journal knows (``Witness``). Terms cannot be edited once
an activity is created (API §1.13): where its number fits, other terms are an edit of the spec. Merchants can be changed
by anybody, so they are compared with those that paygift left in the activity. Beside it stand things that a plan leaves
alone and people want to know: paused activities, and new activities that nobody manages.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, Literal

from reconciler.model.activity import CREATE_FAILED, PAUSED, TERMINATED, DesiredActivity, LiveActivity
from reconciler.model.findings import Finding, FindingKind, Severity
from reconciler.model.identity import Ownership, number_of, parse_number
from reconciler.model.operations import (
    ActivityOperation,
    AddMerchants,
    CreateActivity,
    DeleteMerchants,
    TerminateActivity,
    TerminateReason,
)
from reconciler.model.plan import ActivityChange, Difference, Plan
from reconciler.model.witness import NO_WITNESS, Witness
from reconciler.plan.compare import differences
from reconciler.plan.images import differences_of

NEWCOMER_DAYS: Final = 7
"""For so long after it was created, an unmanaged activity counts as new."""

DriftCode = Literal[
    "ENDED_BY_HAND",
    "IMAGES_DIFFER",
    "LIVE_TERMS_DIFFER",
    "MERCHANTS_DIFFER",
    "NEWCOMER",
    "NOT_CREATED",
    "PAUSED",
    "REFUSED",
    "SHOULD_END",
    "SUPERSEDED",
    "TERMS_DIFFER",
    "VANISHED",
]
"""What is not as specified; stable, and a word of `drift --json`."""


@dataclass(frozen=True, slots=True)
class Drift:
    """One thing that is not as specified.

    ``pending``: the specs ask for it and nobody has applied it; otherwise it was changed outside of paygift, or, where
    ``witnessed`` is false, no journal tells by whom. ``since`` is when the remote says that just this happened (UTC),
    which it rarely does. ``added`` and ``missing`` are merchants of the account as against the spec, ``fields`` the
    terms that differ, as far as they were compared. ``reason`` is why the plan would end the activity, ``refusals`` are
    the findings that stop apply from changing anything.
    """

    code: DriftCode
    key: str
    activity_id: str = ""
    since: datetime | None = None
    pending: bool = False
    witnessed: bool = True
    added: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    fields: tuple[Difference, ...] = ()
    reason: TerminateReason | None = None
    refusals: tuple[Finding, ...] = ()


ENDS: Final[Mapping[TerminateReason, DriftCode]] = {
    "removed": "SHOULD_END",
    "state": "SHOULD_END",
    "ended": "SHOULD_END",
    "replaced": "TERMS_DIFFER",
    "superseded": "SUPERSEDED",
}
"""What an activity is that the plan ends, by the reason for it."""


def drifts(
    plan: Plan,
    live: Iterable[LiveActivity],
    desired: Sequence[DesiredActivity],
    witness: Witness = NO_WITNESS,
) -> tuple[Drift, ...]:
    """Everything that is not as specified: what was changed outside, by key; new activities, the oldest first; then
    what is pending, by key. ``plan`` is the plan for ``desired`` and ``live``.
    """
    # From the plan and not from a comparison of its own: drift and plan must never disagree.
    account = _Account.of(plan, live, desired, witness)
    found = [
        *(each for key, steps in account.steps.items() for each in _of_steps(account, key, steps)),
        *_refused(account),
        *_terms_that_contradict(account),
        *_other_images(account),
        *_paused(account),
    ]
    ordered = sorted(found, key=lambda drift: (drift.key, drift.code, drift.activity_id))
    return (
        *(each for each in ordered if not each.pending),
        # What somebody changed outside comes first, since what is pending is known to whoever merged it.
        *_new_activities(account.unmanaged, plan.made_at),
        *(each for each in ordered if each.pending),
    )


Slot = tuple[str, int, str]
"""What a request number stands for, as in ``RequestNumber.slot``."""


@dataclass(frozen=True, slots=True)
class _Account:
    """The activities by id and by key, and what the plan does and refuses, by key. ``vanished`` are the ids of what
    paygift created and is not there, by what their numbers stand for.
    """

    plan: Plan
    witness: Witness
    wanted: Mapping[str, DesiredActivity]
    by_id: Mapping[str, LiveActivity]
    running: Mapping[str, Sequence[LiveActivity]]
    past: Mapping[str, Sequence[LiveActivity]]
    unmanaged: Sequence[LiveActivity]
    steps: Mapping[str, Sequence[ActivityOperation]]
    refusals: Mapping[str, tuple[Finding, ...]]
    differences: Mapping[str, tuple[Difference, ...]]
    vanished: Mapping[Slot, str]

    @classmethod
    def of(
        cls, plan: Plan, live: Iterable[LiveActivity], desired: Sequence[DesiredActivity], witness: Witness
    ) -> _Account:
        ownership = Ownership.of(plan.namespace, desired)
        by_id = {each.activity_id: each for each in live}
        running: dict[str, list[LiveActivity]] = defaultdict(list)
        past: dict[str, list[LiveActivity]] = defaultdict(list)
        unmanaged = []
        for each in by_id.values():
            key = ownership.key_of(each)
            if key is None:
                unmanaged.append(each)
            else:
                # The plan's clock: with a later one, what ends in between would be told both ways.
                (past if each.ended(plan.made_at) else running)[key].append(each)
        return cls(
            plan,
            witness,
            {each.key: each for each in desired},
            by_id,
            running,
            past,
            unmanaged,
            _steps_by_key(plan.changes),
            _refusals_by_key(plan.findings),
            {change.key: change.differences for change in plan.changes},
            _slots(witness.created, by_id, ownership),
        )

    def refusals_of(self, key: str) -> tuple[Finding, ...]:
        return self.refusals.get(key, ())


def _slots(created: Mapping[str, str], there: Mapping[str, LiveActivity], ownership: Ownership) -> dict[Slot, str]:
    numbers = ((parse_number(text), each) for each, text in created.items() if each not in there)
    return {
        (ownership.renamed.get(number.key, number.key), number.generation, number.digest): each
        for number, each in numbers
        if number is not None
    }


def _steps_by_key(changes: Iterable[ActivityChange]) -> dict[str, list[ActivityOperation]]:
    """A change may end an activity of another key: each operation counts for its own."""
    found: dict[str, list[ActivityOperation]] = defaultdict(list)
    for change in changes:
        for step in change.operations:
            found[step.key].append(step)
    return found


def _refusals_by_key(findings: Iterable[Finding]) -> dict[str, tuple[Finding, ...]]:
    """Waived ones too: a waiver lets the others go on, and leaves these as they are."""
    found: dict[str, tuple[Finding, ...]] = {}
    for each in findings:
        if each.key and each.severity is Severity.REFUSAL:
            found[each.key] = (*found.get(each.key, ()), each)
    return found


# -- what the plan changes ---------------------------------------------------------------------------------------------


def _of_steps(account: _Account, key: str, steps: Sequence[ActivityOperation]) -> Iterator[Drift]:
    ends = [step for step in steps if isinstance(step, TerminateActivity)]
    replaced = [step for step in ends if step.reason == "replaced"]
    creates = any(isinstance(step, CreateActivity) for step in steps)
    refusals = account.refusals_of(key)
    if creates and not replaced:
        yield from _absent(account, key, refusals)
    for step in ends:
        # The plan explains one replaced activity.
        told = account.differences.get(key, ()) if [step] == replaced else ()
        yield Drift(
            ENDS[step.reason],
            key,
            step.activity_id,
            pending=True,
            fields=told,
            reason=step.reason,
            refusals=refusals,
        )
    for activity_id, (added, missing) in _merchant_steps(steps).items():
        for each in _merchants(account, key, activity_id, added, missing):
            yield replace(each, refusals=refusals)


def _absent(account: _Account, key: str, refusals: tuple[Finding, ...]) -> Iterator[Drift]:
    """A spec without an activity was never created, unless the journal knows that it was."""
    vanished = _vanished(account, key)
    if vanished:
        yield Drift("VANISHED", key, vanished, refusals=refusals)
        return
    yield Drift("NOT_CREATED", key, pending=True, refusals=refusals)
    # Its spec was edited meanwhile: that somebody ended what ran before would be lost otherwise.
    ended = [each for each in account.past.get(key, ()) if _ended_outside(account, each)]
    for each in sorted(ended, key=_made)[-1:]:
        yield Drift("ENDED_BY_HAND", key, each.activity_id, each.update_time)


def _vanished(account: _Account, key: str) -> str:
    """The id of the activity that paygift created from the present spec of ``key``, if it is not there any more."""
    spec = account.wanted.get(key)
    if spec is None or not account.vanished:
        return ""
    return account.vanished.get(number_of(account.plan.namespace, spec).slot, "")


def _merchant_steps(steps: Iterable[ActivityOperation]) -> dict[str, tuple[set[str], set[str]]]:
    """By activity: the merchants that it has and the spec does not name, and those that it lacks."""
    found: dict[str, tuple[set[str], set[str]]] = {}
    for step in steps:
        if isinstance(step, AddMerchants | DeleteMerchants) and step.activity_id:
            sides = found.setdefault(step.activity_id, (set(), set()))
            sides[isinstance(step, AddMerchants)].update(step.merchants)
    return found


def _merchants(account: _Account, key: str, activity_id: str, added: set[str], missing: set[str]) -> Iterator[Drift]:
    """What somebody added or took away since paygift left the activity; what else differs is an edit of the files."""
    left = account.witness.merchants.get(activity_id)
    if left is None:
        newly = _newly_adopted(account, key, activity_id)
        yield from _differing(key, activity_id, added, missing, pending=newly, witnessed=newly)
        return
    yield from _differing(key, activity_id, added - left, missing & left, pending=False)
    yield from _differing(key, activity_id, added & left, missing - left, pending=True)


def _differing(
    key: str, activity_id: str, added: set[str], missing: set[str], *, pending: bool, witnessed: bool = True
) -> Iterator[Drift]:
    if added or missing:
        yield Drift(
            "MERCHANTS_DIFFER",
            key,
            activity_id,
            pending=pending,
            witnessed=witnessed,
            added=tuple(sorted(added)),
            missing=tuple(sorted(missing)),
        )


def _newly_adopted(account: _Account, key: str, activity_id: str) -> bool:
    """Whether the journal knows that no apply has touched the activity that the spec adopts."""
    spec, witness = account.wanted.get(key), account.witness
    if spec is None or spec.adopt != activity_id or witness == NO_WITNESS:
        return False
    # Before the first apply nothing was left in it, so that no difference can be anybody's doing.
    return activity_id not in witness.adopted and activity_id not in witness.created


# -- what the plan leaves as it is -------------------------------------------------------------------------------------


def _refused(account: _Account) -> Iterator[Drift]:
    """Keys that a refusal keeps from being as specified, unless somebody outside is the reason for it."""
    for key, refusals in account.refusals.items():
        if key not in account.steps:
            # A number that is used up has a reason that people can act on: somebody ended the activity.
            yield _outside(account, key, refusals) or Drift(
                "REFUSED", key, _activity_id(refusals[0]), pending=True, refusals=refusals
            )


def _outside(account: _Account, key: str, refusals: tuple[Finding, ...]) -> Drift | None:
    """The activity that the spec stands for was terminated, or is gone, and paygift did neither."""
    activity_id = _activity_id(refusals[0])
    match refusals[0].code:
        case FindingKind.NUMBER_USED | FindingKind.ADOPT_ENDED:
            live = account.by_id.get(activity_id)
            if live is not None and _ended_by_hand(account, key, live):
                known = _ended_outside(account, live)
                return Drift("ENDED_BY_HAND", key, activity_id, live.update_time, witnessed=known, refusals=refusals)
        case FindingKind.ADOPT_NOT_FOUND if activity_id in account.witness.adopted:
            return Drift("VANISHED", key, activity_id, refusals=refusals)
    return None


def _ended_by_hand(account: _Account, key: str, live: LiveActivity) -> bool:
    """Whether somebody else terminated ``live``, as far as can be told.

    The journal knows. Without it, what another activity of the key came after was replaced by that.
    """
    if _ended_outside(account, live):
        return True
    if live.activity_status != TERMINATED or live.activity_id in account.witness.terminated:
        return False
    # A replacement ends the old one too, so without a journal only the last of a key tells anything.
    later = [each for each in account.past.get(key, ()) if _made(each) > _made(live)]
    return not account.running.get(key) and all(each.activity_status == CREATE_FAILED for each in later)


def _ended_outside(account: _Account, live: LiveActivity) -> bool:
    """Whether the journal proves that somebody else terminated ``live``."""
    witness, activity_id = account.witness, live.activity_id
    ours = activity_id in witness.created or activity_id in witness.adopted
    return live.activity_status == TERMINATED and ours and activity_id not in witness.terminated


def _made(live: LiveActivity) -> float:
    return live.create_time.timestamp() if live.create_time else 0.0


def _activity_id(finding: Finding) -> str:
    return str(finding.facts.get("activity_id", ""))


def _terms_that_contradict(account: _Account) -> Iterator[Drift]:
    """Live activities with the number of their spec and other terms, and what the plan leaves of their merchants."""
    for finding in account.plan.findings:
        if finding.code != FindingKind.LIVE_TERMS_DIFFER:
            continue
        activity_id, key = _activity_id(finding), finding.key
        spec, live = account.wanted.get(key), account.by_id.get(activity_id)
        # Without its number nothing is known of its images, and unknown is not different.
        fields = differences(spec.terms, replace(live, out_request_no="")) if spec and live else ()
        yield Drift("LIVE_TERMS_DIFFER", key, activity_id, fields=fields)
        if spec and live and live.merchants is not None and key not in account.steps:
            there, wanted = set(live.merchants), set(spec.merchants)
            yield from _merchants(account, key, activity_id, there - wanted, wanted - there)


def _other_images(account: _Account) -> Iterator[Drift]:
    """Live activities whose images are elsewhere than paygift uploaded them to. By whom, no journal tells."""
    for finding in account.plan.findings:
        if finding.code == FindingKind.IMAGES_DIFFER:
            fields = differences_of(finding)
            yield Drift("IMAGES_DIFFER", finding.key, _activity_id(finding), witnessed=False, fields=fields)


def _paused(account: _Account) -> Iterator[Drift]:
    for key, lives in account.running.items():
        for each in lives:
            if each.activity_status == PAUSED:
                yield Drift("PAUSED", key, each.activity_id, each.pause_time)


def _new_activities(unmanaged: Iterable[LiveActivity], now: datetime) -> Iterator[Drift]:
    """Activities of somebody else that were made lately and live."""
    # A bound, or an account that is shared with others would fill every report.
    since = now - timedelta(days=NEWCOMER_DAYS)
    made = [
        (each.create_time, each.activity_id)
        for each in unmanaged
        if each.create_time is not None and each.create_time >= since and not each.ended(now)
    ]
    for create_time, activity_id in sorted(made):
        yield Drift("NEWCOMER", "", activity_id, create_time)
