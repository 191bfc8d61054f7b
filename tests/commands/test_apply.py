"""apply from Python: whoever calls it gets the lock, the question, the report's file and the notices."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from reconciler import commands
from reconciler.apply import refuse
from reconciler.commands import applying
from reconciler.model.errors import ProjectError, RefusedError, StaleError, UsageError
from reconciler.model.plan import Plan
from reconciler.model.report import Report
from tests.support.project import Project


class Heard:
    """What a caller of ``apply`` hears, in the order in which it hears it."""

    def __init__(self, answer: bool = True) -> None:
        self.answer = answer
        self.events: list[str] = []
        self.remarks: list[str] = []

    def confirm(self, made: Plan) -> bool:
        self.events.append(f"asked about {len(made.operations)}")
        return self.answer

    def planned(self, made: Plan) -> None:
        self.events.append(f"planned {len(made.operations)}")

    def reported(self, happened: Report) -> None:
        self.events.append(f"reported {len(happened.outcomes)}")


@pytest.fixture
def workspace(project: Project) -> commands.Workspace:
    return commands.Workspace(project.root, {}, sandbox=True)


def applied(workspace: commands.Workspace, heard: Heard, **more: Any) -> Report | None:
    heard_by = replace(workspace, callbacks=commands.Callbacks(remark=heard.remarks.append))
    return commands.apply(heard_by, confirm=heard.confirm, on_plan=heard.planned, on_report=heard.reported, **more)


@pytest.fixture
def robot() -> Iterator[tuple[str, list[Any]]]:
    told: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        yield f"http://127.0.0.1:{server.server_port}/", told
        server.shutdown()


def test_a_caller_hears_the_plan_is_asked_once_and_gets_the_report(
    project: Project, workspace: commands.Workspace
) -> None:
    heard, file = Heard(), project.root / "report.json"
    report = applied(workspace, heard, report=file)
    assert report is not None
    assert report.complete
    assert heard.events == ["planned 2", "asked about 2", "reported 2"]
    assert json.loads(file.read_text(encoding="utf-8"))["complete"] is True
    assert commands.plan(workspace).empty


def test_whoever_says_no_has_written_nothing(workspace: commands.Workspace) -> None:
    heard = Heard(answer=False)
    assert applied(workspace, heard) is None
    assert heard.events == ["planned 2", "asked about 2"]
    assert heard.remarks == ["Nothing was written."]
    assert not commands.plan(workspace).empty


def test_nobody_is_asked_where_nothing_is_to_do(workspace: commands.Workspace) -> None:
    applied(workspace, Heard())
    heard = Heard()
    report = applied(workspace, heard)
    assert report is not None
    assert (report.outcomes, heard.events) == ((), ["planned 0", "reported 0"])


def test_what_is_refused_is_shown_and_asks_nobody(
    project: Project, workspace: commands.Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    applied(workspace, Heard())
    (project.root / "activities/spring.yaml").unlink()
    times: list[Plan] = []

    def counted(plan: Plan) -> None:
        times.append(plan)
        refuse(plan)

    monkeypatch.setattr(applying, "refuse", counted)
    heard, file = Heard(), project.root / "report.json"
    with pytest.raises(RefusedError, match="NO_SPECS"):
        applied(workspace, heard, report=file)
    assert (heard.events, len(times)) == (["planned 1"], 1)
    assert json.loads(file.read_text(encoding="utf-8"))["exit_code"] == 5


def test_whom_notify_names_is_told_whoever_calls(
    project: Project, workspace: commands.Workspace, robot: tuple[str, list[Any]]
) -> None:
    url, told = robot
    (project.root / "paygift.yaml").write_text(
        "namespace: liangpin\nnotify:\n- {kind: webhook, url_from: ROBOT}\n", encoding="utf-8"
    )
    heard = Heard()
    applied(replace(workspace, environ={"ROBOT": url}), heard)
    assert [each["created"] for each in told] == [["spring"]]
    assert heard.remarks == []


def test_the_report_tells_what_ended_it_before_it_began(project: Project, workspace: commands.Workspace) -> None:
    project.edit("spring", "SINGLE_COUPON", "SINGLE")
    heard, file = Heard(), project.root / "report.json"
    with pytest.raises(ProjectError):
        applied(workspace, heard, report=file)
    assert heard.events == []
    assert json.loads(file.read_text(encoding="utf-8"))["exit_code"] == 3


def test_only_the_plan_that_was_reviewed_is_applied(project: Project, workspace: commands.Workspace) -> None:
    file = project.root / "plan.json"
    reviewed = commands.plan(workspace, out=file)
    with pytest.raises(StaleError):
        applied(workspace, Heard(), expect="0" * 64)
    report = applied(workspace, Heard(), expect=commands.plan_digest(reviewed))
    assert report is not None
    assert report.complete
    again = applied(workspace, Heard(), plan_file=file)
    assert again is not None
    assert again.outcomes == ()


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"plan_file": Path("plan.json"), "expect": "0" * 64}, "A PLANFILE says by itself"),
        ({"plan_file": Path("plan.json"), "allow": ["NO_SPECS"]}, "A PLANFILE says by itself"),
        ({"expect": ""}, "takes a digest of 64 hex digits"),
        ({"allow": ["NO_SPEX"]}, "did you mean NO_SPECS"),
    ],
)
def test_what_cannot_go_together_is_said_before_anybody_is_asked(
    workspace: commands.Workspace, wanted: dict[str, Any], said: str
) -> None:
    heard = Heard()
    with pytest.raises(UsageError, match=said):
        applied(workspace, heard, **wanted)
    assert heard.events == []


def test_the_lock_is_held_while_somebody_is_asked_and_given_back(workspace: commands.Workspace) -> None:
    held: list[int] = []

    def leave(locks: Sequence[object]) -> bool:
        held.append(len(locks))
        return False

    def look(_: Plan) -> bool:
        assert commands.unlock(workspace, confirm=leave) is None
        return True

    report = commands.apply(workspace, confirm=look)
    assert report is not None
    assert report.complete
    assert held == [1]
    assert commands.unlock(workspace, confirm=lambda locks: False) == []
