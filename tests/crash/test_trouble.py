"""Trouble beside the crash: the journal is gone, torn or full, the clock goes backwards."""

from __future__ import annotations

import signal
from datetime import timedelta

import pytest

from tests.crash.stage import Setting, Stage, Strike

REPLACE = "replace, create first"


def killed_in_between(play: Stage) -> None:
    """A run that dies when the new activity is there and the old one still lives."""
    play.take()
    assert play.apply(strikes=after_create(play)).killed
    assert len(play.service.world.activities()) == 2


def after_create(play: Stage) -> list[Strike]:
    """SIGKILL once the create has had its effect."""
    asked = _asked_by_a_whole_run(play)
    number = next(n for n, line in enumerate(asked, 1) if line.endswith("unique-threshold-activity"))
    return [(number, "answer", signal.SIGKILL)]


def _asked_by_a_whole_run(play: Stage) -> tuple[str, ...]:
    play.take()
    asked = play.apply().asked
    play.take()
    return asked


def test_without_a_journal_live_truth_alone_converges(stage: Setting) -> None:
    play = stage(REPLACE)
    killed_in_between(play)
    for file in (play.root / ".paygift").glob("*"):
        file.unlink()
    play.converges()


@pytest.mark.sampled(every=2)
@pytest.mark.parametrize("kept", [0.0, 0.3, 0.5, 0.9, 0.99])
def test_a_torn_journal_is_set_aside_and_said_so(stage: Setting, kept: float) -> None:
    play = stage(REPLACE)
    killed_in_between(play)
    for file in (play.root / ".paygift").glob("journal.db*"):
        content = file.read_bytes()
        file.write_bytes(content[: int(len(content) * kept)])
    ran = play.apply()
    assert ran.codes == (0,), ran.output
    aside = list((play.root / ".paygift").glob("journal.db.damaged-*"))
    assert bool(aside) == ("The journal was damaged. It was moved to" in ran.output)
    play.sound()


@pytest.mark.parametrize("lost", ["-wal", ""])
def test_a_part_of_the_journal_may_be_lost(stage: Setting, lost: str) -> None:
    play = stage(REPLACE)
    killed_in_between(play)
    (play.root / f".paygift/journal.db{lost}").unlink()
    play.converges()


@pytest.mark.sampled(every=2)
@pytest.mark.parametrize("pages", range(5))
def test_on_a_full_disk_nothing_is_sent_that_could_not_be_written_down(stage: Setting, pages: int) -> None:
    play = stage(REPLACE)
    play.take()
    ran = play.apply(pages=pages)
    assert ran.codes[0] in (0, 1, 7)
    if ran.codes[0]:
        assert "disk is full" in ran.output
    play.converges()


def test_a_disk_that_is_full_from_the_start_lets_nothing_happen(stage: Setting) -> None:
    play = stage("upload and create")
    play.take()
    ran = play.apply(pages=0)
    assert ran.codes == (1,)
    assert "disk is full" in ran.output
    assert not any(line.startswith("POST") for line in ran.asked)
    play.converges()


def test_a_clock_that_was_set_back_an_hour_loses_nothing(stage: Setting) -> None:
    """The service's clock and ours go back together: what was written down before is from the future now."""
    play = stage(REPLACE)
    strikes = after_create(play)
    play.clocks_are_ahead = timedelta(hours=1)
    assert play.apply(strikes=strikes).killed
    play.clocks_are_ahead = timedelta(0)
    play.converges()
