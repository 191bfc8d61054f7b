"""Who may come in: the headers a request must have, and its signature, checked strictly (API §5.1, §5.2); and how many
images may in a minute (API §4)."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from reconciler.sandbox.refusal import SIGNATURE_WRONG, Refusal, param_error, too_frequent
from reconciler.wechatpay.signing import WINDOW_SECONDS, Authorization, request_message, verifies

_SHOWN: Final = 128
_MINUTE: Final = 60.0


@dataclass(frozen=True, slots=True)
class Account:
    """Whose signatures are accepted."""

    mchid: str
    serial_no: str
    public_key: RSAPublicKey


@dataclass(frozen=True, slots=True)
class Signed:
    """The parts of a request that a signature covers, exactly as they were sent."""

    method: str
    target: str
    body: bytes


class UploadLimit:
    """Lets ``per_minute`` uploads through in any 60 s; 0: all of them. Those turned away do not count."""

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._taken: deque[float] = deque(maxlen=per_minute or None)

    def check(self, now: datetime) -> None:
        """Count an upload at ``now``. Raises 429 FREQUENCY_LIMITED when there were too many in the last minute."""
        if not self._per_minute:
            return
        moment = now.timestamp()
        if len(self._taken) == self._per_minute and moment - self._taken[0] < _MINUTE:
            raise too_frequent()
        self._taken.append(moment)


def check_headers(headers: Mapping[str, str]) -> None:
    """API §1.0, §5.1: User-Agent and an Accept that lets JSON through. Lower-case names."""
    accept = headers.get("accept", "").lower()
    if not headers.get("user-agent") or not accept:
        raise param_error("Http头缺少Accept或User-Agent")
    if not any(kind in accept for kind in ("application/json", "application/*", "*/*")):
        raise param_error("Http头Accept应为application/json")


def check_signature(header: str, request: Signed, account: Account, now: datetime) -> str:
    """Raise 401 SIGN_ERROR unless ``account`` signed ``request`` within 300 s of ``now``; else the caller's mchid.

    Serial numbers compare as numbers, since one SDK sends them without leading zeros (API §11).
    """
    try:
        given = Authorization.parse(header)
    except ValueError as error:
        raise _sign_error("Http头Authorization值格式错误", "authorization", str(error)) from None
    if given.mchid != account.mchid:
        raise _sign_error("商户号不存在", "mchid", "mchid not exists")
    if _serial(given.serial_no) != _serial(account.serial_no):
        raise _sign_error("商户证书序列号有误", "serial_no", "serial_no not match")
    if not given.nonce_str:
        raise _sign_error("Http头Authorization值格式错误", "nonce_str", "nonce_str is empty")
    if not _recent(given.timestamp, now):
        raise _sign_error(
            "Http头Authorization中的timestamp与发起请求的时间不得超过5分钟", "timestamp", "timestamp expired"
        )
    message = request_message(request.method, request.target, given.timestamp, given.nonce_str, request.body)
    if not verifies(account.public_key, message, given.signature):
        raise _sign_error(SIGNATURE_WRONG, "signature", "sign not match", _information(request, message))
    return given.mchid


def _recent(timestamp: str, now: datetime) -> bool:
    numeric = timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12
    return numeric and abs(now.timestamp() - int(timestamp)) <= WINDOW_SECONDS


def _serial(text: str) -> int | None:
    try:
        return int(text, 16)
    except ValueError:
        return None


def _sign_error(message: str, field: str, issue: str, information: Any = None) -> Refusal:
    """The body of API §5.7."""
    detail: dict[str, Any] = {"detail": {"issue": issue}, "field": field, "location": "authorization"}
    if information is not None:
        detail["sign_information"] = information
    return Refusal(401, "SIGN_ERROR", message, detail)


def _information(request: Signed, message: bytes) -> Any:
    return {
        "method": request.method,
        "url": request.target,
        "sign_message_length": len(message),
        "truncated_sign_message": message[:_SHOWN].decode("utf-8", "replace"),
    }
