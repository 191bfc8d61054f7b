"""How many rows to ask for where no maximum is documented (API §1.8): the largest number that the server takes.

A number that is too large may be refused with 400. Then a smaller one is tried, and at last none is sent, which leaves
it to the server. What it takes is found out once for each client, by the first read; others wait for that one answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from reconciler.model.errors import ApiError

LARGEST: Final = 50
"""Hinted at by one source (API §1.8)."""
_USUAL: Final = 20
"""What all samples use."""

Page = TypeVar("Page")
"""What one request brings."""


class OtherSizeError(Exception):
    """The size that a read began with is not the one that the server takes: begin again. Never leaves the client."""


class PageSize:
    """The size of the pages of one endpoint. ``rows`` is what to ask for, ``None`` for no number at all."""

    def __init__(self, largest: int = LARGEST) -> None:
        self._sizes: list[int | None] = [largest, *([_USUAL] if largest > _USUAL else []), None]
        self._lock = asyncio.Lock()
        self.proven = False

    @property
    def rows(self) -> int | None:
        """What to ask for, ``None`` for no number at all."""
        return self._sizes[0]

    async def prove(self, rows: int | None, ask: Callable[[int | None], Awaitable[Page]]) -> Page:
        """The page that ``ask`` brings for ``rows``, once it is known that the server takes that many.

        Only a proven 400 leads to the next size. Raises OtherSizeError when another size is right, and whatever else
        ``ask`` raises; then nothing was learnt.
        """
        async with self._lock:
            if not self.proven:
                size, page = await self._largest_taken(ask)
                self._sizes = self._sizes[self._sizes.index(size) :]
                self.proven = True
                if size == rows:
                    return page
        if self.rows != rows:
            raise OtherSizeError
        return await ask(rows)

    async def _largest_taken(self, ask: Callable[[int | None], Awaitable[Page]]) -> tuple[int | None, Page]:
        *numbers, nothing = self._sizes
        for size in numbers:
            try:
                return size, await ask(size)
            except ApiError as error:
                # An unsigned 400 may be a gateway's, and then tells nothing of sizes.
                if error.status != 400 or not error.verified:
                    raise
        return nothing, await ask(nothing)
