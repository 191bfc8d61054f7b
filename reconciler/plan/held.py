"""What open refusals keep from being applied (docs/decisions/refusals.md). Pure.

A refusal of a key holds every change that has an operation of this key, and what must not be applied without it
(``together``); a refusal without a key holds the whole plan. What is not held is applied.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from reconciler.model.findings import Finding, FindingKind
from reconciler.model.operations import CreateActivity
from reconciler.model.plan import ActivityChange, Plan
from reconciler.plan.digest import OF_THE_MOMENT


@dataclass(frozen=True, slots=True)
class Hold:
    """Why something is held: the names of ``refusals``, of its own keys or of those that it goes with.

    ``through`` is the key that it goes with, and is empty where the refusals are of its own keys.
    """

    refusals: tuple[str, ...]
    through: str = ""


@dataclass(frozen=True)  # no slots: they leave no place for what is worked out later
class Held:
    """``whole``: nothing is applied. ``changes`` and ``uploads`` are held, by key and by SHA-256; if it is the whole,
    all of them are. ``of_key``: why nothing is done of a key, be it that there is nothing to do.
    """

    whole: bool
    changes: Mapping[str, Hold]
    uploads: Mapping[str, Hold]
    of_key: Mapping[str, Hold]

    @property
    def keys(self) -> frozenset[str]:
        """All keys of which nothing is done."""
        return frozenset(self.of_key)

    @cached_property
    def by_refusal(self) -> dict[str, tuple[str, ...]]:
        """The keys of the changes that each refusal holds, by its name."""
        found: dict[str, list[str]] = defaultdict(list)
        for key, hold in self.changes.items():
            for name in hold.refusals:
                found[name].append(key)
        return {name: tuple(keys) for name, keys in found.items()}


def held_in(plan: Plan) -> Held:
    """What the open refusals of ``plan`` hold."""
    # Limits count across keys: none of the changes can be said to be the innocent one.
    whole = tuple(each.name for each in plan.refusals if not each.key)
    changes = _held_changes(plan)
    if whole:
        changes = {change.key: Hold(whole) for change in plan.changes}
    of_key = {key: Hold(tuple(names)) for key, names in _refused(plan).items()}
    for change in plan.changes:
        if change.key in changes:
            of_key |= {key: changes[change.key] for key in change.keys if key not in of_key}
    return Held(bool(whole), changes, _held_uploads(plan, changes), of_key)


def as_reviewed(reviewed: Plan, fresh: Plan) -> Iterator[Finding]:
    """A refusal of each key of ``fresh`` that ``reviewed`` held and ``fresh`` does not, or of the whole: that it is
    applied after all is what nobody has reviewed. What only asked to wait does not count.
    """
    before, now = held_in(_lasting(reviewed)), held_in(fresh)
    # Nothing will be applied, so nothing can be applied that was not reviewed.
    if now.whole:
        return
    if before.whole:
        codes = sorted({each.code for each in _lasting(reviewed).refusals if not each.key})
        yield Finding.of(FindingKind.REVIEWED_AS_REFUSED, facts={"reasons": codes})
    for change in fresh.changes:
        holds = [hold for key in change.keys if (hold := before.of_key.get(key)) is not None]
        # That the cause has gone since is not an approval: nobody has reviewed this change as one that happens.
        if holds and change.key not in now.changes and not before.whole:
            names = dict.fromkeys(name for hold in holds for name in hold.refusals)
            facts: dict[str, object] = {"reasons": list(names)}
            yield Finding.of(FindingKind.REVIEWED_AS_REFUSED, change.key, facts, change.source)


def _lasting(plan: Plan) -> Plan:
    # A freeze said "later", and whoever approved the plan meant that.
    kept = (each for each in plan.findings if not (each.stops and each.code in OF_THE_MOMENT))
    return replace(plan, findings=tuple(kept))


def rest(plan: Plan) -> Plan:
    """``plan`` without what is held."""
    found = held_in(plan)
    if not found.changes:
        return plan
    return replace(
        plan,
        changes=tuple(change for change in plan.changes if change.key not in found.changes),
        uploads=tuple(upload for upload in plan.uploads if upload.sha256 not in found.uploads),
    )


def _held_changes(plan: Plan) -> dict[str, Hold]:
    refused = _refused(plan)
    if not refused:
        return {}
    followers = _followers(plan.changes)
    found: dict[str, Hold] = {}
    for key, names in refused.items():
        for change, through in _reached(key, followers):
            before = found.get(change.key, Hold((), through))
            nearer = "" if not through else before.through
            found[change.key] = Hold((*before.refusals, *names), nearer)
    return {change.key: found[change.key] for change in plan.changes if change.key in found}


def _refused(plan: Plan) -> dict[str, list[str]]:
    """The names of the refusals of each key."""
    found: dict[str, list[str]] = defaultdict(list)
    for each in plan.refusals:
        if each.key:
            found[each.key].append(each.name)
    return found


def _followers(changes: Iterable[ActivityChange]) -> dict[str, list[tuple[ActivityChange, bool]]]:
    """By key, the changes that have operations of it, and those that go with it; the latter are marked."""
    found: dict[str, list[tuple[ActivityChange, bool]]] = defaultdict(list)
    for change in changes:
        for key in change.keys:
            found[key].append((change, False))
        for key in change.goes_with:
            found[key].append((change, True))
    return found


def _reached(
    key: str, followers: Mapping[str, Sequence[tuple[ActivityChange, bool]]]
) -> Iterator[tuple[ActivityChange, str]]:
    """The changes that are not applied without ``key``, near ones first, each with the key that it goes with."""
    # Changes may go with each other in a circle.
    asked, reached = {key}, set[str]()
    waiting = deque(asked)
    while waiting:
        each = waiting.popleft()
        for change, goes_with in followers.get(each, ()):
            if change.key not in reached:
                reached.add(change.key)
                # Transitively: what goes with a held change must not happen either.
                waiting += (other for other in change.keys if other not in asked)
                asked.update(change.keys)
                yield change, each if goes_with else ""


def _held_uploads(plan: Plan, changes: Mapping[str, Hold]) -> dict[str, Hold]:
    """The images that only held creates need."""
    if not changes:
        return {}
    needed: set[str] = set()
    waiting: dict[str, list[str]] = defaultdict(list)
    for change in plan.changes:
        hold = changes.get(change.key)
        for sha256 in _images(change):
            # One free create that needs the image is enough for it to be uploaded.
            if hold is None:
                needed.add(sha256)
            else:
                waiting[sha256] += hold.refusals
    return {
        upload.sha256: Hold(tuple(dict.fromkeys(waiting[upload.sha256])))
        for upload in plan.uploads
        if upload.sha256 not in needed
    }


def _images(change: ActivityChange) -> Iterator[str]:
    for step in change.operations:
        if isinstance(step, CreateActivity):
            yield from (image.sha256 for image in step.terms.images() if image.sha256)
