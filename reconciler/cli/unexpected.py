"""Exceptions that nobody expected: a sentence that quotes nothing, and the traceback for whoever asks for it.

What an exception says may hold a secret, so that neither its text nor a value is ever shown: its class, and the line
where it was raised. Imports little, since every command imports it.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Final, NoReturn

import click

from reconciler.cli.streams import StdoutError
from reconciler.model.errors import InterruptedRunError, PaygiftError, UnexpectedError, UsageError

DEBUG: Final = "PAYGIFT_DEBUG"
AGAIN: Final = "Run apply again: it finds out what has happened, repeats none of it, and does the rest."
_OURS: Final = __name__.partition(".")[0]
_OFF: Final = frozenset({"", "0", "false", "no", "off"})
_SAY_NO_VALUES: Final = (AttributeError, ImportError, IndexError, NameError, RecursionError, TypeError)
"""Python's own words for these name attributes, types and variables, where it is our code that they are about."""


def is_debugging() -> bool:
    """Whether tracebacks and what libraries log are shown: ``PAYGIFT_DEBUG`` is set, and not to 0, false, no or off."""
    return os.environ.get(DEBUG, "").strip().lower() not in _OFF


def translated(error: BaseException, *, command: str, writing: bool = False) -> PaygiftError:
    """What can be said of any exception that ended ``command``; with ``writing``, something may have been written."""
    if isinstance(error, PaygiftError):
        return error
    if isinstance(error, (KeyboardInterrupt, click.Abort)):
        return _interrupted(writing)
    if isinstance(error, click.ClickException):
        return UsageError(error.format_message())
    if isinstance(error, StdoutError):
        return UsageError(str(error))
    if isinstance(error, MemoryError):
        said = f"`{command}` ran out of memory at {_where(error)}."
        remedy = "Run it where there is more."
    else:
        said = f"`{command}` failed unexpectedly: {_kind(error)} at {_where(error)}. This is a defect of paygift."
        remedy = f"Run it again with {DEBUG}=1, which adds the traceback, and report that."
    return UnexpectedError(
        said, remedy=f"Something may have been written. {AGAIN} {remedy}" if writing else remedy
    )


def show_traceback(error: BaseException) -> None:
    """On stderr, for people who report a defect: the exceptions with their lines, without values."""
    for line in _lines(error):
        click.echo(line, err=True)


@contextmanager
def terminable() -> Iterator[None]:
    """SIGTERM interrupts like SIGINT, where it would end the process without a word."""
    before = signal.getsignal(signal.SIGTERM)
    if before is not signal.SIG_DFL or not in_main_thread():
        yield
        return
    signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    """A signal handler that does what Python does for SIGINT."""
    raise KeyboardInterrupt


def in_main_thread() -> bool:
    """Only there may signals be handled."""
    return threading.current_thread() is threading.main_thread()


def hush() -> None:
    """Nothing that goes wrong beside a command, in a thread or while Python ends, prints a traceback of its own."""
    if is_debugging():
        return
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    sys.unraisablehook = _say_nothing
    threading.excepthook = _say_nothing


def hush_logs() -> None:
    """Nor does what a library logs, which Python prints where nobody has set up logging."""
    import logging

    root = logging.getLogger()
    if not root.handlers and not is_debugging():
        root.addHandler(logging.NullHandler())


def leave(code: int) -> NoReturn:
    """End the process, without waiting for threads that nobody can end, such as one that looks up a name."""
    if all(each.daemon or each is threading.main_thread() for each in threading.enumerate()):
        sys.exit(code)
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            code = code or 1
    os._exit(code)


def _interrupted(writing: bool) -> InterruptedRunError:
    if writing:
        return InterruptedRunError(
            "Interrupted. What was in flight may or may not have happened.", remedy=AGAIN
        )
    return InterruptedRunError("Interrupted. Nothing was written.", remedy="Run apply again.")


def _kind(error: BaseException) -> str:
    """The class, and for an error of the operating system what its number means."""
    error = _leaf(error)
    name = type(error).__name__
    module = type(error).__module__
    said = name if module == "builtins" else f"{module}.{name}"
    if isinstance(error, OSError) and isinstance(error.errno, int):
        return f"{said} ({os.strerror(error.errno)})"
    return said


def _leaf(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _where(error: BaseException) -> str:
    """The line of ours that it came through last, and the one of a library where it was raised."""
    frames = list(_frames(_leaf(error).__traceback__))
    if not frames:
        return "an unknown place"
    ours = [place for place in frames if _is_ours(place)]
    last = frames[-1]
    return f"{ours[-1]} (in {last})" if ours and ours[-1] != last else last


def _frames(trace: TracebackType | None) -> Iterator[str]:
    while trace is not None:
        yield f"{trace.tb_frame.f_globals.get('__name__', '?')}:{trace.tb_lineno}"
        trace = trace.tb_next


def _is_ours(place: str) -> bool:
    return place.startswith((f"{_OURS}.", f"{_OURS}:"))


def _lines(error: BaseException) -> Iterator[str]:
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None:
        yield from _lines(cause)
        yield "Then:"
    yield "Traceback (most recent call last):"
    for line in traceback.format_tb(error.__traceback__, limit=-40):
        yield line.rstrip("\n")
    yield f"{_kind(error)}{_words(error)}"
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from _lines(each)


def _words(error: BaseException) -> str:
    frames = list(_frames(error.__traceback__))
    plain = isinstance(error, _SAY_NO_VALUES) and bool(frames) and _is_ours(frames[-1])
    return f": {error}" if plain else ""


def _say_nothing(_event: object) -> None:
    """It is for nobody to read."""
