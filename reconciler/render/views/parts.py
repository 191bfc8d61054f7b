"""The parts that views are made of, whatever they tell of."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a block. ``symbol`` is ``+ - ~ !`` or empty; ``old`` is shown before ``new`` when there is one.

    ``items`` is the whole list of which ``text`` shows the first few, for renderings that have room for it.
    """

    symbol: str
    label: str
    text: str = ""
    old: str | None = None
    items: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under their heads. ``remarks`` are sentences about single rows: none at all, or a tuple for each row."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    remarks: tuple[tuple[str, ...], ...] = ()
    title: str = ""


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that is said of ``label``. ``code`` is the stable name for it, ``items`` a list of numbers or names."""

    label: str
    text: str
    code: str = ""
    items: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RowGroup:
    """Facts under a heading."""

    title: str
    facts: tuple[Fact, ...]


@dataclass(frozen=True, slots=True)
class Listing:
    """What a command shows that only reads. A part that is a text is a sentence or two."""

    parts: tuple[Table | RowGroup | str, ...]
