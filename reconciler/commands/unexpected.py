"""Exceptions that nobody expected, as errors of ours: a sentence that quotes nothing.

What an exception says may hold a secret, so that neither its text nor a value is ever shown: its class, and the line
where it was raised. Imports little, since every command imports it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from types import TracebackType
from typing import Final

from reconciler.model.errors import InterruptedRunError, PaygiftError, UnexpectedError

DEBUG: Final = "PAYGIFT_DEBUG"
AGAIN: Final = "Run apply again: it finds out what has happened, repeats none of it, and does the rest."
_OURS: Final = __name__.partition(".")[0]


def translated(error: BaseException, *, command: str, writing: bool = False) -> PaygiftError:
    """What can be said of any exception that ended ``command``; with ``writing``, something may have been written."""
    # Our own sentences are written to quote no secret.
    if isinstance(error, PaygiftError):
        return error
    if isinstance(error, KeyboardInterrupt):
        return _interrupted(writing)
    if isinstance(error, MemoryError):
        said = f"`{command}` ran out of memory at {_where(error)}."
        remedy = "Run it on a machine with more memory."
    else:
        said = f"`{command}` failed unexpectedly: {kind_of(error)} at {_where(error)}. This is a defect of paygift."
        remedy = f"Run it again with {DEBUG}=1, which adds the traceback, and report that."
    return UnexpectedError(said, remedy=f"Something may have been written. {AGAIN} {remedy}" if writing else remedy)


def _interrupted(writing: bool) -> InterruptedRunError:
    if writing:
        return InterruptedRunError("Interrupted. What was in flight may or may not have happened.", remedy=AGAIN)
    return InterruptedRunError("Interrupted. Nothing was written.", remedy="Run apply again.")


def kind_of(error: BaseException) -> str:
    """The class, and for an error of the operating system what its number means."""
    error = _leaf(error)
    name = type(error).__name__
    module = type(error).__module__
    said = name if module == "builtins" else f"{module}.{name}"
    # strerror of the number, since the error's own text names files and addresses.
    if isinstance(error, OSError) and isinstance(error.errno, int):
        return f"{said} ({os.strerror(error.errno)})"
    return said


def _leaf(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _where(error: BaseException) -> str:
    """The line of ours that it came through last, and the one of a library where it was raised."""
    places = list(frames(_leaf(error).__traceback__))
    if not places:
        return "an unknown place"
    ours = [place for place in places if is_ours(place)]
    last = places[-1]
    # Modules and not files: a path tells about the machine, and changes from one to the next.
    return f"{ours[-1]} (in {last})" if ours and ours[-1] != last else last


def frames(trace: TracebackType | None) -> Iterator[str]:
    """The module and line of each step, as MODULE:LINE, the one where it was raised last."""
    while trace is not None:
        yield f"{trace.tb_frame.f_globals.get('__name__', '?')}:{trace.tb_lineno}"
        trace = trace.tb_next


def is_ours(place: str) -> bool:
    """Whether a step was in paygift's own code."""
    return place.startswith((f"{_OURS}.", f"{_OURS}:"))
