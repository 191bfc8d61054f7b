"""Nothing is sent that was not written down before, and what a dead run left open is asked of the remote."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from reconciler.apply import Recorder
from reconciler.commands.runs import resume
from reconciler.journal.database import Database, open_sqlite
from reconciler.journal.entry import Intent, OperationFinished
from reconciler.journal.journal import Journal, Run
from reconciler.journal.lock import Holder
from reconciler.journal.process import Process
from reconciler.journal.reader import all_entries
from reconciler.model.activity import DesiredActivity
from reconciler.model.errors import JournalError
from reconciler.model.report import OutcomeStatus, Report
from tests.apply.test_apply import ADD, CREATE, DELETE, TERMINATE, UPLOAD, spec
from tests.support.remote import Fault, Remote, Send, lost_after, lost_before, statuses, unsigned
from tests.support.samples import NAMESPACE, mchids
from tests.support.signed import keys


@dataclass
class JournaledRemote:
    """A journal whose lock is held, beside a remote."""

    remote: Remote
    database: Database
    run: Run = field(init=False)

    def __post_init__(self) -> None:
        book = Journal(self.database, mchid=keys().mchid, namespace=NAMESPACE, clock=lambda: self.remote.now)
        me = Holder("alice", Process.this(), "now")
        book.lock.try_take(me)
        self.run = Run(book, me, "r1")

    def close(self) -> None:
        self.run.journal.lock.release(self.run.holder)
        self.database.close()

    def apply(self, *wanted: DesiredActivity, fault: Fault | None = None, record: Recorder | None = None) -> Report:
        self.remote.seed(wanted)
        plan = self.remote.plan(wanted, allow=["NO_SPECS"])
        return self.remote.apply(plan, fault=fault, record=record or self.run)

    def resume(self) -> list[OperationFinished]:
        return self.remote.call(
            lambda api: resume(api, self.run, clock=lambda: self.remote.now, poll=self.remote.patience)
        )

    def told(self) -> list[Any]:
        return [entry.what for entry in all_entries(self.database, NAMESPACE)]

    def intents(self) -> list[Intent]:
        return [what for what in self.told() if isinstance(what, Intent)]

    def outcomes(self) -> list[OperationFinished]:
        return [what for what in self.told() if isinstance(what, OperationFinished)]


@dataclass
class Forgetful:
    """Dies each time before it can write down an outcome: intents stay open."""

    run: Run

    async def require(self) -> None:
        await self.run.require()

    async def intend(self, what: Intent) -> int:
        return await self.run.intend(what)

    async def conclude(self, what: OperationFinished) -> None:
        """It is dead."""


@pytest.fixture
def journal(memory_path: Path) -> Iterator[JournaledRemote]:
    made = JournaledRemote(Remote(reads=3), open_sqlite(memory_path / "journal.db"))
    yield made
    made.close()


# -- written down before it leaves -------------------------------------------------------------------------------------


def test_every_write_is_written_down_to_the_byte_before_it_leaves(journal: JournaledRemote) -> None:
    sent: list[tuple[str, bytes]] = []

    async def fault(request: httpx.Request, send: Send) -> httpx.Response:
        if request.method == "POST":
            sent.append((request.url.path, await request.aread()))
            open_bodies = [
                entry.what.body for entry in journal.run.journal.open_intents() if isinstance(entry.what, Intent)
            ]
            body = sent[-1][1]
            if request.url.path.endswith(UPLOAD):
                assert any(written.encode() in body for written in open_bodies)
            else:
                assert body.decode() in open_bodies
        return await send(request)

    before = spec(merchants=mchids(4))
    journal.apply(before, fault=fault)
    journal.apply(spec(merchants=mchids(4, start=1600000003)), fault=fault)
    journal.apply(spec(merchants=mchids(4, start=1600000003), transaction_amount_minimum=5), fault=fault)
    routes = [path.rpartition("/")[2] for path, _ in sent]
    assert sorted({*routes}) == ["add", "delete", "image-upload", "terminate", "unique-threshold-activity"]
    assert len(journal.intents()) == len(sent)
    assert journal.run.journal.open_intents() == []


def test_an_outcome_tells_how_it_went(journal: JournaledRemote) -> None:
    report = journal.apply(spec(merchants=mchids(2)), fault=lost_before(CREATE, times=2))
    (create,) = [each for each in journal.outcomes() if each.operation == "create"]
    assert (create.status, create.tries, create.http_status) == (OutcomeStatus.DONE, 3, 200)
    assert create.request_id.startswith("SANDBOX-")
    assert create.request_no == report.outcomes[-1].operation.out_request_no  # type: ignore[union-attr]
    shown = report.outcomes[-1]
    assert (shown.tries, shown.http_status, shown.request_id) == (3, 200, create.request_id)
    assert shown.started_at == shown.finished_at == journal.remote.now


def test_a_refusal_of_the_remote_is_written_down_with_its_words(journal: JournaledRemote) -> None:
    journal.remote.world.declare_invalid("1600000001")
    report = journal.apply(spec(merchants=ONE))
    (create,) = [each for each in journal.outcomes() if each.operation == "create"]
    assert (create.status, create.http_status, create.tries) == (OutcomeStatus.FAILED, 400, 1)
    assert create.reason == report.outcomes[-1].reason
    assert create.reason


class Broken:
    """A journal on a disk that is full after so many lines."""

    def __init__(self, lines: int) -> None:
        self._left = lines
        self.intents = 0

    def _write(self) -> None:
        if self._left == 0:
            raise JournalError("the disk is full.")
        self._left -= 1

    async def require(self) -> None:
        """The lock is held."""

    async def intend(self, what: Intent) -> int:
        self._write()
        self.intents += 1
        return self.intents

    async def conclude(self, what: OperationFinished) -> None:
        self._write()


@pytest.mark.parametrize("lines", range(9))
def test_nothing_is_sent_that_cannot_be_written_down(lines: int) -> None:
    remote = Remote(reads=2)
    wanted = [spec("spring", merchants=mchids(2)), spec("summer", merchants=mchids(2))]
    remote.seed(wanted)
    broken = Broken(lines)
    plan = remote.plan(wanted)
    report = remote.apply(plan, record=broken)
    writes = [line for line in remote.network.sent if line.startswith("POST")]
    assert len(writes) == broken.intents
    assert report.complete == (lines >= 7), "that the last outcome is not written down changes nothing of it"
    assert sum("could not be written down" in outcome.reason for outcome in report.outcomes) <= len(writes) + 8
    remote.converge(wanted)
    assert remote.plan(wanted).empty
    assert len([each for each in remote.effects() if each.startswith("created")]) == 2


def test_what_could_not_be_begun_is_not_started_and_says_why() -> None:
    remote = Remote()
    remote.seed([spec()])
    report = remote.apply(remote.plan([spec()]), record=Broken(0))
    assert set(statuses(report.outcomes)) == {"not started"}
    assert "the disk is full" in report.outcomes[0].reason


# -- asked on the next run ---------------------------------------------------------------------------------------------


def test_a_run_that_left_nothing_open_asks_nothing(journal: JournaledRemote) -> None:
    journal.apply(spec())
    sent = len(journal.remote.network.sent)
    assert journal.resume() == []
    assert journal.remote.network.sent[sent:] == ["GET /v3/certificates"]


ONE, MORE, OTHER = mchids(1), mchids(2), mchids(1, start=1600000002)


@pytest.mark.parametrize(
    ("before", "after", "fault", "found"),
    [
        ([], [spec(merchants=ONE)], lost_after(CREATE), ("create", "done")),
        ([], [spec(merchants=ONE)], unsigned(CREATE), ("create", "done")),
        ([], [spec(merchants=ONE)], lost_before(CREATE, 99), ("create", "not started")),
        ([spec(merchants=ONE)], [spec(merchants=MORE)], lost_after(ADD), ("add_merchants", "done")),
        (
            [spec(merchants=ONE)],
            [spec(merchants=MORE)],
            lost_before(ADD, 99),
            ("add_merchants", "not started"),
        ),
        ([spec(merchants=MORE)], [spec(merchants=OTHER)], lost_after(DELETE), ("delete_merchants", "done")),
        (
            [spec(merchants=MORE)],
            [spec(merchants=OTHER)],
            lost_before(DELETE, 99),
            ("delete_merchants", "not started"),
        ),
        ([spec()], [spec(state="terminated")], lost_after(TERMINATE), ("terminate", "done")),
        ([spec()], [spec(state="terminated")], lost_before(TERMINATE, 99), ("terminate", "not started")),
    ],
)
def test_what_died_is_asked_of_the_remote_and_written_down(
    before: list[DesiredActivity],
    after: list[DesiredActivity],
    fault: Fault,
    found: tuple[str, str],
    journal: JournaledRemote,
) -> None:
    journal.apply(*before)
    journal.apply(*after, fault=fault, record=Forgetful(journal.run))
    answers = journal.resume()
    assert found in [(each.operation, each.status.value) for each in answers]
    assert all(each.resumed for each in answers)
    assert journal.run.journal.open_intents() == []
    assert journal.apply(*after).complete
    assert journal.remote.plan(after).empty


def test_all_open_creates_are_looked_for_in_the_same_passes(journal: JournaledRemote) -> None:
    """Eight died with their answers, on an account with several pages of activities."""
    remote = journal.remote
    others = [spec(f"other-{number:03}", merchants=("1900000001",)) for number in range(3)]
    journal.apply(*others)
    (first, *_) = remote.world.activities()
    for number in range(230):
        base = {**first["item"]["activity_base_info"], "out_request_no": f"web-{number}"}
        remote.world.insert_activity({**first["item"], "activity_base_info": base}, [])
    new = [spec(f"new-{number}", transaction_amount_minimum=10 + number) for number in range(8)]
    journal.apply(*others, *new, record=Forgetful(journal.run))
    assert len(journal.run.journal.open_intents()) >= 8
    remote.network.sent.clear()
    answers = journal.resume()
    assert {each.status for each in answers if each.operation == "create"} == {OutcomeStatus.DONE}
    lists = [line for line in remote.network.sent if line.endswith("/activities")]
    assert len(lists) <= 4
