"""Kill it anywhere: after one more apply, live equals the files, nothing has happened twice and nothing is forgotten.

The real command runs in a process of its own against a server on loopback, and is ended by SIGKILL at every write to
its journal, and at every request: before it is sent, once it has arrived, once its effect is there, and once its answer
is known.
"""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest

from tests.crash.scenarios import SCENARIOS
from tests.crash.stage import Stage, When


@pytest.mark.heavy
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_after_a_kill_at_any_moment_one_more_apply_converges(
    scenario: str, stage: Callable[[str], Stage], record_property: Callable[[str, object], None]
) -> None:
    play = stage(scenario)
    play.take()
    whole = play.apply()
    assert whole.codes == (0,), whole.output
    play.sound()
    for moment in range(1, whole.moments + 1):
        play.take()
        assert play.apply(kill=moment).killed
        play.converges()
    moments: list[When] = ["arrival", "answer"]
    for number, _ in enumerate(whole.asked, start=1):
        for when in moments:
            play.take()
            assert play.apply(strikes=[(number, when, signal.SIGKILL)]).killed
            play.converges()
    record_property("kills", whole.moments + 2 * len(whole.asked))
