"""Exceptions that nobody expected, at the end of a process: the traceback for whoever asks for it, and else nothing.

Imports little, since every command imports it.
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
from types import FrameType
from typing import Final, NoReturn

import click

from reconciler.cli.streams import StdoutError
from reconciler.commands import unexpected
from reconciler.commands.unexpected import DEBUG, frames, is_ours, kind_of
from reconciler.model.errors import PaygiftError, UsageError

_OFF: Final = frozenset({"", "0", "false", "no", "off"})
_SAY_NO_VALUES: Final = (AttributeError, ImportError, IndexError, NameError, RecursionError, TypeError)
"""Python's own words for these name attributes, types and variables, where it is our code that they are about."""


def is_debugging() -> bool:
    """Whether tracebacks and what libraries log are shown: ``PAYGIFT_DEBUG`` is set, and not to 0, false, no or off."""
    return os.environ.get(DEBUG, "").strip().lower() not in _OFF


def translated(error: BaseException, *, command: str) -> PaygiftError:
    """What can be said of any exception that ended ``command``."""
    if isinstance(error, click.Abort):
        error = KeyboardInterrupt()
    if isinstance(error, click.ClickException):
        return UsageError(error.format_message())
    if isinstance(error, StdoutError):
        return UsageError(str(error))
    return unexpected.translated(error, command=command)


def show_traceback(error: BaseException) -> None:
    """On stderr, for people who report a defect: the exceptions with their lines, without values."""
    for line in _lines(error):
        click.echo(line, err=True)


@contextmanager
def terminable() -> Iterator[None]:
    """SIGTERM interrupts like SIGINT, where it would end the process without a word."""
    before = signal.getsignal(signal.SIGTERM)
    # Whoever ignores or handles it, such as nohup or an embedding program, has decided.
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
    # With -W somebody has asked for them.
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    sys.unraisablehook = _say_nothing
    threading.excepthook = _say_nothing


def hush_logs() -> None:
    """Nor does what a library logs, which Python prints where nobody has set up logging."""
    import logging  # noqa: PLC0415 - for who talks to WeChat Pay

    root = logging.getLogger()
    if not root.handlers and not is_debugging():
        # Libraries log addresses and bodies, in which secrets stand.
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
    # The only exit that does not join threads; so streams are flushed by hand before it.
    os._exit(code)


def _lines(error: BaseException) -> Iterator[str]:
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None:
        yield from _lines(cause)
        yield "Then:"
    yield "Traceback (most recent call last):"
    # Lines of code and no values; the last forty, as a recursion has a thousand.
    for line in traceback.format_tb(error.__traceback__, limit=-40):
        yield line.rstrip("\n")
    yield f"{kind_of(error)}{_words(error)}"
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from _lines(each)


def _words(error: BaseException) -> str:
    places = list(frames(error.__traceback__))
    # A library may put a value into any message, also of these classes.
    plain = isinstance(error, _SAY_NO_VALUES) and bool(places) and is_ours(places[-1])
    return f": {error}" if plain else ""


def _say_nothing(_event: object) -> None:
    """It is for nobody to read."""
