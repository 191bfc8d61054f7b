"""Files of a project: found, read and judged.

Nothing is read from outside the project, whatever a path or a link says.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Final
from unicodedata import normalize

from reconciler.model.characters import BIDI_CONTROLS, character_class, shown
from reconciler.spec.yaml_ import line_and_column

MAX_TEXT: Final = 1024 * 1024
"""Bytes of a YAML file or a merchant group: far more than any real one has."""


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
    # A commit can hold a link to /etc or to somebody's key, and errors quote what is read.
    if not real.is_relative_to(root):
        raise UnusableError("outside_project", "is a link that leaves the project")
    return real


def read_bytes(path: Path, limit: int) -> bytes:
    """The content of a regular file of at most ``limit`` bytes. Raises UnusableError, also for a Git LFS pointer."""
    try:
        # Opened first and judged by descriptor: a path could be exchanged between two looks.
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
    # It is a text, so that without this check the pointer would be told as bad YAML or a bad image.
    if content.startswith(_LFS_POINTERS):
        message = "is a Git LFS pointer and not the file itself: fetch it (git lfs pull; in CI, check out with LFS)"
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
    # One byte more than there should be, to notice a file that grows.
    content = os.read(descriptor, status.st_size + 1)
    if len(content) != status.st_size:
        raise UnusableError("changed", "changed while it was read: run again")
    return content


def read_text(path: Path) -> str:
    """The content of a UTF-8 file; a byte order mark is dropped.

    Raises UnusableError, also where a line is not what git and an editor show as a line, or is not read in the order in
    which it is shown: a reviewer would approve what is not there.
    """
    content = read_bytes(path, MAX_TEXT).removeprefix(BOM_UTF8)
    # Before decoding: an Excel file deserves another word than "byte 0xd0 is not UTF-8".
    _check_encoding(content)
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        before = content[: error.start].decode()
        message = f"byte 0x{content[error.start]:02x} is not UTF-8: save the file as UTF-8 (it may be GBK or UTF-16)"
        raise UnusableError("not_utf8", message, *line_and_column(before, len(before))) from error
    _check_characters(content, text)
    return text


_NO_TEXTS: Final = {
    b"PK\x03\x04": "an Excel workbook (.xlsx) or another archive",
    b"\xd0\xcf\x11\xe0": "an old Excel or Word file (.xls, .doc)",
    b"%PDF-": "a PDF",
    b"\x1f\x8b": "a compressed file",
    b"\x89PNG": "an image",
    b"\xff\xd8\xff": "an image",
}


def _check_encoding(content: bytes) -> None:
    if content.startswith(tuple(_NO_TEXTS)):
        kind = next(kind for signature, kind in _NO_TEXTS.items() if content.startswith(signature))
        message = (
            f"is {kind} and not a text: save it as plain text in UTF-8; a merchant group has one merchant number "
            "in each line"
        )
        raise UnusableError("not_a_text", message)
    if content.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) or _is_utf16(content):
        raise UnusableError("not_utf8", "is UTF-16: save the file as UTF-8", 1, 1)


def _is_utf16(content: bytes) -> bool:
    """Whether the zeros are where UTF-16 without a byte order mark has them: in one half of each ASCII character."""
    if b"\0" not in content:
        return False
    # By proportion, since a stray zero byte is not a sign of UTF-16.
    zeros = sorted((content[::2].count(0), content[1::2].count(0)))
    return len(content) % 2 == 0 and zeros[1] > max(8 * zeros[0], len(content) // 8)


_LINE_BREAKS: Final = "\x0b\x0c\x1c-\x1e\x85\u2028\u2029"
_BIDI: Final = character_class(BIDI_CONTROLS)
_ODD: Final = re.compile(
    f"(?P<line>[{_LINE_BREAKS}]|\r(?!\n))|(?P<order>[{_BIDI}])|[\x00-\x08\x0e-\x1f\x7f-\x9f\ufeff\ufffe\uffff]"
)
_SUSPECTS: Final = bytes([*range(9), *range(11, 32), 127, 0xC2, 0xD8, 0xE2, 0xEF])
"""Bytes of which each of these characters has one in UTF-8: thousands of files are read, and most have none."""


def _check_characters(content: bytes, text: str) -> None:
    if len(content.translate(None, _SUSPECTS)) == len(content):
        return
    found = list(_ODD.finditer(text))
    if not found:
        return
    first = found[0]
    more = f" (and {len(found) - 1:,} more such characters in this file)" if len(found) > 1 else ""
    name = f"the character U+{ord(first[0]):04X}"
    # YAML or Python would end a line where the diff shows none: a comment could hide a value.
    if first["line"]:
        code = "hidden_line_break"
        message = f"{name} ends a line for some programs and not for git: press Enter instead"
    elif first["order"]:
        code, message = "bidi_control", f"{name} changes the order in which the line is shown: remove it"
    else:
        code, message = "character", f"{name} is not allowed in a text: remove it"
    raise UnusableError(code, f"{message}{more}", *line_and_column(text, first.start()))


class FileNames:
    """The names of files as they are on disk, to the letter; a folder is listed once.

    Some systems find ``Logo.png`` by the name ``logo.png``, others do not: a project that is right on one would be
    wrong on another.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._listed: dict[Path, frozenset[str]] = {}

    def find(self, relative: str) -> Path:
        """The real path of ``relative``. Raises UnusableError as ``inside`` does, and if the name differs in spelling
        from that on disk."""
        real = inside(self._root, relative)
        spelt = self._spelt(relative)
        if spelt is not None:
            message = f"is called {shown(spelt, 80)} on disk: write it so, since not every system finds it otherwise"
            raise UnusableError("other_spelling", message)
        return real

    def _spelt(self, relative: str) -> str | None:
        """How a path is spelt on disk, if that is not how it is given."""
        given = PurePosixPath(relative).parts
        folder, found = self._root, []
        for part in given:
            names = frozenset({part}) if part == ".." else self._names(folder)
            # The exact name first: on Linux both spellings can exist.
            spelt = part if part in names else _alike(part, names)
            if spelt is None:
                return None  # there is no such file, which whoever opens it says
            found.append(spelt)
            folder /= spelt
        return None if tuple(found) == given else "/".join(found)

    def _names(self, folder: Path) -> frozenset[str]:
        if folder not in self._listed:
            try:
                self._listed[folder] = frozenset(each.name for each in folder.iterdir())
            except OSError:  # opening what is in it says why
                self._listed[folder] = frozenset()
        return self._listed[folder]


def _alike(name: str, names: Iterable[str]) -> str | None:
    return min((each for each in names if same_name(each) == same_name(name)), default=None)


def same_name(name: str) -> str:
    """What is equal for two names that are one file on a Mac or on Windows."""
    # macOS stores names decomposed, and neither it nor Windows tells case apart.
    return normalize("NFC", name).casefold()


def reason_of(error: Exception) -> str:
    """What the system says went wrong, without the file's name."""
    return getattr(error, "strerror", None) or str(error)


def sha256_of(content: bytes) -> str:
    """Lower-case hex, as the upload sends it (API §4)."""
    return hashlib.sha256(content).hexdigest()
