"""One operation at a time: check its precondition, send it, verify it by reading back (design §8).

Nothing that the server answers to a write is taken on trust: an add answers 200 when half of it failed, a delete
reports nothing (API §1.6), and after a lost answer only a read can tell.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final, TypeVar

from reconciler.apply.send import Recorder, Sender, Trace
from reconciler.journal.entry import Intent
from reconciler.live.translate import create_request, live_activity
from reconciler.model.activity import CREATE_FAILED, LiveActivity, Terms
from reconciler.model.clock import Clock
from reconciler.model.errors import ApiError, JournalError, NotSentError, OutcomeUnknownError, RemoteError
from reconciler.model.identity import add_request_no, delete_request_no, merchants_digest, terms_sha256
from reconciler.model.operations import (
    ActivityOperation,
    AddMerchants,
    CreateActivity,
    DeleteMerchants,
    Precondition,
    TerminateActivity,
    in_calls,
)
from reconciler.model.plan import ActivityChange, Dependency
from reconciler.model.report import Outcome, OutcomeStatus, Rejection
from reconciler.plan.fitness import not_served, other_terms, unfit
from reconciler.wechatpay.api import PayGiftApi, Reply, image_upload
from reconciler.wechatpay.wire import AddMerchantsRequest, DeleteMerchantsRequest, ImageUploaded

NUMBER_USED_TEXT: Final = "创建请求重入但与上次请求信息不一致"
"""What a create answers when its number was used with another body (API §1.10)."""
INTERRUPTED: Final = "The run was interrupted before this was begun."

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PollPolicy:
    """How long a write is given to show in reads: so many reads, the pause before each next one doubling."""

    reads: int = 6
    first_pause_seconds: float = 0.25
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def until(self, look: Callable[[], Awaitable[T]], settled: Callable[[T], bool]) -> T:
        """The first thing that ``look`` gives and ``settled`` accepts; the last one when patience runs out."""
        found = await look()
        for pauses in range(self.reads - 1):
            if settled(found):
                break
            await self.sleep(self.first_pause_seconds * 2**pauses)
            found = await look()
        return found


@dataclass(slots=True)
class KeyRun:
    """What the operations of one key have learnt so far in this run.

    ``urls`` gives the uploaded URL of each picture by its SHA-256. ``created_id`` is the activity that this key's
    create made or found. ``merchants`` are those last read of the activity whose merchants are being changed, or
    ``None`` before the first such operation. ``trace`` is what the present operation has sent.
    """

    change: ActivityChange
    urls: Mapping[str, str]
    created_id: str = ""
    merchants: frozenset[str] | None = None
    trace: Trace = field(default_factory=Trace)

    @property
    def key(self) -> str:
        return self.change.key

    def activity_id_of(self, operation: ActivityOperation) -> str:
        named = "" if isinstance(operation, CreateActivity) else operation.activity_id
        return named or self.created_id

    def wanted_merchants(self, create: CreateActivity) -> frozenset[str]:
        """All merchants that the created activity is to have in the end."""
        later = (step.merchants for step in self.change.operations if isinstance(step, AddMerchants))
        return frozenset(create.merchants).union(*later)


@dataclass(frozen=True, slots=True)
class _Changed:
    """The merchants after a change, what the server rejected, and the change's Request-ID.

    ``unread`` says why they could not be read back: then they are what the proven answer makes of them. ``problem``
    says why nothing further was tried.
    """

    merchants: frozenset[str]
    rejections: tuple[Rejection, ...] = ()
    request_id: str = ""
    unread: str = ""
    problem: str = ""


class Writer:
    """Does single operations through ``api``. ``clock`` gives aware instants, ``stopping`` says whether somebody has
    asked the run to stop.
    """

    def __init__(
        self,
        api: PayGiftApi,
        *,
        clock: Clock,
        patience: PollPolicy,
        record: Recorder,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self.api = api.permitted(self._permit)
        self._clock = clock
        self._started = clock()
        self._patience = patience
        self._record = record
        self._stopping = stopping
        self._not_created: dict[str, OutcomeStatus] = {}
        self._sender = Sender(record, lambda look: patience.until(look, bool))

    async def _permit(self) -> None:
        """Before every try of a write: whoever lost the lock, or was asked to stop, sends nothing more."""
        if self._stopping():
            raise NotSentError(INTERRUPTED)
        try:
            await self._record.require()
        except JournalError as error:
            raise NotSentError(error.message, remedy=error.remedy) from error

    async def write(self, operation: ActivityOperation, run: KeyRun) -> Outcome:
        """The outcome of ``operation``. Raises RemoteError where the remote failed and nothing was done."""
        match operation:
            case CreateActivity():
                return await self._create(operation, run)
            case AddMerchants() | DeleteMerchants():
                return await self._change_merchants(operation, run)
            case TerminateActivity():
                return await self._terminate(operation, run)

    def note(self, outcome: Outcome) -> None:
        """What was certainly not created in this run need not be looked for by those who wait for it."""
        operation, absent = outcome.operation, (OutcomeStatus.FAILED, OutcomeStatus.NOT_STARTED)
        if isinstance(operation, CreateActivity) and not outcome.activity_id and outcome.status in absent:
            self._not_created[operation.out_request_no] = outcome.status

    async def upload(self, filename: str, content: bytes, trace: Trace) -> Reply[ImageUploaded]:
        """Upload a picture. After a lost answer it is simply uploaded again: a second copy does no harm (API §4)."""
        upload = image_upload(filename, content)
        intent = Intent("upload_image", "", "", "", upload.signed_body.decode())
        return await self._sender.send(intent, lambda: self.api.upload_image(upload), None, trace)

    async def _create(self, operation: CreateActivity, run: KeyRun) -> Outcome:
        """The same number never makes a second activity (API §1.10). So the same request may follow a lost answer, and
        if it is refused, whatever the words, the number may have been used before and is looked for."""
        body = create_request(operation.out_request_no, operation.terms, operation.merchants, run.urls)
        number = operation.out_request_no
        intent = Intent("create", operation.key, "", number, body.json_bytes().decode())
        status, request_id = OutcomeStatus.DONE, ""
        try:
            reply = await self._sender.send(
                intent, lambda: self.api.create(body), lambda: self._is_listed(number), run.trace
            )
        except ApiError as error:
            run.created_id = await self._met(number, error)
            if not run.created_id and not _is_known_conflict(error):
                raise
            status, reply = OutcomeStatus.ALREADY_DONE, None
        if reply is not None:
            run.created_id, request_id = reply.value.activity_id, reply.request_id
        try:
            if not run.created_id and status is OutcomeStatus.DONE:
                run.created_id = await self.created_under(number)
            return await self._verified_create(operation, run, status, request_id)
        except RemoteError as error:
            return _not_verified(operation, run.created_id, error, request_id)

    async def _verified_create(
        self, operation: CreateActivity, run: KeyRun, status: OutcomeStatus, request_id: str
    ) -> Outcome:
        """What a create came to, as reading shows it. Raises RemoteError if it cannot be read."""
        live = await self._shown(run.created_id) if run.created_id else None
        if live is None:
            reason = (
                "WeChat Pay has accepted this number, but shows no activity for it yet. Run plan again later."
            )
            return Outcome(operation, OutcomeStatus.UNKNOWN, run.created_id, reason, request_id)
        if live.activity_status == CREATE_FAILED:
            reason = (
                "WeChat Pay accepted the request, and then failed to create the activity (CREATE_ACT_FAILED)."
            )
            return Outcome(operation, OutcomeStatus.FAILED, run.created_id, reason, request_id)
        if live.ended(self._clock()):
            reason = (
                f"Nothing was created: the number belongs to activity {run.created_id}, which has ended "
                f"({live.activity_status}). Plan again."
            )
            return Outcome(operation, OutcomeStatus.FAILED, run.created_id, reason, request_id)
        if flaw := other_terms(live, operation.terms):
            # A number has room for a part of the digest of the terms: who has it need not be who is meant.
            self._not_created[operation.out_request_no] = OutcomeStatus.FAILED
            reason = f"Activity {run.created_id} carries this number and {flaw}. Plan again."
            met = status is OutcomeStatus.ALREADY_DONE
            came_to = OutcomeStatus.FAILED if met else OutcomeStatus.UNKNOWN
            return Outcome(operation, came_to, run.created_id, reason, request_id)
        changed = await self._complete_first_merchants(operation, run)
        return _outcome(operation, status, run.created_id, changed, request_id)

    async def _met(self, number: str, error: ApiError) -> str:
        """The activity that a refused create has met, if the list shows one with its number."""
        if _is_known_conflict(error):
            return await self.created_under(number)
        found = await self._listed(number) if _may_be_a_conflict(error) else None
        return found.activity_id if found else ""

    async def _complete_first_merchants(self, operation: CreateActivity, run: KeyRun) -> _Changed:
        """An activity that was created in an earlier run may lack merchants that are wanted by now. These are added, as
        the plan says; what else it serves is for another plan to show. Whatever becomes of them, the activity is there.
        """
        activity_id, first = run.created_id, frozenset(operation.merchants)
        present = await self._merchants_once(activity_id, first.issubset)
        rejections: list[Rejection] = []
        problem = ""
        for chunk in in_calls(first - present):
            try:
                changed = await self._add(run, activity_id, chunk, present)
            except OutcomeUnknownError as error:
                return _Changed(present, tuple(rejections), unread=error.message)
            except (ApiError, NotSentError, JournalError) as error:
                problem = str(error)
                break
            present, problem = changed.merchants, changed.unread
            rejections += changed.rejections
        run.merchants = present
        more = len(present - run.wanted_merchants(operation))
        if more and not problem:
            problem = (
                f"The activity was there, with {more:,} merchants that the plan does not name. Plan again."
            )
        return _Changed(present, tuple(rejections), problem=problem)

    async def _change_merchants(self, operation: AddMerchants | DeleteMerchants, run: KeyRun) -> Outcome:
        activity_id = run.activity_id_of(operation)
        if run.merchants is None:
            run.merchants = frozenset(await self.api.merchant_ids(activity_id))
            if operation.precondition is not None:
                live = live_activity(await self.api.detail(activity_id))
                stale = _stale(operation.precondition, live, self._clock(), run.merchants)
                if stale:
                    return Outcome(operation, OutcomeStatus.FAILED, activity_id, stale)
        before = run.merchants
        adding = isinstance(operation, AddMerchants)
        needed = set(operation.merchants) - before if adding else before & set(operation.merchants)
        if not needed:
            return Outcome(operation, OutcomeStatus.ALREADY_DONE, activity_id)
        waiting = {} if adding else await self._not_yet_served(run, needed)
        needed -= waiting.keys()
        if not needed:
            return Outcome(operation, OutcomeStatus.NOT_STARTED, activity_id, _waits(waiting))
        change = self._add if adding else self._delete
        changed = await change(run, activity_id, sorted(needed), before)
        run.merchants = changed.merchants
        if waiting:
            changed = replace(changed, problem=changed.problem or _waits(waiting))
        return _outcome(operation, OutcomeStatus.DONE, activity_id, changed, changed.request_id)

    async def _not_yet_served(self, run: KeyRun, mchids: Collection[str]) -> dict[str, str]:
        """Those of ``mchids`` who are to go on under other keys and are not served there yet, with the reason."""
        found: dict[str, str] = {}
        for dependency in run.change.leans_on:
            concerned = frozenset(dependency.merchants).intersection(mchids)
            flaw = await self._flaw_of(dependency, concerned) if concerned else ""
            found |= dict.fromkeys(concerned if flaw else (), f"{dependency.key} {flaw}")
        return found

    async def _flaw_of(self, dependency: Dependency, mchids: frozenset[str]) -> str:
        """Why ``dependency`` does not serve ``mchids``, in words that follow its key, or nothing."""
        if dependency.activity_id:
            live = live_activity(await self.api.detail(dependency.activity_id))
        elif status := self._not_created.get(dependency.out_request_no):
            return f"was not created ({status.value})"
        else:
            found = await self._patience.until(lambda: self._listed(dependency.out_request_no), _is_something)
            if found is None:
                return "does not show in the list yet"
            live = found
        flaw = unfit(live, "" if dependency.activity_id else dependency.out_request_no, self._clock())
        return flaw or not_served(mchids, await self.api.merchant_ids(live.activity_id))

    async def _add(
        self, run: KeyRun, activity_id: str, mchids: Sequence[str], before: frozenset[str]
    ) -> _Changed:
        number = add_request_no(activity_id, mchids, before, self._started)
        request = AddMerchantsRequest(merchant_id_list=list(mchids), add_request_no=number)
        intent = Intent("add_merchants", run.key, activity_id, number, request.json_bytes().decode())

        async def happened() -> bool:
            return set(mchids) <= set(await self.api.merchant_ids(activity_id))

        reply = await self._sender.send(
            intent, lambda: self.api.add_merchants(activity_id, request), happened, run.trace
        )
        invalid = (reply.value.invalid_merchant_id_list if reply else None) or ()
        rejections = tuple(Rejection(item.mchid, item.invalid_reason or "") for item in invalid)
        expected = frozenset(mchids) - {rejection.mchid for rejection in rejections}
        try:
            present = await self._merchants_once(activity_id, expected.issubset)
        except RemoteError as error:
            answered = reply.request_id if reply else ""
            return _Changed(before | expected, rejections, answered, unread=error.message)
        return _Changed(present, rejections, reply.request_id if reply else "")

    async def _delete(
        self, run: KeyRun, activity_id: str, mchids: Sequence[str], before: frozenset[str]
    ) -> _Changed:
        number = delete_request_no(activity_id, mchids, before, self._started)
        request = DeleteMerchantsRequest(merchant_id_list=list(mchids), delete_request_no=number)
        intent = Intent("delete_merchants", run.key, activity_id, number, request.json_bytes().decode())
        gone = frozenset(mchids).isdisjoint

        async def happened() -> bool:
            return gone(await self.api.merchant_ids(activity_id))

        reply = await self._sender.send(
            intent, lambda: self.api.delete_merchants(activity_id, request), happened, run.trace
        )
        request_id = reply.request_id if reply else ""
        try:
            present = await self._merchants_once(activity_id, gone)
        except RemoteError as error:
            return _Changed(before - set(mchids), request_id=request_id, unread=error.message)
        return _Changed(present, request_id=request_id)

    async def _terminate(self, operation: TerminateActivity, run: KeyRun) -> Outcome:
        activity_id = operation.activity_id
        live = live_activity(await self.api.detail(activity_id))
        if live.ended(self._clock()):
            return Outcome(operation, OutcomeStatus.ALREADY_DONE, activity_id)
        stale = _stale(operation.precondition, live, self._clock())
        if stale:
            return Outcome(operation, OutcomeStatus.FAILED, activity_id, stale)
        held_back = await self._unfit_successor(operation, run) or await self._unserved(operation, run)
        if held_back:
            reason = (
                f"{held_back} Activity {activity_id} was left running, and its merchants have what they had."
            )
            return Outcome(operation, OutcomeStatus.NOT_STARTED, activity_id, reason)
        try:
            reply = await self._sender.send(
                Intent("terminate", operation.key, activity_id, "", ""),
                lambda: self.api.terminate(activity_id),
                lambda: self.has_ended(activity_id),
                run.trace,
            )
        except ApiError as error:
            # Ending what has ended is undocumented (API §1.5): if it is over, that is what was wanted.
            if error.status not in (400, 404) or not await self.has_ended(activity_id):
                raise
            return Outcome(operation, OutcomeStatus.ALREADY_DONE, activity_id, request_id=error.request_id)
        request_id = reply.request_id if reply else ""
        try:
            over = await self._patience.until(lambda: self.has_ended(activity_id), bool)
        except RemoteError as error:
            return _not_verified(operation, activity_id, error, request_id)
        if not over:
            reason = "WeChat Pay has accepted the termination, but still shows the activity as running."
            return Outcome(operation, OutcomeStatus.UNKNOWN, activity_id, reason, request_id)
        return Outcome(operation, OutcomeStatus.DONE, activity_id, request_id=request_id)

    async def _unfit_successor(self, operation: TerminateActivity, run: KeyRun) -> str:
        """Why nothing is fit to stand in for what is about to end, as a sentence; nothing if something is, or if the
        plan has said that nothing comes. Read afresh (design §7).
        """
        terms: Terms | None = None
        if operation.successor_id:
            live = live_activity(await self.api.detail(operation.successor_id))
            number, needed = "", frozenset(operation.serves)
        elif run.created_id:
            create = next(step for step in run.change.operations if isinstance(step, CreateActivity))
            number, needed, terms = create.out_request_no, run.wanted_merchants(create), create.terms
            found = await self._patience.until(lambda: self._listed(number), _is_something)
            if found is None:
                return f"Its successor {run.created_id} does not show in the list yet."
            live = found
        else:
            return ""
        flaw = unfit(live, number, self._clock(), terms)
        if not flaw and needed:
            flaw = await self._not_served(operation, live.activity_id, needed)
        return f"Its successor {live.activity_id} {flaw}." if flaw else ""

    async def _unserved(self, operation: TerminateActivity, run: KeyRun) -> str:
        """Why merchants who are to go on under other keys do not yet, as a sentence, or nothing."""
        if not run.change.leans_on:
            return ""
        waiting = await self._not_yet_served(run, await self.api.merchant_ids(operation.activity_id))
        return _waits(waiting) if waiting else ""

    async def _not_served(
        self, operation: TerminateActivity, successor_id: str, needed: frozenset[str]
    ) -> str:
        """Which merchants that the old one serves and the spec wants the successor does not; both as they are now."""
        serving = await self.api.merchant_ids(successor_id)
        if needed <= set(serving):
            return ""
        return not_served(needed.intersection(await self.api.merchant_ids(operation.activity_id)), serving)

    async def _merchants_once(
        self, activity_id: str, settled: Callable[[frozenset[str]], bool]
    ) -> frozenset[str]:
        """The merchants as soon as they are what a write should have made of them, or as they are after all."""

        async def look() -> frozenset[str]:
            return frozenset(await self.api.merchant_ids(activity_id))

        return await self._patience.until(look, settled)

    async def _shown(self, activity_id: str) -> LiveActivity | None:
        """The detail of a new activity, which may take a moment to appear (API §9 2)."""

        async def look() -> LiveActivity | None:
            try:
                return live_activity(await self.api.detail(activity_id))
            except ApiError as error:
                if error.status != 404 or not error.verified:
                    raise
                return None

        return await self._patience.until(look, _is_something)

    async def created_under(self, out_request_no: str) -> str:
        """The activity_id that a create under this number made, or nothing; looks patiently (API §9 2)."""
        return (await self.all_created_under([out_request_no])).get(out_request_no, "")

    async def all_created_under(self, numbers: Collection[str]) -> dict[str, str]:
        """The activity_ids that creates under ``numbers`` made, those that the list shows, in as few passes over it as
        it takes for all of them to show.
        """

        async def look() -> dict[str, str]:
            found: dict[str, str] = {}
            async with aclosing(self.api.activities()) as items:
                async for item in items:
                    number = item.activity_base_info.out_request_no or ""
                    if number in numbers:
                        found[number] = item.activity_id
                        if len(found) == len(numbers):
                            break
            return found

        return await self._patience.until(look, lambda found: len(found) == len(numbers))

    async def _listed(self, out_request_no: str) -> LiveActivity | None:
        """The activity with this number, if the list shows it: there is no look-up by number (API §1.7)."""
        async with aclosing(self.api.activities()) as items:
            async for item in items:
                if item.activity_base_info.out_request_no == out_request_no:
                    return live_activity(item)
        return None

    async def _is_listed(self, out_request_no: str) -> bool:
        return await self._listed(out_request_no) is not None

    async def has_ended(self, activity_id: str) -> bool:
        """Whether the remote shows it as over. Raises RemoteError, a 404 included."""
        return live_activity(await self.api.detail(activity_id)).ended(self._clock())


def _is_something(value: object) -> bool:
    return value is not None


def _is_known_conflict(error: ApiError) -> bool:
    return NUMBER_USED_TEXT in error.text or error.code == "RESOURCE_ALREADY_EXISTS"


def _may_be_a_conflict(error: ApiError) -> bool:
    """Whether a refused create may mean that its number was used before: the words of such answers are not documented
    (API §1.10), and some refusals say nothing about the request.
    """
    return error.verified and 400 <= error.status < 500 and error.status not in (401, 429)


def _not_verified(
    operation: ActivityOperation, activity_id: str, error: RemoteError, request_id: str
) -> Outcome:
    """A proven write whose effect could not be read back: done, and a question for the next run (design §8)."""
    reason = f"WeChat Pay's answer proves that it was done; it could not be read back: {error.message}"
    return Outcome(operation, OutcomeStatus.UNVERIFIED, activity_id, reason, request_id)


def _waits(waiting: Mapping[str, str]) -> str:
    """What is waited for, as a sentence."""
    return f"It waits for other keys: {'; '.join(sorted(set(waiting.values())))}."


def _stale(
    precondition: Precondition, live: LiveActivity, now: datetime, merchants: Collection[str] = ()
) -> str:
    """Why ``live`` is no longer what the operation was planned for, as a sentence, or nothing if it is."""
    if live.ended(now):
        return f"The activity has ended since the plan was made ({live.activity_status})."
    begun = (precondition.activity_status, live.activity_status) == (
        "CREATE_ACT_STATUS",
        "ONGOING_ACT_STATUS",
    )
    if live.activity_status != precondition.activity_status and not begun:
        return (
            f"Its status was {precondition.activity_status} when the plan was made "
            f"and is {live.activity_status} now. Plan again."
        )
    if live.terms is None or terms_sha256(live.terms) != precondition.terms_digest:
        return "Its terms are not those that the plan was made for. Plan again."
    if precondition.merchants_digest and merchants_digest(merchants) != precondition.merchants_digest:
        return "Its merchants were changed by somebody else since the plan was made. Plan again."
    return ""


def _outcome(
    operation: CreateActivity | AddMerchants | DeleteMerchants,
    status: OutcomeStatus,
    activity_id: str,
    changed: _Changed,
    request_id: str,
) -> Outcome:
    """What a change of merchants came to, judged by the merchants read back and not by the answer."""
    wanted = set(operation.merchants)
    left = (
        wanted & changed.merchants if isinstance(operation, DeleteMerchants) else wanted - changed.merchants
    )
    reasons = {rejection.mchid: rejection.invalid_reason for rejection in changed.rejections}
    unexplained = changed.problem or "WeChat Pay gave no reason"
    rejections = tuple(Rejection(mchid, reasons.get(mchid) or unexplained) for mchid in sorted(left))
    reason = changed.problem
    if changed.unread:
        status = OutcomeStatus.UNVERIFIED
        reason = f"WeChat Pay's answer proves that it was done; it could not be read back: {changed.unread}"
    elif left:
        none = left == wanted and not isinstance(operation, CreateActivity)
        status = OutcomeStatus.FAILED if none else OutcomeStatus.PARTIAL
    elif changed.problem:
        status = OutcomeStatus.PARTIAL
    return Outcome(operation, status, activity_id, reason, request_id, rejections)
