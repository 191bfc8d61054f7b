"""The client against a small WeChat Pay that checks and signs for real, and against sockets that misbehave."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import socket
import ssl
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
import stamina
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from reconciler import __version__
from reconciler.model.errors import (
    ApiError,
    CredentialsError,
    PaygiftError,
    TransportError,
    UnverifiedError,
    UsageError,
)
from reconciler.wechatpay import exchange, signing, wire
from reconciler.wechatpay.client import Answer, Client
from tests.wechatpay.test_keys import (
    APIV3_KEY,
    MCHID,
    NOW,
    PUBLIC_KEY_ID,
    SERIAL_NO,
    TODAY,
    certificate_pem,
    credentials,
    pem_of,
    public_key_credentials,
    rsa_key,
    sealed_certificate,
)

pytestmark = pytest.mark.anyio

ORIGIN = "http://127.0.0.1:1"
NONCE = "593BEC0C930BF1AFEB40B4A08C8FB242"
FIRST, NEXT = 0xABC, 0xDEF

E = TypeVar("E", bound=PaygiftError)
Reply = tuple[int, bytes]
Spoil = Callable[[httpx.Response], httpx.Response]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def _one_try() -> Iterator[None]:
    """What each answer comes to by itself; what is tried again is for test_retry."""
    with stamina.set_testing(True, attempts=1):
        yield


def serial(number: int) -> str:
    return f"{number:040X}"


@dataclass
class Remote:
    """WeChat Pay, small: it verifies what it is asked, answers as told, signs, and remembers.

    ``answers`` maps ``GET /path`` to status and body; anything else is a 404. ``spoil`` may damage answers after they
    were signed, those about certificates excepted: ``spoil_certificates`` is for them. ``signed_bodies`` tells what
    a path's signature covers, if not the body.
    """

    now: float = NOW
    signer: tuple[str, RSAPrivateKey] = field(default_factory=lambda: (serial(FIRST), rsa_key("platform")))
    certificates: list[dict[str, Any]] = field(default_factory=lambda: [sealed_certificate("platform", FIRST)])
    answers: dict[str, Reply] = field(default_factory=lambda: {"GET /v3/x": (200, b'{"ok":true}')})
    spoil: Spoil = lambda answer: answer
    spoil_certificates: Spoil = lambda answer: answer
    asked: list[httpx.Request] = field(default_factory=list)
    signed_bodies: dict[str, bytes] = field(default_factory=dict)

    @property
    def log(self) -> list[str]:
        return [f"{request.method} {request.url.raw_path.decode()}" for request in self.asked]

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        await asyncio.sleep(0)  # as on a network, others get their turn meanwhile
        if not self._is_signed(request):
            return httpx.Response(401, content=error_body("SIGN_ERROR", "错误的签名,验签失败"))
        if request.url.path == wire.CERTIFICATES_PATH:
            return self.spoil_certificates(self._signed(200, json.dumps({"data": self.certificates}).encode()))
        unknown = (404, error_body("RESOURCE_NOT_EXISTS", "资源不存在"))
        return self.spoil(self._signed(*self.answers.get(f"{request.method} {request.url.path}", unknown)))

    def _is_signed(self, request: httpx.Request) -> bool:
        proof = signing.Authorization.parse(request.headers["Authorization"])
        body = self.signed_bodies.get(request.url.path, request.content)
        target = request.url.raw_path.decode()
        message = signing.request_message(request.method, target, proof.timestamp, proof.nonce_str, body)
        known = (proof.mchid, proof.serial_no) == (MCHID, SERIAL_NO)
        return known and signing.verifies(rsa_key("merchant").public_key(), message, proof.signature)

    def _signed(self, status: int, body: bytes) -> httpx.Response:
        serial_no, key = self.signer
        proof = signing.response_headers(
            key, serial_no=serial_no, timestamp=str(int(self.now)), nonce="c5ac7061", body=body
        )
        about = {
            "Request-ID": "08F78B",
            "Content-Type": "application/json",
            "Date": formatdate(self.now, usegmt=True),
        }
        return httpx.Response(status, headers={**proof, **about}, content=body)

    def client(self, **options: Any) -> Client:
        given: dict[str, Any] = {
            "base_url": ORIGIN,
            "transport": httpx.MockTransport(self),
            "wall_clock": lambda: NOW,
            "nonce": lambda: NONCE,
        }
        return Client(options.pop("credentials", None) or credentials(), **{**given, **options})


def error_body(code: str, message: str, **more: object) -> bytes:
    return json.dumps({"code": code, "message": message, **more}, ensure_ascii=False).encode()


def changed(body: bytes | None = None, status: int | None = None, **headers: str | None) -> Spoil:
    """What damages an answer after it was signed. A header that becomes None is taken away."""

    def spoil(answer: httpx.Response) -> httpx.Response:
        kept = httpx.Headers(answer.headers)
        for name, value in headers.items():
            kept.pop(name.replace("_", "-"), None)
            if value is not None:
                kept[name.replace("_", "-")] = value
        kept.pop("Content-Length")
        return httpx.Response(
            status or answer.status_code, headers=kept, content=answer.content if body is None else body
        )

    return spoil


async def ask(remote: Remote, method: str = "GET", **options: Any) -> Answer:
    async with remote.client(**options) as client:
        return await client.request(method, "/v3/x")


async def failure(expected: type[E], remote: Remote, method: str = "GET", **options: Any) -> E:
    with pytest.raises(expected) as caught:
        await ask(remote, method, **options)
    assert type(caught.value) is expected
    assert_no_secrets(caught.value)
    return caught.value


def assert_no_secrets(error: BaseException) -> None:
    told = "".join(traceback.format_exception(error)) + repr(error)
    for secret in (APIV3_KEY.decode(), "BEGIN PRIVATE KEY", 'signature="', NONCE):
        assert secret not in told


# --- what is sent -----------------------------------------------------------------------------------------------------


async def test_a_proven_answer_comes_back_with_its_request_id() -> None:
    remote = Remote()
    assert await ask(remote) == Answer(200, b'{"ok":true}', "08F78B")
    assert remote.log == ["GET /v3/certificates", "GET /v3/x"]


async def test_certificates_are_fetched_once_for_many_requests_at_once() -> None:
    remote = Remote()
    async with remote.client(concurrency=2) as client:
        await asyncio.gather(*(client.request("GET", "/v3/x") for _ in range(20)))
    assert remote.log.count("GET /v3/certificates") == 1
    assert len(remote.log) == 21


async def test_requests_carry_what_the_api_asks_for_and_nothing_else() -> None:
    remote = Remote()
    await ask(remote)
    headers = dict(remote.asked[-1].headers)
    assert headers.pop("authorization").startswith(f'{signing.SCHEME} mchid="{MCHID}",nonce_str="{NONCE}"')
    assert headers == {
        "host": "127.0.0.1:1",
        "accept": "application/json",
        "accept-language": "zh-CN",
        "accept-encoding": "gzip",
        "user-agent": f"paygift/{__version__}",
    }


async def test_a_body_has_a_content_type_and_an_empty_post_has_none() -> None:
    remote = Remote(answers={"POST /v3/x": (200, b"{}")})
    async with remote.client() as client:
        await client.request("POST", "/v3/x", body=b"{}")
        await client.request("POST", "/v3/x")
    with_body, without = remote.asked[-2:]
    assert (with_body.headers["Content-Type"], with_body.content) == ("application/json", b"{}")
    assert "Content-Type" not in without.headers
    assert without.headers["Content-Length"] == "0"


async def test_queries_are_encoded_once_and_signed_as_they_are_sent() -> None:
    remote = Remote()
    async with remote.client() as client:
        await client.request("GET", "/v3/x", query=[("activity_name", "良品 'a&b=c'/+%7E~"), ("offset", "0")])
    encoded = "%E8%89%AF%E5%93%81%20%27a%26b%3Dc%27%2F%2B%257E~"
    assert remote.log[-1] == f"GET /v3/x?activity_name={encoded}&offset=0"


async def test_an_encoded_path_is_signed_as_it_is_sent() -> None:
    remote = Remote(answers={"GET /v3/a/礼/b": (200, b"{}")})
    async with remote.client() as client:
        await client.request("GET", "/v3/a/%E7%A4%BC/b")
    assert remote.log[-1] == "GET /v3/a/%E7%A4%BC/b"


async def test_cookies_are_not_kept() -> None:
    remote = Remote(spoil=changed(Set_Cookie="session=1"))
    async with remote.client() as client:
        await client.request("GET", "/v3/x")
        await client.request("GET", "/v3/x")
    assert "Cookie" not in remote.asked[-1].headers


async def test_each_request_has_a_fresh_nonce_of_32_characters() -> None:
    remote = Remote()
    async with Client(
        credentials(), base_url=ORIGIN, transport=httpx.MockTransport(remote), wall_clock=lambda: NOW
    ) as client:
        await client.request("GET", "/v3/x")
    nonces = {signing.Authorization.parse(one.headers["Authorization"]).nonce_str for one in remote.asked}
    assert len(nonces) == 2
    assert all(len(nonce) == 32 and nonce.upper() == nonce for nonce in nonces)


# --- what is believed -------------------------------------------------------------------------------------------------

OLD, AHEAD = str(NOW - 300), str(NOW + 300)

DOUBTS: dict[str, tuple[Spoil, str]] = {
    "no timestamp": (changed(Wechatpay_Timestamp=None), "Wechatpay-Timestamp missing"),
    "no nonce": (changed(Wechatpay_Nonce=None), "Wechatpay-Nonce missing"),
    "no signature": (changed(Wechatpay_Signature=None), "Wechatpay-Signature missing"),
    "no serial": (changed(Wechatpay_Serial=None), "Wechatpay-Serial missing"),
    "empty signature": (changed(Wechatpay_Signature=""), "Wechatpay-Signature missing or empty"),
    "a word for a timestamp": (changed(Wechatpay_Timestamp="now"), "not a number of seconds"),
    "stale": (changed(Wechatpay_Timestamp=OLD), "300 s in the past; less than 300 s are accepted"),
    "from the future": (changed(Wechatpay_Timestamp=AHEAD), "300 s in the future"),
    "another time": (changed(Wechatpay_Timestamp=str(NOW - 1)), "its signature is not that of key"),
    "another nonce": (changed(Wechatpay_Nonce="other"), "its signature is not that of key"),
    "a garbage signature": (changed(Wechatpay_Signature="garbage"), "its signature is not that of key"),
    "a probe": (changed(Wechatpay_Signature=f"{signing.PROBE_PREFIX}AAAA"), "marked WECHATPAY/SIGNTEST/"),
    "a tampered body": (changed(b'{"ok":false}'), "its signature is not that of key"),
    "a cut body": (changed(b'{"ok":true'), "its signature is not that of key"),
    "an unknown serial": (changed(Wechatpay_Serial="F00"), "signed with the key 'F00', which is unknown"),
    "an unknown public key": (changed(Wechatpay_Serial="PUB_KEY_ID_9"), "signed with the key 'PUB_KEY_ID_9'"),
    "a 204 with the signature of another body": (
        changed(b"", status=204),
        "its signature is not that of key",
    ),
}


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("doubt", DOUBTS)
async def test_a_success_that_proves_nothing_is_not_believed(doubt: str, method: str) -> None:
    spoil, told = DOUBTS[doubt]
    remote = Remote(answers={f"{method} /v3/x": (200, b'{"ok":true}')}, spoil=spoil)
    error = await failure(UnverifiedError, remote, method)
    assert told in error.message
    assert (error.method, error.path, error.request_id) == (method, "/v3/x", "08F78B")
    assert error.remedy


@pytest.mark.parametrize("doubt", DOUBTS)
async def test_an_error_that_proves_nothing_is_still_an_error_but_unverified(doubt: str) -> None:
    spoil, _ = DOUBTS[doubt]
    remote = Remote(answers={"GET /v3/x": (400, error_body("PARAM_ERROR", "参数错误"))}, spoil=spoil)
    with pytest.raises((ApiError, UnverifiedError)) as caught:
        await ask(remote)
    if "204" in doubt:
        assert isinstance(caught.value, UnverifiedError)
    else:
        assert isinstance(caught.value, ApiError)
        assert not caught.value.verified
        assert isinstance(caught.value.__cause__, UnverifiedError)


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("status", [400, 403, 404, 408, 413, 417, 426, 429, 500, 502])
@pytest.mark.parametrize("path", ["/v3/x", wire.IMAGE_UPLOAD_PATH])
async def test_an_error_tells_whether_it_proves_anything(path: str, status: int, method: str) -> None:
    """A proxy that has passed a write on answers 403, 408 or 429 too: only what is signed tells what happened."""
    body = error_body("X", "说明")
    for spoil, verified in (
        (changed(), True),
        (changed(Wechatpay_Signature=None), False),
        (changed(b"<html>", Content_Type="text/html", Wechatpay_Signature=None), False),
        (changed(b"<html>"), False),
    ):
        remote = Remote(answers={f"{method} {path}": (status, body)}, spoil=spoil)
        async with remote.client() as client:
            with pytest.raises(ApiError) as caught:
                await client.request(method, path)
        assert (caught.value.status, caught.value.verified) == (status, verified)
        assert remote.log == ["GET /v3/certificates", f"{method} {path}"]


@pytest.mark.parametrize("seconds", [-299, 299])
async def test_answers_within_the_window_are_believed(seconds: int) -> None:
    assert (await ask(Remote(now=NOW + seconds))).status == 200


async def test_a_204_is_verified_over_its_empty_body() -> None:
    assert await ask(Remote(answers={"GET /v3/x": (204, b"")})) == Answer(204, b"", "08F78B")


@pytest.mark.parametrize(("seconds", "told"), [(412, "412 s behind"), (-3600, "3600 s ahead of")])
async def test_a_wrong_local_clock_is_named_with_its_seconds(seconds: int, told: str) -> None:
    error = await failure(UnverifiedError, Remote(now=NOW + seconds))
    assert f"This machine's clock is {told} the service's" in error.remedy


@pytest.mark.parametrize("date", [formatdate(NOW, usegmt=True), "yesterday", None])
async def test_an_old_answer_at_the_right_time_is_not_blamed_on_the_clock(date: str | None) -> None:
    error = await failure(UnverifiedError, Remote(spoil=changed(Wechatpay_Timestamp=OLD, Date=date)))
    assert "repeated an old answer" in error.remedy


async def test_redirects_are_not_followed() -> None:
    remote = Remote(spoil=changed(status=302, Location="/v3/certificates"))
    error = await failure(UnverifiedError, remote)
    assert "redirect (HTTP 302), which is never followed" in error.message
    assert remote.log == ["GET /v3/certificates", "GET /v3/x"]


# --- keys and their rotation ------------------------------------------------------------------------------------------


async def test_an_unknown_serial_fetches_certificates_once_more_then_fails() -> None:
    remote = Remote()
    async with remote.client() as client:
        await client.request("GET", "/v3/x")
        remote.spoil = changed(Wechatpay_Serial="F00")
        with pytest.raises(UnverifiedError, match="F00"):
            await client.request("GET", "/v3/x")
    assert remote.log.count("GET /v3/certificates") == 2


async def test_a_rotated_certificate_is_fetched_when_it_is_first_used() -> None:
    remote = Remote()
    async with remote.client() as client:
        await client.request("GET", "/v3/x")
        remote.certificates.append(sealed_certificate("next", NEXT))
        remote.signer = (serial(NEXT), rsa_key("next"))
        answers = await asyncio.gather(*(client.request("GET", "/v3/x") for _ in range(5)))
        assert {answer.status for answer in answers} == {200}
        assert remote.log.count("GET /v3/certificates") == 2

        remote.signer = (serial(FIRST), rsa_key("platform"))
        await client.request("GET", "/v3/x")  # during a rotation either may sign
        assert remote.log.count("GET /v3/certificates") == 2


async def test_an_error_signed_by_a_rotated_certificate_is_verified() -> None:
    remote = Remote(answers={})
    async with remote.client() as client:
        with pytest.raises(ApiError):
            await client.request("GET", "/v3/x")
        remote.certificates = [sealed_certificate("next", NEXT)]
        remote.signer = (serial(NEXT), rsa_key("next"))
        with pytest.raises(ApiError) as caught:
            await client.request("GET", "/v3/x")
    assert caught.value.verified


async def test_an_expired_certificate_proves_nothing() -> None:
    late = NOW + 1826 * 86_400  # the test's certificates are valid for 1825 days from NOW
    error = await failure(UnverifiedError, Remote(now=late), wall_clock=lambda: late)
    assert "unknown or not valid now" in error.message


async def test_a_failed_refresh_says_nothing_about_the_request_itself() -> None:
    """A 404 or a 429 of the certificates must not look like the activity's own."""
    remote = Remote()
    async with remote.client() as client:
        await client.request("GET", "/v3/x")
        remote.signer = (serial(NEXT), rsa_key("next"))
        remote.spoil_certificates = changed(error_body("FREQUENCY_LIMITED", "频率超限"), status=429)
        with pytest.raises(UnverifiedError, match="fetching the platform certificates failed") as caught:
            await client.request("GET", "/v3/x")
    assert caught.value.path == "/v3/x"
    assert isinstance(caught.value.__cause__, ApiError)


async def test_certificates_can_be_asked_for_by_themselves() -> None:
    remote = Remote()
    async with remote.client() as client:
        (certificate,) = await client.certificates()
        await client.certificates()
    assert certificate.serial_no == serial(FIRST)
    assert remote.log == ["GET /v3/certificates"] * 2


async def test_the_wrong_apiv3_key_is_named_before_anything_else_is_sent() -> None:
    remote = Remote()
    error = await failure(CredentialsError, remote, "POST", credentials=credentials(apiv3_key=b"x" * 32))
    assert "the APIv3 key is not this merchant's" in error.message
    assert remote.log == ["GET /v3/certificates"]


@pytest.mark.parametrize(
    ("spoil", "expected", "told"),
    [
        (changed(b"{}"), UnverifiedError, "not a list of platform certificates"),
        (changed(b"{"), UnverifiedError, "not a list of platform certificates"),
        (changed(Wechatpay_Signature=None), UnverifiedError, "Wechatpay-Signature missing"),
        (changed(Wechatpay_Signature="AAAA"), UnverifiedError, "its signature is not that of key"),
        (changed(Wechatpay_Serial="F00"), UnverifiedError, "signed with the key 'F00'"),
        (changed(status=302), UnverifiedError, "redirect"),
        (
            changed(error_body("RESOURCE_NOT_EXISTS", "无可用的平台证书"), status=404),
            CredentialsError,
            "无可用的平台证书",
        ),
        (changed(b"<html>", status=404), UnverifiedError, "probably not WeChat Pay"),
        (changed(error_body("SYSTEM_ERROR", "系统异常"), status=500), ApiError, "系统异常"),
    ],
)
async def test_certificates_must_prove_themselves(spoil: Spoil, expected: type[PaygiftError], told: str) -> None:
    remote = Remote(spoil_certificates=spoil)
    error = await failure(expected, remote)
    assert told in str(error)
    assert error.remedy or expected is UnverifiedError
    assert remote.log == ["GET /v3/certificates"]


async def test_with_a_public_key_no_certificates_are_fetched() -> None:
    remote = Remote(signer=(PUBLIC_KEY_ID, rsa_key("public")))
    await ask(remote, credentials=public_key_credentials())
    assert remote.log == ["GET /v3/x"]
    assert remote.asked[0].headers["Wechatpay-Serial"] == PUBLIC_KEY_ID


async def test_a_public_key_that_is_not_that_of_its_id_is_asked_for_before_proxies() -> None:
    remote = Remote(signer=(PUBLIC_KEY_ID, rsa_key("another")))
    error = await failure(UnverifiedError, remote, credentials=public_key_credentials())
    assert "its signature is not that of key" in error.message
    assert error.remedy.startswith("Check that PAYGIFT_PUBLIC_KEY is the key of PAYGIFT_PUBLIC_KEY_ID")
    probe = changed(Wechatpay_Signature=f"{signing.PROBE_PREFIX}AAAA")
    error = await failure(
        UnverifiedError,
        Remote(signer=(PUBLIC_KEY_ID, rsa_key("public")), spoil=probe),
        credentials=public_key_credentials(),
    )
    assert error.remedy.startswith("Run again")


async def test_while_changing_to_a_public_key_certificates_may_still_sign() -> None:
    remote = Remote()
    await ask(remote, credentials=public_key_credentials(apiv3_key=APIV3_KEY))
    assert remote.log == ["GET /v3/x", "GET /v3/certificates"]


async def test_with_a_public_key_only_a_certificate_proves_nothing() -> None:
    remote = Remote()
    error = await failure(UnverifiedError, remote, credentials=public_key_credentials())
    assert "finish the change" in error.remedy
    assert remote.log == ["GET /v3/x"]
    async with remote.client(credentials=public_key_credentials()) as client:
        with pytest.raises(CredentialsError, match="without an APIv3 key"):
            await client.certificates()


async def test_a_public_key_that_is_not_configured_is_asked_for_by_name() -> None:
    remote = Remote()
    async with remote.client() as client:
        await client.request("GET", "/v3/x")
        remote.signer = (PUBLIC_KEY_ID, rsa_key("public"))
        with pytest.raises(UnverifiedError) as caught:
            await client.request("GET", "/v3/x")
    assert "PAYGIFT_PUBLIC_KEY_ID" in caught.value.remedy
    assert remote.log.count("GET /v3/certificates") == 1  # certificates never bring public keys


@pytest.mark.parametrize(("method", "expected"), [("GET", CredentialsError), ("POST", UnverifiedError)])
async def test_the_wrong_apiv3_key_found_late_leaves_a_write_unknown(method: str, expected: type[PaygiftError]) -> None:
    both = public_key_credentials(apiv3_key=b"x" * 32)
    remote = Remote(answers={f"{method} /v3/x": (200, b"{}")})
    error = await failure(expected, remote, method, credentials=both)
    assert "the APIv3 key is not this merchant's" in str(error)


# --- errors of the service --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "code", "remedy"),
    [
        (400, "PARAM_ERROR", "Correct the field"),
        (403, "NO_AUTH", "has 支付有礼"),
        (403, "NOAUTH", "has 支付有礼"),
        (403, "SOMETHING_NEW", "has 支付有礼"),
        (404, "RESOURCE_NOT_EXISTS", "exists"),
        (404, "ORDER_NOT_EXIST", "exists"),
        (429, "FREQUENCY_LIMITED", "was not processed"),
        (429, "SOMETHING_NEW", "was not processed"),
        (500, "SYSTEM_ERROR", "is out of order or overloaded"),
        (503, "SOMETHING_NEW", "is out of order or overloaded"),
        (418, "SOMETHING_NEW", ""),
    ],
)
async def test_errors_carry_their_facts_and_a_remedy(status: int, code: str, remedy: str) -> None:
    detail = {"field": "/x", "issue": "too long"}
    remote = Remote(answers={"GET /v3/x": (status, error_body(code, "说明", detail=detail))})
    error = await failure(ApiError, remote)
    assert (error.status, error.code, error.text, error.detail) == (status, code, "说明", detail)
    assert (error.method, error.path, error.request_id, error.verified) == ("GET", "/v3/x", "08F78B", True)
    assert remedy in error.remedy
    assert bool(remedy) == bool(error.remedy)


@pytest.mark.parametrize("code", ["NO_AUTH", "NOAUTH"])
async def test_a_create_without_permission_may_be_one_that_is_closed(code: str) -> None:
    """Likelier than a permission that somebody forgot, since December 2025 (API §0.3)."""
    path = wire.CREATE_PATH
    remote = Remote(
        answers={
            f"POST {path}": (403, error_body(code, "无权限")),
            f"GET {path}": (403, error_body(code, "x")),
        }
    )
    closed = "New activities may be closed to this merchant"
    for method, expected in (("POST", True), ("GET", False)):
        async with remote.client() as client:
            with pytest.raises(ApiError) as caught:
                await client.request(method, path)
        assert (closed in caught.value.remedy) is expected
        assert "has 支付有礼" in caught.value.remedy


@pytest.mark.parametrize("status", [500, 503])
async def test_a_write_that_the_service_failed_at_may_have_had_its_effect(status: int) -> None:
    remote = Remote(answers={"POST /v3/x": (status, error_body("SYSTEM_ERROR", "系统异常"))})
    error = await failure(ApiError, remote, "POST")
    assert "whether it took effect is unknown until then" in error.remedy


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_429_that_proves_nothing_does_not_say_what_was_processed(method: str) -> None:
    limited = (429, error_body("FREQUENCY_LIMITED", "频率超限"))
    remote = Remote(answers={f"{method} /v3/x": limited}, spoil=changed(Wechatpay_Signature=None))
    error = await failure(ApiError, remote, method)
    assert not error.verified
    assert "not processed" not in error.remedy
    assert "check PAYGIFT_BASE_URL and proxies" in error.remedy


async def test_a_wrong_private_key_names_the_variables_to_check() -> None:
    remote = Remote()
    error = await failure(ApiError, remote, credentials=credentials(private_key=rsa_key("public")))
    assert (error.status, error.code, error.verified, error.path) == (
        401,
        "SIGN_ERROR",
        False,
        wire.CERTIFICATES_PATH,
    )
    for variable in ("PAYGIFT_PRIVATE_KEY", "PAYGIFT_SERIAL_NO", "PAYGIFT_MCHID"):
        assert variable in error.remedy


async def test_a_rejected_signature_is_blamed_on_the_clock_when_the_clock_is_wrong() -> None:
    body = error_body("SIGN_ERROR", "签名错误")
    remote = Remote(answers={"GET /v3/x": (401, body)}, spoil=changed(Date=formatdate(NOW - 999, usegmt=True)))
    error = await failure(ApiError, remote)
    assert error.remedy.startswith("This machine's clock is 999 s ahead of the service's: set it first. ")
    assert "PAYGIFT_PRIVATE_KEY" in error.remedy


@pytest.mark.parametrize(
    "body", [b"<html>Bad Gateway</html>", b"", b"[]", b'{"code":"X"}', b"\xff", b'{"code":1,"message":2}']
)
async def test_an_error_that_is_not_json_says_so(body: bytes) -> None:
    spoil = changed(body, status=502, Content_Type="text/html; charset=utf-8", Wechatpay_Signature=None)
    error = await failure(ApiError, Remote(spoil=spoil))
    assert (error.status, error.code, error.verified) == (502, "", False)
    assert error.text == f"the answer was not JSON with code and message (text/html, {len(body)} bytes)"
    assert "PAYGIFT_BASE_URL" in error.remedy


async def test_an_error_as_long_as_a_book_is_cut() -> None:
    remote = Remote(answers={"GET /v3/x": (400, error_body("C" * 10_000, "长" * 10_000))})
    error = await failure(ApiError, remote)
    assert (len(error.code), len(error.text)) == (100, 2000)


# --- where it may go --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("base_url", "told"),
    [
        ("http://api.mch.weixin.qq.com", "plain http"),
        ("http://10.0.0.1:8080", "plain http"),
        ("http://localhost.example.com", "plain http"),
        ("ftp://127.0.0.1", "does not begin with https://"),
        ("api.mch.weixin.qq.com", "holds no address"),
        ("", "holds no address"),
        ("https://", "holds no valid host name"),
        ("https://user:hunter2@api.mch.weixin.qq.com", "user name or a password"),
        ("https://api.mch.weixin.qq.com/v3", "more than scheme, host and port"),
        ("https://api.mch.weixin.qq.com?a=b", "more than scheme, host and port"),
        ("https://api.mch.weixin.qq.com#a", "holds a #"),
        ("https://127.0.0.1:port", "a port that is not a number"),
        ("https://user:hunter2@127.0.0.1:port", "user name or a password"),
        ("https://user:hunter2\n@127.0.0.1", "holds a line break"),
    ],
)
def test_a_base_url_that_cannot_be_meant_is_refused(base_url: str, told: str) -> None:
    with pytest.raises(UsageError, match=told) as caught:
        Client(credentials(), base_url=base_url)
    assert "PAYGIFT_BASE_URL" in str(caught.value)
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))
    if base_url:
        with pytest.raises(UsageError, match="PAYGIFT_BACKUP_URL"):
            Client(credentials(), backup_url=base_url)


def test_a_concurrency_that_cannot_be_meant_is_refused() -> None:
    with pytest.raises(UsageError, match="at least 1 connection, found 0"):
        Client(credentials(), concurrency=0)


@pytest.mark.parametrize(
    "base_url",
    ["https://api.mch.weixin.qq.com/", "http://localhost:8000", "http://[::1]:80", "http://127.0.0.9"],
)
async def test_a_base_url_is_https_or_loopback(base_url: str) -> None:
    async with Client(credentials(), base_url=base_url):
        pass


async def test_proxies_are_not_used_on_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    async with serve(raw(b"HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n")) as base_url:
        error = await over_socket(ApiError, base_url)
    assert error.status == 500


# --- the backup host --------------------------------------------------------------------------------------------------

MAIN, BACKUP = "https://main.example", "https://backup.example"


@dataclass
class Cities:
    """A service with two hosts, of which some are ``down``; ``asked`` tells which host was asked for what."""

    down: dict[str, Exception] = field(default_factory=dict)
    now: float = 0.0
    asked: list[str] = field(default_factory=list)
    remote: Remote = field(
        default_factory=lambda: Remote(
            signer=(PUBLIC_KEY_ID, rsa_key("public")),
            answers={"GET /v3/x": (200, b"{}"), "POST /v3/x": (200, b"{}")},
        )
    )

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        host = request.url.host.removesuffix(".example")
        self.asked.append(f"{request.method} {host}")
        await asyncio.sleep(0)  # as on a network, others get their turn meanwhile
        if host in self.down:
            raise self.down[host]
        return await self.remote(request)

    def client(self, **options: Any) -> Client:
        return self.remote.client(
            credentials=public_key_credentials(),
            transport=httpx.MockTransport(self),
            clock=lambda: self.now,
            **{"base_url": MAIN, "backup_url": BACKUP, **options},
        )


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_while_the_main_host_cannot_be_reached_the_backup_host_is_asked(method: str) -> None:
    cities = Cities(down={"main": httpx.ConnectError("refused")})
    async with cities.client() as client:
        for _ in range(3):
            assert (await client.request(method, "/v3/x")).status == 200
        assert cities.asked == [f"{method} {host}" for host in ("main", "backup", "backup", "backup")]


async def test_after_a_minute_one_request_looks_whether_the_main_host_is_back() -> None:
    cities = Cities(down={"main": httpx.ConnectTimeout("")})
    async with cities.client() as client:
        await client.request("GET", "/v3/x")
        cities.now, cities.asked = 61.0, []
        await asyncio.gather(*(client.request("GET", "/v3/x") for _ in range(3)))
        assert sorted(cities.asked) == ["GET backup"] * 3 + ["GET main"]

        cities.now, cities.asked, cities.down = 122.0, [], {}
        for _ in range(2):
            await client.request("GET", "/v3/x")
        assert cities.asked == ["GET main"] * 2


async def test_when_the_backup_host_fails_too_the_main_host_is_asked_at_once() -> None:
    cities = Cities(down={"main": httpx.ConnectError("refused")})
    async with cities.client() as client:
        await client.request("GET", "/v3/x")
        cities.asked, cities.down = [], {"backup": httpx.ConnectError("refused")}
        for _ in range(2):
            await client.request("GET", "/v3/x")
        assert cities.asked == ["GET backup", "GET main", "GET main"]


@pytest.mark.parametrize("failure", [httpx.ReadError("reset"), httpx.ReadTimeout(""), httpx.WriteError("reset")])
async def test_a_request_that_may_have_arrived_does_not_go_to_the_backup_host(failure: Exception) -> None:
    cities = Cities(down={"main": failure})
    async with cities.client() as client:
        with pytest.raises(TransportError) as caught:
            await client.request("POST", "/v3/x")
    assert cities.asked == ["POST main"]
    assert caught.value.sent


@pytest.mark.parametrize("status", [401, 404, 429, 500, 502, 503])
async def test_no_answer_is_a_reason_to_change_hosts(status: int) -> None:
    cities = Cities()
    cities.remote.answers["GET /v3/x"] = (status, error_body("X", "x"))
    async with cities.client() as client:
        for _ in range(2):
            with pytest.raises(ApiError):
                await client.request("GET", "/v3/x")
    assert cities.asked == ["GET main", "GET main"]


async def test_when_no_host_can_be_reached_both_are_named() -> None:
    refused = _caused(httpx.ConnectError("x"), ConnectionRefusedError())
    cities = Cities(down={"main": refused, "backup": httpx.ConnectTimeout("")})
    async with cities.client() as client:
        with pytest.raises(TransportError) as caught:
            await client.request("POST", "/v3/x")
    assert caught.value.message == (
        "main.example refused the connection. backup.example did not accept a connection within 10 s."
    )
    assert (caught.value.method, caught.value.path, caught.value.sent) == ("POST", "/v3/x", False)
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize("backup_url", ["", MAIN])
async def test_without_another_host_there_is_nothing_to_go_on_to(backup_url: str) -> None:
    cities = Cities(down={"main": httpx.ConnectError("refused")})
    async with cities.client(backup_url=backup_url) as client:
        with pytest.raises(TransportError):
            await client.request("GET", "/v3/x")
    assert cities.asked == ["GET main"]


# --- sockets that misbehave -------------------------------------------------------------------------------------------

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serve(handler: Handler, seen: list[bytes] | None = None, **options: Any) -> AsyncIterator[str]:
    """A server on loopback: keeps the head of each request in ``seen``, lets ``handler`` answer, and closes."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            if seen is not None:
                seen.append(head)
            await handler(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, **options)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def raw(answer: bytes, *, stall: bool = False) -> Handler:
    """Sends these bytes; then closes the connection, or stalls until the client does."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await writer.drain()
        if stall:
            await reader.read()

    return handler


async def over_socket(expected: type[E], base_url: str, **options: Any) -> E:
    with pytest.raises(expected) as caught:
        async with Client(credentials(), base_url=base_url, **options) as client:
            await client.request("GET", "/v3/x")
    assert_no_secrets(caught.value)
    assert caught.value.remedy
    return caught.value


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (b"", "broken off before any answer came"),
        (b"HTTP/1.1 200 OK\r\nContent-Le", "broken off before any answer came"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "not in valid HTTP/1.1: it does not begin with a status line"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{1234567",
            "the answer broke off after 8 of 100 bytes",
        ),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n", "broke off after 4 bytes"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nabcd",
            "compression is damaged (4 of 4 bytes received)",
        ),
    ],
)
async def test_an_answer_that_breaks_off_is_told_by_its_bytes(answer: bytes, told: str) -> None:
    async with serve(raw(answer)) as base_url:
        error = await over_socket(TransportError, base_url)
    assert told in error.message
    assert isinstance(error.__cause__, httpx.RequestError)


async def test_a_refused_connection_says_where() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, but not listening
        host = f"127.0.0.1:{taken.getsockname()[1]}"
        error = await over_socket(TransportError, f"http://{host}")
    assert error.message == f"{host} refused the connection."
    assert "PAYGIFT_BASE_URL" in error.remedy


async def test_silence_times_out() -> None:
    async with serve(raw(b"", stall=True)) as base_url:
        error = await over_socket(TransportError, base_url, timeout_seconds=0.05)
    assert "did not answer within 0.05 s" in error.message


async def test_an_answer_that_stalls_times_out() -> None:
    async with serve(raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", stall=True)) as base_url:
        error = await over_socket(TransportError, base_url, timeout_seconds=0.05)
    assert "stalled after 3 of 9 bytes; 0.05 s were not enough" in error.message


async def test_an_answer_that_drips_times_out_too() -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n")
        while not reader.at_eof():
            writer.write(b"x")
            await asyncio.sleep(0.02)

    async with serve(drip) as base_url, asyncio.timeout(5):
        error = await over_socket(TransportError, base_url, timeout_seconds=0.2)
    assert "of 9999 bytes; 0.6 s were not enough" in error.message


@pytest.mark.parametrize("length", ["Content-Length: 99999\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n5000\r\n"])
async def test_an_answer_without_end_is_not_read_to_its_end(length: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "LONGEST_ANSWER", 10_000)
    answer = f"HTTP/1.1 200 OK\r\nRequest-ID: 08F\r\n{length}".encode() + b"x" * 0x5000
    async with serve(raw(answer, stall=True)) as base_url:
        error = await over_socket(TransportError, base_url)
    assert "longer than 10000 bytes" in error.message
    assert error.request_id == "08F"


async def test_a_gzipped_answer_is_verified_over_what_it_holds() -> None:
    remote = Remote()

    def zipped(answer: httpx.Response) -> httpx.Response:
        headers = {**answer.headers, "Content-Encoding": "gzip"}
        del headers["content-length"]
        return httpx.Response(200, headers=headers, stream=httpx.ByteStream(gzip.compress(answer.content)))

    remote.spoil = zipped
    assert (await ask(remote)).body == b'{"ok":true}'


async def test_a_little_that_unpacks_to_a_lot_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "LONGEST_ANSWER", 10_000)
    packed = gzip.compress(bytes(50_000_000))
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed)
    async with serve(raw(head + packed)) as base_url:
        error = await over_socket(TransportError, base_url)
    assert "longer than 10000 bytes" in error.message


async def test_a_body_that_comes_packed_and_in_pieces_is_put_together() -> None:
    remote = Remote(signer=(PUBLIC_KEY_ID, rsa_key("public")))
    body = json.dumps({"numbers": list(range(20_000))}).encode()
    proof = remote._signed(200, body).headers

    async def packed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        fields = "".join(f"{name}: {proof[name]}\r\n" for name in signing.PROOF_HEADERS)
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Encoding: GZIP\r\n{fields}".encode())
        writer.write(b"Transfer-Encoding: chunked\r\n\r\n")
        sent = gzip.compress(body)
        for at in range(0, len(sent), 4000):
            piece = sent[at : at + 4000]
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            await writer.drain()
            await asyncio.sleep(0)
        writer.write(b"0\r\n\r\n")

    async with (
        serve(packed) as base_url,
        Client(public_key_credentials(), base_url=base_url, wall_clock=lambda: NOW) as client,
    ):
        assert (await client.request("GET", "/v3/x")).body == body


async def test_what_goes_over_the_wire_is_what_was_signed() -> None:
    """Not through httpx's own view of the request: the bytes as the socket received them."""
    seen: list[bytes] = []

    answer = raw(b"HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n")
    async with serve(answer, seen) as base_url, Client(public_key_credentials(), base_url=base_url) as client:
        with pytest.raises(ApiError):
            await client.request("GET", "/v3/x", query=[("activity_name", "满减 'x'")])
    line, *rest = seen[0].decode("ascii").split("\r\n")
    method, target, _ = line.split(" ")
    sent = dict(header.split(": ", 1) for header in rest if header)
    proof = signing.Authorization.parse(sent["Authorization"])
    message = signing.request_message(method, target, proof.timestamp, proof.nonce_str, b"")
    assert signing.verifies(rsa_key("merchant").public_key(), message, proof.signature)
    assert sent["Wechatpay-Serial"] == PUBLIC_KEY_ID


async def test_many_requests_wait_for_few_connections_without_timing_out() -> None:
    open_now = most = 0

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal open_now, most
        open_now += 1
        most = max(most, open_now)
        await asyncio.sleep(0.05)
        open_now -= 1
        writer.write(b"HTTP/1.1 500 X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    async with (
        serve(slow) as base_url,
        Client(public_key_credentials(), base_url=base_url, concurrency=2, timeout_seconds=0.4) as client,
    ):
        wanted = [client.request("GET", "/v3/x") for _ in range(20)]
        outcomes = await asyncio.gather(*wanted, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {ApiError}
    assert most == 2


def _caused(error: httpx.RequestError, cause: BaseException) -> httpx.RequestError:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (httpx.ConnectTimeout("x"), "did not accept a connection within 10 s"),
        (
            _caused(httpx.ConnectError("x"), socket.gaierror(-2, "x")),
            "name 127.0.0.1:1 could not be resolved",
        ),
        (
            _caused(httpx.ConnectError("self-signed"), ssl.SSLCertVerificationError("x")),
            "no trustworthy TLS connection to 127.0.0.1:1 could be made: its certificate cannot be verified",
        ),
        (
            _caused(httpx.ConnectError("x"), ExceptionGroup("all", [OSError("a"), ConnectionRefusedError()])),
            "refused the connection",
        ),
        (httpx.ConnectError("to secret:1"), "could not be reached."),
        (
            _caused(httpx.ConnectError("to secret:1"), OSError(113, "to secret:1")),
            f"could not be reached: {os.strerror(113)}.",
        ),
        (httpx.ProxyError("407 secret"), "the proxy on the way to 127.0.0.1:1 refused: 407."),
        (httpx.ReadError("reset"), "broken off before any answer came"),
        (httpx.WriteTimeout("x"), "did not answer within 10 s"),
    ],
)
async def test_other_failures_of_the_network_are_told_in_plain_words(error: httpx.RequestError, told: str) -> None:
    def fail(request: httpx.Request) -> httpx.Response:
        raise error

    caught = await failure(TransportError, Remote(), transport=httpx.MockTransport(fail))
    assert told in caught.message
    assert "secret" not in str(caught)
    assert caught.remedy
    assert caught.__cause__ is error


async def test_untrusted_tls_is_refused(tmp_path: Path) -> None:
    """A real handshake, so that nobody can switch verification off without a test that fails."""
    pem = certificate_pem(rsa_key("platform"), 7, TODAY)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    both = tmp_path / "both.pem"
    both.write_bytes(pem_of(rsa_key("platform")) + pem)
    context.load_cert_chain(both)
    async with serve(raw(b""), ssl=context) as base_url:
        error = await over_socket(TransportError, base_url.replace("http:", "https:"))
    assert "no trustworthy TLS connection" in error.message
