"""Plans and reports as one HTML page that needs nothing but itself: what is refused or ends first, then a timeline,
then every change with its whole lists, to be filtered and searched.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Sequence
from datetime import datetime
from typing import Final

from reconciler.model.findings import Severity
from reconciler.model.plan import ChangeKind, Plan, TimelineRow
from reconciler.model.report import Report
from reconciler.plan import plan_digest
from reconciler.render import messages as wording
from reconciler.render.page import page
from reconciler.render.tags import Html, tag, together
from reconciler.render.timeline import (
    STATES,
    Span,
    gaps_of,
    running_at_once,
    scale_of,
    spans,
    timeline_rows,
)
from reconciler.render.timeline_svg import PATTERNS, axis_svg, grid_svg, legend_svg, load_svg, row_svg, times
from reconciler.render.values import SAMPLE, beijing, counted
from reconciler.render.view import (
    COUNTED,
    Block,
    Ending,
    FindingView,
    Line,
    OutcomeView,
    PlanView,
    ReportView,
    plan_view,
    report_view,
)

_ORDER: Final = (ChangeKind.TERMINATE, ChangeKind.REPLACE, ChangeKind.CREATE, ChangeKind.UPDATE)
_STOPPING: Final = (Severity.REFUSAL, Severity.ERROR)
_OPEN_UP_TO: Final = 30
"""So many changes are shown with their details open."""
_UNCHANGED: Final = "unchanged"
_LINE_CLASSES: Final[dict[str, str]] = {"+": "add", "-": "drop", "~": "alter", "!": "alert", "": "time"}
_CODE: Final = re.compile("`([^`]+)`")


def plan_html(plan: Plan, *, title: str = "") -> str:
    """The plan as a page, with its timeline. ``title`` is the heading."""
    view = plan_view(plan)
    heading = title or "paygift plan"
    return page(
        f"{heading} · {plan.namespace}",
        tag(
            "header",
            tag("h1", heading),
            tag("p", view.summary, class_="summary"),
            _facts(
                ("namespace", plan.namespace),
                ("account", plan.mchid),
                ("made", f"{view.made_at} Beijing time"),
                (
                    "valid until",
                    f"{view.valid_until} Beijing time" if view.valid_until and view.blocks else "",
                ),
                ("digest", plan_digest(plan)),
            ),
            _tiles(view, plan) if view.blocks else None,
        ),
        tag(
            "main",
            _findings(view.refused, view, *_STOPPING),
            _endings(view.endings),
            _findings("Waived by name", view, *_STOPPING, waived=True),
            _findings("Warnings", view, Severity.WARNING),
            _tools(view, plan) if view.blocks or plan.timeline.rows else None,
            _timeline(plan),
            _changes(view),
            _findings("Notes", view, Severity.NOTE),
        ),
        tag("footer", tag("p", "Times are Beijing time. Amounts are yuan. Names of fields are the API's.")),
    )


# -- the top -----------------------------------------------------------------------------------------------------------


def _facts(*facts: tuple[str, str]) -> Html:
    return tag(
        "dl",
        *(tag("div", tag("dt", name), tag("dd", tag("code", fact))) for name, fact in facts if fact),
        class_="facts",
    )


def _tiles(view: PlanView, plan: Plan) -> Html:
    kinds = [block.kind for block in view.blocks]
    tiles = (
        ("refused", len(plan.refusals), "red"),
        ("end permanently", len(view.endings), "red"),
        *((words, kinds.count(kind), "") for kind, words in COUNTED.items()),
        *((("differing", differing, ""),) if (differing := len(plan.left_differing)) else ()),
        ("unchanged", plan.unchanged, ""),
    )
    return tag(
        "ul",
        *(
            tag(
                "li",
                tag("b", f"{count:,}"),
                words,
                class_=f"{colour} {'' if count else 'none'}".strip() or None,
            )
            for words, count, colour in tiles
        ),
        class_="counts",
    )


def _findings(heading: str, view: PlanView, *severities: Severity, waived: bool = False) -> Html | None:
    chosen = [each for each in view.findings if each.severity in severities and each.waived is waived]
    changed = {block.key for block in view.blocks}
    return _section(heading, (_finding(each, changed) for each in chosen)) if chosen else None


def _held(view: ReportView, outcomes: Sequence[OutcomeView]) -> Html | None:
    if not view.held:
        return None
    refusals = (_finding(each, frozenset()) for each in view.held)
    return _section("Held back", (*refusals, *map(_outcome, outcomes)))


def _finding(finding: FindingView, changed: Container[str]) -> Html:
    waiver = None if finding.waived else finding.waiver
    return tag(
        "article",
        tag(
            "h3",
            tag("code", finding.code),
            " ",
            _key(finding.key) if finding.key in changed else finding.key,
        ),
        tag("p", _prose(finding.text)),
        tag("p", tag("b", finding.holds)) if finding.holds else None,
        tag("p", finding.source, class_="where quiet mono") if finding.source else None,
        tag("p", _prose(finding.remedy)) if finding.remedy and not finding.waived else None,
        tag("p", f"{waiver.words} ", tag("code", waiver.option), class_="waive") if waiver else None,
        class_=f"card {'waived' if finding.waived else finding.severity.value}",
    )


def _prose(text: str) -> Html:
    """A sentence, with what it has in backticks as code."""
    return together(
        *(tag("code", part) if index % 2 else part for index, part in enumerate(_CODE.split(text)))
    )


def _endings(endings: Sequence[Ending]) -> Html | None:
    if not endings:
        return None
    return _section(
        f"Ends permanently: {wording.IRREVERSIBLE}", (tag("div", *map(_ending, endings), class_="cards"),)
    )


def _ending(ending: Ending) -> Html:
    return tag(
        "article",
        tag("h3", tag("code", ending.activity_id), " ", _key(ending.key), " ", ending.activity_name),
        tag("p", _badge(ending.kind.value, _kind_words(ending.kind)), " ", ending.reason),
        tag("p", ending.clock, class_="where") if ending.clock else None,
        class_="card ending",
    )


def _section(heading: str, content: Iterable[str], *, name: str | None = None) -> Html:
    return tag("section", tag("h2", heading), *content, id=name)


def _key(key: str) -> Html:
    """A link to the change of this key."""
    return tag("a", key, href=f"#change-{key}")


def _badge(name: str, words: str) -> Html:
    return tag("span", words, class_=f"badge {name}")


def _kind_words(kind: ChangeKind) -> str:
    return COUNTED[kind]


# -- filter and search -------------------------------------------------------------------------------------------------


def _tools(view: PlanView, plan: Plan) -> Html:
    """Hidden until the script can make it work."""
    kinds = [block.kind for block in view.blocks]
    choices = [("", "all"), *((kind.value, COUNTED[kind]) for kind in _ORDER if kind in kinds)]
    if plan.timeline.rows:
        choices.append((_UNCHANGED, _UNCHANGED))
    return tag(
        "form",
        tag(
            "input",
            type="search",
            placeholder="Search key, name, activity_id, mchid …",
            aria_label="Search changes and timeline by key, name, activity_id or mchid",
            autocomplete="off",
            spellcheck="false",
        ),
        tag("fieldset", *(_choice(value, words) for value, words in choices), aria_label="Show only"),
        tag("output", aria_live="polite"),
        class_="tools",
        role="search",
        hidden=True,
    )


def _choice(value: str, words: str) -> Html:
    return tag(
        "label",
        tag("input", type="radio", name="kind", value=value, checked=not value),
        tag("span", words),
    )


# -- the timeline ------------------------------------------------------------------------------------------------------


def _timeline(plan: Plan) -> Html | None:
    rows = timeline_rows(plan)
    if not rows:
        return None
    now = plan.made_at
    scale = scale_of(rows, now)
    marked = spans(rows, gaps_of(plan))
    kinds = {change.key: change.kind.value for change in plan.changes}
    head = tag(
        "div", tag("div", class_="what"), tag("div", axis_svg(scale, now), class_="track"), class_="row head"
    )
    return _section(
        "Timeline",
        (
            PATTERNS,
            legend_svg(rows, marked),
            tag(
                "div",
                grid_svg(scale, now),
                head,
                _all_together(plan, rows, now) if plan.timeline.rows else None,
                tag(
                    "ol",
                    *(
                        _row(row, marked.get(row, ()), kinds, row_svg(row, marked.get(row, ()), scale, now))
                        for row in rows
                    ),
                ),
                class_="timeline",
            ),
            _not_shown(plan),
        ),
        name="timeline",
    )


def _not_shown(plan: Plan) -> Html:
    if plan.timeline.left_out:
        more = counted(plan.timeline.left_out, "more activity", "more activities")
        words = f"{more} of the account, left alone by this plan, found no room here."
    elif plan.unchanged and not plan.timeline.rows:
        words = "Activities that this plan leaves alone are not shown here."
    else:
        return together()
    return tag("p", words, class_="quiet small")


def _all_together(plan: Plan, rows: Sequence[TimelineRow], now: datetime) -> Html:
    scale = scale_of(rows, now)
    steps = running_at_once(rows, scale, now)
    most = max((count for _, _, count in steps), default=0)
    shown = " of those shown here" if plan.timeline.left_out else ""
    return tag(
        "div",
        tag(
            "div",
            tag("b", "All together"),
            tag("div", f"at most {most:,} at once{shown}, if this plan is applied now", class_="when quiet"),
            class_="what",
        ),
        tag("div", load_svg(steps, scale), class_="track"),
        class_="row",
    )


def _row(row: TimelineRow, marked: Sequence[Span], kinds: dict[str, str], picture: Html) -> Html:
    kind = kinds.get(row.key, _UNCHANGED) if row.key else _UNCHANGED
    key = _key(row.key) if kind != _UNCHANGED else tag("b", row.key or "unmanaged")
    return tag(
        "li",
        tag(
            "div",
            tag("div", key, " ", row.name),
            tag(
                "div",
                _badge(row.state, STATES[row.state]),
                *(together(" ", _badge(span.code, span.words)) for span in marked),
                " ",
                tag("code", row.activity_id or "new", class_="quiet"),
            ),
            tag("div", times(row), class_="when quiet"),
            class_="what",
        ),
        tag("div", picture, class_="track"),
        class_="row",
        data_kind=kind,
        data_key=row.key,
    )


# -- every change ------------------------------------------------------------------------------------------------------


def _changes(view: PlanView) -> Html | None:
    if not view.blocks and not view.uploads:
        return None
    ordered = [block for kind in _ORDER for block in view.blocks if block.kind is kind]
    opened = len(ordered) <= _OPEN_UP_TO
    uploads = tag("ul", *map(_line, view.uploads), class_="lines") if view.uploads else together()
    nothing = tag("p", "Nothing matches.", class_="nothing quiet", hidden=True)
    return _section(
        "Changes", (nothing, *(_change(block, opened=opened) for block in ordered), uploads), name="changes"
    )


def _change(block: Block, *, opened: bool) -> Html:
    return tag(
        "article",
        tag(
            "details",
            tag(
                "summary",
                _badge(block.kind.value, _kind_words(block.kind)),
                tag("h3", tag("code", block.key), " ", block.activity_name),
                tag("span", block.source, class_="quiet small mono"),
                tag("span", block.headline, class_="headline small"),
            ),
            tag("ul", *map(_line, block.lines), *map(_undo, block.undo), class_="lines"),
            open=opened,
        ),
        class_="change",
        id=f"change-{block.key}",
        data_kind=block.kind.value,
        data_key=block.key,
    )


def _line(line: Line) -> Html:
    ends = " end" if line.label == "terminate" else ""
    change = (tag("del", line.old), " → ", tag("ins", line.text)) if line.old is not None else (line.text,)
    return tag(
        "li",
        tag("b", line.symbol, aria_hidden="true"),
        tag("div", f"{line.label}: " if line.label else None, *change, _items(line)),
        class_=f"{_LINE_CLASSES.get(line.symbol, 'time')}{ends}",
    )


def _undo(line: Line) -> Html:
    return tag("li", tag("b", "↶", aria_hidden="true"), tag("div", _prose(line.text)), class_="time")


def _items(line: Line) -> Html | None:
    """The whole of a list of which the line shows a part, so that it can be looked up and searched."""
    if len(line.items) <= SAMPLE:
        return None
    listed = tag("ul", *(tag("li", item) for item in line.items), class_="ids", tabindex="0")
    return tag("details", tag("summary", f"all {len(line.items):,}"), listed)


# -- reports -----------------------------------------------------------------------------------------------------------


def report_html(report: Report, *, title: str = "") -> str:
    """What came of a plan: what is left to do, then what is done."""
    view = report_view(report)
    heading = title or "paygift apply"
    left = [outcome for outcome in view.outcomes if not outcome.settled and not outcome.held]
    held = [outcome for outcome in view.outcomes if outcome.held]
    done = [outcome for outcome in view.outcomes if outcome.settled]
    return page(
        f"{heading} · {report.plan.namespace}",
        tag(
            "header",
            tag("h1", heading),
            tag("p", view.summary, class_="summary"),
            *(tag("p", _prose(said)) for said in (view.advice, *view.remarks) if said),
            _facts(
                ("namespace", report.plan.namespace),
                ("account", report.plan.mchid),
                ("started", f"{beijing(report.started_at)} Beijing time"),
                ("finished", f"{beijing(report.finished_at)} Beijing time"),
                ("digest of the plan", plan_digest(report.plan)),
                *((("journal", f"run {report.run}, ends in {report.journal_head}"),) if view.record else ()),
            ),
        ),
        tag(
            "main",
            _section("Left to do", map(_outcome, left)) if left else None,
            _held(view, held),
            _section("Done", map(_outcome, done)) if done else None,
            _ways_back(view.undo),
        ),
    )


def _ways_back(undo: Sequence[Line]) -> Html | None:
    if not undo:
        return None
    lines = (tag("li", tag("b", line.label), ": ", _prose(line.text)) for line in undo)
    return _section("What would take it back", (tag("ul", *lines),))


def _rejected(rejections: tuple[tuple[str, str], ...]) -> Html:
    """A table, so that it can be copied into a spreadsheet."""
    head = tag("tr", tag("th", "mchid"), tag("th", "invalid_reason"))
    rows = (tag("tr", tag("td", tag("code", mchid)), tag("td", reason)) for mchid, reason in rejections)
    return tag("table", head, *rows, class_="rejected")


def _outcome(outcome: OutcomeView) -> Html:
    request_id = f"Request-ID {outcome.request_id}" if outcome.request_id else ""
    trace = ", ".join(part for part in (outcome.effort, request_id) if part)
    return tag(
        "article",
        tag(
            "h3",
            _badge("done" if outcome.settled else outcome.status.value, outcome.status.value),
            *((" ", tag("code", outcome.key)) if outcome.key else ()),
            " ",
            outcome.text,
        ),
        tag("p", outcome.reason) if outcome.reason else None,
        _rejected(outcome.rejections) if outcome.rejections else None,
        tag("p", trace, class_="where quiet mono") if trace else None,
        class_="card",
    )
