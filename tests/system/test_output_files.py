"""Files that commands write: replaced whole or not at all, and written through where they are no regular files."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.model.errors import UsageError
from reconciler.system import output_files as output
from reconciler.system.output_files import Output, same_file, write

OLD, NEW = "what was there\n", "良品\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "file.json"
    made.write_text(OLD)
    return made


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


def test_a_file_is_made_with_the_permissions_that_new_files_have(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.touch()
    write(NEW, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == NEW.encode()
    assert (tmp_path / "file").stat().st_mode == other.stat().st_mode
    assert names(tmp_path) == ["file", "other"]


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o666, 0o755])
def test_a_file_that_is_replaced_keeps_its_permissions(file: Path, mode: int) -> None:
    file.chmod(mode)
    write(NEW, file)
    assert (file.read_text(encoding="utf-8"), stat.S_IMODE(file.stat().st_mode)) == (NEW, mode)


def test_a_file_that_was_cleared_first_keeps_them_too(file: Path) -> None:
    file.chmod(0o640)
    checked = Output.checked(file, clear=True)
    assert not file.exists()
    checked.write(NEW)
    assert stat.S_IMODE(file.stat().st_mode) == 0o640


@pytest.mark.parametrize("moment", ["fsync", "fchmod"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_what_cannot_be_written_whole_leaves_all_as_it_was(
    file: Path, monkeypatch: pytest.MonkeyPatch, moment: str, error: BaseException
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(os, moment, fail)
    expected = UsageError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(expected):
        write(NEW, file)
    assert file.read_text() == OLD
    assert names(file.parent) == ["file.json"]


def test_a_folder_that_took_its_place_meanwhile_is_said_to_be_one(file: Path) -> None:
    checked = Output.checked(file, clear=True)
    file.mkdir()
    with pytest.raises(UsageError, match=r"file\.json cannot be written: it is a folder"):
        checked.write(NEW)
    assert names(file.parent) == ["file.json"]


def test_the_longest_name_that_there_is_can_be_written(tmp_path: Path) -> None:
    file = tmp_path / ("x" * 255)
    write(NEW, file)
    assert file.read_text(encoding="utf-8") == NEW


def test_half_a_character_from_a_server_is_written_as_json_says_it(tmp_path: Path) -> None:
    write('"\ud800"', tmp_path / "file")
    assert (tmp_path / "file").read_text() == '"\\ud800"'


# -- what is not a regular file --------------------------------------------------------------------------------------


@pytest.mark.parametrize("links", [1, 2])
def test_a_link_stays_one_and_its_file_is_replaced(file: Path, links: int) -> None:
    elsewhere = file.parent / "elsewhere"
    elsewhere.mkdir()
    link = file
    for number in range(links):
        link, target = elsewhere / f"link{number}", link
        link.symlink_to(os.path.relpath(target, elsewhere))
    file.chmod(0o640)
    Output.checked(link)
    write(NEW, link)
    assert link.is_symlink()
    assert (file.read_text(encoding="utf-8"), stat.S_IMODE(file.stat().st_mode)) == (NEW, 0o640)
    assert names(elsewhere) == [f"link{number}" for number in range(links)]


def test_a_link_to_what_is_not_there_yet_makes_it(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("new")
    write(NEW, link)
    assert link.is_symlink()
    assert (tmp_path / "new").read_text(encoding="utf-8") == NEW


def test_clearing_takes_the_file_and_leaves_the_link(file: Path) -> None:
    link = file.parent / "link"
    link.symlink_to(file)
    Output.checked(link, clear=True)
    assert (link.is_symlink(), file.exists()) == (True, False)


@pytest.mark.parametrize("links", ["loop", "nowhere/else"])
def test_a_link_that_leads_nowhere_is_an_error(tmp_path: Path, links: str) -> None:
    link = tmp_path / "loop"
    link.symlink_to(links)
    for attempt in (Output.checked, lambda each: write(NEW, each)):
        with pytest.raises(UsageError, match="loop cannot be written"):
            attempt(link)
    assert names(tmp_path) == ["loop"]


def test_a_device_is_written_through_and_stays_one() -> None:
    """A terminal of our own, whose folder takes no files: a mistake must not cost this machine its /dev/null."""
    master, slave = os.openpty()
    device = Path(os.ttyname(slave))
    Output.checked(device, clear=True).write(NEW)
    assert os.read(master, 100) == NEW.encode().replace(b"\n", b"\r\n")
    assert stat.S_ISCHR(device.stat().st_mode)
    os.close(master)
    os.close(slave)


@pytest.mark.parametrize("count", [1, 300_000])
def test_a_fifo_is_written_through_and_stays_one(tmp_path: Path, count: int) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(fifo.read_bytes()))
    checked = Output.checked(fifo, clear=True)  # does not open it: a reader would see an end
    reader.start()
    checked.write(NEW * count)
    reader.join()
    assert read == [NEW.encode() * count]
    assert stat.S_ISFIFO(fifo.stat().st_mode)


@pytest.mark.parametrize("opened", [False, True])
def test_a_fifo_that_nobody_reads_is_not_waited_for_permanently(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opened: bool
) -> None:
    monkeypatch.setattr(output, "FIFO_SECONDS", 0.1)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK) if opened else None
    with pytest.raises(UsageError, match=r"nothing was read from it for 0\.1 s"):
        write(NEW * 300_000, fifo)
    if reader is not None:
        os.close(reader)


SAY_AND_WRITE = """
import sys; from pathlib import Path; from reconciler.system.output_files import Output, write
print("before", end=" ")
Output.checked(Path(sys.argv[1]), clear=True).write("written ")
print("after", end="")
"""


@pytest.mark.parametrize("name", ["/proc/self/fd/1", "/proc/thread-self/fd/1", "{link}", "{file}"])
def test_our_own_stdout_is_written_in_its_order_under_any_name(tmp_path: Path, name: str) -> None:
    """``link`` is what /dev/stdout is."""
    file, link = tmp_path / "stdout", tmp_path / "link"
    link.symlink_to("/proc/self/fd/1")
    with file.open("wb") as stdout:
        command = [sys.executable, "-c", SAY_AND_WRITE, name.format(file=file, link=link)]
        subprocess.run(command, check=True, stdout=stdout)
    assert file.read_text() == "before written after"
    assert link.is_symlink()


def test_a_pipe_as_stdout_is_written_too() -> None:
    command = [sys.executable, "-c", SAY_AND_WRITE, "/proc/self/fd/1"]
    assert subprocess.run(command, check=True, capture_output=True).stdout == b"before written after"


# -- what is checked before --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prepare", "reason"),
    [
        (lambda folder: (folder / "file").mkdir(), "it is a folder"),
        (lambda folder: (folder / "file").symlink_to(folder), "it is a folder"),
        (lambda folder: None, ""),
    ],
)
def test_what_can_be_known_before_is_said_before(
    tmp_path: Path, prepare: Callable[[Path], object], reason: str
) -> None:
    prepare(tmp_path)
    before = names(tmp_path)
    if reason:
        with pytest.raises(UsageError, match=reason):
            Output.checked(tmp_path / "file")
    else:
        Output.checked(tmp_path / "file")
    assert names(tmp_path) == before


@pytest.mark.parametrize("name", ["nowhere/file", "taken/file"])
def test_a_folder_that_is_none_is_said_before(tmp_path: Path, name: str) -> None:
    (tmp_path / "taken").touch()
    with pytest.raises(UsageError, match="cannot be written"):
        Output.checked(tmp_path / name)


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("a", "a", True),
        ("a", "b", False),
        ("a", "folder/../a", True),
        ("a", "link", True),
        ("new", "folder/../new", True),
        ("new", "dangling", True),
        ("a", "hard", True),
        ("/dev/null", "/dev/null", False),
    ],
)
def test_two_names_of_one_file_are_known(tmp_path: Path, first: str, second: str, same: bool) -> None:
    (tmp_path / "a").touch()
    (tmp_path / "b").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("a")
    (tmp_path / "dangling").symlink_to("new")
    (tmp_path / "hard").hardlink_to(tmp_path / "a")
    assert same_file(tmp_path / first, tmp_path / second) is same
