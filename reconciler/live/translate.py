"""Both directions between the shapes on the wire and our nouns. Pure.

The remote's habits are translated here, and end here (concepts.md#live): what it spells in several ways becomes one,
and what we send is spelled in one way only. Reading what was created gives back the terms it was created from.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from reconciler.model.activity import (
    BEIJING,
    FULL_SEND,
    WHOLE_DAY,
    Award,
    DayWindow,
    Image,
    LiveActivity,
    Terms,
    Window,
)
from reconciler.model.coupon import Coupon
from reconciler.model.identity import canonical_json, instant
from reconciler.wechatpay.wire import (
    ActivityBaseInfo,
    ActivityItem,
    AdvancedSetting,
    AvailableDayTime,
    AvailablePeriods,
    AvailableTime,
    AwardItem,
    CreateRequest,
    FullSendRule,
    OddActivityItem,
    Stock,
)

ALL_PERSONS: Final = "DELIVERY_ALL_PERSON"
_YEARS: Final = range(1971, 3000)
"""Times outside of these stand for something else, such as Go's zero time, 0001-01-01, or "never"."""
_AMOUNTS: Final = range(2**63)
_LONG: Final = 20
"""Digits of a number that is none of ours."""
_CLOCK_TIME: Final = re.compile(r"([01][0-9]|2[0-3])[0-5][0-9][0-5][0-9]")


def live_activity(item: ActivityItem) -> LiveActivity:
    """One element of the list, or a detail, in the types of ``activity``. What cannot be read is ``None``, or empty."""
    return LiveActivity(
        activity_id=item.activity_id,
        out_request_no=item.activity_base_info.out_request_no or "",  # web pages may give none (API §9 8)
        activity_status=item.activity_status,
        terms=None if isinstance(item, OddActivityItem) else _terms(item),
        activity_type=item.activity_type or FULL_SEND,  # optional in answers (API §1.2)
        creator_merchant_id=_text(item.creator_merchant_id),
        belong_merchant_id=_text(item.belong_merchant_id),
        create_time=_maybe_instant(item.create_time),
        update_time=_maybe_instant(item.update_time),
        pause_time=_maybe_instant(item.pause_time),
        wire=item.as_sent(),
    )


def coupon(stock: Stock) -> Coupon:
    """A stock's query in the types of ``plan.coupons``. What cannot be read is ``None``, or empty."""
    rule, limits = _object(stock.coupon_use_rule), _object(stock.stock_send_rule)
    period = _object(rule.get("coupon_available_time"))
    return Coupon(
        stock_id=stock.stock_id,
        begin_time=_maybe_instant(period.get("available_begin_time")),
        end_time=_maybe_instant(period.get("available_end_time")),
        stock_state=_text(stock.stock_state),
        coupon_code_mode=_text(stock.coupon_code_mode),
        belong_merchant=_text(stock.belong_merchant),
        max_coupons=_number(limits.get("max_coupons")),
        max_coupons_per_user=_number(limits.get("max_coupons_per_user")),
        codes_left=_number(_object(stock.coupon_code_count).get("available_count")),
        redeem=tuple(sorted(_redeem(rule, period))),
    )


def _redeem(rule: Mapping[str, object], period: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """When a coupon can be redeemed, beside its begin and end. Some documents put two of its fields one level up
    (API §3.1); an empty value says what none says."""
    # irregulary_avaliable_time is how the API spells it (API §3.1).
    beside = {name: rule[name] for name in ("available_week", "irregulary_avaliable_time") if name in rule}
    for name, value in (beside | dict(period)).items():
        plain = _canonical(value)
        if name not in ("available_begin_time", "available_end_time") and plain not in (None, 0, "", [], {}):
            yield name, plain if isinstance(plain, str) else canonical_json(plain)


def _canonical(value: object) -> object:
    """One spelling for what means the same: lists are sets, a number in digits is a number, times are instants."""
    match value:
        case Mapping():
            plain = {str(name): _canonical(each) for name, each in value.items()}
            return {name: each for name, each in plain.items() if each not in (None, [], {})}
        case list():
            return sorted({canonical_json(each): each for each in map(_canonical, value)}.values(), key=canonical_json)
        case str() if value.isascii() and value.isdigit():
            return _number(value)
        case str() if (moment := _maybe_instant(value)) is not None:
            return instant(moment)
    return value


def _terms(item: ActivityItem) -> Terms | None:
    """``None`` for the types that the API cannot create (API §1.2), and where a value is not one that it can have."""
    rule = item.award_send_rule.full_send_rule
    base = item.activity_base_info
    begin_time, end_time = _maybe_instant(base.begin_time), _maybe_instant(base.end_time)
    if rule is None or begin_time is None or end_time is None or base.activity_name is None:
        return None
    if (rule.transaction_amount_minimum or 0) not in _AMOUNTS:
        return None
    try:
        available_time, available_day_time = _read_periods(base.available_periods, Window(begin_time, end_time))
    except ValueError:
        return None
    return _full_send_terms(
        base,
        rule,
        item.advanced_setting or AdvancedSetting(),
        Window(begin_time, end_time),
        available_time,
        available_day_time,
    )


def _full_send_terms(
    base: ActivityBaseInfo,
    rule: FullSendRule,
    advanced: AdvancedSetting,
    window: Window,
    available_time: tuple[Window, ...],
    available_day_time: tuple[DayWindow, ...],
) -> Terms:
    return Terms(
        activity_name=base.activity_name or "",
        activity_second_title=base.activity_second_title or "",
        merchant_logo_url=Image(base.merchant_logo_url or ""),
        background_color=_colour(base.background_color),
        begin_time=window.begin_time,
        end_time=window.end_time,
        available_time=available_time,
        available_day_time=available_day_time,
        delivery_purpose=base.delivery_purpose or "",
        mini_programs_appid=base.mini_programs_appid or "",
        mini_programs_path=base.mini_programs_path or "",
        transaction_amount_minimum=rule.transaction_amount_minimum or 0,
        send_content=rule.send_content or "",
        award_type=rule.award_type or "",
        award_list=tuple(_award(award) for award in rule.award_list or ()),
        merchant_option=rule.merchant_option or "",
        # Absent means all persons, or there would be drift that nobody can end (API §1.1).
        delivery_user_category=advanced.delivery_user_category or ALL_PERSONS,
        merchant_member_appid=advanced.merchant_member_appid or "",
        # Neither order nor repetition of tags means anything.
        goods_tags=tuple(sorted(set(advanced.goods_tags or ()))),
    )


def _award(item: AwardItem) -> Award:
    thumbnail = Image(item.thumbnail_url) if item.thumbnail_url else None
    return Award(item.stock_id, Image(item.original_image_url or ""), thumbnail)


def _read_periods(periods: AvailablePeriods | None, whole: Window) -> tuple[tuple[Window, ...], tuple[DayWindow, ...]]:
    """Windows that narrow nothing are the same as none (API §8 9). Raises ValueError for an unreadable time."""
    if periods is None:
        return (), ()
    spans = tuple(
        sorted(Window(_instant(span.begin_time), _instant(span.end_time)) for span in periods.available_time or ())
    )
    days = tuple(
        sorted(
            DayWindow(_clock_time(day.begin_day_time), _clock_time(day.end_day_time))
            for day in periods.available_day_time or ()
        )
    )
    return () if spans == (whole,) else spans, () if days == (DayWindow(*WHOLE_DAY),) else days


def _colour(name: str | None) -> str | None:
    """``COLOR010`` and ``Color010`` are one colour (API §1.9); hex values of old activities stay as they are."""
    if not name:
        return None
    return f"Color{name[5:]}" if name[:5].lower() == "color" else name


def _clock_time(digits: str) -> str:
    if _CLOCK_TIME.fullmatch(digits) is None:
        raise ValueError("no time of a day as HHMMSS")
    return digits


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _object(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def _number(value: object) -> int | None:
    """A whole number; samples have some of them as texts (API §3.1)."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < _LONG:
        return int(value)
    # Python takes True for an int.
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _maybe_instant(value: object) -> datetime | None:
    try:
        return _instant(_text(value))
    except ValueError:
        return None


def _instant(text: str) -> datetime:
    """RFC 3339 with or without milliseconds; a time without an offset is Beijing's.

    Raises ValueError for anything else, and for years in which nothing of ours can happen.
    """
    moment = datetime.fromisoformat(text)
    if moment.year not in _YEARS:
        raise ValueError("a year far away")
    return (moment if moment.tzinfo else moment.replace(tzinfo=BEIJING)).astimezone(UTC)


def create_request(
    out_request_no: str, terms: Terms, merchants: Sequence[str], urls: Mapping[str, str]
) -> CreateRequest:
    """The body under which ``terms`` are created with ``merchants`` (at most 500).

    The same arguments give the same bytes: times are Beijing time in whole seconds, with milliseconds only where there
    are any, and what is absent is left out, since null is not allowed (API §1.10, §5.1).

    ``urls`` gives the uploaded URL of each local image by its SHA-256. Raises KeyError for one that is missing.
    """
    return CreateRequest(
        activity_base_info=ActivityBaseInfo(
            activity_name=terms.activity_name,
            activity_second_title=terms.activity_second_title,
            merchant_logo_url=_url(terms.merchant_logo_url, urls),
            background_color=terms.background_color,
            begin_time=_beijing(terms.begin_time),
            end_time=_beijing(terms.end_time),
            available_periods=_written_periods(terms),
            out_request_no=out_request_no,
            delivery_purpose=terms.delivery_purpose,
            mini_programs_appid=terms.mini_programs_appid or None,
            mini_programs_path=terms.mini_programs_path or None,
        ),
        award_send_rule=FullSendRule(
            transaction_amount_minimum=terms.transaction_amount_minimum,
            send_content=terms.send_content,
            award_type=terms.award_type,
            award_list=[
                AwardItem(
                    stock_id=award.stock_id,
                    original_image_url=_url(award.original_image_url, urls),
                    thumbnail_url=_url(award.thumbnail_url, urls) if award.thumbnail_url else None,
                )
                for award in terms.award_list
            ],
            merchant_option=terms.merchant_option,
            merchant_id_list=list(merchants),
        ),
        advanced_setting=AdvancedSetting(
            delivery_user_category=terms.delivery_user_category,
            merchant_member_appid=terms.merchant_member_appid or None,
            goods_tags=list(terms.goods_tags) or None,
        ),
    )


def _written_periods(terms: Terms) -> AvailablePeriods | None:
    """Both windows or neither: where one is given, the other is filled with all there is (API §8 9)."""
    if not terms.available_time and not terms.available_day_time:
        return None
    return AvailablePeriods(
        available_time=[
            AvailableTime(begin_time=_beijing(span.begin_time), end_time=_beijing(span.end_time))
            for span in terms.available_time or (terms.window,)
        ],
        available_day_time=[
            AvailableDayTime(begin_day_time=day.begin_day_time, end_day_time=day.end_day_time)
            for day in terms.available_day_time or (DayWindow(*WHOLE_DAY),)
        ],
    )


def _url(image: Image, urls: Mapping[str, str]) -> str:
    return image.url or urls[image.sha256]


def _beijing(moment: datetime) -> str:
    timespec = "milliseconds" if moment.microsecond else "seconds"
    return moment.astimezone(BEIJING).isoformat(timespec=timespec)
