"""What became of a plan: an outcome for each operation, and the report that holds them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from reconciler.model.findings import Finding
from reconciler.model.operations import Operation
from reconciler.model.plan import Plan


@dataclass(frozen=True, slots=True)
class AbortedApply:
    """An apply without a report: it ended before its first write, or, if ``writing``, at an unknown point of it.

    ``exit_code`` is that of the command. ``message``, ``remedy`` and ``details`` (lines: what differs, or every mistake
    of the files) are the error's. ``plan_digest``, ``namespace`` and ``mchid`` are empty where it ended before they
    were known; ``plan`` is the new plan, if there was one to refuse.
    """

    exit_code: int
    message: str
    at: datetime
    remedy: str = ""
    details: tuple[str, ...] = ()
    namespace: str = ""
    mchid: str = ""
    plan_digest: str = ""
    plan: Plan | None = None
    writing: bool = False


class OutcomeStatus(StrEnum):
    """What one operation came to. ``unknown`` means that the remote could not be asked what became of it, and ``done,
    not verified`` that a proven answer says so and no read could confirm it. Both are questions for the next run.
    """

    DONE = "done"
    UNVERIFIED = "done, not verified"
    ALREADY_DONE = "already done"
    PARTIAL = "partial"
    FAILED = "failed"
    UNKNOWN = "unknown"
    NOT_STARTED = "not started"

    @property
    def open_question(self) -> bool:
        """Whether the next run must ask the remote what became of it."""
        # UNVERIFIED too: a delete reports nothing but success (API §1.6), so only a read proves it.
        return self in (OutcomeStatus.UNKNOWN, OutcomeStatus.UNVERIFIED)


@dataclass(frozen=True, slots=True)
class Rejection:
    """A merchant that the server refused to add, with its reason in the server's words (API §1.6)."""

    mchid: str
    invalid_reason: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one operation. ``reason`` is one sentence for people, possibly quoting the server.

    ``http_status`` and ``request_id`` are those of the last answer to a write that was believed, 0 and empty if there
    was none. ``by_reading`` tells that the answer was lost or not believed, and a read settled what had happened.
    ``tries`` counts the times that a write was sent, retries included. ``started_at`` and ``finished_at`` are UTC
    instants, ``None`` for what was not started. ``held_by`` names the refusals that hold it back.
    """

    operation: Operation
    status: OutcomeStatus
    activity_id: str = ""
    reason: str = ""
    request_id: str = ""
    rejections: tuple[Rejection, ...] = ()
    http_status: int = 0
    tries: int = 0
    started_at: datetime | None = None
    finished_at: datetime | None = None
    by_reading: bool = False
    held_by: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        """How long it took, verification included."""
        if self.started_at is None or self.finished_at is None:
            return 0.0
        return (self.finished_at - self.started_at).total_seconds()

    @property
    def settled(self) -> bool:
        """Whether nothing is left to do for this operation."""
        return self.status in (OutcomeStatus.DONE, OutcomeStatus.ALREADY_DONE)


@dataclass(frozen=True, slots=True)
class Report:
    """What came of a plan: one outcome for every operation, in the plan's order.

    ``interrupted`` tells that somebody asked it to stop. ``run`` names it in the journal, whose last entry has the hash
    ``journal_head``; both are empty without a journal. ``remarks`` are sentences about the run as a whole, and
    ``held`` the refusals that held something back.
    """

    plan: Plan
    outcomes: tuple[Outcome, ...]
    started_at: datetime
    finished_at: datetime
    interrupted: bool = False
    run: str = ""
    journal_head: str = ""
    remarks: tuple[str, ...] = ()
    held: tuple[Finding, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether live is what the files say. A refusal without operations keeps it from that, too."""
        # A digest that was applied completely is spent: what is held must not count as complete.
        return not self.held and all(outcome.settled for outcome in self.outcomes)

    @property
    def only_held(self) -> bool:
        """Whether nothing is left but what refusals hold."""
        settled = all(outcome.settled or outcome.held_by for outcome in self.outcomes)
        return bool(self.held) and settled

    def left(self) -> Iterator[Outcome]:
        """The outcomes that a person must look at, or a next run must deal with."""
        return (outcome for outcome in self.outcomes if not outcome.settled)
