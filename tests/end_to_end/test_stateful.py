"""Whatever happens in whatever order: authors edit, operators act behind our back, time passes, faults come and go,
applies die, with or without their journal. Nothing ever happens twice, and one more apply always converges.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from reconciler.commands.runs import remember, resume
from reconciler.journal.chain import verify
from reconciler.journal.database import open_sqlite
from reconciler.journal.journal import Journal, Run
from reconciler.journal.lock import Holder
from reconciler.journal.process import Process
from reconciler.journal.reader import audit_lines
from reconciler.model.activity import DesiredActivity
from reconciler.model.errors import PaygiftError
from tests.apply.test_convergence import (
    ALLOWED,
    MEDDLING,
    STATUSES,
    History,
    a_spec,
    ended_fit,
    lasting,
    live_equals_the_files,
    nothing_happened_twice,
    specs,
    stuck,
)
from tests.end_to_end.test_reliability import ROUGH
from tests.live.test_odd_rows import ODD_VALUES
from tests.support.remote import Fault, after_write, dead_after
from tests.support.samples import NAMESPACE
from tests.support.signed import keys

MEMORY = Path("/dev/shm")


class Life(RuleBasedStateMachine):
    """An account, the files that are meant for it, and a journal."""

    @initialize()
    def begin(self) -> None:
        self.history = History()
        self.remote = self.history.remote
        self.wanted: tuple[DesiredActivity, ...] = ()
        self.judged = 0
        self.folder = TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None)
        self._open_journal()

    def _open_journal(self) -> None:
        self.database = open_sqlite(Path(self.folder.name) / "journal.db")
        book = Journal(self.database, mchid=keys().mchid, namespace=NAMESPACE, clock=lambda: self.remote.now)
        me = Holder("alice", Process.this(), "now")
        book.lock.break_()
        book.lock.try_take(me)
        self.run = Run(book, me, "r1")

    def _close_journal(self) -> None:
        self.run.journal.lock.release(self.run.holder)
        self.database.close()

    @rule(wanted=specs())
    def edit(self, wanted: tuple[DesiredActivity, ...]) -> None:
        self.wanted = self.history.meant(wanted)

    @rule()
    def apply(self) -> None:
        self._apply(None)

    @rule(writes=st.integers(1, 8))
    def apply_and_die(self, writes: int) -> None:
        self._apply(dead_after(writes))

    @rule(number=st.integers(1, 6), action=MEDDLING, index=st.integers(0, 5))
    def apply_and_be_meddled_with(self, number: int, action: str, index: int) -> None:
        self._apply(after_write(number, lambda: self.history.meddle(action, index)))

    @rule()
    def lose_the_journal(self) -> None:
        self._close_journal()
        for file in Path(self.folder.name).glob("journal.db*"):
            file.unlink()
        self._open_journal()

    @rule(action=MEDDLING, index=st.integers(0, 5))
    def operate(self, action: str, index: int) -> None:
        self.history.happen((action, index))

    @rule(status=STATUSES, spec=a_spec("web"))
    def make_elsewhere(self, status: str, spec: DesiredActivity) -> None:
        self.history.happen(("elsewhere", status, spec))

    @rule(index=st.integers(0, len(ODD_VALUES) - 1))
    def make_something_odd(self, index: int) -> None:
        self.history.happen(("odd", index))

    @rule(index=st.integers(0, 5), count=st.integers(1, 4))
    def hide_a_row(self, index: int, count: int) -> None:
        ids = self.remote.ids()
        if ids:
            hidden = {"kind": "row_hidden", "route": "list", "ids": ids[index % len(ids)], "count": count}
            self.remote.world.add_fault(hidden)

    @rule(hours=st.sampled_from([1, 30, 24 * 20]))
    def wait(self, hours: int) -> None:
        self.history.happen(("wait", hours))

    @rule(kind=st.sampled_from(ROUGH), count=st.integers(1, 3))
    def break_something(self, kind: str, count: int) -> None:
        self.remote.world.add_fault({"kind": kind, "count": count})

    @rule()
    def mend_everything(self) -> None:
        self.remote.world.clear_faults()

    def _apply(self, fault: Fault | None) -> None:
        self.remote.seed(self.wanted)
        self.remote.network.fault = None
        try:
            self._resume()
            witness = self.run.journal.witness()
            plan = self.remote.plan(self.wanted, allow=ALLOWED, witness=witness)
            asyncio.run(remember(self.run, self.wanted))
            self.remote.apply(plan, fault=fault, record=self.run)
        except PaygiftError:
            # The command would end in an error; what it did before stays, and is judged below.
            self.remote.network.fault = None

    def _resume(self) -> None:
        self.remote.call(lambda api: resume(api, self.run, clock=lambda: self.remote.now, poll=self.remote.patience))

    @invariant()
    def nothing_twice(self) -> None:
        nothing_happened_twice(self.remote)

    @invariant()
    def others_are_left_alone(self) -> None:
        truth = self.history.truth()
        for activity_id, untouched in self.history.others():
            assert lasting(truth[activity_id]) == lasting(untouched)

    @invariant()
    def nothing_ends_before_its_successor_is_fit(self) -> None:
        ends = self.remote.network.ends
        for end in ends[self.judged :]:
            ended_fit(end, self.wanted)
        self.judged = len(ends)

    def teardown(self) -> None:
        """Once nothing is broken any more, one run brings everything in line, and leaves no question open."""
        if not hasattr(self, "run"):
            return
        self.remote.world.clear_faults()
        self._resume()
        report = self.remote.converge(self.wanted, allow=ALLOWED)
        assert report.complete, list(report.left())
        again = self.remote.plan(self.wanted, allow=ALLOWED)
        assert again.operations == ()
        live_equals_the_files(self.remote, self.wanted, stuck(again))
        nothing_happened_twice(self.remote)
        assert self.run.journal.open_intents() == []
        assert list(verify(audit_lines(self.database, NAMESPACE))) == []
        self._close_journal()
        self.folder.cleanup()


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=25, stateful_step_count=12)
TestLife.pytestmark = [pytest.mark.heavy]  # type: ignore[attr-defined]
