"""The real command line as a process of its own, for what only a process has: closed streams, and no rights of root."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

_DROP_FROM_BOUNDING_SET = 24
_RIGHTS_OVER_FILES = (1, 2)
"""CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH: with them, permissions of files mean nothing."""
_libc = ctypes.CDLL(None, use_errno=True)


def paygift(root: Path, *arguments: str, redirect: str = "", **more: Any) -> subprocess.CompletedProcess[str]:
    """`paygift ARGUMENTS` in the project ``root``, through a shell that redirects its streams, such as ``>&-``.

    With ``pipefail``, so that the exit code is paygift's, whatever comes after it in a pipe.
    """
    script = f'set -o pipefail; "$@" {redirect}'
    command = [sys.executable, "-m", "reconciler", "-C", str(root), *arguments]
    return subprocess.run(
        ["bash", "-c", script, "paygift", *command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        timeout=60,
        **more,
    )


def without_rights_over_files() -> None:
    """For ``preexec_fn``: permissions of files hold for root too."""
    if os.geteuid() == 0:
        for right in _RIGHTS_OVER_FILES:
            _libc.prctl(_DROP_FROM_BOUNDING_SET, right, 0, 0, 0)
