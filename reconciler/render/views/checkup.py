"""What a checkup found: a line for each check, and what they come to together."""

from __future__ import annotations

from dataclasses import dataclass

from reconciler.model.checkup import CheckStatus, Checkup


@dataclass(frozen=True, slots=True)
class CheckView:
    """One check. ``remedy`` is what to do, and empty where nothing is to be done."""

    name: str
    status: CheckStatus
    text: str
    remedy: str


@dataclass(frozen=True, slots=True)
class CheckupView:
    """``not_checked`` says what is essential and was not checked though nothing failed; ``summary`` counts."""

    checks: tuple[CheckView, ...]
    not_checked: str
    summary: str


def checkup_view(checkup: Checkup) -> CheckupView:
    """The checks in their order, codes as words."""
    missing = "" if checkup.counts[CheckStatus.FAILED] else ", ".join(map(_name, checkup.not_checked))
    return CheckupView(
        tuple(CheckView(_name(each.code), each.status, each.text, each.remedy) for each in checkup.checks),
        f"Essential, but not checked: {missing}. It is not known whether paygift works here; run again later."
        if missing
        else "",
        ", ".join(f"{count} {status}" for status, count in checkup.counts.items() if count) + ".",
    )


def _name(code: str) -> str:
    return code.replace("_", " ")
