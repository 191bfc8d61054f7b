"""The HTML page: word for word, self-contained, and deaf to whatever text is put into it. And the timeline's rows.

To change the golden files on purpose: ``PAYGIFT_UPDATE_GOLDEN=1 pytest tests/render/test_html.py``.
"""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings

from reconciler.model.activity import Window
from reconciler.model.plan import Plan, Timeline, TimelineRow, TimelineState
from reconciler.model.report import Outcome, OutcomeStatus, Rejection, Report
from reconciler.plan import make_plan, undos_of
from reconciler.render import messages as wording
from reconciler.render.html import plan_html, report_html
from reconciler.render.html.page import POLICY, SCRIPT, STYLE
from reconciler.render.html.tags import Html, tag
from reconciler.render.views.timeline import Scale, Span, gaps_of, running_at_once, scale_of, spans, timeline_rows
from tests.render.test_markdown import HOSTILE, RUNNING, hostile_plan
from tests.render.test_text import compare, everything, everything_happened
from tests.support.samples import CREATED, NAMESPACE, NOW, ONGOING, TERMINATED, desired, large, live, terms

DAY = timedelta(days=1)
TERMS = terms()


def row(key: str, activity_id: str, state: TimelineState, begin: float | None, end: float | None) -> TimelineRow:
    """Times in days from now."""
    first, last = (None if days is None else NOW + days * DAY for days in (begin, end))
    return TimelineRow(key, activity_id, "暖冬热饮回馈", first, last, state)


def account() -> list[TimelineRow]:
    """The live activities of ``everything()``, and some that it leaves alone."""
    return [
        *(
            TimelineRow(key, activity_id, "良品铺子回馈活动", TERMS.begin_time, TERMS.end_time, "live")
            for key, activity_id in (
                ("merchants", "1"),
                ("paused", "2"),
                ("replaced", "3"),
                ("protected", "5"),
            )
        ),
        TimelineRow("gap", "4", "良品铺子回馈活动", NOW - 3 * DAY, TERMS.end_time, "live"),
        TimelineRow("gone", "7", "离场", TERMS.begin_time, TERMS.end_time, "live"),
        row("winter-tea", "20406388", "live", -20, 40),
        row("winter-tea", "20406389", "live", 30, 50),
        row("", "20406300", "ended", -30, -10),
    ]


def around(plan: Plan, rows: Iterable[TimelineRow]) -> Plan:
    """``plan`` with these activities on its account."""
    return replace(plan, timeline=Timeline(tuple(rows)))


def placed() -> Plan:
    """The plan with everything in it, among the activities of ``account()``."""
    return around(everything(), account())


class Page(HTMLParser):
    """The tags of a page, their attributes, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes.extend(attrs)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def body(html: str) -> str:
    """Without style and script, which a golden file need not repeat; a line for each block."""
    return re.sub(r"(</(?:li|article|p|div|h\d|head|style)>)", r"\1\n", html.replace(STYLE, "").replace(SCRIPT, ""))


# -- word for word -----------------------------------------------------------------------------------------------------


def test_a_plan_looks_as_it_always_did() -> None:
    compare("plan.html", re.sub(r"sha256-[\w+/=]+", "sha256-…", body(plan_html(placed()))))


def test_a_report_looks_as_it_always_did() -> None:
    compare("report.html", re.sub(r"sha256-[\w+/=]+", "sha256-…", body(report_html(everything_happened()))))


def test_an_empty_plan_is_a_page_too() -> None:
    page = Page(plan_html(Plan(NAMESPACE, NOW, managed=12, unchanged=12)))
    assert "No changes. 12 unchanged, 0 unmanaged." in page.texts
    assert "svg" not in page.tags
    assert "form" not in page.tags


def test_whole_lists_of_merchants_can_be_searched() -> None:
    assert "1600001200" in Page(plan_html(everything())).texts


def test_every_change_says_what_would_take_it_back() -> None:
    texts = Page(plan_html(everything())).texts
    expected = [code for change in everything().changes for code in undos_of(change.operations)]
    assert texts.count("↶") == len(expected)
    assert texts.count(wording.UNDO["delete_merchants"]) == expected.count("delete_merchants") == 2


def test_a_long_plan_starts_folded() -> None:
    assert "<details open>" in plan_html(large(20))
    assert "<details open>" not in plan_html(large(100))


# -- nothing comes in, nothing goes out --------------------------------------------------------------------------------


def test_the_policy_names_what_the_page_holds() -> None:
    html = plan_html(everything())
    for name in ("style", "script"):
        content = re.search(rf"<{name}>(.*?)</{name}>", html, re.DOTALL)
        assert content
        digest = b64encode(hashlib.sha256(content[1].encode()).digest()).decode()
        assert f"{name}-src 'sha256-{digest}'" in POLICY
    assert POLICY.startswith("default-src 'none'; ")
    assert ("content", POLICY) in Page(html).attributes


@pytest.mark.parametrize("html", [plan_html(placed()), report_html(everything_happened())])
def test_the_page_refers_to_nothing_but_itself(html: str) -> None:
    page = Page(html)
    names = {name for name, _ in page.attributes}
    assert not names & {"src", "srcset", "action", "style", "data", "poster", "background"}
    assert not any(name.startswith("on") for name in names)
    assert all((value or "").startswith("#") for name, value in page.attributes if name in ("href", "xlink:href"))
    assert not re.search(r"url\((?!#)|@import|@font-face", STYLE)


def test_the_style_closes_what_it_opens_and_defines_what_it_uses() -> None:
    assert STYLE.count("{") == STYLE.count("}") > 100
    used, defined = (set(re.findall(pattern, STYLE)) for pattern in (r"var\((--[\w-]+)\)", r"(--[\w-]+):"))
    assert used == defined


def test_every_link_leads_to_a_change() -> None:
    page = Page(plan_html(placed()))
    ids = [value for name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    assert {(value or "")[1:] for name, value in page.attributes if name == "href"} <= set(ids)


ALLOWED = set(Page(plan_html(placed()) + report_html(everything_happened())).tags)


@given(HOSTILE)
@settings(max_examples=40)
def test_nothing_in_a_plan_becomes_more_than_text(text: str) -> None:
    rows = [TimelineRow(text, text, text, NOW, None, "live"), TimelineRow(text, "", text, None, NOW, "ended")]
    assert_harmless(plan_html(around(hostile_plan(text), rows), title=text))


@given(HOSTILE)
@settings(max_examples=20)
def test_nothing_in_a_report_becomes_more_than_text(text: str) -> None:
    plan = hostile_plan(text)
    outcomes = tuple(
        Outcome(step, status, text, text, text, (Rejection(text, text),))
        for step, status in zip(plan.operations, OutcomeStatus, strict=False)
    )
    assert_harmless(report_html(Report(plan, outcomes, NOW, NOW), title=text))


def assert_harmless(html: str) -> None:
    page = Page(html)
    assert set(page.tags) <= ALLOWED
    assert page.tags.count("script") == page.tags.count("style") == page.tags.count("head") == 1
    assert not any(name.startswith("on") or name == "style" for name, _ in page.attributes)
    assert all((value or "").startswith("#") for name, value in page.attributes if name == "href")
    assert "\u202e" not in html
    assert html.count("<!--") == 0


def test_a_tag_escapes_text_and_keeps_html() -> None:
    assert tag("p", "<b>&", tag("i", "x"), None, class_="a\"'<") == (
        '<p class="a&quot;&#x27;&lt;">&lt;b&gt;&amp;<i>x</i></p>'
    )
    assert tag("input", type="radio", checked=True, name="a", hidden=False) == '<input type="radio" checked name="a">'
    assert isinstance(tag("p"), Html)


# -- colours -----------------------------------------------------------------------------------------------------------

PALETTES = [
    dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", block)) for block in STYLE.split("@media screen and (prefers")[:2]
]
ON = [
    *((colour, f"{colour}-ground") for colour in ("red", "amber", "green", "blue", "violet")),
    *((colour, "ground") for colour in ("text", "quiet", "link", "red", "amber", "green", "blue", "violet")),
    *((colour, "raised") for colour in ("text", "quiet", "red")),
    *(("text", f"{colour}-ground") for colour in ("red", "amber")),
    *(("quiet", f"{colour}-ground") for colour in ("red", "amber")),
    *(("link", f"{colour}-ground") for colour in ("red", "amber")),
]


def brightness(colour: str) -> float:
    parts = (int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5))
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("palette", PALETTES, ids=["light", "dark"])
@pytest.mark.parametrize(("text", "ground"), ON)
def test_text_can_be_read_on_its_ground(palette: dict[str, str], text: str, ground: str) -> None:
    """WCAG 2.2, level AA: 4.5 to 1."""
    one, other = sorted((brightness(palette[text]), brightness(palette[ground])))
    assert (other + 0.05) / (one + 0.05) >= 4.5


# -- the timeline ------------------------------------------------------------------------------------------------------


def test_the_rows_are_what_the_plan_touches_and_what_it_leaves_alone() -> None:
    rows = timeline_rows(placed())
    assert [(each.key, each.activity_id, each.state) for each in rows] == [
        ("begun", "", "planned"),
        ("gap", "4", "terminating"),
        ("gap", "", "planned"),
        ("create", "", "planned"),
        ("gone", "7", "terminating"),
        ("merchants", "1", "live"),
        ("paused", "2", "live"),
        ("protected", "5", "terminating"),
        ("replaced", "3", "terminating"),
        ("replaced", "", "planned"),
        ("", "20406300", "ended"),
        ("winter-tea", "20406388", "live"),
        ("winter-tea", "20406389", "live"),
    ]


def test_without_the_account_the_plan_knows_one_time_of_what_lives() -> None:
    by_id = {each.activity_id: each for each in timeline_rows(around(everything(), ()))}
    running, waiting = by_id["4"], by_id["7"]
    assert (running.begin, running.end) == (None, TERMS.end_time)
    assert (waiting.begin, waiting.end) == (TERMS.begin_time, None)


def test_a_gap_is_what_lies_between_an_end_and_the_next_begin() -> None:
    old, new = row("a", "1", "terminating", -1, 9), row("a", "", "planned", 2, 12)
    gaps = {"a": (Window(NOW, NOW + 2 * DAY),)}
    assert spans([old, new], gaps) == {new: (Span("gap", NOW, NOW + 2 * DAY),)}
    assert spans([old, new], gaps)[new][0].words == "gap of 2 d"
    assert spans([old, new], {}) == {new: ()}


def test_an_overlap_is_when_two_of_a_key_run() -> None:
    one, two, other = row("a", "1", "live", -1, 9), row("a", "2", "live", 5, 12), row("b", "3", "live", 5, 12)
    assert spans([one, two, other], {})[two] == (Span("overlap", NOW + 5 * DAY, NOW + 9 * DAY),)
    assert other not in spans([one, two, other], {})


def test_gaps_of_the_timeline_are_those_of_the_plan() -> None:
    plan = placed()
    told = {change.key: change.coverage.gap_seconds for change in plan.changes if change.coverage}
    marked = spans(timeline_rows(plan), gaps_of(plan))
    drawn = {
        each.key: sum((span.end - span.begin).total_seconds() for span in found if span.code == "gap")
        for each, found in marked.items()
        if each.key in told
    }
    told = {key: seconds for key, seconds in told.items() if key in drawn}
    assert max(told.values()) > 0
    assert drawn == told


def test_at_once_counts_what_would_run_if_the_plan_were_applied_now() -> None:
    rows = [row("a", "1", "terminating", -2, 9), row("b", "2", "live", -1, 4), row("c", "", "planned", -3, 4)]
    scale = Scale(NOW - 4 * DAY, NOW + 6 * DAY)
    steps = running_at_once(rows, scale, NOW)
    assert [((begin - NOW) / DAY, (end - NOW) / DAY, count) for begin, end, count in steps] == [
        (-4, -2, 0),
        (-2, -1, 1),
        (-1, 0, 2),
        (0, 4, 2),
        (4, 6, 0),
    ]


@pytest.mark.parametrize(
    ("days", "labels"),
    [
        (0.2, ["2026-11-25 11:00", "11-25 12:00", "11-25 13:00", "11-25 14:00"]),
        (3, ["2026-11-25 12:00", "11-26 00:00", "11-26 12:00", "11-27 00:00", "11-27 12:00", "11-28 00:00"]),
        (
            9,
            [f"{'2026-' if day == 26 else ''}11-{day}" for day in range(26, 31)]
            + [f"12-0{day}" for day in range(1, 5)],
        ),
        (50, ["2026-11-30", "12-07", "12-14", "12-21", "12-28", "2027-01-04", "01-11"]),
        (300, ["2026-12", "2027-01", *(f"{month:02d}" for month in range(2, 10))]),
    ],
)
def test_ticks_are_round_and_few(days: float, labels: list[str]) -> None:
    assert [label for _, label in Scale(NOW, NOW + days * DAY).ticks()] == labels


def test_the_scale_reaches_from_the_first_begin_to_the_last_end_with_now_in_it() -> None:
    scale = scale_of([row("a", "1", "live", 1, 11), row("b", "2", "live", -9, 2)], NOW)
    assert scale.start < NOW - 9 * DAY < NOW + 11 * DAY < scale.end
    scale = scale_of([row("a", "1", "live", 1, 11)], NOW)
    assert scale.start < NOW < NOW + 11 * DAY < scale.end
    assert scale.at(NOW - 300 * DAY) == 0
    assert scale.at(scale.start + (scale.end - scale.start) / 2) == 50
    assert scale_of([], NOW).at(NOW) == 50


@pytest.mark.parametrize("moment", [datetime.max.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC)])
@pytest.mark.parametrize("side", ["begin", "end"])
@pytest.mark.parametrize("status", [CREATED, ONGOING, TERMINATED])
def test_a_time_that_no_activity_can_have_breaks_no_page(moment: datetime, side: str, status: str) -> None:
    """Somebody else's activity may have any time at all, such as Go's zero time."""
    spec = desired()
    lives = [
        live(spec, "1"),
        live(activity_id="8", status=status, update_time=moment, terms=terms(**{f"{side}_time": moment})),
    ]
    plan = make_plan([spec, desired("tea")], lives, namespace=NAMESPACE, now=NOW)
    assert plan_html(plan).startswith("<!doctype html>")
    rows = timeline_rows(plan)
    assert len(scale_of(rows, NOW).ticks()) <= 10


def test_what_has_ended_is_shown_from_its_last_days_on() -> None:
    scale = scale_of([row("a", "1", "live", -2, 11), row("b", "2", "ended", -90, -1)], NOW)
    assert scale.start < NOW - 9 * DAY
    assert scale.at(NOW - 10 * DAY) == 0


def test_a_bar_tells_its_exact_times() -> None:
    running = live(desired("tea", **RUNNING), "1", status=ONGOING)
    plan = make_plan([desired("tea", state="terminated", **RUNNING)], [running], namespace=NAMESPACE, now=NOW)
    known = TimelineRow("tea", "1", "茶", TERMS.begin_time, TERMS.end_time, "live")
    html = plan_html(around(plan, [replace(known, begin=datetime(2026, 11, 22, 2, tzinfo=UTC))]))
    assert (
        "<title>tea: to be terminated, 2026-11-22 10:00:00 – 2026-12-31 23:59:59; ends with this plan</title>" in html
    )
    assert "this is cut off</title>" in html
