"""Pull requests, comments and issues on GitHub: what the workflows in ``.github/workflows/`` call. It plans nothing.

``run`` which workflow run this is · ``client`` one request, tried again where that is safe · ``branch`` what the
default branch is at · ``marker`` the hidden lines of a comment (pure) · ``states`` how a plan stands, for people (pure)
· ``comments`` our comments, found by author and marker · ``waivers`` those of one pull request · ``approvals`` who
approved and pushed what · ``reviewed`` the digest that was reviewed, or why there is none · ``kept`` the plan file with
that digest · ``drift`` the issue that tells of drift · ``annotate`` mistakes at their lines (pure). What may be
trusted, and why, is in docs/github.md.
"""

from __future__ import annotations

from reconciler.review.github.annotate import annotate
from reconciler.review.github.artifact import artifact_name, kept_plan
from reconciler.review.github.branch import changed, require_current
from reconciler.review.github.client import GitHub
from reconciler.review.github.comments import (
    PlanOwner,
    Written,
    keep_plan_comment,
    keep_plan_state,
    keep_report_comment,
)
from reconciler.review.github.drift import DriftReport, keep_drift_issue, read_drift
from reconciler.review.github.marker import Owner
from reconciler.review.github.reviewed import Merged, NotReviewedError, Reviewed, pull_of_commit, reviewed_digest
from reconciler.review.github.run import WorkflowRun
from reconciler.review.github.waivers import waivers_of

__all__ = [
    "DriftReport",
    "GitHub",
    "Merged",
    "NotReviewedError",
    "Owner",
    "PlanOwner",
    "Reviewed",
    "WorkflowRun",
    "Written",
    "annotate",
    "artifact_name",
    "changed",
    "keep_drift_issue",
    "keep_plan_comment",
    "keep_plan_state",
    "keep_report_comment",
    "kept_plan",
    "pull_of_commit",
    "read_drift",
    "require_current",
    "reviewed_digest",
    "waivers_of",
]
