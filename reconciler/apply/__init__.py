"""Plan → Report: check preconditions, write, verify by reading back, record.

``run`` is the story of a whole plan, ``writes`` does one operation, ``send`` one request. ``resume`` asks what
became of the requests of a run that died.
"""

from reconciler.apply.lookups import Lookups, PollPolicy
from reconciler.apply.resume import resume
from reconciler.apply.run import UploadedImages, apply_plan, refuse
from reconciler.apply.send import Recorder
from reconciler.apply.writes import Writer

__all__ = ["Lookups", "PollPolicy", "Recorder", "UploadedImages", "Writer", "apply_plan", "refuse", "resume"]
