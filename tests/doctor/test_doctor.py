"""`paygift doctor`: each thing that can be wrong, asked through the real client, and only that one said to be wrong."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import re
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.x509.oid import NameOID
from sqlalchemy import inspect, make_url, text

from reconciler.cli import run
from reconciler.commands.settings import remote_from
from reconciler.doctor import CHECKS, examine, remote
from reconciler.doctor.account import (
    META_REFUSED,
    judge_certificates,
    judge_image_upload,
    judge_permission,
    judge_signed_call,
    judge_verification,
)
from reconciler.doctor.evidence import Knock, Proven, Signed
from reconciler.doctor.local import read
from reconciler.doctor.machine import judge_key_file, judge_validity
from reconciler.doctor.network import judge_backup_host, judge_clock, judge_main_host, judge_skew
from reconciler.journal.location import JournalLocation
from reconciler.model.checkup import Check, CheckStatus, Checkup
from reconciler.model.errors import ApiError, CredentialsError, TransportError, UnverifiedError
from reconciler.render.json_ import checkup_json
from reconciler.render.text import checkup_text
from reconciler.render.views.checkup import checkup_view
from reconciler.sandbox.server import Sandbox
from reconciler.sandbox.world import World
from reconciler.wechatpay import signing, wire
from reconciler.wechatpay.api import image_upload
from reconciler.wechatpay.hosts import BACKUP_URL, BASE_URL
from reconciler.wechatpay.keys import load_private_key
from tests.support.postgres import connected, fresh_database
from tests.support.remote import Fault, Network, Send
from tests.support.signed import keys, merchant_key

MAIN: Final = "http://127.0.0.1"
BACKUP: Final = "http://127.0.0.2"
PUBLIC_KEY_ID: Final = "PUB_KEY_ID_0119000000012026010100000000000001"
NETWORKED: Final = ("signed_call", "certificates", "verification", "permission", "image_upload")


def right() -> dict[str, str]:
    """The variables of a merchant for whom everything is fine."""
    return {
        "PAYGIFT_BASE_URL": MAIN,
        "PAYGIFT_BACKUP_URL": BACKUP,
        "PAYGIFT_MCHID": keys().mchid,
        "PAYGIFT_SERIAL_NO": keys().serial_no,
        "PAYGIFT_PRIVATE_KEY": keys().merchant_key_pem,
        "PAYGIFT_CERTIFICATE": keys().merchant_certificate_pem,
        "PAYGIFT_APIV3_KEY": keys().apiv3_key,
    }


@pytest.fixture(autouse=True)
def _keys_are_parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Checking a private key's primes takes longer than all the rest of a checkup."""
    for module in ("doctor.local", "commands.settings"):
        monkeypatch.setattr(f"reconciler.{module}.load_private_key", _load_private_key)


_load_private_key: Final = cache(load_private_key)


def checkup(
    changes: Mapping[str, str] | None = None,
    *,
    fault: Fault | None = None,
    ahead_seconds: float = 0.0,
    world: World | None = None,
) -> Checkup:
    """A checkup of a sandbox, with some variables changed (empty: not set). No secret may be in what it says."""
    network = Network(world or World(keys()))
    network.fault = fault
    environ = {**right(), **(changes or {})}
    found = asyncio.run(examine(environ, transport=network, wall_clock=lambda: time.time() + ahead_seconds))
    assert tuple(check.code for check in found.checks) == CHECKS
    assert_no_secret(checkup_text(checkup_view(found)) + json.dumps(checkup_json(found)), environ)
    return found


def assert_no_secret(said: str, environ: Mapping[str, str]) -> None:
    pem = keys().merchant_key_pem.splitlines()[1:-1]
    secrets = [environ.get("PAYGIFT_APIV3_KEY", ""), keys().apiv3_key, *pem]
    assert [secret for secret in secrets if len(secret) > 8 and secret in said] == []


def unusual(found: Checkup) -> dict[str, str]:
    """All checks that are not as in a checkup where everything is fine."""
    usual = dict.fromkeys(("project_account", "key_file", "public_key", "journal"), CheckStatus.SKIPPED)
    return {
        check.code: check.status.value
        for check in found.checks
        if check.status is not usual.get(check.code, CheckStatus.OK)
    }


def line(found: Checkup, code: str) -> str:
    """What is printed of a check."""
    (check,) = (check for check in found.checks if check.code == code)
    return f"{check.text} {check.remedy}".strip()


def skipped(*codes: str) -> dict[str, str]:
    return dict.fromkeys(codes, "skipped")


def certificate(
    *,
    begins_days: float = -1,
    ends_days: float = 365,
    serial_no: str = "",
    key: RSAPrivateKey | ec.EllipticCurvePrivateKey | None = None,
) -> str:
    """A merchant certificate as PEM, valid between two days counted from today."""
    signer = key or merchant_key()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "merchant")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name)
        .public_key(signer.public_key())
        .serial_number(int(serial_no or keys().serial_no, 16))
        .not_valid_before(now + timedelta(days=begins_days))
        .not_valid_after(now + timedelta(days=ends_days))
        .sign(signer, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM).decode()


# --- faults: what happens to requests on their way ---------------------------------------------------------------


def dead(*hosts: str) -> Fault:
    """Nothing listens there."""

    async def fault(request: httpx.Request, send: Send) -> httpx.Response:
        if request.url.host in hosts:
            raise httpx.ConnectError("refused", request=request) from ConnectionRefusedError()
        return await send(request)

    return fault


def silent(path: str) -> Fault:
    """Signed requests for ``path`` are never answered."""

    async def fault(request: httpx.Request, send: Send) -> httpx.Response:
        if request.url.path == path and "Authorization" in request.headers:
            await asyncio.sleep(60)
        return await send(request)

    return fault


def answering(path: str, status: int, code: str, message: str = "拒绝", *, signed: bool = True) -> Fault:
    """Signed requests for ``path`` get this answer, with the proof that it is WeChat Pay's or without."""

    async def fault(request: httpx.Request, send: Send) -> httpx.Response:
        if request.url.path != path or "Authorization" not in request.headers:
            return await send(request)
        body = json.dumps({"code": code, "message": message}).encode()
        proof = proven(body, keys().platform_serial_no) if signed else {}
        return httpx.Response(status, headers={**proof, "Request-ID": "0A1B"}, content=body, request=request)

    return fault


def rewritten(change: Callable[[httpx.Headers, bytes], Mapping[str, str]], *, only: str = "") -> Fault:
    """Answers (to requests for ``only``, if given) with other headers."""

    async def fault(request: httpx.Request, send: Send) -> httpx.Response:
        response = await send(request)
        if only not in request.url.path:
            return response
        body = await response.aread()
        headers = change(response.headers, body)
        return httpx.Response(response.status_code, headers=headers, content=body, request=request)

    return fault


def in_public_key_mode(headers: httpx.Headers, body: bytes) -> Mapping[str, str]:
    return {**headers, **proven(body, PUBLIC_KEY_ID)} if "Wechatpay-Serial" in headers else headers


def without_proof(headers: httpx.Headers, _body: bytes) -> Mapping[str, str]:
    return {name: value for name, value in headers.items() if not name.startswith("wechatpay-")}


def from_a_login_page(headers: httpx.Headers, _body: bytes) -> Mapping[str, str]:
    return {"Content-Type": "text/html; charset=utf-8"}


def proven(body: bytes, serial_no: str) -> dict[str, str]:
    now = str(int(time.time()))
    signer = keys().wechatpay if serial_no == PUBLIC_KEY_ID else keys().platform
    made = signing.response_headers(signer.key, serial_no=serial_no, timestamp=now, nonce="n" * 32, body=body)
    return {name.lower(): value for name, value in made.items()}


# --- everything is fine ------------------------------------------------------------------------------------------


def test_a_healthy_merchant_has_nothing_to_do() -> None:
    found = checkup()
    assert unusual(found) == {}
    assert found.passed
    assert [check.code for check in found.checks if check.remedy] == []


def test_a_public_key_does_without_the_apiv3_key() -> None:
    public = {"PAYGIFT_PUBLIC_KEY_ID": PUBLIC_KEY_ID, "PAYGIFT_PUBLIC_KEY": keys().public_key_pem}
    found = checkup({**public, "PAYGIFT_APIV3_KEY": ""}, fault=rewritten(in_public_key_mode))
    assert unusual(found) == {"public_key": "ok", **skipped("apiv3_key", "certificates")}
    assert line(found, "verification") == "2 of 2 answers are signed by WeChat Pay."


def test_a_public_key_does_without_platform_certificates() -> None:
    """Newer accounts have none, and are told so with a 404."""
    public = {"PAYGIFT_PUBLIC_KEY_ID": PUBLIC_KEY_ID, "PAYGIFT_PUBLIC_KEY": keys().public_key_pem}
    none = answering(wire.CERTIFICATES_PATH, 404, "RESOURCE_NOT_EXISTS", "无可用的平台证书")

    async def fault(request: httpx.Request, send: Send) -> httpx.Response:
        return await rewritten(in_public_key_mode)(request, lambda each: none(each, send))

    found = checkup(public, fault=fault)
    assert unusual(found) == {"public_key": "ok", **skipped("certificates")}
    assert "this merchant has none" in line(found, "certificates")


def test_a_checkup_leaves_no_trace_on_the_account() -> None:
    world = World(keys())
    checkup(world=world)
    assert (world.activities(), world.history(), dict(world.memory.images)) == ([], [], {})
    (upload,) = (each for each in world.log() if each["target"] == wire.IMAGE_UPLOAD_PATH)
    assert (upload["status"], upload["code"], upload["verdict"]) == (403, "REQUEST_BLOCKED", "ok")


def test_each_request_is_sent_once() -> None:
    network = Network(World(keys()))
    asyncio.run(examine(right(), transport=network))
    certificates = f"GET {wire.CERTIFICATES_PATH}"
    upload = f"POST {wire.IMAGE_UPLOAD_PATH}"
    assert sorted(network.sent) == sorted([certificates] * 3 + [f"GET {wire.ACTIVITIES_PATH}", upload])


def test_only_the_wrong_digest_keeps_the_picture_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything else about the upload is right, so that its refusal tells something."""
    world = World(keys())
    upload = image_upload("a.png", remote._PIXEL)
    digest = re.findall(rb'"sha256":"(\w+)"', upload.signed_body)[0]
    monkeypatch.setattr(remote, "_NO_DIGEST", digest)
    found = checkup(world=world)
    assert unusual(found) == {"image_upload": "warning"}
    assert "one pixel, used by nothing, is stored now" in line(found, "image_upload")
    assert len(world.memory.images) == 1


# --- what is wrong on this machine -------------------------------------------------------------------------------


NO_CALLS: Final = skipped(*NETWORKED)
NO_KEY: Final = {**skipped("account", "certificate"), **NO_CALLS}


@pytest.mark.parametrize(
    ("changes", "expected", "words"),
    [
        pytest.param(
            {"PAYGIFT_MCHID": "", "PAYGIFT_APIV3_KEY": ""},
            {"variables": "failed", **skipped("account", "apiv3_key"), **NO_CALLS},
            "not set: PAYGIFT_MCHID, PAYGIFT_APIV3_KEY (or",
            id="two variables missing",
        ),
        pytest.param(
            {"PAYGIFT_PRIVATE_KEY": ""},
            {"variables": "failed", **skipped("private_key"), **NO_KEY},
            "PAYGIFT_PRIVATE_KEY or PAYGIFT_PRIVATE_KEY_FILE",
            id="no private key",
        ),
        pytest.param(
            {"PAYGIFT_PUBLIC_KEY_ID": PUBLIC_KEY_ID},
            {"variables": "failed", **NO_CALLS},
            "not set: PAYGIFT_PUBLIC_KEY or PAYGIFT_PUBLIC_KEY_FILE.",
            id="a public key's id without the key",
        ),
        pytest.param(
            {"PAYGIFT_PRIVATE_KEY": "not a key"},
            {"private_key": "failed", **NO_KEY},
            "not PEM",
            id="a private key that is none",
        ),
        pytest.param(
            {"PAYGIFT_PRIVATE_KEY": keys().merchant_certificate_pem},
            {"private_key": "failed", **NO_KEY},
            "holds a certificate, not a private key. Use the file apiclient_key.pem",
            id="a certificate for a private key",
        ),
        pytest.param(
            {"PAYGIFT_PRIVATE_KEY": "", "PAYGIFT_PRIVATE_KEY_FILE": "/nowhere/key.pem"},
            {"private_key": "failed", **NO_KEY},
            "PAYGIFT_PRIVATE_KEY_FILE names a file that cannot be read: No such file",
            id="a file that is not there",
        ),
        pytest.param(
            {"PAYGIFT_PRIVATE_KEY": "", "PAYGIFT_PRIVATE_KEY_FILE": keys().merchant_key_pem},
            {"private_key": "failed", **NO_KEY},
            "holds a private key instead of a file's name. Put the text itself into PAYGIFT_PRIVATE_KEY.",
            id="a key for its file's name",
        ),
        pytest.param(
            {"PAYGIFT_MCHID": "my shop"},
            {"account": "failed", **NO_CALLS},
            "Set PAYGIFT_MCHID to the 商户号",
            id="no merchant number",
        ),
        pytest.param(
            {"PAYGIFT_SERIAL_NO": "not hex"},
            {"account": "failed", "certificate": "failed", **NO_CALLS},
            "Set PAYGIFT_SERIAL_NO to what `openssl",
            id="no serial number",
        ),
        pytest.param(
            {"PAYGIFT_CERTIFICATE": "not a certificate"},
            {"certificate": "failed", **skipped("certificate_validity")},
            "it holds text without a -----BEGIN … line. Use the file apiclient_cert.pem",
            id="no certificate",
        ),
        pytest.param(
            {"PAYGIFT_CERTIFICATE": ""},
            skipped("certificate", "certificate_validity"),
            "PAYGIFT_CERTIFICATE_FILE is not set",
            id="certificate not given",
        ),
        pytest.param(
            {"PAYGIFT_CERTIFICATE": certificate(serial_no="ABC")},
            {"certificate": "failed"},
            f"PAYGIFT_SERIAL_NO is not the serial number of the merchant certificate, which is {'0' * 37}ABC.",
            id="a certificate of another serial number",
        ),
        pytest.param(
            {"PAYGIFT_CERTIFICATE": certificate(key=keys().platform.key)},
            {"certificate": "failed"},
            "is not that of the private key. Use apiclient_key.pem and apiclient_cert.pem from the same download",
            id="a certificate of another key",
        ),
        pytest.param(
            {"PAYGIFT_CERTIFICATE": certificate(begins_days=-30, ends_days=-2)},
            {"certificate_validity": "failed"},
            "it expired on 20",
            id="an expired certificate",
        ),
        pytest.param(
            {"PAYGIFT_CERTIFICATE": certificate(begins_days=2)},
            {"certificate_validity": "failed"},
            "Is the clock right?",
            id="a certificate of the future",
        ),
        pytest.param(
            {"PAYGIFT_CERTIFICATE": certificate(ends_days=12.1)},
            {"certificate_validity": "warning"},
            "it expires in 12 days",
            id="a certificate that expires soon",
        ),
        pytest.param(
            {"PAYGIFT_APIV3_KEY": "short"},
            {"apiv3_key": "failed", **NO_CALLS},
            "PAYGIFT_APIV3_KEY must be exactly 32 bytes, found 5. Set it to the APIv3密钥",
            id="a short APIv3 key",
        ),
        pytest.param(
            {"PAYGIFT_PUBLIC_KEY_ID": "0119", "PAYGIFT_PUBLIC_KEY": keys().public_key_pem},
            {"public_key": "failed", **NO_CALLS},
            "PAYGIFT_PUBLIC_KEY_ID must begin with PUB_KEY_ID_, found 4 characters. Set",
            id="an id that is none",
        ),
        pytest.param(
            {"PAYGIFT_PUBLIC_KEY_ID": PUBLIC_KEY_ID, "PAYGIFT_PUBLIC_KEY": "not a key"},
            {"public_key": "failed", **NO_CALLS},
            "pub_key.pem",
            id="a public key that is none",
        ),
    ],
)
def test_what_is_wrong_here_is_named_with_its_remedy(
    changes: dict[str, str], expected: dict[str, str], words: str
) -> None:
    found = checkup(changes)
    assert unusual(found) == expected
    assert words in line(found, next(iter(expected)))
    # The doctor and the commands agree on what is usable. Only the doctor looks at the certificate.
    usable = {code for code, status in expected.items() if status == "failed"} <= {
        "certificate",
        "certificate_validity",
    }
    if usable:
        remote_from({**right(), **changes})
    else:
        with pytest.raises(CredentialsError):
            remote_from({**right(), **changes})


def test_a_home_that_is_not_there_is_a_path_that_cannot_be_read() -> None:
    found = checkup({"PAYGIFT_PRIVATE_KEY": "", "PAYGIFT_PRIVATE_KEY_FILE": "~nobody-of-that-name/key.pem"})
    assert unusual(found) == {"private_key": "failed", **NO_KEY}
    assert "names a file in a home folder that is not known. Give the whole path." in line(found, "private_key")


def test_a_certificate_of_another_kind_of_key_is_not_ours() -> None:
    found = checkup({"PAYGIFT_CERTIFICATE": certificate(key=ec.generate_private_key(ec.SECP256R1()))})
    assert unusual(found) == {"certificate": "failed"}


@pytest.mark.skipif(os.name != "posix", reason="there are no such permissions")
@pytest.mark.parametrize(("mode", "status"), [(0o600, "ok"), (0o400, "ok"), (0o640, "warning"), (0o604, "warning")])
def test_a_key_file_is_for_its_owner_only(tmp_path: Path, mode: int, status: str) -> None:
    file = tmp_path / "my key.pem"
    file.write_text(keys().merchant_key_pem)
    file.chmod(mode)
    found = checkup({"PAYGIFT_PRIVATE_KEY": "", "PAYGIFT_PRIVATE_KEY_FILE": str(file)})
    assert unusual(found) == {"key_file": status}
    assert f"mode {mode:04o}" in line(found, "key_file")
    assert found.passed
    assert ('chmod 600 "$PAYGIFT_PRIVATE_KEY_FILE"' in line(found, "key_file")) == (status == "warning")


def test_a_system_without_permissions_has_none_to_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environ = {**right(), "PAYGIFT_PRIVATE_KEY": "", "PAYGIFT_PRIVATE_KEY_FILE": str(tmp_path)}
    assert read(environ).private_key_mode is not None
    with monkeypatch.context() as changed:
        changed.setattr("reconciler.doctor.local.os.name", "nt")
        mode = read({**environ, "PAYGIFT_PRIVATE_KEY_FILE": ""}).private_key_mode
    assert mode is None
    assert judge_key_file(True, None).status is CheckStatus.SKIPPED


# --- what is wrong with the network ------------------------------------------------------------------------------


def test_the_backup_host_stands_in_for_a_dead_main_host() -> None:
    found = checkup(fault=dead("127.0.0.1"))
    assert unusual(found) == {"main_host": "failed"}
    assert line(found, "main_host").startswith("127.0.0.1 refused the connection. Check PAYGIFT_BASE_URL")
    assert line(found, "signed_call") == "127.0.0.2 accepts our signature."


def test_a_dead_backup_host_is_worth_a_warning() -> None:
    found = checkup(fault=dead("127.0.0.2"))
    assert unusual(found) == {"backup_host": "warning"}
    assert "It is needed only when the main host fails." in line(found, "backup_host")
    assert found.passed


def test_a_shared_journal_can_be_used_before_it_is_begun_and_after(postgresql: str) -> None:
    url = fresh_database(postgresql)
    for _ in range(2):
        found = checkup({"PAYGIFT_JOURNAL_URL": url})
        assert unusual(found) == {"journal": "ok"}
        assert line(found, "journal").startswith("PostgreSQL (local) can be used")
    with connected(url) as connection:
        assert inspect(connection).get_table_names() == [], "a doctor changes nothing"
    JournalLocation(Path(), url).open().close()
    assert unusual(checkup({"PAYGIFT_JOURNAL_URL": url})) == {"journal": "ok"}


def test_a_shared_journal_that_cannot_be_used_is_named_with_its_remedy(postgresql: str) -> None:
    newer, closed = fresh_database(postgresql), fresh_database(postgresql)
    JournalLocation(Path(), newer).open().close()
    with connected(newer) as connection:
        connection.execute(text("UPDATE paygift_schema SET version = 99"))
    with connected(closed) as connection:
        connection.execute(text("CREATE ROLE reader LOGIN"))
        connection.execute(text("REVOKE CREATE ON SCHEMA public FROM PUBLIC"))
    refused = {
        newer: "version 99, and this paygift knows 3. Use the newer paygift that wrote it.",
        str(make_url(closed).set(username="reader")): "its user may not make tables there. GRANT CREATE",
        "postgresql://paygift:hunter-2-hunter@127.0.0.1:1/journal": "cannot be reached: it refused the connection.",
        "mysql://paygift:hunter-2-hunter@db/journal": "PAYGIFT_JOURNAL_URL does not begin with postgresql://. Set",
        "hunter-2-hunter": "PAYGIFT_JOURNAL_URL holds no address.",
    }
    for url, words in refused.items():
        found = checkup({"PAYGIFT_JOURNAL_URL": url})
        assert unusual(found) == {"journal": "failed"}
        assert words in line(found, "journal")
        assert "hunter" not in checkup_text(checkup_view(found))
        assert not found.passed


def test_without_any_host_the_rest_cannot_be_asked() -> None:
    found = checkup(fault=dead("127.0.0.1", "127.0.0.2"))
    assert unusual(found) == {
        "main_host": "failed",
        "backup_host": "warning",
        **skipped("clock", *NETWORKED),
    }
    assert line(found, "permission") == "no host can be reached."


@pytest.mark.parametrize(
    ("path", "expected", "words"),
    [
        (
            wire.CERTIFICATES_PATH,
            {"signed_call": "failed", **skipped(*NETWORKED[1:])},
            "there was no answer within 0.3 s",
        ),
        (wire.ACTIVITIES_PATH, {"permission": "warning"}, "there was no answer within 0.3 s"),
    ],
)
def test_who_never_answers_is_not_waited_for(
    path: str, expected: dict[str, str], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "SECONDS", 0.3)
    found = checkup(fault=silent(path))
    assert unusual(found) == expected
    assert words in line(found, next(iter(expected)))


@pytest.mark.parametrize(
    "url",
    ["api.mch.weixin.qq.com", "https://", "ftp://127.0.0.1", "http://127.0.0.1:port", keys().apiv3_key],
    ids=["no scheme", "no host", "another scheme", "no port", "a secret"],
)
def test_a_url_that_cannot_be_meant_is_not_repeated(url: str) -> None:
    found = checkup({"PAYGIFT_BASE_URL": url, "PAYGIFT_BACKUP_URL": ""})
    assert unusual(found)["main_host"] == "failed"
    assert line(found, "main_host").startswith("PAYGIFT_BASE_URL ")
    found = checkup({"PAYGIFT_BACKUP_URL": url})
    assert unusual(found) == {"backup_host": "warning"}
    assert line(found, "backup_host").startswith("PAYGIFT_BACKUP_URL ")


def test_a_url_that_the_client_refuses_is_not_knocked_at() -> None:
    found = checkup({"PAYGIFT_BASE_URL": "http://pay.example", "PAYGIFT_BACKUP_URL": ""})
    assert unusual(found) == {"main_host": "failed", **skipped("backup_host", "clock", *NETWORKED)}
    assert "plain http, which is for this machine only" in line(found, "main_host")


def test_only_the_usual_main_host_has_a_backup_host_of_its_own() -> None:
    assert read({}).hosts.main == BASE_URL
    assert read({}).hosts.backup == BACKUP_URL
    assert read({"PAYGIFT_BASE_URL": MAIN}).hosts.backup == ""
    assert unusual(checkup({"PAYGIFT_BACKUP_URL": ""})) == skipped("backup_host")


def test_an_answer_that_is_no_json_may_be_a_login_page() -> None:
    found = checkup(fault=rewritten(from_a_login_page))
    assert unusual(found) == {
        **dict.fromkeys(("main_host", "backup_host"), "warning"),
        **skipped("clock", "signed_call", "certificates", "permission", "image_upload"),
        "verification": "failed",
    }
    assert "HTTP 401, text/html" in line(found, "main_host")
    assert "login pages of this network" in line(found, "main_host")


@pytest.mark.parametrize(
    ("seconds", "status", "words"),
    [
        (0.4, "ok", "0 s ahead of"),
        (-29.4, "ok", "29 s behind"),
        (30.0, "warning", "30 s ahead of"),
        (-299.9, "warning", "300 s behind"),
        (300.0, "failed", "signatures are refused from 300 s"),
        (-86_400.0, "failed", "86400 s behind"),
    ],
)
def test_the_clock_may_be_wrong_by_less_than_signatures_allow(seconds: float, status: str, words: str) -> None:
    check = judge_skew(seconds, "host")
    assert check.status == status
    assert words in check.text
    assert ("NTP" in check.remedy) == (status != "ok")


@pytest.mark.parametrize("ahead", [400, -400])
def test_a_skewed_clock_is_named_before_what_it_breaks(ahead: int) -> None:
    found = checkup(ahead_seconds=ahead)
    assert unusual(found) == {"clock": "failed", "signed_call": "failed", **skipped(*NETWORKED[1:])}
    direction = "ahead of" if ahead > 0 else "behind"
    assert re.search(rf"clock is (399|400|401) s {direction} that of 127\.0\.0\.1", line(found, "clock"))
    assert "clock is" in line(found, "signed_call")


def test_a_clock_that_is_a_little_wrong_still_works() -> None:
    found = checkup(ahead_seconds=100)
    assert unusual(found) == {"clock": "warning"}
    assert found.passed


def test_the_backup_host_tells_the_time_too() -> None:
    assert judge_clock(Knock(MAIN, "main"), Knock(BACKUP, "backup", ahead_seconds=40.0)).status is CheckStatus.WARNING
    assert judge_clock(Knock(MAIN, "main"), None).status is CheckStatus.SKIPPED


# --- what is wrong with the account ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "expected", "words"),
    [
        pytest.param(
            {"PAYGIFT_PRIVATE_KEY": keys().wechatpay_key_pem, "PAYGIFT_CERTIFICATE": ""},
            {"signed_call": "failed", **skipped(*NETWORKED[1:])},
            "HTTP 401 SIGN_ERROR",
            id="another's private key",
        ),
        pytest.param(
            {"PAYGIFT_SERIAL_NO": "0" * 39 + "1", "PAYGIFT_CERTIFICATE": ""},
            {"signed_call": "failed", **skipped(*NETWORKED[1:])},
            "the serial number PAYGIFT_SERIAL_NO",
            id="another serial number",
        ),
        pytest.param(
            {"PAYGIFT_MCHID": "1900000099"},
            {"signed_call": "failed", **skipped(*NETWORKED[1:])},
            "both belong to the merchant PAYGIFT_MCHID",
            id="another merchant",
        ),
        pytest.param(
            {"PAYGIFT_APIV3_KEY": "x" * 32},
            {"certificates": "failed", **skipped("signed_call", *NETWORKED[2:])},
            "Set PAYGIFT_APIV3_KEY to the APIv3密钥",
            id="another APIv3 key",
        ),
    ],
)
def test_what_wechat_pay_refuses_is_named_with_its_remedy(
    changes: dict[str, str], expected: dict[str, str], words: str
) -> None:
    skip = {} if changes.get("PAYGIFT_CERTIFICATE") is None else skipped("certificate", "certificate_validity")
    found = checkup(changes)
    assert unusual(found) == {**skip, **expected}
    assert words in line(found, next(iter(expected)))
    assert not found.passed


@pytest.mark.parametrize(
    ("fault", "expected", "words"),
    [
        pytest.param(
            answering(wire.ACTIVITIES_PATH, 403, "NO_AUTH", "商户未被授权"),
            {"permission": "failed"},
            "HTTP 403 NO_AUTH: 商户未被授权 (Request-ID 0A1B). Have the merchant's 超级管理员 open 支付有礼",
            id="no permission",
        ),
        pytest.param(
            answering(wire.IMAGE_UPLOAD_PATH, 403, "NO_AUTH", "商户未被授权"),
            {"image_upload": "failed"},
            "the upload belongs to these products",
            id="no permission to upload",
        ),
        pytest.param(
            answering(wire.IMAGE_UPLOAD_PATH, 403, "REQUEST_BLOCKED", "未知图片类型"),
            {"image_upload": "warning"},
            "this cannot be determined now: HTTP 403 REQUEST_BLOCKED: 未知图片类型",
            id="upload refused for another reason",
        ),
        pytest.param(
            answering(wire.ACTIVITIES_PATH, 429, "FREQUENCY_LIMITED"),
            {"permission": "warning"},
            "Wait a minute",
            id="too many requests",
        ),
        pytest.param(
            answering(wire.CERTIFICATES_PATH, 503, "SERVICE_UNAVAILABLE", signed=False),
            {"signed_call": "warning", "certificates": "warning", **skipped(*NETWORKED[2:])},
            "this cannot be determined now: HTTP 503",
            id="out of order",
        ),
        pytest.param(
            answering(wire.CERTIFICATES_PATH, 403, "NO_AUTH", signed=False),
            {"signed_call": "warning", "certificates": "warning", **skipped(*NETWORKED[2:])},
            "HTTP 403 NO_AUTH",
            id="certificates refused by an answer that nobody has signed",
        ),
        pytest.param(
            rewritten(without_proof, only=wire.ACTIVITIES_PATH),
            {"verification": "failed", "permission": "skipped"},
            "it is not signed as WeChat Pay signs",
            id="a list without signature",
        ),
        pytest.param(
            rewritten(without_proof),
            {
                "verification": "failed",
                **skipped("signed_call", "certificates", "permission", "image_upload"),
            },
            "check PAYGIFT_BASE_URL and proxies",
            id="nothing has a signature",
        ),
    ],
)
def test_what_comes_back_is_judged(fault: Fault, expected: dict[str, str], words: str) -> None:
    found = checkup(fault=fault)
    assert unusual(found) == expected
    assert words in line(found, next(iter(expected)))


def test_a_wrong_apiv3_key_is_wrong_beside_a_public_key_too() -> None:
    public = {"PAYGIFT_PUBLIC_KEY_ID": PUBLIC_KEY_ID, "PAYGIFT_PUBLIC_KEY": keys().public_key_pem}
    found = checkup({**public, "PAYGIFT_APIV3_KEY": "x" * 32}, fault=rewritten(in_public_key_mode))
    assert unusual(found) == {"public_key": "ok", "certificates": "failed"}


def test_outcomes_that_the_sandbox_does_not_bring() -> None:
    assert judge_backup_host(None).status is CheckStatus.SKIPPED
    assert judge_validity(None, 0.0).status is CheckStatus.SKIPPED


# What was seen, and what may be said of it.

BROKEN: Final = TransportError("the line is dead.")
DOUBTFUL: Final = UnverifiedError("not believed.")
NO_KEY_FITS: Final = CredentialsError("the APIv3 key is not this merchant's.")


def answered(status: int, code: str = "CODE", text: str = "说明", *, signed: bool) -> ApiError:
    return ApiError(status=status, code=code, text=text, verified=signed)


FAILURES: Final = {
    **{f"{status}, signed": answered(status, signed=True) for status in (400, 403, 404, 429, 500, 503)},
    **{f"{status}, unsigned": answered(status, signed=False) for status in (400, 403, 404, 429, 500, 503)},
    **{f"{status} in HTML": answered(status, "", signed=False) for status in (401, 403, 404, 407, 429, 502)},
    "401, unsigned": answered(401, "SIGN_ERROR", signed=False),
    "NO_AUTH, signed": answered(403, "NO_AUTH", signed=True),
    "NO_AUTH, unsigned": answered(403, "NO_AUTH", signed=False),
    "the digest, signed": answered(403, "REQUEST_BLOCKED", META_REFUSED, signed=True),
    "the digest, unsigned": answered(403, "REQUEST_BLOCKED", META_REFUSED, signed=False),
    "no answer": BROKEN,
    "not believed": DOUBTFUL,
    "no key fits": NO_KEY_FITS,
}


@pytest.mark.parametrize("seen", FAILURES)
def test_a_signature_counts_as_accepted_only_where_an_answer_is_signed(seen: str) -> None:
    failure = FAILURES[seen]
    check = judge_signed_call(Signed("host", failure, None, None))
    proven = isinstance(failure, ApiError) and failure.verified
    assert (check.status is CheckStatus.OK) == proven
    assert (check.status is CheckStatus.FAILED) == (seen in ("401, unsigned", "no answer"))
    assert check.credentials == (seen == "401, unsigned")
    assert judge_signed_call(Signed("host", failure, Proven(), None)).status is CheckStatus.OK


@pytest.mark.parametrize("seen", FAILURES)
def test_permission_is_told_by_what_is_signed_only(seen: str) -> None:
    check = judge_permission(FAILURES[seen])
    assert (check.status is CheckStatus.FAILED) == check.credentials == (seen == "NO_AUTH, signed")
    assert check.status is not CheckStatus.OK
    assert ("WeChat Pay has not signed this answer" in check.text) == (
        check.status is CheckStatus.WARNING and "signed" not in seen.replace("unsigned", "") and seen != "no answer"
    )


@pytest.mark.parametrize("seen", FAILURES)
def test_an_upload_is_permitted_only_by_a_signed_refusal_of_its_digest(seen: str) -> None:
    check = judge_image_upload(FAILURES[seen])
    assert (check.status is CheckStatus.OK) == (seen == "the digest, signed")
    assert (check.status is CheckStatus.FAILED) == (seen == "NO_AUTH, signed")


@pytest.mark.parametrize("seen", FAILURES)
def test_verification_counts_what_is_signed_among_what_answered(seen: str) -> None:
    failure = FAILURES[seen]
    alone, together = judge_verification([failure]), judge_verification([failure, Proven()])
    if failure is DOUBTFUL:
        assert (alone.status, together.status) == (CheckStatus.FAILED, CheckStatus.FAILED)
        return
    proven, answer = isinstance(failure, ApiError) and failure.verified, isinstance(failure, ApiError)
    assert alone.status is (CheckStatus.OK if proven else CheckStatus.SKIPPED)
    assert together.text == f"{1 + proven} of {1 + answer} answers are signed by WeChat Pay."


@pytest.mark.parametrize("seen", FAILURES)
def test_certificates_are_opened_or_nothing_is_said_of_them(seen: str) -> None:
    check = judge_certificates(FAILURES[seen], has_public_key=False)
    assert check.status is not CheckStatus.OK
    assert (check.status is CheckStatus.FAILED, check.credentials) == (seen == "no key fits",) * 2


def test_what_is_ticked_says_no_more_than_was_seen() -> None:
    found = checkup()
    assert line(found, "permission").endswith("Whether it may still create new ones was not asked.")
    assert "nothing was uploaded" in line(found, "image_upload")
    assert "open to" not in checkup_text(checkup_view(found))
    assert "can be used" not in checkup_text(checkup_view(found))


@pytest.mark.parametrize(
    ("status", "media_type", "expected"),
    [
        (401, "application/json", "ok"),
        (400, "application/json", "ok"),
        (200, "application/json", "warning"),
        (302, "application/json", "warning"),
        (429, "application/json", "warning"),
        (500, "application/json", "warning"),
        (503, "application/json", "warning"),
        (401, "text/html", "warning"),
        (302, "", "warning"),
    ],
)
def test_a_host_is_fine_if_it_refuses_an_unsigned_request_in_json(status: int, media_type: str, expected: str) -> None:
    knock = Knock(MAIN, "host", status=status, media_type=media_type)
    for check in (judge_main_host(knock), judge_backup_host(knock)):
        assert check.status == expected
        assert (f"HTTP {status}" in check.text) == (expected == "warning")


def everything(status: int, content: bytes, media_type: str = "application/json") -> Fault:
    """Whatever is asked, signed or not, gets this, and nobody has signed it."""

    async def fault(request: httpx.Request, send: Send) -> httpx.Response:
        return httpx.Response(status, headers={"Content-Type": media_type}, content=content, request=request)

    return fault


NOTHING_PROVEN: Final = {
    "all 500": everything(500, b'{"code": "SYSTEM_ERROR", "message": "x"}'),
    "all 429": everything(429, b'{"code": "FREQUENCY_LIMITED", "message": "x"}'),
    "all 403": everything(403, b'{"code": "NO_AUTH", "message": "x"}'),
    "all 404": everything(404, b'{"code": "ORDER_NOT_EXIST", "message": "x"}'),
    "all 403 in HTML": everything(403, b"<html>", "text/html"),
    "all 502 in HTML": everything(502, b"<html>", "text/html"),
    "all 401 in HTML": everything(401, b"<html>", "text/html"),
    "all 200": everything(200, b"{}"),
    "all 304": everything(304, b""),
    "the login page": everything(200, b"<html>", "text/html"),
}


@pytest.mark.parametrize("with_public_key", [False, True], ids=["certificates", "public key"])
@pytest.mark.parametrize("answers", NOTHING_PROVEN)
def test_where_nothing_is_proven_nothing_is_fine(answers: str, with_public_key: bool) -> None:
    public = {"PAYGIFT_PUBLIC_KEY_ID": PUBLIC_KEY_ID, "PAYGIFT_PUBLIC_KEY": keys().public_key_pem}
    found = checkup(public if with_public_key else {}, fault=NOTHING_PROVEN[answers])
    by_code = {check.code: check.status for check in found.checks}
    assert [code for code in NETWORKED if by_code[code] is CheckStatus.OK] == []
    assert not found.passed
    assert not found.credentials_failed
    failed = [code for code, status in by_code.items() if status is CheckStatus.FAILED]
    assert failed in ([], ["verification"])
    if not failed:
        assert "Essential, but not checked: signed call, verification, permission." in checkup_text(checkup_view(found))


@pytest.mark.parametrize("path", [wire.CERTIFICATES_PATH, wire.ACTIVITIES_PATH])
@pytest.mark.parametrize("status", [403, 429, 500])
def test_what_is_essential_must_have_been_checked(path: str, status: int) -> None:
    found = checkup(fault=answering(path, status, "CODE", signed=False))
    assert not found.passed
    assert "permission" in found.not_checked
    assert not found.credentials_failed


def test_what_is_not_essential_may_stay_open() -> None:
    found = checkup(fault=answering(wire.IMAGE_UPLOAD_PATH, 500, "SYSTEM_ERROR"))
    assert unusual(found) == {"image_upload": "warning"}
    assert found.passed


# The first knock


def test_a_knock_reads_no_more_than_the_head(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever answers there may send what unpacks to gigabytes."""
    read = 0

    class Bomb(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            nonlocal read
            while True:
                read += 1
                yield gzip.compress(bytes(10_000_000))

    async def fault(request: httpx.Request, send: Send) -> httpx.Response:
        if "Authorization" in request.headers:
            return await send(request)
        return httpx.Response(401, headers=BOMB_HEADERS, stream=Bomb(), request=request)

    found = checkup(fault=fault)
    assert read == 0
    assert unusual(found) == skipped("clock")


BOMB_HEADERS: Final = {"Content-Encoding": "gzip", "Content-Type": "application/json"}


def test_a_bomb_at_every_door_costs_little_memory(tmp_path: Path) -> None:
    """Over a socket, in a process of its own: signed requests get it too."""
    packed = gzip.compress(bytes(1_000_000_000), 1)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n"

    class Door(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            with suppress(OSError):
                while self.rfile.readline().strip():
                    pass
                self.wfile.write(head % len(packed) + packed)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Door) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        environ = {**right(), "PAYGIFT_BASE_URL": f"http://127.0.0.1:{server.server_address[1]}"}
        script = (
            "import re; from pathlib import Path; from reconciler.cli import run; code = run(['doctor']); "
            # What was used since this program began: a child's ru_maxrss begins with that of its parent.
            "peak = re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text()); "
            "print(code, int(peak[1]) // 1024)"
        )
        done = subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, **environ, "PAYGIFT_BACKUP_URL": ""},
            cwd=tmp_path,
            capture_output=True,
            encoding="utf-8",
            check=True,
        )
        server.shutdown()
    code, megabytes = map(int, done.stdout.splitlines()[-1].split())
    assert code == 1
    assert megabytes < 300


# --- the command -------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, _no_variables: None) -> Path:
    """A folder without a project, with a sandbox whose keys are made already."""
    (tmp_path / "paygift.yaml").write_text("namespace: liangpin\n")
    (tmp_path / ".paygift/sandbox").mkdir(parents=True)
    keys().write(tmp_path / ".paygift/sandbox/keys")
    return tmp_path


def test_the_sandbox_is_healthy(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["-C", str(folder), "--sandbox", "doctor"]) == 0
    out = capsys.readouterr().out
    lines = out.splitlines()
    assert [each[0] for each in lines[:-1]] == list("✓✓✓·✓✓✓✓·✓·✓·✓✓✓✓✓")
    assert re.match(r"✓ main host             127\.0\.0\.1:\d+ answered in \d+ ms\.$", lines[9])
    assert lines[8].startswith("· public key            skipped: PAYGIFT_PUBLIC_KEY_ID")
    assert lines[-1] == "14 ok, 4 skipped."
    assert_no_secret(out, {})


def command(folder: Path, *arguments: str, **environ: str) -> tuple[int, str]:
    """Exit code and stdout of `paygift ARGUMENTS` in another process."""
    done = subprocess.run(
        [sys.executable, "-m", "reconciler", "-C", str(folder), *arguments],
        env={**os.environ, "PYTHONIOENCODING": "utf-8", **environ},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.stderr == ""
    return done.returncode, done.stdout


def test_json_says_the_same(folder: Path) -> None:
    code, out = command(folder, "doctor", "--sandbox", "--json")
    said: dict[str, Any] = json.loads(out)
    assert (code, said["format_version"], said["kind"], said["passed"]) == (0, "1.0", "checkup", True)
    assert [check["code"] for check in said["checks"]] == list(CHECKS)
    assert said["counts"] == {"ok": 14, "warning": 0, "failed": 0, "skipped": 4}


def test_a_failed_check_exits_4(folder: Path) -> None:
    spoilt = {"PAYGIFT_BASE_URL": "http://127.0.0.1:9", "PAYGIFT_APIV3_KEY": "short"}
    code, out = command(folder, "--color", "doctor", **spoilt)
    assert code == 4
    assert "\x1b[31m✗\x1b[0m variables             \x1b[31mfailed: \x1b[0mnot set: PAYGIFT_MCHID" in out
    assert "\x1b[31m✗\x1b[0m main host             \x1b[31mfailed: \x1b[0m127.0.0.1:9 refused" in out
    assert "3 failed" in out.splitlines()[-1]
    assert "short" not in out


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"PAYGIFT_MCHID": ""}, 4),
        ({"PAYGIFT_PRIVATE_KEY": "not a key"}, 4),
        ({"PAYGIFT_PRIVATE_KEY": keys().wechatpay_key_pem, "PAYGIFT_CERTIFICATE": ""}, 4),
        ({"PAYGIFT_APIV3_KEY": "x" * 32}, 4),
        ({"PAYGIFT_BASE_URL": "http://127.0.0.1:9"}, 1),
        ({"PAYGIFT_JOURNAL_URL": "postgresql://127.0.0.1:1/journal"}, 1),
        ({"PAYGIFT_CERTIFICATE": certificate(ends_days=12)}, 0),
    ],
    ids=["missing", "unusable", "rejected", "of another", "no host", "no journal", "a warning"],
)
def test_the_exit_code_tells_credentials_from_the_rest(
    changes: dict[str, str], code: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Sandbox(folder / ".paygift/sandbox", keys=keys()) as sandbox:
        environ = {**right(), "PAYGIFT_BASE_URL": sandbox.base_url, "PAYGIFT_BACKUP_URL": "", **changes}
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        assert run(["-C", str(folder), "doctor"]) == code


def test_a_service_that_is_out_of_order_exits_1(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Sandbox(folder / ".paygift/sandbox", keys=keys()) as sandbox:
        sandbox.add_fault({"kind": "html_before", "count": 99})
        for name, value in {
            **right(),
            "PAYGIFT_BASE_URL": sandbox.base_url,
            "PAYGIFT_BACKUP_URL": "",
        }.items():
            monkeypatch.setenv(name, value)
        assert run(["-C", str(folder), "doctor"]) == 1


def test_words_of_the_server_cannot_touch_the_terminal() -> None:
    found = Checkup((Check("permission", CheckStatus.FAILED, "HTTP 403: \x1b[2J", "Do \x07 this."),))
    assert checkup_text(checkup_view(found)) == ("✗ permission  failed: HTTP 403: \\x1b[2J Do \\x07 this.\n1 failed.\n")


def test_the_document_explains_every_check_in_order() -> None:
    text = (Path(__file__).parents[2] / "docs/doctor.md").read_text(encoding="utf-8")
    assert tuple(re.findall(r"^### (\w+)$", text, re.MULTILINE)) == CHECKS
    for section in re.split(r"^### \w+$", text, flags=re.MULTILINE)[1:]:
        assert "- *Remedy:* " in section
