"""Who is told what came of an apply, in which words, and that it fails nothing and tells no secret.

The robot is a real HTTP server on loopback; applies are the real command line against the sandbox.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from email.message import Message as Headers
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings

from reconciler.commands.reporting import ApplyReporter
from reconciler.model.plan import Plan
from reconciler.model.report import AbortedApply, OutcomeStatus, Report
from reconciler.notify import post as notify
from reconciler.notify.messages import WECOM_BYTES, events, plain, summary_json, wecom_json
from reconciler.notify.post import DELIVERY_HEADER, Message, post
from reconciler.spec.models import NotifySection
from reconciler.system.output_files import Output
from tests.render.test_markdown import HOSTILE, hostile_plan
from tests.render.test_stopped import REFUSED, STALE
from tests.render.test_text import everything, everything_happened
from tests.support.project import SPEC, Project
from tests.support.samples import NAMESPACE, NOW

KEY = "693a91f6-7xxx-4bc4-97a0-0ec2sifa5aaa"
RUN = "https://github.com/liangpin/campaigns/actions/runs/4711"


@dataclass
class Robot:
    """A group robot of WeCom: says ``status`` and ``answer``, and keeps what it was told."""

    url: str = ""
    status: int = 200
    answer: bytes = b'{"errcode":0,"errmsg":"ok"}'
    headers: dict[str, str] = field(default_factory=dict)
    hangs: threading.Event | None = None
    breaks_off: bool = False
    told: list[dict[str, Any]] = field(default_factory=list)
    headers_of: list[Headers] = field(default_factory=list)
    """Those of what it was told."""

    def contents(self) -> list[str]:
        return [each["markdown"]["content"] for each in self.told]


@pytest.fixture
def robot() -> Iterator[Robot]:
    made = Robot()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            made.told.append(json.loads(body))
            made.headers_of.append(self.headers)
            if made.hangs is not None:
                made.hangs.wait(20)
            if made.breaks_off:
                return
            self.send_response(made.status)
            for name, value in made.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(made.answer)))
            self.end_headers()
            self.wfile.write(made.answer)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        made.url = f"http://127.0.0.1:{server.server_port}/cgi-bin/webhook/send?key={KEY}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield made
        if made.hangs is not None:
            made.hangs.set()
        server.shutdown()
        thread.join()


def wecom(url: str) -> Message:
    return Message("wecom", "PAYGIFT_WECOM_URL", url, wecom_json(everything_happened()))


# -- what is said ------------------------------------------------------------------------------------------------------


def content_of(happened: Report | AbortedApply, **more: Any) -> str:
    said = wecom_json(happened, **more)
    assert said["msgtype"] == "markdown"
    markdown = said["markdown"]
    assert isinstance(markdown, dict)
    return str(markdown["content"])


def done(plan: Plan, **statuses: OutcomeStatus) -> Report:
    """Everything is done, but for the operations of the keys that are named."""
    report = replace(everything_happened(), plan=plan)
    outcomes = tuple(
        replace(
            report.outcomes[0],
            operation=step,
            status=statuses.get(getattr(step, "key", ""), OutcomeStatus.DONE),
            rejections=(),
        )
        for step in plan.operations
    )
    return replace(report, outcomes=outcomes, interrupted=False)


def test_a_robot_is_told_what_ended_what_began_and_what_is_left() -> None:
    content = content_of(done(everything(), gone=OutcomeStatus.FAILED), url=RUN)
    lines = content.splitlines()
    assert lines[0].startswith('**paygift apply** <font color="warning">Applied: ')
    assert lines[1].startswith(f"{NAMESPACE} · ")
    assert lines[2] == f"[CI run]({RUN})"
    assert "Ended permanently: gap, protected, replaced" in content
    assert "Merchants changed: merchants" in content
    assert lines[lines.index("Left to do:") + 1].startswith("> gone: terminate 7 — failed")
    assert lines[-1].startswith("Something is left. Run ")


def test_a_robot_is_told_in_green_that_all_is_done() -> None:
    content = content_of(done(everything()), sandbox=True)
    assert content.startswith('**paygift apply (sandbox)** <font color="info">Applied: ')
    assert "Left to do" not in content


@pytest.mark.parametrize(("stopped", "kind"), [(REFUSED, "refused"), (STALE, "stale")])
def test_a_robot_is_told_why_nothing_was_written(stopped: AbortedApply, kind: str) -> None:
    content = content_of(stopped)
    assert "Nothing was written." in content.splitlines()[0]
    assert ("> NUMBER_USED tea" in content) == (kind == "refused")
    assert ("> ! summer: create liangpin_summer_g1_0: new, nobody has reviewed it" in content) == (kind == "stale")
    assert events(stopped) == {kind}


def test_a_webhook_is_given_data() -> None:
    report = done(everything(), gone=OutcomeStatus.FAILED, merchants=OutcomeStatus.ALREADY_DONE)
    data = summary_json(report, url=RUN)
    assert (data["format_version"], data["kind"], data["namespace"]) == ("1.0", "apply_summary", NAMESPACE)
    assert (data["url"], data["sandbox"], data["complete"]) == (RUN, False, False)
    assert data["terminated"] == ["gap", "protected", "replaced"]
    assert data["changed"] == ["paused"]  # the other one by an earlier run
    assert isinstance(data["created"], list)
    assert {"create", "replaced", "gap"} <= set(data["created"])
    counts = data["counts"]
    assert isinstance(counts, dict)
    assert counts["failed"] == 1
    assert sum(counts.values()) == len(report.outcomes)
    assert isinstance(data["left"], list)
    assert [(each["key"], each["operation"], each["status"]) for each in data["left"]] == [
        ("gone", "terminate", "failed")
    ]
    assert data["stopped"] is None


def test_a_webhook_is_given_why_nothing_was_written() -> None:
    data = summary_json(REFUSED)
    assert (data["complete"], data["created"], data["url"]) == (False, [], "")
    stopped = data["stopped"]
    assert isinstance(stopped, dict)
    assert (stopped["exit_code"], stopped["kind"]) == (5, "refused")
    assert stopped["refusals"] == [{"code": "NUMBER_USED", "key": "tea"}]
    assert set(summary_json(done(everything()))) == set(data)


@pytest.mark.parametrize("reason", ["它说：不行" * 30, "x" * 199, "🎁" * 100])
def test_too_long_a_message_is_cut_at_a_character_and_says_so(reason: str) -> None:
    report = done(everything(), **dict.fromkeys(("create", "gone", "gap"), OutcomeStatus.FAILED))
    outcomes = tuple(replace(each, reason=reason) for each in report.outcomes) * 9
    plan = replace(report.plan, changes=report.plan.changes * 9)
    content = content_of(replace(report, plan=plan, outcomes=outcomes))
    assert WECOM_BYTES - 8 <= len(content.encode()) <= WECOM_BYTES
    assert content.endswith("\n… cut here: the report has the rest.")
    assert "\ufffd" not in content
    assert "Ended permanently: " in content


def test_what_just_fits_is_not_cut() -> None:
    content = content_of(replace(STALE, details=("x" * 50,) * 60))
    room = WECOM_BYTES - len(content.encode())
    assert 0 < room < 1000
    for more, cut in ((room - 3, False), (room - 2, True)):
        longer = content_of(replace(STALE, details=(*("x" * 50,) * 60, "y" * more)))
        assert ("cut here" in longer) == cut


@given(HOSTILE)
@hypothesis_settings(max_examples=60)
def test_no_text_of_others_becomes_more_than_text(text: str) -> None:
    assert not set(plain(text)) & set("*`<>[]#&~|\n\r")
    assert "://" not in plain(text)
    report = done(hostile_plan(text))
    stopped = AbortedApply(6, text, NOW, text, (text,), text, text, text, hostile_plan(text))
    for happened in (report, replace(report, outcomes=report.outcomes[:1]), stopped):
        ours = content_of(happened).replace("**paygift apply** ", "")
        lines = [line.removeprefix("> ") for line in ours.splitlines()]
        lines[0] = lines[0].partition('">')[2].removesuffix("</font>")
        assert not any(set(line) & set("*`<>[]#&~|") for line in lines)


@pytest.mark.parametrize(
    "url", ["", "javascript:alert(1)", "https://x/) [y](https://z", "https://x/ y", "https://" + "x" * 999]
)
def test_an_address_that_cannot_stand_in_a_link_is_left_out(url: str) -> None:
    assert "CI run" not in content_of(STALE, url=url)


def test_nothing_is_told_where_nothing_was_to_do() -> None:
    report = done(everything(), **{change.key: OutcomeStatus.ALREADY_DONE for change in everything().changes})
    assert events(replace(report, outcomes=())) == set()
    assert events(replace(STALE, exit_code=4)) == set()
    assert events(replace(STALE, exit_code=1, writing=True)) == {"unknown"}
    assert events(done(everything(), gone=OutcomeStatus.NOT_STARTED)) == {"done", "not_started"}


# -- the post ----------------------------------------------------------------------------------------------------------


def test_a_message_arrives(robot: Robot) -> None:
    assert post([wecom(robot.url)]) == []
    assert robot.told == [wecom_json(everything_happened())]


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b'{"errcode":93000,"errmsg":"invalid webhook url"}', "errcode 93000"),
        (b'{"errcode":"0"}', "an answer that is not WeCom's"),
        (b'{"errcode":false}', "an answer that is not WeCom's"),
        (b"[]", "an answer that is not WeCom's"),
        (b"<html>", "an answer that is not WeCom's"),
        (b" " * 70_000, "an answer that is not WeCom's"),
    ],
)
def test_wecom_refuses_with_http_200(robot: Robot, answer: bytes, why: str) -> None:
    robot.answer = answer
    assert post([wecom(robot.url)]) == [f"PAYGIFT_WECOM_URL (wecom): {why}."]
    assert len(robot.told) == 1
    assert post([replace(wecom(robot.url), kind="webhook")]) == []


@pytest.mark.parametrize("status", [500, 502, 503, 504, 429, 400, 404, 302, 307])
def test_whoever_answers_may_have_heard_and_is_not_told_twice(robot: Robot, status: int) -> None:
    robot.status = status
    robot.headers = {"Location": robot.url}
    (failure,) = post([wecom(robot.url)])
    assert failure.startswith(f"PAYGIFT_WECOM_URL (wecom): HTTP {status}")
    assert ("whether it arrived is unknown" in failure) == (status >= 500)
    assert len(robot.told) == 1


def test_what_did_not_leave_is_sent_again_as_the_same_message(robot: Robot, monkeypatch: pytest.MonkeyPatch) -> None:
    really, refused = httpx.HTTPTransport.handle_request, [httpx.ConnectError("refused")]
    headers: list[str] = []

    def handle(self: httpx.HTTPTransport, request: httpx.Request) -> httpx.Response:
        headers.append(request.headers[DELIVERY_HEADER])
        if refused:
            raise refused.pop()
        return really(self, request)

    monkeypatch.setattr(httpx.HTTPTransport, "handle_request", handle)
    assert post([wecom(robot.url)]) == []
    assert len(robot.told) == 1
    first, second = headers
    assert first == second
    assert UUID(first).version == 4


def test_every_message_has_an_id_of_its_own(robot: Robot) -> None:
    assert post([wecom(robot.url), replace(wecom(robot.url), kind="webhook")]) == []
    first, second = (each[DELIVERY_HEADER] for each in robot.headers_of)
    assert first != second


def test_whoever_hangs_is_not_waited_for(robot: Robot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notify, "SECONDS", 0.3)
    robot.hangs = threading.Event()
    assert post([wecom(robot.url)] * 2) == ["PAYGIFT_WECOM_URL (wecom): no answer within 0.3 s."] * 2


def test_whoever_breaks_off_may_have_heard_and_is_not_told_twice(robot: Robot) -> None:
    robot.breaks_off = True
    assert post([wecom(robot.url)]) == ["PAYGIFT_WECOM_URL (wecom): the connection was broken off."]
    assert len(robot.told) == 1


def test_who_is_not_there_is_said_to_be_not_there() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        port = server.server_port
    assert post([wecom(f"http://127.0.0.1:{port}/?key={KEY}")]) == [
        "PAYGIFT_WECOM_URL (wecom): it cannot be reached: the connection was refused."
    ]


@pytest.mark.parametrize(
    "url",
    [
        f"http://qyapi.weixin.qq.com/?key={KEY}",
        f"http://localhost.evil.example/?key={KEY}",
        f"ftp://127.0.0.1/{KEY}",
        f"https:///{KEY}",
        f"https://[{KEY}",
        KEY,
    ],
)
def test_an_address_that_may_not_be_used_is_not_used(url: str) -> None:
    (failure,) = post([wecom(url)])
    assert failure.startswith("PAYGIFT_WECOM_URL (wecom): it ")
    assert KEY not in failure


def test_an_address_that_httpx_does_not_take_is_not_quoted() -> None:
    (failure,) = post([wecom(f"https://{'x' * 70_000}/{KEY}")])
    assert failure == "PAYGIFT_WECOM_URL (wecom): it holds 70,045 characters, more than 8,192."


def test_what_stays_on_this_machine_goes_through_no_proxy(robot: Robot, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert post([wecom(robot.url)]) == []


def test_no_log_tells_the_address(robot: Robot, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    for status in (200, 500):
        robot.status = status
        post([wecom(robot.url)])
    assert KEY not in caplog.text + repr(wecom(robot.url))
    assert "send_request_headers" in caplog.text
    httpx.Client().get(robot.url).close()  # the test can fail: this is what httpx logs by itself
    assert KEY in caplog.text


# -- what an author writes ---------------------------------------------------------------------------------------------


def write(project: Project, *targets: str) -> None:
    lines = "".join(f"  - {target}\n" for target in targets)
    (project.root / "paygift.yaml").write_text(f"namespace: liangpin\nnotify:\n{lines}", encoding="utf-8")


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{kind: wecom}", "paygift.yaml:3:5: notify[0].url_from: required, and missing"),
        (
            "{kind: wecon, url_from: X}",
            'notify[0].kind: "wecon" is not one of wecom, webhook; did you mean wecom?',
        ),
        ("{kind: wecom, url_form: X}", "notify[0].url_form: unknown key; did you mean `url_from`?"),
        ("{kind: wecom, url_from: x-y}", "notify[0].url_from: not the name of an environment variable"),
        ("{kind: wecom, url_from: X, on: [faild]}", '"faild" is not one of done, partial, failed,'),
        ("{kind: wecom, url_from: X, on: [faild]}", "did you mean failed?"),
        ("{kind: wecom, url_from: X, on: failed}", "notify[0].on: expected a list"),
    ],
)
def test_a_mistake_is_shown_at_its_place(project: Project, line: str, problem: str) -> None:
    write(project, line)
    code, _, err = project.run("validate")
    assert code == 3
    assert problem in err


ADDRESS = f"https://h.cn/{KEY}"


@pytest.mark.parametrize(
    "text",
    [
        f"notify: [{{kind: wecom, url_from: '{ADDRESS}'}}]",
        f"notify: [{{kind: wecom, url: '{ADDRESS}'}}]",
        f"notify: [{{kind: '{ADDRESS}', url_from: X}}]",
        f"notify: [{{kind: wecom, url_from: X, on: ['{ADDRESS}']}}]",
        f"notify: [{{kind: wecom, url_from: X, on: '{ADDRESS}'}}]",
        f"notify: ['{ADDRESS}']",
        f"notify: '{ADDRESS}'",
    ],
)
def test_an_address_in_the_file_is_a_mistake_that_says_why_and_does_not_quote_it(project: Project, text: str) -> None:
    (project.root / "paygift.yaml").write_text(f"namespace: liangpin\n{text}\n", encoding="utf-8")
    for arguments in (("validate",), ("validate", "--json")):
        code, out, err = project.run(*arguments)
        assert code == 3
        assert "this address is a secret" in out + err
        assert "paygift.yaml:2:" in out + err or '"line": 2' in out
        assert KEY not in out + err


# -- through the command line ------------------------------------------------------------------------------------------


def test_an_apply_tells_everybody_who_wants_to_know(
    project: Project, robot: Robot, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "ROBOT_URL": f" {robot.url}\n",
        "GITHUB_SERVER_URL": "https://github.com",
        "GITHUB_REPOSITORY": "liangpin/campaigns",
        "GITHUB_RUN_ID": "4711",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("CI_JOB_URL", raising=False)
    write(
        project,
        "{kind: wecom, url_from: ROBOT_URL}",
        "{kind: webhook, url_from: ROBOT_URL, on: [partial, failed]}",
        "{kind: webhook, url_from: ROBOT_URL, on: [done]}",
    )
    code, _, err = project.run("--sandbox", "apply", "--yes")
    assert (code, err) == (0, "")
    data, message = sorted(robot.told, key=lambda each: "msgtype" in each)
    assert (data["created"], data["sandbox"], data["url"]) == (["spring"], True, RUN)
    assert "Created: spring" in message["markdown"]["content"]
    assert f"[CI run]({RUN})" in message["markdown"]["content"]

    assert project.run("--sandbox", "apply", "--yes")[0] == 0
    assert len(robot.told) == 2  # nothing was to do


@pytest.mark.parametrize("fault", ["errcode", "500", "refused", "unset", "http"])
def test_a_robot_that_fails_fails_no_apply(
    project: Project, robot: Robot, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    url = robot.url
    match fault:
        case "errcode":
            robot.answer = b'{"errcode":45009,"errmsg":"api freq out of limit"}'
        case "500":
            robot.status = 500
        case "refused":
            url = f"http://127.0.0.1:9/?key={KEY}"
        case "http":
            url = f"http://qyapi.weixin.qq.com/?key={KEY}"
    monkeypatch.setenv("PAYGIFT_WECOM_URL", "" if fault == "unset" else url)
    write(project, "{kind: wecom, url_from: PAYGIFT_WECOM_URL}")
    file = project.root / "report.md"
    code, out, err = project.run("--sandbox", "apply", "--yes", "--report", str(file))
    assert code == 0
    assert "Applied: 2 done." in out
    (line,) = err.splitlines()
    assert line.startswith("Warning: a notice failed: PAYGIFT_WECOM_URL (wecom): ")
    assert KEY not in out + err + file.read_text(encoding="utf-8")
    assert "127.0.0.1" not in line


def test_a_plan_that_is_stale_or_refused_is_told_from_ci_only(
    project: Project, robot: Robot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROBOT_URL", robot.url)
    monkeypatch.delenv("CI", raising=False)
    write(project, "{kind: wecom, url_from: ROBOT_URL}")
    stale = ("--sandbox", "apply", "--yes", "--expect", "0" * 64)
    assert project.run(*stale)[0] == 6
    assert robot.told == []
    monkeypatch.setenv("CI", "true")
    code, _, err = project.run(*stale)
    assert code == 6
    assert len(err.splitlines()) == 1
    assert "Not applied: stale, exit 6. Nothing was written." in robot.contents()[0]

    assert project.run("--sandbox", "apply", "--yes")[0] == 0
    (project.root / "activities/spring.yaml").unlink()
    assert project.run("--sandbox", "apply", "--yes")[0] == 5
    assert "> NO_SPECS" in robot.contents()[-1]
    assert len(robot.told) == 3


def test_what_is_left_is_told_with_the_rejected_merchants(
    project: Project, robot: Robot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROBOT_URL", robot.url)
    write(project, "{kind: webhook, url_from: ROBOT_URL, on: [partial]}")
    assert project.run("--sandbox", "apply", "--yes")[0] == 0
    assert robot.told == []
    with project.sandbox() as sandbox:
        sandbox.declare_invalid("1900000003")
    project.edit("spring", '["1900000001"]', '["1900000001", "1900000002", "1900000003"]')
    assert project.run("--sandbox", "apply", "--yes")[0] == 7
    (told,) = robot.told
    assert (told["changed"], told["complete"]) == (["spring"], False)
    assert [each["rejected"] for each in told["left"]] == [["1900000003"]]


def test_everybody_is_told_though_the_report_cannot_be_left(robot: Robot, tmp_path: Path) -> None:
    target = NotifySection(kind="webhook", url_from="ROBOT_URL")
    nowhere = tmp_path / "nowhere/report.md"
    warnings: list[str] = []
    attempt = ApplyReporter(Output(nowhere), {"ROBOT_URL": robot.url}, warnings.append, notify=(target,))
    attempt.publish(done(everything()))
    assert len(robot.told) == 1
    (warning,) = warnings
    assert warning.startswith("Warning: The report is missing: ")


def test_the_example_of_a_spec_stays_valid(project: Project) -> None:
    write(
        project,
        "{kind: wecom, url_from: PAYGIFT_WECOM_URL}",
        "{kind: webhook, url_from: DEPLOY_HOOK_URL, on: []}",
    )
    project.write("spring", SPEC)
    assert project.run("validate")[0] == 0
