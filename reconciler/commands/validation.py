"""Whether the files of a project are valid. Needs no credentials and no network."""

from __future__ import annotations

from dataclasses import dataclass

from reconciler.commands.accounts import account_ref
from reconciler.commands.untracked import check_untracked
from reconciler.commands.workspace import Workspace
from reconciler.model.diagnostics import Diagnostic
from reconciler.spec import load_project


@dataclass(frozen=True, slots=True)
class Validated:
    """How many specs are valid, and what a person should know of them all the same."""

    specs: int
    notes: tuple[Diagnostic, ...]


def validate(workspace: Workspace) -> Validated:
    """Check paygift.yaml and all specs, as of this moment. Raises ProjectError with every mistake (exit code 3)."""
    root = workspace.root()
    now = account_ref(workspace).now
    doubt = check_untracked(root)
    if doubt:
        workspace.callbacks.remark(f"Warning: {doubt}")
    project = load_project(root, now=now)
    return Validated(len(project.activities), project.notes)
