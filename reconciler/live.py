"""The account as it is: every live activity, and the merchants of those that we manage (design §6).

A read is complete or it is an error, never an absence.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime

from reconciler.activity import DesiredActivity, LiveActivity
from reconciler.errors import ApiError
from reconciler.identity import Ownership
from reconciler.plan.coupons import Found, UnreadCoupon
from reconciler.translate import coupon, live_activity
from reconciler.wechatpay.api import PayGiftApi

Progress = Callable[[int, int], None]
"""Told how many activities have been read completely, out of how many are known so far."""


async def read_live(
    api: PayGiftApi,
    *,
    namespace: str,
    desired: Sequence[DesiredActivity],
    now: datetime,
    on_progress: Progress = lambda done, known: None,
) -> tuple[LiveActivity, ...]:
    """Every activity of the account; with its merchants if it is managed and has not ended.

    Adopted activities that the list does not show are asked for by id. Raises RemoteError if anything could not be
    read completely.
    """
    ownership = Ownership.of(namespace, desired)
    found: dict[str, LiveActivity] = {}
    done = 0

    async def complete(live: LiveActivity) -> None:
        nonlocal done
        found[live.activity_id] = replace(live, merchants=await api.merchant_ids(live.activity_id))
        done += 1
        on_progress(done, len(found))

    with _one_cause():
        async with asyncio.TaskGroup() as reads:
            async for live in _listed(api, ownership.adopted):
                found[live.activity_id] = live
                if ownership.key_of(live) is not None and not live.ended(now):
                    reads.create_task(complete(live))
                else:
                    done += 1
                    on_progress(done, len(found))
    return tuple(found.values())


@contextmanager
def _one_cause() -> Iterator[None]:
    """The first failure ended the read and the others with it: one cause is what a person can mend."""
    try:
        yield
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from failures


async def read_coupons(api: PayGiftApi, stock_ids: Iterable[str]) -> dict[str, Found]:
    """What WeChat Pay says of each coupon stock: the stock, that there is none, or why it does not show it.

    Raises RemoteError if it could not be asked, an answer that proves nothing included.
    """
    found: dict[str, Found] = {}

    async def read(stock_id: str) -> None:
        try:
            found[stock_id] = coupon(await api.stock(stock_id))
        except ApiError as error:
            found[stock_id] = None if _is_absent(error) else UnreadCoupon(_refusal_in(error))

    with _one_cause():
        async with asyncio.TaskGroup() as reads:
            for stock_id in stock_ids:
                reads.create_task(read(stock_id))
    return found


def _is_absent(error: ApiError) -> bool:
    return error.status == 404 and error.verified


def _refusal_in(error: ApiError) -> str:
    """Why WeChat Pay does not show something, in its words.

    Raises ``error`` if it refused nothing: it could not be asked, or not now, or its answer proves nothing.
    """
    if not error.verified or error.status in (401, 404, 429) or not 400 <= error.status < 500:
        raise error
    return f"HTTP {error.status} {error.code}: {error.text.rstrip('.。')}"


async def _listed(api: PayGiftApi, adopted: Iterable[str]) -> AsyncIterator[LiveActivity]:
    """The whole list as it arrives, then those adopted activities which it does not show.

    Whether it shows the ones made on the web platform is unknown (API §9 8), so they are asked for by id.
    """
    missing = set(adopted)
    async for item in api.activities():
        missing.discard(item.activity_id)
        yield live_activity(item)
    for activity_id in sorted(missing):
        try:
            yield live_activity(await api.detail(activity_id))
        except ApiError as error:
            if error.status != 404 or not error.verified:
                raise
