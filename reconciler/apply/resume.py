"""What became of requests that a run sent, or was about to send, when it died: asked of the remote, and written down.

An intent without outcome says only that a request may have left. Whether it took effect is read; nothing is repeated
here, since the plan that follows does what is left.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Final

from reconciler.apply.lookups import Lookups
from reconciler.journal.entry import Entry, Intent, OperationFinished
from reconciler.journal.witness import merchants_in
from reconciler.model.errors import ApiError, one_cause
from reconciler.model.report import OutcomeStatus

AT_ONCE: Final = 8
"""So many questions are asked at once."""


async def resume(lookups: Lookups, interrupted: Iterable[Entry]) -> list[OperationFinished]:
    """The outcome of each intent in ``interrupted``, as far as reading can tell. Raises RemoteError if it fails.

    All creates are looked for in the same passes over the list; everything else is asked side by side.
    """
    intents = [(entry.seq, entry.what) for entry in interrupted if isinstance(entry.what, Intent)]
    numbers = {intent.request_no for _, intent in intents if intent.operation == "create"}
    created = await lookups.all_created_under(numbers) if numbers else {}
    gate = asyncio.Semaphore(AT_ONCE)

    async def ask(seq: int, intent: Intent) -> OperationFinished:
        async with gate:
            return await _ask(lookups, seq, intent, created)

    with one_cause():
        async with asyncio.TaskGroup() as asked:
            answers = [asked.create_task(ask(seq, intent)) for seq, intent in intents]
    return [answer.result() for answer in answers]


async def _ask(lookups: Lookups, seq: int, intent: Intent, created: Mapping[str, str]) -> OperationFinished:
    activity_id, reason = intent.activity_id, ""
    match intent.operation:
        case "create":
            activity_id = created.get(intent.request_no, "")
            # A create that is still on its way may show later, and is then for a later plan (docs/reliability.md).
            status = OutcomeStatus.DONE if activity_id else OutcomeStatus.NOT_STARTED
        case "add_merchants" | "delete_merchants":
            # The body is what was sent; the spec may have changed since.
            merchants = merchants_in(intent.body)
            if merchants is None:
                status, reason = (
                    OutcomeStatus.UNKNOWN,
                    f"Entry {seq} of the journal does not say which merchants.",
                )
            else:
                status = await _merchants(lookups, intent, merchants)
        case "terminate":
            status = await _termination(lookups, activity_id)
        case _:
            status = OutcomeStatus.UNKNOWN
            reason = "An image cannot be looked up. If it is still needed, it is uploaded again, which does no harm."
    return OperationFinished(
        intent.operation,
        intent.key,
        status,
        activity_id,
        intent.request_no,
        intents=(seq,),
        reason=reason or _REASONS[status],
        resumed=True,
    )


_REASONS = {
    OutcomeStatus.DONE: "The run ended before the outcome was known; WeChat Pay shows that it has happened.",
    OutcomeStatus.PARTIAL: "The run ended before the outcome was known; WeChat Pay shows that a part has happened.",
    OutcomeStatus.NOT_STARTED: "The run ended before the outcome was known; WeChat Pay shows that it has not happened.",
    OutcomeStatus.UNKNOWN: "The run ended before the outcome was known, and WeChat Pay no longer shows the activity.",
}


async def _termination(lookups: Lookups, activity_id: str) -> OutcomeStatus:
    try:
        return OutcomeStatus.DONE if await lookups.has_ended(activity_id) else OutcomeStatus.NOT_STARTED
    except ApiError as error:
        return _vanished(error)


def _vanished(error: ApiError) -> OutcomeStatus:
    """Of an activity that is proven to be no longer there nothing can be known. Anything else is raised."""
    if error.status != 404 or not error.verified:
        raise error
    return OutcomeStatus.UNKNOWN


async def _merchants(lookups: Lookups, intent: Intent, asked: frozenset[str]) -> OutcomeStatus:
    try:
        present = asked.intersection(await lookups.merchants(intent.activity_id))
    except ApiError as error:
        return _vanished(error)
    done = present if intent.operation == "add_merchants" else asked - present
    if done == asked:
        return OutcomeStatus.DONE
    return OutcomeStatus.PARTIAL if done else OutcomeStatus.NOT_STARTED
