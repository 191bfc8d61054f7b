"""Mistakes in files, each with its place."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

MANY: Final = 20
"""So many equal mistakes are told one by one; of more, the first and how many there are."""


@dataclass(frozen=True, slots=True, order=True)
class Diagnostic:
    """One mistake in one file of the project.

    ``line`` and ``column`` count from 1; 0 means that the whole file is meant. ``path`` is the field's dotted
    path in API names (``activity_base_info.activity_name``), or empty. ``code`` is stable; ``message`` says
    what was found, what was expected and what to do.
    """

    file: str
    line: int = 0
    column: int = 0
    path: str = ""
    message: str = ""
    code: str = ""
    # A mapping has neither order nor hash, and diagnostics are sorted and put into sets.
    facts: Mapping[str, object] = field(default_factory=dict, compare=False)

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return f"{where}: {self.path}: {self.message}" if self.path else f"{where}: {self.message}"


def condensed(diagnostics: Iterable[Diagnostic]) -> list[Diagnostic]:
    """``diagnostics`` in their order, but one for each kind of which there are more than ``MANY``, with their number.

    Of one kind are those with the same code at the same field of one file, and those with the same words in many files.
    """
    in_files = _first_of_each(list(diagnostics), _kind_in_file, "in this file")
    # After the first pass: one mistake in `defaults` shows in thousands of files.
    return _first_of_each(in_files, lambda each: (each.code, each.message), "in other files")


def _kind_in_file(diagnostic: Diagnostic) -> tuple[str, ...]:
    field = re.sub(r"\[\d+\]", "[]", diagnostic.path)
    if diagnostic.code == "unknown_key":  # its path ends in what the author made up
        field = field.rpartition(".")[0]
    return diagnostic.file, diagnostic.code, field


def _first_of_each(
    diagnostics: list[Diagnostic], kind: Callable[[Diagnostic], tuple[str, ...]], where: str
) -> list[Diagnostic]:
    counts = Counter(map(kind, diagnostics))
    told = set()
    kept = []
    for each in diagnostics:
        mine = kind(each)
        if counts[mine] <= MANY:
            kept.append(each)
        elif mine not in told:
            told.add(mine)
            more = f"(and {counts[mine] - 1:,} more of this kind {where}; `validate --json` tells all)"
            kept.append(replace(each, message=f"{each.message} {more}"))
    return kept
