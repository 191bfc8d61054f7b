"""The service map: which merchants give what, from when until when, before and after a plan (concepts.md#plan). Pure.

It is read off live activities and operations alone, whatever the operations are called for. Limits, coverage,
fitness, ENDS_SOON and the timeline ask it, so that they agree on who loses what.

A *claim* is what customers had under one key of which something ends or loses merchants. It is met by the activities
of the same key after the plan, and, where an end waits for a start under another key, by what that newly gives: to each
merchant once, so that one new campaign does not stand in for five that end.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property

from reconciler.model.activity import PAUSED, LiveActivity, Terms
from reconciler.model.operations import AddMerchants, CreateActivity, DeleteMerchants, TerminateActivity
from reconciler.model.plan import ActivityChange
from reconciler.plan.spans import Spans, giving, overlap, seconds, union, without


@dataclass(frozen=True, eq=False)  # no slots: they leave no place for what is worked out later
class Service:
    """What one activity gives to the payers of its merchants, from ``now`` on.

    ``activity_id`` is empty for one that the plan creates. ``nominal`` is when it would give if nobody paused it,
    ``spans`` when it does: never while it is paused.
    """

    key: str
    activity_id: str
    out_request_no: str
    terms: Terms | None
    merchants: frozenset[str]
    paused: bool
    now: datetime

    @cached_property
    def nominal(self) -> Spans:
        """When it would give from now on if nobody paused it."""
        return giving(self.terms, self.now) if self.terms is not None else ()

    @property
    def spans(self) -> Spans:
        """When it gives from now on."""
        # Nothing resumes a paused activity through the API (API §1.0), so it must never count as a successor.
        return () if self.paused else self.nominal

    @property
    def begun(self) -> bool:
        """Whether its begin has come; of times that cannot be read, nobody knows."""
        return self.terms is not None and self.terms.begin_time <= self.now

    @property
    def runs(self) -> bool:
        """Whether it has begun and still gives, be it at other hours than this one."""
        # Not "gives at this second": a lunch campaign runs at breakfast too.
        return self.begun and bool(self.spans)


@dataclass(frozen=True, eq=False)
class Group:
    """Merchants of a claim that fare alike: what served them until now, and what meets the claim for them."""

    merchants: tuple[str, ...]
    had: tuple[Service, ...]
    have: tuple[Service, ...]

    @cached_property
    def lost(self) -> Spans:
        """When they would have given this gift, and no longer do."""
        return without(_all(self.had), _all(self.have))

    @property
    def left(self) -> bool:
        """Whether nothing serves them in place of what ends for them, or for less than half of the time in which that
        would have served them, if it has begun. Judged as if nobody had paused anything.
        """
        stays = {each.activity_id for each in self.have}
        gone = [each for each in self.had if each.activity_id not in stays]
        # A pause must not make an activity free to end: somebody may resume it on the web pages.
        owed = union(span for each in gone for span in each.nominal)
        met = union(span for each in self.have for span in each.nominal)
        if not owed:
            return False
        # Moved to other days before it began: customers never had it, so any time will do.
        if not any(each.begun for each in gone):
            return not met
        # Half, or an end that moves by a day would count as a lost campaign.
        return 2 * seconds(overlap(owed, met)) < seconds(owed)


@dataclass(frozen=True, eq=False)
class Claim:
    """What customers had under ``key``, by groups of merchants. ``ended`` are its activities that the plan ends,
    ``kept`` those of the same key that are there after it.
    """

    key: str
    had: tuple[Service, ...]
    ended: tuple[Service, ...]
    kept: tuple[Service, ...]
    groups: tuple[Group, ...]

    @property
    def concerned(self) -> Iterator[Group]:
        """The groups of which something ends."""
        gone = set(self.ended)
        yield from (group for group in self.groups if gone.intersection(group.had))

    @cached_property
    def merchants(self) -> frozenset[str]:
        """All who had something under the key."""
        return frozenset().union(*(each.merchants for each in self.had))

    @cached_property
    def lost(self) -> frozenset[str]:
        """The merchants that nothing serves in place of what they had."""
        return frozenset(mchid for group in self.groups if group.left for mchid in group.merchants)

    @property
    def successors(self) -> tuple[Service, ...]:
        """The activities of any key that meet it, each once."""
        return tuple(dict.fromkeys(each for group in self.groups for each in group.have))

    def without_successor(self) -> Iterator[Service]:
        """The ended activities for most of whose merchants nothing comes in their place."""
        lost = self.lost
        for each in self.ended:
            # An activity without merchants is an end too, or emptying it first would escape the limit.
            if 2 * len(each.merchants & lost) > len(each.merchants) or not (each.merchants or self.kept):
                yield each


class Serving:
    """Who gives anything to the payers of merchants, who mostly fare alike: what is known of one is known of all."""

    def __init__(self, services: Iterable[Service], merchants: frozenset[str]) -> None:
        found: dict[str, list[Service]] = defaultdict(list)
        for each in services:
            for mchid in each.merchants & merchants:
                found[mchid].append(each)
        alike: dict[tuple[int, ...], tuple[Service, ...]] = {}
        # By identity: hashing the terms again for every merchant would be far slower.
        self._alike = {
            mchid: alike.setdefault(tuple(map(id, serving)), tuple(serving)) for mchid, serving in found.items()
        }
        self._spans: dict[int, Spans] = {}

    def alike(self, mchids: Iterable[str]) -> Iterator[tuple[Spans, list[str]]]:
        """``mchids`` by who serves them, with when that gives anything."""
        groups: dict[int, tuple[tuple[Service, ...], list[str]]] = {}
        for mchid in mchids:
            serving = self._alike.get(mchid, ())  # one object for all that are served by the same
            groups.setdefault(id(serving), (serving, []))[1].append(mchid)
        for name, (serving, group) in groups.items():
            if name not in self._spans:
                self._spans[name] = _all(serving)
            yield self._spans[name], group


@dataclass(frozen=True)
class ServiceMap:
    """``before``: what our live activities give from now on. ``after``: the same once the plan is done."""

    before: tuple[Service, ...]
    after: tuple[Service, ...]

    def after_for(self, merchants: Iterable[str]) -> Serving:
        """Who gives anything to the payers of each of ``merchants`` once the plan is done."""
        return Serving(self.after, frozenset(merchants))

    def claims(self, changes: Sequence[ActivityChange], partners: Mapping[str, str]) -> dict[str, Claim]:
        """The claim of each key of which ``changes`` end something, or delete merchants, sorted by key.

        ``partners`` names the keys that stand in for others.
        """
        losing = sorted({key for change in changes for key in _losing(change)})
        concerned = {*losing, *partners.values()}
        had, kept = (_by_key(each, concerned) for each in (self.before, self.after))
        spare = {
            partner: {mchid: each for each in kept.get(partner, ()) for mchid in each.merchants}
            for partner in partners.values()
        }
        return {
            key: _claim(key, had.get(key, ()), kept.get(key, ()), spare.get(partners.get(key, ""), {}))
            for key in losing
        }


def service_map(
    live: Iterable[tuple[str, LiveActivity]], changes: Iterable[ActivityChange], now: datetime
) -> ServiceMap:
    """The map for our activities that have not ended, each with its key, and for what ``changes`` do to them."""
    before = tuple(
        Service(
            key,
            each.activity_id,
            each.out_request_no,
            each.terms,
            frozenset(each.merchants or ()),
            each.activity_status == PAUSED,
            now,
        )
        for key, each in live
    )
    after: dict[str, Service] = {each.activity_id: each for each in before}
    made: list[Service] = []
    for change in changes:
        for step in change.operations:
            match step:
                case CreateActivity():
                    merchants = frozenset(step.merchants)
                    made.append(
                        Service(step.key, "", step.out_request_no, step.terms, merchants, paused=False, now=now)
                    )
                # Without an id it belongs to the create right before it (create_operations).
                case AddMerchants(activity_id=""):
                    made[-1] = replace(made[-1], merchants=made[-1].merchants.union(step.merchants))
                case AddMerchants() | DeleteMerchants():
                    served = after[step.activity_id]
                    adding = isinstance(step, AddMerchants)
                    change_by = served.merchants.union if adding else served.merchants.difference
                    after[step.activity_id] = replace(served, merchants=change_by(step.merchants))
                case TerminateActivity():
                    # A plan file may name an activity that is not read here, or end one twice.
                    after.pop(step.activity_id, None)
    return ServiceMap(before, (*after.values(), *made))


def _all(services: Iterable[Service]) -> Spans:
    return union(span for each in services for span in each.spans)


def _losing(change: ActivityChange) -> Iterator[str]:
    """The keys of which ``change`` ends an activity or deletes merchants, each once."""
    yield from dict.fromkeys(
        step.key for step in change.operations if isinstance(step, TerminateActivity | DeleteMerchants)
    )


def _by_key(services: Iterable[Service], keys: Container[str]) -> dict[str, tuple[Service, ...]]:
    found: dict[str, list[Service]] = defaultdict(list)
    for each in services:
        if each.key in keys:
            found[each.key].append(each)
    return {key: tuple(each) for key, each in found.items()}


def _claim(key: str, had: Sequence[Service], kept: Sequence[Service], spare: dict[str, Service]) -> Claim:
    """``spare`` is what a start under another key newly gives, by merchant; what is used of it is taken out."""
    alike: dict[tuple[tuple[int, ...], tuple[int, ...]], list[str]] = defaultdict(list)
    known: dict[int, Service] = {}
    served, serving = _members(had), _members(kept)
    # Sorted, as `spare` runs out: who gets it must not depend on the order of a set.
    for mchid in sorted(served):
        # pop: what stands in for one campaign does not stand in for the next.
        have = serving[mchid] if mchid in serving else [spare.pop(mchid)] if mchid in spare else []
        known.update({id(each): each for each in (*served[mchid], *have)})
        alike[tuple(map(id, served[mchid])), tuple(map(id, have))].append(mchid)
    there = {each.activity_id for each in kept}
    return Claim(
        key,
        tuple(had),
        tuple(each for each in had if each.activity_id not in there),
        tuple(kept),
        tuple(
            Group(tuple(mchids), tuple(known[each] for each in before), tuple(known[each] for each in after))
            for (before, after), mchids in alike.items()
        ),
    )


def _members(services: Sequence[Service]) -> dict[str, list[Service]]:
    found: dict[str, list[Service]] = defaultdict(list)
    for each in services:
        for mchid in each.merchants:
            found[mchid].append(each)
    return found
