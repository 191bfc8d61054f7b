"""A refusal holds its key, and what must not go without it; apply does the rest and says what was held.

From the command line, against the sandbox.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_cli import COMMAND, on_a_terminal
from tests.plan.test_coupons import seed
from tests.support.images import png
from tests.support.project import SPEC, Project

SUMMER = SPEC.replace("春日回馈", "夏日回馈").replace("1900000001", "1900000005")
AUTUMN = SPEC.replace("春日回馈", "秋日回馈").replace("1900000001", "1900000007")


@pytest.fixture
def applied(project: Project) -> Project:
    """spring is live, and protected."""
    project.write("spring", "protect: true\n" + SPEC)
    assert project.run("--sandbox", "apply", "--yes")[0] == 0
    return project


@pytest.fixture
def refused(applied: Project) -> Project:
    """The end of spring is refused, and summer is new."""
    applied.write("spring", "protect: true\nstate: terminated\n" + SPEC)
    applied.write("summer", SUMMER)
    return applied


def apply(project: Project, *arguments: str) -> tuple[int, dict[str, Any]]:
    """Exit code and report as data."""
    code, out, err = project.run("--sandbox", "apply", "--yes", "--json", *arguments)
    assert out, err
    report: dict[str, Any] = json.loads(out)
    return code, report


def came_to(report: dict[str, Any]) -> dict[tuple[str, str], tuple[str, list[str]]]:
    """Status and what held it, by operation and key, or path."""
    return {
        (each["operation"]["operation"], each["operation"].get("key") or each["operation"]["path"]): (
            each["status"],
            each["held_by"],
        )
        for each in report["outcomes"]
    }


def live(project: Project) -> dict[str, str]:
    """The keys that live, with their status; the last activity of a key counts."""
    rows = json.loads(project.run("--sandbox", "status", "--all", "--json")[1])["activities"]
    return {each["key"]: each["status"] for each in rows if each["activity_id"]}


def names(project: Project) -> list[str]:
    """The names of what has not ended."""
    with project.sandbox() as sandbox:
        found = [each["item"]["activity_base_info"]["activity_name"] for each in sandbox.activities() if not over(each)]
    return sorted(found)


def over(activity: dict[str, Any]) -> bool:
    return activity["item"].get("activity_status") == "TERMINATE_ACT_STATUS" or bool(activity.get("terminate_time"))


# -- one key ----------------------------------------------------------------------------------------------------------


def test_a_refusal_of_one_key_does_not_keep_back_another(refused: Project) -> None:
    code, report = apply(refused)
    assert code == 5
    assert came_to(report) == {
        ("upload_image", "images/logo.png"): ("already done", []),
        ("create", "summer"): ("done", []),
        ("terminate", "spring"): ("not started", ["PROTECTED:spring"]),
    }
    assert report["complete"] is False
    assert names(refused) == ["夏日回馈", "春日回馈"]


def test_what_was_held_is_told_in_every_format(refused: Project) -> None:
    for name in ("report.md", "report.html", "report.json"):
        file = refused.root / name
        refused.run("--sandbox", "apply", "--yes", "--report", str(file))
        text = file.read_text(encoding="utf-8")
        assert "PROTECTED:spring" in text
        refused.edit("summer", "夏日", "盛夏" if "夏日" in text else "夏日")


def test_the_rest_goes_on_when_only_held_is_left_nothing_is_written(refused: Project) -> None:
    assert refused.run("--sandbox", "apply", "--yes")[0] == 5
    before = refused.run("history", "--json")[1]
    file = refused.root / "report.json"
    code, out, err = refused.run("--sandbox", "apply", "--yes", "--report", str(file))
    assert code == 5
    assert "Nothing was written" in err
    assert "Holds spring." in out
    assert json.loads(file.read_text())["kind"] == "stopped"
    assert refused.run("history", "--json")[1] == before


def test_two_refused_keys_hold_themselves(refused: Project) -> None:
    refused.write("autumn", AUTUMN.replace("98065001", "404"))
    with refused.sandbox() as sandbox:
        sandbox.seed([])
    refused.write("winter", 'adopt: "20999999"\n' + AUTUMN.replace("秋日", "冬日"))
    code, report = apply(refused)
    assert code == 5
    assert came_to(report)["create", "summer"] == ("done", [])
    assert {(each["code"], each["key"]) for each in report["held"]} >= {
        ("PROTECTED", "spring"),
        ("ADOPT_NOT_FOUND", "winter"),
    }


def test_what_fails_besides_is_exit_7(refused: Project) -> None:
    with refused.sandbox() as sandbox:
        sandbox.add_fault({"kind": "refused", "route": "create", "count": 1})
    code, report = apply(refused)
    assert code == 7
    assert came_to(report)["create", "summer"][0] == "failed"
    assert came_to(report)["terminate", "spring"] == ("not started", ["PROTECTED:spring"])


def test_a_refusal_without_operations_is_no_complete_apply(project: Project) -> None:
    assert project.run("--sandbox", "apply", "--yes")[0] == 0
    project.write("spring", "state: terminated\n" + SPEC)
    assert project.run("--sandbox", "apply", "--yes")[0] == 0
    project.write("spring")
    project.write("summer", SUMMER)
    code, report = apply(project)
    assert (code, report["complete"]) == (5, False)
    assert {status for status, _ in came_to(report).values()} <= {"done", "already done"}
    assert report["held"][0]["code"] == "NUMBER_USED"


def test_a_renamed_and_edited_spec_is_held_with_the_end_of_what_it_was(applied: Project) -> None:
    """Its PROTECTED end waits for a start under another key: neither is done."""
    (applied.root / "activities/spring.yaml").unlink()
    applied.write("lenz", SPEC.replace("1000\n", "2000\n"))
    applied.write("summer", SUMMER)
    code, report = apply(applied)
    assert code == 5
    told = came_to(report)
    assert told["create", "lenz"] == told["terminate", "spring"] == ("not started", ["PROTECTED:spring"])
    assert told["create", "summer"] == ("done", [])


def test_a_picture_of_what_is_held_is_not_uploaded(applied: Project) -> None:
    (applied.root / "images/other.png").write_bytes(png(7))
    (applied.root / "activities/spring.yaml").unlink()
    applied.write("lenz", SPEC.replace("1000\n", "2000\n").replace("logo.png", "other.png"))
    applied.write("summer", SUMMER)
    code, report = apply(applied)
    assert code == 5
    told = came_to(report)
    assert told["upload_image", "images/other.png"] == ("not started", ["PROTECTED:spring"])
    assert told["create", "summer"] == ("done", [])


# -- what was reviewed ------------------------------------------------------------------------------------------------


def planned(project: Project, *arguments: str) -> Path:
    file = project.root / "plan.json"
    assert project.run("--sandbox", "plan", "--out", str(file), *arguments)[0] == 0
    return file


def stop_coupon(project: Project, state: str) -> None:
    seed(project, {"stock_id": "98065001"}, {"stock_id": "7", "stock_state": state})


def test_what_is_refused_since_the_review_is_held(project: Project) -> None:
    project.write("summer", SUMMER.replace("98065001", "7"))
    stop_coupon(project, "RUNNING")
    file = planned(project)
    digest = json.loads(file.read_text())["digest"]
    stop_coupon(project, "PAUSED")
    code, report = apply(project, "--expect", digest)
    assert (code, came_to(report)["create", "spring"][0]) == (5, "done")
    assert came_to(report)["create", "summer"] == ("not started", ["COUPON_UNUSABLE:summer"])
    assert project.run("--sandbox", "apply", str(file), "--yes")[0] == 5
    stop_coupon(project, "RUNNING")
    code, report = apply(project, str(file))
    assert (code, came_to(report)["create", "summer"][0]) == (0, "done")


def test_what_was_reviewed_as_refused_is_never_applied_for_want_of_a_refusal(project: Project) -> None:
    project.write("summer", SUMMER.replace("98065001", "7"))
    stop_coupon(project, "PAUSED")
    file = planned(project)
    digest = json.loads(file.read_text())["digest"]
    stop_coupon(project, "RUNNING")
    assert project.run("--sandbox", "apply", "--yes", "--expect", digest)[0] == 6
    code, report = apply(project, str(file))
    assert (code, came_to(report)["create", "spring"][0]) == (5, "done")
    assert came_to(report)["create", "summer"] == ("not started", ["REVIEWED_AS_REFUSED:summer"])
    assert project.run("--sandbox", "apply", str(file), "--yes")[0] == 5
    assert project.run("--sandbox", "apply", "--yes")[0] == 0


def test_a_reviewed_waiver_is_applied(project: Project) -> None:
    project.write("summer", SUMMER.replace("98065001", "7"))
    stop_coupon(project, "PAUSED")
    file = planned(project, "--allow", "COUPON_UNUSABLE:summer")
    stop_coupon(project, "RUNNING")
    code, report = apply(project, str(file))
    assert (code, came_to(report)["create", "summer"][0]) == (0, "done")


# -- plans ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["text", "markdown", "html"])
def test_a_plan_says_what_a_refusal_holds_and_fails_if_asked_to(refused: Project, form: str) -> None:
    code, out, _ = refused.run("--sandbox", "plan", "--fail-on-refusals", "--out", str(refused.root / "p.json"))
    assert code == 5
    assert "Holds spring; the rest is applied." in out
    shown = ("show-plan", str(refused.root / "p.json"), "--format", form)
    code, out, _ = refused.run(*shown)
    assert code == 0
    assert "Holds spring; the rest is applied." in out
    assert refused.run(*shown, "--fail-on-refusals")[:2] == (5, out)
    both = ("--sandbox", "plan", "--detailed-exitcode", "--fail-on-refusals")
    assert refused.run(*both)[0] == 5
    refused.write("spring", "protect: true\n" + SPEC)
    assert refused.run(*both)[0] == 2
    assert refused.run("--sandbox", "plan", "--fail-on-refusals")[0] == 0


def test_the_whole_plan_is_held_by_what_is_about_the_whole(applied: Project) -> None:
    applied.write("summer", SUMMER)
    span = "{begin_time: 2026-11-25T00:00:00, end_time: 2026-11-26T00:00:00}"
    config = f"namespace: liangpin\npolicy: {{freeze: [{span}]}}\n"
    (applied.root / "paygift.yaml").write_text(config)
    code, out, err = applied.run("--sandbox", "apply", "--yes")
    assert code == 5
    assert "Holds the whole plan" in out
    assert "Nothing was written" in err


def test_what_was_ended_since_the_review_holds_nothing_else_back(project: Project) -> None:
    project.write("summer", SUMMER)
    file = planned(project)
    (project.root / "activities/summer.yaml").unlink()
    assert project.run("--sandbox", "apply", "--yes")[0] == 0
    project.write("spring", "state: terminated\n" + SPEC)
    assert project.run("--sandbox", "apply", "--yes")[0] == 0
    project.write("spring")
    project.write("summer", SUMMER)
    code, report = apply(project, str(file))
    assert (code, came_to(report)["create", "summer"][0]) == (5, "done")
    assert [each["code"] for each in report["held"]] == ["NUMBER_USED"]


def test_shops_that_move_from_a_refused_end_do_not_give_twice(applied: Project) -> None:
    """A protected campaign is divided between two: neither begins before the old one may end."""
    two = SPEC.replace('["1900000001"]', '["1900000001", "1900000002"]')
    applied.write("spring", "protect: true\n" + two)
    assert applied.run("--sandbox", "apply", "--yes")[0] == 0
    applied.write("spring", "protect: true\nstate: terminated\n" + two)
    for key, mchid in (("east", "1900000001"), ("west", "1900000002")):
        applied.write(key, SPEC.replace("春日", key[:4]).replace("1900000001", mchid))
    applied.write("summer", SUMMER)
    code, report = apply(applied)
    told = came_to(report)
    assert (code, told["create", "summer"][0]) == (5, "done")
    for key in ("east", "west"):
        assert told["create", key] == ("not started", ["PROTECTED:spring"])


def test_the_next_run_asks_nothing_about_what_was_held(refused: Project) -> None:
    assert refused.run("--sandbox", "apply", "--yes")[0] == 5
    rows = json.loads(refused.run("--sandbox", "history", "--json")[1])["operations"]
    (held,) = [each for each in rows if each["key"] == "spring" and each["operation"] == "terminate"]
    assert (held["status"], held["reason"]) == ("not started", "Held by PROTECTED:spring.")
    err = refused.run("--sandbox", "apply", "--yes", "--allow", "PROTECTED:spring")[2]
    assert "An earlier run" not in err
    assert refused.run("--sandbox", "plan", "--detailed-exitcode")[0] == 0


def test_the_question_counts_what_will_be_done(refused: Project) -> None:
    shown = on_a_terminal([*COMMAND, "-C", str(refused.root), "--sandbox", "apply"], "no")
    assert "Apply the rest of this plan, 2 operations?" in shown
