"""What a checkup says: one ``Check`` for each question that `paygift doctor` asks, and what they come to together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

# A network that drops everything fails no check: without this list it would pass.
ESSENTIAL: Final = frozenset({"variables", "private_key", "account", "signed_call", "verification", "permission"})
"""The checks without which nothing works: that none of them failed is not enough, each must have been made."""


class CheckStatus(StrEnum):
    """What a check came to."""

    OK = "ok"
    WARNING = "warning"
    """It works, or cannot be determined now; worth a look."""
    FAILED = "failed"
    SKIPPED = "skipped"
    """Not asked: it does not apply, or an earlier check failed. The text says which."""


@dataclass(frozen=True, slots=True)
class Check:
    """One answer. ``code`` is stable; ``text`` says what was found, ``remedy`` what to do. Never holds a secret.

    ``credentials`` tells of a failure that it is the credentials': missing, unusable, rejected, or another account's.
    """

    code: str
    status: CheckStatus
    text: str
    remedy: str = ""
    credentials: bool = False


@dataclass(frozen=True, slots=True)
class Checkup:
    """All answers, in the order in which they were asked for."""

    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Whether nothing failed, and everything essential was checked and is fine; other warnings do not count."""
        return not self.not_checked and all(check.status is not CheckStatus.FAILED for check in self.checks)

    @property
    def not_checked(self) -> tuple[str, ...]:
        """The codes of essential checks that could not be made, or not to their end."""
        return tuple(
            check.code
            for check in self.checks
            if check.code in ESSENTIAL and check.status not in (CheckStatus.OK, CheckStatus.FAILED)
        )

    @property
    def credentials_failed(self) -> bool:
        """Whether something failed, and the credentials are why."""
        return any(check.credentials for check in self.checks)

    @property
    def counts(self) -> Mapping[CheckStatus, int]:
        """How many checks have each status, none left out."""
        found = Counter(check.status for check in self.checks)
        return {status: found[status] for status in CheckStatus}
