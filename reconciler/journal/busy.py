"""Another process has been in the middle of writing to the journal for longer than any write takes."""

from __future__ import annotations

from typing import Final

from reconciler.model.errors import BusyError

BUSY_SECONDS: Final = 8.0
"""How long a transaction waits for the one of another process. None takes longer than a moment, so this is told before
the deadline for a journal that does not answer at all."""
STILL_BUSY_SECONDS: Final = 0.5
"""The same after somebody has waited that long in vain, until it is free again."""
REMEDY: Final = "Wait for that process or end it, then run again; `paygift unlock` takes the lock away."


def busy_error(where: str, said: str, *, held: str = "", remedy: str = "") -> BusyError:
    """The journal in ``where`` is busy, as its database ``said``. ``held`` tells who holds the lock, if it is known."""
    return BusyError(
        f"the journal in {where} is busy: another process has been in the middle of writing to it for over "
        f"{BUSY_SECONDS:g} s ({said}).{held}",
        remedy=remedy or REMEDY,
    )
