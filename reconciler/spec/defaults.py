"""A spec over the project's ``defaults``. Pure."""

from __future__ import annotations

from typing import Any

from reconciler.spec.fields import NOT_APPLICABLE


def merged(defaults: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """``own`` over ``defaults``: mappings are merged, everything else is replaced.

    A choice that ``own`` itself writes, such as ``delivery_purpose: OFF_LINE_PAY``, unsets the fields of ``defaults``
    that do not apply with it.
    """
    if not defaults:
        return own
    for (part, name, choice), fields in NOT_APPLICABLE.items():
        mine, default = own.get(part), defaults.get(part)
        # Without this, defaults for a mini program would make OFF_LINE_PAY impossible to write.
        if isinstance(mine, dict) and isinstance(default, dict) and mine.get(name) == choice:
            left = {field: value for field, value in default.items() if field not in fields}
            defaults = {**defaults, part: left}
    return _over(defaults, own)


def _over(defaults: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    # Lists replace: merged merchants or awards would give more than the spec shows.
    result = {**defaults, **own}
    for key, value in defaults.items():
        mine = own.get(key)
        if isinstance(value, dict) and isinstance(mine, dict):
            result[key] = _over(value, mine)
    return result
