"""Characters that a reader does not see as what they are, and text made safe for terminals and logs. Pure.

What is hidden is decided by property, not by a list of known tricks: controls, format characters, separators, halves of
characters, everything with the property Default_Ignorable_Code_Point, and blanks that are not the ordinary space or the
full-width one. Python's ``unicodedata`` knows categories but not that property, so its ranges stand here.
"""

from __future__ import annotations

import re
from typing import Final

Ranges = tuple[tuple[int, int], ...]
"""Code points, from the first to the last of each pair."""

DEFAULT_IGNORABLE: Final[Ranges] = (
    (0xAD, 0xAD), (0x34F, 0x34F), (0x61C, 0x61C), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F),
    (0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F), (0x3164, 0x3164), (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF),
    (0xFFA0, 0xFFA0), (0xFFF0, 0xFFF8), (0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A), (0xE0000, 0xE0FFF),
)  # fmt: skip
"""Default_Ignorable_Code_Point of Unicode 14.0, DerivedCoreProperties.txt: 4,174 code points."""

OTHER_FORMAT: Final[Ranges] = (
    (0x600, 0x605), (0x6DD, 0x6DD), (0x70F, 0x70F), (0x890, 0x891), (0x8E2, 0x8E2), (0xFFF9, 0xFFFB),
    (0x110BD, 0x110BD), (0x110CD, 0x110CD), (0x13430, 0x1343F),
)  # fmt: skip
"""Format characters (category Cf) that are not ignorable: they act on their neighbours."""

BLANKS: Final[Ranges] = (
    (0xA0, 0xA0), (0x1680, 0x1680), (0x2000, 0x200A), (0x202F, 0x202F), (0x205F, 0x205F), (0x2800, 0x2800),
)  # fmt: skip
"""White space (category Zs) but U+0020 and U+3000, which people type; and the braille pattern without a dot."""

CONTROLS: Final[Ranges] = ((0x00, 0x1F), (0x7F, 0x9F), (0x2028, 0x2029), (0xD800, 0xDFFF))
"""Controls, Unicode's separators of lines and paragraphs, and surrogates."""

BIDI_CONTROLS: Final[Ranges] = ((0x61C, 0x61C), (0x200E, 0x200F), (0x202A, 0x202E), (0x2066, 0x2069))
"""Bidi_Control: what reorders the text that a reviewer sees."""


def character_class(*ranges: Ranges) -> str:
    """The inside of a class of a regular expression that holds all of ``ranges``."""
    return "".join(f"\\U{first:08x}-\\U{last:08x}" for part in ranges for first, last in part)


HIDDEN_CLASS: Final = character_class(DEFAULT_IGNORABLE, OTHER_FORMAT, BLANKS, CONTROLS)
"""All of these, as a regular expression or a JSON Schema takes them."""
HIDDEN: Final = re.compile(f"[{HIDDEN_CLASS}]")
"""One character that hides, reorders or passes for something else."""

_COMMAND: Final = re.compile(r"\A(?P<before>\s*):(?=:)|(?P<hash>#)#(?=\w*\[)")
"""What the logs of CI systems obey: ``::name::`` where a line begins (GitHub), ``##[…`` and ``##vso[…`` anywhere
(GitHub, Azure)."""


def safe(text: str) -> str:
    """``text`` for one line of a terminal or a log: nothing in it moves the cursor, hides, reorders, or is a command.

    Hidden characters become ``\\x1b``-like escapes. What a CI system would take for a command is broken up in the same
    way, wherever it stands, since any text may come to stand where a line begins.
    """
    # Most text is plain, and this runs for every word of a plan with thousands of lines.
    if not (text.isascii() and text.isprintable()):
        text = HIDDEN.sub(_escaped, text)
    return without_commands(text)


def escaped(text: str) -> str:
    """``text`` as a message about a file quotes it: ``\\u`` and hex for every character that is hidden, not assigned,
    or for private use. Commands of CI systems stay: ``safe`` breaks them up where the message is printed.
    """
    return "".join(f"\\u{ord(c):04x}" if _unseen(c) else c for c in text)


def without_commands(text: str) -> str:
    """``text`` with what the log of a CI system would take for a command broken up; ``safe`` does that too."""
    # A quick look first, for the same reason.
    if "##" in text or text.lstrip().startswith("::"):
        return _COMMAND.sub(_broken_up, text)
    return text


def safe_json(text: str) -> str:
    """JSON as ``text`` that means the same, and holds nothing that a CI system would take for a command."""
    # Valid in JSON strings only; nowhere else in JSON can there be a #.
    return text.replace("##", "#\\u0023")


def _unseen(character: str) -> bool:
    return not (character.isprintable() or character == "\u3000") or HIDDEN.match(character) is not None


def _escaped(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()


def _broken_up(found: re.Match[str]) -> str:
    return "#\\x23" if found["hash"] else f"{found['before']}\\x3a"


def shown(text: str, limit: int = 40) -> str:
    """``text`` in quotes for a message: cut short, and what cannot be seen is escaped."""
    # Cut before it is escaped, or an escape could be cut in two.
    cut = text if len(text) <= limit else text[:limit] + "…"
    return f'"{escaped(cut)}"'


# --- texts ---------------------------------------------------------------------------------------------------------

FORBIDDEN: Final = re.compile(f"[{HIDDEN_CLASS}\U00010000-\U0010ffff]")
"""What no text of an activity may hold: what hides, and what needs four bytes in UTF-8, which the API refuses."""
