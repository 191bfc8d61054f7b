"""A request to the API as it came in, and whose it is: the headers that it must have, and its signature, checked
strictly (API §5.1, §5.2). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from starlette.datastructures import Headers

from reconciler.sandbox import images, limits, near_miss
from reconciler.sandbox.api_error import SIGNATURE_WRONG, ApiErrorResponse, param_error
from reconciler.wechatpay import wire
from reconciler.wechatpay.signing import WINDOW_SECONDS, Authorization, request_message, verifies


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """A request to the API. ``target`` and ``body`` are exactly what was sent; ``body`` is ``None`` if it was too
    large to be read. ``parameters`` are the parts of the path that its endpoint names, such as ``activity_id``."""

    method: str
    target: str
    path: str
    query: str
    headers: Headers
    body: bytes | None
    parameters: Mapping[str, str] = field(default_factory=dict)

    @property
    def authorization(self) -> str:
        """The header of that name, or nothing."""
        return self.headers.get("authorization", "")

    @property
    def signed_body(self) -> bytes:
        """What the signature covers of the body: for an upload the meta part stands for it (API §4)."""
        return (self.upload.meta if self.path == wire.IMAGE_UPLOAD_PATH else self.body) or b""

    @property
    def upload(self) -> images.Upload:
        """The parts of a multipart body."""
        return images.read_upload(self.headers.get("content-type", ""), self.body or b"")

    def json(self) -> Any:
        """The body as a JSON object. Raises the ApiErrorResponse of a body that is none."""
        if self.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise param_error("Http头Content-Type应为application/json")
        return limits.read_body(self.body or b"")


@dataclass(frozen=True, slots=True)
class RegisteredAccount:
    """Whose signatures are accepted."""

    mchid: str
    serial_no: str
    public_key: RSAPublicKey


@dataclass(frozen=True, slots=True)
class VerificationResult:
    """``verdict`` is ``ok``, or what is wrong with the signature; with it comes the caller's mchid, or the error that
    answers the request. ``near_miss`` and ``expected`` are for the log alone."""

    verdict: str
    mchid: str = ""
    error: ApiErrorResponse | None = None
    near_miss: str = ""
    expected: str = ""

    @property
    def verified(self) -> bool:
        """Only requests that could be verified have an effect, and get a signed answer (API §5.3)."""
        return self.verdict == "ok"


def verify(
    request: ApiRequest, account: RegisteredAccount, others: Mapping[str, RSAPublicKey], now: datetime
) -> VerificationResult:
    """Check headers and signature. ``others`` are keys which somebody might have signed with by mistake, by name;
    ``now`` is real time."""
    try:
        if request.body is None:
            raise ApiErrorResponse(413, "PARAM_ERROR", "请求体过大")
        check_headers(request.headers)
        mchid = check_signature(request, account, now)
    except ApiErrorResponse as error:
        if error.status != 401:
            return VerificationResult("not checked", error=error)
        hint, expected = _hint(request, error.detail["field"], account, others, now)
        return VerificationResult(error.detail["detail"]["issue"], "", error, hint, expected)
    return VerificationResult("ok", mchid)


def check_headers(headers: Mapping[str, str]) -> None:
    """API §1.0, §5.1: User-Agent and an Accept that lets JSON through. Lower-case names."""
    accept = headers.get("accept", "").lower()
    if not headers.get("user-agent") or not accept:
        raise param_error("Http头缺少Accept或User-Agent")
    # The Go SDK always sends */* (API §11).
    if not any(kind in accept for kind in ("application/json", "application/*", "*/*")):
        raise param_error("Http头Accept应为application/json")


def check_signature(request: ApiRequest, account: RegisteredAccount, now: datetime) -> str:
    """Raise 401 SIGN_ERROR unless ``account`` signed ``request`` within 300 s of ``now``; else the caller's mchid.

    Serial numbers compare as numbers, since one SDK sends them without leading zeros (API §11).
    """
    try:
        given = Authorization.parse(request.authorization)
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
    message = request_message(request.method, request.target, given.timestamp, given.nonce_str, request.signed_body)
    if not verifies(account.public_key, message, given.signature):
        information = {
            "method": request.method,
            "url": request.target,
            "sign_message_length": len(message),
            "truncated_sign_message": message[: near_miss.SHOWN].decode("utf-8", "replace"),
        }
        raise _sign_error(SIGNATURE_WRONG, "signature", "sign not match", information)
    return given.mchid


def _hint(
    request: ApiRequest,
    field: str,
    account: RegisteredAccount,
    others: Mapping[str, RSAPublicKey],
    now: datetime,
) -> tuple[str, str]:
    """What might have gone wrong with ``field`` of the Authorization header, and what should have been signed."""
    if field not in ("signature", "timestamp", "serial_no"):
        return "", ""
    given = Authorization.parse(request.authorization)
    if field == "timestamp":
        return near_miss.timestamp_hint(given.timestamp, now.timestamp()), ""
    if field == "serial_no":
        return near_miss.serial_hint(given.serial_no, account.serial_no), ""
    host = request.headers.get("host", "")
    sent = near_miss.SentSignature(request.method, request.target, request.signed_body, request.body or b"", host)
    return near_miss.explain(sent, given, account.public_key, others), near_miss.expected(sent, given)


def _recent(timestamp: str, now: datetime) -> bool:
    numeric = timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12
    # Nobody documents the window for requests; this one is the SDKs' for answers (API §5.2).
    return numeric and abs(now.timestamp() - int(timestamp)) <= WINDOW_SECONDS


def _serial(text: str) -> int | None:
    try:
        return int(text, 16)
    except ValueError:
        return None


def _sign_error(message: str, field: str, issue: str, information: Any = None) -> ApiErrorResponse:
    """The body of API §5.7."""
    detail: dict[str, Any] = {"detail": {"issue": issue}, "field": field, "location": "authorization"}
    if information is not None:
        detail["sign_information"] = information
    return ApiErrorResponse(401, "SIGN_ERROR", message, detail)
