"""Whether a plan made now is the one that was reviewed, or what is left of it after part of it was done. Pure.

Plans are compared by their effects, not by their calls: half a call of 500 merchants may be done. Whatever the fresh
plan would do must have been reviewed, under the same precondition; whatever it would no longer do must be visible on
the account. Anything else is stale (concepts.md#plan).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import combinations
from typing import Final, Literal

from reconciler.model.activity import LiveActivity, Terms
from reconciler.model.identity import parse_number, terms_sha256
from reconciler.model.operations import AddMerchants, CreateActivity, DeleteMerchants, Precondition, TerminateActivity
from reconciler.model.plan import ActivityChange, Plan
from reconciler.plan.compare import shown_otherwise
from reconciler.plan.consistency import unlike_shown
from reconciler.plan.digest import plan_digest, waived
from reconciler.plan.held import held_in

EffectKind = Literal["create", "add", "delete", "terminate"]
"""What an effect does: to an activity, or to one merchant of it."""
StaleCode = Literal["expired", "waived", "reordered", "bare", "shown", "appeared", "vanished", "changed"]
"""How a plan differs from the one that was reviewed."""


@dataclass(frozen=True, slots=True, order=True)
class _Effect:
    """One thing that a plan brings about. ``what`` is the digest of the terms, an mchid, or an activity id.

    ``activity_id`` finds it on the account where the number does not, as of what was made elsewhere; it is empty, and
    takes no part in equality, for what a create of the same plan makes. ``terms`` are those of a create.
    """

    key: str
    kind: EffectKind
    out_request_no: str
    what: str
    activity_id: str = field(default="", compare=False)
    terms: Terms | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Stale:
    """One reason why a reviewed plan no longer holds; ``effects`` are alike but for what they are about.

    ``waiver`` is one that nobody reviewed: a code, a key, and what else it is tied to. ``what`` names what the reviewed
    plan shows otherwise.
    """

    code: StaleCode
    key: str = ""
    kind: EffectKind | None = None
    effects: tuple[_Effect, ...] = ()
    at: datetime | None = None
    waiver: tuple[str, ...] = ()
    what: tuple[str, ...] = ()


AHEAD: Final = timedelta(minutes=5)
"""Clocks of machines differ by less, or WeChat Pay would refuse their signatures (API §5)."""
OLDEST: Final = timedelta(days=366)
"""No activity lasts longer (API §1.1), so that a plan which is older means nothing any more."""


def staleness(
    reviewed: Plan,
    fresh: Plan,
    live: Sequence[LiveActivity],
    *,
    now: datetime,
    then: Plan | None = None,
    unexplained: Plan | None = None,
) -> tuple[Stale, ...]:
    """Every reason why ``fresh``, made at ``now`` from ``live``, is not what was reviewed; none means go on.

    ``then`` is the plan that the same files and ``live`` give for the moment at which ``reviewed`` was made, and
    ``unexplained`` the same without remembered images (see ``consistency``). Not needed where ``fresh`` is of that
    moment.
    """
    # Alone, since everything else follows from it and would only confuse.
    if reviewed.valid_until is not None and now >= reviewed.valid_until:
        return (Stale("expired", at=reviewed.valid_until),)
    if not may_be_of(reviewed.made_at, now):
        return (Stale("shown", what=("made_at",)),)
    # The same moment needs no second plan, which costs as much as the first.
    then = fresh if then is None and fresh.made_at == reviewed.made_at else then
    reasons = (*_unlike_in_effect(reviewed, fresh, live, now), *_bare(reviewed, fresh))
    # What it does comes first: how it is shown differs as a matter of course where effects do.
    if reasons or then is None:
        return reasons
    return tuple(_shown(reviewed, then, live, unexplained))


def _unlike_in_effect(reviewed: Plan, fresh: Plan, live: Sequence[LiveActivity], now: datetime) -> Iterator[Stale]:
    # Equal digests mean equal effects, and the usual case: no need to list 100,000 of them.
    if plan_digest(reviewed) == plan_digest(fresh):
        return
    before, after = effects(reviewed), effects(fresh)
    seen = _EffectsOnAccount(live, now)
    appeared = [effect for effect in after if effect not in before]
    # An effect that the account shows is done, by us or by somebody: that does not stop anything.
    vanished = [effect for effect in before if effect not in after and not seen.shows(effect)]
    # The same end of an activity that has been edited or paused since is another decision.
    changed = [effect for effect in after if effect in before and not _same(before[effect], after[effect])]
    # create_first turned into terminate_first has the same effects, with a gap between them.
    reordered = sorted(_orders(fresh, before) ^ _orders(reviewed, after))
    # One way: a waiver that was reviewed and is not needed any more does no harm.
    yield from (Stale("waived", each[1], waiver=each) for each in sorted(waived(fresh) - waived(reviewed)))
    yield from (Stale("reordered", key) for key in dict.fromkeys(order.first[0] for order in reordered))
    yield from _grouped("appeared", appeared)
    yield from _grouped("vanished", vanished)
    yield from _grouped("changed", changed)


def may_be_of(made_at: datetime, now: datetime) -> bool:
    """Whether a plan that is applied ``now`` can have been made then."""
    return now - OLDEST <= made_at <= now + AHEAD


def _shown(reviewed: Plan, then: Plan, live: Sequence[LiveActivity], unexplained: Plan | None) -> Iterator[Stale]:
    def partly_done(change: ActivityChange, left: ActivityChange | None) -> bool:
        return left is None or set(_effects(change)) != set(_effects(left))

    for key, what in unlike_shown(reviewed, then, live, partly_done, unexplained=unexplained):
        yield Stale("shown", key, what=what)


def not_held(reasons: Iterable[Stale], fresh: Plan) -> tuple[Stale, ...]:
    """``reasons`` without those about what ``fresh`` holds: it is refused since the review and not done, so that what
    is missing of it, or has another ground, keeps nothing else back. Nothing may be added, or be turned round.
    """
    held = held_in(fresh).of_key
    excused = ("bare", "vanished", "changed", "shown")
    return tuple(each for each in reasons if each.code not in excused or each.key not in held)


def _bare(reviewed: Plan, fresh: Plan) -> Iterator[Stale]:
    """The keys whose ends leave more merchants with nothing than was reviewed: another activity was to go on."""
    before = _left_with_nothing(reviewed)
    for key, count in _left_with_nothing(fresh).items():
        # A key without coverage in the review is new, which "appeared" tells already.
        if count > before.get(key, count):
            yield Stale("bare", key)


def _left_with_nothing(plan: Plan) -> dict[str, int]:
    """How many merchants have nothing at all for some time, by change."""
    return {
        change.key: sum(each.count for each in change.coverage.sets if each.nothing_seconds)
        for change in plan.changes
        if change.coverage is not None and change.coverage.sets
    }


def effects(plan: Plan) -> dict[_Effect, Precondition | None]:
    """All effects of a plan with the precondition of each, if it has one. Uploads have none of their own."""
    return {
        effect: getattr(step, "precondition", None)
        for change in plan.changes
        for step in change.operations
        for effect in _effects_of(step)
    }


def _effects(change: ActivityChange) -> Iterator[_Effect]:
    for step in change.operations:
        yield from _effects_of(step)


def _effects_of(
    step: CreateActivity | AddMerchants | DeleteMerchants | TerminateActivity,
) -> Iterator[_Effect]:
    match step:
        case CreateActivity():
            # The whole digest: twelve digits in the number tell accident from edit, not forgery.
            yield _Effect(step.key, "create", step.out_request_no, terms_sha256(step.terms), terms=step.terms)
            yield from (_Effect(step.key, "add", step.out_request_no, mchid) for mchid in step.merchants)
        case AddMerchants() | DeleteMerchants():
            kind: EffectKind = "add" if isinstance(step, AddMerchants) else "delete"
            number, activity_id = step.out_request_no, step.activity_id
            yield from (_Effect(step.key, kind, number, mchid, activity_id) for mchid in step.merchants)
        case TerminateActivity():
            yield _Effect(step.key, "terminate", step.out_request_no, step.activity_id, step.activity_id)


CreateOrEnd = tuple[str, EffectKind, str]
"""A key, a kind of effect, and the activity that it is about: its number."""


@dataclass(frozen=True, slots=True, order=True)
class _Order:
    """Within one change, ``first`` comes before ``then``, and ``then`` waits for it."""

    first: CreateOrEnd
    then: CreateOrEnd


def _orders(plan: Plan, known: Iterable[_Effect]) -> set[_Order]:
    """Which creates and ends of ``plan`` come before one another, of those that ``known`` has effects of too."""
    there = {(each.key, each.kind, each.out_request_no) for each in known}
    return {
        _Order(first, then)
        for change in plan.changes
        for first, then in combinations(_steps_of(change), 2)
        if first in there and then in there
    }


def _steps_of(change: ActivityChange) -> list[CreateOrEnd]:
    steps: list[CreateOrEnd] = []
    for step in change.operations:
        match step:
            case CreateActivity():
                steps.append((step.key, "create", step.out_request_no))
            case TerminateActivity():
                steps.append((step.key, "terminate", step.out_request_no))
    return steps


def _same(reviewed: Precondition | None, fresh: Precondition | None) -> bool:
    """Merchants before may differ: that part of the plan is done is what changes them, and every other change of
    theirs appears in the fresh plan as an effect of its own."""
    if reviewed is None or fresh is None:
        return True
    # Status too: ending a paused activity and ending a running one are two decisions.
    return (reviewed.activity_id, reviewed.activity_status, reviewed.terms_digest) == (
        fresh.activity_id,
        fresh.activity_status,
        fresh.terms_digest,
    )


class _EffectsOnAccount:
    """What the account shows of a plan's effects."""

    def __init__(self, live: Sequence[LiveActivity], now: datetime) -> None:
        self._by_number: Mapping[str, LiveActivity] = {each.out_request_no: each for each in live}
        self._by_slot = {number.slot: each for each in live if (number := parse_number(each.out_request_no))}
        self._by_id = {each.activity_id: each for each in live}
        self._now = now

    def shows(self, effect: _Effect) -> bool:
        """Whether ``effect`` has come about, by whomever."""
        # By number as well: what the plan creates has no id yet when it is reviewed.
        live = self._by_id.get(effect.activity_id) or self._by_number.get(effect.out_request_no)
        merchants = live.merchants if live is not None else None
        match effect.kind:
            case "create":
                number = parse_number(effect.out_request_no)
                # A slot, as `protect` changes the number and not what is created.
                made = self._by_slot.get(number.slot) if number is not None else None
                return made is not None and _made_with(made, effect.terms)
            case "add":
                return merchants is not None and effect.what in merchants
            case "delete":
                return merchants is not None and effect.what not in merchants
            case "terminate":
                ended = self._by_id.get(effect.what)
                return ended is not None and ended.ended(self._now)


def _made_with(live: LiveActivity, terms: Terms | None) -> bool:
    """Whether ``live``, which has the number, can be what was reviewed: the number alone does not say so."""
    return live.terms is not None and terms is not None and not shown_otherwise(terms, live)


def _grouped(code: StaleCode, found: Sequence[_Effect]) -> Iterator[Stale]:
    groups: dict[tuple[str, EffectKind], list[_Effect]] = {}
    for effect in sorted(found):
        groups.setdefault((effect.key, effect.kind), []).append(effect)
    for (key, kind), alike in groups.items():
        yield Stale(code, key, kind, tuple(alike))
