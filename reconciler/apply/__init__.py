"""Plan → Report: check preconditions, write, verify by reading back, record.

``run`` is the story of a whole plan, ``writes`` does one operation.
"""

from reconciler.apply.run import apply_plan, refuse
from reconciler.apply.writes import Patience

__all__ = ["Patience", "apply_plan", "refuse"]
