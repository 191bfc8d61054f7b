"""Whole lives, some the same each time and some fresh; and the simulator, which must see what it is there for."""

from __future__ import annotations

import asyncio
import secrets
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from reconciler.commands.planning import plan_project
from reconciler.commands.session import Account
from reconciler.live.translate import create_request
from reconciler.model.errors import ApiError
from reconciler.model.operations import CreateActivity
from reconciler.model.plan import Plan
from reconciler.model.report import OutcomeStatus, Report
from reconciler.wechatpay.api import PayGiftApi
from tests.simulation import script as scripts
from tests.simulation.known import KNOWN, NOT_YET, Known
from tests.simulation.life import Lived, live
from tests.simulation.process import Process
from tests.simulation.script import Apply, Edit, Hands, Pass, Script, Spec, Strike, life, smaller
from tests.simulation.shrink import shrunk
from tests.support.signed import keys

FIXED = 96
FRESH = 16
AT_A_TIME = 8
"""Lives of one test: several tests are spread over the cores."""
ROOT = Path(__file__).parents[2]

ONE = Spec("spring", (0, 1))
EDITED = replace(ONE, amount=200)


def script(*events: Edit | Apply | Hands | Pass) -> Script:
    return Script(events)


MADE = (Edit((ONE,)), Apply())
REPLACED = script(*MADE, Edit((EDITED,)), Apply())


def holds(lived: Lived, *, seed: int | None = None) -> None:
    """Fail with all that is needed to see the life again."""
    broken = [str(each) for each in lived.violations if each.invariant not in NOT_YET]
    replay = f"make simulate STORY={seed}" if seed is not None else "this script"
    assert not broken, "\n".join((*broken, *lived.story, replay, repr(lived.script)))


@pytest.mark.heavy
@pytest.mark.parametrize("first", range(0, FIXED, AT_A_TIME))
def test_lives(first: int) -> None:
    for seed in range(first, first + AT_A_TIME):
        holds(live(life(seed)), seed=seed)


@pytest.mark.heavy
@pytest.mark.parametrize("_nth", range(FRESH // AT_A_TIME))
def test_lives_that_nobody_has_lived(_nth: int) -> None:
    for _ in range(AT_A_TIME):
        seed = secrets.randbelow(10**9)
        holds(live(life(seed)), seed=seed)


@pytest.mark.parametrize("known", KNOWN, ids=lambda known: f"{known.invariant}-{known.seed}")
def test_lives_that_failed_once(known: Known) -> None:
    holds(live(known.script))


# --- the simulator itself ----------------------------------------------------------------------------------------


def test_a_life_that_nothing_strikes_does_what_its_files_say() -> None:
    lived = live(REPLACED)
    assert lived.violations == ()
    assert [line.split()[-2] for line in lived.history] == ["created", "created", "terminated"]


@pytest.mark.sampled(every=2)
@pytest.mark.parametrize("seed", [23, 48, 1098, 1266])
def test_the_same_script_makes_the_same_life(seed: int) -> None:
    once, again = live(life(seed)), live(life(seed))
    assert once.history == again.history
    assert [(each.invariant, each.at) for each in once.violations] == [
        (each.invariant, each.at) for each in again.violations
    ]


def test_another_interpreter_makes_the_same_life() -> None:
    """The order of sets depends on a number that every interpreter draws for itself."""
    tell = "from tests.simulation.life import live; from tests.simulation.script import life; "
    tell += "print(*live(life(1266)).history, sep='\\n')"
    told = subprocess.run([sys.executable, "-c", tell], cwd=ROOT, capture_output=True, text=True, check=True)
    assert tuple(told.stdout.splitlines()) == live(life(1266)).history != ()


def test_a_script_is_python_that_makes_it_again() -> None:
    for seed in range(50):
        assert eval(repr(life(seed)), vars(scripts)) == life(seed)


def test_time_passes_without_waiting() -> None:
    lived = live(script(*MADE, Pass(20 * 86_400), Apply()))
    assert lived.violations == ()
    assert float(lived.story[-1].split()[0]) > 20 * 86_400


@pytest.mark.parametrize("what", ["kill_before", "kill_after"])
@pytest.mark.parametrize("on", ["create", "terminate", "journal", "list"])
def test_who_was_killed_does_nothing_more(what: str, on: str) -> None:
    """The next one takes over and does the rest, once."""
    lived = live(script(*MADE, Edit((EDITED,)), Apply((Strike(on, 0, what),))))
    assert lived.violations == ()
    assert [line.split()[-2] for line in lived.history] == ["created", "created", "terminated"]
    assert not any("process 2 (commit 2) has ended" in line for line in lived.story)


def test_who_was_stopped_goes_on_where_it_was() -> None:
    lived = live(script(*MADE, Edit((EDITED,)), Apply((Strike("create", 0, "stop_after", 10),))))
    assert lived.violations == ()
    assert any("process 2 (commit 2) has ended" in line for line in lived.story)


class Wrong(Process, ABC):
    """Does what is right with the first commit, so that there is something to do wrong with."""

    async def _apply(self) -> Report:
        if self.commit == 1:
            return await super()._apply()
        async with self.client() as client:
            await self._do_wrong(PayGiftApi(client))
        return nothing(self)

    @abstractmethod
    async def _do_wrong(self, api: PayGiftApi) -> None: ...

    async def _end_everything(self, api: PayGiftApi) -> None:
        async for item in api.activities(activity_status="CREATE_ACT_STATUS"):
            await api.terminate(item.activity_id)

    async def _plan_only(self, api: PayGiftApi) -> Plan:
        account = Account(api, self.life.now, keys().mchid, sandbox=True)
        self.plan = await plan_project(account, self._project(), allow=self.life.waived)
        self.applying_since = self.life.now()
        return self.plan


class Unlocked(Wrong):
    """Writes without the lock, and without a plan."""

    async def _do_wrong(self, api: PayGiftApi) -> None:
        await self._end_everything(api)


class Hasty(Wrong):
    """Ends what it is to replace before anything has taken its place."""

    async def _do_wrong(self, api: PayGiftApi) -> None:
        await self._plan_only(api)
        await self._end_everything(api)


class Stubborn(Wrong):
    """Ends what it is to replace although no new activity may be created."""

    async def _do_wrong(self, api: PayGiftApi) -> None:
        plan = await self._plan_only(api)
        create = next(step for step in plan.operations if isinstance(step, CreateActivity))
        body = create_request(create.out_request_no, create.terms, create.merchants, {})
        with suppress(ApiError):
            await api.create(body)
        await self._end_everything(api)


class Late(Process):
    """Goes on with an old commit once a newer one was applied, and after it was asked to stop."""

    async def _apply(self) -> Report:
        report = await super()._apply()
        if len(self.life.processes) > 2:
            self.commit = 1
            self.stop.set()
            async with self.client() as client:
                await Wrong._end_everything(cast(Wrong, self), PayGiftApi(client))
        return report


class Liar(Process):
    """Tells the opposite of what it has done."""

    async def _apply(self) -> Report:
        report = await super()._apply()
        return replace(report, outcomes=tuple(replace(each, status=OutcomeStatus.FAILED) for each in report.outcomes))


class Boaster(Process):
    """Says that all was done, and has done nothing."""

    async def _apply(self) -> Report:
        report = await super()._apply()
        return replace(
            report,
            outcomes=tuple(
                replace(each, status=OutcomeStatus.DONE, activity_id="20406399") for each in report.outcomes
            ),
        )


class Broken(Process):
    """Has a bug."""

    async def _apply(self) -> Report:
        raise ZeroDivisionError


class Idle(Process):
    """Finds that there is nothing to do."""

    async def _apply(self) -> Report:
        return nothing(self)


class Endless(Process):
    """Never comes to an end."""

    async def _apply(self) -> Report:
        await asyncio.Event().wait()
        raise AssertionError("nobody sets it")


def nothing(process: Process) -> Report:
    now = process.life.now()
    return Report(Plan("liangpin", now), (), now, now)


@pytest.mark.parametrize(
    ("kind", "broken"),
    [
        (Unlocked, {"lock", "planned"}),
        (Late, {"order", "signal", "lock"}),
        (Hasty, {"fit", "lock"}),
        (Stubborn, {"breaker"}),
        (Liar, {"told"}),
        (Boaster, {"told"}),
        (Broken, {"ends", "converges"}),
        (Idle, {"converges"}),
        (Endless, {"ends", "converges"}),
    ],
)
def test_who_does_wrong_is_seen(kind: type[Process], broken: Iterable[str]) -> None:
    closed = script(*MADE, Edit((EDITED,)), Hands("close"), Apply())
    assert live(closed if kind is Stubborn else REPLACED, kind=kind).invariants >= set(broken)


def test_a_failing_life_shrinks_to_what_matters() -> None:
    two = Edit((ONE, Spec("summer", (2, 3), protect=True)))
    late = Apply((Strike("list", 9, "late", 5),), slow=5)
    small = shrunk(script(*MADE, Pass(3600), Hands("pause", 2), two, late), "told", kind=Liar)
    assert small.invariants == {"told"}
    assert small.script == script(Edit((Spec("summer"),)))
    assert not any("told" in live(less, kind=Liar).invariants for less in smaller(small.script))
