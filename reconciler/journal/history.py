"""Entries of a journal → what happened: one row for each operation, with who and when. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from reconciler.journal.entry import Entry, Intent, OperationFinished, RunStarted
from reconciler.model.report import Rejection

OPEN: Final = "open"
"""The status of a request whose outcome nobody has written down: its run died, or is still at it."""


_UNKNOWN_RUN: Final = RunStarted("", 0)
"""What is known of a run that only found out what became of another one."""


@dataclass(frozen=True, slots=True)
class Row:
    """One operation of one run, or what a later run found out about one.

    ``status`` is an outcome's, or ``open``. ``bodies`` are the requests that were sent for it. Times are UTC instants:
    ``at`` is when its outcome was known, or when the request of an open one was about to leave.
    """

    at: datetime
    run: str
    mchid: str
    namespace: str
    key: str
    operation: str
    status: str
    activity_id: str = ""
    request_no: str = ""
    reason: str = ""
    http_status: int = 0
    request_id: str = ""
    tries: int = 0
    seconds: float = 0.0
    rejections: tuple[Rejection, ...] = ()
    path: str = ""
    resumed: bool = False
    bodies: tuple[str, ...] = ()
    who: str = ""
    commit: str = ""
    plan_digest: str = ""
    seq: int = 0


@dataclass(frozen=True, slots=True)
class HistoryFilter:
    """Which rows; whatever is empty does not narrow anything. ``since`` is included, ``until`` is not."""

    key: str = ""
    activity_id: str = ""
    outcomes: frozenset[str] = field(default_factory=frozenset)
    since: datetime | None = None
    until: datetime | None = None

    def takes(self, row: Row) -> bool:
        """Whether a row is among those that are wanted."""
        return (
            self.key in ("", row.key)
            and self.activity_id in ("", row.activity_id)
            and (not self.outcomes or row.status in self.outcomes)
            and (self.since is None or row.at >= self.since)
            and (self.until is None or row.at < self.until)
        )


EVERYTHING: Final = HistoryFilter()


def history(entries: Iterable[Entry], wanted: HistoryFilter = EVERYTHING) -> list[Row]:
    """The rows that are ``wanted``, in the order in which they came to be known; open ones stand where they began."""
    rows = sorted(_rows(entries), key=lambda row: (row.mchid, row.namespace, row.seq))
    return [row for row in rows if wanted.takes(row)]


def _rows(entries: Iterable[Entry]) -> Iterator[Row]:
    runs: dict[str, RunStarted] = {}
    open_: dict[tuple[str, str, int], tuple[Entry, Intent]] = {}
    concluded: set[tuple[str, str, int]] = set()
    for entry in entries:
        match entry.what:
            case RunStarted():
                runs[entry.run] = entry.what
            case Intent():
                open_[entry.mchid, entry.namespace, entry.seq] = (entry, entry.what)
            case OperationFinished():
                asked = [(entry.mchid, entry.namespace, number) for number in entry.what.intents]
                bodies = tuple(open_[each][1].body for each in asked if each in open_)
                concluded.update(asked)
                if entry.what.answers:
                    for each in asked:
                        open_.pop(each, None)
                yield _concluded(entry, entry.what, bodies, runs.get(entry.run, _UNKNOWN_RUN))
    # What ended in doubt has its row, and is not shown twice.
    for entry, intent in (open_[each] for each in open_ if each not in concluded):
        yield _open(entry, intent, runs.get(entry.run, _UNKNOWN_RUN))


def _concluded(entry: Entry, what: OperationFinished, bodies: tuple[str, ...], run: RunStarted) -> Row:
    return replace(
        _open(entry, what, run),
        status=what.status.value,
        bodies=bodies,
        reason=what.reason,
        http_status=what.http_status,
        request_id=what.request_id,
        tries=what.tries,
        seconds=what.seconds,
        rejections=what.rejections,
        path=what.path,
        resumed=what.resumed,
    )


def _open(entry: Entry, what: Intent | OperationFinished, run: RunStarted) -> Row:
    """What is known of an operation before its outcome."""
    return Row(
        entry.at,
        entry.run,
        entry.mchid,
        entry.namespace,
        what.key,
        what.operation,
        OPEN,
        activity_id=what.activity_id,
        request_no=what.request_no,
        bodies=(what.body,) if isinstance(what, Intent) else (),
        who=run.who,
        commit=run.commit,
        plan_digest=run.plan_digest,
        seq=entry.seq,
    )
