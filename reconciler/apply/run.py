"""The story of applying a plan: pictures first, then every key at once, and strictly in order within a key."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Final, Protocol

from reconciler.activity import Image
from reconciler.apply.writes import KeyRun, Patience, Writer
from reconciler.change import (
    ActivityChange,
    ActivityOperation,
    CreateActivity,
    Outcome,
    OutcomeStatus,
    Plan,
    Report,
    UploadImage,
)
from reconciler.errors import OutcomeUnknownError, PaygiftError, RefusedError, RemoteError
from reconciler.wechatpay.api import PayGiftApi

KEYS_AT_ONCE: Final = 8

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
    on_progress: Progress = lambda done, total: None,
) -> Report:
    """Do what the plan says, and tell what came of every operation.

    ``read_image`` gives the bytes of a local picture, ``clock`` aware instants; ``uploaded`` knows the pictures of
    earlier runs. Failures of the remote end up in the
    report: one key's failure does not stop the others, and the rest of its own operations are not started. Raises
    RefusedError, before anything is written, if the plan holds refusals that were not waived.
    """
    refuse(plan)
    started = clock()
    progress = _Counter(len(plan.operations), on_progress)
    writer = Writer(api, clock=clock, patience=patience or Patience())
    uploads, urls = await _upload(
        writer, plan.uploads, read_image, uploaded or _NothingRemembered(), progress
    )
    gate = asyncio.Semaphore(KEYS_AT_ONCE)

    async def one_key(change: ActivityChange) -> list[Outcome]:
        async with gate:
            return await _apply_change(writer, change, urls, progress)

    by_key = await asyncio.gather(*(one_key(change) for change in plan.changes))
    outcomes = (*uploads, *(outcome for outcomes in by_key for outcome in outcomes))
    return Report(plan, outcomes, started_at=started, finished_at=clock())


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


async def _upload(
    writer: Writer,
    uploads: Iterable[UploadImage],
    read_image: Callable[[Image], bytes],
    uploaded: UploadedImages,
    progress: _Counter,
) -> tuple[list[Outcome], dict[str, str]]:
    """The outcome of each upload, and the URL of each picture that has one."""
    urls: dict[str, str] = {}

    async def one(upload: UploadImage) -> Outcome:
        known = uploaded.url_of(upload.sha256)
        if known is not None:
            urls[upload.sha256] = known
            return progress.count(Outcome(upload, OutcomeStatus.ALREADY_DONE))
        try:
            content = read_image(Image(sha256=upload.sha256, path=upload.path))
            reply = await writer.upload(upload.path.rpartition("/")[2], content)
        except PaygiftError as error:
            return progress.count(failed(upload, error))
        urls[upload.sha256] = reply.value.media_url
        forgotten = _remember(uploaded, upload.sha256, reply.value.media_url)
        return progress.count(
            Outcome(upload, OutcomeStatus.DONE, reason=forgotten, request_id=reply.request_id)
        )

    return list(await asyncio.gather(*(one(upload) for upload in uploads))), urls


def _remember(uploaded: UploadedImages, sha256: str, url: str) -> str:
    """Nothing, or why it could not be remembered. That is no reason to stop: the picture is uploaded."""
    try:
        uploaded.remember(sha256, url)
    except PaygiftError as error:
        return str(error)
    return ""


async def _apply_change(
    writer: Writer, change: ActivityChange, urls: Mapping[str, str], progress: _Counter
) -> list[Outcome]:
    """One key's operations in order. After a failure nothing more of this key is started."""
    run = KeyRun(change, urls)
    outcomes: list[Outcome] = []
    stopped = ""
    for operation in change.operations:
        if stopped:
            outcome = Outcome(operation, OutcomeStatus.NOT_STARTED, run.activity_id_of(operation), stopped)
        else:
            outcome = await _apply_operation(writer, operation, run)
            if not may_go_on(outcome):
                stopped = "An earlier operation of this activity did not succeed."
        outcomes.append(progress.count(outcome))
    return outcomes


def may_go_on(outcome: Outcome) -> bool:
    """After rejected merchants too: that is the server's last word on them, and the rest is still wanted."""
    return outcome.settled or outcome.status is OutcomeStatus.PARTIAL or bool(outcome.rejections)


async def _apply_operation(writer: Writer, operation: ActivityOperation, run: KeyRun) -> Outcome:
    missing = _missing_images(operation, run.urls)
    if missing:
        return Outcome(
            operation,
            OutcomeStatus.NOT_STARTED,
            reason=f"Its pictures could not be uploaded: {', '.join(missing)}.",
        )
    try:
        return await writer.write(operation, run)
    except PaygiftError as error:
        return failed(operation, error, run.activity_id_of(operation))


def _missing_images(operation: ActivityOperation, urls: Mapping[str, str]) -> list[str]:
    if not isinstance(operation, CreateActivity):
        return []
    images = {image.path for image in operation.terms.images() if image.sha256 and image.sha256 not in urls}
    return sorted(images)


def failed(operation: UploadImage | ActivityOperation, error: PaygiftError, activity_id: str = "") -> Outcome:
    status = OutcomeStatus.UNKNOWN if isinstance(error, OutcomeUnknownError) else OutcomeStatus.FAILED
    request_id = error.request_id if isinstance(error, RemoteError) else ""
    return Outcome(operation, status, activity_id, str(error), request_id)
