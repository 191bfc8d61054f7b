"""Virtual time, and processes that can stop, die and come back: what the operating system is to a simulated life.

Nothing sleeps. When no callback is ready, the clock jumps to the next timer, so that a life of weeks takes a moment and
the same script always makes the same steps.
"""

from __future__ import annotations

import asyncio
import contextvars
import selectors
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_running: contextvars.ContextVar[Machine | None] = contextvars.ContextVar("machine", default=None)


class Stuck(Exception):  # noqa: N818 - what a life came to, no error of anybody's
    """Nothing is ready and no timer is set: whatever is waited for will never happen."""


class _JumpingClock(selectors.SelectSelector):
    """Instead of waiting for files, it lets the time pass that it was given to wait."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise Stuck
        self.now += max(timeout, 0.0)
        return []


class Machine:
    """One simulated process: the tasks and timers that were begun in its context, and whether they make steps."""

    def __init__(self, name: str, commit: str = "") -> None:
        self.name, self.commit = name, commit
        self.dead = False
        self.frozen = False
        self._held: list[_Step] = []

    def __str__(self) -> str:
        return self.name

    @property
    def stands_still(self) -> bool:
        return self.dead or self.frozen

    def start(self, loop: asyncio.AbstractEventLoop, work: Any) -> asyncio.Task[Any]:
        """Run the coroutine ``work``, and all that it begins, as this process."""
        context = contextvars.copy_context()
        context.run(_running.set, self)
        return loop.create_task(work, context=context)

    def stop(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        """As SIGSTOP does, and SIGCONT after ``seconds``."""
        self.frozen = True
        # Not in the context of the process, where the timer would stand still with it.
        loop.call_later(seconds, self.go_on, context=contextvars.Context())

    def go_on(self) -> None:
        """The steps that were due in the meantime are made now, in their order."""
        self.frozen = False
        held, self._held = self._held, []
        for step in held:
            step.again()

    def bury(self) -> None:
        """Let the tasks of a dead process come to their end. Its life is over: nothing they do has an effect."""
        self.dead = False
        self.go_on()

    def hold(self, step: _Step) -> None:
        self._held.append(step)


def this_machine() -> Machine | None:
    """The process whose step is being made, if it is one's."""
    return _running.get()


class _Step:
    """A callback of a process, which waits while the process stands still."""

    def __init__(
        self, loop: VirtualLoop, machine: Machine, callback: Callable[..., object], args: tuple[Any, ...]
    ) -> None:
        self._loop, self._machine, self._callback, self._args = loop, machine, callback, args
        self.handle: asyncio.Handle | None = None
        self.context: contextvars.Context | None = None

    def __call__(self) -> None:
        if self.handle is not None and self.handle.cancelled():
            return
        if self._machine.stands_still:
            self._machine.hold(self)
        else:
            self._callback(*self._args)

    def again(self) -> None:
        self._loop.call_plainly(self, self.context)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps. Executors run inline: there are no threads, whose steps nobody could repeat."""

    def __init__(self) -> None:
        self._jumping = _JumpingClock()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now

    def call_plainly(self, callback: Callable[[], object], context: contextvars.Context | None) -> None:
        super().call_soon(callback, context=context)

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        # An empty context is false.
        context = contextvars.copy_context() if context is None else context
        machine = context.get(_running)
        if machine is None:
            return super().call_soon(callback, *args, context=context)
        step = _Step(self, machine, callback, args)
        step.context = context
        step.handle = super().call_soon(step, context=context)
        return step.handle

    def call_at(
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        # An empty context is false.
        context = contextvars.copy_context() if context is None else context
        machine = context.get(_running)
        if machine is None:
            return super().call_at(when, callback, *args, context=context)
        step = _Step(self, machine, callback, args)
        step.context = context
        handle = super().call_at(when, step, context=context)
        step.handle = handle
        return handle

    def run_in_executor(self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        """In the next step of the process that asked, without a thread."""
        future: asyncio.Future[T] = self.create_future()

        def work() -> None:
            if future.cancelled():
                return
            try:
                future.set_result(func(*args))
            except Exception as error:  # noqa: BLE001 - an executor hands every error to who waits for it
                future.set_exception(error)

        self.call_soon(work)
        return future
