"""What must be so after every step of a life, whatever happens in it: judged from the account's own history.

None of it asks the program's opinion but where its words are what is judged: a plan that said that nothing comes in
the place of what it ends, a report that says what happened.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from reconciler.journal.chain import verify
from reconciler.journal.journal import Journal
from reconciler.journal.reader import audit_lines
from reconciler.model.activity import DesiredActivity
from reconciler.model.errors import PaygiftError
from reconciler.model.findings import Severity
from reconciler.model.identity import parse_number
from reconciler.model.operations import AddMerchants, CreateActivity, DeleteMerchants, TerminateActivity, UploadImage
from reconciler.model.plan import ActivityChange
from reconciler.model.report import Outcome, OutcomeStatus
from reconciler.sandbox.memory import Activity
from tests.simulation.account import GOOD, OVER, Happened
from tests.support.samples import NAMESPACE
from tests.support.signed import keys

if TYPE_CHECKING:
    from tests.simulation.life import Life
    from tests.simulation.process import Look, Process, Request

INVARIANTS: Final = {
    "fit": "no campaign that the files want ends while its successor is not fit",
    "lock": "nothing is written without the lock",
    "order": "nothing is written that the newest files no longer say, once they were applied",
    "told": "what the report says happened, happened, and what happened is said",
    "planned": "nothing is written that the plan does not hold",
    "twice": "nothing happens twice",
    "signal": "after the first signal no new write leaves",
    "breaker": "once WeChat Pay takes no new activities, nothing ends that a new one was to follow",
    "ends": "every run ends, with a report or an error of ours",
    "converges": "once the faults are over, the account becomes what the files say",
}

_DENIED: Final = (OutcomeStatus.FAILED, OutcomeStatus.NOT_STARTED)
_CLAIMED: Final = (OutcomeStatus.DONE, OutcomeStatus.ALREADY_DONE)


@dataclass(frozen=True)
class Violation:
    """An invariant that did not hold: which, when (seconds of the life), and how."""

    invariant: str
    at: float
    how: str

    def __str__(self) -> str:
        return f"[{self.invariant}] {INVARIANTS[self.invariant]}: at {self.at:.2f} s, {self.how}"


class Judge:
    """Watches one life."""

    def __init__(self, life: Life) -> None:
        self._life = life
        self.violations: list[Violation] = []
        self._applied = 0

    def broken(self, invariant: str, how: str) -> None:
        self.violations.append(Violation(invariant, self._life.loop.time(), how))

    # --- when a request leaves -----------------------------------------------------------------------------------

    def sends(self, process: Process, request: Request) -> None:
        """A write leaves ``process``: what happens to the lock while it is under way nobody can help."""
        what = f"{process} sends {request.route} {request.path.rpartition('/activities/')[2]}"
        if not process.holds_the_lock:
            self.broken("lock", f"{what} while somebody else, or nobody, holds the lock")
        if process.stop.is_set():
            self.broken("signal", f"{what} although it was asked to stop")
        if process.commit < self._applied:
            self.broken("order", f"{what} although commit {self._applied} was applied before")
        if request.route == "terminate" and process.create_refused:
            change = _change_that_ends(process, request.path.split("/")[-2])
            if change is not None and any(isinstance(each, CreateActivity) for each in change.operations):
                self.broken("breaker", f"{what} although a create was refused before")

    # --- when it has its effect ----------------------------------------------------------------------------------

    def happens(self, happened: Happened) -> None:
        if happened.by is None:
            return
        if happened.effect == "terminated":
            self._ends(happened.by, happened)
        self._planned(happened.by, happened)

    def _planned(self, process: Process, happened: Happened) -> None:
        if not any(_says(operation, happened) for operation in _operations(process)):
            merchants = f" {', '.join(happened.merchants)}" if happened.effect != "created" else ""
            self.broken(
                "planned",
                f"{process}: {happened.effect} {happened.activity_id}{merchants} is not in its plan",
            )

    def _ends(self, process: Process, happened: Happened) -> None:
        """Judge an end by what came in its place, as of the last look at it that ``process`` had."""
        old = happened.before
        assert old is not None
        if process.plan is None or self._life.account.status(old, happened.at) not in GOOD:
            return
        change = _change_that_ends(process, old.activity_id)
        wanted = self._wanted(change, process) if change is not None else None
        if change is None or wanted is None:
            return
        needed = set(old.merchants) & set(wanted.merchants) & set(self._newest(wanted).merchants)
        served: set[str] = set()
        seen = []
        for activity in self._successors(wanted, old):
            looked, status, merchants = self._as_looked_at(process, activity, happened.at)
            seen.append(f"{activity.activity_id} is {status} with {len(merchants)} merchants ({looked})")
            if status in GOOD:
                served |= merchants
        if not needed <= served:
            lost = ", ".join(sorted(needed - served))
            self.broken(
                "fit",
                f"{process} ends {old.activity_id} of {wanted.key!r}, and {lost} give nothing: "
                f"{'; '.join(seen) or 'there is no successor'}",
            )

    def _wanted(self, change: ActivityChange, process: Process) -> DesiredActivity | None:
        """The spec, of the files that ``process`` applies, whose activity is to come in the place of what ``change``
        ends; ``None`` where the plan said that none comes, or comes later, or the newest files want none."""
        ends = [n for n, each in enumerate(change.operations) if isinstance(each, TerminateActivity)]
        creates = [n for n, each in enumerate(change.operations) if isinstance(each, CreateActivity)]
        reasons = {each.reason for each in change.operations if isinstance(each, TerminateActivity)}
        if creates and creates[0] > ends[0]:
            return None  # terminate_first: the plan said so
        if not creates and "superseded" not in reasons:
            return None
        own = next((each for each in process.specs if each.key == change.key), None)
        if own is None or own.key not in {each.key for each in self._life.specs}:
            return None
        newest = self._newest(own)
        over = newest.state != "running" or newest.terms.end_time < self._life.now()
        return None if over else own

    def _newest(self, spec: DesiredActivity) -> DesiredActivity:
        """The same key in the newest files."""
        return next(each for each in self._life.specs if each.key == spec.key)

    def _successors(self, wanted: DesiredActivity, old: Activity) -> Iterator[Activity]:
        keys = {wanted.key, *wanted.renamed_from}
        for activity in self._life.account.memory.activities.values():
            number = parse_number(activity.out_request_no)
            ours = number is not None and number.namespace == NAMESPACE and number.key in keys
            if activity.activity_id != old.activity_id and (ours or activity.activity_id == wanted.adopt):
                yield activity

    def _as_looked_at(self, process: Process, activity: Activity, at: datetime) -> tuple[str, str, set[str]]:
        """The status and merchants of a successor when ``process``, applying, last saw them: it is to look right
        before it ends something. Whatever it never looked at is judged by how it is."""
        looks = [look for look in process.looks if look.at >= (process.applying_since or at)]
        name, account = activity.activity_id, self._life.account
        status_seen = next((look for look in reversed(looks) if look.shows(name)), None)
        merchants_seen = next((look for look in reversed(looks) if look.shows_merchants(name)), None)

        def as_seen(look: Look | None) -> tuple[Activity, str] | None:
            change, moment = (account.changes, at) if look is None else (look.change, look.at)
            return account.as_of(name, change, moment)

        status, merchants = as_seen(status_seen), as_seen(merchants_seen)
        return (
            "it did not look" if status_seen is None else "as it saw",
            status[1] if status else "not there",
            set(merchants[0].merchants) if merchants else set(),
        )

    # --- when a run has ended ------------------------------------------------------------------------------------

    def ended(self, process: Process) -> None:
        """``process`` has come to its end by itself."""
        mine = [each for each in self._life.account.effects if each.by is process]
        if process.ended is not None and not isinstance(process.ended, PaygiftError):
            self.broken("ends", f"{process} ended with {process.ended!r}")
        if process.report is None:
            if mine:
                self.broken("told", f"{process} wrote, and ended with {process.ended!r}")
            return
        self._applied = max(self._applied, process.commit)
        for outcome in process.report.outcomes:
            if not isinstance(outcome.operation, UploadImage):
                self._outcome(process, outcome, mine)
        for happened in mine:
            self._said(process, happened)

    def _outcome(self, process: Process, outcome: Outcome, mine: Sequence[Happened]) -> None:
        operation = outcome.operation
        claimed = outcome.status in _CLAIMED
        said = f"{process} says {operation.operation} {outcome.activity_id}: {outcome.status.value}"
        begin, end = outcome.started_at or self._life.now(), outcome.finished_at or self._life.now()
        looks = list(self._life.account.during(outcome.activity_id, begin, end)) if outcome.activity_id else []
        match operation:
            case CreateActivity() if claimed:
                if not any(a.out_request_no == operation.out_request_no and s not in OVER for a, s in looks):
                    how = ", ".join(status for _, status in looks) or "not there"
                    self.broken("told", f"{said}, and it was {how}")
                self._has(said, outcome, set(operation.merchants), looks)
            case AddMerchants() if claimed:
                self._has(said, outcome, set(operation.merchants), looks)
            case DeleteMerchants() if claimed:
                gone = set(operation.merchants)
                if not any(gone.isdisjoint(activity.merchants) for activity, _ in looks):
                    self.broken("told", f"{said}, and merchants of it are still there")
            case TerminateActivity() if claimed:
                if not any(status in OVER for _, status in looks):
                    self.broken("told", f"{said}, and it has not ended")
            case _:
                pass

    def _has(self, said: str, outcome: Outcome, merchants: set[str], looks: Sequence[tuple[Activity, str]]) -> None:
        if not any(merchants <= set(activity.merchants) for activity, _ in looks):
            self.broken("told", f"{said}, and not all merchants are there")

    def _said(self, process: Process, happened: Happened) -> None:
        """What happened stands in the report, and not as something that did not happen."""
        assert process.report is not None
        about = [
            outcome
            for outcome in process.report.outcomes
            if not isinstance(outcome.operation, UploadImage) and _says(outcome.operation, happened)
        ]
        over = any(
            status in OVER
            for _, status in self._life.account.during(happened.activity_id, happened.at, self._life.now())
        )
        denied = [outcome for outcome in about if outcome.status in _DENIED and not outcome.rejections]
        # What was created and is over at once was not created for anybody.
        if about and len(denied) == len(about) and not (happened.effect == "created" and over):
            told = "; ".join(f"{outcome.status.value}: {outcome.reason}" for outcome in denied)
            self.broken("told", f"{process}: {happened.effect} {happened.activity_id}, reported as {told}")

    # --- at the end ----------------------------------------------------------------------------------------------

    def nothing_twice(self) -> None:
        """By the sandbox's own words."""
        created = Counter(each["request_no"] for each in self._life.account.history() if each["effect"] == "created")
        for number, times in created.items():
            if times > 1:
                self.broken("twice", f"{number} was created {times} times")
        for activity in self._life.account.activities():
            if activity["terminations"] > 1:
                self.broken("twice", f"{activity['activity_id']} was ended {activity['terminations']} times")

    def converged(self, process: Process) -> None:
        """The last, healthy run found nothing to do, the account is what the files say, and no question is open."""
        if process.report is None:
            self.broken("converges", f"the last run ended with {process.ended!r}")
            return
        if process.report.plan.operations:
            left = ", ".join(f"{each.operation}" for each in process.report.plan.operations)
            self.broken("converges", f"the last run still had to do: {left}")
        refused = {each.key for each in process.report.plan.findings if each.severity is Severity.REFUSAL}
        for spec in self._life.specs:
            if spec.key not in refused:
                self._as_the_file_says(spec)
        self._journal_is_sound()

    def _journal_is_sound(self) -> None:
        database = self._life.server.someone()
        book = Journal(database, mchid=keys().mchid, namespace=NAMESPACE, clock=self._life.now)
        for entry in book.open_intents():
            self.broken("converges", f"intent {entry.seq} is still open")
        for found in verify(audit_lines(database, NAMESPACE)):
            self.broken("converges", f"line {found.line} of the journal: {found.reason}")
        database.close()

    def _as_the_file_says(self, spec: DesiredActivity) -> None:
        account, now = self._life.account, self._life.now()
        lives = [
            activity
            for activity in account.memory.activities.values()
            if account.status(activity, now) not in OVER and _is_of(spec, activity)
        ]
        if spec.state == "terminated" or spec.terms.end_time < now:
            if lives:
                self.broken("converges", f"{spec.key} has ended, and {lives[0].activity_id} runs")
        elif len(lives) != 1:
            self.broken("converges", f"{spec.key} has {len(lives)} activities")
        elif set(lives[0].merchants) != set(spec.merchants):
            self.broken("converges", f"{spec.key} has other merchants than its file")


def _is_of(spec: DesiredActivity, activity: Activity) -> bool:
    number = parse_number(activity.out_request_no)
    ours = number is not None and number.namespace == NAMESPACE and number.key in (spec.key, *spec.renamed_from)
    return ours or activity.activity_id == spec.adopt


def _operations(process: Process) -> Iterator[object]:
    if process.plan is not None and process.applying_since is not None:
        yield from process.plan.operations


def _change_that_ends(process: Process, activity_id: str) -> ActivityChange | None:
    for change in process.plan.changes if process.plan is not None else ():
        for step in change.operations:
            if isinstance(step, TerminateActivity) and step.activity_id == activity_id:
                return change
    return None


def _says(operation: object, happened: Happened) -> bool:
    """Whether ``operation`` is, or holds, what happened. A create brings its merchants, however many calls it takes."""
    number = happened.before.out_request_no if happened.before is not None else happened.request_no
    match operation, happened.effect:
        case CreateActivity(out_request_no=created), "created":
            return created == happened.request_no
        case CreateActivity(out_request_no=created, merchants=merchants), "merchants added":
            return created == number and set(happened.merchants) <= set(merchants)
        case (AddMerchants() as change, "merchants added") | (
            DeleteMerchants() as change,
            "merchants deleted",
        ):
            same = (change.activity_id or happened.activity_id) == happened.activity_id
            return same and change.out_request_no == number and set(happened.merchants) <= set(change.merchants)
        case TerminateActivity(activity_id=ended), "terminated":
            return ended == happened.activity_id
    return False
