"""A plan from the data that a plan file holds. Pure; fails closed.

Readers ignore keys that they do not know, and refuse a format whose first number they do not know. A file that was
damaged is found out by its checksum, and operations that do not fit their digest by that. Neither has a key, so that
whoever edits a file can make them anew: what is shown is held against the operations (see ``consistency``).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from reconciler.model.errors import StaleError, first_mistake
from reconciler.model.identity import canonical_json
from reconciler.model.plan import Plan
from reconciler.plan.consistency import contradiction
from reconciler.plan.digest import plan_digest
from reconciler.plan.formats import PLAN_FORMAT_VERSION, check_format

_NO_YEAR: Final = re.compile(r'"(?:000[01]|9999)-\d\d-\d\d[T ]')
"""In other time zones they have no date."""
_WHOLE: Final = (
    "namespace",
    "mchid",
    "made_at",
    "valid_until",
    "allow",
    "policy",
    "findings",
    "uploads",
    "known_images",
    "changes",
    "differing",
    "timeline",
)
_REMEDY: Final = "Make it again with `paygift plan --out FILE`, and have it reviewed."


def checksum(data: Mapping[str, object]) -> str:
    """64 hex digits over everything in a plan file but the checksum itself."""
    rest = {name: value for name, value in data.items() if name != "checksum"}
    return hashlib.sha256(canonical_json(rest).encode()).hexdigest()


def read_plan(data: object) -> Plan:
    """The plan in a file's data. Raises StaleError saying what is wrong with it."""
    if not isinstance(data, dict) or data.get("kind") != "plan":
        raise StaleError("This is not a plan file.", remedy=_REMEDY)
    version = str(data.get("format_version"))
    check_format("This plan file has", version, PLAN_FORMAT_VERSION, error=StaleError, remedy=_REMEDY)
    # Before anything is parsed, so that a file cut off by a full disk is called damaged and nothing else.
    if data.get("checksum") != checksum(data):
        raise StaleError("This plan file was changed after it was made: its checksum does not fit.", remedy=_REMEDY)
    # Later, astimezone would raise OverflowError in the middle of showing or applying.
    if _NO_YEAR.search(canonical_json(data)):
        raise StaleError("A time in this plan file is before year 2 or after year 9998.", remedy=_REMEDY)
    try:
        plan = _adapter().validate_python(_plan_fields(data))
        digest, reason = plan_digest(plan), contradiction(plan)
    # An edited file can hold anything anywhere: whatever trips over it, the answer is exit 6.
    except (ValidationError, KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
        raise StaleError(f"This plan file cannot be read: {_first_line(error)}.", remedy=_REMEDY) from error
    if data.get("digest") != digest:
        raise StaleError("The operations in this plan file do not fit its digest.", remedy=_REMEDY)
    if reason:
        raise StaleError(
            f"This plan file contradicts its own operations ({reason}): it was edited.",
            remedy=_REMEDY,
        )
    return plan


@cache
def _adapter() -> TypeAdapter[Plan]:
    """Made when the first plan is read: it takes a moment, and most commands read none."""
    return TypeAdapter(Plan)


def _plan_fields(data: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that a plan file must hold; of the counts those that are not derived from the rest."""
    named = {name: data[name] for name in _WHOLE}
    return {**named, **{name: data["counts"][name] for name in ("managed", "unchanged", "unmanaged")}}


def _first_line(error: Exception) -> str:
    # pydantic's own text goes over many lines and quotes its input.
    return first_mistake(error) if isinstance(error, ValidationError) else repr(error)
