"""Real sockets on loopback, with somebody at the other end who is not WeChat Pay, or has a wrong certificate.

Through the client, whoever carries its requests: what is told, how often it is tried, and that it ends in time.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from reconciler.model.errors import ApiError, GitHubError, PaygiftError, TransportError, UnverifiedError, UsageError
from reconciler.notify.post import Message, post
from reconciler.review.github import GitHub, WorkflowRun
from reconciler.system.trust import tls_context
from reconciler.wechatpay.api import PayGiftApi, image_upload
from reconciler.wechatpay.client import Client
from reconciler.wechatpay.retry import Retry, may_repeat
from tests.wechatpay.test_keys import public_key_credentials

pytestmark = pytest.mark.anyio
TRIES: Final = Retry().tries
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@dataclass
class Server:
    origin: str = ""
    opened: int = 0
    asked: list[bytes] = field(default_factory=list)


@asynccontextmanager
async def serving(
    handler: Handler, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
) -> AsyncIterator[Server]:
    server = Server()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.opened += 1
        try:
            server.asked.append(await reader.readuntil(b"\r\n\r\n"))
            await handler(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    listening = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
    async with listening:
        scheme = "http" if tls is None else "https"
        server.origin = f"{scheme}://{host}:{listening.sockets[0].getsockname()[1]}"
        yield server


def says(*pieces: bytes) -> Handler:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()

    return handler


async def failure(origin: str, method: str = "GET", **options: Any) -> PaygiftError:
    async with Client(public_key_credentials(), base_url=origin, **options) as client:
        with pytest.raises(PaygiftError) as caught:
            await client.request(method, "/v3/x")
    return caught.value


# --- certificates -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Issued:
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)


def issued(
    name: str,
    host: str = "127.0.0.1",
    *,
    by: Issued | None = None,
    days: tuple[float, float] = (-1, 1),
    ca: bool = False,
) -> Issued:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    issuer = subject if by is None else by.certificate.subject
    alternative: x509.GeneralName
    try:
        alternative = x509.IPAddress(ip_address(host))
    except ValueError:
        alternative = x509.DNSName(host)
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now + timedelta(days=days[0]))
        .not_valid_after(now + timedelta(days=days[1]))
        .add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .sign(key if by is None else by.key, SHA256())
    )
    return Issued(key, certificate)


@cache
def authority() -> Issued:
    return issued("the network's own authority", ca=True)


def server_context(folder: Path, one: Issued, *chain: Issued) -> ssl.SSLContext:
    file = folder / "server.pem"
    key = one.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.write_bytes(key + one.pem + b"".join(each.pem for each in chain))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


def trusted(folder: Path, one: Issued, monkeypatch: pytest.MonkeyPatch) -> None:
    file = folder / "trusted.pem"
    file.write_bytes(one.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))


CERTIFICATES: Final[dict[str, tuple[Callable[[], tuple[Issued, ...]], bool, str, str]]] = {
    "self-signed": (
        lambda: (issued("self", ca=True),),
        False,
        "its certificate is self-signed",
        "let SSL_CERT_FILE name a PEM file",
    ),
    "of an unknown issuer": (
        lambda: (issued("leaf", by=authority()),),
        False,
        "the issuer of its certificate is not trusted",
        "If this network inspects TLS",
    ),
    "with its unknown issuer": (
        lambda: (issued("leaf", by=authority()), authority()),
        False,
        "the issuer of its certificate is not trusted",
        "If this network inspects TLS",
    ),
    "expired": (
        lambda: (issued("leaf", by=authority(), days=(-9, -2)),),
        True,
        "its certificate has expired",
        "Check this machine's clock first",
    ),
    "not valid yet": (
        lambda: (issued("leaf", by=authority(), days=(2, 9)),),
        True,
        "its certificate is not valid yet",
        "Check this machine's clock first",
    ),
    "for another name": (
        lambda: (issued("leaf", "pay.example", by=authority()),),
        True,
        "its certificate is for another host name",
        "Check PAYGIFT_BASE_URL",
    ),
    "for another address": (
        lambda: (issued("leaf", "127.0.0.2", by=authority()),),
        True,
        "its certificate is for another host name",
        "Check PAYGIFT_BASE_URL",
    ),
}


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("kind", CERTIFICATES)
async def test_a_certificate_that_is_wrong_is_named_once_with_its_remedy(
    kind: str, method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, is_trusted, told, remedy = CERTIFICATES[kind]
    if is_trusted:
        trusted(tmp_path, authority(), monkeypatch)
    handshakes: list[int] = []
    context = server_context(tmp_path, *make())
    context.sni_callback = lambda *_: handshakes.append(1)
    async with serving(says(), context) as server:
        error = await failure(server.origin, method)
        host = server.origin.removeprefix("https://")
    assert isinstance(error, TransportError)
    assert error.message == f"no trustworthy TLS connection to {host} could be made: {told}."
    assert remedy in error.remedy
    assert (error.sent, error.lasting, error.tries) == (False, True, 1)
    assert server.asked == []
    assert len(handshakes) == 1


async def test_a_server_without_tls_is_named_and_not_asked_again() -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 X\r\n\r\n")
        writer.close()

    listening = await asyncio.start_server(plain, "127.0.0.1", 0)
    async with listening:
        error = await failure(f"https://127.0.0.1:{listening.sockets[0].getsockname()[1]}")
    assert isinstance(error, TransportError)
    assert "TLS failed (" in error.message
    assert "WRONG_VERSION_NUMBER" in error.message or "RECORD_LAYER_FAILURE" in error.message
    assert (error.sent, error.lasting, error.tries) == (False, True, 1)


async def test_a_handshake_that_is_broken_off_may_come_about_the_next_time() -> None:
    opened = 0

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal opened
        opened += 1
        await reader.read(1)
        writer.close()

    listening = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    async with listening:
        error = await failure(f"https://127.0.0.1:{listening.sockets[0].getsockname()[1]}")
    assert isinstance(error, TransportError)
    assert (error.sent, error.lasting, error.tries) == (False, False, TRIES)
    assert opened == TRIES


async def test_the_backup_host_is_asked_where_the_main_one_has_a_wrong_certificate(tmp_path: Path) -> None:
    """And since it may be well again in a moment, so are both."""
    context = server_context(tmp_path, issued("self", ca=True))
    async with serving(says(), context) as main:
        error = await failure(main.origin, backup_url="http://127.0.0.1:9")
    assert isinstance(error, TransportError)
    assert "self-signed" in error.message
    assert "127.0.0.1:9 refused the connection" in error.message
    assert (error.lasting, error.tries) == (False, TRIES)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_ssl_cert_file_counts_on_this_machine_too(
    host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trusted(tmp_path, authority(), monkeypatch)
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")  # which still is not used here
    context = server_context(tmp_path, issued("leaf", host, by=authority()))
    async with serving(says(b"HTTP/1.1 403 X\r\nContent-Length: 0\r\n\r\n"), context, host) as server:
        error = await failure(server.origin)
    assert isinstance(error, ApiError)
    assert error.status == 403


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "names no file that can be read"),
        (b"no PEM", "names a file that holds no certificate in PEM form"),
    ],
)
async def test_an_ssl_cert_file_that_cannot_be_used_is_named(
    content: bytes | None, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "authorities.pem"
    if content is not None:
        file.write_bytes(content)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    error = await failure("https://127.0.0.1:9")
    assert isinstance(error, UsageError)
    assert error.message == f"SSL_CERT_FILE {told}."


@pytest.mark.parametrize("folder", ["", "a folder that is not there", "an empty folder"])
async def test_an_ssl_cert_dir_that_cannot_be_used_is_named(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "an empty folder").mkdir()
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / folder / "" if folder else f":{tmp_path}/nope:"))
    error = await failure("https://127.0.0.1:9")
    assert isinstance(error, UsageError)
    assert error.message == "SSL_CERT_DIR names no folder with certificates that can be read."


@pytest.mark.parametrize("in_store", [True, False])
async def test_the_authorities_of_this_machine_are_trusted(
    in_store: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenSSL is told by the same variables where the machine's store is; those that we read ourselves are not set."""
    trusted(tmp_path, authority() if in_store else issued("another", ca=True), monkeypatch)
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "none"))
    monkeypatch.setattr("reconciler.system.route.tls_context", lambda _: tls_context({}))
    context = server_context(tmp_path, issued("leaf", by=authority()))
    async with serving(says(b"HTTP/1.1 403 X\r\nContent-Length: 0\r\n\r\n"), context) as server:
        error = await failure(server.origin)
    assert isinstance(error, ApiError if in_store else TransportError)


@pytest.mark.parametrize("is_trusted", [True, False])
async def test_github_and_robots_are_verified_as_wechat_pay_is(
    is_trusted: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trusted(tmp_path, authority() if is_trusted else issued("another", ca=True), monkeypatch)
    context = server_context(tmp_path, issued("leaf", by=authority()))

    def ask(origin: str) -> tuple[list[str], str]:
        failures = post([Message("webhook", "ROBOT_URL", f"{origin}/x", {})])
        environ = {"GITHUB_TOKEN": "x", "GITHUB_REPOSITORY": "a/b", "GITHUB_API_URL": origin}
        try:
            with GitHub(WorkflowRun.from_environment(environ)) as github:
                github.get("pulls/7")
        except GitHubError as error:
            return failures, str(error)
        return failures, ""

    async with serving(says(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"), context) as server:
        told_robot, told_github = await asyncio.to_thread(ask, server.origin)
    if is_trusted:
        assert (told_robot, told_github) == ([], "")
    else:
        assert "SSL_CERT_FILE" in told_robot[0]
        assert "SSL_CERT_FILE" in told_github


def test_what_lasts_is_not_repeated() -> None:
    for write in (False, True):
        assert not may_repeat(TransportError("untrusted", sent=False, lasting=True), write=write)
        assert may_repeat(TransportError("refused", sent=False), write=write)


# --- answers that are none --------------------------------------------------------------------------------------------

NO_HTTP: Final[dict[str, tuple[bytes, str]]] = {
    "unequal lengths": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        ": its Content-Length headers contradict each other",
    ),
    "a length in words": (
        b"HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\n{}",
        ": its Content-Length is not a number of bytes",
    ),
    "20,000 headers": (b"HTTP/1.1 200 OK\r\n" + b"X-Y: z\r\n" * 20_000 + b"\r\n", ": its head is too long"),
    "HTTP/0.9 of several paragraphs": (
        b"<html>\n\nwelcome</html>\n",
        ": it does not begin with a status line",
    ),
    "another protocol": (b"220 smtp ready\r\n\r\n", ": it does not begin with a status line"),
    "a header without a colon": (
        b"HTTP/1.1 200 OK\r\nnonsense\r\n\r\n",
        ": one of its header lines is malformed",
    ),
    "two transfer encodings": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: x, chunked\r\n\r\n", ""),
}


@pytest.mark.parametrize("kind", NO_HTTP)
async def test_who_did_answer_is_not_said_to_have_broken_off(kind: str) -> None:
    answer, told = NO_HTTP[kind]
    async with serving(says(answer)) as server:
        error = await failure(server.origin, "POST")
        host = server.origin.removeprefix("http://")
    assert isinstance(error, TransportError)
    assert error.message == f"{host} answered, but not in valid HTTP/1.1{told}."
    assert "check PAYGIFT_BASE_URL and proxies" in error.remedy
    assert (error.sent, error.tries) == (True, 1)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Type: appl",  # which httpx does not tell from nothing
        b"<html>welcome</html>\n",
    ],
)
async def test_who_did_not_answer_is_said_to_have_broken_off(answer: bytes) -> None:
    async with serving(says(answer)) as server:
        error = await failure(server.origin, "POST")
    assert "was broken off before any answer came" in str(error)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"3\r\nabc\r\nx\r\nabc\r\n", "the answer is not valid HTTP/1.1 after 3 bytes."),
        (b"3\r\nabc\r\n5\r\nab", "the answer broke off after 5 bytes."),
    ],
)
async def test_within_an_answer_damage_is_no_breaking_off(body: bytes, told: str) -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with serving(says(head + body)) as server:
        error = await failure(server.origin, "POST")
    assert isinstance(error, TransportError)
    assert error.message == told


@pytest.mark.parametrize("status", [300, 304, 305, 399])
async def test_what_is_no_redirect_is_not_called_one(status: int) -> None:
    async with serving(says(b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % status)) as server:
        error = await failure(server.origin, "POST")
    assert isinstance(error, UnverifiedError)
    assert f"HTTP {status} is neither a success nor an error" in error.message
    assert "redirect" not in str(error)
    assert "cache" in error.remedy


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_what_is_a_redirect_is_called_one(status: int) -> None:
    async with serving(says(b"HTTP/1.1 %d X\r\nContent-Length: 0\r\nLocation: /\r\n\r\n" % status)) as server:
        error = await failure(server.origin)
    assert isinstance(error, UnverifiedError)
    assert f"redirect (HTTP {status}), which is never followed" in error.message
    assert len(server.asked) == 1


# --- answers that do not end ------------------------------------------------------------------------------------------


def endless(head: bytes, piece: bytes) -> Handler:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while True:
            writer.write(piece * 500)
            await writer.drain()

    return handler


@contextmanager
def bounded(*, cpu_seconds: float, seconds: float) -> Iterator[None]:
    cpu, began = time.process_time(), time.monotonic()
    yield
    assert time.process_time() - cpu < cpu_seconds
    assert time.monotonic() - began < seconds


CHUNKED: Final = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


async def test_an_answer_in_single_bytes_is_given_up_soon_and_costs_little() -> None:
    async with serving(endless(CHUNKED, b"1\r\nx\r\n")) as server:
        with bounded(cpu_seconds=5, seconds=10):
            error = await failure(server.origin, "POST")
    assert "the answer comes in more than 20000 pieces; reading it was stopped" in str(error)


@pytest.mark.parametrize(
    "promise", [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"]
)
async def test_promises_without_end_are_given_up_in_time(promise: bytes) -> None:
    async with serving(endless(b"", promise)) as server:
        with bounded(cpu_seconds=5, seconds=5):
            error = await failure(server.origin, "POST", timeout_seconds=0.2)
    assert isinstance(error, TransportError)
    assert "did not answer within 0.6 s" in error.message
    assert error.sent


async def test_a_few_promises_are_kept() -> None:
    promises = b"HTTP/1.1 102 Processing\r\n\r\n" * 10
    async with serving(says(promises, b"HTTP/1.1 403 X\r\nContent-Length: 0\r\n\r\n")) as server:
        error = await failure(server.origin, "POST")
    assert isinstance(error, ApiError)


async def test_a_promise_now_and_then_does_not_prolong_the_time_there_is() -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            await writer.drain()
            await asyncio.sleep(0.05)

    async with serving(drip) as server:
        with bounded(cpu_seconds=5, seconds=3):
            error = await failure(server.origin, "POST", timeout_seconds=0.2)
    assert isinstance(error, TransportError)


# --- uploads that nobody wants ----------------------------------------------------------------------------------------

IMAGE: Final = image_upload("large.png", b"\x89PNG\r\n\x1a\n" + bytes(8_000_000))
REFUSALS: Final[dict[int, bytes]] = {
    status: b"HTTP/1.1 %d X\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig" % status for status in (403, 413)
}


class Afterwards(Enum):
    """What a server does that has refused an upload when it had seen its head."""

    READS_ON = "reads on, and drops it"
    HANGS_UP = "hangs up"
    STAYS = "stays, and reads no more"


@contextmanager
def early(answer: bytes, afterwards: Afterwards, *, delay: float) -> Iterator[str]:
    """A server that answers when it has seen the head, and needs no body."""
    over = threading.Event()

    def serve(listening: socket.socket) -> None:
        accepted, _ = listening.accept()
        with accepted:
            accepted.recv(500)
            time.sleep(delay)
            accepted.sendall(answer)
            if afterwards is Afterwards.STAYS:
                over.wait(5)
            while afterwards is Afterwards.READS_ON and accepted.recv(1_000_000):
                pass

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, args=(listening,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            over.set()
            thread.join()


async def refused_upload(origin: str) -> ApiError | TransportError:
    async with Client(public_key_credentials(), base_url=origin, timeout_seconds=0.5) as client:
        try:
            await PayGiftApi(client).upload_image(IMAGE)
        except (ApiError, TransportError) as error:
            return error
    raise AssertionError("it was not refused")


@pytest.mark.parametrize("delay", [0.0, 0.03])
@pytest.mark.parametrize("status", REFUSALS)
async def test_the_refusal_of_an_upload_is_seen_although_its_body_was_not_needed(status: int, delay: float) -> None:
    with early(REFUSALS[status], Afterwards.READS_ON, delay=delay) as origin:
        error = await refused_upload(origin)
    assert isinstance(error, ApiError)
    assert (error.status, error.verified, error.tries) == (status, False, 1)


@pytest.mark.parametrize("delay", [0.0, 0.03])
@pytest.mark.parametrize("afterwards", [Afterwards.HANGS_UP, Afterwards.STAYS])
async def test_an_upload_that_nobody_reads_may_have_arrived_and_is_not_repeated(
    afterwards: Afterwards, delay: float
) -> None:
    """httpx reads no answer before all has left, unless writing fails in time."""
    with early(REFUSALS[413], afterwards, delay=delay) as origin, bounded(cpu_seconds=5, seconds=5):
        error = await refused_upload(origin)
    assert error.tries == 1
    if isinstance(error, TransportError):
        assert error.sent
    else:
        assert error.status == 413
