"""The moment: the system's clock, and times that people type."""

from __future__ import annotations

import time
from datetime import UTC, datetime, tzinfo

from reconciler.model.activity import BEIJING
from reconciler.model.errors import UsageError
from reconciler.spec.context import clock_change, instant_of


def system_clock() -> datetime:
    """The moment in UTC, by the clock of this machine."""
    return datetime.fromtimestamp(time.time(), UTC)


def instant_from(text: str, timezone: tzinfo | None = None) -> datetime:
    """A time that a person typed, in UTC; without an offset it is in ``timezone``, or else Beijing's.

    Raises UsageError for what is not a time, and for a local time that clocks skip or show twice.
    """
    zone = timezone or BEIJING
    try:
        moment = datetime.fromisoformat(text)
        change = clock_change(moment, zone)
        instant = instant_of(moment, zone)
    except (ValueError, OverflowError) as error:
        raise UsageError(f"{text!r} is not a time.", remedy="Write for example 2026-12-24T00:00:00+08:00.") from error
    # An hour off, a plan for another time would show other begins and ends.
    if change:
        raise UsageError(
            f"{text!r} happens {change} in {zone}, where clocks change.",
            remedy="Write the offset too, such as +08:00.",
        )
    return instant
