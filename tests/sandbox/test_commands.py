"""The commands for faults and options, and what the log explains."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from reconciler.cli import run
from reconciler.commands.workspace import SANDBOX_FOLDER
from reconciler.sandbox.faults import KINDS
from reconciler.sandbox.options import Options
from reconciler.sandbox.server import Sandbox
from reconciler.wechatpay import signing, wire
from tests.support.signed import keys, merchant_key, request

LIST = f"{wire.ACTIVITIES_PATH}?offset=0&limit=10"

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def paygift(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """`paygift ARGUMENTS` in an empty folder: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    keys().write(tmp_path / SANDBOX_FOLDER / "keys")

    def call(*arguments: str) -> tuple[int, str, str]:
        capfd.readouterr()
        code = run(list(arguments))
        return code, *capfd.readouterr()

    return call


def ask(folder: Path, *requests: Callable[[str], httpx.Request]) -> None:
    with Sandbox(folder / SANDBOX_FOLDER) as sandbox, httpx.Client() as client:
        for make in requests:
            client.send(make(sandbox.base_url))


def test_faults_are_added_listed_and_cleared(paygift: Run, tmp_path: Path) -> None:
    assert paygift("sandbox", "fault", "add", "error_before", "--route", "list", "status=503") == (
        0,
        "Fault 1 waits.\n",
        "",
    )
    merchants = "merchants=1900000002,1900000003"
    added = paygift("sandbox", "fault", "add", "invalid_merchants", merchants, "--skip", "1", "--count", "0")
    assert added[1] == "Fault 2 waits.\n"
    paygift("sandbox", "fault", "add", "latency", "seconds=0.5", "--probability", "0.25")
    paygift("sandbox", "fault", "add", "drop_after")
    ask(tmp_path, lambda url: request("GET", LIST, base_url=url, nonce="1", headers={"User-Agent": "x"}))
    lines = paygift("sandbox", "fault", "list")[1].splitlines()
    assert lines[0].split() == [
        "N",
        "KIND",
        "ROUTE",
        "COUNT",
        "SKIP",
        "PROBABILITY",
        "SEEN",
        "STRUCK",
        "PARAMETERS",
    ]
    assert lines[1].split() == [
        "1",
        "error_before",
        "list",
        "1",
        "0",
        "1.0",
        "1",
        "1",
        "status=503",
        "signed=true",
    ]
    assert lines[2].split()[:8] == ["2", "invalid_merchants", "any", "0", "1", "1.0", "0", "0"]
    assert merchants in lines[2]
    assert "seconds=0.5" in lines[3]
    assert lines[4].split()[-1] == "-"
    shown = json.loads(paygift("sandbox", "fault", "list", "--json")[1])
    assert [(each["kind"], each["struck"]) for each in shown][:2] == [
        ("error_before", 1),
        ("invalid_merchants", 0),
    ]
    assert "error_before" in paygift("sandbox", "log")[1]
    assert paygift("sandbox", "fault", "clear")[1] == "4 faults cleared.\n"
    paygift("sandbox", "fault", "add", "drop_after")
    assert paygift("sandbox", "fault", "clear")[1] == "1 fault cleared.\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["explode"], "there is no fault 'explode'; there are rotated_certificate, latency, "),
        (["latency", "seconds"], "'seconds' is no parameter of a fault. Write NAME=VALUE"),
        (["latency", "kind=drop_after"], "each name once"),
        (["latency", "seconds=1", "seconds=2"], "each name once"),
        (["latency", "status=500"], "latency has no parameter 'status'; it has seconds"),
        (["create_fails", "--route", "list"], "route must be one of any, create, not 'list'"),
        (["latency", "--count", "x"], "count must be a whole number, 0 for ever, not 'x'"),
    ],
)
def test_a_fault_that_cannot_be_meant_is_refused(paygift: Run, arguments: list[str], said: str) -> None:
    code, _, err = paygift("sandbox", "fault", "add", *arguments)
    assert code == 1
    assert said in err


def test_help_lists_all_kinds_and_all_options(paygift: Run) -> None:
    shown = paygift("sandbox", "fault", "add", "--help")[1]
    assert all(f"  {kind}" in shown for kind in KINDS)
    shown = paygift("sandbox", "serve", "--help")[1]
    assert all(f"  {name}={default}" in shown for name, _, default in Options.describe())


def test_an_option_that_cannot_be_meant_is_refused(paygift: Run) -> None:
    code, _, err = paygift("sandbox", "serve", "--option", "paging=columns")
    assert code == 1
    assert "paging must be one of pages_from_0, pages_from_1, rows, not 'columns'" in err


def test_the_log_explains_a_signature_that_does_not_verify(paygift: Run, tmp_path: Path) -> None:
    def bad(url: str) -> httpx.Request:
        stamp = str(int(time.time()))
        signature = signing.sign(merchant_key(), f"GET\n{LIST}\n{stamp}\nN\n".encode())
        given = signing.Authorization("1900000001", "N", signature, stamp, keys().serial_no)
        return request("GET", LIST, base_url=url, headers={"Authorization": given.header()})

    def late(url: str) -> httpx.Request:
        return request("GET", LIST, base_url=url, timestamp=str(int(time.time()) - 400))

    ask(tmp_path, bad, late)
    shown = paygift("sandbox", "log")[1]
    assert (
        "\n1: sign not match: signed with the right key, but over a message without its final newline\n"
        in shown
    )
    assert f'   expected: "GET\\n{LIST}\\n' in shown
    assert "\n2: timestamp expired: the timestamp is 40" in shown
