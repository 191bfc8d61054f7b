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
    from reconciler.commands.applying import apply as apply
    from reconciler.commands.checkups import doctor as doctor
    from reconciler.commands.inspection import AccountStatus as AccountStatus
    from reconciler.commands.inspection import Shown as Shown
    from reconciler.commands.inspection import show as show
    from reconciler.commands.inspection import status as status
    from reconciler.commands.journals import History as History
    from reconciler.commands.journals import Verification as Verification
    from reconciler.commands.journals import export_journal as export_journal
    from reconciler.commands.journals import history as history
    from reconciler.commands.journals import unlock as unlock
    from reconciler.commands.journals import verify_journal as verify_journal
    from reconciler.commands.plan_files import plan_digest as plan_digest
    from reconciler.commands.plan_files import save_plan as save_plan
    from reconciler.commands.plan_files import show_plan as show_plan
    from reconciler.commands.planning import plan as plan
    from reconciler.commands.reviews import Merge as Merge
    from reconciler.commands.reviews import artifact_name as artifact_name
    from reconciler.commands.reviews import comment_plan as comment_plan
    from reconciler.commands.reviews import comment_report as comment_report
    from reconciler.commands.reviews import comment_state as comment_state
    from reconciler.commands.reviews import github_annotations as github_annotations
    from reconciler.commands.reviews import read_waivers as read_waivers
    from reconciler.commands.reviews import report_drift as report_drift
    from reconciler.commands.reviews import reviewed_digest as reviewed_digest
    from reconciler.commands.reviews import reviewed_plan as reviewed_plan
    from reconciler.commands.sandboxes import LocalRemote as LocalRemote
    from reconciler.commands.sandboxes import insert_from_file as insert_from_file
    from reconciler.commands.sandboxes import local_sandbox as local_sandbox
    from reconciler.commands.sandboxes import reset_sandbox as reset_sandbox
    from reconciler.commands.sandboxes import seed_from_file as seed_from_file
    from reconciler.commands.sandboxes import seed_from_project as seed_from_project
    from reconciler.commands.sandboxes import serve_sandbox as serve_sandbox
    from reconciler.commands.schemas import schema as schema
    from reconciler.commands.validation import Validated as Validated
    from reconciler.commands.validation import validate as validate
    from reconciler.commands.workspace import Callbacks as Callbacks
    from reconciler.commands.workspace import Workspace as Workspace

_MODULE_OF: Final = {
    name: module
    for module, names in {
        "applying": "apply",
        "checkups": "doctor",
        "inspection": "AccountStatus Shown show status",
        "journals": "History Verification export_journal history unlock verify_journal",
        "plan_files": "plan_digest save_plan show_plan",
        "planning": "plan",
        "reviews": "Merge artifact_name comment_plan comment_report comment_state github_annotations "
        "read_waivers report_drift reviewed_digest reviewed_plan",
        "sandboxes": "LocalRemote insert_from_file local_sandbox reset_sandbox "
        "seed_from_file seed_from_project serve_sandbox",
        "schemas": "schema",
        "validation": "Validated validate",
        "workspace": "Callbacks Workspace",
    }.items()
    for name in names.split()
}
__all__ = list(_MODULE_OF)


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: object = getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    return found
