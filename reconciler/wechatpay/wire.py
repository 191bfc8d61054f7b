"""The shapes on the wire, as the API documents them (API §1–§5). Shared by the client and the sandbox.

Reading is lenient, as the API demands (API §5.1): unknown fields are kept, unknown enum values are strings, optional
fields may be absent or null, and what nobody decides by may be anything (``object``). Times stay text here. Writing
leaves out what is ``None``, since null is not allowed in requests.

An account shows activities that others made, so one odd element must not hide the others: ``read`` gives what has not
the documented shape as far as it can be read, and fails only where nothing tells which activity it is.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Final, Self, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError

PREFIX: Final = "/v3/marketing/paygiftactivity"
CREATE_PATH: Final = f"{PREFIX}/unique-threshold-activity"
ACTIVITIES_PATH: Final = f"{PREFIX}/activities"
STOCKS_PATH: Final = "/v3/marketing/busifavor/stocks"
IMAGE_UPLOAD_PATH: Final = "/v3/marketing/favor/media/image-upload"
CERTIFICATES_PATH: Final = "/v3/certificates"

LIST_LIMIT: Final = 100
"""The most rows that a page of the activity list can have (API §1.7)."""


class Wire(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)

    @classmethod
    def read(cls, body: bytes) -> Self:
        """The answer in ``body``. Raises ValueError naming the field that is wrong."""
        try:
            return cls.model_validate_json(body)
        except ValidationError:
            return cls._read_leniently(_loads(body))

    @classmethod
    def _read_leniently(cls, content: object) -> Self:
        return cls.model_validate(content)

    def json_bytes(self) -> bytes:
        """The body to send: UTF-8, no nulls, fields in the order in which they are declared."""
        return self.model_dump_json(exclude_none=True).encode()


class AvailableTime(Wire):
    begin_time: str
    end_time: str


class AvailableDayTime(Wire):
    begin_day_time: str
    end_day_time: str


class AvailablePeriods(Wire):
    available_time: list[AvailableTime] | None = None
    available_day_time: list[AvailableDayTime] | None = None


class ActivityBaseInfo(Wire):
    """A create request has all of the first six but the colour; a read promises nothing."""

    activity_name: str | None = None
    activity_second_title: str | None = None
    merchant_logo_url: str | None = None
    background_color: str | None = None
    begin_time: str | None = None
    end_time: str | None = None
    available_periods: AvailablePeriods | None = None
    out_request_no: str | None = None
    delivery_purpose: str | None = None
    mini_programs_appid: str | None = None
    mini_programs_path: str | None = None


class AwardItem(Wire):
    stock_id: str
    original_image_url: str | None = None
    thumbnail_url: str | None = None


class FullSendRule(Wire):
    """Flat in a create request, nested one deeper in reads (API §1.2)."""

    transaction_amount_minimum: int | None = None
    send_content: str | None = None
    award_type: str | None = None
    award_list: list[AwardItem] | None = None
    merchant_option: str | None = None
    merchant_id_list: list[str] | None = None


class AdvancedSetting(Wire):
    delivery_user_category: str | None = None
    merchant_member_appid: str | None = None
    goods_tags: list[str] | None = None


class CreateRequest(Wire):
    activity_base_info: ActivityBaseInfo
    award_send_rule: FullSendRule
    advanced_setting: AdvancedSetting | None = None


class CreateResponse(Wire):
    activity_id: str
    create_time: str


class AwardSendRule(Wire):
    """The rule in reads: one of three; only ``full_send_rule`` can be created (API §1.2)."""

    full_send_rule: FullSendRule | None = None


class ActivityItem(Wire):
    """An element of the list, and the whole of the detail."""

    activity_id: str = Field(min_length=1)
    activity_type: str | None = None
    activity_base_info: ActivityBaseInfo
    award_send_rule: AwardSendRule = Field(default_factory=AwardSendRule)
    advanced_setting: AdvancedSetting | None = None
    activity_status: str
    creator_merchant_id: object = None
    belong_merchant_id: object = None
    pause_time: object = None
    recovery_time: object = None
    create_time: object = None
    update_time: object = None

    @classmethod
    def _read_leniently(cls, content: object) -> Self:
        """Where it has not the documented shape, it is an ``OddActivityItem``, of which no other class is read."""
        if not isinstance(content, Mapping):
            raise ValueError("body: it is no object")  # noqa: TRY004 - a shape that is wrong, for the caller to tell
        sent = {str(name): value for name, value in content.items()}
        activity_id = _identifier(sent.get("activity_id"))
        if not activity_id:
            raise ValueError("activity_id: Field required")
        try:
            return cls.model_validate({**sent, "activity_id": activity_id})
        except ValidationError:
            return cast("Self", _odd(activity_id, sent))

    def as_sent(self) -> dict[str, object]:
        """The element as it came, without nulls."""
        return self.model_dump(exclude_none=True)


class OddActivityItem(ActivityItem):
    """An element that has not the documented shape: what tells which activity it is, and all of it in ``sent``.

    Texts that cannot be read are empty. Its terms cannot be known.
    """

    sent: dict[str, object] = Field(default_factory=dict)

    def as_sent(self) -> dict[str, object]:
        return self.sent


class Page(Wire):
    """What all three lists answer with; ``data`` may be absent when a page is empty (API §1.8)."""

    total_count: int | None = None
    offset: int | None = None
    limit: int | None = None


class ActivityPage(Page):
    data: list[ActivityItem] | None = None

    @classmethod
    def _read_leniently(cls, content: object) -> Self:
        """Each element by itself, so that an odd one leaves the others as they are."""
        if not isinstance(content, Mapping) or not isinstance(content.get("data"), list):
            return cls.model_validate(content)
        rows = [_row(number, row) for number, row in enumerate(content["data"])]
        return cls.model_validate({**content, "data": rows})


class MerchantItem(Wire):
    model_config = ConfigDict(coerce_numbers_to_str=True)

    mchid: str
    merchant_name: object = None
    create_time: object = None
    update_time: object = None


class MerchantPage(Page):
    activity_id: str | None = None
    data: list[MerchantItem] | None = None


class GoodsItem(Wire):
    model_config = ConfigDict(coerce_numbers_to_str=True)

    goods_id: str
    create_time: object = None
    update_time: object = None


class GoodsPage(Page):
    activity_id: str | None = None
    data: list[GoodsItem] | None = None


class TerminateResponse(Wire):
    activity_id: str
    terminate_time: str


class AddMerchantsRequest(Wire):
    merchant_id_list: list[str]
    add_request_no: str


class InvalidMerchant(Wire):
    mchid: str
    invalid_reason: str | None = None


class AddMerchantsResponse(Wire):
    activity_id: str | None = None
    invalid_merchant_id_list: list[InvalidMerchant] | None = None
    add_time: str | None = None


class DeleteMerchantsRequest(Wire):
    merchant_id_list: list[str]
    delete_request_no: str


class DeleteMerchantsResponse(Wire):
    activity_id: str | None = None
    delete_time: str | None = None


class Stock(Wire):
    """A 商家券 batch as its query answers; only what pay-gift depends on is named (API §3.1).

    The objects are as they come: somebody else may have made the batch, and the documents disagree on their insides.
    """

    stock_id: str
    stock_state: object = None
    belong_merchant: object = None
    coupon_code_mode: object = None
    coupon_use_rule: object = None
    stock_send_rule: object = None
    coupon_code_count: object = None


class StockCreated(Wire):
    stock_id: str
    create_time: str | None = None


class ImageMeta(Wire):
    """The meta part of an upload; its exact JSON is what gets signed (API §4)."""

    filename: str
    sha256: str


class ImageUploaded(Wire):
    media_url: str


class EncryptCertificate(Wire):
    algorithm: str
    nonce: str
    associated_data: str
    ciphertext: str


class PlatformCertificate(Wire):
    serial_no: str
    effective_time: str
    expire_time: str
    encrypt_certificate: EncryptCertificate


class Certificates(Wire):
    data: list[PlatformCertificate]


class ErrorBody(Wire):
    code: str
    message: str
    detail: object = None


# What is read leniently.

_DEEPEST: Final = 60
"""What is nested deeper than this is left out: nothing that we know is."""
_MOST_DIGITS: Final = 40
"""Python refuses to read numbers of thousands of digits. Longer ones than this stay text: nothing that we know is."""


def _loads(body: bytes) -> object:
    """The JSON of ``body`` as far as it can be read: characters, numbers and depths that are none are replaced."""
    try:
        return _plain(json.loads(body.decode("utf-8", "replace"), parse_int=_whole), _DEEPEST)
    except (ValueError, RecursionError) as error:
        raise ValueError("body: it is no JSON that can be read") from error


def _row(number: int, row: object) -> ActivityItem:
    try:
        return ActivityItem._read_leniently(row)
    except ValueError as error:
        raise ValueError(f"data.{number}.{error}") from error


def _odd(activity_id: str, sent: dict[str, object]) -> OddActivityItem:
    base = sent.get("activity_base_info")
    number = base.get("out_request_no") if isinstance(base, Mapping) else None
    return OddActivityItem(
        activity_id=activity_id,
        activity_status=_text(sent.get("activity_status")),
        activity_type=_text(sent.get("activity_type")) or None,
        activity_base_info=ActivityBaseInfo(out_request_no=_text(number)),
        creator_merchant_id=sent.get("creator_merchant_id"),
        belong_merchant_id=sent.get("belong_merchant_id"),
        pause_time=sent.get("pause_time"),
        create_time=sent.get("create_time"),
        update_time=sent.get("update_time"),
        sent=sent,
    )


def _identifier(value: object) -> str:
    """Ids are texts (API §1.1); a whole number names the same activity."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else _text(value)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _whole(digits: str) -> int | str:
    return int(digits) if len(digits) <= _MOST_DIGITS else digits


def _plain(value: object, depth: int) -> object:
    """``value`` without what no text and no JSON can hold: halves of characters, infinite numbers, endless depths."""
    match value:
        case str():
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        case float():
            return value if math.isfinite(value) else None
        case dict():
            return (
                {_plain(name, depth): _plain(each, depth - 1) for name, each in value.items()}
                if depth
                else None
            )
        case list():
            return [_plain(each, depth - 1) for each in value] if depth else None
    return value
