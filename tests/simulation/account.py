"""The account of a simulated life: the sandbox's rules, with a memory of who did what and of how it looked when."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from reconciler.sandbox import faults, reads
from reconciler.sandbox.faults import Fault, Struck
from reconciler.sandbox.memory import Activity, Transaction
from reconciler.sandbox.options import SandboxOptions
from reconciler.sandbox.world import World
from tests.support.signed import keys

if TYPE_CHECKING:
    from tests.simulation.process import Process

GOOD = (reads.CREATED, reads.ONGOING)
OVER = (reads.TERMINATED, reads.OVER_TIME, reads.FAILED)


@dataclass(frozen=True)
class Happened:
    """One effect on the account. ``by`` is the process whose request had it, ``None`` for a person's hand."""

    at: datetime
    by: Process | None
    effect: str
    activity_id: str
    request_no: str
    merchants: tuple[str, ...]
    before: Activity | None


class Account(World):
    """A sandbox in virtual time whose requests are struck by their script, and which tells of every effect."""

    def __init__(self, clock: Callable[[], datetime], *, oldest_first: bool) -> None:
        options = SandboxOptions(foreign_images="accept", list_order="oldest_first" if oldest_first else "newest_first")
        super().__init__(keys(), options=options, real=clock)
        self.author: Process | None = None
        self.fault: Fault | None = None
        self.effects: list[Happened] = []
        self.told: Callable[[Happened], None] = lambda happened: None
        self.changes = 0
        """How often an activity was changed: what was before what, also within one instant."""
        self._past: dict[str, list[tuple[int, datetime, Activity]]] = {}

    def strike(self, route: str, *, verified: bool) -> Struck:
        """The fault that the script has for the present request."""
        return {} if self.fault is None else {self.fault.stage: self.fault}

    def record(self, line: dict[str, Any]) -> str:
        """Give the request its number. A life asks nobody's log."""
        self._requests += 1
        return f"SANDBOX-{self._requests:012}"

    def commit(self, step: Transaction) -> Any:
        before = dict(self.memory.activities)
        answer = super().commit(step)
        for entity in step.entities:
            if isinstance(entity, Activity):
                self.changes += 1
                self._past.setdefault(entity.activity_id, []).append((self.changes, self.real(), entity))
        for each in step.effects:
            happened = Happened(
                self.real(),
                self.author,
                each.effect,
                each.activity_id,
                each.request_no,
                each.merchants,
                before.get(each.activity_id),
            )
            self.effects.append(happened)
            self.told(happened)
        return answer

    def status(self, activity: Activity, at: datetime) -> str:
        return reads.status_of(activity, at, self.options)

    def during(self, activity_id: str, begin: datetime, end: datetime) -> Iterator[tuple[Activity, str]]:
        """How an activity looked at some time from ``begin`` to ``end``, with its status then."""
        past = self._past.get(activity_id, [])
        for place, (_, since, activity) in enumerate(past):
            until = past[place + 1][1] if place + 1 < len(past) else end
            if since <= end and until >= begin:
                yield activity, self.status(activity, max(begin, since))

    def as_of(self, activity_id: str, change: int, at: datetime) -> tuple[Activity, str] | None:
        """How an activity looked at ``at``, when so many changes had been made to any of them."""
        known = [activity for number, _, activity in self._past.get(activity_id, []) if number <= change]
        return (known[-1], self.status(known[-1], at)) if known else None

    def takes_new(self, *, taken: bool) -> None:
        """Whether new activities are accepted at all (API §0.3)."""
        self.options = replace(self.options, create_closed=not taken)

    def drop_merchant(self, activity_id: str) -> None:
        """A person takes the last merchant out of an activity."""
        activity = self.memory.activities[activity_id]
        *kept, _ = activity.merchants
        if kept:
            merchants = {each: activity.merchants[each] for each in kept}
            self.commit(Transaction(None, (replace(activity, merchants=merchants),)))

    def end(self, activity_id: str) -> None:
        """A person ends an activity."""
        activity = self.memory.activities[activity_id]
        if self.status(activity, self.moment()) not in OVER:
            at = self.moment().timestamp()
            ended = replace(activity, status=reads.TERMINATED, terminate_time=at, update_time=at)
            self.commit(Transaction(None, (ended,)))


def fault(what: str, value: int) -> Fault | None:
    """The sandbox's fault that a strike names, or ``None`` for what the sandbox does not do."""
    match what:
        case "late_list":
            return faults.parse({"kind": "late_activity", "reads": value, "where": "list"})
        case "late_activity":
            return faults.parse({"kind": what, "reads": value})
        case "rate_limited":
            return faults.parse({"kind": what, **({"retry_after": value} if value else {})})
        case _ if what in faults.KINDS:
            more: Mapping[str, Any] = {"status": value} if value else {}
            return faults.parse({"kind": what, **more})
    return None
