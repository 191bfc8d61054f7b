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
from reconciler.sandbox.options import SandboxOptions
from reconciler.sandbox.server import Sandbox
from reconciler.wechatpay import signing, wire
from tests.support.project import SPEC, Project
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
        (["latency", "seconds"], "'seconds' is not a parameter of a fault. Write NAME=VALUE"),
        (["latency", "kind=drop_after"], "each name once"),
        (["latency", "seconds=1", "seconds=2"], "each name once"),
        (["latency", "status=500"], "latency has no parameter 'status'; it has seconds"),
        (["create_fails", "--route", "list"], "route must be one of any, create, not 'list'"),
        (["latency", "--count", "x"], "count must be a whole number, 0 for no limit, not 'x'"),
    ],
)
def test_an_invalid_fault_is_refused(paygift: Run, arguments: list[str], said: str) -> None:
    code, _, err = paygift("sandbox", "fault", "add", *arguments)
    assert code == 1
    assert said in err


def test_help_lists_all_kinds_and_all_options(paygift: Run) -> None:
    shown = paygift("sandbox", "fault", "add", "--help")[1]
    assert all(f"  {kind}" in shown for kind in KINDS)
    shown = paygift("sandbox", "serve", "--help")[1]
    assert all(f"  {name}={default}" in shown for name, _, default in SandboxOptions.describe())


def test_an_invalid_option_is_refused(paygift: Run) -> None:
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
    assert "\n1: sign not match: signed with the right key, but over a message without its final newline\n" in shown
    assert f'   expected: "GET\\n{LIST}\\n' in shown
    assert "\n2: timestamp expired: the timestamp is 40" in shown


# The clock


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["-2h"], "10:00:00"),
        (["-1d"], "12:00:00"),
        (["--", "-2h"], "10:00:00"),
        (["+2h"], "14:00:00"),
        (["-90m"], "10:30:00"),
        (["-0h"], "12:00:00"),
    ],
)
def test_the_clock_moves_both_ways(paygift: Run, arguments: list[str], shown: str) -> None:
    """``-2h`` was taken for the options -2 and -h: it printed help, and exited 0."""
    assert paygift("sandbox", "clock", "2026-11-25T12:00:00+08:00")[0] == 0
    code, out, err = paygift("sandbox", "clock", *arguments)
    assert (code, err) == (0, "")
    assert out.split()[1][:7] == shown[:7]
    assert out.endswith(" Beijing time\n")


@pytest.mark.parametrize("text", ["-2x", "-2", "2h", "yesterday"])
def test_what_is_not_a_time_is_refused(paygift: Run, text: str) -> None:
    code, out, err = paygift("sandbox", "clock", text)
    assert (code, out) == (1, "")
    assert f"'{text}' is not a time" in err
    assert "+3d, -2h, 2026-12-01T00:00:00+08:00, real" in err


def test_the_clock_s_own_options_stay_options(paygift: Run) -> None:
    for arguments in (["-h"], ["--help"], ["-2h", "--help"]):
        code, out, _ = paygift("sandbox", "clock", *arguments)
        assert (code, out.splitlines()[0][:28]) == (0, "Usage: paygift sandbox clock")
    assert paygift("sandbox", "clock", "-x")[0] == 1


@pytest.mark.parametrize("arguments", [["serve", "--port", "99999"], ["serve", "--port", "-1"], ["log", "-n", "-1"]])
def test_a_number_out_of_bounds_is_refused(paygift: Run, arguments: list[str]) -> None:
    code, _, err = paygift("sandbox", *arguments)
    assert code == 1
    assert "is not in the range" in err


@pytest.mark.parametrize("group", [["sandbox"], ["sandbox", "fault"]])
def test_help_says_of_each_command_all_that_it_says(
    paygift: Run, group: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    listed = paygift(*group, "--help")[1].partition("Commands:")[2].strip().splitlines()
    assert len(listed) >= 3
    assert [line for line in listed if line.endswith("...")] == []


# Coupons that are made up


def test_coupons_that_are_made_up_are_named_once(project: Project) -> None:
    spec = SPEC.replace("98065001", "98065002")
    project.write("autumn", spec)
    code, _, err = project.run("--sandbox", "plan")
    assert code == 0
    assert err.count("\n") == 1
    assert "did not know 1 coupon stock of the specs (98065002), and made up what fits" in err
    assert project.run("--sandbox", "plan")[2] == ""


def test_many_made_up_coupons_are_counted(project: Project) -> None:
    for number in range(5):
        project.write(f"s{number}", SPEC.replace("98065001", f"9806600{number}"))
    assert (
        "5 coupon stocks of the specs (98066000, 98066001, 98066002 and 2 more)"
        in project.run("--sandbox", "status")[2]
    )


def test_coupons_of_the_project_s_own_file_are_not_made_up(project: Project) -> None:
    project.write("autumn", SPEC.replace("98065001", "98065002"))
    (project.root / "sandbox-stocks.json").write_text('[{"stock_id": "98065002"}]')
    assert project.run("--sandbox", "plan")[2] == ""


def test_a_coupon_that_is_missing_can_be_provoked(project: Project) -> None:
    project.run("sandbox", "fault", "add", "refused", "--route", "stock", "status=404")
    code, out, _ = project.run("--sandbox", "plan")
    assert code == 0
    assert "COUPON_UNUSABLE" in out


# An account that has only the WeChat Pay public key


def test_an_account_without_certificates_can_be_rehearsed(project: Project) -> None:
    with Sandbox(project.root / SANDBOX_FOLDER, options=SandboxOptions(public_key="only")) as sandbox:
        about = httpx.get(f"{sandbox.base_url}/sandbox/about").text
        (project.root / SANDBOX_FOLDER / "server.json").write_text(about)
        code, out, err = project.run("--sandbox", "apply", "--yes")
        assert (code, "Applied: " in out) == (0, True), err
        assert project.run("--sandbox", "doctor")[0] == 0


# Activities from elsewhere


def test_an_activity_is_put_in_from_a_file_and_keeps_its_merchants(project: Project, tmp_path: Path) -> None:
    assert project.run("--sandbox", "apply", "--yes")[0] == 0
    shown = json.loads(project.run("--sandbox", "show", "spring", "--json")[1])
    (live,) = shown["live"]
    file = tmp_path / "activity.json"
    file.write_text(json.dumps(shown))
    assert project.run("sandbox", "insert", str(file)) == (0, f"{live['activity_id']} is put in.\n", "")
    assert "1 unchanged" in project.run("--sandbox", "plan")[1]
    file.write_text(json.dumps(live["wire"] | {"activity_id": "7\x1b[31m"}))
    code, out, _ = project.run("sandbox", "insert", str(file))
    assert (code, "\x1b" in out) == (0, False)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "cannot be read: it is not JSON"),
        ("[]", "must be an activity in JSON"),
        ("7", "must be an activity in JSON"),
        ('{"kind": "activity", "live": []}', "must be an activity in JSON"),
        ('{"kind": "activity", "live": [7]}', "must be an activity in JSON"),
        ('{"kind": "activity", "live": {"a": 1}}', "must be an activity in JSON"),
        ('{"kind": "activity", "live": [{"wire": 7}]}', "must be an activity in JSON"),
        ('{"kind": "activity", "live": [{"wire": {}, "merchants": 7}]}', "must be an activity in JSON"),
    ],
)
def test_what_is_not_an_activity_is_refused(paygift: Run, tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "a.json"
    file.write_text(text)
    code, out, err = paygift("sandbox", "insert", str(file))
    assert (code, out) == (1, "")
    assert said in err
    assert paygift("sandbox", "insert", str(tmp_path / "none.json"))[0] == 1
