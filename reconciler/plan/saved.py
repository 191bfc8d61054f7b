"""A plan from the data that a plan file holds. Pure; fails closed.

Readers ignore keys that they do not know, and refuse a format whose first number they do not know. A file that was
edited is found out by its checksum, and operations that do not fit their digest by that.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from reconciler.change import Plan
from reconciler.errors import StaleError
from reconciler.identity import canonical_json
from reconciler.plan.digest import plan_digest

FORMAT_VERSION: Final = "1.0"
_NO_YEAR: Final = re.compile(r'"(?:000[01]|9999)-\d\d-\d\d[T ]')
"""In other time zones they have no date."""
_REMEDY: Final = "Make it again with `paygift plan --out FILE`, and have it reviewed."


def checksum(data: Mapping[str, object]) -> str:
    """64 hex digits over everything in a plan file but the checksum itself."""
    rest = {name: value for name, value in data.items() if name != "checksum"}
    return hashlib.sha256(canonical_json(rest).encode()).hexdigest()


def read_plan(data: object) -> Plan:
    """The plan in a file's data. Raises StaleError saying what is wrong with it."""
    if not isinstance(data, dict) or data.get("kind") != "plan":
        raise StaleError("This is no plan file.", remedy=_REMEDY)
    version = str(data.get("format_version"))
    if version.partition(".")[0] != FORMAT_VERSION.partition(".")[0]:
        raise StaleError(
            f"This plan file has format {version}; this paygift reads {FORMAT_VERSION}.", remedy=_REMEDY
        )
    if data.get("checksum") != checksum(data):
        raise StaleError(
            "This plan file was changed after it was made: its checksum does not fit.", remedy=_REMEDY
        )
    if _NO_YEAR.search(canonical_json(data)):
        raise StaleError("A time in this plan file is before year 2 or after year 9998.", remedy=_REMEDY)
    try:
        plan = _adapter().validate_python(_plan_fields(data))
    except (ValidationError, KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
        raise StaleError(f"This plan file cannot be read: {_first_line(error)}.", remedy=_REMEDY) from error
    if data.get("digest") != plan_digest(plan):
        raise StaleError("The operations in this plan file do not fit its digest.", remedy=_REMEDY)
    return plan


@cache
def _adapter() -> TypeAdapter[Plan]:
    """Made when the first plan is read: it takes a moment, and most commands read none."""
    return TypeAdapter(Plan)


def _plan_fields(data: Mapping[str, Any]) -> dict[str, Any]:
    required = {name: data[name] for name in ("namespace", "findings", "uploads", "changes")}
    return {**data, **data["counts"], **required}


def _first_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False)[0]
        return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
    return repr(error)
