"""What comes back from WeChat Pay: which hosts answer, and what becomes of signed requests."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable
from email.utils import parsedate_to_datetime
from typing import Final, TypeVar

import httpx

from reconciler.doctor.evidence import Knock, Proven, ReachedHosts, Signed
from reconciler.model.errors import PaygiftError, TransportError, UsageError
from reconciler.system.environment import is_loopback
from reconciler.wechatpay import failures, wire
from reconciler.wechatpay.api import image_upload
from reconciler.wechatpay.client import Client
from reconciler.wechatpay.hosts import origin_of
from reconciler.wechatpay.keys import Credentials
from reconciler.wechatpay.retry import Retry
from reconciler.wechatpay.transport import SlotTransport

SECONDS: Final = 5.0
"""How long each request may take. Each is sent once: a doctor says what is, and does not try until it is well."""

_PIXEL: Final = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489"
    "0000000b4944415478da636000020000050001e9fadcd80000000049454e44ae426082"
)
"""A PNG of one transparent pixel."""
_NO_DIGEST: Final = b"0" * 64

Result = TypeVar("Result")
"""What a request is for."""
WallClock = Callable[[], float]
"""Tells Unix seconds."""


async def knock_at(
    hosts: ReachedHosts, transport: httpx.AsyncBaseTransport | None, wall_clock: WallClock
) -> tuple[Knock, Knock | None]:
    """An unsigned request to each host at the same time; ``None`` where there is no backup host."""
    main = _knock(hosts.main, "PAYGIFT_BASE_URL", transport, wall_clock)
    if not hosts.backup:
        return await main, None
    return await asyncio.gather(main, _knock(hosts.backup, "PAYGIFT_BACKUP_URL", transport, wall_clock))


async def _knock(url: str, variable: str, transport: httpx.AsyncBaseTransport | None, wall_clock: WallClock) -> Knock:
    """Any answer will do; an unsigned request gets a 401 from WeChat Pay, with a ``Date`` like every answer. Only its
    head is read: whoever answers there may send a body without end, or one that unpacks to one."""
    try:
        address = origin_of(url, variable)
    except UsageError as error:
        return Knock(url, "the host", error)
    host = address.netloc.decode("ascii")
    # The client's own way there: what is said of proxies and certificates is what holds for all other commands.
    way = transport or SlotTransport(1, idle_seconds=SECONDS, direct=is_loopback(address.host))
    try:
        async with (
            asyncio.timeout(SECONDS),
            httpx.AsyncClient(transport=way, timeout=SECONDS, trust_env=False) as http,
        ):
            sent, started = wall_clock(), time.perf_counter()
            async with http.stream(
                "GET",
                address.copy_with(raw_path=wire.CERTIFICATES_PATH.encode()),
                headers={"Accept": "application/json", "User-Agent": "paygift doctor"},
            ) as response:
                seconds = time.perf_counter() - started
    except UsageError as error:  # of proxies, or of the certificates to trust
        return Knock(url, host, error)
    # TimeoutError is that of asyncio.timeout: httpx's own limit starts anew with every byte.
    except (httpx.RequestError, TimeoutError) as broken:
        return Knock(url, host, _no_answer(broken, host))
    return Knock(
        url,
        host,
        milliseconds=seconds * 1000,
        status=response.status_code,
        media_type=response.headers.get("Content-Type", "").partition(";")[0].strip(),
        ahead_seconds=_ahead(response.headers.get("Date", ""), sent + seconds / 2),
    )


def _ahead(date: str, now: float) -> float | None:
    """By how much ``now`` is ahead of a ``Date`` header, which has cut off half a second on average."""
    try:
        return now - parsedate_to_datetime(date).timestamp() - 0.5
    except (ValueError, OverflowError):
        return None


def _no_answer(error: Exception, host: str) -> TransportError:
    return failures.transport_error(
        error,
        method="GET",
        path=wire.CERTIFICATES_PATH,
        host=host,
        timeout_seconds=SECONDS,
    )


async def ask(
    credentials: Credentials,
    door: Knock,
    transport: httpx.AsyncBaseTransport | None,
    wall_clock: WallClock,
) -> Signed:
    """The signed requests, as few as there can be: certificates, one activity, an upload that must be refused.

    What the first one shows to be hopeless is not sent.
    """
    try:
        client = Client(
            credentials,
            base_url=door.url,
            transport=transport,
            timeout_seconds=SECONDS,
            # A second try would hide a network that fails every other time.
            retry=Retry(tries=1),
            wall_clock=wall_clock,
        )
    except UsageError as error:
        return Signed(door.host, None, error, None)
    async with client:
        certificates = None
        if credentials.apiv3_key is not None:
            certificates = await _outcome(client.certificates())
            # Nothing could verify the other answers.
            if isinstance(certificates, PaygiftError) and credentials.public_key is None:
                return Signed(door.host, certificates, None, None)
        activities, upload = await asyncio.gather(_outcome(_list_one(client)), _outcome(_upload_nothing(client)))
    return Signed(door.host, certificates, activities, upload)


async def _outcome(work: Awaitable[Result]) -> Result | PaygiftError:
    try:
        async with asyncio.timeout(SECONDS):
            return await work
    except TimeoutError:
        return TransportError(f"there was no answer within {SECONDS:g} s.", remedy="Check the network, then run again.")
    except PaygiftError as error:
        return error


async def _list_one(client: Client) -> Proven:
    await client.request("GET", wire.ACTIVITIES_PATH, query=[("offset", "0"), ("limit", "1")])
    return Proven()


async def _upload_nothing(client: Client) -> Proven:
    """An upload like any other, but for a digest that is not the image's: it must be refused (API §4)."""
    upload = image_upload("paygift-doctor.png", _PIXEL)
    digest = hashlib.sha256(_PIXEL).hexdigest().encode()
    await client.request(
        "POST",
        wire.IMAGE_UPLOAD_PATH,
        body=upload.body.replace(digest, _NO_DIGEST),
        content_type=upload.content_type,
        signed_body=upload.signed_body.replace(digest, _NO_DIGEST),
    )
    return Proven()
