"""An account shows what others made, in shapes that nobody has documented: no such row hides the rest."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.project import SPEC, Project
from tests.wechatpay.test_wire import ODD, REAL_ELEMENT

BASE: dict[str, Any] = {**REAL_ELEMENT["activity_base_info"], "end_time": "2026-12-31T23:59:59+08:00"}  # type: ignore[dict-item]
FOREIGN = {
    **{name: value for name, value in REAL_ELEMENT.items() if name != "creator_merchant_id"},
    "activity_id": "77",
    "activity_base_info": BASE,
    "activity_status": "ONGOING_ACT_STATUS",
}

ODD_VALUES: list[dict[str, Any]] = [
    *ODD,
    {"pause_time": "0001-01-01T00:00:00+08:00"},
    {"create_time": "9999-12-31T23:59:59Z", "update_time": "0001-01-01T00:00:00Z"},
    {"activity_base_info": {**BASE, "begin_time": "0001-01-01T00:00:00+08:00"}},
    {"activity_base_info": {**BASE, "end_time": "9999-12-31T23:59:59Z"}},
    {
        "activity_base_info": {
            **BASE,
            "begin_time": "1971-01-01T00:00:00Z",
            "end_time": "2999-12-31T23:59:59Z",
        }
    },
    {"activity_base_info": {**BASE, "activity_name": None}},
    {"activity_base_info": {}},
    {"belong_merchant_id": 5, "creator_merchant_id": None, "create_time": 17, "brand_new": [[[None]]]},
    {"award_send_rule": {"full_send_rule": {"transaction_amount_minimum": 10**38}}},
]


@pytest.fixture
def applied(project: Project) -> Project:
    """A project whose one activity runs."""
    assert project.run("--sandbox", "apply", "--yes")[0] == 0
    assert project.run("sandbox", "clock", "2026-12-02T10:00:00+08:00")[0] == 0
    return project


@pytest.mark.sampled(every=4)
@pytest.mark.parametrize("odd", ODD_VALUES)
def test_every_command_bears_with_an_odd_row_that_is_not_ours(applied: Project, odd: dict[str, Any]) -> None:
    with applied.sandbox() as sandbox:
        sandbox.insert_activity({**FOREIGN, **odd})
    assert applied.run("--sandbox", "plan", "--detailed-exitcode")[0] == 0
    code, out, _ = applied.run("--sandbox", "status", "--all")
    assert (code, " 77 " in out, "in sync" in out) == (0, True, True)
    code, out, _ = applied.run("--sandbox", "status", "--all", "--json")
    stands = {row["activity_id"]: row["stands"] for row in json.loads(out)["activities"]}
    assert (code, stands["77"].partition(",")[0]) == (0, "unmanaged")
    assert applied.run("--sandbox", "drift")[0] in (0, 2)
    code, out, _ = applied.run("--sandbox", "show", "77", "--json")
    assert (code, json.loads(out)["live"][0]["wire"]["activity_id"]) == (0, "77")
    assert applied.run("--sandbox", "show", "77")[0] == 0
    report = applied.root / "report.html"
    applied.edit("spring", '["1900000001"]', '["1900000001", "1900000002"]')
    assert applied.run("--sandbox", "apply", "--yes", "--report", str(report))[0] == 0
    assert report.read_text(encoding="utf-8").startswith("<!doctype html>")


def ours(project: Project, odd: dict[str, Any]) -> None:
    """Our activity is shown with an odd value from now on."""
    with project.sandbox() as sandbox:
        (found,) = sandbox.activities()
        item = {
            **found["item"],
            "activity_id": found["activity_id"],
            "activity_status": found["activity_status"],
        }
        base = {**item["activity_base_info"], **odd.get("activity_base_info", {})}
        sandbox.insert_activity({**item, **odd, "activity_base_info": base}, found["merchants"])


@pytest.mark.sampled(every=5)
@pytest.mark.parametrize(
    "odd",
    [
        {"activity_base_info": {"end_time": "9999-12-31T23:59:59Z"}},
        {"activity_base_info": {"activity_name": None}},
        {"award_send_rule": 5},
        {"activity_status": None},
    ],
)
@pytest.mark.parametrize("spec", ["kept", "edited", "removed"])
def test_an_odd_row_that_is_ours_stops_its_key_and_is_no_absence(
    applied: Project, odd: dict[str, Any], spec: str
) -> None:
    ours(applied, odd)
    if spec == "edited":
        applied.edit("spring", "1000", "2000")
    if spec == "removed":
        (applied.root / "activities/spring.yaml").unlink()
        applied.write("summer", SPEC.replace("春日回馈", "夏日回馈"))
    code, out, _ = applied.run("--sandbox", "plan", "--json")
    found = json.loads(out)
    assert code == 0
    assert [each["code"] for each in found["findings"] if each["severity"] == "refusal"] == ["TERMS_UNREADABLE"]
    assert [change["key"] for change in found["changes"]] == (["summer"] if spec == "removed" else [])
    assert applied.run("--sandbox", "apply", "--yes")[0] == 5


def test_a_pause_time_that_is_none_is_a_pause_all_the_same(applied: Project) -> None:
    with applied.sandbox() as sandbox:
        (found,) = sandbox.activities()
        sandbox.pause(found["activity_id"])
    ours(applied, {"activity_status": "STOP_ACT_STATUS", "pause_time": "0001-01-01T00:00:00+08:00"})
    code, out, _ = applied.run("--sandbox", "plan")
    assert (code, "warning PAUSED spring" in out) == (0, True)
    assert applied.run("--sandbox", "drift")[0] == 2


def test_a_row_that_names_no_activity_makes_the_list_unusable(applied: Project) -> None:
    with applied.sandbox() as sandbox:
        sandbox.insert_activity({**FOREIGN, "activity_id": None})
    code, _, err = applied.run("--sandbox", "plan")
    assert (code, "data.0.activity_id" in err) == (1, True)
