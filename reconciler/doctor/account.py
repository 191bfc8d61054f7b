"""The checks of the account, by what became of signed requests. Pure.

Only what WeChat Pay has signed proves anything, but for its 401, which it never signs (API §5.3).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from cryptography.exceptions import InvalidTag

from reconciler.doctor.checks import failure, is_rejection, ok, said, skipped, unusable
from reconciler.doctor.evidence import Outcome, Proven, Signed
from reconciler.model.checkup import Check, CheckStatus
from reconciler.model.errors import (
    NO_PERMISSION,
    ApiError,
    CredentialsError,
    PaygiftError,
    TransportError,
    UnverifiedError,
)
from reconciler.wechatpay.keyring import Certificate

META_REFUSED: Final = "图片meta信息不一致"
"""How WeChat Pay refuses an image that is not that of its digest (API §4)."""

NOT_ACCEPTED: Final = "it needs an accepted signature and usable keys; see the checks above."
"""Why what needs an accepted signature was skipped."""
_ASK_FOR_PERMISSION: Final = (
    "Have the merchant's 超级管理员 open 支付有礼 on the merchant platform (产品中心), for the merchant of "
    "PAYGIFT_MCHID. If it is open, or not offered any more, ask WeChat Pay's support for this merchant's "
    "permission to call it, with the Request-ID."
)
_ASK_FOR_UPLOAD: Final = (
    "Have the merchant's 超级管理员 open 支付有礼, 商家券 or 代金券 on the merchant platform (产品中心): the upload "
    "belongs to these products. Without it, only activities whose images are uploaded already can be created."
)


def judge_signed_call(signed: Signed) -> Check:
    """Whether our signature is accepted: WeChat Pay signs its answers to requests whose signature it has accepted, and
    to no others. Any other answer tells nothing, but for a 401."""
    code = "signed_call"
    outcomes = signed.outcomes
    if any(map(_is_proven, outcomes)):
        return ok(code, f"{signed.host} accepts our signature.")
    for outcome in outcomes:
        # All are looked at: any of them may have been answered by something in between.
        if isinstance(outcome, ApiError) and (is_rejection(outcome) or outcome.changed_on_the_way):
            return failure(code, outcome)
    first = outcomes[0]
    match first:
        case UnverifiedError():
            return skipped(code, "the answer cannot be trusted; see verification.")
        case CredentialsError():
            return skipped(code, "the answer cannot be verified without the right key; see certificates.")
        case ApiError():
            return _unclear(code, first)
        case PaygiftError():
            return failure(code, first)
    raise AssertionError("a proven outcome was looked for first")  # pragma: no cover


def _is_proven(outcome: Proven | PaygiftError) -> bool:
    return isinstance(outcome, Proven) or (isinstance(outcome, ApiError) and outcome.verified)


def judge_certificates(found: Sequence[Certificate] | PaygiftError | None, *, has_public_key: bool) -> Check:
    """Whether the APIv3 key opens the platform certificates."""
    code = "certificates"
    if found is None:
        return skipped(code, "PAYGIFT_APIV3_KEY is not set; the WeChat Pay public key replaces them.")
    if isinstance(found, CredentialsError):
        # A wrong APIv3 key fails to decrypt; anything else means that this merchant has no certificates.
        if has_public_key and not isinstance(found.__cause__, InvalidTag):
            return skipped(code, "this merchant has none; the WeChat Pay public key replaces them.")
        return failure(code, found)
    if isinstance(found, PaygiftError):
        return _cannot_tell(code, found)
    last = max(certificate.not_after for certificate in found)
    kind = "certificate" if len(found) == 1 else "certificates"
    return ok(code, f"the APIv3 key opens {len(found)} platform {kind}, valid until {last:%Y-%m-%d}.")


def judge_verification(outcomes: Sequence[Proven | PaygiftError]) -> Check:
    """Whether answers prove that they are WeChat Pay's: all that claimed to be a success must."""
    for outcome in outcomes:
        if isinstance(outcome, UnverifiedError):
            return failure("verification", outcome)
    proven = sum(map(_is_proven, outcomes))
    if not proven:
        return skipped("verification", "no answer came that WeChat Pay has signed; see the checks above.")
    answers = sum(isinstance(outcome, Proven | ApiError) for outcome in outcomes)
    return ok("verification", f"{proven} of {answers} answers are signed by WeChat Pay.")


def judge_permission(outcome: Outcome) -> Check:
    """Whether this merchant may use pay-gift, by its list of activities. That it may create some, nothing tells but
    creating one: new activities have been closed to more and more merchants since December 2025 (API §0.3)."""
    code = "permission"
    if isinstance(outcome, Proven):
        return ok(
            code,
            "this merchant may read its 支付有礼 activities. Whether it may still create new ones was not asked.",
        )
    if isinstance(outcome, ApiError) and outcome.verified and outcome.code in NO_PERMISSION:
        return unusable(code, said(outcome), _ASK_FOR_PERMISSION)
    return _cannot_tell(code, outcome)


def judge_image_upload(outcome: Outcome) -> Check:
    """Whether images may be uploaded, by an upload whose digest is wrong: being refused is what it is for."""
    code = "image_upload"
    if isinstance(outcome, Proven):
        return Check(
            code,
            CheckStatus.WARNING,
            "permitted, but an image with a wrong digest was accepted: one pixel, used by nothing, is stored now.",
            "WeChat Pay may have changed its interface: look for a newer paygift, or report this.",
        )
    if isinstance(outcome, ApiError) and outcome.verified:
        if outcome.code in NO_PERMISSION:
            return unusable(code, said(outcome), _ASK_FOR_UPLOAD)
        # By code and words: the same code refuses for other reasons too.
        if outcome.code == "REQUEST_BLOCKED" and META_REFUSED in outcome.text:
            return ok(code, "an upload was refused for its wrong digest and nothing else; nothing was uploaded.")
    return _cannot_tell(code, outcome)


def _cannot_tell(code: str, outcome: PaygiftError | Proven | None) -> Check:
    """What has failed an earlier check is not told again."""
    if isinstance(outcome, UnverifiedError):
        return skipped(code, "the answer cannot be trusted; see verification.")
    if isinstance(outcome, TransportError) or (isinstance(outcome, ApiError) and not is_rejection(outcome)):
        return _unclear(code, outcome)
    return skipped(code, NOT_ACCEPTED)


def _unclear(code: str, error: ApiError | TransportError) -> Check:
    unsigned = isinstance(error, ApiError) and not error.verified
    doubt = " WeChat Pay has not signed this answer, so it proves nothing." if unsigned else ""
    return Check(code, CheckStatus.WARNING, f"this cannot be determined now: {said(error)}{doubt}", error.remedy)
