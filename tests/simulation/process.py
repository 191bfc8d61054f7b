"""One apply in a simulated life: that of ``commands``, with its lock, resume, plan, refusals and writes.

Its client, retries, pager, planner, applier and journal are the real ones. Every request and every transaction is a
point where its script may strike it.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

import httpx
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from starlette.datastructures import Headers
from starlette.routing import Match, Route, Router

from reconciler.commands.applying import Applying, WantedPlan
from reconciler.commands.reporting import ApplyReporter
from reconciler.commands.session import Account, Session
from reconciler.commands.settings import Remote
from reconciler.commands.workspace import Callbacks
from reconciler.journal.database import Database
from reconciler.journal.journal import Run
from reconciler.journal.location import JournalLocation
from reconciler.model.activity import DesiredActivity
from reconciler.model.errors import JournalError, PaygiftError
from reconciler.model.findings import WAIVABLE
from reconciler.model.operations import KnownImage
from reconciler.model.plan import Plan
from reconciler.model.report import Report
from reconciler.sandbox.api import SLEEP, ConnectionDropped
from reconciler.sandbox.authentication import ApiRequest
from reconciler.spec.models import PolicySection
from reconciler.spec.project import Project
from reconciler.system.origin import Origin
from reconciler.wechatpay.api import PayGiftApi
from reconciler.wechatpay.client import Client
from reconciler.wechatpay.keys import Credentials
from tests.simulation.account import fault
from tests.simulation.machine import Machine, this_machine
from tests.simulation.script import Apply, Strike
from tests.simulation.store import JournalOf
from tests.support.samples import NAMESPACE
from tests.support.signed import keys, merchant_key

if TYPE_CHECKING:
    from tests.simulation.life import Life

WAIVED: Final = tuple(sorted(WAIVABLE - {"SUCCESSOR_UNFIT", "CREATE_UNPROVEN"}))
"""What only asks whether a person means it is waived. What says that customers may be left with nothing is not."""
LOCK_SECONDS: Final = 120.0
_NETWORK_SECONDS: Final = 0.04
_NEVER: Final = 10.0**9


def hash_of(commit: int) -> str:
    """The hash of a commit, in the order of commits."""
    return f"{commit:040x}"


def origin(environ: object, root: object) -> Origin:
    """Who runs this, and from which commit: the process that asks."""
    machine = this_machine()
    return Origin("life", "life", 0, commit=machine.commit if machine is not None else "")


def git(root: object, *arguments: str) -> subprocess.CompletedProcess[str]:
    """What git answers in a repository whose commits follow one another, and whose files nobody has changed."""
    match arguments:
        case ("merge-base", "--is-ancestor", one, other):
            return subprocess.CompletedProcess(arguments, int(one > other), "")
        case ("status", *_):
            return subprocess.CompletedProcess(arguments, 0, "")
    raise AssertionError(f"nobody asks git for {arguments}")


class Process:
    """``paygift apply --yes`` of the files of commit ``commit``."""

    def __init__(self, life: Life, number: int, event: Apply, commit: int, specs: tuple[DesiredActivity, ...]) -> None:
        self.machine = Machine(f"process {number} (commit {commit})", hash_of(commit))
        self.life, self.commit, self.specs = life, commit, specs
        self.strikes, self.slow = event.strikes, event.slow
        self.inert = False
        self.stop = asyncio.Event()
        self.run: Run | None = None
        self.plan: Plan | None = None
        self.applying_since: datetime | None = None
        self.report: Report | None = None
        self.ended: BaseException | None = None
        self.over = asyncio.Event()
        self.requests: list[Request] = []
        self.looks: list[Look] = []
        self.create_refused = False
        self._counts: Counter[str] = Counter()
        self.journal = life.server.open(self)

    def __str__(self) -> str:
        return self.machine.name

    @property
    def token(self) -> str:
        return self.run.holder.token if self.run is not None else ""

    @property
    def holds_the_lock(self) -> bool:
        return self.life.server.holds(self.journal.sessions, self.token)

    # --- the command ---------------------------------------------------------------------------------------------

    async def apply(self) -> None:
        """Run to its end, which ``ended`` or ``report`` tells."""
        try:
            self.report = await self._apply()
        except PaygiftError as error:
            self.ended = error
        except BaseException as error:
            self.ended = error
            raise
        finally:
            self.over.set()

    async def _apply(self) -> Report:
        session = _Session(
            self._project(),
            Remote(_credentials(), sandbox=True),
            self.life.now,
            _NoImages(),  # type: ignore[arg-type] # as many as it is asked for
            _Here(self.journal),
            self._project,
            environ={},
            callbacks=Callbacks(stoppable=lambda: nullcontext(self.stop)),
            process=self,
        )
        applying = _Applying(
            session,
            WantedPlan(allow=self.life.waived),
            ApplyReporter(None, {}, lambda sentence: None),
            confirm=lambda made: True,
            on_plan=self._planned,
            lock_timeout=LOCK_SECONDS,
            process=self,
        )
        report = await applying.run()
        assert report is not None, "nobody said no"
        return report

    def _planned(self, made: Plan) -> None:
        self.plan = made

    def _project(self) -> Project:
        return Project(self.life.root, NAMESPACE, ZoneInfo("Asia/Shanghai"), self.specs, PolicySection(), brands={})

    def client(self) -> Client:
        """What carries its requests to the account, past the script."""
        return Client(
            _credentials(),
            base_url="http://127.0.0.1",
            transport=_Line(self),
            rate=20,
            wall_clock=lambda: self.life.now().timestamp(),
            clock=self.life.loop.time,
        )

    # --- what strikes it -----------------------------------------------------------------------------------------

    def refuse_the_dead(self) -> None:
        """Whatever a dead process still does when it is cleared away has no effect. Raises JournalError."""
        if self.inert:
            raise JournalError("this process is dead.")

    def about_to_write_down(self) -> Callable[[], None]:
        """A transaction is about to begin. Returns what is to be called once it is durable."""
        self.refuse_the_dead()
        struck = self._struck("journal")
        for strike in struck:
            match strike.what:
                case "busy":
                    self.journal.busy()
                case "lost":
                    self.journal.lose_session()
                case "kill_before":
                    self.kill()
                    self.refuse_the_dead()
                case "unlock_before":
                    self.life.unlock()
                case "signal":
                    self.stop.set()

        def after() -> None:
            if any(strike.what == "kill_after" for strike in struck):
                self.kill()

        return after

    def kill(self) -> None:
        """As SIGKILL does: no step more, and its database session is gone."""
        self.inert = self.machine.dead = True
        self.journal.lose_session()
        self.over.set()

    def _struck(self, route: str) -> list[Strike]:
        """The strikes that meet the next request on ``route``."""
        nth = {name: self._counts[name] for name in (route, "any")}
        self._counts.update(nth.keys() if route != "journal" else [route])
        return [each for each in self.strikes if each.on in nth and 0 <= nth[each.on] - each.nth < each.times]

    async def exchange(self, request: httpx.Request) -> httpx.Response:
        """Carry one request to the account and back, through all that its script has for it."""
        if self.inert:
            raise httpx.ConnectError("this process is dead", request=request)
        call = _call(request)
        asked = Request(self.life.now(), _route_of(self.life.api, call), call)
        self.requests.append(asked)
        if call.method == "POST":
            self.life.judge.sends(self, asked)
        struck = self._struck(asked.route)
        late = sum(each.value for each in struck if each.what == "late")
        if any(each.what == "unreachable" for each in struck):
            raise httpx.ConnectError("refused", request=request)
        await asyncio.sleep(_NETWORK_SECONDS * self.slow)
        await self._around("before", struck)
        response = self._answered(request, call, struck)
        then, change = self.life.now(), self.life.account.changes
        self._hands(struck)
        await self._around("after", struck)
        await asyncio.sleep(_NETWORK_SECONDS * self.slow + late)
        if response is None:
            raise httpx.RemoteProtocolError("the connection was closed", request=request)
        if not any(fault(each.what, each.value) for each in struck):
            self.looks.append(Look(then, change, asked.route, call.path, json.loads(response.content)))
            self.create_refused |= asked.route == "create" and response.status_code == 403
        return response

    async def _around(self, moment: str, struck: Iterable[Strike]) -> None:
        for strike in struck:
            match strike.what.removesuffix(f"_{moment}"):
                case "kill":
                    self.kill()
                    await asyncio.sleep(0)
                    self.refuse_the_dead()
                case "stop":
                    self.machine.stop(self.life.loop, strike.value)
                    await asyncio.sleep(0)
                case "unlock":
                    self.life.unlock()
                case "signal" if moment == "before":
                    self.stop.set()

    def _hands(self, struck: Iterable[Strike]) -> None:
        for strike in struck:
            if strike.what.startswith("hands_"):
                self.life.hands(strike.what.removeprefix("hands_"), strike.value)

    def _answered(self, request: httpx.Request, call: ApiRequest, struck: Sequence[Strike]) -> httpx.Response | None:
        """What the account answers, or ``None`` where the connection is closed."""
        account = self.life.account
        account.author = self
        account.fault = next((found for each in struck if (found := fault(each.what, each.value))), None)
        try:
            return _without_waiting(self.life.api, request, call)
        except ConnectionDropped:
            return None
        finally:
            account.author = account.fault = None


@dataclass(frozen=True)
class _Session(Session):
    """Its account is that of the life of ``process``."""

    process: Process | None = None

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Account]:
        assert self.process is not None
        async with self.process.client() as client:
            yield Account(PayGiftApi(client), self.clock, self.mchid, sandbox=True)


@dataclass(frozen=True)
class _Applying(Applying):
    """The real apply, whose ``process`` is known to hold the lock, and to have begun to apply."""

    process: Process | None = None

    async def under_lock(self, account: Account, run: Run) -> Report | None:
        assert self.process is not None
        self.process.run = run
        return await super().under_lock(account, run)

    async def _write(self, account: Account, session: Session, run: Run, made: Plan, origin: Origin) -> Report:
        assert self.process is not None
        self.process.applying_since = self.process.life.now()
        return await super()._write(account, session, run, made, origin)


class _NoImages:
    """Every picture is uploaded anew, and none is remembered."""

    known: Final[dict[str, KnownImage]] = {}

    def reopened(self) -> _NoImages:
        return self

    def find(self, sha256: str) -> KnownImage | None:
        return None

    def remember(self, sha256: str, url: str) -> None:
        """For nobody."""


def _credentials() -> Credentials:
    public = keys().wechatpay.key.public_key()
    assert isinstance(public, RSAPublicKey)
    return Credentials(
        mchid=keys().mchid,
        serial_no=keys().serial_no,
        private_key=merchant_key(),
        public_key_id=keys().wechatpay.serial_no,
        public_key=public,
    )


class Request:
    """One request as it left the client."""

    def __init__(self, at: datetime, route: str, call: ApiRequest) -> None:
        self.at, self.route, self.path = at, route, call.path
        self.body: dict[str, Any] = json.loads(call.body) if call.body and route != "upload" else {}


class Look:
    """One answer that arrived as the account gave it: what a process knew, and when it was so. ``change`` counts the
    changes of the account before it."""

    def __init__(self, at: datetime, change: int, route: str, path: str, body: Any) -> None:
        self.at, self.change, self.route, self.path, self.body = at, change, route, path, body

    def shows(self, activity_id: str) -> bool:
        """Whether the status of an activity stands in it."""
        if self.route == "detail":
            return self.path.endswith(f"/{activity_id}")
        rows = self.body.get("data") or () if self.route == "list" else ()
        return any(row["activity_id"] == activity_id for row in rows)

    def shows_merchants(self, activity_id: str) -> bool:
        return self.route == "merchants" and self.path.endswith(f"/{activity_id}/merchants")


class _Here(JournalLocation):
    """A place whose database is a process's own."""

    def __init__(self, journal: JournalOf) -> None:
        super().__init__(Path("journal.db"))
        object.__setattr__(self, "_journal", journal)

    def open_to_write(self, on_damage: Callable[[Path], None]) -> Database:
        found: Database = object.__getattribute__(self, "_journal")
        return found


class _Line(httpx.AsyncBaseTransport):
    def __init__(self, process: Process) -> None:
        self._process = process

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await self._process.exchange(request)


def _call(request: httpx.Request) -> ApiRequest:
    """The request as the sandbox reads it; its stream is in memory."""
    path, _, query = request.url.raw_path.decode("ascii").partition("?")
    stream: Any = request.stream
    return ApiRequest(
        method=request.method,
        target=request.url.raw_path.decode("ascii"),
        path=path,
        query=query,
        headers=Headers(raw=[(name.lower(), value) for name, value in request.headers.raw]),
        body=b"".join(stream),
    )


def _scope(call: ApiRequest) -> dict[str, Any]:
    return {
        "type": "http",
        "method": call.method,
        "path": call.path,
        "raw_path": call.path.encode("ascii"),
        "query_string": call.query.encode("ascii"),
        "headers": call.headers.raw,
        "extensions": {SLEEP: _no_sleep},
    }


def _route_of(api: Router, call: ApiRequest) -> str:
    """The name of the endpoint that a request reaches, as strikes call it."""
    scope = _scope(call)
    return next(
        route.name for route in api.routes if isinstance(route, Route) and route.matches(scope)[0] is Match.FULL
    )


async def _no_sleep(_seconds: float) -> None:
    """What is late is late on the network."""


def _without_waiting(api: Router, request: httpx.Request, call: ApiRequest) -> httpx.Response:
    """What the ASGI application answers. It never waits for anything, so it is driven to its end at once: an effect
    on the account and its answer are one moment."""
    started: dict[str, Any] = {}
    body = bytearray()

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": call.body, "more_body": False}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            started.update(message)
        else:
            body.extend(message["body"])

    coroutine = api(_scope(call), receive, send)
    try:
        coroutine.send(None)
    except StopIteration:
        return httpx.Response(started["status"], headers=started["headers"], content=bytes(body), request=request)
    raise AssertionError("the sandbox waited")  # pragma: no cover
