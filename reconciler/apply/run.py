"""The story of applying a plan: images first, then every key at once, strictly in order within a key. What only ends
comes last: should the rest fail, customers keep what they have.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from reconciler.apply.breaker import Breaker
from reconciler.apply.key_run import KeyRun
from reconciler.apply.lookups import PollPolicy
from reconciler.apply.outcome_recorder import Counter, OutcomeRecorder, Progress
from reconciler.apply.send import Recorder, Trace, Unrecorded
from reconciler.apply.writes import INTERRUPTED, Writer
from reconciler.model.activity import BEIJING, Image
from reconciler.model.clock import Clock
from reconciler.model.errors import (
    JournalError,
    NotSentError,
    OutcomeUnknownError,
    PaygiftError,
    RefusedError,
    RemoteError,
)
from reconciler.model.operations import (
    ActivityOperation,
    CreateActivity,
    DeleteMerchants,
    KnownImage,
    Operation,
    TerminateActivity,
    UploadImage,
)
from reconciler.model.plan import ActivityChange, ChangeKind, Plan
from reconciler.model.report import Outcome, OutcomeStatus, Report
from reconciler.plan import Hold, held_in, rest
from reconciler.wechatpay.api import PayGiftApi

_log: Final = logging.getLogger(__name__)
KEYS_AT_ONCE: Final = 8


class UploadedImages(Protocol):
    """Remembers where images were uploaded to, by the SHA-256 of their bytes."""

    def find(self, sha256: str) -> KnownImage | None:
        """Where it was uploaded to, or ``None``."""

    def remember(self, sha256: str, url: str) -> None:
        """Keep in mind where it was uploaded to. Raises PaygiftError if that cannot be kept."""


class _NothingRemembered:
    def find(self, sha256: str) -> KnownImage | None:
        return None

    def remember(self, sha256: str, url: str) -> None:
        """Every apply uploads anew."""


async def apply_plan(
    api: PayGiftApi,
    plan: Plan,
    *,
    read_image: Callable[[Image], bytes],
    clock: Clock,
    uploaded: UploadedImages | None = None,
    poll: PollPolicy | None = None,
    record: Recorder | None = None,
    stop: asyncio.Event | None = None,
    on_progress: Progress = lambda done, total: None,
) -> Report:
    """Do what the plan says, and tell what came of every operation.

    ``read_image`` gives the bytes of a local image, ``clock`` aware instants; ``uploaded`` knows the images of
    earlier runs. ``record`` is told of every write before it leaves, and of every outcome. Once ``stop`` is set, what
    is in flight is finished, and nothing more is started.

    Failures of the remote end up in the report: one key's failure does not stop the others, and the rest of its own
    operations are not started. What refusals hold is not started either (``plan.held``): whoever asks a person before
    calls ``refuse``.
    """
    started, doing = clock(), rest(plan)
    record, stop = record or Unrecorded(), stop or asyncio.Event()
    writer = Writer(api, clock=clock, poll=poll or PollPolicy(), record=record, stopping=stop.is_set)
    recorder = OutcomeRecorder(clock, record, stop, Counter(len(doing.operations), on_progress))
    held = [await recorder.held(operation, hold) for operation, hold in _held_operations(plan)]
    uploads, urls = await _upload(writer, doing.uploads, read_image, uploaded or _NothingRemembered(), recorder)
    gate, breaker = asyncio.Semaphore(KEYS_AT_ONCE), Breaker()
    keys = {change.key: _Key(change, urls) for change in doing.changes}

    async def go(change: ActivityChange, until: int) -> None:
        async with gate:
            await keys[change.key].go(writer, recorder, breaker, until)

    stages = _stages(doing.changes)
    await asyncio.gather(*(go(change, _first_dependent(change)) for change in stages.starts))
    # Not at once: the first create that is refused must keep the next activity from ending.
    for change in stages.switches:
        await go(change, len(change.operations))
    await asyncio.gather(*(go(change, len(change.operations)) for change in stages.starts))
    # Last: customers keep what they have until everything that creates has had its turn.
    await asyncio.gather(*(go(change, len(change.operations)) for change in stages.ends))
    done = (*held, *uploads, *(outcome for key in keys.values() for outcome in key.outcomes))
    came_to = {id(outcome.operation): outcome for outcome in done}
    ordered = tuple(came_to[id(operation)] for operation in plan.operations)
    return Report(plan, ordered, started, clock(), interrupted=recorder.stopping, held=plan.refusals)


def _held_operations(plan: Plan) -> Iterator[tuple[Operation, Hold]]:
    found = held_in(plan)
    for upload in plan.uploads:
        if upload.sha256 in found.uploads:
            yield upload, found.uploads[upload.sha256]
    for change in plan.changes:
        if change.key in found.changes:
            yield from ((step, found.changes[change.key]) for step in change.operations)


def _first_dependent(change: ActivityChange) -> int:
    """How many operations of ``change`` come before the first one that waits for what other changes give."""
    if not change.leans_on:
        return len(change.operations)
    taking = (TerminateActivity, DeleteMerchants)
    return next(
        (index for index, step in enumerate(change.operations) if isinstance(step, taking)),
        len(change.operations),
    )


@dataclass(frozen=True, slots=True)
class _Stages:
    """In which order changes are applied: first what creates or adds, then, one after another, what ends before its
    successor exists, and last what only ends. Should something be refused, customers keep what they have.
    """

    starts: Sequence[ActivityChange]
    switches: Sequence[ActivityChange]
    ends: Sequence[ActivityChange]


def _stages(changes: Iterable[ActivityChange]) -> _Stages:
    starts, switches, ends = [], [], []
    for change in changes:
        if change.kind is ChangeKind.TERMINATE:
            ends.append(change)
        elif isinstance(change.operations[0], TerminateActivity):
            switches.append(change)
        else:
            starts.append(change)
    return _Stages(starts, switches, ends)


def refuse(plan: Plan) -> None:
    """Raise RefusedError if refusals that nobody waived hold the whole plan, or leave nothing of it to do."""
    if plan.refusals and rest(plan).empty:
        codes = [finding.name for finding in plan.refusals]
        raise RefusedError(
            f"The plan is refused: {', '.join(codes)}. Nothing was written.",
            codes=codes,
            remedy="Fix the cause, or waive a refusal by name with --allow CODE:KEY.",
        )


async def _upload(
    writer: Writer,
    uploads: Iterable[UploadImage],
    read_image: Callable[[Image], bytes],
    uploaded: UploadedImages,
    recorder: OutcomeRecorder,
) -> tuple[list[Outcome], dict[str, str]]:
    """The outcome of each upload, and the URL of each image that has one."""
    urls: dict[str, str] = {}

    async def one(upload: UploadImage) -> Outcome:
        if recorder.stopping:
            return await recorder.not_started(upload, INTERRUPTED)
        started, trace = recorder.clock(), Trace()
        known = uploaded.find(upload.sha256)
        if known is not None:
            urls[upload.sha256] = known.url
            found = Outcome(upload, OutcomeStatus.ALREADY_DONE, reason=_uploaded_before(known))
            return await recorder.done(found, trace, started)
        try:
            content = read_image(Image(sha256=upload.sha256, path=upload.path))
            reply = await writer.upload(upload.path.rpartition("/")[2], content, trace)
        except PaygiftError as error:
            return await recorder.done(failed(upload, error, trace), trace, started)
        except Exception as error:  # noqa: BLE001 - a defect of ours must not lose what other images came to
            return await recorder.done(unexpected(upload, error, trace), trace, started)
        urls[upload.sha256] = reply.value.media_url
        forgotten = _remember(uploaded, upload.sha256, reply.value.media_url)
        return await recorder.done(Outcome(upload, OutcomeStatus.DONE, reason=forgotten), trace, started)

    return list(await asyncio.gather(*(one(upload) for upload in uploads))), urls


def _uploaded_before(known: KnownImage) -> str:
    at = known.uploaded_at.astimezone(BEIJING)
    return f"It was uploaded earlier, on {at:%Y-%m-%d %H:%M:%S} Beijing time: {known.url}"


def _remember(uploaded: UploadedImages, sha256: str, url: str) -> str:
    """Nothing, or why it could not be remembered. The run continues either way: the image is uploaded."""
    try:
        uploaded.remember(sha256, url)
    except PaygiftError as error:
        return str(error)
    return ""


class _Key:
    """One key's operations in order. After a failure, or an interrupt, nothing more of this key is started."""

    def __init__(self, change: ActivityChange, urls: Mapping[str, str]) -> None:
        self.outcomes: list[Outcome] = []
        self._run = KeyRun(change, urls)
        self._blocked_reason = ""

    async def go(self, writer: Writer, recorder: OutcomeRecorder, breaker: Breaker, until: int) -> None:
        """Do those operations that are not done yet and come before the one with the index ``until``."""
        run = self._run
        for operation in run.change.operations[len(self.outcomes) : until]:
            self._blocked_reason = (
                self._blocked_reason or _blocked_reason(operation, run, recorder) or breaker.holds(operation, run)
            )
            if self._blocked_reason:
                activity_id = run.activity_id_of(operation)
                outcome = await recorder.not_started(operation, self._blocked_reason, activity_id)
                self.outcomes.append(outcome)
                writer.note(outcome)
                continue
            # Anew: an outcome must not name, and so answer, the intents of the operation before.
            started, run.trace = recorder.clock(), Trace()
            outcome = await _apply_operation(writer, operation, run, breaker)
            self.outcomes.append(await recorder.done(outcome, run.trace, started))
            writer.note(outcome)
            if not may_go_on(outcome):
                self._blocked_reason = "An earlier operation of this activity did not succeed."


def _blocked_reason(operation: ActivityOperation, run: KeyRun, recorder: OutcomeRecorder) -> str:
    """Why ``operation`` must not be started, or nothing."""
    if recorder.stopping:
        return INTERRUPTED
    missing = _missing_images(operation, run.urls)
    return f"Its images could not be uploaded: {', '.join(missing)}." if missing else ""


def may_go_on(outcome: Outcome) -> bool:
    """After rejected merchants too: that is the server's last word on them, and the rest is still wanted. And after
    what is proven to be done, though it could not be read back: what has ended needs its successor.
    """
    going = (OutcomeStatus.PARTIAL, OutcomeStatus.UNVERIFIED)
    return outcome.settled or outcome.status in going or bool(outcome.rejections)


async def _apply_operation(writer: Writer, operation: ActivityOperation, run: KeyRun, breaker: Breaker) -> Outcome:
    try:
        return await writer.write(operation, run)
    except PaygiftError as error:
        if isinstance(operation, CreateActivity):
            breaker.refused(error)
        return failed(operation, error, run.trace, run.activity_id_of(operation))
    except Exception as error:  # noqa: BLE001 - a defect of ours must not lose what other keys came to
        return unexpected(operation, error, run.trace, run.activity_id_of(operation))


def _missing_images(operation: ActivityOperation, urls: Mapping[str, str]) -> list[str]:
    if not isinstance(operation, CreateActivity):
        return []
    images = {image.path for image in operation.terms.images() if image.sha256 and image.sha256 not in urls}
    return sorted(images)


def failed(operation: Operation, error: PaygiftError, trace: Trace, activity_id: str = "") -> Outcome:
    """The outcome of an operation that ended in ``error``: what may have happened all the same is unknown."""
    request_id = error.request_id if isinstance(error, RemoteError) else ""
    return Outcome(operation, _status_of(error, trace), activity_id, str(error), request_id)


def unexpected(operation: Operation, error: Exception, trace: Trace, activity_id: str = "") -> Outcome:
    """What came of an operation that a defect of ours broke off: a question, if something had been sent."""
    _log.error("%s of %s broke off", operation.operation, getattr(operation, "key", ""), exc_info=error)
    status = OutcomeStatus.UNKNOWN if trace.intents else OutcomeStatus.FAILED
    reason = f"An unexpected error aborted it ({type(error).__name__}). Please report it."
    return Outcome(operation, status, activity_id, reason)


def _status_of(error: PaygiftError, trace: Trace) -> OutcomeStatus:
    if isinstance(error, OutcomeUnknownError):
        return OutcomeStatus.UNKNOWN
    if isinstance(error, NotSentError):
        return OutcomeStatus.NOT_STARTED
    if isinstance(error, JournalError) and not trace.intents:
        return OutcomeStatus.NOT_STARTED
    return OutcomeStatus.FAILED
