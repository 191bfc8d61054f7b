"""Whatever goes wrong: one sentence without a value in it, exit 1, and a report; the traceback for who asks for it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import Any

import pytest

from reconciler.commands import applying
from reconciler.commands.planning import Planning
from tests.support.project import Project

SECRET = "s3cret-marker"
UNEXPECTED = [
    ValueError(SECRET),
    RecursionError(SECRET),
    SystemExit(SECRET),
    EOFError(SECRET),
    OSError(28, SECRET, SECRET),
]


def breaking(error: BaseException) -> Any:
    def broken(*_: object, **__: object) -> object:
        raise error

    return broken


@pytest.mark.parametrize("error", UNEXPECTED, ids=lambda error: type(error).__name__)
def test_an_unexpected_exception_is_one_sentence(
    project: Project, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    monkeypatch.setattr(Planning, "plan", breaking(error))
    code, out, err = project.run("--sandbox", "plan")
    assert (code, out) == (1, "")
    assert err.startswith(f"Error: `paygift plan` failed unexpectedly: {type(error).__name__}")
    assert "This is a defect of paygift. Run it again with PAYGIFT_DEBUG=1" in err
    assert err.count("\n") == 1
    assert SECRET not in err


def test_no_memory_is_told_as_that(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Planning, "plan", breaking(MemoryError()))
    code, _, err = project.run("--sandbox", "plan")
    assert code == 1
    assert err.startswith("Error: `paygift plan` ran out of memory at reconciler.commands.planning:")
    assert "defect" not in err


@pytest.mark.parametrize(("debug", "traceback"), [("", False), ("0", False), ("No", False), ("1", True), ("yes", True)])
def test_the_traceback_is_for_who_asks_for_it_and_holds_no_values(
    project: Project, monkeypatch: pytest.MonkeyPatch, debug: str, traceback: bool
) -> None:
    monkeypatch.setenv("PAYGIFT_DEBUG", debug)
    monkeypatch.setattr(Planning, "plan", breaking(ExceptionGroup(SECRET, [ValueError(SECRET)])))
    code, _, err = project.run("--sandbox", "plan")
    assert code == 1
    assert ("Traceback (most recent call last):" in err) == traceback
    assert ("raise error" in err) == traceback
    assert SECRET not in err


# -- apply leaves its report ------------------------------------------------------------------------------------------


def left_by(project: Project, name: str = "report.json") -> tuple[int, str, str]:
    file = project.root / name
    code, _, err = project.run("--sandbox", "apply", "--yes", "--report", str(file))
    return code, err, file.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["report.md", "report.html", "report.json"])
@pytest.mark.parametrize("error", [*UNEXPECTED, MemoryError()], ids=lambda error: type(error).__name__)
def test_whatever_ends_an_apply_before_its_first_write_is_reported(
    project: Project, monkeypatch: pytest.MonkeyPatch, error: BaseException, name: str
) -> None:
    monkeypatch.setattr(Planning, "plan", breaking(error))
    code, err, report = left_by(project, name)
    assert code == 1
    assert "Nothing was written" in report
    assert type(error).__name__ in report or isinstance(error, MemoryError)
    assert SECRET not in report + err
    assert "Something may have been written" not in err


@pytest.mark.parametrize(
    ("error", "code"),
    [*((error, 1) for error in [*UNEXPECTED, MemoryError()]), (KeyboardInterrupt(), 130)],
    ids=lambda each: type(each).__name__,
)
def test_whatever_ends_an_apply_while_it_writes_leaves_the_question_open(
    project: Project, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int
) -> None:
    monkeypatch.setattr(applying, "write", breaking(error))
    found, err, text = left_by(project)
    report = json.loads(text)
    assert (found, report["exit_code"], report["written"]) == (code, code, None)
    assert "how much is not known: run apply again" in report["text"]
    assert "Run apply again: it finds out what has happened" in err
    assert SECRET not in text + err


def test_an_interrupt_while_planning_is_reported(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Planning, "plan", breaking(KeyboardInterrupt()))
    code, err, text = left_by(project)
    assert code == 130
    assert "Interrupted. Nothing was written." in err
    assert json.loads(text)["error"]["kind"] == "interrupted"


def test_an_outcome_that_cannot_be_shown_is_in_the_report_all_the_same(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reconciler.cli.printing.report_text", breaking(ValueError(SECRET)))
    code, err, text = left_by(project)
    assert code == 1
    assert json.loads(text)["kind"] == "report"
    assert "Something may have been written" in err
    assert SECRET not in text + err


def test_a_report_that_cannot_be_made_of_what_happened_says_that_it_is_not_known(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reconciler.commands.reporting.report_markdown", breaking(ValueError(SECRET)))
    code, err, text = left_by(project, "report.md")
    assert code == 1
    assert "how much is not known" in text
    assert SECRET not in text + err


def test_a_refused_plan_that_cannot_be_shown_is_reported_without_it(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.run("--sandbox", "apply", "--yes")
    (project.root / "activities/spring.yaml").unlink()
    monkeypatch.setattr("reconciler.render.views.stopped.plan_view", breaking(ValueError(SECRET)))
    code, _, text = left_by(project)
    assert code == 5
    assert json.loads(text)["exit_code"] == 5


# -- beside the command ------------------------------------------------------------------------------------------

BESIDE = """
import sys, threading, warnings
from reconciler import cli
from reconciler.cli import unexpected

class Broken:
    def __del__(self):
        raise ValueError("s3cret-marker")

def run():
    thread = threading.Thread(target=int, args=("s3cret-marker",))
    thread.start()
    thread.join()
    Broken()
    warnings.warn("s3cret-marker", RuntimeWarning)
    sys.modules["kept"] = Broken()
    return 3

cli.run = run
cli.main()
"""


@pytest.mark.parametrize("debug", ["", "1"])
def test_what_fails_beside_a_command_is_told_to_who_asks_for_it(debug: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", BESIDE],
        env={**os.environ, "PAYGIFT_DEBUG": debug},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 3
    assert (SECRET in ran.stderr) == bool(debug)


def test_a_thread_that_does_not_end_keeps_no_command() -> None:
    script = (
        "import threading; from reconciler import cli\n"
        "def run():\n"
        "    threading.Thread(target=threading.Event().wait).start()\n"
        "    print('told', end='')\n"
        "    return 130\n"
        "cli.run = run; cli.main()"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60)
    assert (ran.returncode, ran.stdout, ran.stderr) == (130, "told", "")


STRIKES_AT_AN_IMPORT = """
import os, signal, sys
from importlib.abc import MetaPathFinder

class Strike(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGINT)
        return None

sys.argv = ["paygift", "--version"]
sys.meta_path.insert(0, Strike())
from reconciler.__main__ import main
main()
"""


@pytest.mark.parametrize("module", ["reconciler.cli", "click", "reconciler.model.errors", "reconciler.cli.streams"])
def test_an_interrupt_while_the_command_line_is_imported_ends_it_without_a_word(module: str) -> None:
    program = STRIKES_AT_AN_IMPORT.format(module=module)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")
