"""Whether what stands in for an end or a deletion is there and fit, read right before it (docs/reliability.md)."""

from __future__ import annotations

from collections.abc import Collection

from reconciler.apply.key_run import KeyRun
from reconciler.apply.lookups import Lookups
from reconciler.apply.outcomes import waiting_reason
from reconciler.model.activity import Terms
from reconciler.model.clock import Clock
from reconciler.model.operations import CreateActivity, TerminateActivity
from reconciler.model.plan import Dependency
from reconciler.model.report import Outcome, OutcomeStatus
from reconciler.plan.fitness import not_served, unfit


class Successors:
    """What has become of successors in this run, and what ``lookups`` shows of them. ``clock`` gives aware instants."""

    def __init__(self, lookups: Lookups, clock: Clock) -> None:
        self._lookups = lookups
        self._clock = clock
        self._not_created: dict[str, OutcomeStatus] = {}

    def note(self, outcome: Outcome) -> None:
        """What was certainly not created in this run need not be looked for by those who wait for it."""
        # UNKNOWN is not among these: it may be there, and then it serves.
        operation, absent = outcome.operation, (OutcomeStatus.FAILED, OutcomeStatus.NOT_STARTED)
        if isinstance(operation, CreateActivity) and not outcome.activity_id and outcome.status in absent:
            self._not_created[operation.out_request_no] = outcome.status

    def not_created(self, out_request_no: str) -> None:
        """What carries this number is not what was to be created."""
        self._not_created[out_request_no] = OutcomeStatus.FAILED

    async def held_back(self, operation: TerminateActivity, run: KeyRun) -> str:
        """Why ``operation`` must not be sent now, as a sentence, or nothing. Raises RemoteError."""
        return await self._unfit_successor(operation, run) or await self._unserved(operation, run)

    async def not_yet_served(self, run: KeyRun, mchids: Collection[str]) -> dict[str, str]:
        """Those of ``mchids`` who are to go on under other keys and are not served there yet, with the reason."""
        found: dict[str, str] = {}
        for dependency in run.change.leans_on:
            concerned = frozenset(dependency.merchants).intersection(mchids)
            reason = await self._reason_of(dependency, concerned) if concerned else ""
            found |= dict.fromkeys(concerned if reason else (), f"{dependency.key} {reason}")
        return found

    async def _reason_of(self, dependency: Dependency, mchids: frozenset[str]) -> str:
        """Why ``dependency`` does not serve ``mchids``, in words that follow its key, or nothing."""
        if dependency.activity_id:
            live = await self._lookups.detail(dependency.activity_id)
        elif status := self._not_created.get(dependency.out_request_no):
            return f"was not created ({status.value})"
        else:
            found = await self._lookups.listed_in_time(dependency.out_request_no)
            if found is None:
                return "does not show in the list yet"
            live = found
        reason = unfit(live, "" if dependency.activity_id else dependency.out_request_no, self._clock())
        return reason or not_served(mchids, await self._lookups.merchants(live.activity_id))

    async def _unfit_successor(self, operation: TerminateActivity, run: KeyRun) -> str:
        """Why nothing is fit to stand in for what is about to end, as a sentence; nothing if something is, or if the
        plan has said that nothing comes. Read afresh (concepts.md#plan).
        """
        terms: Terms | None = None
        if operation.successor_id:
            live = await self._lookups.detail(operation.successor_id)
            number, needed = "", frozenset(operation.serves)
        elif run.created_id:
            create = next(step for step in run.change.operations if isinstance(step, CreateActivity))
            number, needed, terms = create.out_request_no, run.wanted_merchants(create), create.terms
            found = await self._lookups.listed_in_time(number)
            if found is None:
                return f"Its successor {run.created_id} does not show in the list yet."
            live = found
        else:
            return ""
        reason = unfit(live, number, self._clock(), terms)
        if not reason and needed:
            reason = await self._not_served(operation, live.activity_id, needed)
        return f"Its successor {live.activity_id} {reason}." if reason else ""

    async def _unserved(self, operation: TerminateActivity, run: KeyRun) -> str:
        """Why merchants who are to go on under other keys do not yet, as a sentence, or nothing."""
        if not run.change.leans_on:
            return ""
        # As they are now: merchants that somebody added since the plan lose the gift as well.
        waiting = await self.not_yet_served(run, await self._lookups.merchants(operation.activity_id))
        return waiting_reason(waiting) if waiting else ""

    async def _not_served(self, operation: TerminateActivity, successor_id: str, needed: frozenset[str]) -> str:
        """Which merchants that the old one serves and the spec wants the successor does not; both as they are now."""
        serving = await self._lookups.merchants(successor_id)
        if needed <= serving:
            return ""
        return not_served(needed.intersection(await self._lookups.merchants(operation.activity_id)), serving)
