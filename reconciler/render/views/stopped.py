"""What is said of an apply that came to nothing: what stopped it, and that nothing was written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from reconciler.model.errors import (
    EXIT_CREDENTIALS,
    EXIT_ERROR,
    EXIT_INTERRUPTED,
    EXIT_INVALID,
    EXIT_REFUSED,
    EXIT_STALE,
)
from reconciler.model.findings import Severity
from reconciler.model.report import AbortedApply
from reconciler.render.views.finding import FindingView
from reconciler.render.views.plan import plan_view

NOTHING_WRITTEN: Final = "Nothing was written."
PERHAPS_WRITTEN: Final = "Something may have been written, and how much is not known: run apply again, which finds out."
KINDS: Final[dict[int, str]] = {
    EXIT_ERROR: "error",
    EXIT_INVALID: "invalid",
    EXIT_CREDENTIALS: "credentials",
    EXIT_REFUSED: "refused",
    EXIT_STALE: "stale",
    EXIT_INTERRUPTED: "interrupted",
}
"""What the exit codes say, in a word that stays the same."""
_DETAILS: Final[dict[int, str]] = {EXIT_INVALID: "Mistakes", EXIT_STALE: "What differs"}


@dataclass(frozen=True, slots=True)
class StoppedView:
    """``reason`` and ``remedy`` are sentences, ``details`` lines. ``refusals`` are those that nobody waived."""

    kind: str
    summary: str
    written: str
    reason: str
    remedy: str
    refusals: tuple[FindingView, ...]
    details_title: str
    details: tuple[str, ...]


def stopped_view(stopped: AbortedApply) -> StoppedView:
    """Its summary names the kind of stop and the exit code."""
    # Workflows go by this word: a new exit code must not make one that nobody knows.
    kind = KINDS.get(stopped.exit_code, "error")
    findings = plan_view(stopped.plan).findings if stopped.plan is not None else ()
    return StoppedView(
        kind=kind,
        summary=f"{'Broken off' if stopped.writing else 'Not applied'}: {kind}, exit {stopped.exit_code}.",
        written=PERHAPS_WRITTEN if stopped.writing else NOTHING_WRITTEN,
        reason=stopped.message.removesuffix(NOTHING_WRITTEN).rstrip(),  # said once is enough
        remedy=stopped.remedy,
        refusals=tuple(each for each in findings if each.severity is Severity.REFUSAL and not each.waived),
        details_title=_DETAILS.get(stopped.exit_code, "Details"),
        details=stopped.details,
    )
