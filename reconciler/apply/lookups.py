"""Reads that tell what a write has done. They look again for a while, as reads may lag behind writes (API §9 2)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from contextlib import aclosing
from dataclasses import dataclass
from typing import TypeVar

from reconciler.live.translate import live_activity
from reconciler.model.activity import LiveActivity
from reconciler.model.clock import Clock
from reconciler.model.errors import ApiError
from reconciler.wechatpay.api import PayGiftApi

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PollPolicy:
    """How long a write is given to show in reads: so many reads, the pause before each next one doubling."""

    reads: int = 6
    first_pause_seconds: float = 0.25
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def until(self, look: Callable[[], Awaitable[T]], settled: Callable[[T], bool]) -> T:
        """The first thing that ``look`` gives and ``settled`` accepts; the last one when the reads are used up."""
        found = await look()
        for pauses in range(self.reads - 1):
            if settled(found):
                break
            await self.sleep(self.first_pause_seconds * 2**pauses)
            found = await look()
        return found


class Lookups:
    """What ``api`` shows, looked at as patiently as ``poll`` says. ``clock`` gives aware instants."""

    def __init__(self, api: PayGiftApi, *, clock: Clock, poll: PollPolicy) -> None:
        self._api = api
        self._clock = clock
        self._poll = poll

    async def until_true(self, look: Callable[[], Awaitable[bool]]) -> bool:
        """Whether ``look`` says yes before the reads are used up."""
        return await self._poll.until(look, bool)

    async def detail(self, activity_id: str) -> LiveActivity:
        """The activity as it is now, without its merchants. Raises RemoteError, a 404 included."""
        return live_activity(await self._api.detail(activity_id))

    async def merchants(self, activity_id: str) -> frozenset[str]:
        """The activity's merchants as they are now. Raises RemoteError, a 404 included."""
        return frozenset(await self._api.merchant_ids(activity_id))

    async def merchants_once(self, activity_id: str, settled: Callable[[frozenset[str]], bool]) -> frozenset[str]:
        """The merchants as soon as they are what a write should have made of them, or as they are after all."""
        return await self._poll.until(lambda: self.merchants(activity_id), settled)

    async def shown(self, activity_id: str) -> LiveActivity | None:
        """The detail of a new activity, which may take a moment to appear (API §9 2)."""

        async def look() -> LiveActivity | None:
            try:
                return await self.detail(activity_id)
            except ApiError as error:
                # A gateway's unsigned 404 does not prove that the activity is absent.
                if error.status != 404 or not error.verified:
                    raise
                return None

        return await self._poll.until(look, _is_something)

    async def created_under(self, out_request_no: str) -> str:
        """The activity_id that a create under this number made, or nothing; looks patiently (API §9 2)."""
        return (await self.all_created_under([out_request_no])).get(out_request_no, "")

    async def all_created_under(self, numbers: Collection[str]) -> dict[str, str]:
        """The activity_ids that creates under ``numbers`` made, those that the list shows, in as few passes over it as
        it takes for all of them to show.
        """

        async def look() -> dict[str, str]:
            found: dict[str, str] = {}
            async with aclosing(self._api.activities()) as items:
                async for item in items:
                    # What was made on web pages may have none (API §9 8).
                    number = item.activity_base_info.out_request_no or ""
                    if number in numbers:
                        found[number] = item.activity_id
                        if len(found) == len(numbers):
                            break
            return found

        return await self._poll.until(look, lambda found: len(found) == len(numbers))

    async def listed(self, out_request_no: str) -> LiveActivity | None:
        """The activity with this number, if the list shows it: there is no look-up by number (API §1.7)."""
        async with aclosing(self._api.activities()) as items:
            async for item in items:
                if item.activity_base_info.out_request_no == out_request_no:
                    return live_activity(item)
        return None

    async def is_listed(self, out_request_no: str) -> bool:
        """Whether the list shows an activity with this number."""
        return await self.listed(out_request_no) is not None

    async def has_ended(self, activity_id: str) -> bool:
        """Whether the remote shows it as over. Raises RemoteError, a 404 included."""
        # By our clock as well: the status may lag behind the end by days (API §1.7).
        return (await self.detail(activity_id)).ended(self._clock())

    async def listed_in_time(self, out_request_no: str) -> LiveActivity | None:
        """The activity with this number, or ``None`` if the list does not show it within the reads of the policy."""
        return await self._poll.until(lambda: self.listed(out_request_no), _is_something)


def _is_something(value: object) -> bool:
    return value is not None
