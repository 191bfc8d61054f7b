"""What the remote spells in several ways becomes one, and what we send reads back as what it was sent from."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given

from reconciler.live.translate import create_request, live_activity
from reconciler.model.activity import DayWindow, Image, LiveActivity, Terms, Window
from reconciler.wechatpay.wire import ActivityItem
from tests.support.samples import LOCAL, any_terms, desired, mchids, terms

# The element that API §1.7 reproduces from a real answer: upper-case colour, nested rule, defaults filled in.
REAL_ELEMENT: dict[str, Any] = {
    "activity_base_info": {
        "activity_name": "满减活动",
        "activity_second_title": "满减活动副",
        "background_color": "COLOR010",
        "begin_time": "2020-06-02T10:00:00+08:00",
        "end_time": "2020-06-02T23:29:35+08:00",
        "delivery_purpose": "JUMP_MINI_APP",
        "merchant_logo_url": "https://wxpaylogo.qpic.cn/wxpaylogo/abc/0",
        "mini_programs_appid": "wx23232232323",
        "mini_programs_path": "/path/index/index",
        "out_request_no": "100002322020-0602-1047-99",
    },
    "activity_id": "20406354",
    "activity_status": "OVER_TIME_ACT_STATUS",
    "activity_type": "FULL_SEND_ACT_TYPE",
    "advanced_setting": {"delivery_user_category": "DELIVERY_ALL_PERSON", "goods_tags": ["0602-1047-99"]},
    "award_send_rule": {
        "full_send_rule": {
            "award_list": [
                {
                    "original_image_url": "https://wxpaylogo.qpic.cn/wxpaylogo/big/0",
                    "stock_id": "1263540000000013",
                    "thumbnail_url": "https://wxpaylogo.qpic.cn/wxpaylogo/small/0",
                }
            ],
            "award_type": "BUSIFAVOR",
            "merchant_id_list": [],
            "merchant_option": "MANUAL_INPUT_MERCHANT",
            "send_content": "SINGLE_COUPON",
            "transaction_amount_minimum": 1,
        }
    },
    "belong_merchant_id": "1900009251",
    "creator_merchant_id": "1900009251",
    "create_time": "2020-06-02T10:47:26+08:00",
    "update_time": "2020-06-05T10:26:08+08:00",
}


def element(**changes: Any) -> ActivityItem:
    """The real element with fields changed; ``base`` and ``rule`` go into its inner objects."""
    data = json.loads(json.dumps(REAL_ELEMENT))
    data["activity_base_info"] |= changes.pop("base", {})
    data["award_send_rule"]["full_send_rule"] |= changes.pop("rule", {})
    return ActivityItem.model_validate(data | changes)


def read_terms(item: ActivityItem) -> Terms:
    found = live_activity(item).terms
    assert found is not None
    return found


def as_listed(request_json: bytes, *, activity_id: str = "10028001") -> LiveActivity:
    """What a list would show of a create request: the rule one deeper, the merchants left out (API §1.2)."""
    body = json.loads(request_json)
    rule = body["award_send_rule"]
    rule["merchant_id_list"] = []
    colour = body["activity_base_info"].get("background_color")
    if colour:
        body["activity_base_info"]["background_color"] = colour.upper()
    item = {**body, "award_send_rule": {"full_send_rule": rule}, "activity_status": "CREATE_ACT_STATUS"}
    return live_activity(ActivityItem.model_validate({**item, "activity_id": activity_id}))


@given(any_terms())
def test_what_is_created_reads_back_as_the_terms_it_was_created_from(each: Terms) -> None:
    request = create_request("liangpin_spring_g1_0123456789ab", each, mchids(2), {})
    assert as_listed(request.json_bytes()).terms == each


def test_the_real_element_reads_as_the_terms_that_describe_it() -> None:
    found = live_activity(element())
    assert found.activity_id == "20406354"
    assert found.out_request_no == "100002322020-0602-1047-99"
    assert found.creator_merchant_id == "1900009251"
    assert found.create_time == datetime(2020, 6, 2, 2, 47, 26, tzinfo=UTC)
    assert found.merchants is None
    assert found.terms is not None
    assert found.terms.background_color == "Color010"
    assert found.terms.begin_time == datetime(2020, 6, 2, 2, tzinfo=UTC)
    assert found.terms.goods_tags == ("0602-1047-99",)


def test_equal_terms_make_equal_bytes() -> None:
    one, other = (
        create_request("n", desired(goods_tags=("a", "b")).terms, mchids(3), {}).json_bytes() for _ in range(2)
    )
    assert one == other


def test_a_request_holds_no_null_and_no_empty_text() -> None:
    body = create_request("n", terms(background_color=None), mchids(1), {}).json_bytes()
    assert b"null" not in body
    assert b'""' not in body
    assert b"background_color" not in body


def test_a_local_picture_is_sent_as_the_url_that_its_upload_got() -> None:
    urls = {LOCAL.sha256: "https://wxpaylogo.qpic.cn/wxpaylogo/new/0"}
    request = create_request("n", terms(merchant_logo_url=LOCAL), mchids(1), urls)
    assert request.activity_base_info.merchant_logo_url == urls[LOCAL.sha256]
    with pytest.raises(KeyError):
        create_request("n", terms(merchant_logo_url=LOCAL), mchids(1), {})


def test_one_given_window_is_sent_with_the_other_filled_in() -> None:
    only_days = create_request("n", terms(available_day_time=(DayWindow("110000", "135959"),)), mchids(1), {})
    periods = only_days.activity_base_info.available_periods
    assert periods is not None
    assert periods.model_dump()["available_time"] == [
        {"begin_time": "2026-12-01T00:00:00+08:00", "end_time": "2026-12-31T23:59:59+08:00"}
    ]
    window = Window(terms().begin_time, terms().begin_time.replace(day=30, month=12))
    only_dates = create_request("n", terms(available_time=(window,)), mchids(1), {})
    periods = only_dates.activity_base_info.available_periods
    assert periods is not None
    assert periods.model_dump()["available_day_time"] == [{"begin_day_time": "000000", "end_day_time": "235959"}]


@pytest.mark.parametrize("spelling", ["2020-06-02T02:00:00Z", "2020-06-02T10:00:00.000+08:00", "2020-06-02T10:00:00"])
def test_a_time_is_an_instant_however_it_is_written(spelling: str) -> None:
    assert read_terms(element(base={"begin_time": spelling})) == read_terms(element())


@pytest.mark.parametrize(
    ("colour", "read"), [("Color010", "Color010"), ("color010", "Color010"), ("#B48EAD", "#B48EAD")]
)
def test_a_colour_is_one_however_it_is_spelled(colour: str, read: str) -> None:
    assert read_terms(element(base={"background_color": colour})).background_color == read


@pytest.mark.parametrize("absent", [None, ""])
def test_absent_and_empty_mean_the_same(absent: str | None) -> None:
    changed = element(
        base={"background_color": absent, "mini_programs_path": absent},
        advanced_setting={"delivery_user_category": absent},
    )
    found = read_terms(changed)
    assert (found.background_color, found.mini_programs_path) == (None, "")
    assert found.delivery_user_category == "DELIVERY_ALL_PERSON"
    assert read_terms(element(advanced_setting=None)).goods_tags == ()
    assert (
        read_terms(element(rule={"award_list": [{"stock_id": "1", "thumbnail_url": absent}]})).award_list[0]
        == (read_terms(element(rule={"award_list": [{"stock_id": "1"}]})).award_list[0])
    )


def test_windows_that_narrow_nothing_are_none() -> None:
    whole = {
        "available_time": [{"begin_time": "2020-06-02T10:00:00+08:00", "end_time": "2020-06-02T23:29:35+08:00"}],
        "available_day_time": [{"begin_day_time": "000000", "end_day_time": "235959"}],
    }
    assert read_terms(element(base={"available_periods": whole})) == read_terms(element())


@pytest.mark.parametrize(
    "changes",
    [
        {
            "award_send_rule": {"step_send_rule": {"award_type": "BUSIFAVOR"}},
            "activity_type": "STEP_SEND_ACT_TYPE",
        },
        {"base": {"begin_time": "soon"}},
        {"base": {"available_periods": {"available_time": [{"begin_time": "soon", "end_time": "later"}]}}},
    ],
)
def test_what_cannot_be_read_has_no_terms_and_is_kept_as_it_came(changes: dict[str, Any]) -> None:
    found = live_activity(element(**changes))
    assert found.terms is None
    assert found.wire["activity_id"] == "20406354"


def test_fields_and_values_that_we_do_not_know_survive() -> None:
    found = live_activity(element(activity_status="BRAND_NEW_STATUS", shiny={"a": 1}))
    assert found.activity_status == "BRAND_NEW_STATUS"
    assert found.wire["shiny"] == {"a": 1}


def test_unreadable_times_beside_the_terms_are_absent() -> None:
    assert live_activity(element(create_time="soon", update_time=None)).create_time is None


def test_a_picture_is_its_url() -> None:
    assert read_terms(element()).merchant_logo_url == Image(url="https://wxpaylogo.qpic.cn/wxpaylogo/abc/0")


# -- values that are none ----------------------------------------------------------------------------------------------

FAR_AWAY = (
    "0001-01-01T00:00:00+08:00",
    "9999-12-31T23:59:59Z",
    "1970-12-31T23:59:59Z",
    "3000-01-01T00:00:00+08:00",
)
NO_TIMES = (*FAR_AWAY, "", "soon", "2026-02-30T00:00:00+08:00", "1764518400")


@pytest.mark.parametrize("name", ["pause_time", "create_time", "update_time"])
@pytest.mark.parametrize("time", [*NO_TIMES, None, 0, {"seconds": 1}])
def test_a_time_that_is_none_is_unknown_and_nothing_else_is(name: str, time: object) -> None:
    found = live_activity(element(**{name: time}))
    assert getattr(found, name) is None
    assert found.terms is not None


@pytest.mark.parametrize("name", ["begin_time", "end_time"])
@pytest.mark.parametrize("time", NO_TIMES)
def test_terms_with_a_time_that_is_none_cannot_be_read(name: str, time: str) -> None:
    found = live_activity(element(base={name: time}))
    assert (found.terms, found.out_request_no) == (None, "100002322020-0602-1047-99")


@pytest.mark.parametrize(
    "change",
    [
        *({"base": {name: None}} for name in ("activity_name", "begin_time", "end_time")),
        {"rule": {"transaction_amount_minimum": 10**30}},
        {"rule": {"transaction_amount_minimum": -1}},
        *(
            {"base": {"available_periods": {"available_day_time": [{"begin_day_time": at, "end_day_time": "2"}]}}}
            for at in ("", "9:00", "250000", "１２００００")
        ),
        {"base": {"available_periods": {"available_time": [{"begin_time": FAR_AWAY[0], "end_time": FAR_AWAY[1]}]}}},
    ],
)
def test_terms_with_a_value_that_is_none_cannot_be_read(change: dict[str, Any]) -> None:
    assert live_activity(element(**change)).terms is None


def test_milliseconds_are_sent_and_read_where_there_are_any() -> None:
    end_time = datetime(2026, 12, 31, 15, 59, 59, 999000, tzinfo=UTC)
    exact = terms(end_time=end_time, available_time=(Window(terms().begin_time, end_time),))
    request = create_request("n", exact, ["1900000001"], {})
    assert request.activity_base_info.begin_time == "2026-12-01T00:00:00+08:00"
    assert request.activity_base_info.end_time == "2026-12-31T23:59:59.999+08:00"
    assert b'"end_time":"2026-12-31T23:59:59.999+08:00"}]' in request.json_bytes()
    read = as_listed(request.json_bytes()).terms
    assert read is not None
    assert read.end_time == end_time
