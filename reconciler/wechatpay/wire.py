"""The shapes on the wire, as the API documents them (API §1–§5). Shared by the client and the sandbox.

Reading is lenient, as the API demands (API §5.1): unknown fields are kept, unknown enum values are strings, optional
fields may be absent or null. Times stay text here. Writing leaves out what is ``None``, since null is not allowed in
requests.
"""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel, ConfigDict, Field

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
    activity_name: str
    activity_second_title: str | None = None
    merchant_logo_url: str | None = None
    background_color: str | None = None
    begin_time: str
    end_time: str
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

    activity_id: str
    activity_type: str | None = None
    activity_base_info: ActivityBaseInfo
    award_send_rule: AwardSendRule = Field(default_factory=AwardSendRule)
    advanced_setting: AdvancedSetting | None = None
    activity_status: str
    creator_merchant_id: str | None = None
    belong_merchant_id: str | None = None
    pause_time: str | None = None
    recovery_time: str | None = None
    create_time: str | None = None
    update_time: str | None = None


class Page(Wire):
    """What all three lists answer with; ``data`` may be absent when a page is empty (API §1.8)."""

    total_count: int | None = None
    offset: int | None = None
    limit: int | None = None


class ActivityPage(Page):
    data: list[ActivityItem] | None = None


class MerchantItem(Wire):
    mchid: str
    merchant_name: str | None = None
    create_time: str | None = None
    update_time: str | None = None


class MerchantPage(Page):
    activity_id: str | None = None
    data: list[MerchantItem] | None = None


class GoodsItem(Wire):
    goods_id: str
    create_time: str | None = None
    update_time: str | None = None


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


class CouponAvailableTime(Wire):
    available_begin_time: str
    available_end_time: str


class CouponUseRule(Wire):
    coupon_available_time: CouponAvailableTime


class StockSendRule(Wire):
    max_coupons: int | None = None
    max_coupons_per_user: int | None = None


class CouponCodeCount(Wire):
    total_count: int
    available_count: int


class Stock(Wire):
    """A 商家券 batch as its query answers; only what pay-gift depends on is named (API §3.1)."""

    stock_id: str
    stock_name: str
    belong_merchant: str
    stock_state: str
    coupon_code_mode: str
    coupon_use_rule: CouponUseRule
    stock_send_rule: StockSendRule
    coupon_code_count: CouponCodeCount | None = None


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
