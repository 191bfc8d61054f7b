"""Error answers in plain words: which of our errors an answer of HTTP status 400 or more is, and what to do about it.

What WeChat Pay has not signed may be anybody's, so its code is not taken for a cause (API §5.3). The exception is the
refusal of a signature, which is never signed; it tells what arrived, and so whether that is what was sent (API §5.7).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Final

from pydantic import ValidationError

from reconciler.model.errors import SIGN_ERROR, ApiError
from reconciler.wechatpay import signing, wire
from reconciler.wechatpay.arrival import Sent, change_on_the_way

_LONGEST_CODE: Final = 100
_LONGEST_TEXT: Final = 2_000
_LONGEST_NUMBER: Final = 15
# Whoever echoes our request would have us print its signature. Slashes may be escaped in JSON.
_SIGNATURE: Final = re.compile(rb'(signature=\\?")(?:[^"\\]|\\/)*', re.IGNORECASE)

_SIGN_REMEDY: Final = (
    "WeChat Pay could not verify our signature. Check that PAYGIFT_PRIVATE_KEY is the key of the certificate with "
    "the serial number PAYGIFT_SERIAL_NO (the merchant's, not that of a platform certificate), that both belong to the "
    "merchant PAYGIFT_MCHID, and that this machine's clock is right."
)
_AS_SENT: Final = "The request arrived as it was sent."
_NEVER_SIGNED: Final = (
    "WeChat Pay does not sign this refusal: if all of that is right, something in between may have given it, so check "
    "PAYGIFT_BASE_URL and proxies."
)
_PERMISSION_REMEDY: Final = (
    "Check on the merchant platform (产品中心) that PAYGIFT_MCHID has 支付有礼 and may use what the request names; "
    "coupons of another merchant need 委托营销."
)
_CLOSED_REMEDY: Final = (
    "New activities may be closed to this merchant, as they have been to more and more since 2025-12-01. "
    f"If not: {_PERMISSION_REMEDY[0].lower()}{_PERMISSION_REMEDY[1:]}"
)
_FREQUENCY_REMEDY: Final = "The request was not processed. Wait a minute, then run again."
_WAIT_REMEDY: Final = "Wait a minute, then run again."
UNSIGNED: Final = (
    "Something in between may have given this answer, which WeChat Pay has not signed: check PAYGIFT_BASE_URL and "
    "proxies."
)
"""The remedy for an answer without a signature."""
_UNVERIFIED: Final = (
    "Something in between may have given this answer, since nothing proves that WeChat Pay did: check PAYGIFT_BASE_URL "
    "and proxies."
)
_OUT_OF_ORDER_REMEDY: Final = "WeChat Pay is out of order or overloaded. Try again later."
_AGAIN_REMEDY: Final = (
    "WeChat Pay asks for the same request again, later; whether it took effect is unknown until then."
)
_NOT_FOUND_REMEDY: Final = "Check that what the request names exists, can still be used, and belongs to PAYGIFT_MCHID."

_REMEDIES: Final[Mapping[str, str]] = {
    "NO_AUTH": _PERMISSION_REMEDY,
    "NOAUTH": _PERMISSION_REMEDY,  # how the coupon pages spell it
    "REQUEST_BLOCKED": "WeChat Pay blocks this request; the message says why. Fix that, then run again.",
    "RULELIMIT": "A rule of the merchant platform forbids this; the message says which.",
    "FREQUENCY_LIMITED": _FREQUENCY_REMEDY,
    "RATELIMIT_EXCEEDED": _FREQUENCY_REMEDY,
    "RATE_LIMITED": _FREQUENCY_REMEDY,
    "PARAM_ERROR": "Correct the field that the message names; repeating the request will not help.",
    "INVALID_REQUEST": "Correct what the message names; repeating the request will not help.",
    "APPID_MCHID_NOT_MATCH": "Bind the appid to the merchant on the merchant platform, or correct it.",
    "MCH_NOT_EXISTS": "Check the merchant numbers in the request: one of them does not exist.",
    "RESOURCE_NOT_EXISTS": _NOT_FOUND_REMEDY,
    "SYSTEM_ERROR": _AGAIN_REMEDY,
    "SERVICE_UNAVAILABLE": _AGAIN_REMEDY,
}


def _remedy(status: int, code: str, headers: Mapping[str, str], sent: Sent, *, verified: bool) -> str:
    remedy = _remedy_of(status, code)
    if remedy is _AGAIN_REMEDY and sent.method == "GET":  # a read has no effect
        remedy = _OUT_OF_ORDER_REMEDY
    if remedy is _PERMISSION_REMEDY and (sent.method, sent.target) == ("POST", wire.CREATE_PATH):
        remedy = _CLOSED_REMEDY
    if verified or not code:
        return remedy
    if remedy is _FREQUENCY_REMEDY:  # whoever says so may have passed the request on
        remedy = _WAIT_REMEDY
    doubt = _UNVERIFIED if headers.get("Wechatpay-Signature") else UNSIGNED
    return f"{doubt} If WeChat Pay did: {remedy}" if remedy else doubt


def _remedy_of(status: int, code: str) -> str:
    if code in _REMEDIES:
        return _REMEDIES[code]
    if not code:  # not WeChat Pay's own words, so perhaps not WeChat Pay
        return "It may come from something in between: check PAYGIFT_BASE_URL and proxies, then run again."
    if status >= 500:
        return _AGAIN_REMEDY
    by_status = {403: _PERMISSION_REMEDY, 404: _NOT_FOUND_REMEDY, 429: _FREQUENCY_REMEDY}
    return by_status.get(status, "")


def _refused_signature(detail: object, sent: Sent, headers: Mapping[str, str], received_at: float) -> tuple[str, bool]:
    """What to do about it, and whether the cause is that another request arrived than was sent."""
    change = change_on_the_way(detail, sent)
    if change:
        remedy = (
            f"The request arrived at WeChat Pay {change}, so something between here and {sent.host} has changed it, "
            f"and the keys may be right. Check PAYGIFT_BASE_URL ({sent.host}), and gateways and proxies on the way."
        )
        return remedy, True
    as_sent = "" if change is None else _AS_SENT
    remedies = (clock_remedy(headers, received_at), as_sent, _SIGN_REMEDY, _NEVER_SIGNED)
    return " ".join(filter(None, remedies)), False


def api_error(
    sent: Sent,
    *,
    path: str,
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    verified: bool,
    received_at: float,
) -> ApiError:
    """The error that an answer of HTTP status 400 or more is; ``path`` names the request in it, and ``received_at`` is
    our clock, in Unix seconds.

    A body that is not WeChat Pay's JSON gives an empty ``code`` and a ``text`` that says so.
    """
    try:
        error = wire.ErrorBody.model_validate_json(_SIGNATURE.sub(rb"\1[secure]", body))
    except ValidationError:
        media_type = headers.get("Content-Type", "").partition(";")[0].strip() or "no content type"
        error = wire.ErrorBody(
            code="",
            message=f"the answer was not JSON with code and message ({media_type}, {len(body)} bytes)",
        )
    changed = False
    if status == 401 and error.code == SIGN_ERROR:
        remedy, changed = _refused_signature(error.detail, sent, headers, received_at)
    else:
        remedy = _remedy(status, error.code, headers, sent, verified=verified)
    return ApiError(
        status=status,
        # Anybody may have written them, at any length.
        code=error.code[:_LONGEST_CODE],
        text=error.message[:_LONGEST_TEXT],
        detail=error.detail,
        method=sent.method,
        path=path,
        request_id=headers.get("Request-ID", ""),
        verified=verified,
        changed_on_the_way=changed,
        retry_after_seconds=_retry_after_seconds(headers, received_at),
        remedy=remedy,
    )


def _retry_after_seconds(headers: Mapping[str, str], received_at: float) -> float | None:
    """``Retry-After`` as seconds, or as a date, which counts from the server's own ``Date`` where it gives one."""
    asked = headers.get("Retry-After", "").strip()
    if asked.isascii() and asked.isdigit():
        return float(asked[:_LONGEST_NUMBER])
    until = _date(asked)
    if until is None:
        return None
    now = _date(headers.get("Date", ""))
    return max(0.0, until - (received_at if now is None else now))


def _date(header: str) -> float | None:
    """An HTTP date in Unix seconds, or nothing if it is none."""
    try:
        return parsedate_to_datetime(header).timestamp()
    except (ValueError, OverflowError):
        return None


def clock_remedy(headers: Mapping[str, str], received_at: float) -> str:
    """Says by how many seconds this machine's clock is wrong, if the answer's ``Date`` header shows that it is.

    Nobody signs that header, so it explains a failure, and never excuses one.
    """
    theirs = _date(headers.get("Date", ""))
    if theirs is None:
        return ""
    ahead = received_at - theirs
    if abs(ahead) < signing.WINDOW_SECONDS:
        return ""
    direction = "ahead of" if ahead > 0 else "behind"
    return f"This machine's clock is {abs(ahead):.0f} s {direction} the service's: set it first."
