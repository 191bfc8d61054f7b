"""The page of a plan: what is refused or ends first, then a timeline, then every change with its whole lists, to be
filtered and searched.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from reconciler.model.findings import Severity
from reconciler.model.plan import ChangeKind, Plan, TimelineRow
from reconciler.plan import plan_digest
from reconciler.render import messages as wording
from reconciler.render.html.page import page
from reconciler.render.html.parts import badge, facts, finding_card, key_link, prose, section
from reconciler.render.html.tags import Html, tag, together
from reconciler.render.html.timeline import PATTERNS, axis_svg, grid_svg, legend_svg, load_svg, row_svg, times
from reconciler.render.values import SAMPLE, counted
from reconciler.render.views.parts import Line
from reconciler.render.views.plan import COUNTED, Block, Ending, PlanView, plan_view
from reconciler.render.views.timeline import STATES, Span, gaps_of, running_at_once, scale_of, spans, timeline_rows

_ORDER: Final = (ChangeKind.TERMINATE, ChangeKind.REPLACE, ChangeKind.CREATE, ChangeKind.UPDATE)
_STOPPING: Final = (Severity.REFUSAL, Severity.ERROR)
_OPEN_UP_TO: Final = 30
"""So many changes are shown with their details open."""
_UNCHANGED: Final = "unchanged"
_LINE_CLASSES: Final[dict[str, str]] = {"+": "add", "-": "drop", "~": "alter", "!": "alert", "": "time"}


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
            facts(
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
            # What stops or ends comes before everything else: many readers see only the top.
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
    return section(heading, (finding_card(each, changed) for each in chosen)) if chosen else None


def _endings(endings: Sequence[Ending]) -> Html | None:
    if not endings:
        return None
    return section(f"Ends permanently: {wording.IRREVERSIBLE}", (tag("div", *map(_ending, endings), class_="cards"),))


def _ending(ending: Ending) -> Html:
    return tag(
        "article",
        tag("h3", tag("code", ending.activity_id), " ", key_link(ending.key), " ", ending.activity_name),
        tag("p", badge(ending.kind.value, COUNTED[ending.kind]), " ", ending.reason),
        tag("p", ending.clock, class_="where") if ending.clock else None,
        class_="card ending",
    )


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
        # Without the script it would do nothing.
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
    head = tag("div", tag("div", class_="what"), tag("div", axis_svg(scale, now), class_="track"), class_="row head")
    return section(
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
        words = f"{more} of the account, left alone by this plan, did not fit here."
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


def _row(row: TimelineRow, marked: Sequence[Span], kinds: dict[str, str], bar: Html) -> Html:
    kind = kinds.get(row.key, _UNCHANGED) if row.key else _UNCHANGED
    key = key_link(row.key) if kind != _UNCHANGED else tag("b", row.key or "unmanaged")
    return tag(
        "li",
        tag(
            "div",
            tag("div", key, " ", row.name),
            tag(
                "div",
                badge(row.state, STATES[row.state]),
                *(together(" ", badge(span.code, span.words)) for span in marked),
                " ",
                tag("code", row.activity_id or "new", class_="quiet"),
            ),
            tag("div", times(row), class_="when quiet"),
            class_="what",
        ),
        tag("div", bar, class_="track"),
        class_="row",
        data_kind=kind,
        data_key=row.key,
    )


# -- every change ------------------------------------------------------------------------------------------------------


def _changes(view: PlanView) -> Html | None:
    if not view.blocks and not view.uploads:
        return None
    ordered = [block for kind in _ORDER for block in view.blocks if block.kind is kind]
    # A page of thousands of open changes takes browsers very long to lay out.
    opened = len(ordered) <= _OPEN_UP_TO
    uploads = tag("ul", *map(_line, view.uploads), class_="lines") if view.uploads else together()
    nothing = tag("p", "Nothing matches.", class_="nothing quiet", hidden=True)
    return section("Changes", (nothing, *(_change(block, opened=opened) for block in ordered), uploads), name="changes")


def _change(block: Block, *, opened: bool) -> Html:
    return tag(
        "article",
        tag(
            "details",
            tag(
                "summary",
                badge(block.kind.value, COUNTED[block.kind]),
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
    return tag("li", tag("b", "↶", aria_hidden="true"), tag("div", prose(line.text)), class_="time")


def _items(line: Line) -> Html | None:
    """The whole of a list of which the line shows a part, so that it can be looked up and searched."""
    if len(line.items) <= SAMPLE:
        return None
    listed = tag("ul", *(tag("li", item) for item in line.items), class_="ids", tabindex="0")
    return tag("details", tag("summary", f"all {len(line.items):,}"), listed)
