"""Specs → desired activities. Pure: what lies outside the specs (the moment, merchant groups already read, what was
found where a picture should be) comes in as a ``Context``.

``defaults`` puts a spec over what the project says for all, ``rules`` and ``conflicts`` find what is wrong with specs,
``meaning`` makes the canonical form of what is right.
"""

from reconciler.desired.conflicts import Header, conflicts
from reconciler.desired.context import Context, NoPicture, Picture, clock_change, instant_of
from reconciler.desired.defaults import merged
from reconciler.desired.meaning import desire
from reconciler.desired.rules import faults_in, local_images, notes_in, span_faults, unknown_group

__all__ = [
    "Context",
    "Header",
    "NoPicture",
    "Picture",
    "clock_change",
    "conflicts",
    "desire",
    "faults_in",
    "instant_of",
    "local_images",
    "merged",
    "notes_in",
    "span_faults",
    "unknown_group",
]
