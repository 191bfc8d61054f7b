"""What official SDKs put on the wire, sent as raw bytes to `paygift sandbox serve` (API §11).

Seen from the Go, Java and PHP SDKs, which are not run here. What tests/sandbox/test_app.py already asks of the sandbox
is not asked again; docs/interop.md lists both.
"""

from __future__ import annotations

import hashlib
import json
import re
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.client import HTTPResponse
from typing import Any
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from reconciler.sandbox.control import RunningSandbox
from reconciler.wechatpay import signing, wire
from tests.support.images import png
from tests.support.signed import BIG, LOGO, MCHID, SMALL, authorization, create_body, keys, multipart_body

LIST = f"{wire.ACTIVITIES_PATH}?offset=0&limit=10"
RSA = f"{wire.CERTIFICATES_PATH}?algorithm_type=RSA"
GO = {
    "User-Agent": "WechatPay-Go/0.2.21 (linux) GO/go1.22.2",
    "Accept": "*/*",
    "Accept-Encoding": "gzip",
}
JAVA = {
    "User-Agent": "WechatPay-Java/0.2.17 (Linux/6.1.0) Java/17.0.11 Crypto/WechatPay2Credential okhttp3/4.12.0",
    "Accept": "application/json",
    "Content-Type": "application/json",
    "Wechatpay-Serial": "",
    "Connection": "Keep-Alive",
    "Accept-Encoding": "gzip",
}
PHP = {
    "User-Agent": "wechatpay-php/1.4.12 GuzzleHttp/7 curl/8.5.0 (Linux/6.1.0) PHP/8.3.6",
    "Accept": "application/json, text/plain, application/x-gzip",
    "Content-Type": "application/json; charset=utf-8",
}
ORDERS = {
    "Java": ("mchid", "nonce_str", "timestamp", "serial_no", "signature"),
    "PHP": ("mchid", "serial_no", "timestamp", "nonce_str", "signature"),
}
PROOF = {
    *("Wechatpay-Timestamp", "Wechatpay-Nonce", "Wechatpay-Signature", "Wechatpay-Serial"),
    "Wechatpay-Signature-Type",
}


@dataclass(frozen=True, slots=True)
class Received:
    """An answer, with the names of its headers as they came."""

    status: int
    headers: dict[str, str]
    content: bytes

    @property
    def body(self) -> Any:
        return json.loads(self.content)


Send = Callable[..., Received]


@pytest.fixture
def send(sandbox: RunningSandbox) -> Send:
    """Send one request on a connection of its own, with exactly these headers and bytes. ``signed`` is what its
    signature covers in place of its body."""

    def sending(
        method: str,
        target: str,
        body: bytes = b"",
        *,
        headers: Mapping[str, str] = GO,
        signed: bytes | None = None,
        length: bool = True,
        order: str = "Java",
    ) -> Received:
        given = authorization(method, target, body if signed is None else signed)
        sent = {"Host": "api.mch.weixin.qq.com", **headers, "Authorization": ordered(given, order)}
        if body and length:
            sent["Content-Length"] = str(len(body))
        if sent.get("Transfer-Encoding") == "chunked":
            body = chunked(body)
        return exchange(sandbox, head(method, target, sent), body, waits="Expect" in sent)

    return sending


def head(method: str, target: str, headers: Mapping[str, str]) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "".join(f"{line}\r\n" for line in [*lines, ""]).encode()


def ordered(header: str, order: str) -> str:
    """The parts of an Authorization in the order of that SDK."""
    scheme, _, parts = header.partition(" ")
    values = dict(re.findall(r'(\w+)="([^"]*)"', parts))
    return f"{scheme} " + ",".join(f'{name}="{values[name]}"' for name in ORDERS[order])


def chunked(body: bytes, size: int = 100) -> bytes:
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in [*pieces, b""])


def connected(sandbox: RunningSandbox) -> socket.socket:
    address = urlsplit(sandbox.base_url)
    return socket.create_connection((address.hostname, address.port), timeout=10)


def exchange(sandbox: RunningSandbox, first: bytes, body: bytes, *, waits: bool = False) -> Received:
    """``waits``: send the body only after the server has asked for it (100 Continue)."""
    with connected(sandbox) as connection:
        connection.sendall(first)
        if waits:
            assert connection.recv(1000).startswith(b"HTTP/1.1 100 ")
        connection.sendall(body)
        response = HTTPResponse(connection)
        response.begin()
        return Received(response.status, dict(response.getheaders()), response.read())


def picture_upload(content: bytes, *, kind: str = "Content-Type: application/json\r\n") -> tuple[bytes, bytes]:
    """The meta JSON, and a multipart body whose meta part has the headers ``kind``."""
    meta = json.dumps({"filename": "a.png", "sha256": hashlib.sha256(content).hexdigest()}).encode()
    return meta, multipart_body(meta, content).replace(b"Content-Type: application/json\r\n", kind.encode())


def create(send: Send, number: str, **how: Any) -> Received:
    """Upload a picture and create an activity with it; ``how`` is about the sending of the second."""
    meta, multipart = picture_upload(png(7))
    form = {**GO, "Content-Type": "multipart/form-data; boundary=B"}
    url = send("POST", wire.IMAGE_UPLOAD_PATH, multipart, headers=form, signed=meta).body["media_url"]
    text = json.dumps(create_body({"activity_base_info.out_request_no": number}), ensure_ascii=False)
    for placeholder in (LOGO, BIG, SMALL):
        text = text.replace(placeholder, url)
    # The Go SDK's JSON ends with a new line, which is part of what is signed.
    body = f"{text}\n".encode()
    return send("POST", wire.CREATE_PATH, body, **{"headers": {**GO, "Content-Type": "application/json"}, **how})


@pytest.mark.parametrize(
    "headers",
    [
        {**GO, "Content-Type": ""},
        {**GO, "Content-Type": "application/json"},
        JAVA,
        {**JAVA, "Accept": "*/*"},
        PHP,
        {name.lower(): value for name, value in JAVA.items()},
    ],
    ids=["Go", "Go, generic get", "Java", "Java, certificates", "PHP", "names in lower case"],
)
@pytest.mark.parametrize("target", [LIST, RSA])
@pytest.mark.parametrize("order", ORDERS)
def test_a_get_as_sdks_send_it(send: Send, headers: dict[str, str], target: str, order: str) -> None:
    received = send("GET", target, headers=headers, order=order)
    assert received.status == 200
    assert isinstance(received.body["data"], list)


@pytest.mark.parametrize(
    "headers",
    [
        {**GO, "Content-Type": ""},
        {**GO, "Content-Type": "application/json", "Content-Length": "0"},
        {**JAVA, "Content-Length": "0"},
        {**PHP, "Content-Length": "0"},
        {**PHP, "Transfer-Encoding": "chunked"},
    ],
    ids=["Go", "Go, with a length", "Java", "PHP", "chunks, but none"],
)
def test_a_terminate_without_a_body_is_read_as_one(send: Send, headers: dict[str, str]) -> None:
    received = send("POST", f"{wire.ACTIVITIES_PATH}/404/terminate", headers=headers)
    assert (received.status, received.body["code"]) == (404, "RESOURCE_NOT_EXISTS")


def test_a_chunked_json_body_is_read(send: Send) -> None:
    headers = {**PHP, "Transfer-Encoding": "chunked"}
    assert create(send, "chunked", headers=headers, length=False).status == 200


@pytest.mark.parametrize("content_type", ["multipart/form-data; boundary=B", "multipart/form-data"])
@pytest.mark.parametrize(
    "kind",
    [
        "",
        "Content-Type: application/json; charset=UTF-8\r\nContent-Transfer-Encoding: 8bit\r\n",
        "Content-Type: application/json\r\nContent-Length: 100\r\n",
    ],
    ids=["no type", "Apache HttpClient", "a length"],
)
def test_an_upload_is_read_whatever_is_said_of_its_meta_part(send: Send, content_type: str, kind: str) -> None:
    meta, multipart = picture_upload(png(1), kind=kind)
    headers = {**JAVA, "Accept": "*/*", "Content-Type": content_type}
    received = send("POST", wire.IMAGE_UPLOAD_PATH, multipart, headers=headers, signed=meta)
    assert received.status == 200
    assert received.body["media_url"].startswith("https://wxpaylogo.qpic.cn/")


def test_a_large_upload_waits_until_it_is_asked_for(send: Send) -> None:
    """curl, and so the PHP SDK, asks first when a body is larger than 1 MB."""
    meta, multipart = picture_upload(png(2) + bytes(1_500_000))
    headers = {**PHP, "Content-Type": "multipart/form-data; boundary=B", "Expect": "100-continue"}
    assert send("POST", wire.IMAGE_UPLOAD_PATH, multipart, headers=headers, signed=meta).status == 200


def test_a_meta_part_with_a_filename_is_refused(send: Send) -> None:
    meta, multipart = picture_upload(png(3))
    multipart = multipart.replace(b'name="meta";', b'name="meta"; filename="meta.json"')
    headers = {**JAVA, "Content-Type": "multipart/form-data; boundary=B"}
    received = send("POST", wire.IMAGE_UPLOAD_PATH, multipart, headers=headers, signed=meta)
    assert (received.status, received.body["code"]) == (401, "SIGN_ERROR")


def test_a_get_repeated_after_a_dropped_connection_is_answered(sandbox: RunningSandbox) -> None:
    """Go, OkHttp, Apache HttpClient and curl send the same bytes again, the nonce and its signature with them."""
    asked = head("GET", LIST, {"Host": "localhost", **GO, "Authorization": authorization("GET", LIST)})
    with connected(sandbox) as dropped:
        dropped.sendall(asked)
    assert [exchange(sandbox, asked, b"").status for _ in range(2)] == [200, 200]


def test_every_answer_has_the_headers_that_sdks_look_for_in_their_case(send: Send) -> None:
    """Java compares names case-sensitively, wants JSON to be called so, and compares the serial as a string."""
    created = create(send, "headers")
    activity = f"{wire.ACTIVITIES_PATH}/{created.body['activity_id']}"
    meta, multipart = picture_upload(png(4))
    form = {**GO, "Content-Type": "multipart/form-data; boundary=B"}
    typed = {**GO, "Content-Type": "application/json"}
    added = {"merchant_id_list": ["1900000002"], "add_request_no": "headers_a"}
    deleted = {"merchant_id_list": [MCHID], "delete_request_no": "headers_d"}
    certificates = send("GET", RSA)
    answers = [
        created,
        certificates,
        send("POST", wire.IMAGE_UPLOAD_PATH, multipart, headers=form, signed=meta),
        send("GET", LIST),
        send("GET", activity),
        send("GET", f"{activity}/merchants?offset=0&limit=20"),
        send("GET", f"{activity}/goods?offset=0&limit=20"),
        send("POST", f"{activity}/merchants/add", json.dumps(added).encode(), headers=typed),
        send("POST", f"{activity}/merchants/delete", json.dumps(deleted).encode(), headers=typed),
        send("POST", f"{activity}/terminate"),
    ]
    assert [answer.status for answer in answers] == [200] * len(answers)
    (listed,) = certificates.body["data"]
    for answer in answers:
        assert {*PROOF, "Request-ID", "Date"} <= answer.headers.keys()
        assert re.fullmatch(r"application/json(; charset=utf-8)?", answer.headers["Content-Type"])
        assert "Content-Encoding" not in answer.headers
        assert answer.headers["Wechatpay-Serial"] == listed["serial_no"]
        assert answer.headers["Wechatpay-Signature-Type"] == signing.SCHEME
        assert proven(answer)


def proven(answer: Received) -> bool:
    key = x509.load_pem_x509_certificate(keys().platform_certificate_pem.encode()).public_key()
    assert isinstance(key, RSAPublicKey)
    message = signing.response_message(
        answer.headers["Wechatpay-Timestamp"], answer.headers["Wechatpay-Nonce"], answer.content
    )
    return signing.verifies(key, message, answer.headers["Wechatpay-Signature"])


@pytest.mark.parametrize(
    "target",
    [
        f"{LIST}&activity_name=%E6%98%A5",
        f"{LIST}&activity_name=a+b",
        f"{LIST}&activity_name=a%20b",
        f"{LIST}&activity_name=a%2fb%2Fc",
        f"{LIST}&award_type=BUSIFAVOR&activity_status=ONGOING_ACT_STATUS",
    ],
)
def test_a_query_is_verified_as_it_was_written(send: Send, target: str) -> None:
    assert send("GET", target).status == 200
