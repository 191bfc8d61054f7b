"""Whether git tracks what belongs to one machine."""

from __future__ import annotations

import os
from pathlib import Path

from reconciler.model.characters import shown
from reconciler.model.diagnostics import Diagnostic
from reconciler.model.errors import ProjectError
from reconciler.system.origin import tracked_by_git
from reconciler.system.paygift_folder import NAME


def check_untracked(root: Path) -> str:
    """A sentence for people if nobody can tell whether git tracks anything in ``.paygift/``, or nothing.

    Raises ProjectError if it does: what lies there is of one machine, and a commit must not bring another's.
    """
    # git takes a while to start, and most checkouts in CI have no such folder.
    if not os.path.lexists(root / NAME):
        return ""
    tracked = tracked_by_git(root, NAME)
    if tracked is None:
        return (
            f"Whether git tracks anything in {NAME}/ is not known: git is missing here, does not answer, or does not "
            "trust this repository (`git status` says why). Nothing in there should come with a commit."
        )
    if not tracked:
        return ""
    count = f"{len(tracked):,} file{'' if len(tracked) == 1 else 's'}"
    named = ", ".join(shown(each, 80) for each in tracked[:3])
    message = (
        f"git tracks {count} in it ({named}{', …' if len(tracked) > 3 else ''}), and what is remembered there belongs "
        f"to one machine: run `git rm -r --cached {NAME}`, and commit that"
    )
    raise ProjectError([Diagnostic(NAME, message=message, code="tracked_folder")])
