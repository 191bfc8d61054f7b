"""What a checkup says: one ``Check`` for each question that `paygift doctor` asks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    OK = "ok"
    WARNING = "warning"
    """It works, or cannot be told now; worth a look."""
    FAILED = "failed"
    SKIPPED = "skipped"
    """Not asked: it does not apply, or an earlier check failed. The text says which."""


@dataclass(frozen=True, slots=True)
class Check:
    """One answer. ``code`` is stable; ``text`` says what was found, ``remedy`` what to do. Never holds a secret."""

    code: str
    status: Status
    text: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Checkup:
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Whether nothing failed; warnings do not count."""
        return all(check.status is not Status.FAILED for check in self.checks)

    @property
    def counts(self) -> Mapping[Status, int]:
        """How many checks have each status, none left out."""
        found = Counter(check.status for check in self.checks)
        return {status: found[status] for status in Status}
