"""Why a signature does not verify: each common mistake is told by name."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA1, SHA512

from reconciler.sandbox import near_miss
from reconciler.sandbox.near_miss import SentSignature, expected, explain, serial_hint, timestamp_hint
from reconciler.sandbox.world import World
from reconciler.wechatpay import signing, wire
from reconciler.wechatpay.signing import Authorization
from tests.support.signed import PNG, keys, merchant_key, multipart_body, request, send, upload_request

STAMP, NONCE = "1772337600", "5K8264ILTKCH16CQ2502SI8ZNMTM67VS"
ADD = f"{wire.ACTIVITIES_PATH}/1/merchants/add"
BODY = json.dumps({"merchant_id_list": ["1900000002"], "add_request_no": "春/1"}, ensure_ascii=False, indent=1).encode()
PARSED = json.loads(BODY)
POST = SentSignature("POST", ADD, BODY, BODY, "127.0.0.1:8750")
LIST = f"{wire.ACTIVITIES_PATH}?offset=0&limit=10&activity_name=%E6%98%A5%20a"
GET = SentSignature("GET", LIST, b"", b"", "127.0.0.1:8750")
META = b'{"filename":"a.png","sha256":"00"}'
UPLOAD = SentSignature("POST", wire.IMAGE_UPLOAD_PATH, META, multipart_body(META, PNG), "127.0.0.1")
STRANGER = rsa.generate_private_key(65537, 2048)
PLATFORM = keys().platform.key


def message(sent: SentSignature, **changes: Any) -> bytes:
    parts = {
        "method": sent.method,
        "target": sent.target,
        "timestamp": STAMP,
        "nonce": NONCE,
        "body": sent.body,
    }
    return signing.request_message(**(parts | changes))


def authorization(signature: str) -> Authorization:
    return Authorization("1900000001", NONCE, signature, STAMP, keys().serial_no)


def told(sent: SentSignature, signed: bytes, key: rsa.RSAPrivateKey | None = None) -> str:
    """What is said about ``sent`` when ``signed`` was signed for it."""
    return told_of(sent, signing.sign(key or merchant_key(), signed))


def told_of(sent: SentSignature, signature: str) -> str:
    others = {"the platform's key": PLATFORM.public_key()}
    return explain(sent, authorization(signature), keys().merchant_public_key, others)


def dumped(**more: Any) -> bytes:
    return json.dumps(PARSED, **more).encode()


@pytest.mark.parametrize(
    ("sent", "signed", "said"),
    [
        (POST, message(POST)[:-1], "a message without its final newline"),
        (GET, message(GET)[:-1], "a message without its final newline"),
        (POST, message(POST, body=b""), "an empty body"),
        (POST, message(POST, body=b"")[:-1], "a message whose empty body has no line of its own"),
        (POST, message(POST).replace(b"\n", b"\r\n"), "CRLF"),
        (GET, message(GET, body=b"{}"), "the body {}"),
        (GET, message(GET, body=b"null"), "the body null"),
        (GET, message(GET, body=LIST.partition("?")[2].encode()), "the query as the body"),
        (GET, message(GET, target=wire.ACTIVITIES_PATH), "a target without its query"),
        (
            GET,
            message(GET, target=LIST.replace("%E6%98%A5%20", "春 ")),
            "a query that is not percent-encoded",
        ),
        (GET, message(GET, target=LIST.replace("%20", "+")), "a query with + for spaces"),
        (GET, message(GET, target=LIST.removeprefix("/")), "a target without its first /"),
        (POST, message(POST, target=f"{ADD}/"), "a target with a / at its end"),
        (POST, message(POST, target=f"{ADD}?"), "a target with a ? at its end"),
        (GET, message(GET, target=f"http://127.0.0.1:8750{LIST}"), "the full URL"),
        (GET, message(GET, target=f"https://api.mch.weixin.qq.com{LIST}"), "the full URL"),
        (GET, message(GET, target=f"http://127.0.0.1:8750{wire.ACTIVITIES_PATH}"), "the full URL"),
        (POST, message(POST, target=f"127.0.0.1:8750{ADD}"), "the host before the target"),
        (POST, message(POST, method="GET"), "the method GET"),
        (POST, message(POST, method="post"), "the method post"),
        (POST, message(POST, timestamp=f"{STAMP}000"), "the timestamp in milliseconds"),
        (POST, message(POST, timestamp=NONCE, nonce=STAMP), "the nonce before the timestamp"),
        (POST, signing.response_message(STAMP, NONCE, BODY), "as answers do"),
        (POST, message(POST, body=dumped(separators=(",", ":"), ensure_ascii=False)), "anew, without spaces"),
        (POST, message(POST, body=dumped(ensure_ascii=False)), "anew, with spaces"),
        (POST, message(POST, body=dumped()), r"anew, with spaces, with \uXXXX escapes"),
        (POST, message(POST, body=dumped(sort_keys=True)), "with spaces, with sorted keys"),
        (POST, message(POST, body=dumped(separators=(",", ":")).replace(b"/", rb"\/")), r"and \/ for /"),
        (POST, message(POST, body=BODY + b"\n"), "the body with a newline at its end"),
        (UPLOAD, message(UPLOAD, body=UPLOAD.whole), "the whole multipart body instead of its meta part"),
        (UPLOAD, message(UPLOAD, body=b""), "an empty body"),
        (UPLOAD, message(UPLOAD, body=json.dumps(json.loads(META)).encode()), "the body written anew"),
        (
            GET,
            message(GET, target=wire.ACTIVITIES_PATH)[:-1],
            "a target without its query and a message without",
        ),
        (POST, message(POST, method="GET", body=b""), "over the method GET and an empty body"),
    ],
)
def test_a_signature_over_something_else_says_over_what(sent: SentSignature, signed: bytes, said: str) -> None:
    found = told(sent, signed)
    assert found.startswith("signed with the right key, but over ")
    assert said in found


def test_a_query_encoded_more_than_it_was_sent_is_told() -> None:
    """As axios does with apostrophes (API §11)."""
    sent = SentSignature("GET", f"{wire.ACTIVITIES_PATH}?activity_name='", b"", b"", "h")
    assert "encoded more" in told(sent, message(sent, target=f"{wire.ACTIVITIES_PATH}?activity_name=%27"))


def test_blanks_around_a_body_are_told() -> None:
    sent = SentSignature("POST", ADD, b" {} \n", b" {} \n", "h")
    assert "the body {}" in told(sent, message(sent, body=b"{}"))
    sent = SentSignature("POST", ADD, b"[1 ]\n", b"[1 ]\n", "h")
    assert "without the blanks" in told(sent, message(sent, body=b"[1 ]"))


@pytest.mark.parametrize("body", [b"no JSON", b"[" * 100_000])
def test_a_body_that_is_no_json_is_not_written_anew(body: bytes) -> None:
    sent = SentSignature("POST", ADD, body, body, "h")
    assert "empty body" in told(sent, message(sent, body=b""))


def test_a_long_body_gets_one_guess_only() -> None:
    sent = SentSignature("POST", ADD, b"x" * 100_000, b"x" * 100_000, "h")
    assert "an empty body" in told(sent, message(sent, body=b""))
    assert "another message" in told(sent, message(sent, method="GET", body=b""))


def test_the_right_key_over_something_unheard_of() -> None:
    assert told(POST, b"hello") == near_miss._SOMETHING_ELSE


@pytest.mark.parametrize(
    ("key", "signed", "said"),
    [
        (STRANGER, message(POST), "signed with a key that is not the merchant's"),
        (PLATFORM, b"hello", "signed with the platform's key, not with the merchant's key"),
        (PLATFORM, message(POST)[:-1], "merchant's key, and over a message without its final newline"),
    ],
)
def test_another_key_is_told_as_far_as_it_is_known(key: rsa.RSAPrivateKey, signed: bytes, said: str) -> None:
    assert told(POST, signed, key).endswith(said)


def test_another_hash_is_told() -> None:
    for algorithm, name in ((SHA1(), "SHA1"), (SHA512(), "SHA512")):
        raw = merchant_key().sign(message(POST), PKCS1v15(), algorithm)
        found = told_of(POST, base64.b64encode(raw).decode())
        assert found == f"hashed with {name}, not with SHA256"


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (lambda raw: raw.hex(), "written in hexadecimal, not in Base64; signed with the right key"),
        (
            lambda raw: base64.urlsafe_b64encode(raw).decode(),
            "written in Base64 for URLs, not in the plain one; ",
        ),
        (lambda raw: base64.urlsafe_b64encode(raw).decode().rstrip("="), "written in Base64 for URLs"),
        (lambda raw: base64.b64encode(raw).decode().rstrip("="), "written in Base64 without its padding; "),
        (lambda _: "no Base64 at all", "the signature is not Base64"),
        (lambda _: "", "the signature is empty"),
        (lambda raw: base64.b64encode(raw[:-1]).decode(), "signed with a key that is not the merchant's"),
        (
            lambda raw: base64.b64encode(hashlib.sha256(raw).digest()).decode(),
            "signed with a key that is not",
        ),
    ],
)
def test_a_signature_that_is_written_wrongly_is_told(write: Callable[[bytes], str], said: str) -> None:
    signature = base64.b64decode(signing.sign(merchant_key(), message(POST)[:-1]))
    assert said in told_of(POST, write(signature))


def plain(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def wrapped(raw: bytes, end: str) -> str:
    text = plain(raw)
    return end.join(text[at : at + 64] for at in range(0, len(text), 64))


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (lambda raw: raw.hex(), "written in hexadecimal, not in Base64"),
        (lambda raw: raw.hex().upper(), "written in hexadecimal, not in Base64"),
        (lambda raw: raw.hex(":"), "written in hexadecimal, not in Base64"),
        (
            lambda raw: base64.urlsafe_b64encode(raw).decode(),
            "written in Base64 for URLs, not in the plain one",
        ),
        (lambda raw: plain(raw).rstrip("="), "written in Base64 without its padding"),
        (lambda raw: plain(raw) + "\n", "written with blanks or line ends in it"),
        (lambda raw: plain(raw) + " ", "written with blanks or line ends in it"),
        (lambda raw: plain(raw) + "\\n", "written with blanks or line ends in it"),
        (lambda raw: wrapped(raw, "\n"), "written with blanks or line ends in it"),
        (lambda raw: wrapped(raw, "\r\n "), "written with blanks or line ends in it"),
        (lambda raw: wrapped(raw, "\\n"), "written with blanks or line ends in it"),
        (lambda raw: quote(plain(raw) + "\n", safe=""), "written percent-encoded and with blanks"),
        (lambda raw: quote(plain(raw), safe=""), "written percent-encoded"),
        (lambda raw: plain(raw).replace("+", " "), "written with spaces for +"),
        (lambda raw: plain(plain(raw).encode()), "written in Base64 twice"),
        (lambda raw: plain(plain(raw).encode() + b"\n"), "written in Base64 twice"),
        (lambda raw: plain(raw.hex().encode()), "written in Base64 of hexadecimal digits"),
    ],
)
def test_the_right_signature_in_another_spelling_is_told_as_just_that(write: Callable[[bytes], str], said: str) -> None:
    signature = base64.b64decode(signing.sign(merchant_key(), message(POST)))
    nonce = 0
    while b"+" not in base64.b64encode(signature):  # not every signature has one
        signature = base64.b64decode(signing.sign(merchant_key(), message(POST, nonce=str(nonce))))
        nonce += 1
    given = Authorization("1900000001", str(nonce - 1) if nonce else NONCE, write(signature), STAMP, "")
    found = explain(POST, given, keys().merchant_public_key, {})
    assert found.startswith(f"the right message, signed with the right key, but {said}")
    assert "another message" not in found


@pytest.mark.parametrize(
    ("timestamp", "said"),
    [
        ("1772337600123", "in milliseconds, and must be in seconds"),
        ("1772337200", "400 s behind: check the clock"),
        ("1772338000", "400 s ahead: check the clock"),
        ("now", "not a number of seconds"),
        ("9" * 40, "not a number of seconds"),
    ],
)
def test_a_refused_timestamp_is_explained(timestamp: str, said: str) -> None:
    assert said in timestamp_hint(timestamp, 1772337600.5)


@pytest.mark.parametrize(
    ("serial", "said"),
    [
        (str(0xABCDEF0123), "in decimal, and must be in hexadecimal"),
        ("AB:CD:EF:01:23", "hexadecimal digits alone"),
        ("0xABCDEF0123", "hexadecimal digits alone"),
        ("BEEF", "not that of the account's API certificate"),
        ("", "not that of the account's API certificate"),
    ],
)
def test_a_refused_serial_number_is_explained(serial: str, said: str) -> None:
    assert said in serial_hint(serial, "ABCDEF0123")


def test_the_expected_message_is_told_and_cut_like_the_real_service_cuts_it() -> None:
    assert expected(GET, authorization("")) == message(GET).decode()[:128]
    assert expected(SentSignature("GET", "/", b"", b"", ""), authorization("")) == f"GET\n/\n{STAMP}\n{NONCE}\n\n"


# In the log


def logged(asked: httpx.Request) -> dict[str, Any]:
    with contextlib.closing(World(keys())) as world:
        response = send(world, asked)
        assert response.status_code == 401
        (line,) = world.log()
        assert line["near_miss"] not in response.text or not line["near_miss"]
    return line


def wrongly_signed(signed: bytes, **more: Any) -> httpx.Request:
    stamp = str(int(time.time()))
    given = Authorization(
        "1900000001",
        NONCE,
        signing.sign(more.pop("key", merchant_key()), signed.replace(b"STAMP", stamp.encode())),
        stamp,
        keys().serial_no,
    )
    return request("GET", LIST, headers={"Authorization": given.header()}, **more)


def test_the_log_tells_the_near_miss_and_what_was_expected() -> None:
    line = logged(wrongly_signed(f"GET\n{LIST}\nSTAMP\n{NONCE}\n".encode()))
    assert line["verdict"] == "sign not match"
    assert line["near_miss"] == "signed with the right key, but over a message without its final newline"
    assert line["expected"] == f"GET\n{LIST}\n"[:128] or line["expected"].startswith(f"GET\n{LIST}\n")


def test_the_log_knows_the_platform_s_keys_by_name() -> None:
    for key, name in (
        (keys().platform.key, "the platform's key"),
        (keys().next_platform.key, "the key of the platform's next certificate"),
        (keys().wechatpay.key, "the WeChat Pay public key's private key"),
    ):
        assert f"signed with {name}" in logged(wrongly_signed(b"x", key=key))["near_miss"]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (lambda: request("GET", LIST, timestamp=str(int(time.time() * 1000))), "milliseconds"),
        (lambda: request("GET", LIST, serial_no=str(int(keys().serial_no, 16))), "decimal"),
        (lambda: upload_request(signed=multipart_body(META, PNG), meta=META), "whole multipart body"),
        (lambda: upload_request(signed=b""), "an empty body"),
        (lambda: request("GET", LIST, mchid="1900000099"), ""),
        (lambda: request("GET", LIST, headers={"Authorization": None}), ""),
    ],
)
def test_what_else_the_log_tells(asked: Callable[[], httpx.Request], said: str) -> None:
    found = logged(asked())["near_miss"]
    assert said in found
    assert bool(said) == bool(found)
