"""What all tests share: nobody sleeps between two tries of a request, and a red run is red again the next time."""

from __future__ import annotations

import os
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from shutil import disk_usage
from tempfile import TemporaryDirectory

import pytest
import stamina
from cryptography.hazmat.primitives import serialization
from hypothesis import HealthCheck, settings

from reconciler.apply.lookups import PollPolicy
from reconciler.journal.location import JournalLocation
from reconciler.wechatpay import keys as wechatpay_keys
from tests.support import postgres
from tests.support.project import Project, begun

# Properties are tried with the same examples in every run, so that no change is stopped by another one's bad luck.
# To look for new ones: PAYGIFT_EXPLORE=1 pytest. A busy machine is not a failure, so that nothing is timed.
_untimed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("same", _untimed, derandomize=True)
settings.register_profile("explore", _untimed, print_blob=True)
settings.load_profile("explore" if os.environ.get("PAYGIFT_EXPLORE") else "same")

# Tests start hundreds of processes, and each would compile all of paygift anew where bytecode is not kept. Workers and
# processes inherit the environment.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# A shell without job control starts what it puts into the background with SIGINT ignored, and children inherit that.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Every command loads its keys, which takes longer than the rest of it; thousands of commands load the same few.
_load_once = cache(serialization.load_pem_private_key)
serialization.load_pem_private_key = wechatpay_keys.load_pem_private_key = _load_once  # type: ignore[attr-defined,assignment]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of a test with ``@pytest.mark.sampled(every=N)`` each N-th case stays, and the others become heavy."""
    seen = Counter[str]()
    for item in items:
        sampled = item.get_closest_marker("sampled")
        if sampled is None:
            continue
        test = item.nodeid.partition("[")[0]
        if seen[test] % sampled.kwargs["every"]:
            item.add_marker(pytest.mark.heavy)
        seen[test] += 1


@pytest.fixture(autouse=True)
def _no_pauses_between_tries() -> Iterator[None]:
    """As many tries as in earnest, without the pauses."""
    with stamina.set_testing(True, attempts=100, cap=True):
        yield


@pytest.fixture
def short_pauses_between_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many reads of what a write has done as in earnest, a third of a second in all."""
    reads, _, sleep = PollPolicy.__init__.__defaults__ or ()
    monkeypatch.setattr(PollPolicy.__init__, "__defaults__", (reads, 0.01, sleep))


@contextmanager
def _in_memory() -> Iterator[Path]:
    """A new folder in memory where there is such a place: databases wait for the disk at every write."""
    memory = Path("/dev/shm")
    # Containers often have 64 MB of it, which is less than a database's own files.
    roomy = memory.is_dir() and disk_usage(memory).free >= 2**30
    with TemporaryDirectory(dir=memory if roomy else None) as made:
        yield Path(made)


@pytest.fixture
def memory_path() -> Iterator[Path]:
    with _in_memory() as made:
        yield made


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The URL of a PostgreSQL server; ``tests.support.postgres.fresh_database`` makes a database there.

    Not in pytest's own folder: the server has another user if ours is root, and each pytest that begins locks that out.
    """
    with _in_memory() as folder, postgres.server(folder / "postgresql") as url:
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
    for name in [name for name in os.environ if name.startswith("PAYGIFT_") or name in ("NO_COLOR", "FORCE_COLOR")]:
        monkeypatch.delenv(name)


@pytest.fixture
def project(memory_path: Path, capfd: pytest.CaptureFixture[str], _no_variables: None) -> Project:
    """A team's repository with one spec, and its sandbox."""
    return begun(memory_path, capfd)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say at how many moments processes were killed: a test that looks for moments must not find none."""
    passed = terminalreporter.stats.get("passed", [])
    kills = sum(value for report in passed for name, value in report.user_properties if name == "kills")
    if kills:
        terminalreporter.write_line(f"Killed at {kills} moments; converged after each.")
