"""What an apply has done is told, and has its exit code, whatever cannot be written by then."""

from __future__ import annotations

import json
import os
import stat
import threading
import tty
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from reconciler.cli import context as cli_context
from reconciler.cli import streams
from reconciler.commands import applying
from reconciler.journal import journal as book
from reconciler.model.errors import JournalError
from reconciler.system import output_files as output
from tests.support.processes import paygift, without_rights_over_files
from tests.support.project import SPEC, Project

APPLY = ("--sandbox", "apply", "--yes")
DONE = "2 done"


def applied(project: Project) -> bool:
    """Whether nothing is left to do on the account."""
    return project.run("--sandbox", "plan", "--detailed-exitcode")[0] == 0


# -- streams -----------------------------------------------------------------------------------------------------------


@pytest.mark.sampled(every=5)
@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize("stdout", [">&-", ">/dev/full", "| true"])
def test_an_apply_without_stdout_tells_on_stderr_and_has_its_exit_code(
    project: Project, stdout: str, as_json: bool
) -> None:
    found = paygift(project.root, *APPLY, *(["--json"] if as_json else []), redirect=stdout)
    assert found.returncode == 0, found.stderr
    assert ('"kind": "report"' if as_json else DONE) in found.stderr
    assert "Traceback" not in found.stderr
    assert applied(project)


@pytest.mark.sampled(every=2)
@pytest.mark.parametrize("stderr", ["2>&-", "2>/dev/full", "2>&1 >/dev/null | true"])
def test_an_apply_without_stderr_tells_on_stdout(project: Project, stderr: str) -> None:
    found = paygift(project.root, *APPLY, redirect=stderr)
    assert found.returncode == 0
    assert DONE in found.stdout or "| true" in stderr
    assert applied(project)


@pytest.mark.sampled(every=3)
@pytest.mark.parametrize("streams", [">&- 2>&-", ">/dev/full 2>&1", "2>&1 | true", "<&- >&- 2>&-"])
def test_an_apply_that_nobody_hears_is_done_and_reported_all_the_same(project: Project, streams: str) -> None:
    report = project.root / "report.json"
    found = paygift(project.root, *APPLY, "--report", str(report), redirect=streams)
    assert found.returncode == 0
    assert json.loads(report.read_text())["complete"] is True
    assert applied(project)


def test_what_is_left_has_exit_code_7_without_stdout_too(project: Project) -> None:
    assert project.run(*APPLY)[0] == 0
    with project.sandbox() as served:
        served.declare_invalid("1900000002")
    project.write("spring", SPEC.replace('["1900000001"]', '["1900000001", "1900000002"]'))
    found = paygift(project.root, *APPLY, redirect=">&-")
    assert found.returncode == 7
    assert "1900000002" in found.stderr


def test_a_closed_stdin_is_no_terminal(project: Project) -> None:
    found = paygift(project.root, "--sandbox", "apply", redirect="<&-")
    assert (found.returncode, "There is no terminal to ask on" in found.stderr) == (1, True)
    assert "Traceback" not in found.stderr


@pytest.mark.sampled(every=3)
@pytest.mark.parametrize("command", [("plan",), ("plan", "--json"), ("status",), ("history", "export")])
def test_a_command_that_only_tells_fails_if_it_cannot(project: Project, command: tuple[str, ...]) -> None:
    assert project.run(*APPLY)[0] == 0
    found = paygift(project.root, "--sandbox", *command, redirect=">/dev/full")
    assert (found.returncode, found.stderr) == (
        1,
        "Error: stdout cannot be written: No space left on device.\n",
    )


def test_a_reader_that_has_enough_is_no_error_to_speak_of(project: Project) -> None:
    found = paygift(project.root, "schema", redirect="| true")
    assert (found.returncode, found.stderr) == (1, "")


def test_whoever_closes_stdout_wants_the_exit_code_only(project: Project) -> None:
    found = paygift(project.root, "--sandbox", "plan", "--detailed-exitcode", redirect=">&-")
    assert (found.returncode, found.stdout) == (2, "")
    assert "Traceback" not in found.stderr


def test_a_file_that_is_opened_next_never_becomes_stdout(project: Project) -> None:
    """The journal would be the first file that is opened, and a closed descriptor 1 would be its number."""
    assert paygift(project.root, *APPLY, redirect="<&- >&- 2>&-").returncode == 0
    code, out, _ = project.run("--sandbox", "history", "verify")
    assert (code, out) == (0, "6 entries, each as it was written.\n")


def test_a_stream_that_was_made_non_blocking_is_waited_for() -> None:
    """As a program does that shares a terminal or pipe with us."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with os.fdopen(writing, "w") as stdout, os.fdopen(reading, "rb", buffering=0) as reader:
        guarded = streams._guarded(stdout, streams._raise)
        text = "x" * 200_000
        pid = os.fork()
        if pid == 0:
            guarded.write(text)
            guarded.flush()
            os._exit(0)
        read = b""
        while len(read) < len(text):
            read += reader.read(50_000)
        os.waitpid(pid, 0)
    assert read == text.encode()


def test_a_progress_bar_needs_no_stderr(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", None)
    with cli_context.Bar("Applying") as bar:
        bar(1, 2)


# -- files -------------------------------------------------------------------------------------------------------------


def folder(file: Path) -> None:
    file.mkdir()


def missing(file: Path) -> None:
    """Its folder is not there."""


@pytest.mark.parametrize("option", ["--report", "--rejected"])
@pytest.mark.parametrize(
    ("name", "prepare", "reason"),
    [
        ("file.md", folder, "it is a folder"),
        ("nowhere/file.md", missing, "its folder does not exist"),
        ("paygift.yaml/file.md", missing, "cannot be written"),
    ],
)
def test_a_path_that_cannot_be_written_stops_before_the_first_write(
    project: Project, option: str, name: str, prepare: Callable[[Path], None], reason: str
) -> None:
    prepare(project.root / name)
    code, out, err = project.run(*APPLY, option, str(project.root / name))
    assert (code, out) == (1, "")
    assert reason in err
    assert not applied(project)


@pytest.mark.sampled(every=2)
@pytest.mark.parametrize("option", ["--report", "--rejected"])
def test_a_read_only_folder_stops_before_the_first_write(project: Project, option: str) -> None:
    place = project.root / "read-only"
    place.mkdir(mode=0o555)
    found = paygift(project.root, *APPLY, option, str(place / "file.md"), preexec_fn=without_rights_over_files)
    assert (found.returncode, "in its folder nothing can be made" in found.stderr) == (1, True)
    assert not applied(project)


@pytest.mark.sampled(every=2)
@pytest.mark.parametrize("mode", [0o444, 0o000])
def test_a_file_that_may_not_be_written_is_not_replaced(project: Project, mode: int) -> None:
    file = project.root / "report.md"
    file.write_text("precious")
    file.chmod(mode)
    found = paygift(project.root, *APPLY, "--report", str(file), preexec_fn=without_rights_over_files)
    assert (found.returncode, "Permission denied" in found.stderr) == (1, True)
    assert file.read_text() == "precious"
    assert not applied(project)


def test_one_file_cannot_be_two_things(project: Project) -> None:
    plan = project.root / "plan.json"
    assert project.run("--sandbox", "plan", "--out", str(plan))[0] == 0
    reviewed = plan.read_bytes()
    (project.root / "link.json").symlink_to("plan.json")
    for arguments in (
        (str(plan), "--report", str(plan)),
        (str(plan), "--rejected", str(plan)),
        (str(plan), "--report", str(project.root / "link.json")),
        ("--report", str(project.root / "r.json"), "--rejected", f"{project.root}/images/../r.json"),
    ):
        code, _, err = project.run(*APPLY, *arguments)
        assert (code, "are the same file" in err) == (1, True)
        assert plan.read_bytes() == reviewed
    assert not applied(project)
    assert project.run(*APPLY, str(plan))[0] == 0


def replaced_by_a_folder(file: Path) -> None:
    file.unlink(missing_ok=True)
    file.mkdir()


def folder_gone(file: Path) -> None:
    file.parent.rmdir()


@pytest.mark.parametrize("spoil", [replaced_by_a_folder, folder_gone])
@pytest.mark.parametrize("option", ["--report", "--rejected"])
def test_a_file_that_cannot_be_written_any_more_is_a_warning(
    project: Project, monkeypatch: pytest.MonkeyPatch, spoil: Callable[[Path], None], option: str
) -> None:
    file = project.root / "place/file.md"
    file.parent.mkdir()
    really = applying.write

    async def write(*arguments: object, **more: object) -> object:
        happened = await really(*arguments, **more)  # type: ignore[arg-type]
        spoil(file)
        return happened

    monkeypatch.setattr(applying, "write", write)
    code, out, err = project.run(*APPLY, option, str(file))
    assert (code, DONE in out) == (0, True)
    assert "Warning: The " in err
    assert "file.md cannot be written" in err


def test_a_report_on_a_full_disk_is_a_warning(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    report, rejected = project.root / "report.md", project.root / "rejected.csv"
    monkeypatch.setattr(os, "fsync", full)
    code, out, err = project.run(*APPLY, "--report", str(report), "--rejected", str(rejected))
    assert (code, DONE in out) == (0, True)
    for what in ("The report", "The list of rejected merchants"):
        assert f"Warning: {what} is missing: " in err
    assert "No space left on device" in err
    assert (
        not list(project.root.glob("*.md")) + list(project.root.glob("*.csv")) + list(project.root.glob(".paygift-*"))
    )


def test_a_report_that_nobody_reads_keeps_nobody_from_the_rest(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "FIFO_SECONDS", 0.1)
    report, rejected = project.root / "report.md", project.root / "rejected.csv"
    os.mkfifo(report)
    code, out, err = project.run(*APPLY, "--report", str(report), "--rejected", str(rejected))
    assert (code, DONE in out) == (0, True)
    assert "Warning: The report is missing: " in err
    assert rejected.read_text(encoding="utf-8-sig").startswith("key,")
    assert stat.S_ISFIFO(report.stat().st_mode)


def test_what_an_earlier_run_left_does_not_pass_for_this_ones(project: Project) -> None:
    report, rejected = project.root / "report.md", project.root / "rejected.csv"
    for file in (report, rejected):
        file.write_text("of yesterday")
        file.chmod(0o640)
    code, _, _ = project.run(*APPLY, "--expect", "0" * 64, "--report", str(report), "--rejected", str(rejected))
    assert (code, rejected.exists()) == (6, False)
    assert "yesterday" not in report.read_text()
    assert stat.S_IMODE(report.stat().st_mode) == 0o640


@pytest.mark.parametrize("name", ["report.md", "report.html", "report.json"])
def test_a_report_that_is_a_link_is_written_through(project: Project, name: str) -> None:
    link, file = project.root / name, project.root / "elsewhere"
    link.symlink_to(file)
    assert project.run(*APPLY, "--report", str(link))[0] == 0
    assert link.is_symlink()
    assert file.stat().st_size


@pytest.mark.parametrize("error", [KeyboardInterrupt(), JournalError("gone"), OSError(5, "I/O error")])
def test_what_fails_after_the_last_write_hides_nothing(
    project: Project, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    really = book._give_back

    async def fail(*arguments: Any) -> None:
        await really(*arguments)
        raise error

    monkeypatch.setattr(book, "_give_back", fail)
    report = project.root / "report.json"
    code, out, err = project.run(*APPLY, "--report", str(report))
    assert (code, DONE in out) == (0, True)
    assert "Warning: after everything was written" in err
    assert json.loads(report.read_text())["complete"] is True


# -- other files that commands write -----------------------------------------------------------------------------------


def _drain(master: int) -> None:
    with suppress(OSError):  # nobody writes any more
        while os.read(master, 65_536):
            pass


@pytest.mark.sampled(every=2)
@pytest.mark.parametrize(
    "command",
    [
        ("--sandbox", "plan", "--out"),
        ("--sandbox", "history", "export"),
        ("schema", "--out"),
        ("--sandbox", "apply", "--yes", "--rejected"),
    ],
)
def test_devices_stay_devices_and_links_stay_links(project: Project, command: tuple[str, ...]) -> None:
    """A terminal and a link of our own: a mistake must not cost this machine its /dev/null and /dev/stdout."""
    assert project.run(*APPLY)[0] == 0
    master, slave = os.openpty()
    device = Path(os.ttyname(slave))
    tty.setraw(slave)
    reader = threading.Thread(target=_drain, args=(master,), daemon=True)
    reader.start()
    assert paygift(project.root, *command, str(device)).returncode == 0
    assert stat.S_ISCHR(device.stat().st_mode)
    stdout = project.root / "stdout"
    stdout.symlink_to("/proc/self/fd/1")
    found = paygift(project.root, *command, str(stdout))
    assert (found.returncode, stdout.is_symlink()) == (0, True)
    assert found.stdout
    link, file = project.root / "link", project.root / "file"
    link.symlink_to(file)
    file.write_text("old")
    file.chmod(0o604)
    assert project.run(*command, str(link))[0] == 0
    assert link.is_symlink()
    assert (stat.S_IMODE(file.stat().st_mode), "old" in file.read_text()) == (0o604, False)


def test_a_plan_that_cannot_be_kept_is_known_before_anything_is_read(project: Project) -> None:
    code, out, err = project.run("--sandbox", "plan", "--out", str(project.root / "nowhere/plan.json"))
    assert (code, out) == (1, "")
    assert "its folder does not exist" in err
