"""What stands in a comment, word for word; that it always fits; and that no text from elsewhere becomes more than text.

To change the golden files on purpose: ``PAYGIFT_UPDATE_GOLDEN=1 pytest tests/render/test_markdown.py``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from functools import cache
from html import unescape
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from reconciler.model.activity import Source
from reconciler.model.characters import safe
from reconciler.model.findings import Finding, Severity
from reconciler.model.operations import ActivityOperation, CreateActivity
from reconciler.model.plan import Difference, Plan
from reconciler.model.report import Outcome, OutcomeStatus, Rejection, Report
from reconciler.plan import plan_digest, undos_of
from reconciler.render import messages as wording
from reconciler.render.escape import code, code_block, prose, prose_in_tags
from reconciler.render.fit import MIN_CHARS
from reconciler.render.markdown import MAX_CHARS, plan_markdown, report_markdown
from reconciler.render.marker import Marker, read_marker
from tests.render.test_text import compare, everything, everything_happened
from tests.support.samples import NAMESPACE, NOW, large

RUNNING: dict[str, Any] = {"begin_time": NOW - timedelta(days=3)}


def endings(plan: Plan) -> list[str]:
    return [step.activity_id for step in plan.operations if step.operation == "terminate"]


def words(text: str) -> set[str]:
    return set(re.findall(r"[\w-]+", text))


# -- word for word -----------------------------------------------------------------------------------------------------


def test_a_plan_reads_as_it_always_did() -> None:
    compare("plan.md", plan_markdown(replace(everything(), mchid="1900000001")))


def test_a_report_reads_as_it_always_did() -> None:
    compare("report.md", report_markdown(everything_happened()))


def test_an_empty_plan_says_so_and_offers_nothing_to_apply() -> None:
    text = plan_markdown(Plan(NAMESPACE, NOW, managed=12, unchanged=12))
    assert "**No changes. 12 unchanged, 0 unmanaged.**" in text
    assert "--expect" not in text
    assert "|" not in text


def test_the_title_is_the_callers() -> None:
    assert "\n### Plan for `shop@eu` <-- no".replace("<--", "`<--`") in plan_markdown(
        everything(), title="Plan for shop@eu <-- no"
    )


def test_what_is_refused_or_ends_stands_before_everything_else() -> None:
    text = plan_markdown(everything())
    order = (
        "Refused",
        "Ends permanently",
        "Waived by name",
        "Warnings",
        "Replacements",
        "New",
        "Merchants",
        "Notes",
    )
    positions = [text.index(f"\n#### {title}") for title in order]
    assert positions == sorted(positions)


def test_every_fold_says_what_would_take_its_change_back() -> None:
    folds = re.findall(r"<details><summary><b>\S+ (\S+)</b>.*?</details>", plan_markdown(everything()), re.DOTALL)
    assert sorted(folds) == sorted(change.key for change in everything().changes)
    for change in everything().changes:
        fold = plan_markdown(everything()).partition(f" {change.key}</b>")[2].partition("</details>")[0]
        assert all(wording.UNDO[code] in fold for code in undos_of(change.operations)), change.key


# -- the marker --------------------------------------------------------------------------------------------------------


def test_the_first_line_is_found_again() -> None:
    plan = replace(everything(), mchid="1900000001")
    digest = plan_digest(plan)
    text = plan_markdown(plan)
    first = f"<!-- paygift plan digest={digest} namespace=liangpin mchid=1900000001 format=1.0 -->"
    assert text.splitlines()[0] == first
    assert read_marker(text) == Marker("plan", digest, "liangpin", "1900000001", "1.0")
    assert read_marker(text.replace("\n", "\r\n")) == read_marker(text)


def test_the_marker_of_a_report_carries_the_digest_of_its_plan() -> None:
    report = everything_happened()
    assert read_marker(report_markdown(report)) == Marker(
        "report", plan_digest(report.plan), "liangpin", "", outcome="partial"
    )
    done = replace(report, outcomes=tuple(each for each in report.outcomes if each.settled))
    calm = replace(done, plan=replace(report.plan, findings=()), interrupted=False)
    for happened, outcome in ((calm, "complete"), (replace(calm, outcomes=()), "nothing")):
        marker = read_marker(report_markdown(happened))
        assert marker is not None
        assert marker.outcome == outcome


@pytest.mark.parametrize(
    "text",
    [
        "",
        "paygift plan",
        f"hello\n{Marker('plan', 'a' * 64, 'n', '1')}",
        f" {Marker('plan', 'a' * 64, 'n', '1')}",
        f"{Marker('plan', 'a' * 64, 'n', '1')} and more",
        str(Marker("plan", "a" * 63, "n", "1")),
        str(Marker("plan", "A" * 64, "n", "1")),
        str(Marker("drift", "a" * 64, "n", "1")),
        str(Marker("plan", "a" * 64, "n m", "1")),
    ],
)
def test_what_only_looks_like_a_marker_is_none(text: str) -> None:
    assert read_marker(text) is None


def test_a_namespace_that_breaks_out_of_the_marker_makes_none() -> None:
    text = plan_markdown(Plan("x --> <img>\n", NOW, mchid="1 format=9.9 -->"))
    assert text.splitlines()[0].count("-->") == 1
    assert "<img>" not in text
    assert read_marker(text) is None


# -- what fits ---------------------------------------------------------------------------------------------------------


@cache
def two_thousand() -> str:
    return plan_markdown(large(2000))


def test_two_thousand_operations_fit_with_every_termination_and_refusal() -> None:
    plan, text = large(2000), two_thousand()
    assert len(plan.operations) == 2000
    assert len(text) <= MAX_CHARS
    assert set(endings(plan)) <= words(text)
    assert {finding.key for finding in plan.refusals} - {""} <= words(text)
    assert {finding.code for finding in plan.refusals} <= words(text)


def test_that_something_was_left_out_is_said_at_the_top() -> None:
    head = two_thousand().split("####")[0]
    assert "> **Shortened to fit into 65,536 characters.**" in head
    assert re.search(r"\d+ of 400 new activities", head)
    assert "Refusals and terminations are all here." in head
    assert "Shortened" not in plan_markdown(everything())


def test_details_of_creates_go_first_and_those_of_replacements_last() -> None:
    plan = large(60)
    whole = plan_markdown(plan, max_chars=10**6)
    seen: list[str] = []
    for limit in range(len(whole) - 1, 9_000, -500):
        text = plan_markdown(plan, max_chars=limit)
        left = {kind for kind in ("-/+", "+", "~", "-") if f"<summary><b>{kind} " not in text}
        seen += sorted(left - set(seen))
    assert seen == ["+", "~", "-", "-/+"]


@pytest.mark.parametrize("operations", [5, 40, 200, pytest.param(1000, marks=pytest.mark.heavy)])
@given(limit=st.integers(MIN_CHARS, 30_000))
@settings(max_examples=20)
def test_it_never_grows_above_the_limit_nor_forgets_an_ending_silently(limit: int, operations: int) -> None:
    plan = large(operations)
    text = plan_markdown(plan, max_chars=limit)
    assert len(text) <= limit
    forgotten = set(endings(plan)) - words(text) or {each.key for each in plan.refusals} - {""} - words(text)
    assert bool(forgotten) <= ("> **Not to be approved from here:" in text.split("####")[0])


def test_a_plan_too_long_for_its_names_says_how_many_are_missing() -> None:
    plan = large(1000)
    text = plan_markdown(plan, max_chars=MIN_CHARS)
    said = re.search(r"([\d,]+) names did not fit", text)
    named = re.findall(r"and ([\d,]+) more that are not named here", text)
    assert said
    assert int(said[1].replace(",", "")) == sum(int(each.replace(",", "")) for each in named)


@given(st.integers(MIN_CHARS, 12_000))
@settings(max_examples=30)
def test_a_report_fits_too_and_names_what_is_left_to_do(limit: int) -> None:
    plan = large(200)
    statuses = (OutcomeStatus.DONE, OutcomeStatus.PARTIAL, OutcomeStatus.FAILED)
    outcomes = tuple(
        Outcome(step, statuses[index % 3], "20406354", "它说：不行", rejections=(Rejection("1", "不行"),) * 9)
        for index, step in enumerate(plan.operations)
    )
    text = report_markdown(Report(plan, outcomes, NOW, NOW), max_chars=limit)
    assert len(text) <= limit
    left = {getattr(each.operation, "key", "") for each in outcomes if not each.settled}
    assert left <= words(text) or "> **Not to be approved from here:" in text


def test_a_limit_without_room_for_a_warning_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least 2,000"):
        plan_markdown(everything(), max_chars=MIN_CHARS - 1)


# -- text from elsewhere -----------------------------------------------------------------------------------------------

PIECES = (
    *"`*_[]()<>!#|\\~$@:&\"'-+=. \n\r\t\x00\x1b\u202e\u2028\u200b",
    *("``", "```", "`" * 90, "\n\n", "    ", "a", "良品", "1.", "\\|", "]("),
    *("<!--", "-->", "<b>", "</details>", "</summary>", "<script>", "&lt;", "&#42;"),
    *(
        "@someone",
        "a@b.example",
        "#123",
        "GH-12",
        "JIRA-7",
        "org/repo#1",
        "0123abc",
        "deadbeef" * 5,
        "20406354",
    ),
    *("https://evil.example/x", "www.evil.example", "mailto:a@b.example", "http://", "xmpp:"),
    *(
        "![i](https://e/x.png)",
        "[l](javascript:x)",
        "<https://evil.example>",
        "\n# h",
        "\n- [x] l",
        "\n---\n",
        ":+1:",
    ),
    *("\n[x]: https://e", "[^1]", "| a | b |\n|---|---|\n", "\n```\n", "\n</details>\n", "$x$", ":tada:"),
)
HOSTILE = st.lists(st.sampled_from(PIECES) | st.text(st.characters(codec="utf-8"), max_size=4), max_size=8).map("".join)
MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])
LINKED = re.compile(r"@\w|#\d|://|\bwww\.|[0-9a-f]{7}|\b[a-z]{2,}-\d|:(?!\d+:)[\w+-]+:|\bGH-", re.IGNORECASE | re.ASCII)
"""What GitHub would make something of, outside of code."""

OURS = {
    *(
        "Refused: apply stops here",
        "Ends permanently: a termination cannot be undone",
        "Waived by name",
        "Warnings",
    ),
    *(
        "Replacements",
        "New",
        "Merchants",
        "Terminations, in full",
        "Images",
        "Notes",
        "Left to do",
        "Done",
        "What would take it back",
    ),
    *("Refused", "What differs"),
}
HARMLESS = {
    *(
        "text",
        "code_inline",
        "strong_open",
        "strong_close",
        "softbreak",
        "inline",
        "heading_open",
        "heading_close",
    ),
    *("paragraph_open", "paragraph_close", "bullet_list_open", "bullet_list_close", "list_item_open"),
    *("list_item_close", "fence", "html_block", "blockquote_open", "blockquote_close"),
    *(f"{part}_{end}" for part in ("table", "thead", "tbody", "tr", "th", "td") for end in ("open", "close")),
}
FOLD = re.compile(r"<details><summary><b>(.*?)</b> (.*)</summary>\n")


def tokens(markdown: str) -> Iterator[Token]:
    for token in MARKDOWN.parse(markdown):
        yield token
        yield from token.children or ()


def assert_harmless(markdown: str, title: str = "") -> None:
    markdown.encode()
    found = list(tokens(markdown))
    assert {token.type for token in found} <= HARMLESS
    for token in found:
        if token.type == "text":
            assert not LINKED.search(token.content), token.content
        elif token.type == "html_block":
            assert_ours(token.content)
        elif token.type == "fence":
            assert token.info == "diff"
    headings = [found[index + 1].content for index, token in enumerate(found) if token.type == "heading_open"]
    assert set(headings[1:]) <= OURS


def assert_ours(block: str) -> None:
    """An HTML block is the marker, or a fold of ours with text and code in its summary."""
    if block.startswith("<!-- paygift") or block == "</details>\n":
        assert block.count("<") == 1
        return
    fold = FOLD.fullmatch(block)
    assert fold, block
    plain = re.sub(r"<code>[^<]*</code>", " ", f"{fold[1]} {fold[2]}")
    assert "<" not in plain
    plain = unescape(plain)
    assert not LINKED.search(plain), plain


def named(step: ActivityOperation, text: str) -> ActivityOperation:
    if isinstance(step, CreateActivity):
        return replace(step, out_request_no=text)
    return replace(step, activity_id=text, out_request_no=text)


def hostile_plan(text: str) -> Plan:
    """A plan as a file may hold it: with ``text`` wherever there is text."""
    plan = everything()
    changes = tuple(
        replace(
            change,
            key=text,
            activity_name=text,
            source=Source(text),
            operations=tuple(named(step, text) for step in change.operations),
            differences=(Difference(text, text, text), Difference(text, None, {text: text})),
            clocks=tuple(replace(clock, activity_id=text) for clock in change.clocks),
        )
        for change in plan.changes
    )
    facts = {"activity_id": text, "activity_status": text, "next_generation": text}
    findings = tuple(
        Finding("NUMBER_USED", severity, text, facts, Source(text), waived=waived)
        for severity in Severity
        for waived in (False, True)
    )
    return replace(plan, namespace=text, mchid=text, changes=changes, findings=findings)


@given(HOSTILE)
@settings(max_examples=60)
def test_nothing_in_a_plan_becomes_more_than_text(text: str) -> None:
    plan = hostile_plan(text)
    assert_harmless(plan_markdown(plan, title=text))
    assert_harmless(plan_markdown(plan, title=text, max_chars=4000))


@given(HOSTILE)
@settings(max_examples=40)
def test_nothing_in_a_report_becomes_more_than_text(text: str) -> None:
    plan = hostile_plan(text)
    outcomes = tuple(
        Outcome(step, status, text, text, text, (Rejection(text, text),))
        for step, status in zip(plan.operations, (*OutcomeStatus, *OutcomeStatus), strict=False)
    )
    assert_harmless(report_markdown(Report(plan, outcomes, NOW, NOW), title=text))


@given(HOSTILE)
def test_code_shows_what_it_was_given(text: str) -> None:
    spans = [token for token in tokens(f"x {code(text)} y") if token.type == "code_inline"]
    if "`" * 10 not in text and safe(text).strip():
        assert [token.content for token in spans] == [safe(text)]


@given(HOSTILE)
def test_a_sentence_reads_as_it_was_written(text: str) -> None:
    if "`" in text:
        return
    shown = "".join(token.content for token in tokens(f"x {prose(text)}") if token.type in ("text", "code_inline"))
    assert shown.split() == f"x {safe(text)}".split()


def test_what_is_harmless_stays_as_it_is() -> None:
    sentence = "activity is running, and would end by itself in 16 d 13 h (2026-12-31 23:59:59): 良品铺子 ¥1.00 – ok!"
    assert prose(sentence) == prose_in_tags(sentence) == sentence


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("ping @someone.", "ping `@someone`."),
        ("activity 20406354, (deadbeef)", "activity `20406354`, (`deadbeef`)"),
        ("set `generation: 2`!", "set `generation: 2`!"),
        ("1. not a list", "1&#46; not a list"),
        ("+ nor this", "&#43; nor this"),
        ("a|b", "`a|b`"),
        ("tick ` alone", "tick `` ` `` alone"),
    ],
)
def test_words_that_could_be_more_become_code(text: str, shown: str) -> None:
    assert prose(text) == shown


def test_half_a_character_is_shown_as_what_it_is() -> None:
    assert safe("a\ud800") == "a\\ud800"
    assert code("a\ud800") == "`a\\ud800`"


def test_a_block_of_code_cannot_be_closed_from_within() -> None:
    text = code_block(["```", "```` x", "    ```"], "diff")
    assert [token.content for token in tokens(text)] == ["```\n```` x\n    ```\n"]
    assert [token.type for token in tokens(code_block(["`" * 300], "diff"))] == ["fence"]
