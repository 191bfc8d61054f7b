"""Single values in human units: fen as yuan, instants as Beijing time, spans of time, images, windows. Pure."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final

from reconciler.model.activity import BEIJING
from reconciler.plan import plan_data

FEN_FIELDS: Final = frozenset({"transaction_amount_minimum"})
"""Fields of the terms that are amounts of money, in fen."""
_INSTANT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?Z")
SAMPLE: Final = 3
"""How many items stand for a longer list."""


def yuan(fen: int) -> str:
    """¥1.00 for 100 fen."""
    return f"¥{fen // 100:,}.{fen % 100:02d}"


def beijing(moment: datetime) -> str:
    """``2026-12-01 00:00:00``, Beijing time; an instant with milliseconds shows them.

    The last hours of the year 9999 have no Beijing time that can be told, and stand as they are, with ``UTC``.
    """
    try:
        local = moment.astimezone(BEIJING).replace(tzinfo=None)
    # A live activity or an edited file may hold the year 9999, and must be shown all the same.
    except OverflowError:
        return f"{moment.replace(tzinfo=None).isoformat(sep=' ', timespec='seconds')} UTC"
    return local.isoformat(sep=" ", timespec="milliseconds" if local.microsecond else "seconds")


def span(seconds: float) -> str:
    """The two largest units: ``5 d 14 h``, ``3 h 12 min``, ``20 min``, ``8 s``."""
    whole = int(seconds)
    days, rest = divmod(whole, 86_400)
    hours, rest = divmod(rest, 3600)
    minutes, secs = divmod(rest, 60)
    parts = [f"{count} {unit}" for count, unit in ((days, "d"), (hours, "h"), (minutes, "min")) if count]
    return " ".join(parts[:2]) or f"{secs} s"


def counted(number: int, noun: str, plural: str = "") -> str:
    """``1 image``, ``1,200 images``."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def merchants(number: int) -> str:
    """``1 merchant``, ``1,200 merchants``."""
    return counted(number, "merchant")


def sample(items: tuple[str, ...], *, total: int = 0) -> str:
    """The first few of a list, and how many more there are; ``total`` when the list is itself only a part."""
    shown = ", ".join(items[:SAMPLE])
    more = (total or len(items)) - SAMPLE
    return f"{shown} and {more:,} more" if more > 0 else shown


def value(path: str, content: object) -> str:
    """The value of a field of the terms, as ``Terms`` holds it or as a plan file does; ``path`` tells its unit."""
    match plan_data(content):
        case None | "" | []:
            return "(none)"
        # Only our own form of an instant: a name that looks like a date stays as it is.
        case str() as text:
            return beijing(datetime.fromisoformat(text)) if _INSTANT.fullmatch(text) else text
        case int() as fen if path.rpartition(".")[2] in FEN_FIELDS:
            return yuan(fen)
        case list() as items:
            return ", ".join(value(path, item) for item in items)
        case dict() as fields:
            return _object(fields)
        case other:
            return str(other)


def _object(fields: dict[str, object]) -> str:
    """An image, a window, a daily window or an award, by its fields."""
    match fields:
        case {"path": str() as path} | {"url": str() as path}:
            return path
        case {"begin_time": begin, "end_time": end}:
            return f"{value('', begin)} – {value('', end)}"
        case {"begin_day_time": str() as begin, "end_day_time": str() as end}:
            return f"{_clock_time(begin)}–{_clock_time(end)}"
        case {"stock_id": str() as stock_id}:
            files = [str(each["path"]) for each in fields.values() if isinstance(each, dict) and "path" in each]
            return f"{stock_id} ({', '.join(files)})" if files else stock_id
    return ", ".join(f"{name} {value(name, item)}" for name, item in fields.items() if item is not None)


def _clock_time(digits: str) -> str:
    return f"{digits[:2]}:{digits[2:4]}:{digits[4:]}"
