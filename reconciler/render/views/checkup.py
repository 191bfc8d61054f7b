"""What a checkup found: its checks, and what they come to together."""

from __future__ import annotations

from dataclasses import dataclass

from reconciler.model.checkup import Check, CheckStatus, Checkup


@dataclass(frozen=True, slots=True)
class CheckupView:
    """``not_checked`` says what is essential and was not checked though nothing failed; ``summary`` counts."""

    checks: tuple[Check, ...]
    not_checked: str
    summary: str


def checkup_view(checkup: Checkup) -> CheckupView:
    """The checks in their order, and the sentences below them."""
    # What failed is why the others were not checked, and is told already.
    missing = "" if checkup.counts[CheckStatus.FAILED] else ", ".join(map(check_name, checkup.not_checked))
    said = f"Essential, but not checked: {missing}. It is not known whether paygift works here; run again later."
    summary = ", ".join(f"{count} {status}" for status, count in checkup.counts.items() if count)
    return CheckupView(checkup.checks, said if missing else "", f"{summary}.")


def check_name(code: str) -> str:
    """The code of a check in words."""
    return code.replace("_", " ")
