"""Pull requests, comments and issues on GitHub: what the workflows in ``.github/workflows/`` call. It plans nothing.

``run`` which workflow run this is · ``client`` one request, tried again where that is safe · ``marker`` the hidden
lines of a comment (pure) · ``comments`` our comments, found by author and marker · ``approvals`` who approved what ·
``reviewed`` the digest that was reviewed, or why there is none · ``kept`` the plan file with that digest · ``drift``
the issue that tells of drift · ``annotate`` problems at their lines (pure). What may be trusted, and why, is in
docs/github.md.
"""

from __future__ import annotations

from reconciler.github.annotate import annotate
from reconciler.github.client import GitHub
from reconciler.github.comments import Written, keep_plan_comment, keep_report_comment
from reconciler.github.drift import Drift, keep_drift_issue, read_drift
from reconciler.github.kept import kept_plan
from reconciler.github.marker import Owner
from reconciler.github.reviewed import Merged, Reviewed, pull_of_commit, reviewed_digest
from reconciler.github.run import Run

__all__ = [
    "Drift",
    "GitHub",
    "Merged",
    "Owner",
    "Reviewed",
    "Run",
    "Written",
    "annotate",
    "keep_drift_issue",
    "keep_plan_comment",
    "keep_report_comment",
    "kept_plan",
    "pull_of_commit",
    "read_drift",
    "reviewed_digest",
]
