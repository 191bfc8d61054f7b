"""``.paygift/``: what a project keeps on this machine. No link in it is followed, and nothing is read without a limit.

It lies inside of the repository, so that whoever can commit can put a link, a pipe or a huge file where one of ours
would be. Everything that is read or written there goes through here; SQLite opens its files by itself, after ``check``.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

from reconciler.model.errors import UsageError
from reconciler.system.output_files import write as write_file

NAME: Final = ".paygift"
LARGEST: Final = 16 * 1024 * 1024
"""Bytes of a file that is read: far more than any has."""
IGNORE_FILE: Final = ".gitignore"

_REMOVE: Final = "Remove it; paygift makes it anew."
_KINDS: Final = (
    (stat.S_ISLNK, "a symbolic link, which is not followed here"),
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISREG, "a file"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
)
# Without waiting: opening a named pipe would otherwise never return.
_READ: Final = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def check(file: Path, *, remedy: str = _REMOVE) -> bool:
    """Whether ``file`` is there. Raises UsageError if it is not a regular file, or if it is not in folders of ours."""
    check_folder(file.parent)
    found = _lstat(file)
    if found is not None and not stat.S_ISREG(found.st_mode):
        raise UsageError(f"{file} is {_kind(found)}, and not a file.", remedy=remedy)
    return found is not None


def check_folder(folder: Path) -> None:
    """Raise UsageError if ``folder``, or one above it from ``.paygift`` on, is there and no folder."""
    for each in _own_folders(folder):
        found = _lstat(each)
        if found is None:
            return
        if not stat.S_ISDIR(found.st_mode):
            raise UsageError(f"{each} is {_kind(found)}, and not a folder.", remedy=_REMOVE)


def read(file: Path, *, remedy: str = _REMOVE) -> bytes | None:
    """The content of ``file``, or ``None`` if it is not there. Raises UsageError if it is anything else than a regular
    file of at most ``LARGEST`` bytes."""
    if not check(file, remedy=remedy):
        return None
    try:
        descriptor = os.open(file, _READ)
    except OSError as error:
        raise _unreadable(file, error) from error
    try:
        # Again, and of what was opened: it may have been exchanged since.
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise UsageError(f"{file} is {_kind(found)}, and not a file.", remedy=remedy)
        content = _read_at_most(descriptor, LARGEST + 1)
    except OSError as error:
        raise _unreadable(file, error) from error
    finally:
        os.close(descriptor)
    if len(content) > LARGEST:
        raise UsageError(f"{file} has more than {LARGEST:,} bytes.", remedy=remedy)
    return content


def write(file: Path, text: str, *, remedy: str = _REMOVE) -> None:
    """Write ``file`` whole, its folder too if need be. Raises UsageError if that cannot be done."""
    make(file.parent)
    check(file, remedy=remedy)
    write_file(text, file)


def make(folder: Path) -> None:
    """Make ``folder`` and those above it, and have git ignore ``.paygift``. Raises UsageError.

    A ``.gitignore`` that is there already stays as it is.
    """
    check_folder(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"the folder {folder} cannot be made: {error.strerror}.", remedy="Make it writable."
        ) from error
    for top in _own_folders(folder)[:1]:
        # Whether this succeeds is not what the caller needs the folder for; what git tracks is refused in any case.
        with suppress(OSError), (top / IGNORE_FILE).open("x", encoding="ascii") as made:
            made.write("*\n")


def _own_folders(folder: Path) -> list[Path]:
    """``.paygift`` and those below it, down to ``folder``; none for a folder that is elsewhere by somebody's choice."""
    below = list(folder.parts[::-1]).index(NAME) if NAME in folder.parts else -1
    return [folder, *folder.parents][below::-1] if below >= 0 else []


def _lstat(path: Path) -> os.stat_result | None:
    try:
        return path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise _unreadable(path, error) from error


def _kind(found: os.stat_result) -> str:
    return next((words for is_one, words in _KINDS if is_one(found.st_mode)), "a device")


def _read_at_most(descriptor: int, count: int) -> bytes:
    parts = []
    while count and (part := os.read(descriptor, count)):
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def _unreadable(path: Path, error: OSError) -> UsageError:
    return UsageError(f"{path} cannot be read: {error.strerror}.", remedy="Make it readable, or remove it.")
