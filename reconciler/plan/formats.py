"""The versions of what is written for programs, and the one check of what is read back. Pure.

The first number changes when a reader must change; the second when there is more to read.
"""

from __future__ import annotations

from typing import Final

from reconciler.model.errors import PaygiftError, UsageError

PLAN_FORMAT_VERSION: Final = "2.0"
"""Of plan files. Since 2.0 the digests in preconditions are whole, and the policy and what differs are told."""
FORMAT_VERSION: Final = "1.0"
"""Of everything else that is written for programs: reports, diagnostics, status, drift, notices."""


def first_number(version: str) -> str:
    """``2`` of ``2.0``."""
    return version.partition(".")[0]


def check_format(
    what: str,
    found: str,
    ours: str = FORMAT_VERSION,
    *,
    error: type[PaygiftError] = UsageError,
    remedy: str,
) -> None:
    """Raise ``error`` if the first number of ``found`` is not that of ``ours``; ``what`` begins its sentence."""
    # Fails closed: half understood, an operation could mean something else than it says.
    if first_number(found) != first_number(ours):
        version = f"format {found or 'unknown'}"
        raise error(f"{what} {version}; this paygift reads {first_number(ours)}.x.", remedy=remedy)
