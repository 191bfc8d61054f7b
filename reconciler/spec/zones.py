"""Time zones by their IANA names, spelt as the database spells them; and which one was meant."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import Final
from zoneinfo import ZoneInfo, available_timezones

USUAL: Final = "Asia/Shanghai"

_CHINESE: Final = re.compile(
    r"(?:Asia/)?(?:Beijing|Peking|Shenzhen|Guangzhou|Hangzhou|Chengdu|Shanghai|China)(?: (?:Standard )?Time)?|"
    r"C[SD]T|CTT|CN|BJT|.*(?:北京|上海|中国).*|(?:Etc/)?(?:UTC|GMT|Z)?\s*[+＋]?\s*0?8(?::?00)?",
    re.IGNORECASE,
)
"""What people write for China's time, among it offsets: a zone is a place, since offsets may change with the law."""
_REVERSED: Final = re.compile(r"Etc/GMT\+(\d+)")

_NO_PLACES: Final = ("localtime", "Factory")
"""In some databases: what this machine is set to, and what it was set to before."""


class UnknownZoneError(Exception):
    """The name of a time zone that there is not; the message goes after the name."""


def zone_named(name: str) -> ZoneInfo:
    """The time zone of that name. Raises UnknownZoneError, saying which name was meant.

    Only a name in the database is one, to the letter: some systems find ``asia/shanghai`` too, or files that are not
    zones. ``Etc/GMT+8`` is in it but means eight hours behind UTC, so nobody may write it.
    """
    # available_timezones() walks the whole database, which costs start-up time.
    if name == USUAL:
        return ZoneInfo(name)
    hours = _REVERSED.fullmatch(name)
    if hours and int(hours[1]):
        meant = USUAL if hours[1] == "8" else f"Etc/GMT-{hours[1]}"
        raise UnknownZoneError(f"is {hours[1]} hours behind UTC, although it says +; did you mean {meant}?")
    # Not try ZoneInfo(name): it opens any file below the database, in any case where the disk allows it.
    if name in available_timezones() and name not in _NO_PLACES:
        return ZoneInfo(name)
    raise UnknownZoneError(f"is not a time zone's IANA name{_hint(name)}")


def _hint(name: str) -> str:
    if _CHINESE.fullmatch(name.strip()):
        return f"; did you mean {USUAL}?"
    known = {each.casefold(): each for each in available_timezones()}
    alike = get_close_matches(name.casefold(), known, 1)
    return f"; did you mean {known[alike[0]]}?" if alike else f", such as {USUAL}"
