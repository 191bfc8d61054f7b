"""What people find out afterwards: history, audit files, the lock, and reports that name the journal."""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from reconciler.journal.journal import Journal
from reconciler.journal.location import journal_location
from reconciler.journal.lock import Holder
from reconciler.journal.process import Process
from tests.support.postgres import fresh_database
from tests.support.project import SPEC, Project
from tests.support.samples import NOW
from tests.support.signed import keys

APPLY = ("--sandbox", "apply", "--yes")


@pytest.fixture
def applied(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project with one activity, which alice created from the commit c0ffee."""
    monkeypatch.setenv("GITHUB_ACTOR", "alice")
    monkeypatch.setenv("GITHUB_SHA", "c0ffee00c0ffee00")
    code, _, err = project.run(*APPLY)
    assert code == 0, err
    return project


@contextmanager
def held(project: Project, holder: Holder) -> Iterator[None]:
    """Somebody else holds the lock meanwhile."""
    database = journal_location(project.root, use_sandbox=True).open()
    book = Journal(database, mchid=keys().mchid, namespace="liangpin", clock=lambda: NOW)
    book.lock.try_take(holder)
    try:
        yield
    finally:
        book.lock.release(holder)
        database.close()


BOB = Holder("bob", Process("another-host", 12, "boot/ns/1"), "2026-11-25 09:00:00 Beijing time")


# -- history -----------------------------------------------------------------------------------------------------------


def test_history_tells_who_did_what_and_how_it_ended(applied: Project) -> None:
    code, out, err = applied.run("--sandbox", "history")
    assert (code, err) == (0, "")
    head, *rows = out.splitlines()
    assert head.split()[:3] == ["TIME", "WHO", "KEY"]
    assert re.search(r"2026-11-25 10:00:0\d  alice  images/logo.png  upload_image .* done +1 +SANDBOX-", rows[0])
    assert re.search(r"alice  spring +create +2040\d+ +done +1 +SANDBOX-\d+  c0ffee00$", rows[1])
    assert rows[-1] == "2 operations in 1 run. Times are Beijing time."


def test_history_as_data_has_the_requests_to_the_byte(applied: Project) -> None:
    _, out, _ = applied.run("--sandbox", "history", "--json", "--key", "spring")
    data = json.loads(out)
    (operation,) = data["operations"]
    assert (data["kind"], operation["status"], operation["http_status"]) == ("history", "done", 200)
    body = json.loads(operation["bodies"][0])
    assert body["activity_base_info"]["out_request_no"] == operation["request_no"]


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (["--key", "spring"], 1),
        (["--key", "summer"], 0),
        (["--outcome", "done"], 2),
        (["--outcome", "failed", "--outcome", "open"], 0),
        (["--since", "2026-11-25T10:00:00"], 2),
        (["--until", "2026-11-25T10:00:00"], 0),
        (["--activity-id", "1"], 0),
    ],
)
def test_history_is_narrowed(applied: Project, options: list[str], found: int) -> None:
    _, out, _ = applied.run("--sandbox", "history", "--json", *options)
    assert len(json.loads(out)["operations"]) == found


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--key", "spirng"], "Nothing in the journal has key spirng."),
        (["--outcome", "open", "--outcome", "failed"], "Nothing in the journal has outcome failed or open."),
        (
            ["--activity-id", "1", "--since", "2030-01-01", "--until", "2030-01-02T12:00:00+08:00"],
            (
                "Nothing in the journal has activity_id 1 and a time from 2030-01-01 00:00:00 on "
                "and a time before 2030-01-02 12:00:00."
            ),
        ),
    ],
)
def test_a_history_that_a_filter_emptied_says_by_what(applied: Project, options: list[str], said: str) -> None:
    assert applied.run("--sandbox", "history", *options) == (0, f"{said}\n", "")


def test_history_of_nothing_makes_no_file(project: Project) -> None:
    assert project.run("history") == (0, "Nothing in the journal.\n", "")
    assert not journal_location(project.root).file.exists()


def test_history_needs_no_specs_that_are_right(applied: Project) -> None:
    applied.write("spring", "nonsense: [")
    code, out, _ = applied.run("--sandbox", "history")
    assert code == 0
    assert "spring" in out


def test_history_says_what_paygift_yaml_lacks(applied: Project) -> None:
    (applied.root / "paygift.yaml").write_text("timezone: Asia/Shanghai\n")
    code, _, err = applied.run("--sandbox", "history")
    assert code == 3
    assert "paygift.yaml:1:1: namespace: " in err


def test_show_tells_the_history_of_its_activity(applied: Project) -> None:
    _, out, _ = applied.run("--sandbox", "show", "spring")
    assert "\nhistory\n" in out
    assert "alice" in out
    _, out, _ = applied.run("--sandbox", "show", "spring", "--json")
    assert [each["operation"] for each in json.loads(out)["history"]] == ["create"]


def test_a_plan_without_changes_leaves_no_trace(applied: Project) -> None:
    before = applied.run("--sandbox", "history")
    assert applied.run(*APPLY)[0] == 0
    assert applied.run("--sandbox", "history") == before


def test_a_reset_sandbox_has_no_history(applied: Project) -> None:
    assert applied.run("sandbox", "reset", "--yes")[0] == 0
    assert applied.run("--sandbox", "history") == (0, "Nothing in the journal.\n", "")


# -- audit files -------------------------------------------------------------------------------------------------------


def test_an_audit_file_verifies_until_somebody_touches_it(applied: Project) -> None:
    file = applied.root / "audit.jsonl"
    code, _, err = applied.run("--sandbox", "history", "export", str(file))
    assert (code, err) == (0, f"6 entries in {file}.\n")
    assert applied.run("--sandbox", "history", "verify", str(file)) == (
        0,
        "6 entries, each as it was written.\n",
        "",
    )
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    file.write_text("".join(lines[:2] + lines[3:]), encoding="utf-8")
    code, out, err = applied.run("--sandbox", "history", "verify", str(file))
    assert (code, out) == (1, "line 3: entry 4 follows where entry 3 was to come\n")
    assert err == "Not as it was written: 1 of 5 entries do not fit.\n"


def test_the_report_says_how_the_journal_ends_so_that_its_end_can_be_checked(project: Project) -> None:
    report = project.root / "report.json"
    assert project.run(*APPLY, "--report", str(report))[0] == 0
    data = json.loads(report.read_text(encoding="utf-8"))
    head = data["journal_head"]
    assert project.run("--sandbox", "history", "verify", "--head", head)[0] == 0
    code, _, _ = project.run("--sandbox", "history", "verify", "--head", "0" * 64)
    assert code == 1
    _, out, _ = project.run("--sandbox", "history", "--json")
    assert {each["run"] for each in json.loads(out)["operations"]} == {data["run"]}


def test_an_audit_file_that_cannot_be_read_is_named(applied: Project) -> None:
    code, _, err = applied.run("history", "verify", "nowhere.jsonl")
    assert code == 1
    assert "nowhere.jsonl cannot be read" in err


def test_the_audit_file_goes_to_stdout_too(applied: Project) -> None:
    code, out, _ = applied.run("--sandbox", "history", "export")
    assert code == 0
    assert [json.loads(line)["seq"] for line in out.splitlines()] == [1, 2, 3, 4, 5, 6]


# -- the lock ----------------------------------------------------------------------------------------------------------


def test_apply_does_not_wait_longer_than_it_was_told(project: Project) -> None:
    with held(project, BOB):
        code, out, err = project.run(*APPLY, "--lock-timeout", "0")
    assert (code, out) == (1, "")
    assert "another apply holds the lock of this account and namespace: bob on another-host, process 12" in err
    assert "paygift unlock" in err


def test_apply_tells_for_whom_it_waits(project: Project) -> None:
    with held(project, BOB):
        code, _, err = project.run(*APPLY, "--lock-timeout", "0.2")
    assert code == 1
    assert "Waiting for another apply: bob on another-host" in err


def test_a_dead_owner_is_displaced_with_a_note(project: Project) -> None:
    dead = Holder("carol", Process(Process.this().host, 2**22 + 1, ""), "2026-11-25 09:00:00 Beijing time")
    with held(project, dead):
        code, _, err = project.run(*APPLY, "--lock-timeout", "0")
    assert code == 0
    assert "The lock was taken over from carol on" in err
    _, out, _ = project.run("--sandbox", "history", "export")
    assert json.loads(out.splitlines()[0])["entry"] == "displaced"


def test_unlock_says_whom_it_displaces(project: Project) -> None:
    with held(project, BOB):
        code, out, _ = project.run("unlock", "--sandbox", "--yes")
        assert code == 0
        assert out.splitlines() == [
            f"Account {keys().mchid}: bob on another-host, process 12, since 2026-11-25 09:00:00 Beijing time.",
            "The lock was taken from bob on another-host, process 12, since 2026-11-25 09:00:00 Beijing time.",
        ]
        assert project.run(*APPLY, "--lock-timeout", "0")[0] == 0
    _, out, _ = project.run("--sandbox", "history", "export")
    assert "by `paygift unlock`" in out


def test_unlock_does_not_unlock_without_being_asked_to(project: Project) -> None:
    with held(project, BOB):
        code, _, err = project.run("unlock", "--sandbox")
        assert code == 1
        assert "Give --yes" in err
        assert project.run(*APPLY, "--lock-timeout", "0")[0] == 1


def test_unlock_of_what_is_free_says_so(project: Project) -> None:
    assert project.run("unlock", "--sandbox") == (0, "Nobody holds the lock.\n", "")


def test_plan_needs_no_lock(project: Project) -> None:
    with held(project, BOB):
        assert project.run("--sandbox", "plan")[0] == 0


# -- a journal that a team shares --------------------------------------------------------------------------------------


def test_a_team_shares_a_journal(
    project: Project,
    postgresql: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url = fresh_database(postgresql)
    monkeypatch.setenv("PAYGIFT_JOURNAL_URL", url)
    with project.sandbox() as served:
        served.seed(json.loads(stocks()))
        for name, value in credentials(served.base_url).items():
            monkeypatch.setenv(name, value)
        assert project.run("apply", "--yes")[0] == 0
    code, out, _ = project.run("history")
    assert code == 0
    assert "spring" in out
    assert not journal_location(project.root).file.exists()
    monkeypatch.delenv("PAYGIFT_JOURNAL_URL")
    assert project.run("history")[1] == "Nothing in the journal.\n"
    assert "spring" in project.run("--journal-url", url, "history")[1]


def stocks() -> str:
    return json.dumps(
        [
            {
                "stock_id": "98065001",
                "coupon_use_rule": {
                    "coupon_available_time": {
                        "available_begin_time": "2026-11-01T00:00:00+08:00",
                        "available_end_time": "2027-02-01T00:00:00+08:00",
                    }
                },
            }
        ]
    )


def credentials(base_url: str) -> dict[str, str]:
    return {
        "PAYGIFT_BASE_URL": base_url,
        "PAYGIFT_MCHID": keys().mchid,
        "PAYGIFT_SERIAL_NO": keys().serial_no,
        "PAYGIFT_PRIVATE_KEY": keys().merchant_key_pem,
        "PAYGIFT_APIV3_KEY": keys().apiv3_key,
    }


# -- reports -----------------------------------------------------------------------------------------------------------


def test_rejected_merchants_are_written_as_csv(project: Project) -> None:
    assert project.run(*APPLY)[0] == 0
    with project.sandbox() as served:
        served.declare_invalid("1900000002")
    project.write("spring", SPEC.replace('["1900000001"]', '["1900000001", "1900000002", "1900000003"]'))
    file = project.root / "rejected.csv"
    assert project.run(*APPLY, "--rejected", str(file))[0] == 7
    content = file.read_bytes()
    assert content.startswith(b"\xef\xbb\xbf"), "or spreadsheets take Chinese for something else"
    head, row = csv.reader(content.decode("utf-8-sig").splitlines())
    assert head == ["key", "activity_id", "mchid", "invalid_reason", "request_id"]
    assert row[0] == "spring"
    assert row[2:4] == ["1900000002", "商户与活动创建方不具备父子关系"]
    assert row[4].startswith("SANDBOX-")


def test_the_journal_says_who_ran_what_from_which_commit(applied: Project) -> None:
    _, out, _ = applied.run("--sandbox", "history", "export")
    begun = json.loads(out.splitlines()[0])
    assert (begun["who"], begun["commit"], begun["version"]) == ("alice", "c0ffee00c0ffee00", "0.1.0")
    assert (begun["entry"], begun["operations"], begun["pid"]) == ("begun", 2, os.getpid())


def test_the_journal_holds_no_secret(applied: Project) -> None:
    """Neither a key nor anything that was signed with it, in no table and no left-over page."""
    content = b"".join(file.read_bytes() for file in applied.root.glob(".paygift/sandbox/journal.db*"))
    assert b"liangpin_spring_g1_" in content
    for secret in (
        keys().merchant_key_pem[40:80],
        keys().apiv3_key,
        "WECHATPAY2-SHA256",
        "signature=",
        "nonce_str",
    ):
        assert secret.encode() not in content
