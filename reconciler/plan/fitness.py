"""Whether a successor is fit to stand in for what is about to end (concepts.md#plan). Pure."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Final

from reconciler.model.activity import FIELD_PATHS, LiveActivity, Terms
from reconciler.plan.compare import shown_otherwise

GIVES: Final = frozenset({"CREATE_ACT_STATUS", "ONGOING_ACT_STATUS"})
"""Created or running: what a successor must be (API §1.7)."""
_NAMED: Final = 3


def unfit(successor: LiveActivity, out_request_no: str, now: datetime, terms: Terms | None = None) -> str:
    """Why ``successor`` does not stand in for anything, in words that follow its name, or nothing if it does.

    ``out_request_no`` is the number that it must carry, empty if any will do. ``terms`` are what it was to be created
    with, if that is known: a number proves nothing of them.
    """
    # Ids come from a response that may be forged or mixed up: the number is what we chose ourselves.
    if out_request_no and successor.out_request_no != out_request_no:
        return f"carries the request number {successor.out_request_no!r}, and not {out_request_no}"
    if successor.ended(now):
        return f"has ended ({successor.activity_status})"
    # A list of what gives, not of what does not: a status that nobody knows is not a successor.
    if successor.activity_status not in GIVES:
        return f"is neither created nor running ({successor.activity_status})"
    return other_terms(successor, terms) if terms is not None else ""


def other_terms(live: LiveActivity, terms: Terms) -> str:
    """That ``live`` was not created with ``terms``, in words that follow its name; nothing where it may have been."""
    fields = shown_otherwise(terms, live)
    if not fields:
        return ""
    return f"has other terms than those of the plan ({', '.join(FIELD_PATHS[name] for name in fields)})"


def not_served(needed: Collection[str], serving: Collection[str]) -> str:
    """Which of the merchants that must be served are not, in words that follow the successor's name, or nothing."""
    missing = sorted(set(needed) - set(serving))
    if not missing:
        return ""
    more = f" and {len(missing) - _NAMED:,} more" if len(missing) > _NAMED else ""
    return f"does not serve {len(missing):,} of {len(needed):,} merchants ({', '.join(missing[:_NAMED])}{more})"
