"""Plan files: what `plan --out` writes, reviewers read, and `apply PLANFILE` is held to."""

from __future__ import annotations

from pathlib import Path

from reconciler.model.errors import StaleError
from reconciler.model.plan import Plan
from reconciler.plan import plan_digest, read_plan
from reconciler.render.json_ import dumps, edited_place, plan_json
from reconciler.system.input_files import parsed_json, read_input
from reconciler.system.output_files import write

__all__ = ["intact_plan", "plan_digest", "save_plan", "show_plan"]


def save_plan(made: Plan, file: Path) -> None:
    """Write ``made`` to ``file``, for ``apply`` and ``show_plan``. Raises UsageError if it cannot be written."""
    write(dumps(plan_json(made)), file)


def show_plan(file: Path) -> Plan:
    """The plan in ``file``. Needs no project and no credentials.

    Raises UsageError if it cannot be read (exit code 1), StaleError if it is not an intact plan (6).
    """
    content = read_input(file)
    try:
        # Our own parser, which refuses equal keys: two readers would believe different ones.
        data = parsed_json(content)
    except ValueError as error:
        raise StaleError(f"{file} is not a plan file: {error}.", remedy="Make one with `plan --out`.") from error
    return intact_plan(data)


def intact_plan(data: object) -> Plan:
    """The plan in a file's data, if that tells everything as this paygift tells it of what it holds. Raises StaleError
    otherwise.
    """
    plan = read_plan(data)
    # Sentences are what people approve, and the checksum over them has no key.
    place = edited_place(data, plan)
    if place:
        raise StaleError(
            f"This plan file displays something other than its operations ({place}): it was edited, or "
            "made by another version of paygift.",
            remedy="Make it again with `paygift plan --out FILE`, and have it reviewed.",
        )
    return plan
