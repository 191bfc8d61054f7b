"""A signal while something is being written: the first finishes what is in flight, the second stops at once."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import pytest
from sqlalchemy import text

from tests.crash.stage import Ran, Service, Setting, Stage, Strike, When
from tests.support.postgres import connected, fresh_database

REPLACE = "replace, create first"
CREATE = "unique-threshold-activity"


def number_of(play: Stage, route: str) -> int:
    """The number of the request of a whole run that goes to ``route``."""
    play.take()
    asked = play.apply().asked
    play.take()
    return next(number for number, line in enumerate(asked, 1) if line.endswith(route))


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_finishes_what_is_in_flight_and_reports(stage: Setting, kind: signal.Signals) -> None:
    play = stage(REPLACE)
    at_create: list[Strike] = [(number_of(play, CREATE), "arrival", kind)]
    ran = play.apply("--report", str(play.root / "report.json"), strikes=at_create)
    assert ran.codes == (130,), ran.output
    assert "Interrupted: finishing what is in flight." in ran.output
    assert "Interrupted. Applied: " in ran.output
    assert "it continues where this run stopped" in ran.output
    report = json.loads((play.root / "report.json").read_text(encoding="utf-8"))
    assert report["interrupted"]
    (created, terminated) = report["outcomes"][-2:]
    assert (created["operation"]["operation"], created["status"]) == ("create", "done")
    assert (terminated["operation"]["operation"], terminated["status"]) == ("terminate", "not started")
    play.converges()


def test_the_second_signal_stops_at_once_and_the_next_run_resumes(stage: Setting) -> None:
    play = stage(REPLACE)
    number = number_of(play, CREATE)
    twice: list[Strike] = [(number, "arrival", signal.SIGINT), (number, "answer", signal.SIGTERM)]
    ran = play.apply(strikes=twice)
    assert ran.codes == (130,), ran.output
    assert "Stopped at once. What was in flight may or may not have happened." in ran.output
    again = play.apply()
    assert again.codes == (0,), again.output
    assert "An earlier run ended before the outcome of these was known:" in again.output
    assert "spring create" in again.output
    play.sound()


def test_a_runner_that_loses_patience_is_survived(stage: Setting) -> None:
    """SIGTERM, and then SIGKILL while the run still finishes what is in flight."""
    play = stage(REPLACE)
    number = number_of(play, CREATE)
    ran = play.apply(strikes=[(number, "arrival", signal.SIGTERM), (number, "answer", signal.SIGKILL)])
    assert ran.killed
    play.converges()


def test_a_signal_before_anything_is_written_stops_at_once(stage: Setting) -> None:
    play = stage(REPLACE)
    ran = play.apply(strikes=[(number_of(play, "/activities"), "arrival", signal.SIGINT)])
    assert ran.codes == (130,), ran.output
    assert not any(line.startswith("POST") for line in ran.asked)
    play.converges()


# -- a journal that does not answer ------------------------------------------------------------------------------------

AT_ONCE_SECONDS = 5.0
"""The deadline for the journal is 10 s, and SQLite waits for 8 s: whoever waits for either takes longer."""


@contextmanager
def locked_by_others(play: Stage) -> Iterator[Callable[[], None]]:
    """Another process is in the middle of writing to the SQLite file."""
    with closing(sqlite3.connect(play.place.file, isolation_level=None, check_same_thread=False)) as other:

        def lock() -> None:
            other.execute("BEGIN IMMEDIATE")

        yield lock


@contextmanager
def server_that_stops(play: Stage) -> Iterator[Callable[[], None]]:
    """The server of the journal answers nothing any more: its process for the session of the lock is stopped."""
    stopped: list[int] = []

    def stop() -> None:
        with connected(play.journal_url) as connection:
            held = connection.scalars(text("SELECT DISTINCT pid FROM pg_locks WHERE locktype = 'advisory'"))
            stopped.extend(held)
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)

    try:
        yield stop
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)


@pytest.fixture(params=["sqlite", "postgresql"])
def silent(request: pytest.FixtureRequest, stage: Setting) -> Iterator[tuple[Stage, Callable[[], None]]]:
    """A stage, and what makes its journal fall silent."""
    if request.param == "sqlite":
        play = stage(REPLACE)
        play.take()
        with locked_by_others(play) as silence:
            yield play, silence
    else:
        play = stage(REPLACE, fresh_database(request.getfixturevalue("postgresql")))
        play.take()
        with server_that_stops(play) as silence:
            yield play, silence


def strike(monkeypatch: pytest.MonkeyPatch, service: Service, do: dict[tuple[str, When], Callable[[], None]]) -> None:
    """Have something done when the create arrives, or when its answer leaves."""

    def act(number: int, when: When) -> None:
        if service.asked[number - 1].endswith(CREATE):
            do.get((CREATE, when), lambda: None)()

    monkeypatch.setattr(service, "_strike", act)


def timed(play: Stage) -> tuple[Ran, float]:
    started = time.monotonic()
    return play.apply(), time.monotonic() - started


def test_the_second_signal_stops_at_once_whatever_the_journal_does(
    silent: tuple[Stage, Callable[[], None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    play, silence = silent

    def signal_it(kind: signal.Signals) -> None:
        os.kill(int(play.commands.pid_file.read_text()), kind)

    def first() -> None:
        silence()
        signal_it(signal.SIGINT)

    strike(
        monkeypatch,
        play.service,
        {(CREATE, "arrival"): first, (CREATE, "answer"): lambda: signal_it(signal.SIGTERM)},
    )
    ran, seconds = timed(play)
    assert ran.codes == (130,), ran.output
    assert seconds < AT_ONCE_SECONDS
    assert "Stopped at once." in ran.output


@pytest.mark.heavy
def test_a_journal_that_falls_silent_stops_what_comes_next_and_the_outcome_is_told(
    silent: tuple[Stage, Callable[[], None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    play, silence = silent
    strike(monkeypatch, play.service, {(CREATE, "arrival"): silence})
    ran, seconds = timed(play)
    assert ran.codes == (7,), ran.output
    assert seconds < 25, "the deadline once, and not for each thing that is left to write"
    assert "This outcome could not be written down" in ran.output
    assert not any(line.endswith("/terminate") for line in ran.asked)
