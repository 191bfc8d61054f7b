"""What goes wrong between us and WeChat Pay, in plain words: httpx exceptions and error answers become our errors."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterator, Mapping, Sequence
from email.utils import parsedate_to_datetime
from typing import Final, NamedTuple, Protocol

import httpx
from pydantic import ValidationError

from reconciler.errors import ApiError, TransportError
from reconciler.wechatpay import signing, wire

_LONGEST_CODE: Final = 100
_LONGEST_TEXT: Final = 2_000
_LONGEST_NUMBER: Final = 15

_NEVER_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
"""A request is only written to a connection that stands, TLS and the proxy's tunnel included."""
# Whoever echoes our request would have us print its signature. Slashes may be escaped in JSON.
_SIGNATURE: Final = re.compile(rb'(signature=\\?")(?:[^"\\]|\\/)*', re.IGNORECASE)

_BROKEN_OFF: Final = ("Server disconnected without sending a response", "peer closed connection without")
"""How h11 and httpcore begin to say that the other side hung up, rather than said something wrong."""
_NO_HTTP: Final[Mapping[str, str]] = {
    "ended within the head": "it ended within the head",
    "too many informational": "it announces an answer (1xx) again and again",
    "conflicting Content-Length": "its Content-Length headers contradict each other",
    "bad Content-Length": "its Content-Length is not a number of bytes",
    "Receive buffer too long": "its head is too long",
    "illegal status line": "it does not begin with a status line",
    "illegal header line": "one of its header lines is malformed",
}
"""What is wrong with an answer, by how the libraries begin to say it."""
_NO_HTTP_REMEDY: Final = (
    "It is hardly WeChat Pay's, but comes from something in between: check PAYGIFT_BASE_URL and proxies."
)


class _Fault(NamedTuple):
    """What is wrong with a certificate, and what to do."""

    what: str
    remedy: str


_UNTRUSTED_REMEDY: Final = (
    "If this network inspects TLS, let SSL_CERT_FILE name a PEM file of the authorities to trust, the network's own "
    "included; without it those of this machine's own store are trusted. Otherwise do not go on: somebody may be "
    "posing as the host."
)
_CLOCK_OR_RENEWAL_REMEDY: Final = (
    "Check this machine's clock first. If it is right, the certificate must be renewed, by whoever runs the host or "
    "the proxy that inspects TLS."
)
_SELF_SIGNED: Final = _Fault("its certificate is self-signed", _UNTRUSTED_REMEDY)
_UNKNOWN_ISSUER: Final = _Fault("the issuer of its certificate is not trusted", _UNTRUSTED_REMEDY)
_OTHER_NAME: Final = _Fault(
    "its certificate is for another host name",
    "Check PAYGIFT_BASE_URL (a name, no address), and whether a proxy or the name service (DNS) leads elsewhere.",
)
_CERTIFICATE_FAULTS: Final[Mapping[int, _Fault]] = {  # X509_V_ERR_… of OpenSSL
    2: _UNKNOWN_ISSUER,
    9: _Fault("its certificate is not valid yet", _CLOCK_OR_RENEWAL_REMEDY),
    10: _Fault("its certificate has expired", _CLOCK_OR_RENEWAL_REMEDY),
    18: _SELF_SIGNED,
    19: _UNKNOWN_ISSUER,
    20: _UNKNOWN_ISSUER,
    21: _UNKNOWN_ISSUER,
    27: _UNKNOWN_ISSUER,
    62: _OTHER_NAME,
    64: _OTHER_NAME,
}

_NETWORK_REMEDY: Final = "Check the network, then run again."
_SIGN_REMEDY: Final = (
    "WeChat Pay could not verify our signature. Check that PAYGIFT_PRIVATE_KEY is the key of the certificate with "
    "the serial number PAYGIFT_SERIAL_NO, that both belong to the merchant PAYGIFT_MCHID, and that this machine's "
    "clock is right."
)
_PERMISSION_REMEDY: Final = (
    "Check on the merchant platform (产品中心) that PAYGIFT_MCHID has 支付有礼 and may use what the request names; "
    "coupons of another merchant need 委托营销."
)
_FREQUENCY_REMEDY: Final = "The request was not processed. Wait a minute, then run again."
_UNPROVEN_FREQUENCY_REMEDY: Final = (
    "Nothing proves that this is WeChat Pay's own answer. Wait a minute, then run again; if it stays, check "
    "PAYGIFT_BASE_URL and proxies."
)
_OUT_OF_ORDER_REMEDY: Final = "WeChat Pay is out of order or overloaded. Try again later."
_AGAIN_REMEDY: Final = (
    "WeChat Pay asks for the same request again, later; whether it took effect is unknown until then."
)
_NOT_FOUND_REMEDY: Final = (
    "Check that what the request names exists, can still be used, and belongs to PAYGIFT_MCHID."
)

_REMEDIES: Final[Mapping[str, str]] = {
    "SIGN_ERROR": _SIGN_REMEDY,
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


def _remedy(status: int, code: str, *, method: str, verified: bool) -> str:
    remedy = _remedy_of(status, code)
    if remedy is _FREQUENCY_REMEDY and not verified:
        return _UNPROVEN_FREQUENCY_REMEDY
    if remedy is _AGAIN_REMEDY and method == "GET":  # a read has no effect
        return _OUT_OF_ORDER_REMEDY
    return remedy


def _remedy_of(status: int, code: str) -> str:
    if code in _REMEDIES:
        return _REMEDIES[code]
    if not code:  # not WeChat Pay's own words, so perhaps not WeChat Pay
        return "It may come from something in between: check PAYGIFT_BASE_URL and proxies, then run again."
    if status >= 500:
        return _AGAIN_REMEDY
    by_status = {401: _SIGN_REMEDY, 403: _PERMISSION_REMEDY, 404: _NOT_FOUND_REMEDY, 429: _FREQUENCY_REMEDY}
    return by_status.get(status, "")


def api_error(
    *,
    method: str,
    path: str,
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    verified: bool,
    received_at: float,
) -> ApiError:
    """The error that an answer of HTTP status 400 or more is; ``received_at`` is our clock, in Unix seconds.

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
    remedy = _remedy(status, error.code, method=method, verified=verified)
    if error.code == "SIGN_ERROR" or status == 401:
        remedy = f"{clock_remedy(headers, received_at)} {remedy}".strip()
    return ApiError(
        status=status,
        code=error.code[:_LONGEST_CODE],
        text=error.message[:_LONGEST_TEXT],
        detail=error.detail,
        method=method,
        path=path,
        request_id=headers.get("Request-ID", ""),
        verified=verified,
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


class Arrived(Protocol):
    """What has come of an answer: its headers (a mapping that ignores case), and so many bytes of its body."""

    @property
    def headers(self) -> Mapping[str, str]: ...

    @property
    def received(self) -> int: ...


def transport_error(
    error: Exception,
    *,
    method: str,
    path: str,
    host: str,
    timeout_seconds: float,
    arrived: Arrived | None = None,
) -> TransportError:
    """No complete answer came; ``arrived`` is what had begun to, if anything had."""
    if arrived is None:
        message, remedy = _before_answer(error, host, timeout_seconds)
    else:
        message, remedy = _within_answer(error, arrived, timeout_seconds), _NETWORK_REMEDY
    request_id = "" if arrived is None else arrived.headers.get("Request-ID", "")
    return TransportError(
        message,
        method=method,
        path=path,
        request_id=request_id,
        remedy=remedy,
        sent=not isinstance(error, _NEVER_SENT),
        lasting=isinstance(error, _NEVER_SENT) and _tls_failure(error) is not None,
    )


def unreached(errors: Sequence[TransportError]) -> TransportError:
    """One error for all the hosts that could not be reached, each with its own (at least one)."""
    first, *others = errors
    if not others:
        return first
    together = TransportError(
        " ".join(error.message for error in errors),
        method=first.method,
        path=first.path,
        remedy=first.remedy,
        sent=False,
        lasting=all(error.lasting for error in errors),
    )
    together.__cause__ = others[-1]
    return together


def _before_answer(error: Exception, host: str, timeout_seconds: float) -> tuple[str, str]:
    causes = tuple(_causes(error))
    if isinstance(error, httpx.ConnectTimeout):
        return f"{host} did not accept a connection within {timeout_seconds:g} s.", _NETWORK_REMEDY
    if isinstance(error, httpx.TimeoutException | TimeoutError):
        return f"{host} did not answer within {timeout_seconds:g} s.", _NETWORK_REMEDY
    if isinstance(error, httpx.ProxyError):
        return f"the proxy on the way to {host} refused: {error}.", "Check HTTPS_PROXY and NO_PROXY."
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        return (
            f"the name {host} could not be resolved.",
            "Check PAYGIFT_BASE_URL and the network's name service (DNS).",
        )
    if (tls := _tls_failure(error)) is not None:
        fault = _tls_fault(tls)
        return f"no trustworthy TLS connection to {host} could be made: {fault.what}.", fault.remedy
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        return (
            f"{host} refused the connection.",
            "Check PAYGIFT_BASE_URL, and that the service runs there.",
        )
    if isinstance(error, httpx.ConnectError):
        return f"{host} could not be reached: {error}.", _NETWORK_REMEDY
    if isinstance(error, httpx.RemoteProtocolError) and not str(error).startswith(_BROKEN_OFF):
        return f"{host} answered, but not in valid HTTP/1.1{_in_detail(error)}.", _NO_HTTP_REMEDY
    return f"the connection to {host} was broken off before any answer came.", _NETWORK_REMEDY


def _tls_failure(error: BaseException) -> ssl.SSLError | None:
    """Why TLS could not be agreed on; nothing if the other side just hung up meanwhile."""
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLError) and not isinstance(
            cause, ssl.SSLEOFError | ssl.SSLZeroReturnError
        ):
            return cause
    return None


def _tls_fault(error: ssl.SSLError) -> _Fault:
    """In our words; OpenSSL's own code is shown where we have none."""
    if isinstance(error, ssl.SSLCertVerificationError):
        code = getattr(error, "verify_code", 0)
        unknown = _Fault(f"its certificate cannot be verified (OpenSSL's code {code})", _UNTRUSTED_REMEDY)
        return _CERTIFICATE_FAULTS.get(code, unknown)
    return _Fault(
        f"it does not speak TLS as this machine does ({error.reason or 'no reason given'})",
        "Check scheme and port of PAYGIFT_BASE_URL, and proxies.",
    )


def _in_detail(error: Exception) -> str:
    for beginning, what in _NO_HTTP.items():
        if str(error).startswith(beginning):
            return f": {what}"
    return ""


def _within_answer(error: Exception, arrived: Arrived, timeout_seconds: float) -> str:
    announced = arrived.headers.get("Content-Length", "")
    so_far = f"{arrived.received} of {announced} bytes" if announced else f"{arrived.received} bytes"
    if isinstance(error, httpx.TimeoutException | TimeoutError):
        return f"the answer stalled after {so_far}; {timeout_seconds:g} s were not enough."
    if isinstance(error, httpx.DecodingError):
        return f"the answer's compression is damaged ({so_far} received)."
    if isinstance(error, httpx.RemoteProtocolError) and not str(error).startswith(_BROKEN_OFF):
        return f"the answer is no valid HTTP/1.1 after {so_far}."
    return f"the answer broke off after {so_far}."


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what led to it. Connecting to several addresses at once fails with a group of errors."""
    while error is not None:
        yield error
        if isinstance(error, BaseExceptionGroup):
            for one in error.exceptions:
                yield from _causes(one)
        error = error.__cause__ or error.__context__
