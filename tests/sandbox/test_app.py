"""The sandbox on the wire: signatures both ways, what survives, and the servers that people and tests run."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.x509 import load_pem_x509_certificate

from reconciler.model.errors import SandboxError
from reconciler.sandbox.api import LARGEST_BODY
from reconciler.sandbox.app import OPERATIONS
from reconciler.sandbox.control import Control, RunningSandbox, ask
from reconciler.sandbox.keys import Keys
from reconciler.sandbox.options import SandboxOptions
from reconciler.sandbox.server import Sandbox, find_running, serve
from reconciler.sandbox.store import Store
from reconciler.sandbox.world import World
from reconciler.wechatpay import signing, wire
from tests.support.signed import (
    BIG,
    LOGO,
    MCHID,
    PNG,
    SMALL,
    create_body,
    keys,
    merchant_key,
    multipart_body,
    request,
    send,
    upload_request,
)

LIST = f"{wire.ACTIVITIES_PATH}?offset=0&limit=10"
FOREIGN = SandboxOptions(foreign_images="accept")
CLOCK = "2026-03-01T12:00:00+08:00"
PROOF = ("Wechatpay-Timestamp", "Wechatpay-Nonce", "Wechatpay-Signature", "Wechatpay-Serial")


@pytest.fixture
def world() -> Iterator[World]:
    """A sandbox without a socket, on 1 March 2026, with one stock."""
    with contextlib.closing(World(keys(), options=FOREIGN)) as made:
        prepare(made)
        yield made


def prepare(sandbox: World | Control) -> None:
    sandbox.set_clock(CLOCK)
    validity = {
        "available_begin_time": "2026-01-01T00:00:00+08:00",
        "available_end_time": "2026-12-01T00:00:00+08:00",
    }
    sandbox.seed([{"stock_id": "1001", "coupon_use_rule": {"coupon_available_time": validity}}])


def refusal(response: httpx.Response) -> tuple[int, str, str]:
    body = response.json()
    return response.status_code, body["code"], body["message"]


def proven(response: httpx.Response) -> bool:
    """Whether the platform signed this answer; half a proof is a fault."""
    present = [name in response.headers for name in PROOF]
    assert all(present) or not any(present)
    if not present[0]:
        return False
    stamp, nonce, signature, serial = (response.headers[name] for name in PROOF)
    certificate = load_pem_x509_certificate(keys().platform_certificate_pem.encode())
    key = certificate.public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    assert serial == keys().platform_serial_no
    assert abs(time.time() - int(stamp)) < 60
    assert signing.verifies(key, signing.response_message(stamp, nonce, response.content), signature)
    return True


# Signatures


def test_a_signed_request_gets_a_signed_answer(world: World) -> None:
    response = send(world, request("GET", LIST))
    assert response.status_code == 200
    assert proven(response)
    assert response.headers["Content-Type"].startswith("application/json")
    assert response.headers["Content-Language"] == "zh-CN"
    assert response.headers["Request-ID"] == "SANDBOX-000000000001"


def test_answers_to_verified_requests_are_signed_also_when_they_refuse(world: World) -> None:
    for asked, expected in (
        (request("GET", "/v3/nowhere"), (404, "RESOURCE_NOT_EXISTS")),
        (request("GET", "/"), (404, "RESOURCE_NOT_EXISTS")),
        (request("POST", LIST), (405, "METHOD_NOT_ALLOWED")),
        (request("GET", f"{wire.ACTIVITIES_PATH}?offset=0"), (400, "PARAM_ERROR")),
        (request("GET", f"{wire.ACTIVITIES_PATH}/1"), (404, "RESOURCE_NOT_EXISTS")),
        (
            request("POST", wire.CREATE_PATH, create_body({"award_send_rule.award_type": "X"})),
            (400, "PARAM_ERROR"),
        ),
    ):
        response = send(world, asked)
        assert refusal(response)[:2] == expected
        assert proven(response)


def test_only_get_reads(world: World) -> None:
    assert send(world, request("HEAD", LIST)).status_code == 405


@pytest.mark.parametrize(
    ("method", "path", "status", "message"),
    [
        ("DELETE", wire.ACTIVITIES_PATH, 405, "请求方法应为GET"),
        ("GET", f"{wire.ACTIVITIES_PATH}/1/terminate", 405, "请求方法应为POST"),
        ("GET", f"{wire.ACTIVITIES_PATH}/", 404, "请求的资源不存在"),
        ("GET", f"{wire.ACTIVITIES_PATH}%0A?offset=0&limit=10", 404, "请求的资源不存在"),
        ("GET", f"{wire.ACTIVITIES_PATH}/1/merchants%0A", 404, "请求的资源不存在"),
        ("GET", f"{wire.ACTIVITIES_PATH}/1%0A", 404, "活动不存在"),
        ("POST", f"{wire.STOCKS_PATH}/1%0A", 405, "请求方法应为GET"),
        ("GET", f"{wire.ACTIVITIES_PATH}/a%2Fb", 404, "请求的资源不存在"),
    ],
)
def test_what_is_not_served_is_refused_like_anything_else(
    world: World, method: str, path: str, status: int, message: str
) -> None:
    """Signed, logged and with the headers of every answer; nothing of the router's own."""
    response = send(world, request(method, path))
    assert (response.status_code, response.json()["message"]) == (status, message)
    assert proven(response)
    assert [name.decode() for name, _ in response.headers.raw if not name.startswith(b"Wechatpay-")] == [
        *("Date", "Content-Type", "Content-Language", "Content-Length", "Request-ID")
    ]
    assert [(line["target"], line["status"]) for line in world.log()] == [(path, status)]


STRANGER = rsa.generate_private_key(65537, 2048)


def at(seconds: int) -> str:
    return str(int(time.time()) + seconds)


@pytest.mark.parametrize(
    ("asked", "issue"),
    [
        (lambda: request("GET", LIST, headers={"Authorization": None}), "Authorization scheme"),
        (lambda: request("GET", LIST, headers={"Authorization": "Basic abc"}), "Authorization scheme"),
        (lambda: request("GET", LIST, headers={"Authorization": signing.SCHEME + ' mchid="1"'}), "must hold exactly"),
        (lambda: request("GET", LIST, mchid="1900000099"), "mchid not exists"),
        (lambda: request("GET", LIST, serial_no="ABCDEF"), "serial_no not match"),
        (lambda: request("GET", LIST, serial_no="no number"), "serial_no not match"),
        (lambda: request("GET", LIST, timestamp=at(-320)), "timestamp expired"),
        (lambda: request("GET", LIST, timestamp=at(+320)), "timestamp expired"),
        (lambda: request("GET", LIST, timestamp="now"), "timestamp expired"),
        (lambda: request("GET", LIST, timestamp="9" * 5000), "timestamp expired"),
        (lambda: request("GET", LIST, key=STRANGER), "sign not match"),
        (lambda: signed_for("GET", wire.ACTIVITIES_PATH, LIST), "sign not match"),
        (lambda: signed_for("GET", f"{LIST}&activity_name=春", f"{LIST}&activity_name=%E6%98%A5"), "sign not match"),
        (lambda: signed_for("POST", LIST, LIST), "sign not match"),
        (lambda: terminating(b"null", signed=b""), "sign not match"),
        (lambda: terminating(b"", signed=b"{}"), "sign not match"),
        (lambda: upload_request(signed=b""), "sign not match"),
        (lambda: upload_request(multipart=multipart_body(b"{}", PNG, meta_more='; filename="m"')), "sign not match"),
    ],
)  # fmt: skip
def test_a_request_that_is_not_signed_as_sent_gets_401_and_no_proof(world: World, asked: Any, issue: str) -> None:
    response = send(world, asked())
    assert refusal(response)[:2] == (401, "SIGN_ERROR")
    assert not proven(response)
    assert response.headers["Request-ID"]
    detail = response.json()["detail"]
    assert issue in detail["detail"]["issue"]
    assert detail["location"] == "authorization"
    assert issue in world.log()[-1]["verdict"]


def signed_for(method: str, signed: str, sent: str) -> httpx.Request:
    authorization = request(method, signed).headers["Authorization"]
    return request("GET", sent, headers={"Authorization": authorization})


def terminating(body: bytes, *, signed: bytes) -> httpx.Request:
    target = f"{wire.ACTIVITIES_PATH}/1/terminate"
    authorization = request("POST", target, signed).headers["Authorization"]
    return request("POST", target, body, headers={"Authorization": authorization})


def test_a_wrong_signature_is_explained_with_what_should_have_been_signed(world: World) -> None:
    information = send(world, request("GET", LIST, key=STRANGER)).json()["detail"]["sign_information"]
    assert information["method"] == "GET"
    assert information["url"] == LIST
    assert information["truncated_sign_message"].startswith(f"GET\n{LIST}\n")


@pytest.mark.parametrize(
    "asked",
    [
        lambda: request("GET", LIST, serial_no=keys().serial_no.lstrip("0").lower()),
        lambda: request("GET", LIST, serial_no="00" + keys().serial_no),
        lambda: request("GET", LIST, timestamp=at(-290)),
        lambda: request("GET", LIST, timestamp=at(+290)),
        lambda: request("GET", LIST, headers={"Accept": "*/*", "Content-Type": "", "Wechatpay-Serial": ""}),
        lambda: request("GET", f"{LIST}&activity_name=%E6%98%A5"),
        lambda: request("GET", f"{LIST}&activity_name=%e6%98%a5%20'"),
    ],
)
def test_what_real_clients_do_is_accepted(world: World, asked: Any) -> None:
    assert send(world, asked()).status_code == 200


def test_the_same_get_with_the_same_nonce_again_is_fine(world: World) -> None:
    asked = request("GET", LIST)
    assert send(world, asked, asked).status_code == 200


@pytest.mark.parametrize("headers", [{"User-Agent": None}, {"Accept": None}, {"Accept": "text/html"}])
def test_user_agent_and_accept_are_required(world: World, headers: dict[str, str | None]) -> None:
    response = send(world, request("GET", LIST, headers=headers))
    assert refusal(response)[:2] == (400, "PARAM_ERROR")
    assert not proven(response)


def test_an_empty_nonce_is_refused(world: World) -> None:
    header = request("GET", LIST, nonce="x").headers["Authorization"].replace('nonce_str="x"', 'nonce_str=""')
    assert refusal(send(world, request("GET", LIST, headers={"Authorization": header})))[0] == 401


def test_a_body_that_is_too_large_is_refused_before_it_is_read_to_its_end(world: World) -> None:
    response = send(world, request("POST", wire.CREATE_PATH, b" " * (LARGEST_BODY + 1)))
    assert refusal(response)[:2] == (413, "PARAM_ERROR")


def test_a_json_body_must_be_called_one(world: World) -> None:
    response = send(world, request("POST", wire.CREATE_PATH, create_body(), headers={"Content-Type": "text/plain"}))
    assert refusal(response) == (400, "PARAM_ERROR", "Http头Content-Type应为application/json")


# Endpoints


def test_an_activity_lives_from_create_to_terminate_over_all_eight_endpoints(world: World) -> None:
    created = send(world, request("POST", wire.CREATE_PATH, create_body()))
    activity_id = created.json()["activity_id"]
    one = f"{wire.ACTIVITIES_PATH}/{activity_id}"
    listed = send(world, request("GET", LIST)).json()
    assert [each["activity_id"] for each in listed["data"]] == [activity_id]
    assert send(world, request("GET", one)).json()["activity_id"] == activity_id
    assert send(world, request("GET", f"{one}/goods?offset=0&limit=20")).json()["data"] == []
    change = {"merchant_id_list": ["1900000002", "1900000003"], "add_request_no": "a1"}
    assert send(world, request("POST", f"{one}/merchants/add", change)).json()["invalid_merchant_id_list"] == []
    change = {"merchant_id_list": ["1900000003"], "delete_request_no": "d1"}
    assert "delete_time" in send(world, request("POST", f"{one}/merchants/delete", change)).json()
    page = send(world, request("GET", f"{one}/merchants")).json()
    assert [each["mchid"] for each in page["data"]] == [MCHID, "1900000002"]
    assert refusal(send(world, request("POST", f"{one}/terminate", {})))[1] == "PARAM_ERROR"
    assert send(world, request("POST", f"{one}/terminate")).json()["terminate_time"] == CLOCK
    (truth,) = world.activities()
    assert truth["activity_status"] == "TERMINATE_ACT_STATUS"
    assert truth["merchants"] == [MCHID, "1900000002"]
    assert truth["body"] == create_body()
    number = create_body()["activity_base_info"]["out_request_no"]
    assert [(line["effect"], line["request_no"], line["merchants"]) for line in world.history()] == [
        ("created", number, [MCHID]),
        ("merchants added", "a1", ["1900000002", "1900000003"]),
        ("merchants deleted", "d1", ["1900000003"]),
        ("terminated", "", []),
    ]


def test_repeating_a_create_makes_no_second_activity(world: World) -> None:
    asked = request("POST", wire.CREATE_PATH, create_body())
    assert send(world, asked).json() == send(world, asked).json()
    other = send(world, request("POST", wire.CREATE_PATH, create_body({"activity_base_info.activity_name": "别的"})))
    assert refusal(other) == (400, "INVALID_REQUEST", "创建请求重入但与上次请求信息不一致")
    assert len(world.history()) == 1


def test_stocks_are_created_and_queried(world: World) -> None:
    content = send(world, request("GET", f"{wire.STOCKS_PATH}/1001")).json()
    assert wire.Stock.model_validate(content).stock_state == "RUNNING"
    made = {name: value for name, value in content.items() if name not in ("stock_id", "stock_state")}
    created = send(world, request("POST", wire.STOCKS_PATH, made | {"out_request_no": "s1"})).json()
    assert send(world, request("GET", f"{wire.STOCKS_PATH}/{created['stock_id']}")).status_code == 200


@pytest.mark.parametrize("query", ["", "?algorithm_type=RSA", "?algorithm_type=ALL"])
def test_the_platform_certificate_comes_encrypted_and_signed(world: World, query: str) -> None:
    response = send(world, request("GET", wire.CERTIFICATES_PATH + query))
    assert proven(response)
    (entry,) = wire.Certificates.model_validate(response.json()).data
    sealed = entry.encrypt_certificate
    plain = AESGCM(keys().apiv3_key.encode()).decrypt(
        sealed.nonce.encode(), base64.b64decode(sealed.ciphertext), sealed.associated_data.encode()
    )
    assert plain.decode() == keys().platform_certificate_pem
    assert entry.serial_no == response.headers["Wechatpay-Serial"]
    assert len(entry.serial_no) == 40
    assert entry.serial_no.upper() == entry.serial_no


def test_there_is_no_sm2_certificate(world: World) -> None:
    assert send(world, request("GET", f"{wire.CERTIFICATES_PATH}?algorithm_type=SM2")).json() == {"data": []}
    unknown = send(world, request("GET", f"{wire.CERTIFICATES_PATH}?algorithm_type=DSA"))
    assert refusal(unknown)[1] == "PARAM_ERROR"


@pytest.mark.parametrize(
    "content_type",
    ["multipart/form-data; boundary=B", 'multipart/form-data; boundary="B"', "multipart/form-data"],
)
def test_a_picture_is_uploaded_and_served(world: World, content_type: str) -> None:
    response = send(world, upload_request(content_type=content_type))
    url = response.json()["media_url"]
    served = send(world, httpx.Request("GET", url.replace("https://wxpaylogo.qpic.cn", "http://127.0.0.1")))
    assert (served.content, served.headers["Content-Type"]) == (PNG, "image/png")
    assert send(world, httpx.Request("GET", "http://127.0.0.1/wxpaylogo/none/0")).status_code == 404


def test_an_uploaded_picture_can_be_used(world: World) -> None:
    strict = World(keys())
    prepare(strict)
    picture = send(strict, upload_request()).json()["media_url"]
    text = json.dumps(create_body())
    for url in (LOGO, BIG, SMALL):
        text = text.replace(url, picture)
    assert refusal(send(strict, request("POST", wire.CREATE_PATH, create_body())))[1] == "PARAM_ERROR"
    assert send(strict, request("POST", wire.CREATE_PATH, json.loads(text))).status_code == 200
    strict.close()


@pytest.mark.parametrize(
    ("asked", "status", "message"),
    [
        (lambda: upload_request(meta={"filename": "a.png", "sha256": "0"}), 403, "图片meta信息不一致"),
        (lambda: upload_request(b"not a picture"), 403, "未知图片类型"),
        (lambda: upload_request(b""), 400, "图片文件为空"),
        (lambda: upload_request(PNG + b"\0" * 2 * 1024 * 1024), 400, "图片文件大小不能超过2M"),
        (lambda: upload_request(multipart=b"--B--", signed=b""), 403, "图片meta信息不一致"),
    ],
)
def test_a_bad_picture_is_refused_with_a_signed_answer(world: World, asked: Any, status: int, message: str) -> None:
    response = send(world, asked())
    assert (response.status_code, response.json()["message"]) == (status, message)
    assert proven(response)


# The log


def test_the_log_tells_each_request_and_no_secret(world: World) -> None:
    bad = request("GET", LIST, key=STRANGER)
    send(world, request("GET", LIST), bad, request("GET", "/v3/nowhere"))
    lines = world.log()
    assert [(each["n"], each["status"], each["code"], each["verdict"]) for each in lines] == [
        (1, 200, "", "ok"),
        (2, 401, "SIGN_ERROR", "sign not match"),
        (3, 404, "RESOURCE_NOT_EXISTS", "ok"),
    ]
    assert (lines[0]["method"], lines[0]["target"], lines[0]["request_id"]) == (
        "GET",
        LIST,
        "SANDBOX-000000000001",
    )
    assert datetime.fromisoformat(lines[0]["at"]).tzinfo is not None
    assert world.log(limit=1) == lines[-1:]
    signature = signing.Authorization.parse(bad.headers["Authorization"]).signature
    assert signature not in json.dumps(lines)


def test_the_log_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reconciler.sandbox.store._TRIM_EVERY", 5)
    with contextlib.closing(Store(None, log_rows=10)) as store:
        for n in range(1, 31):
            store.record(n, {})
        assert [line["n"] for line in store.log()] == list(range(21, 31))


# Control


def test_the_clock_moves_statuses_but_not_signatures(world: World) -> None:
    activity_id = send(world, request("POST", wire.CREATE_PATH, create_body())).json()["activity_id"]
    world.set_clock("+1d")
    response = send(world, request("GET", f"{wire.ACTIVITIES_PATH}/{activity_id}"))
    assert response.json()["activity_status"] == "ONGOING_ACT_STATUS"
    assert proven(response)


def post(world: World, operation: str, body: bytes, content_type: str = "application/json") -> httpx.Response:
    url = f"http://127.0.0.1/sandbox/{operation}"
    return send(world, httpx.Request("POST", url, content=body, headers={"Content-Type": content_type}))


@pytest.mark.parametrize(
    ("operation", "body", "content_type", "status"),
    [
        ("close", b"{}", "application/json", 404),
        ("__init__", b"{}", "application/json", 404),
        ("reset", b"{}", "text/plain", 400),
        ("reset", b"nonsense", "application/json", 400),
        ("reset", b'{"surprise": 1}', "application/json", 400),
        ("set_clock", b'{"text": "tomorrow"}', "application/json", 400),
        ("pause", b'{"activity_id": "1"}', "application/json", 404),
    ],
)
def test_a_control_request_that_makes_no_sense_is_refused(
    world: World, operation: str, body: bytes, content_type: str, status: int
) -> None:
    assert post(world, operation, body, content_type).status_code == status


def test_control_and_world_offer_the_same_operations() -> None:
    for operation in OPERATIONS:
        assert callable(getattr(World, operation))
        assert callable(getattr(Control, operation))


# Servers


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    with Sandbox(tmp_path, options=FOREIGN, keys=keys()) as embedded:
        prepare(embedded)
        yield embedded


def ask_api(sandbox: Control, method: str, target: str, body: Any = b"") -> httpx.Response:
    with httpx.Client() as client:
        return client.send(request(method, target, body, base_url=sandbox.base_url))


def test_an_embedded_sandbox_can_be_used_and_controlled(sandbox: Sandbox) -> None:
    assert sandbox.mchid == MCHID
    assert sandbox.serial_no == keys().serial_no
    assert sandbox.private_key_pem == keys().merchant_key_pem
    assert sandbox.apiv3_key == keys().apiv3_key
    assert abs(sandbox.now() - datetime(2026, 3, 1, 4, tzinfo=UTC)) < timedelta(minutes=1)
    assert sandbox.now().utcoffset() == timedelta(0)
    created = ask_api(sandbox, "POST", wire.CREATE_PATH, create_body())
    activity_id = created.json()["activity_id"]
    assert proven(created)
    sandbox.pause(activity_id)
    assert sandbox.activities()[0]["activity_status"] == "STOP_ACT_STATUS"
    sandbox.resume(activity_id)
    sandbox.fail_creation(activity_id)
    assert sandbox.activities()[0]["activity_status"] == "CREATE_ACT_FAILED"
    item = {"activity_base_info": create_body({"activity_base_info.out_request_no": ...})["activity_base_info"]}
    inserted = sandbox.insert_activity(item, ["1900000002"])
    sandbox.add_brand(["1900000008", "1900000009"])
    sandbox.declare_invalid("1900000004")
    sandbox.declare_invalid("1900000005", "理由")
    sandbox.declare_invalid("1900000006")
    sandbox.declare_valid("1900000006")
    change = {
        "merchant_id_list": ["1900000004", "1900000005", "1900000006", "1900000008"],
        "add_request_no": "a",
    }
    answer = ask_api(sandbox, "POST", f"{wire.ACTIVITIES_PATH}/{inserted}/merchants/add", change).json()
    assert [each["invalid_reason"] for each in answer["invalid_merchant_id_list"]] == [
        "商户与活动创建方不具备父子关系",
        "理由",
    ]
    assert [line["effect"] for line in sandbox.history()] == ["created", "merchants added"]
    assert len(sandbox.log()) == 2
    with pytest.raises(SandboxError, match="活动不存在"):
        sandbox.pause("1")


def test_a_reset_forgets_everything_but_the_keys_and_the_ids_given_out(sandbox: Sandbox) -> None:
    first = ask_api(sandbox, "POST", wire.CREATE_PATH, create_body()).json()["activity_id"]
    sandbox.reset()
    assert (sandbox.activities(), sandbox.history(), sandbox.log()) == ([], [], [])
    assert abs(sandbox.now() - datetime.now(UTC)) < timedelta(minutes=1)
    prepare(sandbox)
    second = ask_api(sandbox, "POST", wire.CREATE_PATH, create_body()).json()["activity_id"]
    assert int(second) > int(first)


def test_header_names_keep_the_case_of_the_real_service(sandbox: Sandbox) -> None:
    asked = request("GET", LIST, base_url=sandbox.base_url, headers={"Connection": "close"})
    head = "".join(f"{name}: {value}\r\n" for name, value in asked.headers.items())
    with socket.create_connection(("127.0.0.1", int(sandbox.base_url.rpartition(":")[2]))) as raw:
        raw.sendall(f"GET {LIST} HTTP/1.1\r\n{head}\r\n".encode())
        answer = b"".join(iter(lambda: raw.recv(65536), b""))
    names = {line.partition(b":")[0].decode() for line in answer.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]}
    assert names >= {
        *PROOF,
        "Wechatpay-Signature-Type",
        "Request-ID",
        "Content-Type",
        "Content-Language",
        "Date",
    }


def test_a_chunked_upload_is_read(sandbox: Sandbox) -> None:
    asked = upload_request(base_url=sandbox.base_url)
    content = asked.read()
    headers = {name: value for name, value in asked.headers.items() if name != "content-length"}
    with httpx.Client() as client:
        response = client.post(asked.url, headers=headers, content=iter([content[:50], content[50:]]))
    assert response.status_code == 200


def test_1200_merchants_and_a_client_that_goes_away_are_no_trouble(sandbox: Sandbox) -> None:
    merchants = [str(1900000001 + n) for n in range(1200)]
    activity_id = sandbox.insert_activity({"activity_base_info": create_body()["activity_base_info"]}, merchants)
    port = int(sandbox.base_url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as raw:
        raw.sendall(f"POST {wire.CREATE_PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{{".encode())
    (truth,) = sandbox.activities()
    assert truth["merchants"] == merchants
    page = ask_api(sandbox, "GET", f"{wire.ACTIVITIES_PATH}/{activity_id}/merchants?offset=23&limit=50").json()
    assert page["data"][-1]["mchid"] == merchants[-1]


def test_what_was_done_is_there_after_a_restart(tmp_path: Path) -> None:
    with Sandbox(tmp_path, keys=keys()) as first:
        prepare(first)
        picture = client_upload(first)
        text = json.dumps(create_body())
        for url in (LOGO, BIG, SMALL):
            text = text.replace(url, picture)
        created = ask_api(first, "POST", wire.CREATE_PATH, json.loads(text)).json()
        before = (first.activities(), first.history(), first.log())
    with Sandbox(tmp_path, keys=keys()) as second:
        assert (second.activities(), second.history(), second.log()) == before
        assert second.now() < datetime(2026, 3, 2, tzinfo=UTC)
        assert ask_api(second, "POST", wire.CREATE_PATH, json.loads(text)).json() == created
        assert second.log()[-1]["n"] == len(before[2]) + 1
        path = picture.removeprefix("https://wxpaylogo.qpic.cn")
        assert httpx.get(second.base_url + path).content == PNG


def client_upload(sandbox: Control) -> str:
    with httpx.Client() as client:
        url: str = client.send(upload_request(base_url=sandbox.base_url)).json()["media_url"]
    return url


def test_two_processes_cannot_use_one_directory(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reconciler.sandbox.store.PATIENCE_SECONDS", 0.05)
    with pytest.raises(SandboxError, match="in use"):
        Store(sandbox.directory)


def test_a_memory_of_another_format_or_broken_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "memory.db")) as foreign:
        foreign.execute("PRAGMA user_version=99")
    with pytest.raises(SandboxError, match=r"format is 99.*Remove memory\.db"):
        Sandbox(tmp_path, keys=keys()).__enter__()
    (tmp_path / "memory.db").write_bytes(b"no database" * 100)
    with pytest.raises(SandboxError, match="cannot be used"):
        Store(tmp_path)


def test_a_failed_write_changes_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_effect: object) -> str:
        raise OSError("disk full")

    monkeypatch.setattr("reconciler.sandbox.store._history", fail)
    with pytest.raises(OSError, match="disk full"):
        send(world, request("POST", wire.CREATE_PATH, create_body()))
    monkeypatch.undo()
    assert world.activities() == []
    assert send(world, request("POST", wire.CREATE_PATH, create_body())).status_code == 200


SERVE = """
import sys
from pathlib import Path
from reconciler.sandbox.server import SandboxOptions, serve
options = SandboxOptions(foreign_images="accept")
serve(Path(sys.argv[1]), options=options, ready=lambda server: print(server.base_url, flush=True))
"""


@contextlib.contextmanager
def served(directory: Path) -> Iterator[subprocess.Popen[str]]:
    """``serve`` in a process of its own, ready; killed in the end if it still runs."""
    command = [sys.executable, "-c", SERVE, str(directory)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("http://127.0.0.1:")
            yield process
        finally:
            process.kill()


def running(directory: Path) -> RunningSandbox:
    found = find_running(directory)
    assert found is not None
    return found


def test_an_accepted_write_survives_kill_9(tmp_path: Path) -> None:
    keys().write(tmp_path / "keys")
    with served(tmp_path) as process:
        first = running(tmp_path)
        prepare(first)
        created = ask_api(first, "POST", wire.CREATE_PATH, create_body()).json()
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert (tmp_path / "server.json").exists()
    assert find_running(tmp_path) is None
    with Sandbox(tmp_path, options=FOREIGN) as second:
        assert [each["activity_id"] for each in second.activities()] == [created["activity_id"]]
        assert ask_api(second, "POST", wire.CREATE_PATH, create_body()).json() == created
        assert [line["target"] for line in second.log()] == [wire.CREATE_PATH] * 2


def test_a_served_sandbox_is_found_from_elsewhere_and_leaves_no_trace(tmp_path: Path) -> None:
    keys().write(tmp_path / "keys")
    with served(tmp_path) as process:
        found = running(tmp_path)
        assert (found.mchid, found.serial_no, found.directory) == (MCHID, keys().serial_no, tmp_path)
        assert found.private_key_file.read_text() == keys().merchant_key_pem
        assert ask_api(found, "GET", LIST).status_code == 200
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
    assert not (tmp_path / "server.json").exists()


def test_a_note_that_another_server_left_counts_for_nothing(sandbox: Sandbox, tmp_path: Path) -> None:
    assert find_running(tmp_path) is None
    note = tmp_path / "server.json"
    for text in (
        "nonsense",
        "[]",
        "{}",
        json.dumps({"base_url": sandbox.base_url, "pid": 1, "directory": "elsewhere"}),
    ):
        note.write_text(text)
        assert find_running(tmp_path) is None


def test_only_loopback_addresses_and_free_ports_are_served(sandbox: Sandbox, tmp_path: Path) -> None:
    keys().write(tmp_path / "other" / "keys")
    taken = int(sandbox.base_url.rpartition(":")[2])
    for host, port in (("0.0.0.0", 0), ("example.com", 0), ("127.0.0.1", taken)):
        with pytest.raises(SandboxError):
            serve(tmp_path / "other", host=host, port=port)


def test_serving_a_directory_in_use_is_an_error(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reconciler.sandbox.store.PATIENCE_SECONDS", 0.05)
    keys().write(sandbox.directory / "keys")
    with pytest.raises(SandboxError, match="in use"):
        serve(sandbox.directory)


def test_an_unreachable_sandbox_is_an_error() -> None:
    with pytest.raises(SandboxError, match="cannot be reached"):
        ask("http://127.0.0.1:1", "/sandbox/about")


# Keys


def test_keys_are_made_once_and_read_back_with_private_files_private(tmp_path: Path) -> None:
    made = Keys.in_directory(tmp_path)
    assert Keys.in_directory(tmp_path) == made
    assert made.mchid == "1900000001"
    assert len(made.apiv3_key.encode()) == 32
    assert len(made.serial_no) == 40
    assert load_pem_x509_certificate(made.merchant_certificate_pem.encode()).serial_number == int(made.serial_no, 16)
    for path in (tmp_path / "keys").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "PRIVATE" not in repr(made)
    assert made.apiv3_key not in repr(made)


def test_keys_written_by_somebody_faster_stay(tmp_path: Path) -> None:
    keys().write(tmp_path / "keys")
    Keys.generate(mchid="1900000002").write(tmp_path / "keys")
    assert Keys.read(tmp_path / "keys") == keys()
    assert [path.name for path in tmp_path.iterdir()] == ["keys"]


def test_keys_that_cannot_be_read_or_written_are_an_error_with_a_remedy(tmp_path: Path) -> None:
    keys().write(tmp_path / "keys")
    elliptic = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    for content in (b"no key", elliptic):
        (tmp_path / "keys" / "platform.key.pem").write_bytes(content)
        with pytest.raises(SandboxError, match="Remove that directory"):
            Sandbox(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(SandboxError, match="cannot be made"):
        Sandbox(tmp_path / "file")
    with pytest.raises(NotADirectoryError):
        keys().write(tmp_path / "file" / "keys")


def test_the_merchant_s_key_is_the_one_that_requests_are_checked_with() -> None:
    assert merchant_key().public_key().public_numbers() == keys().merchant_public_key.public_numbers()
