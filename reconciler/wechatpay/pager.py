"""Reading a paged list from a server that nobody should trust (API §1.8).

What ``offset`` means is documented once, for one of the three lists, and contradicted by samples: pages counted
from 0 (what we assume), pages counted from 1, or rows. The pages themselves tell which. Lists also change while they
are being read. So a read is complete only when it holds as many different entries as were announced; otherwise it is
an error, never an absence.

``ListReading`` judges one pass over a list from the keys of its rows; ``read`` asks for pages and hands out the rows.

Where a full page ends a list, one more page is asked for, since a ``total_count`` that lags behind would hide what
comes after it. Not detected, because no page shows it: entries that are added and removed in equal numbers during one
pass, and a ``total_count`` that is too low by exactly what lies beyond a first page which the server cut short without
saying so, or which it left empty.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from enum import Enum
from typing import Final, Protocol, TypeVar

from reconciler.model.errors import IncompleteReadError

READS: Final = 3
"""How often a list that contradicts itself is read before that is an error."""

Row = TypeVar("Row")
"""An element of a list."""
Row_co = TypeVar("Row_co", covariant=True)
"""An element of a list."""


class ReadPage(Protocol[Row_co]):
    """What one request for a page brings; any part of it may be absent."""

    @property
    def data(self) -> Sequence[Row_co] | None:
        """Its rows."""

    @property
    def total_count(self) -> int | None:
        """How many rows the whole list has."""

    @property
    def limit(self) -> int | None:
        """How many rows the server gives at a time."""


class Offset(Enum):
    """What a server means by ``offset``."""

    PAGES_FROM_0 = "pages from 0"
    PAGES_FROM_1 = "pages from 1"
    ROWS = "rows"


class ListReading:
    """One pass over a list: what to ask next, and whether what came is the whole. Pure.

    ``limit`` and ``offset`` are those of the next request; once ``ended``, ``reason`` says what was wrong with the
    pass, and is empty when it is complete.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.meaning = Offset.PAGES_FROM_0
        self.total: int | None = None
        self.ended = False
        self.reason = ""
        self._seen: dict[str, None] = {}
        self._first: list[str] = []
        self._pages = 0

    @property
    def found(self) -> int:
        """How many different rows came so far."""
        return len(self._seen)

    @property
    def offset(self) -> int:
        """Where the first row not yet seen must be. After a change of ``limit`` pages may overlap, but leave no gap."""
        match self.meaning:
            case Offset.PAGES_FROM_0:
                return self.found // self.limit
            case Offset.PAGES_FROM_1:
                return self.found // self.limit + 1
            case Offset.ROWS:
                return self.found

    def take(self, keys: Sequence[str], total: int | None, limit: int | None) -> None:
        """Judge one page by the keys of its rows, its ``total_count``, and the ``limit`` that it echoes."""
        # Rows came or went meanwhile: pages may have moved, and one row fallen between two.
        if total is not None and self.total is not None and total != self.total:
            self._end(f"total_count went from {self.total} to {total} while the list was read")
            return
        self.total = self.total if total is None else total

        fresh = [key for key in dict.fromkeys(keys) if key not in self._seen]
        learnt = self._learn(keys, fresh)
        first = not self._seen
        self._seen.update(dict.fromkeys(fresh))
        self._pages += 1
        # An echo that is smaller than the page itself says nothing.
        if limit is not None and max(1, len(keys)) <= limit < self.limit:
            self.limit = limit

        stuck = not fresh and not learnt
        if self.total is not None:
            self._compare(self.total, stuck, full=len(keys) >= self.limit)
        elif not keys:
            self.ended = not learnt
        elif len(keys) < self.limit and (not first or limit == self.limit):
            self.ended = True
        elif stuck:
            self._end("a full page repeated known entries, and no total_count was given")

        # Fewer rows than asked for, and more to come: a cap of which the server says nothing.
        if first and 0 < len(keys) < self.limit:
            self.limit = len(keys)

    def _learn(self, keys: Sequence[str], fresh: Sequence[str]) -> bool:
        """Whether the second page (or an empty first one) shows that ``offset`` means something else."""
        meaning = self.meaning
        if self._pages == 0:
            self._first = list(keys)
            # Page 0 of a server that counts from 1 may be empty.
            if not keys and self.total != 0:
                self.meaning = Offset.PAGES_FROM_1
        elif self._pages == 1 and self._first:
            overlap = len(self._first) - 1
            if not fresh and list(keys) == self._first:
                self.meaning = Offset.PAGES_FROM_1
            # A server that counts rows gives the first page again, moved on by one.
            elif fresh and overlap > 0 and list(keys[:overlap]) == self._first[1:]:
                self.meaning = Offset.ROWS
        return self.meaning is not meaning

    def _compare(self, total: int, stuck: bool, *, full: bool) -> None:
        if self.found > total:
            self._end(f"it holds {self.found} entries or more, but announced {total}")
        elif self.found == total:
            # One more after a full page: a row that a lagging total_count hides would look absent.
            self.ended = stuck or not full
        elif stuck:
            self._end(f"it ended after {self.found} of {total} announced entries")

    def _end(self, reason: str) -> None:
        self.ended = True
        self.reason = reason


async def read(
    fetch: Callable[[int, int], Awaitable[ReadPage[Row]]], *, key: Callable[[Row], str], limit: int, path: str
) -> AsyncGenerator[Row, None]:
    """All rows of a list, each key once, while the pages arrive; ``fetch`` takes ``offset`` and ``limit``.

    A list that is in order costs one request per ``limit`` rows, and one more when its last page is full or there is
    none. A pass that went wrong is
    followed by another, up to ``READS``; rows that were handed out before are not repeated. Raises
    IncompleteReadError when the last pass went wrong too: what was handed out until then may lack entries.
    """
    handed_out: set[str] = set()
    reading = ListReading(limit)
    for _ in range(READS):
        reading = ListReading(limit)
        while not reading.ended:
            page = await fetch(reading.offset, reading.limit)
            rows = page.data or ()
            reading.take([key(row) for row in rows], page.total_count, page.limit)
            for row in rows:
                if key(row) not in handed_out:
                    handed_out.add(key(row))
                    yield row
        if not reading.reason:
            return
    raise IncompleteReadError(
        f"the list cannot be trusted: {reading.reason}. It was read {READS} times.",
        path=path,
        found=reading.found,
        announced=reading.found if reading.total is None else reading.total,
        remedy="Nothing was concluded from it. Run again when nobody else changes it; if this stays, report it with "
        "the numbers above.",
    )
