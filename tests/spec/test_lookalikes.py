"""What looks like YAML and is none: named at its own line, with what to write instead; and what a value was to be."""

from __future__ import annotations

from pathlib import Path
from time import process_time

import pytest

from reconciler.spec.lookalikes import lookalikes
from reconciler.spec.zones import UnknownZoneError, zone_named
from tests.support.projects import PROJECT, SPEC, problems, put, write


def told(root: Path, spec: str) -> list[str]:
    write(root, paygift_yaml=PROJECT, activities__a_yaml=spec)
    return problems(root)


def spoilt(old: str, new: str) -> str:
    assert old in SPEC
    return SPEC.replace(old, new, 1)


# --- full-width signs and blanks ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "place", "said"),
    [
        ("activity_name: ", "activity_name：", "2:16", '"：" (U+FF1A): write :'),
        ("activity_name: ", "activity_name： ", "2:16", '"：" (U+FF1A): write :'),
        ("activity_name: ", "activity_name ：", "2:17", '"：" (U+FF1A): write :'),
        ("activity_base_info:", "activity_base_info：", "1:19", '"：" (U+FF1A): write :'),
        ("merchant_id_list: ", "merchant_id_list：", "13:19", '"：" (U+FF1A): write :'),
        ("delivery_purpose: ", "delivery_purpose：", "7:19", '"：" (U+FF1A): write :'),
        ("stock_id: ", "stock_id：", "12:16", '"：" (U+FF1A): write :'),
        ('"98065001", ', '"98065001"，', "12:28", '"，" (U+FF0C): write ,'),
        ('"98065001", ', "98065001， ", "12:26", '"，" (U+FF0C): write ,'),
        ('["1900000002", "1900000001"]', '["1900000002", "1900000001"】', "13:48", '"】" (U+3011): write ]'),
        ('["1900000002", "1900000001"]', '["1900000002"，"1900000001"]', "13:34", '"，" (U+FF0C): write ,'),
        ("    - {stock", "    － {stock", "12:5", '"－" (U+FF0D): write -'),
        ("  activity_name", "\u3000activity_name", "2:1", "(U+3000): write an ordinary space"),
        ("  activity_name", "\u3000\u3000activity_name", "2:1", "(U+3000): write an ordinary space"),
        ("  activity_name", " \xa0activity_name", "2:2", "(U+00A0): write an ordinary space"),
        ("  activity_name", "\u2002\u2002activity_name", "2:1", "(U+2002): write an ordinary space"),
        ("activity_name: ", "activity_name:\xa0", "2:17", "(U+00A0): write an ordinary space"),
        ("activity_name: ", "activity_name:\u3000", "2:17", "(U+3000): write an ordinary space"),
        ("    - {stock", "    -\xa0{stock", "12:6", "(U+00A0): write an ordinary space"),
        ("award_send_rule:", "\u3000\naward_send_rule:", "8:1", "(U+3000): write an ordinary space"),
    ],
)  # fmt: skip
def test_it_is_named_at_its_own_line_with_what_to_write(
    tmp_path: Path, old: str, new: str, place: str, said: str
) -> None:
    lines = told(tmp_path, spoilt(old, new))
    assert any(line.startswith(f"activities/a.yaml:{place}: ") and said in line for line in lines), lines


def test_in_the_project_file_too(tmp_path: Path) -> None:
    write(tmp_path, paygift_yaml="namespace：liangpin\n", activities__a_yaml=SPEC)
    assert 'paygift.yaml:1:10: a full-width sign "：" (U+FF1A): write :' in problems(tmp_path)
    put(tmp_path, "paygift.yaml", f"{PROJECT}policy:\n\u3000on_removed: refuse\n")
    assert "paygift.yaml:3:1: a full-width space (U+3000): write an ordinary space" in problems(tmp_path)


@pytest.mark.parametrize(
    "name", ["“春”日，回馈", "春日：满减", "【春日】回馈", "春、夏", "Tag：春日", "（春）", "春日——夏"]
)
def test_names_may_hold_full_width_signs_and_are_not_accused_of_another_mistake(tmp_path: Path, name: str) -> None:
    good = spoilt("良品铺子回馈活动", name)
    assert told(tmp_path, good) == []
    (only,) = told(tmp_path, good.replace("OFF_LINE_PAY", "OFF"))
    assert "delivery_purpose" in only


def test_comments_and_quoted_texts_are_left_alone() -> None:
    assert lookalikes("# a：b，“c”\na: \"x：y，z\" # ，\nb: '{，}'\n", is_yaml=False) == []


@pytest.mark.parametrize(
    ("old", "new", "hint"),
    [
        ('"1900000002", ', "1900000002，", '"，" is full-width: write ,'),
        ('["1900000002", "1900000001"]', '【"1900000002", "1900000001"】', '"【" is full-width: write ['),
        ('"1900000001"]', '“1900000001"]', '"“" is full-width: write "'),
        ('"98065001"', "“98065001”", '"“" is full-width: write "'),
        ("minimum: 100", "minimum: １００", '"１" is full-width: write 1'),
        ("2026-12-01T00:00:00", "2026－12－01", '"－" is full-width: write -'),
        ("OFF_LINE_PAY", "OFF＿LINE＿PAY", '"＿" is full-width: write _'),
    ],
)
def test_a_value_that_must_be_ascii_says_which_sign_is_not(tmp_path: Path, old: str, new: str, hint: str) -> None:
    assert any(hint in line for line in told(tmp_path, spoilt(old, new)))


# --- left-overs of a merge ------------------------------------------------------------------------------------------

CONFLICT = "<<<<<<< HEAD\n  activity_name: 甲\n||||||| base\n=======\n  activity_name: 乙\n>>>>>>> other\n"


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("file", ["activities/a.yaml", "paygift.yaml", "g.txt"])
def test_what_git_could_not_merge_is_named_line_by_line(tmp_path: Path, file: str, ending: str) -> None:
    write(tmp_path, paygift_yaml=f"{PROJECT}merchant_groups: {{east: g.txt}}\n", activities__a_yaml=SPEC)
    put(tmp_path, "g.txt", "1900000003\n")
    first, rest = (tmp_path / file).read_text(encoding="utf-8").split("\n", 1)
    put(tmp_path, file, f"{first}\n{CONFLICT}{rest}".replace("\n", ending))
    lines = [line for line in problems(tmp_path) if "left over from a merge" in line]
    assert [line.split(":")[:4] for line in lines] == [
        [file, "2", "1", " <<<<<<<"],
        [file, "4", "1", " |||||||"],
        [file, "5", "1", " ======="],
        [file, "7", "1", " >>>>>>>"],
    ]


@pytest.mark.parametrize("line", ["=======", ">>>>>>> x", "<<<<<<< x"])
def test_one_line_that_was_forgotten_is_enough(tmp_path: Path, line: str) -> None:
    (only,) = told(tmp_path, spoilt("award_send_rule:", f"{line}\naward_send_rule:"))
    assert only.startswith(f"activities/a.yaml:8:1: {line[:7]}: left over from a merge")


def test_lines_of_signs_in_comments_are_fine(tmp_path: Path) -> None:
    assert told(tmp_path, f"# =======\n#<<<<<<< x\n{SPEC}") == []


# --- dates without a time of day ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "day"),
    [
        ("2027-05-01", "2027-05-01"),
        ("2027-5-1", "2027-05-01"),
        ("2027/05/01", "2027-05-01"),
        ("2027.5.1", "2027-05-01"),
        ("2027年5月1日", "2027-05-01"),
    ],
)
def test_a_day_begins_at_its_beginning_and_ends_at_its_end(tmp_path: Path, written: str, day: str) -> None:
    begin = told(tmp_path, spoilt("2026-12-01T00:00:00", written))
    assert any(
        f'begin_time: "{written}" has no time of day: for the beginning of the day write {day}T00:00:00' in one
        for one in begin
    )
    end = told(tmp_path, spoilt("2026-12-31T23:59:59", written))
    assert any(
        f'end_time: "{written}" has no time of day: for the whole day write {day}T23:59:59' in one for one in end
    )


def test_the_end_of_a_window_and_of_a_freeze_too(tmp_path: Path) -> None:
    window = "  available_periods: {available_time: [{begin_time: 2026-12-02, end_time: 2026-12-03}]}\n"
    lines = told(tmp_path, spoilt("  delivery_purpose", f"{window}  delivery_purpose"))
    assert ["2026-12-02T00:00:00" in lines[0], "2026-12-03T23:59:59" in lines[1]] == [True, True]
    freeze = "policy: {freeze: [{begin_time: 2026-11-11, end_time: 2026-11-12}]}\n"
    write(tmp_path, paygift_yaml=PROJECT + freeze, activities__a_yaml=SPEC)
    assert [line.rpartition(" ")[2] for line in problems(tmp_path)] == [
        "2026-11-11T00:00:00",
        "2026-11-12T23:59:59",
    ]


def test_a_day_that_there_is_not_gets_no_advice(tmp_path: Path) -> None:
    (only,) = told(tmp_path, spoilt("2026-12-31T23:59:59", "2026-02-30"))
    assert 'end_time: "2026-02-30" does not exist in the calendar' in only


# --- time zones -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "Asia/Beijing", "Asia/Peking", "Beijing", "CST", "cst", "GMT+8", "UTC+8", "UTC+08:00", "utc+0800", "+08:00",
        "+8", "China Standard Time", "北京时间", "Asia/Shenzhen", "asia/shanghai", "ASIA/SHANGHAI", "Asia/Shangai",
        "Etc/GMT+8", "Etc/UTC+8", "Shanghai", "中国标准时间",
    ],
)  # fmt: skip
def test_what_people_call_the_time_of_china_is_asia_shanghai(tmp_path: Path, name: str) -> None:
    write(tmp_path, paygift_yaml=f"{PROJECT}timezone: '{name}'\n", activities__a_yaml=SPEC)
    (only,) = problems(tmp_path)
    assert only.startswith(f'paygift.yaml:2:1: timezone: "{name}" is ')
    assert only.endswith("did you mean Asia/Shanghai?")


@pytest.mark.parametrize("name", ["posix/Asia/Shanghai", "right/Asia/Shanghai", "localtime", "posixrules", "Asia", "x"])
def test_files_that_are_no_zones_of_the_database_are_no_zones(name: str) -> None:
    with pytest.raises(UnknownZoneError):
        zone_named(name)


@pytest.mark.parametrize("name", ["Asia/Shanghai", "Asia/Urumqi", "America/New_York", "UTC", "Etc/GMT-8", "Etc/GMT+0"])
def test_zones_of_the_database_are_zones(name: str) -> None:
    assert zone_named(name).key == name


# --- what means harm ------------------------------------------------------------------------------------------------


@pytest.mark.sampled(every=3)
@pytest.mark.parametrize(
    "text",
    [
        "[" * 400_000 + "中", '"' + '\\"' * 200_000 + "中", "“" * 300_000, "- " * 300_000 + "：",
        "a: “" + " " * 500_000 + "中",
        "\n".join(['中"' + '\\"' * 240] * 1_900), "\n".join(["中[" + "{,a" * 160] * 2_000), "\n".join(["＃"] * 200_000),
    ],
    ids=range(8),
)  # fmt: skip
def test_no_text_takes_long_to_look_through(text: str) -> None:
    started = process_time()
    lookalikes(text, is_yaml=False)
    lookalikes(text, is_yaml=True)
    assert process_time() - started < 8


@pytest.mark.parametrize("value", ["https://x。y/key", "ｓｅｃｒｅｔ", "密，钥"])
def test_of_what_may_be_a_secret_not_even_a_character_is_quoted(tmp_path: Path, value: str) -> None:
    notify = f"notify:\n  - {{kind: wecom, url_from: '{value}'}}\n"
    write(tmp_path, paygift_yaml=PROJECT + notify, activities__a_yaml=SPEC)
    (only,) = problems(tmp_path)
    assert not set(value) & set(only) - set("https://xykey ")
    assert "full-width" not in only
