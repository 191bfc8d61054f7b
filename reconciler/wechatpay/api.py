"""One method per endpoint: pay-gift activities, coupon stocks, image upload, platform certificates (API §1, §3–§5)."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from functools import partial
from pathlib import PurePath
from typing import Final, Generic, TypeVar
from urllib.parse import quote

from pydantic import ValidationError

from reconciler.model.errors import ProtocolError, UsageError, first_mistake
from reconciler.wechatpay import pager, wire
from reconciler.wechatpay.call import Permit
from reconciler.wechatpay.client import Answer, Client
from reconciler.wechatpay.keyring import Certificate
from reconciler.wechatpay.pagesize import LARGEST, OtherSizeError, PageSize

_SERVERS_OWN: Final = 2**31
"""More rows than a page has: the pager learns the true size of pages for which no size is asked."""
_FILENAME_LIMIT: Final = 128
_IMAGE_TYPES: Final[Mapping[str, str]] = {".jpg": "image/jpg", ".png": "image/png", ".bmp": "image/bmp"}
_UNSAFE_IN_HEADERS: Final = re.compile(r'[\x00-\x1f\x7f"\\]')

Value = TypeVar("Value")
"""What a write brought."""
Row = TypeVar("Row")
"""An element of a list."""
Shape = TypeVar("Shape", bound=wire.Wire)
"""What an answer must be."""


@dataclass(frozen=True, slots=True)
class Reply(Generic[Value]):
    """What a write brought, and the ``Request-ID`` under which WeChat Pay can find it again.

    ``http_status`` is the answer's, ``tries`` how often the request was sent.
    """

    value: Value
    request_id: str
    http_status: int = 200
    tries: int = 1


class PayGiftApi:
    """The endpoints, as methods. They raise what ``Client.request`` raises, and ProtocolError for other shapes.

    A ProtocolError, too, leaves open whether a write happened. An activity, or stock, that does not exist is an
    ApiError of status 404; it proves that only if it is ``verified``. ``merchants_limit`` is how many merchants or
    goods to ask for at once; where the server refuses that many, fewer are asked for (see ``pagesize``).
    """

    def __init__(self, client: Client, *, merchants_limit: int = LARGEST) -> None:
        self._client = client
        self._merchants_size = PageSize(merchants_limit)
        self._goods_size = PageSize(merchants_limit)
        self._permit: Permit | None = None

    def permitted(self, permit: Permit) -> PayGiftApi:
        """The same endpoints, whose writes ask ``permit`` before every try. Whatever it raises is raised, and nothing
        more is sent.
        """
        # Shallow: what was found out about page sizes serves both.
        same = copy(self)
        same._permit = permit
        return same

    # --- reads ---------------------------------------------------------------------------------------------------

    async def detail(self, activity_id: str) -> wire.ActivityItem:
        """One activity; an ``OddActivityItem`` if it does not have the documented shape."""
        return await self._get(wire.ActivityItem, _activity_path(activity_id), activity_id=activity_id)

    def activities(
        self,
        *,
        activity_name: str | None = None,
        activity_status: str | None = None,
        award_type: str | None = None,
    ) -> AsyncGenerator[wire.ActivityItem, None]:
        """All activities, each once, while the pages arrive. ``activity_name`` matches fuzzily.

        Those that have not the documented shape are ``OddActivityItem``. Raises IncompleteReadError at the end, when
        the list contradicts itself (see ``pager``).
        """
        filters = {
            "activity_name": activity_name,
            "activity_status": activity_status,
            "award_type": award_type,
        }
        asked = [(name, value) for name, value in filters.items() if value is not None]
        path = wire.ACTIVITIES_PATH
        return pager.read(
            self._pages(wire.ActivityPage, path, asked),
            key=lambda row: row.activity_id,
            limit=wire.LIST_LIMIT,
            path=path,
        )

    def merchants(self, activity_id: str) -> AsyncGenerator[wire.MerchantItem, None]:
        """All merchants of an activity, each once; raises as ``activities`` does."""
        path = f"{_activity_path(activity_id)}/merchants"
        return self._sized(
            self._merchants_size, self._pages(wire.MerchantPage, path, activity_id=activity_id), _mchid, path
        )

    async def merchant_ids(self, activity_id: str) -> tuple[str, ...]:
        """The mchids of an activity, sorted; the only endpoint that has them (API §2 F8). Raises as above."""
        # Interned: thousands of activities name the same merchants.
        return tuple(sorted([sys.intern(row.mchid) async for row in self.merchants(activity_id)]))

    def goods(self, activity_id: str) -> AsyncGenerator[wire.GoodsItem, None]:
        """All goods of an activity, each once; raises as ``activities`` does."""
        path = f"{_activity_path(activity_id)}/goods"
        return self._sized(
            self._goods_size, self._pages(wire.GoodsPage, path, activity_id=activity_id), _goods_id, path
        )

    async def stock(self, stock_id: str) -> wire.Stock:
        """A 商家券 batch (API §3.1)."""
        return await self._get(wire.Stock, f"{wire.STOCKS_PATH}/{_segment('stock_id', stock_id)}", stock_id=stock_id)

    async def certificates(self) -> tuple[Certificate, ...]:
        """The platform certificates, fetched anew, decrypted and verified."""
        return await self._client.certificates()

    # --- writes --------------------------------------------------------------------------------------------------

    async def create(self, request: wire.CreateRequest) -> Reply[wire.CreateResponse]:
        """Create an activity. The same number with the same body brings the same activity again (API §1.10)."""
        return await self._post(wire.CreateResponse, wire.CREATE_PATH, request.json_bytes())

    async def terminate(self, activity_id: str) -> Reply[wire.TerminateResponse]:
        """End an activity permanently. The request has no body (API §1.5)."""
        path = f"{_activity_path(activity_id)}/terminate"
        return await self._post(wire.TerminateResponse, path, activity_id=activity_id)

    async def add_merchants(
        self, activity_id: str, request: wire.AddMerchantsRequest
    ) -> Reply[wire.AddMerchantsResponse]:
        """Add up to 500 merchants. The reply may list some that were rejected: look, then read back (API §1.6)."""
        path = f"{_activity_path(activity_id)}/merchants/add"
        return await self._post(wire.AddMerchantsResponse, path, request.json_bytes(), activity_id=activity_id)

    async def delete_merchants(
        self, activity_id: str, request: wire.DeleteMerchantsRequest
    ) -> Reply[wire.DeleteMerchantsResponse]:
        """Delete up to 500 merchants. The reply never says which were not there: read back (API §1.6)."""
        path = f"{_activity_path(activity_id)}/merchants/delete"
        return await self._post(wire.DeleteMerchantsResponse, path, request.json_bytes(), activity_id=activity_id)

    async def create_stock(self, body: Mapping[str, object]) -> Reply[wire.StockCreated]:
        """Create a 商家券 batch from its documented JSON (API §3.2)."""
        return await self._post(wire.StockCreated, wire.STOCKS_PATH, json.dumps(body, ensure_ascii=False).encode())

    async def upload_image(self, upload: ImageUpload) -> Reply[wire.ImageUploaded]:
        """Upload an image made ready by ``image_upload`` (API §4)."""
        answer = await self._client.request(
            "POST",
            wire.IMAGE_UPLOAD_PATH,
            body=upload.body,
            content_type=upload.content_type,
            signed_body=upload.signed_body,
            permit=self._permit,
        )
        return _reply(_decode(wire.ImageUploaded, answer, "POST", wire.IMAGE_UPLOAD_PATH), answer)

    # --- shared --------------------------------------------------------------------------------------------------

    async def _get(self, shape: type[Shape], path: str, query: Sequence[tuple[str, str]] = (), **asked: str) -> Shape:
        answer = await self._client.request("GET", path, query=query)
        return _decode(shape, answer, "GET", path, **asked)

    async def _post(self, shape: type[Shape], path: str, body: bytes = b"", **asked: str) -> Reply[Shape]:
        answer = await self._client.request("POST", path, body=body, permit=self._permit)
        return _reply(_decode(shape, answer, "POST", path, **asked), answer)

    def _pages(
        self, shape: type[Shape], path: str, filters: Sequence[tuple[str, str]] = (), **asked: str
    ) -> Callable[[int, int | None], Awaitable[Shape]]:
        async def fetch(offset: int, limit: int | None) -> Shape:
            size = [] if limit is None else [("limit", str(limit))]
            return await self._get(shape, path, [("offset", str(offset)), *size, *filters], **asked)

        return fetch

    async def _sized(
        self,
        size: PageSize,
        ask: Callable[[int, int | None], Awaitable[pager.ReadPage[Row]]],
        key: Callable[[Row], str],
        path: str,
    ) -> AsyncGenerator[Row, None]:
        """The rows of a list whose pages are as large as the server lets them be."""

        async def fetch(offset: int, limit: int) -> pager.ReadPage[Row]:
            if not size.proven:
                return await size.prove(rows, partial(ask, offset))
            return await ask(offset, None if rows is None else limit)

        while True:
            rows = size.rows
            try:
                async for row in pager.read(fetch, key=key, limit=rows or _SERVERS_OWN, path=path):
                    yield row
            except OtherSizeError:  # raised by the first page, so that nothing was handed out
                continue
            return


def _mchid(row: wire.MerchantItem) -> str:
    return row.mchid


def _goods_id(row: wire.GoodsItem) -> str:
    return row.goods_id


def _reply(value: Value, answer: Answer) -> Reply[Value]:
    return Reply(value, answer.request_id, answer.status, answer.tries)


def _activity_path(activity_id: str) -> str:
    return f"{wire.ACTIVITIES_PATH}/{_segment('activity_id', activity_id)}"


def _segment(name: str, value: str) -> str:
    """One part of a path. Dots would name another resource, and nothing at all would name the whole list."""
    if value in {"", ".", ".."}:
        raise UsageError(f"{value!r} is not a valid {name}.", remedy="Use the number that WeChat Pay gave.")
    return quote(value, safe="")


def _decode(shape: type[Shape], answer: Answer, method: str, path: str, **asked: str) -> Shape:
    """The answer in its documented shape, about what was asked. Raises ProtocolError naming the field.

    A signature does not tell which request it answers, so an answer to another one could be replayed as this one's.
    """
    try:
        value = shape.read(answer.body)
    except ValueError as error:
        raise _unexpected(_reason(error), answer, method, path) from error
    for name, wanted in asked.items():
        found = getattr(value, name)
        if found not in (None, wanted):
            raise _unexpected(f"{name}: {found!r}, but {wanted!r} was asked for", answer, method, path)
    return value


def _reason(error: ValueError) -> str:
    """The field, and what is wrong with it; never what stands there."""
    return first_mistake(error, "body") if isinstance(error, ValidationError) else str(error)


def _unexpected(what: str, answer: Answer, method: str, path: str) -> ProtocolError:
    return ProtocolError(
        f"the answer (HTTP {answer.status}) does not have the documented shape: {what}.",
        method=method,
        path=path,
        request_id=answer.request_id,
        remedy="WeChat Pay may have changed its interface: look for a newer paygift, or report this.",
    )


@dataclass(frozen=True, slots=True)
class ImageUpload:
    """A request body of two parts, of which only the first, the meta JSON, is signed (API §4)."""

    body: bytes
    content_type: str
    signed_body: bytes


def image_upload(filename: str, content: bytes) -> ImageUpload:
    """A JPG, PNG or BMP of at most 2 MB, ready to be sent (API §4). The same image always makes the same bytes.

    Only the name's last part is sent. Raises UsageError for another kind of file. Built by hand: the meta part must
    not have a filename, and must be byte for byte what is signed.
    """
    digest = hashlib.sha256(content).hexdigest()
    name, media_type = _image_name(filename)
    meta = wire.ImageMeta(filename=name, sha256=digest).json_bytes()
    boundary = _boundary(digest, content)
    # Meta first, as in the documentation and the Go SDK (API §4).
    body = b"\r\n".join(
        (
            f"--{boundary}".encode(),
            b'Content-Disposition: form-data; name="meta"',
            b"Content-Type: application/json",
            b"",
            meta,
            f"--{boundary}".encode(),
            f'Content-Disposition: form-data; name="file"; filename="{name}"'.encode(),
            f"Content-Type: {media_type}".encode(),
            b"",
            content,
            f"--{boundary}--".encode(),
            b"",
        )
    )
    return ImageUpload(body, f"multipart/form-data; boundary={boundary}", meta)


def _image_name(filename: str) -> tuple[str, str]:
    """A name that the API takes (128 characters, JPG, PNG or BMP) and that cannot end a header, with its type."""
    path = PurePath(filename)
    # Names must end in JPG, BMP or PNG (API §4), and .jpeg is none of these.
    suffix = path.suffix.lower().replace(".jpeg", ".jpg")
    if suffix not in _IMAGE_TYPES:
        raise UsageError(f"{filename!r} is not a .jpg, .png or .bmp file.", remedy="Convert the image first.")
    stem = _UNSAFE_IN_HEADERS.sub("_", path.stem)[: _FILENAME_LIMIT - len(suffix)]
    return f"{stem}{suffix}", _IMAGE_TYPES[suffix]


def _boundary(digest: str, content: bytes) -> str:
    """Made from the content, so that repeating an upload repeats its bytes, and not contained in it."""
    boundary = f"paygift-{digest[:32]}"
    while boundary.encode() in content:
        boundary = f"paygift-{hashlib.sha256(boundary.encode()).hexdigest()[:32]}"
    return boundary
