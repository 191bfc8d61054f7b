"""Nothing secret is told: all that is printed, logged at debug level, shown by repr or raised is searched for it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import stamina

from reconciler.cli import run
from reconciler.commands.settings import remote_from
from reconciler.commands.workspace import SANDBOX_FOLDER
from reconciler.model.errors import CredentialsError, PaygiftError, RemoteError
from reconciler.wechatpay import signing, wire
from reconciler.wechatpay.api import PayGiftApi, image_upload
from reconciler.wechatpay.client import Client
from reconciler.wechatpay.transport import SlotTransport
from reconciler.wechatpay.wire import AddMerchantsRequest, DeleteMerchantsRequest
from tests.support import signed
from tests.support.images import png
from tests.support.project import SPEC
from tests.wechatpay.test_api import ACTIVITY, CREATE
from tests.wechatpay.test_client import Remote, Spoil, changed, error_body, raw, serve
from tests.wechatpay.test_keys import (
    APIV3_KEY,
    MCHID,
    NOW,
    SERIAL_NO,
    credentials,
    pem_of,
    public_key_credentials,
    rsa_key,
    sealed_certificate,
)
from tests.wechatpay.test_wire import REAL_ELEMENT

LOGGERS = ("httpx", "httpcore", "asyncio", "stamina", "reconciler", "h11", "uvicorn")


class Ear(logging.Handler):
    """Keeps every record as it is formatted, and with everything that hangs on it."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.heard: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.heard.append(f"{self.format(record)} {vars(record)!r}")


@dataclass
class Told:
    """All that was told so far, and the secrets that must not be in it."""

    capfd: pytest.CaptureFixture[str]
    ear: Ear
    texts: list[str] = field(default_factory=list)
    secrets: set[str] = field(default_factory=set)

    def add(self, *things: object) -> None:
        self.texts += [repr(thing) for thing in things]

    def error(self, error: BaseException | None) -> None:
        """The error, what is attached to it, and its causes, as a report of a crash would show them."""
        while error is not None:
            self.texts += traceback.format_exception(error)
            self.add(error, str(error), error.args, vars(error), getattr(error, "__notes__", ()))
            if isinstance(error, httpx.RequestError):
                self.add(error.request.headers.raw)
            error = error.__cause__ or error.__context__

    def keep_secret(self, request: httpx.Request, answer: httpx.Response) -> None:
        authorization = request.headers["Authorization"]
        self.secrets |= {authorization, signing.Authorization.parse(authorization).signature}
        self.secrets.add(answer.headers.get("Wechatpay-Signature", ""))

    def everything(self) -> str:
        out, err = self.capfd.readouterr()
        self.texts += [out, err]
        return "\n".join(self.texts + self.ear.heard)


@pytest.fixture
def told(capfd: pytest.CaptureFixture[str]) -> Iterator[Told]:
    loggers = [logging.getLogger(), *map(logging.getLogger, LOGGERS)]
    levels = [logger.level for logger in loggers]
    ear = Ear()
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
    logging.getLogger().addHandler(ear)
    pem = [*pem_of(rsa_key("merchant")).decode().splitlines(), *signed.keys().merchant_key_pem.splitlines()]
    lines = {line for line in pem if not line.startswith("-----")}
    yield Told(capfd, ear, secrets={*lines, APIV3_KEY.decode(), signed.keys().apiv3_key})
    logging.getLogger().removeHandler(ear)
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


def assert_nothing_secret(told: Told, text: str) -> None:
    found = [secret for secret in told.secrets - {""} if secret in text]
    assert found == []
    assert "BEGIN PRIVATE KEY" not in text
    assert "BEGIN RSA PRIVATE KEY" not in text
    assert set(re.findall(r'signature=\\*"[^"\\]{9}', text, re.IGNORECASE)) == set()
    assert f"{signing.SCHEME} mchid" not in text


@asynccontextmanager
async def over_http(remote: Remote, told: Told) -> AsyncIterator[str]:
    """``remote`` behind a socket, since that is where httpcore logs; or as a proxy. One request per connection."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(ConnectionError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("ascii")
            line, *rest = head.strip().split("\r\n")
            method, target, _ = line.split(" ")
            headers = httpx.Headers(dict(header.split(": ", 1) for header in rest))
            body = await reader.readexactly(int(headers.get("Content-Length", "0")))
            target = httpx.URL(target).raw_path.decode("ascii")  # a proxy is asked for whole URLs
            request = httpx.Request(method, f"http://127.0.0.1{target}", headers=headers, content=body)
            answer = await remote(request)
            told.keep_secret(request, answer)
            status = f"HTTP/1.1 {answer.status_code} X\r\nConnection: close\r\n".encode()
            fields = b"".join(b"%b: %b\r\n" % header for header in answer.headers.raw)
            writer.write(status + fields + b"\r\n" + answer.content)
            await writer.drain()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


ANSWERS = {
    f"GET {wire.ACTIVITIES_PATH}": (200, b'{"data":[],"total_count":0}'),
    f"GET {ACTIVITY}/merchants": (200, b'{"total_count":0}'),
    f"POST {wire.CREATE_PATH}": (
        200,
        b'{"activity_id":"20406354","create_time":"2026-01-01T00:00:00+08:00"}',
    ),
    f"POST {ACTIVITY}/terminate": (429, error_body("FREQUENCY_LIMITED", "频率超限")),
    f"POST {ACTIVITY}/merchants/add": (500, error_body("SYSTEM_ERROR", "系统异常")),
    f"POST {ACTIVITY}/merchants/delete": (200, b"[]"),
}

OPERATIONS: list[Callable[[PayGiftApi], Awaitable[object]]] = [
    lambda api: api.certificates(),
    lambda api: api.detail("20406354"),
    lambda api: api.detail("1"),
    lambda api: api.merchant_ids("20406354"),
    lambda api: api.create(CREATE),
    lambda api: api.terminate("20406354"),
    lambda api: api.add_merchants(
        "20406354", AddMerchantsRequest(merchant_id_list=["1900000001"], add_request_no="a1")
    ),
    lambda api: api.delete_merchants(
        "20406354", DeleteMerchantsRequest(merchant_id_list=["1900000001"], delete_request_no="d1")
    ),
    lambda api: api.upload_image(image_upload("logo.png", png())),
]


def echo(answer: httpx.Response) -> httpx.Response:
    """What a debugging proxy would answer: the request's own header, in the error's text."""
    header = signing.authorize(
        rsa_key("merchant"),
        mchid=MCHID,
        serial_no=SERIAL_NO,
        method="GET",
        target="/v3/x",
        timestamp=str(NOW),
        nonce="N",
        body=b"",
    )
    said = header.partition(" ")[2]
    return changed(error_body("BAD_GATEWAY", said, detail={"seen": [said]}), status=502)(answer)


SPOILS: dict[str, Spoil] = {
    "nothing": lambda answer: answer,
    "no signature": changed(Wechatpay_Signature=None),
    "another body": changed(b"{}"),
    "a probe": changed(Wechatpay_Signature=f"{signing.PROBE_PREFIX}AAAA"),
    "another nonce": changed(Wechatpay_Nonce="x"),
    "an old answer": changed(Wechatpay_Timestamp=str(NOW - 999)),
    "an unknown key": changed(Wechatpay_Serial="F00"),
    "a redirect": changed(status=302, Location="/elsewhere"),
    "HTML": changed(b"<html>", status=502, Content_Type="text/html"),
    "an echo": echo,
}


async def use(told: Told, base_url: str, **options: Any) -> None:
    given = {"credentials": credentials(), "wall_clock": lambda: NOW, **options}
    async with Client(given.pop("credentials"), base_url=base_url, **given) as client:
        for operation in OPERATIONS:
            try:
                told.add(await operation(PayGiftApi(client)))
            except PaygiftError as error:
                told.error(error)
        for part in (client, client._exchanger, client._keys):
            told.add(part, vars(part), *vars(part).values())


@pytest.mark.parametrize("way", ["directly", "through a proxy"])
@pytest.mark.parametrize("spoil", SPOILS)
def test_nothing_secret_is_told_whatever_comes_back(
    told: Told, spoil: str, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = Remote(answers={**ANSWERS, f"GET {ACTIVITY}": (200, signed_json(REAL_ELEMENT))})
    remote.spoil = SPOILS[spoil]
    if spoil == "nothing":
        remote.certificates.append(sealed_certificate("next", 0xDEF))

    async def main() -> None:
        async with over_http(remote, told) as base_url:
            if way == "directly":
                await use(told, base_url)
                return
            monkeypatch.setenv("HTTP_PROXY", base_url)
            monkeypatch.setenv("NO_PROXY", "")
            await use(told, "http://127.0.0.1:1", transport=SlotTransport(8, idle_seconds=3))

    with stamina.set_testing(True, attempts=2):
        asyncio.run(main(), debug=spoil == "nothing")
    text = told.everything()
    assert_nothing_secret(told, text)
    assert len(told.secrets) > 40
    # The test can fail: these are the lines in which httpcore tells the headers of answers.
    assert "receive_response_headers.complete" in text
    if spoil != "no signature":
        assert "b'Wechatpay-Signature', b'[secure]')" in text


def signed_json(value: object) -> bytes:
    return wire.ActivityItem.model_validate(value).model_dump_json(exclude_none=True).encode()


SOCKETS = {
    "silence": raw(b""),
    "half a head": raw(b"HTTP/1.1 200 OK\r\nWechatpay-Sig"),
    "half a body": raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{123"),
    "another protocol": raw(b"SSH-2.0-OpenSSH\r\n\r\n"),
    "no end": raw(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{", stall=True),
}


@pytest.mark.parametrize("socket", SOCKETS)
def test_nothing_secret_is_told_when_the_connection_fails(told: Told, socket: str) -> None:
    seen: list[bytes] = []

    async def main() -> None:
        async with serve(SOCKETS[socket], seen) as base_url:
            await use(told, base_url, credentials=public_key_credentials(), timeout_seconds=0.1)
        await use(told, base_url, credentials=public_key_credentials())  # nobody listens there any more

    with stamina.set_testing(True, attempts=2):
        asyncio.run(main(), debug=socket == "silence")
    told.secrets |= {found.decode() for head in seen for found in re.findall(rb'signature="([^"]+)', head)}
    assert len(seen) >= len(OPERATIONS) - 1
    assert_nothing_secret(told, told.everything())


def test_what_others_log_of_httpcore_stays_as_it_is(told: Told) -> None:
    Client(credentials())
    line = "receive_response_headers.complete return_value=(b'HTTP/1.1', 200, b'OK', [(b'Date', b'now'), %s])"
    for name, value, shown in (
        ("Wechatpay-Signature", "b'AA+/='", "b'[secure]'"),
        ("WECHATPAY-SIGNATURE", '''b"it's odd"''', "b'[secure]'"),
        ("Authorization", "b'WECHATPAY2 signature=\"A\"'", "b'[secure]'"),
        ("Wechatpay-Nonce", "b'593BEC'", "b'593BEC'"),
    ):
        logging.getLogger("httpcore.http11").debug(line, f"(b'{name}', {value})")
        assert told.ear.heard[-1].startswith(line % f"(b'{name}', {shown})")
    assert len(logging.getLogger("httpcore.http11").filters) == 1


# --- credentials ------------------------------------------------------------------------------------------------------


def test_credentials_that_are_wrong_are_not_quoted(told: Told) -> None:
    right = {
        "PAYGIFT_MCHID": MCHID,
        "PAYGIFT_SERIAL_NO": SERIAL_NO,
        "PAYGIFT_PRIVATE_KEY": pem_of(rsa_key("merchant")).decode(),
        "PAYGIFT_APIV3_KEY": APIV3_KEY.decode(),
    }
    pem, apiv3_key = right["PAYGIFT_PRIVATE_KEY"], right["PAYGIFT_APIV3_KEY"]
    told.add(remote_from(right))
    wrong = [
        ("PAYGIFT_MCHID", apiv3_key),
        ("PAYGIFT_MCHID", pem),
        ("PAYGIFT_SERIAL_NO", f"{apiv3_key}!"),
        ("PAYGIFT_SERIAL_NO", pem),
        ("PAYGIFT_APIV3_KEY", pem),
        ("PAYGIFT_PRIVATE_KEY", pem[:-100]),
        ("PAYGIFT_PRIVATE_KEY", pem.replace("PRIVATE KEY", "CERTIFICATE")),
        ("PAYGIFT_PRIVATE_KEY", pem.replace("BEGIN PRIVATE", "BEGIN RSA PRIVATE")),
        ("PAYGIFT_PRIVATE_KEY", pem.splitlines()[1]),
        ("PAYGIFT_PRIVATE_KEY", apiv3_key),
    ]
    for name, value in wrong:
        with pytest.raises(CredentialsError) as caught:
            remote_from({**right, name: value})
        told.error(caught.value)
    both = {**right, "PAYGIFT_PUBLIC_KEY_ID": apiv3_key, "PAYGIFT_PUBLIC_KEY": pem}
    with pytest.raises(CredentialsError) as caught:
        remote_from(both)
    told.error(caught.value)
    assert_nothing_secret(told, told.everything())


# --- commands ---------------------------------------------------------------------------------------------------------


def test_commands_tell_nothing_secret(told: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PAYGIFT_RATE", "PAYGIFT_CONCURRENCY"):
        monkeypatch.delenv(name, raising=False)
    told.secrets.add("693a91f6-7xxx-4bc4-97a0")
    monkeypatch.setenv("ROBOT_URL", "http://127.0.0.1:9/send?key=693a91f6-7xxx-4bc4-97a0")  # nobody listens there
    notify = "notify: [{kind: wecom, url_from: ROBOT_URL}]"
    (tmp_path / "paygift.yaml").write_text(f"namespace: liangpin\n{notify}\n")
    for folder in ("activities", "images", SANDBOX_FOLDER):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "images/logo.png").write_bytes(png())
    (tmp_path / "activities/spring.yaml").write_text(SPEC, encoding="utf-8")
    signed.keys().write(tmp_path / SANDBOX_FOLDER / "keys")

    def paygift(*arguments: str) -> int:
        return run(["-C", str(tmp_path), *arguments])

    assert paygift("sandbox", "clock", "2026-11-25T10:00:00+08:00") == 0
    assert paygift("--sandbox", "plan", "--json") == 0
    assert paygift("--sandbox", "apply", "--yes", "--json") == 0
    assert paygift("--sandbox", "status", "--json") == 0
    assert paygift("--sandbox", "show", "spring", "--json") == 0
    assert paygift("sandbox", "log") == 0
    text = told.everything()
    assert "liangpin_spring" in text
    assert "a notice failed: ROBOT_URL (wecom): it cannot be reached: the connection was refused." in text
    assert_nothing_secret(told, text)


def test_an_error_of_the_remote_is_a_sentence_without_its_request() -> None:
    """``RemoteError`` names method, path and Request-ID, and counts tries; there is no room for more."""
    error = RemoteError("x", method="GET", path="/v3/x", request_id="08F")
    assert set(vars(error)) == {"message", "remedy", "method", "path", "request_id", "tries"}
