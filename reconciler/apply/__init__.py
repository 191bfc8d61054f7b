"""Plan → Report: check preconditions, write, verify by reading back, record.

``run`` is the story of a whole plan, ``writes`` does one operation.
"""

from reconciler.apply.run import UploadedImages, apply_plan, refuse
from reconciler.apply.writes import Patience

__all__ = ["Patience", "UploadedImages", "apply_plan", "refuse"]
