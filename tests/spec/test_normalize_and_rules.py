"""What specs mean: the canonical form of the terms, and rules of several fields. Values in, values out."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from reconciler.model.activity import Award, DayWindow, DesiredActivity, Image, Source, Window
from reconciler.model.identity import terms_digest
from reconciler.spec.conflicts import Header, conflicts
from reconciler.spec.context import LocalImage, MissingImage, SpecContext
from reconciler.spec.diagnostics import FieldDiagnostic, OtherSpec
from reconciler.spec.models import ActivitySpec
from reconciler.spec.normalize import normalize
from reconciler.spec.rules import diagnostics_in, local_images
from reconciler.spec.validation_errors import salvage

NOW = datetime(2026, 11, 23, tzinfo=UTC)
SHANGHAI = SpecContext(ZoneInfo("Asia/Shanghai"), NOW)
NEW_YORK = SpecContext(ZoneInfo("America/New_York"), NOW)
LOGO = "https://wxpaylogo.qpic.cn/logo/0"
LOST = object()
"""Leaves a field out."""


def spec(
    base: dict[str, Any] | None = None,
    rule: dict[str, Any] | None = None,
    setting: dict[str, Any] | None = None,
    **top: Any,
) -> ActivitySpec:
    """A spec that differs from a plain one in these fields; ``None`` leaves one out."""

    def changed(plain: dict[str, Any], changes: dict[str, Any] | None) -> dict[str, Any]:
        return {name: value for name, value in {**plain, **(changes or {})}.items() if value is not None}

    plain_base = {
        "activity_name": "良品铺子回馈活动",
        "activity_second_title": "海飞丝的券",
        "merchant_logo_url": LOGO,
        "begin_time": "2026-12-01T00:00:00",
        "end_time": "2026-12-31T23:59:59",
        "delivery_purpose": "OFF_LINE_PAY",
    }
    plain_rule = {
        "transaction_amount_minimum": "100",
        "send_content": "SINGLE_COUPON",
        "award_list": [{"stock_id": "98065001", "original_image_url": LOGO}],
        "merchant_id_list": ["1900000001"],
    }
    return ActivitySpec.model_validate(
        {
            "activity_base_info": changed(plain_base, base),
            "award_send_rule": changed(plain_rule, rule),
            "advanced_setting": setting or {},
            **top,
        }
    )


def desired(wanted: ActivitySpec, context: SpecContext = SHANGHAI) -> DesiredActivity:
    assert diagnostics_in(wanted, context) == []
    return normalize(wanted, "spring", Source("activities/spring.yaml", 3), context)


def codes(wanted: ActivitySpec, context: SpecContext = SHANGHAI) -> list[str]:
    return [mistake.code for mistake in diagnostics_in(wanted, context)]


def periods(time: list[tuple[str, str]] | None = None, day: list[tuple[str, str]] | None = None) -> dict[str, Any]:
    return {
        "available_periods": {
            "available_time": [{"begin_time": begin, "end_time": end} for begin, end in time or ()],
            "available_day_time": [{"begin_day_time": begin, "end_day_time": end} for begin, end in day or ()],
        }
    }


def package(count: int, **changes: Any) -> dict[str, Any]:
    award = {"original_image_url": LOGO, "thumbnail_url": LOGO}
    awards = [{**award, "stock_id": str(number), **changes} for number in range(count)]
    kept = [{name: value for name, value in each.items() if value is not LOST} for each in awards]
    return {"send_content": "GIFT_PACKAGE", "award_list": kept}


# --- canonical form ------------------------------------------------------------------------------------------------


def test_times_without_offset_are_the_projects_and_all_become_utc() -> None:
    here = desired(spec()).terms
    assert here.begin_time == datetime(2026, 11, 30, 16, tzinfo=UTC)
    assert here.begin_time.tzinfo is UTC
    there = desired(spec({"begin_time": "2026-11-30T16:00:00Z", "end_time": "2026-12-31T10:59:59-05:00"})).terms
    assert there == here
    assert terms_digest(there) == terms_digest(here)


def test_milliseconds_are_kept_in_the_terms_and_make_other_terms() -> None:
    precise = desired(spec({"end_time": "2026-12-31T23:59:59.999"})).terms
    assert precise.end_time == datetime(2026, 12, 31, 15, 59, 59, 999_000, tzinfo=UTC)
    assert terms_digest(precise) != terms_digest(desired(spec()).terms)
    zeros = desired(spec({"end_time": "2026-12-31T23:59:59.000"})).terms
    assert terms_digest(zeros) == terms_digest(desired(spec()).terms)


def test_windows_that_narrow_nothing_are_dropped() -> None:
    whole = periods([("2026-12-01T00:00:00+08:00", "2026-12-31T23:59:59")], [("000000", "235959")])
    assert desired(spec(whole)).terms == desired(spec()).terms


def test_windows_are_sorted_whatever_order_they_are_written_in() -> None:
    days = [("2026-12-05T00:00:00", "2026-12-06T00:00:00"), ("2026-12-01T00:00:00", "2026-12-02T00:00:00")]
    hours = [("180000", "200000"), ("110000", "135959")]
    terms = desired(spec(periods(days, hours))).terms
    assert terms == desired(spec(periods(days[::-1], hours[::-1]))).terms
    first = datetime(2026, 11, 30, 16, tzinfo=UTC)
    assert terms.available_time[0] == Window(first, first + timedelta(days=1))
    assert terms.available_day_time == (DayWindow("110000", "135959"), DayWindow("180000", "200000"))


def test_tags_and_merchants_are_sorted_and_awards_keep_their_order() -> None:
    for tags in permutations(["b", "a", "c"]):
        wanted = spec(
            rule={**package(3), "merchant_id_list": ["1900000002", "1900000001"]},
            setting={"goods_tags": tags},
        )
        activity = desired(wanted)
        assert activity.terms.goods_tags == ("a", "b", "c")
        assert activity.merchants == ("1900000001", "1900000002")
        assert [award.stock_id for award in activity.terms.award_list] == ["0", "1", "2"]


def test_our_own_keys_stand_beside_the_terms() -> None:
    activity = desired(
        spec(
            generation="3",
            protect="true",
            state="terminated",
            replace="terminate_first",
            renamed_from=["b", "a"],
            adopt="7",
        )
    )
    assert replace(activity, terms=activity.terms) == activity
    assert (activity.generation, activity.protect, activity.state) == (3, True, "terminated")
    assert (activity.replace, activity.renamed_from, activity.adopt) == ("terminate_first", ("a", "b"), "7")
    assert (activity.key, str(activity.source)) == ("spring", "activities/spring.yaml:3")


def test_a_local_picture_is_its_hash_and_a_url_is_itself() -> None:
    wanted = spec({"merchant_logo_url": "logo.png"}, package(3, thumbnail_url="small.jpg"))
    assert list(local_images(wanted)) == ["logo.png", *["small.jpg"] * 3]
    context = replace(SHANGHAI, images={"logo.png": LocalImage("aa", "PNG"), "small.jpg": LocalImage("bb", "JPG")})
    terms = desired(wanted, context).terms
    assert terms.merchant_logo_url == Image(sha256="aa")
    assert terms.award_list[0] == Award("0", Image(url=LOGO), Image(sha256="bb"))


def test_a_colour_nobody_chose_is_none() -> None:
    assert desired(spec()).terms.background_color is None
    assert desired(spec({"background_color": "COLOR090"})).terms.background_color == "Color090"


def test_the_only_group_of_a_spec_is_taken_as_it_is() -> None:
    east = ("1900000001", "1900000002")
    context = replace(SHANGHAI, groups={"east": east, "west": ("1900000000",)})
    assert desired(spec(rule={"merchant_groups": ["east"], "merchant_id_list": []}), context).merchants is east
    both = spec(rule={"merchant_groups": ["east", "west"], "merchant_id_list": ["1900000003"]})
    assert desired(both, context).merchants == ("1900000000", *east, "1900000003")


# --- time ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("begin", "end", "told"),
    [
        ("2026-12-01T00:00:00", "2027-03-01T00:00:00", []),
        ("2026-12-01T00:00:00", "2027-03-01T00:00:01", ["too_long_validity"]),
        ("2026-12-01T00:00:00", "2026-12-01T00:00:00", ["ends_before_begin"]),
        ("2026-12-01T00:00:00", "2026-12-01T00:00:01", []),
        ("2026-12-01T00:00:00+08:00", "2026-11-30T17:00:00Z", []),
        ("2020-01-01T00:00:00", "2020-01-02T00:00:00", []),
        ("2026-12-01T00:00:00", "2027-03-01T00:00:00.001", ["too_long_validity"]),
        ("2026-12-01T00:00:00.001", "2027-03-01T00:00:00.001", []),
        ("2026-12-01T00:00:00.5", "2026-12-01T00:00:00.50", ["ends_before_begin"]),
        ("2026-12-01T00:00:00.5", "2026-12-01T00:00:00.51", []),
        ("2027-10-01T00:00:00Z", "2027-11-22T23:59:59.999Z", []),
        ("2027-10-01T00:00:00Z", "2027-11-22T23:59:59Z", []),
        ("2027-10-01T00:00:00Z", "2027-11-23T00:00:00Z", ["too_far_ahead"]),
    ],
)
def test_an_activity_lasts_at_most_90_days_and_ends_within_a_year(begin: str, end: str, told: list[str]) -> None:
    assert codes(spec({"begin_time": begin, "end_time": end})) == told


@pytest.mark.parametrize(
    ("begin", "end", "said"),
    [
        (
            "2026-12-01T00:00:00.5",
            "2026-12-01T00:00:00",
            "2026-12-01 00:00:00 is not later than begin_time 2026-12-01 00:00:00.500",
        ),
        ("2026-12-01T00:00:00", "2027-03-01T00:00:00.02", "90 days 0.020 s after begin_time"),
    ],
)
def test_a_message_about_milliseconds_shows_them(begin: str, end: str, said: str) -> None:
    (mistake,) = diagnostics_in(spec({"begin_time": begin, "end_time": end}), SHANGHAI)
    assert said in mistake.message


def test_what_is_left_until_an_end_is_told_in_whole_seconds_whatever_the_clock_says() -> None:
    context = replace(SHANGHAI, now=NOW + timedelta(microseconds=123_456))
    (mistake,) = diagnostics_in(
        spec({"begin_time": "2027-10-01T00:00:00Z", "end_time": "2027-11-23T00:00:01Z"}), context
    )
    assert mistake.message == "365 days from now: an activity must end within less than 365 days"


def test_times_that_the_clock_skips_or_shows_twice_need_an_offset() -> None:
    times = {"begin_time": "2026-11-01T01:30:00", "end_time": "2026-12-01T00:00:00"}
    assert codes(spec(times), NEW_YORK) == ["ambiguous_time"]
    assert codes(spec({**times, "begin_time": "2026-11-01T01:30:00-04:00"}), NEW_YORK) == []
    times = {"begin_time": "2026-03-01T00:00:00", "end_time": "2026-03-08T02:30:00"}
    (mistake,) = diagnostics_in(spec(times), NEW_YORK)
    assert mistake.code == "nonexistent_time"
    assert mistake.message == (
        "2026-03-08 02:30:00 happens never in America/New_York, where clocks change: write the offset, such as +08:00"
    )


@pytest.mark.parametrize(
    ("windows", "told"),
    [
        ([("2026-12-01T00:00:00", "2026-12-02T00:00:00")] * 2, ["duplicate"]),
        (
            [
                ("2026-12-01T00:00:00", "2026-12-02T00:00:00"),
                ("2026-11-30T16:00:00Z", "2026-12-01T16:00:00Z"),
            ],
            ["duplicate"],
        ),
        ([("2026-11-30T23:59:59", "2026-12-02T00:00:00")], ["outside_activity"]),
        ([("2026-12-30T00:00:00", "2027-01-01T00:00:00")], ["outside_activity"]),
        ([("2026-12-02T00:00:00", "2026-12-02T00:00:00")], ["ends_before_begin"]),
        ([("2026-12-02T00:00:00", "2026-12-02T00:00:00.001")], []),
        ([("2026-12-30T00:00:00", "2026-12-31T23:59:59.001")], ["outside_activity"]),
        ([(f"2026-12-{day:02}T00:00:00", f"2026-12-{day:02}T01:00:00") for day in range(1, 7)], []),
        ([(f"2026-12-{day:02}T00:00:00", f"2026-12-{day:02}T01:00:00") for day in range(1, 8)], ["too_many"]),
    ],
)
def test_windows_are_distinct_and_lie_inside_the_activity(windows: list[tuple[str, str]], told: list[str]) -> None:
    assert codes(spec(periods(windows))) == told


@pytest.mark.parametrize(
    ("windows", "told"),
    [
        ([("110000", "110000")], ["ends_before_begin"]),
        ([("220000", "020000")], ["ends_before_begin"]),
        ([("110000", "120000")] * 2, ["duplicate"]),
        ([(f"0{hour}0000", f"0{hour}3000") for hour in range(7)], ["too_many"]),
    ],
)
def test_daily_windows_are_distinct_and_end_after_they_begin(windows: list[tuple[str, str]], told: list[str]) -> None:
    assert codes(spec(periods(day=windows))) == told


# --- what belongs together -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("base", "told"),
    [
        ({"delivery_purpose": "JUMP_MINI_APP", "mini_programs_appid": "wx1", "mini_programs_path": "/a"}, []),
        ({"delivery_purpose": "JUMP_MINI_APP"}, ["missing", "missing"]),
        ({"mini_programs_appid": "wx1", "mini_programs_path": "/a"}, ["not_applicable", "not_applicable"]),
    ],
)
def test_a_mini_program_is_named_when_it_is_jumped_to_and_only_then(base: dict[str, str], told: list[str]) -> None:
    assert codes(spec(base)) == told


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ({"delivery_user_category": "DELIVERY_MEMBER_PERSON", "merchant_member_appid": "wx1"}, []),
        ({"delivery_user_category": "DELIVERY_MEMBER_PERSON"}, ["missing"]),
        ({"merchant_member_appid": "wx1"}, ["not_applicable"]),
        ({"goods_tags": [str(n) for n in range(500)]}, []),
        ({"goods_tags": [str(n) for n in range(501)]}, ["too_many"]),
        ({"goods_tags": ["a", "a"]}, ["duplicate"]),
    ],
)
def test_members_need_their_appid_and_tags_are_few_and_distinct(setting: dict[str, Any], told: list[str]) -> None:
    assert codes(spec(setting=setting)) == told


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        (package(2), ["award_count"]),
        (package(3), []),
        (package(5), []),
        (package(6), ["award_count"]),
        (package(3, thumbnail_url=LOST), ["missing"] * 3),
        ({**package(3), "send_content": "SINGLE_COUPON"}, ["award_count"]),
        ({"award_list": []}, ["award_count"]),
        (package(3, stock_id="1"), ["duplicate"] * 2),
    ],
)
def test_awards_are_as_many_as_the_content_takes(rule: dict[str, Any], told: list[str]) -> None:
    assert codes(spec(rule=rule)) == told


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (LocalImage("aa", "PNG"), []),
        (LocalImage("aa", "JPG"), ["picture_name"]),
        (LocalImage("aa", "BMP"), ["picture_kind"]),
        (MissingImage("not_found", "does not exist"), ["not_found"]),
    ],
)
def test_a_picture_is_what_its_name_says(found: LocalImage | MissingImage, told: list[str]) -> None:
    wanted = spec(rule={"award_list": [{"stock_id": "1", "original_image_url": "a.png"}]})
    assert codes(wanted, replace(SHANGHAI, images={"a.png": found})) == told


# --- merchants -----------------------------------------------------------------------------------------------------

GROUPS = replace(
    SHANGHAI,
    groups={
        "east": ("1900000001", "1900000002"),
        "west": ("1900000002", "1900000003"),
        "north": ("1900000004",),
        "lost": None,
        "empty": (),
    },
)


def merchant_mistakes(
    groups: list[str], listed: list[str], context: SpecContext = GROUPS, **top: Any
) -> list[FieldDiagnostic]:
    return diagnostics_in(spec(rule={"merchant_groups": groups, "merchant_id_list": listed}, **top), context)


@pytest.mark.parametrize(
    ("groups", "listed", "told"),
    [
        (["east"], [], []),
        (["east", "north"], ["1900000009"], []),
        ([], [], ["no_merchants"]),
        (["empty"], [], ["no_merchants"]),
        (["lost"], [], []),
        (["nowhere"], [], ["unknown_group"]),
        (["east", "east"], [], ["duplicate"]),
        (["east", "west"], [], []),
        (["east", "west"], ["1900000002"], []),
        ([], ["1900000002", "1900000002"], ["duplicate_merchant"]),
    ],
)
def test_merchants_come_once_from_somewhere(groups: list[str], listed: list[str], told: list[str]) -> None:
    assert [mistake.code for mistake in merchant_mistakes(groups, listed)] == told


def test_a_merchant_that_is_listed_twice_is_told_with_both_places() -> None:
    (mistake,) = merchant_mistakes(["east"], ["1900000001", "1900000001"])
    assert mistake.path == ("award_send_rule", "merchant_id_list", 1)
    assert mistake.also == (("award_send_rule", "merchant_id_list", 0),)


def test_groups_and_list_are_sets_that_may_overlap() -> None:
    rule = {"merchant_groups": ["east", "west"], "merchant_id_list": ["1900000002", "1900000009"]}
    merchants = desired(spec(rule=rule), GROUPS).merchants
    assert merchants == tuple(sorted({*(GROUPS.groups["east"] or ()), *(GROUPS.groups["west"] or ()), "1900000009"}))
    assert len(merchants) == len(set(merchants))


def test_a_terminated_activity_needs_no_merchants() -> None:
    assert merchant_mistakes([], [], state="terminated") == []


def test_all_merchants_are_of_one_brand_or_none_is_of_any() -> None:
    brands = {"1900000001": "nuts", "1900000002": "nuts", "1900000004": "tea"}
    context = replace(GROUPS, brand_of=brands)
    assert merchant_mistakes(["east"], [], context) == []
    assert merchant_mistakes([], ["1900000008", "1900000009"], context) == []
    (mistake,) = merchant_mistakes(["north", "east"], [], context)
    assert (mistake.code, mistake.path[-2:]) == ("mixed_brands", ("merchant_groups", 0))
    assert mistake.message == 'merchants of several brands: 2 of "nuts", but 1900000004 (tea); one brand is allowed'
    listed = [f"190000001{n}" for n in range(5)]
    (mistake,) = merchant_mistakes(["east"], listed, context)
    assert mistake.path[-2:] == ("merchant_id_list", 0)
    assert "1900000010 (in no brand), 1900000011 (in no brand), 1900000012 (in no brand) and 2 more" in mistake.message


# --- what is left of a damaged spec --------------------------------------------------------------------------------


def test_nothing_is_said_about_fields_that_could_not_be_read() -> None:
    assert diagnostics_in(salvage(ActivitySpec, None), SHANGHAI) == []


# --- between specs -------------------------------------------------------------------------------------------------


def test_no_two_specs_claim_the_same() -> None:
    headers = [
        Header("a"),
        Header("b", ("old", None), "7"),
        Header("a", ("old", "c", "c"), "7"),
        Header("c", ("c",)),
        Header("", ("",), ""),
        Header("", (), ""),
    ]
    assert [(index, mistake.path, mistake.code, mistake.also) for index, mistake in conflicts(headers)] == [
        (2, ("key",), "duplicate_key", (OtherSpec(0, ("key",)),)),
        (2, ("adopt",), "duplicate_adopt", (OtherSpec(1, ("adopt",)),)),
        (2, ("renamed_from", 0), "renamed_from_twice", (OtherSpec(1, ("renamed_from", 0)),)),
        (2, ("renamed_from", 1), "renamed_from_living", (OtherSpec(3, ("key",)),)),
        (2, ("renamed_from", 2), "renamed_from_living", (OtherSpec(3, ("key",)),)),
        (3, ("renamed_from", 0), "renamed_from_itself", ()),
    ]
