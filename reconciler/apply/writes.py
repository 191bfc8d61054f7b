"""One operation at a time: check its precondition, send it, verify it by reading back (concepts.md#apply).

Nothing that the server answers to a write is taken on trust: an add answers 200 when half of it failed, a delete
reports nothing (API §1.6), and after a lost answer only a read can tell.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, TypeVar

from reconciler.apply.key_run import KeyRun
from reconciler.apply.lookups import Lookups, PollPolicy
from reconciler.apply.outcomes import (
    MerchantsChange,
    is_known_conflict,
    may_be_a_conflict,
    merchants_outcome,
    not_verified,
    stale_reason,
    waiting_reason,
)
from reconciler.apply.send import Recorder, Sender, Trace
from reconciler.apply.successors import Successors
from reconciler.journal.entry import Intent
from reconciler.live.translate import create_request
from reconciler.model.activity import CREATE_FAILED
from reconciler.model.clock import Clock
from reconciler.model.errors import ApiError, JournalError, NotSentError, OutcomeUnknownError, RemoteError
from reconciler.model.identity import add_request_no, delete_request_no
from reconciler.model.operations import (
    ActivityOperation,
    AddMerchants,
    CreateActivity,
    DeleteMerchants,
    TerminateActivity,
    in_calls,
)
from reconciler.model.report import Outcome, OutcomeStatus, Rejection
from reconciler.plan.fitness import other_terms
from reconciler.wechatpay.api import PayGiftApi, Reply, image_upload
from reconciler.wechatpay.wire import AddMerchantsRequest, DeleteMerchantsRequest, ImageUploaded

INTERRUPTED: Final = "The run was interrupted before this was started."

T = TypeVar("T")


class Writer:
    """Does single operations through ``api``. ``clock`` gives aware instants, ``stopping`` says whether somebody has
    asked the run to stop.
    """

    def __init__(
        self,
        api: PayGiftApi,
        *,
        clock: Clock,
        poll: PollPolicy,
        record: Recorder,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        # Asked inside the client: an intent may wait long for its turn, and the lock may be gone by then.
        self.api = api.permitted(self._permit)
        self._clock = clock
        # One moment for all of a run: a call that is repeated in it keeps its number, and no later one meets it.
        self._started = clock()
        self._record = record
        self._stopping = stopping
        self._lookups = Lookups(api, clock=clock, poll=poll)
        self._successors = Successors(self._lookups, clock)
        self._sender = Sender(record, self._lookups.until_true)

    async def _permit(self) -> None:
        """Before every try of a write: whoever lost the lock, or was asked to stop, sends nothing more."""
        if self._stopping():
            raise NotSentError(INTERRUPTED)
        try:
            await self._record.require()
        except JournalError as error:
            # The intent is written, but nothing has left: as a JournalError it would count as failed.
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
        """To be told of every outcome: other keys may wait for what it was to make."""
        self._successors.note(outcome)

    async def upload(self, filename: str, content: bytes, trace: Trace) -> Reply[ImageUploaded]:
        """Upload an image. After a lost answer it is simply uploaded again: a second copy does no harm (API §4)."""
        upload = image_upload(filename, content)
        intent = Intent("upload_image", "", "", "", upload.signed_body.decode())
        return await self._sender.send(intent, lambda: self.api.upload_image(upload), None, trace)

    async def _create(self, operation: CreateActivity, run: KeyRun) -> Outcome:
        """The same number never makes a second activity (API §1.10). So the same request may follow a lost answer, and
        if it is refused, whatever the words, the number may have been used before and is looked for."""
        body = create_request(operation.out_request_no, operation.terms, operation.merchants, run.urls)
        number = operation.out_request_no
        # To the byte: what WeChat Pay takes for the same request under one number is unknown (API §1.10).
        intent = Intent("create", operation.key, "", number, body.json_bytes().decode())
        status, request_id = OutcomeStatus.DONE, ""
        try:
            reply = await self._sender.send(
                intent, lambda: self.api.create(body), lambda: self._lookups.is_listed(number), run.trace
            )
        except ApiError as error:
            run.created_id = await self._met(number, error)
            # A used number that shows no activity yet is unknown, not failed: the list may lag behind.
            if not run.created_id and not is_known_conflict(error):
                raise
            status, reply = OutcomeStatus.ALREADY_DONE, None
        if reply is not None:
            run.created_id, request_id = reply.value.activity_id, reply.request_id
        try:
            # The answer, with the id in it, was lost, and reading has shown that it happened.
            if not run.created_id and status is OutcomeStatus.DONE:
                run.created_id = await self._lookups.created_under(number)
            return await self._verified_create(operation, run, status, request_id)
        except RemoteError as error:
            # Raised, it would be reported as failed, and the breaker would take it for a refusal.
            return not_verified(operation, run.created_id, error, request_id)

    async def _verified_create(
        self, operation: CreateActivity, run: KeyRun, status: OutcomeStatus, request_id: str
    ) -> Outcome:
        """What a create came to, as reading shows it. Raises RemoteError if it cannot be read."""
        live = await self._lookups.shown(run.created_id) if run.created_id else None
        if live is None:
            reason = "WeChat Pay has accepted this number, but shows no activity for it yet. Run plan again later."
            return Outcome(operation, OutcomeStatus.UNKNOWN, run.created_id, reason, request_id)
        # An id proves nothing: creating may fail after it was issued (API §1.7).
        if live.activity_status == CREATE_FAILED:
            reason = "WeChat Pay accepted the request, and then failed to create the activity (CREATE_ACT_FAILED)."
            return Outcome(operation, OutcomeStatus.FAILED, run.created_id, reason, request_id)
        if live.ended(self._clock()):
            reason = (
                f"Nothing was created: the number belongs to activity {run.created_id}, which has ended "
                f"({live.activity_status}). Plan again."
            )
            return Outcome(operation, OutcomeStatus.FAILED, run.created_id, reason, request_id)
        if difference := other_terms(live, operation.terms):
            # A number has room for a part of the digest of the terms: who has it need not be who is meant.
            self._successors.not_created(operation.out_request_no)
            reason = f"Activity {run.created_id} carries this number and {difference}. Plan again."
            met = status is OutcomeStatus.ALREADY_DONE
            came_to = OutcomeStatus.FAILED if met else OutcomeStatus.UNKNOWN
            return Outcome(operation, came_to, run.created_id, reason, request_id)
        changed = await self._complete_first_merchants(operation, run)
        return merchants_outcome(operation, status, run.created_id, changed, request_id)

    async def _met(self, number: str, error: ApiError) -> str:
        """The activity that a refused create has met, if the list shows one with its number."""
        if is_known_conflict(error):
            return await self._lookups.created_under(number)
        # One look only: most refusals are about the request, and no activity will ever show.
        found = await self._lookups.listed(number) if may_be_a_conflict(error) else None
        return found.activity_id if found else ""

    async def _complete_first_merchants(self, operation: CreateActivity, run: KeyRun) -> MerchantsChange:
        """An activity that was created in an earlier run may lack merchants that are wanted by now. These are added, as
        the plan says; what else it serves is for another plan to show. Whatever becomes of them, the activity is there.
        """
        activity_id, first = run.created_id, frozenset(operation.merchants)
        # Patiently: how soon a new activity shows its merchants is not documented (API §9 2).
        present = await self._lookups.merchants_once(activity_id, first.issubset)
        rejections: list[Rejection] = []
        reason = ""
        for chunk in in_calls(first - present):
            try:
                changed = await self._add(run, activity_id, chunk, present)
            except OutcomeUnknownError as error:
                return MerchantsChange(present, tuple(rejections), unread=error.message)
            except (ApiError, NotSentError, JournalError) as error:
                reason = str(error)
                break
            present, reason = changed.merchants, changed.unread
            rejections += changed.rejections
        run.merchants = present
        # Never deleted here: nobody has reviewed that these merchants lose their gift.
        more = len(present - run.wanted_merchants(operation))
        if more and not reason:
            reason = f"The activity was there, with {more:,} merchants that the plan does not name. Plan again."
        return MerchantsChange(present, tuple(rejections), reason=reason)

    async def _change_merchants(self, operation: AddMerchants | DeleteMerchants, run: KeyRun) -> Outcome:
        activity_id = run.activity_id_of(operation)
        # Only before our first change: after it the merchants' digest differs because of ourselves.
        if run.merchants is None:
            run.merchants = await self._lookups.merchants(activity_id)
            if operation.precondition is not None:
                live = await self._lookups.detail(activity_id)
                stale = stale_reason(operation.precondition, live, self._clock(), run.merchants)
                if stale:
                    return Outcome(operation, OutcomeStatus.FAILED, activity_id, stale)
        before = run.merchants
        adding = isinstance(operation, AddMerchants)
        # What adding somebody again, or deleting who is not there, does is unknown (API §1.6).
        needed = set(operation.merchants) - before if adding else before & set(operation.merchants)
        if not needed:
            return Outcome(operation, OutcomeStatus.ALREADY_DONE, activity_id)
        # Adding takes nothing from anybody, so only deletions wait.
        waiting = {} if adding else await self._successors.not_yet_served(run, needed)
        needed -= waiting.keys()
        if not needed:
            return Outcome(operation, OutcomeStatus.NOT_STARTED, activity_id, waiting_reason(waiting))
        change = self._add if adding else self._delete
        changed = await change(run, activity_id, sorted(needed), before)
        run.merchants = changed.merchants
        if waiting:
            changed = replace(changed, reason=changed.reason or waiting_reason(waiting))
        return merchants_outcome(operation, OutcomeStatus.DONE, activity_id, changed, changed.request_id)

    async def _add(
        self, run: KeyRun, activity_id: str, mchids: Sequence[str], before: frozenset[str]
    ) -> MerchantsChange:
        number = add_request_no(activity_id, mchids, before, self._started)
        request = AddMerchantsRequest(merchant_id_list=list(mchids), add_request_no=number)
        intent = Intent("add_merchants", run.key, activity_id, number, request.json_bytes().decode())

        async def happened() -> bool:
            return set(mchids) <= await self._lookups.merchants(activity_id)

        reply = await self._sender.send(
            intent, lambda: self.api.add_merchants(activity_id, request), happened, run.trace
        )
        invalid = (reply.value.invalid_merchant_id_list if reply else None) or ()
        rejections = tuple(Rejection(item.mchid, item.invalid_reason or "") for item in invalid)
        # A 200 may reject some (API §1.6); waiting for these to show would use up every read.
        expected = frozenset(mchids) - {rejection.mchid for rejection in rejections}
        try:
            present = await self._lookups.merchants_once(activity_id, expected.issubset)
        except RemoteError as error:
            answered = reply.request_id if reply else ""
            return MerchantsChange(before | expected, rejections, answered, unread=error.message)
        return MerchantsChange(present, rejections, reply.request_id if reply else "")

    async def _delete(
        self, run: KeyRun, activity_id: str, mchids: Sequence[str], before: frozenset[str]
    ) -> MerchantsChange:
        number = delete_request_no(activity_id, mchids, before, self._started)
        request = DeleteMerchantsRequest(merchant_id_list=list(mchids), delete_request_no=number)
        intent = Intent("delete_merchants", run.key, activity_id, number, request.json_bytes().decode())
        gone = frozenset(mchids).isdisjoint

        async def happened() -> bool:
            return gone(await self._lookups.merchants(activity_id))

        reply = await self._sender.send(
            intent, lambda: self.api.delete_merchants(activity_id, request), happened, run.trace
        )
        request_id = reply.request_id if reply else ""
        try:
            present = await self._lookups.merchants_once(activity_id, gone)
        except RemoteError as error:
            return MerchantsChange(before - set(mchids), request_id=request_id, unread=error.message)
        return MerchantsChange(present, request_id=request_id)

    async def _terminate(self, operation: TerminateActivity, run: KeyRun) -> Outcome:
        activity_id = operation.activity_id
        live = await self._lookups.detail(activity_id)
        if live.ended(self._clock()):
            return Outcome(operation, OutcomeStatus.ALREADY_DONE, activity_id)
        # The last chance to notice: there is no resume (API §1.5).
        stale = stale_reason(operation.precondition, live, self._clock())
        if stale:
            return Outcome(operation, OutcomeStatus.FAILED, activity_id, stale)
        held_back = await self._successors.held_back(operation, run)
        if held_back:
            reason = f"{held_back} Activity {activity_id} was left running, and nothing has changed for its merchants."
            return Outcome(operation, OutcomeStatus.NOT_STARTED, activity_id, reason)
        try:
            reply = await self._sender.send(
                Intent("terminate", operation.key, activity_id, "", ""),
                lambda: self.api.terminate(activity_id),
                lambda: self._lookups.has_ended(activity_id),
                run.trace,
            )
        except ApiError as error:
            # Ending what has ended is undocumented (API §1.5): if it is over, that is what was wanted.
            if error.status not in (400, 404) or not await self._lookups.has_ended(activity_id):
                raise
            return Outcome(operation, OutcomeStatus.ALREADY_DONE, activity_id, request_id=error.request_id)
        request_id = reply.request_id if reply else ""
        try:
            # The status may lag behind what was answered (API §1.7).
            over = await self._lookups.until_true(lambda: self._lookups.has_ended(activity_id))
        except RemoteError as error:
            return not_verified(operation, activity_id, error, request_id)
        if not over:
            reason = "WeChat Pay has accepted the termination, but still shows the activity as running."
            return Outcome(operation, OutcomeStatus.UNKNOWN, activity_id, reason, request_id)
        return Outcome(operation, OutcomeStatus.DONE, activity_id, request_id=request_id)
