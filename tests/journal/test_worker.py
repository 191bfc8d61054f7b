"""The thread of the journal: whatever blocks in it, the event loop goes on, and whoever waits is told in time."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, TypeVar

import pytest

from reconciler.journal.worker import Worker
from reconciler.model.errors import JournalError

T = TypeVar("T")


def with_worker(use: Callable[[Worker], Coroutine[Any, Any, T]], *, deadline: float = 5.0) -> T:
    async def work() -> T:
        worker = Worker("journal.db", deadline_seconds=deadline)
        try:
            return await use(worker)
        finally:
            worker.stop()

    return asyncio.run(work())


def test_a_call_gives_what_it_returns_and_raises_what_it_raises() -> None:
    async def use(worker: Worker) -> None:
        assert await worker.do(lambda: 7) == 7
        with pytest.raises(JournalError, match="the disk is full"):
            await worker.do(refuse)
        assert await worker.do(lambda: 8) == 8, "it goes on after an error"

    def refuse() -> None:
        raise JournalError("the disk is full.")

    with_worker(use)


def test_calls_are_made_in_order_in_one_thread_that_is_not_the_loops() -> None:
    made: list[tuple[int, int]] = []

    async def use(worker: Worker) -> None:
        await asyncio.gather(*(worker.do(partial(note, number)) for number in range(20)))

    def note(number: int) -> None:
        made.append((number, threading.get_ident()))

    with_worker(use)
    assert [number for number, _ in made] == list(range(20))
    assert len({thread for _, thread in made} - {threading.get_ident()}) == 1


def test_the_loop_goes_on_while_a_call_blocks() -> None:
    ticks = 0
    release = threading.Event()

    async def use(worker: Worker) -> None:
        nonlocal ticks
        blocked = asyncio.create_task(worker.do(release.wait))
        for _ in range(10):
            await asyncio.sleep(0.001)
            ticks += 1
        release.set()
        assert await blocked

    with_worker(use)
    assert ticks == 10


def test_who_waits_for_a_call_that_takes_too_long_is_told_and_so_is_who_comes_later() -> None:
    release, begun = threading.Event(), list[str]()

    async def use(worker: Worker) -> None:
        first = asyncio.create_task(worker.do(release.wait))
        behind = asyncio.create_task(worker.do(lambda: begun.append("behind")))
        for waiting in (first, behind):
            with pytest.raises(JournalError, match=r"journal in journal\.db has not answered for 0\.05 s"):
                await waiting
        later = worker.do(lambda: begun.append("later"))
        with pytest.raises(JournalError, match="has not answered"):
            later.send(None)  # at once: that it does not answer is known by now
        release.set()
        assert await answered(worker) == 7, "and once it answers, all is well"

    with_worker(use, deadline=0.05)
    assert begun == [], "what nobody waits for any more is not begun"


async def answered(worker: Worker) -> int:
    """What a call gives, once the worker is free for it."""
    while True:
        try:
            return await worker.do(lambda: 7, deadline_seconds=5)
        except JournalError:
            await asyncio.sleep(0.001)


def test_many_short_calls_may_take_longer_together_than_one_may() -> None:
    async def use(worker: Worker) -> None:
        await asyncio.gather(*(worker.do(lambda: time.sleep(0.02)) for _ in range(15)))

    with_worker(use, deadline=0.2)


def test_who_is_cancelled_waits_no_longer() -> None:
    release = threading.Event()

    async def use(worker: Worker) -> float:
        waiting = asyncio.create_task(worker.do(release.wait))
        await asyncio.sleep(0.01)
        started = time.monotonic()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        return time.monotonic() - started

    assert with_worker(use) < 0.5
    release.set()


def test_an_answer_that_comes_after_the_loop_has_ended_disturbs_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    release = threading.Event()
    worker = Worker(deadline_seconds=0.01)

    async def use() -> None:
        with pytest.raises(JournalError):
            await worker.do(release.wait)

    asyncio.run(use())
    release.set()
    assert asyncio.run(answered(worker)) == 7
    worker.stop()
    assert caplog.records == []
