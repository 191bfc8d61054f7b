"""商家券 batches: what seeding fills in, creating one, and the FAQ rules F1–F6 between coupons and activities."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import count
from typing import Any, Final

from reconciler.sandbox import clock, schema
from reconciler.sandbox.api_error import COUPON_UNFIT, PACKAGE_MIXED, SAME_BRAND, invalid_request, not_found
from reconciler.sandbox.memory import Json, Memory, StoredStock
from reconciler.sandbox.options import SandboxOptions

_SOME: Final = {"available_count": 1}
_SEED_VALIDITY: Final = timedelta(days=180)
_QUERIED: Final = schema.Object(
    "批次",
    {
        "stock_id": schema.Text("批次号", 1, 20),
        "stock_name": schema.Text("商家券批次名称", 1, 21),
        "belong_merchant": schema.Text("批次归属商户号", 8, 15, "[0-9]+"),
        # STOPED is how the API spells it (API §3.1).
        "stock_state": schema.Text("批次状态", choices=("UNAUDIT", "RUNNING", "STOPED", "PAUSED")),
        "coupon_code_mode": schema.Text("券code模式", choices=("WECHATPAY_MODE", "MERCHANT_API", "MERCHANT_UPLOAD")),
        "coupon_use_rule": schema.Object(
            "核销规则",
            {
                "coupon_available_time": schema.Object(
                    "券可核销时间",
                    {
                        "available_begin_time": schema.Text("开始时间", 0),
                        "available_end_time": schema.Text("结束时间", 0),
                    },
                    open=True,
                )
            },
            open=True,
        ),
        "stock_send_rule": schema.Object(
            "发放规则", {"max_coupons_per_user": schema.Number("用户最大领取个数", 1, 100)}, open=True
        ),
        "coupon_code_count": schema.Object(
            "code数量",
            {
                "total_count": schema.Number("总数", 0, 2**63),
                "available_count": schema.Number("可用数", 0, 2**63),
            },
            required=False,
        ),
    },
    open=True,
)
"""What a batch that is put in from outside must have. Its times may be none, which no activity fits."""


def check_coupons(memory: Memory, body: Any, options: SandboxOptions) -> None:
    """F1–F3, F5 and F6 (API §2) for a create request: the first rule that fails refuses the whole."""
    rule = body["award_send_rule"]
    stocks = [_existing(memory, award["stock_id"]) for award in rule["award_list"]]
    for stock in stocks:
        _check_fit(stock, body["activity_base_info"], options)
    if any(_package_terms(stock) != _package_terms(stocks[0]) for stock in stocks):
        raise invalid_request(PACKAGE_MIXED)
    unfit = merchant_rule(memory, [stocks[0]["belong_merchant"]], options)
    if any(map(unfit, rule["merchant_id_list"])):
        raise invalid_request(SAME_BRAND)


def merchant_rule(memory: Memory, owners: Sequence[str], options: SandboxOptions) -> Callable[[str], str]:
    """A function that tells why a merchant may not give coupons of ``owners``, or empty (F1, F6)."""
    brands = memory.brands
    branded = frozenset[str]().union(*brands)
    common = frozenset[str]().union(*(brand for brand in brands if brand.issuperset(owners)))

    def reason(mchid: str) -> str:
        if declared := memory.declared(mchid):
            return declared
        unknown = mchid not in branded and options.brand_check == "known"
        return "" if unknown or mchid in common or set(owners) <= {mchid} else SAME_BRAND

    return reason


def created(memory: Memory, body: Json) -> StoredStock:
    """The batch that a create request makes (API §3.2), running at once."""
    own = ("out_request_no", "coupon_code_count")
    content = {name: value for name, value in body.items() if name not in own}
    content |= {"stock_id": _free_id(memory, memory.global_state.made + 1), "stock_state": "RUNNING"}
    return StoredStock(content["stock_id"], _with_codes(content))


def seeded(memory: Memory, asked: list[Json], *, mchid: str, now: datetime) -> list[StoredStock]:
    """Batches put in from outside. Whatever is left out is filled in: belonging to ``mchid``, running, valid from
    180 days before ``now`` to 180 days after. A create request with a stock_id will do."""
    stocks: list[StoredStock] = []
    for number, given in enumerate(asked, memory.global_state.made + 1):
        content = _with_codes(_merged(_defaults(_free_id(memory, number), mchid, now), given))
        content.pop("out_request_no", None)
        schema.check(content, _QUERIED, f"/body/stocks/{len(stocks)}")
        stocks.append(StoredStock(content["stock_id"], content))
    return stocks


def free_id(first: int, taken: Mapping[str, object]) -> str:
    """The first id from ``first`` on that is not taken: what was put in from outside may hold any."""
    return next(str(number) for number in count(first) if str(number) not in taken)


def _existing(memory: Memory, stock_id: str) -> Json:
    stock = memory.stocks.get(stock_id)
    if stock is None:
        raise not_found(f"商家券批次 {stock_id} 不存在")
    return stock.content


def _check_fit(stock: Json, info: Any, options: SandboxOptions) -> None:
    """F2 and F3, and what API §2 infers: the batch runs, and its codes do not come from the merchant."""
    uploads = stock["coupon_code_mode"] == "MERCHANT_UPLOAD"
    # A batch that was put in without a count has its codes: it is only not told how many.
    has_codes = not uploads or stock.get("coupon_code_count", _SOME)["available_count"] > 0
    wrong_mode = stock["coupon_code_mode"] == "MERCHANT_API"
    if wrong_mode or stock["stock_state"] != "RUNNING" or not _encloses(stock, info, options) or not has_codes:
        raise invalid_request(COUPON_UNFIT)


def _encloses(stock: Json, info: Any, options: SandboxOptions) -> bool:
    validity = stock["coupon_use_rule"]["coupon_available_time"]
    begin, end = (
        clock.seconds(validity["available_begin_time"]),
        clock.seconds(validity["available_end_time"]),
    )
    if begin is None or end is None:
        return False
    before = clock.parse(info["begin_time"]).timestamp() - begin
    after = end - clock.parse(info["end_time"]).timestamp()
    margin = min(before, after)
    return margin >= 0 if options.coupon_bounds == "inclusive" else margin > 0


def _package_terms(stock: Json) -> list[Any]:
    """What must be equal across the coupons of a package (F5): stock, per-user limit, owner, and the whole redeem time,
    of which two parts may stand one level higher (API §3.1)."""
    sending, rule = stock["stock_send_rule"], stock["coupon_use_rule"]
    beside = {name: rule[name] for name in ("available_week", "irregulary_avaliable_time") if name in rule}
    return [
        sending.get("max_coupons"),
        sending["max_coupons_per_user"],
        stock["belong_merchant"],
        _normalised(beside | rule["coupon_available_time"]),
    ]


def _normalised(value: Any) -> Any:
    """``value`` so that two which mean the same are equal: no order in lists, no offsets in times, nothing empty."""
    if isinstance(value, dict):
        plain = {name: _normalised(each) for name, each in value.items()}
        return {name: each for name, each in plain.items() if each not in (None, [], {})}
    if isinstance(value, list):
        # By repr: dictionaries, numbers and texts have no order among them.
        return sorted((_normalised(each) for each in value), key=repr)
    moment = clock.seconds(value)
    return value if moment is None else ("at", moment)


def _free_id(memory: Memory, number: int) -> str:
    """Real stock ids have 16 digits (API §3.2)."""
    return free_id(1263540000000000 + number, memory.stocks)


def _defaults(stock_id: str, mchid: str, now: datetime) -> Json:
    validity = {
        "available_begin_time": clock.beijing((now - _SEED_VALIDITY).replace(microsecond=0).timestamp()),
        "available_end_time": clock.beijing((now + _SEED_VALIDITY).replace(microsecond=0).timestamp()),
    }
    return {
        "stock_id": stock_id,
        "stock_name": "沙箱商家券",
        "belong_merchant": mchid,
        "goods_name": "全场商品",
        "stock_type": "NORMAL",
        "coupon_use_rule": {
            "coupon_available_time": validity,
            "fixed_normal_coupon": {"discount_amount": 500, "transaction_minimum": 2000},
            "use_method": "OFF_LINE",
        },
        "stock_send_rule": {"max_coupons": 100000, "max_coupons_per_user": 5},
        "stock_state": "RUNNING",
        "coupon_code_mode": "WECHATPAY_MODE",
    }


def _with_codes(content: Json) -> Json:
    """``coupon_code_count`` is there only for MERCHANT_UPLOAD (API §3.1), and starts empty; null leaves it out."""
    if content["coupon_code_mode"] == "MERCHANT_UPLOAD" and content.get("coupon_code_count", 0) is not None:
        return {"coupon_code_count": {"total_count": 0, "available_count": 0}, **content}
    return {name: value for name, value in content.items() if name != "coupon_code_count"}


def _merged(base: Any, over: Any) -> Any:
    """``over`` on top of ``base``, object by object."""
    if not (isinstance(base, dict) and isinstance(over, dict)):
        return over
    return base | {name: _merged(base.get(name), value) for name, value in over.items()}
