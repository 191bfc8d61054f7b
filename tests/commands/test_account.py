"""The account that a project belongs to: other credentials are refused before anything is read, and doctor says so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.doctor.machine import judge_project_account
from reconciler.model.activity import NamedAccount, Source
from reconciler.model.errors import ProjectError
from reconciler.sandbox.server import Sandbox
from reconciler.spec import load_project, read_account
from tests.support.project import Project, name_account
from tests.support.projects import NOW, PROJECT, SPEC, problems, write

OTHER = "1900000009"


@pytest.fixture
def served(project: Project, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """An account that is real to the commands, with the project's activity: its credentials are in the environment."""
    assert project.run("--sandbox", "apply", "--yes")[0] == 0
    with project.sandbox() as sandbox:
        name_account(monkeypatch, sandbox)
        yield sandbox


def belongs_to(project: Project, mchid: str) -> None:
    (project.root / "paygift.yaml").write_text(f'namespace: liangpin\n\naccount: "{mchid}"\n')


COMMANDS = ["plan", "plan --at 2026-12-24", "apply --yes", "drift", "status", "show spring"]


@pytest.mark.parametrize("command", COMMANDS)
def test_credentials_of_another_account_are_refused_before_anything_is_read(
    project: Project, served: Sandbox, command: str
) -> None:
    belongs_to(project, OTHER)
    before = served.log()
    code, out, err = project.run(*command.split())
    assert (code, out) == (4, "")
    assert f"of merchant {served.mchid} (PAYGIFT_MCHID)" in err
    assert f"belongs to merchant {OTHER} (`account`, paygift.yaml:3)" in err
    assert "Nothing was read or written." in err
    assert "Use the credentials of" in err
    assert served.log() == before


@pytest.mark.parametrize("command", COMMANDS)
def test_credentials_of_the_named_account_are_taken(project: Project, served: Sandbox, command: str) -> None:
    belongs_to(project, served.mchid)
    assert project.run(*command.split())[0] == 0


def test_the_sandbox_is_nobodys_account(project: Project) -> None:
    belongs_to(project, OTHER)
    assert project.run("--sandbox", "plan")[0] == 0


def test_a_report_says_why_nothing_was_written(project: Project, served: Sandbox, tmp_path: Path) -> None:
    belongs_to(project, OTHER)
    report = tmp_path / "report.md"
    assert project.run("apply", "--yes", "--report", str(report))[0] == 4
    assert OTHER in report.read_text(encoding="utf-8")


# --- a project that names none -------------------------------------------------------------------------------------


def test_a_plan_of_a_real_account_notes_that_none_is_named(project: Project, served: Sandbox) -> None:
    code, out, _ = project.run("plan", "--notes")
    assert code == 0
    assert "note ACCOUNT_NOT_NAMED" in out
    assert f'account: "{served.mchid}"' in out
    assert "ACCOUNT_NOT_NAMED" in project.run("plan", "--json")[1]
    assert project.run("apply", "--yes")[0] == 0
    belongs_to(project, served.mchid)
    assert "ACCOUNT_NOT_NAMED" not in project.run("plan", "--notes")[1]


def test_a_plan_of_the_sandbox_does_not(project: Project) -> None:
    assert "ACCOUNT_NOT_NAMED" not in project.run("--sandbox", "plan", "--notes")[1]


# --- reading it ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("written", ["1900000001", '"1900000001"', "'01900001'"])
def test_the_account_is_a_merchant_number_with_its_place(tmp_path: Path, written: str) -> None:
    write(tmp_path, paygift_yaml=f"{PROJECT}account: {written}\n", activities__a_yaml=SPEC)
    named = NamedAccount(written.strip("'\""), Source("paygift.yaml", 2))
    assert load_project(tmp_path, now=NOW).account == named
    assert read_account(tmp_path) == named


@pytest.mark.parametrize("written", ["19000000O1", "1", "[1900000001]", ""])
def test_an_account_that_is_no_merchant_number_is_told(tmp_path: Path, written: str) -> None:
    write(tmp_path, paygift_yaml=f"{PROJECT}account: {written}\n", activities__a_yaml=SPEC)
    (told,) = problems(tmp_path)
    assert told.startswith("paygift.yaml:2:1: account: ")
    with pytest.raises(ProjectError):
        read_account(tmp_path)


def test_a_project_need_not_name_its_account(tmp_path: Path) -> None:
    write(tmp_path, paygift_yaml="namespace: Bad\n", activities__a_yaml=SPEC)
    assert read_account(tmp_path) is None


# --- doctor --------------------------------------------------------------------------------------------------------


def test_doctor_compares_the_credentials_with_the_project(project: Project, served: Sandbox) -> None:
    belongs_to(project, served.mchid)
    code, out, _ = project.run("doctor")
    assert code == 0
    assert f"✓ project account       {served.mchid}, as `account` in paygift.yaml:3 says." in out
    belongs_to(project, OTHER)
    code, out, _ = project.run("doctor")
    assert code == 4
    assert f"the project belongs to merchant {OTHER} (`account`, paygift.yaml:3)" in out
    (project.root / "paygift.yaml").write_text("namespace: [\n")
    assert "! project account" in project.run("doctor")[1]


def test_doctor_of_the_sandbox_compares_nothing(project: Project) -> None:
    belongs_to(project, OTHER)
    code, out, _ = project.run("--sandbox", "doctor")
    assert (code, "· project account" in out) == (0, True)


def test_doctor_needs_no_project(project: Project, served: Sandbox) -> None:
    (project.root / "paygift.yaml").unlink()
    code, out, _ = project.run("doctor")
    assert (code, "· project account" in out) == (0, True)


def test_doctor_does_not_show_what_may_be_a_secret_in_the_wrong_variable() -> None:
    secret = "s3cr3t-in-the-wrong-place"
    check = judge_project_account(secret, NamedAccount(OTHER, Source("paygift.yaml", 2)))
    assert secret not in check.text + check.remedy
    assert check.status.value == "failed"
