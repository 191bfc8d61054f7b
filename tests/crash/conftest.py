"""One server and one process that forks, for all tests of a module."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.scenarios import SCENARIOS
from tests.crash.stage import Commands, Service, Setting, Stage


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
def stage(service: Service, commands: Commands, memory_path: Path) -> Setting:
    def set_(scenario: str, journal_url: str = "") -> Stage:
        return Stage(service, commands, memory_path, *SCENARIOS[scenario], journal_url=journal_url)

    return set_
