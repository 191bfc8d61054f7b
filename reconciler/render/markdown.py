"""Plans and reports as Markdown, for comments on pull requests and for job summaries.

The first line is a comment by which programs find the text again (``marker``). What is refused or ends comes first and
is always named; ``fit`` leaves out details where the whole would be too long.

GitHub refuses a comment above 262,144 bytes, and says that it may hold 65,536 characters: no character takes more
than four bytes, so that a text which keeps to the one keeps to the other (docs/renderings.md).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from functools import partial
from textwrap import indent
from typing import Final, TypeVar

from reconciler.model.findings import Severity
from reconciler.model.plan import ChangeKind, Plan
from reconciler.model.report import OutcomeStatus, Report
from reconciler.plan import plan_digest
from reconciler.render import messages as wording
from reconciler.render.escape import code, code_block, prose, prose_in_tags
from reconciler.render.fit import Document, Item, Names, Section
from reconciler.render.marker import Marker
from reconciler.render.values import counted
from reconciler.render.views.finding import FindingView, Waiver
from reconciler.render.views.parts import Line
from reconciler.render.views.plan import COUNTED, Block, Ending, PlanView, plan_view
from reconciler.render.views.report import OutcomeView, report_view

MAX_CHARS: Final = 65_536
"""What a comment may hold. The summary of a check run holds one less."""

_TITLE_CHARS: Final = 120
_NAME_CHARS: Final = 120
_STATUS_SYMBOLS: Final[dict[OutcomeStatus, str]] = {
    OutcomeStatus.DONE: "✅",
    OutcomeStatus.UNVERIFIED: "❔",
    OutcomeStatus.ALREADY_DONE: "✅",
    OutcomeStatus.PARTIAL: "⚠️",
    OutcomeStatus.FAILED: "❌",
    OutcomeStatus.UNKNOWN: "❓",
    OutcomeStatus.NOT_STARTED: "⏸️",
}
_STOPPING: Final = frozenset({Severity.REFUSAL, Severity.ERROR})
_T = TypeVar("_T")
_K = TypeVar("_K", bound=Hashable)


def plan_markdown(plan: Plan, *, max_chars: int = MAX_CHARS, title: str = "") -> str:
    """The plan as reviewers read it in a comment, in at most ``max_chars`` characters.

    ``title`` is the heading. Raises ValueError for fewer than ``fit.MIN_CHARS`` characters.
    """
    view = plan_view(plan)
    digest = plan_digest(plan)
    return Document(
        marker=str(Marker("plan", digest, plan.namespace, plan.mchid)),
        # Cut before it is escaped: a cut inside a code span would leave it open.
        title=prose(title[:_TITLE_CHARS]) or "paygift plan",
        summary="\n\n".join((f"**{prose(view.summary)}**", *_table(view, plan))),
        essential=(partial(_essential, view), partial(_essential_in_short, view)),
        names=_essential_names(view),
        kept="Refusals and terminations",
        sections=_plan_sections(view),
        foot=_plan_foot(view, digest),
    ).fitted(max_chars)


def report_markdown(report: Report, *, max_chars: int = MAX_CHARS, title: str = "") -> str:
    """What came of a plan: first what is left to do, then what is done. The limits are those of ``plan_markdown``."""
    view = report_view(report)
    digest = plan_digest(report.plan)
    left = [outcome for outcome in view.outcomes if not outcome.settled and not outcome.held]
    held = [outcome for outcome in view.outcomes if outcome.held]
    done = [outcome for outcome in view.outcomes if outcome.settled]
    return Document(
        marker=str(Marker("report", digest, report.plan.namespace, report.plan.mchid, outcome=_outcome(report))),
        title=prose(title[:_TITLE_CHARS]) or "paygift apply",
        summary="\n\n".join(
            part for part in (f"**{prose(view.summary)}**", prose(view.advice), *map(prose, view.remarks)) if part
        ),
        essential=(
            partial(_left, left, view.held, held, short=False),
            partial(_left, left, view.held, held, short=True),
        ),
        names=(
            *(
                Names(
                    f"{_STATUS_SYMBOLS[status]} **{status}** ({len(group):,}):",
                    tuple(map(_outcome_name, group)),
                )
                for status, group in _grouped(left, lambda outcome: outcome.status).items()
            ),
            *_finding_names("held back", list(view.held)),
        ),
        kept="Operations that are left to do",
        sections=(
            Section("Done", "finished operations", [Item(partial(_done_line, outcome)) for outcome in done]),
            Section("What would take it back", "ways back", [Item(partial(_way_back, line)) for line in view.undo]),
        ),
        foot=" ".join(part for part in (f"Plan `{digest[:12]}`.", prose(view.record)) if part),
    ).fitted(max_chars)


def _outcome(report: Report) -> str:
    """A refused key without an operation is left to do too."""
    # "complete" spends the review, so that anything doubtful must not be called that.
    if not report.complete or report.interrupted or report.plan.refusals:
        return "partial"
    return "complete" if report.outcomes else "nothing"


# -- the top and the bottom --------------------------------------------------------------------------------------------


def _table(view: PlanView, plan: Plan) -> Iterator[str]:
    if not view.blocks:
        return
    kinds = [block.kind for block in view.blocks]
    columns = [
        ("refused", len(plan.refusals)),
        *((words, kinds.count(kind)) for kind, words in COUNTED.items()),
        ("end permanently", len(view.endings)),
        *((("differing", differing),) if (differing := len(plan.left_differing)) else ()),
        ("unchanged", plan.unchanged),
    ]
    heads, counts = zip(*((words, f"{count:,}") for words, count in columns), strict=True)
    yield "\n".join((_row(heads), _row("--:" for _ in heads), _row(counts)))


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _plan_foot(view: PlanView, digest: str) -> str:
    if not view.blocks and not view.uploads:
        return f"Plan `{digest[:12]}`, made {view.made_at} Beijing time."
    valid = f", valid until {view.valid_until}" if view.valid_until else ""
    return (
        f"Plan `{digest[:12]}`, made {view.made_at}{valid} Beijing time. To apply this and nothing else: "
        f"`paygift apply --expect {digest}`"
    )


# -- what must be there ------------------------------------------------------------------------------------------------


def _refusals(view: PlanView, *, waived: bool) -> list[FindingView]:
    """What stops apply, or would if it were not waived."""
    return [each for each in view.findings if each.severity in _STOPPING and each.waived is waived]


def _essential(view: PlanView) -> Iterator[str]:
    return _essential_lines(
        view.refused,
        map(_finding_line, _refusals(view, waived=False)),
        map(_ending_line, view.endings),
        map(_finding_line, _refusals(view, waived=True)),
    )


def _essential_in_short(view: PlanView) -> Iterator[str]:
    endings = _grouped(view.endings, lambda ending: ending.reason)
    return _essential_lines(
        view.refused,
        _findings_in_short(_refusals(view, waived=False)),
        (
            f"- {prose(reason)} ({len(group):,}): {code(', '.join(f'{each.activity_id} {each.key}' for each in group))}"
            for reason, group in endings.items()
        ),
        _findings_in_short(_refusals(view, waived=True)),
    )


def _findings_in_short(findings: list[FindingView]) -> Iterator[str]:
    """Findings of a kind share the sentence of the first of them."""
    for first, *others in _grouped(findings, lambda finding: finding.code).values():
        yield _finding_line(first)
        if others:
            yield f"  The same for {len(others):,} more: {code(' '.join(map(_where, others)))}"


def _essential_lines(
    title_of_refused: str, refused: Iterable[str], endings: Iterable[str], waived: Iterable[str]
) -> Iterator[str]:
    sections = (
        (title_of_refused, refused),
        (f"Ends permanently: {wording.IRREVERSIBLE}", endings),
        ("Waived by name", waived),
    )
    for title, lines in sections:
        for index, line in enumerate(lines):
            yield line if index else f"\n#### {title}\n\n{line}"


def _essential_names(view: PlanView) -> tuple[Names, ...]:
    endings = _grouped(view.endings, lambda ending: ending.reason)
    return (
        *_finding_names("refused", _refusals(view, waived=False)),
        *(
            Names(
                f"**ends permanently** ({prose(reason)}; {len(group):,}):",
                tuple(each.activity_id for each in group),
            )
            for reason, group in endings.items()
        ),
        *_finding_names("waived", _refusals(view, waived=True)),
    )


def _finding_names(word: str, findings: list[FindingView]) -> Iterator[Names]:
    for name, group in _grouped(findings, lambda finding: finding.code).items():
        yield Names(f"**{word}** {code(name)} ({len(group):,}):", tuple(map(_where, group)))


def _finding_line(finding: FindingView) -> str:
    source = f"({code(finding.source)})" if finding.source else ""
    head = " ".join(part for part in (f"**{code(finding.code)}**", code(finding.key), source) if part)
    holds = f" **{prose(finding.holds)}**" if finding.holds else ""
    waiver = f" {_waiver(finding.waiver)}" if finding.waiver and not finding.waived else ""
    return f"- {head}: {prose(finding.text)}{holds}{waiver}{_remedy(finding)}"


def _remedy(finding: FindingView) -> str:
    """What to write, as the block that a review comment on that line would take for a suggestion."""
    if not finding.lines or finding.waived:
        return ""
    # Indented, so that it belongs to its list item.
    return indent(f"\n\n{prose(finding.remedy)}\n\n{code_block(finding.lines, 'suggestion')}", "  ")


def _where(finding: FindingView) -> str:
    return finding.key or "-"


def _waiver(waiver: Waiver) -> str:
    """``To waive it: --allow CODE:key``, with what has to be typed as code, here or on a pull request."""
    label = f"or on GitHub the label {code(f'paygift: allow {waiver.name}')}"
    return f"{prose(waiver.words)} {code(waiver.option)}, {label}."


def _ending_line(ending: Ending) -> str:
    clock = f". {prose(ending.clock)}" if ending.clock else ""
    return f"- {code(ending.activity_id)} {_name(ending.key, ending.activity_name)}: {prose(ending.reason)}{clock}"


def _name(key: str, activity_name: str) -> str:
    return f"{code(key)} {prose(_short(activity_name))}".strip()


def _short(name: str) -> str:
    """At most ten characters where a spec was checked (API §1.1); a plan file may hold anything."""
    # One long name must not take the room of the refusals.
    return name if len(name) <= _NAME_CHARS else f"{name[:_NAME_CHARS]}…"


# -- what is there as long as there is room ----------------------------------------------------------------------------


def _plan_sections(view: PlanView) -> tuple[Section, ...]:
    """In the order in which they are read. ``rank``: a replacement's details outlast those of a create."""
    warnings = [finding for finding in view.findings if finding.severity is Severity.WARNING]
    notes = [finding for finding in view.findings if finding.severity is Severity.NOTE]
    return (
        Section("Warnings", "warnings", [Item(partial(_finding_line, finding)) for finding in warnings]),
        _changes(view, ChangeKind.REPLACE, "Replacements", "replacements", 1),
        _changes(view, ChangeKind.CREATE, "New", "new activities", 4),
        _changes(view, ChangeKind.UPDATE, "Merchants", "merchant changes", 3),
        _changes(view, ChangeKind.TERMINATE, "Terminations, in full", "blocks of terminations", 2),
        Section(
            "Images",
            "uploads",
            [Item(partial(_upload_line, line)) for line in view.uploads],
        ),
        Section("Notes", "notes", [Item(partial(_finding_line, finding)) for finding in notes]),
    )


def _changes(view: PlanView, kind: ChangeKind, title: str, noun: str, rank: int) -> Section:
    blocks = [block for block in view.blocks if block.kind is kind]
    items = [Item(partial(_block_line, block), partial(_block_fold, block)) for block in blocks]
    return Section(title, noun, items, rank, folds_only=kind is ChangeKind.TERMINATE)


def _block_line(block: Block) -> str:
    headline = f": {prose(block.headline)}" if block.headline else ""
    return f"- `{block.symbol}` {_name(block.key, block.activity_name)}{headline}"


def _block_fold(block: Block) -> str:
    head = f"<b>{block.symbol} {prose_in_tags(block.key)}</b> {prose_in_tags(_short(block.activity_name))}"
    # In a fence nothing is Markdown, whatever a spec is called.
    lines = (f"# {block.source}", *map(_line_text, (*block.lines, *block.undo)))
    headline = prose_in_tags(block.headline)
    return f"<details><summary>{head} · {headline}</summary>\n\n{code_block(lines, 'diff')}\n\n</details>"


def _upload_line(line: Line) -> str:
    return f"- {prose(line.label)}: {prose(line.text)}"


def _line_text(line: Line) -> str:
    """The line as the text rendering has it, so that a ``diff`` is coloured by its first character."""
    text = line.text if line.old is None else f"{line.old} → {line.text}"
    label = f"{line.label}: " if line.label else ""
    return f"{line.symbol or ' '} {label}{text}"


# -- reports -----------------------------------------------------------------------------------------------------------


def _left(
    outcomes: list[OutcomeView], refusals: Iterable[FindingView], held: list[OutcomeView], *, short: bool
) -> Iterator[str]:
    if outcomes:
        yield "#### Left to do\n"
    for outcome in outcomes:
        yield from _left_lines(outcome, rejections=not short)
    yield from _held(list(refusals), held, short=short)


def _held(refusals: list[FindingView], outcomes: list[OutcomeView], *, short: bool) -> Iterator[str]:
    if refusals:
        yield "\n#### Held back\n"
    yield from _findings_in_short(refusals) if short else map(_finding_line, refusals)
    for outcome in () if short else outcomes:
        yield from _left_lines(outcome, rejections=True)


def _left_lines(outcome: OutcomeView, *, rejections: bool) -> Iterator[str]:
    yield _outcome_line(outcome)
    if outcome.reason:
        yield f"  - {prose(outcome.reason if rejections else _short(outcome.reason))}"
    if rejections:
        yield from (f"  - {code(mchid)}: {prose(reason)}" for mchid, reason in outcome.rejections)
    elif outcome.rejections:
        yield f"  - {counted(len(outcome.rejections), 'merchant')} rejected"


def _outcome_line(outcome: OutcomeView) -> str:
    key = f"{code(outcome.key)}: " if outcome.key else ""
    status = "" if outcome.status is OutcomeStatus.DONE else f" — **{outcome.status}**"
    request_id = f"Request-ID {code(outcome.request_id)}" if outcome.request_id else ""
    traces = ", ".join(part for part in (outcome.effort, request_id) if part)
    trace = f" ({traces})" if traces else ""
    return f"- {_STATUS_SYMBOLS[outcome.status]} {key}{prose(outcome.text)}{status}{trace}"


def _done_line(outcome: OutcomeView) -> str:
    reason = f": {prose(outcome.reason)}" if outcome.reason else ""
    return f"{_outcome_line(outcome)}{reason}"


def _way_back(line: Line) -> str:
    return f"- **{prose(line.label)}**: {prose(line.text)}"


def _outcome_name(outcome: OutcomeView) -> str:
    return f"{outcome.key}: {outcome.text};" if outcome.key else f"{outcome.text};"


def _grouped(items: Iterable[_T], kind: Callable[[_T], _K]) -> dict[_K, list[_T]]:
    groups: dict[_K, list[_T]] = {}
    for item in items:
        groups.setdefault(kind(item), []).append(item)
    return groups
