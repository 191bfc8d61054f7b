"""The shapes on the wire: lenient when read, exact when written (API §5.1)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from reconciler.wechatpay import wire

# The real list element that the documentation prints, shortened (API §1.7).
REAL_ELEMENT = {
    "activity_base_info": {
        "activity_name": "满减活动",
        "activity_second_title": "满减活动副",
        "background_color": "COLOR010",
        "begin_time": "2020-06-02T10:00:00+08:00",
        "end_time": "2020-06-02T23:29:35+08:00",
        "delivery_purpose": "JUMP_MINI_APP",
        "merchant_logo_url": "https://wxpaylogo.qpic.cn/x/0",
        "mini_programs_appid": "wx1",
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
                    "original_image_url": "https://a/0",
                    "stock_id": "1263540000000013",
                    "thumbnail_url": "https://b/0",
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


def test_the_real_list_element_survives_reading_and_writing() -> None:
    item = wire.ActivityItem.model_validate(REAL_ELEMENT)
    assert json.loads(item.json_bytes()) == REAL_ELEMENT


def test_unknown_fields_and_unknown_values_are_kept() -> None:
    item = wire.ActivityItem.model_validate(
        {
            **REAL_ELEMENT,
            "activity_status": "NEW_STATUS",
            "brand_new": {"a": 1},
            "award_send_rule": {"step_send_rule": {}},
        }
    )
    written = json.loads(item.json_bytes())
    assert (written["activity_status"], written["brand_new"]) == ("NEW_STATUS", {"a": 1})
    assert written["award_send_rule"] == {"step_send_rule": {}}


def test_a_page_may_lack_everything() -> None:
    page = wire.ActivityPage.model_validate_json("{}")
    assert (page.data, page.total_count, page.offset, page.limit) == (None, None, None, None)


def test_requests_hold_no_null_and_no_escaped_han() -> None:
    base = wire.ActivityBaseInfo(activity_name="礼", begin_time="b", end_time="e")
    request = wire.CreateRequest(activity_base_info=base, award_send_rule=wire.FullSendRule())
    assert request.json_bytes() == (
        '{"activity_base_info":{"activity_name":"礼","begin_time":"b","end_time":"e"},"award_send_rule":{}}'.encode()
    )


# -- elements that have not the documented shape -----------------------------------------------------------------------

BASE: dict[str, Any] = REAL_ELEMENT["activity_base_info"]  # type: ignore[assignment]
RULE: dict[str, Any] = REAL_ELEMENT["award_send_rule"]["full_send_rule"]  # type: ignore[index]

ODD: list[dict[str, Any]] = [
    {"activity_base_info": None},
    {"activity_base_info": []},
    {"activity_base_info": {**BASE, "begin_time": 1764518400}},
    {"activity_base_info": {**BASE, "available_periods": {"available_time": [{}]}}},
    {"activity_type": 7},
    {"activity_status": None},
    {"activity_status": {"code": 1}},
    {"award_send_rule": "full"},
    {"award_send_rule": {"full_send_rule": [1]}},
    {"award_send_rule": {"full_send_rule": {**RULE, "award_list": [{"stock_id": None}]}}},
    {"award_send_rule": {"full_send_rule": {**RULE, "transaction_amount_minimum": 1e30}}},
    {"advanced_setting": {"goods_tags": "one"}},
    {"advanced_setting": {"goods_tags": [None]}},
]
"""What stands where something else is documented, in the parts that decide."""


@pytest.mark.parametrize("odd", ODD)
def test_an_odd_element_leaves_its_page_readable_and_tells_which_activity_it_is(odd: dict[str, Any]) -> None:
    sent = {**REAL_ELEMENT, "activity_id": "7", **odd}
    page = wire.ActivityPage.read(json.dumps({"data": [REAL_ELEMENT, sent], "total_count": 2}).encode())
    assert page.data is not None
    whole, found = page.data
    assert whole == wire.ActivityItem.model_validate(REAL_ELEMENT)
    assert isinstance(found, wire.OddActivityItem)
    assert (found.activity_id, found.as_sent()) == ("7", sent)
    status = sent["activity_status"]
    assert found.activity_status == (status if isinstance(status, str) else "")
    base = sent["activity_base_info"]
    assert found.activity_base_info.out_request_no == (base["out_request_no"] if isinstance(base, dict) else "")


@pytest.mark.parametrize(
    "change",
    [
        {"pause_time": 0},
        {"create_time": None},
        {"update_time": ["x"]},
        {"creator_merchant_id": 1900009251},
        {"belong_merchant_id": {}},
        {"brand_new": [[1e999]]},
    ],
)
def test_what_nobody_decides_by_may_be_anything(change: dict[str, Any]) -> None:
    body = json.dumps({"data": [{**REAL_ELEMENT, **change}]}).encode()
    assert [type(item) for item in wire.ActivityPage.read(body).data or ()] == [wire.ActivityItem]


@pytest.mark.parametrize(
    "written",
    [
        b'"remark": "\\ud800"',
        b'"remark": "\xff\xfe"',
        b'"remark": ' + b"9" * 5000,
        b'"remark": ' + b"[" * 400 + b"]" * 400,
    ],
)
def test_what_no_parser_takes_does_not_hide_the_other_elements(written: bytes) -> None:
    odd = json.dumps(REAL_ELEMENT).encode().removesuffix(b"}") + b", " + written + b"}"
    body = b'{"data": [' + odd + b", " + json.dumps({**REAL_ELEMENT, "activity_id": "8"}).encode() + b"]}"
    found = wire.ActivityPage.read(body).data or ()
    assert [item.activity_id for item in found] == ["20406354", "8"]
    json.dumps([item.as_sent() for item in found], allow_nan=False).encode()


def test_an_id_that_is_a_number_is_an_id() -> None:
    body = json.dumps({"data": [{**REAL_ELEMENT, "activity_id": 7}]}).encode()
    found = wire.ActivityPage.read(body).data or ()
    assert [(type(item), item.activity_id) for item in found] == [(wire.ActivityItem, "7")]
    rows = wire.MerchantPage.read(b'{"data": [{"mchid": 1900000001, "merchant_name": 5}]}').data or ()
    assert [row.mchid for row in rows] == ["1900000001"]


@pytest.mark.parametrize("activity_id", [None, "", [], {}, 1.5, True])
def test_an_element_that_names_no_activity_makes_its_page_unusable(activity_id: Any) -> None:
    body = json.dumps({"data": [REAL_ELEMENT, {**REAL_ELEMENT, "activity_id": activity_id}]}).encode()
    with pytest.raises(ValueError, match=r"data\.1\.activity_id: Field required"):
        wire.ActivityPage.read(body)


@pytest.mark.parametrize("row", [None, "x", 5, []])
def test_a_row_that_is_no_object_makes_its_page_unusable(row: Any) -> None:
    with pytest.raises(ValueError, match=r"data\.0\.body: it is not an object"):
        wire.ActivityPage.read(json.dumps({"data": [row]}).encode())


@pytest.mark.parametrize("body", [b"", b"<html>", b"[" * 5000])
def test_what_is_no_json_is_no_page(body: bytes) -> None:
    with pytest.raises(ValueError, match="body: it is not JSON"):
        wire.ActivityPage.read(body)
