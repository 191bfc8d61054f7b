"""When a request is sent again: the only place that decides it (docs/decisions/retry.md).

A read may be repeated after anything that may pass. A write is repeated here only when it provably was not processed:
it never left this machine, or a verified 429 turned it away. Whatever else becomes of a write is for its caller, who
can read whether it happened: an unverified 429 may be that of a proxy which has passed the write on.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

from reconciler.model.errors import ApiError, RemoteError, TransportError, UnverifiedError
from reconciler.system.retries import retry_context

T = TypeVar("T")
"""What a request brings."""
May = Callable[[BaseException], bool]
"""Whether the same request may follow an error."""

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Retry:
    """How often, and with what pauses. Pauses double from the first to the longest, and each is stretched at random.

    After ``seconds`` no further try begins; one that has begun may take its time. A server that asks to be left
    alone is obeyed up to ``longest_retry_after_seconds``; if it asks for more, there is no further try.
    """

    tries: int = 4
    seconds: float = 45.0
    first_pause_seconds: float = 0.25
    longest_pause_seconds: float = 5.0
    jitter_seconds: float = 0.5
    longest_retry_after_seconds: float = 30.0

    @property
    def patient(self) -> Retry:
        """For a limit that is counted by the minute (API §4): pauses as long as that takes, for up to five minutes.
        Whoever tries once only still does."""
        if self.tries == 1:
            return self
        return Retry(
            tries=20,
            seconds=300.0,
            first_pause_seconds=5.0,
            longest_pause_seconds=20.0,
            jitter_seconds=5.0,
            longest_retry_after_seconds=120.0,
        )

    async def run(self, send: Callable[[], Awaitable[T]], *, write: bool) -> T:
        """What ``send`` returns; raises what its last try raised. stamina's test mode takes the pauses away."""
        return await self.run_while(partial(may_repeat, write=write), send)

    async def run_while(self, may: May, send: Callable[[], Awaitable[T]]) -> T:
        """The same, with further tries after the errors that ``may`` allows."""
        began = time.monotonic()
        try:
            return await send()
        except RemoteError as error:
            first = error
        seconds = self.seconds - (time.monotonic() - began)
        if seconds <= 0:
            raise first
        return await self._after(first, send, seconds, may)

    async def _after(self, first: RemoteError, send: Callable[[], Awaitable[T]], seconds: float, may: May) -> T:
        """What follows a first try that failed, with ``seconds`` left. stamina hears of that try as if it had made it,
        and decides. Most requests succeed at once, and do without what it takes to set stamina up."""
        failed: BaseException = first

        def on(error: BaseException) -> bool | float:
            nonlocal failed
            failed = error
            return self._again(error, may)

        async for attempt in retry_context(
            on=on,
            attempts=self.tries,
            timeout=seconds,
            wait_initial=self.first_pause_seconds,
            wait_max=self.longest_pause_seconds,
            wait_jitter=self.jitter_seconds,
        ):
            if attempt.num > 1 and isinstance(failed, RemoteError):
                where = f"{failed.method} {failed.path}"
                _log.info("try %d of %d of %s, after: %r", attempt.num, self.tries, where, failed.message)
            with attempt:
                if attempt.num == 1:
                    raise first
                return await send()
        raise AssertionError("the last try returns or raises")  # pragma: no cover

    def again(self, error: BaseException, *, write: bool) -> bool | float:
        """Whether to try again after ``error``, or after how many seconds, if the server said so."""
        return self._again(error, partial(may_repeat, write=write))

    def _again(self, error: BaseException, may: May) -> bool | float:
        if not may(error):
            return False
        asked = error.retry_after_seconds if isinstance(error, ApiError) else None
        if asked is None:
            return True
        # Coming back earlier would be to ignore it.
        if asked > self.longest_retry_after_seconds:
            return False
        # Others were told the same: they should not all come back in the same moment.
        return asked + random.uniform(0, self.jitter_seconds)  # noqa: S311 - nothing depends on it being secret


def may_repeat(error: BaseException, *, write: bool) -> bool:
    """Whether the same request may follow ``error``, and could fare better (API §5.7)."""
    match error:
        case TransportError():
            return not (error.lasting or (write and error.sent))
        case ApiError():
            if write:
                return turned_away(error)
            return error.status == 429 or error.status >= 500
        case UnverifiedError():
            return not (write or error.lasting)
        case _:
            return False


def turned_away(error: BaseException) -> bool:
    """Whether WeChat Pay itself says that the request was not processed, because there were too many (API §5.7)."""
    return isinstance(error, ApiError) and error.status == 429 and error.verified
