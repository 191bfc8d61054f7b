"""Entries of a journal → what is known of the account beside what it shows (docs/decisions/witness.md). Pure.

Only what was verified counts. Where an outcome is missing or doubtful, the activity is left out of what is known of its
merchants, and stays among those that may live: asking for one too many costs a request, and one too few a campaign.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from reconciler.journal.entry import Entry, Intent, OperationFinished, Remembered, RunStarted
from reconciler.model.activity import DesiredActivity
from reconciler.model.report import OutcomeStatus
from reconciler.model.witness import Witness

_CHANGES: Final = ("create", "add_merchants", "delete_merchants")


def witness_of(entries: Iterable[Entry]) -> Witness:
    """What ``entries``, all those of one account and namespace in the order of writing, come to."""
    known = _Known()
    for entry in entries:
        match entry.what:
            case Intent() as intent:
                known.intents[entry.seq] = (intent, entry.at)
            case OperationFinished() as outcome:
                known.conclude(outcome)
            case Remembered() as memory:
                known.memory = memory
            case RunStarted() as run:
                known.switches.update(run.switches)
    return known.witness()


def remembered(memory: Remembered, desired: Sequence[DesiredActivity]) -> Remembered:
    """What is to be remembered once ``desired`` is applied, after what was in ``memory``.

    A spec that is there decides for its key, and for those that it was renamed from; a key whose spec is gone keeps
    what was remembered of it.
    """
    present = {key for spec in desired for key in _keys(spec)}
    protected = {key for spec in desired if spec.protect for key in _keys(spec)}
    gone = {activity_id: key for activity_id, key in memory.adopted.items() if key not in present}
    adopted = gone | {spec.adopt: spec.key for spec in desired if spec.adopt}
    return Remembered(
        protected=tuple(sorted(protected.union(set(memory.protected) - present))),
        adopted=dict(sorted(adopted.items())),
    )


def _keys(spec: DesiredActivity) -> Iterator[str]:
    """Its own key, and those that its live activities may still carry in their numbers."""
    yield spec.key
    yield from spec.renamed_from


@dataclass(slots=True)
class _Known:
    """What the entries so far have told. ``intents`` are the entries of those without an outcome yet, by number."""

    intents: dict[int, tuple[Intent, datetime]] = field(default_factory=dict)
    created: dict[str, str] = field(default_factory=dict)
    terminated: set[str] = field(default_factory=set)
    merchants: dict[str, frozenset[str]] = field(default_factory=dict)
    memory: Remembered = field(default_factory=Remembered)
    switches: dict[str, str] = field(default_factory=dict)
    last_create: datetime | None = None

    def conclude(self, outcome: OperationFinished) -> None:
        sent = [self.intents[number] for number in outcome.intents if number in self.intents]
        if outcome.answers:
            for number in outcome.intents:
                self.intents.pop(number, None)
        if outcome.operation == "terminate":
            self._terminated(outcome)
        elif outcome.activity_id and outcome.operation in _CHANGES:
            after = _after(self.merchants.pop(outcome.activity_id, None), outcome, [intent for intent, _ in sent])
            if after is not None:
                self.merchants[outcome.activity_id] = after
            if outcome.operation == "create":
                self._created(outcome, [at for _, at in sent])

    def _created(self, outcome: OperationFinished, sent_at: Sequence[datetime]) -> None:
        """Whatever became of the rest: an id was given out, and a read by id tells what it came to."""
        # A number that was used before brings the same activity again, which proves no creation.
        new = outcome.activity_id not in self.created
        self.created[outcome.activity_id] = outcome.request_no
        if new and sent_at and outcome.status in (OutcomeStatus.DONE, OutcomeStatus.PARTIAL):
            self.last_create = sent_at[0]

    def _terminated(self, outcome: OperationFinished) -> None:
        """What had ended before we came was not ended by us, and need not be asked for either."""
        if outcome.status in (OutcomeStatus.DONE, OutcomeStatus.ALREADY_DONE):
            self.created.pop(outcome.activity_id, None)
            self.switches.pop(outcome.activity_id, None)
        if outcome.status is OutcomeStatus.DONE:
            self.terminated.add(outcome.activity_id)

    def witness(self) -> Witness:
        # A request whose outcome nobody knows may have changed, or may still change, whom they serve.
        in_flight = {intent.activity_id for intent, _ in self.intents.values()}
        return Witness(
            created=self.created,
            terminated=frozenset(self.terminated),
            merchants={each: them for each, them in self.merchants.items() if each not in in_flight},
            protected=frozenset(self.memory.protected),
            adopted=dict(self.memory.adopted),
            switches=self.switches,
            last_create=self.last_create,
        )


def _after(before: frozenset[str] | None, outcome: OperationFinished, sent: Sequence[Intent]) -> frozenset[str] | None:
    """The merchants that paygift left after an operation, from those ``before``; ``None`` where that is not certain.

    ``outcome.rejections`` names all whom the operation was about and who were not as wanted when it was verified.
    """
    if not sent:
        # Somebody else did it, and the journal does not tell for whom.
        return None if outcome.status is OutcomeStatus.ALREADY_DONE else before
    if outcome.status is OutcomeStatus.NOT_STARTED:
        return before
    if outcome.status.open_question:
        return None
    amiss = frozenset(rejection.mchid for rejection in outcome.rejections)
    if outcome.status is not OutcomeStatus.DONE and not amiss:
        return None
    for intent in sent:
        named = merchants_in(intent.body)
        if named is None:
            return None
        if intent.operation == "create" and outcome.status is not OutcomeStatus.ALREADY_DONE:
            before = named | (before or frozenset())
        elif before is not None:
            before = before - named if intent.operation == "delete_merchants" else before | named
    if before is None:
        return None
    return before | amiss if outcome.operation == "delete_merchants" else before - amiss


def merchants_in(body: str) -> frozenset[str] | None:
    """Those whom the body of a create, an add or a delete names (API §1.1, §1.6); ``None`` for another body."""
    try:
        content = json.loads(body)
        named = content.get("award_send_rule", content)["merchant_id_list"]
        return frozenset(map(str, named)) if isinstance(named, list) else None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
