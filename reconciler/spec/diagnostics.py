"""Mistakes in one document, before anybody has looked up in which line they stand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

Path = tuple[str | int, ...]
"""Where a value stands in a document: keys of mappings and indices of lists, from the top."""


@dataclass(frozen=True, slots=True)
class OtherSpec:
    """A place in another spec, counted in the order in which specs were loaded."""

    index: int
    path: Path


@dataclass(frozen=True, slots=True)
class FieldDiagnostic:
    """A mistake in one document. ``code`` is stable, ``message`` says what was found and what was expected.

    ``partners`` are the other fields of the same rule: where ``path`` comes from ``defaults``, the mistake is the
    partner's that the author wrote himself. ``also`` are places to be named at the end of the message.
    """

    path: Path
    code: str
    message: str
    facts: Mapping[str, object] = field(default_factory=dict, compare=False)
    partners: tuple[Path, ...] = ()
    also: tuple[Path | OtherSpec, ...] = ()
