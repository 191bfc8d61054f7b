"""Kill it anywhere: after one more apply, live equals the files, nothing has happened twice and nothing is forgotten.

The real command runs in a process of its own against a server on loopback, and is ended by SIGKILL at every write to
its journal, and at every request: before it is sent, once it has arrived, once its effect is there, and once its answer
is known.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

import pytest

from tests.crash.scenarios import SCENARIOS
from tests.crash.stage import Setting, When
from tests.support.postgres import fresh_database


@pytest.mark.parametrize(
    ("scenario", "every"),
    [
        ("replace, create first", 12),
        *(pytest.param(scenario, 1, marks=pytest.mark.heavy) for scenario in SCENARIOS),
    ],
)
def test_after_a_kill_at_any_moment_one_more_apply_converges(
    scenario: str, every: int, stage: Setting, record_property: Callable[[str, object], None]
) -> None:
    play = stage(scenario)
    play.take()
    whole = play.apply()
    assert whole.codes == (0,), whole.output
    play.sound()
    moments: list[When] = ["arrival", "answer"]
    kills: list[dict[str, Any]] = [
        *({"kill": moment} for moment in range(1, whole.moments + 1)),
        *(
            {"strikes": [(number, when, signal.SIGKILL)]}
            for number, _ in enumerate(whole.asked, start=1)
            for when in moments
        ),
    ]
    for kill in kills[every - 1 :: every]:
        play.take()
        assert play.apply(**kill).killed, kill
        play.converges()
    record_property("kills", len(kills[every - 1 :: every]))


@pytest.mark.heavy
def test_after_a_kill_a_journal_in_postgresql_is_as_good(
    stage: Setting, postgresql: str, record_property: Callable[[str, object], None]
) -> None:
    """Every third moment: what differs from SQLite is the journal alone."""
    play = stage("replace, create first", fresh_database(postgresql))
    play.take()
    whole = play.apply()
    assert whole.codes == (0,), whole.output
    kills = range(1, whole.moments + 1, 3)
    for moment in kills:
        play.journal_url = fresh_database(postgresql)
        play.take()
        assert play.apply(kill=moment).killed
        play.converges()
    record_property("kills", len(kills))


@pytest.mark.parametrize("many", [2, pytest.param(8, marks=pytest.mark.heavy)])
@pytest.mark.parametrize("where", ["sqlite", "postgresql"])
def test_processes_that_apply_at_once_do_it_once(
    stage: Setting, where: str, many: int, request: pytest.FixtureRequest
) -> None:
    url = fresh_database(request.getfixturevalue("postgresql")) if where == "postgresql" else ""
    play = stage("replace, create first", url)
    play.take()
    ran = play.apply_together(many)
    assert [each.codes for each in ran] == [(0,)] * many, [each.output for each in ran]
    play.sound()
    assert sum("Applied:" in each.output for each in ran) == 1, "the others found nothing left to do"
