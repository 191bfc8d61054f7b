"""Slots over real sockets on loopback: what the server sees, and what becomes of each connection."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from reconciler.model.errors import UsageError
from reconciler.wechatpay.transport import SlotTransport

pytestmark = pytest.mark.anyio

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@dataclass
class Server:
    """Remembers each request as (number of its connection, target, head), and does what the last word of its path says.

    ``/held`` waits for ``let_go``; ``/body`` sends half a body, then waits for it; ``/drop`` hangs up without an
    answer, and ``/half`` in the middle of one; ``/last`` answers and hangs up, saying so. The rest is answered.
    """

    origin: str = ""
    seen: list[tuple[int, str, str]] = field(default_factory=list)
    opened: int = 0
    now_open: dict[int, asyncio.StreamWriter] = field(default_factory=dict)
    let_go: asyncio.Event = field(default_factory=asyncio.Event)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def targets(self) -> list[str]:
        return [target for _, target, _ in self.seen]

    @property
    def connections(self) -> list[int]:
        return [connection for connection, _, _ in self.seen]

    async def until_seen(self, count: int) -> None:
        async with self.changed:
            await self.changed.wait_for(lambda: len(self.seen) >= count)

    async def until_open(self, count: int) -> None:
        async with self.changed:
            await self.changed.wait_for(lambda: len(self.now_open) == count)

    async def hang_up(self) -> None:
        for writer in list(self.now_open.values()):
            writer.close()
        await self.until_open(0)

    async def _tell(self) -> None:
        async with self.changed:
            self.changed.notify_all()

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.opened += 1
        number = self.opened
        self.now_open[number] = writer
        await self._tell()
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while await self._answer(number, reader, writer):
                await writer.drain()
        writer.close()
        del self.now_open[number]
        await self._tell()

    async def _answer(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        target = head.split(" ")[1]
        self.seen.append((number, target, head))
        await self._tell()
        match target.rpartition("/")[2]:
            case "held":
                await self.let_go.wait()
                writer.write(OK)
            case "body":
                writer.write(OK[:-1])
                await self.let_go.wait()
                writer.write(OK[-1:])
            case "drop":
                return False
            case "half":
                writer.write(OK[:-1])
                return False
            case "last":
                writer.write(OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
                return False
            case _:
                writer.write(OK)
        return True


@asynccontextmanager
async def serving(**options: Any) -> AsyncIterator[Server]:
    server = Server()
    listening = await asyncio.start_server(server.connected, "127.0.0.1", 0, **options)
    scheme = "https" if options else "http"
    server.origin = f"{scheme}://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    async with listening:
        yield server
        server.let_go.set()
        await server.hang_up()


@asynccontextmanager
async def client(limit: int, **options: Any) -> AsyncIterator[httpx.AsyncClient]:
    given: dict[str, Any] = {"idle_seconds": 60, "direct": True, **options}
    async with httpx.AsyncClient(transport=SlotTransport(limit, **given), timeout=None) as http:
        yield http


async def cancelled(task: asyncio.Task[Any]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


# --- which connection a request takes ---------------------------------------------------------------------------------


async def test_requests_one_after_the_other_share_a_connection() -> None:
    async with serving() as server, client(8) as http:
        for _ in range(5):
            assert (await http.get(server.origin)).text == "ok"
    assert server.connections == [1, 1, 1, 1, 1]


async def test_requests_at_once_use_as_many_connections_as_they_may_and_no_more() -> None:
    async with serving() as server, client(3) as http:
        requests = [asyncio.create_task(http.get(f"{server.origin}/held")) for _ in range(20)]
        await server.until_seen(3)
        assert server.opened == 3
        server.let_go.set()
        assert {(await each).status_code for each in requests} == {200}
    assert server.opened == 3
    assert len(server.seen) == 20


async def test_no_connection_is_opened_before_it_is_needed() -> None:
    async with serving() as server, client(50) as http:
        assert server.opened == 0
        await http.get(server.origin)
        assert server.opened == 1


async def test_who_waits_first_is_served_first() -> None:
    async with serving() as server, client(1) as http:
        server.let_go.set()
        await asyncio.gather(*(http.get(f"{server.origin}/{number}/held") for number in range(6)))
    assert server.targets == [f"/{number}/held" for number in range(6)]


async def test_the_connection_used_last_is_used_next() -> None:
    async with serving() as server, client(3) as http:
        server.let_go.set()
        await asyncio.gather(*(http.get(f"{server.origin}/held") for _ in range(3)))
        for _ in range(4):
            await http.get(server.origin)
    assert len(set(server.connections[:3])) == 3
    assert len(set(server.connections[3:])) == 1


async def test_a_slot_moves_to_another_host_when_asked_to() -> None:
    async with serving() as main, serving() as backup, client(1) as http:
        for server in (main, backup, backup, main):
            await http.get(server.origin)
        assert main.connections == [1, 2]
        assert backup.connections == [1, 1]
        await backup.until_open(0)


async def test_what_is_sent_and_received_arrives_unchanged() -> None:
    async with serving() as server, client(1) as http:
        response = await http.get(f"{server.origin}/a%20b?c=d%2F")
        _, target, head = server.seen[0]
    assert target == "/a%20b?c=d%2F"
    assert head.splitlines()[1] == f"Host: {server.origin.removeprefix('http://')}"
    assert (response.status_code, response.headers["Content-Length"], response.text) == (200, "2", "ok")
    assert response.http_version == "HTTP/1.1"


# --- when idle connections end ----------------------------------------------------------------------------------------


async def test_a_connection_that_was_idle_too_long_is_closed_and_not_written_to() -> None:
    async with serving() as server, client(1, idle_seconds=0.2) as http:
        for _ in range(2):
            await http.get(server.origin)
        await asyncio.sleep(0.3)
        await http.get(server.origin)
        await server.until_open(1)
    assert server.connections == [1, 1, 2]


@pytest.mark.parametrize("times", [1, 3])
async def test_a_connection_that_the_server_closed_meanwhile_is_not_written_to(times: int) -> None:
    async with serving() as server, client(1) as http:
        for _ in range(times):
            await http.get(server.origin)
            await server.hang_up()
            await asyncio.sleep(0.01)  # the news must cross the loopback
        assert (await http.post(server.origin, content=b"")).text == "ok"
    assert server.connections == list(range(1, times + 2))


async def test_an_answer_that_is_said_to_be_the_last_is_the_last_on_its_connection() -> None:
    async with serving() as server, client(1) as http:
        assert (await http.get(f"{server.origin}/last")).text == "ok"
        assert (await http.get(server.origin)).text == "ok"
    assert server.connections == [1, 2]


# --- what goes wrong on one connection --------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["/drop", "/half"])
async def test_a_broken_connection_is_replaced(target: str) -> None:
    async with serving() as server, client(1) as http:
        for _ in range(3):
            with pytest.raises(httpx.RemoteProtocolError) as caught:
                await http.get(server.origin + target)
            assert str(caught.value.request.url) == server.origin + target
        assert (await http.get(server.origin)).text == "ok"
    assert server.connections == [1, 2, 3, 4]


async def test_a_broken_connection_leaves_the_others_alone() -> None:
    async with serving() as server, client(2) as http:
        held = asyncio.create_task(http.get(f"{server.origin}/held"))
        await server.until_seen(1)
        with pytest.raises(httpx.RemoteProtocolError):
            await http.get(f"{server.origin}/drop")
        server.let_go.set()
        assert (await held).text == "ok"


async def test_a_refused_connection_is_told_as_httpx_tells_it_and_costs_no_slot() -> None:
    async with serving() as server, client(1) as http:
        for _ in range(3):
            with pytest.raises(httpx.ConnectError) as caught:
                await http.get("http://127.0.0.1:1")
            assert caught.value.__cause__ is not None
        assert (await http.get(server.origin)).text == "ok"


@pytest.mark.parametrize("target", ["/held", "/body"])
async def test_a_request_that_times_out_costs_no_slot(target: str) -> None:
    async with serving() as server, client(1) as http:
        with pytest.raises(httpx.ReadTimeout):
            await http.get(server.origin + target, timeout=httpx.Timeout(5, read=0.02))
        assert (await http.get(server.origin)).text == "ok"
    assert server.connections == [1, 2]


@pytest.mark.parametrize("target", ["/held", "/body"])
async def test_a_cancelled_request_gives_its_slot_back_and_its_connection_up(target: str) -> None:
    async with serving() as server, client(1) as http:
        for number in range(1, 4):
            request = asyncio.create_task(http.get(server.origin + target))
            await server.until_seen(number)
            await asyncio.sleep(0.01)  # for the half of the body that is sent
            await cancelled(request)
        assert (await http.get(server.origin)).text == "ok"
    assert server.connections == [1, 2, 3, 4]


async def test_a_request_that_is_cancelled_again_while_it_gives_up_costs_no_slot() -> None:
    async with serving() as server, client(1) as http:
        request = asyncio.create_task(http.get(f"{server.origin}/held"))
        await server.until_seen(1)
        request.cancel()
        await asyncio.sleep(0)
        await cancelled(request)
        assert (await http.get(server.origin)).text == "ok"


@pytest.mark.parametrize("rounds", range(1, 16))
async def test_a_request_that_is_cancelled_while_its_slot_moves_to_another_host_costs_no_slot(
    rounds: int,
) -> None:
    """A pool of httpx may wait forever for its only connection then."""
    async with serving() as main, serving() as backup, client(1) as http:
        await http.get(main.origin)
        moving = asyncio.create_task(http.get(backup.origin))
        for _ in range(rounds):  # of the event loop
            await asyncio.sleep(0)
        moving.cancel()
        with suppress(asyncio.CancelledError):
            await moving
        async with asyncio.timeout(5):
            assert (await http.get(backup.origin)).text == "ok"


async def test_a_request_that_is_cancelled_while_it_waits_takes_nobodys_turn() -> None:
    async with serving() as server, client(1) as http:
        held, given_up, patient = (asyncio.create_task(http.get(f"{server.origin}/held")) for _ in range(3))
        await server.until_seen(1)
        await cancelled(given_up)
        server.let_go.set()
        assert (await held).text == (await patient).text == "ok"
    assert server.connections == [1, 1]


# --- how long an answer keeps its slot --------------------------------------------------------------------------------


async def test_an_answer_keeps_its_slot_until_it_is_closed() -> None:
    async with serving() as server, client(1) as http:
        async with http.stream("GET", server.origin) as response:
            waiting = asyncio.create_task(http.get(server.origin))
            await response.aread()
            # Read to its end it is closed, and only then is the next request sent.
            assert response.is_closed
        await waiting
        async with http.stream("GET", server.origin):
            waiting = asyncio.create_task(http.get(server.origin))
            await asyncio.sleep(0.01)
            assert len(server.seen) == 3
        await waiting
    assert len(server.seen) == 4


async def test_a_connection_with_an_answer_that_nobody_read_is_not_used_again() -> None:
    async with serving() as server, client(1) as http:
        async with http.stream("GET", f"{server.origin}/body"):
            pass
        assert (await http.get(server.origin)).text == "ok"
    assert server.connections == [1, 2]


async def test_closing_an_answer_twice_gives_its_slot_back_once() -> None:
    async with serving() as server:
        slots = SlotTransport(1, idle_seconds=60, direct=True)
        response = await slots.handle_async_request(httpx.Request("GET", server.origin))
        assert isinstance(response.stream, httpx.AsyncByteStream)
        await response.stream.aclose()
        await response.stream.aclose()
        requests = [asyncio.create_task(_get(slots, f"{server.origin}/held")) for _ in range(2)]
        await server.until_seen(2)
        await asyncio.sleep(0.01)
        assert len(server.seen) == 2
        server.let_go.set()
        assert await asyncio.gather(*requests) == [b"ok", b"ok"]
        await slots.aclose()


async def _get(slots: SlotTransport, url: str) -> bytes:
    response = await slots.handle_async_request(httpx.Request("GET", url))
    try:
        return await response.aread()
    finally:
        await response.aclose()


# --- the end ----------------------------------------------------------------------------------------------------------


async def test_closing_closes_every_connection_also_those_in_use() -> None:
    async with serving() as server:
        async with client(3) as http:
            server.let_go.set()
            await asyncio.gather(*(http.get(f"{server.origin}/held") for _ in range(3)))
            server.let_go.clear()
            held = asyncio.create_task(http.get(f"{server.origin}/held"))
            await server.until_seen(4)
            assert len(server.now_open) == 3
        with pytest.raises(httpx.ReadError):
            await held
        server.let_go.set()
        await server.until_open(0)


async def test_an_answer_that_ends_after_closing_does_not_keep_its_connection() -> None:
    async with serving() as server:
        slots = SlotTransport(1, idle_seconds=60, direct=True)
        response = await slots.handle_async_request(httpx.Request("GET", server.origin))
        await slots.aclose()
        with suppress(httpx.ReadError):
            await response.aread()
        await response.aclose()
        await server.until_open(0)


async def test_a_connection_that_is_being_opened_while_the_others_close_does_not_stay() -> None:
    async with serving() as server:
        slots = SlotTransport(1, idle_seconds=60, direct=True)
        request = asyncio.create_task(_get(slots, server.origin))
        await asyncio.sleep(0)
        await slots.aclose()
        with pytest.raises(httpx.ReadError, match="on this side"):
            await request
        await server.until_open(0)
    assert server.opened == 1


async def test_nothing_is_sent_after_closing() -> None:
    async with serving() as server:
        slots = SlotTransport(1, idle_seconds=60, direct=True)
        await slots.aclose()
        for _ in range(2):
            with pytest.raises(RuntimeError, match="after its transport was closed"):
                await _get(slots, server.origin)
    assert server.opened == 0


# --- TLS and proxies --------------------------------------------------------------------------------------------------


async def test_tls_is_verified_with_the_certificates_that_the_environment_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, authority = tls_of(tmp_path)
    async with serving(ssl=context) as server:
        async with client(2, direct=False) as http:
            with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                await http.get(server.origin)
        monkeypatch.setenv("SSL_CERT_FILE", str(authority))
        async with client(2, direct=False) as http:
            server.let_go.set()
            answers = await asyncio.gather(*(http.get(f"{server.origin}/held") for _ in range(4)))
    assert [answer.text for answer in answers] == ["ok"] * 4
    assert len(set(server.connections)) == 2


def tls_of(directory: Path) -> tuple[ssl.SSLContext, Path]:
    """A server's context, and the file of the certificate that clients must trust."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tests")])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(datetime.now(UTC) - timedelta(hours=1))
        .not_valid_after(datetime.now(UTC) + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, SHA256())
    )
    certificate_file, key_file = directory / "certificate.pem", directory / "key.pem"
    certificate_file.write_bytes(certificate.public_bytes(Encoding.PEM))
    key_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate_file, key_file)
    return context, certificate_file


async def test_a_proxy_of_the_environment_is_used_with_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving() as proxy, client(1, direct=False) as http:
        monkeypatch.setenv("HTTP_PROXY", proxy.origin.replace("://", "://user:pass@"))
        for _ in range(2):
            assert (await http.get("http://pay.invalid/v3")).text == "ok"
    assert proxy.targets == ["http://pay.invalid/v3"] * 2
    assert proxy.connections == [1, 1]
    assert "Proxy-Authorization: Basic dXNlcjpwYXNz" in proxy.seen[0][2]


async def test_a_proxy_for_all_schemes_needs_no_scheme_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving() as proxy, client(1, direct=False) as http:
        monkeypatch.setenv("ALL_PROXY", proxy.origin.removeprefix("http://"))
        assert (await http.get("http://pay.invalid/")).text == "ok"


async def test_hosts_that_need_no_proxy_are_asked_directly(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving() as proxy, serving() as server, client(1, direct=False) as http:
        monkeypatch.setenv("HTTP_PROXY", proxy.origin)
        monkeypatch.setenv("NO_PROXY", "localhost,127.0.0.1")
        await http.get(f"{server.origin}/x")
        await http.get("http://pay.invalid/x")
    assert server.targets == ["/x"]
    assert proxy.targets == ["http://pay.invalid/x"]


async def test_the_environment_is_left_alone_when_it_is_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    async with serving() as server, client(1, direct=True) as http:
        assert (await http.get(server.origin)).text == "ok"


@pytest.mark.parametrize("proxy", ["ftp://127.0.0.1:1", "socks5://127.0.0.1:1", "http://127.0.0.1:port"])
async def test_a_proxy_that_cannot_be_used_is_an_error_that_names_its_variable(
    proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving() as server, client(1, direct=False) as http:
        monkeypatch.setenv("HTTP_PROXY", proxy)
        for _ in range(2):
            with pytest.raises(UsageError, match="HTTP_PROXY "):
                await http.get(server.origin)
