"""What a signal does while something is written: the first finishes what is in flight, the second stops at once."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import click

from reconciler.errors import InterruptedRunError

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def interruptible() -> Iterator[asyncio.Event]:
    """An event that the first SIGINT or SIGTERM sets; the second cancels the task, as InterruptedRunError.

    For the task that enters it, within a running event loop.
    """
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None  # noqa: S101 - entered from a coroutine
    stop = asyncio.Event()
    cancelled = False

    def on_signal() -> None:
        nonlocal cancelled
        if stop.is_set():
            cancelled = True
            task.cancel()
            return
        stop.set()
        click.echo("Interrupted: finishing what is in flight. Once more stops at once.", err=True)

    restore = [_install(loop, number, on_signal) for number in _SIGNALS]
    try:
        yield stop
    except asyncio.CancelledError:
        if not cancelled:
            raise
        task.uncancel()
        raise InterruptedRunError(
            "Stopped at once. What was in flight may or may not have happened.",
            remedy="Run apply again: it finds out what has happened, repeats none of it, and does the rest.",
        ) from None
    finally:
        for undo in restore:
            undo()


def _install(
    loop: asyncio.AbstractEventLoop, number: signal.Signals, act: Callable[[], None]
) -> Callable[[], object]:
    """Have ``act`` called for a signal. Returns what puts things back as they were."""
    before = signal.getsignal(number) or signal.SIG_DFL  # None: set by something that is not Python

    def restore() -> None:
        loop.remove_signal_handler(number)
        signal.signal(number, before)

    def on_windows(_number: int, _frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(act)

    try:
        loop.add_signal_handler(number, act)
    except NotImplementedError:  # pragma: no cover - Windows
        signal.signal(number, on_windows)
        return lambda: signal.signal(number, before)
    return restore
