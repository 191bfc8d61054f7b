"""Mistakes in specs as workflow commands, so that GitHub shows them at their lines of the pull request. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import BaseModel, ValidationError

from reconciler.model.characters import without_commands
from reconciler.model.diagnostics import Diagnostic, condensed
from reconciler.model.errors import UsageError
from reconciler.plan import check_format


class _Printed(BaseModel):
    format_version: str
    problems: list[Diagnostic]


def annotate(data: object, *, folder: str = "") -> Iterator[str]:
    """One ``::error`` line for each diagnostic in what `validate --json` printed. Raises UsageError for anything else.

    ``folder`` is where paygift.yaml lies in the repository: diagnostics name files from there.
    """
    try:
        found = _Printed.model_validate(data)
    except ValidationError as error:
        raise UsageError("This is not what `paygift validate --json` prints.") from error
    remedy = "Let the same version validate and annotate."
    check_format("This output of validate has", found.format_version, remedy=remedy)
    return (_error(diagnostic, folder) for diagnostic in condensed(found.problems))


def _error(diagnostic: Diagnostic, folder: str) -> str:
    where = {"file": f"{folder}/{diagnostic.file}" if folder not in ("", ".") else diagnostic.file}
    if diagnostic.line:
        where |= {"line": str(diagnostic.line), "col": str(diagnostic.column)}
    properties = ",".join(f"{name}={_property(value)}" for name, value in where.items())
    said = f"{diagnostic.path}: {diagnostic.message}" if diagnostic.path else diagnostic.message
    return f"::error {properties}::{in_command(said)}"


def in_command(text: str) -> str:
    """``text`` in a workflow command, as GitHub's own toolkit escapes it: a line break would begin another command."""
    # % first, or the escapes that follow would be escaped again.
    return without_commands(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    # A file name may hold what ends a property, and would then set another.
    return in_command(text).replace(":", "%3A").replace(",", "%2C")
