"""Kill it anywhere: after one more apply, live equals the files, nothing has happened twice and nothing is forgotten.

The real command runs in a process of its own against a server on loopback, and is ended by SIGKILL at every write to
its journal, and at every request: before it is sent, once it has arrived, once its effect is there, and once its answer
is known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import pytest

from tests.crash.stage import Commands, Service, Stage, spec
from tests.samples import mchids

BEFORE: Final = spec(mchids(2))
SCENARIOS: Final[Mapping[str, tuple[Mapping[str, str], Mapping[str, str]]]] = {
    "upload and create": ({}, {"spring": spec(mchids(2))}),
    "add and delete": ({"spring": BEFORE}, {"spring": spec(mchids(2, start=1600000002))}),
    "terminate": ({"spring": BEFORE}, {"spring": spec(mchids(2), state="terminated")}),
    "replace, create first": ({"spring": BEFORE}, {"spring": spec(mchids(2), amount=2000)}),
    "replace, terminate first": (
        {"spring": BEFORE},
        {"spring": spec(mchids(2), amount=2000, replace="terminate_first")},
    ),
}


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with Service().serving() as running:
        yield running


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    running = Commands(tmp_path_factory.mktemp("commands"))
    yield running
    running.close()


@pytest.fixture
def stage(service: Service, commands: Commands, memory_path: Path) -> Callable[[str], Stage]:
    return lambda scenario: Stage(service, commands, memory_path, *SCENARIOS[scenario])


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
    for number in range(1, whole.requests + 1):
        for when in ("arrival", "answer"):
            play.take()
            assert play.apply(server_kill=(number, when)).killed
            play.converges()
    record_property("kills", whole.moments + 2 * whole.requests)
