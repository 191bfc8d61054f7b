"""Many connections at once, at a cost per request that does not grow with their number.

httpx's pool walks through all its connections, several times for each request. Here nobody looks for a connection:
each is a lane, free lanes lie on a stack, and a request takes the uppermost. ``docs/decisions/lanes.md`` says why,
with numbers.

A lane serves one request at a time, until its answer is closed. It is used again only after an answer that was read
to its end: whatever else happened on it, an error, a cancellation, half an answer, it is closed, and a later request
opens another.
"""

from __future__ import annotations

import asyncio
import os
import platform
import ssl
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Final, cast
from urllib.request import getproxies, proxy_bypass

import httpcore
import httpx

from reconciler.system.environment import PROXY, Address, checked_address
from reconciler.system.proxies import names_any, proxy_for
from reconciler.system.trust import tls_context
from reconciler.wechatpay.carrier import Outgoing, Proxy, ProxyFailed, status_of
from reconciler.wechatpay.connection import Connection, Head

_ERRORS: Final = (
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.ProxyError,
    httpcore.TimeoutException,
    httpcore.UnsupportedProtocol,
)


_THROUGH: Final = frozenset({"proxy.start_tls.started", "socks.start_tls.started"})
"""httpcore's events before which nothing but a proxy has been spoken to, and nothing of a request has left."""


class Lanes(httpx.AsyncBaseTransport):
    """Up to ``limit`` connections over HTTP/1.1, opened when they are needed. Used by one event loop.

    Further requests wait, first come, first served, and without a time limit (a request's ``pool`` timeout is not
    looked at). A connection that has been idle for ``idle_seconds`` is closed and never written to; ``clock`` tells
    seconds that only grow, and is replaced in tests. With ``trust_env`` the environment names proxies, as ``proxies``
    reads it; certificates are those of ``trust`` in any case.

    The client uses ``send``; it is a transport of httpx too. Raises what httpx's own transport raises, and UsageError
    for certificates and proxies that cannot be used.
    """

    def __init__(
        self,
        limit: int,
        *,
        idle_seconds: float,
        trust_env: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._idle_seconds = idle_seconds
        self._clock = clock
        self._proxy_for = cache(_environment_proxy if trust_env else _no_proxy)
        self._connector_for = cache(self._connector)
        self._turns = asyncio.Semaphore(limit)
        self._lanes: set[_Lane] = set()
        # The newest is taken first, so that in quiet times the oldest are left alone, and close.
        self._idle: deque[_Lane] = deque()
        self._closed = False

    async def send(self, request: Outgoing) -> LaneAnswer:
        """Returns when the head of the answer has come. Its lane is free again when the answer is closed."""
        await self._turns.acquire()
        lane: _Lane | None = None
        try:
            await self._close_expired()
            lane = await self._take(request)
            head = await lane.connection.send(request)
        except BaseException:
            await self._give_back(lane)
            raise
        return LaneAnswer(head, lane, self._give_back)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        body = b"".join([chunk async for chunk in cast(httpx.AsyncByteStream, request.stream)])
        answer = await self.send(
            Outgoing(
                request.url.copy_with(raw_path=b"/"),
                request.method,
                request.url.raw_path.decode("ascii"),
                request.headers.raw,
                body,
                request.extensions.get("timeout", {}),
            )
        )
        return httpx.Response(
            answer.status,
            headers=list(answer.headers),
            stream=_Body(answer),
        )

    async def aclose(self) -> None:
        """Close every connection, also those in use."""
        self._closed = True
        self._idle.clear()
        while self._lanes:
            await self._lanes.pop().connection.aclose()

    async def _close_expired(self) -> None:
        """Nobody else looks at a lane that no request takes, and the other side may have hung up long ago."""
        expired = self._clock() - self._idle_seconds
        while self._idle and self._idle[0].idle_since <= expired:
            await self._drop(self._idle.popleft())

    async def _take(self, request: Outgoing) -> _Lane:
        """The lane that was used last, if it leads where the request goes and nobody has hung up; or a new one."""
        if self._closed:
            raise RuntimeError("a request was sent after its lanes were closed")
        if self._idle:
            lane = self._idle.pop()
            if _same(lane.origin, request.origin) and lane.connection.is_quiet():
                return lane
            await self._drop(lane)
        lane = _Lane(self._connect(request.origin), request.origin)
        self._lanes.add(lane)
        return lane

    def _connect(self, origin: httpx.URL) -> Connection | _Proxied:
        """A connection that has yet to be opened, directly or through a proxy."""
        proxy = self._proxy_for(origin.scheme, origin.host, origin.port)
        if proxy is None:
            return Connection(origin, self._tls if origin.scheme == "https" else None)
        connector = self._connector_for(origin.scheme, proxy)
        return _Proxied(connector.create_connection(_url(origin).origin), _told(proxy))

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        """One for all lanes, and none for plain http: reading the certificates takes longer than many requests."""
        context = tls_context()
        context.set_alpn_protocols(["http/1.1"])
        return context

    def _connector(self, scheme: str, proxy: Address) -> httpcore.AsyncConnectionPool:
        """What makes connections through a proxy. It is a pool by name only: it never holds one."""
        url = httpcore.URL(scheme=proxy.scheme, host=proxy.host, port=proxy.port, target="/")
        auth = (proxy.user.encode(), proxy.password.encode()) if proxy.user or proxy.password else None
        return httpcore.AsyncHTTPProxy(
            url,
            proxy_auth=auth,
            ssl_context=self._tls if scheme == "https" else None,
            proxy_ssl_context=self._tls if proxy.scheme == "https" else None,
            keepalive_expiry=self._idle_seconds,
        )

    async def _give_back(self, lane: _Lane | None) -> None:
        """End a turn. The connection knows whether both sides have said all that belonged to the last request."""
        try:
            if lane is not None:
                await self._put_away(lane)
        finally:
            self._turns.release()

    async def _put_away(self, lane: _Lane) -> None:
        reusable = False
        try:
            reusable = await lane.connection.end() and not self._closed
        finally:
            if reusable:
                lane.idle_since = self._clock()
                self._idle.append(lane)
            else:
                await self._drop(lane)

    async def _drop(self, lane: _Lane) -> None:
        self._lanes.discard(lane)
        await lane.connection.aclose()


@dataclass(slots=True, eq=False)
class _Lane:
    """A connection, with the scheme, host and port that it leads to."""

    connection: Connection | _Proxied
    origin: httpx.URL
    idle_since: float = 0.0


class LaneAnswer:
    """An answer whose head has come. Closing it, once, gives its lane back."""

    def __init__(self, head: Head, lane: _Lane, give_back: Callable[[_Lane], Awaitable[None]]) -> None:
        self.status, self.headers = head
        self._lane = lane
        self._give_back = give_back
        self._closed = False

    async def read(self) -> bytes:
        """The next piece of the body as it was sent; nothing at its end."""
        return await self._lane.connection.read()

    async def aclose(self) -> None:
        if not self._closed:
            self._closed = True
            await self._give_back(self._lane)


class _Body(httpx.AsyncByteStream):
    """The same for httpx."""

    def __init__(self, answer: LaneAnswer) -> None:
        self._answer = answer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while piece := await self._answer.read():
            yield piece

    async def aclose(self) -> None:
        await self._answer.aclose()


class _Proxied:
    """A connection through a proxy. It is httpcore's, with the interface of ours."""

    def __init__(self, connection: httpcore.AsyncConnectionInterface, proxy: Proxy) -> None:
        self._connection = connection
        self._proxy = proxy
        self._is_through = False
        self._response: httpcore.Response | None = None
        self._pieces: AsyncIterator[bytes] | None = None

    async def send(self, request: Outgoing) -> Head:
        carried = httpcore.Request(
            request.method,
            _url(request.origin, request.target.encode("ascii")),
            headers=request.headers,
            content=request.body,
            extensions={"timeout": request.seconds, "trace": self._watch},
        )
        try:
            with _as_httpx():
                self._response = await self._connection.handle_async_request(carried)
        except httpx.TransportError as error:
            if self._is_through:
                raise
            raise ProxyFailed(self._proxy, status_of(error)) from error
        self._is_through = True
        self._pieces = self._response.aiter_stream()
        return Head(self._response.status, self._response.headers)

    async def _watch(self, event: str, _: object) -> None:
        """Told by httpcore how far it has come."""
        if event in _THROUGH:
            self._is_through = True

    async def read(self) -> bytes:
        if self._pieces is None:
            return b""
        with _as_httpx():
            async for piece in self._pieces:
                if piece:
                    return piece
        return b""

    async def end(self) -> bool:
        response, self._response, self._pieces = self._response, None, None
        if response is not None:
            await response.aclose()
        return self._connection.is_available()

    def is_quiet(self) -> bool:
        return not self._connection.has_expired()

    async def aclose(self) -> None:
        await self._connection.aclose()


@contextmanager
def _as_httpx() -> Iterator[None]:
    """Errors of httpcore have namesakes in httpx, which is what callers know."""
    try:
        yield
    except _ERRORS as error:
        raise getattr(httpx, type(error).__name__)(str(error)) from error


def _same(one: httpx.URL, other: httpx.URL) -> bool:
    return one is other or one == other  # the client always passes the same, and comparing takes a while


def _url(url: httpx.URL, target: bytes = b"/") -> httpcore.URL:
    return httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=target)


def _told(proxy: Address) -> Proxy:
    """What may be said of a proxy: the variable that names it, and its host."""
    return Proxy(proxy.variable, proxy.host if proxy.port is None else f"{proxy.host}:{proxy.port}")


def _environment_proxy(scheme: str, host: str, port: int | None) -> Address | None:
    """The proxy that the environment names for this host, or else the settings of Windows and macOS."""
    if names_any(os.environ) or platform.system() not in ("Windows", "Darwin"):
        return proxy_for(os.environ, scheme, host, port)
    named = "" if proxy_bypass(host) else getproxies().get(scheme, "")
    return checked_address("The proxy of the system's settings", named, PROXY) if named else None


def _no_proxy(scheme: str, host: str, port: int | None) -> None:
    """Where the environment must not be asked."""
