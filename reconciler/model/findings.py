"""What a person must know about a plan: every kind of finding once, and findings themselves, with facts instead of
sentences. Pure.

Whatever depends on a code asks this registry: which waivers there are, which refusals leave an activity without
operations, what the documents must explain (docs/findings.md), and which sentences a language must have
(``render.messages``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum, unique
from typing import Final, Self

from reconciler.model.activity import Source


class Severity(StrEnum):
    """How much a finding matters. A refusal holds its key back, or, if it has none, the whole plan, until it is waived
    by name or its cause is fixed.
    """

    NOTE = "note"
    WARNING = "warning"
    ERROR = "error"
    REFUSAL = "refusal"


@unique
class FindingKind(StrEnum):
    """Every kind of finding: its code, which is stable and by which its sentence is found, and its one severity.

    ``leaves_undone``: a refusal that leaves its activity without operations. A waiver lets everything else go on, and
    does nothing for that activity.
    """

    severity: Severity
    leaves_undone: bool

    def __new__(cls, code: str, severity: Severity, leaves_undone: bool = False) -> Self:
        kind = str.__new__(cls, code)
        # Codes stand in plan files, waivers and workflows: a renamed one would be refused there.
        kind._value_ = code
        kind.severity = severity
        kind.leaves_undone = leaves_undone
        return kind

    @property
    def waivable(self) -> bool:
        """Whether ``--allow`` may name it: all refusals can be waived, and nothing else can."""
        return self.severity is Severity.REFUSAL

    @property
    def docs_anchor(self) -> str:
        """Where the documents explain it, relative to the root of this repository."""
        return f"docs/findings.md#{self.value.lower()}"

    ADOPT_AMBIGUOUS = "ADOPT_AMBIGUOUS", Severity.REFUSAL, True
    ADOPT_ENDED = "ADOPT_ENDED", Severity.REFUSAL, True
    # True: another project's activity is never touched, whatever is waived here.
    ADOPT_FOREIGN = "ADOPT_FOREIGN", Severity.REFUSAL, True
    ADOPT_NOT_EXPRESSIBLE = "ADOPT_NOT_EXPRESSIBLE", Severity.REFUSAL, True
    ADOPT_NOT_FOUND = "ADOPT_NOT_FOUND", Severity.REFUSAL, True
    ADOPT_NOT_FULL_SEND = "ADOPT_NOT_FULL_SEND", Severity.REFUSAL, True
    ADOPT_NOT_READABLE = "ADOPT_NOT_READABLE", Severity.REFUSAL, True
    ADOPT_OWNED = "ADOPT_OWNED", Severity.REFUSAL, True
    COUPON_UNUSABLE = "COUPON_UNUSABLE", Severity.REFUSAL
    CREATE_UNPROVEN = "CREATE_UNPROVEN", Severity.REFUSAL
    CREATION_FAILED = "CREATION_FAILED", Severity.REFUSAL, True
    # The only refusal that a review does not keep (plan.digest.OF_THE_MOMENT): it passes by itself.
    FROZEN = "FROZEN", Severity.REFUSAL
    LOOKS_RENAMED = "LOOKS_RENAMED", Severity.REFUSAL
    NO_SPECS = "NO_SPECS", Severity.REFUSAL
    NUMBER_USED = "NUMBER_USED", Severity.REFUSAL, True
    PROTECTED = "PROTECTED", Severity.REFUSAL
    REMOVED_SPEC = "REMOVED_SPEC", Severity.REFUSAL
    REPLACE_RUNNING = "REPLACE_RUNNING", Severity.REFUSAL
    REVIEWED_AS_REFUSED = "REVIEWED_AS_REFUSED", Severity.REFUSAL
    SUCCESSOR_UNFIT = "SUCCESSOR_UNFIT", Severity.REFUSAL
    TERMS_UNREADABLE = "TERMS_UNREADABLE", Severity.REFUSAL, True
    TOO_MANY_DELETIONS = "TOO_MANY_DELETIONS", Severity.REFUSAL
    TOO_MANY_REPLACEMENTS = "TOO_MANY_REPLACEMENTS", Severity.REFUSAL
    TOO_MANY_TERMINATIONS = "TOO_MANY_TERMINATIONS", Severity.REFUSAL

    BEGINS_IN_PAST = "BEGINS_IN_PAST", Severity.WARNING
    COUPON_NOT_READABLE = "COUPON_NOT_READABLE", Severity.WARNING
    COUPON_TIME_EQUAL = "COUPON_TIME_EQUAL", Severity.WARNING
    ENDS_SOON = "ENDS_SOON", Severity.WARNING
    IMAGES_DIFFER = "IMAGES_DIFFER", Severity.WARNING
    JOURNAL_NOT_READ = "JOURNAL_NOT_READ", Severity.WARNING
    LIVE_TERMS_DIFFER = "LIVE_TERMS_DIFFER", Severity.WARNING
    LOOKS_REPLACED = "LOOKS_REPLACED", Severity.WARNING
    PAUSED = "PAUSED", Severity.WARNING
    REPLACES_RUNNING = "REPLACES_RUNNING", Severity.WARNING
    STATUS_UNKNOWN = "STATUS_UNKNOWN", Severity.WARNING
    WAIVER_UNUSED = "WAIVER_UNUSED", Severity.WARNING
    WINDOW_NEVER_OPENS = "WINDOW_NEVER_OPENS", Severity.WARNING

    ACCOUNT_NOT_NAMED = "ACCOUNT_NOT_NAMED", Severity.NOTE
    ADOPTION_GIVEN_UP = "ADOPTION_GIVEN_UP", Severity.NOTE
    ADOPT_NOT_NEEDED = "ADOPT_NOT_NEEDED", Severity.NOTE
    GENERATION_NOT_NEEDED = "GENERATION_NOT_NEEDED", Severity.NOTE
    PROTECTION_REMOVED = "PROTECTION_REMOVED", Severity.NOTE
    PROTECT_NOT_MARKED = "PROTECT_NOT_MARKED", Severity.NOTE
    REMOVED_SPEC_IGNORED = "REMOVED_SPEC_IGNORED", Severity.NOTE
    SPEC_ENDED = "SPEC_ENDED", Severity.NOTE


WAIVABLE: Final = frozenset(kind.value for kind in FindingKind if kind.waivable)
"""The codes of all refusals: what a waiver may name."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that a person must know. ``code`` is that of a ``FindingKind``; ``facts`` fill the sentence that
    renderers make.

    ``key`` is empty for findings about the whole plan. ``waived`` is set on a refusal that was allowed by name. What
    the product finds is made by ``of``; a plan file may hold a code of another version, which its reader refuses.
    """

    code: str
    severity: Severity
    key: str = ""
    facts: Mapping[str, object] = field(default_factory=dict)
    source: Source | None = None
    waived: bool = False

    @classmethod
    def of(
        cls,
        kind: FindingKind,
        key: str = "",
        facts: Mapping[str, object] | None = None,
        source: Source | None = None,
    ) -> Self:
        """A finding of ``kind``, with the severity that this has."""
        return cls(kind.value, kind.severity, key, facts or {}, source)

    @property
    def stops(self) -> bool:
        """Whether it is a refusal that nobody has waived."""
        return self.severity is Severity.REFUSAL and not self.waived

    @property
    def name(self) -> str:
        """What a waiver names: ``CODE:KEY``, or ``CODE`` of what is about the whole plan."""
        return f"{self.code}:{self.key}" if self.key else self.code
