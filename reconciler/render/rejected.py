"""Merchants that WeChat Pay rejected, as CSV for the people who must talk to them. Pure."""

from __future__ import annotations

import csv
import io
import re
from typing import Final

from reconciler.model.characters import safe
from reconciler.model.report import Report

HEAD: Final = ("key", "activity_id", "mchid", "invalid_reason", "request_id")
"""The names of the columns."""
_FORMULA: Final = re.compile(r"[=+\-@\t]")


def rejected_csv(report: Report) -> str:
    """One line for each rejected merchant below a head, in the order of the report; CRLF, as spreadsheets like it."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(HEAD)
    for outcome in report.outcomes:
        for each in outcome.rejections:
            key = getattr(outcome.operation, "key", "")
            writer.writerow(map(cell, (key, outcome.activity_id, each.mchid, each.invalid_reason, outcome.request_id)))
    return text.getvalue()


def cell(value: str) -> str:
    """A spreadsheet would compute what begins like a formula, and the server's words are not ours."""
    text = safe(value)
    # The sign that spreadsheets take for "this is text"; quotes of CSV do not stop a formula.
    return f"'{text}" if _FORMULA.match(text) else text
