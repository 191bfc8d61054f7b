"""What the commands of ``project`` and ``plans`` print: views, dressed as text or JSON.

Imported when a command runs, in one place: renderers need pydantic, and `paygift plan --help` does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler import commands
from reconciler.model.plan import Plan
from reconciler.model.report import Report
from reconciler.render.json_ import drift_json, dumps, plan_json, report_json, show_json, status_json
from reconciler.render.text import listing_text, report_text
from reconciler.render.text import plan_text as dressed
from reconciler.render.views.drift import drift_view
from reconciler.render.views.plan import plan_view, question
from reconciler.render.views.report import report_view
from reconciler.render.views.show import show_view
from reconciler.render.views.status import status_rows, status_view

if TYPE_CHECKING:
    from reconciler.commands import AccountStatus, Shown  # which `show-plan` has no use for

__all__ = ["drift", "plan_as_json", "plan_text", "question", "report", "show", "status"]


def plan_as_json(made: Plan) -> str:
    """What a plan file holds."""
    return dumps(plan_json(made))


def plan_text(made: Plan, *, colour: bool, notes: bool = False, undo: bool = False) -> str:
    """The plan for a terminal; with ``notes``, and with what would take each operation back, if asked for."""
    return dressed(plan_view(made), digest=commands.plan_digest(made), colour=colour, notes=notes, undo=undo)


def report(happened: Report, *, as_json: bool, colour: bool) -> str:
    """What came of an apply."""
    return dumps(report_json(happened)) if as_json else report_text(report_view(happened), colour=colour)


def status(found: AccountStatus, *, as_json: bool, everything: bool) -> str:
    """A row for each activity; ended ones too, if ``everything``."""
    rows = status_rows(found.live, found.desired, found.plan, everything=everything, witness=found.witness)
    return dumps(status_json(rows, found.plan)) if as_json else listing_text(status_view(rows, found.plan))


def drift(found: AccountStatus, *, as_json: bool) -> str:
    """What is not as specified."""
    return dumps(drift_json(found.drifts, found.plan)) if as_json else listing_text(drift_view(found.drifts))


def show(found: Shown, *, as_json: bool) -> str:
    """One activity from all sides."""
    if as_json:
        return dumps(show_json(found.desired, found.live, found.goods, found.done))
    return listing_text(show_view(found.desired, found.live, found.goods, found.done, now=found.now))
