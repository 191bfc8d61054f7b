"""A transport for many connections at once, whose cost per request does not grow with their number.

httpx's pool walks through all its connections, several times for each request. Here nobody looks for a connection:
each is a lane, free lanes lie on a stack, and a request takes the uppermost. Below it is the same httpcore connection
that httpx uses. ``docs/decisions/lanes.md`` says why, with numbers.

A lane serves one request at a time, until its answer is closed. It is used again only after an answer that was read
to its end: whatever else happened on it, an error, a cancellation, half an answer, it is closed, and a later request
opens another.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property, partial
from typing import Final, cast
from urllib.request import getproxies, proxy_bypass

import httpcore
import httpx

_ERRORS: Final = (
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.ProxyError,
    httpcore.TimeoutException,
    httpcore.UnsupportedProtocol,
)


class Lanes(httpx.AsyncBaseTransport):
    """Up to ``limit`` connections over HTTP/1.1, opened when they are needed. Used by one event loop.

    Further requests wait, first come, first served, and without a time limit (a request's ``pool`` timeout is not
    looked at). A connection that has been idle for ``idle_seconds`` is closed and never written to; ``clock`` tells
    seconds that only grow, and is replaced in tests. With ``trust_env`` the environment names certificate files as
    it does for httpx, and proxies as it does for urllib, by scheme and host.

    Raises what httpx's own transport raises.
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
        self._trust_env = trust_env
        self._proxy_for = cache(_environment_proxy if trust_env else _no_proxy)
        self._connector_for = cache(self._connector)
        self._turns = asyncio.Semaphore(limit)
        self._lanes: set[_Lane] = set()
        # The newest is taken first, so that in quiet times the oldest are left alone, and close.
        self._idle: deque[_Lane] = deque()
        self._closed = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await self._turns.acquire()
        lane: _Lane | None = None
        try:
            await self._close_expired()
            lane = await self._take(request)
            with _as_httpx():
                response = await lane.connection.handle_async_request(_for_httpcore(request))
        except BaseException:
            await self._give_back(lane)
            raise
        return httpx.Response(
            response.status,
            headers=response.headers,
            stream=_Body(response, partial(self._give_back, lane)),
            extensions=response.extensions,
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

    async def _take(self, request: httpx.Request) -> _Lane:
        """The lane that was used last, if it leads where the request goes and nobody has hung up; or a new one."""
        if self._closed:
            raise RuntimeError("a request was sent after its lanes were closed")
        way = (request.url.scheme, request.url.host, request.url.port)
        if self._idle:
            lane = self._idle.pop()
            if lane.way == way and not lane.connection.has_expired():
                return lane
            await self._drop(lane)
        lane = _Lane(self._connect(request), way)
        self._lanes.add(lane)
        return lane

    def _connect(self, request: httpx.Request) -> httpcore.AsyncConnectionInterface:
        """A connection that has yet to be opened, directly or through a proxy."""
        url = request.url
        try:
            connector = self._connector_for(url.scheme, self._proxy_for(url.scheme, url.host))
        except (RuntimeError, ValueError, httpx.InvalidURL) as error:
            raise httpx.ProxyError(str(error), request=request) from error
        return connector.create_connection(_url(url).origin)

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        """One for all lanes, and none for plain http: reading the certificates takes longer than many requests."""
        return httpx.create_ssl_context(trust_env=self._trust_env)

    def _connector(self, scheme: str, proxy: str | None) -> httpcore.AsyncConnectionPool:
        """What makes connections. It is a pool by name only: it never holds one."""
        tls = self._tls if scheme == "https" else None
        if proxy is None:
            return httpcore.AsyncConnectionPool(ssl_context=tls, keepalive_expiry=self._idle_seconds)
        way = httpx.Proxy(proxy)
        kind = httpcore.AsyncHTTPProxy if way.url.scheme in {"http", "https"} else httpcore.AsyncSOCKSProxy
        return kind(
            _url(way.url),
            proxy_auth=way.raw_auth,
            ssl_context=tls,
            keepalive_expiry=self._idle_seconds,
        )

    async def _give_back(self, lane: _Lane | None) -> None:
        """End a turn. The connection knows whether both sides have said all that belonged to the last request."""
        try:
            if lane is not None and not self._closed and lane.connection.is_available():
                lane.idle_since = self._clock()
                self._idle.append(lane)
            elif lane is not None:
                await self._drop(lane)
        finally:
            self._turns.release()

    async def _drop(self, lane: _Lane) -> None:
        self._lanes.discard(lane)
        await lane.connection.aclose()


@dataclass(slots=True, eq=False)
class _Lane:
    """A connection, with the scheme, host and port that it leads to."""

    connection: httpcore.AsyncConnectionInterface
    way: tuple[str, str, int | None]
    idle_since: float = 0.0


class _Body(httpx.AsyncByteStream):
    """The body of an answer. Closing it, once, gives its lane back."""

    def __init__(self, response: httpcore.Response, give_back: Callable[[], Awaitable[None]]) -> None:
        self._response = response
        self._give_back = give_back
        self._closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _as_httpx():
            async for chunk in self._response.aiter_stream():
                yield chunk

    async def aclose(self) -> None:
        if self._closed:
            return
        self._closed = True
        try:
            await self._response.aclose()
        finally:
            await self._give_back()


@contextmanager
def _as_httpx() -> Iterator[None]:
    """Errors of httpcore have namesakes in httpx, which is what callers know."""
    try:
        yield
    except _ERRORS as error:
        raise getattr(httpx, type(error).__name__)(str(error)) from error


def _for_httpcore(request: httpx.Request) -> httpcore.Request:
    return httpcore.Request(
        request.method,
        _url(request.url),
        headers=request.headers.raw,
        content=cast(httpx.AsyncByteStream, request.stream),
        extensions=request.extensions,
    )


def _url(url: httpx.URL) -> httpcore.URL:
    return httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)


def _environment_proxy(scheme: str, host: str) -> str | None:
    """The proxy that the environment names for this host, as a URL."""
    proxies = getproxies()
    named = proxies.get(scheme) or proxies.get("all")
    if not named or proxy_bypass(host):
        return None
    return named if "://" in named else f"http://{named}"


def _no_proxy(scheme: str, host: str) -> None:
    """Where the environment must not be asked."""
