"""Faults on command: which request each strikes, and what a client then sees, without a socket and over one."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import random
import re
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from cryptography.x509 import load_pem_x509_certificate

from reconciler.model.errors import SandboxError
from reconciler.sandbox import faults
from reconciler.sandbox.api import UNKNOWN_SERIAL, ConnectionDropped
from reconciler.sandbox.api_error import ApiErrorResponse
from reconciler.sandbox.faults import KINDS, ROUTES, Fault, Stage, parse, strike
from reconciler.sandbox.keys import Keys
from reconciler.sandbox.options import SandboxOptions
from reconciler.sandbox.server import Sandbox
from reconciler.sandbox.world import World
from reconciler.wechatpay import signing, wire
from tests.support.signed import MCHID, InProcess, create_body, keys, request, send, upload_request

LIST = f"{wire.ACTIVITIES_PATH}?offset=0&limit=10"
FOREIGN = SandboxOptions(foreign_images="accept")
STOCK = {
    "stock_id": "1001",
    "coupon_use_rule": {
        "coupon_available_time": {
            "available_begin_time": "2026-01-01T00:00:00+08:00",
            "available_end_time": "2026-12-01T00:00:00+08:00",
        }
    },
}
OTHERS = ["1900000002", "1900000003", "1900000004", "1900000005", "1900000006"]


@contextlib.contextmanager
def made(options: SandboxOptions = FOREIGN, **more: Any) -> Iterator[World]:
    """A sandbox without a socket, on 1 March 2026, with one stock."""
    with contextlib.closing(World(keys(), options=options, **more)) as world:
        world.set_clock("2026-03-01T12:00:00+08:00")
        world.seed([STOCK])
        yield world


@pytest.fixture
def world() -> Iterator[World]:
    with made() as world:
        yield world


def get(world: World, target: str = LIST, **more: Any) -> httpx.Response:
    return send(world, request("GET", target, **more))


def create(world: World, number: str = "n1") -> httpx.Response:
    body = create_body({"activity_base_info.out_request_no": number})
    return send(world, request("POST", wire.CREATE_PATH, body))


def change(world: World, activity_id: str, action: str, merchants: list[str], number: str) -> httpx.Response:
    body = {"merchant_id_list": merchants, f"{action}_request_no": number}
    return send(world, request("POST", f"{one(activity_id)}/merchants/{action}", body))


def terminate(world: World, activity_id: str) -> httpx.Response:
    return send(world, request("POST", f"{one(activity_id)}/terminate"))


def one(activity_id: str) -> str:
    return f"{wire.ACTIVITIES_PATH}/{activity_id}"


def created(world: World, number: str = "n1") -> str:
    activity_id: str = create(world, number).json()["activity_id"]
    return activity_id


def ids(response: httpx.Response) -> list[str]:
    return [each["activity_id"] for each in response.json()["data"]]


def merchants(world: World, activity_id: str) -> list[str]:
    (found,) = (each for each in world.activities() if each["activity_id"] == activity_id)
    shown: list[str] = found["merchants"]
    return shown


def certificate_key(pem: str) -> RSAPublicKey:
    key = load_pem_x509_certificate(pem.encode()).public_key()
    assert isinstance(key, RSAPublicKey)
    return key


def known_keys() -> dict[str, RSAPublicKey]:
    """Every key that the platform may sign with, by its serial."""
    public = load_pem_public_key(keys().public_key_pem.encode())
    assert isinstance(public, RSAPublicKey)
    platforms = (keys().platform, keys().next_platform)
    found = {each.serial_no: certificate_key(each.certificate_pem) for each in platforms}
    return found | {keys().wechatpay.serial_no: public}


def verdict(response: httpx.Response) -> str:
    """What a careful client finds about an answer's proof."""
    try:
        proof = signing.Proof.read(response.headers)
    except ValueError as error:
        return "not a number" if "number of seconds" in str(error) else "missing"
    if proof.serial_no not in known_keys():
        return "unknown serial"
    if not proof.holds(known_keys()[proof.serial_no], response.content):
        return "probe" if proof.is_probe else "wrong"
    age = proof.age_seconds(time.time())
    return "ok" if abs(age) < signing.WINDOW_SECONDS else ("stale" if age > 0 else "future")


# What there is to ask for


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_can_be_asked_for_by_its_name_alone(kind: str) -> None:
    fault = parse({"kind": kind}, 7)
    assert (fault.n, fault.route, fault.count, fault.skip, fault.probability) == (7, "any", 1, 0, 1.0)
    again = {name: value for name, value in fault.show().items() if name not in ("n", "seen", "struck")}
    assert parse(again, 7) == fault
    assert Fault(**json.loads(json.dumps(fault.stored()))) == fault


def test_numbers_may_be_texts_as_a_command_line_gives_them() -> None:
    texts = {"kind": "error_after", "route": "create", "count": "0", "skip": "2", "probability": "0.5"}
    parameters = {"status": "503", "retry_after": "7", "signed": "false"}
    fault = parse(texts | parameters)
    assert (fault.count, fault.skip, fault.probability) == (0, 2, 0.5)
    assert fault.parameters == {"status": 503, "retry_after": 7, "signed": False}
    assert parse({"kind": "invalid_merchants", "merchants": "1900000002,1900000003"})["merchants"] == OTHERS[:2]
    assert parse({"kind": "invalid_merchants", "merchants": OTHERS})["merchants"] == OTHERS


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({}, "there is no fault ''; there are rotated_certificate, latency"),
        ({"kind": "explode"}, "there is no fault 'explode'"),
        ({"kind": "latency", "route": "lists"}, "route must be one of any, list, detail, .* not 'lists'"),
        ({"kind": "half_add", "route": "create"}, "route must be one of any, add, not 'create'"),
        ({"kind": "latency", "secs": 1}, "latency has no parameter 'secs'; it has seconds"),
        ({"kind": "drop_after", "secs": 1}, "it has no parameters of its own"),
        ({"kind": "latency", "seconds": "long"}, "seconds must be a number of seconds, not 'long'"),
        ({"kind": "latency", "seconds": "nan"}, "seconds must be"),
        ({"kind": "latency", "seconds": True}, "seconds must be"),
        ({"kind": "latency", "seconds": -1}, "seconds must be"),
        ({"kind": "latency", "count": 1.5}, "count must be a whole number, 0 for no limit, not 1.5"),
        ({"kind": "latency", "skip": []}, "skip must be"),
        ({"kind": "latency", "probability": 1.1}, "probability must be a number from 0 to 1"),
        ({"kind": "error_before", "status": 501}, "status must be one of 500, 502, 503, not 501"),
        ({"kind": "error_before", "signed": "maybe"}, "signed must be true or false"),
        ({"kind": "invalid_merchants", "merchants": "x"}, "merchants must be mchids"),
        ({"kind": "invalid_merchants", "reason": ""}, "reason must be a text"),
    ],
)
def test_what_is_invalid_is_refused_with_what_is_allowed(spec: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse(spec)


def test_the_document_names_every_kind_and_every_parameter() -> None:
    text = (Path(__file__).parents[2] / "docs/sandbox.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \|(.*)$", text, re.MULTILINE))
    for name, kind in KINDS.items():
        assert all(f"`{each}" in rows[name] for each in kind.parameters), name
    assert all(f"`{route}`" in text for route in (*ROUTES, "any"))
    options = {name for name, _, _ in SandboxOptions.describe()}
    assert options <= set(re.findall(r"`(\w+)`", text))


# Which request is struck


def struck_by(*specs: dict[str, Any], routes: str, chances: str = "", verified: bool = True) -> list[str]:
    """The faults that strike a row of requests."""
    planned = [parse(spec, n) for n, spec in enumerate(specs, 1)]
    lots = iter(map(float, chances.split()))
    found = []
    for route in routes.split():
        struck, planned = strike(planned, route, verified=verified, chance=lambda: next(lots))
        found.append(faults.names(struck))
    return found


@pytest.mark.parametrize(
    ("spec", "routes", "expected"),
    [
        ({}, "list list list", "x - -"),
        ({"count": 2}, "list list list", "x x -"),
        ({"count": 0}, "list detail create", "x x x"),
        ({"skip": 1}, "list list list", "- x -"),
        ({"skip": 2, "count": 2}, "list list list list list", "- - x x -"),
        ({"route": "create"}, "list create create", "- x -"),
        ({"route": "create", "skip": 1}, "create list create", "- - x"),
        ({"route": "any"}, "nowhere", "x"),
    ],
)
def test_count_skip_and_route(spec: dict[str, Any], routes: str, expected: str) -> None:
    found = struck_by({"kind": "drop_before"} | spec, routes=routes)
    assert ["x" if each else "-" for each in found] == expected.split()


def test_a_probability_is_drawn_for_each_request_that_could_be_struck() -> None:
    lucky = {"kind": "drop_before", "probability": 0.5, "count": 2, "skip": 1}
    found = struck_by(lucky, routes="list list list list list list", chances="0.9 0.1 0.5 0.49")
    assert found == ["", "", "drop_before", "", "drop_before", ""]
    assert struck_by({"kind": "drop_before", "probability": 0}, routes="list", chances="0.0") == [""]


def test_the_same_seed_strikes_the_same_requests() -> None:
    def run() -> list[str]:
        with made(chance=random.Random(7).random) as world:
            world.add_fault({"kind": "no_signature", "count": 0, "probability": 0.5})
            for _ in range(12):
                get(world)
            return [line["fault"] for line in world.log()]

    first = run()
    assert first == run()
    assert set(first) == {"", "no_signature"}


def test_faults_of_one_stage_wait_for_each_other_and_those_of_others_join_in() -> None:
    errors = [{"kind": "drop_before"}, {"kind": "error_before"}]
    assert struck_by(*errors, routes="list list list") == ["drop_before", "error_before", ""]
    several = [{"kind": "latency"}, {"kind": "status_lag"}, {"kind": "truncated"}, {"kind": "signtest"}]
    assert struck_by(*several, routes="list list") == ["latency, status_lag, truncated, signtest", ""]
    assert struck_by({"kind": "signtest"}, {"kind": "error_before"}, routes="add") == ["error_before, signtest"]


def test_a_request_that_is_stopped_early_does_not_use_up_what_comes_later() -> None:
    later = {"kind": "create_fails"}
    assert struck_by({"kind": "error_before"}, later, routes="create create") == [
        "error_before",
        "create_fails",
    ]
    assert struck_by({"kind": "error_before"}, {"kind": "drop_after"}, routes="add add") == [
        "error_before",
        "drop_after",
    ]
    proof = {"kind": "no_signature"}
    for unproven in ("drop_before", "html_before", "drop_after", "html_after"):
        assert struck_by({"kind": unproven}, proof, routes="list list") == [unproven, "no_signature"]
    unsigned = {"kind": "rate_limited", "signed": False}
    assert struck_by(unsigned, proof, routes="list list") == ["rate_limited", "no_signature"]
    assert struck_by(later, proof, routes="create", verified=False) == [""]
    assert struck_by({"kind": "half_add"}, routes="delete add") == ["", "half_add"]


# What a client sees: instead of an answer


@pytest.mark.parametrize(
    ("spec", "status", "code", "retry_after"),
    [
        ({"kind": "rate_limited"}, 429, "FREQUENCY_LIMITED", None),
        ({"kind": "rate_limited", "retry_after": 3}, 429, "FREQUENCY_LIMITED", "3"),
        ({"kind": "error_before"}, 500, "SYSTEM_ERROR", None),
        ({"kind": "error_before", "status": 502}, 502, "SERVICE_UNAVAILABLE", None),
        ({"kind": "error_before", "status": 503, "retry_after": 0}, 503, "SERVICE_UNAVAILABLE", "0"),
    ],
)
def test_an_error_before_the_effect_is_signed_and_has_none(
    world: World, spec: dict[str, Any], status: int, code: str, retry_after: str | None
) -> None:
    world.add_fault(spec)
    response = create(world)
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert response.headers.get("Retry-After") == retry_after
    assert verdict(response) == "ok"
    assert world.history() == []
    (line,) = world.log()
    assert (line["status"], line["code"], line["fault"]) == (status, code, spec["kind"])
    assert create(world).status_code == 200


@pytest.mark.parametrize("status", [500, 502, 503])
def test_an_error_after_the_effect_hides_it(world: World, status: int) -> None:
    world.add_fault({"kind": "error_after", "route": "create", "status": status})
    assert create(world).status_code == status
    assert len(world.history()) == 1
    again = create(world)
    assert again.json()["activity_id"] == world.activities()[0]["activity_id"]
    assert len(world.history()) == 1


def test_errors_can_come_without_a_signature_and_never_prove_a_stranger_s_request(world: World) -> None:
    for spec in ({"kind": "error_before", "signed": False}, {"kind": "rate_limited", "signed": False}):
        world.add_fault(spec)
        assert verdict(get(world)) == "missing"
    world.add_fault({"kind": "error_before"})
    response = get(world, nonce="x", mchid="1900000099")
    assert (response.status_code, verdict(response)) == (500, "missing")
    world.add_fault({"kind": "error_after"})
    response = get(world, mchid="1900000099")
    assert (response.status_code, verdict(response)) == (500, "missing")


@pytest.mark.parametrize(("kind", "effects"), [("html_before", 0), ("html_after", 1)])
def test_a_page_of_a_gateway_is_no_json_and_not_signed(world: World, kind: str, effects: int) -> None:
    world.add_fault({"kind": kind, "status": 200})
    world.add_fault({"kind": kind})
    for status, title in ((200, "200 OK"), (502, "502 Bad Gateway")):
        response = create(world)
        assert (response.status_code, response.headers["Content-Type"]) == (status, "text/html")
        assert f"<title>{title}</title>" in response.text
        assert verdict(response) == "missing"
    assert len(world.history()) == effects


@pytest.mark.parametrize(
    ("kind", "effects", "sent"), [("drop_before", 0, False), ("drop_after", 1, False), ("truncated", 1, True)]
)
def test_a_dropped_connection_is_an_exception_where_there_is_no_server(
    world: World, kind: str, effects: int, sent: bool
) -> None:
    world.add_fault({"kind": kind})
    with pytest.raises(ConnectionDropped) as dropped:
        create(world)
    assert (dropped.value.sent > 0) == sent
    assert (dropped.value.sent < dropped.value.announced) == sent
    assert len(world.history()) == effects
    assert [(line["status"], line["fault"]) for line in world.log()] == [(200 if sent else 0, kind)]
    assert create(world).status_code == 200


def over_httpx(world: World, *requests: httpx.Request, **timeout: float) -> InProcess:
    async def go() -> InProcess:
        transport = InProcess(world)
        async with httpx.AsyncClient(transport=transport, timeout=httpx.Timeout(5.0, **timeout)) as client:
            for each in requests:
                each.extensions = {"timeout": client.timeout.as_dict()}
                (await client.send(each)).raise_for_status()
        return transport

    return asyncio.run(go())


@pytest.mark.parametrize("kind", ["drop_before", "drop_after", "truncated"])
def test_in_process_a_dropped_connection_is_what_httpx_makes_of_it(world: World, kind: str) -> None:
    world.add_fault({"kind": kind})
    asked = request("GET", LIST)
    with pytest.raises(httpx.RemoteProtocolError) as dropped:
        over_httpx(world, asked)
    assert dropped.value.request is asked


def test_in_process_latency_is_noted_and_not_slept(world: World) -> None:
    world.add_fault({"kind": "latency", "seconds": 4.5, "count": 2})
    assert over_httpx(world, request("GET", LIST), request("GET", LIST)).waited == [4.5, 4.5]
    world.add_fault({"kind": "latency", "seconds": 5})
    with pytest.raises(httpx.ReadTimeout):
        over_httpx(world, request("POST", wire.CREATE_PATH, create_body()), read=5.0)
    assert len(world.history()) == 1


def test_latency_is_slept_where_nobody_else_waits(world: World) -> None:
    world.add_fault({"kind": "latency", "seconds": 0.05})
    begun = time.monotonic()
    assert get(world).status_code == 200
    assert time.monotonic() - begun >= 0.05


# What a client sees: proofs


@pytest.mark.parametrize(
    ("kind", "found"),
    [
        ("wrong_signature", "wrong"),
        ("no_signature", "missing"),
        ("empty_signature", "missing"),
        ("signtest", "probe"),
        ("garbage_signature", "wrong"),
        ("stale_timestamp", "stale"),
        ("future_timestamp", "future"),
        ("text_timestamp", "not a number"),
        ("unknown_serial", "unknown serial"),
        ("tampered_body", "wrong"),
    ],
)
@pytest.mark.parametrize("asked", ["create", "list", "certificates", "upload"])
def test_what_is_wrong_with_a_proof(world: World, kind: str, found: str, asked: str) -> None:
    world.add_fault({"kind": kind, "route": asked})
    ask: dict[str, Callable[[], httpx.Response]] = {
        "create": lambda: create(world),
        "list": lambda: get(world),
        "certificates": lambda: get(world, wire.CERTIFICATES_PATH),
        "upload": lambda: send(world, upload_request()),
    }
    response = ask[asked]()
    assert response.status_code == 200
    assert verdict(response) == found
    assert isinstance(response.json(), dict)
    assert verdict(ask[asked]()) == "ok"


def test_headers_that_prove_nothing_are_there_and_empty(world: World) -> None:
    world.add_fault({"kind": "empty_signature"})
    headers = get(world).headers
    assert [headers[name] for name in signing.PROOF_HEADERS] == [""] * 4


def test_how_stale_can_be_said(world: World) -> None:
    world.add_fault({"kind": "stale_timestamp", "seconds": 299})
    world.add_fault({"kind": "stale_timestamp", "seconds": 301})
    assert [verdict(get(world)), verdict(get(world))] == ["ok", "stale"]


def test_a_changed_body_is_still_what_it_seems_to_be(world: World) -> None:
    world.add_fault({"kind": "tampered_body"})
    assert get(world).json() == {"tampered": True} | get(world).json()


def test_an_unknown_serial_is_in_no_list(world: World) -> None:
    world.add_fault({"kind": "unknown_serial"})
    assert get(world).headers["Wechatpay-Serial"] == UNKNOWN_SERIAL
    assert UNKNOWN_SERIAL not in listed(world)


# Keys


def listed(world: World) -> dict[str, str]:
    """The certificates that the platform lists, by serial."""
    content = wire.Certificates.model_validate(get(world, wire.CERTIFICATES_PATH).json())
    key = AESGCM(keys().apiv3_key.encode())
    found = {}
    for each in content.data:
        sealed = each.encrypt_certificate
        plain = key.decrypt(sealed.nonce.encode(), base64.b64decode(sealed.ciphertext), sealed.associated_data.encode())
        found[each.serial_no] = plain.decode()
        assert f"{load_pem_x509_certificate(plain).serial_number:040X}" == each.serial_no
    return found


def test_a_rotated_certificate_is_listed_beside_the_old_one_and_signs(world: World) -> None:
    old, new = keys().platform.serial_no, keys().next_platform.serial_no
    world.add_fault({"kind": "rotated_certificate", "skip": 1})
    assert [get(world).headers["Wechatpay-Serial"] for _ in range(3)] == [old, new, new]
    found = listed(world)
    assert list(found) == [old, new]
    assert found[new] == keys().next_platform.certificate_pem
    assert len(new) == 40
    assert verdict(get(world)) == "ok"
    assert world.clear_faults() == 1
    assert list(listed(world)) == [old]
    assert get(world).headers["Wechatpay-Serial"] == old


def test_during_a_rotation_either_certificate_may_sign(world: World) -> None:
    world.add_fault({"kind": "rotated_certificate", "signing": "either"})
    answers = [get(world) for _ in range(4)]
    assert {each.headers["Wechatpay-Serial"] for each in answers} == set(listed(world))
    assert {verdict(each) for each in answers} == {"ok"}


def test_a_new_certificate_is_listed_before_it_signs(world: World) -> None:
    world.add_fault({"kind": "rotated_certificate", "signing": "old"})
    assert get(world).headers["Wechatpay-Serial"] == keys().platform.serial_no
    assert len(listed(world)) == 2


@pytest.mark.parametrize(
    ("option", "named", "with_public_key"),
    [
        ("started", "", False),
        ("started", "PUB_KEY_ID_0000", False),
        ("started", None, True),
        ("not_started", None, False),
        ("only", "", True),
        ("only", None, True),
    ],
)
def test_the_public_key_signs_for_those_who_name_it_once_the_change_has_started(
    option: Any, named: str | None, with_public_key: bool
) -> None:
    public = keys().wechatpay.serial_no
    with made(SandboxOptions(public_key=option)) as world:
        response = get(world, headers={"Wechatpay-Serial": public if named is None else named})
        expected = public if with_public_key else keys().platform.serial_no
        assert response.headers["Wechatpay-Serial"] == expected
        assert verdict(response) == "ok"
    assert re.fullmatch(r"PUB_KEY_ID_01\d{30}", public)


def test_an_account_with_the_public_key_only_has_no_certificates() -> None:
    with made(SandboxOptions(public_key="only")) as world:
        response = get(world, wire.CERTIFICATES_PATH)
        assert (response.status_code, response.json()["code"]) == (404, "RESOURCE_NOT_EXISTS")
        assert verdict(response) == "ok"


def test_a_directory_from_before_the_public_key_gets_one(tmp_path: Path) -> None:
    keys().write(tmp_path / "keys")
    for name in ("platform2.key.pem", "wechatpay.key.pem", "wechatpay.public.pem"):
        (tmp_path / "keys" / name).unlink()
    made_now = Keys.in_directory(tmp_path)
    assert made_now.serial_no == keys().serial_no
    assert made_now.wechatpay.serial_no != keys().wechatpay.serial_no
    assert (tmp_path / "keys" / "wechatpay.public.pem").read_text() == made_now.public_key_pem
    assert Keys.in_directory(tmp_path).next_platform.certificate_pem == made_now.next_platform.certificate_pem
    assert len(list((tmp_path / "keys").iterdir())) == 9
    assert "PRIVATE" not in repr(made_now.wechatpay) + repr(made_now.next_platform)


# What a client sees: effects


def test_half_an_add_looks_whole(world: World) -> None:
    activity_id = created(world)
    world.add_fault({"kind": "half_add"})
    answer = change(world, activity_id, "add", OTHERS, "a1").json()
    assert answer["invalid_merchant_id_list"] == []
    assert "add_time" in answer
    assert merchants(world, activity_id) == [MCHID, *OTHERS[:2]]
    assert world.history()[-1]["merchants"] == OTHERS[:2]
    change(world, activity_id, "add", OTHERS, "a1")
    assert merchants(world, activity_id) == [MCHID, *OTHERS[:2]]
    change(world, activity_id, "add", OTHERS, "a2")
    assert merchants(world, activity_id) == [MCHID, *OTHERS]


def test_half_an_add_leaves_its_number_free_if_it_should(world: World) -> None:
    activity_id = created(world)
    world.add_fault({"kind": "half_add", "number": "free"})
    change(world, activity_id, "add", OTHERS, "a1")
    change(world, activity_id, "add", OTHERS, "a1")
    assert merchants(world, activity_id) == [MCHID, *OTHERS]


def test_half_of_one_is_none_and_of_a_refused_add_nothing(world: World) -> None:
    activity_id = created(world)
    world.add_fault({"kind": "half_add", "count": 2})
    assert change(world, activity_id, "add", OTHERS[:1], "a1").status_code == 200
    assert change(world, activity_id, "add", [MCHID], "a2").status_code == 200
    assert merchants(world, activity_id) == [MCHID]
    assert [each["effect"] for each in world.history()] == ["created"]


def test_half_a_delete_looks_whole(world: World) -> None:
    activity_id = created(world)
    change(world, activity_id, "add", OTHERS, "a1")
    world.add_fault({"kind": "half_delete", "route": "delete"})
    assert "delete_time" in change(world, activity_id, "delete", OTHERS[:4], "d1").json()
    assert merchants(world, activity_id) == [MCHID, *OTHERS[2:]]
    change(world, activity_id, "delete", OTHERS[:4], "d2")
    assert merchants(world, activity_id) == [MCHID, *OTHERS[4:]]


def test_a_creation_can_fail_after_its_200(world: World) -> None:
    world.add_fault({"kind": "create_fails"})
    activity_id = created(world)
    assert get(world, one(activity_id)).json()["activity_status"] == "CREATE_ACT_FAILED"
    assert created(world) == activity_id
    assert created(world, "n2") != activity_id


def test_merchants_are_invalid_for_one_request(world: World) -> None:
    activity_id = created(world)
    world.add_fault({"kind": "invalid_merchants"})
    world.add_fault({"kind": "invalid_merchants", "merchants": OTHERS[:2], "reason": "理由"})
    last = change(world, activity_id, "add", OTHERS, "a1").json()["invalid_merchant_id_list"]
    assert last == [{"mchid": OTHERS[-1], "invalid_reason": "商户与活动创建方不具备父子关系"}]
    both = change(world, activity_id, "add", ["1900000011", *OTHERS[:1]], "a2").json()
    assert both["invalid_merchant_id_list"] == []  # an activity's own merchants pass
    assert merchants(world, activity_id) == [MCHID, *OTHERS[:4], "1900000011"]


@pytest.mark.parametrize("merchants", [None, [MCHID]])
def test_a_create_with_an_invalid_merchant_is_refused(world: World, merchants: Any) -> None:
    world.add_fault({"kind": "invalid_merchants", "merchants": merchants})
    response = create(world)
    assert (response.status_code, response.json()["code"]) == (400, "INVALID_REQUEST")
    assert create(world).status_code == 200


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"merchant_id_list": 1}', b'{"award_send_rule": []}'])
def test_nobody_is_invalid_in_a_body_that_names_nobody(world: World, body: bytes) -> None:
    world.add_fault({"kind": "invalid_merchants"})
    headers = {"Content-Type": "application/json"}
    assert send(world, request("POST", wire.CREATE_PATH, body, headers=headers)).status_code == 400


def visible(world: World, activity_id: str) -> tuple[bool, int]:
    """Whether the list has the activity, and what asking for it answers."""
    response = get(world)
    assert response.json()["total_count"] == len(ids(response))
    return activity_id in ids(response), get(world, one(activity_id)).status_code


def test_an_activity_is_seen_only_after_some_reads(world: World) -> None:
    world.add_fault({"kind": "late_activity", "reads": 2})
    activity_id = created(world)
    assert [visible(world, activity_id) for _ in range(3)] == [(False, 404), (False, 404), (True, 200)]
    assert len(world.activities()) == 1


def test_an_activity_is_seen_only_after_some_time(world: World) -> None:
    first = created(world, "n0")
    world.add_fault({"kind": "late_activity", "seconds": 30})
    activity_id = created(world)
    assert visible(world, activity_id) == (False, 404)
    assert get(world, f"{one(activity_id)}/merchants").status_code == 404
    world.set_clock("+31s")
    assert visible(world, activity_id) == (True, 200)
    assert visible(world, first) == (True, 200)


@pytest.mark.parametrize(("where", "found"), [("list", (False, 200)), ("detail", (True, 404)), ("both", (False, 404))])
def test_an_activity_can_be_missing_from_one_place_only(world: World, where: str, found: Any) -> None:
    world.add_fault({"kind": "late_activity", "where": where})
    activity_id = created(world)
    assert visible(world, activity_id) == found
    assert visible(world, activity_id) == (True, 200)


def test_reading_one_activity_does_not_bring_another_nearer(world: World) -> None:
    first = created(world, "n0")
    world.add_fault({"kind": "late_activity", "where": "detail"})
    second = created(world)
    assert get(world, one(first)).status_code == 200
    assert [get(world, one(second)).status_code for _ in range(2)] == [404, 200]


def test_an_unseen_activity_can_be_written_to_and_its_create_repeated(world: World) -> None:
    world.add_fault({"kind": "late_activity", "reads": 99})
    activity_id = created(world)
    assert created(world) == activity_id
    assert change(world, activity_id, "add", OTHERS, "a").status_code == 200
    assert terminate(world, activity_id).status_code == 200
    assert ids(get(world)) == []
    world.clear_faults()
    assert ids(get(world)) == [activity_id]


def test_statuses_can_lag_behind_what_was_done(world: World) -> None:
    activity_id = created(world)
    world.set_clock("+2d")
    terminate(world, activity_id)
    world.add_fault({"kind": "status_lag", "count": 2})
    assert get(world).json()["data"][0]["activity_status"] == "ONGOING_ACT_STATUS"
    assert get(world, one(activity_id)).json()["activity_status"] == "ONGOING_ACT_STATUS"
    assert get(world, one(activity_id)).json()["activity_status"] == "TERMINATE_ACT_STATUS"


def test_statuses_lag_as_long_as_is_said(world: World) -> None:
    activity_id = created(world)
    world.pause(activity_id)
    world.set_clock("+2h")
    world.add_fault({"kind": "status_lag", "seconds": 60})
    world.add_fault({"kind": "status_lag", "seconds": timedelta(hours=3).total_seconds()})
    shown = [get(world, one(activity_id)).json()["activity_status"] for _ in range(2)]
    assert shown == ["STOP_ACT_STATUS", "CREATE_ACT_STATUS"]


def test_a_row_that_appears_between_two_pages_repeats_one(world: World) -> None:
    made = [created(world, f"n{n}") for n in range(4)]
    world.add_fault({"kind": "row_appears", "route": "list", "skip": 1})
    pages = [get(world, f"{wire.ACTIVITIES_PATH}?offset={n}&limit=2") for n in range(3)]
    assert [ids(page) for page in pages] == [made[:1:-1], made[2:0:-1], made[:1]]
    assert [page.json()["total_count"] for page in pages] == [4, 5, 5]
    assert len(world.activities()) == 5
    wire.ActivityPage.model_validate(get(world).json())


def test_a_row_that_vanishes_between_two_pages_hides_one(world: World) -> None:
    made = [created(world, f"n{n}") for n in range(4)]
    world.add_fault({"kind": "row_vanishes", "skip": 1})
    pages = [get(world, f"{wire.ACTIVITIES_PATH}?offset={n}&limit=2") for n in range(2)]
    assert [ids(page) for page in pages] == [made[:1:-1], made[:1]]
    assert pages[1].json()["total_count"] == 3
    assert len(world.activities()) == 4


def test_merchants_change_between_two_pages(world: World) -> None:
    activity_id = created(world)
    change(world, activity_id, "add", ["1999999999", *OTHERS[:2]], "a1")
    target = f"{one(activity_id)}/merchants?offset=0&limit=20"
    world.add_fault({"kind": "row_vanishes", "route": "merchants"})
    assert [each["mchid"] for each in get(world, target).json()["data"]] == ["1999999999", *OTHERS[:2]]
    world.add_fault({"kind": "row_appears", "route": "merchants"})
    first = get(world, target).json()["data"][0]["mchid"]
    assert first == "1999999998"
    assert first in merchants(world, activity_id)


@pytest.mark.parametrize("kind", ["row_appears", "row_vanishes"])
def test_rows_of_what_is_not_there_do_not_change(world: World, kind: str) -> None:
    world.add_fault({"kind": kind})
    assert get(world, f"{one('1')}/merchants?offset=0&limit=20").status_code == 404


@pytest.mark.parametrize(("error", "totals"), [(-1, [0, 0]), (0, [0, 1]), (1, [1, 2])])
def test_a_total_can_lie_by_one(error: Any, totals: list[int]) -> None:
    with made(SandboxOptions(total_count_error=error, foreign_images="accept")) as world:
        empty = get(world).json()["total_count"]
        create(world)
        assert [empty, get(world).json()["total_count"]] == totals
    assert SandboxOptions.parse([f"total_count_error={error}"]) == SandboxOptions(total_count_error=error)


def test_an_option_may_be_a_text() -> None:
    assert SandboxOptions.parse(["default_background_color="]) == SandboxOptions(default_background_color="")


def test_an_unknown_option_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(ValueError, match="there is no option 'pages'; there are paging, "):
        SandboxOptions.parse(["pages=rows"])


# Asking for them, and what remains


def test_faults_are_listed_with_what_they_did_and_cleared(world: World) -> None:
    assert world.add_fault({"kind": "error_after", "route": "create", "count": 2, "status": 503}) == 1
    assert world.add_fault({"kind": "latency", "seconds": 0, "skip": 1}) == 2
    create(world)
    assert world.faults() == [
        {"n": 1, "kind": "error_after", "route": "create", "count": 2, "skip": 0, "probability": 1.0}
        | {"status": 503, "signed": True, "seen": 1, "struck": 1},
        {"n": 2, "kind": "latency", "route": "any", "count": 1, "skip": 1, "probability": 1.0}
        | {"seconds": 0.0, "seen": 1, "struck": 0},
    ]
    assert world.clear_faults() == 2
    assert world.faults() == []
    assert world.add_fault({"kind": "latency"}) == 3
    world.reset()
    assert world.faults() == []
    with pytest.raises(ApiErrorResponse, match="there is no fault"):
        world.add_fault({"kind": "explode"})


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    with Sandbox(tmp_path, options=FOREIGN, keys=keys()) as embedded:
        embedded.set_clock("2026-03-01T12:00:00+08:00")
        embedded.seed([STOCK])
        yield embedded


def test_faults_survive_a_restart_with_their_counters(tmp_path: Path) -> None:
    with Sandbox(tmp_path, keys=keys()) as first:
        first.add_fault({"kind": "error_before", "count": 2})
        first.add_fault({"kind": "rotated_certificate"})
        assert ask(first).status_code == 500
        before = first.faults()
        with pytest.raises(SandboxError, match="there is no fault 'explode'; there are"):
            first.add_fault({"kind": "explode"})
    with Sandbox(tmp_path, keys=keys()) as second:
        assert second.faults() == before
        assert ask(second).status_code == 500
        assert ask(second).headers["Wechatpay-Serial"] == keys().next_platform.serial_no
        assert second.clear_faults() == 2
        assert second.public_key_id == keys().wechatpay.serial_no
        assert second.public_key_pem == keys().public_key_pem
        assert second.public_key_file.name == "wechatpay.public.pem"


# Over a socket


def ask(sandbox: Sandbox, *requests: httpx.Request, **more: Any) -> httpx.Response:
    with httpx.Client(**more) as client:
        answers = [client.send(each) for each in requests or [request("GET", LIST, base_url=sandbox.base_url)]]
    return answers[-1]


@pytest.mark.parametrize(
    ("kind", "effects", "message"),
    [
        ("drop_before", 0, "without sending a response"),
        ("drop_after", 1, "without sending a response"),
        ("truncated", 1, "without sending complete message body"),
    ],
)
def test_over_a_socket_the_connection_closes(
    sandbox: Sandbox, capfd: pytest.CaptureFixture[str], kind: str, effects: int, message: str
) -> None:
    sandbox.add_fault({"kind": kind, "route": "create"})
    creating = request("POST", wire.CREATE_PATH, create_body(), base_url=sandbox.base_url)
    with pytest.raises(httpx.RemoteProtocolError, match=message):
        ask(sandbox, creating)
    assert len(sandbox.history()) == effects
    assert ask(sandbox, creating).status_code == 200
    assert sandbox.log()[0]["fault"] == kind
    assert capfd.readouterr() == ("", "")


def test_over_a_socket_the_answer_is_late_and_the_effect_is_not(sandbox: Sandbox) -> None:
    sandbox.add_fault({"kind": "latency", "route": "create", "seconds": 0.2})
    creating = request("POST", wire.CREATE_PATH, create_body(), base_url=sandbox.base_url)
    with pytest.raises(httpx.ReadTimeout):
        ask(sandbox, creating, timeout=httpx.Timeout(5.0, read=0.05))
    assert len(sandbox.history()) == 1


def test_over_a_socket_the_rest_is_as_in_process(sandbox: Sandbox) -> None:
    sandbox.add_fault({"kind": "rate_limited", "retry_after": 2})
    sandbox.add_fault({"kind": "empty_signature"})
    sandbox.add_fault({"kind": "empty_signature"})
    first = ask(sandbox)
    assert (first.status_code, first.headers["Retry-After"], verdict(first)) == (429, "2", "missing")
    second = ask(sandbox)
    assert (second.status_code, second.headers["Wechatpay-Signature"]) == (200, "")
    public = request("GET", LIST, base_url=sandbox.base_url, headers={"Wechatpay-Serial": sandbox.public_key_id})
    third = ask(sandbox, public)
    assert (third.headers["Wechatpay-Serial"], verdict(third)) == (sandbox.public_key_id, "ok")


def test_every_stage_has_a_fault() -> None:
    assert {kind.stage for kind in KINDS.values()} == set(Stage)


# Those who do not wait


def _late(sandbox: Sandbox, timeout: float) -> None:
    with contextlib.suppress(httpx.TransportError), httpx.Client(timeout=timeout) as client:
        client.send(request("GET", LIST, base_url=sandbox.base_url))


def test_who_does_not_wait_for_a_late_answer_leaves_nothing_behind(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with Sandbox(tmp_path, keys=keys()) as sandbox:
        sandbox.add_fault({"kind": "latency", "seconds": 60})
        _late(sandbox, 0.2)
        begun = time.monotonic()
    assert time.monotonic() - begun < 2  # it does not wait for who has left
    assert capfd.readouterr() == ("", "")


def test_a_sandbox_that_ends_leaves_nothing_behind_of_who_still_waits(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reconciler.sandbox.server._GRACE_SECONDS", 0.2)
    with Sandbox(tmp_path, keys=keys()) as sandbox:
        sandbox.add_fault({"kind": "latency", "seconds": 60})
        waiting = threading.Thread(target=_late, args=(sandbox, 30.0))
        waiting.start()
        while not sandbox.log():
            time.sleep(0.01)
    waiting.join(10)
    assert not waiting.is_alive()
    assert capfd.readouterr() == ("", "")
