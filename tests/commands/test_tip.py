"""A run for a commit that is not the newest any more: with git alone (`apply --tip`), and by what GitHub says."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.model.errors import GitHubError, StaleError
from reconciler.review.github import GitHub, WorkflowRun, changed, require_current
from tests.support.fake_github import REPOSITORY, TOKEN, FakeGitHub, Fault, served
from tests.support.images import png
from tests.support.project import SPEC, Project, begun

ONE, TWO = "a" * 40, "b" * 40


def git(folder: Path, *arguments: str) -> str:
    who = ("-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false")
    asked = ["git", "-C", str(folder), *who, *arguments]
    return subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()


def commit(folder: Path) -> str:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", "--message", "next")
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path, capfd: pytest.CaptureFixture[str], _no_variables: None) -> Project:
    """A repository with two folders of campaigns, of which `tea` is the project, and its first commit."""
    (tmp_path / "tea").mkdir()
    (tmp_path / "juice").mkdir()
    (tmp_path / "juice/paygift.yaml").write_text("namespace: juice\n")
    git(tmp_path, "init", "--quiet", "--initial-branch", "main")
    (tmp_path / ".gitignore").write_text(".paygift/\n")
    project = begun(tmp_path / "tea", capfd)
    (project.root / "merchants").mkdir()
    (project.root / "merchants/east.txt").write_text("1900000001\n")
    (project.root / "paygift.yaml").write_text("namespace: liangpin\nmerchant_groups: {east: merchants/east.txt}\n")
    commit(tmp_path)
    return project


def at_an_old_commit(project: Project, *arguments: str) -> tuple[int, str, str]:
    """What an old run does: its commit is checked out, while `main` is further on."""
    commit(project.root)
    git(project.root, "checkout", "--quiet", "main~1")
    return project.run("--sandbox", "apply", "--yes", *arguments)


@pytest.mark.parametrize(
    "change",
    [
        lambda root: (root / "activities/spring.yaml").write_text(SPEC.replace("1000", "5000")),
        lambda root: (root / "activities/spring.yaml").unlink(),
        lambda root: (root / "activities/summer.yaml").write_text(SPEC.replace("春", "夏")),
        lambda root: (root / "merchants/east.txt").write_text("1900000002\n"),
        lambda root: (root / "images/logo.png").write_bytes(png(3, 3)),
        lambda root: (root / "paygift.yaml").write_text("namespace: liangpin\npolicy: {on_removed: refuse}\n"),
    ],
)
def test_an_old_commit_is_not_applied_once_its_project_has_changed(repository: Project, change: object) -> None:
    assert callable(change)
    change(repository.root)
    code, _, err = at_an_old_commit(repository, "--tip", "main")
    assert code == 6, err
    assert "This run is for " in err
    assert "differs: what was reverted since would be applied again" in err
    with repository.sandbox() as sandbox:
        assert sandbox.history() == []


@pytest.mark.parametrize("file", ["README.md", "juice/paygift.yaml", "tea/notes.txt", ".github/workflows/x.yml"])
def test_what_is_not_of_the_project_may_change_meanwhile(repository: Project, file: str) -> None:
    changed_file = repository.root.parent / file
    changed_file.parent.mkdir(parents=True, exist_ok=True)
    changed_file.write_text("namespace: other\n")
    code, _, err = at_an_old_commit(repository, "--tip", "main")
    assert code == 0, err


def test_a_file_that_the_project_reads_through_a_link_counts_wherever_it_lies(repository: Project) -> None:
    (repository.root / "shared").mkdir()
    (repository.root / "shared/east.txt").write_text("1900000001\n")
    (repository.root / "merchants/east.txt").unlink()
    (repository.root / "merchants/east.txt").symlink_to("../shared/east.txt")
    commit(repository.root)
    (repository.root / "shared/east.txt").write_text("1900000002\n")
    assert at_an_old_commit(repository, "--tip", "main")[0] == 6


@pytest.mark.parametrize("ref", ["nowhere", "--help", "main:tea", ""])
def test_a_tip_that_git_does_not_know_stops_it(repository: Project, ref: str) -> None:
    code, _, err = at_an_old_commit(repository, f"--tip={ref}")
    assert code == 1
    assert "--tip: git cannot tell whether this is the newest commit" in err
    assert "git fetch origin" in err


def test_without_a_checkout_there_is_no_tip(project: Project) -> None:
    code, _, err = project.run("--sandbox", "apply", "--yes", "--tip", "main")
    assert code == 1
    assert "is not a checkout of a commit" in err


# --- GitHub -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server() -> Iterator[FakeGitHub]:
    with served() as fake:
        yield fake


@pytest.fixture
def fake(server: FakeGitHub) -> FakeGitHub:
    server.__dict__.update(FakeGitHub(url=server.url, tip=TWO).__dict__)
    server.trees = {ONE: {"paygift.yaml": "1", "activities/tea.yaml": "1", "README.md": "1"}}
    server.trees[TWO] = {**server.trees[ONE], "README.md": "2"}
    return server


@pytest.fixture
def github(fake: FakeGitHub) -> Iterator[GitHub]:
    given = {"GITHUB_TOKEN": TOKEN, "GITHUB_REPOSITORY": REPOSITORY, "GITHUB_API_URL": f"{fake.url}/api/v3"}
    with GitHub(WorkflowRun.from_environment(given)) as client:
        yield client


def test_the_tip_of_the_default_branch_is_current(github: GitHub) -> None:
    require_current(github, TWO, [""])


def test_an_older_commit_is_current_for_what_has_not_changed_since(fake: FakeGitHub, github: GitHub) -> None:
    require_current(github, ONE, ["paygift.yaml", "activities"])
    with pytest.raises(StaleError, match="main is at bbbbbbbbbbbb, where the repository differs"):
        require_current(github, ONE, [""])
    fake.trees[TWO]["activities/juice.yaml"] = "1"
    with pytest.raises(StaleError, match="where activities differs"):
        require_current(github, ONE, ["paygift.yaml", "activities"])


def test_many_paths_are_asked_for_in_parts(fake: FakeGitHub, github: GitHub) -> None:
    paths = [f"images/{number}.png" for number in range(250)]
    fake.trees[TWO] |= {"images/7.png": "2", "images/249.png": "2"}
    assert changed(github, ONE, TWO, paths) == ["images/249.png", "images/7.png"]
    assert len(fake.asked) == 3


@pytest.mark.parametrize(
    "answer", [{}, {"repository": None}, {"repository": {"defaultBranchRef": None}}, {"repository": {}}]
)
def test_half_an_answer_is_no_permission(fake: FakeGitHub, github: GitHub, answer: object) -> None:
    fake.faults.append(Fault(200, body={"data": answer}))
    with pytest.raises(GitHubError, match="does not say what the default branch is at"):
        require_current(github, TWO, [""])
    fake.faults.append(Fault(200, body={"data": answer}))
    with pytest.raises(GitHubError, match="does not tell which files differ"):
        changed(github, ONE, TWO, ["paygift.yaml"])


def test_in_a_workflow_the_files_that_the_project_reads_are_compared(
    repository: Project, fake: FakeGitHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its folder is found by git, wherever the workspace is."""
    head = git(repository.root, "rev-parse", "HEAD")
    here = {"tea/paygift.yaml": "1", "tea/activities/spring.yaml": "1", "tea/merchants/east.txt": "1"}
    fake.trees = {head: here, TWO: {**here, "juice/activities/tea.yaml": "2", "README.md": "3"}}
    fake.open_pull(7, "c" * 40)
    fake.merge(7, head)
    fake.tip = TWO
    for name, value in {
        "GITHUB_TOKEN": TOKEN,
        "GITHUB_REPOSITORY": REPOSITORY,
        "GITHUB_API_URL": f"{fake.url}/api/v3",
        "GITHUB_SHA": head,
        "GITHUB_WORKSPACE": os.fspath(repository.root),
    }.items():
        monkeypatch.setenv(name, value)
    command = ("--sandbox", "github", "reviewed-digest")
    code, _, err = repository.run(*command)
    assert (code, "wrote no plan" in err) == (6, True), err
    fake.trees[TWO]["tea/merchants/east.txt"] = "2"
    code, _, err = repository.run(*command)
    assert code == 6
    assert "where tea/merchants/east.txt differs" in err


def test_a_variable_in_the_place_of_an_option_is_not_repeated(
    repository: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "gehe1m-und-lang"
    for name in ("PAYGIFT_APPLY_TIP", "PAYGIFT_PLAN_ALLOW_FILE", "PAYGIFT_GITHUB_ARTIFACT_NAME_HEAD"):
        monkeypatch.setenv(name, secret)
    for arguments in (("apply", "--yes"), ("plan",), ("github", "artifact-name", "--plan", "p.json")):
        code, out, err = repository.run("--sandbox", *arguments)
        assert code != 0
        assert secret not in out + err
