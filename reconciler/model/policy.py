"""What a plan may do without asking."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from reconciler.model.activity import Window
from reconciler.model.findings import WAIVABLE

OnRemoved = Literal["terminate", "refuse", "ignore"]
"""What becomes of an activity whose spec was deleted."""


FEW_MERCHANTS: Final = 10
"""Below so many merchants, deleting most of them is everyday work."""


@dataclass(frozen=True, slots=True)
class Freeze:
    """A span in which nothing is written without a waiver, and what it is for."""

    window: Window
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Policy:
    """The team's rules and this run's waivers.

    ``on_removed`` says what becomes of a live activity whose spec is gone. ``max_terminations`` is how many activities
    one plan may end without a successor for most of their merchants, ``None`` for one or a fifth of those that are
    managed and live, whichever is more. ``max_replacements_running`` is how many that have begun one plan may switch
    for others, ``None`` for no limit. ``max_merchant_deletions`` is a percentage of the merchants that a key has, once
    they are ten: so many may lose its gift while others keep it. ``freeze`` are spans, in UTC, in which nothing is
    written, their last second included. ``warn_before_end`` is in days. ``allow`` holds the waivers of this run, each
    ``CODE`` or ``CODE:KEY``.
    """

    on_removed: OnRemoved = "terminate"
    max_terminations: int | None = None
    max_replacements_running: int | None = None
    max_merchant_deletions: int = 30
    allow_replace_running: bool = True
    freeze: tuple[Freeze, ...] = ()
    warn_before_end: int = 3
    allow: frozenset[str] = frozenset()

    def waives(self, code: str, key: str) -> bool:
        """Whether this run allows the refusal ``code`` of ``key``, or of every key."""
        # No patterns: a waiver must name what somebody has looked at.
        return code in self.allow or f"{code}:{key}" in self.allow

    def most_terminations(self, managed: int) -> int:
        """How many of so many managed activities one plan may end without a successor."""
        # At least one, or a small project could never end anything.
        return max(1, managed // 5) if self.max_terminations is None else self.max_terminations

    def frozen(self, now: datetime) -> Freeze | None:
        """The span that ``now`` lies in, if any."""
        return next(
            (
                each
                for each in self.freeze
                # People write 23:59:59 and mean all of that second.
                if each.window.begin_time <= now < each.window.end_time + timedelta(seconds=1)
            ),
            None,
        )

    @property
    def unknown_waivers(self) -> list[str]:
        """Waivers whose code names no refusal."""
        return sorted(waiver for waiver in self.allow if waiver.partition(":")[0] not in WAIVABLE)


DEFAULT_POLICY: Final = Policy()
"""What a team has that has written none."""
