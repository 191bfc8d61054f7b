"""The verbs: operations (a closed set), the plan that holds them, findings, and what came of them.

Everything here is frozen, ordered data without a sentence in it: renderers find the words, the digest covers the
operations, and a plan can be written to a file and read again. Each operation carries its name in ``operation``, so
that it keeps its type in a file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final, Literal

from reconciler.activity import Source, Terms, Window
from reconciler.policy import DEFAULT_POLICY, Policy

MERCHANTS_PER_CALL: Final = 500
"""A create, an add and a delete each take 1 to 500 mchids (API §1.1, §1.6)."""


def in_calls(mchids: Iterable[str]) -> Iterator[tuple[str, ...]]:
    """``mchids``, sorted, in as many parts as calls are needed for them."""
    ordered = sorted(mchids)
    for start in range(0, len(ordered), MERCHANTS_PER_CALL):
        yield tuple(ordered[start : start + MERCHANTS_PER_CALL])


class Severity(StrEnum):
    """How much a finding matters. A refusal holds its key back, or, if it has none, the whole plan, until it is waived
    by name or its cause is fixed.
    """

    NOTE = "note"
    WARNING = "warning"
    ERROR = "error"
    REFUSAL = "refusal"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that a person must know. ``code`` is stable; ``facts`` fill the sentence that renderers make.

    ``key`` is empty for findings about the whole plan. ``waived`` is set on a refusal that was allowed by name.
    """

    code: str
    severity: Severity
    key: str = ""
    facts: Mapping[str, object] = field(default_factory=dict)
    source: Source | None = None
    waived: bool = False

    @property
    def stops(self) -> bool:
        return self.severity is Severity.REFUSAL and not self.waived

    @property
    def name(self) -> str:
        """What a waiver names: ``CODE:KEY``, or ``CODE`` of what is about the whole plan."""
        return f"{self.code}:{self.key}" if self.key else self.code


@dataclass(frozen=True, slots=True)
class Precondition:
    """What must still be so when an operation on a live activity is sent; checked by reading detail.

    ``terms_digest`` covers the live terms. ``merchants_digest`` covers the merchants before the operation, and is
    empty where the operation does not depend on them. Both are a full SHA-256 (64 hex digits).
    """

    activity_id: str
    activity_status: str
    terms_digest: str
    merchants_digest: str = ""


@dataclass(frozen=True, slots=True)
class UploadImage:
    """Upload a local picture once, however many activities use it. ``path`` is relative to the project's root."""

    sha256: str
    path: str
    operation: Literal["upload_image"] = "upload_image"


@dataclass(frozen=True, slots=True)
class KnownImage:
    """An image that the account has uploaded before, and where it is; ``uploaded_at`` is a UTC instant."""

    sha256: str
    url: str
    uploaded_at: datetime


@dataclass(frozen=True, slots=True)
class CreateActivity:
    """Create an activity with its first merchants: at most 500, the rest follow by AddMerchants."""

    key: str
    out_request_no: str
    terms: Terms
    merchants: tuple[str, ...]
    operation: Literal["create"] = "create"


@dataclass(frozen=True, slots=True)
class AddMerchants:
    """Add at most 500 merchants.

    ``activity_id`` is empty, and ``precondition`` is ``None``, for an activity that an earlier operation of the
    same key creates.
    """

    key: str
    activity_id: str
    out_request_no: str
    merchants: tuple[str, ...]
    precondition: Precondition | None = None
    operation: Literal["add_merchants"] = "add_merchants"


@dataclass(frozen=True, slots=True)
class DeleteMerchants:
    """Delete at most 500 merchants; the fields are those of AddMerchants."""

    key: str
    activity_id: str
    out_request_no: str
    merchants: tuple[str, ...]
    precondition: Precondition | None = None
    operation: Literal["delete_merchants"] = "delete_merchants"


TerminateReason = Literal["removed", "state", "ended", "replaced", "superseded"]


@dataclass(frozen=True, slots=True)
class TerminateActivity:
    """End a live activity, permanently.

    ``reason``: its spec is gone, its spec says ``state: terminated``, its spec's end time has passed, it is being
    replaced by a create of the same key in this plan, or its successor already lives. Whatever the reason, one that
    comes after a create in the same change waits until what that made is seen, and fit to stand in for it.
    ``successor_id`` is the live activity that a superseded one is ended for, and ``serves`` the merchants of the ended
    one that it must serve.
    """

    key: str
    activity_id: str
    out_request_no: str
    reason: TerminateReason
    precondition: Precondition
    successor_id: str = ""
    serves: tuple[str, ...] = ()
    operation: Literal["terminate"] = "terminate"


Operation = UploadImage | CreateActivity | AddMerchants | DeleteMerchants | TerminateActivity
ActivityOperation = CreateActivity | AddMerchants | DeleteMerchants | TerminateActivity


@dataclass(frozen=True, slots=True)
class Difference:
    """One field of the terms that differs: ``path`` in API names, and both values as a plan file holds them.

    ``None`` where a side has no such field: an image is ``{"url": …}`` or ``{"sha256": …, "path": …}``. ``unproven``:
    the two may be the same, and reading cannot tell.
    """

    path: str
    live: object
    desired: object
    unproven: bool = False


ClockCode = Literal["begins", "begun", "ends", "cancelled"]


@dataclass(frozen=True, slots=True)
class Clock:
    """How a change stands to time (design §7). ``at`` is a UTC instant.

    ``begins``: a new activity that begins in the future. ``begun``: a new one whose begin is past, so that it starts
    at once. ``ends``: a running one, which would end by itself at ``at``. ``cancelled``: a live one that would have
    begun only at ``at``. ``activity_id`` names the live activity that the last two are about.
    """

    code: ClockCode
    at: datetime
    activity_id: str = ""


CoveredSet = Literal["both", "old", "new"]


@dataclass(frozen=True, slots=True)
class MerchantCoverage:
    """What the ends of a change mean to the payers of a set of merchants.

    ``both``: something serves them in place of what ends. ``old``: nothing does. ``new``: they had nothing of it, and
    the plan serves them. ``gap_seconds`` is how long they would have been given this gift and no longer are,
    ``nothing_seconds`` how long of that no other managed activity gives them anything either. ``merchants`` names those
    of one side only. ``up_to``: several sets are told as one, by the worst of them.
    """

    set: CoveredSet
    count: int
    gap_seconds: int
    merchants: tuple[str, ...] = ()
    nothing_seconds: int = 0
    up_to: bool = False


Moment = Literal["", "gap", "overlap", "kept", "paused"]


@dataclass(frozen=True, slots=True)
class Coverage:
    """What the ends of a change mean to customers, as the service map has it.

    ``gap_seconds`` is the longest loss of a merchant that something serves afterwards. ``moment`` tells what happens at
    the switch: ``gap`` or ``overlap`` for the moment between the two calls, ``kept`` where the successor gives already,
    ``paused`` where what ends gives nothing now. ``sets`` says it by merchants; ``gaps`` are the times of the longest
    loss.
    """

    gap_seconds: int
    moment: Moment = ""
    sets: tuple[MerchantCoverage, ...] = ()
    gaps: tuple[Window, ...] = ()


class ChangeKind(StrEnum):
    """What a plan does to one activity, as a reviewer counts it."""

    CREATE = "create"
    UPDATE = "update"
    REPLACE = "replace"
    TERMINATE = "terminate"


@dataclass(frozen=True, slots=True)
class Lean:
    """What the ends and deletions of a change wait for: the activity with the number ``out_request_no`` under another
    ``key``, which the plan creates or adds ``merchants`` to, must serve these first. ``activity_id`` is empty for one
    that it creates.
    """

    key: str
    out_request_no: str
    activity_id: str
    merchants: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ActivityChange:
    """All operations of one key, in the order in which they must happen, and what explains them.

    A change can end activities of other keys too, which what it creates stands in for: operations carry their own key.
    ``differences`` are given for a replacement, ``coverage`` wherever something ends, and ``leans_on`` where its ends
    and deletions wait for other keys. ``merchants_before`` and ``merchants_after`` count the merchants of the activity
    that an update changes, and of the one that a create or replacement makes (0 before). ``goes_with`` are the other
    keys without which it is not applied (``plan.ties``).
    """

    key: str
    kind: ChangeKind
    activity_name: str
    operations: tuple[ActivityOperation, ...]
    source: Source | None = None
    differences: tuple[Difference, ...] = ()
    clocks: tuple[Clock, ...] = ()
    coverage: Coverage | None = None
    merchants_before: int = 0
    merchants_after: int = 0
    leans_on: tuple[Lean, ...] = ()
    goes_with: tuple[str, ...] = ()

    @property
    def keys(self) -> tuple[str, ...]:
        """Its own key, and those of all its operations, each once."""
        return tuple(dict.fromkeys((self.key, *(step.key for step in self.operations))))


TimelineState = Literal["planned", "live", "terminating", "ended"]


@dataclass(frozen=True, slots=True)
class TimelineRow:
    """One activity in time. ``key`` is empty for one that is not ours, ``activity_id`` for one that does not live yet.
    A time is ``None`` where it is not known.
    """

    key: str
    activity_id: str
    name: str
    begin: datetime | None
    end: datetime | None
    state: TimelineState


@dataclass(frozen=True, slots=True)
class Timeline:
    """The campaigns of the account when the plan was made, as far as there is room: ``left_out`` counts the others.

    It is for people. No operation depends on it, so that the digest does not cover it.
    """

    rows: tuple[TimelineRow, ...] = ()
    left_out: int = 0


@dataclass(frozen=True, slots=True, order=True)
class Differing:
    """A live activity that is not what its file says, or whose file is gone, and that the plan leaves as it is."""

    key: str
    activity_id: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What apply would do, and what people must know before it does. Times are UTC instants.

    ``mchid`` is the account that the plan is for. ``allow`` are the waivers that it was made with, ``policy`` the
    team's rules, without these. ``valid_until`` is the first instant at which an operation would change its meaning, or
    ``None``. ``managed`` counts our live activities that have not ended: ``unchanged`` those of them that equal their
    files, ``differing`` names those that do not and stay as they are, and operations are about the others.
    ``unmanaged`` counts all others on the account, ended ones included. ``known_images`` are those of ``uploads`` that
    this machine knows to be uploaded already. They are for people: another machine knows others, so that the digest
    does not cover them.
    """

    namespace: str
    made_at: datetime
    mchid: str = ""
    allow: tuple[str, ...] = ()
    uploads: tuple[UploadImage, ...] = ()
    known_images: tuple[KnownImage, ...] = ()
    changes: tuple[ActivityChange, ...] = ()
    findings: tuple[Finding, ...] = ()
    valid_until: datetime | None = None
    managed: int = 0
    unchanged: int = 0
    unmanaged: int = 0
    timeline: Timeline = Timeline()
    policy: Policy = DEFAULT_POLICY
    differing: tuple[Differing, ...] = ()

    @property
    def operations(self) -> tuple[Operation, ...]:
        """Uploads first, then every activity's operations, in the order of keys."""
        return (*self.uploads, *(step for change in self.changes for step in change.operations))

    @property
    def empty(self) -> bool:
        return not self.uploads and not self.changes

    @property
    def refusals(self) -> tuple[Finding, ...]:
        """The findings that hold back a key, or the whole plan."""
        return tuple(finding for finding in self.findings if finding.stops)

    @property
    def refused(self) -> tuple[str, ...]:
        """The keys with open refusals of their own, sorted."""
        return tuple(sorted({finding.key for finding in self.refusals if finding.key}))

    @property
    def left_differing(self) -> tuple[str, ...]:
        """The keys that are not refused, and whose live activities the plan leaves other than their files, sorted."""
        return tuple(sorted({each.key for each in self.differing}.difference(self.refused)))


@dataclass(frozen=True, slots=True)
class Stopped:
    """An apply without a report: it ended before its first write, or, if ``writing``, nobody knows how far it came.

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
        return not self.held and all(outcome.settled for outcome in self.outcomes)

    @property
    def only_held(self) -> bool:
        """Whether nothing is left but what refusals hold."""
        settled = all(outcome.settled or outcome.held_by for outcome in self.outcomes)
        return bool(self.held) and settled

    def left(self) -> Iterator[Outcome]:
        """The outcomes that a person must look at, or a next run must deal with."""
        return (outcome for outcome in self.outcomes if not outcome.settled)
