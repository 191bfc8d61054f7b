"""One slot over real sockets on loopback: answers of every shape, whole or not, and who has to wait for whom."""

from __future__ import annotations

import asyncio
import gc
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from reconciler.system.network_errors import causes_of
from reconciler.wechatpay import failures
from reconciler.wechatpay.transport import SlotTransport
from tests.wechatpay.test_transport import tls_of

pytestmark = pytest.mark.anyio

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
PATIENCE: dict[str, float | None] = {"connect": 5, "write": 5, "read": 5}
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@asynccontextmanager
async def serve(handler: Handler) -> AsyncIterator[httpx.URL]:
    """A server on loopback that leaves requests to ``handler``, and hangs up after it."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    async with server:
        yield httpx.URL(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")


@asynccontextmanager
async def slot() -> AsyncIterator[SlotTransport]:
    transport = SlotTransport(1, idle_seconds=60, direct=True)
    try:
        yield transport
    finally:
        await transport.aclose()


def request(origin: httpx.URL, body: bytes = b"", **changes: float) -> httpx.Request:
    """``changes`` are to how long it waits."""
    return httpx.Request(
        "POST",
        origin.copy_with(raw_path=b"/v3"),
        headers=[(b"Host", origin.netloc), (b"Content-Length", b"%d" % len(body))],
        stream=httpx.ByteStream(body),
        extensions={"timeout": {**PATIENCE, **changes}},
    )


async def ask(handler: Handler, body: bytes = b"", **changes: float) -> tuple[int, bytes, bool]:
    """Status and body of one answer, and whether the next request finds its connection still open."""
    opened = 0

    async def counted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal opened
        opened += 1
        await handler(reader, writer)

    async with serve(counted) as origin, slot() as one:
        answer = await one.handle_async_request(request(origin, body, **changes))
        content = await answer.aread()
        with suppress(httpx.TransportError):
            again = await one.handle_async_request(request(origin, read=0.05))
            await again.aclose()
        return answer.status_code, content, opened == 1


def says(*pieces: bytes, stay: bool = True) -> Handler:
    """Sends ``pieces``, each in a packet of its own; then stays until the client hangs up, or does so itself."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.002)
        if stay:
            await reader.read()

    return handler


# --- answers ----------------------------------------------------------------------------------------------------------

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

WHOLE: dict[str, tuple[Handler, tuple[int, bytes, bool]]] = {
    "with a length": (says(OK), (200, b"ok", True)),
    "byte by byte": (says(*(OK[at : at + 1] for at in range(len(OK)))), (200, b"ok", True)),
    "in chunks": (says(CHUNKED, b"2\r\nab\r\n", b"1\r", b"\nc\r\n0\r\n\r\n"), (200, b"abc", True)),
    "until the end": (says(b"HTTP/1.1 200 OK\r\n\r\na", b"b", stay=False), (200, b"ab", False)),
    "of HTTP/1.0": (says(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"), (200, b"ok", False)),
    "the last one": (
        says(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\na"),
        (200, b"a", False),
    ),
    "without a body": (says(b"HTTP/1.1 204 No Content\r\n\r\n"), (204, b"", True)),
    "of no length": (says(b"HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n"), (500, b"", True)),
    "after a promise": (says(b"HTTP/1.1 100 Continue\r\n\r\n", OK), (200, b"ok", True)),
    "with the promise in one packet": (says(b"HTTP/1.1 103 X\r\nLink: a\r\n\r\n" + OK), (200, b"ok", True)),
}


@pytest.mark.parametrize("shape", WHOLE)
async def test_answers_are_read_to_their_end_and_no_further(shape: str) -> None:
    handler, expected = WHOLE[shape]
    assert await ask(handler) == expected


BROKEN: dict[str, bytes] = {
    "nothing": b"",
    "half a head": b"HTTP/1.1 200 OK\r\nContent-Le",
    "another protocol": b"SSH-2.0-OpenSSH\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "a length that is none": b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nab",
    "half a body": OK[:-1],
    "half a chunk": CHUNKED + b"5\r\nabc",
    "chunks without an end": CHUNKED + b"3\r\nabc\r\n",
    "a chunk that is none": CHUNKED + b"x\r\nabc\r\n",
    "another protocol by agreement": b"HTTP/1.1 101 X\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    "a head without end": b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 30_000,
}


@pytest.mark.parametrize("shape", BROKEN)
async def test_what_is_no_whole_answer_is_an_error(shape: str) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        await ask(says(BROKEN[shape], stay=False))


async def test_names_of_headers_keep_their_case_both_ways() -> None:
    seen = b""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal seen
        seen = await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nWechatpay-Nonce: n\r\nRequest-ID: r\r\nContent-Length: 0\r\n\r\n")

    async with serve(handler) as origin, slot() as one:
        asked = request(origin)
        asked.headers = httpx.Headers([(b"Host", b"x"), (b"Wechatpay-Serial", b"S")])
        answer = await one.handle_async_request(asked)
        await answer.aclose()
    assert seen == b"POST /v3 HTTP/1.1\r\nHost: x\r\nWechatpay-Serial: S\r\n\r\n"
    assert answer.headers.raw[:2] == [(b"Wechatpay-Nonce", b"n"), (b"Request-ID", b"r")]


@pytest.mark.parametrize("smuggled", [b"a\r\nB: c", b"a\nb", b"a\0"])
async def test_a_header_that_would_become_two_is_not_sent(smuggled: bytes) -> None:
    received = b""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal received
        received = await reader.read()

    async with serve(handler) as origin, slot() as one:
        asked = request(origin)
        asked.headers = httpx.Headers([(b"Host", b"x"), (b"A", smuggled)])
        with pytest.raises(httpx.LocalProtocolError):
            await one.handle_async_request(asked)
    assert received == b""


# --- again, or not ----------------------------------------------------------------------------------------------------


async def test_what_comes_unasked_between_two_requests_is_nobodys_answer() -> None:
    more = asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        await more.wait()
        writer.write(OK.replace(b"ok", b"no"))
        await reader.read()

    async with serve(handler) as origin, slot() as one:
        for _ in range(2):
            answer = await one.handle_async_request(request(origin))
            assert await answer.aread() == b"ok"
            more.set()
            await asyncio.sleep(0.01)


async def test_hanging_up_is_noticed_before_the_event_loop_tells_of_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        origin = httpx.URL(f"http://127.0.0.1:{listening.getsockname()[1]}")
        async with slot() as one:
            for _ in range(3):
                asking = asyncio.create_task(one.handle_async_request(request(origin)))
                await asyncio.sleep(0.01)
                accepted, _ = listening.accept()
                with accepted:
                    accepted.sendall(OK)
                    assert await (await asking).aread() == b"ok"


async def test_a_reset_is_told_with_its_cause() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        now = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, now)

    with pytest.raises(httpx.ReadError) as caught:
        await ask(handler)
    assert any(isinstance(cause, ConnectionResetError) for cause in causes_of(caught.value))


async def test_whoever_waits_for_an_answer_is_told_when_the_connection_is_closed() -> None:
    async with serve(says()) as origin, slot() as one:
        waiting = asyncio.create_task(one.handle_async_request(request(origin)))
        await asyncio.sleep(0.01)
        await one.aclose()
        with pytest.raises(httpx.ReadError):
            await waiting


async def test_damage_within_tls_is_an_error_of_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which httpx lets through as Python's own."""
    server_tls, authority = tls_of(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))

    def answer_with_garbage(listening: socket.socket) -> None:
        plain, _ = listening.accept()
        with plain.dup() as beneath, server_tls.wrap_socket(plain, server_side=True) as secure:
            secure.recv(1000)
            beneath.sendall(b"\x17\x03\x03\x00\x20" + bytes(32))
            beneath.recv(1000)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        serving = asyncio.create_task(asyncio.to_thread(answer_with_garbage, listening))
        async with slot() as one:
            with pytest.raises(httpx.ReadError) as caught:
                await one.handle_async_request(request(httpx.URL(f"https://127.0.0.1:{listening.getsockname()[1]}")))
        await serving
    assert "TLS failed (DECRYPTION_FAILED" in told(caught.value)


# --- large things, and slow ones --------------------------------------------------------------------------------------

LARGE = bytes(range(256)) * 20_000


async def test_a_large_body_goes_out_whole() -> None:
    received = b""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal received
        await reader.readuntil(b"\r\n\r\n")
        received = await reader.readexactly(len(LARGE))
        writer.write(OK)

    assert (await ask(handler, body=LARGE))[:2] == (200, b"ok")
    assert received == LARGE


async def test_a_large_answer_waits_until_somebody_reads_it() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (len(LARGE) * 4)
    sent = asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.set_write_buffer_limits(0)
        writer.write(head + LARGE * 4)
        await writer.drain()
        sent.set()
        await reader.read()

    async with serve(handler) as origin, slot() as one:
        answer = await one.handle_async_request(request(origin))
        await asyncio.sleep(0.1)
        assert not sent.is_set()
        assert await answer.aread() == LARGE * 4
    assert sent.is_set()


async def test_a_server_that_does_not_read_times_out() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(5)

    with pytest.raises(httpx.WriteTimeout):
        await ask(handler, body=LARGE * 4, write=0.05)


async def test_a_server_that_hangs_up_while_we_send_is_an_error_of_reading() -> None:
    """As with httpx: what it may have said before is worth more than that the rest was not wanted."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")

    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        await ask(handler, body=LARGE * 4)


# --- how it is opened -------------------------------------------------------------------------------------------------


async def test_a_handshake_that_does_not_come_is_a_connection_that_was_not_made() -> None:
    async with serve(says()) as plain, slot() as one:
        with pytest.raises(httpx.ConnectTimeout):
            await one.handle_async_request(request(plain.copy_with(scheme="https"), connect=0.05))


async def test_a_connection_that_is_given_up_while_it_is_made_leaves_no_socket_open() -> None:
    """An open one would be told of as a ResourceWarning, which is an error in tests."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pass

    given_up = 0
    async with serve(handler) as origin:
        for hundredths in range(300):  # of a millisecond: some end before, some while, some after it is made
            async with slot() as one:
                with pytest.raises(httpx.TransportError) as caught:
                    await one.handle_async_request(request(origin, connect=hundredths % 100 / 100_000))
                given_up += isinstance(caught.value, httpx.ConnectTimeout)
    gc.collect()
    assert given_up > 0


async def test_a_request_that_is_cancelled_while_its_connection_is_made_leaves_no_socket_open() -> None:
    async with serve(says(OK)) as origin, slot() as one:
        for rounds in range(60):
            asking = asyncio.create_task(one.handle_async_request(request(origin)))
            for _ in range(rounds % 20):
                await asyncio.sleep(0)
            asking.cancel()
            with suppress(asyncio.CancelledError):
                await (await asking).aclose()
        assert await (await one.handle_async_request(request(origin))).aread() == b"ok"
    gc.collect()


async def test_a_server_without_tls_is_a_connection_that_was_not_made() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 X\r\n\r\n")

    async with serve(handler) as plain, slot() as one:
        with pytest.raises(httpx.ConnectError):
            await one.handle_async_request(request(plain.copy_with(scheme="https")))


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """Names and their addresses, in order; others are resolved as ever."""
    known: dict[str, list[str]] = {}
    ever = socket.getaddrinfo

    def resolve(host: str | bytes, port: int, *more: Any, **named: Any) -> list[Any]:
        name = host.decode() if isinstance(host, bytes) else host
        if name not in known:
            return list(ever(host, port, *more, **named))
        kind = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
        return [(*kind, (address, port)) for address in known[name]]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return known


def told(error: httpx.TransportError) -> str:
    """As users read it."""
    return failures.transport_error(error, method="GET", path="/", host="pay.test", timeout_seconds=5).message


async def test_the_next_address_is_tried_when_the_first_refuses(names: dict[str, list[str]]) -> None:
    names["pay.test"] = ["127.0.0.2", "127.0.0.1"]
    async with serve(says(OK)) as there, slot() as one:
        answer = await one.handle_async_request(request(there.copy_with(host="pay.test")))
        assert answer.status_code == 200
        await answer.aclose()


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["127.0.0.2", "127.0.0.1"]])
async def test_when_all_addresses_refuse_that_is_what_is_told(
    addresses: list[str], names: dict[str, list[str]]
) -> None:
    names["pay.test"] = addresses
    with socket.socket() as taken:
        taken.bind(("", 0))  # bound, but not listening
        origin = httpx.URL(f"http://pay.test:{taken.getsockname()[1]}")
        async with slot() as one:
            with pytest.raises(httpx.ConnectError) as caught:
                await one.handle_async_request(request(origin))
    assert told(caught.value) == "pay.test refused the connection."


@pytest.mark.parametrize("host", ["a..b.invalid", f"{'a' * 64}.invalid"])
async def test_a_name_that_nobody_can_have_is_not_resolved(host: str) -> None:
    async with slot() as one:
        with pytest.raises(httpx.ConnectError) as caught:
            await one.handle_async_request(request(httpx.URL(f"http://{host}")))
    assert told(caught.value) == "the name pay.test could not be resolved."
