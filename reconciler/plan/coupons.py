"""Whether WeChat Pay would take the coupons of what is to be created (API §2 F2, F3, F5). Pure.

Found out before anything is written: a create that fails after the old activity was terminated leaves customers with
nothing. What WeChat Pay does not show is neither refused nor assumed to be fine: it is said (``COUPON_NOT_READABLE``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from reconciler.model.activity import BEIJING, Terms
from reconciler.model.coupon import Coupon, CouponRead, UnreadCoupon
from reconciler.model.findings import Finding, FindingKind
from reconciler.model.operations import CreateActivity
from reconciler.model.plan import ActivityChange, Plan


def stocks_named(plan: Plan) -> list[str]:
    """The ids of all stocks that the plan's creates give, sorted."""
    ids = {
        award.stock_id
        for step in plan.operations
        if isinstance(step, CreateActivity)
        for award in step.terms.award_list
    }
    return sorted(ids)


def coupon_findings(plan: Plan, coupons: Mapping[str, CouponRead]) -> Iterator[Finding]:
    """What there is to say of the coupons of each activity to be created; those missing from ``coupons`` do not exist.

    A refusal for those that WeChat Pay would not take; a warning for those that it may not take, since whether it takes
    equal times is not known (API §2 F2), and for those of which something could not be read.
    """
    for change in plan.changes:
        for step in change.operations:
            if isinstance(step, CreateActivity):
                yield from _findings(change, step.terms, coupons)


def unproven(terms: Terms, coupons: Mapping[str, CouponRead]) -> Iterator[str]:
    """Every reason, as far as coupons go, why a create with ``terms`` is not as good as certain to be taken.

    What would be refused, what WeChat Pay may refuse, and everything that is not known of a coupon.
    """
    # What cannot be read is good enough for a create, and not for an end that comes before it.
    yield from _reasons(terms, coupons)
    yield from _doubts(terms, coupons)
    yield from _unknowns(terms, coupons)
    for coupon in _read(terms, coupons):
        for name, number in (("stock", coupon.max_coupons), ("limit per user", coupon.max_coupons_per_user)):
            if number is None:
                yield f"the {name} of coupon {coupon.stock_id} is not known"


def _findings(change: ActivityChange, terms: Terms, coupons: Mapping[str, CouponRead]) -> Iterator[Finding]:
    for kind, name, sentences in (
        (FindingKind.COUPON_UNUSABLE, "problems", _reasons(terms, coupons)),
        (FindingKind.COUPON_TIME_EQUAL, "doubts", _doubts(terms, coupons)),
        (FindingKind.COUPON_NOT_READABLE, "unknown", _unknowns(terms, coupons)),
    ):
        said = "; ".join(dict.fromkeys(sentences))
        if said:
            yield Finding.of(kind, change.key, {name: said}, change.source)


def _reasons(terms: Terms, coupons: Mapping[str, CouponRead]) -> Iterator[str]:
    for award in terms.award_list:
        if coupons.get(award.stock_id) is None:
            yield f"coupon {award.stock_id} does not exist"
    found = _read(terms, coupons)
    for coupon in found:
        yield from _reasons_of(coupon, terms)
    for name, values in _compared(found).items():
        yield from _difference(name, values)


def _reasons_of(coupon: Coupon, terms: Terms) -> Iterator[str]:
    name = f"coupon {coupon.stock_id}"
    # Empty means not read, which is told as unknown: a refusal would block on our own ignorance.
    if coupon.stock_state not in ("RUNNING", ""):
        yield f"{name} is {coupon.stock_state}, not RUNNING"
    if coupon.coupon_code_mode == "MERCHANT_API":
        yield f"{name} has the code mode MERCHANT_API, which does not fit pay-gift"
    # Customers would be promised a coupon that has no code to give.
    if coupon.coupon_code_mode == "MERCHANT_UPLOAD" and coupon.codes_left is not None and coupon.codes_left <= 0:
        yield f"{name} has no uploaded codes left"
    begin_time, end_time = coupon.begin_time, coupon.end_time
    if begin_time is not None and begin_time > terms.begin_time:
        earlier = _span(begin_time - terms.begin_time)
        yield f"{name} begins {_at(begin_time)}; the activity begins {_at(terms.begin_time)}, {earlier} earlier"
    if end_time is not None and end_time < terms.end_time:
        later = _span(terms.end_time - end_time)
        yield f"{name} ends {_at(end_time)}; the activity ends {_at(terms.end_time)}, {later} later"


def _doubts(terms: Terms, coupons: Mapping[str, CouponRead]) -> Iterator[str]:
    for coupon in _read(terms, coupons):
        # Whether equal passes is not documented (API §2 F2): a refusal might forbid what works.
        if coupon.begin_time == terms.begin_time:
            yield f"coupon {coupon.stock_id} begins at the same second as the activity"
        if coupon.end_time == terms.end_time:
            yield f"coupon {coupon.stock_id} ends at the same second as the activity"


def _unknowns(terms: Terms, coupons: Mapping[str, CouponRead]) -> Iterator[str]:
    for award in terms.award_list:
        match coupons.get(award.stock_id):
            case UnreadCoupon(reason):
                yield f"coupon {award.stock_id} could not be read: {reason}"
            case Coupon() as coupon:
                yield from _unknowns_of(coupon)
    for name, values in _compared(_read(terms, coupons)).items():
        if _UNKNOWN in values.values() and set(values.values()) != {_UNKNOWN}:
            ids = " and ".join(stock_id for stock_id, value in values.items() if value is _UNKNOWN)
            yield f"whether the {name} of coupon {ids} is that of the others is not known"


def _unknowns_of(coupon: Coupon) -> Iterator[str]:
    name = f"coupon {coupon.stock_id}"
    for what, known in (
        ("begin", coupon.begin_time),
        ("end", coupon.end_time),
        ("state", coupon.stock_state),
        ("code mode", coupon.coupon_code_mode),
        ("owner", coupon.belong_merchant),
    ):
        if not known:
            yield f"the {what} of {name} cannot be read"
    if coupon.coupon_code_mode not in _MODES:
        yield f"{name} has the code mode {coupon.coupon_code_mode}, which paygift does not know"
    if coupon.coupon_code_mode == "MERCHANT_UPLOAD" and coupon.codes_left is None:
        yield f"{name} does not tell whether uploaded codes are left"


_MODES: Final = ("WECHATPAY_MODE", "MERCHANT_UPLOAD", "MERCHANT_API", "")


def _read(terms: Terms, coupons: Mapping[str, CouponRead]) -> list[Coupon]:
    """The coupons that could be read, each once."""
    found = (coupons.get(stock_id) for stock_id in dict.fromkeys(award.stock_id for award in terms.award_list))
    return [coupon for coupon in found if isinstance(coupon, Coupon)]


# -- a package ---------------------------------------------------------------------------------------------------------

# Its own object, since None and "none" are values that coupons may be compared by.
_UNKNOWN: Final = object()
_NONE: Final = "none"


def _compared(coupons: Sequence[Coupon]) -> dict[str, dict[str, object]]:
    """What must be equal across a package (API §2 F5): name → stock_id → value, ``_UNKNOWN`` where it is not known."""
    names = dict.fromkeys(name for coupon in coupons for name, _ in coupon.redeem)
    compared: dict[str, dict[str, object]] = {
        "begin": {each.stock_id: _known(each.begin_time) for each in coupons},
        "end": {each.stock_id: _known(each.end_time) for each in coupons},
        "stock": {each.stock_id: _known(each.max_coupons) for each in coupons},
        "limit per user": {each.stock_id: _known(each.max_coupons_per_user) for each in coupons},
        "owner": {each.stock_id: each.belong_merchant or _UNKNOWN for each in coupons},
    }
    for name in sorted(names):
        compared[name] = {each.stock_id: dict(each.redeem).get(name, _NONE) for each in coupons}
    return compared


def _known(value: object) -> object:
    return _UNKNOWN if value is None else value


def _difference(name: str, values: Mapping[str, object]) -> Iterator[str]:
    """In which coupons a value is not that of the others; all values where no one value prevails."""
    known = {stock_id: value for stock_id, value in values.items() if value is not _UNKNOWN}
    counts = Counter(known.values()).most_common()
    if len(counts) < 2:
        return
    usual, most = counts[0]
    # Without a majority nobody can say which coupon is the odd one out.
    if most == counts[1][1]:
        each = ", ".join(f"coupon {stock_id} {_shown(value)}" for stock_id, value in known.items())
        yield f"the coupons of a package must be alike in {name}: {each}"
        return
    for stock_id, value in known.items():
        if value != usual:
            yield f"coupon {stock_id} has {name} {_shown(value)}, the others {_shown(usual)}{_apart(value, usual)}"


def _apart(value: object, usual: object) -> str:
    if not isinstance(value, datetime) or not isinstance(usual, datetime):
        return ""
    return f", {_span(abs(value - usual))} {'earlier' if usual < value else 'later'}"


def _shown(value: object) -> str:
    if isinstance(value, datetime):
        return _at(value)
    return f"{value:,}" if isinstance(value, int) else str(value)


def _at(moment: datetime) -> str:
    """Beijing time, as everything that people read."""
    local = moment.astimezone(BEIJING).replace(tzinfo=None)
    return local.isoformat(sep=" ", timespec="milliseconds" if local.microsecond else "seconds")


def _span(distance: timedelta) -> str:
    """The two largest units: ``11 d 23 h``."""
    hours, rest = divmod(distance.seconds, 3600)
    minutes, seconds = divmod(rest, 60)
    units = ((distance.days, "d"), (hours, "h"), (minutes, "min"), (seconds, "s"))
    shown = [f"{count} {unit}" for count, unit in units if count]
    return " ".join(shown[:2]) or f"{distance.microseconds // 1000} ms"
