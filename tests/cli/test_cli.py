"""The commands as people and CI use them: what they print, where, and with which exit code."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from reconciler.cli import run
from reconciler.cli.context import Bar
from reconciler.commands.plan_files import save_plan
from reconciler.commands.workspace import SANDBOX_FOLDER
from reconciler.journal.location import SANDBOX_FILE
from reconciler.plan import read_plan
from tests.journal.test_history import BOB, held
from tests.support.project import CLOCK, SPEC, Project, name_account
from tests.support.signed import keys

EXAMPLES = Path(__file__).parents[2] / "activities"
COMMAND = [sys.executable, "-m", "reconciler"]

# -- help and usage ----------------------------------------------------------------------------------------------------


def test_help_lists_every_command_and_the_exit_codes(project: Project) -> None:
    code, out, _ = project.run("--help")
    assert code == 0
    for word in ("validate", "plan", "apply", "status", "show", "sandbox", "demo", "130 interrupted"):
        assert word in " ".join(out.split())


@pytest.mark.parametrize("command", ["validate", "plan", "apply", "status", "show", "sandbox", "demo"])
def test_every_command_explains_itself(project: Project, command: str) -> None:
    code, out, _ = project.run(command, "--help")
    assert code == 0
    assert "Usage: paygift" in out


def test_the_version_is_told(project: Project) -> None:
    code, out, _ = project.run("--version")
    assert (code, out) == (0, "paygift, version 0.1.0\n")


@pytest.mark.parametrize("arguments", [["plann"], ["plan", "--nonsense"], ["show"]])
def test_what_cannot_be_meant_exits_1_and_not_2(project: Project, arguments: list[str]) -> None:
    code, out, err = project.run(*arguments)
    assert (code, out) == (1, "")
    assert "Error: " in err


def test_a_folder_without_a_project_says_what_to_do(project: Project, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    code, _, err = project.run("-C", str(elsewhere), "plan")
    assert code == 1
    assert "There is no paygift.yaml" in err
    assert "namespace: NAME" in err


# -- validate ----------------------------------------------------------------------------------------------------------


def test_validate_needs_no_credentials(project: Project) -> None:
    assert project.run("validate") == (0, "1 spec fine.\n", "")
    project.write("summer")
    assert project.run("--sandbox", "validate") == (0, "2 specs fine.\n", "")


def test_validate_names_every_mistake_with_its_place(project: Project) -> None:
    project.edit("spring", "春日回馈", "春日回馈春日回馈春日回馈")
    project.edit("spring", "SINGLE_COUPON", "SINGLE")
    code, _, err = project.run("validate")
    assert code == 3
    assert re.search(
        r"^activities/spring.yaml:2:\d+: activity_base_info.activity_name: .*12 characters", err, re.MULTILINE
    )
    assert re.search(r"^activities/spring.yaml:10:\d+: award_send_rule.send_content: ", err, re.MULTILINE)
    assert err.endswith("2 mistakes in 1 file; nothing was read from or sent to WeChat Pay.\n")


def test_validate_speaks_json(project: Project) -> None:
    code, out, _ = project.run("validate", "--json")
    assert code == 0
    assert json.loads(out) == {"format_version": "1.0", "kind": "problems", "specs": 1, "problems": []}
    project.edit("spring", "SINGLE_COUPON", "SINGLE")
    code, out, err = project.run("validate", "--json")
    (problem,) = json.loads(out)["problems"]
    assert (code, err) == (3, "")
    assert (problem["file"], problem["line"], problem["path"]) == (
        "activities/spring.yaml",
        10,
        "award_send_rule.send_content",
    )


@pytest.mark.parametrize("command", ["plan", "apply", "status", "show"])
def test_mistakes_stop_every_command_before_anything_is_sent(project: Project, command: str) -> None:
    project.edit("spring", "SINGLE_COUPON", "SINGLE")
    code, out, err = project.run("--sandbox", command, *(["spring"] if command == "show" else []))
    assert (code, out) == (3, "")
    assert "activities/spring.yaml:10" in err
    with project.sandbox() as sandbox:
        assert sandbox.log() == []


# -- plan and apply ----------------------------------------------------------------------------------------------------


def test_the_main_job(project: Project) -> None:
    code, out, _ = project.run("--sandbox", "plan", "--detailed-exitcode")
    assert code == 2
    assert out.endswith("Plan: 1 to create; 0 unchanged, 0 unmanaged.\n")
    assert project.run("--sandbox", "plan")[:2] == (0, out)
    code, out, _ = project.run("--sandbox", "apply", "--yes")
    assert code == 0
    assert "Applied: 2 done." in out
    again = project.run("--sandbox", "plan", "--detailed-exitcode")
    assert again == (0, "No changes. 1 unchanged, 0 unmanaged.\n", "")
    assert project.run("plan", "--sandbox", "--detailed-exitcode")[0] == 0


def test_a_plan_without_changes_makes_only_the_reads_it_needs(project: Project) -> None:
    project.write("summer")
    project.run("--sandbox", "apply", "--yes")
    with project.sandbox() as sandbox:
        before = len(sandbox.log())
    project.run("--sandbox", "plan")
    with project.sandbox() as sandbox:
        lines = sandbox.log()[before:]
    assert {line["method"] for line in lines} == {"GET"}
    assert {line["verdict"] for line in lines} == {"ok"}
    paths = sorted(re.sub(r"\d+", "N", line["target"]) for line in lines)
    activities = "/v3/marketing/paygiftactivity/activities"
    assert paths == [
        "/vN/certificates",
        f"/v{'N'}{activities[3:]}/N/merchants?offset=N&limit=N",
        f"/v{'N'}{activities[3:]}/N/merchants?offset=N&limit=N",
        f"/v{'N'}{activities[3:]}?offset=N&limit=N",
    ]


def test_plan_speaks_json(project: Project) -> None:
    code, out, _ = project.run("--sandbox", "plan", "--json")
    plan = json.loads(out)
    assert code == 0
    assert (plan["format_version"], plan["kind"], plan["namespace"]) == ("2.0", "plan", "liangpin")
    assert re.fullmatch(r"[0-9a-f]{64}", plan["digest"])
    (change,) = plan["changes"]
    assert change["operations"][0]["operation"] == "create"
    assert change["source"] == {"file": "activities/spring.yaml", "line": 1}


def test_apply_speaks_json_and_shows_the_plan_on_stderr(project: Project) -> None:
    code, out, err = project.run("--sandbox", "apply", "--yes", "--json")
    report = json.loads(out)
    assert code == 0
    assert (report["kind"], report["complete"]) == ("report", True)
    assert [each["status"] for each in report["outcomes"]] == ["done", "done"]
    assert "+ spring" in err


def test_apply_never_asks_without_a_terminal(project: Project) -> None:
    code, out, err = project.run("--sandbox", "apply")
    assert code == 1
    assert "+ spring" in out
    assert "Give --yes" in err
    assert project.run("--sandbox", "plan", "--detailed-exitcode")[0] == 2


@pytest.mark.sampled(every=2)
@pytest.mark.parametrize(("answer", "pending"), [("no", 2), ("y", 2), ("yes", 0)])
def test_apply_asks_on_a_terminal_and_takes_only_yes(project: Project, answer: str, pending: int) -> None:
    shown = on_a_terminal([*COMMAND, "-C", str(project.root), "--sandbox", "apply"], answer)
    assert "Type yes to apply:" in shown
    assert ("Nothing was written." in shown) == bool(pending)
    assert project.run("--sandbox", "plan", "--detailed-exitcode")[0] == pending


@pytest.mark.parametrize(("answer", "said"), [("y", "Nothing was changed."), ("yes", "The lock was taken from bob")])
def test_unlock_asks_on_a_terminal_and_takes_only_yes(project: Project, answer: str, said: str) -> None:
    with held(project, BOB):
        shown = on_a_terminal([*COMMAND, "-C", str(project.root), "unlock", "--sandbox"], answer)
    assert "Take the lock away? Type yes to take it:" in shown
    assert said in shown


def test_a_refused_plan_exits_5_and_names_the_waiver(project: Project) -> None:
    project.run("--sandbox", "apply", "--yes")
    (project.root / "activities/spring.yaml").unlink()
    code, out, err = project.run("--sandbox", "apply", "--yes")
    assert code == 5
    assert out.startswith("refusal NO_SPECS")
    assert "To waive it: --allow NO_SPECS" in out
    assert "Nothing was written" in err
    assert project.run("--sandbox", "plan", "--detailed-exitcode")[0] == 5
    code, out, _ = project.run("--sandbox", "apply", "--yes", "--allow", "NO_SPECS")
    assert code == 0
    assert out.startswith("waived NO_SPECS")


@pytest.mark.parametrize(
    ("waiver", "hint"), [("PROTECTD:spring", "did you mean PROTECTED?"), ("X", "there are ADOPT_")]
)
def test_a_waiver_with_a_typing_mistake_is_an_error(project: Project, waiver: str, hint: str) -> None:
    code, out, err = project.run("--sandbox", "apply", "--yes", "--allow", waiver)
    assert (code, out) == (1, "")
    assert hint in err


def test_a_refusal_that_leaves_an_activity_alone_says_what_a_waiver_does(project: Project) -> None:
    project.run("--sandbox", "apply", "--yes")
    project.edit("spring", "activity_base_info:", "state: terminated\nactivity_base_info:")
    project.run("--sandbox", "apply", "--yes")
    project.edit("spring", "state: terminated\n", "")
    out = project.run("--sandbox", "plan")[1]
    assert out.startswith("refusal NUMBER_USED spring")
    assert "To apply the rest without this one: --allow NUMBER_USED:spring" in out
    assert "Apply would stop at 1 refusal. No changes, 1 refused, 0 unchanged" in out


def test_a_project_without_specs_is_fine_and_says_so(project: Project) -> None:
    (project.root / "activities/spring.yaml").unlink()
    code, out, err = project.run("validate")
    assert (code, out) == (0, "0 specs fine.\n")
    assert "No specs were found" in err
    assert "There are no specs." in project.run("--sandbox", "show", "spring")[2]


def test_rejected_merchants_exit_7_with_the_reason(project: Project) -> None:
    project.run("--sandbox", "apply", "--yes")
    with project.sandbox() as sandbox:
        sandbox.declare_invalid("1900000003")
    project.edit("spring", '["1900000001"]', '["1900000001", "1900000002", "1900000003"]')
    code, out, _ = project.run("--sandbox", "apply", "--yes")
    assert code == 7
    assert "1900000003: 商户与活动创建方不具备父子关系" in out
    assert "Take the rejected merchants out of the spec" in out


def test_notes_are_counted_and_shown_on_request(project: Project) -> None:
    project.run("sandbox", "clock", "2027-02-01T00:00:00+08:00")
    assert project.run("--sandbox", "plan")[1] == "No changes. 0 unchanged, 0 unmanaged. 1 note: --notes.\n"
    assert "its end_time 2026-12-31 23:59:59 has passed" in project.run("--sandbox", "plan", "--notes")[1]


def test_the_environment_sets_options(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAYGIFT_SANDBOX", "1")
    monkeypatch.setenv("PAYGIFT_PLAN_DETAILED_EXITCODE", "1")
    assert project.run("plan")[0] == 2


@pytest.mark.parametrize(
    ("arguments", "environment", "coloured"),
    [
        ([], {}, False),
        ([], {"FORCE_COLOR": "1"}, True),
        ([], {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
        (["--color"], {"NO_COLOR": "1"}, True),
        (["--no-color"], {"FORCE_COLOR": "1"}, False),
    ],
)
def test_colour_is_decided_by_flag_then_environment_then_terminal(
    project: Project,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    environment: Mapping[str, str],
    coloured: bool,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert ("\x1b[" in project.run(*arguments, "--sandbox", "plan")[1]) == coloured


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "patience", "shown"), [(Terminal, 0, True), (Terminal, 60, False), (StringIO, 0, False)]
)
def test_a_bar_appears_on_a_terminal_for_what_takes_long(
    monkeypatch: pytest.MonkeyPatch, stream: type[StringIO], patience: float, shown: bool
) -> None:
    monkeypatch.setenv("TERM", "xterm")  # on a dumb terminal rich draws nothing
    stderr = stream()
    monkeypatch.setattr("sys.stderr", stderr)
    monkeypatch.setattr("reconciler.cli.context.PATIENCE_SECONDS", patience)
    with Bar("Reading activities") as bar:
        bar(1, 3)
        bar(2, 3)
    assert ("Reading activities" in stderr.getvalue()) == shown


# -- reviewed is applied ---


def reviewed(project: Project) -> Path:
    file = project.root / "plan.json"
    assert project.run("--sandbox", "plan", "--out", str(file))[0] == 0
    return file


def test_a_plan_file_is_applied_and_what_is_left_of_it_too(project: Project) -> None:
    file = reviewed(project)
    code, out, _ = project.run("--sandbox", "apply", str(file), "--yes")
    assert code == 0
    assert "Applied: 2 done." in out
    again = project.run("--sandbox", "apply", str(file), "--yes")
    assert again[0] == 0
    assert "Nothing to apply." in again[1]


def test_a_plan_file_shows_itself_without_credentials(project: Project) -> None:
    file = reviewed(project)
    code, out, err = project.run("show-plan", str(file))
    assert (code, err) == (0, "")
    assert out == project.run("--sandbox", "plan", "--notes")[1]
    assert project.run("show-plan", str(file), "--format", "json")[1] == file.read_text(encoding="utf-8")


@pytest.mark.parametrize(("name", "begins"), [("report.md", "<!-- paygift report"), ("report.json", "{")])
def test_a_report_is_written_in_the_format_of_its_name(project: Project, name: str, begins: str) -> None:
    file = project.root / name
    assert project.run("--sandbox", "apply", "--yes", "--report", str(file))[0] == 0
    assert file.read_text(encoding="utf-8").startswith(begins)


def test_a_report_of_an_unknown_format_stops_before_anything_is_written(project: Project) -> None:
    code, out, err = project.run("--sandbox", "apply", "--yes", "--report", "report.doc")
    assert (code, out) == (1, "")
    assert ".md, .html, .json" in err


def test_an_edited_spec_makes_the_plan_stale(project: Project) -> None:
    file = reviewed(project)
    project.write("summer", SPEC.replace("春日回馈", "夏日回馈"))
    code, out, err = project.run("--sandbox", "apply", str(file), "--yes")
    assert (code, out) == (6, "")
    assert "! summer: create liangpin_summer_g1_" in err
    assert "! summer: add 1 merchant (1900000001): new, nobody has reviewed it" in err
    assert err.splitlines()[-1].startswith("Error: The plan is no longer what was reviewed. Nothing was written.")
    assert project.run("--sandbox", "plan", "--detailed-exitcode")[0] == 2


def test_an_expired_plan_is_stale(project: Project) -> None:
    file = reviewed(project)
    moved = project.run("sandbox", "clock", "2026-12-02T00:00:00+08:00")
    assert moved == (0, "2026-12-02 00:00:00 Beijing time\n", "")
    code, _, err = project.run("--sandbox", "apply", str(file), "--yes")
    assert code == 6
    assert "! it was valid until 2026-12-01 00:00:00 Beijing time" in err


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("namespace", "another", "for the namespace another"),
        ("mchid", "1900000077", "for the account 1900000077"),
    ],
)
def test_a_plan_of_another_team_or_account_is_refused(project: Project, name: str, value: str, said: str) -> None:
    file = reviewed(project)
    plan = read_plan(json.loads(file.read_text(encoding="utf-8")))
    changed: dict[str, Any] = {name: value}
    save_plan(replace(plan, **changed), file)
    code, _, err = project.run("--sandbox", "apply", str(file), "--yes")
    assert code == 6
    assert said in err


@pytest.mark.parametrize("content", ["", "{", "[]", '{"kind": "plan", "format_version": "1.0"}'])
def test_what_is_no_intact_plan_is_refused(project: Project, content: str) -> None:
    file = project.root / "plan.json"
    file.write_text(content)
    for command in (["--sandbox", "apply", str(file), "--yes"], ["show-plan", str(file)]):
        code, out, err = project.run(*command)
        assert (code, out) == (6, "")
        assert err.startswith("Error: ")


def test_files_that_cannot_be_read_or_written_are_named(project: Project) -> None:
    assert project.run("show-plan", str(project.root / "none.json"))[0] == 1
    (project.root / "folder").mkdir()
    before = sorted(project.root.iterdir())
    for place in ("no/where.json", "folder"):
        code, _, err = project.run("--sandbox", "plan", "--out", str(project.root / place))
        assert code == 1
        assert "cannot be written" in err
    assert sorted(project.root.iterdir()) == before, "no draft is left behind"


def test_a_digest_that_was_reviewed_is_applied_and_no_other(project: Project) -> None:
    digest = json.loads(project.run("--sandbox", "plan", "--json")[1])["digest"]
    code, _, err = project.run("--sandbox", "apply", "--yes", "--expect", "0" * 64)
    assert code == 6
    assert digest in err
    assert project.run("--sandbox", "apply", "--yes", "--expect", digest)[0] == 0


@pytest.mark.parametrize("digest", ["", "abc", "Z" * 64, "0" * 63])
def test_a_digest_that_got_lost_on_the_way_stops_everything(project: Project, digest: str) -> None:
    code, out, err = project.run("--sandbox", "apply", "--yes", "--expect", digest)
    assert (code, out) == (1, "")
    assert "64 hex digits" in err


def test_a_plan_file_takes_no_waivers_beside_it(project: Project) -> None:
    file = reviewed(project)
    code, _, err = project.run("--sandbox", "apply", str(file), "--allow", "PROTECTED")
    assert code == 1
    assert "PLANFILE" in err


def test_a_plan_can_be_seen_as_it_would_be_at_another_time(project: Project) -> None:
    code, out, _ = project.run("--sandbox", "plan", "--at", "2026-12-24")
    assert code == 0
    assert "its begin_time 2026-12-01 00:00:00 has passed: it starts at once" in out
    assert project.run("--sandbox", "plan", "--at", "tomorrow")[0] == 1
    assert project.run("--sandbox", "plan", "--at", "2026-12-24", "--out", "x")[0] == 1


def test_a_report_has_undos_of_what_was_done_and_of_nothing_else(project: Project) -> None:
    """One of two merchants is rejected, and a create is refused for it."""
    project.run("--sandbox", "apply", "--yes")
    project.edit("spring", '["1900000001"]', '["1900000001", "1900000002", "1688000001"]')
    project.run("sandbox", "reject", "1688000001")
    project.write("summer", SPEC.replace("春日回馈", "夏日回馈").replace('["1900000001"]', '["1688000001"]'))
    _, out, err = project.run("--sandbox", "apply", "--yes", "--json")
    outcomes = {each["operation"]["operation"]: each for each in json.loads(out)["outcomes"]}
    assert outcomes["add_merchants"]["status"] == "partial", err
    assert outcomes["add_merchants"]["operation"]["undo"]["merchants"] == ["1900000002"]
    assert outcomes["create"]["status"] == "failed"
    assert outcomes["create"]["operation"]["undo"]["code"] == "not_done"


@pytest.mark.parametrize(
    ("timezone", "before", "at"),
    [
        ("America/New_York", "2026-12-31T10:59:58", "2026-12-31T11:00:00"),
        ("Asia/Shanghai", "2026-12-31 23:59:58", "2027-01-01 00:00:00"),
        ("Asia/Tokyo", "2027-01-01T00:59:58", "2027-01-01T01:00:00"),
        ("America/New_York", "2026-12-31T23:59:58+08:00", "2026-12-31T16:00:00Z"),
    ],
)
def test_plan_at_a_time_without_offset_is_in_the_projects_time_zone(
    project: Project, timezone: str, before: str, at: str
) -> None:
    (project.root / "paygift.yaml").write_text(f"namespace: liangpin\ntimezone: {timezone}\n")
    assert "create" in project.run("--sandbox", "plan", "--at", before)[1]
    assert "its end_time" in project.run("--sandbox", "plan", "--notes", "--at", at)[1]


def test_plan_at_a_time_that_is_none_in_the_projects_time_zone_says_so(project: Project) -> None:
    (project.root / "paygift.yaml").write_text("namespace: liangpin\ntimezone: America/New_York\n")
    code, _, err = project.run("--sandbox", "plan", "--at", "2026-11-01T01:30:00")
    assert (code, "happens twice in America/New_York" in err, "Write the offset too" in err) == (
        1,
        True,
        True,
    )
    assert project.run("--sandbox", "plan", "--at", "0001-01-01T00:00:00+08:00")[0] == 1
    (project.root / "paygift.yaml").write_text("namespace: liangpin\ntimezone: Mars\n")
    assert project.run("--sandbox", "plan", "--at", "2026-12-24")[0] == 3


def test_drift_exits_2_and_says_what_somebody_did(project: Project) -> None:
    project.run("--sandbox", "apply", "--yes")
    assert project.run("--sandbox", "drift") == (0, "No drift: live is as specified.\n", "")
    project.run("sandbox", "clock", "2026-12-02")
    with project.sandbox() as sandbox:
        (activity,) = sandbox.activities()
    assert project.run("sandbox", "pause", activity["activity_id"])[0] == 0
    code, out, _ = project.run("--sandbox", "drift")
    assert code == 2
    assert out.startswith(f"Changed outside:\n  PAUSED  spring: activity {activity['activity_id']} was paused")
    data = json.loads(project.run("--sandbox", "drift", "--json")[1])
    assert [each["code"] for each in data["items"]] == ["PAUSED"]
    assert project.run("sandbox", "resume", activity["activity_id"])[0] == 0
    assert project.run("--sandbox", "drift")[0] == 0


def test_drift_tells_our_own_edits_as_pending(project: Project) -> None:
    """Edited, new and removed specs; nobody has changed anything outside."""
    project.write("summer", SPEC.replace("春日回馈", "夏日回馈"))
    project.run("--sandbox", "apply", "--yes")
    project.edit("spring", "1000\n", "2000\n")
    project.write("autumn", SPEC.replace("春日回馈", "秋日回馈"))
    (project.root / "activities/summer.yaml").unlink()
    code, out, _ = project.run("--sandbox", "drift")
    assert code == 2
    assert out.startswith("Pending: not applied yet\n  NOT_CREATED  autumn: ")
    assert "¥10.00, the spec says ¥20.00" in out
    assert out.endswith("\n\n0 changed outside, 3 pending. Times are Beijing time.\n")
    data = json.loads(project.run("--sandbox", "drift", "--json")[1])
    assert (data["clean"], {each["pending"] for each in data["items"]}) == (False, {True})


def test_status_and_drift_say_that_live_terms_are_not_those_of_the_number(project: Project) -> None:
    project.run("--sandbox", "apply", "--yes")
    with project.sandbox() as sandbox:
        (activity,) = sandbox.activities()
        item = activity["item"]
    # Another account in the same place: nothing of it was made by paygift.
    project.run("sandbox", "reset", "--yes")
    (project.root / SANDBOX_FILE).unlink(missing_ok=True)
    project.run("sandbox", "clock", CLOCK)
    project.run("sandbox", "seed")
    item["activity_base_info"]["activity_name"] = "别的名字"
    with project.sandbox() as sandbox:
        sandbox.insert_activity({name: item[name] for name in item if name != "activity_id"}, ["1900000001"])
    assert "LIVE_TERMS_DIFFER" in project.run("--sandbox", "plan")[1]
    assert "live terms differ" in project.run("--sandbox", "status")[1]
    code, out, _ = project.run("--sandbox", "drift")
    assert code == 2
    assert "activity_base_info.activity_name is 别的名字, the spec says 春日回馈" in out


def test_a_coupon_that_would_be_refused_stops_apply_before_anything_is_written(project: Project) -> None:
    file = project.root / "stocks.json"
    file.write_text(json.dumps([{"stock_id": "98065001", "stock_state": "STOPED"}]))
    project.run("sandbox", "seed", str(file))
    code, out, _ = project.run("--sandbox", "apply", "--yes")
    assert code == 5
    assert out.startswith("refusal COUPON_UNUSABLE spring")
    assert "STOPED, not RUNNING" in out


def test_merchants_can_be_rejected_by_hand_in_the_sandbox(project: Project) -> None:
    project.run("--sandbox", "apply", "--yes")
    assert project.run("sandbox", "reject", "1900000002")[1] == "1900000002 is rejected from now on.\n"
    project.edit("spring", '["1900000001"]', '["1900000001", "1900000002"]')
    assert project.run("--sandbox", "apply", "--yes")[0] == 7
    assert project.run("sandbox", "reject", "--again", "1900000002")[0] == 0
    assert project.run("--sandbox", "apply", "--yes")[0] == 0


def test_a_reset_is_not_asked_for_without_a_terminal(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", StringIO())
    code, _, err = project.run("sandbox", "reset")
    assert code == 1
    assert "Give --yes" in err


# -- status and show ---------------------------------------------------------------------------------------------------


def test_status_lists_what_is_managed_unmanaged_and_not_as_specified(project: Project) -> None:
    project.run("--sandbox", "apply", "--yes")
    with project.sandbox() as sandbox:
        item = sandbox.activities()[0]["item"]
        item["activity_base_info"]["out_request_no"] = "web-1"
        sandbox.insert_activity({name: item[name] for name in item if name != "activity_id"}, ["1900000009"])
    project.edit("spring", '["1900000001"]', '["1900000002"]')
    project.write("summer", SPEC.replace("春日回馈", "夏日回馈"))
    code, out, _ = project.run("--sandbox", "status")
    assert code == 0
    stands = [line.split("  ")[-1] for line in out.splitlines()[1:4]]
    assert (stands[0], stands[2]) == ("not created yet", "unmanaged")
    assert stands[1].startswith("merchants differ: 1 ")
    assert "1 managed and live, 1 unmanaged, 2 not as specified." in out
    rows = json.loads(project.run("--sandbox", "status", "--json")[1])["activities"]
    assert [row["stands"] for row in rows] == stands


def test_status_shows_ended_activities_on_request(project: Project) -> None:
    project.run("--sandbox", "apply", "--yes")
    project.edit("spring", "activity_base_info:", "state: terminated\nactivity_base_info:")
    project.run("--sandbox", "apply", "--yes")
    assert "ended 2026-11-25 10:0" in project.run("--sandbox", "status")[1]
    assert "TERMINATE_ACT_STATUS" in project.run("--sandbox", "status", "--all")[1]


def test_show_tells_all_about_one_activity(project: Project) -> None:
    assert "no live activity" in project.run("--sandbox", "show", "spring")[1]
    project.run("--sandbox", "apply", "--yes")
    code, out, _ = project.run("--sandbox", "show", "spring")
    assert code == 0
    assert "spec spring (activities/spring.yaml:1)" in out
    assert "activity_status: CREATE_ACT_STATUS" in out
    assert "award_send_rule.transaction_amount_minimum: ¥10.00" in out
    assert out.count("merchants: 1\n    1900000001") == 2
    assert "goods: 0" in out
    shown = json.loads(project.run("--sandbox", "show", "spring", "--json")[1])
    activity_id = shown["live"][0]["activity_id"]
    assert shown["live"][0]["wire"]["activity_base_info"]["background_color"] == "COLOR010"
    assert f"live {activity_id}" in project.run("--sandbox", "show", activity_id)[1]


def test_show_names_what_there_is_when_there_is_no_such_key(project: Project) -> None:
    for number in range(20):
        project.write(f"daily-{number}")
    code, _, err = project.run("--sandbox", "show", "sprung")
    assert code == 1
    assert err.endswith("called 'sprung'. Did you mean spring? `paygift status` lists all keys.\n")
    _, _, err = project.run("--sandbox", "show", "winter-tea")
    assert err.endswith("called 'winter-tea'. Give an activity_id, or a key: `paygift status` lists all.\n")


def test_what_apply_again_cannot_do_is_not_advised(project: Project) -> None:
    """The number of a creation that failed is spent: only the plan says how to try again."""
    project.run("sandbox", "fault", "add", "create_fails")
    code, out, _ = project.run("--sandbox", "apply", "--yes")
    assert code == 7
    assert "Something is left. Run `paygift plan`: it shows what, and whether something must be corrected first." in out
    assert "set `generation: 2` to try again" in project.run("--sandbox", "plan")[1]


# -- the sandbox -------------------------------------------------------------------------------------------------------


def test_the_sandbox_logs_seeds_and_forgets(project: Project) -> None:
    assert project.run("sandbox", "seed")[1] == "0 new coupon stocks.\n"
    project.write("autumn", SPEC.replace("98065001", "98065002"))
    assert project.run("sandbox", "seed")[1] == "1 new coupon stock.\n"
    file = project.root / "stocks.json"
    file.write_text(json.dumps([{"stock_id": "7"}, {"stock_id": "8"}]))
    assert project.run("sandbox", "seed", str(file))[1] == "2 new coupon stocks.\n"
    project.run("--sandbox", "plan")
    out = project.run("sandbox", "log", "-n", "5")[1]
    assert "/v3/marketing/paygiftactivity/activities?offset=0&limit=100" in out
    assert json.loads(project.run("sandbox", "log", "--json")[1])[-1]["status"] == 200
    assert project.run("sandbox", "reset", "--yes")[1] == "The sandbox is empty.\n"
    assert len(project.run("sandbox", "log")[1].splitlines()) == 1


@pytest.mark.parametrize("content", ["{", '{"a": 1}', '[{"name": 1}]'])
def test_a_file_that_is_no_list_of_stocks_is_named(project: Project, content: str) -> None:
    file = project.root / "stocks.json"
    file.write_text(content)
    code, _, err = project.run("sandbox", "seed", str(file))
    assert code == 1
    assert "stocks.json" in err


def test_a_clock_that_cannot_be_meant_is_refused(project: Project) -> None:
    code, _, err = project.run("sandbox", "clock", "tomorrow")
    assert code == 1
    assert "tomorrow" in err


def test_the_sandbox_works_outside_a_project(
    project: Project, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    monkeypatch.chdir(elsewhere)
    assert run(["sandbox", "clock"]) == 0
    assert (elsewhere / SANDBOX_FOLDER / "keys").is_dir()


@pytest.fixture
def served(project: Project) -> Iterator[dict[str, str]]:
    """`paygift sandbox serve` in another process, and the environment that it prints."""
    process = subprocess.Popen(
        [*COMMAND, "-C", str(project.root), "sandbox", "serve", "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    lines: list[str] = []
    while not lines or "APIV3" not in lines[-1]:
        lines.append(process.stdout.readline())
        assert process.poll() is None
    yield dict(re.findall(r"export (\w+)=(\S+)", "".join(lines)))
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert "Traceback" not in out + err


def test_what_is_served_is_used_by_other_commands_and_other_clients(
    project: Project, served: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert project.run("--sandbox", "apply", "--yes")[0] == 0
    for name, value in served.items():
        monkeypatch.setenv(name, value)
    assert project.run("plan", "--detailed-exitcode")[:2] == (
        0,
        "No changes. 1 unchanged, 0 unmanaged. 1 note: --notes.\n",
    )
    assert "served" not in project.run("sandbox", "log")[2]


# -- what goes wrong ---------------------------------------------------------------------------------------------------


def test_missing_credentials_are_all_named_at_once(project: Project) -> None:
    code, _, err = project.run("plan")
    assert code == 4
    for name in ("PAYGIFT_MCHID", "PAYGIFT_SERIAL_NO", "PAYGIFT_PRIVATE_KEY", "PAYGIFT_APIV3_KEY"):
        assert name in err
    assert "paygift --sandbox" in err


@pytest.fixture
def credentials(project: Project, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """The right credentials in the environment, for a sandbox that runs; tests spoil one at a time."""
    with project.sandbox() as sandbox:
        yield name_account(monkeypatch, sandbox)


OTHER_KEY = keys().platform_key_pem


@pytest.mark.parametrize(
    ("name", "value", "cause"),
    [
        ("PAYGIFT_PRIVATE_KEY", OTHER_KEY, "PAYGIFT_PRIVATE_KEY"),
        ("PAYGIFT_SERIAL_NO", "0" * 39 + "1", "PAYGIFT_SERIAL_NO"),
        ("PAYGIFT_MCHID", "1900000099", "PAYGIFT_MCHID"),
        ("PAYGIFT_APIV3_KEY", "x" * 32, "APIv3 key"),
        ("PAYGIFT_APIV3_KEY", "short", "32 bytes"),
        ("PAYGIFT_PRIVATE_KEY", "not a key", "PAYGIFT_PRIVATE_KEY"),
    ],
)
def test_a_wrong_credential_exits_4_and_names_what_to_check(
    project: Project,
    credentials: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    value: str,
    cause: str,
) -> None:
    monkeypatch.setenv(name, value)
    code, out, err = project.run("plan")
    assert (code, out) == (4, "")
    assert cause in err
    assert "Traceback" not in err
    assert value not in err or len(value) < 41
    assert err.count("\n") == 1


def test_keys_may_be_given_as_files(
    project: Project, credentials: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("PAYGIFT_PRIVATE_KEY")
    file = tmp_path / "key.pem"
    monkeypatch.setenv("PAYGIFT_PRIVATE_KEY_FILE", str(file))
    code, _, err = project.run("plan")
    assert code == 4
    assert "PAYGIFT_PRIVATE_KEY_FILE names" in err
    file.write_text(credentials["PAYGIFT_PRIVATE_KEY"])
    assert project.run("plan")[0] == 0


def test_a_secret_with_escaped_line_breaks_is_understood(
    project: Project, credentials: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAYGIFT_PRIVATE_KEY", credentials["PAYGIFT_PRIVATE_KEY"].replace("\n", "\\n"))
    assert project.run("plan")[0] == 0


def test_a_dead_server_exits_1_and_says_what_to_check(
    project: Project, credentials: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAYGIFT_BASE_URL", "http://127.0.0.1:9")
    code, out, err = project.run("plan")
    assert (code, out) == (1, "")
    assert re.search("refused", err)
    assert err.count("\n") == 1


def test_a_truncated_answer_exits_1_and_is_called_that(
    project: Project, credentials: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor() as thread:

        def half_an_answer() -> None:
            # As often as somebody asks, until the server is closed.
            with suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection:
                        connection.recv(65_536)
                        connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"data":')

        thread.submit(half_an_answer)
        monkeypatch.setenv("PAYGIFT_BASE_URL", f"http://127.0.0.1:{server.getsockname()[1]}")
        try:
            code, out, err = project.run("plan")
        finally:
            server.shutdown(socket.SHUT_RDWR)
    assert (code, out) == (1, "")
    assert "broke" in err
    assert err.count("\n") == 1


def test_plain_http_is_for_this_machine_only(
    project: Project, credentials: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAYGIFT_BASE_URL", "http://api.mch.weixin.qq.com")
    code, _, err = project.run("plan")
    assert code == 1
    assert "https" in err


def test_an_interrupt_exits_130(project: Project, served: dict[str, str]) -> None:
    # A server that accepts and never answers keeps the command busy until it is interrupted.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        process = subprocess.Popen(
            [*COMMAND, "-C", str(project.root), "plan"],
            env={**os.environ, **served, "PAYGIFT_BASE_URL": address},
            stderr=subprocess.PIPE,
            text=True,
        )
        connection, _ = silent.accept()
        with connection:
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "Interrupted." in err
    assert "Traceback" not in err


def test_a_reader_that_goes_away_causes_no_traceback(project: Project) -> None:
    process = subprocess.Popen(
        [*COMMAND, "-C", str(project.root), "--help"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    err = process.stderr.read()
    process.stderr.close()
    process.wait(timeout=20)
    assert "Traceback" not in err


# -- the examples and the demo -----------------------------------------------------------------------------------------


def test_the_examples_are_fine(project: Project, tmp_path: Path) -> None:
    copy = tmp_path / "examples"
    shutil.copytree(EXAMPLES, copy)
    code, out, err = project.run("-C", str(copy), "validate")
    assert (code, out, err) == (0, "6 specs fine.\n", "")


def test_the_demo_ends_with_an_empty_plan_and_leaves_its_files(project: Project, tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    code, out, err = project.run("demo", "--folder", str(folder))
    assert code == 0, err
    assert "1688000002: 商户与活动创建方不具备父子关系" in out
    assert "No changes. 5 unchanged, 0 unmanaged.\n\nThe campaigns" in out
    assert (folder / "paygift.yaml").exists()
    code, _, err = project.run("demo", "--folder", str(folder))
    assert code == 1
    assert "is not empty" in err


def on_a_terminal(command: list[str], answer: str) -> str:
    """What ``command`` shows on a terminal where a person answers its question."""
    leader, follower = pty.openpty()
    process = subprocess.Popen(command, stdin=follower, stdout=follower, stderr=follower, close_fds=True)
    os.close(follower)
    shown = b""
    answered = False
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            piece = os.read(leader, 65_536)
        except OSError:
            break
        if not piece:
            break
        shown += piece
        if not answered and b"Type yes to " in shown:
            os.write(leader, f"{answer}\n".encode())
            answered = True
    os.close(leader)
    process.wait(timeout=20)
    return shown.decode()
