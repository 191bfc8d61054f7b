"""Which account a command is for, without asking it anything."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from reconciler.commands.clock import system_clock
from reconciler.commands.workspace import Workspace
from reconciler.system.environment import informing

_MCHID: Final = re.compile(r"[0-9]{8,15}")


@dataclass(frozen=True, slots=True)
class AccountRef:
    """An account by its merchant number, empty if that is not known, and the moment there (UTC)."""

    mchid: str
    now: datetime


def account_ref(workspace: Workspace) -> AccountRef:
    """The account that the environment names, by the system's clock; or the sandbox, by its own.

    Raises SandboxError.
    """
    if not workspace.sandbox:
        # `informing`: a command that needs no credentials must not fail for a bad variable.
        return AccountRef(informing(workspace.environ, ("PAYGIFT_MCHID",), _MCHID), system_clock())
    # Starlette, uvicorn and httpx, which `validate` without --sandbox must not wait for.
    from reconciler.commands.sandboxes import local_sandbox  # noqa: PLC0415

    with local_sandbox(workspace.sandbox_folder()) as local:
        return AccountRef(local.control.mchid, local.clock())
