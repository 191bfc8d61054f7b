"""Single values in human units: fen as yuan, instants as Beijing time, spans of time, pictures, windows. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Final

from reconciler.activity import Award, DayWindow, Image, Window

BEIJING: Final = timezone(timedelta(hours=8))
FEN_FIELDS: Final = frozenset({"transaction_amount_minimum"})
SAMPLE: Final = 3
"""How many items stand for a longer list."""


def yuan(fen: int) -> str:
    """¥1.00 for 100 fen."""
    return f"¥{fen // 100:,}.{fen % 100:02d}"


def beijing(moment: datetime) -> str:
    """``2026-12-01 00:00:00``, Beijing time; an instant with milliseconds shows them."""
    local = moment.astimezone(BEIJING).replace(tzinfo=None)
    return local.isoformat(sep=" ", timespec="milliseconds" if local.microsecond else "seconds")


def span(seconds: float) -> str:
    """The two largest units: ``5 d 14 h``, ``3 h 12 min``, ``20 min``, ``8 s``."""
    whole = int(seconds)
    days, rest = divmod(whole, 86_400)
    hours, rest = divmod(rest, 3600)
    minutes, secs = divmod(rest, 60)
    parts = [f"{count} {unit}" for count, unit in ((days, "d"), (hours, "h"), (minutes, "min")) if count]
    return " ".join(parts[:2]) or f"{secs} s"


def counted(number: int, noun: str) -> str:
    """``1 picture``, ``1,200 pictures``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def merchants(number: int) -> str:
    return counted(number, "merchant")


def sample(items: tuple[str, ...], *, total: int = 0) -> str:
    """The first few of a list, and how many more there are; ``total`` when the list is itself only a part."""
    shown = ", ".join(items[:SAMPLE])
    more = (total or len(items)) - SAMPLE
    return f"{shown} and {more:,} more" if more > 0 else shown


def value(path: str, content: object) -> str:
    """The value of a field of the terms; ``path`` in API names tells its unit."""
    match content:
        case None:
            return "(none)"
        case "":
            return "(none)"
        case datetime():
            return beijing(content)
        case int() if path.rpartition(".")[2] in FEN_FIELDS:
            return yuan(content)
        case Image():
            return content.path or content.url
        case Window():
            return f"{beijing(content.begin_time)} – {beijing(content.end_time)}"
        case DayWindow():
            return f"{_clock_time(content.begin_day_time)}–{_clock_time(content.end_day_time)}"
        case Award():
            pictures = [content.original_image_url, content.thumbnail_url]
            files = ", ".join(each.path for each in pictures if each is not None and each.path)
            return f"{content.stock_id} ({files})" if files else content.stock_id
        case tuple():
            return ", ".join(value(path, item) for item in content) or "(none)"
        case dict():
            return ", ".join(
                f"{name} {value(name, item)}" for name, item in content.items() if item is not None
            )
    return str(content)


def _clock_time(digits: str) -> str:
    return f"{digits[:2]}:{digits[2:4]}:{digits[4:]}"
