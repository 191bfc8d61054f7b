"""A thread for calls that may block, so that the event loop answers signals whatever a disk or a server does."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, Final, TypeVar

from reconciler.model.errors import JournalError

DEADLINE_SECONDS: Final = 10.0
"""How long one call may take before whoever waits is told that the journal does not answer."""
READING_SECONDS: Final = 120.0
"""The same for what reads all of a journal, as its lines are read by us and not by the database."""

T = TypeVar("T")
_Job = tuple["Future[Any]", Callable[[], Any]]


class Worker:
    """Makes the calls that it is given one after another, in a thread of its own that begins with the first of them.

    ``where`` names the journal in errors. The thread is a daemon: a process that wants to end does not wait for it.
    """

    def __init__(self, where: str = "this project", *, deadline_seconds: float = DEADLINE_SECONDS) -> None:
        self._where = where
        self._deadline_seconds = deadline_seconds
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._busy_since: float | None = None

    async def do(self, call: Callable[[], T], *, deadline_seconds: float | None = None) -> T:
        """What ``call`` returns or raises.

        Raises JournalError once any call, this one or one before it, has taken longer than ``deadline_seconds``. What
        had not begun by then is never begun; what had begun goes on, and may still take effect.
        """
        deadline = self._deadline_seconds if deadline_seconds is None else deadline_seconds
        self._begin()
        future: Future[T] = Future()
        self._jobs.put((future, call))
        answer = asyncio.wrap_future(future)
        try:
            while not answer.done():
                left = deadline - self._busy_seconds()
                if left <= 0:
                    raise self._silent(deadline)
                await asyncio.wait((answer,), timeout=left)
            return answer.result()
        finally:
            answer.cancel()
            future.cancel()  # now, and not when the loop comes to it

    def later(self, call: Callable[[], object]) -> None:
        """Make ``call`` once the thread is free for it. Nobody waits for it, or hears what became of it."""
        self._begin()
        self._jobs.put((Future(), call))

    def stop(self) -> None:
        """End the thread once it has done what it was given; nobody waits for that."""
        self._jobs.put(None)

    def _begin(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="paygift-journal", daemon=True)
            self._thread.start()

    def _busy_seconds(self) -> float:
        since = self._busy_since
        return 0.0 if since is None else time.monotonic() - since

    def _silent(self, seconds: float) -> JournalError:
        return JournalError(
            f"the journal in {self._where} has not answered for {seconds:g} s.",
            remedy="Check its server or its disk, then run again: nothing is sent to WeChat Pay that was not written "
            "down before.",
        )

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            future, call = job
            # Given up before it began: nobody would know that it was written after all.
            if not future.set_running_or_notify_cancel():
                continue
            self._busy_since = time.monotonic()
            try:
                outcome, error = call(), None
            except BaseException as raised:  # noqa: BLE001 - whoever waits for it raises it
                outcome, error = None, raised
            self._busy_since = None
            if error is None:
                future.set_result(outcome)
            else:
                future.set_exception(error)
