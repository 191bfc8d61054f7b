"""Who may talk to the sandbox: this machine, by a name that is its own; and nothing that is sent brings it down."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from reconciler.model.errors import SandboxError
from reconciler.sandbox.app import is_for_this_machine, is_loopback_url
from reconciler.sandbox.control import ask
from reconciler.sandbox.server import Sandbox, find_running
from reconciler.wechatpay import wire
from tests.support.project import Project
from tests.support.signed import keys, request

LIST = f"{wire.ACTIVITIES_PATH}?offset=0&limit=10"
OURS = [
    "127.0.0.1", "127.0.0.1:8750", "localhost", "LocalHost:1", "[::1]", "[::1]:8750", "[0:0:0:0:0:0:0:1]", "127.9.9.9",
    "api.mch.weixin.qq.com", "api2.mch.weixin.qq.com:443",
]  # fmt: skip
OTHERS = [
    "evil.example", "evil.example:8750", "127.0.0.1.evil.example", "localhost.evil.example", "evil.example:127.0.0.1",
    "127.0.0.1@evil.example", "evil.example#localhost", "10.0.0.1", "0.0.0.0", "[::]", "[2001:db8::1]", "", " ",
    "2130706433", "xn--localhost", "localhost,evil.example", "api.mch.weixin.qq.com.evil.example", "[::1",
    "localhost:x", "[::ffff:10.0.0.1]",
]  # fmt: skip


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    with Sandbox(tmp_path, keys=keys()) as embedded:
        yield embedded


@pytest.mark.parametrize("host", OURS)
def test_names_of_this_machine_are_let_in(sandbox: Sandbox, host: str) -> None:
    assert httpx.get(f"{sandbox.base_url}/sandbox/about", headers={"Host": host}).status_code == 200
    signed = request("GET", LIST, base_url=sandbox.base_url)
    signed.headers["Host"] = host
    with httpx.Client() as client:
        assert client.send(signed).status_code == 200


@pytest.mark.sampled(every=7)
@pytest.mark.parametrize("host", [host for host in OTHERS if host.strip()])
@pytest.mark.parametrize("target", ["/sandbox/about", "/sandbox/reset", "/wxpaylogo/x/0", LIST, "/"])
def test_another_name_is_refused_on_every_path_before_anything_happens(
    sandbox: Sandbox, host: str, target: str
) -> None:
    sandbox.seed([{"stock_id": "1"}])
    headers = {"Host": host, "Content-Type": "application/json"}
    method = "POST" if target == "/sandbox/reset" else "GET"
    answer = httpx.request(method, sandbox.base_url + target, headers=headers, content=b"{}")
    assert answer.status_code == 421
    assert answer.json()["message"] == (
        f"The sandbox answers only what is sent to this machine, such as 127.0.0.1, and not to {host}."
    )
    assert sandbox.log() == []
    assert sandbox.seed([{"stock_id": "1"}], only_missing=True) == []


@pytest.mark.parametrize("host", OTHERS)
def test_the_rule_itself(host: str) -> None:
    assert not is_for_this_machine([host])


def test_no_host_and_two_hosts_are_no_host() -> None:
    assert not is_for_this_machine([])
    assert not is_for_this_machine(["localhost", "localhost"])
    assert all(is_for_this_machine([host]) for host in OURS)


def test_http_1_0_without_a_host_is_refused(sandbox: Sandbox) -> None:
    port = int(sandbox.base_url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=10) as raw:
        raw.sendall(b"GET /sandbox/about HTTP/1.0\r\n\r\n")
        assert raw.recv(4096).startswith(b"HTTP/1.1 421 ")


# --- bodies that are nested deeply ----------------------------------------------------------------------------------

DEEP = [b"[" * n for n in (100_000, 5_000)] + [b'{"a":' * n + b"1" + b"}" * n for n in (200, 900, 990, 5_000, 60_000)]


@pytest.mark.parametrize("body", DEEP, ids=lambda body: f"{body[:1].decode()}{len(body)}")
@pytest.mark.parametrize("path", [wire.CREATE_PATH, "/v3/marketing/busifavor/stocks"])
def test_a_deep_body_is_a_bad_request_and_no_crash(sandbox: Sandbox, path: str, body: bytes) -> None:
    with httpx.Client() as client:
        answer = client.send(request("POST", path, body, base_url=sandbox.base_url))
    assert answer.status_code == 400
    assert answer.json()["code"] in ("PARAM_ERROR", "INVALID_REQUEST")
    assert sandbox.activities() == []


@pytest.mark.sampled(every=4)
@pytest.mark.parametrize("body", DEEP, ids=lambda body: f"{body[:1].decode()}{len(body)}")
@pytest.mark.parametrize("operation", ["seed", "insert_activity", "set_clock", "add_fault", "log"])
def test_a_deep_argument_of_the_controls_is_a_bad_request_too(sandbox: Sandbox, operation: str, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    answer = httpx.post(f"{sandbox.base_url}/sandbox/{operation}", content=body, headers=headers)
    assert answer.status_code == 400
    assert sandbox.log() == []


@pytest.mark.parametrize("depth", [500, 900, 980, 5_000])
def test_what_is_deep_inside_a_known_argument_is_no_crash(sandbox: Sandbox, depth: int) -> None:
    inner = b"[" * depth + b"]" * depth
    body = b'{"item": {"activity_base_info": ' + inner + b'}, "merchants": []}'
    headers = {"Content-Type": "application/json"}
    answer = httpx.post(f"{sandbox.base_url}/sandbox/insert_activity", content=body, headers=headers)
    assert answer.status_code in (200, 400)


# --- server.json ----------------------------------------------------------------------------------------------------

AWAY = [
    "http://evil.example:8750", "http://127.0.0.1.evil.example", "http://127.0.0.1@evil.example", "https://10.0.0.1",
    "ftp://127.0.0.1", "//127.0.0.1", "http://0.0.0.0:1", "http://[::ffff:10.0.0.1]", "http://127.0.0.1:x", "http://[",
    7, "",
]  # fmt: skip


@pytest.mark.parametrize("url", AWAY)
def test_a_server_file_that_leads_away_from_this_machine_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: object
) -> None:
    monkeypatch.setattr("reconciler.sandbox.server.ask", lambda *_args, **_more: pytest.fail("asked somebody"))
    (tmp_path / "server.json").write_text(json.dumps({"base_url": url, "pid": 1, "directory": "x"}))
    assert not is_loopback_url(url)
    with pytest.raises(SandboxError, match=r"server\.json leads away from this machine"):
        find_running(tmp_path)


def test_no_command_follows_such_a_file(project: Project) -> None:
    (project.root / ".paygift/sandbox/server.json").write_text('{"base_url": "http://evil.example"}')
    code, out, err = project.run("--sandbox", "plan")
    assert (code, out) == (1, "")
    assert "Remove that file." in err


@pytest.mark.parametrize("text", ["[" * 100_000, "", "{}", "[]", '{"base_url": "http://127.0.0.1:1"}'])
def test_a_server_file_that_says_nothing_counts_for_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "server.json").write_text(text)
    assert find_running(tmp_path) is None


def test_the_client_itself_says_a_name_that_is_let_in(sandbox: Sandbox) -> None:
    assert ask(sandbox.base_url, "/sandbox/about")["base_url"] == sandbox.base_url
