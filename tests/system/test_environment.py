"""The reader of the environment: what it strips, what it refuses, and which proxy it finds; and real processes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from reconciler.cli import run
from reconciler.journal.unreachable import not_connected
from reconciler.model.errors import CredentialsError, UsageError
from reconciler.system.environment import (
    DATABASE,
    ENDPOINT,
    HOOK,
    ORIGIN,
    PROXY,
    Form,
    checked,
    checked_address,
    file_name,
    stripped,
)
from reconciler.system.origin import job_url, who_runs
from reconciler.system.proxies import proxy_for
from tests.support.hostile import LEFT, RIGHT, tells

BOM, NBSP, ZERO_WIDTH = "\ufeff", "\u00a0", "\u200b"


@pytest.mark.parametrize(
    "around",
    [
        "{}",
        "{}\n",
        "{}\r\n",
        " \t{} ",
        f"{BOM}{{}}",
        f"{NBSP}{{}}{ZERO_WIDTH}",
        "'{}'",
        '"{}"',
        ' "{} " ',
        "\u3000{}\u2028",
    ],
)
def test_what_copying_leaves_around_a_value_is_taken_off(around: str) -> None:
    assert stripped(around.format("two words")) == "two words"


def test_only_one_pair_of_quotes_is_taken_off() -> None:
    assert stripped("''x''") == "'x'"
    assert stripped("'x") == "'x"
    assert stripped("'") == "'"
    assert stripped("''") == ""


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("a\udcffb", "bytes that are not UTF-8"),
        ("a\nb", "a line break"),
        ("a\x1b[31mb", "a character that cannot be seen"),
        (f"a{ZERO_WIDTH}b", "a character that cannot be seen"),
        ("x" * 9000, "9,000 characters"),
        ("${{ secrets.KEY }}", "a reference"),
        ("$KEY", "a reference"),
        ("%KEY%", "a reference"),
        ("export KEY=x", "an assignment"),
        ("PAYGIFT_MCHID=1900000001", "an assignment"),
        ("https_proxy=http://x:1", "an assignment"),
    ],
)
def test_what_is_no_value_of_anything_is_refused(value: str, why: str) -> None:
    with pytest.raises(UsageError, match=f"^SOME_NAME .*{re.escape(why)}"):
        checked("SOME_NAME", value)
    with pytest.raises(CredentialsError):
        checked("PAYGIFT_APIV3_KEY", value)


def test_the_name_of_a_file_may_be_any_bytes() -> None:
    assert file_name({"SSL_CERT_FILE": "/etc/caf\udce9.pem\n"}, "SSL_CERT_FILE") == "/etc/caf\udce9.pem"


@pytest.mark.parametrize(
    ("form", "url", "host", "port"),
    [
        (ORIGIN, "https://api.mch.weixin.qq.com", "api.mch.weixin.qq.com", None),
        (ORIGIN, "HTTPS://Pay.Example/", "pay.example", None),
        (ORIGIN, "https://[fd07::1]:8443", "fd07::1", 8443),
        (ORIGIN, "http://[::1]:8443", "::1", 8443),
        (ENDPOINT, "https://github.example.com/api/v3", "github.example.com", None),
        (HOOK, "https://robot.example/send?key=a-b&to=%40all", "robot.example", None),
        (PROXY, "proxy.example:3128", "proxy.example", 3128),
        (PROXY, "user:p%23ss:w@10.0.0.1:3128/", "10.0.0.1", 3128),
        (DATABASE, "postgresql://u:p%40ss^[x]@db_1.internal:5433/d?sslmode=require", "db_1.internal", 5433),
        (DATABASE, "postgresql:///d?host=/run/postgresql", "", None),
    ],
)
def test_an_address_is_taken_apart(form: Form, url: str, host: str, port: int | None) -> None:
    found = checked_address("NAME", url, form)
    assert (found.host, found.port) == (host, port)
    assert "p%23" not in repr(found)
    assert "ss" not in repr(found).replace("Address", "")


def test_a_user_name_and_a_password_are_decoded() -> None:
    found = checked_address("NAME", "http://a%40b:p%23%2F:%3F@h:1", PROXY)
    assert (found.user, found.password) == ("a@b", "p#/:?")


@pytest.mark.parametrize("form", [ORIGIN, ENDPOINT, HOOK, PROXY, DATABASE])
@pytest.mark.parametrize(
    "rest",
    [
        f"u:{LEFT}#{RIGHT}@h",
        f"u:{LEFT}/{RIGHT}@h",
        f"u:{LEFT}?{RIGHT}@h",
        f"u:{LEFT}@{RIGHT}@h",
        f"u:1/{RIGHT}@h",
        f"u:443#{RIGHT}@h",
        f"h:{LEFT}",
        "h:0",
        "h:65536",
        "h:٣",
        "300.1.1.1",
        "h..x",
        "-h",
        "h-.x",
        f"{'x' * 64}.example",
        f"[::{LEFT}]",
        "[fe80::1%25eth0]",
        "[127.0.0.1",
        "h]",
        "ｈost.example",
        "h one",
        "h\\@x",
    ],
)
def test_an_address_that_can_be_read_in_two_ways_is_refused_and_not_quoted(form: Form, rest: str) -> None:
    with pytest.raises(UsageError, match=r"^NAME ") as caught:
        checked_address("NAME", f"{form.schemes[0]}://{rest}", form)
    assert tells(str(caught.value)) == []


# --- proxies ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "host", "excepted"),
    [
        ("*", "pay.example", True),
        ("pay.example", "pay.example", True),
        ("PAY.example.", "pay.EXAMPLE", True),
        ("pay.example", "api.pay.example", True),
        (".pay.example", "api.pay.example", True),
        ("*.pay.example", "api.pay.example", True),
        ("ay.example", "pay.example", False),
        ("api.pay.example", "pay.example", False),
        ("pay.example:443", "pay.example", True),
        ("pay.example:80", "pay.example", False),
        ("https://pay.example/", "pay.example", True),
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.1/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("10.0.0.0/8", "10.example", False),
        ("10.1.2.3", "10.1.2.3", True),
        ("10.1.2.3:80", "10.1.2.3", False),
        ("fd07::/64", "fd07::9", True),
        ("fd07::/64", "10.0.0.1", False),
        ("[fd07::]/64", "fd07::9", True),
        ("::1", "::1", True),
        ("[::1]", "::1", True),
        ("[::1]:443", "::1", True),
        ("[::1]:80", "::1", False),
        ("[0:0::1]", "::1", True),
    ],
)
def test_no_proxy_is_read_as_people_write_it(entry: str, host: str, excepted: bool) -> None:
    for listed in (entry, f"localhost, {entry} ,", f"[x, 1/2/3,:::,{entry},%%,/"):
        found = proxy_for({"HTTPS_PROXY": "http://proxy:1", "NO_PROXY": listed}, "https", host)
        assert (found is None) == excepted, listed


@pytest.mark.parametrize(
    ("environ", "variable"),
    [
        ({}, ""),
        ({"HTTPS_PROXY": "http://a:1"}, "HTTPS_PROXY"),
        ({"HTTPS_PROXY": "http://a:1", "https_proxy": "http://b:1"}, "https_proxy"),
        ({"HTTPS_PROXY": "http://a:1", "https_proxy": ""}, ""),
        ({"HTTPS_PROXY": " ", "ALL_PROXY": "http://a:1"}, "ALL_PROXY"),
        ({"ALL_PROXY": "socks5://a:1", "https_proxy": "https://b:1"}, "https_proxy"),
        ({"HTTP_PROXY": "http://a:1"}, ""),
        ({"HTTPS_PROXY": "http://a:1", "NO_PROXY": "pay.example", "no_proxy": ""}, "HTTPS_PROXY"),
    ],
)
def test_the_variable_that_counts_is_found(environ: dict[str, str], variable: str) -> None:
    found = proxy_for(environ, "https", "pay.example")
    assert (found.variable if found else "") == variable


def test_a_header_of_a_request_is_no_proxy() -> None:
    environ = {"HTTP_PROXY": "http://a:1", "REQUEST_METHOD": "GET"}
    assert proxy_for(environ, "http", "pay.example") is None
    assert proxy_for({**environ, "http_proxy": "http://a:1"}, "http", "pay.example") is not None


# --- what only informs ------------------------------------------------------------------------------------------------


def test_what_only_informs_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    run = {"GITHUB_REPOSITORY": "a/b", "GITHUB_RUN_ID": "7"}
    assert job_url({**run, "GITHUB_SERVER_URL": "https://github.com"}) == "https://github.com/a/b/actions/runs/7"
    assert job_url({**run, "GITHUB_SERVER_URL": f"https://u:{LEFT}@github.com"}) == ""
    assert (
        job_url({"CI_JOB_URL": "http://gitlab.internal:8080/a/b/-/jobs/7"})
        == "http://gitlab.internal:8080/a/b/-/jobs/7"
    )
    assert job_url({"CI_JOB_URL": f"https://gitlab.com/x?token={LEFT}"}) == ""
    assert who_runs({"GITHUB_ACTOR": "dependabot[bot]"}) == "dependabot[bot]"
    monkeypatch.setenv("LOGNAME", "al\udce9")
    assert who_runs({"GITHUB_ACTOR": "a\nb"}).isascii()


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            f'connection to server at "h" (1.2.3.4) failed: FATAL:  password authentication failed for user "{LEFT}"',
            "it does not accept the user and the password",
        ),
        (f'FATAL:  database "{LEFT}" does not exist', "it has no such database"),
        (f"failed to resolve host '{LEFT}': [Errno -2] Name or service not known", "its name could not be resolved"),
        (f'invalid connection option "{LEFT}"', "an option after the ? of its address is invalid"),
        (f'root certificate file "/{LEFT}" does not exist', "no TLS connection that both sides want could be made"),
        (LEFT, "no connection could be made"),
    ],
)  # fmt: skip
def test_what_a_database_says_of_a_failure_is_said_in_our_words(said: str, told: str) -> None:
    assert not_connected(Exception(said)) == told


# --- options ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variable", "command"),
    [
        ("PAYGIFT_PROJECT", ("validate",)),
        ("PAYGIFT_PLAN_OUT", ("plan",)),
        ("PAYGIFT_APPLY_REPORT", ("apply",)),
        ("PAYGIFT_SCHEMA_KIND", ("schema",)),
        ("PAYGIFT_GITHUB_DRIFT_ISSUE_DRIFT", ("github", "drift-issue")),
        ("PAYGIFT_GITHUB_REVIEWED_DIGEST_MCHID", ("github", "reviewed-digest")),
        ("PAYGIFT_HISTORY_KEY", ("history",)),
        ("PAYGIFT_SANDBOX_FAULT_ADD_ROUTE", ("sandbox", "fault", "add", "delay")),
        ("PAYGIFT_SANDBOX_SERVE_PORT", ("sandbox", "serve")),
        ("PAYGIFT_SANDBOX_SERVE_OPTION", ("sandbox", "serve")),
    ],
)
@pytest.mark.parametrize("value", [f"/{LEFT}/{RIGHT}", f"{LEFT}/{RIGHT}\ud800", f"{LEFT}/{'x' * 5000}"])
def test_an_option_from_a_variable_is_not_quoted(
    variable: str,
    command: tuple[str, ...],
    value: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "paygift.yaml").write_text("namespace: liangpin\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(variable, value.replace("\ud800", "\udcff"))
    assert run(command) == 1
    out, err = capfd.readouterr()
    assert err.startswith(f"Error: {variable} does not hold what it should: expected ")
    assert tells(out + err) == []


def test_an_option_that_was_typed_is_shown(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["--rate", "fast", "validate"]) == 1
    assert "'fast' is not a valid float" in capfd.readouterr().err


# --- processes: bytes that are not UTF-8 come as halves of characters -------------------------------------------------


@pytest.mark.sampled(every=3)
@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("PAYGIFT_APIV3_KEY", ("doctor",)),
        ("HTTPS_PROXY", ("doctor",)),
        ("SSL_CERT_FILE", ("doctor",)),
        ("PAYGIFT_JOURNAL_URL", ("history",)),
        ("PAYGIFT_RATE", ("validate",)),
        ("GITHUB_TOKEN", ("github", "reviewed-digest", "--commit", "c" * 40)),
    ],
)
def test_bytes_that_are_not_utf_8_are_named(name: str, command: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "paygift.yaml").write_text("namespace: liangpin\n", encoding="utf-8")
    (tmp_path / "activities").mkdir()
    kept = {each: os.environb[each] for each in (b"PATH", b"HOME") if each in os.environb}
    about = {b"GITHUB_TOKEN": b"x", b"GITHUB_REPOSITORY": b"a/b", b"GITHUB_API_URL": b"http://127.0.0.1:1"}
    away = {b"PAYGIFT_BASE_URL": b"https://paygift.invalid"}
    value = f"http://u:{LEFT}".encode() + b"\xff\xe9" + RIGHT.encode()
    done = subprocess.run(
        [sys.executable, "-m", "reconciler", *command],
        cwd=tmp_path,
        env={**kept, **about, **away, name.encode(): value},
        capture_output=True,
        timeout=60,
        check=False,
    )
    said = (done.stdout + done.stderr).decode("utf-8", "replace")
    assert (done.returncode in (1, 4), name in said, tells(said), "Traceback" in said) == (
        True,
        True,
        [],
        False,
    ), said
