"""Times as the API writes them (RFC 3339, Beijing time), and the business clock's settings."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Final

Clock = Callable[[], datetime]
"""Gives aware instants."""
BEIJING: Final = timezone(timedelta(hours=8))
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TIME: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})"
)
_STEP: Final = re.compile(r"([+-])([0-9]{1,9})([smhdw])")
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
# Away from the ends of datetime, where an offset would lead out of the calendar.
_YEARS: Final = range(1971, 9998)


def parse(text: str) -> datetime:
    """An RFC 3339 time with its offset (API §5.1). Raises ValueError for anything else."""
    if _TIME.fullmatch(text) is None:
        raise ValueError(f"{text!r} is not an RFC 3339 time like 2026-12-01T00:00:00+08:00")
    moment = datetime.fromisoformat(text)
    if moment.year not in _YEARS:
        raise ValueError(f"{text!r} is too far away")
    return moment


def seconds(value: object) -> float | None:
    """A time of the API in Unix seconds; ``None`` for anything that ``parse`` does not take."""
    try:
        return parse(value).timestamp() if isinstance(value, str) else None
    except ValueError:
        return None


def beijing(unix: float) -> str:
    """Unix seconds as the API writes them: Beijing time in whole seconds; milliseconds only where there are any."""
    moment = (_EPOCH + timedelta(milliseconds=round(unix * 1000))).astimezone(BEIJING)
    return moment.isoformat(timespec="milliseconds" if moment.microsecond else "seconds")


def _with_offset(text: str) -> str:
    """People say ``2026-12-20`` or ``2026-12-20T10:00:00`` to a clock, and mean Beijing time."""
    if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        return f"{text}T00:00:00+08:00"
    return f"{text}+08:00" if re.fullmatch(r"[0-9-]{10}T[0-9:]{8}", text) else text


def moved(text: str, *, real: datetime, offset: float) -> float:
    """The business clock's new distance from real time, in seconds, after being set to ``text``.

    ``+3d``, ``-2h``, ``+90m`` move it from where it stands, a time or date sets it (Beijing time where it has no
    offset), ``real`` takes it back.
    Raises ValueError for any other text, and when the clock would leave the calendar.
    """
    step = _STEP.fullmatch(text)
    if text == "real":
        return 0.0
    if step is None:
        moment = _with_offset(text)
        if _TIME.fullmatch(moment) is None:
            raise ValueError(f"{text!r} is not a time; write one of +3d, -2h, 2026-12-01T00:00:00+08:00, real")
        return (parse(moment) - real).total_seconds()
    seconds = int(step[2]) * _UNITS[step[3]]
    offset += seconds if step[1] == "+" else -seconds
    try:
        within = (real + timedelta(seconds=offset)).astimezone(UTC).year in _YEARS
    except OverflowError:
        within = False
    if not within:
        raise ValueError(f"{text!r} moves the clock out of the calendar")
    return offset
