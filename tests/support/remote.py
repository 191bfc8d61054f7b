"""The sandbox in this process, with the real client in front of it, and a network between them that can fail."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

import httpx

from reconciler.apply import PollPolicy, Recorder, apply_plan, refuse
from reconciler.commands.seed import stocks_for
from reconciler.live.reader import LiveRead, read_live
from reconciler.model.activity import DesiredActivity, LiveActivity
from reconciler.model.plan import Plan
from reconciler.model.policy import Policy
from reconciler.model.report import Outcome, Report
from reconciler.model.witness import NO_WITNESS, Witness
from reconciler.plan import make_plan
from reconciler.sandbox.memory import Transaction
from reconciler.sandbox.options import DEFAULTS, SandboxOptions
from reconciler.sandbox.world import World
from reconciler.wechatpay.api import PayGiftApi
from reconciler.wechatpay.client import Client
from reconciler.wechatpay.keys import Credentials
from tests.support import signed
from tests.support.images import read_image
from tests.support.samples import NAMESPACE, NOW
from tests.support.signed import keys, merchant_key

T = TypeVar("T")
MAIN_HOST = "http://127.0.0.1"
Send = Callable[[httpx.Request], Awaitable[httpx.Response]]
Fault = Callable[[httpx.Request, Send], Awaitable[httpx.Response]]


@dataclass(frozen=True, slots=True)
class End:
    """A terminate as it reached WeChat Pay, and the account, by id, as it truly was in that moment."""

    activity_id: str
    account: dict[str, dict[str, Any]]
    at: datetime


class Network(httpx.AsyncBaseTransport):
    """Carries requests to ``world``. ``fault``, if set, is asked to carry each of them instead."""

    def __init__(self, world: World) -> None:
        self._inner = signed.InProcess(world)
        self._world = world
        self.fault: Fault | None = None
        self.sent: list[str] = []
        self.ends: list[End] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.sent.append(f"{request.method} {request.url.path}")
        if self.fault is not None:
            return await self.fault(request, self._carry)
        return await self._carry(request)

    async def _carry(self, request: httpx.Request) -> httpx.Response:
        if request.method == "POST" and request.url.path.endswith("/terminate"):
            activity_id = request.url.path.split("/")[-2]
            account = {each["activity_id"]: each for each in self._world.activities()}
            self.ends.append(End(activity_id, account, self._world.moment()))
        return await self._inner.handle_async_request(request)


class Remote:
    """An account on a sandbox whose clock stands at ``NOW``, and the steps of the main job on it."""

    def __init__(self, *, options: SandboxOptions = DEFAULTS, reads: int = 3, seed: int = 0) -> None:
        self.world = World(keys(), options=options, chance=random.Random(seed).random)
        self.world.set_clock(NOW.isoformat())
        self.network = Network(self.world)
        self.pauses: list[float] = []
        self.stop: asyncio.Event | None = None
        self.backup_url = MAIN_HOST
        self._reads = reads

    def copy(self) -> Remote:
        """An account that looks the same, with a history of its own. Made in a moment, as nothing is sent."""
        twin = Remote(options=self.world.options, reads=self._reads)
        twin.world.commit(Transaction(None, tuple(self.world.store.entities())))
        return twin

    @property
    def now(self) -> datetime:
        return self.world.moment()

    def wait(self, span: timedelta) -> None:
        self.world.set_clock((self.now + span).isoformat())

    def seed(self, desired: Iterable[DesiredActivity]) -> None:
        """The coupon stocks that ``desired`` names."""
        self.world.seed(stocks_for(desired, keys().mchid))

    def call(self, use: Callable[[PayGiftApi], Coroutine[Any, Any, T]]) -> T:
        """Whatever ``use`` does with a client that has just been opened."""

        async def work() -> T:
            # Each client fetches certificates first; that is not what faults are about.
            fault, self.network.fault = self.network.fault, None
            credentials = Credentials(
                mchid=keys().mchid,
                serial_no=keys().serial_no,
                private_key=merchant_key(),
                apiv3_key=keys().apiv3_key.encode(),
            )
            async with Client(
                credentials, base_url=MAIN_HOST, backup_url=self.backup_url, transport=self.network
            ) as client:
                await client.certificates()
                self.network.fault = fault
                return await use(PayGiftApi(client))

        return asyncio.run(work())

    def live(self, desired: Sequence[DesiredActivity] = ()) -> tuple[LiveActivity, ...]:
        return self.call(lambda api: self._read(api, desired)).activities

    def plan(
        self, desired: Sequence[DesiredActivity], *, allow: Iterable[str] = (), witness: Witness = NO_WITNESS
    ) -> Plan:
        read = self.call(lambda api: self._read(api, desired, witness))
        return self._planned(desired, read, Policy(allow=frozenset(allow)), witness)

    def apply(self, plan: Plan, *, fault: Fault | None = None, record: Recorder | None = None) -> Report:
        """Apply without ever sleeping; ``fault`` is the network's behaviour while it lasts."""
        self.network.fault = fault
        try:
            return self.call(lambda api: self.apply_of(api, plan, record))
        finally:
            self.network.fault = None

    async def plan_and_apply(self, api: PayGiftApi, desired: Sequence[DesiredActivity]) -> Report:
        """One run of both through a client that is open already."""
        return await self.apply_of(api, await self.plan_of(api, desired))

    async def plan_of(self, api: PayGiftApi, desired: Sequence[DesiredActivity]) -> Plan:
        return self._planned(desired, await self._read(api, desired), Policy(), NO_WITNESS)

    async def _read(
        self, api: PayGiftApi, desired: Sequence[DesiredActivity], witness: Witness = NO_WITNESS
    ) -> LiveRead:
        return await read_live(
            api,
            namespace=NAMESPACE,
            desired=desired,
            now=self.now,
            witness=witness,
            sleep=self.patience.sleep,
        )

    def _planned(self, desired: Sequence[DesiredActivity], read: LiveRead, policy: Policy, witness: Witness) -> Plan:
        return make_plan(
            desired,
            read.activities,
            namespace=NAMESPACE,
            now=self.now,
            policy=policy,
            witness=witness,
            unreadable=read.unreadable,
        )

    async def apply_of(self, api: PayGiftApi, plan: Plan, record: Recorder | None = None) -> Report:
        refuse(plan)
        return await apply_plan(
            api,
            plan,
            read_image=read_image,
            clock=lambda: self.now,
            poll=self.patience,
            record=record,
            stop=self.stop,
        )

    @property
    def patience(self) -> PollPolicy:
        """Looks a few times without sleeping; the pauses are written down."""

        async def note(seconds: float) -> None:
            self.pauses.append(seconds)

        return PollPolicy(reads=self._reads, sleep=note)

    def converge(self, desired: Sequence[DesiredActivity], *, allow: Iterable[str] = ()) -> Report:
        self.seed(desired)
        return self.apply(self.plan(desired, allow=allow))

    def effects(self) -> list[str]:
        """What has happened on the account, oldest first: ``created 20406413`` …"""
        return [f"{each['effect']} {each['activity_id']}" for each in self.world.history()]

    def merchants(self, activity_id: str) -> list[str]:
        (found,) = (each for each in self.world.activities() if each["activity_id"] == activity_id)
        merchants: list[str] = found["merchants"]
        return merchants

    def ids(self) -> list[str]:
        return [each["activity_id"] for each in self.world.activities()]


def statuses(outcomes: Iterable[Outcome]) -> list[str]:
    return [outcome.status.value for outcome in outcomes]


# Faults: each is for the requests whose path ends with ``where``, and for the first ``times`` of them.


def _on(where: str, times: int, act: Fault) -> Fault:
    left = times

    async def fault(request: httpx.Request, send: Send) -> httpx.Response:
        nonlocal left
        if request.method == "POST" and request.url.path.endswith(where) and left:
            left -= 1
            return await act(request, send)
        return await send(request)

    return fault


def lost_before(where: str, times: int = 1) -> Fault:
    """The request never arrives."""

    async def act(request: httpx.Request, send: Send) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    return _on(where, times, act)


def lost_after(where: str, times: int = 1) -> Fault:
    """The request has its effect, and the answer gets lost."""

    async def act(request: httpx.Request, send: Send) -> httpx.Response:
        await (await send(request)).aread()
        raise httpx.ReadError("reset by peer", request=request)

    return _on(where, times, act)


def unsigned(where: str, times: int = 1) -> Fault:
    """The answer arrives without the headers that prove it."""

    async def act(request: httpx.Request, send: Send) -> httpx.Response:
        response = await send(request)
        return httpx.Response(response.status_code, content=await response.aread(), request=request)

    return _on(where, times, act)


def then(where: str, do: Callable[[], None], times: int = 1) -> Fault:
    """Something happens on the account right after the request, before its answer arrives."""

    async def act(request: httpx.Request, send: Send) -> httpx.Response:
        response = await send(request)
        do()
        return response

    return _on(where, times, act)


def after_write(number: int, do: Callable[[], None]) -> Fault:
    """Something happens on the account right after this write, counted from 1, before its answer arrives."""
    sent = 0

    async def fault(request: httpx.Request, send: Send) -> httpx.Response:
        nonlocal sent
        response = await send(request)
        sent += request.method == "POST"
        if request.method == "POST" and sent == number:
            do()
        return response

    return fault


def dead_after(writes: int) -> Fault:
    """The network dies once ``writes`` writes have been sent; the last of them has its effect."""
    sent = 0

    async def fault(request: httpx.Request, send: Send) -> httpx.Response:
        nonlocal sent
        if sent >= writes:
            raise httpx.ConnectError("the network is down", request=request)
        response = await send(request)
        if request.method == "POST":
            sent += 1
            if sent >= writes:
                await response.aread()
                raise httpx.ReadError("the network went down", request=request)
        return response

    return fault


def answered_by(where: str, target: str, times: int = 99) -> Fault:
    """Reads of paths that match ``where`` get the (signed) answer to ``target``, a question of our own."""
    left = times

    async def fault(request: httpx.Request, send: Send) -> httpx.Response:
        nonlocal left
        if request.method == "GET" and re.search(where, request.url.path) and left:
            left -= 1
            return await send(signed.request("GET", target))
        return await send(request)

    return fault


def frozen(where: str) -> Fault:
    """Reads of paths that match ``where`` go on getting the first answer that one of them got."""
    kept: list[tuple[int, httpx.Headers, bytes]] = []

    async def fault(request: httpx.Request, send: Send) -> httpx.Response:
        if request.method != "GET" or not re.search(where, request.url.path):
            return await send(request)
        if not kept:
            response = await send(request)
            kept.append((response.status_code, response.headers, await response.aread()))
        status, headers, content = kept[0]
        return httpx.Response(status, headers=headers, content=content, request=request)

    return fault
