"""One signed request, one proven answer (API §5).

``Client.request`` signs, sends, and verifies before anybody parses. An answer that proves nothing is never used:
a success becomes UnverifiedError, and an error stays an error, marked as unverified. What is sent again is for
``retry`` to say, how fast for ``pace``; each try is signed anew, and its body is the same to the byte.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import time
import zlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Final, Self
from urllib.parse import quote

import httpx
from pydantic import ValidationError

from reconciler import __version__
from reconciler.model.errors import (
    ApiError,
    CredentialsError,
    RemoteError,
    TransportError,
    UnverifiedError,
    UsageError,
)
from reconciler.system.environment import is_loopback
from reconciler.wechatpay import error_answers, failures, signing, wire
from reconciler.wechatpay.arrival import Sent
from reconciler.wechatpay.carrier import Carrier, Headers, Incoming, Outgoing, OverHttpx
from reconciler.wechatpay.hosts import BASE_URL, Host, Hosts, origin_of
from reconciler.wechatpay.keys import (
    PUBLIC_KEY_ID_PREFIX,
    Certificate,
    Credentials,
    Keyring,
    open_certificates,
)
from reconciler.wechatpay.lanes import Lanes
from reconciler.wechatpay.pace import UPLOADS_PER_MINUTE, Pace, Uploads
from reconciler.wechatpay.retry import May, Retry, may_repeat, turned_away

CONCURRENCY: Final = 8
LONGEST_ANSWER: Final = 16 * 1024 * 1024
"""Bytes of a body, decompressed, after which reading stops."""
JSON: Final = "application/json"

MOST_PIECES: Final = 20_000
"""Pieces of a body after which reading stops. ``LONGEST_ANSWER`` in packets has fewer, and in single bytes millions."""
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_PHASES: Final = 3
"""A whole exchange may take as long as connecting, sending and waiting each may take: a server that sends one byte
every few seconds would otherwise never time out."""
_IDLE_SECONDS: Final = 3
"""Less than the 5 s after which many servers close an idle connection: a write that meets the closing is lost with
an unknown outcome."""
_USER_AGENT: Final = f"paygift/{__version__}"

# httpcore writes the headers of answers to its debug log, signatures included. Only the values of those are taken
# out: what else somebody wants to see there, of this client or of others in the process, stays as it is.
_HTTPCORE_LOGS: Final = ("httpcore.http11", "httpcore.http2", "httpcore.proxy")
_SECRET_HEADER: Final = re.compile(
    r"""(\(b'(?:authorization|proxy-authorization|wechatpay-signature)', b)(['"]).*?\2(?=\))""", re.IGNORECASE
)


Permit = Callable[[], Awaitable[None]]
"""Asked right before a write leaves, at every try; raises whatever forbids it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A proven success: ``body`` is exactly what WeChat Pay signed. ``tries`` counts how often we had to ask."""

    status: int
    body: bytes
    request_id: str
    tries: int = 1


@dataclass(frozen=True, slots=True)
class _Call:
    """A request before it is signed, so that it can be signed again. ``path`` names it in errors."""

    method: str
    path: str
    query: str = ""
    body: bytes = field(default=b"", repr=False)
    content_type: str = ""
    signed_body: bytes = field(default=b"", repr=False)
    permit: Permit | None = None

    @property
    def is_write(self) -> bool:
        return self.method != "GET"

    @property
    def is_upload(self) -> bool:
        return self.is_write and self.path == wire.IMAGE_UPLOAD_PATH

    @property
    def target(self) -> str:
        return f"{self.path}?{self.query}" if self.query else self.path


@dataclass(slots=True)
class _Arrived:
    """What has come of an answer so far: its headers, and so many bytes of its body, compressed as they came."""

    headers: Headers
    received: int = 0


@dataclass(frozen=True, slots=True)
class _Exchange:
    """What came back from ``host``, proven or not. ``received_at`` is our clock, in Unix seconds."""

    host: str
    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    received_at: float

    @property
    def request_id(self) -> str:
        return self.headers.get("Request-ID", "")


def _hide_secrets(record: logging.LogRecord) -> bool:
    record.msg, record.args = _SECRET_HEADER.sub(r"\1'[secure]'", record.getMessage()), None
    return True


class Client:
    """Calls WeChat Pay as one merchant. An async context manager; used by one event loop.

    ``rate`` is how many requests may be sent a second, tries counted each; None is no limit. ``concurrency`` bounds
    connections; further requests wait their turn without timing out. ``timeout_seconds`` bounds connecting, sending
    and each wait for bytes, and three times of it the whole exchange. ``uploads_per_minute`` bounds image uploads,
    tries counted each, beside ``rate``; None is no limit.

    When ``base_url`` cannot be reached, requests go to ``backup_url`` (empty: none), and come back after a minute.
    An answer never causes that, whatever its status. Plain http is for loopback only, and proxies from the
    environment are not used there. Raises UsageError for URLs, rates and concurrencies that cannot be meant.

    ``wall_clock`` (Unix seconds), ``nonce`` (32 characters), ``clock`` (monotonic, in seconds) and ``sleep`` are
    replaced in tests.
    """

    def __init__(
        self,
        credentials: Credentials,
        *,
        base_url: str = BASE_URL,
        backup_url: str = "",
        transport: httpx.AsyncBaseTransport | None = None,
        timeout_seconds: float = 10.0,
        rate: float | None = None,
        uploads_per_minute: int | None = UPLOADS_PER_MINUTE,
        concurrency: int = CONCURRENCY,
        retry: Retry = Retry(),  # noqa: B008 - frozen
        wall_clock: Callable[[], float] = time.time,
        nonce: Callable[[], str] = lambda: secrets.token_hex(16).upper(),
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        if uploads_per_minute is not None and uploads_per_minute < 1:
            raise UsageError(f"there must be at least 1 upload per minute, found {uploads_per_minute!r}.")
        if rate is not None and not rate > 0:
            raise UsageError(f"the rate must be more than 0 requests per second, found {rate!r}.")
        if concurrency < 1:
            raise UsageError(f"the concurrency must be at least 1 connection, found {concurrency!r}.")
        self._credentials = credentials
        origin = origin_of(base_url, "PAYGIFT_BASE_URL")
        backup = origin_of(backup_url, "PAYGIFT_BACKUP_URL") if backup_url else origin
        main = Host(origin, self._headers(origin))
        self._hosts = Hosts(main, main if backup == origin else Host(backup, self._headers(backup)), clock)
        self._pace = Pace(rate, clock=clock, sleep=sleep)
        self._uploads = Uploads(uploads_per_minute, clock=clock, sleep=sleep)
        self._retry = retry
        self._timeout_seconds = timeout_seconds
        self._seconds = dict.fromkeys(("connect", "write", "read"), timeout_seconds)
        self._wall_clock = wall_clock
        self._nonce = nonce
        self._keyring = Keyring(credentials.public_key_id, credentials.public_key)
        self._refreshing = asyncio.Lock()
        # httpx's own pool would count the wait for a free connection as a timeout, and it gets slow when it is long.
        self._turns = asyncio.Semaphore(concurrency)
        # Not an httpx.AsyncClient: redirects, cookies and headers of its own are what must not be here, and making
        # its requests and answers costs as much as sending and receiving them.
        self._carrier: Carrier = (
            Lanes(concurrency, idle_seconds=_IDLE_SECONDS, trust_env=not is_loopback(origin.host))
            if transport is None
            else OverHttpx(transport)
        )
        for name in _HTTPCORE_LOGS:
            logging.getLogger(name).addFilter(_hide_secrets)  # the same one again changes nothing

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await self._carrier.aclose()

    async def request(
        self,
        method: str,
        target_path: str,
        *,
        query: Sequence[tuple[str, str]] = (),
        body: bytes = b"",
        content_type: str = JSON,
        signed_body: bytes | None = None,
        permit: Permit | None = None,
    ) -> Answer:
        """Send one request and return its proven answer. Reads are repeated when that may help; a write only if it
        provably was not processed.

        ``target_path`` is percent-encoded already, ``query`` is not. ``content_type`` is sent with a body only.
        ``signed_body`` is what the signature covers instead of ``body``: the meta JSON of an upload (API §4).
        ``permit`` is asked before every try, after every wait: whatever it raises is raised, and nothing is sent.

        Raises ApiError for HTTP status 400 and more, UnverifiedError for an answer that proves nothing,
        TransportError when none came, CredentialsError when ours cannot verify answers. After an UnverifiedError
        or TransportError, and after an ApiError of 500 or more, a write may or may not have happened.
        """
        call = _Call(
            method,
            target_path,
            "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in query),
            body,
            content_type if body else "",
            body if signed_body is None else signed_body,
            permit,
        )
        tries = 0

        async def once() -> Answer:
            nonlocal tries
            tries += 1
            return await self._once(call)

        try:
            answer = await (
                self._upload(once) if call.is_upload else self._in_turn(once, write=call.is_write)
            )
        except RemoteError as error:
            error.tries = tries
            raise
        return answer if tries == 1 else replace(answer, tries=tries)

    async def _in_turn(
        self, once: Callable[[], Awaitable[Answer]], *, write: bool, but: May = lambda error: False
    ) -> Answer:
        """All tries, unless one ends with an error of the kind ``but``."""
        # Held through all tries, so that the time they may take begins with the first and not in the queue. Whoever
        # has a turn uses one connection at most: that for certificates is not beside its own, but before or after.
        async with self._turns:
            # Before anything is sent: credentials that cannot verify an answer must not cause a write.
            if not self._keyring:
                await self._refresh(self._keyring)
            return await self._retry.run_while(
                lambda error: may_repeat(error, write=write) and not but(error), once
            )

    async def _upload(self, once: Callable[[], Awaitable[Answer]]) -> Answer:
        """An upload may have to wait for the next minute. It does so outside of a turn, so that other requests go on.
        A 429 all the same means that somebody else uploads for this merchant, and is waited for patiently."""
        await self._uploads.turn()
        may_go = True

        async def again() -> Answer:
            nonlocal may_go
            if not may_go:
                await self._uploads.turn()
            may_go = False
            return await self._in_turn(once, write=True, but=turned_away)

        return await self._retry.patient.run_while(turned_away, again)

    async def certificates(self) -> tuple[Certificate, ...]:
        """Fetch the platform certificates anew. Raises as ``request`` does, CredentialsError without an APIv3 key."""
        async with self._turns:
            await self._refresh(self._keyring)
        return self._keyring.certificates

    async def _once(self, call: _Call) -> Answer:
        return await self._prove(call, await self._exchange(call))

    def _headers(self, origin: httpx.URL) -> list[tuple[bytes, bytes]]:
        headers = {
            "Host": origin.netloc.decode("ascii"),
            "Accept": JSON,
            "Accept-Language": "zh-CN",
            "Accept-Encoding": "gzip",
            "User-Agent": _USER_AGENT,
        }
        if self._credentials.public_key_id:
            headers["Wechatpay-Serial"] = self._credentials.public_key_id
        return [(name.encode(), value.encode()) for name, value in headers.items()]

    # --- there ---------------------------------------------------------------------------------------------------

    async def _exchange(self, call: _Call) -> _Exchange:
        """Send once, to the first host that can be reached, and read the whole answer."""
        asked_at = await self._pace.turn()
        unreached: list[TransportError] = []
        for host in self._hosts.in_order():
            if call.permit is not None:
                await call.permit()
            try:
                exchange = await self._send(call, host)
            except TransportError as error:
                if error.sent:
                    raise
                self._hosts.unreachable(host)
                unreached.append(error)
            else:
                self._hosts.reached(host)
                if not call.is_upload:  # whose 429 is about uploads only
                    self._pace.learn(exchange.status, asked_at)
                return exchange
        raise failures.unreached(unreached)

    async def _send(self, call: _Call, host: Host) -> _Exchange:
        arrived: _Arrived | None = None
        request = self._sign(call, host)
        try:
            async with asyncio.timeout(self._timeout_seconds * _PHASES):
                answer = await self._carrier.send(request)
                try:
                    arrived = _Arrived(Headers(answer.headers))
                    body = await _read_body(call, answer, arrived)
                finally:
                    await answer.aclose()
        except (httpx.RequestError, TimeoutError) as error:
            if isinstance(error, httpx.RequestError):
                error.request = httpx.Request(call.method, host.origin)  # one that it carries is signed
            raise failures.transport_error(
                error,
                method=call.method,
                path=call.path,
                host=host.name,
                timeout_seconds=self._timeout_seconds * (_PHASES if isinstance(error, TimeoutError) else 1),
                request=request,
                arrived=arrived,
            ) from error
        return _Exchange(host.name, answer.status, arrived.headers, body, self._wall_clock())

    def _sign(self, call: _Call, host: Host) -> Outgoing:
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
        return Outgoing(host.origin, call.method, call.target, headers, call.body, self._seconds)

    # --- and back ------------------------------------------------------------------------------------------------

    async def _prove(self, call: _Call, exchange: _Exchange) -> Answer:
        try:
            await self._verify(call, exchange)
        except (UnverifiedError, CredentialsError) as doubt:
            if exchange.status < 400:
                raise
            raise _error_answer(call, exchange, verified=False) from doubt
        if exchange.status >= 400:
            raise _error_answer(call, exchange, verified=True)
        return Answer(exchange.status, exchange.body, exchange.request_id)

    async def _verify(self, call: _Call, exchange: _Exchange) -> None:
        proof = _proof(call, exchange)
        keyring = self._keyring
        if keyring.key_for(proof.serial_no, exchange.received_at) is None and self._may_refresh(proof):
            keyring = await self._refresh_for(call, keyring)
        _check(call, exchange, proof, keyring)

    def _may_refresh(self, proof: signing.Proof) -> bool:
        return self._credentials.apiv3_key is not None and not proof.serial_no.startswith(
            PUBLIC_KEY_ID_PREFIX
        )

    async def _refresh_for(self, call: _Call, stale: Keyring) -> Keyring:
        """Refresh because of an answer. That the refresh failed says nothing about the answered request: a 404 or
        429 of the certificates must not be taken for its own. It has had its own tries, so there are no more."""
        try:
            await self._refresh(stale)
        except (RemoteError, CredentialsError) as error:
            if isinstance(error, CredentialsError) and call.method == "GET":
                raise
            raise _unverified(
                call,
                f"it could not be verified, because fetching the platform certificates failed: {error}",
                lasting=True,
            ) from error
        return self._keyring

    async def _refresh(self, stale: Keyring) -> None:
        """Replace the keyring, unless another task has done so since ``stale`` was seen."""
        async with self._refreshing:
            if self._keyring is stale:
                self._keyring = await self._retry.run(self._fetch_certificates, write=False)

    async def _fetch_certificates(self) -> Keyring:
        """AES-GCM under the APIv3 key vouches for the certificates; then they must vouch for their own answer."""
        if self._credentials.apiv3_key is None:
            raise CredentialsError(
                "platform certificates cannot be read without an APIv3 key.", remedy="Set PAYGIFT_APIV3_KEY."
            )
        call = _Call("GET", wire.CERTIFICATES_PATH)
        exchange = await self._exchange(call)
        if exchange.status >= 400:
            signed = bool(exchange.headers.get("Wechatpay-Signature"))  # by a key that nobody has yet
            raise _no_certificates(_error_answer(call, exchange, verified=False), signed=signed)
        proof = _proof(call, exchange)
        try:
            listed = wire.Certificates.model_validate_json(exchange.body)
        except ValidationError as error:
            raise _unverified(call, "it is not a list of platform certificates", exchange) from error
        certificates = open_certificates(listed, self._credentials.apiv3_key)
        keyring = Keyring(self._credentials.public_key_id, self._credentials.public_key, certificates)
        _check(call, exchange, proof, keyring)
        return keyring


async def _read_body(call: _Call, answer: Incoming, arrived: _Arrived) -> bytes:
    """The whole body, decompressed, while ``arrived`` counts. Raises TransportError when it is too long."""
    unzip = None
    if arrived.headers.get("Content-Encoding", "").strip().lower() == "gzip":
        unzip = zlib.decompressobj(zlib.MAX_WBITS | 16)
    body = bytearray()
    pieces = 0
    while piece := await answer.read():
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
                remedy="No answer of WeChat Pay is like that: check PAYGIFT_BASE_URL and proxies.",
            )
    return bytes(body)


def _proof(call: _Call, exchange: _Exchange) -> signing.Proof:
    """The answer's proof, complete and of our time. Raises UnverifiedError."""
    if 300 <= exchange.status < 400 and exchange.status not in _REDIRECTS:
        raise _unverified(
            call,
            f"HTTP {exchange.status} is neither a success nor an error, and WeChat Pay never answers so",
            exchange,
            remedy="It may come from a cache in between: check PAYGIFT_BASE_URL and proxies.",
        )
    if exchange.status in _REDIRECTS:
        raise _unverified(
            call,
            f"it is a redirect (HTTP {exchange.status}), which is never followed",
            exchange,
            remedy="Check PAYGIFT_BASE_URL, and whether this network asks for a login first.",
            lasting=True,
        )
    try:
        proof = signing.Proof.read(exchange.headers)
    except ValueError as error:
        raise _unverified(
            call,
            f"it is not signed as WeChat Pay signs (HTTP {exchange.status}, {error})",
            exchange,
            remedy="It may come from something in between: check PAYGIFT_BASE_URL and proxies.",
        ) from error
    age = proof.age_seconds(exchange.received_at)
    if abs(age) >= signing.WINDOW_SECONDS:
        wrong_clock = error_answers.clock_remedy(exchange.headers, exchange.received_at)
        raise _unverified(
            call,
            f"its timestamp is {abs(age):.0f} s in the {'past' if age > 0 else 'future'}; "
            f"less than {signing.WINDOW_SECONDS} s are accepted",
            exchange,
            remedy=wrong_clock
            or "Something in between may have repeated an old answer: check caches and proxies.",
            lasting=bool(wrong_clock),
        )
    return proof


def _check(call: _Call, exchange: _Exchange, proof: signing.Proof, keyring: Keyring) -> None:
    """Raises UnverifiedError unless a key of the keyring signed the answer."""
    key = keyring.key_for(proof.serial_no, exchange.received_at)
    if key is None:
        raise _unverified(
            call,
            f"it is signed with the key {proof.serial_no[:100]!r}, which is unknown or not valid now",
            exchange,
            remedy=_serial_remedy(proof.serial_no),
            lasting=True,
        )
    if not proof.holds(key, exchange.body):
        why = f"its signature is not that of key {proof.serial_no[:100]!r} over this answer"
        if proof.is_probe:
            why += f" (marked {signing.PROBE_PREFIX}: WeChat Pay sends a few wrong ones to test its clients)"
        raise _unverified(call, why, exchange, remedy=_signature_remedy(proof))


def _signature_remedy(proof: signing.Proof) -> str:
    """Platform certificates vouch for their own keys; nothing does for a public key that somebody has given us."""
    if proof.is_probe or not proof.serial_no.startswith(PUBLIC_KEY_ID_PREFIX):
        return "Run again; if this stays, check proxies that rewrite answers."
    return (
        "Check that PAYGIFT_PUBLIC_KEY is the key of PAYGIFT_PUBLIC_KEY_ID: the merchant platform shows both together "
        "(账户中心 → API安全 → 微信支付公钥). If it is, check proxies that rewrite answers."
    )


def _serial_remedy(serial_no: str) -> str:
    if serial_no.startswith(PUBLIC_KEY_ID_PREFIX):
        return "Set PAYGIFT_PUBLIC_KEY_ID and PAYGIFT_PUBLIC_KEY to the WeChat Pay public key of that id."
    return (
        "If this merchant uses a WeChat Pay public key, finish the change to it on the merchant platform, or set "
        "PAYGIFT_APIV3_KEY too; otherwise check PAYGIFT_BASE_URL."
    )


def _unverified(
    call: _Call, why: str, exchange: _Exchange | None = None, *, remedy: str = "", lasting: bool = False
) -> UnverifiedError:
    return UnverifiedError(
        f"the answer is not believed: {why}{'' if why.endswith('.') else '.'}",
        method=call.method,
        path=call.path,
        request_id="" if exchange is None else exchange.request_id,
        remedy=remedy,
        lasting=lasting,
    )


def _error_answer(call: _Call, exchange: _Exchange, *, verified: bool) -> ApiError:
    return error_answers.api_error(
        Sent(call.method, call.target, call.signed_body, exchange.host),
        path=call.path,
        status=exchange.status,
        headers=exchange.headers,
        body=exchange.body,
        verified=verified,
        received_at=exchange.received_at,
    )


def _no_certificates(error: ApiError, *, signed: bool) -> RemoteError | CredentialsError:
    """A 404 here is about certificates; whoever asked for an activity must not take it for the activity's."""
    if error.status != 404:
        return error
    if error.code == "RESOURCE_NOT_EXISTS":
        return CredentialsError(
            f"this merchant has no platform certificates ({error.text}).",
            remedy="Newer accounts use the WeChat Pay public key: set PAYGIFT_PUBLIC_KEY_ID and PAYGIFT_PUBLIC_KEY."
            + ("" if signed else f" {error_answers.UNSIGNED}"),
        )
    return UnverifiedError(
        "WeChat Pay's platform certificates are not there (HTTP 404), so this is hardly WeChat Pay.",
        method=error.method,
        path=error.path,
        request_id=error.request_id,
        remedy="Check PAYGIFT_BASE_URL and proxies.",
    )
