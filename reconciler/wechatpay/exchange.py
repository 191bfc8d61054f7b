"""One try of a request: signed, sent, and its whole answer read, whatever that proves."""

from __future__ import annotations

import asyncio
import logging
import re
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, cast

import httpx

from reconciler import __version__
from reconciler.model.errors import TransportError
from reconciler.wechatpay import failures, signing
from reconciler.wechatpay.call import Call, Exchange
from reconciler.wechatpay.hosts import Host
from reconciler.wechatpay.keys import Credentials

LONGEST_ANSWER: Final = 16 * 1024 * 1024
"""Bytes of a body, decompressed, after which reading stops."""
MOST_PIECES: Final = 20_000
"""Pieces of a body after which reading stops. ``LONGEST_ANSWER`` in packets has fewer, and in single bytes millions."""
JSON: Final = "application/json"
"""The media type of requests and answers."""

_PHASES: Final = 3
"""A whole exchange may take as long as connecting, sending and waiting each may take: a server that sends one byte
every few seconds would otherwise never time out."""
_USER_AGENT: Final = f"paygift/{__version__}"

# httpcore writes the headers of answers to its debug log, signatures included. Only the values of those are taken
# out: what else somebody wants to see there, of this client or of others in the process, stays as it is.
_HTTPCORE_LOGS: Final = ("httpcore.http11", "httpcore.http2", "httpcore.proxy")
_SECRET_HEADER: Final = re.compile(
    r"""(\(b'(?:authorization|proxy-authorization|wechatpay-signature)', b)(['"]).*?\2(?=\))""", re.IGNORECASE
)


@dataclass(slots=True)
class _Arrived:
    """What has come of an answer so far: its headers, and so many bytes of its body, compressed as they came."""

    headers: httpx.Headers
    received: int = 0


class Exchanger:
    """Signs requests of ``credentials`` and carries them over ``transport``.

    ``timeout_seconds`` bounds connecting, each write and each wait for bytes, and three times of it the whole
    exchange. ``wall_clock`` tells Unix seconds, ``nonce`` 32 characters.
    """

    def __init__(
        self,
        credentials: Credentials,
        transport: httpx.AsyncBaseTransport,
        *,
        timeout_seconds: float,
        wall_clock: Callable[[], float],
        nonce: Callable[[], str],
    ) -> None:
        self._credentials = credentials
        self._transport = transport
        self._timeout_seconds = timeout_seconds
        self._extensions = {"timeout": dict.fromkeys(("connect", "write", "read"), timeout_seconds)}
        self._wall_clock = wall_clock
        self._nonce = nonce
        for name in _HTTPCORE_LOGS:
            logging.getLogger(name).addFilter(_hide_secrets)  # the same one again changes nothing

    def host(self, origin: httpx.URL) -> Host:
        """The host at ``origin``, with the headers that are the same for each request to it."""
        headers = {
            "Host": origin.netloc.decode("ascii"),
            "Accept": JSON,
            # Some refusals are told apart by their Chinese words alone (API §1.11, §5.1).
            "Accept-Language": "zh-CN",
            "Accept-Encoding": "gzip",  # nothing else is unpacked below
            "User-Agent": _USER_AGENT,  # requests without one may be refused (API §5.1)
        }
        # With every call, since it chooses the key that the answer is signed with (API §5.6).
        if self._credentials.public_key_id:
            headers["Wechatpay-Serial"] = self._credentials.public_key_id
        return Host(origin, [(name.encode(), value.encode()) for name, value in headers.items()])

    async def send(self, call: Call, host: Host) -> Exchange:
        """Send ``call`` to ``host`` once, and read the whole answer. Raises TransportError."""
        arrived: _Arrived | None = None
        request = self._request(call, host)
        try:
            async with asyncio.timeout(self._timeout_seconds * _PHASES):
                async with self._answer(request) as answer:
                    arrived = _Arrived(answer.headers)
                    body = await _read_body(call, answer, arrived)
        except (httpx.RequestError, TimeoutError) as error:
            if isinstance(error, httpx.RequestError):
                error.request = httpx.Request(call.method, host.origin)  # one that it carries is signed
            raise failures.transport_error(
                error,
                method=call.method,
                path=call.path,
                host=host.name,
                timeout_seconds=self._timeout_seconds * (_PHASES if isinstance(error, TimeoutError) else 1),
                arrived=arrived,
            ) from error
        return Exchange(host.name, answer.status_code, arrived.headers, body, self._wall_clock())

    @asynccontextmanager
    async def _answer(self, request: httpx.Request) -> AsyncIterator[httpx.Response]:
        """Its head; the body can be read. Not by an httpx.AsyncClient: redirects, cookies and headers of its own are
        what must not be here."""
        answer = await self._transport.handle_async_request(request)
        try:
            yield answer
        finally:
            await answer.aclose()

    def _request(self, call: Call, host: Host) -> httpx.Request:
        headers = self._sign(call, host)
        if part := failures.invalid_part(headers, call.target):
            raise failures.unwritable(part, method=call.method, path=call.path)
        target = call.target.encode("ascii")
        url = host.origin.copy_with(raw_path=target)
        if url.raw_path != target:  # httpx would send another than the one that was signed
            raise failures.unwritable("path and query", method=call.method, path=call.path)
        body = httpx.ByteStream(call.body)
        return httpx.Request(call.method, url, headers=headers, stream=body, extensions=self._extensions)

    def _sign(self, call: Call, host: Host) -> list[tuple[bytes, bytes]]:
        authorization = signing.authorize(
            self._credentials.private_key,
            mchid=self._credentials.mchid,
            serial_no=self._credentials.serial_no,
            method=call.method,
            target=call.target,
            timestamp=str(int(self._wall_clock())),
            nonce=self._nonce(),
            body=call.signed_body,
        )
        headers = [*host.headers, (b"Authorization", authorization.encode("ascii"))]
        if call.content_type:
            headers.append((b"Content-Type", call.content_type.encode("ascii")))
        if call.body or call.is_write:
            headers.append((b"Content-Length", b"%d" % len(call.body)))
        return headers

    async def aclose(self) -> None:
        """Close the transport."""
        await self._transport.aclose()


def _hide_secrets(record: logging.LogRecord) -> bool:
    record.msg, record.args = _SECRET_HEADER.sub(r"\1'[secure]'", record.getMessage()), None
    return True


async def _read_body(call: Call, answer: httpx.Response, arrived: _Arrived) -> bytes:
    """The whole body, decompressed, while ``arrived`` counts. Raises TransportError when it is too long."""
    unzip = None
    if arrived.headers.get("Content-Encoding", "").strip().lower() == "gzip":
        unzip = zlib.decompressobj(zlib.MAX_WBITS | 16)  # 16: the head is gzip's, not zlib's
    body = bytearray()
    pieces = 0
    async for piece in cast(httpx.AsyncByteStream, answer.stream):
        pieces += 1
        arrived.received += len(piece)
        try:
            # No more than shows that it is too long: a thousandfold of what was received may be in it.
            body += unzip.decompress(piece, LONGEST_ANSWER + 1 - len(body)) if unzip else piece
        except zlib.error as error:
            raise httpx.DecodingError(str(error)) from error
        if len(body) > LONGEST_ANSWER or pieces > MOST_PIECES:
            too_much = (
                f"is longer than {LONGEST_ANSWER} bytes"
                if len(body) > LONGEST_ANSWER
                else f"comes in more than {MOST_PIECES} pieces"
            )
            raise TransportError(
                f"the answer {too_much}; reading it was stopped.",
                method=call.method,
                path=call.path,
                request_id=arrived.headers.get("Request-ID", ""),
                remedy="WeChat Pay never answers like that: check PAYGIFT_BASE_URL and proxies.",
            )
    return bytes(body)
