"""The process's stdout and stderr, which may be closed, full, or read by nobody any more.

What cannot be said on stderr must change nothing: writing there never fails. What cannot be written to stdout is a
``StdoutError``, once; a command whose work is done by then says it on stderr instead (``Context.say``).
"""

from __future__ import annotations

import errno
import io
import os
import select
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO


class StdoutError(Exception):
    """Nothing more can be written to stdout. ``reader_left`` if that is because nobody reads it, as with ``| head``."""

    def __init__(self, error: OSError) -> None:
        super().__init__(f"stdout cannot be written: {error.strerror}.")
        # Python ignores SIGPIPE, so that `| head` arrives here as an error.
        self.reader_left = error.errno == errno.EPIPE


class _Stream(io.RawIOBase):
    """Bytes to ``raw``. The first failure is given to ``on_failure``; from then on everything is dropped."""

    def __init__(self, raw: io.RawIOBase, on_failure: Callable[[OSError], None]) -> None:
        self._raw = raw
        self._on_failure = on_failure
        self.gone = False

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._raw.fileno()

    def isatty(self) -> bool:
        return not self.gone and self._raw.isatty()

    def write(self, data: bytes | bytearray | memoryview, /) -> int:  # type: ignore[override]
        # Claims success: an exception from every later print would hide the first reason.
        if self.gone:
            return len(data)
        try:
            # A partial write is fine: BufferedWriter sends the rest.
            while (written := self._raw.write(data)) is None:  # whoever shares it has made it non-blocking
                select.select([], [self._raw], [])
        except OSError as error:
            self.gone = True
            self._on_failure(error)
            return len(data)
        return written


@contextmanager
def guarded_streams() -> Iterator[None]:
    """``sys.stdout`` and ``sys.stderr`` as this module promises them, while the block lasts. Nested ones share them."""
    before = sys.stdout, sys.stderr
    sys.stdout = _guarded(sys.stdout, _raise)
    sys.stderr = _guarded(sys.stderr, lambda error: None)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def stdout_gone() -> bool:
    """Whether nothing that is written to stdout will be seen: it was closed from the start, or has failed."""
    stdout: TextIO | None = sys.stdout
    raw = getattr(getattr(stdout, "buffer", None), "raw", None)
    return stdout is None or (isinstance(raw, _Stream) and raw.gone)


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a person sees it, or types there; a stream that is closed is ``None``."""
    return stream is not None and stream.isatty()


def _raise(error: OSError) -> None:
    raise StdoutError(error) from error


def _guarded(stream: TextIO | None, on_failure: Callable[[OSError], None]) -> TextIO:
    buffer = getattr(stream, "buffer", None)
    raw = getattr(buffer, "raw", buffer)
    if stream is None or raw is None or isinstance(raw, _Stream):
        return stream  # type: ignore[return-value] # closed: Python has None there, and so does click
    return io.TextIOWrapper(
        io.BufferedWriter(_Stream(raw, on_failure)),  # type: ignore[type-var] # its stub wants more than it uses
        encoding=stream.encoding,
        # A terminal that cannot show a character must not end an apply half way.
        errors="backslashreplace",
        line_buffering=bool(stream.line_buffering),
    )


def occupy_closed_descriptors() -> None:
    """Else the next file that is opened, a journal perhaps, would be what some library takes for stdout."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            # Read-only on purpose: a write must fail, and not vanish.
            os.open(os.devnull, os.O_RDONLY)
