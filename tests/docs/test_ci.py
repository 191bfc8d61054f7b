"""What `.ci/run` does on the machine that it finds, before it runs `make check`. Every command is a stand-in."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.browser.chromium import installed

RUN = Path(__file__).parents[2] / ".ci/run"
BASH = shutil.which("bash") or "/bin/bash"
UPDATE, INSTALL = "apt-get update", "apt-get install chromium chromium-driver"


@dataclass
class Machine:
    """A PATH on which there is only what a test puts there; its commands write down how they were called."""

    folder: Path

    def has(self, name: str, *lines: str) -> None:
        file = self.folder / name
        file.write_text("\n".join((f"#!{BASH}", *lines)) + "\n")
        file.chmod(0o755)

    def run(self) -> tuple[str, list[str]]:
        """What `.ci/run` says, and which commands it called."""
        log = self.folder / "log"
        log.write_text("")
        done = subprocess.run(
            [BASH, str(RUN)],
            env={"PATH": str(self.folder), "LOG": str(log)},
            capture_output=True,
            text=True,
            check=True,
            timeout=20,
        )
        assert done.stderr == ""
        return done.stdout, log.read_text().splitlines()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """Root on Debian, without a browser."""
    made = Machine(tmp_path)
    made.has("id", "echo 0")
    made.has("dirname", f'exec {shutil.which("dirname")} "$@"')
    made.has("timeout", 'shift 2; exec "$@"')
    made.has("make", 'echo "make $*"; echo "9 passed"')
    made.has(
        "apt-get",
        'while [[ $1 == -* ]]; do [[ $1 == -o ]] && shift; shift; done; said="apt-get"',
        'for word in "$@"; do [[ $word == --* ]] || said="$said $word"; done; echo "$said" >> "$LOG"; echo noise',
    )
    return made


CHECKED = "make check\n9 passed\nmake soak\n9 passed\n"


def test_a_browser_is_installed_where_there_is_none(machine: Machine) -> None:
    assert machine.run() == (CHECKED, [UPDATE, INSTALL])


@pytest.mark.parametrize("browser", ["chromium", "chromium-browser", "google-chrome"])
def test_a_browser_that_is_there_is_used(machine: Machine, browser: str) -> None:
    machine.has(browser)
    machine.has("chromedriver")
    assert machine.run() == (CHECKED, [])


def test_a_browser_without_its_driver_is_none(machine: Machine) -> None:
    machine.has("chromium")
    assert machine.run() == (CHECKED, [UPDATE, INSTALL])


def test_who_is_not_root_installs_nothing(machine: Machine) -> None:
    machine.has("id", "echo 1000")
    assert machine.run() == (CHECKED, [])


def test_where_there_is_no_apt_nothing_is_installed(machine: Machine) -> None:
    (machine.folder / "apt-get").unlink()
    assert machine.run() == (CHECKED, [])


@pytest.mark.parametrize("fails", ["update", "install"])
def test_that_it_cannot_be_installed_is_said_in_one_line_and_fails_nothing(machine: Machine, fails: str) -> None:
    machine.has("apt-get", f'[[ "$*" == *{fails}* ]] && {{ echo no network >&2; exit 100; }}; exit 0')
    assert machine.run() == (
        f"Chromium could not be installed: tests/browser will be skipped.\n{CHECKED}",
        [],
    )


def test_on_githubs_runners_the_browser_is_that_of_their_driver(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine, elsewhere = Machine(tmp_path), Machine(tmp_path / "driver")
    elsewhere.folder.mkdir()
    for name in ("chromium", "google-chrome", "chromedriver"):
        machine.has(name)
    elsewhere.has("chromedriver")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CHROMEWEBDRIVER", raising=False)
    assert installed() == (str(tmp_path / "chromium"), str(tmp_path / "chromedriver"))
    monkeypatch.setenv("CHROMEWEBDRIVER", str(elsewhere.folder))
    assert installed() == (str(tmp_path / "google-chrome"), str(elsewhere.folder / "chromedriver"))
    (elsewhere.folder / "chromedriver").unlink()
    assert installed() == (str(tmp_path / "chromium"), str(tmp_path / "chromedriver"))
