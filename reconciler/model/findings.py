"""What a person must know about a plan: a finding with a stable code, a severity, and facts instead of sentences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from reconciler.model.activity import Source


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
