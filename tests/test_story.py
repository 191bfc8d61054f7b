"""From pull request to report: what the workflows do, step by step, with our sandbox as WeChat Pay and a small GitHub.

The steps are those of ``.github/workflows/``; each is the real command line, and all sockets are loopback. Bad stories
end as docs/github.md says, and the sandbox's history tells whether anything was written.
"""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from reconciler.cli import run
from reconciler.reconcile import SANDBOX_FOLDER
from reconciler.sandbox.server import Sandbox
from tests.fake_github import BOT, REPOSITORY, TOKEN, FakeGitHub, served
from tests.pictures import png
from tests.signed import keys
from tests.test_cli import SPEC

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
    ahead: timedelta = field(default_factory=timedelta)
    runs: int = 0

    # --- what happens outside of workflows ---

    def clock(self, text: str) -> None:
        """It is ``text`` everywhere: at WeChat Pay, at GitHub and in our processes."""
        moment = datetime.fromisoformat(text).astimezone(UTC)
        self.ahead = moment - datetime.now(UTC)
        self.github.now = moment
        assert self.paygift("sandbox", "clock", text).code == 0

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead

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

    def push(self, number: int = PULL, head: str = HEAD) -> None:
        """Somebody opens a pull request, or pushes to its branch."""
        self.github.open_pull(number, head)

    # --- what the workflows do ---

    def validate(self, number: int = PULL) -> list[str]:
        """The job `validate` of plan.yml; what it shows at lines of the pull request."""
        checked = self.paygift("validate", "--json")
        if checked.code == 0:
            return []
        assert checked.code == 3
        problems = self.kept("problems.json", checked.out)
        return self.step("github", "annotate", "--problems", problems).out.splitlines()

    def plan(self, number: int = PULL) -> Done:
        """The job `plan` of plan.yml, up to its comment."""
        assert self.validate(number) == []
        head = self.github.pulls[number]["head"]["sha"]
        made = self.paygift("--no-color", "--sandbox", "plan", "--out", self.file("plan.json"))
        assert made.code == 0, made.err
        for form in ("html", "markdown"):
            assert self.paygift("show-plan", self.file("plan.json"), "--format", form).code == 0
        self._upload(f"paygift-plan-{head}", Path(self.file("plan.json")))
        event = {"pull_request": {"number": number, "head": {"sha": head}}}
        about = {"GITHUB_EVENT_PATH": self.kept("event.json", json.dumps(event))}
        return self.step("github", "comment", "--plan", self.file("plan.json"), **about)

    def merge(self, number: int = PULL, commit: str = MERGE) -> None:
        self.github.merge(number, commit)  # squashed: a commit that was on no branch

    def reviewed(self, commit: str = MERGE) -> Done:
        """The first step of apply.yml."""
        Path(self.file("plan.json")).unlink(missing_ok=True)
        return self.step("github", "reviewed-plan", "--out", self.file("plan.json"), **self._pushed(commit))

    def digest(self, commit: str = MERGE) -> Done:
        """What it does instead for `apply --expect`."""
        return self.step("github", "reviewed-digest", **self._pushed(commit))

    def apply(self) -> Done:
        """The step of apply.yml that writes."""
        Path(self.file("report.md")).unlink(missing_ok=True)
        arguments = ("apply", self.file("plan.json"), "--yes", "--report", self.file("report.md"))
        return self.paygift("--no-color", "--sandbox", *arguments)

    def report(self, commit: str = MERGE) -> Done:
        """The last step of apply.yml."""
        return self.step("github", "comment", "--report", self.file("report.md"), **self._pushed(commit))

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
            if each["login"] == BOT
            and each["issue"] == number
            and each["body"].startswith(f"<!-- paygift {kind} ")
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
                "GITHUB_RUN_ATTEMPT": "1",
                "PAYGIFT_MCHID": keys().mchid,
            }
            for name, value in (given | environment).items():
                patch.setenv(name, value)
            return self.paygift(*arguments)

    def _pushed(self, commit: str) -> dict[str, str]:
        return {"GITHUB_SHA": commit, "GITHUB_REF_NAME": "main", "GITHUB_RUN_ID": str(4711 + self.runs)}

    def _upload(self, name: str, file: Path) -> None:
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as opened:
            opened.writestr(file.name, file.read_bytes())
        self.github.artefacts[len(self.github.artefacts) + 1] = (name, archive.getvalue())


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
    monkeypatch.setattr("reconciler.reconcile.system_clock", made.now)
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
    assert story.bodies("plan") == [shown]

    again = story.paygift("--sandbox", "plan", "--detailed-exitcode")
    assert (again.code, again.out) == (0, "No changes. 1 unchanged, 0 unmanaged.\n")
    code, told = story.drift()
    assert code == 0
    assert told.err == "No drift, and no issue.\n"
    assert story.github.issues == {}
