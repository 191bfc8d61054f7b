"""YAML that means harm, or is merely odd: bounded, located, and never an exception but ProjectError."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from time import process_time
from typing import Any
from unicodedata import normalize

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from reconciler.model.characters import FORBIDDEN
from reconciler.model.errors import ProjectError
from reconciler.spec import load_project, yaml_
from reconciler.spec.merchants import parse_group
from reconciler.spec.positions import Positions, dotted
from tests.support.project import Project
from tests.support.projects import NOW, PROJECT, SPEC, problems, write


def parse_in_python() -> Callable[[str], Any]:
    """The same parser on a machine without libyaml."""
    kept = sys.modules.get("yaml._yaml")
    sys.modules["yaml._yaml"] = None  # type: ignore[assignment]
    try:
        spec = importlib.util.spec_from_file_location("yaml_without_libyaml", yaml_.__file__)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
    finally:
        if kept is not None:
            sys.modules["yaml._yaml"] = kept
    parse: Callable[[str], Any] = module.parse
    return parse


PARSERS = pytest.mark.parametrize("parse", [yaml_.parse, parse_in_python()], ids=["libyaml", "python"])


def codes(parsed: Any) -> list[str]:
    return [issue.code for issue in parsed[1]]


# --- bombs ---------------------------------------------------------------------------------------------------------

LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join(f'*{before}' for _ in range(10))}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@PARSERS
def test_a_billion_laughs_are_cut_short(parse: Callable[[str], Any]) -> None:
    started = process_time()
    documents, issues = parse(LAUGHS)
    assert [issue.code for issue in issues] == ["too_many_values"]
    assert not documents[0].sound
    assert process_time() - started < 8


@PARSERS
@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? "])
def test_deep_nesting_ends_neither_in_a_crash_nor_in_a_long_wait(parse: Callable[[str], Any], opening: str) -> None:
    assert codes(parse(opening * 100_000))[-1:] in (["too_deep"], ["yaml_syntax"])


@PARSERS
def test_deep_indentation_is_cut_short(parse: Callable[[str], Any]) -> None:
    assert codes(parse("".join(f"{' ' * depth}a:\n" for depth in range(900)))) == ["too_deep"]


def test_a_file_of_nothing_but_repeated_keys_is_told_in_reasonable_time() -> None:
    keys = "".join(f"k{n}: x\n" for n in range(6_000))
    started = process_time()
    assert len(codes(yaml_.parse(keys + keys))) == 6_000
    assert process_time() - started < 8


@PARSERS
def test_forty_levels_are_the_limit(parse: Callable[[str], Any]) -> None:
    assert codes(parse("[" * 40 + "]" * 40)) == []
    assert codes(parse("[" * 41 + "]" * 41)) == ["too_deep"]


@PARSERS
def test_nesting_by_aliases_is_nesting_too(parse: Callable[[str], Any]) -> None:
    text = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 60))
    assert codes(parse(text)) == ["too_deep"]


@PARSERS
def test_an_alias_of_its_own_parent_is_told(parse: Callable[[str], Any]) -> None:
    assert codes(parse("a: &a\n  b: {c: *a}\n")) == ["alias_cycle"]


@PARSERS
def test_aliases_of_modest_size_are_fine(parse: Callable[[str], Any]) -> None:
    documents, issues = parse("a: &a [x, {y: z}]\nb: *a\nc: *a\n")
    assert issues == []
    assert documents[0].data == {name: ["x", {"y": "z"}] for name in "abc"}


@PARSERS
def test_a_thousand_documents_are_the_limit(parse: Callable[[str], Any]) -> None:
    documents, issues = parse("---\na: b\n" * 1_200)
    assert len(documents) == 1_000
    assert [(issue.code, issue.line) for issue in issues] == [("too_many_documents", 2_002)]


def test_a_file_above_one_mebibyte_is_not_read(tmp_path: Path) -> None:
    write(tmp_path, paygift_yaml=PROJECT, activities__a_yaml="# " + "x" * 1024 * 1024)
    assert problems(tmp_path) == ["activities/a.yaml: has 1,048,578 bytes, at most 1,048,576 are allowed"]


def test_a_bomb_in_one_file_hides_no_mistake_in_another(tmp_path: Path) -> None:
    write(
        tmp_path,
        paygift_yaml=PROJECT,
        activities__a_yaml=LAUGHS,
        activities__b_yaml=SPEC.replace("100", "¥1"),
    )
    assert [line.split(":")[0] for line in problems(tmp_path)] == ["activities/a.yaml", "activities/b.yaml"]


@pytest.mark.parametrize("bomb", [LAUGHS, "defaults: &a {b: *a}\n", "[" * 100_000])
def test_a_bomb_in_the_project_file_is_told_alone(tmp_path: Path, bomb: str) -> None:
    write(tmp_path, paygift_yaml=bomb, activities__a_yaml=SPEC)
    (told,) = problems(tmp_path)
    assert told.startswith("paygift.yaml:")


def test_thousands_of_mistakes_in_one_file_are_told_in_reasonable_time(tmp_path: Path) -> None:
    keys = "".join(f"activity_bas_info{n}: x\n" for n in range(5_000))
    write(tmp_path, paygift_yaml=PROJECT, activities__a_yaml=SPEC + keys)
    started = process_time()
    assert len(problems(tmp_path)) == 5_000
    assert process_time() - started < 8


# --- oddities ------------------------------------------------------------------------------------------------------


@PARSERS
@pytest.mark.parametrize(
    ("text", "place", "code"),
    [
        ("a: 1\nb: 2\na: 3\n", (3, 1), "duplicate_key"),
        ("a: {b: 1,\n  b: 2}\n", (2, 3), "duplicate_key"),
        ("a: !!str b\n", (1, 4), "tag"),
        ("!!str a: b\n", (1, 1), "tag"),
        ("a: !thing {b: c}\n", (1, 4), "tag"),
        ("- !!binary aaaa\n", (1, 3), "tag"),
        ("a: &a {b: c}\nd:\n  <<: *a\n", (3, 3), "merge_key"),
        ("? [a]\n: b\n", (1, 3), "key_not_text"),
        ("a:\n", (1, 1), "empty"),
        ("a: ~\n", (1, 1), "empty"),
        ("a: [b, null]\n", (1, 8), "empty"),
        ("a:\n\tb: c\n", (2, 1), "yaml_syntax"),
        ("a: b: c\n", (1, 5), "yaml_syntax"),
        ("a: @b\n", (1, 4), "yaml_syntax"),
        ("a: %b\n", (1, 4), "yaml_syntax"),
        ("a: *b\n", (1, 4), "yaml_syntax"),
        ("a: [b\nc: d\n", (2, 2), "yaml_syntax"),
        ('a: "b\n', (2, 1), "yaml_syntax"),
        ("a: b\n c: d\n", (2, 3), "yaml_syntax"),
        ("a: b\n- c\n", (2, 1), "yaml_syntax"),
        ("a: b\x07c\n", (1, 5), "yaml_character"),
        ("a: b\n\x00", (2, 1), "yaml_character"),
    ],
)
def test_an_oddity_is_located(parse: Callable[[str], Any], text: str, place: tuple[int, int], code: str) -> None:
    (issue,) = parse(text)[1]
    assert issue.code == code
    assert (issue.line, issue.column) == place or code == "yaml_syntax"
    assert issue.line == place[0] or text == 'a: "b\n'


@PARSERS
def test_quoted_texts_that_look_like_nothing_are_texts(parse: Callable[[str], Any]) -> None:
    documents, issues = parse("a: ''\nb: 'null'\nc: \"~\"\nd: |\n")
    assert issues == []
    assert documents[0].data == {"a": "", "b": "null", "c": "~", "d": ""}


@PARSERS
def test_the_first_of_two_equal_keys_counts_and_both_are_judged_there(parse: Callable[[str], Any]) -> None:
    assert parse("a: 1\na: 2\n")[0][0].data == {"a": "1"}
    assert Positions("a: 1\na: 2\n").find(("a",)) == (1, 1)


@PARSERS
@pytest.mark.parametrize("escape", ["\\UFFFFFFFF", "\\U00110000", "\\ud800"])
def test_escapes_beyond_unicode_are_no_crash(parse: Callable[[str], Any], escape: str) -> None:
    documents, issues = parse(f'a: "{escape}"\n')
    assert issues or "\ud800" in documents[0].data["a"]


def test_documents_before_a_syntax_error_are_judged_too(tmp_path: Path) -> None:
    write(tmp_path, paygift_yaml=PROJECT, activities__a_yaml=f"colour: red\n{SPEC}---\n{SPEC}  oops\n")
    told = problems(tmp_path)
    assert len(told) == 2
    assert told[0].startswith("activities/a.yaml:1:1: colour: unknown key")
    assert "not valid YAML" in told[1]


def test_a_position_in_a_file_that_has_changed_is_the_nearest_that_is_left() -> None:
    assert Positions("").find(("a",)) == (0, 0)
    assert Positions("a: b\n").find(("a", "b", 3)) == (1, 1)
    assert Positions("a: b\n", document=7).find(("a",)) == (0, 0)


def test_odd_keys_are_escaped_in_paths() -> None:
    assert dotted(("a", 0, "b")) == "a[0].b"
    assert dotted(("a", "\x1b[2J")) == 'a."\\u001b[2J"'
    assert dotted(("x" * 70,)) == f'"{"x" * 40}…"'


# --- properties ----------------------------------------------------------------------------------------------------

FREELY = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=60)

LETTERS = list("ab:-[]{}&*!|>'\"%@#,?~< \n\t0\\你\ud83d\U0001f381")
yaml_like = st.text(st.sampled_from(LETTERS), max_size=60)
raw = st.binary(max_size=60) | yaml_like.map(lambda text: text.encode("utf-8", "surrogatepass"))


@FREELY
@given(content=raw)
@example(content=b"\xff\xfea\x00:\x00")
@example(content=b"\xef\xbb\xbfkey: a\n")
@example(content=b"- - - -\n")
@example(content=b"activity_base_info: {available_periods: {available_time: [x, {begin_time: }]}}")
def test_any_bytes_as_a_spec_give_problems_in_that_file_and_nothing_worse(tmp_path: Path, content: bytes) -> None:
    write(tmp_path, paygift_yaml=PROJECT, activities__a_yaml=content)
    told = problems(tmp_path)
    assert told
    assert all(line.startswith("activities/a.yaml") for line in told)


@FREELY
@given(content=raw)
def test_any_bytes_as_a_project_file_give_problems_and_nothing_worse(tmp_path: Path, content: bytes) -> None:
    assert problems(write(tmp_path, paygift_yaml=content, activities__a_yaml=SPEC))


@FREELY
@given(text=st.text(max_size=80))
def test_any_text_as_a_group_gives_merchants_or_problems(text: str) -> None:
    merchants, told = parse_group("g.txt", text)
    assert list(merchants) == sorted(set(merchants))
    assert all(problem.line and problem.column for problem in told)


FIELDS = [
    "key", "generation", "protect", "state", "renamed_from", "adopt", "replace", "activity_base_info",
    "award_send_rule", "advanced_setting", "activity_name", "begin_time", "end_time", "available_periods",
    "available_time", "available_day_time", "begin_day_time", "end_day_time", "award_list", "stock_id",
    "original_image_url", "thumbnail_url", "send_content", "merchant_groups", "merchant_id_list", "goods_tags",
    "delivery_purpose", "mini_programs_appid", "delivery_user_category", "merchant_member_appid", "<<",
]  # fmt: skip
VALUES = [
    "'1'", "''", "~", "true", "GIFT_PACKAGE", "2026-12-01 00:00:00", "110000", "images/a.png", "https://a.example/b",
    "JUMP_MINI_APP", "DELIVERY_MEMBER_PERSON", "'1900000001'", "east", "terminated", "-1", "良品",
]  # fmt: skip
nodes = st.recursive(
    st.sampled_from(VALUES),
    lambda inner: (
        st.lists(inner, max_size=4).map(lambda items: f"[{', '.join(items)}]")
        | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=5).map(
            lambda entries: "{" + ", ".join(f"{key}: {value}" for key, value in entries.items()) + "}"
        )
    ),
    max_leaves=25,
)


@settings(FREELY, max_examples=80)
@given(top=st.dictionaries(st.sampled_from(FIELDS), nodes, max_size=6), defaults=nodes)
def test_any_shape_gives_problems_in_our_words_and_nothing_worse(
    tmp_path: Path, top: dict[str, str], defaults: str
) -> None:
    spec = "".join(f"{key}: {value}\n" for key, value in top.items())
    write(tmp_path, paygift_yaml=f"{PROJECT}defaults: {defaults}\n", activities__a_yaml=spec or "{}\n")
    with pytest.raises(ProjectError) as caught:
        load_project(tmp_path, now=NOW)
    for problem in caught.value.diagnostics:
        assert problem.line or problem.code == "no_activity"
        assert "pydantic" not in problem.message
        assert not problem.message.startswith(("Input should", "Field required", "Value error", "Extra inputs"))


names = (
    st.text(st.characters(codec="utf-8", max_codepoint=0xFFFF, categories=["L", "N"]), min_size=1, max_size=9)
    .map(lambda name: normalize("NFC", name))
    .filter(lambda name: len(name) <= 9 and not FORBIDDEN.search(name))  # some letters cannot be seen
)
seconds = st.integers(0, 400 * 86_400)


@FREELY
@given(
    name=names,
    title=names,
    after=seconds,
    days=st.integers(0, 89),
    fen=st.integers(1, 1_000_000_000),
    merchants=st.sets(st.integers(10**7, 10**15 - 1).map(str), min_size=1, max_size=20),
    tags=st.sets(names, max_size=5),
)
def test_a_valid_spec_means_what_it_says(
    tmp_path: Path,
    name: str,
    title: str,
    after: int,
    days: int,
    fen: int,
    merchants: set[str],
    tags: set[str],
) -> None:
    begin = NOW - timedelta(days=200) + timedelta(seconds=after)
    until = begin + timedelta(days=days, seconds=1)
    spec = (
        f'activity_base_info: {{activity_name: "{name}", activity_second_title: "{title}",\n'
        f"  merchant_logo_url: https://wxpaylogo.qpic.cn/logo/0, delivery_purpose: OFF_LINE_PAY,\n"
        f"  begin_time: {begin.isoformat()}, end_time: {until.isoformat()}}}\n"
        f"award_send_rule: {{transaction_amount_minimum: {fen}, send_content: SINGLE_COUPON,\n"
        f"  award_list: [{{stock_id: '1', original_image_url: https://wxpaylogo.qpic.cn/award/0}}],\n"
        f"  merchant_id_list: [{', '.join(merchants)}]}}\n"
        f"advanced_setting: {{goods_tags: [{', '.join(f'{chr(34)}{tag}{chr(34)}' for tag in tags)}]}}\n"
    )
    write(tmp_path, paygift_yaml=PROJECT, activities__a_yaml=spec)
    (activity,) = load_project(tmp_path, now=NOW).activities
    assert activity.merchants == tuple(sorted(merchants))
    assert activity.terms.activity_name == name
    assert activity.terms.activity_second_title == title
    assert activity.terms.begin_time == begin
    assert activity.terms.end_time == until
    assert activity.terms.transaction_amount_minimum == fen
    assert activity.terms.goods_tags == tuple(sorted(tags))


@pytest.mark.parametrize("path", ["x" * 400, "a/" * 3_000, "loop", "loop/x", "paygift.yaml/x", "nowhere"])
@pytest.mark.parametrize("name", ["activities: {}", "merchant_groups: {{east: {}}}"])
def test_a_path_that_leads_nowhere_is_said_with_its_place(project: Project, name: str, path: str) -> None:
    (project.root / "loop").symlink_to("loop")
    (project.root / "paygift.yaml").write_text(f"namespace: liangpin\n{name.format(path)}\n", encoding="utf-8")
    code, out, err = project.run("validate")
    assert (code, out) == (3, "")
    assert err.startswith("paygift.yaml:2:")
