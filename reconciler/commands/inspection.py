"""The account beside the specs: status, drift, and one activity from all sides. Nothing is written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from difflib import get_close_matches

from reconciler.commands.planning import read_and_plan, read_witness
from reconciler.commands.session import Session, open_session
from reconciler.commands.workspace import Workspace
from reconciler.journal.history import Row
from reconciler.live.reader import read_live
from reconciler.model.activity import DesiredActivity, LiveActivity
from reconciler.model.errors import UsageError
from reconciler.model.identity import Ownership
from reconciler.model.plan import Plan
from reconciler.model.witness import NO_WITNESS, Witness
from reconciler.plan import Drift, drifts


@dataclass(frozen=True, slots=True)
class AccountStatus:
    """The account beside the specs: every live activity with the key that manages it, and what a plan would do.

    ``witness`` is what the journal knows of it.
    """

    now: datetime
    desired: tuple[DesiredActivity, ...]
    live: tuple[tuple[str | None, LiveActivity], ...]
    plan: Plan
    witness: Witness = NO_WITNESS

    @property
    def drifts(self) -> tuple[Drift, ...]:
        """What on the account is not as specified, what was changed outside and what is only not applied yet."""
        return drifts(self.plan, [live for _, live in self.live], self.desired, self.witness)


@dataclass(frozen=True, slots=True)
class Shown:
    """One activity from all sides. ``goods`` are goods ids by activity id, empty for full-send activities; ``done`` is
    what applies have done to it, as the journal tells.
    """

    desired: DesiredActivity | None
    live: tuple[LiveActivity, ...]
    goods: Mapping[str, tuple[str, ...]]
    now: datetime
    done: tuple[Row, ...] = ()


def status(workspace: Workspace) -> AccountStatus:
    """Managed, unmanaged and ended activities, ours first, by key and then by id; and what differs (``drifts``).

    Raises as ``plan`` does; a journal that cannot be read is remarked.
    """
    with open_session(workspace) as session:
        return session.run(_status(session))


async def _status(session: Session) -> AccountStatus:
    witness, unread = await _remarked_witness(session)
    live, made = await read_and_plan(session, witness=(witness, unread))
    desired = session.project.activities
    ownership = Ownership.of(session.project.namespace, desired)
    keyed = ((ownership.key_of(activity), activity) for activity in live.activities)
    ordered = sorted(keyed, key=lambda pair: (pair[0] is None, pair[0] or "", pair[1].activity_id))
    return AccountStatus(made.made_at, desired, tuple(ordered), made, witness)


async def _remarked_witness(session: Session) -> tuple[Witness, str]:
    """What the journal knows, for a command that shows no findings."""
    witness, unread = await read_witness(session)
    # Said aloud: without the journal an activity that the list does not show looks as if it were gone.
    if unread:
        session.callbacks.remark(f"Warning: {unread} What only the journal knows is not taken into account.")
    return witness, unread


def show(workspace: Workspace, name: str) -> Shown:
    """The spec and the live activities of a key, or one activity by its id, and what applies have done to it.

    Raises UsageError if there is neither (exit code 1), and as ``plan`` does; JournalError for a journal that cannot be
    read (1).
    """
    with open_session(workspace) as session:
        shown = session.run(_show(session, name))
        return replace(shown, done=_done_to(session, name))


async def _show(session: Session, name: str) -> Shown:
    witness, _ = await _remarked_witness(session)
    project = session.project
    desired = next((activity for activity in project.activities if activity.key == name), None)
    async with session.connect() as account:
        now = account.clock()
        everything = await read_live(
            account.api, namespace=project.namespace, desired=project.activities, now=now, witness=witness
        )
        ownership = Ownership.of(project.namespace, project.activities)
        mine = [live for live in everything.activities if name in (ownership.key_of(live), live.activity_id)]
        if desired is None and not mine:
            keys = {*(each.key for each in project.activities), *map(ownership.key_of, everything.activities)}
            raise UsageError(f"There is no spec and no live activity called {name!r}.", remedy=_meant(name, keys))
        complete = [
            live
            if live.merchants is not None
            else replace(live, merchants=await account.api.merchant_ids(live.activity_id))
            for live in mine
        ]
        # Full-send activities have none (API §1.4), but the account may hold other types.
        goods = {
            live.activity_id: tuple([item.goods_id async for item in account.api.goods(live.activity_id)])
            for live in mine
        }
        return Shown(desired, tuple(complete), goods, now)


def _meant(name: str, keys: Iterable[str | None]) -> str:
    """Which of ``keys`` may have been meant by ``name``: a few, since there may be thousands."""
    known = sorted(each for each in keys if each)
    alike = get_close_matches(name.casefold(), known)
    if alike:
        return f"Did you mean {' or '.join(alike)}? `paygift status` lists all keys."
    return "Give an activity_id, or a key: `paygift status` lists all." if known else "There are no specs."


def _done_to(session: Session, name: str) -> tuple[Row, ...]:
    """What the journal tells of a key or an activity_id; nothing where there is no journal."""
    # Reading must not make a journal: it would look like one in which nothing ever happened.
    if not session.journal.exists:
        return ()
    from reconciler.journal.reader import read_history  # noqa: PLC0415 - SQLAlchemy, for who has a journal

    rows = read_history(session.journal, session.project.namespace)
    return tuple(row for row in rows if name in (row.key, row.activity_id))
