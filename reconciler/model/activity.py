"""The nouns that both sides speak: what an author wants and what the API says, in the same types.

Names of fields are the API's. Times are aware datetimes in UTC, money is whole fen, merchants are sorted tuples of
distinct mchids. Whoever builds these types has already settled defaults, units, zones and order, so that the plan
can compare with ``==`` (API §10, concepts.md#live).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta, timezone
from typing import Final, Literal

KEY_PATTERN: Final = re.compile(r"[a-z0-9-]{1,40}")
"""A key is a part of request numbers, which have room for so much (API §1.1)."""
NAMESPACE_PATTERN: Final = re.compile(r"[a-z0-9-]{1,24}")
"""So is the namespace."""

FULL_SEND: Final = "FULL_SEND_ACT_TYPE"
"""The only activity_type that the API can create, and so the only one that we manage (API §1.2)."""

# A fixed offset and not Asia/Shanghai: no machine needs a database of time zones for it.
BEIJING: Final = timezone(timedelta(hours=8))
"""The zone of times that say none, and of everything that people read."""

WHOLE_DAY: Final = ("000000", "235959")
"""The daily window that means "no daily limit" (API §1.1)."""

TERMINATED: Final = "TERMINATE_ACT_STATUS"
"""Ended before its time, by whomever (API §1.7)."""
CREATE_FAILED: Final = "CREATE_ACT_FAILED"
"""Never came about; its number is spent all the same."""
PAUSED: Final = "STOP_ACT_STATUS"
"""Gives nothing until somebody resumes it on the merchant platform; the API can neither pause nor resume."""
FINAL_STATUSES: Final = frozenset({TERMINATED, "OVER_TIME_ACT_STATUS", CREATE_FAILED})
"""Statuses that an activity never leaves (API §10)."""


@dataclass(frozen=True, slots=True)
class Image:
    """An image: either the URL it is served at, or the hash of a local file still to be uploaded.

    ``path`` (relative to the project's root) is for people and for the upload; it takes no part in equality.
    """

    url: str = ""
    sha256: str = ""
    # compare=False: a file that only moved is the same image.
    path: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True, order=True)
class Window:
    """A span of time, in UTC, both ends included."""

    begin_time: datetime
    end_time: datetime


@dataclass(frozen=True, slots=True, order=True)
class DayWindow:
    """A daily span as ``HHMMSS``, Beijing time assumed (API §1.1)."""

    begin_day_time: str
    end_day_time: str


@dataclass(frozen=True, slots=True)
class Award:
    """One coupon of the gift, with its images. ``thumbnail_url`` is required in a package only."""

    stock_id: str
    original_image_url: Image
    thumbnail_url: Image | None = None


@dataclass(frozen=True, slots=True)
class Terms:
    """Every field that is fixed at creation, i.e. all but the merchants (API §1.13).

    Absent texts are ``""``, absent lists ``()``. ``background_color`` is spelled ``ColorNNN``; ``None`` means
    that the author leaves it to the server. ``available_time`` and ``available_day_time`` are empty where they
    would not narrow anything. ``goods_tags`` is sorted; awards keep their order.
    """

    activity_name: str
    activity_second_title: str
    merchant_logo_url: Image
    background_color: str | None
    begin_time: datetime
    end_time: datetime
    available_time: tuple[Window, ...]
    available_day_time: tuple[DayWindow, ...]
    delivery_purpose: str
    mini_programs_appid: str
    mini_programs_path: str
    transaction_amount_minimum: int
    send_content: str
    award_type: str
    award_list: tuple[Award, ...]
    merchant_option: str
    delivery_user_category: str
    merchant_member_appid: str
    goods_tags: tuple[str, ...]

    @property
    def window(self) -> Window:
        """The whole time of the activity."""
        return Window(self.begin_time, self.end_time)

    def images(self) -> Iterator[Image]:
        """The logo, then each award's images, in order."""
        yield self.merchant_logo_url
        for award in self.award_list:
            yield award.original_image_url
            if award.thumbnail_url is not None:
                yield award.thumbnail_url


FIELD_PATHS: Final[dict[str, str]] = {
    "available_time": "activity_base_info.available_periods.available_time",
    "available_day_time": "activity_base_info.available_periods.available_day_time",
    "transaction_amount_minimum": "award_send_rule.transaction_amount_minimum",
    "send_content": "award_send_rule.send_content",
    "award_type": "award_send_rule.award_type",
    "award_list": "award_send_rule.award_list",
    "merchant_option": "award_send_rule.merchant_option",
    "delivery_user_category": "advanced_setting.delivery_user_category",
    "merchant_member_appid": "advanced_setting.merchant_member_appid",
    "goods_tags": "advanced_setting.goods_tags",
}
"""Where each field of Terms stands in a spec and in a create request."""
for _field in fields(Terms):
    FIELD_PATHS.setdefault(_field.name, f"activity_base_info.{_field.name}")


@dataclass(frozen=True, slots=True, order=True)
class Source:
    """Where an author wrote something: a path relative to the project's root, and a line counted from 1."""

    file: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(frozen=True, slots=True)
class NamedAccount:
    """The account that a project belongs to: its 商户号, and where paygift.yaml names it."""

    mchid: str
    source: Source


State = Literal["running", "terminated"]
"""What a spec wants its activity to be."""
ReplaceOrder = Literal["create_first", "terminate_first"]
"""What comes first when new terms replace an activity."""


@dataclass(frozen=True, slots=True)
class DesiredActivity:
    """What a spec means, complete: the terms, the merchants, and our own keys beside them (docs/specs.md)."""

    key: str
    terms: Terms
    merchants: tuple[str, ...]
    source: Source
    generation: int = 1
    protect: bool = False
    state: State = "running"
    replace: ReplaceOrder = "create_first"
    renamed_from: tuple[str, ...] = ()
    adopt: str = ""


@dataclass(frozen=True, slots=True)
class LiveActivity:
    """What the API says of one activity now.

    ``terms`` is ``None`` for activities that are not full-send, or whose terms cannot be read: we never manage
    those. ``merchants`` is ``None`` where they were not asked for (unmanaged or ended activities).
    ``activity_status`` is the server's word, which lags by days (API §1.7): ask ``ended``. ``wire`` is the element
    as it came, unknown fields included, for people to look at; it takes no part in equality.
    """

    activity_id: str
    out_request_no: str
    activity_status: str
    terms: Terms | None
    # None and () are different answers: not asked, and asked and empty.
    merchants: tuple[str, ...] | None = None
    activity_type: str = FULL_SEND
    creator_merchant_id: str = ""
    belong_merchant_id: str = ""
    create_time: datetime | None = None
    update_time: datetime | None = None
    pause_time: datetime | None = None
    # compare=False: update_time moves by itself (API §1.7), and nothing would ever be equal.
    wire: dict[str, object] = field(default_factory=dict, compare=False, repr=False)

    def ended(self, now: datetime) -> bool:
        """Whether it has ended permanently: a final status, or its end time has come, whatever the status says."""
        # Asked first: an activity of another type has no terms here, but a status.
        if self.activity_status in FINAL_STATUSES:
            return True
        return self.terms is not None and self.terms.end_time <= now
