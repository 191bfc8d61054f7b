"""One option for every behaviour that the API leaves undocumented (API §9), each with the default we guess."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any, Final, Literal, get_args, get_origin, get_type_hints

Paging = Literal["pages_from_0", "pages_from_1", "rows"]
RefuseOrAccept = Literal["refuse", "accept"]
RefuseOrIgnore = Literal["refuse", "ignore"]


@dataclass(frozen=True, slots=True)
class SandboxOptions:
    """How the sandbox behaves where nobody knows how the service does. Passed at start; never stored."""

    # Lists
    paging: Paging = "pages_from_0"
    """What ``offset`` counts, on list, merchants and goods alike (API §1.8)."""
    merchants_page_default: int = 20
    """Rows of a page of merchants or goods when no ``limit`` is sent."""
    merchants_page_max: int = 50
    """A larger ``limit`` for merchants or goods is cut down to this, and the page says so."""
    merchants_page_refused_above: int = 0
    """A larger ``limit`` for merchants or goods is refused with 400 before it could be cut down; 0: none is."""
    omit_empty_data: bool = False
    """Leave ``data`` out of a page without rows, as its being optional allows."""
    total_count_error: Literal[-1, 0, 1] = 0
    """Added to every ``total_count``, never below 0: a count that lies."""
    list_order: Literal["newest_first", "oldest_first"] = "newest_first"

    # What reads return
    background_color_case: Literal["upper", "as_sent"] = "upper"
    """The one real answer has ``COLOR010`` (API §1.7)."""
    default_background_color: str = "Color010"
    """Returned when none was sent; empty: the field stays absent."""
    default_delivery_user_category: str = "DELIVERY_ALL_PERSON"
    """Returned when none was sent; empty: the field stays absent."""
    times_returned: Literal["beijing", "as_sent"] = "beijing"
    """Whether reads rewrite the times of a request to whole seconds with +08:00."""

    # Create
    create_closed: bool = False
    """Refuse every new activity with 403 NO_AUTH, as may happen since 2025-12-01 (API §0.3)."""
    create_ended: RefuseOrAccept = "refuse"
    """An activity whose end has already passed."""
    unknown_fields: RefuseOrIgnore = "refuse"
    """Fields that the API does not know, in any request body."""
    transaction_amount_least: int = 1
    """The smallest ``transaction_amount_minimum``, in fen."""
    periods_need_both: bool = True
    """Whether ``available_periods`` must hold both of its lists (API §8 9)."""
    windows_inside_activity: bool = True
    """Whether the windows of ``available_time`` must lie within begin_time and end_time."""
    coupon_bounds: Literal["strict", "inclusive"] = "strict"
    """Whether a coupon must begin before and end after the activity, or may do so at the same second (API §2 F2)."""
    brand_check: Literal["known", "strict"] = "known"
    """``known``: merchants which belong to no registered brand count as same-brand with everyone. ``strict``: only
    a registered brand, or being the coupon's belong_merchant, lets a merchant pass (API §2 F1, F6)."""
    foreign_images: RefuseOrAccept = "refuse"
    """Image URLs that were not uploaded to this sandbox."""
    uploads_per_minute: int = 0
    """More image uploads than this in any 60 s of real time get 429 FREQUENCY_LIMITED; 0: any number may come. The
    documented limit is 100 (API §4). Off unless asked for, since tests and demonstrations upload faster."""
    image_urls: Literal["new", "by_content"] = "new"
    """Whether every upload gets a new URL, or the same bytes get the same URL again (API §4)."""

    # Changes
    repeated_merchant: RefuseOrIgnore = "refuse"
    """The same mchid twice in one request."""
    present_merchant_add: Literal["accept", "reject"] = "accept"
    """Adding a merchant that the activity has: nothing happens, or it is listed as invalid."""
    all_invalid_add: Literal["answer", "refuse"] = "answer"
    """When every mchid is invalid: 200 with the list and no ``add_time``, or 400."""
    absent_merchant_delete: RefuseOrIgnore = "ignore"
    """Deleting a merchant that the activity does not have."""
    last_merchant_delete: RefuseOrAccept = "refuse"
    """Deleting all merchants that are left."""
    repeated_terminate: RefuseOrAccept = "refuse"
    """Terminating a terminated activity; ``accept`` answers with the first terminate_time again."""

    # Status
    ongoing_lag_seconds: int = 0
    """How long the status stays CREATE_ACT_STATUS after begin_time."""
    over_time_lag_seconds: int = 0
    """How long the status stays ONGOING_ACT_STATUS after end_time; a real sample suggests days (API §1.7)."""

    # Answers' signatures
    public_key: Literal["started", "not_started", "only"] = "started"
    """How far the account's change to the WeChat Pay public key is (API §5.6). ``started``: a request that names its
    id in ``Wechatpay-Serial`` gets an answer signed with it, every other one the platform certificate's.
    ``not_started``: the header changes nothing. ``only``: always the public key, and there are no certificates."""

    def __post_init__(self) -> None:
        for name, kind in get_type_hints(type(self)).items():
            value = getattr(self, name)
            if get_origin(kind) is Literal and value not in get_args(kind):
                raise ValueError(f"{name} must be one of {_choices(kind)}, not {value!r}")
            # isinstance() would take True for an int.
            if kind is int and (type(value) is not int or value < 0):
                raise ValueError(f"{name} must be a whole number of at least 0, not {value!r}")

    @classmethod
    def parse(cls, texts: Iterable[str]) -> SandboxOptions:
        """Read ``name=value`` texts, as a command line gives them. Raises ValueError naming the one that is wrong."""
        kinds = get_type_hints(cls)
        values: dict[str, Any] = {}
        for text in texts:
            name, _, value = text.partition("=")
            if name not in {field.name for field in fields(cls)}:
                raise ValueError(f"there is no option {name!r}; there are {', '.join(kinds)}")
            values[name] = _value(name, kinds[name], value)
        return cls(**values)

    @classmethod
    def describe(cls) -> list[tuple[str, str, str]]:
        """Name, what it may be, and default of every option, as texts."""
        kinds = get_type_hints(cls)
        return [(each.name, _allowed(kinds[each.name]), _text(each.default)) for each in fields(cls)]


DEFAULTS: Final = SandboxOptions()


def _choices(kind: Any) -> str:
    return ", ".join(map(str, get_args(kind)))


def _allowed(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return _choices(kind)
    return {bool: "true, false", int: "a whole number"}.get(kind, "text")


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _value(name: str, kind: Any, text: str) -> Any:
    if get_origin(kind) is Literal:
        return next((each for each in get_args(kind) if str(each) == text), text)
    if kind is bool:
        if text not in ("true", "false"):
            raise ValueError(f"{name} must be true or false, not {text!r}")
        return text == "true"
    if kind is int:
        return int(text) if text.isascii() and text.isdigit() else text
    return text
