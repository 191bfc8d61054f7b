"""What a request may look like, whatever the memory holds: every limit of API §1.1, §1.6, §1.7 and §3.2.

Restated from the API's facts, on purpose without a look at the client's own validation: two readings of one
documentation check each other.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Never
from urllib.parse import parse_qsl

from reconciler.sandbox import clock
from reconciler.sandbox.api_error import MANUAL_MERCHANTS_ONLY, param_error
from reconciler.sandbox.options import SandboxOptions
from reconciler.sandbox.schema import Field, Flag, List, Number, Object, Text, Time, check, fails, missing

MERCHANTS_PER_CALL: Final = 500
LIST_LIMIT: Final = 100
LONGEST_ACTIVITY: Final = timedelta(days=90)
# The FAQ's year, which an interval must stay below (API §2 F7).
FARTHEST_END: Final = timedelta(seconds=31_536_000)
STATUSES: Final = (
    "ACT_STATUS_UNKNOWN",
    "CREATE_ACT_STATUS",
    "ONGOING_ACT_STATUS",
    "TERMINATE_ACT_STATUS",
    "STOP_ACT_STATUS",
    "OVER_TIME_ACT_STATUS",
    "CREATE_ACT_FAILED",
)
# The ASCII |, although the documentation prints the full-width one (API §1.1).
_NUMBER_CHARSET: Final = r"[0-9A-Za-z|_*-]+"
_COLOURS: Final = tuple(f"Color{n:03}" for n in range(10, 101, 10))
_DAY_TIME: Final = r"([01][0-9]|2[0-3])[0-5][0-9][0-5][0-9]"

_WINDOW: Final = Object("可用时间", {"begin_time": Time("开始时间"), "end_time": Time("结束时间")})
_DAY_WINDOW: Final = Object(
    "每日可用时间",
    {
        "begin_day_time": Text("当天开始时间", 6, 6, _DAY_TIME),
        "end_day_time": Text("当天结束时间", 6, 6, _DAY_TIME),
    },
)
_BASE_INFO: Final = Object(
    "活动基本信息",
    {
        "activity_name": Text("活动名称", 1, 10),
        "activity_second_title": Text("活动副标题", 1, 9),
        "merchant_logo_url": Text("商户logo", 10, 128),
        # An empty colour got past the service's validation in a user's report (API §7 C4).
        "background_color": Text("背景颜色", 0, 8, required=False),
        "begin_time": Time("活动开始时间"),
        "end_time": Time("活动结束时间"),
        "available_periods": Object(
            "可用时间段",
            {
                "available_time": List("可用时间", _WINDOW, 0, 6, required=False),
                "available_day_time": List("每日可用时间", _DAY_WINDOW, 0, 6, required=False),
            },
            required=False,
        ),
        "out_request_no": Text("商户请求单号", 1, 128, _NUMBER_CHARSET),
        "delivery_purpose": Text("投放目的", 1, 14, choices=("OFF_LINE_PAY", "JUMP_MINI_APP")),
        "mini_programs_appid": Text("小程序appid", 1, 32, required=False),
        "mini_programs_path": Text("小程序path", 1, 128, required=False),
    },
)
_AWARD: Final = Object(
    "奖品",
    {
        # Labelled so by the documentation, although it is a 商家券's (API §1.1).
        "stock_id": Text("代金券批次Id", 1, 20),
        "original_image_url": Text("奖品原始图片(大图)", 10, 128),
        "thumbnail_url": Text("奖品缩略图片(小图)", 10, 128, required=False),
    },
)
_MERCHANTS: Final = List("发券商户号", Text("发券商户号", 8, 15, "[0-9]+"), 1, MERCHANTS_PER_CALL)


def _create_shape(options: SandboxOptions) -> Object:
    send_rule: dict[str, Field] = {
        "transaction_amount_minimum": Number("消费金额门槛", options.transaction_amount_least, 1_000_000_000),
        "send_content": Text("发放内容", 1, 16, choices=("SINGLE_COUPON", "GIFT_PACKAGE")),
        "award_type": Text("奖品类型", 1, 10, choices=("BUSIFAVOR",)),
        "award_list": List("奖品基本信息列表", _AWARD, 1, 5),
        "merchant_option": Text("发券商户号选项", 1, 26),
        "merchant_id_list": _MERCHANTS,
    }
    advanced: dict[str, Field] = {
        "delivery_user_category": Text(
            "投放用户类别", 1, 28, choices=("DELIVERY_ALL_PERSON", "DELIVERY_MEMBER_PERSON"), required=False
        ),
        "merchant_member_appid": Text("商户会员appid", 1, 32, required=False),
        # 500, although the pages of detail and list still say 50 (API §8 4).
        "goods_tags": List("订单优惠标记", Text("订单优惠标记", 1, 15), 0, 500, required=False),
    }
    return Object(
        "请求体",
        {
            "activity_base_info": _BASE_INFO,
            "award_send_rule": Object("活动奖品发送规则", send_rule),
            "advanced_setting": Object("活动高级设置", advanced, required=False),
        },
    )


# No characters are documented for add_request_no, unlike for the other two (API §1.6).
_ADD: Final = Object("请求体", {"merchant_id_list": _MERCHANTS, "add_request_no": Text("请求业务单据号", 1, 128)})
_DELETE: Final = Object(
    "请求体",
    {"merchant_id_list": _MERCHANTS, "delete_request_no": Text("请求业务单据号", 1, 128, _NUMBER_CHARSET)},
)

_PRICES: Final = {
    "NORMAL": "fixed_normal_coupon",
    "DISCOUNT": "discount_coupon",
    "EXCHANGE": "exchange_coupon",
}
_VALIDITY: Final = Object(
    "券可核销时间",
    {
        "available_begin_time": Time("开始时间"),
        "available_end_time": Time("结束时间"),
        "available_day_after_receive": Number("生效后N天内有效", 1, 365, required=False),
        "wait_days_after_receive": Number("领取后N天开始生效", 0, 30, required=False),
    },
    open=True,
)
_STOCK: Final = Object(
    "请求体",
    {
        "stock_name": Text("商家券批次名称", 1, 21),
        "belong_merchant": Text("批次归属商户号", 8, 15, "[0-9]+"),
        "comment": Text("批次备注", 1, 20, required=False),
        "goods_name": Text("适用商品范围", 1, 15),
        "stock_type": Text("批次类型", choices=tuple(_PRICES)),
        "coupon_use_rule": Object(
            "核销规则",
            {
                "coupon_available_time": _VALIDITY,
                "use_method": Text("核销方式", choices=("OFF_LINE", "MINI_PROGRAMS", "PAYMENT_CODE", "SELF_CONSUME")),
            },
            open=True,
        ),
        "stock_send_rule": Object(
            "发放规则",
            {
                "max_coupons": Number("批次最大发放个数", 1, 1_000_000_000),
                "max_coupons_per_user": Number("用户最大领取个数", 1, 100),
                "natural_person_limit": Flag("是否开启自然人限制"),
                "prevent_api_abuse": Flag("是否防刷"),
            },
            open=True,
        ),
        "out_request_no": Text("商户请求单号", 1, 128, _NUMBER_CHARSET),
        "coupon_code_mode": Text("券code模式", choices=("WECHATPAY_MODE", "MERCHANT_API", "MERCHANT_UPLOAD")),
    },
    open=True,
)


@dataclass(frozen=True, slots=True)
class PageAsked:
    """A page as it was asked for; ``limit`` is what will be used and echoed."""

    offset: int
    limit: int


def read_body(body: bytes) -> Any:
    """A request's JSON object (API §5.1): UTF-8 of 1 to 3 bytes a character, no nulls, each key once."""
    try:
        value = json.loads(body.decode(), object_pairs_hook=_each_key_once, parse_constant=_no_constant)
        if not isinstance(value, dict):
            raise param_error("请求体应为JSON对象")
        for pointer, scalar in _scalars(value, "/body"):
            _check_scalar(pointer, scalar)
    except (ValueError, RecursionError):  # what can still be parsed may be too deep to be looked through
        raise param_error("请求体不是合法的JSON") from None
    return value


def check_create(body: Any, options: SandboxOptions) -> None:
    """All of API §1.1 that depends neither on the memory nor on the clock."""
    check(body, _create_shape(options), "/body", closed=options.unknown_fields == "refuse")
    _check_base_info(body["activity_base_info"], options)
    _check_rule(body["award_send_rule"], options)
    _check_advanced(body.get("advanced_setting", {}))


def check_merchant_change(kind: str, body: Any, options: SandboxOptions) -> None:
    """API §1.6, for ``kind`` add or delete."""
    check(body, _ADD if kind == "add" else _DELETE, "/body", closed=options.unknown_fields == "refuse")
    _check_repeats(body["merchant_id_list"], "/body/merchant_id_list", options)


def check_stock(body: Any) -> None:
    """API §3.2, as far as pay-gift depends on it."""
    check(body, _STOCK, "/body")
    wanted = _PRICES[body["stock_type"]]
    if [name for name in _PRICES.values() if name in body["coupon_use_rule"]] != [wanted]:
        raise missing("优惠信息", f"/body/coupon_use_rule/{wanted}")
    validity = body["coupon_use_rule"]["coupon_available_time"]
    span = clock.parse(validity["available_end_time"]) - clock.parse(validity["available_begin_time"])
    pointer = "/body/coupon_use_rule/coupon_available_time/available_end_time"
    if not timedelta(0) < span <= timedelta(days=366):
        raise fails("时间", "结束时间", pointer, "应晚于开始时间,且有效期不超过1年")
    if "wait_days_after_receive" in validity and "available_day_after_receive" not in validity:
        raise missing("生效后N天内有效", pointer.replace("available_end_time", "available_day_after_receive"))


def read_query(query: str, known: tuple[str, ...]) -> dict[str, str]:
    """The parameters of a query string: each once, none unknown, UTF-8."""
    try:
        pairs = parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=20)
    except ValueError:
        raise param_error("请求参数不是合法的查询字符串", "/query") from None
    parameters = dict(pairs)
    if len(parameters) != len(pairs):
        raise param_error("请求参数重复", "/query")
    if unknown := sorted(parameters.keys() - set(known)):
        raise param_error("请求中含有未在API文档中定义的参数", f"/query/{unknown[0]}")
    return parameters


def list_query(query: str) -> tuple[PageAsked, Mapping[str, str]]:
    """The list's page and its filters (API §1.7): offset and limit are required, limit is 1 to 100."""
    parameters = read_query(query, ("offset", "limit", "activity_name", "activity_status", "award_type"))
    filters = {name: value for name, value in parameters.items() if name not in ("offset", "limit")}
    shapes = {
        "activity_name": Text("活动名称", 1, 10),
        "activity_status": Text("活动状态", choices=STATUSES),
        "award_type": Text("奖品类型", choices=("BUSIFAVOR",)),
    }
    for name, value in filters.items():
        check(value, shapes[name], f"/query/{name}")
    return PageAsked(_number(parameters, "offset", 0, 2**63), _number(parameters, "limit", 1, LIST_LIMIT)), filters


def page_query(query: str, options: SandboxOptions) -> PageAsked:
    """A page of merchants or goods (API §1.3): both parameters are optional, no limit is documented."""
    parameters = read_query(query, ("offset", "limit"))
    parameters.setdefault("offset", "0")
    if "limit" in parameters and (most := options.merchants_page_refused_above):
        _number(parameters, "limit", 1, most)
    parameters.setdefault("limit", str(options.merchants_page_default))
    limit = min(_number(parameters, "limit", 1, 2**63), options.merchants_page_max)
    return PageAsked(_number(parameters, "offset", 0, 2**63), limit)


def _check_base_info(info: Any, options: SandboxOptions) -> None:
    pointer = "/body/activity_base_info"
    colour = info.get("background_color", "")
    # Documents write Color010 and COLOR010 for the same colour (API §1.9).
    if colour and colour.lower() not in {known.lower() for known in _COLOURS}:
        raise fails("枚举", "背景颜色", f"{pointer}/background_color", "应为 Color010…Color100 之一", colour)
    span = clock.parse(info["end_time"]) - clock.parse(info["begin_time"])
    if span <= timedelta(0):
        raise fails("时间", "活动结束时间", f"{pointer}/end_time", "应晚于活动开始时间", info["end_time"])
    if span > LONGEST_ACTIVITY:
        raise fails("时间", "活动结束时间", f"{pointer}/end_time", "活动有效期最长90天", info["end_time"])
    if info["delivery_purpose"] == "JUMP_MINI_APP":
        for name, label in (("mini_programs_appid", "小程序appid"), ("mini_programs_path", "小程序path")):
            if name not in info:
                raise missing(label, f"{pointer}/{name}")
    if "available_periods" in info:
        _check_periods(info, options)


def _check_periods(info: Any, options: SandboxOptions) -> None:
    pointer = "/body/activity_base_info/available_periods"
    periods = info["available_periods"]
    for name, label in (("available_time", "可用时间"), ("available_day_time", "每日可用时间")):
        if options.periods_need_both and name not in periods:
            raise missing(label, f"{pointer}/{name}")
    begin, end = clock.parse(info["begin_time"]), clock.parse(info["end_time"])
    for index, window in enumerate(periods.get("available_time", ())):
        where = f"{pointer}/available_time/{index}"
        opens, closes = clock.parse(window["begin_time"]), clock.parse(window["end_time"])
        if opens >= closes:
            raise fails("时间", "结束时间", f"{where}/end_time", "应晚于开始时间", window["end_time"])
        if options.windows_inside_activity and not begin <= opens < closes <= end:
            raise fails("时间", "可用时间", where, "应在活动时间之内")
    for index, window in enumerate(periods.get("available_day_time", ())):
        if window["begin_day_time"] >= window["end_day_time"]:
            where = f"{pointer}/available_day_time/{index}/end_day_time"
            raise fails("时间", "当天结束时间", where, "应晚于当天开始时间", window["end_day_time"])


def _check_rule(rule: Any, options: SandboxOptions) -> None:
    pointer = "/body/award_send_rule"
    if rule["merchant_option"] != "MANUAL_INPUT_MERCHANT":
        raise param_error(MANUAL_MERCHANTS_ONLY, f"{pointer}/merchant_option", rule["merchant_option"])
    count = len(rule["award_list"])
    package = rule["send_content"] == "GIFT_PACKAGE"
    if package and count < 3:
        raise fails("数组", "奖品基本信息列表", f"{pointer}/award_list", f"礼包元素个数 {count}，应为 3 到 5")
    if not package and count != 1:
        raise fails("数组", "奖品基本信息列表", f"{pointer}/award_list", f"单券元素个数 {count}，应为 1")
    for index, award in enumerate(rule["award_list"]):
        if package and "thumbnail_url" not in award:
            raise missing("奖品缩略图片(小图)", f"{pointer}/award_list/{index}/thumbnail_url")
    _check_repeats(rule["merchant_id_list"], f"{pointer}/merchant_id_list", options)


def _check_advanced(advanced: Any) -> None:
    members_only = advanced.get("delivery_user_category") == "DELIVERY_MEMBER_PERSON"
    if members_only and "merchant_member_appid" not in advanced:
        raise missing("商户会员appid", "/body/advanced_setting/merchant_member_appid")


def _check_repeats(merchants: list[str], pointer: str, options: SandboxOptions) -> None:
    if options.repeated_merchant == "refuse" and len(set(merchants)) != len(merchants):
        raise fails("数组", "发券商户号", pointer, "商户号重复")


def _number(parameters: Mapping[str, str], name: str, least: int, most: int) -> int:
    pointer = f"/query/{name}"
    if name not in parameters:
        raise missing(name, pointer)
    text = parameters[name]
    # The length keeps int() away from megabytes of digits.
    if not (text.isascii() and text.isdigit() and len(text) <= 20):
        raise param_error(f"输入源“{pointer}”映射到数值字段“{name}”失败,应为非负整数", pointer, text)
    check(int(text), Number(name, least, most), pointer)
    return int(text)


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    read = dict(pairs)
    if len(read) != len(pairs):
        raise ValueError("a key stands twice")
    return read


def _no_constant(text: str) -> Never:
    raise ValueError(f"{text} is not JSON")


def _scalars(value: Any, pointer: str) -> Iterator[tuple[str, Any]]:
    """Every key and every scalar of ``value``, with where it stands."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield pointer, name
            yield from _scalars(inner, f"{pointer}/{name}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _scalars(inner, f"{pointer}/{index}")
    else:
        yield pointer, value


def _check_scalar(pointer: str, value: Any) -> None:
    if value is None:
        raise param_error(f"输入源“{pointer}”的值不允许为null", pointer)
    if isinstance(value, str) and any(_unsent(character) for character in value):
        raise param_error("仅支持UTF-8字符集中1到3个字节长度的字符", pointer.encode("ascii", "ignore").decode())


def _unsent(character: str) -> bool:
    """Outside the BMP, or half of a surrogate pair, which is not a character."""
    return character > "\uffff" or "\ud800" <= character <= "\udfff"
