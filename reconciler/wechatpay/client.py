"""One signed request, one proven answer (API §5).

``Client.request`` signs, sends, and verifies before anybody parses. An answer that proves nothing is never used:
a success becomes UnverifiedError, and an error stays an error, marked as unverified. What is sent again is for
``retry`` to say, how fast for ``pace``; each try is signed anew, and its body is the same to the byte.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Final, Self
from urllib.parse import quote

import httpx

from reconciler.model.errors import CredentialsError, RemoteError, TransportError, UnverifiedError, UsageError
from reconciler.system.environment import is_loopback
from reconciler.wechatpay import failures
from reconciler.wechatpay.call import Call, Exchange, Permit
from reconciler.wechatpay.exchange import JSON, Exchanger
from reconciler.wechatpay.hosts import BASE_URL, Hosts, origin_of
from reconciler.wechatpay.keyring import Certificate
from reconciler.wechatpay.keys import Credentials
from reconciler.wechatpay.pace import UPLOADS_PER_MINUTE, Pace, Uploads
from reconciler.wechatpay.platform_keys import PlatformKeys
from reconciler.wechatpay.retry import May, Retry, may_repeat, turned_away
from reconciler.wechatpay.transport import SlotTransport
from reconciler.wechatpay.verification import error_answer

CONCURRENCY: Final = 8
"""Connections at once."""
_IDLE_SECONDS: Final = 3
"""Less than the 5 s after which many servers close an idle connection: a write that meets the closing is lost with
an unknown outcome."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A proven success: ``body`` is exactly what WeChat Pay signed. ``tries`` counts how often we had to ask."""

    status: int
    body: bytes
    request_id: str
    tries: int = 1


class Client:
    """Calls WeChat Pay as one merchant. An async context manager; used by one event loop.

    ``rate`` is how many requests may be sent a second, tries counted each; None means no limit. ``concurrency`` bounds
    connections; further requests wait their turn without timing out. ``timeout_seconds`` bounds connecting, sending
    and each wait for bytes, and three times of it the whole exchange. ``uploads_per_minute`` bounds image uploads,
    tries counted each, beside ``rate``; None means no limit.

    When ``base_url`` cannot be reached, requests go to ``backup_url`` (empty: none), and come back after a minute.
    An answer never causes that, whatever its status. Plain http is for loopback only, and proxies from the
    environment are not used there. Raises UsageError for URLs, rates and concurrencies that are invalid.

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
        origin = origin_of(base_url, "PAYGIFT_BASE_URL")
        backup = origin_of(backup_url, "PAYGIFT_BACKUP_URL") if backup_url else origin
        if transport is None:
            # No proxy for loopback: from elsewhere it would reach its own machine's.
            transport = SlotTransport(concurrency, idle_seconds=_IDLE_SECONDS, direct=is_loopback(origin.host))
        self._exchanger = Exchanger(
            credentials, transport, timeout_seconds=timeout_seconds, wall_clock=wall_clock, nonce=nonce
        )
        main = self._exchanger.host(origin)
        self._hosts = Hosts(main, main if backup == origin else self._exchanger.host(backup), clock)
        self._pace = Pace(rate, clock=clock, sleep=sleep)
        self._uploads = Uploads(uploads_per_minute, clock=clock, sleep=sleep)
        self._retry = retry
        self._keys = PlatformKeys(credentials, retry, self._exchange)
        # httpx would count the wait for a free connection as a timeout.
        self._turns = asyncio.Semaphore(concurrency)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await self._exchanger.aclose()

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
        call = Call(
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
            answer = await (self._upload(once) if call.is_upload else self._in_turn(once, write=call.is_write))
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
            await self._keys.ready()
            return await self._retry.run_while(lambda error: may_repeat(error, write=write) and not but(error), once)

    async def _upload(self, once: Callable[[], Awaitable[Answer]]) -> Answer:
        """An upload may have to wait for the next minute. It does so outside of a turn, so that other requests go on.
        A 429 all the same means that somebody else uploads for this merchant, and is waited for patiently."""
        # Before the retry begins: waiting for the next minute must not use up its time.
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
            return await self._keys.fetch()

    async def _once(self, call: Call) -> Answer:
        return await self._prove(call, await self._exchange(call))

    async def _exchange(self, call: Call) -> Exchange:
        """Send once, to the first host that can be reached, and read the whole answer."""
        asked_at = await self._pace.turn()
        unreached: list[TransportError] = []
        for host in self._hosts.in_order():
            # Here, after every wait: the lock may be lost, or a stop asked for, meanwhile.
            if call.permit is not None:
                await call.permit()
            try:
                exchange = await self._exchanger.send(call, host)
            except TransportError as error:
                # A write that may have arrived must not be sent again by way of the other host.
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

    async def _prove(self, call: Call, exchange: Exchange) -> Answer:
        try:
            await self._keys.verify(call, exchange)
        except (UnverifiedError, CredentialsError) as doubt:
            if exchange.status < 400:
                raise
            # A refused signature, for one, is never signed (API §5.3), and its words are needed.
            raise error_answer(call, exchange, verified=False) from doubt
        if exchange.status >= 400:
            raise error_answer(call, exchange, verified=True)
        return Answer(exchange.status, exchange.body, exchange.request_id)
