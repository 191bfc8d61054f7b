"""Outcomes as they come: each gets its times, is written into the journal, and is counted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from reconciler.apply.send import Recorder, Trace
from reconciler.journal.entry import OperationFinished
from reconciler.model.clock import Clock
from reconciler.model.errors import JournalError
from reconciler.model.operations import Operation, UploadImage
from reconciler.model.report import Outcome, OutcomeStatus
from reconciler.plan import Hold

Progress = Callable[[int, int], None]
"""Told how many operations have an outcome, out of how many."""


class Counter:
    """Tells how many operations have an outcome, out of ``total``."""

    def __init__(self, total: int, tell: Progress) -> None:
        self._done, self._total, self._tell = 0, total, tell

    def count(self, outcome: Outcome) -> Outcome:
        """``outcome``, which is one more."""
        self._done += 1
        self._tell(self._done, self._total)
        return outcome


@dataclass(frozen=True, slots=True)
class OutcomeRecorder:
    """Where each outcome gets its times, is written down, and is counted; and where somebody may ask us to stop."""

    clock: Clock
    record: Recorder
    stop: asyncio.Event
    progress: Counter

    @property
    def stopping(self) -> bool:
        """Whether somebody has asked the run to stop."""
        return self.stop.is_set()

    async def done(self, outcome: Outcome, trace: Trace, started: datetime) -> Outcome:
        """The outcome of an operation that was begun."""
        traced = replace(
            outcome,
            reason=outcome.reason or _by_reading(trace),
            request_id=outcome.request_id or trace.request_id,
            http_status=trace.http_status,
            tries=trace.tries,
            started_at=started,
            finished_at=self.clock(),
            by_reading=bool(trace.doubt),
        )
        return self.progress.count(await self._written(traced, trace))

    async def held(self, operation: Operation, hold: Hold) -> Outcome:
        """The outcome of an operation that refusals hold; it does not count as progress."""
        held = Outcome(operation, OutcomeStatus.NOT_STARTED, reason=_held_reason(hold), held_by=hold.refusals)
        return await self._written(held, Trace())

    async def not_started(self, operation: Operation, reason: str, activity_id: str = "") -> Outcome:
        """The outcome of an operation that is not begun, for ``reason``."""
        outcome = Outcome(operation, OutcomeStatus.NOT_STARTED, activity_id, reason)
        return self.progress.count(await self._written(outcome, Trace()))

    async def _written(self, outcome: Outcome, trace: Trace) -> Outcome:
        try:
            await self.record.conclude(_finished(outcome, trace))
        except JournalError as error:
            # What happened has happened; the next run finds the open intent, and asks.
            unwritten = f"This outcome could not be written down: {error}"
            outcome = replace(outcome, reason=f"{outcome.reason} {unwritten}".strip())
        return outcome


def _held_reason(hold: Hold) -> str:
    with_ = f" together with {hold.through}" if hold.through else ""
    return f"Held{with_} by {', '.join(hold.refusals)}."


def _by_reading(trace: Trace) -> str:
    """How an operation was settled whose answer proves nothing, or never came."""
    return (
        f"No answer proves it ({trace.doubt.rstrip('.')}); reading shows that it has happened." if trace.doubt else ""
    )


def _finished(outcome: Outcome, trace: Trace) -> OperationFinished:
    operation = outcome.operation
    if isinstance(operation, UploadImage):
        key, number, path = "", "", operation.path
    else:
        key, number, path = operation.key, operation.out_request_no, ""
    return OperationFinished(
        operation.operation,
        key,
        outcome.status,
        outcome.activity_id,
        number,
        intents=tuple(trace.intents),
        reason=outcome.reason,
        http_status=outcome.http_status,
        request_id=outcome.request_id,
        tries=outcome.tries,
        seconds=round(outcome.seconds, 3),
        rejections=outcome.rejections,
        path=path,
    )
