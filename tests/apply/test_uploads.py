"""Images go up at their own limit of 100 a minute, everything else goes on meanwhile, and nobody sleeps here."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.model.errors import ApiError, UsageError
from reconciler.sandbox.options import SandboxOptions
from reconciler.sandbox.world import World
from reconciler.wechatpay import wire
from reconciler.wechatpay.api import PayGiftApi, image_upload
from reconciler.wechatpay.client import Client
from reconciler.wechatpay.keys import Credentials
from reconciler.wechatpay.pace import UPLOADS_PER_MINUTE, RateWindow, Uploads
from reconciler.wechatpay.retry import Retry
from tests.support import signed
from tests.support.images import png
from tests.support.signed import keys, merchant_key

HAIR = 1e-6
PAUSE = 5.0
"""What a pause of stamina would be; in tests it takes none, so that time goes on with each 429 instead."""


# --- the window -------------------------------------------------------------------------------------------------------


@given(st.integers(1, 7), st.lists(st.floats(0, 40), max_size=60))
def test_no_minute_has_more_than_its_share_and_nobody_waits_without_need(most: int, gaps: list[float]) -> None:
    window, now = RateWindow(most, 60.0), 0.0
    moments: list[float] = []
    for gap in gaps:
        now += gap
        moment = now + window.take(now)
        free = len(moments) < most or moments[-most] + 60.0 <= now
        assert moment == now if free else moment == pytest.approx(moments[-most] + 60.0)
        moments.append(moment)
    assert all(later - earlier >= 60.0 - HAIR for earlier, later in zip(moments, moments[most:], strict=False))


@pytest.mark.parametrize(("most", "seconds"), [(0, 60.0), (-1, 60.0), (1, 0.0)])
def test_a_window_lets_something_through(most: int, seconds: float) -> None:
    with pytest.raises(ValueError, match="let something through"):
        RateWindow(most, seconds)


def test_without_a_limit_nobody_waits() -> None:
    async def sleep(seconds: float) -> None:
        raise AssertionError(f"waited for {seconds} s")

    async def main() -> None:
        uploads = Uploads(None, sleep=sleep)
        for _ in range(1000):
            await uploads.turn()

    asyncio.run(main())


# --- the client and the sandbox's limit -------------------------------------------------------------------------------


@dataclass
class Time:
    """Passes when everybody sleeps, and then to the next moment at which somebody wakes."""

    now: float = datetime(2026, 12, 1, tzinfo=UTC).timestamp()
    waking: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now

    def real(self) -> datetime:
        return datetime.fromtimestamp(self.now, UTC)

    async def sleep(self, seconds: float) -> None:
        moment = self.now + seconds
        self.waking.append(moment)
        while self.now < moment:
            for _ in range(100):  # as long as anybody else still has something to do
                await asyncio.sleep(0)
            self.now = max(self.now, min(self.waking))
        self.waking.remove(moment)


class Account:
    """A sandbox that takes 100 uploads a minute, in time that passes as its clients sleep."""

    def __init__(self) -> None:
        self.time = Time()
        self.world = World(keys(), options=SandboxOptions(uploads_per_minute=100), real=self.time.real)
        self._inner = signed.InProcess(self.world)
        self.statuses: list[int] = []
        self.full = asyncio.Event()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = await self._inner.handle_async_request(request)
        if request.url.path == wire.IMAGE_UPLOAD_PATH:
            self.statuses.append(answer.status_code)
            if len(self.statuses) == 100:
                self.full.set()
            if answer.status_code == 429:
                self.time.now += PAUSE
        return answer

    def client(self, **options: Any) -> Client:
        credentials = Credentials(keys().mchid, keys().serial_no, merchant_key(), apiv3_key=keys().apiv3_key.encode())
        transport = httpx.MockTransport(self.handle_async_request)
        return Client(
            credentials,
            base_url="http://127.0.0.1",
            transport=transport,
            wall_clock=self.time,
            clock=self.time,
            sleep=self.time.sleep,
            **options,
        )

    @property
    def stored(self) -> int:
        return len(self.world.memory.images)


@contextlib.contextmanager
def account() -> Iterator[Account]:
    made = Account()
    try:
        yield made
    finally:
        made.world.close()


async def upload(client: Client, number: int) -> float:
    await PayGiftApi(client).upload_image(image_upload(f"{number}.png", png(number + 1, 1)))
    return client._exchanger._wall_clock()


async def upload_all(client: Client, numbers: range) -> list[float]:
    return await asyncio.gather(*(upload(client, number) for number in numbers))


def test_131_images_go_up_without_one_refusal() -> None:
    """Today's 131 images: 16 failed, and the campaigns that needed them were not created."""
    with account() as remote:

        async def main() -> list[float]:
            async with remote.client() as client:
                return await upload_all(client, range(131))

        began = remote.time.now
        arrived = asyncio.run(main())
        assert remote.statuses == [200] * 131
        assert remote.stored == 131
        assert sum(moment == began for moment in arrived) == UPLOADS_PER_MINUTE
        assert 60 < remote.time.now - began < 70


def test_what_waits_for_the_next_minute_does_not_keep_other_requests_waiting() -> None:
    with account() as remote:

        async def main() -> float:
            async with remote.client(concurrency=2) as client:
                uploads = asyncio.create_task(upload_all(client, range(150)))
                await remote.full.wait()
                began = remote.time.now
                async for _ in PayGiftApi(client).activities():
                    pass
                waited = remote.time.now - began
                await uploads
                return waited

        assert asyncio.run(main()) == 0
        assert remote.stored == 150


def test_several_runs_that_share_the_limit_are_patient_with_each_other() -> None:
    with account() as remote:

        async def main() -> None:
            async with remote.client() as one, remote.client() as other:
                await asyncio.gather(upload_all(one, range(90)), upload_all(other, range(90, 180)))

        asyncio.run(main())
        assert remote.stored == 180
        assert 429 in remote.statuses


def test_a_429_to_an_upload_does_not_slow_down_what_is_no_upload() -> None:
    with account() as remote:

        async def main() -> float | None:
            async with remote.client(uploads_per_minute=None, rate=1000.0) as client:
                await upload_all(client, range(101))
                pacer = client._pace._pacer
                return None if pacer is None else pacer.rate

        assert asyncio.run(main()) == 1000.0
        assert 429 in remote.statuses


def test_an_upload_that_is_always_turned_away_ends_in_its_error() -> None:
    with account() as remote:
        remote.world.add_fault({"kind": "rate_limited", "route": "upload", "count": 99})

        async def main() -> None:
            async with remote.client() as client:
                await upload(client, 1)

        with pytest.raises(ApiError) as caught:
            asyncio.run(main())
        assert (caught.value.status, caught.value.verified) == (429, True)
        assert caught.value.tries == Retry().patient.tries == len(remote.statuses)


def test_an_unsigned_429_to_an_upload_is_for_its_caller() -> None:
    with account() as remote:
        remote.world.add_fault({"kind": "rate_limited", "route": "upload", "signed": False})

        async def main() -> None:
            async with remote.client() as client:
                await upload(client, 1)

        with pytest.raises(ApiError) as caught:
            asyncio.run(main())
        assert (caught.value.status, caught.value.verified, caught.value.tries) == (429, False, 1)
        assert remote.statuses == [429]


def test_whoever_tries_once_does_not_wait_for_the_next_minute() -> None:
    with account() as remote:
        remote.world.add_fault({"kind": "rate_limited", "route": "upload"})

        async def main() -> None:
            async with remote.client(retry=Retry(tries=1)) as client:
                await upload(client, 1)

        with pytest.raises(ApiError):
            asyncio.run(main())
        assert remote.statuses == [429]


def test_patience_covers_more_than_the_minute_that_the_limit_counts() -> None:
    patient = Retry().patient
    pauses = [min(patient.first_pause_seconds * 2**n, patient.longest_pause_seconds) for n in range(19)]
    assert sum(pauses) > 4 * 60
    assert patient.seconds >= 4 * 60
    assert patient.longest_retry_after_seconds > 60


def test_a_limit_that_lets_nothing_through_is_refused() -> None:
    with account() as remote, pytest.raises(UsageError, match="at least 1 upload per minute, found 0"):
        remote.client(uploads_per_minute=0)


# --- the sandbox alone ------------------------------------------------------------------------------------------------


def test_the_sandbox_turns_away_what_is_more_than_its_option_allows_and_forgets_after_a_minute() -> None:
    time = Time()
    limited = SandboxOptions(uploads_per_minute=2)
    with contextlib.closing(World(keys(), options=limited, real=time.real)) as world:

        def status(seconds: float = 0.0) -> int:
            time.now += seconds
            stamp = str(int(time.now))
            one = signed.upload_request()
            meta = {"filename": "a.png", "sha256": hashlib.sha256(signed.PNG).hexdigest()}
            one.headers["Authorization"] = signed.authorization(
                "POST", wire.IMAGE_UPLOAD_PATH, json.dumps(meta).encode(), timestamp=stamp
            )
            return signed.send(world, one).status_code

        assert [status(), status(10), status(), status(49.9), status(0.2), status()] == [
            200,
            200,
            429,
            429,
            200,
            429,
        ]
        assert [line["code"] for line in world.log()].count("FREQUENCY_LIMITED") == 3
        assert status(60) == 200


def test_an_upload_that_is_not_let_in_does_not_count() -> None:
    with contextlib.closing(World(keys(), options=SandboxOptions(uploads_per_minute=1))) as world:
        assert signed.send(world, signed.upload_request(signed=b"something else")).status_code == 401
        assert signed.send(world, signed.upload_request()).status_code == 200
        assert signed.send(world, signed.upload_request()).status_code == 429


def test_by_default_the_sandbox_takes_any_number() -> None:
    with contextlib.closing(World(keys())) as world:
        assert {signed.send(world, *[signed.upload_request()] * 101).status_code} == {200}
