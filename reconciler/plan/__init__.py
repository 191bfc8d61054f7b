"""(desired, live, policy, now) → Plan. Pure: the same arguments always give the same plan.

``decide`` holds the table of concepts.md#plan, ``compare`` says whether terms are the same, ``steps`` makes operations,
and ``clock`` says how they stand to time. ``digest`` tells plans apart, ``saved`` reads them from files, and ``stale``
says whether a plan is still the one that was reviewed.
"""

from reconciler.plan.certainty import unproven_creates
from reconciler.plan.coupons import coupon_findings, stocks_named, unproven
from reconciler.plan.decide import make_plan
from reconciler.plan.digest import digests_of_review, operation_data, plan_data, plan_digest, policy_data
from reconciler.plan.drift import Drift, DriftCode, drifts
from reconciler.plan.formats import FORMAT_VERSION, PLAN_FORMAT_VERSION, check_format, first_number
from reconciler.plan.held import Held, Hold, as_reviewed, held_in, rest
from reconciler.plan.images import image_findings, with_known_images
from reconciler.plan.saved import checksum, read_plan
from reconciler.plan.stale import Stale, may_be_of, not_held, staleness
from reconciler.plan.undo import Undo, UndoCode, undo_of, undos_of, ways_back
from reconciler.plan.verdict import with_findings

__all__ = [
    "FORMAT_VERSION",
    "PLAN_FORMAT_VERSION",
    "Drift",
    "DriftCode",
    "Held",
    "Hold",
    "Stale",
    "Undo",
    "UndoCode",
    "as_reviewed",
    "check_format",
    "checksum",
    "coupon_findings",
    "digests_of_review",
    "drifts",
    "first_number",
    "held_in",
    "image_findings",
    "make_plan",
    "may_be_of",
    "not_held",
    "operation_data",
    "plan_data",
    "plan_digest",
    "policy_data",
    "read_plan",
    "rest",
    "staleness",
    "stocks_named",
    "undo_of",
    "undos_of",
    "unproven",
    "unproven_creates",
    "ways_back",
    "with_findings",
    "with_known_images",
]
