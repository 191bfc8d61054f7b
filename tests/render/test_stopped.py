"""An apply that stops before its first write leaves a report that says why, and that nothing was written.

To change the golden files on purpose: ``PAYGIFT_UPDATE_GOLDEN=1 pytest tests/render/test_stopped.py``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings

from reconciler.commands.reporting import reported
from reconciler.model.errors import ApiError, PaygiftError, RefusedError, StaleError
from reconciler.model.findings import Finding, Severity
from reconciler.model.plan import Plan
from reconciler.model.report import AbortedApply
from reconciler.render.json_ import dumps, stopped_json
from reconciler.render.stopped import COMMENT_CHARS, stopped_html, stopped_markdown
from reconciler.review.github.marker import read_marker
from tests.cli.test_cli import reviewed
from tests.render.test_html import body
from tests.render.test_markdown import HOSTILE, assert_harmless, hostile_plan
from tests.render.test_text import compare
from tests.support.project import CLOCK, SPEC, Project
from tests.support.samples import NAMESPACE, NOW

FACTS: Any = {"activity_id": "20406354", "activity_status": "TERMINATE_ACT_STATUS", "next_generation": 2}
REFUSED = AbortedApply(
    5,
    "The plan is refused: NUMBER_USED:tea. Nothing was written.",
    at=NOW,
    remedy="Fix the cause, or waive a refusal by name with --allow CODE:KEY.",
    namespace=NAMESPACE,
    mchid="1900000001",
    plan_digest="3f" * 32,
    plan=Plan(
        NAMESPACE,
        NOW,
        findings=(
            Finding("NUMBER_USED", Severity.REFUSAL, "tea", FACTS),
            Finding("NUMBER_USED", Severity.REFUSAL, "waived", FACTS, waived=True),
            Finding("SPEC_ENDED", Severity.NOTE, "note", {"end_time": "2026"}),
        ),
    ),
)
STALE = replace(
    REFUSED,
    exit_code=6,
    message="The plan is no longer what was reviewed. Nothing was written.",
    remedy="Plan again, and have the new plan reviewed.",
    details=(
        "! summer: create liangpin_summer_g1_0: new, nobody has reviewed it",
        "! spring: add 1 merchant (19): new, nobody has reviewed it",
    ),
    plan=None,
)


# -- word for word -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "stopped"), [("refused", REFUSED), ("stale", STALE)])
def test_it_reads_as_it_always_did(name: str, stopped: AbortedApply) -> None:
    compare(f"{name}.md", stopped_markdown(stopped))
    compare(f"{name}.json", dumps(stopped_json(stopped)))
    compare(f"{name}.html", re.sub(r"sha256-[\w+/=]+", "sha256-…", body(stopped_html(stopped))))


def test_once_writing_has_begun_nobody_says_that_nothing_was_written() -> None:
    stopped = replace(STALE, exit_code=1, message="The disk is full.", writing=True)
    for text in (stopped_markdown(stopped), stopped_html(stopped), dumps(stopped_json(stopped))):
        assert "Something may have been written" in text
        assert "Nothing was written" not in text
    assert stopped_json(stopped)["written"] is None


@pytest.mark.parametrize("lines", [1, 20_000])
def test_it_always_fits_into_a_comment_and_names_every_refusal(lines: int) -> None:
    many = tuple(Finding("NUMBER_USED", Severity.REFUSAL, f"key-{n:03}", FACTS) for n in range(100))
    stopped = replace(
        STALE,
        message="x" * 70_000,
        details=("! a: new, nobody has reviewed it",) * lines,
        plan=Plan(NAMESPACE, NOW, findings=many),
    )
    text = stopped_markdown(stopped)
    assert len(text) <= COMMENT_CHARS
    assert ("Shortened to fit" in text) == (lines > 1)
    assert all(f"key-{n:03}" in text for n in range(100))


@given(HOSTILE)
@hypothesis_settings(max_examples=40)
def test_nothing_in_it_becomes_more_than_text(text: str) -> None:
    stopped = AbortedApply(6, text, NOW, text, (text, text), text, text, text, hostile_plan(text))
    assert_harmless(stopped_markdown(replace(stopped, plan_digest="")))
    assert "<script>alert" not in stopped_html(stopped)


# -- through the command line ------------------------------------------------------------------------------------------

FORMATS = ("report.md", "report.html", "report.json")


def stopped_apply(project: Project, code: int, *arguments: str) -> dict[str, Any]:
    """`apply` ends with ``code`` and leaves a true report in every format; what it says as data."""
    for name in FORMATS:
        file = project.root / name
        file.write_text("an earlier run was fine")
        command = ("apply", *arguments, "--yes", "--report", str(file))
        assert project.run(*command)[0] == code
        assert "Nothing was written" in file.read_text(encoding="utf-8")
    marker = read_marker((project.root / "report.md").read_text(encoding="utf-8"))
    assert marker is not None
    assert marker.kind == "report"
    said: dict[str, Any] = json.loads((project.root / "report.json").read_text(encoding="utf-8"))
    assert (said["format_version"], said["kind"], said["exit_code"]) == ("1.0", "stopped", code)
    assert said["written"] is False
    assert (marker.owner.namespace, marker.owner.mchid) == (said["namespace"], said["mchid"])
    return said


def test_a_stale_plan_is_reported_with_the_difference(project: Project) -> None:
    file = reviewed(project)
    project.write("summer", SPEC.replace("春日回馈", "夏日回馈"))
    said = stopped_apply(project, 6, "--sandbox", str(file))
    assert said["error"]["kind"] == "stale"
    assert said["error"]["remedy"] == "Plan again, and have the new plan reviewed."
    assert said["details"][0] == "! summer: add 1 merchant (1900000001): new, nobody has reviewed it"
    assert said["plan_digest"] == json.loads(file.read_text(encoding="utf-8"))["digest"]
    assert said["namespace"] == "liangpin"
    assert (
        "`! summer: add 1 merchant (1900000001): new, nobody has reviewed it`"
        in (project.root / "report.md").read_text()
    )


def test_another_digest_than_was_expected_is_reported(project: Project) -> None:
    said = stopped_apply(project, 6, "--sandbox", "--expect", "0" * 64)
    assert (said["error"]["kind"], said["plan_digest"]) == ("stale", "0" * 64)


def test_a_plan_file_that_is_none_is_reported(project: Project) -> None:
    file = project.root / "plan.json"
    file.write_text("{")
    assert "is not a plan file" in stopped_apply(project, 6, "--sandbox", str(file))["error"]["message"]


def test_a_refused_plan_is_reported_with_its_refusals(project: Project) -> None:
    project.run("--sandbox", "apply", "--yes")
    (project.root / "activities/spring.yaml").unlink()
    said = stopped_apply(project, 5, "--sandbox")
    (refusal,) = said["refusals"]
    assert (refusal["code"], said["error"]["kind"]) == ("NO_SPECS", "refused")
    assert "`--allow NO_SPECS`" in (project.root / "report.md").read_text(encoding="utf-8")


def test_missing_credentials_are_reported(project: Project) -> None:
    said = stopped_apply(project, 4)
    assert said["error"]["kind"] == "credentials"
    assert said["error"]["message"].startswith("Not set: PAYGIFT_MCHID")


def test_mistakes_in_files_are_reported_one_by_one(project: Project) -> None:
    project.edit("spring", "SINGLE_COUPON", "SINGLE")
    project.edit("spring", "OFF_LINE_PAY", "ON_LINE_PAY")
    said = stopped_apply(project, 3, "--sandbox")
    assert said["error"]["kind"] == "invalid"
    assert [each.split(":")[0] for each in said["details"]] == ["activities/spring.yaml"] * 2


def test_an_account_that_cannot_be_read_is_reported(project: Project) -> None:
    with project.sandbox() as sandbox:
        sandbox.add_fault({"kind": "error_before", "route": "list", "count": 0})
    said = stopped_apply(project, 1, "--sandbox")
    assert said["error"]["kind"] == "error"
    assert said["mchid"]


def test_a_terminal_that_is_not_there_is_reported(project: Project) -> None:
    file = project.root / "report.json"
    assert project.run("--sandbox", "apply", "--report", str(file))[0] == 1
    assert json.loads(file.read_text())["error"]["message"] == "There is no terminal to ask on."


def test_a_report_that_cannot_be_written_stops_before_anything_is_done(project: Project) -> None:
    folder = project.root / "report.md"
    folder.mkdir()
    code, out, err = project.run("--sandbox", "apply", "--yes", "--report", str(folder))
    assert (code, out) == (1, "")
    assert "cannot be written" in err
    nowhere = project.root / "nowhere/report.md"
    code, out, err = project.run("--sandbox", "apply", "--yes", "--report", str(nowhere))
    assert (code, out) == (1, "")
    assert "its folder does not exist" in err
    assert project.run("--sandbox", "plan", "--detailed-exitcode")[0] == 2


# -- an attempt --------------------------------------------------------------------------------------------------------


def said_of(error: PaygiftError, file: Path) -> Iterator[str]:
    with pytest.raises(type(error)), reported(file, environ={}, warn=pytest.fail):
        raise error
    yield from file.read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize(
    "error",
    [
        StaleError("Another plan.", remedy="Plan again."),
        RefusedError("Refused.", remedy="Waive it."),
        ApiError(
            status=403,
            code="NO_AUTH",
            text="no",
            method="GET",
            path="/v3",
            remedy="Ask for it.",
            request_id="08",
        ),
    ],
)
def test_what_to_do_is_said_once(error: PaygiftError, tmp_path: Path) -> None:
    lines = "\n".join(said_of(error, tmp_path / "report.md"))
    assert lines.count(error.remedy) == 1


def test_a_report_that_cannot_be_left_does_not_hide_what_happened(tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()

    warnings: list[str] = []

    def stop() -> None:
        with reported(folder / "report.md", environ={}, warn=warnings.append):
            folder.rmdir()
            raise StaleError("Another plan.")

    with pytest.raises(StaleError, match="Another plan"):
        stop()
    (warning,) = warnings
    assert "report.md cannot be written" in warning


def test_the_clock_is_that_of_the_account(project: Project) -> None:
    assert stopped_apply(project, 6, "--sandbox", "--expect", "0" * 64)["at"].startswith(
        CLOCK[:10]
    )  # 02:00 UTC, the same day
