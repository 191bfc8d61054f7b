"""Each endpoint as it goes over the wire, and as it comes back (API §1, §3, §4)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

import httpx
import pytest

from reconciler.model.errors import ApiError, IncompleteReadError, ProtocolError, UsageError
from reconciler.wechatpay import wire
from reconciler.wechatpay.api import PayGiftApi, Reply, image_upload
from tests.wechatpay.test_client import Remote, assert_no_secrets, error_body
from tests.wechatpay.test_wire import REAL_ELEMENT

pytestmark = pytest.mark.anyio

T = TypeVar("T")

ACTIVITY = f"{wire.ACTIVITIES_PATH}/20406354"
STOCK = {
    "stock_id": "1263540000000013",
    "stock_name": "海飞丝",
    "belong_merchant": "1900000001",
    "stock_state": "RUNNING",
    "coupon_code_mode": "WECHATPAY_MODE",
    "coupon_use_rule": {
        "coupon_available_time": {"available_begin_time": "2026-01-01", "available_end_time": "2026-12-31"}
    },
    "stock_send_rule": {"max_coupons": 100, "max_coupons_per_user": 1},
}
CREATE = wire.CreateRequest(
    activity_base_info=wire.ActivityBaseInfo(activity_name="礼", begin_time="b", end_time="e"),
    award_send_rule=wire.FullSendRule(transaction_amount_minimum=100),
)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def answering(**answers: Any) -> Remote:
    """A remote that answers each ``"GET /path"`` with 200 and that JSON."""
    return Remote(answers={call: (200, json.dumps(body).encode()) for call, body in answers.items()})


async def call(remote: Remote, endpoint: Callable[[PayGiftApi], Awaitable[T]], **options: Any) -> T:
    async with remote.client() as client:
        return await endpoint(PayGiftApi(client, **options))


async def collect(remote: Remote, endpoint: Callable[[PayGiftApi], AsyncIterator[T]], **options: Any) -> list[T]:
    async with remote.client() as client:
        return [row async for row in endpoint(PayGiftApi(client, **options))]


def last(remote: Remote) -> httpx.Request:
    return remote.asked[-1]


# --- reads ------------------------------------------------------------------------------------------------------------


async def test_detail_brings_the_activity() -> None:
    remote = answering(**{f"GET {ACTIVITY}": REAL_ELEMENT})
    item = await call(remote, lambda api: api.detail("20406354"))
    assert item == wire.ActivityItem.model_validate(REAL_ELEMENT)


async def test_an_activity_that_does_not_exist_is_a_verified_404() -> None:
    with pytest.raises(ApiError) as caught:
        await call(Remote(), lambda api: api.detail("1"))
    assert (caught.value.status, caught.value.verified) == (404, True)


async def test_activities_are_read_by_a_hundred_from_page_0() -> None:
    remote = answering(**{f"GET {wire.ACTIVITIES_PATH}": {"data": [REAL_ELEMENT], "total_count": 1}})
    (item,) = await collect(remote, lambda api: api.activities())
    assert item.activity_id == "20406354"
    assert remote.log[-1] == f"GET {wire.ACTIVITIES_PATH}?offset=0&limit=100"


async def test_activities_can_be_filtered_by_an_encoded_name() -> None:
    remote = answering(**{f"GET {wire.ACTIVITIES_PATH}": {"total_count": 0}})
    found = await collect(
        remote,
        lambda api: api.activities(
            activity_name="满减 1", activity_status="ONGOING_ACT_STATUS", award_type="BUSIFAVOR"
        ),
    )
    assert found == []
    query = "offset=0&limit=100&activity_name=%E6%BB%A1%E5%87%8F%201"
    assert remote.log[-1].endswith(f"?{query}&activity_status=ONGOING_ACT_STATUS&award_type=BUSIFAVOR")


async def test_merchants_and_goods_are_read_by_the_limit_given() -> None:
    remote = answering(
        **{
            f"GET {ACTIVITY}/merchants": {
                "data": [{"mchid": "1900000001"}],
                "total_count": 1,
                "activity_id": "20406354",
            },
            f"GET {ACTIVITY}/goods": {"data": [{"goods_id": "0345678"}], "total_count": 1},
        }
    )
    merchants = await collect(remote, lambda api: api.merchants("20406354"))
    assert [row.mchid for row in merchants] == ["1900000001"]
    assert remote.log[-1] == f"GET {ACTIVITY}/merchants?offset=0&limit=50"
    goods = await collect(remote, lambda api: api.goods("20406354"), merchants_limit=20)
    assert [row.goods_id for row in goods] == ["0345678"]
    assert remote.log[-1] == f"GET {ACTIVITY}/goods?offset=0&limit=20"


async def test_merchant_ids_are_sorted() -> None:
    data = [{"mchid": "1900000002"}, {"mchid": "1900000001"}]
    remote = answering(**{f"GET {ACTIVITY}/merchants": {"data": data, "total_count": 2}})
    assert await call(remote, lambda api: api.merchant_ids("20406354")) == ("1900000001", "1900000002")


async def test_an_incomplete_list_is_an_error() -> None:
    remote = answering(**{f"GET {ACTIVITY}/merchants": {"data": [{"mchid": "1900000001"}], "total_count": 2}})
    with pytest.raises(IncompleteReadError) as caught:
        await collect(remote, lambda api: api.merchants("20406354"))
    assert (caught.value.found, caught.value.announced, caught.value.path) == (1, 2, f"{ACTIVITY}/merchants")


async def test_a_page_that_fails_is_never_the_end_of_a_list() -> None:
    remote = Remote(answers={f"GET {wire.ACTIVITIES_PATH}": (429, error_body("FREQUENCY_LIMITED", "频率超限"))})
    with pytest.raises(ApiError) as caught:
        await collect(remote, lambda api: api.activities())
    assert caught.value.status == 429


async def test_stock_and_certificates_are_read() -> None:
    remote = answering(**{f"GET {wire.STOCKS_PATH}/1263540000000013": STOCK})
    stock = await call(remote, lambda api: api.stock("1263540000000013"))
    assert stock.model_dump()["coupon_use_rule"] == STOCK["coupon_use_rule"]
    assert len(await call(remote, lambda api: api.certificates())) == 1


@pytest.mark.parametrize("activity_id", ["", ".", ".."])
async def test_an_id_that_would_name_something_else_is_not_sent(activity_id: str) -> None:
    remote = Remote()
    with pytest.raises(UsageError, match="is not a valid activity_id"):
        await call(remote, lambda api: api.terminate(activity_id))
    assert remote.asked == []


async def test_ids_are_encoded_as_one_part_of_the_path() -> None:
    remote = Remote()
    with pytest.raises(ApiError):
        await call(remote, lambda api: api.detail("a/../礼?x#y"))
    assert remote.log[-1] == f"GET {wire.ACTIVITIES_PATH}/a%2F..%2F%E7%A4%BC%3Fx%23y"


# --- writes -----------------------------------------------------------------------------------------------------------


async def test_create_sends_the_exact_body_and_tells_the_request_id() -> None:
    remote = answering(**{f"POST {wire.CREATE_PATH}": {"activity_id": "7", "create_time": "t"}})
    reply = await call(remote, lambda api: api.create(CREATE))
    assert reply == Reply(wire.CreateResponse(activity_id="7", create_time="t"), "08F78B")
    assert last(remote).content == CREATE.json_bytes()
    assert last(remote).headers["Content-Type"] == "application/json"


async def test_terminate_sends_no_body_and_no_content_type() -> None:
    remote = answering(**{f"POST {ACTIVITY}/terminate": {"activity_id": "20406354", "terminate_time": "2026-01-01"}})
    reply = await call(remote, lambda api: api.terminate("20406354"))
    assert (reply.value.terminate_time, reply.request_id) == ("2026-01-01", "08F78B")
    assert last(remote).content == b""
    assert "Content-Type" not in last(remote).headers


async def test_add_merchants_tells_which_were_rejected() -> None:
    rejected = {"mchid": "1900000002", "invalid_reason": "商户与活动创建方不具备父子关系"}
    remote = answering(**{f"POST {ACTIVITY}/merchants/add": {"invalid_merchant_id_list": [rejected]}})
    reply = await call(
        remote,
        lambda api: api.add_merchants(
            "20406354",
            wire.AddMerchantsRequest(merchant_id_list=["1900000001", "1900000002"], add_request_no="n-1"),
        ),
    )
    assert reply.value.invalid_merchant_id_list == [wire.InvalidMerchant.model_validate(rejected)]
    assert json.loads(last(remote).content) == {
        "merchant_id_list": ["1900000001", "1900000002"],
        "add_request_no": "n-1",
    }


async def test_delete_merchants_sends_its_number() -> None:
    remote = answering(**{f"POST {ACTIVITY}/merchants/delete": {"activity_id": "20406354"}})
    reply = await call(
        remote,
        lambda api: api.delete_merchants(
            "20406354", wire.DeleteMerchantsRequest(merchant_id_list=["1900000001"], delete_request_no="n-2")
        ),
    )
    assert reply.value.activity_id == "20406354"
    assert json.loads(last(remote).content) == {
        "merchant_id_list": ["1900000001"],
        "delete_request_no": "n-2",
    }


async def test_create_stock_sends_the_json_it_is_given() -> None:
    remote = answering(**{f"POST {wire.STOCKS_PATH}": {"stock_id": "1263540000000013"}})
    reply = await call(remote, lambda api: api.create_stock({"stock_name": "海飞丝"}))
    assert reply.value.stock_id == "1263540000000013"
    assert last(remote).content == '{"stock_name": "海飞丝"}'.encode()


# --- answers of another shape -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ({}, "activity_id: Field required"),
        ([], "body: "),
        ({**REAL_ELEMENT, "activity_id": ""}, "activity_id: "),
        ({**REAL_ELEMENT, "activity_id": "8"}, "activity_id: '8', but '20406354' was asked for"),
    ],
)
async def test_a_proven_answer_of_another_shape_names_the_field(answer: Any, told: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        await call(answering(**{f"GET {ACTIVITY}": answer}), lambda api: api.detail("20406354"))
    assert told in caught.value.message
    assert (caught.value.path, caught.value.request_id) == (ACTIVITY, "08F78B")
    assert caught.value.remedy
    assert_no_secrets(caught.value)


@pytest.mark.parametrize(("status", "body"), [(200, b"<html>"), (204, b""), (202, b"")])
async def test_a_proven_success_without_json_is_not_used(status: int, body: bytes) -> None:
    remote = Remote(answers={f"POST {wire.CREATE_PATH}": (status, body)})
    with pytest.raises(ProtocolError, match=rf"HTTP {status}.* body: "):
        await call(remote, lambda api: api.create(CREATE))


async def test_a_row_of_another_shape_is_named_by_its_place() -> None:
    remote = answering(**{f"GET {ACTIVITY}/merchants": {"data": [{"mchid": "1900000001"}, {}], "total_count": 2}})
    with pytest.raises(ProtocolError, match=r"data\.1\.mchid: Field required"):
        await collect(remote, lambda api: api.merchants("20406354"))


# --- images -----------------------------------------------------------------------------------------------------------

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))


async def test_an_upload_signs_exactly_the_meta_part() -> None:
    meta = json.dumps(
        {"filename": "logo.png", "sha256": hashlib.sha256(PNG).hexdigest()}, separators=(",", ":")
    ).encode()
    remote = answering(**{f"POST {wire.IMAGE_UPLOAD_PATH}": {"media_url": "https://wxpaylogo.qpic.cn/x/0"}})
    remote.signed_bodies[wire.IMAGE_UPLOAD_PATH] = meta
    reply = await call(remote, lambda api: api.upload_image(image_upload("images/logo.png", PNG)))
    assert reply == Reply(wire.ImageUploaded(media_url="https://wxpaylogo.qpic.cn/x/0"), "08F78B")

    boundary = last(remote).headers["Content-Type"].removeprefix("multipart/form-data; boundary=")
    meta_part, file_part = last(remote).content.split(f"--{boundary}".encode())[1:3]
    assert meta_part == (
        b'\r\nContent-Disposition: form-data; name="meta"\r\nContent-Type: application/json\r\n\r\n' + meta + b"\r\n"
    )
    assert file_part == (
        b'\r\nContent-Disposition: form-data; name="file"; filename="logo.png"\r\n'
        b"Content-Type: image/png\r\n\r\n" + PNG + b"\r\n"
    )
    assert last(remote).content.endswith(f"\r\n--{boundary}--\r\n".encode())


def test_the_same_image_makes_the_same_bytes() -> None:
    assert image_upload("a.png", PNG) == image_upload("a.png", PNG)


def test_the_boundary_is_not_in_the_image() -> None:
    first = hashlib.sha256(b"x").hexdigest()[:32]

    class Colliding(bytes):
        """An image that happens to hold the first boundary: no real one can be found."""

        def __contains__(self, part: object) -> bool:
            return part == f"paygift-{first}".encode()

    upload = image_upload("a.png", Colliding(b"x"))
    boundary = upload.content_type.partition("boundary=")[2]
    assert first not in boundary
    assert upload.body.startswith(f"--{boundary}\r\n".encode())


@pytest.mark.parametrize(
    ("filename", "sent", "media_type"),
    [
        ("LOGO.JPG", "LOGO.jpg", "image/jpg"),
        ("a/b/c.jpeg", "c.jpg", "image/jpg"),
        ("图.bmp", "图.bmp", "image/bmp"),
        ('a"\r\nX: y\\.png', "a___X: y_.png", "image/png"),
        ("n" * 200 + ".png", "n" * 124 + ".png", "image/png"),
    ],
)
def test_names_are_made_fit_for_the_api(filename: str, sent: str, media_type: str) -> None:
    upload = image_upload(filename, PNG)
    assert json.loads(upload.signed_body)["filename"] == sent
    assert f'; filename="{sent}"\r\nContent-Type: {media_type}\r\n'.encode() in upload.body


@pytest.mark.parametrize("filename", ["logo.gif", "logo", ".png", ""])
def test_other_files_are_refused(filename: str) -> None:
    with pytest.raises(UsageError, match=r"is not a \.jpg, \.png or \.bmp file"):
        image_upload(filename, PNG)
