"""From pull request to report: what the workflows do, step by step, with our sandbox as WeChat Pay and a small GitHub.

The steps are those of ``.github/workflows/``; each is the real command line, and all sockets are loopback. Bad stories
end as docs/github.md says, and the sandbox's history tells whether anything was written.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from reconciler.apply import PollPolicy
from reconciler.cli import run
from reconciler.commands.workspace import SANDBOX_FOLDER
from reconciler.review.github.marker import read_marker
from reconciler.sandbox.server import Sandbox
from tests.support.fake_github import BOT, MOST_CHARACTERS, REPOSITORY, TOKEN, FakeGitHub, served
from tests.support.images import png
from tests.support.project import SPEC
from tests.support.signed import keys

PULL, OTHER_PULL = 7, 8
HEAD, NEWER_HEAD, OTHER_HEAD = "a" * 40, "b" * 40, "c" * 40
MERGE, OTHER_MERGE = "d" * 40, "e" * 40
OPENED = "2026-11-25T10:00:00+08:00"
BEGUN = "2026-12-02T10:00:00+08:00"
SPRING = ("spring", SPEC)
SUMMER = ("summer", SPEC.replace("春日回馈", "夏日回馈"))
TWO_MERCHANTS = ("spring", SPEC.replace('["1900000001"]', '["1900000001", "1900000002"]'))


@dataclass(frozen=True, slots=True)
class Done:
    """What became of a command."""

    code: int
    out: str
    err: str


@dataclass
class Story:
    """A repository of campaigns: its checkout, its account (the sandbox), and its GitHub."""

    folder: Path
    github: FakeGitHub
    capfd: pytest.CaptureFixture[str]
    attempt: int = 1
    event: str = "pull_request"
    """What sets off the next run of plan.yml."""
    before: str = ""
    """What `main` was at before the last merge."""
    waivers: Done = field(default_factory=lambda: Done(0, "", ""))
    """What the pull request waives, as the last plan was told."""

    # --- what happens outside of workflows ---

    def clock(self, text: str) -> None:
        """It is ``text`` at WeChat Pay and at GitHub. Our processes go by the clock of WeChat Pay, not by their own."""
        self.github.now = datetime.fromisoformat(text).astimezone(UTC)
        assert self.paygift("sandbox", "clock", text).code == 0

    def checkout(self, *specs: tuple[str, str]) -> None:
        """What a workflow checks out has these specs and no others."""
        for file in (self.root / "activities").iterdir():
            file.unlink()
        for key, text in specs:
            (self.root / f"activities/{key}.yaml").write_text(text, encoding="utf-8")

    def by_hand(self, *specs: tuple[str, str]) -> None:
        """Somebody with the credentials applies what nobody has reviewed."""
        self.checkout(*specs)
        assert self.paygift("--sandbox", "apply", "--yes").code == 0

    def push(self, number: int = PULL, head: str = HEAD, **more: Any) -> None:
        """Somebody opens a pull request, or pushes to its branch."""
        self.github.open_pull(number, head, **more)

    def files(self) -> dict[str, str]:
        """What is checked out, as a tree of git has it."""
        return {
            file.relative_to(self.root).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()[:40]
            for file in self.root.rglob("*")
            if file.is_file() and ".paygift" not in file.parts
        }

    # --- what the workflows do ---

    def validate(self, number: int = PULL) -> list[str]:
        """The job `validate` of plan.yml; what it shows at lines of the pull request."""
        checked = self.paygift("--sandbox", "validate", "--json")
        if checked.code == 0:
            return []
        assert checked.code == 3
        problems = self.kept("problems.json", checked.out)
        return self.step("github", "annotate", "--problems", problems).out.splitlines()

    def outdated(self, number: int = PULL) -> Done:
        """The job `outdated` of plan.yml."""
        return self.step("--sandbox", "github", "comment", "--outdated", **self._event(number))

    def invalid(self, number: int = PULL) -> Done:
        """The job `invalid` of plan.yml."""
        command = ("--sandbox", "github", "comment", "--failed", "--reason", "The files have mistakes.")
        return self.step(*command, **self._event(number))

    def plan(self, number: int = PULL, *, refused: bool = False) -> Done:
        """The job `plan` of plan.yml; what its step for the comment came to. ``refused`` if it is to end red."""
        if self.event == "pull_request":
            assert self.validate(number) == []
        made = self.planned(number)
        assert made.code == 0, made.err
        for form in ("html", "markdown"):
            assert self.paygift("show-plan", self.file("plan.json"), "--format", form).code == 0
        about = self._event(number)
        named = self.step("github", "artifact-name", "--plan", self.file("plan.json"), **about)
        self._upload(named.out.strip().removeprefix("name="), Path(self.file("plan.json")))
        page = ("--page", f"https://github.com/{REPOSITORY}/actions/runs/4711/artifacts/1")
        told = self.step("github", "comment", "--plan", self.file("plan.json"), *page, **about)
        last = self.paygift("show-plan", self.file("plan.json"), "--fail-on-refusals")
        assert last.code == (5 if refused else 0), last.err
        return told

    def planned(self, number: int = PULL) -> Done:
        """Its steps up to the plan."""
        about = self._event(number)
        waivers = self.file("waivers.txt")
        self.waivers = self.step("github", "waivers", "--out", waivers, **about)
        assert self.waivers.code == 0, self.waivers.err
        arguments = ("plan", "--allow-file", waivers, "--out", self.file("plan.json"))
        return self.paygift("--no-color", "--sandbox", *arguments)

    def failed(self, number: int = PULL) -> Done:
        """Its step after a plan that could not be made."""
        made = self.planned(number)
        assert made.code not in (0, 5)
        reason = ("--reason-file", self.kept("errors.txt", made.err))
        return self.step("--sandbox", "github", "comment", "--failed", *reason, **self._event(number))

    def merge(self, number: int = PULL, commit: str = MERGE) -> None:
        """Squashed: a commit that was on no branch. What is checked out is what `main` says from then on."""
        self.before = self.github.tip
        self.github.merge(number, commit)
        self.github.trees[commit] = self.files()

    def reviewed(self, commit: str = MERGE) -> Done:
        """The first step of apply.yml."""
        Path(self.file("plan.json")).unlink(missing_ok=True)
        files = ("--out", self.file("plan.json"), "--report", self.file("report.md"))
        command = ("--sandbox", "github", "reviewed-plan", *files)
        return self.step(*command, **self._pushed(commit))

    def digest(self, commit: str = MERGE) -> Done:
        """What it does instead for `apply --expect`."""
        return self.step("--sandbox", "github", "reviewed-digest", **self._pushed(commit))

    def apply(self) -> Done:
        """The step of apply.yml that writes."""
        arguments = ("apply", self.file("plan.json"), "--yes", "--report", self.file("report.md"))
        return self.paygift("--no-color", "--sandbox", *arguments)

    def report(self, commit: str = MERGE) -> Done:
        """The last step of apply.yml."""
        command = ("github", "comment", "--report", self.file("report.md"), "--if-exists")
        return self.step(*command, **self._pushed(commit))

    def drift(self) -> tuple[int, Done]:
        """drift.yml: the exit code of `drift`, and what it told GitHub."""
        found = self.paygift("--sandbox", "drift", "--json")
        drift = self.kept("drift.json", found.out)
        return found.code, self.step("github", "drift-issue", "--drift", drift)

    # --- what came of it ---

    def sandbox(self) -> Sandbox:
        return Sandbox(self.root / SANDBOX_FOLDER)

    def effects(self) -> list[str]:
        """Everything that was ever changed on the account."""
        with self.sandbox() as sandbox:
            return [each["effect"] for each in sandbox.history()]

    def bodies(self, kind: str, number: int = PULL) -> list[str]:
        """The workflow's comments of a kind on a pull request."""
        return [
            each["body"]
            for each in self.github.comments
            if each["login"] == BOT and each["issue"] == number and each["body"].startswith(f"<!-- paygift {kind} ")
        ]

    # --- how ---

    @property
    def root(self) -> Path:
        return self.folder / "campaigns"

    def file(self, name: str) -> str:
        """A file of the runner, outside of the checkout."""
        return str(self.folder / "runner" / name)

    def kept(self, name: str, text: str) -> str:
        Path(self.file(name)).write_text(text, encoding="utf-8")
        return self.file(name)

    def paygift(self, *arguments: str) -> Done:
        """A step without GitHub's token."""
        self.capfd.readouterr()
        code = run(["-C", str(self.root), *arguments])
        out, err = self.capfd.readouterr()
        assert TOKEN not in out + err
        return Done(code, out, err)

    def step(self, *arguments: str, **environment: str) -> Done:
        """A step with the token and with what GitHub sets."""
        with pytest.MonkeyPatch.context() as patch:
            given = {
                "GITHUB_TOKEN": TOKEN,
                "GITHUB_REPOSITORY": REPOSITORY,
                "GITHUB_API_URL": f"{self.github.url}/api/v3",
                "GITHUB_WORKSPACE": str(self.root),
                "GITHUB_RUN_ATTEMPT": str(self.attempt),
            }
            for name, value in (given | environment).items():
                patch.setenv(name, value)
            return self.paygift(*arguments)

    def _pushed(self, commit: str) -> dict[str, str]:
        event = self.kept("pushed.json", json.dumps({"before": self.before or "0" * 40, "after": commit}))
        about = {"GITHUB_SHA": commit, "GITHUB_REF_NAME": "main", "GITHUB_RUN_ID": "4711"}
        return {**about, "GITHUB_EVENT_PATH": event}

    def _event(self, number: int) -> dict[str, str]:
        """What set plan.yml off."""
        if self.event == "workflow_dispatch":
            return {"GITHUB_SHA": self.github.tip, "GITHUB_REF_NAME": "main", "GITHUB_RUN_ID": "4712"}
        head = self.github.pulls[number]["head"]["sha"]
        event = {"pull_request": {"number": number, "head": {"sha": head}}}
        if self.event == "merge_group":
            event = {"merge_group": {"head_ref": f"refs/heads/gh-readonly-queue/main/pr-{number}-{head}"}}
        about = {"GITHUB_EVENT_PATH": self.kept("event.json", json.dumps(event)), "GITHUB_RUN_ID": "4710"}
        return {**about, "GITHUB_SHA": "9" * 40}  # GitHub's trial merge

    def _upload(self, name: str, file: Path) -> None:
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as opened:
            opened.writestr(file.name, file.read_bytes())
        self.github.artifacts[len(self.github.artifacts) + 1] = (name, archive.getvalue())


@pytest.fixture(scope="module")
def server() -> Iterator[FakeGitHub]:
    with served() as fake:
        yield fake


@pytest.fixture
def story(
    server: FakeGitHub,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    clean_environment: None,
) -> Story:
    """A repository with one spec on a branch, and an empty account."""
    server.__dict__.update(FakeGitHub(url=server.url).__dict__)
    made = Story(tmp_path, server, capfd)
    for folder in ("campaigns/activities", "campaigns/images", "runner", f"campaigns/{SANDBOX_FOLDER}"):
        (tmp_path / folder).mkdir(parents=True)
    (made.root / "paygift.yaml").write_text("namespace: liangpin\n")
    (made.root / "images/logo.png").write_bytes(png())
    keys().write(made.root / SANDBOX_FOLDER / "keys")
    # As many looks as in earnest, without the pauses between them.
    monkeypatch.setattr("reconciler.apply.run.PollPolicy", partial(PollPolicy, first_pause_seconds=0))
    made.clock(OPENED)
    made.checkout(SPRING)
    made.push()
    return made


@pytest.fixture
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("PAYGIFT_", "GITHUB_")) or name in ("NO_COLOR", "FORCE_COLOR"):
            monkeypatch.delenv(name)


# --- as it should be ----------------------------------------------------------------------------------------


def test_what_was_reviewed_is_applied_and_reported(story: Story) -> None:
    commented = story.plan()
    assert commented.code == 0
    assert commented.err.startswith("Comment created: ")
    (shown,) = story.bodies("plan")
    assert "spring" in shown
    assert story.effects() == []

    story.merge()
    assert story.reviewed().code == 0
    digest = json.loads(Path(story.file("plan.json")).read_text(encoding="utf-8"))["digest"]
    assert shown.startswith(f"<!-- paygift plan digest={digest} ")
    assert story.digest().out == f"{digest}\n"

    applied = story.apply()
    assert applied.code == 0
    assert "Applied: 2 done." in applied.out
    assert story.effects() == ["created"]
    assert story.report().code == 0
    (report,) = story.bodies("report")
    assert report.startswith(f"<!-- paygift report digest={digest} ")
    assert "**Applied** completely" in story.bodies("plan")[0]

    again = story.paygift("--sandbox", "plan", "--detailed-exitcode")
    assert (again.code, again.out) == (0, "No changes. 1 unchanged, 0 unmanaged.\n")
    code, told = story.drift()
    assert code == 0
    assert told.err == "No drift, and no issue.\n"
    assert story.github.issues == {}


def test_mistakes_are_shown_at_their_lines_and_nothing_is_planned(story: Story) -> None:
    story.checkout(("spring", SPEC.replace("SINGLE_COUPON", "SINGLE")))
    (shown,) = story.validate()
    assert shown.startswith("::error file=activities/spring.yaml,line=10,col=")
    assert "award_send_rule.send_content" in shown
    assert story.github.comments == []


def test_the_issue_for_drift_is_opened_and_closed_again(story: Story) -> None:
    story.by_hand(SPRING)
    story.clock(BEGUN)
    with story.sandbox() as sandbox:
        (activity,) = sandbox.activities()
        sandbox.pause(activity["activity_id"])
    code, told = story.drift()
    assert code == 2
    assert told.err.startswith("Issue created: ")
    (issue,) = story.github.issues.values()
    assert f"    spring {activity['activity_id']} PAUSED: " in issue["body"]
    with story.sandbox() as sandbox:
        sandbox.resume(activity["activity_id"])
    code, told = story.drift()
    assert code == 0
    assert told.err.startswith("Issue closed: ")


# --- the base moved -----------------------------------------------------------------------------------------


def test_another_merge_that_was_not_applied_is_not_applied_along_with_ours(story: Story) -> None:
    story.plan()
    story.merge(commit=OTHER_MERGE)
    story.merge()
    story.checkout(SPRING, SUMMER)  # what somebody else has merged meanwhile, and no run has applied
    assert story.reviewed().code == 0
    applied = story.apply()
    assert (applied.code, applied.out) == (6, "")
    assert "! summer: create liangpin_summer_g1_" in applied.err
    assert "nobody has reviewed it" in applied.err
    assert "Nothing was written." in applied.err
    assert story.effects() == []
    assert story.report().code == 0
    (report,) = story.bodies("report")
    assert "**Not applied: stale, exit 6. Nothing was written.**" in report
    assert "- `! summer: create liangpin_summer_g1_" in report


def test_another_merge_that_changes_our_spec_makes_our_plan_stale(story: Story) -> None:
    story.plan()
    story.merge()
    story.checkout(TWO_MERCHANTS)
    assert story.reviewed().code == 0
    applied = story.apply()
    assert applied.code == 6
    assert "! spring: add 1 merchant (1900000002): new, nobody has reviewed it" in applied.err
    assert story.effects() == []


def test_another_merge_that_was_applied_before_ours_does_no_harm(story: Story) -> None:
    story.plan()
    story.push(OTHER_PULL, OTHER_HEAD)
    story.checkout(SUMMER)
    story.plan(OTHER_PULL)
    story.merge(OTHER_PULL, OTHER_MERGE)
    assert story.reviewed(OTHER_MERGE).code == 0
    assert story.apply().code == 0
    story.merge()
    story.checkout(SPRING, SUMMER)
    assert story.reviewed().code == 0
    assert story.apply().code == 0
    assert story.effects() == ["created", "created"]


# --- live changed between -----------------------------------------------------------------------------------


@pytest.fixture
def running(story: Story) -> Story:
    """The activity is there and has begun; a pull request adds a merchant to it, and is merged."""
    story.by_hand(SPRING)
    story.clock(BEGUN)
    story.checkout(TWO_MERCHANTS)
    assert story.plan().code == 0
    story.merge()
    assert story.reviewed().code == 0
    return story


def test_the_merchant_that_was_reviewed_is_added(running: Story) -> None:
    assert running.apply().code == 0
    assert running.effects() == ["created", "merchants added"]


def test_a_merchant_that_was_added_by_hand_makes_the_plan_stale(running: Story) -> None:
    running.by_hand(("spring", SPEC.replace('["1900000001"]', '["1900000001", "1900000003"]')))
    running.checkout(TWO_MERCHANTS)
    before = running.effects()
    applied = running.apply()
    assert applied.code == 6
    assert "! spring: delete 1 merchant (1900000003): new, nobody has reviewed it" in applied.err
    assert running.effects() == before


def test_an_activity_that_was_paused_meanwhile_makes_the_plan_stale(running: Story) -> None:
    with running.sandbox() as sandbox:
        sandbox.pause(sandbox.activities()[0]["activity_id"])
    applied = running.apply()
    assert applied.code == 6
    assert "! spring: add 1 merchant (1900000002): its activity has changed since the review" in applied.err
    assert running.effects() == ["created"]


# --- what was reviewed cannot be trusted --------------------------------------------------------------------


def stopped(story: Story, reason: str) -> None:
    """Both ways to what was reviewed say why not, and leave nothing that could be applied."""
    for refused in (story.digest(), story.reviewed()):
        assert (refused.code, refused.out) == (6, "")
        assert reason in refused.err
    assert not Path(story.file("plan.json")).exists()
    assert story.report().code == 0
    reports = story.bodies("report")
    assert len(reports) == ("No pull request" not in reason)  # where there is one, it is told
    for report in reports:
        assert "**Not applied: stale, exit 6. Nothing was written.**" in report
    assert story.apply().code != 0
    assert story.effects() == []


def test_a_comment_that_somebody_edited_stops_everything(story: Story) -> None:
    story.plan()
    (comment,) = story.github.comments
    story.github.edit(comment, comment["body"].replace("spring", "harmless"), "mallory")
    story.merge()
    stopped(story, "was edited by mallory")


def test_a_forged_comment_is_not_taken_for_ours(story: Story) -> None:
    story.plan()
    body = story.github.comments.pop()["body"]
    story.github.say(PULL, body, login="mallory")
    story.merge()
    stopped(story, f"{BOT} wrote no plan of liangpin on {keys().mchid}")


def test_a_forged_comment_beside_ours_changes_nothing(story: Story) -> None:
    story.plan()
    (shown,) = story.bodies("plan")
    digest = story.paygift("--sandbox", "plan", "--json")
    honest = json.loads(digest.out)["digest"]
    story.github.say(PULL, shown.replace(honest, "0" * 64), login="mallory")
    story.merge()
    assert story.digest().out == f"{honest}\n"
    assert story.reviewed().code == 0
    assert story.apply().code == 0
    assert story.effects() == ["created"]


def test_a_merge_before_the_newest_plan_stops_everything(story: Story) -> None:
    story.plan()
    story.push(head=NEWER_HEAD)
    story.merge()
    stopped(story, f"was made for {HEAD[:12]}; merged was {NEWER_HEAD[:12]}")


def test_a_push_without_pull_request_stops_everything(story: Story) -> None:
    story.plan()
    stopped(story, f"No pull request was merged as {MERGE[:12]}")


def test_an_approval_that_is_older_than_the_plan_stops_everything(story: Story) -> None:
    story.plan()
    story.github.review(PULL)
    story.checkout(TWO_MERCHANTS)  # the branch is the same, and what it is planned against is not
    story.plan()
    story.merge()
    stopped(story, "nobody has approved it since: the last approval, by alice, is of 2026-11-25T02:02:00Z")
    story.github.review(PULL)
    told = story.reviewed()
    assert told.code == 0
    assert f"Reviewed on pull request #{PULL}, approved by alice: " in told.err
    assert story.apply().code == 0
    assert story.effects() == ["created"]


def test_a_merge_that_nobody_approved_is_applied_with_a_word_on_it(story: Story) -> None:
    story.plan()
    story.merge()
    assert "approved by nobody: " in story.reviewed().err
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PAYGIFT_GITHUB_REVIEWED_PLAN_REQUIRE_APPROVAL", "1")
        refused = story.reviewed()
    assert refused.code == 6
    assert f"Nobody has approved pull request #{PULL}." in refused.err


# --- the plan expired ---------------------------------------------------------------------------------------


def test_a_plan_that_was_merged_too_late_stops_everything(story: Story) -> None:
    story.plan()
    story.clock(BEGUN)
    story.merge()
    stopped(story, "was valid until 2026-11-30T16:00:00Z")


def test_a_plan_that_was_approved_too_late_is_not_applied(story: Story) -> None:
    story.plan()
    story.merge()
    assert story.reviewed().code == 0
    story.clock(BEGUN)
    applied = story.apply()
    assert applied.code == 6
    assert "! it was valid until 2026-12-01 00:00:00 Beijing time" in applied.err
    assert story.effects() == []


# --- apply died half way ------------------------------------------------------------------------------------


def test_an_apply_that_died_half_way_is_run_again_and_does_the_rest(story: Story) -> None:
    autumn = ("autumn", SPEC.replace("春日回馈", "秋日回馈"))
    story.checkout(SPRING, SUMMER, autumn)
    story.plan()
    story.merge()
    assert story.reviewed().code == 0
    with story.sandbox() as sandbox:
        sandbox.add_fault({"kind": "drop_after", "route": "create"})  # it was done, and nobody heard of it
        sandbox.add_fault({"kind": "error_before", "route": "create", "skip": 2, "count": 0})
    assert story.apply().code == 7
    assert story.effects() == ["created"] * 2
    assert story.report().code == 0

    with story.sandbox() as sandbox:
        sandbox.clear_faults()
    story.attempt = 2
    assert story.reviewed().code == 0
    applied = story.apply()
    assert applied.code == 0, applied.err
    assert story.report().code == 0
    assert story.effects() == ["created"] * 3
    with story.sandbox() as sandbox:
        assert len({each["out_request_no"] for each in sandbox.activities()}) == 3
    first, second = story.bodies("report")
    assert "#### Left to do" in first
    assert "#### Left to do" not in second
    assert story.paygift("--sandbox", "plan", "--detailed-exitcode").code == 0


# --- the plan is too big for a comment ----------------------------------------------------------------------


def test_a_plan_that_is_too_big_for_a_comment_is_cut_with_a_word_on_it_and_applied(story: Story) -> None:
    story.checkout(*((f"spring-{number:03}", SPEC) for number in range(100)))
    story.plan()
    (shown,) = story.bodies("plan")
    assert 30_000 < len(shown) <= MOST_CHARACTERS
    marker = read_marker(shown)
    assert marker is not None
    assert marker.kind == "plan"
    top = shown[: shown.index("#### ")]
    assert "> **Shortened to fit into " in top
    assert "Plan: 100 to create" in top
    story.merge()
    assert story.digest().out == f"{marker.digest}\n"
    assert story.reviewed().code == 0
    assert story.apply().code == 0
    assert story.effects() == ["created"] * 100
    assert story.report().code == 0
