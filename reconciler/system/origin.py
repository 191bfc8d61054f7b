"""Who runs this, from which commit, and where: for the journal and for notices; and which of two commits is older."""

from __future__ import annotations

import getpass
import os
import re
import socket
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from reconciler.model.errors import StaleError, UsageError
from reconciler.system.environment import address_informing, informing

_ACTORS: Final = ("GITHUB_ACTOR", "GITLAB_USER_LOGIN")
_COMMITS: Final = ("GITHUB_SHA", "CI_COMMIT_SHA")
_GIT_SECONDS: Final = 5.0
_HASH: Final = re.compile(r"[0-9a-f]{4,64}")
_NAME: Final = re.compile(r"[\w.@+-][\w.@+ -]{0,99}(?:\[bot\])?")
"""Of an actor. Whatever else stands in such a variable is nobody."""
_REPOSITORY: Final = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)
_NUMBER: Final = re.compile(r"[0-9]{1,20}")


@dataclass(frozen=True, slots=True)
class Origin:
    """``who`` is CI's actor or the operating system's user; ``commit`` the hash of what is checked out, or what CI says
    where git cannot tell; ``job_url`` the page of CI's run.

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
            commit=head_of(root) or informing(environ, _COMMITS, _HASH),
            job_url=job_url(environ),
        )


def who_runs(environ: Mapping[str, str]) -> str:
    """CI's actor, or the operating system's user."""
    return informing(environ, _ACTORS, _NAME) or _user()


def job_url(environ: Mapping[str, str]) -> str:
    """The page of CI's run, or nothing outside CI, or where the variables do not hold what they should."""
    of_gitlab = address_informing(environ, "CI_JOB_URL")
    if of_gitlab:
        return of_gitlab
    server = address_informing(environ, "GITHUB_SERVER_URL")
    repository = informing(environ, ("GITHUB_REPOSITORY",), _REPOSITORY)
    run = informing(environ, ("GITHUB_RUN_ID",), _NUMBER)
    return f"{server}/{repository}/actions/runs/{run}" if server and repository and run else ""


def _user() -> str:
    try:
        name = getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container whose user has no name, or Windows without one
        name = ""
    # It comes from LOGNAME, USER and the like, and may be any bytes.
    return name if name.isprintable() and name else (str(os.getuid()) if hasattr(os, "getuid") else "")


def age_remark(root: Path, commit: str, last: str) -> str:
    """A sentence for people about what cannot be known of the age of the files in ``root``, or nothing.

    They are of ``commit``, and those of ``last`` were applied last; either is empty where it is not known. Raises
    StaleError if ``commit`` is an ancestor of ``last``: what is newer in ``last`` would be taken back.
    """
    if not last or commit == last:
        return ""
    if not commit:
        return (
            f"Whether these files are older than those of commit {last}, which were applied last, cannot be known: "
            "they are of no commit."
        )
    are_hashes = all(_HASH.fullmatch(each) for each in (commit, last))  # and no options of git
    known = _git(root, "merge-base", "--is-ancestor", commit, last) if are_hashes else None
    # 1 is a no; anything else, that git does not have both.
    if known is None or known.returncode not in (0, 1):
        return (
            f"Whether commit {commit} is older than {last}, which was applied last, cannot be known: git does not have "
            "both here. Fetch the whole history before applying (actions/checkout: `fetch-depth: 0`)."
        )
    if known.returncode == 1:
        return ""
    changed = _git(root, "status", "--porcelain", "--untracked-files=no", "--", ".")
    if changed is None or changed.returncode or changed.stdout.strip():
        return (
            f"Commit {commit} is older than {last}, which was applied last; but these files were changed since, and "
            "whether what they say is older cannot be known."
        )
    raise StaleError(
        f"These files are of commit {commit}, which is older than {last}, the one that was applied last: "
        "newer changes would be reverted. Nothing was written.",
        remedy="Apply the newest commit. To go back to what this one says, commit that: `git revert`.",
    )


def require_tip(root: Path, ref: str, paths: Sequence[str]) -> None:
    """Raise StaleError unless ``ref`` is what is checked out in ``root``, or ``paths`` are there as they are here.

    Paths are from ``root``; the empty one is all of it. Raises UsageError where git cannot tell.
    """
    here, there = head_of(root), _commit_of(root, ref)
    if not here or not there:
        missing = "It does not know that one." if here else f"{root} is not a checkout of a commit."
        raise UsageError(
            f"--tip: git cannot tell whether this is the newest commit. {missing}",
            remedy="Fetch the default branch first: `git fetch origin main`, and give --tip FETCH_HEAD.",
        )
    if here == there:
        return
    where = [each or "." for each in paths]
    # Literally, and with NUL between them: a folder's name may hold * or a line break.
    compared = _git(root, "--literal-pathspecs", "diff", "--name-only", "-z", here, there, "--", *where)
    if compared is None or compared.returncode:
        raise UsageError(
            f"--tip: git cannot compare {here[:12]} with {ref} ({there[:12]}).",
            remedy="Fetch the whole history of both.",
        )
    if different := [name for name in compared.stdout.split("\0") if name]:
        more = f" and {len(different) - 1} more" if len(different) > 1 else ""
        raise StaleError(
            f"This run is for {here[:12]}, and {ref} is {there[:12]}, where {different[0]}{more} differs: "
            "what was reverted since would be applied again. Nothing was written.",
            remedy="Run the job of the newest commit. To go back to what this one says, revert the later one.",
        )


def _commit_of(root: Path, ref: str) -> str:
    # A ref that begins with - must not become an option.
    asked = _git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}")
    return asked.stdout.strip() if asked is not None and asked.returncode == 0 else ""


def head_of(root: Path) -> str:
    """The commit that is checked out, or nothing where there is no git or no repository."""
    asked = _git(root, "rev-parse", "--verify", "--quiet", "HEAD")
    return asked.stdout.strip() if asked is not None and asked.returncode == 0 else ""


def tracked_by_git(root: Path, name: str) -> tuple[str, ...] | None:
    """What git tracks of the folder ``name`` in ``root``, whatever the case of its name; nothing where there is no
    repository. ``None`` where git cannot tell: it is missing, silent, or does not trust the repository.
    """
    if not _in_repository(root):
        return ()
    # On a Mac or on Windows .PayGift is the same folder.
    asked = _git(root, "ls-files", "-z", "--", f":(icase){name}")
    if asked is None or asked.returncode:
        return None
    return tuple(filter(None, asked.stdout.split("\0")))


def _in_repository(root: Path) -> bool:
    real = root.resolve()
    return any(os.path.lexists(folder / ".git") for folder in (real, *real.parents))


_OF_ANOTHER_REPOSITORY: Final = frozenset(
    {
        "GIT_DIR",
        "GIT_WORK_TREE",
        "GIT_INDEX_FILE",
        "GIT_COMMON_DIR",
        "GIT_OBJECT_DIRECTORY",
        "GIT_PREFIX",
        "GIT_NAMESPACE",
    }
    | {f"GIT_{kind}_PATHSPECS" for kind in ("LITERAL", "GLOB", "NOGLOB", "ICASE")}
)
"""What git sets for its hooks, or people for a repository that they work on: the project's own is asked."""


def top_of(root: Path) -> Path | None:
    """The root of the repository that ``root`` lies in, or ``None`` where there is no git or no repository."""
    asked = _git(root, "rev-parse", "--show-toplevel")
    return Path(asked.stdout.rstrip("\n")) if asked is not None and asked.returncode == 0 else None


def _git(root: Path, *arguments: str) -> subprocess.CompletedProcess[str] | None:
    """What git answers in ``root``, or ``None`` where there is no git, or none that answers in time."""
    try:
        return subprocess.run(  # noqa: S603 - no shell, and nothing of the user's but a folder and hashes
            ["git", "-C", str(root), *arguments],  # noqa: S607 - found on the path, as people have it
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_GIT_SECONDS,
            check=False,
            env={name: text for name, text in os.environ.items() if name not in _OF_ANOTHER_REPOSITORY},
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
