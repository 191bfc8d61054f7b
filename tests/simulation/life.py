"""A whole life of an account: the events of a script, in virtual time, under the eyes of a judge."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final
from unittest import mock

import stamina
from starlette.routing import Router

from reconciler.commands.seed import stocks_for
from reconciler.journal.lock import Lock
from reconciler.model.activity import DesiredActivity
from reconciler.model.findings import WAIVABLE
from reconciler.sandbox import reads
from reconciler.sandbox.api import routes
from reconciler.sandbox.memory import Activity
from tests.simulation.account import GOOD, Account
from tests.simulation.judge import Judge, Violation
from tests.simulation.machine import Stuck, VirtualLoop
from tests.simulation.process import WAIVED, Process, git, origin
from tests.simulation.script import MERCHANTS, Apply, Edit, Elsewhere, Event, Hands, Pass, Script, Spec, Unlock
from tests.simulation.store import Heartbeat, InTurn, Server
from tests.support.samples import NAMESPACE, NOW, desired, mchids, terms
from tests.support.signed import create_body, keys

_ALL: Final = mchids(MERCHANTS)
_LONGEST_SECONDS: Final = 4 * 3600.0
"""After so long a run hangs: it waits for the lock at most two minutes, and tries everything a few times."""
_SPENT: Final = ("NUMBER_USED", "CREATION_FAILED")
_PER_CALL: Final = 2
"""So that three merchants make what 501 make: a create that is not whole before merchants were added."""
_EARLIEST_DAYS: Final = 30
"""No activity of a life begins earlier before the usual, so that its coupons are good for all."""


@dataclass(frozen=True)
class Lived:
    """What a life came to."""

    script: Script
    violations: tuple[Violation, ...]
    story: tuple[str, ...]
    history: tuple[str, ...]

    @property
    def invariants(self) -> frozenset[str]:
        """Those that did not hold."""
        return frozenset(violation.invariant for violation in self.violations)


def live(script: Script, *, kind: type[Process] = Process) -> Lived:
    """Live the life of ``script``. The same script makes the same steps, and the same violations.

    ``kind`` is what runs for an apply; the simulator's own tests put in some that do wrong.
    """
    with _alone() as loop:
        life = Life(loop, script, kind)
        try:
            loop.run_until_complete(life.happen())
        except Stuck:
            life.judge.broken("ends", "nothing will ever happen again, and a run has not ended")
        finally:
            life.clear_away()
            loop.close()
    history = (f"{each.at} {each.by} {each.effect} {each.activity_id}" for each in life.account.effects)
    return Lived(script, tuple(life.judge.violations), tuple(life.story), tuple(history))


@contextmanager
def _alone() -> Iterator[VirtualLoop]:
    """A loop with its own time, and nothing of this machine's: its clock, chance, threads and repository."""
    loop = VirtualLoop()
    chance = random.getstate()
    random.seed(0)
    with (
        mock.patch("time.monotonic", loop.time),
        mock.patch("reconciler.journal.lock._Heartbeat", Heartbeat),
        mock.patch("reconciler.commands.runs.Worker", InTurn),
        mock.patch("reconciler.commands.runs.Origin.of", origin),
        mock.patch("reconciler.system.origin._git", git),
        mock.patch("reconciler.model.operations.MERCHANTS_PER_CALL", _PER_CALL),
        stamina.set_testing(False),
    ):
        yield loop
    random.setstate(chance)


class Life:
    """One account, one repository, one journal, and who works with them."""

    def __init__(self, loop: VirtualLoop, script: Script, kind: type[Process]) -> None:
        self.loop, self.script, self._kind = loop, script, kind
        self.root = Path("/nowhere")
        self.account = Account(self.now, oldest_first=script.oldest_first)
        self.api = Router(routes(self.account))
        self.server = Server(postgresql=script.journal == "postgresql")
        self.judge = Judge(self)
        self.account.told = self.judge.happens
        longest = desired(begin_time=terms().begin_time - timedelta(days=_EARLIEST_DAYS))
        self.account.seed(stocks_for([longest], keys().mchid))
        self.waived: tuple[str, ...] = WAIVED
        self.commits: list[tuple[DesiredActivity, ...]] = [()]
        self.elsewhere: list[str] = []
        self.processes: list[Process] = []
        self.tasks: list[asyncio.Task[None]] = []
        self.story: list[str] = []

    def now(self) -> datetime:
        """The real time of this life, which is the account's too."""
        return NOW + timedelta(seconds=self.loop.time())

    @property
    def specs(self) -> tuple[DesiredActivity, ...]:
        """The newest files."""
        return self.commits[-1]

    async def happen(self) -> None:
        for event in self.script.events:
            self.tell(repr(event))
            await self._event(event)
            await asyncio.sleep(1)
        await self._everybody_ends()
        self.judge.nothing_twice()
        await self._converge()

    def tell(self, what: str) -> None:
        self.story.append(f"{self.loop.time():10.2f}  {what}")

    async def _event(self, event: Event) -> None:
        match event:
            case Edit():
                self._commit(event)
            case Apply():
                process = self._start(event)
                if event.wait:
                    await self._end_of(process)
            case Pass(seconds=seconds):
                await asyncio.sleep(seconds)
            case Hands(action=action, index=index):
                self.hands(action, index)
            case Unlock():
                self.unlock()
            case Elsewhere(merchants=merchants):
                self._made_elsewhere(merchants)

    # --- authors -------------------------------------------------------------------------------------------------

    def _commit(self, event: Edit) -> None:
        self.commits.append(tuple(self._meant(spec) for spec in event.specs))

    def _meant(self, spec: Spec) -> DesiredActivity:
        return desired(
            spec.key,
            merchants=[_ALL[index] for index in spec.merchants],
            transaction_amount_minimum=spec.amount,
            begin_time=terms().begin_time + timedelta(days=spec.day),
            generation=spec.generation,
            protect=spec.protect,
            state=spec.state,
            replace=spec.replace,
            renamed_from=spec.renamed_from,
            adopt=self.elsewhere[spec.adopt - 1] if 0 < spec.adopt <= len(self.elsewhere) else "",
        )

    # --- applies -------------------------------------------------------------------------------------------------

    def _start(self, event: Apply) -> Process:
        commit = max(len(self.commits) - 1 - event.behind, 0)
        process = self._kind(self, len(self.processes) + 1, event, commit, self.commits[commit])
        self.processes.append(process)
        self.tasks.append(process.machine.start(self.loop, self._run(process)))
        return process

    async def _run(self, process: Process) -> None:
        try:
            await process.apply()
        except Exception as error:  # noqa: BLE001 - whatever it is, the judge is told
            process.ended = error
        if not process.inert:
            self.judge.ended(process)
            self.tell(f"{process} has ended: {_brief(process)}")

    async def _end_of(self, process: Process) -> None:
        try:
            async with asyncio.timeout(_LONGEST_SECONDS):
                await process.over.wait()
        except TimeoutError:
            self.judge.broken("ends", f"{process} still runs after {_LONGEST_SECONDS:.0f} s")
            process.kill()

    async def _everybody_ends(self) -> None:
        for process in self.processes:
            process.strikes = ()
            await self._end_of(process)

    async def _converge(self) -> None:
        """Nothing is broken any more, whoever paused something lets it run again, and where a plan asks for a new
        generation its author gives it. Two runs are enough; the third finds nothing to do."""
        for activity in self._ours(reads.PAUSED):
            self.account.resume(activity.activity_id)
        self.account.takes_new(taken=True)
        self.account.clear_faults()  # what reads did not show yet is seen
        self.waived = tuple(WAIVABLE)
        process = await self._healthy_runs(3)
        if raised := _next_generations(process):
            self.commits.append(
                tuple(replace(each, generation=raised.get(each.key, each.generation)) for each in self.specs)
            )
            process = await self._healthy_runs(2)
        self.judge.nothing_twice()
        self.judge.converged(process)

    async def _healthy_runs(self, count: int) -> Process:
        """The last of them."""
        process = None
        for _ in range(count):
            await asyncio.sleep(1)
            process = self._start(Apply())
            await self._end_of(process)
        assert process is not None
        return process

    # --- others --------------------------------------------------------------------------------------------------

    def _ours(self, *statuses: str) -> list[Activity]:
        """Our activities in these statuses, newest first."""
        now = self.account.moment()
        found = [
            activity
            for activity in self.account.memory.activities.values()
            if self.account.status(activity, now) in statuses and activity.out_request_no.startswith(NAMESPACE)
        ]
        return found[::-1]

    def hands(self, action: str, index: int) -> None:
        """Somebody does what the merchant platform lets people do, if there is an activity to do it to.

        ``close`` and ``open`` are WeChat Pay's own: whether it takes new activities.
        """
        if action in ("close", "open"):
            self.account.takes_new(taken=action == "open")
            return
        fitting = self._ours(reads.PAUSED) if action == "resume" else self._ours(*GOOD)
        if index >= len(fitting):
            return
        activity_id = fitting[index].activity_id
        author, self.account.author = self.account.author, None
        match action:
            case "pause":
                self.account.pause(activity_id)
            case "resume":
                self.account.resume(activity_id)
            case "fail":
                self.account.fail_creation(activity_id)
            case "terminate":
                self.account.end(activity_id)
            case "drop":
                self.account.drop_merchant(activity_id)
        self.account.author = author
        self.tell(f"somebody: {action} {activity_id}")

    def unlock(self) -> None:
        """As `paygift unlock` does, on a connection of its own."""
        database = self.server.someone()
        try:
            Lock(database, keys().mchid, NAMESPACE).break_()
        finally:
            database.close()
        self.tell("the lock was broken")

    def _made_elsewhere(self, merchants: tuple[int, ...]) -> None:
        item = create_body({"activity_base_info.out_request_no": f"web-{len(self.elsewhere)}"})
        rule = item["award_send_rule"]
        item["award_send_rule"] = {"full_send_rule": {name: rule[name] for name in rule if name != "merchant_id_list"}}
        info = item["activity_base_info"]
        info["begin_time"], info["end_time"] = "2026-11-20T00:00:00+08:00", "2026-12-31T23:59:59+08:00"
        self.elsewhere.append(self.account.insert_activity(item, [_ALL[index] for index in merchants]))

    # --- the end -------------------------------------------------------------------------------------------------

    def clear_away(self) -> None:
        """Let all tasks come to their end, so that none is left for the garbage collector."""
        for process in self.processes:
            process.inert = True
            process.machine.bury()
        with _no_judge(self.judge):
            self.loop.run_until_complete(self._all_end())
        self.server.close()
        self.account.close()

    async def _all_end(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.loop.shutdown_asyncgens()


@contextmanager
def _no_judge(judge: Judge) -> Iterator[None]:
    before = list(judge.violations)
    yield
    judge.violations[:] = before


def _next_generations(process: Process) -> dict[str, int]:
    """What the last plan asks of authors whose numbers are spent, by key."""
    findings = process.report.plan.findings if process.report is not None else ()
    asked = {each.key: each.facts.get("next_generation") for each in findings if each.code in _SPENT}
    return {key: number for key, number in asked.items() if isinstance(number, int)}


def _brief(process: Process) -> str:
    if process.report is None:
        return f"{type(process.ended).__name__}: {process.ended}"
    return (
        ", ".join(
            f"{outcome.operation.operation} {outcome.activity_id} {outcome.status.value}"
            for outcome in process.report.outcomes
        )
        or "nothing to do"
    )
