"""A team on GitLab: the jobs of docs/gitlab.md, line by line, with git and our sandbox as WeChat Pay."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from reconciler.sandbox.server import Sandbox
from tests.commands.test_tip import commit, git
from tests.docs.test_github_workflows import gitlab
from tests.support.project import SPEC, Project, begun

SPRING = ("spring", SPEC)
TWO_MERCHANTS = ("spring", SPEC.replace('["1900000001"]', '["1900000001", "1900000002"]'))
PROTECTED = ("spring", f"protect: true\n{SPEC}")
ENDED = ("spring", f"protect: true\nstate: terminated\n{SPEC}")


@dataclass
class Team:
    """A project on GitLab, whose runner keeps one checkout. ``artifacts`` holds each pipeline's plan file."""

    project: Project
    monkeypatch: pytest.MonkeyPatch
    artifacts: dict[str, Path] = field(default_factory=dict)

    @property
    def root(self) -> Path:
        return self.project.root

    def merge(self, *specs: tuple[str, str]) -> str:
        """The default branch has these specs from now on. Returns its commit."""
        git(self.root, "checkout", "--quiet", "main")
        for file in (self.root / "activities").iterdir():
            file.unlink()
        for key, text in specs:
            self.project.write(key, text)
        made = commit(self.root)
        git(self.root, "push", "--quiet", "origin", "main")
        return made

    def job(self, name: str, pipeline: str, variables: Mapping[str, str] | None = None) -> tuple[int, str]:
        """Run a job of a commit's pipeline; its exit code, and what it said on stderr."""
        git(self.root, "checkout", "--quiet", pipeline)
        plan = self.artifacts.get(pipeline)
        if name == "apply":
            assert plan is not None
            shutil.copy(plan, self.root / "plan.json")
        with self.monkeypatch.context() as patch:
            patch.chdir(self.root)
            given = {"CI_DEFAULT_BRANCH": "main", "PAYGIFT_PROJECT": ".", **(variables or {})}
            for variable, value in given.items():
                patch.setenv(variable, value)
            code, err = self._script(name)
        if name == "plan" and (self.root / "plan.json").exists():
            self.artifacts[pipeline] = Path(shutil.copy(self.root / "plan.json", self.root.parent / f"{pipeline}.json"))
        return code, err

    def _script(self, name: str) -> tuple[int, str]:
        said = ""
        for line in script(name):
            command, _, into = line.partition(" > ")
            words = [re.sub(r"\$(\w+)", "main", word) for word in shlex.split(command)]
            if words[0] == "git":
                git(self.root, *words[1:])
                continue
            code, out, err = self.project.run(*words[1:])
            said += err
            if into:
                (self.root / into).write_text(out, encoding="utf-8")
            if code:
                return code, said
        return 0, said

    def effects(self) -> list[str]:
        with Sandbox(self.root / ".paygift/sandbox") as sandbox:
            return [each["effect"] for each in sandbox.history()]


def script(name: str) -> list[str]:
    jobs: Mapping[str, Any] = yaml.safe_load(gitlab())
    job = jobs[name]
    lines: list[str] = job.get("script") or jobs[job["extends"]]["script"]
    return lines


@pytest.fixture
def team(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, _no_variables: None
) -> Team:
    (tmp_path / "runner").mkdir()
    git(tmp_path, "init", "--quiet", "--bare", "--initial-branch", "main", "origin.git")
    git(tmp_path / "runner", "init", "--quiet", "--initial-branch", "main")
    git(tmp_path / "runner", "remote", "add", "origin", str(tmp_path / "origin.git"))
    (tmp_path / "runner/.gitignore").write_text(".paygift/\nplan.*\nreport.md\n")
    project = begun(tmp_path / "runner", capfd)
    monkeypatch.setenv("PAYGIFT_SANDBOX", "1")
    commit(project.root)
    return Team(project, monkeypatch)


def applied(team: Team, pipeline: str) -> tuple[int, str]:
    assert team.job("plan", pipeline)[0] == 0
    return team.job("apply", pipeline)


def test_what_the_pipeline_planned_is_applied(team: Team) -> None:
    assert applied(team, team.merge(SPRING)) == (0, "")
    assert team.effects() == ["created"]
    assert "Applied" in (team.root / "report.md").read_text(encoding="utf-8")


def test_an_older_pipeline_writes_nothing_whether_it_was_green_or_red(team: Team) -> None:
    first = team.merge(SPRING)
    second = team.merge(TWO_MERCHANTS)
    assert team.job("plan", first)[0] == 0
    code, err = team.job("apply", first)  # its button was not pressed in time
    assert code == 6
    assert "where activities/spring.yaml differs" in err
    assert applied(team, second)[0] == 0
    third = team.merge(SPRING)
    assert applied(team, third)[0] == 0
    before = team.effects()
    code, err = team.job("apply", second)  # and this one's is pressed once more
    assert code == 6
    assert team.effects() == before
    assert "Nothing was written" in (team.root / "report.md").read_text(encoding="utf-8")


def test_an_older_pipeline_may_go_on_while_the_project_is_the_same(team: Team) -> None:
    first = team.merge(SPRING)
    git(team.root, "checkout", "--quiet", "main")
    (team.root / "README.md").write_text("Campaigns\n")
    commit(team.root)
    git(team.root, "push", "--quiet", "origin", "main")
    assert applied(team, first)[0] == 0


@pytest.mark.usefixtures("short_pauses_between_reads")
def test_a_retry_goes_on_with_the_rest(team: Team) -> None:
    summer = ("summer", SPEC.replace("春日回馈", "夏日回馈"))
    pipeline = team.merge(SPRING, summer)
    assert team.job("plan", pipeline)[0] == 0
    with team.project.sandbox() as sandbox:
        sandbox.add_fault({"kind": "error_before", "route": "create", "skip": 1, "count": 0})
    assert team.job("apply", pipeline)[0] == 7
    with team.project.sandbox() as sandbox:
        sandbox.clear_faults()
    assert team.job("apply", pipeline)[0] == 0
    assert team.effects() == ["created", "created"]


def test_the_journal_knows_what_was_applied_completely(team: Team) -> None:
    assert applied(team, team.merge(SPRING))[0] == 0
    pipeline = team.merge(TWO_MERCHANTS)
    assert applied(team, pipeline)[0] == 0
    team.project.write("spring")
    assert team.project.run("apply", "--yes")[0] == 0  # somebody takes it back by hand
    before = team.effects()
    git(team.root, "checkout", "--quiet", "--", ".")
    code, err = team.job("apply", pipeline)
    assert code == 6
    assert "was applied completely" in err
    assert team.effects() == before


def test_a_refusal_is_red_and_waived_for_one_pipeline(team: Team) -> None:
    assert applied(team, team.merge(PROTECTED))[0] == 0
    pipeline = team.merge(ENDED)
    assert team.job("plan", pipeline)[0] == 5
    assert team.job("apply", pipeline)[0] == 5
    assert team.effects() == ["created"]
    assert team.job("plan", pipeline, {"PAYGIFT_PLAN_ALLOW": "PROTECTED:spring"})[0] == 0
    assert team.job("apply", pipeline)[0] == 0
    assert team.effects() == ["created", "terminated"]


def test_files_that_are_invalid_stop_the_pipeline_at_its_first_job(team: Team) -> None:
    assert team.job("validate", team.merge(("spring", SPEC.replace("SINGLE_COUPON", "SINGLE"))))[0] == 3
