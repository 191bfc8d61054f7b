"""Connections of httpx, each in a slot of its own (docs/decisions/transport.md).

httpx's pool walks through all of its connections several times for each request. Here nobody looks for a connection:
a slot has a pool of exactly one, free slots lie on a stack, and a request takes the uppermost.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final, cast

import httpx

from reconciler.system.route import Route, Routes, proxy_failed

_THROUGH: Final[Mapping[str, str]] = {
    "https": "proxy.start_tls.started",
    "http": "http11.send_request_headers.started",
}
"""Events before which nobody but a proxy has been spoken to, and nothing of a request has left, by its scheme."""


class SlotTransport(httpx.AsyncBaseTransport):
    """Up to ``slots`` connections over HTTP/1.1, opened when they are needed. Used by one event loop.

    Further requests wait, first come, first served, and without a time limit. A connection serves one request at a
    time, until its answer is closed, and is used again only after an answer that was read to its end: after whatever
    else happened, it is closed, and a later request opens another. One that was idle for ``idle_seconds``, or that the
    server has closed meanwhile, is never written to. ``direct`` is that of ``Routes``.

    Raises what httpx's own transport raises: after ConnectError (ProxyFailedError is one) and ConnectTimeout nothing
    of the request has left. UsageError for certificates and proxies that cannot be used.
    """

    def __init__(self, slots: int, *, idle_seconds: float, direct: bool = False) -> None:
        routes = Routes(direct=direct)
        self._slots = [_Slot(routes, idle_seconds) for _ in range(slots)]
        self._free = list(self._slots)
        self._turns = asyncio.Semaphore(slots)
        self._closed = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Returns when the head of the answer has come. Its slot is free again when the answer is closed."""
        await self._turns.acquire()
        # The one used last: its connection is the most likely to be still open.
        slot = self._free.pop()
        try:
            self._check_open()
            response = await slot.send(request)
            if self._closed:  # while the connection was made, so that its pool no longer knows it
                await response.aclose()
                raise httpx.ReadError("the connection was closed on this side")
        except BaseException:
            # Cancelled, too: a pool of httpx may then wait forever for its only connection.
            await self._give_back(slot, reusable=False)
            raise

        async def end(*, reusable: bool) -> None:
            await self._give_back(slot, reusable=reusable)

        response.stream = _Body(cast(httpx.AsyncByteStream, response.stream), end)
        return response

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("a request was sent after its transport was closed")

    async def _give_back(self, slot: _Slot, *, reusable: bool) -> None:
        try:
            if not reusable or self._closed:
                await slot.aclose()
        finally:
            self._free.append(slot)
            self._turns.release()

    async def aclose(self) -> None:
        """Close every connection, also those in use."""
        self._closed = True
        for slot in self._slots:
            await slot.aclose()


class _Slot:
    """One transport of httpx, with one connection at most. It leads where the last request went."""

    def __init__(self, routes: Routes, idle_seconds: float) -> None:
        self._routes = routes
        self._limits = httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=idle_seconds)
        self._route: Route | None = None
        self._transport: httpx.AsyncHTTPTransport | None = None
        self._is_through = False

    async def send(self, request: httpx.Request) -> httpx.Response:
        route = self._routes.to(request.url)
        if self._transport is None or self._route != route:
            await self.aclose()
            self._route = route
            self._transport = httpx.AsyncHTTPTransport(limits=self._limits, **self._routes.options(route))
        if route.proxy is not None:
            request.extensions = {**request.extensions, "trace": self._watch}
        try:
            with _as_httpx():
                return await self._transport.handle_async_request(request)
        except httpx.TransportError as error:
            if route.proxy is None or self._is_through:
                raise
            raise proxy_failed(route.proxy, error) from error

    async def _watch(self, event: str, _: object) -> None:
        """Told by httpx how far it has come. A connection that is used again stays through."""
        if event == "connection.connect_tcp.started":
            self._is_through = False
        elif self._route is not None and event == _THROUGH[self._route.scheme]:
            self._is_through = True

    async def aclose(self) -> None:
        """Whatever state it is in. A cancellation may leave a pool of httpx waiting forever for its own connection,
        so after one it is not used again, but replaced."""
        transport, self._transport = self._transport, None
        if transport is not None:
            await transport.aclose()


class _Body(httpx.AsyncByteStream):
    """The body of an answer. Closing it, once, tells ``end`` whether its connection may be used again."""

    def __init__(self, stream: httpx.AsyncByteStream, end: Callable[..., Awaitable[None]]) -> None:
        self._stream = stream
        self._end = end
        self._is_read = False
        self._is_closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _as_httpx():
            async for piece in self._stream:
                yield piece
        self._is_read = True

    async def aclose(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        reusable = False
        try:
            await self._stream.aclose()
            reusable = self._is_read
        finally:
            await self._end(reusable=reusable)


@contextmanager
def _as_httpx() -> Iterator[None]:
    """Damage within TLS, after the handshake, comes through httpx as Python's own error."""
    try:
        yield
    except ssl.SSLError as error:
        raise httpx.ReadError(str(error)) from error
