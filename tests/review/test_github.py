"""Comments, reviewed digests, drift issues and annotations, against a small GitHub on loopback."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import stamina
from starlette.requests import Request
from starlette.responses import Response

from reconciler.cli import run
from reconciler.commands.workspace import SANDBOX_FOLDER
from reconciler.model.errors import GitHubError, StaleError, UsageError
from reconciler.model.plan import Plan
from reconciler.plan import FORMAT_VERSION, plan_digest
from reconciler.render import marker as rendered
from reconciler.render.json_ import dumps, plan_json
from reconciler.review.github import (
    GitHub,
    Owner,
    Reviewed,
    WorkflowRun,
    annotate,
    keep_drift_issue,
    keep_plan_comment,
    keep_report_comment,
    kept_plan,
    pull_of_commit,
    read_drift,
    reviewed_digest,
)
from reconciler.review.github import client as client_module
from reconciler.review.github.client import TRIES, pause_asked
from reconciler.review.github.drift import issue_body
from reconciler.review.github.marker import read_marker, second_line, with_second_line
from reconciler.review.github.states import planned, unplanned
from tests.plan.test_stale import LIVES, WANTED, plan
from tests.support.fake_github import BOT, MOST_CHARACTERS, REPOSITORY, START, TOKEN, FakeGitHub, Fault, served
from tests.support.signed import keys

FILED = plan(WANTED, LIVES)
PLAN = replace(FILED, valid_until=None)
OTHER = replace(PLAN, changes=PLAN.changes[:1])
DIGEST, FILED_DIGEST = plan_digest(PLAN), plan_digest(FILED)
OWNER = Owner(PLAN.namespace, PLAN.mchid)
HEAD, MOVED, MERGE = "a" * 40, "b" * 40, "c" * 40
PULL = 7


@pytest.fixture(scope="module")
def server() -> Iterator[FakeGitHub]:
    with served() as fake:
        yield fake


@pytest.fixture
def fake(server: FakeGitHub) -> FakeGitHub:
    """An empty repository with one open pull request."""
    server.__dict__.update(FakeGitHub(url=server.url).__dict__)
    server.open_pull(PULL, HEAD)
    return server


@pytest.fixture(autouse=True)
def _no_pauses() -> Iterator[None]:
    with stamina.set_testing(True, attempts=TRIES):
        yield


@pytest.fixture(scope="module")
def client(server: FakeGitHub) -> Iterator[GitHub]:
    """One for all tests: reading the certificates that one trusts is slower than the rest of a test."""
    with GitHub(WorkflowRun.from_environment(environment(server))) as client:
        yield client


@pytest.fixture
def github(fake: FakeGitHub, client: GitHub) -> GitHub:
    return client


def environment(fake: FakeGitHub, **more: str) -> dict[str, str]:
    given = {
        "GITHUB_TOKEN": TOKEN,
        "GITHUB_REPOSITORY": REPOSITORY,
        "GITHUB_API_URL": f"{fake.url}/api/v3",
        "GITHUB_RUN_ID": "4711",
        "GITHUB_RUN_ATTEMPT": "1",
    }
    return given | more


def marker(plan: Plan, kind: str = "plan") -> str:
    owner = f"namespace={plan.namespace} mchid={plan.mchid}"
    return f"<!-- paygift {kind} digest={plan_digest(plan)} {owner} format={FORMAT_VERSION} -->"


def render(plan: Plan, max_chars: int) -> str:
    """Stands for the real one: the marker first, and never longer than it may be."""
    return f"{marker(plan)}\n### Plan\n{len(plan.changes)} changes"[:max_chars]


def keep(github: GitHub, plan: Plan = PLAN) -> str:
    return keep_plan_comment(github, PULL, plan, render=render).action


def bodies(fake: FakeGitHub, login: str = BOT) -> list[str]:
    return [each["body"] for each in fake.comments if each["login"] == login]


# --- the comment --------------------------------------------------------------------------------------------


def test_the_first_plan_makes_a_comment(fake: FakeGitHub, github: GitHub) -> None:
    assert keep(github) == "created"
    (body,) = bodies(fake)
    run = "[run](https://github.com/liangpin/campaigns/actions/runs/4711)"
    assert body.splitlines()[:5] == [
        marker(PLAN),
        f"<!-- paygift head={HEAD} -->",
        f"> **Planned** for `{HEAD[:12]}` · {run}",
        "",
        "### Plan",
    ]


def test_the_next_plan_changes_that_comment_in_place(fake: FakeGitHub, github: GitHub) -> None:
    keep(github)
    assert keep(github, OTHER) == "updated"
    (body,) = bodies(fake)
    assert body.startswith(marker(OTHER))


def test_the_same_plan_leaves_the_comment_alone(fake: FakeGitHub, github: GitHub) -> None:
    keep(github)
    assert keep(github) == "unchanged"
    assert len(fake.writes()) == 1


def test_each_namespace_and_account_has_a_comment_of_its_own(fake: FakeGitHub, github: GitHub) -> None:
    keep(github)
    assert keep(github, replace(PLAN, namespace="other")) == "created"
    assert keep(github, replace(PLAN, mchid="1900000002")) == "created"
    assert keep(github) == "unchanged"
    assert len(bodies(fake)) == 3


def test_a_strangers_comment_with_our_marker_is_neither_used_nor_touched(fake: FakeGitHub, github: GitHub) -> None:
    forged = fake.say(PULL, f"{marker(PLAN)}\n<!-- paygift head={HEAD} -->\nAll is well.")
    assert keep(github) == "created"
    assert forged["editor"] is None


def test_a_marker_further_down_makes_no_comment_ours(fake: FakeGitHub, github: GitHub) -> None:
    fake.say(PULL, f"look:\n{marker(PLAN)}", login=BOT)
    assert keep(github) == "created"


def test_a_comment_behind_more_than_a_hundred_others_is_found(fake: FakeGitHub, github: GitHub) -> None:
    for number in range(150):
        fake.say(PULL, f"remark {number}")
    keep(github)
    for number in range(150):
        fake.say(PULL, f"more {number}")
    assert keep(github, OTHER) == "updated"
    assert len(bodies(fake)) == 1


def test_a_plan_that_is_too_big_is_cut_by_the_renderer_and_accepted(fake: FakeGitHub, github: GitHub) -> None:
    asked: list[int] = []

    def long(plan: Plan, max_chars: int) -> str:
        asked.append(max_chars)
        return f"{marker(plan)}\n{'满' * 100_000}"[:max_chars]

    bounded = replace(PLAN, valid_until=START + timedelta(days=1, microseconds=5))
    keep_plan_comment(github, PULL, bounded, render=long)
    (body,) = bodies(fake)
    assert asked[0] <= len(body) <= MOST_CHARACTERS


def test_a_comment_that_was_not_made_for_the_plan_is_not_written(fake: FakeGitHub, github: GitHub) -> None:
    for text in ("no marker", render(OTHER, 9999), marker(PLAN, "report")):
        with pytest.raises(GitHubError, match="not the plan's marker"):
            keep_plan_comment(github, PULL, PLAN, render=lambda _, __, text=text: text)  # type: ignore[misc]
    assert fake.comments == []


def test_a_late_run_does_not_overwrite_the_plan_of_a_newer_commit(fake: FakeGitHub, github: GitHub) -> None:
    fake.pulls[PULL]["head"]["sha"] = MOVED
    with pytest.raises(StaleError, match="is at bbbbbbbbbbbb by now"):
        keep_plan_comment(github, PULL, PLAN, render=render, head=HEAD)
    assert fake.writes() == []


def test_the_comment_of_a_closed_pull_request_stays(fake: FakeGitHub, github: GitHub) -> None:
    fake.merge(PULL, MERGE)
    with pytest.raises(StaleError, match="is closed"):
        keep(github)


def test_a_head_that_is_no_commit_is_refused(github: GitHub) -> None:
    with pytest.raises(UsageError, match="'HEAD' is not a commit"):
        keep_plan_comment(github, PULL, PLAN, render=render, head="HEAD")


def test_a_comment_whose_answer_was_lost_is_not_made_twice(fake: FakeGitHub, github: GitHub) -> None:
    fake.faults.append(Fault(502, after=True, method="POST", path="/comments"))
    assert keep(github) == "unchanged"
    assert len(bodies(fake)) == 1


def test_a_comment_that_may_not_be_made_is_an_error(fake: FakeGitHub, github: GitHub) -> None:
    fake.faults.append(Fault(403, method="POST", path="/comments"))
    with pytest.raises(GitHubError, match="permissions"):
        keep(github)


def test_comments_that_were_made_twice_become_one_again(fake: FakeGitHub, github: GitHub) -> None:
    keep(github)
    fake.say(PULL, f"{marker(OTHER)}\ndouble", login=BOT)
    fake.faults.append(Fault(500, after=True, method="DELETE"))
    assert keep(github) == "unchanged"
    told = planned(github.run, HEAD)
    assert bodies(fake) == [with_second_line(render(PLAN, 9999), {"head": HEAD}, told)]


def test_why_a_plan_is_missing_is_quoted_to_the_letter(github: GitHub) -> None:
    told = unplanned(github.run, "failed", HEAD, "specs/tea.yaml: `namez` is\nno key of ``ours``, @everybody")
    assert ": ```specs/tea.yaml: `namez` is no key of ``ours``, @everybody```." in told


# --- the report ---------------------------------------------------------------------------------------------


def test_every_run_reports_in_a_comment_of_its_own(fake: FakeGitHub) -> None:
    report = f"{marker(PLAN, 'report')}\nDone."
    for attempt, action in (("1", "created"), ("1", "unchanged"), ("2", "created")):
        with GitHub(WorkflowRun.from_environment(environment(fake, GITHUB_RUN_ATTEMPT=attempt))) as github:
            assert keep_report_comment(github, PULL, report).action == action
    assert [second_line(body) for body in bodies(fake)] == [{"run": "4711.1"}, {"run": "4711.2"}]


@pytest.mark.parametrize("text", ["Done.", "", marker(PLAN)])
def test_what_is_no_report_is_not_posted_as_one(github: GitHub, text: str) -> None:
    with pytest.raises(UsageError, match="not a report"):
        keep_report_comment(github, PULL, text)


def test_a_report_that_github_would_refuse_is_not_sent(fake: FakeGitHub, github: GitHub) -> None:
    with pytest.raises(UsageError, match="GitHub takes 65,536"):
        keep_report_comment(github, PULL, f"{marker(PLAN, 'report')}\n{'x' * MOST_CHARACTERS}")
    assert fake.asked == []


# --- what was reviewed --------------------------------------------------------------------------------------


def reviewed(github: GitHub, *, now: datetime = START, commit: str = MERGE) -> str:
    return reviewed_digest(github, OWNER, pull_of_commit(github, commit), now=now).digest


def test_the_digest_is_that_of_the_comment_on_the_merged_pull_request(fake: FakeGitHub, github: GitHub) -> None:
    keep(github, OTHER)
    keep(github)
    fake.merge(PULL, MERGE)
    assert reviewed(github) == DIGEST


def test_a_rebase_is_known_by_its_last_commit(fake: FakeGitHub, github: GitHub) -> None:
    keep(github)
    fake.merge(PULL, MERGE, others=("d" * 40,))
    assert reviewed(github) == DIGEST
    with pytest.raises(StaleError, match="No pull request was merged as dddddddddddd"):
        reviewed(github, commit="d" * 40)


def test_a_squash_is_known_though_its_commit_is_on_no_branch_of_the_pull_request(
    fake: FakeGitHub, github: GitHub
) -> None:
    keep(github)
    fake.merge(PULL, "e" * 40)
    assert reviewed(github, commit="e" * 40) == DIGEST


def refused(github: GitHub, reason: str, **more: Any) -> None:
    with pytest.raises(StaleError, match=reason) as caught:
        reviewed(github, **more)
    assert caught.value.remedy


def test_a_commit_without_pull_request_was_not_reviewed(fake: FakeGitHub, github: GitHub) -> None:
    refused(github, "nobody reviewed it")
    fake.commits[MERGE] = [PULL]  # it belongs to one that is still open
    refused(github, "nobody reviewed it")


def test_a_commit_of_two_pull_requests_is_refused(fake: FakeGitHub, github: GitHub) -> None:
    keep(github)
    fake.open_pull(8, HEAD)
    fake.merge(PULL, MERGE)
    fake.merge(8, MERGE)
    refused(github, "several pull requests, #7, #8")


def test_a_merge_into_another_branch_does_not_count(fake: FakeGitHub) -> None:
    fake.open_pull(8, HEAD, base="staging")
    fake.merge(8, MERGE)
    with GitHub(WorkflowRun.from_environment(environment(fake, GITHUB_REF_NAME="main"))) as github:
        refused(github, "nobody reviewed it")


def test_a_pull_request_without_our_comment_was_not_reviewed(fake: FakeGitHub, github: GitHub) -> None:
    keep(github, replace(PLAN, mchid="1900000002"))
    fake.merge(PULL, MERGE)
    refused(github, r"github-actions\[bot\] wrote no plan of .* on 1900000001")


def test_a_strangers_forged_comment_does_not_count(fake: FakeGitHub, github: GitHub) -> None:
    for login in ("mallory", "github-actions", None):  # the last one is gone
        fake.say(PULL, f"{marker(PLAN)}\n<!-- paygift head={HEAD} -->", login=login)  # type: ignore[arg-type]
    fake.merge(PULL, MERGE)
    refused(github, "One by mallory looks like it, and does not count")


def test_a_forged_comment_beside_ours_changes_nothing(fake: FakeGitHub, github: GitHub) -> None:
    fake.say(PULL, f"{marker(OTHER)}\n<!-- paygift head={HEAD} -->")
    keep(github)
    fake.merge(PULL, MERGE)
    assert reviewed(github) == DIGEST


@pytest.mark.parametrize("editor", ["mallory", "github-actions", "dependabot[bot]", ""])
def test_our_comment_edited_by_somebody_else_is_refused(fake: FakeGitHub, github: GitHub, editor: str) -> None:
    keep(github)
    fake.edit(fake.comments[0], f"{marker(OTHER)}\n<!-- paygift head={HEAD} -->", editor)
    fake.merge(PULL, MERGE)
    refused(github, f"was edited by {editor.removesuffix('[bot]') or 'a deleted account'}")


def test_what_we_wrote_over_a_strangers_edit_counts_again(fake: FakeGitHub, github: GitHub) -> None:
    keep(github)
    fake.edit(fake.comments[0], f"{marker(OTHER)}\nforged", "mallory")
    assert keep(github) == "updated"
    fake.merge(PULL, MERGE)
    assert reviewed(github) == DIGEST


@pytest.mark.parametrize("times", [1, 2])
def test_a_text_that_somebody_edited_and_restored_is_written_anew_and_counts_again(
    fake: FakeGitHub, github: GitHub, times: int
) -> None:
    keep(github)
    for _ in range(times):
        ours = fake.comments[0]["body"]
        fake.edit(fake.comments[0], "forged", "mallory")
        fake.edit(fake.comments[0], ours, "mallory")
        assert keep(github) == "updated"
        assert keep(github) == "unchanged"
    fake.merge(PULL, MERGE)
    assert reviewed(github) == DIGEST


def test_a_text_that_was_restored_after_the_merge_stays_refused(fake: FakeGitHub, github: GitHub) -> None:
    """Who approved it may have read the forged one; another pull request is the way out, and the message says so."""
    keep(github)
    fake.merge(PULL, MERGE)
    ours = fake.comments[0]["body"]
    fake.edit(fake.comments[0], "forged", "mallory")
    fake.edit(fake.comments[0], ours, "mallory")
    refused(github, "was edited by mallory. Nothing was applied. Run the workflow `plan`")


def test_an_approval_of_before_an_edit_does_not_count_after_it(fake: FakeGitHub, github: GitHub) -> None:
    keep(github)
    fake.review(PULL)
    ours = fake.comments[0]["body"]
    fake.edit(fake.comments[0], "forged", "mallory")
    fake.edit(fake.comments[0], ours, "mallory")
    keep(github)
    fake.merge(PULL, MERGE)
    refused(github, "nobody has approved it since")


def test_a_comment_that_goes_between_two_pages_hides_no_other(
    fake: FakeGitHub, github: GitHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first of the second page moves to the first page, which was read already."""
    remarks = [fake.say(PULL, f"remark {number}") for number in range(100)]
    keep(github)
    fake.say(PULL, "the last")
    really, gone = fake._page, [remarks[3]]

    def page(request: Request, found: list[dict[str, Any]]) -> Response:
        answer = really(request, found)
        if gone and request.query_params.get("page", "1") == "1":
            fake.comments.remove(gone.pop())
        return answer

    monkeypatch.setattr(fake, "_page", page)
    assert keep(github) == "unchanged"
    assert len(bodies(fake)) == 1
    gone.append(remarks[5])
    fake.say(PULL, "another")
    fake.merge(PULL, MERGE)
    assert reviewed(github) == DIGEST


def test_a_list_that_never_stands_still_is_an_error(
    fake: FakeGitHub, github: GitHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(150):
        fake.say(PULL, f"remark {number}")
    really = fake._page

    def page(request: Request, found: list[dict[str, Any]]) -> Response:
        answer = really(request, found)
        fake.comments.pop(0)
        return answer

    monkeypatch.setattr(fake, "_page", page)
    with pytest.raises(GitHubError, match="changes while it is read"):
        keep(github)


def test_a_comment_that_was_deleted_before_it_could_be_changed_is_made_again(
    fake: FakeGitHub, github: GitHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(github)
    really = fake._marks

    def marks(comment: dict[str, Any]) -> dict[str, Any]:
        fake.comments.remove(comment)
        return really(comment)

    monkeypatch.setattr(fake, "_marks", marks)
    assert keep(github, OTHER) == "created"
    assert len(bodies(fake)) == 1


def test_an_author_who_is_another_to_graphql_is_refused(
    fake: FakeGitHub, github: GitHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(github)
    fake.merge(PULL, MERGE)
    monkeypatch.setattr(fake, "_marks", lambda _: {"author": {"__typename": "User", "login": "github-actions"}})
    refused(github, r"was not written by github-actions\[bot\]")
    monkeypatch.setattr(fake, "_marks", lambda _: None)
    refused(github, "has been deleted")


def test_a_person_with_a_token_of_their_own_may_be_the_author(fake: FakeGitHub, github: GitHub) -> None:
    fake.login = "alice"
    keep(github)
    fake.merge(PULL, MERGE)
    assert reviewed(github) == DIGEST


def test_two_comments_of_ours_are_refused(fake: FakeGitHub, github: GitHub) -> None:
    keep(github)
    fake.say(PULL, marker(OTHER), login=BOT)
    fake.merge(PULL, MERGE)
    refused(github, "wrote 2 plans")


def test_a_branch_that_moved_after_the_comment_is_refused(fake: FakeGitHub, github: GitHub) -> None:
    keep(github)
    fake.pulls[PULL]["head"]["sha"] = MOVED
    fake.merge(PULL, MERGE)
    refused(github, "was made for aaaaaaaaaaaa; merged was bbbbbbbbbbbb")


def test_a_comment_written_after_the_merge_is_refused(fake: FakeGitHub, github: GitHub) -> None:
    fake.merge(PULL, MERGE)
    fake.say(PULL, f"{marker(PLAN)}\n<!-- paygift head={HEAD} -->", login=BOT)
    refused(github, "was written after the merge")


def test_a_plan_is_refused_from_the_moment_it_expires(fake: FakeGitHub, github: GitHub) -> None:
    until = START + timedelta(hours=3)
    keep(github, brief := replace(PLAN, valid_until=until))
    fake.merge(PULL, MERGE)
    assert reviewed(github, now=until - timedelta(seconds=1)) == plan_digest(brief)
    refused(github, "was valid until 2026-11-25T05:00:00", now=until)


LINE_2 = f"<!-- paygift head={HEAD} -->"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (f"{marker(PLAN)[:-1]}\n{LINE_2}", "malformed"),
        (f"{marker(PLAN)} \n{LINE_2}", "malformed"),
        (f"<!-- paygift plan digest={DIGEST}{LINE_2}", "malformed"),
        (f"{marker(PLAN).replace(DIGEST, DIGEST[:63])}\n{LINE_2}", "no digest of 64 hex digits"),
        (f"{marker(PLAN).replace(DIGEST, DIGEST.upper())}\n{LINE_2}", "no digest of 64 hex digits"),
        (f"{marker(PLAN).replace(f'digest={DIGEST} ', '')}\n{LINE_2}", "no digest of 64 hex digits"),
        (f"{marker(PLAN).replace(f'format={FORMAT_VERSION}', 'format=9.0')}\n{LINE_2}", "has format 9.0"),
        (f"{marker(PLAN).replace(f' format={FORMAT_VERSION}', '')}\n{LINE_2}", "has format unknown"),
        (marker(PLAN), "made for no commit"),
        (f"{marker(PLAN)}\n\n{LINE_2}", "made for no commit"),
        (f"{marker(PLAN)}\n<!-- paygift head= -->", "made for no commit"),
    ],
)
def test_a_comment_of_ours_that_cannot_be_read_is_refused(
    fake: FakeGitHub, github: GitHub, body: str, reason: str
) -> None:
    fake.say(PULL, body, login=BOT)
    fake.merge(PULL, MERGE)
    refused(github, reason)


def test_a_comment_that_changed_while_it_was_read_is_judged_by_its_later_text(
    fake: FakeGitHub, github: GitHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(github)
    fake.merge(PULL, MERGE)
    marks = fake._marks(fake.comments[0])
    monkeypatch.setattr(fake, "_marks", lambda _: marks | {"body": "gone"})
    refused(github, "malformed")


def test_carriage_returns_do_not_hide_the_marker(fake: FakeGitHub, github: GitHub) -> None:
    fake.say(PULL, f"{marker(PLAN)}\r\n{LINE_2}\r\nText", login=BOT)
    fake.merge(PULL, MERGE)
    assert reviewed(github) == DIGEST


@pytest.mark.parametrize("moment", ["yesterday", "2026-11-25T02:00:00", None])
def test_a_time_that_is_none_is_refused(fake: FakeGitHub, github: GitHub, moment: Any) -> None:
    keep(github)
    fake.merge(PULL, MERGE)
    fake.comments[0]["created_at"] = moment
    with pytest.raises(GitHubError, match="where a time"):
        reviewed(github)


# --- the plan file that was kept ----------------------------------------------------------------------------


ARTEFACT = f"paygift-plan-{PLAN.namespace}-{PLAN.mchid}-{HEAD}"


def archive(content: str, name: str = "plan.json") -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as opened:
        opened.writestr("plan.html", "<html>")
        opened.writestr(name, content)
    return file.getvalue()


def found(fake: FakeGitHub, github: GitHub, *archives: bytes) -> Plan:
    if not fake.commits:
        fake.merge(PULL, MERGE)
    fake.artifacts = {number: (ARTEFACT, each) for number, each in enumerate(archives, start=1)}
    return kept_plan(github, OWNER, Reviewed(FILED_DIGEST, head=HEAD))


def test_the_kept_plan_is_the_one_with_the_reviewed_digest(fake: FakeGitHub, github: GitHub) -> None:
    good, other = archive(dumps(plan_json(FILED))), archive(dumps(plan_json(OTHER)))
    edited = archive(dumps({**plan_json(PLAN), "namespace": "other"}))
    broken = (b"no archive", archive("{}", name="other.json"), archive("no JSON"), edited, other, b"")
    assert plan_digest(found(fake, github, good, *broken)) == FILED_DIGEST
    with pytest.raises(StaleError, match=f"No artifact {ARTEFACT} holds the plan"):
        found(fake, github, *broken)


def test_a_kept_plan_of_another_commit_is_not_looked_at(fake: FakeGitHub, github: GitHub) -> None:
    for name in (ARTEFACT.replace(HEAD, MOVED), ARTEFACT.replace("liangpin", "other")):
        fake.artifacts = {1: (name, archive(dumps(plan_json(PLAN))))}
        with pytest.raises(StaleError, match="No artifact"):
            kept_plan(github, OWNER, Reviewed(DIGEST, head=HEAD))


def test_an_archive_that_is_too_big_is_not_read(
    fake: FakeGitHub, github: GitHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reconciler.review.github.artifact.MOST_BYTES", 2_000)
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("plan.json", " " * 100_000)
    with pytest.raises(StaleError, match="No artifact"):
        found(fake, github, bomb.getvalue())
    with pytest.raises(GitHubError, match="more than 2,000 bytes"):
        found(fake, github, b"x" * 2_001)


def test_where_a_file_is_kept_must_be_safe_and_is_not_told(fake: FakeGitHub, github: GitHub) -> None:
    fake.faults.append(Fault(302, {"Location": "http://example.com/?sig=secret"}))
    with pytest.raises(UsageError, match="plain http"):
        github.download("actions/artifacts/1/zip", at_most=9)
    fake.faults.append(Fault(302, {"Location": "http://127.0.0.1:1/?sig=secret"}))
    with pytest.raises(GitHubError, match="cannot be downloaded: the connection was refused") as caught:
        github.download("actions/artifacts/1/zip", at_most=9)
    assert "secret" not in str(caught.value)


def test_a_list_of_artifacts_that_is_none_is_an_error(fake: FakeGitHub, github: GitHub) -> None:
    fake.faults.append(Fault(200, body={"artifacts": "none"}))
    with pytest.raises(GitHubError, match="is not a list"):
        kept_plan(github, OWNER, Reviewed(DIGEST, head=HEAD))


# --- drift --------------------------------------------------------------------------------------------------


def drift(*texts: str, **more: Any) -> dict[str, Any]:
    return {
        "format_version": "1.0",
        "kind": "drift",
        "namespace": "liangpin",
        "mchid": "1900000001",
        "clean": not texts,
        "items": [
            {"key": "tea", "activity_id": "20406387", "code": "PAUSED", "text": text, "since": None} for text in texts
        ],
        **more,
    }


def keep_drift(github: GitHub, *texts: str, **more: Any) -> str:
    return keep_drift_issue(github, read_drift(drift(*texts, **more))).action


def test_drift_opens_an_issue_keeps_it_up_to_date_and_closes_it(fake: FakeGitHub, github: GitHub) -> None:
    assert keep_drift(github) == "none"
    assert fake.issues == {}
    assert keep_drift(github, "it was paused by hand") == "created"
    (issue,) = fake.issues.values()
    assert "tea 20406387 PAUSED: it was paused by hand" in issue["body"]
    assert "/actions/runs/4711" in issue["body"]
    assert keep_drift(github, "it was paused by hand") == "unchanged"
    assert keep_drift(github, "it was paused by hand", "and more") == "updated"
    assert issue["title"] == "Drift: liangpin on 1900000001: 2 differences"
    assert keep_drift(github) == "closed"
    assert issue["state"] == "closed"
    assert "Live equals the specs again" in fake.comments[-1]["body"]
    assert keep_drift(github) == "none"
    assert keep_drift(github, "again") == "created"


def pending(*texts: str) -> list[dict[str, Any]]:
    return [{"key": "nuts", "code": "NOT_CREATED", "text": text, "pending": True} for text in texts]


def test_what_is_only_pending_opens_no_issue_and_closes_one(fake: FakeGitHub, github: GitHub) -> None:
    alone = drift(clean=False, items=pending("not created"))
    assert keep_drift_issue(github, read_drift(alone)).action == "none"
    assert keep_drift(github, "paused") == "created"
    assert keep_drift_issue(github, read_drift(alone)).action == "closed"
    assert "the remaining differences are not applied yet" in fake.comments[-1]["body"]


def test_what_is_pending_is_mentioned_below_the_drift(fake: FakeGitHub, github: GitHub) -> None:
    found = drift("paused")
    found["items"] = [*pending("not created", "nor this"), *found["items"]]
    assert keep_drift_issue(github, read_drift(found)).action == "created"
    (issue,) = fake.issues.values()
    assert issue["title"] == "Drift: liangpin on 1900000001: 1 difference"
    assert issue["body"].splitlines()[3:9] == [
        "    tea 20406387 PAUSED: paused",
        "",
        "Pending, and no drift: 2 of the specs' own edits are not applied yet.",
        "",
        "    nuts NOT_CREATED: not created",
        "    nuts NOT_CREATED: nor this",
    ]


@pytest.mark.parametrize(("outside", "waiting"), [(1, 3_000), (3_000, 1), (3_000, 3_000), (700, 700)])
def test_drift_has_the_room_before_what_is_pending(
    fake: FakeGitHub, github: GitHub, outside: int, waiting: int
) -> None:
    found = drift(*(f"difference {number} of 一些" for number in range(outside)))
    found["items"] += pending(*(f"edit {number}" for number in range(waiting)))
    assert keep_drift_issue(github, read_drift(found)).action == "created"
    (issue,) = fake.issues.values()
    assert len(issue["body"]) <= MOST_CHARACTERS
    assert f"Pending, and no drift: {waiting} " in issue["body"]
    assert ("edit 0" in issue["body"]) == (f"difference {outside - 1} " in issue["body"])


def test_each_account_has_an_issue_of_its_own(fake: FakeGitHub, github: GitHub) -> None:
    keep_drift(github, "paused")
    assert keep_drift(github, "paused", mchid="1900000002") == "created"
    assert keep_drift(github, namespace="other") == "none"
    assert [each["state"] for each in fake.issues.values()] == ["open", "open"]


def test_issues_of_others_and_pull_requests_are_never_touched(fake: FakeGitHub, github: GitHub) -> None:
    body = issue_body(read_drift(drift("paused")), run_url="")
    fake.open_issue("forged", body, login="mallory")
    fake.open_issue("a pull request", body)["pull_request"] = {}
    fake.open_issue("ours, and another matter", "text")
    fake.open_issue("by somebody who is gone", body)["user"] = None
    assert keep_drift(github) == "none"
    assert keep_drift(github, "paused") == "created"
    assert {each["state"] for each in fake.issues.values()} == {"open"}


def test_an_edit_to_the_issue_is_written_over(fake: FakeGitHub, github: GitHub) -> None:
    keep_drift(github, "paused")
    (issue,) = fake.issues.values()
    issue["body"] += "Nothing to see here."
    assert keep_drift(github, "paused") == "updated"
    assert "Nothing to see" not in issue["body"]


def test_issues_that_were_opened_twice_become_one_again(fake: FakeGitHub, github: GitHub) -> None:
    keep_drift(github, "paused")
    (first,) = fake.issues.values()
    second = fake.open_issue("double", first["body"])
    assert keep_drift(github, "paused") == "unchanged"
    assert (first["state"], second["state"]) == ("open", "closed")


def test_an_issue_behind_many_others_is_found(fake: FakeGitHub, github: GitHub) -> None:
    for number in range(120):
        fake.open_issue(f"issue {number}", "text", login="alice")
    keep_drift(github, "paused")
    assert keep_drift(github, "other") == "updated"


def test_an_issue_never_has_more_characters_than_github_takes(fake: FakeGitHub, github: GitHub) -> None:
    keep_drift(github, *(f"difference {number} of 一些" for number in range(2_000)))
    (issue,) = fake.issues.values()
    assert len(issue["body"]) <= MOST_CHARACTERS
    assert "of 2000 differences; the run shows them all" in issue["body"]


def test_an_issue_says_since_when_if_that_is_known() -> None:
    found = drift("paused")
    found["items"][0]["since"] = "2026-11-24T02:00:00Z"
    assert "PAUSED: paused (since 2026-11-24T02:00:00Z)\n" in issue_body(read_drift(found), run_url="")


def test_text_of_the_remote_does_nothing_in_an_issue() -> None:
    body = issue_body(read_drift(drift("```\n@everyone <!-- paygift plan --> \u202e")), run_url="")
    assert body.splitlines()[3:] == ["    tea 20406387 PAUSED: ```\\n@everyone <!-- paygift plan --> \\u202e"]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ([], "not what `paygift drift --json` prints"),
        ({**drift(), "kind": "plan"}, "not what"),
        ({**drift(), "namespace": "a -->"}, "not what"),
        ({**drift(), "format_version": "2.0"}, "has format 2.0"),
        ({**drift("x"), "clean": True}, "contradicts itself"),
        ({**drift(), "clean": False}, "contradicts itself"),
    ],
)
def test_what_is_no_drift_changes_no_issue(data: Any, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        read_drift(data)


# --- annotations --------------------------------------------------------------------------------------------


def problems(*found: dict[str, Any], version: str = "1.0") -> dict[str, Any]:
    return {"format_version": version, "kind": "problems", "specs": 0, "problems": list(found)}


def test_a_problem_is_shown_at_its_line() -> None:
    problem = {"file": "specs/tea.yaml", "line": 14, "column": 3, "path": "key", "message": "too long"}
    assert list(annotate(problems(problem), folder="campaigns")) == [
        "::error file=campaigns/specs/tea.yaml,line=14,col=3::key: too long"
    ]


def test_nothing_in_a_problem_can_become_a_command() -> None:
    problem = {"file": "a,line=1::b%\n.yaml", "message": "50 %\r\n::set-env name=X::y"}
    assert list(annotate(problems(problem))) == [
        "::error file=a%2Cline=1%3A%3Ab%25%0A.yaml::50 %25%0D%0A::set-env name=X::y"
    ]


@pytest.mark.parametrize("data", [None, {"problems": []}, problems({"line": 1}), problems(version="2.0")])
def test_what_is_no_list_of_problems_is_refused(data: Any) -> None:
    with pytest.raises(UsageError):
        annotate(data)


# --- the wire -----------------------------------------------------------------------------------------------

SORRY = (
    "Something went wrong while executing your query on 2026-11-25T02:00:00Z. This may be the result of a timeout, or "
    "it could be a GitHub bug. Please include `C1A2:0` when reporting this issue."
)
SECONDARY = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."
IN_GRAPHQL = [
    {
        "data": None,
        "errors": [{"type": "RATE_LIMIT", "code": "graphql_rate_limit", "message": "API rate limit"}],
    },
    {"errors": [{"type": "RATE_LIMITED", "message": "API rate limit exceeded"}]},
    {"data": None, "errors": [{"message": SECONDARY}]},
    {"errors": [{"message": "You have triggered an abuse detection mechanism."}]},
    {"data": None, "errors": [{"message": SORRY}]},
    {"data": {"viewer": None}, "errors": [{"message": SORRY, "path": ["viewer"]}]},
    {"data": {"viewer": None}, "errors": [{"type": "SERVICE_UNAVAILABLE", "message": "no"}]},
    {"data": {"viewer": None}, "errors": [{"type": "INTERNAL", "message": "no"}]},
]

LIMITS = [
    Fault(403, {"Retry-After": "1"}),
    Fault(429),
    Fault(403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1"}),
    Fault(403, body={"message": "You have exceeded a secondary rate limit."}),
]


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("method", ["GET", "POST", "PATCH"])
def test_a_rate_limit_is_waited_for(fake: FakeGitHub, github: GitHub, limit: Fault, method: str) -> None:
    keep(github)
    fake.faults.extend([replace(limit, method=method)] * (TRIES - 1))
    assert keep(github, OTHER) == "updated"


@pytest.mark.parametrize("answer", IN_GRAPHQL)
def test_a_question_that_github_cannot_answer_now_is_asked_again(
    fake: FakeGitHub, github: GitHub, answer: dict[str, Any]
) -> None:
    fake.faults.extend([Fault(200, body=answer, path="/graphql")] * (TRIES - 1))
    assert keep(github) == "created"


@pytest.mark.parametrize("answer", IN_GRAPHQL)
def test_a_question_that_github_never_answers_is_an_error_in_the_end(
    fake: FakeGitHub, github: GitHub, answer: dict[str, Any]
) -> None:
    fake.faults.extend([Fault(200, body=answer, path="/graphql")] * TRIES)
    with pytest.raises(GitHubError, match=r"HTTP 200: .*(limit|wrong|abuse|no)"):
        keep(github)
    assert len(fake.asked) == 1 + TRIES


@pytest.mark.parametrize(
    "errors",
    [
        [{"type": "FORBIDDEN", "message": "Resource not accessible by integration", "path": ["nodes", 0]}],
        [{"type": "NOT_FOUND", "message": "x"}, {"type": "FORBIDDEN", "message": "y"}],
        [{"message": "Field 'x' doesn't exist"}],
    ],
)
def test_what_may_not_be_seen_is_not_taken_for_deleted(
    fake: FakeGitHub, github: GitHub, errors: list[dict[str, Any]]
) -> None:
    keep(github)
    fake.merge(PULL, MERGE)
    data = {"viewer": {"login": BOT}, "nodes": [None]}
    fake.faults.append(Fault(200, path="/graphql", body={"data": data}))  # who we are
    fake.faults.append(Fault(200, path="/graphql", body={"data": data, "errors": errors}))
    with pytest.raises(GitHubError, match=r"in part only: .*(FORBIDDEN|Field).*permissions"):
        reviewed(github)


def test_a_comment_that_was_deleted_meanwhile_is_deleted(
    fake: FakeGitHub, github: GitHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(github)
    fake.merge(PULL, MERGE)
    monkeypatch.setattr(fake, "_find", lambda _: None)
    refused(github, "has been deleted")


def test_a_text_about_rate_limits_is_no_rate_limit(fake: FakeGitHub, github: GitHub) -> None:
    fake.say(PULL, '"errors": the rate limit was exceeded. Something went wrong.')
    assert keep(github) == "created"
    assert len(fake.asked) == len(set(fake.asked)) == 4, "nothing is asked twice"


def test_creating_is_tried_again_after_a_rate_limit(fake: FakeGitHub, github: GitHub) -> None:
    fake.faults.extend([Fault(200, body={"errors": [{"type": "RATE_LIMITED"}]}, method="POST")])
    fake.faults.append(Fault(429, method="POST", path="/comments"))
    assert keep(github) == "created"
    assert len(bodies(fake)) == 1


def test_a_rate_limit_that_lasts_too_long_ends_the_command(fake: FakeGitHub, github: GitHub) -> None:
    fake.faults.append(Fault(429, {"Retry-After": "3600"}))
    with pytest.raises(GitHubError, match="used up for 3600 s more") as caught:
        keep(github)
    assert caught.value.status == 429
    assert len(fake.asked) == 1


@pytest.mark.parametrize(
    ("status", "headers", "text", "seconds"),
    [
        (200, {}, "{}", None),
        (500, {"Retry-After": "3"}, "{}", None),
        (403, {}, "{}", None),
        (403, {"X-RateLimit-Remaining": "12"}, "{}", None),
        (429, {}, "{}", 60),
        (429, {"Retry-After": "7"}, "{}", 7),
        (429, {"Retry-After": format_datetime(START + timedelta(seconds=9))}, "{}", 9),
        (429, {"Retry-After": "soon"}, "{}", 60),
        (403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": f"{START.timestamp() + 20:.0f}"}, "", 21),
        (403, {"X-RateLimit-Remaining": "0"}, "", 60),
        (200, {}, '{"errors": [{"type": "RATE_LIMITED"}]}', 60),
        (200, {}, '{"errors": [{"type": "RATE_LIMIT"}]}', 60),
        (200, {"Retry-After": "30"}, '{"errors": [{"message": "a secondary rate limit"}]}', 30),
        (
            200,
            {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": f"{START.timestamp() + 20:.0f}"},
            '{"data": null, "errors": [{"type": "RATE_LIMIT"}]}',
            21,
        ),
        (200, {"X-RateLimit-Remaining": "0"}, '{"data": {}}', None),
        (200, {}, '{"errors": [{"message": "Something went wrong"}]}', None),
        (200, {}, '{"errors": "rate limit"}', None),
        (200, {}, '{"data": "\\"RATE_LIMITED\\""}', None),
        (200, {}, '["RATE_LIMITED"]', None),
    ],
)
def test_how_long_github_wants_to_be_left_alone(
    status: int, headers: dict[str, str], text: str, seconds: float | None
) -> None:
    assert pause_asked(httpx.Response(status, headers=headers, text=text), START.timestamp()) == seconds


def test_a_server_error_is_tried_again(fake: FakeGitHub, github: GitHub) -> None:
    fake.faults.extend([Fault(502, body="<html>", method="GET")] * (TRIES - 1))
    assert keep(github) == "created"


def test_a_server_that_stays_broken_is_an_error(fake: FakeGitHub, github: GitHub) -> None:
    fake.faults.extend([Fault(503, body="<html>")] * TRIES)
    with pytest.raises(GitHubError, match="HTTP 503: Service Unavailable"):
        keep(github)
    assert len(fake.asked) == TRIES


@pytest.mark.parametrize(("error", "tries"), [(httpx.ConnectError("no"), TRIES), (httpx.ReadTimeout(""), 1)])
def test_creating_is_repeated_only_if_it_never_left(error: Exception, tries: int) -> None:
    asked = []

    def refuse(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        raise error

    run = WorkflowRun(REPOSITORY, TOKEN)
    with GitHub(run, transport=httpx.MockTransport(refuse)) as github, pytest.raises(GitHubError) as caught:
        github.create("issues", {})
    assert len(asked) == tries
    assert caught.value.unsure == (tries == 1)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault(401), "GITHUB_TOKEN is not valid"),
        (Fault(403), "permissions that docs/github.md lists"),
        (Fault(404), "check the number"),
        (Fault(301, {"Location": "https://example.com"}), "has moved"),
        (Fault(302, body="x"), "is not JSON"),
        (Fault(200, body="<html>"), "is not JSON"),
        (Fault(200, body="[]"), "is not an object"),
    ],
)
def test_an_answer_that_does_not_help_is_told_with_its_remedy(
    fake: FakeGitHub, github: GitHub, fault: Fault, reason: str
) -> None:
    fake.faults.append(fault)
    with pytest.raises(GitHubError, match=reason):
        github.get("pulls/7")


@pytest.mark.parametrize("body", ["{}", "[1]"])
def test_a_list_that_is_none_is_an_error(fake: FakeGitHub, github: GitHub, body: str) -> None:
    fake.faults.append(Fault(200, body=body))
    with pytest.raises(GitHubError, match="not a list of objects"):
        list(github.items("issues"))


@pytest.mark.parametrize("body", [{"data": None}, {"data": {"viewer": None}}, {"data": {"viewer": {"login": ""}}}])
def test_a_token_whose_owner_is_unknown_is_an_error(fake: FakeGitHub, github: GitHub, body: Any) -> None:
    fake.faults.append(Fault(200, body=body, method="POST"))
    with pytest.raises(GitHubError, match=r"without data|whose token"):
        keep(github)


def test_the_token_is_never_sent_to_another_host(fake: FakeGitHub, github: GitHub) -> None:
    fake.faults.append(Fault(200, {"Link": '<https://example.com/2>; rel="next"'}, body="[]"))
    with pytest.raises(GitHubError, match="another host"):
        list(github.items("issues"))


def test_a_list_without_end_is_an_error(fake: FakeGitHub, github: GitHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "MOST_PAGES", 1)
    for number in range(101):
        fake.say(PULL, f"remark {number}")
    with pytest.raises(GitHubError, match="more than 1 pages"):
        keep(github)


def test_deleting_fails_where_it_is_not_allowed(fake: FakeGitHub, github: GitHub) -> None:
    fake.faults.append(Fault(403))
    with pytest.raises(GitHubError, match="HTTP 403"):
        github.delete("issues/comments/1")


# --- the environment ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"GITHUB_TOKEN": ""}, "Not set: GITHUB_TOKEN"),
        ({"GITHUB_TOKEN": "", "GITHUB_REPOSITORY": ""}, "Not set: GITHUB_TOKEN, GITHUB_REPOSITORY"),
        ({"GITHUB_REPOSITORY": "../../user"}, "expected OWNER/NAME"),
        ({"GITHUB_API_URL": "http://example.com"}, "GITHUB_API_URL is plain http"),
        ({"GITHUB_API_URL": "http://10.0.0.1"}, "GITHUB_API_URL is plain http"),
        ({"GITHUB_EVENT_PATH": "/nowhere"}, "GITHUB_EVENT_PATH names a file that cannot be read"),
    ],
)
def test_an_environment_that_cannot_be_meant_is_refused(fake: FakeGitHub, changes: dict[str, str], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        WorkflowRun.from_environment(environment(fake, **changes))


@pytest.mark.parametrize(
    ("api", "graphql"),
    [
        ("", "https://api.github.com/graphql"),
        ("https://github.example.com/api/v3", "https://github.example.com/api/graphql"),
        ("http://localhost:8080/", "http://localhost:8080/graphql"),
    ],
)
def test_questions_go_where_the_server_takes_them(fake: FakeGitHub, api: str, graphql: str) -> None:
    assert WorkflowRun.from_environment(environment(fake, GITHUB_API_URL=api)).graphql_url == graphql


@pytest.mark.parametrize("event", ["[]", "{}", '{"pull_request": 1}', '{"pull_request": {"number": "7", "head": 1}}'])
def test_an_event_without_pull_request_names_none(fake: FakeGitHub, tmp_path: Path, event: str) -> None:
    (tmp_path / "event.json").write_text(event)
    run = WorkflowRun.from_environment(environment(fake, GITHUB_EVENT_PATH=str(tmp_path / "event.json")))
    assert (run.pull, run.head) == (None, "")


def test_the_token_is_told_nowhere(fake: FakeGitHub, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    run = WorkflowRun.from_environment(environment(fake))
    with GitHub(run) as github:
        keep(github)
        fake.faults.append(Fault(400, body={"message": f"bad {TOKEN}"}))
        with pytest.raises(GitHubError, match=r"bad \[secure\]") as caught:
            keep(github)
    assert TOKEN not in repr(run) + repr(caught.value) + caplog.text


def test_a_marker_is_read_back_as_it_was_written() -> None:
    found = read_marker(marker(PLAN))
    assert found is not None
    assert (found.kind, found.owner, found.digest, found.format) == ("plan", OWNER, DIGEST, "1.0")


def test_the_first_lines_that_plans_and_reports_are_rendered_with_are_read() -> None:
    for kind in ("plan", "report"):
        line = str(rendered.Marker(kind, DIGEST, OWNER.namespace, OWNER.mchid))
        found = read_marker(f"{line}\nText")
        assert found is not None
        assert (found.kind, found.owner, found.digest, found.format) == (kind, OWNER, DIGEST, "1.0")


# --- the commands -------------------------------------------------------------------------------------------


@dataclass
class Shell:
    """`paygift github …` in a step of a workflow."""

    fake: FakeGitHub
    folder: Path
    capfd: pytest.CaptureFixture[str]
    monkeypatch: pytest.MonkeyPatch
    environ: dict[str, str] = field(default_factory=dict)

    def run(self, *arguments: str) -> tuple[int, str, str]:
        for name, value in environment(self.fake, **self.environ).items():
            self.monkeypatch.setenv(name, value)
        code = run(["-C", str(self.folder), "github", *arguments])
        out, err = self.capfd.readouterr()
        assert TOKEN not in out + err
        return code, out, err

    def write(self, name: str, content: Any) -> str:
        file = self.folder / name
        file.write_text(content if isinstance(content, str) else dumps(content), encoding="utf-8")
        return str(file)


@pytest.fixture
def shell(
    fake: FakeGitHub, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Shell:
    (tmp_path / "paygift.yaml").write_text(f"namespace: {PLAN.namespace}\n")
    (tmp_path / "activities").mkdir()
    for name in ("GITHUB_SHA", "GITHUB_REF_NAME", "GITHUB_EVENT_PATH", "GITHUB_GRAPHQL_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PAYGIFT_MCHID", PLAN.mchid)
    monkeypatch.setenv("GITHUB_WORKSPACE", str(tmp_path.parent))
    return Shell(fake, tmp_path, capfd, monkeypatch)


def test_from_pull_request_to_merge_what_was_commented_is_what_is_applied(shell: Shell) -> None:
    event = {"pull_request": {"number": PULL, "head": {"sha": HEAD}}}
    shell.environ = {"GITHUB_EVENT_PATH": shell.write("event.json", event)}
    plan_file = shell.write("plan.json", plan_json(FILED))
    code, out, err = shell.run("comment", "--plan", plan_file)
    assert (code, out) == (0, "")
    assert err.startswith("Comment created: https://github.com/liangpin/campaigns/pull/7#issuecomment-")

    shell.fake.merge(PULL, MERGE)
    kept = archive(Path(plan_file).read_text(encoding="utf-8"))
    shell.fake.artifacts[1] = (ARTEFACT, kept)
    shell.environ = {"GITHUB_SHA": MERGE, "GITHUB_REF_NAME": "main"}
    assert shell.run("reviewed-digest")[:2] == (0, f"{FILED_DIGEST}\n")
    assert shell.run("reviewed-plan", "--out", str(shell.folder / "again.json"))[:2] == (
        0,
        "found=true\n",
    )
    assert json.loads((shell.folder / "again.json").read_text(encoding="utf-8"))["digest"] == FILED_DIGEST

    report = shell.write("report.md", f"{marker(PLAN, 'report')}\nDone.")
    assert shell.run("comment", "--report", report)[0] == 0
    assert bodies(shell.fake)[-1].endswith("Done.")


def test_what_was_not_reviewed_exits_6_and_prints_nothing(shell: Shell) -> None:
    code, out, err = shell.run("reviewed-digest", "--commit", MERGE)
    assert (code, out) == (6, "")
    assert "No pull request was merged as cccccccccccc" in err
    assert shell.run("reviewed-plan", "--commit", MERGE, "--out", str(shell.folder / "x"))[0] == 6
    assert not (shell.folder / "x").exists()


def test_a_plan_for_the_sandbox_expires_by_the_clock_of_the_sandbox(shell: Shell, github: GitHub) -> None:
    keys().write(shell.folder / SANDBOX_FOLDER / "keys")
    sandboxed = replace(PLAN, mchid=keys().mchid, valid_until=datetime(2090, 1, 1, tzinfo=UTC))
    keep_plan_comment(github, PULL, sandboxed, render=render)
    shell.fake.merge(PULL, MERGE)
    command = ("reviewed-digest", "--commit", MERGE, "--sandbox")
    assert shell.run(*command)[:2] == (0, f"{plan_digest(sandboxed)}\n")
    assert run(["-C", str(shell.folder), "sandbox", "clock", "2090-01-01T08:00:00+08:00"]) == 0
    shell.capfd.readouterr()
    code, out, err = shell.run(*command)
    assert (code, out) == (6, "")
    assert "was valid until 2090-01-01T00:00:00Z" in err


def test_without_a_report_there_is_nothing_to_say(shell: Shell) -> None:
    missing = str(shell.folder / "report.md")
    code, out, err = shell.run("comment", "--report", missing, "--if-exists")
    assert (code, out, err) == (0, "", f"There is no {missing}: no report was made.\n")
    assert shell.fake.asked == []
    report = shell.write("report.md", f"{marker(PLAN, 'report')}\nDone.")
    assert shell.run("comment", "--report", report, "--if-exists", "--pr", str(PULL))[0] == 0
    assert len(bodies(shell.fake)) == 1


def test_where_validate_said_nothing_there_is_nothing_to_annotate(shell: Shell) -> None:
    code, out, err = shell.run("annotate", "--problems", shell.write("problems.json", ""))
    assert (code, out) == (0, "")
    assert "validate found no mistake" in err


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["comment"], "Give one of --plan, --report, --failed and --outdated"),
        (["comment", "--plan", "PLAN"], "Give --pr"),
        (["comment", "--plan", "/nowhere"], "cannot be read"),
        (["comment", "--report", "/nowhere"], "cannot be read"),
        (["reviewed-digest"], "is not a commit"),
        (["reviewed-digest", "--mchid", ""], "Set PAYGIFT_MCHID"),
        (["drift-issue", "--drift", "TEXT"], "is not JSON"),
    ],
)
def test_a_command_that_cannot_be_meant_says_so(shell: Shell, arguments: list[str], reason: str) -> None:
    files = {"PLAN": shell.write("plan.json", plan_json(FILED)), "TEXT": shell.write("text", "x")}
    code, out, err = shell.run(*(files.get(each, each) for each in arguments))
    assert (code, out) == (1, "")
    assert reason in err


def test_the_drift_command_tells_what_it_did(shell: Shell) -> None:
    clean, found = shell.write("clean.json", drift()), shell.write("drift.json", drift("paused"))
    assert shell.run("drift-issue", "--drift", clean) == (0, "", "No drift, and no issue.\n")
    assert shell.run("drift-issue", "--drift", found)[2].startswith("Issue created: https://github.com/")
    assert shell.run("drift-issue", "--drift", clean)[2].startswith("Issue closed: https://github.com/")


def test_annotations_name_files_from_the_root_of_the_repository(shell: Shell) -> None:
    found = shell.write("problems.json", problems({"file": "specs/tea.yaml", "line": 1, "column": 2, "message": "no"}))
    line = "::error file={}specs/tea.yaml,line=1,col=2::no\n"
    assert shell.run("annotate", "--problems", found) == (0, line.format(f"{shell.folder.name}/"), "")
    shell.monkeypatch.setenv("GITHUB_WORKSPACE", "/elsewhere")
    assert shell.run("annotate", "--problems", found)[1] == line.format("")
