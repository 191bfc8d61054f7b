"""One sandbox for each worker, served by `paygift sandbox serve` as people serve it, and the clients in front of it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.sandbox.control import RunningSandbox
from reconciler.sandbox.server import find_running
from tests.interop import npm
from tests.support.signed import keys

CLOCK = "2026-03-01T12:00:00+08:00"


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    """On 1 March 2026, with one coupon stock. Tests share it, so each uses request numbers of its own."""
    home = tmp_path_factory.mktemp("served")
    folder = home / ".paygift" / "sandbox"
    keys().write(folder / "keys")
    command = [sys.executable, "-m", "reconciler", "sandbox", "serve", "--port", "0"]
    with (
        pytest.MonkeyPatch.context() as patch,
        subprocess.Popen(command, stdout=subprocess.PIPE, encoding="utf-8", cwd=home) as process,
    ):
        patch.setenv("NO_PROXY", "127.0.0.1")
        assert process.stdout is not None
        try:
            assert process.stdout.readline().startswith("WeChat Pay sandbox on http://127.0.0.1:")
            running = find_running(folder)
            assert running is not None
            running.set_clock(CLOCK)
            validity = {
                "available_begin_time": "2026-01-01T00:00:00+08:00",
                "available_end_time": "2026-12-01T00:00:00+08:00",
            }
            running.seed([{"stock_id": "1001", "coupon_use_rule": {"coupon_available_time": validity}}])
            yield running
        finally:
            process.terminate()


@pytest.fixture(scope="session")
def node_modules() -> Path:
    """Installed by `make test` beforehand; by this fixture for a plain `pytest`."""
    return npm.installed()
