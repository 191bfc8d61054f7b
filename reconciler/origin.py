"""Who runs this, from which commit, and where: for the journal and for notices."""

from __future__ import annotations

import getpass
import os
import socket
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_ACTORS: Final = ("GITHUB_ACTOR", "GITLAB_USER_LOGIN")
_COMMITS: Final = ("GITHUB_SHA", "CI_COMMIT_SHA")
_GIT_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Origin:
    """``who`` is CI's actor or the operating system's user; ``commit`` a hash, ``job_url`` the page of CI's run.

    What is not known is empty.
    """

    who: str
    host: str
    pid: int
    commit: str = ""
    job_url: str = ""

    @classmethod
    def of(cls, environ: Mapping[str, str], root: Path) -> Origin:
        """Of this process, working on the project in ``root``."""
        return cls(
            who=who_runs(environ),
            host=socket.gethostname(),
            pid=os.getpid(),
            commit=_first(environ, _COMMITS) or _head_of(root),
            job_url=job_url(environ),
        )


def who_runs(environ: Mapping[str, str]) -> str:
    """CI's actor, or the operating system's user."""
    return _first(environ, _ACTORS) or _user()


def job_url(environ: Mapping[str, str]) -> str:
    """The page of CI's run, or nothing outside CI."""
    if environ.get("CI_JOB_URL"):
        return environ["CI_JOB_URL"]
    server, repository, run = (
        environ.get(f"GITHUB_{name}") for name in ("SERVER_URL", "REPOSITORY", "RUN_ID")
    )
    return f"{server}/{repository}/actions/runs/{run}" if server and repository and run else ""


def _first(environ: Mapping[str, str], names: tuple[str, ...]) -> str:
    return next((environ[name] for name in names if environ.get(name)), "")


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container whose user has no name, or Windows without one
        return str(os.getuid()) if hasattr(os, "getuid") else ""


def _head_of(root: Path) -> str:
    """The commit that is checked out, or nothing where there is no git or no repository."""
    try:
        asked = subprocess.run(  # noqa: S603 - no shell, and nothing of the user's but a folder
            ["git", "-C", str(root), "rev-parse", "HEAD"],  # noqa: S607 - found on the path, as people have it
            capture_output=True,
            text=True,
            timeout=_GIT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return asked.stdout.strip() if asked.returncode == 0 else ""
