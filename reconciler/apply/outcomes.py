"""What an operation came to, judged by what was answered and what reads show. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from reconciler.model.activity import LiveActivity
from reconciler.model.errors import ApiError, RemoteError
from reconciler.model.identity import merchants_digest, terms_sha256
from reconciler.model.operations import ActivityOperation, AddMerchants, CreateActivity, DeleteMerchants, Precondition
from reconciler.model.report import Outcome, OutcomeStatus, Rejection

NUMBER_USED_TEXT: Final = "创建请求重入但与上次请求信息不一致"
"""What a create answers when its number was used with another body (API §1.10)."""


@dataclass(frozen=True, slots=True)
class MerchantsChange:
    """The merchants after a change, what the server rejected, and the change's Request-ID.

    ``unread`` says why they could not be read back: then they are what the proven answer makes of them. ``reason``
    says why nothing further was tried.
    """

    merchants: frozenset[str]
    rejections: tuple[Rejection, ...] = ()
    request_id: str = ""
    unread: str = ""
    reason: str = ""


def is_known_conflict(error: ApiError) -> bool:
    """Whether a refused create says that its number was used before, with another body (API §1.10)."""
    # The code is documented for coupons only (API §3.1), and no page of this product has it.
    return NUMBER_USED_TEXT in error.text or error.code == "RESOURCE_ALREADY_EXISTS"


def may_be_a_conflict(error: ApiError) -> bool:
    """Whether a refused create may mean that its number was used before: the words of such answers are not documented
    (API §1.10), and some refusals say nothing about the request.
    """
    return error.verified and 400 <= error.status < 500 and error.status not in (401, 429)


def not_verified(operation: ActivityOperation, activity_id: str, error: RemoteError, request_id: str) -> Outcome:
    """A proven write whose effect could not be read back: done, and a question for the next run (concepts.md#apply)."""
    reason = f"WeChat Pay's answer proves that it was done; it could not be read back: {error.message}"
    return Outcome(operation, OutcomeStatus.UNVERIFIED, activity_id, reason, request_id)


def waiting_reason(waiting: Mapping[str, str]) -> str:
    """What is waited for, as a sentence."""
    return f"It waits for other keys: {'; '.join(sorted(set(waiting.values())))}."


def stale_reason(precondition: Precondition, live: LiveActivity, now: datetime, merchants: Collection[str] = ()) -> str:
    """Why ``live`` is no longer what the operation was planned for, as a sentence, or nothing if it is."""
    if live.ended(now):
        return f"The activity has ended since the plan was made ({live.activity_status})."
    # An activity begins by itself: nobody has touched it.
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


def merchants_outcome(
    operation: CreateActivity | AddMerchants | DeleteMerchants,
    status: OutcomeStatus,
    activity_id: str,
    changed: MerchantsChange,
    request_id: str,
) -> Outcome:
    """What a change of merchants came to, judged by the merchants read back and not by the answer."""
    wanted = set(operation.merchants)
    left = wanted & changed.merchants if isinstance(operation, DeleteMerchants) else wanted - changed.merchants
    reasons = {rejection.mchid: rejection.invalid_reason for rejection in changed.rejections}
    unexplained = changed.reason or "WeChat Pay gave no reason"
    rejections = tuple(Rejection(mchid, reasons.get(mchid) or unexplained) for mchid in sorted(left))
    reason = changed.reason
    if changed.unread:
        status = OutcomeStatus.UNVERIFIED
        reason = f"WeChat Pay's answer proves that it was done; it could not be read back: {changed.unread}"
    elif left:
        # A create is never a failure for want of merchants: the activity is there, and lives.
        none = left == wanted and not isinstance(operation, CreateActivity)
        status = OutcomeStatus.FAILED if none else OutcomeStatus.PARTIAL
    elif changed.reason:
        status = OutcomeStatus.PARTIAL
    return Outcome(operation, status, activity_id, reason, request_id, rejections)
