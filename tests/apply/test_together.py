"""Applies that are started together: of the same plan or of different ones, nothing is done twice and nobody hangs."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from datetime import timedelta

import pytest

from reconciler.commands.runs import resume
from reconciler.journal.chain import verify
from reconciler.journal.database import Database
from reconciler.journal.entry import RunStarted
from reconciler.journal.journal import Journal, locked
from reconciler.journal.location import JournalLocation
from reconciler.journal.lock import Holder
from reconciler.journal.process import Process
from reconciler.journal.reader import audit_lines
from reconciler.model.activity import DesiredActivity
from reconciler.plan import plan_digest
from reconciler.wechatpay.api import PayGiftApi
from tests.apply.test_apply import spec
from tests.apply.test_convergence import nothing_happened_twice
from tests.support.remote import Remote
from tests.support.samples import NAMESPACE, NOW, mchids
from tests.support.signed import keys

TOO_LONG_SECONDS = 60.0


@pytest.mark.parametrize("rounds", [4, pytest.param(50, marks=pytest.mark.heavy)])
def test_rounds_of_applies_together(place: JournalLocation, rounds: int) -> None:
    """Two at once, and every fourth time eight; every other time all want the same."""
    lots = random.Random(7)
    remote = Remote(reads=2)
    remote.seed([spec()])

    async def all_rounds(api: PayGiftApi) -> None:
        for number in range(rounds):
            many = 8 if number % 4 == 3 else 2
            same = edit(lots, number)
            wanted = [same if number % 8 < 4 else edit(lots, number) for _ in range(many)]
            await one_round(api, wanted)

    async def one_round(api: PayGiftApi, wanted: Sequence[list[DesiredActivity]]) -> None:
        databases = [place.open() for _ in wanted]
        try:
            async with asyncio.timeout(TOO_LONG_SECONDS), asyncio.TaskGroup() as together:
                for who, (database, specs) in enumerate(zip(databases, wanted, strict=True)):
                    together.create_task(apply(api, database, f"worker {who}", specs))
        finally:
            sound(databases[0])
            for database in databases:
                database.close()
        nothing_happened_twice(remote)
        lives = [each for each in remote.world.activities() if each["activity_status"] == "CREATE_ACT_STATUS"]
        assert len(lives) == 1, "whoever came last has replaced what the others made"
        assert lives[0]["merchants"] in [list(specs[0].merchants) for specs in wanted]

    async def apply(api: PayGiftApi, database: Database, who: str, specs: list[DesiredActivity]) -> None:
        book = Journal(database, mchid=keys().mchid, namespace=NAMESPACE, clock=lambda: remote.now)
        me = Holder(who, Process.this(), "now")
        async with locked(book, me, timeout_seconds=TOO_LONG_SECONDS, sleep=briefly) as run:
            remote.wait(timedelta(seconds=1))  # no two runs begin at one moment: what they add has other numbers
            assert await resume(api, run, clock=lambda: remote.now, poll=remote.patience) == []
            plan = await remote.plan_of(api, specs)
            if plan.empty:
                return
            await run.begin(RunStarted(plan_digest(plan), len(plan.operations), who))
            report = await remote.apply_of(api, plan, run)
            assert report.complete, list(report.left())

    remote.call(all_rounds)


async def briefly(_seconds: float) -> None:
    await asyncio.sleep(0.02)


def edit(lots: random.Random, number: int) -> list[DesiredActivity]:
    """The one activity of this account, edited: other terms in every tenth round, other merchants each time."""
    merchants = lots.sample(mchids(8), lots.randint(1, 6))
    return [spec(transaction_amount_minimum=1 + number // 10, merchants=merchants)]


def sound(database: Database) -> None:
    book = Journal(database, mchid=keys().mchid, namespace=NAMESPACE, clock=lambda: NOW)
    assert book.open_intents() == []
    assert list(verify(audit_lines(database, NAMESPACE))) == []
