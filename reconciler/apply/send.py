"""Sending one write so that its outcome is known: written down before it leaves, and looked for if its answer is lost.

A write is repeated at most once, with the identical body and number, and only after a read has shown that it did not
happen. An image cannot be looked up, and a second copy does no harm.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol, TypeVar, overload

from reconciler.journal.entry import Intent, OperationFinished
from reconciler.model.errors import (
    ApiError,
    OutcomeUnknownError,
    ProtocolError,
    RemoteError,
    TransportError,
    UnverifiedError,
)
from reconciler.wechatpay.api import Reply

T = TypeVar("T")
Send = Callable[[], Awaitable[Reply[T]]]
Look = Callable[[], Awaitable[bool]]


class Recorder(Protocol):
    """Where intents and outcomes are written down, durably. All raise JournalError when that is not possible."""

    async def require(self) -> None:
        """Make sure that this run may still write: asked before every try."""

    async def intend(self, what: Intent) -> int:
        """Write down what is about to be sent; its number is for ``OperationFinished.intents``."""

    async def conclude(self, what: OperationFinished) -> None:
        """Write down what an operation came to."""


class Unrecorded:
    """Where nobody keeps a journal: live truth alone tells the next run what has happened."""

    async def require(self) -> None:
        """There is no lock."""

    async def intend(self, what: Intent) -> int:
        return 0

    async def conclude(self, what: OperationFinished) -> None:
        """Nothing is kept."""


@dataclass(slots=True)
class Trace:
    """What one operation has sent: the journal's numbers of its intents, and how the last request fared.

    ``doubt`` says why the answer to a write was not believed, or that it was lost, where a read then settled that the
    write had happened.
    """

    intents: list[int] = field(default_factory=list)
    tries: int = 0
    http_status: int = 0
    request_id: str = ""
    doubt: str = ""

    def answered(self, reply: Reply[T]) -> Reply[T]:
        """``reply``, whose HTTP status, Request-ID and tries are kept."""
        self.tries += reply.tries
        self.http_status, self.request_id = reply.http_status, reply.request_id
        return reply

    def failed(self, error: RemoteError) -> None:
        """The Request-ID of an answer that proves nothing is nobody's."""
        self.tries += error.tries
        believed = isinstance(error, ApiError) and error.verified
        self.request_id = error.request_id if believed else ""
        self.http_status = error.status if isinstance(error, ApiError) else 0


class Sender:
    """Sends writes, and keeps ``record`` of them. ``patiently`` looks again, as reads may lag behind writes."""

    def __init__(self, record: Recorder, patiently: Callable[[Look], Awaitable[bool]]) -> None:
        self._record = record
        self._patiently = patiently

    @overload
    async def send(self, intent: Intent, send: Send[T], happened: Look, trace: Trace) -> Reply[T] | None: ...

    @overload
    async def send(self, intent: Intent, send: Send[T], happened: None, trace: Trace) -> Reply[T]: ...

    async def send(self, intent: Intent, send: Send[T], happened: Look | None, trace: Trace) -> Reply[T] | None:
        """The answer to a write, or ``None`` if the answer was lost and a read shows that it happened.

        When a read shows that it did not, or no read can tell and a second time does no harm (``happened`` is
        ``None``), the identical write is sent once more. Raises JournalError, and sends nothing, if the intent could
        not be written down; OutcomeUnknownError when the reads fail too.
        """
        # Before anything leaves, and once: a second try is the same request to the byte.
        trace.intents.append(await self._record.intend(intent))
        try:
            return await _once(send, trace)
        except RemoteError as error:
            # A proven refusal is final: sending again would only be refused again.
            if not is_lost(error):
                raise
            if happened is not None and await _resolve(error, partial(self._patiently, happened)):
                trace.doubt = error.message
                return None
        try:
            return await _once(send, trace)
        except RemoteError as error:
            if happened is None or not is_lost(error) or not await _resolve(error, happened):
                raise
            trace.doubt = error.message
            return None


async def _once(send: Send[T], trace: Trace) -> Reply[T]:
    try:
        return trace.answered(await send())
    except RemoteError as error:
        trace.failed(error)
        raise


async def _resolve(error: RemoteError, look: Look) -> bool:
    try:
        return await look()
    except RemoteError as blind:
        raise OutcomeUnknownError(
            f"{error.message} Whether it happened could not be read either: {blind.message}",
            method=error.method,
            path=error.path,
            request_id=error.request_id,
            remedy="Run apply again: it looks first, and repeats nothing that has happened.",
        ) from error


def is_lost(error: RemoteError) -> bool:
    """Whether a write that raised this may have happened all the same (API §5.7).

    Only a verified answer proves anything: a gateway may forward a write, and then answer 403 of its own.
    """
    match error:
        case ApiError():
            return error.status >= 500 or not error.verified
        case TransportError():
            return error.sent
        case UnverifiedError() | ProtocolError():
            return True
    return False
