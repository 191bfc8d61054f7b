"""Signed requests to a sandbox, made by hand: what a client sends, with every part open to being wrong."""

from __future__ import annotations

import asyncio
import copy
import hashlib
import json
import secrets
import sys
import time
from collections.abc import Mapping
from functools import cache
from typing import Any

import httpx
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from reconciler.sandbox.api import SLEEP, ConnectionDropped
from reconciler.sandbox.app import app
from reconciler.sandbox.keys import Keys
from reconciler.sandbox.world import World
from reconciler.wechatpay import signing, wire

HOST = "http://127.0.0.1"
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 64
LOGO = "https://wxpaylogo.qpic.cn/wxpaylogo/logo/0"
BIG = "https://wxpaylogo.qpic.cn/wxpaylogo/big/0"
SMALL = "https://wxpaylogo.qpic.cn/wxpaylogo/small/0"

# httpx.ASGITransport looks for it at every request, and on the whole path, as it is not there. So it finds out at once.
sys.modules.setdefault("sniffio", None)  # type: ignore[arg-type]
MCHID = "1900000001"


@cache
def keys() -> Keys:
    """One set of keys for all tests of a process: making them is the slowest thing that the sandbox does.

    Signing answers is the slowest after that, so the platform's keys are short. The merchant's is as long as real ones.
    """
    return Keys.generate(mchid=MCHID, platform_bits=1024)


@cache
def merchant_key() -> RSAPrivateKey:
    key = load_pem_private_key(keys().merchant_key_pem.encode(), None)
    assert isinstance(key, RSAPrivateKey)
    return key


def create_body(changes: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A create request that the sandbox accepts, changed at dotted paths; ``...`` takes a field away."""
    body: dict[str, Any] = {
        "activity_base_info": {
            "activity_name": "良品铺子回馈活动",
            "activity_second_title": "海飞丝的券",
            "merchant_logo_url": LOGO,
            "background_color": "Color020",
            "begin_time": "2026-03-02T00:00:00+08:00",
            "end_time": "2026-03-31T23:59:59+08:00",
            "out_request_no": "1900000001_20260301_0001",
            "delivery_purpose": "OFF_LINE_PAY",
        },
        "award_send_rule": {
            "transaction_amount_minimum": 100,
            "send_content": "SINGLE_COUPON",
            "award_type": "BUSIFAVOR",
            "award_list": [award("1001")],
            "merchant_option": "MANUAL_INPUT_MERCHANT",
            "merchant_id_list": [MCHID],
        },
        "advanced_setting": {"goods_tags": ["tag1"]},
    }
    return changed(body, changes or {})


def award(stock_id: str, **more: str) -> dict[str, Any]:
    return {"stock_id": stock_id, "original_image_url": BIG, "thumbnail_url": SMALL} | more


def changed(body: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    result = copy.deepcopy(dict(body))
    for path, value in changes.items():
        *parents, last = path.split(".")
        place: Any = result
        for name in parents:
            place = place[int(name)] if isinstance(place, list) else place.setdefault(name, {})
        if value is ...:
            place.pop(last, None)
        else:
            place[int(last) if isinstance(place, list) else last] = value
    return result


def authorization(
    method: str,
    target: str,
    body: bytes = b"",
    *,
    mchid: str = MCHID,
    serial_no: str = "",
    timestamp: str = "",
    nonce: str = "",
    key: RSAPrivateKey | None = None,
) -> str:
    return signing.authorize(
        key or merchant_key(),
        mchid=mchid,
        serial_no=serial_no or keys().serial_no,
        method=method,
        target=target,
        timestamp=timestamp or str(int(time.time())),
        nonce=nonce or secrets.token_hex(16),
        body=body,
    )


def request(
    method: str,
    target: str,
    body: Any = b"",
    *,
    headers: Mapping[str, str | None] | None = None,
    base_url: str = HOST,
    **parts: Any,
) -> httpx.Request:
    """A signed request; a ``None`` among ``headers`` takes that header away. ``parts`` go to ``authorization``."""
    content = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
    sent: dict[str, str | None] = {
        "Authorization": authorization(method, target, content, **parts),
        "Accept": "application/json",
        "User-Agent": "tests",
        **({"Content-Type": "application/json"} if content else {}),
        **(headers or {}),
    }
    made = httpx.Request(method, base_url + target, content=content)
    made.headers = httpx.Headers(
        [(name, value) for name, value in sent.items() if value is not None]
        + [("Host", made.url.netloc.decode()), ("Content-Length", str(len(content)))]
    )
    return made


def upload_request(content: bytes = PNG, *, base_url: str = HOST, **changes: Any) -> httpx.Request:
    """A marketing image upload. ``meta``, ``multipart``, ``content_type`` and ``signed`` replace what belongs there."""
    meta = changes.get("meta", {"filename": "a.png", "sha256": hashlib.sha256(content).hexdigest()})
    meta = meta if isinstance(meta, bytes) else json.dumps(meta).encode()
    multipart = changes.get("multipart", multipart_body(meta, content))
    return request(
        "POST",
        wire.IMAGE_UPLOAD_PATH,
        multipart,
        base_url=base_url,
        headers={
            "Authorization": authorization("POST", wire.IMAGE_UPLOAD_PATH, changes.get("signed", meta)),
            "Content-Type": changes.get("content_type", "multipart/form-data; boundary=B"),
        },
    )


def multipart_body(meta: bytes, content: bytes, *, meta_more: str = "", boundary: str = "B") -> bytes:
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="meta"{meta_more};\r\n'
    file = f'\r\n--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n'
    kind = "Content-Type: application/json\r\n\r\n"
    end = f"\r\n--{boundary}--\r\n"
    return (head + kind).encode() + meta + (file + "Content-Type: image/png\r\n\r\n").encode() + content + end.encode()


def send(world: World, *requests: httpx.Request) -> httpx.Response:
    """Send over the ASGI application, without a socket. Returns the last answer."""

    async def go() -> httpx.Response:
        transport = httpx.ASGITransport(app(world))
        async with httpx.AsyncClient(transport=transport) as client:
            answers = [await client.send(each) for each in requests]
        return answers[-1]

    return asyncio.run(go())


class InProcess(httpx.AsyncBaseTransport):
    """``world`` without a socket, failing towards httpx as a server on loopback would.

    A dropped connection is a ``RemoteProtocolError``, before an answer and in the middle of one. Latency is not slept:
    it is written down in ``waited``, and if the request has a read timeout that is not longer, comes out as
    ``ReadTimeout``, after the effect.
    """

    def __init__(self, world: World) -> None:
        self._app = app(world)
        self.waited: list[float] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        patience = request.extensions.get("timeout", {}).get("read")

        async def wait(seconds: float) -> None:
            self.waited.append(seconds)
            if patience is not None and seconds >= patience:
                raise httpx.ReadTimeout("timed out", request=request)

        async def served(scope: Any, receive: Any, send: Any) -> None:
            await self._app({**scope, "extensions": {SLEEP: wait}}, receive, send)

        try:
            return await httpx.ASGITransport(served).handle_async_request(request)
        except ConnectionDropped as dropped:
            raise httpx.RemoteProtocolError(str(dropped), request=request) from dropped
