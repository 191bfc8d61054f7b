"""Whoever lost the lock sends nothing more: not the next write, not the next try of one, not to the next host."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from sqlalchemy import text

from reconciler.journal.database import Database
from reconciler.journal.holder import Holder
from reconciler.journal.journal import Journal, Run
from reconciler.journal.location import JournalLocation
from reconciler.journal.lock import Taken
from reconciler.journal.process import Process
from reconciler.model.activity import DesiredActivity
from reconciler.model.report import Report
from tests.apply.test_apply import ADD, CREATE, DELETE, TERMINATE, UPLOAD, spec
from tests.support.images import local_image
from tests.support.postgres import connected
from tests.support.remote import Fault, Remote, Send, statuses
from tests.support.samples import NAMESPACE, mchids
from tests.support.signed import keys

Lose = Callable[[JournalLocation], None]


def unlock(place: JournalLocation) -> None:
    with opened(place) as database:
        assert a_book(database).lock.break_() is not None


def takeover(place: JournalLocation) -> None:
    with opened(place) as database:
        lock, bob = a_book(database).lock, Holder("bob", Process.this(), "now")
        lock.break_()
        lock.try_take(bob)
        lock.release(bob)


def end_sessions(place: JournalLocation) -> None:
    """What an administrator, a restart or a failover does to the session of the holder."""
    with connected(place.url) as connection:
        connection.execute(
            text(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )


def remove_file(place: JournalLocation) -> None:
    """What `git clean -fdx` does to the journal of a run that is at it."""
    for file in place.file.parent.glob("*"):
        file.unlink()


def remove_log(place: JournalLocation) -> None:
    place.file.with_name("journal.db-wal").unlink()


def replace_file(place: JournalLocation) -> None:
    remove_file(place)
    with opened(place):
        """A new, empty journal, as another apply makes it."""


ALL: Final = [
    ("sqlite", unlock),
    ("sqlite", takeover),
    ("postgresql", unlock),
    ("postgresql", takeover),
    ("sqlite", remove_file),
    ("sqlite", remove_log),
    ("sqlite", replace_file),
    ("postgresql", end_sessions),
]
losses = pytest.mark.parametrize(("place", "lose"), ALL, indirect=["place"])


@contextmanager
def opened(place: JournalLocation) -> Iterator[Database]:
    database = place.open()
    try:
        yield database
    finally:
        database.close()


def a_book(database: Database) -> Journal:
    return Journal(database, mchid=keys().mchid, namespace=NAMESPACE, clock=lambda: Remote().now)


LOGO: Final[dict[str, Any]] = {"merchant_logo_url": local_image(1)}
"""One image for all places, so that one upload is all that a create needs."""
WRITES: Final = {
    UPLOAD: ([], [spec(**LOGO)]),
    CREATE: ([spec(generation=2, **LOGO)], [spec(generation=2, **LOGO), spec("summer", **LOGO)]),
    ADD: ([spec(merchants=mchids(1))], [spec(merchants=mchids(2))]),
    DELETE: ([spec(merchants=mchids(2))], [spec(merchants=mchids(1))]),
    TERMINATE: ([spec()], [spec(state="terminated")]),
}
"""By route: what there is before, and what is wanted, so that a write to the route is the first of the run."""
writes = pytest.mark.parametrize("where", WRITES)


class Losing:
    """An apply under the lock, which is lost while its first request to ``where`` is on its way; ``carry`` is what
    becomes of requests. ``sent`` are the writes that left, as the last parts of their paths.
    """

    def __init__(self, place: JournalLocation, lose: Lose, where: str, before: Sequence[DesiredActivity]) -> None:
        self.remote = Remote(reads=2)
        self.sent: list[str] = []
        self._place, self._lose, self._where = place, lose, where
        if before:
            assert self.remote.converge(before).complete

    def apply(self, wanted: Sequence[DesiredActivity], carry: Fault | None = None) -> Report:
        self.remote.seed(wanted)
        plan = self.remote.plan(wanted)
        with opened(self._place) as database:
            book, me = a_book(database), Holder("alice", Process.this(), "now")
            assert book.lock.try_take(me) == Taken()
            return self.remote.apply(plan, fault=self._fault(carry), record=Run(book, me, "r1"))

    def _fault(self, carry: Fault | None) -> Fault:
        async def fault(request: httpx.Request, send: Send) -> httpx.Response:
            if request.method == "POST":
                self.sent.append(request.url.path)
                if request.url.path.endswith(self._where) and len(self.to_where) == 1:
                    self._lose(self._place)
            return await (send(request) if carry is None else carry(request, send))

        return fault

    @property
    def to_where(self) -> list[str]:
        return [path for path in self.sent if path.endswith(self._where)]


@losses
def test_the_next_write_is_not_sent(place: JournalLocation, lose: Lose) -> None:
    """The new activity is created; the old one is not ended by whoever lost the lock meanwhile."""
    losing = Losing(place, lose, CREATE, [spec()])
    report = losing.apply([spec(transaction_amount_minimum=7)])
    assert not any(path.endswith(TERMINATE) for path in losing.sent), losing.sent
    assert statuses(report.outcomes)[-2:] == ["done", "not started"]
    assert [each["activity_status"] for each in losing.remote.world.activities()] == ["CREATE_ACT_STATUS"] * 2


@pytest.mark.sampled(every=3)
@losses
@writes
def test_a_write_that_was_not_taken_is_not_tried_again_by_the_client(
    place: JournalLocation, lose: Lose, where: str
) -> None:
    """A signed 429 proves that nothing was done: the client waits, and tries again."""
    before, wanted = WRITES[where]
    losing = Losing(place, lose, where, before)
    report = losing.apply(wanted, carry=too_many(losing.remote, where))
    assert len(losing.to_where) == 1, losing.sent
    assert not report.complete


@writes
def test_a_write_that_was_not_taken_is_tried_again_under_the_lock(memory_path: Path, where: str) -> None:
    """What the test above would prove nothing without."""
    before, wanted = WRITES[where]
    losing = Losing(JournalLocation(memory_path / "journal.db"), lambda _: None, where, before)
    report = losing.apply(wanted, carry=too_many(losing.remote, where))
    assert len(losing.to_where) > 1
    assert not report.complete


@pytest.mark.sampled(every=3)
@losses
@writes
def test_a_write_whose_answer_was_lost_is_not_sent_again(place: JournalLocation, lose: Lose, where: str) -> None:
    """A read shows that it did not happen, and the identical write would follow."""
    before, wanted = WRITES[where]
    losing = Losing(place, lose, where, before)
    report = losing.apply(wanted, carry=lost_without_effect(where))
    assert len(losing.to_where) == 1, losing.sent
    assert not report.complete


@losses
def test_the_backup_host_is_not_asked_either(place: JournalLocation, lose: Lose) -> None:
    """A host that cannot be reached takes its time; then the same try goes on with the other one."""
    losing = Losing(place, lose, CREATE, [spec()])
    losing.remote.backup_url = "http://127.0.0.2"
    report = losing.apply([spec(transaction_amount_minimum=7)], carry=unreachable(CREATE))
    assert len(losing.to_where) == 1, losing.sent
    assert not report.complete


def too_many(remote: Remote, where: str) -> Fault:
    """Every write to ``where`` is answered 429, signed."""

    async def carry(request: httpx.Request, send: Send) -> httpx.Response:
        remote.world.clear_faults()
        if request.url.path.endswith(where):
            remote.world.add_fault({"kind": "rate_limited"})
        return await send(request)

    return carry


def lost_without_effect(where: str) -> Fault:
    return broken(where, httpx.ReadError)


def unreachable(where: str) -> Fault:
    return broken(where, httpx.ConnectError)


def broken(where: str, error: type[httpx.NetworkError]) -> Fault:
    """Every request to ``where`` ends with that error, and never arrives."""

    async def carry(request: httpx.Request, send: Send) -> httpx.Response:
        if request.url.path.endswith(where):
            raise error("broken off", request=request)
        return await send(request)

    return carry
