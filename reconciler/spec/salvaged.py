"""Fields of a spec, or of paygift.yaml, that may be damaged: what could not be read is not set (``salvage``). Pure.

A field is named by a function, so that mypy knows its name and its type.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

Part = TypeVar("Part")
Value = TypeVar("Value")


def known(part: Part | None, field: Callable[[Part], Value]) -> Value | None:
    """What ``field`` takes from ``part``, or ``None`` where that, or ``part`` itself, could not be read.

    A list or mapping that is known may still hold ``None`` in the place of an entry that is not.
    """
    if part is None:
        return None
    try:
        return field(part)
    # model_construct leaves out what could not be read, and pydantic then raises this.
    except AttributeError:
        return None


def is_known(part: Part, field: Callable[[Part], object]) -> bool:
    """Whether ``field`` of ``part`` could be read, be it that ``None`` is written there."""
    try:
        field(part)
    except AttributeError:
        return False
    return True
