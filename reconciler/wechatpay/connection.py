"""One HTTP/1.1 connection straight over asyncio, with h11 for every word of the protocol.

For ``lanes``, which sees to it that a connection serves one request at a time. What httpcore does besides for each
request, so that it can be used in other ways too, costs several times as much as the sending and receiving:
``docs/decisions/lanes.md`` has the numbers. Requests, answers, errors and time limits are httpx's.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import select
import socket
import ssl
import sys
from collections.abc import Sequence
from typing import Any, Final, NamedTuple, cast

import h11
import httpx

from reconciler.wechatpay.carrier import Outgoing

_LONGEST_HEAD: Final = 100 * 1024
_MOST_UNREAD: Final = 256 * 1024
"""Bytes received and not yet asked for, after which the other side has to wait."""
_MOST_PROMISES: Final = 20
"""Answers 1xx, after which the answer itself is no longer waited for."""
_NEXT_ADDRESS_SECONDS: Final = 0.25
"""For how long the first address of a name is tried alone (RFC 8305)."""
_LAST_PORT: Final = 0xFFFF
_ALL_ERRORS: Final[dict[str, Any]] = {"all_errors": True} if sys.version_info >= (3, 12) else {}
_ERRNO: Final = re.compile(r"\[Errno (\d+)\]")


class Head(NamedTuple):
    """What comes before the body of an answer; names of headers as they were received."""

    status: int
    headers: Sequence[tuple[bytes, bytes]]


class Connection:
    """To ``origin``, opened by its first request. ``tls`` is used as it is, for https and for nothing else.

    Raises ConnectError and ConnectTimeout before anything of a request was sent, and other TransportErrors of httpx
    later. After an error the connection is of no use any more; ``aclose`` must follow.
    """

    def __init__(self, origin: httpx.URL, tls: ssl.SSLContext | None) -> None:
        self._origin = origin
        self._tls = tls
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=_LONGEST_HEAD)
        self._wire: _Wire | None = None
        self._read_seconds: float | None = None

    async def send(self, request: Outgoing) -> Head:
        """Returns when the head of the answer has come, which may be before all of a large request has left."""
        data = self._spell(request)
        wire = self._wire
        if wire is None:
            wire = self._wire = await _open(self._origin, self._tls, request.seconds.get("connect"))
        wire.write(data)
        await wire.drain(request.seconds.get("write"))
        self._read_seconds = request.seconds.get("read")
        for _ in range(_MOST_PROMISES):
            if isinstance(event := await self._next_event(wire), h11.Response):
                return Head(event.status_code, event.headers.raw_items())
        raise httpx.RemoteProtocolError("too many informational responses")

    async def read(self) -> bytes:
        """The next piece of the body; nothing at its end."""
        while self._wire is not None and self._http.their_state is h11.SEND_BODY:
            event = await self._next_event(self._wire)
            if isinstance(event, h11.Data) and event.data:
                return bytes(event.data)
        return b""

    async def end(self) -> bool:
        """The answer is no longer needed. Says whether another request may be sent: both sides have said all that
        belonged to this one, and the other side not a byte more."""
        if self._wire is None or not self._wire.is_clean or self._http.trailing_data != (b"", False):
            return False
        if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
            return False
        self._http.start_next_cycle()
        return True

    def is_quiet(self) -> bool:
        """Whether the other side has neither hung up nor said anything unasked since the last answer."""
        return self._wire is not None and not self._wire.is_spent and not self._wire.is_readable()

    async def aclose(self) -> None:
        if self._wire is not None:
            self._wire.close()
            await asyncio.sleep(0)  # the socket closes in the next round of the event loop

    def _spell(self, request: Outgoing) -> bytes:
        """The whole request as bytes, in one piece: one packet, where it fits."""
        try:
            head = h11.Request(method=request.method, target=request.target, headers=list(request.headers))
            parts = [self._http.send(head)]
            if request.body:
                parts.append(self._http.send(h11.Data(data=request.body)))
            parts.append(self._http.send(h11.EndOfMessage()))
        except (h11.LocalProtocolError, UnicodeEncodeError) as error:
            raise httpx.LocalProtocolError("the request cannot be written as HTTP") from error
        return b"".join(part for part in parts if part)

    async def _next_event(self, wire: _Wire) -> h11.Event | type[h11.PAUSED]:
        try:
            while (event := self._http.next_event()) is h11.NEED_DATA:
                data = await wire.read(self._read_seconds)
                if not data and self._http.their_state is h11.SEND_RESPONSE:
                    begun = bool(self._http.trailing_data[0])
                    raise httpx.RemoteProtocolError(
                        "ended within the head"
                        if begun
                        else "Server disconnected without sending a response."
                    )
                self._http.receive_data(data)
        except h11.RemoteProtocolError as error:
            raise httpx.RemoteProtocolError(str(error)) from error
        return cast(h11.Event | type[h11.PAUSED], event)


async def _open(origin: httpx.URL, tls: ssl.SSLContext | None, seconds: float | None) -> _Wire:
    """A socket to the first address that accepts, its TLS handshake included."""
    port = origin.port or (443 if tls else 80)
    if port > _LAST_PORT:
        raise httpx.ConnectError(f"there is no port {port}")
    host = origin.raw_host.decode("ascii")
    try:
        async with asyncio.timeout(seconds):
            _, wire = await asyncio.get_running_loop().create_connection(
                _Wire,
                host,
                port,
                ssl=tls,
                # asyncio's race leaves its socket open if it is called off while it is being won. One needs no race.
                happy_eyeballs_delay=None if _is_address(host) else _NEXT_ADDRESS_SECONDS,
                **_ALL_ERRORS,
            )
    except TimeoutError as error:
        raise httpx.ConnectTimeout(str(error)) from error
    except OSError as error:
        raise httpx.ConnectError(str(error)) from _numbered(error)
    except UnicodeError as error:  # a label of the name is empty or too long
        raise httpx.ConnectError(str(error)) from socket.gaierror(socket.EAI_NONAME, str(error))
    except ExceptionGroup as group:  # of several addresses, each with its own
        raise httpx.ConnectError("; ".join(map(str, group.exceptions))) from group
    return wire


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _numbered(error: OSError) -> OSError:
    """Before Python 3.12 the failures of several addresses are one error that knows their numbers by its text only."""
    numbers = set(_ERRNO.findall(str(error)))
    return OSError(int(numbers.pop()), str(error)) if error.errno is None and len(numbers) == 1 else error


class _Wire(asyncio.Protocol):
    """Bytes there and back, and when they stop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._unread = bytearray()
        self._ended = False
        self._error: Exception | None = None
        self._reading: asyncio.Future[None] | None = None
        self._paused = False
        self._writing: asyncio.Future[None] | None = None
        self._transport: asyncio.Transport

    # --- told by the event loop --------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._poll = _Poll(self._transport.get_extra_info("socket").fileno())

    def data_received(self, data: bytes) -> None:
        self._unread += data
        if len(self._unread) > _MOST_UNREAD:
            self._transport.pause_reading()
        _wake(self._reading)
        _wake(self._writing)

    def eof_received(self) -> None:
        self._ended = True
        _wake(self._reading)
        _wake(self._writing)

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended = True
        self._error = self._error or exc
        _wake(self._reading)
        _wake(self._writing)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        _wake(self._writing)

    # --- asked by the connection -------------------------------------------------------------------------------------

    @property
    def is_spent(self) -> bool:
        """Whether it has ended, or holds what nobody asked for."""
        return self._ended or bool(self._unread)

    @property
    def is_clean(self) -> bool:
        """Whether all that was written has left, and nothing came that nobody asked for."""
        return not self.is_spent and self._transport.get_write_buffer_size() == 0

    def is_readable(self) -> bool:
        """Whether there is news that the event loop has not brought yet."""
        return self._poll()

    def write(self, data: bytes) -> None:
        if not self._ended:
            self._transport.write(data)

    async def drain(self, seconds: float | None) -> None:
        """Wait until nearly all that was written has left, or the other side says something. If it never will, there
        may still be an answer to read."""
        if not self._paused or self.is_spent:
            return
        self._writing = self._loop.create_future()
        try:
            async with asyncio.timeout(seconds):
                await self._writing
        except TimeoutError as error:
            raise httpx.WriteTimeout(str(error)) from error
        finally:
            self._writing = None

    async def read(self, seconds: float | None) -> bytes:
        """What has come, at least a byte; nothing at the end."""
        if not self._unread and not self._ended:
            await self._wait(seconds)
        if self._unread:
            data = bytes(self._unread)
            self._unread.clear()
            if not self._ended:
                self._transport.resume_reading()
            return data
        if self._error is not None:
            raise httpx.ReadError(str(self._error)) from self._error
        return b""

    async def _wait(self, seconds: float | None) -> None:
        self._reading = self._loop.create_future()
        try:
            async with asyncio.timeout(seconds):
                await self._reading
        except TimeoutError as error:
            raise httpx.ReadTimeout(str(error)) from error
        finally:
            self._reading = None

    def close(self) -> None:
        """At once. Whoever is reading is told that it was our side."""
        self._error = self._error or ConnectionAbortedError("the connection was closed on this side")
        self._ended = True
        self._transport.abort()
        _wake(self._reading)
        _wake(self._writing)


def _wake(waiting: asyncio.Future[None] | None) -> None:
    if waiting is not None and not waiting.done():
        waiting.set_result(None)


class _Poll:
    """Asks the system whether a socket can be read, without waiting."""

    def __init__(self, fileno: int) -> None:
        self._fileno = fileno
        self._poll = None
        if hasattr(select, "poll"):  # not on Windows
            self._poll = select.poll()
            self._poll.register(fileno, select.POLLIN)

    def __call__(self) -> bool:
        if self._poll is None:
            return bool(select.select([self._fileno], [], [], 0)[0])
        return bool(self._poll.poll(0))
