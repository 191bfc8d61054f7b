"""What the journal tells people afterwards, and the lock that is in it. Needs no account.

Imported by the commands that read a journal only, since it imports SQLAlchemy.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from reconciler.commands.clock import instant_from, system_clock
from reconciler.commands.workspace import Workspace
from reconciler.journal.chain import Break, verify
from reconciler.journal.database import Database
from reconciler.journal.entry import LockTakenOver
from reconciler.journal.history import HistoryFilter, Row
from reconciler.journal.journal import Journal
from reconciler.journal.location import JournalLocation
from reconciler.journal.lock import Holder, locks_in
from reconciler.journal.reader import lines_of, opened, read_audit_lines, read_history
from reconciler.spec import read_namespace
from reconciler.system.origin import who_runs
from reconciler.system.output_files import write


@dataclass(frozen=True, slots=True)
class History:
    """What applies have done, as far as it was ``wanted``, in the order in which it came to be known."""

    rows: list[Row]
    wanted: HistoryFilter


def history(
    workspace: Workspace,
    *,
    key: str = "",
    activity_id: str = "",
    outcomes: Collection[str] = (),
    since: str | None = None,
    until: str | None = None,
) -> History:
    """What applies have done to the activities of the project: who, when, what, and how it ended.

    What is empty does not narrow anything. ``outcomes`` are of OutcomeStatus, or ``open`` for a request whose run died
    before it knew. ``since`` is included, ``until`` is not; they are times (see ``instant_from``), in Beijing's where
    they have no offset. Raises UsageError, JournalError (exit code 1), ProjectError (3).
    """
    wanted = HistoryFilter(
        key,
        activity_id,
        frozenset(outcomes),
        instant_from(since) if since else None,
        instant_from(until) if until else None,
    )
    # Only the namespace is read: history must work while specs are broken.
    rows = read_history(workspace.journal(), read_namespace(workspace.root()), wanted)
    return History(rows, wanted)


def export_journal(workspace: Workspace, file: Path | None = None) -> list[str]:
    """The journal of the project as the lines of an audit file, JSON that chains by hash; written to ``file``, if any.

    Raises UsageError for a file that cannot be written, JournalError (exit code 1), ProjectError (3).
    """
    lines = read_audit_lines(workspace.journal(), read_namespace(workspace.root()))
    if file is not None:
        write("".join(f"{line}\n" for line in lines), file)
    return lines


@dataclass(frozen=True, slots=True)
class Verification:
    """How many entries were looked at, and where they are not as they were written: nowhere, if all is well."""

    entries: int
    breaks: tuple[Break, ...]


def verify_journal(workspace: Workspace, file: Path | None = None, *, heads: Collection[str] = ()) -> Verification:
    """Whether no entry was removed or altered: of an audit file, or without one of the journal of the project.

    What was cut off at the end shows only by ``heads``: the hash of the last entry of each account, as a report has it.
    Raises UsageError for a file that cannot be read, JournalError (exit code 1), ProjectError (3).
    """
    lines = lines_of(file) if file is not None else export_journal(workspace)
    return Verification(len(lines), tuple(verify(lines, heads=heads)))


Held = Sequence[tuple[str, Holder]]
"""Who holds the locks of a namespace, by merchant number."""


def unlock(workspace: Workspace, *, confirm: Callable[[Held], bool]) -> list[Holder | None] | None:
    """Take the lock of every account of the project from whoever holds it, and write that down in the journal.

    ``confirm`` is asked first, unless nobody holds any. Returns who was put out, ``None`` among them for a lock that
    was free by then; an empty list if nobody held any, and ``None`` if ``confirm`` said no. A run that lives after all
    can send nothing more. Raises JournalError (exit code 1), ProjectError (3).
    """
    namespace, location = read_namespace(workspace.root()), workspace.journal()
    with _to_write(location) as database:
        held = [] if database is None else locks_in(database, namespace)
    # The question is asked with the journal closed, since people take their time.
    if held and not confirm(held):
        return None
    who = who_runs(workspace.environ)
    return [_take_away(location, mchid, namespace, who) for mchid, _ in held]


def _take_away(location: JournalLocation, mchid: str, namespace: str, who: str) -> Holder | None:
    with _to_write(location) as database:
        if database is None:
            return None
        journal = Journal(database, mchid=mchid, namespace=namespace, clock=system_clock)
        # Whoever holds it by now, who may be another than was shown: the answer says who it was.
        displaced = journal.lock.break_()
        if displaced is not None:
            what = LockTakenOver(str(displaced), "by `paygift unlock`", who)
            journal.append(what, run="", token=None)
        return displaced


@contextmanager
def _to_write(location: JournalLocation) -> Iterator[Database | None]:
    """The journal, if there is one. Looking does not make it."""
    with opened(location.open() if location.exists else None) as database:
        yield database
