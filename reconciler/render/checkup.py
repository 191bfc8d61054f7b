"""A checkup as text, one line for each check, and as JSON."""

from __future__ import annotations

from typing import Final

from reconciler.model.characters import safe
from reconciler.model.checkup import Check, CheckStatus, Checkup
from reconciler.plan import FORMAT_VERSION
from reconciler.render.text import Pen

_DRESS: Final[dict[CheckStatus, tuple[str, str]]] = {
    CheckStatus.OK: ("✓", "green"),
    CheckStatus.WARNING: ("!", "yellow"),
    CheckStatus.FAILED: ("✗", "red"),
    CheckStatus.SKIPPED: ("·", "dim"),
}


def checkup_text(checkup: Checkup, *, colour: bool = False) -> str:
    """``✗ clock: failed: what was found. What to do.`` for each check; what is essential and was not checked, though
    nothing failed; and a line that counts them."""
    pen = Pen(colour=colour)
    width = max(len(_name(check)) for check in checkup.checks)
    lines = [_line(check, pen, width) for check in checkup.checks]
    counted = ", ".join(f"{count} {status}" for status, count in checkup.counts.items() if count)
    if checkup.counts[CheckStatus.FAILED] == 0 and checkup.not_checked:
        named = ", ".join(code.replace("_", " ") for code in checkup.not_checked)
        lines.append(
            f"Essential, but not checked: {named}. It is not known whether paygift works here; run again later."
        )
    lines.append(pen(f"{counted}.", "bold"))
    return "\n".join(lines) + "\n"


def _line(check: Check, pen: Pen, width: int) -> str:
    symbol, style = _DRESS[check.status]
    status = "" if check.status is CheckStatus.OK else f"{check.status}: "
    remedy = f" {safe(check.remedy)}" if check.remedy else ""
    return f"{pen(symbol, style)} {_name(check):<{width}}  {pen(status, style)}{safe(check.text)}{remedy}"


def _name(check: Check) -> str:
    return check.code.replace("_", " ")


def checkup_json(checkup: Checkup) -> dict[str, object]:
    return {
        "format_version": FORMAT_VERSION,
        "kind": "checkup",
        "passed": checkup.passed,
        "not_checked": list(checkup.not_checked),
        "checks": [
            {
                "code": check.code,
                "status": check.status.value,
                "text": check.text,
                "remedy": check.remedy,
            }
            for check in checkup.checks
        ],
        "counts": {status.value: count for status, count in checkup.counts.items()},
    }
