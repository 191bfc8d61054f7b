"""The plan: operations by key, what explains them, and what a person must know before they are done.

Frozen, ordered data without a sentence in it: renderers find the words, the digest covers what matters to a reviewer,
and a plan can be written to a file and read again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Literal

from reconciler.model.activity import Source, Window
from reconciler.model.findings import Finding
from reconciler.model.operations import ActivityOperation, KnownImage, Operation, UploadImage
from reconciler.model.policy import DEFAULT_POLICY, Policy


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


TimingCode = Literal["begins", "begun", "ends", "cancelled"]
"""How a change stands to time: see ``Timing``."""


@dataclass(frozen=True, slots=True)
class Timing:
    """How a change stands to time (concepts.md#plan). ``at`` is a UTC instant.

    ``begins``: a new activity that begins in the future. ``begun``: a new one whose begin is past, so that it starts
    at once. ``ends``: a running one, which would end by itself at ``at``. ``cancelled``: a live one that would have
    begun only at ``at``. ``activity_id`` names the live activity that the last two are about.
    """

    code: TimingCode
    at: datetime
    activity_id: str = ""


CoveredSet = Literal["both", "old", "new"]
"""Who gives to a set of merchants, what ends or what comes: see ``MerchantCoverage``."""


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
"""What happens between the two calls of a replacement: see ``Coverage``."""


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
class Dependency:
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
    keys without which it is not applied (``plan.together``).
    """

    key: str
    kind: ChangeKind
    activity_name: str
    operations: tuple[ActivityOperation, ...]
    source: Source | None = None
    differences: tuple[Difference, ...] = ()
    clocks: tuple[Timing, ...] = ()
    coverage: Coverage | None = None
    merchants_before: int = 0
    merchants_after: int = 0
    leans_on: tuple[Dependency, ...] = ()
    goes_with: tuple[str, ...] = ()

    @property
    def keys(self) -> tuple[str, ...]:
        """Its own key, and those of all its operations, each once."""
        return tuple(dict.fromkeys((self.key, *(step.key for step in self.operations))))


TimelineState = Literal["planned", "live", "terminating", "ended"]
"""What an activity is on the timeline of a plan: about to be made or ended by it, or neither."""


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
        # Uploads first: a create needs the address of its images.
        return (*self.uploads, *(step for change in self.changes for step in change.operations))

    @property
    def empty(self) -> bool:
        """Whether apply would have nothing to do."""
        return not self.uploads and not self.changes

    @property
    def refusals(self) -> tuple[Finding, ...]:
        """The findings that hold back a key, or the whole plan."""
        # Waived ones do not count here, but stay among the findings: reviewers must see what was waived.
        return tuple(finding for finding in self.findings if finding.stops)

    @property
    def refused(self) -> tuple[str, ...]:
        """The keys with open refusals of their own, sorted."""
        return tuple(sorted({finding.key for finding in self.refusals if finding.key}))

    @property
    def left_differing(self) -> tuple[str, ...]:
        """The keys that are not refused, and whose live activities the plan leaves other than their files, sorted."""
        return tuple(sorted({each.key for each in self.differing}.difference(self.refused)))
