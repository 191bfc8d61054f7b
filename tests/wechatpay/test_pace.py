"""A rate is kept, reached, halved on 429, and come back to; nobody sleeps here."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.model.errors import UsageError
from reconciler.wechatpay.client import Client
from reconciler.wechatpay.pace import ANSWERS_PER_RECOVERY, Pace, Pacer
from reconciler.wechatpay.retry import Retry
from tests.wechatpay.test_client import Remote, changed, error_body
from tests.wechatpay.test_keys import PUBLIC_KEY_ID, credentials, public_key_credentials, rsa_key

HAIR = 1e-9


@dataclass
class Clock:
    """Time that passes only while somebody sleeps, and always a little ``late``."""

    now: float = 1000.0
    late: float = 0.0
    slept: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds + self.late


def moments(pacer: Pacer, asked: Sequence[float]) -> list[float]:
    return [now + pacer.take(now) for now in asked]


def recover(pacer: Pacer, steps: int) -> None:
    for _ in range(steps * ANSWERS_PER_RECOVERY):
        pacer.answered()


# --- the pure part ----------------------------------------------------------------------------------------------------


def test_the_first_request_goes_at_once_and_the_others_follow_at_the_rate() -> None:
    assert moments(Pacer(20), [100.0] * 4) == pytest.approx([100.0, 100.05, 100.1, 100.15])


def test_who_comes_late_does_not_make_the_next_one_late() -> None:
    assert moments(Pacer(10), [0.0, 0.13, 0.19]) == pytest.approx([0.0, 0.13, 0.23])
    assert moments(Pacer(10), [0.0, 0.0, 0.0, 0.19]) == pytest.approx([0.0, 0.1, 0.2, 0.3])


def test_what_was_not_used_is_not_made_up_for() -> None:
    assert moments(Pacer(10), [0.0, 60.0, 60.0, 60.0]) == pytest.approx([0.0, 60.0, 60.1, 60.2])


@given(
    st.floats(0.5, 1000),
    st.lists(st.floats(0, 3), min_size=2, max_size=60),
)
def test_no_stretch_of_time_has_more_than_its_share(rate: float, gaps: list[float]) -> None:
    asked = [sum(gaps[: number + 1]) for number in range(len(gaps))]
    given_out = moments(Pacer(rate), asked)
    assert all(later - earlier >= 1 / rate - HAIR for earlier, later in pairwise(given_out))
    assert all(moment >= now for moment, now in zip(given_out, asked, strict=True))


def test_a_429_halves_the_rate_once_for_all_that_were_on_their_way() -> None:
    pacer = Pacer(20)
    moments(pacer, [10.0] * 8)
    for _ in range(8):
        pacer.refused(11.0, asked_at=10.0)
    assert pacer.rate == 10
    moments(pacer, [12.0])
    pacer.refused(13.0, asked_at=12.0)
    assert pacer.rate == 5


@pytest.mark.parametrize(("allowed", "slowest"), [(20, 1), (1.5, 1), (0.5, 0.5)])
def test_it_never_gets_slower_than_one_a_second_or_what_was_asked_for(allowed: float, slowest: float) -> None:
    pacer = Pacer(allowed)
    for second in range(20):
        pacer.refused(second + 0.5, asked_at=second)
    assert pacer.rate == slowest


def test_good_answers_bring_the_rate_back_step_by_step_and_no_further() -> None:
    pacer = Pacer(20)
    pacer.refused(1.0, asked_at=0.0)
    recover(pacer, 1)
    assert pacer.rate == pytest.approx(12)
    recover(pacer, 4)
    assert pacer.rate == 20
    recover(pacer, 10)
    assert pacer.rate == 20


def test_a_429_takes_away_what_had_been_gathered_for_the_next_step() -> None:
    pacer = Pacer(20)
    pacer.refused(1.0, asked_at=0.0)
    for _ in range(ANSWERS_PER_RECOVERY - 1):
        pacer.answered()
    pacer.refused(3.0, asked_at=2.0)
    pacer.answered()
    assert pacer.rate == 5


@pytest.mark.parametrize("rate", [0, -1, float("nan")])
def test_a_rate_that_cannot_be_meant_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        Pacer(rate)
    with pytest.raises(UsageError, match="more than 0 requests per second"):
        Client(credentials(), rate=rate)


# --- with a clock -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("late", [0.0, 0.002])
def test_the_rate_is_reached_although_sleepers_wake_late(late: float) -> None:
    """Many wait at once, as with several connections, and every wake-up is late by 2 ms; a moment lasts 2 ms."""
    pacer, count = Pacer(500), 5000
    waiting = moments(pacer, [0.0] * 50)
    sent: list[float] = []
    while len(sent) < count:
        sent.append(waiting.pop(0) + late)
        now = sent[-1]
        waiting.append(now + pacer.take(now))
    reached = (count - 1) / (sent[-1] - sent[0])
    assert 0.98 * 500 <= reached <= 500 + 1e-6


def test_requests_wait_for_their_turn_and_without_a_rate_for_nothing() -> None:
    clock = Clock()

    async def turns(pace: Pace) -> None:
        for _ in range(3):
            await pace.turn()

    asyncio.run(turns(Pace(None, clock=clock, sleep=clock.sleep)))
    assert clock.slept == []
    asyncio.run(turns(Pace(4, clock=clock, sleep=clock.sleep)))
    assert clock.slept == pytest.approx([0.25, 0.25])


def test_only_answers_count() -> None:
    """A 5xx says nothing about the rate: it neither slows down nor speeds up."""
    clock = Clock()
    pace = Pace(20, clock=clock, sleep=clock.sleep)
    pacer = pace._pacer
    assert pacer is not None
    asked_at = asyncio.run(pace.turn())
    clock.now += 1
    pace.learn(429, asked_at)
    for _ in range(ANSWERS_PER_RECOVERY):
        pace.learn(503, asked_at)
    assert pacer.rate == 10
    for _ in range(ANSWERS_PER_RECOVERY):
        pace.learn(404, asked_at)
    assert pacer.rate == pytest.approx(12)
    Pace(None).learn(429, asked_at)


def test_the_client_keeps_the_rate_with_every_try_and_slows_down_on_429() -> None:
    clock, remote = Clock(), Remote(signer=(PUBLIC_KEY_ID, rsa_key("public")))
    refusals = iter([True, False, False, False])

    async def carry(request: httpx.Request) -> httpx.Response:
        answer = await remote(request)
        if next(refusals):
            return changed(error_body("FREQUENCY_LIMITED", "频率超限"), status=429)(answer)
        return answer

    async def ask() -> None:
        async with remote.client(
            credentials=public_key_credentials(),
            transport=httpx.MockTransport(carry),
            rate=4,
            concurrency=1,
            clock=clock,
            sleep=clock.sleep,
            retry=Retry(tries=2),
        ) as client:
            for _ in range(3):
                clock.now += 0.01
                await client.request("GET", "/v3/x")

    asyncio.run(ask())
    # The try after the 429 had its moment at the old rate; what follows goes at half of it.
    assert clock.slept == pytest.approx([0.25, 0.49, 0.49])
    assert len(remote.asked) == 4


def test_a_real_clock_is_not_outrun() -> None:
    """Sleeps for a tenth of a second: the only test that shows that asyncio does not wake anybody too early."""

    async def main() -> float:
        loop = asyncio.get_running_loop()
        pace = Pace(200)
        began = loop.time()
        await asyncio.gather(*(pace.turn() for _ in range(21)))
        return loop.time() - began

    assert asyncio.run(main()) >= 20 / 200 - 0.001
