"""What SIGINT and SIGTERM do while an event loop runs: something between two of its steps, never in the middle of one.

asyncio's own handler for SIGINT cancels the task wherever the signal strikes, also half-way through a callback of the
loop, which then fails. Here a signal is only noted where it strikes, and the loop acts on it when it comes to it. Once
nothing is left that could be done in an orderly way, a signal interrupts at once.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from types import FrameType
from typing import Any, Final, TypeVar

import click

from reconciler.cli.unexpected import hush_logs, in_main_thread, interrupt, is_debugging
from reconciler.model.errors import InterruptedRunError

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
Result = TypeVar("Result")


def run(work: Coroutine[Any, Any, Result]) -> Result:
    """What ``work`` comes to, in an event loop of its own. A first signal cancels it, a second one stops at once.

    Raises KeyboardInterrupt after either.
    """
    hush_logs()
    signals = _Signals()
    token = _current.set(signals)
    try:
        with signals.restored(), asyncio.Runner() as runner:
            loop = runner.get_loop()
            # asyncio.run waits for its threads, and getaddrinfo cannot be cancelled.
            loop.set_default_executor(_Abandoned())
            if not is_debugging():
                loop.set_exception_handler(_say_nothing)
            return signals.answered(runner, loop, work)
    except BaseException:
        if signals.at_once:  # whatever a loop that was stopped in the middle says of it
            # The loop's own complaints about being stopped would hide that it was the user.
            raise KeyboardInterrupt from None
        raise
    finally:
        _current.reset(token)


@contextmanager
def interruptible() -> Iterator[asyncio.Event]:
    """An event that the first signal sets; the second cancels the task, as InterruptedRunError; a third stops at once.

    For the task that enters it, within ``run``.
    """
    signals, task = _current.get(), asyncio.current_task()
    assert task is not None  # noqa: S101 - entered from a coroutine
    stop = asyncio.Event()
    cancelled = False

    def finish() -> None:
        stop.set()
        click.echo("Interrupted: finishing what is in flight. Interrupt again to stop at once.", err=True)

    def cancel() -> None:
        nonlocal cancelled
        cancelled = True
        task.cancel()

    with signals.doing([finish, cancel]):
        try:
            yield stop
        except asyncio.CancelledError:
            if not cancelled:
                raise
            # Else asyncio goes on taking this task for one that is being cancelled.
            task.uncancel()
            raise InterruptedRunError(
                "Stopped at once. What was in flight may or may not have happened.",
                remedy="Run apply again: it finds out what has happened, repeats none of it, and does the rest.",
            ) from None


@contextmanager
def stopping_at_once() -> Iterator[None]:
    """Every signal raises KeyboardInterrupt where it strikes: for what keeps the loop waiting, such as a question."""
    with _current.get().doing([]):
        yield


class _Signals:
    """The signals of one event loop. The next one does the first of ``_acts``. Where none is left, it interrupts, and
    ``at_once`` tells that it did.
    """

    def __init__(self) -> None:
        self._acts: list[Callable[[], object]] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self.at_once = False

    def answered(
        self, runner: asyncio.Runner, loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Result]
    ) -> Result:
        """What ``work`` comes to. Raises KeyboardInterrupt if it was cancelled by a signal, or too late for that."""
        self._loop = loop
        late: list[Callable[[], object]] = [_wake_up]
        left: list[Callable[[], object]] = []
        self._acts = late

        async def cancellable() -> Result:
            task = asyncio.current_task()
            assert task is not None  # noqa: S101 - it runs in one
            left.append(task.cancel)
            with self.doing(left):
                # Only inside the task: before it there is nothing to cancel.
                self._take_over(loop)
                return await work

        try:
            result = runner.run(cancellable())
        except asyncio.CancelledError:
            if left:
                raise
        else:
            # Both untouched: no signal came, neither for the work nor after it.
            if left and late:
                return result
        finally:
            self._let_go(loop)
        raise KeyboardInterrupt

    @contextmanager
    def doing(self, acts: list[Callable[[], object]]) -> Iterator[None]:
        """Meanwhile. What has been done is taken from ``acts``."""
        before, self._acts = self._acts, acts
        try:
            yield
        finally:
            self._acts = before

    @contextmanager
    def restored(self) -> Iterator[None]:
        """At the end the signals do again what they did before."""
        before = {number: signal.getsignal(number) for number in SIGNALS}
        try:
            yield
        finally:
            if in_main_thread():
                for number, handler in before.items():
                    signal.signal(number, handler or signal.SIG_DFL)  # None: set by something that is not Python

    def _take_over(self, loop: asyncio.AbstractEventLoop) -> None:
        """Unless whoever started us had the signals ignored, as for a command in the background."""
        if not in_main_thread():
            return
        for number in SIGNALS:
            # nohup and a shell's background jobs rely on it.
            if signal.getsignal(number) is signal.SIG_IGN:
                continue
            with suppress(NotImplementedError):  # Windows, where every loop wakes up by itself
                # For its wake-up descriptor alone: a loop that sleeps in select would not notice.
                loop.add_signal_handler(number, _wake_up)
            # After add_signal_handler, which puts a handler of its own in place.
            signal.signal(number, self._on_signal)

    def _let_go(self, loop: asyncio.AbstractEventLoop) -> None:
        """Before the loop is closed: from now on a signal interrupts, and wakes nobody up."""
        if not in_main_thread():
            return
        for number in SIGNALS:
            with suppress(NotImplementedError):
                if loop.remove_signal_handler(number):
                    signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if not self._acts or self._loop is None or self._loop.is_closed():
            self.at_once = True
            interrupt(number, frame)
        # Never here: a signal may strike in the middle of a callback of the loop.
        self._loop.call_soon_threadsafe(self._acts.pop(0))


_current: ContextVar[_Signals] = ContextVar("signals")


class _Abandoned(ThreadPoolExecutor):
    """Threads whose end nobody waits for: a name that is looked up keeps them for as long as its server likes."""

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        # Runner.close() asks for wait=True.
        super().shutdown(wait=False, cancel_futures=True)


def _wake_up() -> None:
    """The loop comes to what was noted."""


def _say_nothing(_loop: asyncio.AbstractEventLoop, _context: dict[str, Any]) -> None:
    """What fails beside the work is not for a reader; what the work itself comes to is told elsewhere."""
