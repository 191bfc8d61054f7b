"""Why a text is not YAML although it looks like some: left-overs of a merge, full-width punctuation, other blanks.

A parser tells the line after, or none at all, so these are looked for where something is wrong with a file already.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from reconciler.model.characters import BLANKS, character_class
from reconciler.spec.yaml_ import TextDiagnostic

CONFLICT: Final = re.compile(r"(<{7}|\|{7}|={7}|>{7})(?: |$)")
"""A line that git writes where it could not merge."""
CONFLICT_MESSAGE: Final = (
    "left over from a merge: choose which side is to stay, and remove the lines that begin with <<<<<<<, ======= "
    "and >>>>>>>"
)

_BLANK: Final = f"\u3000{character_class(BLANKS)}"
_KEY: Final = r"""["“”']?[A-Za-z_][\w-]*["“”']?"""
_START: Final = rf"^[ \t{_BLANK}]*(?:-[ \t{_BLANK}]+)*"
_CERTAIN: Final = (
    re.compile(rf"^[ \t]*(?P<blank>[{_BLANK}])"),
    re.compile(rf"^[ \t]*(?:- +)*(?:-|{_KEY}:)(?P<blank>[{_BLANK}])"),
    re.compile(rf"{_START}{_KEY}[ \t{_BLANK}]*(?P<sign>：)"),
    re.compile(rf"[{{,]\s*{_KEY}\s*(?P<sign>：)"),
)
"""What is never meant: a blank that does not indent, and a colon that ends no key."""
_LIKELY: Final = (
    re.compile(r"(?:^\s*|[:：\-,，[{]\s*)(?P<sign>[“”‘’＂＇])"),
    re.compile(r"[“‘][^“”‘’]*(?P<sign>[”’])\s*(?:[,，\]}]|$)"),
    re.compile(r"^[^\[{［｛【]*[\[{［｛【].*?(?P<sign>[，、；])"),
    re.compile(r"(?:[:：\-]\s*)(?P<sign>[［｛【])"),
    re.compile(r"(?P<sign>[］｝】])\s*$"),
    re.compile(r"^\s*(?P<sign>[－—–])\s*\S"),
    re.compile(r"(?:^|\s)(?P<sign>＃)"),
)
"""What may be meant in a text, and is told only where a file is not YAML."""

_QUOTED: Final = re.compile(r""""(?:[^"\\]|\\.)*"|'[^']*'|(?:^|\s)#.*""")
_WRITTEN: Final = {
    "“": '"',
    "”": '"',
    "‘": "'",
    "’": "'",
    "、": ",",
    "【": "[",
    "】": "]",
    "—": "-",
    "–": "-",
    "。": ".",
}


_LONGEST: Final = 300
"""So much of a line is looked at: nobody writes longer ones by hand, and looking may take the square of it."""


def written(character: str) -> str:
    """What a keyboard writes for a full-width or typographic sign; empty for any other character."""
    if "！" <= character <= "～":
        return chr(ord(character) - 0xFEE0)
    return _WRITTEN.get(character, "")


def full_width_hint(value: str) -> str:
    """What to write instead of the first full-width sign of a value that must be ASCII, to be put after a message."""
    found = next((each for each in value if written(each)), "")
    return f'; "{found}" is full-width: write {written(found)}' if found else ""


def lookalikes(text: str, *, is_yaml: bool) -> list[TextDiagnostic]:
    """Each such thing of ``text``, at its own line. ``is_yaml`` tells that it can be parsed all the same."""
    # In valid YAML a full-width sign may be a campaign's name, which customers read.
    patterns = _CERTAIN if is_yaml else (*_CERTAIN, *_LIKELY)
    return [
        each
        for number, line in enumerate(text.split("\n"), 1)
        # Leaves out almost every line: the patterns are slow.
        if not line.isascii() or line.startswith(("<", "|", "=", ">"))
        for each in _in_line(number, line[:_LONGEST].rstrip("\r"), patterns)
    ]


def _in_line(number: int, line: str, patterns: tuple[re.Pattern[str], ...]) -> Iterator[TextDiagnostic]:
    if found := CONFLICT.match(line):
        yield TextDiagnostic(number, 1, (), "merge_conflict", f"{found[1]}: {CONFLICT_MESSAGE}")
        return
    # The same length, or every column behind it would be wrong.
    bare = _QUOTED.sub(lambda quoted: "x" * len(quoted[0]), line)
    found_signs = (found for each in patterns for found in each.finditer(bare))
    places = {found.start(found.lastgroup or 0): found[found.lastgroup or 0] for found in found_signs}
    for column, character in sorted(places.items()):
        yield TextDiagnostic(number, column + 1, (), "full_width", _message(character))


def _message(character: str) -> str:
    name = f"U+{ord(character):04X}"
    if instead := written(character):
        kind = "curly quote" if character in "“”‘’" else "full-width sign"
        return f'a {kind} "{character}" ({name}): write {instead}'
    kind = "a full-width space" if character == "\u3000" else "a space of another kind"
    return f"{kind} ({name}): write an ordinary space"
