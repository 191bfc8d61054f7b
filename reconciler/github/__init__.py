"""Pull requests, comments and issues on GitHub: what the workflows in ``.github/workflows/`` call. It plans nothing.

``run`` which workflow run this is · ``client`` one request, tried again where that is safe · ``branch`` what the
default branch is at · ``marker`` the hidden lines of a comment (pure) · ``states`` how a plan stands, for people (pure)
· ``comments`` our comments, found by author and marker · ``waivers`` those of one pull request · ``approvals`` who
approved and pushed what · ``reviewed`` the digest that was reviewed, or why there is none · ``kept`` the plan file with
that digest · ``drift`` the issue that tells of drift · ``annotate`` problems at their lines (pure). What may be
trusted, and why, is in docs/github.md.
"""

from __future__ import annotations

from reconciler.github.annotate import annotate
from reconciler.github.branch import changed, require_current
from reconciler.github.client import GitHub
from reconciler.github.comments import (
    Whose,
    Written,
    keep_plan_comment,
    keep_plan_state,
    keep_report_comment,
)
from reconciler.github.drift import Drift, keep_drift_issue, read_drift
from reconciler.github.kept import artefact_name, kept_plan
from reconciler.github.marker import Owner
from reconciler.github.reviewed import (
    Merged,
    NotReviewedError,
    Reviewed,
    pull_of_commit,
    reviewed_digest,
)
from reconciler.github.run import Run
from reconciler.github.waivers import waivers_of

__all__ = [
    "Drift",
    "GitHub",
    "Merged",
    "NotReviewedError",
    "Owner",
    "Reviewed",
    "Run",
    "Whose",
    "Written",
    "annotate",
    "artefact_name",
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
