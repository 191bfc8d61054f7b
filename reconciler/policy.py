"""What a plan may do without asking."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

WAIVABLE: Final = frozenset(
    {
        "ADOPT_ENDED",
        "ADOPT_NOT_FOUND",
        "ADOPT_NOT_FULL_SEND",
        "CREATION_FAILED",
        "LOOKS_RENAMED",
        "NO_SPECS",
        "NUMBER_USED",
        "PROTECTED",
        "REMOVED_SPEC",
        "TERMS_UNREADABLE",
    }
)
"""The codes of all refusals: what a waiver may name."""

OnRemoved = Literal["terminate", "refuse", "ignore"]


@dataclass(frozen=True, slots=True)
class Policy:
    """The team's rules and this run's waivers.

    ``on_removed`` says what becomes of a live activity whose spec is gone. ``allow`` holds the waivers of this run,
    each ``CODE`` or ``CODE:KEY``.
    """

    on_removed: OnRemoved = "terminate"
    allow: frozenset[str] = frozenset()

    def waives(self, code: str, key: str) -> bool:
        return code in self.allow or f"{code}:{key}" in self.allow

    @property
    def unknown_waivers(self) -> list[str]:
        """Waivers whose code names no refusal."""
        return sorted(waiver for waiver in self.allow if waiver.partition(":")[0] not in WAIVABLE)
