"""The story of applying a plan: images first, then every key at once, strictly in order within a key. What only ends
comes last: should the rest fail, customers keep what they have.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, Protocol

from reconciler.activity import Image
from reconciler.apply.send import Recorder, Trace, Unrecorded
from reconciler.apply.writes import KeyRun, Patience, Writer
from reconciler.change import (
    ActivityChange,
    ActivityOperation,
    ChangeKind,
    CreateActivity,
    Operation,
    Outcome,
    OutcomeStatus,
    Plan,
    Report,
    UploadImage,
)
from reconciler.errors import JournalError, OutcomeUnknownError, PaygiftError, RefusedError, RemoteError
from reconciler.journal.entry import Concluded
from reconciler.wechatpay.api import PayGiftApi

KEYS_AT_ONCE: Final = 8
INTERRUPTED: Final = "The run was interrupted before this was begun."

Progress = Callable[[int, int], None]
"""Told how many operations have an outcome, out of how many."""


class UploadedImages(Protocol):
    """Remembers where pictures were uploaded to, by the SHA-256 of their bytes."""

    def url_of(self, sha256: str) -> str | None: ...

    def remember(self, sha256: str, url: str) -> None: ...


class _NothingRemembered:
    def url_of(self, sha256: str) -> str | None:
        return None

    def remember(self, sha256: str, url: str) -> None:
        """Every apply uploads anew."""


async def apply_plan(
    api: PayGiftApi,
    plan: Plan,
    *,
    read_image: Callable[[Image], bytes],
    clock: Callable[[], datetime],
    uploaded: UploadedImages | None = None,
    patience: Patience | None = None,
    record: Recorder | None = None,
    stop: asyncio.Event | None = None,
    on_progress: Progress = lambda done, total: None,
) -> Report:
    """Do what the plan says, and tell what came of every operation.

    ``read_image`` gives the bytes of a local picture, ``clock`` aware instants; ``uploaded`` knows the pictures of
    earlier runs. ``record`` is told of every write before it leaves, and of every outcome. Once ``stop`` is set, what
    is in flight is finished, and nothing more is started.

    Failures of the remote end up in the report: one key's failure does not stop the others, and the rest of its own
    operations are not started. Raises RefusedError, before anything is written, if the plan holds refusals that were
    not waived.
    """
    refuse(plan)
    started = clock()
    record = record or Unrecorded()
    writer = Writer(api, clock=clock, patience=patience or Patience(), record=record)
    desk = _Desk(clock, record, stop or asyncio.Event(), _Counter(len(plan.operations), on_progress))
    uploads, urls = await _upload(writer, plan.uploads, read_image, uploaded or _NothingRemembered(), desk)
    gate = asyncio.Semaphore(KEYS_AT_ONCE)

    async def one_key(change: ActivityChange) -> list[Outcome]:
        async with gate:
            return await _apply_change(writer, change, urls, desk)

    ends = [change for change in plan.changes if change.kind is ChangeKind.TERMINATE]
    starts = [change for change in plan.changes if change.kind is not ChangeKind.TERMINATE]
    by_key = [
        *await asyncio.gather(*(one_key(change) for change in starts)),
        *await asyncio.gather(*(one_key(change) for change in ends)),
    ]
    outcomes = (*uploads, *(outcome for outcomes in by_key for outcome in outcomes))
    return Report(plan, outcomes, started, clock(), interrupted=desk.stopping)


def refuse(plan: Plan) -> None:
    """Raise RefusedError if the plan holds refusals that nobody waived."""
    refusals = plan.refusals
    if refusals:
        codes = [f"{finding.code}:{finding.key}" if finding.key else finding.code for finding in refusals]
        raise RefusedError(
            f"The plan is refused: {', '.join(codes)}. Nothing was written.",
            codes=codes,
            remedy="Mend the cause, or waive a refusal by name with --allow CODE:KEY.",
        )


class _Counter:
    def __init__(self, total: int, tell: Progress) -> None:
        self._done, self._total, self._tell = 0, total, tell

    def count(self, outcome: Outcome) -> Outcome:
        self._done += 1
        self._tell(self._done, self._total)
        return outcome


@dataclass(frozen=True, slots=True)
class _Desk:
    """Where each outcome gets its times, is written down, and is counted; and where somebody may ask us to stop."""

    clock: Callable[[], datetime]
    record: Recorder
    stop: asyncio.Event
    progress: _Counter

    @property
    def stopping(self) -> bool:
        return self.stop.is_set()

    def done(self, outcome: Outcome, trace: Trace, started: datetime) -> Outcome:
        """The outcome of an operation that was begun."""
        traced = replace(
            outcome,
            request_id=outcome.request_id or trace.request_id,
            http_status=trace.http_status,
            tries=trace.tries,
            started_at=started,
            finished_at=self.clock(),
        )
        return self._written(traced, trace)

    def not_started(self, operation: Operation, reason: str, activity_id: str = "") -> Outcome:
        return self._written(Outcome(operation, OutcomeStatus.NOT_STARTED, activity_id, reason), Trace())

    def _written(self, outcome: Outcome, trace: Trace) -> Outcome:
        try:
            self.record.conclude(_concluded(outcome, trace))
        except JournalError as error:
            # What happened has happened; the next run finds the open intent, and asks.
            unwritten = f"This outcome could not be written down: {error}"
            outcome = replace(outcome, reason=f"{outcome.reason} {unwritten}".strip())
        return self.progress.count(outcome)


def _concluded(outcome: Outcome, trace: Trace) -> Concluded:
    operation = outcome.operation
    if isinstance(operation, UploadImage):
        key, number, path = "", "", operation.path
    else:
        key, number, path = operation.key, operation.out_request_no, ""
    return Concluded(
        operation.operation,
        key,
        outcome.status,
        outcome.activity_id,
        number,
        intents=tuple(trace.intents),
        reason=outcome.reason,
        http_status=outcome.http_status,
        request_id=outcome.request_id,
        tries=outcome.tries,
        seconds=round(outcome.seconds, 3),
        rejections=outcome.rejections,
        path=path,
    )


async def _upload(
    writer: Writer,
    uploads: Iterable[UploadImage],
    read_image: Callable[[Image], bytes],
    uploaded: UploadedImages,
    desk: _Desk,
) -> tuple[list[Outcome], dict[str, str]]:
    """The outcome of each upload, and the URL of each picture that has one."""
    urls: dict[str, str] = {}

    async def one(upload: UploadImage) -> Outcome:
        if desk.stopping:
            return desk.not_started(upload, INTERRUPTED)
        started, trace = desk.clock(), Trace()
        known = uploaded.url_of(upload.sha256)
        if known is not None:
            urls[upload.sha256] = known
            return desk.done(Outcome(upload, OutcomeStatus.ALREADY_DONE), trace, started)
        try:
            content = read_image(Image(sha256=upload.sha256, path=upload.path))
            reply = await writer.upload(upload.path.rpartition("/")[2], content, trace)
        except PaygiftError as error:
            return desk.done(failed(upload, error, trace), trace, started)
        urls[upload.sha256] = reply.value.media_url
        forgotten = _remember(uploaded, upload.sha256, reply.value.media_url)
        return desk.done(Outcome(upload, OutcomeStatus.DONE, reason=forgotten), trace, started)

    return list(await asyncio.gather(*(one(upload) for upload in uploads))), urls


def _remember(uploaded: UploadedImages, sha256: str, url: str) -> str:
    """Nothing, or why it could not be remembered. That is no reason to stop: the picture is uploaded."""
    try:
        uploaded.remember(sha256, url)
    except PaygiftError as error:
        return str(error)
    return ""


async def _apply_change(
    writer: Writer, change: ActivityChange, urls: Mapping[str, str], desk: _Desk
) -> list[Outcome]:
    """One key's operations in order. After a failure, or an interrupt, nothing more of this key is started."""
    run = KeyRun(change, urls)
    outcomes: list[Outcome] = []
    hindrance = ""
    for operation in change.operations:
        hindrance = hindrance or _hindrance(operation, run, desk)
        if hindrance:
            outcomes.append(desk.not_started(operation, hindrance, run.activity_id_of(operation)))
            continue
        started, run.trace = desk.clock(), Trace()
        outcome = await _apply_operation(writer, operation, run)
        outcomes.append(desk.done(outcome, run.trace, started))
        if not may_go_on(outcome):
            hindrance = "An earlier operation of this activity did not succeed."
    return outcomes


def _hindrance(operation: ActivityOperation, run: KeyRun, desk: _Desk) -> str:
    """Why ``operation`` must not be started, or nothing."""
    if desk.stopping:
        return INTERRUPTED
    missing = _missing_images(operation, run.urls)
    return f"Its pictures could not be uploaded: {', '.join(missing)}." if missing else ""


def may_go_on(outcome: Outcome) -> bool:
    """After rejected merchants too: that is the server's last word on them, and the rest is still wanted."""
    return outcome.settled or outcome.status is OutcomeStatus.PARTIAL or bool(outcome.rejections)


async def _apply_operation(writer: Writer, operation: ActivityOperation, run: KeyRun) -> Outcome:
    try:
        return await writer.write(operation, run)
    except PaygiftError as error:
        return failed(operation, error, run.trace, run.activity_id_of(operation))


def _missing_images(operation: ActivityOperation, urls: Mapping[str, str]) -> list[str]:
    if not isinstance(operation, CreateActivity):
        return []
    images = {image.path for image in operation.terms.images() if image.sha256 and image.sha256 not in urls}
    return sorted(images)


def failed(operation: Operation, error: PaygiftError, trace: Trace, activity_id: str = "") -> Outcome:
    request_id = error.request_id if isinstance(error, RemoteError) else ""
    return Outcome(operation, _status_of(error, trace), activity_id, str(error), request_id)


def _status_of(error: PaygiftError, trace: Trace) -> OutcomeStatus:
    if isinstance(error, OutcomeUnknownError):
        return OutcomeStatus.UNKNOWN
    if isinstance(error, JournalError) and not trace.intents:
        return OutcomeStatus.NOT_STARTED
    return OutcomeStatus.FAILED
