"""(desired, live, policy, now) → Plan. Pure: the same arguments always give the same plan.

``decide`` holds the table of design §7, ``compare`` says whether terms are the same, ``steps`` makes operations, and
``clock`` says how they stand to time.
"""

from reconciler.plan.decide import make_plan
from reconciler.plan.digest import operation_data, plan_data, plan_digest

__all__ = ["make_plan", "operation_data", "plan_data", "plan_digest"]
