"""A refusal holds its key, and what must not go without it; apply does the rest and says what was held.

From the command line, against the sandbox.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.project import SPEC, Project

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
        found = [
            each["item"]["activity_base_info"]["activity_name"]
            for each in sandbox.activities()
            if not over(each)
        ]
    return sorted(found)


def over(activity: dict[str, Any]) -> bool:
    return activity["item"].get("activity_status") == "TERMINATE_ACT_STATUS" or bool(
        activity.get("terminate_time")
    )


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
