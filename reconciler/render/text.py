"""Views as text for a terminal or a log. All text that came from elsewhere is escaped here, by ``characters.safe``.

Colour is the caller's decision. Columns are aligned by the width that a terminal gives to characters, so that Chinese
names stand in line.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from rich.cells import cell_len
from rich.color import ColorSystem
from rich.style import Style

from reconciler.model.characters import safe
from reconciler.model.checkup import Check, CheckStatus
from reconciler.model.findings import Severity
from reconciler.model.report import OutcomeStatus
from reconciler.render.views.checkup import CheckupView, check_name
from reconciler.render.views.finding import FindingView
from reconciler.render.views.parts import Fact, Line, Listing, RowGroup, Table
from reconciler.render.views.plan import Block, PlanView
from reconciler.render.views.report import OutcomeView, ReportView

_SYMBOL_COLOURS: Final[dict[str, str]] = {
    "+": "green",
    "-": "red",
    "~": "yellow",
    "-/+": "yellow",
    "!": "red",
}
_SEVERITY_COLOURS: Final[dict[Severity, str]] = {
    Severity.REFUSAL: "red",
    Severity.ERROR: "red",
    Severity.WARNING: "yellow",
    Severity.NOTE: "dim",
}
_OUTCOME_SYMBOLS: Final[dict[OutcomeStatus, tuple[str, str]]] = {
    OutcomeStatus.DONE: ("✓", "green"),
    OutcomeStatus.UNVERIFIED: ("?", "yellow"),
    OutcomeStatus.ALREADY_DONE: ("✓", "green"),
    OutcomeStatus.PARTIAL: ("!", "yellow"),
    OutcomeStatus.FAILED: ("✗", "red"),
    OutcomeStatus.UNKNOWN: ("?", "red"),
    OutcomeStatus.NOT_STARTED: ("·", "dim"),
}
_CHECK_SYMBOLS: Final[dict[CheckStatus, tuple[str, str]]] = {
    CheckStatus.OK: ("✓", "green"),
    CheckStatus.WARNING: ("!", "yellow"),
    CheckStatus.FAILED: ("✗", "red"),
    CheckStatus.SKIPPED: ("·", "dim"),
}
_IDS_PER_LINE: Final = 6


class Pen:
    """Writes text in one of rich's styles, such as ``red`` or ``dim``; plain text where ``colour`` is off."""

    def __init__(self, *, colour: bool) -> None:
        self._colours = ColorSystem.STANDARD if colour else None

    def __call__(self, text: str, style: str = "") -> str:
        # Rich only colours: its markup is never used, or text in brackets would be taken for a style.
        return Style.parse(style).render(text, color_system=self._colours)


def plan_text(view: PlanView, *, digest: str, colour: bool = False, notes: bool = False, undo: bool = False) -> str:
    """The plan as reviewers read it: refusals first, then warnings, a block per activity, one summary line last.

    ``undo`` adds what would take each change back. That a termination cannot be undone is always said.
    """
    pen = Pen(colour=colour)
    parts = [
        *(_finding(each, pen) for each in view.findings if notes or each.severity is not Severity.NOTE),
        *(_block(block, pen, undo=undo) for block in view.blocks),
    ]
    if view.uploads:
        parts.append("\n".join(_line(line, pen, indent=0) for line in view.uploads))
    hidden = 0 if notes else sum(each.severity is Severity.NOTE for each in view.findings)
    parts.append(_last_lines(view, digest, hidden, pen))
    return "\n\n".join(parts) + "\n"


def _last_lines(view: PlanView, digest: str, hidden: int, pen: Pen) -> str:
    lines = []
    if view.valid_until and view.blocks:
        lines.append(pen(f"Digest {digest[:12]}, valid until {view.valid_until} Beijing time.", "dim"))
    noted = f" {hidden} note{'s' if hidden > 1 else ''}: --notes." if hidden else ""
    lines.append(pen(view.summary, "bold") + noted)
    return "\n".join(lines)


def _finding(finding: FindingView, pen: Pen) -> str:
    head = pen(
        f"{'waived' if finding.waived else finding.severity.value} {finding.code}",
        _SEVERITY_COLOURS[finding.severity],
    )
    where = " ".join(safe(part) for part in (finding.key, f"({finding.source})" if finding.source else "") if part)
    text = f"{head} {where}".rstrip() + f"\n  {safe(finding.text)}"
    if finding.holds:
        text += f"\n  {safe(finding.holds)}"
    if finding.remedy and not finding.waived:
        text += f"\n  {safe(finding.remedy)}"
    if finding.waiver and not finding.waived:
        text += f"\n  {pen(safe(str(finding.waiver)), 'dim')}"
    return text


def _block(block: Block, pen: Pen, *, undo: bool) -> str:
    # Escaped before it is coloured, or our own colours would be escaped too.
    head = f"{block.symbol} {safe(block.key)}  {safe(block.activity_name)}".rstrip()
    title = f"{pen(head, _SYMBOL_COLOURS[block.symbol])}  {pen(safe(block.source), 'dim')}"
    lines = (*block.lines, *(block.undo if undo else ()))
    return "\n".join((title, *(_line(line, pen) for line in lines)))


def _line(line: Line, pen: Pen, *, indent: int = 4) -> str:
    symbol = pen(line.symbol or " ", _SYMBOL_COLOURS.get(line.symbol, ""))
    text = safe(line.text)
    if line.old is not None:
        text = f"{safe(line.old)} → {text}"
    label = f"{line.label}: " if line.label else ""
    return f"{' ' * indent}{symbol} {label}{text}"


def report_text(view: ReportView, *, colour: bool = False) -> str:
    """What came of each operation, the rejected merchants with the server's reasons, and what to do next."""
    pen = Pen(colour=colour)
    lines = [line for outcome in view.outcomes for line in _outcome_lines(outcome, pen)]
    lines += [_finding(each, pen) for each in view.held]
    lines.append(pen(view.summary, "bold"))
    lines.extend(part for part in (view.advice, *map(safe, view.remarks)) if part)
    if view.record:
        lines.append(pen(view.record, "dim"))
    return "\n".join(lines) + "\n"


def _outcome_lines(outcome: OutcomeView, pen: Pen) -> Iterator[str]:
    symbol, style = _OUTCOME_SYMBOLS[outcome.status]
    key = f"{safe(outcome.key)}: " if outcome.key else ""
    status = "" if outcome.status is OutcomeStatus.DONE else f" — {outcome.status.value}"
    request_id = f"Request-ID {safe(outcome.request_id)}" if outcome.request_id else ""
    traces = ", ".join(part for part in (outcome.effort, request_id) if part)
    trace = pen(f" ({traces})", "dim") if traces else ""
    yield f"{pen(symbol, style)} {key}{safe(outcome.text)}{status}{trace}"
    if outcome.reason:
        yield f"    {safe(outcome.reason)}"
    for mchid, reason in outcome.rejections:
        yield f"    {safe(mchid)}: {safe(reason)}"


def checkup_text(view: CheckupView, *, colour: bool = False) -> str:
    """``✗ clock  failed: what was found. What to do.`` for each check, then what they come to."""
    pen = Pen(colour=colour)
    width = max(len(check_name(each.code)) for each in view.checks)
    lines = [_check(each, pen, width) for each in view.checks]
    missing = [view.not_checked] if view.not_checked else []
    return "\n".join((*lines, *missing, pen(view.summary, "bold"))) + "\n"


def _check(check: Check, pen: Pen, width: int) -> str:
    symbol, style = _CHECK_SYMBOLS[check.status]
    status = "" if check.status is CheckStatus.OK else f"{check.status}: "
    remedy = f" {safe(check.remedy)}" if check.remedy else ""
    return f"{pen(symbol, style)} {check_name(check.code):<{width}}  {pen(status, style)}{safe(check.text)}{remedy}"


def listing_text(listing: Listing) -> str:
    """What a command shows that only reads: its parts, a blank line between them."""
    return "\n\n".join(map(_part, listing.parts)) + "\n"


def _part(part: Table | RowGroup | str) -> str:
    match part:
        case Table():
            return "\n".join(_table_lines(part))
        case RowGroup():
            return "\n".join((safe(part.title), *map(_fact, part.facts)))
    return safe(part)


def _table_lines(part: Table) -> Iterator[str]:
    if part.title:
        yield safe(part.title)
    head, *rows = table(part.head, part.rows).split("\n")
    yield head
    for row, remarks in zip(rows, part.remarks or ((),) * len(rows), strict=True):
        yield from (row, *(f"    {safe(each)}" for each in remarks))


def _fact(fact: Fact) -> str:
    code, label = (f"{fact.code}  " if fact.code else "", f"{safe(fact.label)}: " if fact.label else "")
    ids = [safe(each) for each in fact.items]
    rows = (ids[start : start + _IDS_PER_LINE] for start in range(0, len(ids), _IDS_PER_LINE))
    return "\n    ".join((f"  {code}{label}{safe(fact.text)}", *map(" ".join, rows)))


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns under their heads, two spaces apart, escaped, aligned by display width."""
    # Before it is measured: an escape is wider than the character.
    cells = [[safe(cell) for cell in row] for row in (head, *rows)]
    widths = [max(cell_len(row[column]) for row in cells) for column in range(len(head))]
    return "\n".join(
        "  ".join(cell + " " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    )
