"""What a plan may do without asking."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

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
