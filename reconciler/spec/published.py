"""What the published schemas say of a value that a function of ``fields`` reads or checks.

A pattern is for the whole of a text, in the dialect that JavaScript and Python share.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from typing import Final

from pydantic import AfterValidator, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from reconciler.model import characters


@dataclass(frozen=True, kw_only=True)
class Checked(AfterValidator):
    """A function that checks a text, and the ``pattern`` of what it lets through: made only where a schema is."""

    pattern: Callable[[], str]

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {**handler(schema), "pattern": _all_of(self.pattern())}


def text_like(pattern: str) -> JsonSchemaValue:
    """A text, the whole of which ``pattern`` matches."""
    return {"type": "string", "pattern": _all_of(pattern)}


def whole(least: int, most: int, text: str = "") -> JsonSchemaValue:
    """A whole number, or the same in quotes, as far as a pattern can count: ``text``, or its digits."""
    digits = f"[1-9][0-9]{{0,{len(str(most)) - 1}}}"
    pattern = text or (digits if least else f"0|{digits}")
    return {"anyOf": [{"type": "integer", "minimum": least, "maximum": most}, text_like(pattern)]}


def line(begin: str = "", end: str = "") -> str:
    """The pattern of visible characters in one line, without spaces around them, that begin and end like this."""
    return rf"{begin}(?!\s){_visible()}*(?<!\s){end}"


INSIDE: Final = r"(?!/)(?!.:)(?!\.\.(?:/|$))(?!.*\\)"
"""How a path begins in the project; that it leaves it further on cannot be told by a pattern."""


def image(kinds: tuple[str, ...], max_url: int) -> Callable[[], str]:
    """The pattern of a URL of at most ``max_url`` characters, or of a path that ends in one of ``kinds``."""
    url = rf"https://[!-~]{{2,{max_url - len('https://')}}}"
    ending = rf"(?<=\.(?:{'|'.join(map(any_case, kinds))}))"
    return lambda: f"{url}|{line(rf'(?!.*://){INSIDE}', ending)}"


path: Final = partial(line, INSIDE)


def any_case(word: str) -> str:
    """The pattern of ``word`` in capitals, small letters, or both."""
    return "".join(f"[{letter.upper()}{letter.lower()}]" if letter.isalpha() else letter for letter in word)


def _all_of(pattern: str) -> str:
    # JavaScript's \d is ASCII, Python's takes the digits of every script.
    return f"^(?:{pattern})$".replace(r"\d", "[0-9]")


@cache
def _visible() -> str:
    """One character that a text may hold, as a class of ranges below U+FFFF."""
    allowed = (code for code in range(0x10000) if not characters.FORBIDDEN.match(chr(code)))
    return f"[{''.join(_ranges(allowed))}]"


def _ranges(codes: Iterator[int]) -> Iterator[str]:
    first = last = next(codes)
    for code in codes:
        if code > last + 1:
            yield f"\\u{first:04x}-\\u{last:04x}"
            first = code
        last = code
    yield f"\\u{first:04x}-\\u{last:04x}"
