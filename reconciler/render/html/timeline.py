"""The timeline as inline SVG. All positions are percentages, so that it needs no script to fit a phone, and no text
in it is ever stretched.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final

from reconciler.model.plan import TimelineRow
from reconciler.render.html.tags import Html, tag
from reconciler.render.values import beijing
from reconciler.render.views.timeline import STATES, Scale, Span, Step

PATTERNS: Final = tag(
    "svg",
    tag(
        "defs",
        *(
            tag(
                "pattern",
                tag("rect", width="7", height="7", class_=f"{name}-ground"),
                tag("rect", width="3", height="7", class_=f"{name}-line"),
                id=name,
                width="7",
                height="7",
                patternUnits="userSpaceOnUse",
                patternTransform=f"rotate({angle})",
            )
            for name, angle in (("lost", "45"), ("gap", "-45"), ("overlap", "90"))
        ),
    ),
    width="0",
    height="0",
    class_="patterns",
    aria_hidden="true",
)
"""What stripes are made of: state is never told by colour alone."""


def legend_svg(rows: Iterable[TimelineRow], marked: Mapping[TimelineRow, Sequence[Span]]) -> Html:
    """What the bars mean, as far as they are there."""
    states = {row.state for row in rows}
    codes = {span.code for found in marked.values() for span in found}
    words: list[tuple[str, str]] = [
        (state, STATES[state]) for state in STATES if state in states and state != "terminating"
    ]
    if "terminating" in states:
        words += [("ending", "to be terminated"), ("lost", "what that cuts off")]
    words += [(code, code) for code in ("gap", "overlap") if code in codes]
    return tag("ul", *(tag("li", _swatch(name), label) for name, label in words), class_="legend")


def _swatch(name: str) -> Html:
    rect = tag("rect", x="1", y="1", width="26", height="12", rx="3", class_=name)
    return tag("svg", rect, viewBox="0 0 28 14", aria_hidden="true")


def axis_svg(scale: Scale, now: datetime) -> Html:
    """The labels above the rows. Every second one is ``minor``, for narrow screens to leave out."""
    labels = [(scale.at(moment), label) for moment, label in scale.ticks()]
    shown = [(at, label) for at, label in labels if 3 < at < 97]
    here = scale.at(now)
    return tag(
        "svg",
        tag("text", "now", x=f"{here}%", y="13", class_="now", text_anchor=_anchor(here)),
        *(
            tag("text", label, x=f"{at}%", y="29", text_anchor="middle", class_="minor" if index % 2 else None)
            for index, (at, label) in enumerate(shown)
        ),
        class_="axis",
        aria_hidden="true",
    )


def grid_svg(scale: Scale, now: datetime) -> Html:
    """Lines behind all rows: one for each tick, and one for now."""
    return tag(
        "svg",
        *(_upright(scale.at(moment)) for moment, _ in scale.ticks()),
        _upright(scale.at(now), class_="now"),
        class_="grid",
        aria_hidden="true",
    )


def row_svg(row: TimelineRow, marked: Sequence[Span], scale: Scale, now: datetime) -> Html:
    """The bar of one activity. A termination splits it: what was, and what customers will not get. What is planned
    starts now at the earliest.
    """
    words = f"{row.key or row.activity_id}: {STATES[row.state]}, {times(row)}"
    begin, end, here = scale.at(row.begin, 0.0), scale.at(row.end, 100.0), scale.at(now)
    if row.state == "terminating":
        bars = [
            _bar("ending", begin, min(here, end), f"{words}; ends with this plan"),
            _bar("lost", max(begin, here), end, f"{words}; this is cut off"),
        ]
    else:
        start = max(begin, here) if row.state == "planned" else begin
        bars = [_bar(row.state, start, end, words)]
    return tag(
        "svg",
        *(bar for bar in bars if bar),
        *(_bar(span.code, scale.at(span.begin), scale.at(span.end), _span_title(span), always=True) for span in marked),
        class_="bar",
        role="img",
        aria_label="; ".join((words, *(span.words for span in marked))),
    )


def times(row: TimelineRow) -> str:
    """``2026-12-01 00:00:00 – 2026-12-31 23:59:59``; what is not known is ``…``."""
    begin, end = (beijing(moment) if moment else "…" for moment in (row.begin, row.end))
    return f"{begin} – {end}"


def _span_title(marked: Span) -> str:
    return f"{marked.words}: {beijing(marked.begin)} – {beijing(marked.end)}"


def _bar(name: str, begin: float, end: float, title: str, *, always: bool = False) -> Html | None:
    """A bar of at least a visible width, or ``None`` for one of no length."""
    if end <= begin and not always:
        return None
    return tag(
        "rect",
        tag("title", title),
        x=f"{begin}%",
        # At least visible: a campaign of an hour on a scale of months must not vanish.
        width=f"{max(round(end - begin, 3), 0.3)}%",
        y="22%",
        height="56%",
        rx="3",
        class_=name,
    )


def _upright(at: float, class_: str | None = None) -> Html:
    return tag("line", x1=f"{at}%", x2=f"{at}%", y1="0", y2="100%", class_=class_)


def _anchor(at: float) -> str:
    return "start" if at < 5 else "end" if at > 95 else "middle"


def load_svg(steps: Sequence[Step], scale: Scale) -> Html:
    """The number of running activities as a skyline, with what lies between two campaigns marked as a gap."""
    most = max((count for _, _, count in steps), default=0) or 1
    inner = _inner(steps)
    return tag(
        "svg",
        *(
            _step(begin, end, count, most, scale)
            for index, (begin, end, count) in enumerate(steps)
            if count or index in inner
        ),
        class_="bar",
        role="img",
        aria_label=f"At most {most:,} activities run at once",
    )


def _inner(steps: Sequence[Step]) -> range:
    """Steps between the first and the last in which anything runs."""
    busy = [index for index, (_, _, count) in enumerate(steps) if count]
    return range(busy[0], busy[-1]) if busy else range(0)


def _step(begin: datetime, end: datetime, count: int, most: int, scale: Scale) -> Html:
    height = round(84 * count / most, 1) if count else 84
    words = f"{count:,} at once" if count else "gap: nothing runs"
    x = scale.at(begin)
    return tag(
        "rect",
        tag("title", f"{words}: {beijing(begin)} – {beijing(end)}"),
        x=f"{x}%",
        width=f"{max(round(scale.at(end) - x, 3), 0.1)}%",
        y=f"{round(92 - height, 1)}%",
        height=f"{height}%",
        class_="load" if count else "gap",
    )
