"""Merchant groups: text files with one mchid a line, ``#`` comments and blank lines."""

from __future__ import annotations

import re
from sys import intern
from typing import Final

from reconciler.model.characters import shown
from reconciler.model.diagnostics import Diagnostic
from reconciler.spec.fields import MCHID_PATTERN
from reconciler.spec.lookalikes import CONFLICT, CONFLICT_MESSAGE, full_width_hint

_MCHID: Final = re.compile(MCHID_PATTERN)


def parse_group(file: str, text: str) -> tuple[tuple[str, ...], list[Diagnostic]]:
    """The merchants of a group, sorted, and every bad line of its file."""
    lines: dict[str, int] = {}
    diagnostics = []
    for number, line in enumerate(text.split("\n"), 1):
        entry = line.partition("#")[0].strip()
        if not entry:
            continue
        column = line.index(entry) + 1
        if CONFLICT.match(line.rstrip("\r")):
            message = f"{entry[:7]}: {CONFLICT_MESSAGE}"
            diagnostics.append(Diagnostic(file, number, column, message=message, code="merge_conflict"))
        elif not _MCHID.fullmatch(entry):
            several = ", one in each line" if re.search(r"[\s,;，；、]", entry) else ""
            message = f"{shown(entry)} is not a merchant number: 8 to 15 digits{several}{full_width_hint(entry)}"
            diagnostics.append(Diagnostic(file, number, column, message=message, code="mchid"))
        # Told and not dropped: a double is mostly a slip for another number.
        elif entry in lines:
            message = f"the merchant {shown(entry)} is written twice (see {file}:{lines[entry]})"
            diagnostics.append(Diagnostic(file, number, column, message=message, code="duplicate_merchant"))
        else:
            # Thousands of specs and groups name the same merchants: one text for all of them.
            lines[intern(entry)] = number
    return tuple(sorted(lines)), diagnostics
