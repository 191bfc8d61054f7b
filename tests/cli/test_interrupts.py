"""Signals while an event loop runs: handled between its steps, whenever they come; and what fails beside the work."""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from types import FrameType
from typing import Any

import pytest

from reconciler.cli.interrupts import SIGNALS, interruptible, run, stopping_at_once
from reconciler.model.errors import InterruptedRunError


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of a server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=2_000) as server:
        yield server.getsockname()[1]


class Strike:
    """A signal, right before the ``number``-th line that asyncio runs in the steps and callbacks of sockets."""

    def __init__(self, number: int) -> None:
        self.left = number

    def __call__(self, frame: FrameType, event: str, _argument: Any) -> Any:
        if "asyncio/selector_events" not in frame.f_code.co_filename or self.left < 0:
            return None
        if event == "line":
            self.left -= 1
            if self.left < 0:
                signal.raise_signal(signal.SIGINT)
        return self


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # asyncio leaves half a connection unclosed
@pytest.mark.heavy
def test_a_signal_at_any_moment_of_a_connection_is_an_interrupt_and_nothing_else(
    silent: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """asyncio's own handler cancels in the middle of a callback, which then finds its future done."""
    monkeypatch.setenv("PAYGIFT_DEBUG", "1")  # so that asyncio logs what goes wrong

    async def connect(strike: Strike) -> None:
        sys.settrace(strike)
        reader, writer = await asyncio.open_connection("127.0.0.1", silent)
        try:
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
            asyncio.get_running_loop().call_later(0.1, signal.raise_signal, signal.SIGINT)  # after all lines
            await reader.read(1)
        finally:
            writer.close()
            await writer.wait_closed()

    before = sys.gettrace()
    for number in count():
        strike = Strike(number)
        try:
            with pytest.raises(KeyboardInterrupt):
                run(connect(strike))
        finally:
            sys.settrace(before)
        assert caplog.records == [], number
        if strike.left >= 0:  # every line had its turn
            break
    assert number > 50
    gc.collect()
    assert caplog.records == []


def test_a_second_signal_stops_what_does_not_want_to_end() -> None:
    async def stubborn() -> None:
        signal.raise_signal(signal.SIGINT)
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            signal.raise_signal(signal.SIGINT)
            await asyncio.sleep(60)

    with pytest.raises(KeyboardInterrupt):
        run(stubborn())


def test_a_second_signal_stops_what_keeps_the_loop_waiting() -> None:
    reached: list[str] = []

    async def busy() -> None:
        signal.raise_signal(signal.SIGINT)
        reached.append("the first is noted")
        signal.raise_signal(signal.SIGTERM)
        reached.append("the second should have stopped this")

    with pytest.raises(KeyboardInterrupt):
        run(busy())
    assert reached == ["the first is noted"]


def test_a_third_signal_stops_what_is_being_finished() -> None:
    reached: list[str] = []

    async def writing() -> None:
        with interruptible() as stop:
            for kind in (signal.SIGINT, signal.SIGTERM):
                signal.raise_signal(kind)
            reached.append(str(stop.is_set()))
            signal.raise_signal(signal.SIGINT)
            reached.append("not reached")

    with pytest.raises(KeyboardInterrupt):
        run(writing())
    assert reached == ["False"], "the loop has not come to it"


def test_the_second_signal_is_an_interrupted_run_while_something_is_written() -> None:
    async def writing() -> None:
        with interruptible() as stop:
            signal.raise_signal(signal.SIGTERM)
            await stop.wait()
            signal.raise_signal(signal.SIGINT)
            await asyncio.sleep(60)

    with pytest.raises(InterruptedRunError, match="Stopped at once"):
        run(writing())


def test_a_signal_during_a_question_stops_at_once() -> None:
    async def asking() -> None:
        with stopping_at_once():
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run(asking())


def test_a_signal_that_comes_too_late_to_cancel_anything_is_an_interrupt_all_the_same() -> None:
    async def done() -> str:
        signal.raise_signal(signal.SIGINT)
        return "done"

    with pytest.raises(KeyboardInterrupt):
        run(done())


def test_a_thread_that_does_not_end_keeps_nobody_waiting() -> None:
    """A name that is looked up, for instance."""
    over = threading.Event()

    async def look_up() -> None:
        asyncio.get_running_loop().call_soon(signal.raise_signal, signal.SIGINT)
        await asyncio.to_thread(over.wait, 60)

    try:
        with pytest.raises(KeyboardInterrupt):
            run(look_up())
        assert not over.is_set()
    finally:
        over.set()


@contextmanager
def handled(kind: signal.Signals, handler: Any) -> Iterator[None]:
    before = signal.signal(kind, handler)
    try:
        yield
    finally:
        signal.signal(kind, before)


@pytest.mark.parametrize("kind", SIGNALS)
def test_a_signal_that_was_to_be_ignored_is_ignored(kind: signal.Signals) -> None:
    async def work() -> str:
        signal.raise_signal(kind)
        await asyncio.sleep(0)
        return "done"

    with handled(kind, signal.SIG_IGN):
        assert run(work()) == "done"
        assert signal.getsignal(kind) is signal.SIG_IGN


def test_signals_do_afterwards_what_they_did_before() -> None:
    def own(_number: int, _frame: FrameType | None) -> None:
        """Somebody's handler."""

    async def work() -> None:
        assert signal.getsignal(signal.SIGTERM) is not own

    with handled(signal.SIGTERM, own):
        run(work())
        assert signal.getsignal(signal.SIGTERM) is own
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_it_works_in_a_thread_that_gets_no_signals() -> None:
    came_to: list[int] = []

    async def work() -> int:
        return 1

    thread = threading.Thread(target=lambda: came_to.append(run(work())))
    thread.start()
    thread.join()
    assert came_to == [1]


def beside_the_work() -> None:
    raise ValueError("secret")


async def forgotten() -> None:
    beside_the_work()


async def fails_beside() -> None:
    loop = asyncio.get_running_loop()
    loop.call_soon(beside_the_work)
    tasks = [asyncio.ensure_future(forgotten())]
    await asyncio.sleep(0.01)
    del tasks
    gc.collect()


@pytest.mark.parametrize(("debug", "told"), [("", 0), ("0", 0), ("1", 2)])
def test_what_fails_beside_the_work_is_told_to_who_asks_for_it(
    debug: str, told: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PAYGIFT_DEBUG", debug)
    work: Callable[[], Any] = fails_beside
    run(work())
    assert len(caplog.records) == told
