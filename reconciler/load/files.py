"""Files of a project: found, read and judged.

Nothing is read from outside the project, whatever a path or a link says.
"""

from __future__ import annotations

import hashlib
import os
import stat
from codecs import BOM_UTF8
from collections.abc import Iterator
from dataclasses import dataclass
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
        raise UnusableError("unreadable", f"cannot be read: {_reason(error)}") from error
    if not real.is_relative_to(root):
        raise UnusableError("outside_project", "is a link that leaves the project")
    return real


def read_bytes(path: Path, limit: int) -> bytes:
    """The content of a regular file of at most ``limit`` bytes."""
    try:
        descriptor = os.open(path, _OPEN_FLAGS)
    except FileNotFoundError as error:
        raise UnusableError("not_found", "does not exist") from error
    except OSError as error:
        raise UnusableError("unreadable", f"cannot be read: {_reason(error)}") from error
    try:
        return _read_open(descriptor, limit)
    except OSError as error:
        raise UnusableError("unreadable", f"cannot be read: {_reason(error)}") from error
    finally:
        os.close(descriptor)


# Without waiting: opening a named pipe would otherwise never return.
_OPEN_FLAGS: Final = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def _read_open(descriptor: int, limit: int) -> bytes:
    """By descriptor, because thousands of small files are read: Python's file objects take three times as long."""
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise UnusableError("not_a_file", "is not a file")
    if status.st_size > limit:
        raise UnusableError("too_large_file", f"has {status.st_size:,} bytes, at most {limit:,} are allowed")
    return os.read(descriptor, status.st_size)


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


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


# --- spec files ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Found:
    """A spec file, by its name relative to the root; ``unusable`` tells why it, or a folder, must not be read."""

    name: str
    unusable: UnusableError | None = None


def spec_files(root: Path, folder: Path) -> list[Found]:
    """All ``*.yaml`` and ``*.yml`` under ``folder``, sorted by name; what is hidden is passed over."""
    start = folder.relative_to(root).as_posix()
    return sorted(_walk(root, folder, "" if start == "." else f"{start}/"), key=lambda found: found.name)


def _walk(root: Path, folder: Path, prefix: str) -> Iterator[Found]:
    todo: list[tuple[str, str, frozenset[Path]]] = [(str(folder), prefix, frozenset({folder}))]
    while todo:
        path, prefix, above = todo.pop()
        try:
            with os.scandir(path) as entries:
                visible = [entry for entry in entries if not entry.name.startswith(".")]
        except OSError as error:
            yield Found(prefix.rstrip("/"), UnusableError("unreadable", f"cannot be read: {_reason(error)}"))
            continue
        for entry in visible:
            name = prefix + entry.name
            wanted = entry.name.endswith((".yaml", ".yml"))
            if _is_folder(entry):
                problem, chain = _enter(root, entry, above)
                if problem is None:
                    todo.append((entry.path, f"{name}/", chain))
                else:
                    yield Found(name, problem)
            elif wanted:
                yield Found(name, _link_problem(root, entry))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself: reading it as a file says so
        return False


def _enter(
    root: Path, entry: os.DirEntry[str], above: frozenset[Path]
) -> tuple[UnusableError | None, frozenset[Path]]:
    if not entry.is_symlink():
        return None, above | {Path(entry.path)}
    problem = _link_problem(root, entry)
    real = Path(entry.path).resolve()
    if problem is None and real in above:
        problem = UnusableError("link_cycle", "is a link to a folder that it is in")
    return problem, above | {real}


def _link_problem(root: Path, entry: os.DirEntry[str]) -> UnusableError | None:
    if not entry.is_symlink():
        return None
    try:
        inside(root, entry.path)
    except UnusableError as problem:
        return problem
    return None


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
