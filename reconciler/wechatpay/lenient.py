"""JSON read as far as it can be: what no text and no JSON can hold is left out or replaced. Pure."""

from __future__ import annotations

import json
import math
from typing import Final

_DEEPEST: Final = 60
"""What is nested deeper than this is left out: nothing that we know is."""
_MOST_DIGITS: Final = 40
"""Python refuses to read numbers of thousands of digits. Longer ones than this stay text: nothing that we know is."""


def loads(body: bytes) -> object:
    """The JSON of ``body`` as far as it can be read: characters, numbers and depths that are none are replaced."""
    try:
        return _plain(json.loads(body.decode("utf-8", "replace"), parse_int=_whole), _DEEPEST)
    except (ValueError, RecursionError) as error:
        raise ValueError("body: it is not JSON that can be read") from error


def identifier(value: object) -> str:
    """Ids are texts (API §1.1); a whole number names the same activity."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else text(value)


def text(value: object) -> str:
    """``value`` if it is a text, else an empty one."""
    return value if isinstance(value, str) else ""


def _whole(digits: str) -> int | str:
    return int(digits) if len(digits) <= _MOST_DIGITS else digits


def _plain(value: object, depth: int) -> object:
    """``value`` without what no text and no JSON can hold: halves of characters, infinite numbers, endless depths."""
    match value:
        case str():
            # UTF-16 joins the halves that belong together; the others are replaced.
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        case float():
            return value if math.isfinite(value) else None
        case dict():
            return {_plain(name, depth): _plain(each, depth - 1) for name, each in value.items()} if depth else None
        case list():
            return [_plain(each, depth - 1) for each in value] if depth else None
    return value
