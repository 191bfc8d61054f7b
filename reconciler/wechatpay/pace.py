"""How fast requests may follow each other: a limit that gives way to 429 and comes back.

WeChat Pay publishes no limit (API §1.12), so the service says where it is. ``Pacer`` decides, and is told the time;
``Pace`` asks the clock and sleeps. Only uploads have a published limit, by the minute (API §4), kept by ``RateWindow``.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

SLOWEST: Final = 1.0
"""Requests per second that are left however often the service says 429 (or fewer, where fewer are allowed)."""
RECOVERY: Final = 0.1
"""What comes back at a time, as a share of the allowed rate…"""
ANSWERS_PER_RECOVERY: Final = 20
"""… after so many good answers."""
UPLOADS_PER_MINUTE: Final = 100
"""How many images may be uploaded a minute (API §4)."""
_MINUTE: Final = 62.0
"""Seconds of a minute as we count it: uploads take unequally long to arrive, and the limit is counted over there."""


class Pacer:
    """Hands out moments that are ``1 / rate`` apart. Moments and waits are in seconds, rates in requests per second.

    The moments are absolute: who comes late does not make the next one late. Those missed are not made up for, so no
    stretch of time has more than its share.
    """

    def __init__(self, rate: float) -> None:
        if not rate > 0:
            raise ValueError(f"a rate must be above 0, not {rate!r}")
        self.rate = rate
        self._allowed = rate
        self._next = -math.inf
        self._slowed_at = -math.inf
        self._good = 0

    def take(self, now: float) -> float:
        """Take the next moment; says how long it is from ``now``."""
        moment = max(now, self._next)
        self._next = moment + 1 / self.rate
        return moment - now

    def refused(self, now: float, asked_at: float) -> None:
        """The request whose moment was taken at ``asked_at`` got a 429. Halves the rate, once for all that were on
        their way at the time."""
        if asked_at <= self._slowed_at:
            return
        self._slowed_at = now
        self._good = 0
        self.rate = max(min(SLOWEST, self._allowed), self.rate / 2)

    def answered(self) -> None:
        """A request was processed as usual."""
        if self.rate >= self._allowed:
            return
        self._good += 1
        if self._good == ANSWERS_PER_RECOVERY:
            self._good = 0
            self.rate = min(self._allowed, self.rate + RECOVERY * self._allowed)


class RateWindow:
    """Hands out moments such that no stretch of ``seconds`` has more than ``most``; the first ``most`` at once."""

    def __init__(self, most: int, seconds: float) -> None:
        if most < 1 or not seconds > 0:
            raise ValueError(f"a window must let something through, not {most!r} in {seconds!r} s")
        self._seconds = seconds
        self._taken: deque[float] = deque(maxlen=most)

    def take(self, now: float) -> float:
        """Take the next moment; says how long it is from ``now``, in seconds."""
        moment = now
        if len(self._taken) == self._taken.maxlen:
            moment = max(now, self._taken[0] + self._seconds)
        self._taken.append(moment)
        return moment - now


class Pace:
    """Lets requests through at no more than ``rate`` per second; without a rate, at once.

    ``clock`` is monotonic, in seconds; it and ``sleep`` are replaced in tests.
    """

    def __init__(
        self,
        rate: float | None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._pacer = None if rate is None else Pacer(rate)
        self._clock = clock
        self._sleep = sleep

    async def turn(self) -> float:
        """Wait until a request may be sent. Returns when it asked, for ``learn``."""
        asked_at = self._clock()
        if self._pacer is not None:
            wait = self._pacer.take(asked_at)
            if wait > 0:
                await self._sleep(wait)
        return asked_at

    def learn(self, status: int, asked_at: float) -> None:
        """What came of a request that asked at ``asked_at``: its HTTP status."""
        if self._pacer is None:
            return
        if status == 429:
            self._pacer.refused(self._clock(), asked_at)
        # Neither way with 5xx: it says nothing about pace.
        elif status < 500:
            self._pacer.answered()


class Uploads:
    """Lets no more than ``per_minute`` uploads through in a minute, first come, first served; None means no limit.

    ``clock`` is monotonic, in seconds; it and ``sleep`` are replaced in tests.
    """

    def __init__(
        self,
        per_minute: int | None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._window = None if per_minute is None else RateWindow(per_minute, _MINUTE)
        self._clock = clock
        self._sleep = sleep

    async def turn(self) -> None:
        """Wait until an upload may be sent."""
        if self._window is not None and (wait := self._window.take(self._clock())) > 0:
            await self._sleep(wait)
