"""The account as it is: every live activity, and the merchants of those that we manage (concepts.md#live).

A read is complete or it is an error, never an absence. The list is not believed alone: what the journal knows to be
ours and alive is asked for by id where the list lacks it (docs/decisions/witness.md).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from reconciler.live.translate import coupon, live_activity
from reconciler.model.activity import DesiredActivity, LiveActivity
from reconciler.model.coupon import CouponRead, UnreadCoupon
from reconciler.model.errors import ApiError, IncompleteReadError, ProtocolError, one_cause
from reconciler.model.identity import Ownership
from reconciler.model.witness import NO_WITNESS, Witness
from reconciler.wechatpay.api import PayGiftApi
from reconciler.wechatpay.wire import ACTIVITIES_PATH

Progress = Callable[[int, int], None]
"""Told how many activities have been read completely, out of how many are known so far."""

SECOND_LOOK_SECONDS: Final = 1.0
"""How long the list is given to show what lives and is not in it."""


@dataclass(frozen=True, slots=True)
class LiveRead:
    """What a read of the account brought.

    ``activities`` is the whole account. ``unreadable`` maps the ids that specs adopt and WeChat Pay refuses to show to
    its words: nothing is known of these.
    """

    activities: tuple[LiveActivity, ...]
    unreadable: Mapping[str, str] = field(default_factory=dict)


async def read_live(
    api: PayGiftApi,
    *,
    namespace: str,
    desired: Sequence[DesiredActivity],
    now: datetime,
    witness: Witness = NO_WITNESS,
    on_progress: Progress = lambda done, known: None,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> LiveRead:
    """Every activity of the account; with its merchants if it is managed and has not ended.

    Adopted activities that the list does not show are asked for by id, and so is what ``witness`` knows to be ours.
    Raises IncompleteReadError for one of these that lives and that the list still does not show when it is read again
    after a pause, and RemoteError if anything else could not be read completely.
    """
    read = _Read(api, Ownership.of(namespace, desired), now, on_progress)
    with one_cause():
        async with asyncio.TaskGroup() as reads:
            async for item in api.activities():
                read.take(live_activity(item), reads)
            await read.ask_for(read.ownership.adopted, reads)
            hidden = await read.hidden(witness.created)
            if hidden:
                # The list may lag behind the detail of a new activity (API §9 2).
                await sleep(SECOND_LOOK_SECONDS)
                async for item in api.activities():
                    read.take(live_activity(item), reads)
                _refuse_hidden([each for each in hidden if each.activity_id not in read.found], len(read.found))
    return LiveRead(tuple(read.found.values()), read.unreadable)


class _Read:
    """One read while it goes on: what was found, and what must still be asked."""

    def __init__(self, api: PayGiftApi, ownership: Ownership, now: datetime, on_progress: Progress) -> None:
        self.ownership = ownership
        self.found: dict[str, LiveActivity] = {}
        self.unreadable: dict[str, str] = {}
        self._api = api
        self._now = now
        self._on_progress = on_progress
        self._done = 0

    def take(self, live: LiveActivity, reads: asyncio.TaskGroup) -> None:
        """Note an activity, once; its merchants are read meanwhile if they are needed."""
        # The second look brings the whole list again.
        if live.activity_id in self.found:
            return
        self.found[live.activity_id] = live
        # By our clock as well: the status may lag behind the end (API §1.7).
        if self.ownership.key_of(live) is not None and not live.ended(self._now):
            reads.create_task(self._complete(live))
        else:
            self._count()

    async def ask_for(self, adopted: Iterable[str], reads: asyncio.TaskGroup) -> None:
        """The adopted ones that the list does not show: whether it shows those made on the web platform is unknown
        (API §9 8)."""
        for activity_id in sorted(set(adopted) - self.found.keys()):
            try:
                live = await self._detail(activity_id)
            except ApiError as error:
                self.unreadable[activity_id] = _refusal_in(error)
            else:
                if live is not None:
                    self.take(live, reads)

    async def hidden(self, created: Mapping[str, str]) -> list[LiveActivity]:
        """Those of our own that live although the list lacks them. What has ended is noted like the others.

        Raises IncompleteReadError where WeChat Pay refuses to show one: that it is gone would be a guess.
        """
        missing = sorted(created.keys() - self.found.keys() - self.unreadable.keys())
        async with asyncio.TaskGroup() as asked:
            answers = [asked.create_task(self._ours(each, created[each])) for each in missing]
        shown = [live for answer in answers if (live := answer.result()) is not None]
        for live in shown:
            if live.ended(self._now):
                self.found[live.activity_id] = live
                self._count()
        return [live for live in shown if not live.ended(self._now)]

    async def _ours(self, activity_id: str, number: str) -> LiveActivity | None:
        try:
            return await self._detail(activity_id)
        except ApiError as error:
            raise _incomplete(
                f"the journal knows activity {activity_id} ({number}), the list does not show it, and WeChat Pay "
                f"refuses to tell what became of it ({_refusal_in(error)})",
                len(self.found),
                1,
            ) from error

    async def _detail(self, activity_id: str) -> LiveActivity | None:
        """``None`` if there is none with that id."""
        try:
            return live_activity(await self._api.detail(activity_id))
        except ApiError as error:
            if _is_absent(error):
                return None
            raise

    async def _complete(self, live: LiveActivity) -> None:
        merchants = await self._api.merchant_ids(live.activity_id)
        self.found[live.activity_id] = replace(live, merchants=merchants)
        self._count()

    def _count(self) -> None:
        self._done += 1
        self._on_progress(self._done, len(self.found))


def _refuse_hidden(hidden: Sequence[LiveActivity], found: int) -> None:
    if not hidden:
        return
    named = ", ".join(f"{live.activity_id} ({live.out_request_no})" for live in hidden)
    verb = "lives" if len(hidden) == 1 else "live"
    raise _incomplete(
        f"{named} {verb}, as the journal knows and WeChat Pay shows by id, and the list does not show it though it was "
        "read twice",
        found,
        len(hidden),
    )


def _incomplete(what: str, found: int, missing: int) -> IncompleteReadError:
    return IncompleteReadError(
        f"the list cannot be trusted: {what}.",
        path=ACTIVITIES_PATH,
        found=found,
        announced=found + missing,
        remedy="Nothing was concluded from it. Run again in a few minutes: a new activity may take a while to be "
        "listed. If it stays so, end that activity on the merchant platform, or report it to WeChat Pay.",
    )


async def read_coupons(api: PayGiftApi, stock_ids: Iterable[str]) -> dict[str, CouponRead]:
    """What WeChat Pay says of each coupon stock: the stock, that there is none, or why it does not show it.

    Raises RemoteError if it could not be asked, an answer that proves nothing included.
    """
    found: dict[str, CouponRead] = {}

    async def read(stock_id: str) -> None:
        try:
            found[stock_id] = coupon(await api.stock(stock_id))
        except ApiError as error:
            found[stock_id] = None if _is_absent(error) else UnreadCoupon(_refusal_in(error))
        except ProtocolError as error:
            # Somebody else's stock, of any shape, must not keep the plan from being made.
            found[stock_id] = UnreadCoupon(error.message.rstrip("."))

    with one_cause():
        async with asyncio.TaskGroup() as reads:
            for stock_id in stock_ids:
                reads.create_task(read(stock_id))
    return found


def _is_absent(error: ApiError) -> bool:
    # Believing a gateway's 404 would take a campaign that runs for absent, and create it again.
    return error.status == 404 and error.verified


def _refusal_in(error: ApiError) -> str:
    """Why WeChat Pay does not show something, in its words.

    Raises ``error`` if it refused nothing: it could not be asked, or not now, or its answer proves nothing.
    """
    if not error.verified or error.status in (401, 404, 429) or not 400 <= error.status < 500:
        raise error
    return f"HTTP {error.status} {error.code}: {error.text.rstrip('.。')}"
