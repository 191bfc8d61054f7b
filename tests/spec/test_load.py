"""Loading a project: what becomes of good files, where files may lie, and what is wrong between files."""

from __future__ import annotations

import gc
import os
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from reconciler.model.activity import Image, Source
from reconciler.model.errors import ProjectError, UsageError
from reconciler.spec import find_root, load_project, read_image
from tests.support.images import bmp
from tests.support.projects import NOW, PROJECT, SPEC, png, problems, put, write

ACTIVITIES = Path(__file__).parents[2] / "activities"


def with_logo(path: str) -> str:
    return SPEC.replace("https://wxpaylogo.qpic.cn/logo/0", path)


def without(spec: str, *lines: str) -> str:
    return "".join(line for line in spec.splitlines(keepends=True) if not line.strip().startswith(lines))


# --- good projects -------------------------------------------------------------------------------------------------


def test_the_example_project_loads() -> None:
    project = load_project(ACTIVITIES, now=NOW)
    assert len(project.activities) >= 5
    assert max(len(activity.merchants) for activity in project.activities) == 1200


def test_the_examples_of_the_reference_load(tmp_path: Path) -> None:
    reference = (ACTIVITIES.parent / "docs/specs.md").read_text(encoding="utf-8")
    project, spec = (block.partition("```")[0] for block in reference.split("```yaml\n")[1:])
    write(tmp_path, paygift_yaml=project, specs__any_yaml=spec, merchants__east_txt="1900000002\n")
    write(tmp_path, images__logo_png=png(), images__big_png=png())
    (activity,) = load_project(tmp_path, now=NOW).activities
    assert activity.key == "spring-feedback"


def test_a_project_without_options_uses_the_documented_defaults(tmp_path: Path) -> None:
    project = load_project(write(tmp_path, paygift_yaml=PROJECT, activities__spring_yaml=SPEC), now=NOW)
    assert project.namespace == "liangpin"
    assert project.timezone == ZoneInfo("Asia/Shanghai")
    assert project.policy.on_removed == "terminate"
    assert project.brands == {}
    assert project.root == tmp_path.resolve()
    (activity,) = project.activities
    assert (activity.key, activity.generation, activity.protect, activity.state) == (
        "spring",
        1,
        False,
        "running",
    )
    assert activity.source == Source("activities/spring.yaml", 1)
    assert activity.merchants == ("1900000001", "1900000002")


def test_activities_are_sorted_by_key_whatever_their_files_are_called(tmp_path: Path) -> None:
    write(tmp_path, paygift_yaml=PROJECT, activities__a_yaml=f"key: z\n{SPEC}", activities__b__y_yml=SPEC)
    assert [activity.key for activity in load_project(tmp_path, now=NOW).activities] == ["y", "z"]


def test_an_empty_activities_folder_is_a_project_without_activities(tmp_path: Path) -> None:
    (tmp_path / "activities").mkdir()
    assert load_project(write(tmp_path, paygift_yaml=PROJECT), now=NOW).activities == ()


def test_defaults_are_merged_into_mappings_and_replaced_elsewhere(tmp_path: Path) -> None:
    defaults = (
        "defaults:\n"
        "  activity_base_info: {activity_name: 默认名, background_color: color020}\n"
        "  award_send_rule: {merchant_id_list: ['1900000099']}\n"
    )
    write(tmp_path, paygift_yaml=PROJECT + defaults, activities__spring_yaml=without(SPEC, "activity_name"))
    (activity,) = load_project(tmp_path, now=NOW).activities
    assert activity.terms.activity_name == "默认名"
    assert activity.terms.background_color == "Color020"
    assert activity.merchants == ("1900000001", "1900000002")


def test_groups_are_united_with_the_list_and_their_texts_are_shared(tmp_path: Path) -> None:
    project = PROJECT + "merchant_groups: {east: east.txt}\n"
    grouped = SPEC.replace("  merchant_id_list: [", "  merchant_groups: [east]\n  merchant_id_list: [")
    only = without(SPEC, "merchant_id_list") + "  merchant_groups: [east]\n"
    write(
        tmp_path,
        paygift_yaml=project,
        activities__a_yaml=grouped,
        activities__b_yaml=only,
        activities__c_yaml=only,
    )
    put(tmp_path, "east.txt", "\ufeff# the east\r\n\r\n1900000004\r\n1900000003 # new\r\n")
    a, b, c = load_project(tmp_path, now=NOW).activities
    assert a.merchants == ("1900000001", "1900000002", "1900000003", "1900000004")
    assert b.merchants == ("1900000003", "1900000004")
    assert b.merchants is c.merchants
    assert a.merchants[2] is b.merchants[0]


def test_a_file_may_hold_several_documents_that_name_their_keys(tmp_path: Path) -> None:
    write(
        tmp_path,
        paygift_yaml=PROJECT,
        activities__two_yaml=f"# first\nkey: one\n{SPEC}---\nkey: other\n{SPEC}",
    )
    one, other = load_project(tmp_path, now=NOW).activities
    assert (one.source.line, other.source.line) == (2, 17)


def test_yaml_traps_are_texts(tmp_path: Path) -> None:
    periods = "  available_periods:\n    available_day_time: [{begin_day_time: 000000, end_day_time: 010101}]\n"
    spec = SPEC.replace("  delivery_purpose", f"{periods}  delivery_purpose").replace("海飞丝的券", "no")
    spec = spec.replace('"98065001"', "0980_6500")
    write(tmp_path, paygift_yaml=PROJECT, activities__spring_yaml=spec)
    (activity,) = load_project(tmp_path, now=NOW).activities
    assert activity.terms.available_day_time[0].begin_day_time == "000000"
    assert activity.terms.activity_second_title == "no"
    assert activity.terms.award_list[0].stock_id == "0980_6500"


def test_brands_hold_their_merchants_and_groups(tmp_path: Path) -> None:
    project = (
        f"{PROJECT}merchant_groups: {{east: east.txt}}\n"
        "brands: {nuts: {merchants: ['1900000002', '1900000001'], merchant_groups: [east]}}\n"
    )
    write(tmp_path, paygift_yaml=project, activities__spring_yaml=SPEC)
    put(tmp_path, "east.txt", "1900000009")
    brands = load_project(tmp_path, now=NOW).brands
    assert brands == {"nuts": ("1900000001", "1900000002", "1900000009")}


def test_merchants_of_no_brand_are_fine_among_themselves(tmp_path: Path) -> None:
    project = PROJECT + "brands: {tea: {merchants: ['1900000077']}}\n"
    assert problems(write(tmp_path, paygift_yaml=project, activities__spring_yaml=SPEC)) == []


def test_the_policy_says_what_becomes_of_removed_specs(tmp_path: Path) -> None:
    write(tmp_path, paygift_yaml=PROJECT + "policy: {on_removed: ignore}\n", activities__spring_yaml=SPEC)
    assert load_project(tmp_path, now=NOW).policy.on_removed == "ignore"


def test_the_garbage_collector_is_left_as_it_was(tmp_path: Path) -> None:
    write(tmp_path, paygift_yaml=PROJECT, activities__spring_yaml=SPEC)
    load_project(tmp_path, now=NOW)
    assert gc.isenabled()
    gc.disable()
    try:
        load_project(tmp_path, now=NOW)
        assert not gc.isenabled()
    finally:
        gc.enable()


# --- a terminated spec ---------------------------------------------------------------------------------------------


def test_a_terminated_spec_may_lie_far_from_now_and_have_no_merchants(tmp_path: Path) -> None:
    spec = "state: terminated\n" + without(SPEC, "merchant_id_list")
    write(tmp_path, paygift_yaml=PROJECT, activities__spring_yaml=spec)
    assert problems(tmp_path, now=NOW - timedelta(days=900)) == []
    assert len(problems(write(tmp_path, activities__spring_yaml=spec.replace("terminated", "running")))) == 1


def test_a_terminated_spec_must_still_be_right(tmp_path: Path) -> None:
    spec = "state: terminated\n" + SPEC.replace("2026-12-31T", "2026-11-30T")
    write(tmp_path, paygift_yaml=PROJECT, activities__spring_yaml=spec)
    (told,) = problems(tmp_path)
    assert "end_time: 2026-11-30 23:59:59 is not later than begin_time 2026-12-01 00:00:00" in told


# --- where the project is ------------------------------------------------------------------------------------------


def test_the_root_is_the_nearest_folder_with_a_project_file(tmp_path: Path) -> None:
    inner = tmp_path / "campaigns" / "activities" / "autumn"
    inner.mkdir(parents=True)
    write(tmp_path, paygift_yaml=PROJECT, campaigns__paygift_yaml=PROJECT)
    assert find_root(inner) == tmp_path / "campaigns"
    assert find_root(tmp_path) == tmp_path
    assert find_root(tmp_path / "campaigns" / "paygift.yaml") == tmp_path / "campaigns"


def test_without_a_project_file_there_is_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        find_root(tmp_path)
    assert str(tmp_path) in caught.value.message
    assert "namespace:" in caught.value.remedy


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: [1, 2\nb: 3\n", '"[" of 1:4 is not closed'),
        ("a: [1, [2], 3\nb: [4]\n", '"[" of 1:4 is not closed'),
        ("a: [1, [2, 3]\n", '"[" of 1:4 is not closed'),
        ("a: [\n", '"[" of 1:4 is not closed'),
        ("a: {b: [\n", '"[" of 1:8 is not closed'),
        ("x: [1]\na: {b: 1\nc: 2\n", '"{" of 2:4 is not closed'),
        ('a: "x\nb: 3\n', "the quote of 1:4 is not closed"),
        ("a: [1, 'x\nb: 3]\n", "the quote of 1:8 is not closed"),
        ('a: [b, "c" d]\n', "expected `,` or the closing bracket"),
        ("a: [1}\n", "expected `,` or the closing bracket"),
    ],
)
def test_what_is_not_closed_is_told_by_its_beginning(tmp_path: Path, text: str, told: str) -> None:
    write(tmp_path, paygift_yaml=PROJECT)
    put(tmp_path, "activities/a.yaml", text)
    (line,) = problems(tmp_path)
    assert line.endswith(f": not valid YAML: {told}")


NO_ACTIVITY = "activities/a.yaml:1:1: expected an activity (activity_base_info, award_send_rule, …), found"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("key：spring\n", ['activities/a.yaml:1:4: a full-width sign "：" (U+FF1A): write :']),
        ("spring\n", [f'{NO_ACTIVITY} the text "spring"']),
        ("- a\n- b\n", [f"{NO_ACTIVITY} a list"]),
    ],
)
def test_what_stands_where_an_activity_should_be_is_told_or_why_it_is_none(
    tmp_path: Path, text: str, told: list[str]
) -> None:
    write(tmp_path, paygift_yaml=PROJECT)
    put(tmp_path, "activities/a.yaml", text)
    assert problems(tmp_path) == told


# --- the project file ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", ["paygift.yaml: namespace: required, and missing"]),
        ("# nothing\n", ["paygift.yaml: namespace: required, and missing"]),
        ("liangpin\n", ['paygift.yaml:1:1: expected a mapping (namespace: NAME), found the text "liangpin"']),
        ("namespace：a\n", ['paygift.yaml:1:10: a full-width sign "：" (U+FF1A): write :']),
        ("namespace: [\n", ['paygift.yaml:2:1: not valid YAML: "[" of 1:12 is not closed']),
        (
            f"{PROJECT}---\na: b\n",
            ["paygift.yaml:3:1: the project file is one document: remove the `---` above"],
        ),
        (
            f"{PROJECT}timezone: Asia\n",
            ['paygift.yaml:2:1: timezone: "Asia" is not a time zone\'s IANA name'],
        ),
        (f"{PROJECT}timezone:\n", ["paygift.yaml:2:1: timezone: empty: write a value, or remove the line"]),
        (
            f"{PROJECT}timezone: ../zone\n",
            ['paygift.yaml:2:1: timezone: "../zone" is not a time zone\'s IANA name'],
        ),
        (f"{PROJECT}activities: ../\n", ['paygift.yaml:2:1: activities: "../" leaves the project']),
        (f"{PROJECT}activities: nowhere\n", ['paygift.yaml:2:1: activities: "nowhere" does not exist']),
        (
            f"{PROJECT}activities: paygift.yaml\n",
            ['paygift.yaml:2:1: activities: "paygift.yaml" is not a folder'],
        ),
        (
            f"{PROJECT}defaults: none\n",
            ["paygift.yaml:2:1: defaults: expected a mapping (key: value), found the text"],
        ),
        (
            f"{PROJECT}merchant_groups: [a]\n",
            ["paygift.yaml:2:1: merchant_groups: expected a mapping (key: value)"],
        ),
        (
            f"{PROJECT}merchant_groups: {{east: [a], west: ../west.txt}}\n",
            [
                "paygift.yaml:2:19: merchant_groups.east: expected a text, found a list",
                'paygift.yaml:2:30: merchant_groups.west: "../west.txt" leaves the project',
            ],
        ),
        (
            f"{PROJECT}merchant_groups: {{east: activities}}\n",
            ['paygift.yaml:2:19: merchant_groups.east: "activities" is not a file'],
        ),
        (
            f"{PROJECT}brands:\n  a: {{merchants: ['1900000001', '1900000002']}}\n  b: {{merchants: ['1900000002']}}\n",
            ['paygift.yaml:4:3: brands.b: the merchant "1900000002" is in the brand "a" too (see paygift.yaml:3)'],
        ),
        (
            f"{PROJECT}brands:\n  a: &m {{merchants: ['1900000001', '1900000002']}}\n  b: *m\n",
            ['paygift.yaml:4:3: brands.b: the merchant "1900000001" and 1 more is in the brand "a" too'],
        ),
        (
            f"{PROJECT}brands: {{a: {{merchants: [19], members: []}}, b: []}}\n",
            [
                'paygift.yaml:2:26: brands.a.merchants[0]: "19" is not a merchant number: 8 to 15 digits',
                "paygift.yaml:2:31: brands.a.members: unknown key; known here: merchants",
                "paygift.yaml:2:45: brands.b: expected a mapping (key: value), found a list",
            ],
        ),
        (
            f"{PROJECT}brands: {{a: {{merchant_groups: [east]}}}}\n",
            ['paygift.yaml:2:32: brands.a.merchant_groups[0]: no group "east" in the merchant_groups of'],
        ),
    ],
)
def test_a_mistake_in_the_project_file_is_told(tmp_path: Path, text: str, told: list[str]) -> None:
    (tmp_path / "activities").mkdir()
    lines = problems(write(tmp_path, paygift_yaml=text))
    assert len(lines) == len(told)
    assert all(line.startswith(start) for line, start in zip(lines, told, strict=True)), lines


def test_a_missing_project_file_is_told(tmp_path: Path) -> None:
    assert problems(tmp_path) == ["paygift.yaml: does not exist"]


def test_mistakes_of_the_project_file_hide_none_of_the_specs(tmp_path: Path) -> None:
    write(
        tmp_path,
        paygift_yaml="namespace: Ä\ntimezone: Mars/Base\n",
        activities__a_yaml=SPEC.replace("100", "¥1"),
    )
    assert [line.split(":")[0] for line in problems(tmp_path)] == [
        "activities/a.yaml",
        "paygift.yaml",
        "paygift.yaml",
    ]


@pytest.mark.parametrize("own", ["key: a", "adopt: '1'", "renamed_from: [a]"])
def test_what_belongs_to_one_activity_cannot_be_a_default(tmp_path: Path, own: str) -> None:
    write(
        tmp_path,
        paygift_yaml=f"{PROJECT}defaults:\n  {own}\n",
        activities__a_yaml=SPEC,
        activities__b_yaml=SPEC,
    )
    (told,) = problems(tmp_path)
    assert told.startswith(f"paygift.yaml:3:3: defaults.{own.partition(':')[0]}: belongs to one activity")


# --- merchant groups -----------------------------------------------------------------------------------------------


def test_every_bad_line_of_a_group_is_told(tmp_path: Path) -> None:
    write(tmp_path, paygift_yaml=PROJECT + "merchant_groups: {east: m/east.txt}\n", activities__a_yaml=SPEC)
    put(
        tmp_path,
        "m/east.txt",
        "1900000001\n  1900000x\n1900000002 1900000003\n１９０００００００１\n1900000001\n",
    )
    assert problems(tmp_path) == [
        'm/east.txt:2:3: "1900000x" is not a merchant number: 8 to 15 digits',
        'm/east.txt:3:1: "1900000002 1900000003" is not a merchant number: 8 to 15 digits, one in each line',
        'm/east.txt:4:1: "１９０００００００１" is not a merchant number: 8 to 15 digits; "１" is full-width: write 1',
        'm/east.txt:5:1: the merchant "1900000001" is written twice (see m/east.txt:1)',
    ]


def test_a_group_in_another_encoding_is_told_at_its_byte(tmp_path: Path) -> None:
    write(tmp_path, paygift_yaml=PROJECT + "merchant_groups: {east: east.txt}\n", activities__a_yaml=SPEC)
    put(tmp_path, "east.txt", b"1900000001\n# \xb4\xba\n")
    (told,) = problems(tmp_path)
    assert told.startswith("east.txt:2:3: byte 0xb4 is not UTF-8")


def test_a_group_that_cannot_be_read_is_told_once_and_not_taken_for_empty(tmp_path: Path) -> None:
    spec = without(SPEC, "merchant_id_list") + "  merchant_groups: [east]\n"
    write(tmp_path, paygift_yaml=PROJECT + "merchant_groups: {east: east.txt}\n", activities__a_yaml=spec)
    assert problems(tmp_path) == ['paygift.yaml:2:19: merchant_groups.east: "east.txt" does not exist']


def test_an_empty_group_gives_no_merchants(tmp_path: Path) -> None:
    spec = without(SPEC, "merchant_id_list") + "  merchant_groups: [east]\n"
    write(tmp_path, paygift_yaml=PROJECT + "merchant_groups: {east: east.txt}\n", activities__a_yaml=spec)
    put(tmp_path, "east.txt", "# soon\n")
    (told,) = problems(tmp_path)
    assert told.startswith("activities/a.yaml:8:1: award_send_rule: no merchants")


# --- pictures ------------------------------------------------------------------------------------------------------


def test_a_local_picture_is_known_by_its_bytes_and_read_again_for_the_upload(tmp_path: Path) -> None:
    write(
        tmp_path,
        paygift_yaml=PROJECT,
        images__logo_png=png(),
        activities__a_yaml=with_logo("images/logo.png"),
    )
    (activity,) = load_project(tmp_path, now=NOW).activities
    logo = activity.terms.merchant_logo_url
    assert logo == Image(sha256=sha256(png()).hexdigest())
    assert logo.path == "images/logo.png"
    assert read_image(tmp_path, logo) == png()


def test_a_picture_that_changed_since_is_not_uploaded(tmp_path: Path) -> None:
    put(tmp_path, "logo.png", png(shade=9))
    with pytest.raises(ProjectError, match=r"logo\.png: has changed since the specs were loaded"):
        read_image(tmp_path, Image(sha256=sha256(png()).hexdigest(), path="logo.png"))


def test_a_picture_that_is_gone_is_not_uploaded(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match=r"logo\.png: does not exist"):
        read_image(tmp_path, Image(sha256="0", path="logo.png"))


def test_a_picture_above_two_mebibytes_is_refused(tmp_path: Path) -> None:
    write(tmp_path, paygift_yaml=PROJECT, activities__a_yaml=with_logo("logo.png"))
    put(tmp_path, "logo.png", png() + bytes(2 * 1024 * 1024))
    (told,) = problems(tmp_path)
    assert "bytes, at most 2,097,152 are allowed" in told


def test_bmp_is_good_for_a_logo(tmp_path: Path) -> None:
    write(tmp_path, paygift_yaml=PROJECT, logo_bmp=bmp(), activities__a_yaml=with_logo("logo.bmp"))
    assert problems(tmp_path) == []


# --- what specs do to each other -----------------------------------------------------------------------------------


def test_a_key_used_twice_is_told_with_both_places(tmp_path: Path) -> None:
    write(
        tmp_path,
        paygift_yaml=PROJECT,
        activities__spring_yaml=SPEC,
        activities__z_yaml=f"# z\nkey: spring\n{SPEC}",
    )
    assert problems(tmp_path) == [
        'activities/z.yaml:2:1: key: the key "spring" is also the key of another spec (see activities/spring.yaml:1)'
    ]


def test_specs_with_other_mistakes_are_compared_too(tmp_path: Path) -> None:
    bad = SPEC.replace("SINGLE_COUPON", "COUPON")
    write(tmp_path, paygift_yaml=PROJECT, activities__a_yaml=f"adopt: '7'\n{bad}")
    put(tmp_path, "activities/b.yaml", f"key: a\nadopt: '7'\n{SPEC}")
    told = problems(tmp_path)
    assert len(told) == 3
    assert "activities/b.yaml:2:1: adopt: another spec adopts 7 too (see activities/a.yaml:1)" in told


def test_a_former_key_can_be_claimed_once(tmp_path: Path) -> None:
    for name in ("a", "b"):
        put(tmp_path, f"activities/{name}.yaml", f"renamed_from: [old]\n{SPEC}")
    put(tmp_path, "activities/c.yaml", f"renamed_from: [a]\n{SPEC}")
    assert problems(write(tmp_path, paygift_yaml=PROJECT)) == [
        'activities/b.yaml:1:16: renamed_from[0]: "old" is claimed twice (see activities/a.yaml:1)',
        'activities/c.yaml:1:16: renamed_from[0]: "a" is still the key of another spec (see activities/a.yaml:1)',
    ]


# --- mistakes in defaults ------------------------------------------------------------------------------------------


def test_what_a_spec_leaves_out_is_missing_there_and_not_in_the_defaults(tmp_path: Path) -> None:
    defaults = "defaults: {activity_base_info: {background_color: Color010}}\n"
    write(tmp_path, paygift_yaml=PROJECT + defaults, activities__a_yaml=without(SPEC, "activity_name"))
    assert problems(tmp_path) == ["activities/a.yaml:1:1: activity_base_info.activity_name: required, and missing"]


def test_what_is_missing_in_a_list_of_the_defaults_is_told_there(tmp_path: Path) -> None:
    defaults = "defaults:\n  award_send_rule:\n    award_list: [{stock_id: '1'}]\n"
    spec = without(SPEC, "award_list", "- {stock_id")
    write(tmp_path, paygift_yaml=PROJECT + defaults, activities__a_yaml=spec, activities__b_yaml=spec)
    told = "paygift.yaml:4:18: defaults.award_send_rule.award_list[0].original_image_url: required, and missing"
    assert problems(tmp_path) == [told]


def test_a_list_that_replaces_a_default_is_judged_where_it_is_written(tmp_path: Path) -> None:
    defaults = "defaults:\n  award_send_rule:\n    award_list: [{stock_id: '1'}]\n"
    spec = SPEC.replace('{stock_id: "98065001", ', "{")
    write(tmp_path, paygift_yaml=PROJECT + defaults, activities__a_yaml=spec)
    assert problems(tmp_path) == [
        "activities/a.yaml:12:7: award_send_rule.award_list[0].stock_id: required, and missing"
    ]


def test_two_defaults_that_contradict_each_other_are_told_in_the_project_file(tmp_path: Path) -> None:
    times = "defaults:\n  activity_base_info:\n    begin_time: 2026-12-02 00:00\n    end_time: 2026-12-01 00:00\n"
    spec = without(SPEC, "begin_time", "end_time")
    write(tmp_path, paygift_yaml=PROJECT + times, activities__a_yaml=spec, activities__b_yaml=spec)
    (told,) = problems(tmp_path)
    assert told.startswith("paygift.yaml:5:5: defaults.activity_base_info.end_time: 2026-12-01 00:00:00 is not later")


JUMPING = """\
defaults:
  activity_base_info: {delivery_purpose: JUMP_MINI_APP, mini_programs_appid: wx1, mini_programs_path: /a}
  advanced_setting: {delivery_user_category: DELIVERY_MEMBER_PERSON, merchant_member_appid: wx2}
"""


def test_a_choice_of_the_spec_unsets_what_defaults_say_for_the_other_one(tmp_path: Path) -> None:
    everybody = "advanced_setting: {delivery_user_category: DELIVERY_ALL_PERSON}\n"
    write(tmp_path, paygift_yaml=PROJECT + JUMPING, activities__a_yaml=SPEC + everybody)
    put(tmp_path, "activities/b.yaml", without(SPEC, "delivery_purpose"))
    a, b = (activity.terms for activity in load_project(tmp_path, now=NOW).activities)
    assert (a.delivery_purpose, a.mini_programs_appid, a.mini_programs_path) == ("OFF_LINE_PAY", "", "")
    assert (a.delivery_user_category, a.merchant_member_appid) == ("DELIVERY_ALL_PERSON", "")
    assert (b.delivery_purpose, b.mini_programs_appid, b.mini_programs_path) == ("JUMP_MINI_APP", "wx1", "/a")
    assert (b.delivery_user_category, b.merchant_member_appid) == ("DELIVERY_MEMBER_PERSON", "wx2")


def test_what_contradicts_a_choice_in_the_same_file_is_still_told(tmp_path: Path) -> None:
    own = SPEC.replace("OFF_LINE_PAY", "OFF_LINE_PAY\n  mini_programs_appid: wx1")
    defaults = "defaults: {advanced_setting: {merchant_member_appid: wx2}}\n"
    write(tmp_path, paygift_yaml=PROJECT + defaults, activities__a_yaml=own)
    assert [line.partition(": only for")[0] for line in problems(tmp_path)] == [
        "activities/a.yaml:8:3: activity_base_info.mini_programs_appid",
        "paygift.yaml:2:31: defaults.advanced_setting.merchant_member_appid",
    ]


# --- files that may not be read ------------------------------------------------------------------------------------


def test_the_project_file_is_no_spec_even_among_the_specs(tmp_path: Path) -> None:
    assert problems(write(tmp_path, paygift_yaml=f"{PROJECT}activities: .\n", spring_yaml=SPEC)) == []


def test_links_inside_the_project_are_followed_and_others_are_refused(tmp_path: Path) -> None:
    root = write(tmp_path / "project", paygift_yaml=PROJECT, shared__summer_yaml=SPEC, activities__a_yaml=SPEC)
    secret = put(tmp_path, "secret.yaml", "password: 1\n")
    (root / "activities/in.yaml").symlink_to("../shared/summer.yaml")
    (root / "activities/more").symlink_to("../shared")
    (root / "activities/loop").symlink_to("..")
    (root / "activities/out.yaml").symlink_to(secret)
    (root / "activities/outside").symlink_to(tmp_path)
    (root / "activities/gone.yaml").symlink_to("nothing.yaml")
    (root / "activities/self.yaml").symlink_to("self.yaml")
    told = problems(root)
    assert [line for line in told if "password" in line] == []
    assert "activities/out.yaml: is a link that leaves the project" in told
    assert "activities/outside: is a link that leaves the project" in told
    assert "activities/gone.yaml: does not exist" in told
    assert any(line.startswith("activities/self.yaml: cannot be read") for line in told)
    assert "activities/loop/activities/loop: is a link to a folder that it is in" in told
    assert not any(line.startswith(("activities/in.yaml", "activities/more: ")) for line in told)


def test_groups_and_pictures_behind_links_that_leave_the_project_are_refused(tmp_path: Path) -> None:
    put(tmp_path, "outside/logo.png", png())
    put(tmp_path, "outside/east.txt", "1900000009")
    root = write(tmp_path / "project", activities__a_yaml=with_logo("images/logo.png"))
    write(root, paygift_yaml=PROJECT + "merchant_groups: {east: images/east.txt}\n")
    (root / "images").symlink_to(tmp_path / "outside")
    logo, group = problems(root)
    assert logo.endswith('merchant_logo_url: "images/logo.png" is a link that leaves the project')
    assert group == 'paygift.yaml:2:19: merchant_groups.east: "images/east.txt" is a link that leaves the project'


def test_a_named_pipe_is_refused_without_waiting_for_a_writer(tmp_path: Path) -> None:
    write(tmp_path, paygift_yaml=PROJECT, activities__a_yaml=SPEC)
    os.mkfifo(tmp_path / "activities/pipe.yaml")
    assert problems(tmp_path) == ["activities/pipe.yaml: is not a file"]


def test_a_file_name_cannot_write_to_the_terminal(tmp_path: Path) -> None:
    put(tmp_path, "activities/\x1b[2J.yaml", "")
    assert problems(write(tmp_path, paygift_yaml=PROJECT)) == [
        "activities/\\u001b[2J.yaml: the file is empty: write an activity, or remove the file"
    ]


def test_a_folder_that_cannot_be_listed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_path: str) -> None:
        raise PermissionError(13, "Permission denied")

    write(tmp_path, paygift_yaml=PROJECT, activities__a_yaml=SPEC)
    monkeypatch.setattr(os, "scandir", refuse)
    assert problems(tmp_path) == ["activities: cannot be read: Permission denied"]


def test_a_file_that_cannot_be_opened_or_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(5, "Input/output error")

    write(tmp_path, paygift_yaml=PROJECT)
    monkeypatch.setattr(os, "read", refuse)
    assert problems(tmp_path) == ["paygift.yaml: cannot be read: Input/output error"]
    monkeypatch.undo()
    monkeypatch.setattr(os, "open", refuse)
    assert problems(tmp_path) == ["paygift.yaml: cannot be read: Input/output error"]
