"""The shapes on the wire: lenient when read, exact when written (API §5.1)."""

from __future__ import annotations

import json

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
