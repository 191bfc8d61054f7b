"""The page of a report: what is left to do, then what is done, and what would take it back."""

from __future__ import annotations

from collections.abc import Sequence

from reconciler.model.report import Report
from reconciler.plan import plan_digest
from reconciler.render.html.page import page
from reconciler.render.html.parts import badge, facts, finding_card, prose, section
from reconciler.render.html.tags import Html, tag
from reconciler.render.values import beijing
from reconciler.render.views.parts import Line
from reconciler.render.views.report import OutcomeView, ReportView, report_view


def report_html(report: Report, *, title: str = "") -> str:
    """What came of a plan: what is left to do, then what is done."""
    view = report_view(report)
    heading = title or "paygift apply"
    left = [outcome for outcome in view.outcomes if not outcome.settled and not outcome.held]
    held = [outcome for outcome in view.outcomes if outcome.held]
    done = [outcome for outcome in view.outcomes if outcome.settled]
    return page(
        f"{heading} · {report.plan.namespace}",
        tag(
            "header",
            tag("h1", heading),
            tag("p", view.summary, class_="summary"),
            *(tag("p", prose(said)) for said in (view.advice, *view.remarks) if said),
            facts(
                ("namespace", report.plan.namespace),
                ("account", report.plan.mchid),
                ("started", f"{beijing(report.started_at)} Beijing time"),
                ("finished", f"{beijing(report.finished_at)} Beijing time"),
                ("digest of the plan", plan_digest(report.plan)),
                *((("journal", f"run {report.run}, ends in {report.journal_head}"),) if view.record else ()),
            ),
        ),
        tag(
            "main",
            section("Left to do", map(_outcome, left)) if left else None,
            _held(view, held),
            section("Done", map(_outcome, done)) if done else None,
            _ways_back(view.undo),
        ),
    )


def _ways_back(undo: Sequence[Line]) -> Html | None:
    if not undo:
        return None
    lines = (tag("li", tag("b", line.label), ": ", prose(line.text)) for line in undo)
    return section("What would take it back", (tag("ul", *lines),))


def _rejected(rejections: tuple[tuple[str, str], ...]) -> Html:
    """A table, so that it can be copied into a spreadsheet."""
    head = tag("tr", tag("th", "mchid"), tag("th", "invalid_reason"))
    rows = (tag("tr", tag("td", tag("code", mchid)), tag("td", reason)) for mchid, reason in rejections)
    return tag("table", head, *rows, class_="rejected")


def _outcome(outcome: OutcomeView) -> Html:
    request_id = f"Request-ID {outcome.request_id}" if outcome.request_id else ""
    trace = ", ".join(part for part in (outcome.effort, request_id) if part)
    return tag(
        "article",
        tag(
            "h3",
            badge("done" if outcome.settled else outcome.status.value, outcome.status.value),
            *((" ", tag("code", outcome.key)) if outcome.key else ()),
            " ",
            outcome.text,
        ),
        tag("p", outcome.reason) if outcome.reason else None,
        _rejected(outcome.rejections) if outcome.rejections else None,
        tag("p", trace, class_="where quiet mono") if trace else None,
        class_="card",
    )


def _held(view: ReportView, outcomes: Sequence[OutcomeView]) -> Html | None:
    if not view.held:
        return None
    refusals = (finding_card(each, frozenset()) for each in view.held)
    return section("Held back", (*refusals, *map(_outcome, outcomes)))
