"""All that paygift does, without a terminal: one function per command. The public Python API (docs/python.md).

    from pathlib import Path
    from reconciler import commands

    made = commands.plan(commands.Workspace(Path("campaigns"), sandbox=True))

A function takes a ``Workspace``, returns data, and raises a PaygiftError, each kind with the exit code that the command
line gives it (README.md). What is named here is imported when it is first used, so that whoever only validates specs
does not wait for an HTTP client.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from reconciler.commands.applying import apply
    from reconciler.commands.checkups import doctor
    from reconciler.commands.inspection import AccountStatus, Shown, show, status
    from reconciler.commands.journals import (
        History,
        Verification,
        export_journal,
        history,
        unlock,
        verify_journal,
    )
    from reconciler.commands.plan_files import plan_digest, save_plan, show_plan
    from reconciler.commands.planning import plan
    from reconciler.commands.reviews import (
        Merge,
        artifact_name,
        comment_plan,
        comment_report,
        comment_state,
        github_annotations,
        read_waivers,
        report_drift,
        reviewed_digest,
        reviewed_plan,
    )
    from reconciler.commands.sandboxes import (
        LocalRemote,
        local_sandbox,
        reset_sandbox,
        seed_from_file,
        seed_from_project,
        serve_sandbox,
    )
    from reconciler.commands.schemas import schema
    from reconciler.commands.validation import Validated, validate
    from reconciler.commands.workspace import Callbacks, Workspace

_MODULE_OF: Final = {
    "apply": "applying",
    "doctor": "checkups",
    "AccountStatus": "inspection",
    "Shown": "inspection",
    "show": "inspection",
    "status": "inspection",
    "History": "journals",
    "Verification": "journals",
    "export_journal": "journals",
    "history": "journals",
    "unlock": "journals",
    "verify_journal": "journals",
    "plan_digest": "plan_files",
    "save_plan": "plan_files",
    "show_plan": "plan_files",
    "plan": "planning",
    "Merge": "reviews",
    "artifact_name": "reviews",
    "comment_plan": "reviews",
    "comment_report": "reviews",
    "comment_state": "reviews",
    "github_annotations": "reviews",
    "read_waivers": "reviews",
    "report_drift": "reviews",
    "reviewed_digest": "reviews",
    "reviewed_plan": "reviews",
    "LocalRemote": "sandboxes",
    "local_sandbox": "sandboxes",
    "reset_sandbox": "sandboxes",
    "seed_from_file": "sandboxes",
    "seed_from_project": "sandboxes",
    "serve_sandbox": "sandboxes",
    "schema": "schemas",
    "Validated": "validation",
    "validate": "validation",
    "Callbacks": "workspace",
    "Workspace": "workspace",
}

__all__ = [
    "AccountStatus",
    "Callbacks",
    "History",
    "LocalRemote",
    "Merge",
    "Shown",
    "Validated",
    "Verification",
    "Workspace",
    "apply",
    "artifact_name",
    "comment_plan",
    "comment_report",
    "comment_state",
    "doctor",
    "export_journal",
    "github_annotations",
    "history",
    "local_sandbox",
    "plan",
    "plan_digest",
    "read_waivers",
    "report_drift",
    "reset_sandbox",
    "reviewed_digest",
    "reviewed_plan",
    "save_plan",
    "schema",
    "seed_from_file",
    "seed_from_project",
    "serve_sandbox",
    "show",
    "show_plan",
    "status",
    "unlock",
    "validate",
    "verify_journal",
]


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: object = getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    return found
