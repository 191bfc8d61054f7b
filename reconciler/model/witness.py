"""What the journal knows of an account beside what the account shows (docs/decisions/witness.md). Pure data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final


@dataclass(frozen=True, slots=True)
class Witness:
    """The journal's memory of one account and namespace; all of it is empty where there is no journal.

    ``created`` maps the ids of activities that paygift made, and has not ended itself, to their ``out_request_no``.
    ``terminated`` holds the ids that paygift ended. ``merchants`` holds the merchants that paygift left in an activity
    after its last verified change of them. ``protected`` holds the keys whose spec said ``protect: true`` when it was
    applied, ``adopted`` the ids that specs took over, with their keys. ``switches`` maps the ids that a run was to end
    once a start under another key stood in for them to that key. ``last_create`` is the UTC instant of the last
    create that was proven done.
    """

    # One id too many costs a request; one too few, and an activity that the list hides is not missed.
    created: Mapping[str, str] = field(default_factory=dict)
    terminated: frozenset[str] = frozenset()
    merchants: Mapping[str, frozenset[str]] = field(default_factory=dict)
    protected: frozenset[str] = frozenset()
    adopted: Mapping[str, str] = field(default_factory=dict)
    switches: Mapping[str, str] = field(default_factory=dict)
    last_create: datetime | None = None


NO_WITNESS: Final = Witness()
"""What is known without a journal."""
