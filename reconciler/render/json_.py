"""What is shown, as JSON for programs. ``format_version`` changes its first number when a reader must change."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from reconciler.journal.history import Row
from reconciler.model.activity import DesiredActivity, LiveActivity
from reconciler.model.characters import safe, safe_json
from reconciler.model.checkup import Checkup
from reconciler.model.diagnostics import Diagnostic
from reconciler.model.findings import Finding
from reconciler.model.operations import Operation
from reconciler.model.plan import Plan
from reconciler.model.report import AbortedApply, Outcome, Report
from reconciler.plan import (
    FORMAT_VERSION,
    PLAN_FORMAT_VERSION,
    Drift,
    Undo,
    checksum,
    held_in,
    operation_data,
    plan_data,
    plan_digest,
    policy_data,
    undo_of,
)
from reconciler.render.messages import UNDO
from reconciler.render.views.drift import sentence
from reconciler.render.views.finding import finding_text
from reconciler.render.views.status import StatusRow
from reconciler.render.views.stopped import stopped_view


def plan_json(plan: Plan) -> dict[str, object]:
    """What a plan file holds, and what ``plan.plan_file.read_plan`` reads. ``text`` is for people."""
    data: dict[str, object] = {
        "format_version": PLAN_FORMAT_VERSION,
        "kind": "plan",
        "namespace": plan.namespace,
        "mchid": plan.mchid,
        "made_at": plan_data(plan.made_at),
        "valid_until": plan_data(plan.valid_until),
        # read_plan works it out again, and refuses a file in which it differs.
        "digest": plan_digest(plan),
        "allow": list(plan.allow),
        "policy": policy_data(plan.policy),
        "findings": [_finding(finding) for finding in plan.findings],
        "held": _held(plan, plan.refusals),
        "uploads": [_operation(upload) for upload in plan.uploads],
        "known_images": plan_data(plan.known_images),
        "changes": [
            {
                "key": change.key,
                "kind": change.kind.value,
                "activity_name": change.activity_name,
                "source": plan_data(change.source),
                "differences": plan_data(change.differences),
                "operations": [_operation(step) for step in change.operations],
                "clocks": plan_data(change.clocks),
                "coverage": plan_data(change.coverage),
                "merchants_before": change.merchants_before,
                "merchants_after": change.merchants_after,
                "leans_on": plan_data(change.leans_on),
                "goes_with": list(change.goes_with),
            }
            for change in plan.changes
        ],
        "differing": plan_data(plan.differing),
        "counts": _counts(plan),
        "timeline": plan_data(plan.timeline),
    }
    return {**data, "checksum": checksum(data)}


def edited_place(data: object, plan: Plan) -> str:
    """Where in ``data``, from which ``plan`` was read, something stands otherwise than it would be written; or nothing.

    Keys that this paygift does not write are nobody's business.
    """
    try:
        # The plan is written once more: a list of fields to check would always lack the newest one.
        return ".".join(_unlike(data, plan_json(plan)) or ())
    except (KeyError, IndexError, ValueError, TypeError, AttributeError):
        return "a finding that this paygift does not know"


def _unlike(found: object, written: object) -> tuple[str, ...] | None:
    """The path to the first difference."""
    match written:
        case dict() if isinstance(found, dict):
            inside = ((name, found.get(name, _MISSING), each) for name, each in written.items())
        case list() | tuple() if isinstance(found, list) and len(found) == len(written):
            inside = ((str(index), found[index], each) for index, each in enumerate(written))
        case _:
            # By type as well: in Python true equals 1, and 1 equals 1.0.
            return None if type(found) is type(written) and found == written else ()
    for name, here, there in inside:
        rest = _unlike(here, there)
        if rest is not None:
            return (name, *rest)
    return None


_MISSING: Final = object()


def report_json(report: Report) -> dict[str, object]:
    """What came of a plan; `paygift schema report` describes it. Times are UTC (RFC 3339), ``text`` is for people."""
    return {
        "format_version": FORMAT_VERSION,
        "kind": "report",
        "plan_digest": plan_digest(report.plan),
        "started_at": plan_data(report.started_at),
        "finished_at": plan_data(report.finished_at),
        "complete": report.complete,
        "interrupted": report.interrupted,
        "run": report.run,
        "journal_head": report.journal_head,
        "remarks": list(report.remarks),
        "held": _held(report.plan, report.held),
        "outcomes": [_outcome(outcome) for outcome in report.outcomes],
    }


def _held(plan: Plan, refusals: Iterable[Finding]) -> list[dict[str, object]]:
    """Open refusals of a plan, each with all keys that it holds: none is named of one that holds the whole plan."""
    found = held_in(plan).by_refusal
    return [
        {
            "code": each.code,
            "key": each.key,
            "keys": list(dict.fromkeys((each.key, *found.get(each.name, ())))) if each.key else [],
            "text": finding_text(each),
        }
        for each in refusals
    ]


def diagnostics_json(
    diagnostics: Sequence[Diagnostic], *, specs: int, notes: Sequence[Diagnostic] = ()
) -> dict[str, object]:
    """What `validate` found: ``specs`` that are fine, or every diagnostic with its place; and what should be known."""
    return {
        "format_version": FORMAT_VERSION,
        "kind": "problems",
        "specs": specs,
        "problems": [_diagnostic_data(diagnostic) for diagnostic in diagnostics],
        **({"notes": [_diagnostic_data(note) for note in notes]} if notes else {}),
    }


def _diagnostic_data(diagnostic: Diagnostic) -> dict[str, object]:
    return {
        "file": diagnostic.file,
        "line": diagnostic.line,
        "column": diagnostic.column,
        "path": diagnostic.path,
        "code": diagnostic.code,
        "message": diagnostic.message,
    }


def status_json(rows: Sequence[StatusRow], plan: Plan) -> dict[str, object]:
    """What `status --json` prints: a row for each activity and spec, and the counts of ``plan``."""
    return {
        "format_version": FORMAT_VERSION,
        "kind": "status",
        "activities": plan_data(tuple(rows)),
        "counts": _counts(plan),
    }


def show_json(
    desired: DesiredActivity | None,
    live: Sequence[LiveActivity],
    goods: Mapping[str, Sequence[str]],
    done: Sequence[Row] = (),
) -> dict[str, object]:
    """``wire`` is each activity as WeChat Pay sends it, fields that we do not know included. ``history`` is as in
    `history --json`.
    """
    return {
        "format_version": FORMAT_VERSION,
        "kind": "activity",
        "desired": plan_data(desired),
        "live": [
            {
                "activity_id": each.activity_id,
                "merchants": plan_data(each.merchants),
                "goods": list(goods.get(each.activity_id, ())),
                # Whole: fields that we do not know are why people look here.
                "wire": each.wire,
            }
            for each in live
        ],
        "history": plan_data(tuple(done)),
    }


def history_json(rows: Sequence[Row]) -> dict[str, object]:
    """``bodies`` are the requests that were sent, to the byte; ``plan_digest`` is that of the run's plan."""
    return {
        "format_version": FORMAT_VERSION,
        "kind": "history",
        "operations": plan_data(tuple(rows)),
    }


def drift_json(found: Sequence[Drift], plan: Plan) -> dict[str, object]:
    """``clean`` means that nothing was changed outside and nothing is pending. ``text`` is safe to show."""
    return {
        "format_version": FORMAT_VERSION,
        "kind": "drift",
        "namespace": plan.namespace,
        "mchid": plan.mchid,
        "made_at": plan_data(plan.made_at),
        "clean": not found,
        "items": [
            {
                "code": each.code,
                "key": each.key,
                "activity_id": each.activity_id,
                "pending": each.pending,
                "witnessed": each.witnessed,
                "since": plan_data(each.since),
                "merchants_added": list(each.added),
                "merchants_missing": list(each.missing),
                "fields": plan_data(each.fields),
                "refusals": [finding.code for finding in each.refusals],
                "text": safe(sentence(each)),
            }
            for each in found
        ],
    }


def checkup_json(checkup: Checkup) -> dict[str, object]:
    """Every check in its order; ``not_checked`` are the codes of what is essential and stayed open."""
    return {
        "format_version": FORMAT_VERSION,
        "kind": "checkup",
        "passed": checkup.passed,
        "not_checked": list(checkup.not_checked),
        "checks": [
            {
                "code": check.code,
                "status": check.status.value,
                "text": check.text,
                "remedy": check.remedy,
            }
            for check in checkup.checks
        ],
        "counts": {status.value: count for status, count in checkup.counts.items()},
    }


def stopped_json(stopped: AbortedApply) -> dict[str, object]:
    """``written`` is false, or null where nobody knows; ``text`` says so in words."""
    view = stopped_view(stopped)
    return {
        "format_version": FORMAT_VERSION,
        "kind": "stopped",
        "namespace": stopped.namespace,
        "mchid": stopped.mchid,
        "plan_digest": stopped.plan_digest,
        "at": plan_data(stopped.at),
        "exit_code": stopped.exit_code,
        "error": {"kind": view.kind, "message": stopped.message, "remedy": stopped.remedy},
        "refusals": [
            {"code": each.code, "key": each.key, "text": each.text, "source": each.source} for each in view.refusals
        ],
        "details": list(view.details),
        # Never true: nobody knows how far it came.
        "written": None if stopped.writing else False,
        "text": view.written,
    }


def _counts(plan: Plan) -> dict[str, int]:
    """Activities, but for ``refused`` and ``differing``, which count keys."""
    return {
        "managed": plan.managed,
        "unchanged": plan.unchanged,
        "unmanaged": plan.unmanaged,
        "refused": len(plan.refused),
        "differing": len(plan.left_differing),
    }


def _operation(step: Operation, outcome: Outcome | None = None) -> dict[str, object]:
    """``undo`` is for people and scripts: readers of plan files make it anew. Of an outcome it is what was done."""
    undo = undo_of(outcome or step)
    return {**operation_data(step), "undo": {**_fields(undo), "text": UNDO[undo.code]}}


def _fields(undo: Undo) -> dict[str, object]:
    return {"code": undo.code, "possible": undo.possible, "merchants": list(undo.merchants)}


def _finding(finding: Finding) -> dict[str, object]:
    return {
        "code": finding.code,
        "severity": finding.severity.value,
        "key": finding.key,
        "facts": plan_data(finding.facts),
        "source": plan_data(finding.source),
        "waived": finding.waived,
        "text": finding_text(finding),
    }


def _outcome(outcome: Outcome) -> dict[str, object]:
    return {
        "operation": _operation(outcome.operation, outcome),
        "status": outcome.status.value,
        "activity_id": outcome.activity_id,
        "reason": outcome.reason,
        "request_id": outcome.request_id,
        "http_status": outcome.http_status,
        "tries": outcome.tries,
        "by_reading": outcome.by_reading,
        "held_by": list(outcome.held_by),
        "started_at": plan_data(outcome.started_at),
        "finished_at": plan_data(outcome.finished_at),
        "rejections": plan_data(outcome.rejections),
    }


def dumps(data: object) -> str:
    """JSON for people too: indented, Chinese as it is, a newline at the end, and no command for the log of a CI."""
    # No key order of its own: the checksum is of the data, not of this text.
    return safe_json(json.dumps(data, ensure_ascii=False, indent=2)) + "\n"
