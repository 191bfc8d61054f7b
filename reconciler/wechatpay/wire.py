"""The shapes on the wire, as the API documents them (API §1–§5). Shared by the client and the sandbox.

Reading is lenient, as the API demands (API §5.1): unknown fields are kept, unknown enum values are strings, optional
fields may be absent or null, and what nobody decides by may be anything (``object``). Times stay text here. Writing
leaves out what is ``None``, since null is not allowed in requests.

An account shows activities that others made, so one odd element must not hide the others: ``read`` gives what
does not have the documented shape as far as it can be read, and fails only where nothing tells which activity it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Self, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from reconciler.wechatpay.lenient import identifier, loads, text

PREFIX: Final = "/v3/marketing/paygiftactivity"
"""Of the paths of all pay-gift activities (API §1)."""
CREATE_PATH: Final = f"{PREFIX}/unique-threshold-activity"
"""POST creates an activity (API §1.1)."""
ACTIVITIES_PATH: Final = f"{PREFIX}/activities"
"""GET lists the account's activities; one has its id after it."""
STOCKS_PATH: Final = "/v3/marketing/busifavor/stocks"
"""商家券 batches (API §3.1)."""
IMAGE_UPLOAD_PATH: Final = "/v3/marketing/favor/media/image-upload"
"""POST uploads an image (API §4)."""
CERTIFICATES_PATH: Final = "/v3/certificates"
"""GET lists the platform certificates (API §5.5)."""

LIST_LIMIT: Final = 100
"""The most rows that a page of the activity list can have (API §1.7)."""


class Wire(BaseModel):
    """A shape on the wire. Frozen; fields that it does not name are kept."""

    model_config = ConfigDict(extra="allow", frozen=True)

    @classmethod
    def read(cls, body: bytes) -> Self:
        """The answer in ``body``. Raises ValueError naming the field that is wrong."""
        try:
            return cls.model_validate_json(body)
        except ValidationError:
            return cls._read_leniently(loads(body))

    @classmethod
    def _read_leniently(cls, content: object) -> Self:
        return cls.model_validate(content)

    def json_bytes(self) -> bytes:
        """The body to send: UTF-8, no nulls, fields in the order in which they are declared."""
        return self.model_dump_json(exclude_none=True).encode()


class AvailableTime(Wire):
    """Two times of the API, from and to."""

    begin_time: str
    end_time: str


class AvailableDayTime(Wire):
    """Two times of day as HHMMSS, from and to."""

    begin_day_time: str
    end_day_time: str


class AvailablePeriods(Wire):
    """When within its life an activity sends: days, times of day, or both (API §1.1)."""

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
    """A coupon of the package, and the images that customers see."""

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
    # Nothing to rely on in reads: only the merchants endpoint is sure to have it (API §1.2, §2 F8).
    merchant_id_list: list[str] | None = None


class AdvancedSetting(Wire):
    """Whom an activity is for, and what they must buy (API §1.1)."""

    delivery_user_category: str | None = None
    merchant_member_appid: str | None = None
    goods_tags: list[str] | None = None


class CreateRequest(Wire):
    """The body that creates an activity (API §1.1)."""

    activity_base_info: ActivityBaseInfo
    award_send_rule: FullSendRule
    advanced_setting: AdvancedSetting | None = None


class CreateResponse(Wire):
    """Its answer: the activity's id, and when it was created."""

    activity_id: str
    create_time: str


class AwardSendRule(Wire):
    """The rule in reads: one of three; only ``full_send_rule`` can be created (API §1.2)."""

    full_send_rule: FullSendRule | None = None


class ActivityItem(Wire):
    """An element of the list, and the whole of the detail."""

    # An empty one in a path would name the whole list.
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
        """Without the documented shape it is an ``OddActivityItem``, of which no other class is read."""
        if not isinstance(content, Mapping):
            raise ValueError("body: it is not an object")  # noqa: TRY004 - a shape that is wrong, for the caller to tell
        sent = {str(name): value for name, value in content.items()}
        activity_id = identifier(sent.get("activity_id"))
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
    """An element that does not have the documented shape: what tells which activity it is, and all of it in ``sent``.

    Texts that cannot be read are empty. Its terms cannot be known.
    """

    sent: dict[str, object] = Field(default_factory=dict)

    def as_sent(self) -> dict[str, object]:
        """The element as it came, with its nulls."""
        return self.sent


class Page(Wire):
    """What all three lists answer with; ``data`` may be absent when a page is empty (API §1.8)."""

    total_count: int | None = None
    offset: int | None = None
    limit: int | None = None


class ActivityPage(Page):
    """A page of the account's activities."""

    data: list[ActivityItem] | None = None

    @classmethod
    def _read_leniently(cls, content: object) -> Self:
        """Each element by itself, so that an odd one leaves the others as they are."""
        if not isinstance(content, Mapping) or not isinstance(content.get("data"), list):
            return cls.model_validate(content)
        rows = [_row(number, row) for number, row in enumerate(content["data"])]
        return cls.model_validate({**content, "data": rows})


class MerchantItem(Wire):
    """A 发券商户号 of an activity."""

    model_config = ConfigDict(coerce_numbers_to_str=True)

    mchid: str
    merchant_name: object = None
    create_time: object = None
    update_time: object = None


class MerchantPage(Page):
    """A page of an activity's merchants."""

    activity_id: str | None = None
    data: list[MerchantItem] | None = None


class GoodsItem(Wire):
    """A product that an activity is limited to."""

    model_config = ConfigDict(coerce_numbers_to_str=True)

    goods_id: str
    create_time: object = None
    update_time: object = None


class GoodsPage(Page):
    """A page of an activity's products."""

    activity_id: str | None = None
    data: list[GoodsItem] | None = None


class TerminateResponse(Wire):
    """The answer to a termination."""

    activity_id: str
    terminate_time: str


class AddMerchantsRequest(Wire):
    """The body that adds merchants, under a number that makes it repeatable."""

    merchant_id_list: list[str]
    add_request_no: str


class InvalidMerchant(Wire):
    """A merchant that was not added, and why, in WeChat Pay's words."""

    mchid: str
    invalid_reason: str | None = None


class AddMerchantsResponse(Wire):
    """Its answer. With HTTP 200 some merchants may have been rejected all the same (API §1.6)."""

    activity_id: str | None = None
    invalid_merchant_id_list: list[InvalidMerchant] | None = None
    add_time: str | None = None


class DeleteMerchantsRequest(Wire):
    """The body that deletes merchants, under a number that makes it repeatable."""

    merchant_id_list: list[str]
    delete_request_no: str


class DeleteMerchantsResponse(Wire):
    """Its answer."""

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
    """The answer to the creation of a 商家券 batch."""

    stock_id: str
    create_time: str | None = None


class ImageMeta(Wire):
    """The meta part of an upload; its exact JSON is what gets signed (API §4)."""

    filename: str
    sha256: str


class ImageUploaded(Wire):
    """The answer to an upload: where the image is now."""

    media_url: str


class EncryptCertificate(Wire):
    """A platform certificate, sealed under the APIv3 key (API §5.5)."""

    algorithm: str
    nonce: str
    associated_data: str
    ciphertext: str


class PlatformCertificate(Wire):
    """A sealed platform certificate, and what its envelope says about it."""

    serial_no: str
    effective_time: str
    expire_time: str
    encrypt_certificate: EncryptCertificate


class Certificates(Wire):
    """The answer of ``/v3/certificates``."""

    data: list[PlatformCertificate]


class ErrorBody(Wire):
    """The body of answers of HTTP status 400 and more (API §5.7)."""

    code: str
    message: str
    detail: object = None


def _row(number: int, row: object) -> ActivityItem:
    try:
        return ActivityItem._read_leniently(row)
    except ValueError as error:
        raise ValueError(f"data.{number}.{error}") from error


def _odd(activity_id: str, sent: dict[str, object]) -> OddActivityItem:
    base = sent.get("activity_base_info")
    # It tells whose the activity is: an odd one of ours must be neither absent nor ended.
    number = base.get("out_request_no") if isinstance(base, Mapping) else None
    return OddActivityItem(
        activity_id=activity_id,
        activity_status=text(sent.get("activity_status")),
        activity_type=text(sent.get("activity_type")) or None,
        activity_base_info=ActivityBaseInfo(out_request_no=text(number)),
        creator_merchant_id=sent.get("creator_merchant_id"),
        belong_merchant_id=sent.get("belong_merchant_id"),
        pause_time=sent.get("pause_time"),
        create_time=sent.get("create_time"),
        update_time=sent.get("update_time"),
        sent=sent,
    )
