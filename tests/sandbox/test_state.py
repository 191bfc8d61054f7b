"""The sandbox's rules by value: every documented limit, the FAQ rules, and what is a guess."""

from __future__ import annotations

import ast
import contextlib
import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.sandbox import clock, images, limits, reads, writes
from reconciler.sandbox.api_error import (
    COUPON_UNFIT,
    MANUAL_MERCHANTS_ONLY,
    NO_RELATION,
    NUMBER_REUSED,
    PACKAGE_MIXED,
    SAME_BRAND,
    ApiErrorResponse,
)
from reconciler.sandbox.memory import Memory, Transaction, UploadedImage
from reconciler.sandbox.options import DEFAULTS, SandboxOptions
from tests.support.signed import BIG, LOGO, MCHID, PNG, SMALL, award, changed, create_body

NOW = datetime(2026, 3, 1, 4, 0, tzinfo=UTC)  # 12:00 in Beijing
BASE = "activity_base_info"
RULE = "award_send_rule"
PACKAGE = {
    f"{RULE}.send_content": "GIFT_PACKAGE",
    f"{RULE}.award_list": [award(f"100{n}") for n in (1, 2, 3)],
}
MINI_PROGRAM = {
    f"{BASE}.delivery_purpose": "JUMP_MINI_APP",
    f"{BASE}.mini_programs_appid": "wx1",
    f"{BASE}.mini_programs_path": "pages/index",
}
MEMBERS_ONLY = {"advanced_setting.delivery_user_category": "DELIVERY_MEMBER_PERSON"}
OTHERS = ["1900000002", "1900000003"]


def stock(stock_id: str, changes: dict[str, Any] | None = None) -> dict[str, Any]:
    validity = {
        "available_begin_time": "2026-03-01T00:00:00+08:00",
        "available_end_time": "2026-04-30T23:59:59+08:00",
    }
    content = {
        "stock_id": stock_id,
        "belong_merchant": MCHID,
        "coupon_use_rule": {"coupon_available_time": validity},
        "stock_send_rule": {"max_coupons": 100, "max_coupons_per_user": 5},
    }
    return changed(content, changes or {})


def fresh(*stocks: dict[str, Any]) -> Memory:
    """A memory with three images and the stocks 1001 to 1003, and ``stocks`` in their places."""
    memory = Memory()
    for url, media_type in ((LOGO, "image/bmp"), (BIG, "image/png"), (SMALL, "image/jpeg")):
        memory.put(UploadedImage(url, media_type, ""))
    take(memory, writes.seed(memory, [*(stock(f"100{n}") for n in (1, 2, 3)), *stocks], MCHID, NOW))
    return memory


def take(memory: Memory, step: Transaction) -> Any:
    for entity in step.entities:
        memory.put(entity)
    return step.answer


def create(
    memory: Memory,
    changes: dict[str, Any] | None = None,
    *,
    now: datetime = NOW,
    options: SandboxOptions = DEFAULTS,
) -> Any:
    return take(memory, writes.create(memory, MCHID, create_body(changes), now, options))


def add(memory: Memory, activity_id: str, merchants: list[str], number: str = "a1", **how: Any) -> Any:
    body = {"merchant_id_list": merchants, "add_request_no": number}
    now, options = how.get("now", NOW), how.get("options", DEFAULTS)
    return take(memory, writes.add_merchants(memory, MCHID, activity_id, body, now, options))


def delete(memory: Memory, activity_id: str, merchants: list[str], number: str = "d1", **how: Any) -> Any:
    body = {"merchant_id_list": merchants, "delete_request_no": number}
    now, options = how.get("now", NOW), how.get("options", DEFAULTS)
    return take(memory, writes.delete_merchants(memory, MCHID, activity_id, body, now, options))


def terminate(memory: Memory, activity_id: str, *, now: datetime = NOW, options: SandboxOptions = DEFAULTS) -> Any:
    return take(memory, writes.terminate(memory, MCHID, activity_id, now, options))


def detail(memory: Memory, activity_id: str, *, now: datetime = NOW, options: SandboxOptions = DEFAULTS) -> Any:
    return reads.detail(memory, MCHID, activity_id, now, options)


def listing(memory: Memory, query: str, *, now: datetime = NOW, options: SandboxOptions = DEFAULTS) -> Any:
    asked, filters = limits.list_query(query)
    return reads.listing(memory, MCHID, asked, filters, now, options)


def ids(page: dict[str, Any]) -> list[str]:
    return [each["activity_id"] for each in page["data"]]


def merchants(memory: Memory, activity_id: str) -> list[str]:
    return list(memory.activities[activity_id].merchants)


def refused(call: Any, *arguments: Any, **how: Any) -> ApiErrorResponse:
    with pytest.raises(ApiErrorResponse) as caught:
        call(*arguments, **how)
    return caught.value


# Limits of API §1.1


@pytest.mark.parametrize(
    "path",
    [
        BASE,
        RULE,
        *(f"{BASE}.{name}" for name in ("activity_name", "activity_second_title", "merchant_logo_url")),
        *(f"{BASE}.{name}" for name in ("begin_time", "end_time", "out_request_no", "delivery_purpose")),
        *(f"{RULE}.{name}" for name in ("transaction_amount_minimum", "send_content", "award_type")),
        *(f"{RULE}.{name}" for name in ("award_list", "merchant_option", "merchant_id_list")),
        f"{RULE}.award_list.0.stock_id",
        f"{RULE}.award_list.0.original_image_url",
    ],
)
def test_a_required_field_that_is_missing_is_named(path: str) -> None:
    refusal = refused(create, fresh(), {path: ...})
    assert (refusal.status, refusal.code) == (400, "PARAM_ERROR")
    pointer = "/body/" + path.replace(".", "/")
    assert pointer in refusal.message
    assert "必填项" in refusal.message
    assert refusal.detail["field"] == pointer


GOODS = "advanced_setting.goods_tags"
PERIODS = f"{BASE}.available_periods"
MANY_WINDOWS = [{"begin_time": "2026-03-02T00:00:00+08:00", "end_time": "2026-03-03T00:00:00+08:00"}] * 7
DAY = {"begin_day_time": "110000", "end_day_time": "135959"}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (f"{BASE}.activity_name", "十一个字十一个字十一个"),
        (f"{BASE}.activity_name", ""),
        (f"{BASE}.activity_name", 5),
        (f"{BASE}.activity_second_title", "十个字十个字十个字十"),
        (f"{BASE}.merchant_logo_url", "http://a"),
        (f"{BASE}.merchant_logo_url", "https://" + "a" * 121),
        (f"{BASE}.background_color", "Color015"),
        (f"{BASE}.background_color", "#B48EAD12"),
        (f"{BASE}.begin_time", "2026-03-02"),
        (f"{BASE}.begin_time", "2026-03-02T00:00:00"),
        (f"{BASE}.begin_time", "2026-02-30T00:00:00+08:00"),
        (f"{BASE}.begin_time", "2026-03-02T00:00:00.000000000000+08:00"),
        (f"{BASE}.begin_time", "0001-01-01T00:00:00+08:00"),
        (f"{BASE}.end_time", "2026-03-02T00:00:00+08:00"),
        (f"{BASE}.end_time", "2026-05-31T00:00:01+08:00"),
        (f"{BASE}.out_request_no", "a b"),
        (f"{BASE}.out_request_no", "单号"),
        (f"{BASE}.out_request_no", "a" * 129),
        (f"{BASE}.delivery_purpose", "ONLINE"),
        (f"{BASE}.mini_programs_appid", "a" * 33),
        (f"{BASE}.mini_programs_path", "a" * 129),
        (f"{PERIODS}", []),
        (f"{PERIODS}", {"available_time": []}),
        (f"{PERIODS}", {"available_day_time": []}),
        (f"{PERIODS}", {"available_time": MANY_WINDOWS, "available_day_time": []}),
        (f"{PERIODS}", {"available_time": [], "available_day_time": [DAY] * 7}),
        (f"{PERIODS}", {"available_time": [], "available_day_time": [DAY | {"end_day_time": "240000"}]}),
        (f"{PERIODS}", {"available_time": [], "available_day_time": [DAY | {"end_day_time": "100000"}]}),
        (f"{PERIODS}", {"available_time": [], "available_day_time": [DAY | {"end_day_time": "1100"}]}),
        (f"{RULE}.transaction_amount_minimum", 0),
        (f"{RULE}.transaction_amount_minimum", 1_000_000_001),
        (f"{RULE}.transaction_amount_minimum", "100"),
        (f"{RULE}.transaction_amount_minimum", 1.5),
        (f"{RULE}.transaction_amount_minimum", True),
        (f"{RULE}.send_content", "TWO_COUPONS"),
        (f"{RULE}.award_type", "CASH"),
        (f"{RULE}.award_list", []),
        (f"{RULE}.award_list", "1001"),
        (f"{RULE}.award_list", [award("1001")] * 2),
        (f"{RULE}.award_list", [award("1001")] * 6),
        (f"{RULE}.award_list", [award("1" * 21)]),
        (f"{RULE}.award_list", [award("1001", original_image_url="short")]),
        (f"{RULE}.award_list", [award("1001", thumbnail_url="short")]),
        (f"{RULE}.merchant_id_list", []),
        (f"{RULE}.merchant_id_list", [str(1900000000 + n) for n in range(501)]),
        (f"{RULE}.merchant_id_list", ["1234567"]),
        (f"{RULE}.merchant_id_list", ["1234567890123456"]),
        (f"{RULE}.merchant_id_list", ["19000000ab"]),
        (f"{RULE}.merchant_id_list", [MCHID, MCHID]),
        ("advanced_setting.delivery_user_category", "NOBODY"),
        ("advanced_setting.merchant_member_appid", "a" * 33),
        (GOODS, ["t"] * 501),
        (GOODS, ["t" * 16]),
        (GOODS, "tag"),
        ("advanced_setting.payment_mode", {"payment_scene_list": ["APP_SCENE"]}),
        (f"{BASE}.activity_id", "1"),
    ],
)
def test_a_value_outside_its_documented_limits_is_a_param_error_that_names_the_field(path: str, value: Any) -> None:
    refusal = refused(create, fresh(), {path: value})
    assert (refusal.status, refusal.code) == (400, "PARAM_ERROR")
    assert refusal.detail["field"].startswith("/body/" + path.replace(".", "/"))


@pytest.mark.parametrize(
    "changes",
    [
        {f"{BASE}.activity_name": "十个字十个字十个字十"},
        {f"{BASE}.activity_second_title": "九个字九个字九个字"},
        {f"{BASE}.background_color": "COLOR100"},
        {f"{BASE}.background_color": ""},
        {f"{BASE}.background_color": ...},
        {f"{BASE}.begin_time": "2026-03-01T17:00:00.120Z"},
        {f"{BASE}.begin_time": "2026-03-01T10:00:00+08:00"},
        {f"{BASE}.begin_time": "2026-03-01T00:00:01+08:00", f"{BASE}.end_time": "2026-04-30T23:59:58+08:00"},
        {f"{BASE}.out_request_no": "a|b_c*d-9" + "0" * 119},
        MINI_PROGRAM,
        {PERIODS: {"available_time": MANY_WINDOWS[:6], "available_day_time": [DAY] * 6}},
        {f"{RULE}.transaction_amount_minimum": 1_000_000_000},
        {f"{RULE}.merchant_id_list": [str(1900000000 + n) for n in range(500)]},
        {f"{RULE}.award_list": [{"stock_id": "1001", "original_image_url": BIG}]},
        PACKAGE,
        {"advanced_setting": ...},
        {GOODS: ["t" * 15] * 500},
        MEMBERS_ONLY | {"advanced_setting.merchant_member_appid": "wx"},
    ],
)
def test_a_value_at_its_limit_is_accepted(changes: dict[str, Any]) -> None:
    assert create(fresh(), changes)["activity_id"].isdigit()


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        (MINI_PROGRAM | {f"{BASE}.mini_programs_appid": ...}, "mini_programs_appid"),
        (MINI_PROGRAM | {f"{BASE}.mini_programs_path": ...}, "mini_programs_path"),
        (MEMBERS_ONLY, "merchant_member_appid"),
        (PACKAGE | {f"{RULE}.award_list": [award("1001")] * 2}, "award_list"),
        (
            PACKAGE | {f"{RULE}.award_list": [{"stock_id": "1001", "original_image_url": BIG}] * 3},
            "thumbnail_url",
        ),
    ],
)
def test_a_field_that_another_one_demands_must_be_there(changes: dict[str, Any], named: str) -> None:
    assert named in refused(create, fresh(), changes).message


@pytest.mark.parametrize(
    ("opens", "closes"),
    [
        ("2026-03-01T23:59:59+08:00", "2026-03-05T00:00:00+08:00"),
        ("2026-03-05T00:00:00+08:00", "2026-04-01T00:00:00+08:00"),
        ("2026-03-05T00:00:00+08:00", "2026-03-05T00:00:00+08:00"),
    ],
)
def test_a_window_must_be_ordered_and_lie_inside_the_activity(opens: str, closes: str) -> None:
    periods = {"available_time": [{"begin_time": opens, "end_time": closes}], "available_day_time": []}
    assert refused(create, fresh(), {PERIODS: periods}).code == "PARAM_ERROR"
    loose = SandboxOptions(windows_inside_activity=False)
    if opens != closes:
        assert create(fresh(), {PERIODS: periods}, options=loose)


def test_the_other_merchant_option_is_refused_in_the_observed_words() -> None:
    refusal = refused(create, fresh(), {f"{RULE}.merchant_option": "IN_SEVICE_COUPON_MERCHANT"})
    assert (refusal.code, refusal.message) == ("PARAM_ERROR", MANUAL_MERCHANTS_ONLY)


def test_an_end_a_year_away_is_too_far_and_a_second_less_is_not() -> None:
    content = stock("1001", {"coupon_use_rule.coupon_available_time.available_end_time": "2027-06-30T00:00:00+08:00"})
    times = {
        f"{BASE}.begin_time": "2027-01-01T00:00:00+08:00",
        f"{BASE}.end_time": "2027-03-01T12:00:00+08:00",
    }
    assert "1年" in refused(create, fresh(content), times).message
    assert create(fresh(content), times, now=NOW + timedelta(seconds=1))


def test_an_end_that_has_passed_is_refused_unless_told_otherwise() -> None:
    late = NOW + timedelta(days=40)
    assert refused(create, fresh(), now=late).code == "PARAM_ERROR"
    memory = fresh()
    activity_id = create(memory, now=late, options=SandboxOptions(create_ended="accept"))["activity_id"]
    assert detail(memory, activity_id, now=late)["activity_status"] == "OVER_TIME_ACT_STATUS"


def test_pictures_must_have_been_uploaded_and_awards_take_no_bmp() -> None:
    elsewhere = "https://example.com/picture.png"
    for path in (f"{BASE}.merchant_logo_url", f"{RULE}.award_list.0.original_image_url"):
        refusal = refused(create, fresh(), {path: elsewhere})
        assert (refusal.code, refusal.message, refusal.detail) == ("PARAM_ERROR", "请求参数错误", None)
        assert create(fresh(), {path: elsewhere}, options=SandboxOptions(foreign_images="accept"))
    assert refused(create, fresh(), {f"{RULE}.award_list.0.thumbnail_url": LOGO}).message == "请求参数错误"


def test_a_closed_product_refuses_every_new_activity() -> None:
    refusal = refused(create, fresh(), options=SandboxOptions(create_closed=True))
    assert (refusal.status, refusal.code) == (403, "NO_AUTH")


# FAQ rules of API §2

VALID = "coupon_use_rule.coupon_available_time"


@pytest.mark.parametrize(
    ("changes", "allowed"),
    [
        (
            {f"{VALID}.available_begin_time": "2026-03-02T00:00:01+08:00"},
            SandboxOptions(coupon_bounds="inclusive"),
        ),
        (
            {f"{VALID}.available_end_time": "2026-03-31T23:59:58+08:00"},
            SandboxOptions(coupon_bounds="inclusive"),
        ),
        ({"stock_state": "PAUSED"}, None),
        ({"stock_state": "UNAUDIT"}, None),
        ({"coupon_code_mode": "MERCHANT_API"}, None),
        ({"coupon_code_mode": "MERCHANT_UPLOAD"}, None),
    ],
)
def test_f2_f3_a_coupon_that_does_not_fit_is_refused(changes: dict[str, Any], allowed: SandboxOptions | None) -> None:
    refusal = refused(create, fresh(stock("1001", changes)), options=allowed or DEFAULTS)
    assert (refusal.status, refusal.code, refusal.message) == (400, "INVALID_REQUEST", COUPON_UNFIT)


def test_f2_a_coupon_that_begins_or_ends_with_the_activity_passes_only_when_told_so() -> None:
    times = {
        "available_begin_time": "2026-03-02T00:00:00+08:00",
        "available_end_time": "2026-03-31T23:59:59+08:00",
    }
    content = stock("1001", {VALID: times})
    assert refused(create, fresh(content)).message == COUPON_UNFIT
    assert create(fresh(content), options=SandboxOptions(coupon_bounds="inclusive"))


def test_f3_a_stock_with_uploaded_codes_passes() -> None:
    codes = {
        "coupon_code_mode": "MERCHANT_UPLOAD",
        "coupon_code_count": {"total_count": 9, "available_count": 1},
    }
    assert create(fresh(stock("1001", codes)))


@pytest.mark.parametrize(
    "changes",
    [
        {"stock_send_rule.max_coupons": 99},
        {"stock_send_rule.max_coupons_per_user": 4},
        {"belong_merchant": "1900000009"},
        {f"{VALID}.available_end_time": "2026-05-01T00:00:00+08:00"},
    ],
)
def test_f5_the_coupons_of_a_package_must_be_alike(changes: dict[str, Any]) -> None:
    refusal = refused(create, fresh(stock("1002", changes)), PACKAGE)
    assert (refusal.code, refusal.message) == ("INVALID_REQUEST", PACKAGE_MIXED)


def test_f1_by_default_merchants_of_no_known_brand_count_as_same_brand() -> None:
    memory = fresh()
    take(memory, writes.add_brand(memory, ["1900000008", "1900000009"]))
    assert create(memory, {f"{RULE}.merchant_id_list": [MCHID, *OTHERS]})
    other = {f"{RULE}.merchant_id_list": [MCHID, "1900000008"], f"{BASE}.out_request_no": "2"}
    assert refused(create, memory, other).message == SAME_BRAND


def test_f1_strictly_only_a_registered_brand_or_owning_the_coupon_lets_a_merchant_pass() -> None:
    strict = SandboxOptions(brand_check="strict")
    memory = fresh()
    both = {f"{RULE}.merchant_id_list": [MCHID, *OTHERS]}
    assert refused(create, memory, both, options=strict).message == SAME_BRAND
    assert create(memory, {f"{BASE}.out_request_no": "own"}, options=strict)
    take(memory, writes.add_brand(memory, [MCHID, *OTHERS]))
    assert create(memory, both, options=strict)


def test_a_merchant_declared_invalid_refuses_the_whole_create_until_that_is_taken_back() -> None:
    memory = fresh()
    take(memory, writes.declare(MCHID, NO_RELATION))
    refusal = refused(create, memory)
    assert (refusal.status, refusal.code, refusal.message) == (400, "INVALID_REQUEST", SAME_BRAND)
    take(memory, writes.declare(MCHID, ""))
    assert create(memory)


def test_an_unknown_stock_is_404() -> None:
    refusal = refused(create, fresh(), {f"{RULE}.award_list": [award("999")]})
    assert (refusal.status, refusal.code) == (404, "RESOURCE_NOT_EXISTS")


# Request numbers, API §1.10


def test_the_same_create_again_answers_the_same_however_late_and_whatever_order_its_keys_have() -> None:
    memory = fresh()
    first = create(memory)
    body = dict(reversed(create_body().items()))
    late = NOW + timedelta(days=400)
    step = writes.create(memory, MCHID, body, late, SandboxOptions(create_closed=True))
    assert (step.answer, step.entities, step.effects) == (first, (), ())


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (f"{BASE}.activity_name", "另一个"),
        (f"{BASE}.begin_time", "2026-03-01T16:00:00Z"),
        (f"{RULE}.merchant_id_list", OTHERS),
        ("advanced_setting", ...),
    ],
)
def test_a_number_with_another_body_is_refused_even_after_termination(path: str, value: Any) -> None:
    memory = fresh()
    terminate(memory, create(memory)["activity_id"])
    refusal = refused(create, memory, {path: value})
    assert (refusal.status, refusal.code, refusal.message) == (400, "INVALID_REQUEST", NUMBER_REUSED)


@pytest.mark.parametrize(("change", "number"), [(add, "add_request_no"), (delete, "delete_request_no")])
def test_a_merchant_change_again_answers_the_same_and_changes_nothing(change: Any, number: str) -> None:
    memory = fresh()
    activity_id = create(memory, {f"{RULE}.merchant_id_list": [MCHID, OTHERS[0]]})["activity_id"]
    first = change(memory, activity_id, [OTHERS[0]], "n")
    before = merchants(memory, activity_id)
    terminate(memory, activity_id)
    assert change(memory, activity_id, [OTHERS[0]], "n", now=NOW + timedelta(days=1)) == first
    assert merchants(memory, activity_id) == before
    assert refused(change, memory, activity_id, [OTHERS[1]], "n").message == NUMBER_REUSED


# Merchants, API §1.6


def test_an_add_takes_the_valid_and_lists_the_invalid_with_200() -> None:
    memory = fresh()
    activity_id = create(memory)["activity_id"]
    take(memory, writes.declare(OTHERS[0], NO_RELATION))
    answer = add(memory, activity_id, [*OTHERS, MCHID])
    assert answer == {
        "activity_id": activity_id,
        "invalid_merchant_id_list": [{"mchid": OTHERS[0], "invalid_reason": NO_RELATION}],
        "add_time": "2026-03-01T12:00:00+08:00",
    }
    assert merchants(memory, activity_id) == [MCHID, OTHERS[1]]


def test_an_add_of_only_invalid_merchants_answers_without_a_time_or_is_refused() -> None:
    memory = fresh()
    activity_id = create(memory)["activity_id"]
    take(memory, writes.declare(OTHERS[0], "理由"))
    assert (
        refused(add, memory, activity_id, OTHERS[:1], options=SandboxOptions(all_invalid_add="refuse")).message
        == "理由"
    )
    assert "add_time" not in add(memory, activity_id, OTHERS[:1])


def test_adding_a_merchant_that_is_there_is_accepted_or_listed_as_invalid() -> None:
    memory = fresh()
    activity_id = create(memory)["activity_id"]
    assert add(memory, activity_id, [MCHID])["invalid_merchant_id_list"] == []
    assert merchants(memory, activity_id) == [MCHID]
    rejected = add(memory, activity_id, [MCHID], "a2", options=SandboxOptions(present_merchant_add="reject"))
    assert [each["mchid"] for each in rejected["invalid_merchant_id_list"]] == [MCHID]


def test_an_add_checks_the_brand_of_the_activity_s_coupons() -> None:
    memory = fresh()
    activity_id = create(memory)["activity_id"]
    take(memory, writes.add_brand(memory, [OTHERS[0], "1900000009"]))
    answer = add(memory, activity_id, OTHERS)
    assert answer["invalid_merchant_id_list"] == [{"mchid": OTHERS[0], "invalid_reason": SAME_BRAND}]


def test_a_delete_says_nothing_of_merchants_that_were_not_there_unless_told_to_refuse() -> None:
    memory = fresh()
    activity_id = create(memory, {f"{RULE}.merchant_id_list": [MCHID, OTHERS[0]]})["activity_id"]
    strict = SandboxOptions(absent_merchant_delete="refuse")
    assert refused(delete, memory, activity_id, OTHERS, options=strict).code == "INVALID_REQUEST"
    assert delete(memory, activity_id, OTHERS) == {
        "activity_id": activity_id,
        "delete_time": "2026-03-01T12:00:00+08:00",
    }
    assert merchants(memory, activity_id) == [MCHID]


def test_the_last_merchant_stays_unless_told_otherwise() -> None:
    memory = fresh()
    activity_id = create(memory)["activity_id"]
    assert refused(delete, memory, activity_id, [MCHID]).code == "INVALID_REQUEST"
    delete(memory, activity_id, [MCHID], options=SandboxOptions(last_merchant_delete="accept"))
    assert merchants(memory, activity_id) == []


@pytest.mark.parametrize("change", [add, delete])
def test_a_merchant_change_keeps_the_documented_shape(change: Any) -> None:
    memory = fresh()
    activity_id = create(memory)["activity_id"]
    for wrong in ([], ["short"], [str(1900000000 + n) for n in range(501)], [OTHERS[0]] * 2):
        assert refused(change, memory, activity_id, wrong).code == "PARAM_ERROR"
    assert refused(change, memory, activity_id, OTHERS, "").code == "PARAM_ERROR"
    assert change(memory, activity_id, [*OTHERS, *OTHERS], options=SandboxOptions(repeated_merchant="ignore"))


def test_merchant_lists_are_changed_until_the_activity_has_ended() -> None:
    memory = fresh()
    paused = create(memory)["activity_id"]
    take(memory, writes.platform_action(memory, "pause", paused, NOW, DEFAULTS))
    add(memory, paused, OTHERS)
    late = NOW + timedelta(days=40)
    for change in (add, delete):
        assert refused(change, memory, paused, OTHERS, "n", now=late).message == "活动已过期"
    take(memory, writes.platform_action(memory, "fail_creation", paused, NOW, DEFAULTS))
    assert refused(add, memory, paused, OTHERS, "n").message == "活动创建失败"


# Terminate, API §1.5


def test_terminating_ends_an_activity_for_ever() -> None:
    memory = fresh()
    activity_id = create(memory)["activity_id"]
    answer = terminate(memory, activity_id)
    assert answer == {"activity_id": activity_id, "terminate_time": "2026-03-01T12:00:00+08:00"}
    late = NOW + timedelta(days=400)
    assert detail(memory, activity_id, now=late)["activity_status"] == "TERMINATE_ACT_STATUS"
    assert refused(terminate, memory, activity_id).message == "活动已终止"
    again = terminate(memory, activity_id, now=late, options=SandboxOptions(repeated_terminate="accept"))
    assert again == answer
    assert reads.full_record(memory.activities[activity_id], NOW, DEFAULTS)["terminations"] == 2


def test_an_expired_activity_cannot_be_terminated() -> None:
    memory = fresh()
    activity_id = create(memory)["activity_id"]
    assert refused(terminate, memory, activity_id, now=NOW + timedelta(days=40)).message == "活动已过期"


def test_an_activity_exists_for_its_creator_only() -> None:
    memory = fresh()
    activity_id = create(memory)["activity_id"]
    stranger = "1900000099"
    page = limits.PageAsked(0, 10)
    for refusal in (
        refused(reads.detail, memory, stranger, activity_id, NOW, DEFAULTS),
        refused(reads.merchants, memory, stranger, activity_id, page, DEFAULTS),
        refused(reads.goods, memory, stranger, activity_id, page, DEFAULTS),
        refused(writes.terminate, memory, stranger, activity_id, NOW, DEFAULTS),
        refused(writes.terminate, memory, MCHID, "1", NOW, DEFAULTS),
    ):
        assert (refusal.status, refusal.code) == (404, "RESOURCE_NOT_EXISTS")
    assert reads.listing(memory, stranger, page, {}, NOW, DEFAULTS)["total_count"] == 0


# Status by the clock, API §1.7

BEGIN = datetime(2026, 3, 1, 16, 0, tzinfo=UTC)
END = datetime(2026, 3, 31, 15, 59, 59, tzinfo=UTC)
SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("now", "status", "update_time"),
    [
        (BEGIN - SECOND, "CREATE_ACT_STATUS", "2026-03-01T12:00:00+08:00"),
        (BEGIN, "ONGOING_ACT_STATUS", "2026-03-02T00:00:00+08:00"),
        (END, "ONGOING_ACT_STATUS", "2026-03-02T00:00:00+08:00"),
        (END + SECOND, "OVER_TIME_ACT_STATUS", "2026-03-31T23:59:59+08:00"),
    ],
)
def test_the_status_follows_the_clock_and_update_time_marks_the_change(
    now: datetime, status: str, update_time: str
) -> None:
    memory = fresh()
    shown = detail(memory, create(memory)["activity_id"], now=now)
    assert (shown["activity_status"], shown["update_time"]) == (status, update_time)


def test_the_status_can_lag_behind_the_clock() -> None:
    slow = SandboxOptions(ongoing_lag_seconds=60, over_time_lag_seconds=86400)
    memory = fresh()
    activity_id = create(memory)["activity_id"]
    assert detail(memory, activity_id, now=BEGIN, options=slow)["activity_status"] == "CREATE_ACT_STATUS"
    assert detail(memory, activity_id, now=END + SECOND, options=slow)["activity_status"] == "ONGOING_ACT_STATUS"


def test_pausing_and_resuming_show_in_detail_with_their_times() -> None:
    memory = fresh()
    activity_id = create(memory)["activity_id"]
    take(memory, writes.platform_action(memory, "pause", activity_id, BEGIN, DEFAULTS))
    paused = detail(memory, activity_id, now=BEGIN + SECOND)
    assert (paused["activity_status"], paused["pause_time"]) == (
        "STOP_ACT_STATUS",
        "2026-03-02T00:00:00+08:00",
    )
    assert detail(memory, activity_id, now=END + SECOND)["activity_status"] == "OVER_TIME_ACT_STATUS"
    take(memory, writes.platform_action(memory, "resume", activity_id, BEGIN + SECOND, DEFAULTS))
    resumed = detail(memory, activity_id, now=BEGIN + SECOND)
    assert resumed["activity_status"] == "ONGOING_ACT_STATUS"
    assert resumed["recovery_time"] == "2026-03-02T00:00:01+08:00"


def test_hooks_need_an_activity_in_a_fitting_status() -> None:
    memory = fresh()
    activity_id = create(memory)["activity_id"]
    assert refused(writes.platform_action, memory, "resume", activity_id, NOW, DEFAULTS).code == "INVALID_REQUEST"
    assert refused(writes.platform_action, memory, "pause", "1", NOW, DEFAULTS).status == 404


# Reads, API §1.2–§1.4, §1.7


def test_the_list_has_the_shape_of_the_real_sample() -> None:
    memory = fresh()
    create(memory, {f"{BASE}.begin_time": "2026-03-01T16:00:00.000Z"})
    (element,) = listing(memory, "offset=0&limit=20")["data"]
    base = create_body()[BASE]
    assert element == {
        "activity_id": "20406358",
        "activity_type": "FULL_SEND_ACT_TYPE",
        "activity_base_info": base | {"background_color": "COLOR020"},
        "award_send_rule": {
            "full_send_rule": {
                "transaction_amount_minimum": 100,
                "send_content": "SINGLE_COUPON",
                "award_type": "BUSIFAVOR",
                "award_list": [award("1001")],
                "merchant_option": "MANUAL_INPUT_MERCHANT",
                "merchant_id_list": [],
            }
        },
        "advanced_setting": {"delivery_user_category": "DELIVERY_ALL_PERSON", "goods_tags": ["tag1"]},
        "activity_status": "CREATE_ACT_STATUS",
        "creator_merchant_id": MCHID,
        "belong_merchant_id": MCHID,
        "create_time": "2026-03-01T12:00:00+08:00",
        "update_time": "2026-03-01T12:00:00+08:00",
    }


def test_detail_is_the_element_of_the_list_without_the_merchants() -> None:
    memory = fresh()
    activity_id = create(memory)["activity_id"]
    (element,) = listing(memory, "offset=0&limit=20")["data"]
    del element["award_send_rule"]["full_send_rule"]["merchant_id_list"]
    assert detail(memory, activity_id) == element


def test_what_is_returned_for_fields_that_were_not_sent_can_be_chosen() -> None:
    bare = {f"{BASE}.background_color": ..., "advanced_setting": ...}
    memory = fresh()
    filled = detail(memory, create(memory, bare)["activity_id"])
    assert filled[BASE]["background_color"] == "COLOR010"
    assert filled["advanced_setting"] == {"delivery_user_category": "DELIVERY_ALL_PERSON"}
    plain = SandboxOptions(
        default_background_color="",
        default_delivery_user_category="",
        background_color_case="as_sent",
        times_returned="as_sent",
    )
    memory = fresh()
    sent = detail(memory, create(memory, bare, options=plain)["activity_id"])
    assert "background_color" not in sent[BASE]
    assert sent["advanced_setting"] == {}
    memory = fresh()
    zulu = {f"{BASE}.begin_time": "2026-03-01T16:00:00Z"}
    sent = detail(memory, create(memory, zulu, options=plain)["activity_id"])
    assert sent[BASE]["begin_time"] == "2026-03-01T16:00:00Z"
    assert sent[BASE]["background_color"] == "Color020"


def three(options: SandboxOptions = DEFAULTS) -> tuple[Memory, list[str]]:
    memory = fresh()
    made = []
    for n, name in enumerate(("春节", "春天里", "国庆")):
        changes = {f"{BASE}.activity_name": name, f"{BASE}.out_request_no": str(n)}
        made.append(create(memory, changes, options=options)["activity_id"])
    return memory, made


def test_the_list_is_newest_first_and_can_be_turned_round() -> None:
    memory, made = three()
    assert ids(listing(memory, "offset=0&limit=100")) == made[::-1]
    assert ids(listing(memory, "offset=0&limit=100", options=SandboxOptions(list_order="oldest_first"))) == made


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("activity_name=%E6%98%A5", [1, 0]),
        ("activity_name=x", []),
        ("activity_status=TERMINATE_ACT_STATUS", [2]),
        ("activity_status=CREATE_ACT_STATUS", [1, 0]),
        ("award_type=BUSIFAVOR", [2, 1, 0]),
    ],
)
def test_the_list_can_be_filtered_and_counts_what_is_left(query: str, found: list[int]) -> None:
    memory, made = three()
    terminate(memory, made[2])
    page = listing(memory, f"offset=0&limit=10&{query}")
    assert ids(page) == [made[n] for n in found]
    assert page["total_count"] == len(found)


@pytest.mark.parametrize(
    ("options", "offset", "found"),
    [
        (SandboxOptions(paging="pages_from_0"), 0, [2, 1]),
        (SandboxOptions(paging="pages_from_0"), 1, [0]),
        (SandboxOptions(paging="pages_from_0"), 2, []),
        (SandboxOptions(paging="pages_from_1"), 0, [2, 1]),
        (SandboxOptions(paging="pages_from_1"), 1, [2, 1]),
        (SandboxOptions(paging="pages_from_1"), 2, [0]),
        (SandboxOptions(paging="rows"), 1, [1, 0]),
        (SandboxOptions(paging="rows"), 2, [0]),
        (SandboxOptions(paging="rows"), 3, []),
    ],
)
def test_offset_counts_what_the_option_says(options: SandboxOptions, offset: int, found: list[int]) -> None:
    memory, made = three()
    page = listing(memory, f"offset={offset}&limit=2", options=options)
    assert ids(page) == [made[n] for n in found]
    assert (page["total_count"], page["offset"], page["limit"]) == (3, offset, 2)


def test_merchants_come_oldest_first_page_by_page_with_the_limit_that_was_used() -> None:
    memory = fresh()
    first = [str(1900000001 + n) for n in range(60)]
    activity_id = create(memory, {f"{RULE}.merchant_id_list": first})["activity_id"]
    add(memory, activity_id, ["1800000000"], now=NOW + SECOND)
    page = reads.merchants(memory, MCHID, activity_id, limits.page_query("offset=1&limit=500", DEFAULTS), DEFAULTS)
    assert (page["limit"], page["total_count"], page["activity_id"]) == (50, 61, activity_id)
    assert len(page["data"]) == 11
    assert page["data"][-1] == {
        "mchid": "1800000000",
        "merchant_name": "商户1800000000",
        "create_time": "2026-03-01T12:00:01+08:00",
        "update_time": "2026-03-01T12:00:01+08:00",
    }


def test_a_full_send_activity_has_no_goods_and_an_empty_page_may_lack_its_data() -> None:
    memory = fresh()
    activity_id = create(memory)["activity_id"]
    asked = limits.page_query("", DEFAULTS)
    empty = {"total_count": 0, "offset": 0, "limit": 20, "activity_id": activity_id}
    assert reads.goods(memory, MCHID, activity_id, asked, DEFAULTS) == {"data": []} | empty
    assert reads.goods(memory, MCHID, activity_id, asked, SandboxOptions(omit_empty_data=True)) == empty


@pytest.mark.parametrize(
    "query",
    [
        "",
        "offset=0",
        "limit=10",
        "offset=0&limit=0",
        "offset=0&limit=101",
        "offset=-1&limit=10",
        "offset=x&limit=10",
        "offset=０&limit=10",
        "offset=0&limit=" + "1" * 5000,
        "offset=0&offset=0&limit=10",
        "offset=0&limit=10&page=1",
        "offset=0&limit=10&activity_name=",
        "offset=0&limit=10&activity_name=%FF",
        "offset=0&limit=10&activity_status=GONE",
        "offset=0&limit=10&award_type=CASH",
        "&".join(["offset=0"] * 30),
    ],
)
def test_a_query_outside_the_documented_limits_is_a_param_error(query: str) -> None:
    assert refused(limits.list_query, query).code == "PARAM_ERROR"


# Bodies, API §5.1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'"text"',
        b"{",
        b'{"a": null}',
        b'{"a": [{"b": null}]}',
        b'{"a": 1, "a": 2}',
        b'{"a": NaN}',
        b'{"a": "\xff"}',
        '{"a": "🎁"}'.encode(),
        '{"🎁": 1}'.encode(),
        b'{"a": "\\ud800"}',
        b'{"a":' * 100_000,
        b'{"a": ' + b"9" * 5000 + b"}",
    ],
)
def test_a_body_must_be_a_json_object_without_nulls_or_four_byte_characters(body: bytes) -> None:
    refusal = refused(limits.read_body, body)
    assert (refusal.status, refusal.code) == (400, "PARAM_ERROR")
    json.dumps(refusal.body()).encode()


def test_unknown_fields_can_be_ignored() -> None:
    assert create(fresh(), {"advanced_setting.future": 1}, options=SandboxOptions(unknown_fields="ignore"))


# 商家券, API §3


def stock_request(changes: dict[str, Any] | None = None) -> dict[str, Any]:
    return changed(
        {
            "stock_name": "八月代金券",
            "belong_merchant": MCHID,
            "goods_name": "全场",
            "stock_type": "NORMAL",
            "coupon_use_rule": {
                "coupon_available_time": {
                    "available_begin_time": "2026-03-01T00:00:00+08:00",
                    "available_end_time": "2026-04-30T00:00:00+08:00",
                },
                "fixed_normal_coupon": {"discount_amount": 5, "transaction_minimum": 100},
                "use_method": "OFF_LINE",
            },
            "stock_send_rule": {"max_coupons": 100, "max_coupons_per_user": 5, "natural_person_limit": False},
            "out_request_no": "stock-1",
            "coupon_code_mode": "MERCHANT_UPLOAD",
        },
        changes or {},
    )


def test_a_created_stock_runs_and_its_number_cannot_be_used_again() -> None:
    memory = fresh()
    asked = stock_request({"coupon_code_count": {"total_count": 9, "available_count": 9}})
    answer = take(memory, writes.create_stock(memory, MCHID, asked, NOW))
    assert len(answer["stock_id"]) == 16
    content = writes.stock(memory, answer["stock_id"])
    assert content["stock_state"] == "RUNNING"
    assert content["coupon_code_count"] == {"total_count": 0, "available_count": 0}
    assert "out_request_no" not in content
    refusal = refused(writes.create_stock, memory, MCHID, stock_request(), NOW)
    assert (refusal.status, refusal.code) == (400, "RESOURCE_ALREADY_EXISTS")
    assert refused(writes.stock, memory, "1").status == 404


@pytest.mark.parametrize(
    "changes",
    [
        {"stock_name": "二十二个字二十二个字二十二个字二十二个字二十"},
        {"belong_merchant": ...},
        {"stock_type": "DISCOUNT"},
        {"coupon_use_rule.discount_coupon": {}},
        {f"{VALID}.available_end_time": "2026-03-01T00:00:00+08:00"},
        {f"{VALID}.available_end_time": "2027-03-03T00:00:00+08:00"},
        {f"{VALID}.wait_days_after_receive": 3},
        {f"{VALID}.available_day_after_receive": 366},
        {"stock_send_rule.max_coupons_per_user": 101},
        {"stock_send_rule.natural_person_limit": "false"},
        {"coupon_code_mode": "NONE"},
    ],
)
def test_a_stock_outside_its_documented_limits_is_a_param_error(changes: dict[str, Any]) -> None:
    assert refused(limits.check_stock, stock_request(changes)).code == "PARAM_ERROR"


def test_seeding_fills_in_what_is_left_out_counts_what_is_new_and_replaces_what_is_there() -> None:
    memory = Memory()
    assert take(memory, writes.seed(memory, [{}, {"stock_id": "5"}], MCHID, NOW))[1:] == ["5"]
    assert take(memory, writes.seed(memory, [{"stock_id": "5", "stock_state": "PAUSED"}, {}], MCHID, NOW)) == [
        "1263540000000004"
    ]
    assert list(memory.stocks) == ["1263540000000001", "5", "1263540000000004"]
    assert memory.stocks["5"].content["stock_state"] == "PAUSED"
    assert memory.stocks["5"].content["belong_merchant"] == MCHID
    take(memory, writes.seed(memory, [stock_request() | {"stock_id": "5"}], MCHID, NOW))
    assert "out_request_no" not in memory.stocks["5"].content
    assert refused(writes.seed, memory, [{"stock_state": "BROKEN"}], MCHID, NOW).code == "PARAM_ERROR"
    assert refused(writes.seed, memory, [{"coupon_use_rule": 5}], MCHID, NOW).code == "PARAM_ERROR"


# Images, API §4


def meta(**more: Any) -> bytes:
    digest = "9aba3346eb9a3e4f2a77f9b2c1fa8df7d6b3b0b5b0d2f0a8a0f0f8c1d0a1b2c3"
    return json.dumps({"filename": "a.png", "sha256": digest} | more).encode()


def upload(parts: images.Upload, options: SandboxOptions = DEFAULTS, memory: Memory | None = None) -> str:
    memory = memory or Memory()
    url: str = take(memory, images.upload(memory, parts, options))["media_url"]
    return url


def good(content: bytes = PNG, filename: str = "a.png") -> images.Upload:
    return images.Upload(meta(filename=filename, sha256=hashlib.sha256(content).hexdigest()), content)


@pytest.mark.parametrize(
    ("parts", "code", "message"),
    [
        (images.Upload(None, PNG), "REQUEST_BLOCKED", "图片meta信息不一致"),
        (images.Upload(meta(), PNG), "REQUEST_BLOCKED", "图片meta信息不一致"),
        (images.Upload(meta(), b""), "PARAM_ERROR", "图片文件为空"),
        (images.Upload(meta(), None), "PARAM_ERROR", "图片文件为空"),
        (images.Upload(b"nonsense", PNG), "PARAM_ERROR", "请求体不是合法的JSON"),
        (good(PNG + b"\0" * images.LARGEST), "PARAM_ERROR", "图片文件大小不能超过2M"),
        (good(b"GIF89a"), "REQUEST_BLOCKED", "未知图片类型"),
        (good(PNG, "a.gif"), "REQUEST_BLOCKED", "未知图片类型"),
    ],
)
def test_a_bad_upload_is_refused_as_documented(parts: images.Upload, code: str, message: str) -> None:
    refusal = refused(upload, parts)
    assert (refusal.code, refusal.message) == (code, message)
    assert refusal.status == (403 if code == "REQUEST_BLOCKED" else 400)


@pytest.mark.parametrize(
    ("content", "media_type"),
    [(PNG, "image/png"), (b"\xff\xd8\xff\xe0", "image/jpeg"), (b"BM" + b"\0" * 8, "image/bmp")],
)
def test_the_type_of_a_picture_is_read_from_its_content(content: bytes, media_type: str) -> None:
    memory = Memory()
    url = upload(good(content, "A.JPG"), memory=memory)
    assert url.startswith("https://wxpaylogo.qpic.cn/wxpaylogo/")
    assert url.endswith("/0")
    assert len(url) <= 128
    assert memory.images[url].media_type == media_type


def test_the_same_bytes_get_a_new_url_each_time_unless_told_otherwise() -> None:
    memory = Memory()
    assert upload(good(), memory=memory) != upload(good(), memory=memory)
    by_content = SandboxOptions(image_urls="by_content")
    assert upload(good(), by_content, memory) == upload(good(), by_content, memory)


def test_a_multipart_body_without_parts_is_an_empty_upload() -> None:
    for body in (b"", b"--", b"no boundary at all", b"--B\r\n\r\n--B--"):
        assert images.read_upload("multipart/form-data", body) == images.Upload()


# The clock


@pytest.mark.parametrize(
    ("text", "offset", "expected"),
    [
        ("+3d", 0, 3 * 86400),
        ("-2h", 60, 60 - 7200),
        ("+90m", 0, 5400),
        ("+5s", 1, 6),
        ("+1w", 0, 604800),
        ("real", 99, 0),
        ("2026-03-01T12:00:10+08:00", 99, 10),
        ("2026-03-01T12:00:10", 99, 10),
        ("2026-03-02", 99, 43200),
    ],
)
def test_the_clock_moves_by_a_step_to_a_moment_or_back(text: str, offset: float, expected: float) -> None:
    assert clock.moved(text, real=NOW, offset=offset) == expected


@pytest.mark.parametrize("text", ["", "3d", "+3", "+3y", "tomorrow", "2026-3-1", "+999999999w", "-9999999w"])
def test_the_clock_refuses_what_it_does_not_understand(text: str) -> None:
    assert refused(writes.set_clock, Memory(), text, NOW).code == "PARAM_ERROR"


@given(st.integers(10**11, 10**14))
def test_times_are_read_as_they_were_written(milliseconds: int) -> None:
    assert clock.parse(clock.beijing(milliseconds / 1000)).timestamp() == milliseconds / 1000


# Activities from elsewhere


ITEM = {
    "activity_id": "20406356",
    "activity_type": "STEP_SEND_ACT_TYPE",
    "activity_base_info": {
        "activity_name": "网页创建",
        "begin_time": "2026-03-01T00:00:00+08:00",
        "end_time": "2026-03-05T00:00:00+08:00",
    },
    "award_send_rule": {"step_send_rule": {"award_type": "BUSIFAVOR"}, "odd": 1},
    "activity_status": "ONGOING_ACT_STATUS",
    "create_time": "2026-02-01T00:00:00+08:00",
    "future_field": {"kept": True},
}


def insert(memory: Memory, item: Any, *inserted: str) -> str:
    activity_id: str = take(memory, writes.insert(memory, MCHID, item, inserted, NOW))
    return activity_id


def test_an_inserted_activity_is_listed_with_all_its_fields_and_its_id_is_not_given_out_again() -> None:
    memory = Memory()
    assert insert(memory, ITEM, *OTHERS) == "20406356"
    assert insert(memory, ITEM | {"activity_id": ""}) == "20406357"
    (_, element) = listing(memory, "offset=0&limit=9")["data"]
    assert element["future_field"] == {"kept": True}
    assert element["award_send_rule"] == {
        "step_send_rule": {"award_type": "BUSIFAVOR", "merchant_id_list": []},
        "odd": 1,
    }
    assert element["activity_status"] == "ONGOING_ACT_STATUS"
    assert element["create_time"] == "2026-02-01T00:00:00+08:00"
    assert merchants(memory, "20406356") == OTHERS
    assert ids(listing(memory, "offset=0&limit=9&award_type=BUSIFAVOR")) == []


def test_an_inserted_status_that_the_clock_does_not_decide_stays() -> None:
    memory = Memory()
    for status in ("TERMINATE_ACT_STATUS", "CREATE_ACT_FAILED", "STOP_ACT_STATUS", "SOMETHING_NEW"):
        activity_id = insert(memory, ITEM | {"activity_id": "", "activity_status": status})
        assert detail(memory, activity_id)["activity_status"] == status
    ended = insert(memory, ITEM | {"activity_id": "1", "activity_status": "TERMINATE_ACT_STATUS"})
    assert terminate(memory, ended, options=SandboxOptions(repeated_terminate="accept"))["terminate_time"]


def test_an_inserted_number_counts_as_used_and_another_creator_s_activity_is_not_ours() -> None:
    memory = fresh()
    number = create_body()[BASE]["out_request_no"]
    insert(memory, changed(ITEM, {f"{BASE}.out_request_no": number}))
    assert refused(create, memory).message == NUMBER_REUSED
    insert(memory, ITEM | {"activity_id": "7", "creator_merchant_id": "1900000099"})
    assert "7" not in ids(listing(memory, "offset=0&limit=9"))


@pytest.mark.parametrize("item", [[], "text", None, 5])
def test_an_inserted_activity_must_be_an_object(item: Any) -> None:
    assert refused(insert, Memory(), item).code == "PARAM_ERROR"


@pytest.mark.parametrize(
    "odd",
    [
        {"create_time": "x"},
        {"pause_time": "0001-01-01T00:00:00+08:00"},
        {"recovery_time": None},
        {"update_time": 5},
        {"activity_base_info": 5},
        {"activity_base_info": {"begin_time": "9999-12-31T23:59:59Z", "end_time": None}},
        {"activity_status": None},
        {"belong_merchant_id": 7},
        {"award_send_rule": None},
        {"award_send_rule": {"full_send_rule": {"award_list": [5, {}]}}},
    ],
)
def test_odd_values_of_an_inserted_activity_are_shown_as_they_were_put_in(odd: dict[str, Any]) -> None:
    memory = Memory()
    insert(memory, ITEM | odd, *OTHERS)
    (element,) = listing(memory, "offset=0&limit=9")["data"]
    shown = detail(memory, "20406356")
    assert {name: shown[name] for name in odd} == odd
    assert {name: element[name] for name in odd.keys() - {"award_send_rule"}} == {
        name: value for name, value in odd.items() if name != "award_send_rule"
    }
    assert add(memory, "20406356", ["1900000077"])["add_time"]


def test_a_filter_passes_over_an_activity_whose_name_is_none() -> None:
    memory = Memory()
    insert(memory, ITEM | {"activity_base_info": {"activity_name": 5}})
    assert ids(listing(memory, "offset=0&limit=9&activity_name=%E7%BD%91")) == []


# Anything at all

JSON = st.recursive(
    st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


def paths(value: Any, prefix: str = "") -> list[str]:
    """The dotted path of everything inside ``value``."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    inside = [[f"{prefix}{name}", *paths(inner, f"{prefix}{name}.")] for name, inner in pairs]
    return [path for each in inside for path in each]


PERIOD = {PERIODS: {"available_time": MANY_WINDOWS[:1], "available_day_time": [DAY]}}


@pytest.mark.parametrize("asked", [create_body(PERIOD | PACKAGE | MEMBERS_ONLY), stock_request(), stock("1001"), ITEM])
@settings(max_examples=30)
@given(data=st.data(), junk=JSON)
def test_no_request_makes_a_rule_fall_over(asked: dict[str, Any], data: st.DataObject, junk: Any) -> None:
    memory = fresh()
    broken = changed(asked, {data.draw(st.sampled_from(paths(asked))): junk})
    with contextlib.suppress(ApiErrorResponse):
        take(memory, writes.create(memory, MCHID, broken, NOW, DEFAULTS))
    with contextlib.suppress(ApiErrorResponse):
        take(memory, writes.create_stock(memory, MCHID, broken, NOW))
    with contextlib.suppress(ApiErrorResponse):
        take(memory, writes.seed(memory, [broken], MCHID, NOW))
    with contextlib.suppress(ApiErrorResponse):
        take(memory, writes.insert(memory, MCHID, broken, [], NOW))
    for each in memory.activities.values():
        json.dumps(reads.full_record(each, NOW, DEFAULTS))
    json.dumps(listing(memory, "offset=0&limit=9&activity_name=a&award_type=BUSIFAVOR"))
    with contextlib.suppress(ApiErrorResponse):
        create(memory, PACKAGE)


# SandboxOptions


def test_options_are_read_from_texts() -> None:
    texts = ["paging=rows", "omit_empty_data=true", "over_time_lag_seconds=60"]
    assert SandboxOptions.parse(texts) == SandboxOptions(paging="rows", omit_empty_data=True, over_time_lag_seconds=60)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("paging", "columns"),
        ("paging", ""),
        ("nothing", "1"),
        ("omit_empty_data", "1"),
        ("over_time_lag_seconds", "-1"),
        ("merchants_page_max", "x"),
    ],
)
def test_an_option_that_cannot_be_meant_is_named(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=name):
        SandboxOptions.parse([f"{name}={value}"])


def test_no_pure_module_asks_what_time_it_is() -> None:
    folder = Path(writes.__file__).parent
    shells = {"api", "app", "control", "endpoints", "keys", "server", "store", "world"}
    for path in folder.glob("*.py"):
        if path.stem not in shells:
            calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)]
            assert not [node for node in calls if node.attr in ("now", "today", "utcnow")], path.name


def test_seeding_only_what_is_missing_leaves_the_rest_as_it_is() -> None:
    memory = fresh()
    take(memory, writes.seed(memory, [{"stock_id": "5", "stock_state": "PAUSED"}], MCHID, NOW))
    asked = [{"stock_id": "5"}, {"stock_id": "6"}]
    assert take(memory, writes.seed(memory, asked, MCHID, NOW, only_missing=True)) == ["6"]
    assert memory.stocks["5"].content["stock_state"] == "PAUSED"
