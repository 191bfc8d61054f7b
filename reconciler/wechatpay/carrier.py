"""What the client needs of whoever carries its requests: ``lanes`` does, and so can any transport of httpx.

Requests are bytes already, since the client has signed them as they are. Answers come as they are read from the wire,
piece by piece and still compressed. Errors and time limits are those of httpx.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple, Protocol, cast

import httpx

_FIELD: Final = re.compile(rb"([\x21-\x7e\x80-\xff]([\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?")
_STATUS: Final = re.compile(r"[1-5][0-9]{2}\b", re.ASCII)
_TARGET: Final = re.compile(r"[\x21-\x7e]+")


class Outgoing(NamedTuple):
    """A request. ``origin`` is scheme, host and port; ``target`` and ``headers`` go out as they are, Host included.

    ``seconds`` bounds ``connect``, each ``write`` and each ``read``; what is missing or None is not bounded.
    """

    origin: httpx.URL
    method: str
    target: str
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes
    seconds: Mapping[str, float | None]


class Proxy(NamedTuple):
    """``variable`` is the one of the environment that names it; ``host`` has its port, and no password."""

    variable: str
    host: str


class ProxyFailed(httpx.ProxyError):
    """The request has not left, because of ``proxy``, before it had made a connection to WeChat Pay. ``status`` is what
    it has answered, 0 if nothing; the cause is what happened."""

    def __init__(self, proxy: Proxy, status: int = 0) -> None:
        super().__init__("the proxy has made no connection")
        self.proxy = proxy
        self.status = status


def status_of(error: httpx.TransportError) -> int:
    """What a proxy has answered instead of connecting, 0 if nothing. httpcore's words begin with it."""
    found = _STATUS.match(str(error)) if isinstance(error, httpx.ProxyError) else None
    return int(found[0]) if found else 0


def flaw_of(request: Outgoing) -> str:
    """Which part of it cannot be written as HTTP: ``header NAME``, or its target; empty if all can."""
    for name, value in request.headers:
        if not _FIELD.fullmatch(value):
            return f"header {name.decode('ascii', 'replace')}"
    return "" if _TARGET.fullmatch(request.target) else "path and query"


class Headers(Mapping[str, str]):
    """The headers of an answer, by names in any case. One that came several times has its values joined by commas."""

    def __init__(self, raw: Iterable[tuple[bytes, bytes]]) -> None:
        self._values: dict[str, str] = {}
        for raw_name, raw_value in raw:
            name, value = raw_name.decode("ascii", "replace").lower(), raw_value.decode("utf-8", "replace")
            self._values[name] = f"{self._values[name]}, {value}" if name in self._values else value

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


class Incoming(Protocol):
    """An answer whose head has come. ``aclose`` must follow, whether it was read to its end or not."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Sequence[tuple[bytes, bytes]]: ...

    async def read(self) -> bytes:
        """The next piece of the body as it was sent, compressed or not; nothing at its end."""

    async def aclose(self) -> None: ...


class Carrier(Protocol):
    """Raises httpx.TransportError, and ConnectError, ConnectTimeout, PoolTimeout or ProxyError where nothing of the
    request has been sent."""

    async def send(self, request: Outgoing) -> Incoming: ...

    async def aclose(self) -> None: ...


class OverHttpx:
    """A transport of httpx as a carrier."""

    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        self._transport = transport

    async def send(self, request: Outgoing) -> Incoming:
        if flaw_of(request):
            raise httpx.LocalProtocolError("its path is not percent-encoded, or a header is not HTTP")
        target = request.target.encode("ascii")
        carried = httpx.Request(
            request.method,
            request.origin.copy_with(raw_path=target),
            headers=list(request.headers),
            stream=httpx.ByteStream(request.body),
            extensions={"timeout": request.seconds},
        )
        if carried.url.raw_path != target:  # another than the one that was signed
            raise httpx.LocalProtocolError("the path is not percent-encoded", request=carried)
        return _HttpxAnswer(await self._transport.handle_async_request(carried))

    async def aclose(self) -> None:
        await self._transport.aclose()


class _HttpxAnswer:
    def __init__(self, response: httpx.Response) -> None:
        self.status = response.status_code
        self.headers = response.headers.raw
        self._response = response
        self._pieces = self._read()

    async def read(self) -> bytes:
        return await anext(self._pieces, b"")

    async def _read(self) -> AsyncGenerator[bytes, None]:
        async for piece in cast(httpx.AsyncByteStream, self._response.stream):
            if piece:
                yield piece

    async def aclose(self) -> None:
        await self._pieces.aclose()
        await self._response.aclose()
