"""What goes wrong is put down to what made it so: the proxy, the gateway, the answer that nobody signed, the key."""

from __future__ import annotations

import http.server
import json
import os
import re
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import Any, Final, NamedTuple

import httpx
import pytest

from reconciler.commands.settings import remote_from
from reconciler.doctor.machine import judge_apiv3_key, judge_certificate, judge_public_key
from reconciler.model.checkup import CheckStatus
from reconciler.model.errors import ApiError, CredentialsError, TransportError
from reconciler.wechatpay import failures, signing
from reconciler.wechatpay.arrival import Sent, change_on_the_way
from reconciler.wechatpay.client import Client
from reconciler.wechatpay.error_answers import api_error
from reconciler.wechatpay.keys import load_certificate
from tests.support.project import Project
from tests.support.signed import keys, merchant_key
from tests.wechatpay.test_keys import (
    APIV3_KEY,
    MCHID,
    PUBLIC_KEY_ID,
    SERIAL_NO,
    TODAY,
    certificate_pem,
    credentials,
    pem_of,
    public_key_credentials,
    public_pem_of,
    rsa_key,
)

pytestmark = pytest.mark.anyio
DEAD: Final = "127.0.0.1:9"
SECRET: Final = "hunter-2-hunter"
API: Final = "api.mch.weixin.qq.com"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def variables(base_url: str = "") -> dict[str, str]:
    """Those of the sandbox's merchant."""
    return {
        "PAYGIFT_BASE_URL": base_url,
        "PAYGIFT_MCHID": keys().mchid,
        "PAYGIFT_SERIAL_NO": keys().serial_no,
        "PAYGIFT_PRIVATE_KEY": keys().merchant_key_pem,
        "PAYGIFT_APIV3_KEY": keys().apiv3_key,
    }


@pytest.fixture
def set_variables(monkeypatch: pytest.MonkeyPatch) -> Callable[[Mapping[str, str]], None]:
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)

    def set_them(environ: Mapping[str, str]) -> None:
        for name, value in environ.items():
            monkeypatch.setenv(name, value)

    return set_them


Set = Callable[[Mapping[str, str]], None]


# --- proxies ----------------------------------------------------------------------------------------------------------


@contextmanager
def saying(answer: bytes) -> Iterator[str]:
    """Host and port of something that says ``answer`` to whoever connects, after a request, and hangs up."""

    class Door(StreamRequestHandler):
        def handle(self) -> None:
            with suppress(OSError):
                self.request.recv(65_536)
                self.wfile.write(answer)

    with ThreadingTCPServer(("127.0.0.1", 0), Door) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def refusing(status: int) -> bytes:
    """With words that might repeat an address."""
    return f"HTTP/1.1 {status} {SECRET}\r\nContent-Length: 0\r\nX-Reason: {SECRET}\r\n\r\n".encode()


ANSWERS: Final = {
    "407": (refusing(407), "refused to connect: HTTP 407. It asks for a user name and a password"),
    "403": (refusing(403), f"HTTP 403. Have the proxy's operator allow connections to {API}"),
    "502": (refusing(502), "HTTP 502. The proxy cannot reach"),
    "503": (refusing(503), "HTTP 503. The proxy cannot reach"),
    "404": (refusing(404), "HTTP 404. Check that HTTPS_PROXY names a proxy"),
    "405": (refusing(405), "HTTP 405. Check that HTTPS_PROXY names a proxy"),
    "302": (refusing(302), "HTTP 302. Check that HTTPS_PROXY names a proxy"),
    "599": (refusing(599), "HTTP 599. Check that HTTPS_PROXY names a proxy"),
    "no HTTP": (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "closed the connection instead of connecting to the host"),
    "hanging up": (b"", "closed the connection instead of connecting to the host"),
    "half a head": (b"HTTP/1.1 200 Conn", "closed the connection instead of connecting to the host"),
}  # fmt: skip


@pytest.mark.sampled(every=3)
@pytest.mark.parametrize("answer", ANSWERS)
def test_a_proxy_that_makes_no_connection_is_named(answer: str, project: Project, set_variables: Set) -> None:
    said, told = ANSWERS[answer]
    with saying(said) as host:
        set_variables({**variables(), "HTTPS_PROXY": f"http://user:{SECRET}@{host}"})
        for command in ("plan", "doctor"):
            assert_proxy_blamed(project.run(command), host, told)


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])
def test_a_dead_proxy_is_named_with_its_variable(variable: str, project: Project, set_variables: Set) -> None:
    set_variables({**variables(), variable: f"http://user:{SECRET}@{DEAD}"})
    for command in ("plan", "doctor", "status", "drift") if variable == "HTTPS_PROXY" else ("plan",):
        assert_proxy_blamed(project.run(command), DEAD, "refused the connection", variable)


def test_tls_with_a_proxy_that_speaks_none_is_named(project: Project, set_variables: Set) -> None:
    with saying(refusing(400)) as host:
        set_variables({**variables(), "HTTPS_PROXY": f"https://user:{SECRET}@{host}"})
        assert_proxy_blamed(project.run("plan"), host, "no trustworthy TLS connection to the proxy")
        assert "HTTPS_PROXY then begins with http://" in project.run("plan")[2]


def test_a_proxy_whose_name_is_unknown_is_named(
    project: Project, set_variables: Set, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, SECRET)

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    set_variables({**variables(), "HTTPS_PROXY": f"http://user:{SECRET}@proxy.invalid:3128"})
    assert_proxy_blamed(project.run("plan"), "proxy.invalid:3128", "could not be resolved")


def assert_proxy_blamed(ran: tuple[int, str, str], host: str, told: str, variable: str = "HTTPS_PROXY") -> None:
    code, out, err = ran
    said = out + err
    assert code == 1
    assert f"the proxy {host} ({variable})" in said
    assert told in said
    assert SECRET not in said
    assert "PAYGIFT_BASE_URL" not in said
    assert "Check the network" not in said
    assert "Traceback" not in said


def test_both_hosts_behind_one_dead_proxy_are_one_cause(project: Project, set_variables: Set) -> None:
    set_variables({**variables(), "HTTPS_PROXY": f"http://{DEAD}"})
    assert project.run("plan")[2].count(DEAD) == 1


async def test_what_a_proxy_has_kept_is_known_not_to_have_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """However it fails: a write behind it may be sent again."""
    for answer in (b"", refusing(407), b"no HTTP\r\n\r\n"):
        with saying(answer) as host:
            monkeypatch.setenv("HTTPS_PROXY", f"http://{host}")
            async with Client(public_key_credentials()) as client:
                with pytest.raises(TransportError) as caught:
                    await client.request("POST", "/v3/x", body=b"{}")
        assert not caught.value.sent
        assert caught.value.lasting == (b"407" in answer)


async def test_a_proxy_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host = f"127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setenv("HTTPS_PROXY", f"http://{host}")
        async with Client(public_key_credentials(), timeout_seconds=0.2) as client:
            with pytest.raises(TransportError, match=f"the proxy {host} .* within 0.2 s") as caught:
                await client.request("POST", "/v3/x", body=b"{}")
    assert not caught.value.sent


@pytest.mark.parametrize("answer", [b"", b"no TLS at all, and more of it"])
async def test_what_fails_behind_the_proxy_is_not_the_proxys(answer: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    with saying(b"HTTP/1.1 200 OK\r\n\r\n" + answer) as host:
        monkeypatch.setenv("HTTPS_PROXY", f"http://{host}")
        async with Client(public_key_credentials()) as client:
            with pytest.raises(TransportError) as caught:
                await client.request("GET", "/v3/x")
    assert API in caught.value.message
    assert host not in caught.value.message


# --- gateways ---------------------------------------------------------------------------------------------------------


class Passed(NamedTuple):
    """A request on its way."""

    method: str
    target: str
    body: bytes


@contextmanager
def gateway(
    behind: str,
    change: Callable[[Passed], Passed] = lambda passed: passed,
    answer: Callable[[Passed], tuple[int, bytes] | None] = lambda passed: None,
) -> Iterator[str]:
    """A base URL in front of the base URL ``behind``: what it changes arrives changed."""

    class Gateway(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            passed = change(Passed(self.command, self.path, body))
            if (own := answer(passed)) is not None:
                self._reply(own[0], {"Content-Type": "application/json"}, own[1])
                return
            headers = {name: value for name, value in self.headers.items() if name not in ("Host", "Content-Length")}
            with httpx.Client(trust_env=False) as http_client:
                got = http_client.request(passed.method, behind + passed.target, content=passed.body, headers=headers)
            dropped = {
                "content-length",
                "transfer-encoding",
                "connection",
                "content-encoding",
                "date",
                "server",
            }
            self._reply(got.status_code, {k: v for k, v in got.headers.items() if k not in dropped}, got.content)

        do_POST = do_GET  # noqa: N815 - the library's name

        def _reply(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Gateway) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


CHANGES: Final[Mapping[str, Callable[[Passed], Passed]]] = {
    "without its query": lambda one: one._replace(target=one.target.partition("?")[0]),
    "with another query": lambda one: one._replace(target=re.sub(r"offset=0", "offset=0&trace=1", one.target)),
    "with something before its path": lambda one: one._replace(target=f"/pay{one.target}"),
    "for another path": lambda one: one._replace(target=one.target.replace("/v3/", "/v2/")),
}


@pytest.mark.parametrize("how", CHANGES)
def test_a_gateway_that_changes_requests_is_blamed_and_not_the_key(
    how: str, project: Project, set_variables: Set
) -> None:
    with project.sandbox() as sandbox, gateway(sandbox.base_url, CHANGES[how]) as base_url:
        host = base_url.removeprefix("http://")
        set_variables(variables(base_url))
        for command in ("plan", "doctor"):
            code, out, err = project.run(command)
            assert f"arrived at WeChat Pay {how}, so something between here and {host} has changed it" in out + err
            assert "PAYGIFT_PRIVATE_KEY is the key" not in out + err
            assert code == 1  # and not that of credentials


def test_a_key_that_is_wrong_is_still_blamed(project: Project, set_variables: Set) -> None:
    with project.sandbox() as sandbox, gateway(sandbox.base_url) as base_url:
        set_variables({**variables(base_url), "PAYGIFT_PRIVATE_KEY": keys().wechatpay_key_pem})
        code, _, err = project.run("plan")
    assert code == 4
    assert "The request arrived as it was sent." in err
    assert "Check that PAYGIFT_PRIVATE_KEY is the key of the certificate" in err
    assert "WeChat Pay does not sign this refusal" in err


SENT: Final = Sent("POST", "/v3/a%2Fb?limit=2", "{“}".encode(), "host")


def information(**changes: object) -> dict[str, Any]:
    length = len(signing.request_message(SENT.method, SENT.target, "1" * 10, "n" * 32, SENT.body))
    seen = {"method": SENT.method, "url": SENT.target, "sign_message_length": length}
    return {"field": "signature", "sign_information": {**seen, **changes}}


@pytest.mark.parametrize(
    ("detail", "told"),
    [
        (information(), ""),
        (information(sign_message_length=information()["sign_information"]["sign_message_length"] - 2), ""),
        (information(sign_message_length=None), ""),
        (information(url=f"https://gateway.example{SENT.target}"), ""),
        (information(method="GET"), "with another method than POST"),
        (information(url="/v3/a%2Fb"), "without its query"),
        (information(url="/v3/a/b?limit=2"), "with its percent-encoding changed"),
        (information(url="/v3/a%2fb?limit=2"), "with its percent-encoding changed"),
        (information(url="/v3/a%2Fb?limit=20"), "with another query"),
        (information(url="/api/v3/a%2Fb?limit=2"), "with something before its path"),
        (information(url="/a%2Fb?limit=2"), "without the beginning of its path"),
        (information(url="/v3/a%2Fb/?limit=2"), "for another path"),
        (information(url=""), "for another path"),
        (information(sign_message_length=89), "with another body"),
        (information(url=7), None),
        (information(method=None), None),
        ({"sign_information": None}, None),
        ({"field": "signature"}, None),
        (None, None),
        ([SECRET], None),
    ],
)  # fmt: skip
def test_what_arrived_is_held_against_what_was_sent(detail: object, told: str | None) -> None:
    assert change_on_the_way(detail, SENT) == told


def test_a_query_that_nobody_sent_is_one() -> None:
    plain = Sent("GET", "/v3/x", b"", "host")
    assert change_on_the_way(information(method="GET", url="/v3/x?a=b"), plain) == "with a query that was not sent"


# --- answers that nobody has signed -----------------------------------------------------------------------------------

LIKE_WECHAT_PAY: Final = [
    (401, "UNAUTHORIZED"),
    (403, "NO_AUTH"),
    (403, "NOAUTH"),
    (403, "RULELIMIT"),
    (403, "SIGN_ERROR"),
    (404, "RESOURCE_NOT_EXISTS"),
    (404, "NOT_FOUND"),
    (429, "FREQUENCY_LIMITED"),
    (400, "PARAM_ERROR"),
    (500, "SYSTEM_ERROR"),
    (502, "SERVICE_UNAVAILABLE"),
    (503, "SOMETHING_NEW"),
    (418, "SOMETHING_NEW"),
]


@pytest.mark.sampled(every=3)
@pytest.mark.parametrize(("status", "code"), LIKE_WECHAT_PAY)
def test_an_unsigned_answer_may_be_anybodys(status: int, code: str, project: Project, set_variables: Set) -> None:
    def answer(passed: Passed) -> tuple[int, bytes] | None:
        if not passed.target.startswith("/v3/marketing"):
            return None
        return status, json.dumps({"code": code, "message": "拒绝"}).encode()

    with project.sandbox() as sandbox, gateway(sandbox.base_url, answer=answer) as base_url:
        set_variables(variables(base_url))
        exit_code, out, err = project.run("plan")
        checked, told, _ = project.run("doctor")
    assert (exit_code, checked) == (1, 1)
    assert f"HTTP {status} {code}: 拒绝" in out + err
    assert "Something in between may have given this answer, which WeChat Pay has not signed" in out + err
    assert "check PAYGIFT_BASE_URL and proxies" in out + err
    assert "not processed" not in out + err
    assert "took effect" not in out + err
    assert "Something in between may have given this answer" in told


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 502, 503])
@pytest.mark.parametrize("code", ["SYSTEM_ERROR", "SERVICE_UNAVAILABLE", "SIGN_ERROR", "SOMETHING_NEW", ""])
def test_a_read_has_no_effect(code: str, status: int, signed: bool) -> None:
    body = json.dumps({"code": code, "message": "说明"}).encode() if code else b"<html>"
    error = api_error(
        Sent("GET", "/v3/x", b"", "host"),
        path="/v3/x",
        status=status,
        headers={},
        body=body,
        verified=signed,
        received_at=0.0,
    )
    assert "effect" not in str(error)
    assert "processed" not in str(error) or signed


@pytest.mark.parametrize(("status", "code"), [*LIKE_WECHAT_PAY, (401, "SIGN_ERROR")])
def test_only_what_wechat_pay_says_is_about_credentials(status: int, code: str) -> None:
    unsigned = ApiError(status=status, code=code, text="", verified=False)
    signed = ApiError(status=status, code=code, text="", verified=True)
    assert unsigned.rejects_credentials == ((status, code) == (401, "SIGN_ERROR"))
    assert signed.rejects_credentials == (status == 401 or code in ("NO_AUTH", "NOAUTH"))
    changed = ApiError(status=status, code=code, text="", verified=False, changed_on_the_way=True)
    assert not changed.rejects_credentials


# --- requests of ours -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["/v3/a b", "/v3/礼", "/v3/a\nb", "/v3/\x7f", "/v3/<x>", ""])
@pytest.mark.parametrize("over_httpx", [True, False])
async def test_a_request_that_is_no_http_is_not_the_networks(target: str, over_httpx: bool) -> None:
    transport = httpx.MockTransport(lambda request: httpx.Response(200)) if over_httpx else None
    async with Client(public_key_credentials(), base_url=f"http://{DEAD}", transport=transport) as client:
        with pytest.raises(TransportError) as caught:
            await client.request("GET", target)
    assert "its path and query is not valid in HTTP" in caught.value.message
    assert "please report it" in caught.value.remedy
    assert "network" not in caught.value.message
    assert (caught.value.sent, caught.value.lasting) == (False, True)


@pytest.mark.parametrize("value", [b"PUB_KEY_ID_1 ", b" PUB_KEY_ID_1", b"PUB_KEY\r\n_ID_1", b"PUB\0KEY", b"\t"])
def test_a_header_that_is_no_http_is_put_down_to_its_variable(value: bytes) -> None:
    headers = [(b"Host", b"x"), (b"Accept", b""), (b"Wechatpay-Serial", value)]
    part = failures.invalid_part(headers, "/v3/x")
    assert part == "header Wechatpay-Serial"
    error = failures.unwritable(part, method="GET", path="/v3/x")
    assert (error.sent, error.lasting) == (False, True)
    assert error.message == "the request was not sent, since its header Wechatpay-Serial is not valid in HTTP."
    assert error.remedy.startswith("It is made from PAYGIFT_PUBLIC_KEY_ID: look for white space")


def test_a_request_whose_invalid_part_is_unknown_may_have_left() -> None:
    error = failures.transport_error(
        httpx.LocalProtocolError(SECRET), method="POST", path="/v3/x", host="x", timeout_seconds=1
    )
    assert (error.sent, error.lasting) == (True, True)
    assert "a part of it is not valid in HTTP" in error.message
    assert SECRET not in str(error)


# --- keys in the wrong places -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"PAYGIFT_PUBLIC_KEY": public_pem_of(merchant_key()).decode()},
            "PAYGIFT_PUBLIC_KEY is the other half of PAYGIFT_PRIVATE_KEY: the merchant's own public key",
        ),
        (
            {"PAYGIFT_PUBLIC_KEY": keys().merchant_certificate_pem},
            "PAYGIFT_PUBLIC_KEY holds a certificate, not a public key",
        ),
        ({"PAYGIFT_PUBLIC_KEY": keys().merchant_key_pem}, "PAYGIFT_PUBLIC_KEY holds a private key"),
        ({"PAYGIFT_PUBLIC_KEY_ID": "PUB_KEY_ID_01 19"}, "found white space or other characters"),
        ({"PAYGIFT_PUBLIC_KEY_ID": "PUB_KEY_ID_01\u200b19"}, "PAYGIFT_PUBLIC_KEY_ID"),
        ({"PAYGIFT_PUBLIC_KEY_ID": "PUB_KEY_ID_"}, "with letters and digits after it"),
        ({"PAYGIFT_PUBLIC_KEY_ID": keys().serial_no}, "PAYGIFT_PUBLIC_KEY_ID must begin with PUB_KEY_ID_"),
        ({"PAYGIFT_PRIVATE_KEY": keys().public_key_pem}, "PAYGIFT_PRIVATE_KEY holds a public key"),
        ({"PAYGIFT_SERIAL_NO": PUBLIC_KEY_ID}, "found the id of a WeChat Pay public key"),
        ({"PAYGIFT_APIV3_KEY": keys().apiv3_key.encode().hex()}, "found 64: 64 hexadecimal digits"),
        ({"PAYGIFT_APIV3_KEY": "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVowMTIzNDU="}, "found 44: Base64"),
        ({"PAYGIFT_APIV3_KEY": f"{keys().apiv3_key[:16]} {keys().apiv3_key[16:]}"}, "found 33."),
        ({"PAYGIFT_APIV3_KEY": keys().merchant_key_pem}, "a key or certificate in PEM"),
    ],
)
def test_keys_in_the_wrong_places_are_told_before_anything_is_sent(
    changes: dict[str, str], told: str, project: Project, set_variables: Set
) -> None:
    public = {"PAYGIFT_PUBLIC_KEY_ID": PUBLIC_KEY_ID, "PAYGIFT_PUBLIC_KEY": keys().public_key_pem}
    with project.sandbox() as sandbox:
        set_variables({**variables(sandbox.base_url), **public, **changes})
        for command in ("plan", "apply", "doctor"):
            code, out, err = project.run(command)
            assert code == 4
            assert told in out + err
            assert "proxies" not in out + err
            for value in changes.values():
                assert len(value) < 12 or value not in out + err
        assert [each for each in sandbox.log() if each["verdict"] == "ok"] == []


def test_the_doctor_tells_whose_certificate_it_is() -> None:
    platform = load_certificate(certificate_pem(rsa_key("platform"), 7, TODAY), where="x")
    check = judge_certificate(platform, f"{7:040X}", rsa_key("merchant"))
    assert (check.status, check.credentials) == (CheckStatus.FAILED, True)
    assert "is a platform certificate of WeChat Pay, not the merchant's" in check.text
    assert "apiclient_cert.pem" in check.remedy


@pytest.mark.parametrize("quoted", ['"{}"', "'{}'", " {}", "{}\n"])
def test_an_apiv3_key_with_something_around_it_is_told_so(quoted: str) -> None:
    key = quoted.format(APIV3_KEY.decode()).encode()
    assert "around it" in judge_apiv3_key(key).text
    with pytest.raises(CredentialsError, match="around it"):
        credentials(apiv3_key=key)


def test_without_a_usable_private_key_a_public_key_is_not_compared() -> None:
    unusable = CredentialsError("x")
    assert judge_public_key(PUBLIC_KEY_ID, rsa_key("public").public_key(), unusable).status is CheckStatus.OK
    assert judge_public_key(PUBLIC_KEY_ID, rsa_key("public").public_key()).status is CheckStatus.OK


def test_settings_compare_the_public_key_with_the_private_one() -> None:
    environ = {
        "PAYGIFT_MCHID": MCHID,
        "PAYGIFT_SERIAL_NO": SERIAL_NO,
        "PAYGIFT_PRIVATE_KEY": pem_of(rsa_key("merchant")).decode(),
        "PAYGIFT_PUBLIC_KEY_ID": PUBLIC_KEY_ID,
        "PAYGIFT_PUBLIC_KEY": public_pem_of(rsa_key("merchant")).decode(),
    }
    with pytest.raises(CredentialsError, match="the merchant's own public key, not WeChat Pay's"):
        remote_from(environ)
