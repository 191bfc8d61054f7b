"""The files that commands write: a regular file is replaced whole or not at all, anything else is written through.

A regular file is written beside its place and moved there once it is on the disk, so that nobody ever reads half of
it; it keeps its permissions. A device, a FIFO or a link is somebody's arrangement and stays what it is: what is written
goes through it. Our own stdout or stderr under another name (``/dev/stdout``) is written as the stream that it is.
"""

from __future__ import annotations

import errno
import os
import select
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import Final

from reconciler.model.errors import UsageError

FIFO_SECONDS: Final = 10.0
"""How long the reader of a FIFO may take to come, and to take what is written."""
_PAUSE_SECONDS: Final = 0.02
_STREAMS: Final = (1, 2)


@dataclass(frozen=True, slots=True)
class Output:
    """A file that will be written later, checked now. ``before`` is the regular file that was there, if one was."""

    file: Path
    before: os.stat_result | None = None

    @classmethod
    def checked(cls, file: Path, *, clear: bool = False) -> Output:
        """Raises UsageError if ``file`` cannot be written as things stand; nothing is left behind by asking.

        With ``clear`` a regular file of an earlier run is removed, so that it cannot pass for this one's.
        """
        with _explained(file):
            found = _stat(file)
            if found is not None and not stat.S_ISREG(found.st_mode):
                _check_special(file, found)
                return cls(file)
            _check_regular(file, found)
            if clear and found is not None and _own_stream(found) is None:
                _target(file).unlink()
            return cls(file, found)

    def write(self, text: str) -> None:
        """Raises UsageError if it cannot be written; a regular file is then as it was."""
        write(text, self.file, before=self.before)


def write(text: str, file: Path, *, before: os.stat_result | None = None) -> None:
    """Write ``text`` (UTF-8) to ``file``. Raises UsageError if it cannot be written; a regular file is then as it was.

    ``before`` is whose permissions a new file gets.
    """
    data = text.encode("utf-8", errors="backslashreplace")  # half a surrogate pair from a server is no reason to fail
    with _explained(file):
        found = _stat(file)
        stream = None if found is None else _own_stream(found)
        if stream is not None:
            _write_into_stream(data, stream)
        elif found is None or stat.S_ISREG(found.st_mode):
            target = _target(file)
            _check_folder(file, target)
            _replace(data, target, found or before)
        else:
            _write_through(data, file, found)


def same_file(first: Path, second: Path) -> bool:
    """Whether both name one regular file, or would; a device can be two things at once."""
    if _target(first) != _target(second):
        return first.is_file() and second.is_file() and first.samefile(second)
    return first.is_file() or not first.exists()


@contextmanager
def _explained(file: Path) -> Iterator[None]:
    try:
        yield
    except BlockingIOError as error:
        raise UsageError(
            f"{file} cannot be written: nothing was read from it for {FIFO_SECONDS:g} s.",
            remedy="Start its reader first.",
        ) from error
    except IsADirectoryError as error:
        raise UsageError(
            f"{file} cannot be written: it is a folder.", remedy="Name a file in it, or another file."
        ) from error
    except OSError as error:
        raise UsageError(f"{file} cannot be written: {error.strerror}.", remedy="Name another file.") from error


def _stat(file: Path) -> os.stat_result | None:
    """What ``file`` leads to; ``None`` if nothing is there yet. Raises IsADirectoryError."""
    try:
        found = file.stat()
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    return found


def _target(file: Path) -> Path:
    """Where a regular file is, or will be, once every link is followed."""
    return Path(os.path.realpath(file))


def _check_special(file: Path, found: os.stat_result) -> None:
    """A FIFO is not opened: its reader would take the end of that for the end of everything."""
    if _own_stream(found) is None and not os.access(file, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def _check_folder(file: Path, target: Path) -> None:
    if not target.parent.is_dir():
        raise UsageError(
            f"{file} cannot be written: its folder does not exist.", remedy="Make it, or name another file."
        )


def _check_regular(file: Path, found: os.stat_result | None) -> None:
    """A file that may not be written is not replaced either, though its folder would allow it."""
    target = _target(file)
    _check_folder(file, target)
    if found is not None and not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    if found is not None and _own_stream(found) is not None:
        return
    draft, descriptor = _new_beside(target, 0o600)
    os.close(descriptor)
    draft.unlink()


def _replace(data: bytes, target: Path, before: os.stat_result | None) -> None:
    if target.is_file() and not target.is_symlink() and not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    # As open() would: the umask takes away from it.
    mode = 0o666 if before is None else stat.S_IMODE(before.st_mode)
    draft, descriptor = _new_beside(target, mode)
    try:
        with os.fdopen(descriptor, "wb") as opened:
            if before is not None:
                _as_before(descriptor, before)
            opened.write(data)
            opened.flush()
            # Before the move: a crash after it must not leave an empty file under the name.
            os.fsync(descriptor)
        draft.replace(target)
    except BaseException:
        with suppress(OSError):
            draft.unlink()
        raise
    _sync_folder(target.parent)


def _new_beside(target: Path, mode: int) -> tuple[Path, int]:
    """A new file beside ``target``, and its descriptor. Its name is its own, since two runs may write at once, and
    short whatever the target's is.
    """
    draft = target.with_name(f".paygift-{token_hex(8)}.new")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    try:
        return draft, os.open(draft, flags, mode & 0o777)
    except OSError as error:
        raise UsageError(
            f"{target} cannot be written: in its folder nothing can be made: {error.strerror}.",
            remedy="Make that folder writable, or name another file.",
        ) from error


def _as_before(descriptor: int, before: os.stat_result) -> None:
    """Owner and permissions. Only root can give a file to somebody else, and the permissions matter more."""
    if hasattr(os, "fchown"):
        with suppress(OSError):
            os.fchown(descriptor, before.st_uid, before.st_gid)
    if hasattr(os, "fchmod"):
        os.fchmod(descriptor, stat.S_IMODE(before.st_mode))


def _sync_folder(folder: Path) -> None:
    """The file is there in any case. Not every file system can do this, and Windows opens no folders."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _own_stream(found: os.stat_result) -> int | None:
    """The descriptor of our stdout or stderr, if ``found`` is what it leads to."""
    for descriptor in _STREAMS:
        with suppress(OSError):  # a stream that is closed is nobody's file
            if os.path.samestat(os.fstat(descriptor), found):
                return descriptor
    return None


def _write_into_stream(data: bytes, descriptor: int) -> None:
    """After what was printed so far: opened anew, a regular file would be written from its beginning."""
    stream = sys.stdout if descriptor == _STREAMS[0] else sys.stderr
    if stream is not None:
        stream.flush()
    _write_all(descriptor, data)


def _write_through(data: bytes, file: Path, found: os.stat_result) -> None:
    descriptor = _open_fifo(file) if stat.S_ISFIFO(found.st_mode) else _open_device(file)
    try:
        _write_all(descriptor, data)
    finally:
        os.close(descriptor)


def _open_device(file: Path) -> int:
    # Opening a terminal must not make it ours.
    return os.open(file, os.O_WRONLY | getattr(os, "O_NOCTTY", 0))


def _open_fifo(file: Path) -> int:
    """Waits for a reader, ``FIFO_SECONDS`` at most. Raises BlockingIOError."""
    ends = time.monotonic() + FIFO_SECONDS
    while True:
        try:
            return os.open(file, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            if error.errno != errno.ENXIO:  # nobody reads from it yet
                raise
            if time.monotonic() >= ends:
                raise BlockingIOError(error.errno, error.strerror) from error
        time.sleep(_PAUSE_SECONDS)


def _write_all(descriptor: int, data: bytes) -> None:
    """Everything, also into a pipe that takes it piece by piece. Raises BlockingIOError for one that takes nothing."""
    left = memoryview(data)
    while left:
        try:
            left = left[os.write(descriptor, left) :]
        except BlockingIOError:
            if not select.select([], [descriptor], [], FIFO_SECONDS)[1]:
                raise
