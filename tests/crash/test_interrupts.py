"""A signal while something is being written: the first finishes what is in flight, the second stops at once."""

from __future__ import annotations

import json
import signal

import pytest

from tests.crash.stage import Setting, Stage, Strike

REPLACE = "replace, create first"
CREATE = "unique-threshold-activity"


def number_of(play: Stage, route: str) -> int:
    """The number of the request of a whole run that goes to ``route``."""
    play.take()
    asked = play.apply().asked
    play.take()
    return next(number for number, line in enumerate(asked, 1) if line.endswith(route))


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_finishes_what_is_in_flight_and_reports(
    stage: Setting, kind: signal.Signals
) -> None:
    play = stage(REPLACE)
    at_create: list[Strike] = [(number_of(play, CREATE), "arrival", kind)]
    ran = play.apply("--report", str(play.root / "report.json"), strikes=at_create)
    assert ran.codes == (130,), ran.output
    assert "Interrupted: finishing what is in flight." in ran.output
    assert "Interrupted. Applied: " in ran.output
    assert "it goes on where this run stopped" in ran.output
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
    assert "An earlier run ended before it knew what became of:" in again.output
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
