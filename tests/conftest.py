"""What all tests share: nobody sleeps between two tries of a request, and a red run is red again the next time."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import stamina
from cryptography.hazmat.primitives import serialization
from hypothesis import settings

from reconciler.journal.location import JournalLocation
from reconciler.wechatpay import keys as wechatpay_keys
from tests.support import postgres
from tests.support.project import Project, begun

# Properties are tried with the same examples in every run, so that no change is stopped by another one's bad luck.
# To look for new ones: PAYGIFT_EXPLORE=1 pytest
settings.register_profile("same", derandomize=True)
settings.register_profile("explore", print_blob=True)
settings.load_profile("explore" if os.environ.get("PAYGIFT_EXPLORE") else "same")

# A shell without job control starts what it puts into the background with SIGINT ignored, and children inherit that.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Every command loads its keys, which takes longer than the rest of it; thousands of commands load the same few.
_load_once = cache(serialization.load_pem_private_key)
serialization.load_pem_private_key = wechatpay_keys.load_pem_private_key = _load_once  # type: ignore[attr-defined,assignment]


@pytest.fixture(autouse=True)
def _no_pauses_between_tries() -> Iterator[None]:
    """As many tries as in earnest, without the pauses."""
    with stamina.set_testing(True, attempts=100, cap=True):
        yield


@pytest.fixture
def memory_path(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is such a place: SQLite waits for the disk at every write."""
    memory = Path("/dev/shm")
    if not memory.is_dir():
        yield tmp_path
        return
    with TemporaryDirectory(dir=memory) as made:
        yield Path(made)


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a PostgreSQL server; ``tests.support.postgres.fresh_database`` makes a database there."""
    with postgres.server(tmp_path_factory.mktemp("postgresql")) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, memory_path: Path) -> JournalLocation:
    """Where a journal may be, none there yet."""
    file = memory_path / ".paygift/journal.db"
    if request.param == "sqlite":
        return JournalLocation(file)
    return JournalLocation(file, postgres.fresh_database(request.getfixturevalue("postgresql")))


@pytest.fixture
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of this machine reaches the commands."""
    for name in [
        name for name in os.environ if name.startswith("PAYGIFT_") or name in ("NO_COLOR", "FORCE_COLOR")
    ]:
        monkeypatch.delenv(name)


@pytest.fixture
def project(tmp_path: Path, capfd: pytest.CaptureFixture[str], _no_variables: None) -> Project:
    """A team's repository with one spec, and its sandbox."""
    return begun(tmp_path, capfd)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say at how many moments processes were killed: a test that looks for moments must not find none."""
    passed = terminalreporter.stats.get("passed", [])
    kills = sum(value for report in passed for name, value in report.user_properties if name == "kills")
    if kills:
        terminalreporter.write_line(f"Killed at {kills} moments; converged after each.")
