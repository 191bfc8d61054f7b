"""Files of a project: found, read and judged.

Nothing is read from outside the project, whatever a path or a link says.
"""

from __future__ import annotations

import hashlib
import os
import stat
from codecs import BOM_UTF8
from pathlib import Path
from typing import Final

from reconciler.desired import NoPicture, Picture

MAX_TEXT: Final = 1024 * 1024
"""Bytes of a YAML file or a merchant group: far more than any real one has."""
MAX_PICTURE: Final = 2 * 1024 * 1024
"""Bytes of a picture (API §4)."""


class UnusableError(Exception):
    """A file that cannot be used: a stable ``code``, and a message that goes after the file's name."""

    def __init__(self, code: str, message: str, line: int = 0, column: int = 0) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.line = line
        self.column = column


def inside(root: Path, relative: str) -> Path:
    """The real path of ``relative``. Raises UnusableError if that leaves ``root``, which is resolved already."""
    try:
        real = (root / relative).resolve()
    except (OSError, RuntimeError) as error:  # a loop of links
        raise UnusableError("unreadable", f"cannot be read: {reason_of(error)}") from error
    if not real.is_relative_to(root):
        raise UnusableError("outside_project", "is a link that leaves the project")
    return real


def read_bytes(path: Path, limit: int) -> bytes:
    """The content of a regular file of at most ``limit`` bytes. Raises UnusableError, also for a Git LFS pointer."""
    try:
        descriptor = os.open(path, _OPEN_FLAGS)
    except FileNotFoundError as error:
        raise UnusableError("not_found", "does not exist") from error
    except OSError as error:
        raise UnusableError("unreadable", f"cannot be read: {reason_of(error)}") from error
    try:
        content = _read_open(descriptor, limit)
    except OSError as error:
        raise UnusableError("unreadable", f"cannot be read: {reason_of(error)}") from error
    finally:
        os.close(descriptor)
    if content.startswith(_LFS_POINTERS):
        message = (
            "is a Git LFS pointer and not the file itself: fetch it (git lfs pull; in CI, check out with LFS)"
        )
        raise UnusableError("lfs_pointer", message)
    return content


_LFS_POINTERS: Final = (
    b"version https://git-lfs.github.com/spec/",
    b"version https://hawser.github.com/spec/",
)
"""How the pointer files of Git LFS begin, which is all that a checkout without LFS holds."""

# Without waiting: opening a named pipe would otherwise never return.
_OPEN_FLAGS: Final = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def _read_open(descriptor: int, limit: int) -> bytes:
    """By descriptor, because thousands of small files are read: Python's file objects take three times as long."""
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise UnusableError("not_a_file", "is not a file")
    if status.st_size > limit:
        raise UnusableError("too_large_file", f"has {status.st_size:,} bytes, at most {limit:,} are allowed")
    content = os.read(descriptor, status.st_size + 1)
    if len(content) != status.st_size:
        raise UnusableError("changed", "changed while it was read: run again")
    return content


def read_text(path: Path) -> str:
    """The content of a UTF-8 file; a byte order mark is dropped."""
    content = read_bytes(path, MAX_TEXT).removeprefix(BOM_UTF8)
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        before = content[: error.start].decode()
        line, column = before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1
        message = f"byte 0x{content[error.start]:02x} is not UTF-8: save the file as UTF-8 (it may be GBK or UTF-16)"
        raise UnusableError("not_utf8", message, line, column) from error


def reason_of(error: Exception) -> str:
    """What the system says went wrong, without the file's name."""
    return getattr(error, "strerror", None) or str(error)


# --- pictures ------------------------------------------------------------------------------------------------------

_SIGNATURES: Final = ((b"\xff\xd8\xff", "JPG"), (b"\x89PNG\r\n\x1a\n", "PNG"), (b"BM", "BMP"))


def read_picture(root: Path, relative: str) -> bytes:
    """The bytes of a local picture. Raises UnusableError."""
    return read_bytes(inside(root, relative), MAX_PICTURE)


def picture_at(root: Path, relative: str) -> Picture | NoPicture:
    """What is found where a spec names a local picture."""
    try:
        content = read_picture(root, relative)
    except UnusableError as problem:
        return NoPicture(problem.code, problem.message)
    kind = next((kind for signature, kind in _SIGNATURES if content.startswith(signature)), None)
    if kind is None:
        return NoPicture("not_a_picture", "is not a JPG, PNG or BMP picture")
    return Picture(sha256_of(content), kind)


def sha256_of(content: bytes) -> str:
    """Lower-case hex, as the upload sends it (API §4)."""
    return hashlib.sha256(content).hexdigest()
