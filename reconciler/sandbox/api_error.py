"""What the service answers instead of a success: the documented codes, with the documented or observed messages."""

from __future__ import annotations

from typing import Any

# To the character, commas included: clients tell refusals apart by such words (API §1.11).
SAME_BRAND = "发券商户号校验失败，请核实是否满足同品牌等规则"
COUPON_UNFIT = "商家券信息不满足活动规则，请核实券有效期或code"
PACKAGE_MIXED = "传入的多张商户券的信息不一致"
NUMBER_REUSED = "创建请求重入但与上次请求信息不一致"
MANUAL_MERCHANTS_ONLY = "商家券不支持自动获取发券商户号"
NO_RELATION = "商户与活动创建方不具备父子关系"
SIGNATURE_WRONG = "错误的签名,验签失败"


class ApiErrorResponse(Exception):  # noqa: N818 (an answer of the service, not an error of the sandbox)
    """An answer other than 2xx: HTTP ``status``, ``code``, ``message`` and the optional, irregular ``detail``."""

    def __init__(self, status: int, code: str, message: str, detail: Any = None) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.detail = detail

    def body(self) -> dict[str, Any]:
        """The error body of API §5.7."""
        body = {"code": self.code, "message": self.message}
        return body if self.detail is None else {**body, "detail": self.detail}


def param_error(message: str, pointer: str = "", value: Any = None) -> ApiErrorResponse:
    """400 PARAM_ERROR about one field. ``detail`` has the observed shape (API §5.7); long values are left out."""
    location = pointer.split("/")[1] if pointer else "body"
    detail: dict[str, Any] = {"field": pointer, "location": location}
    if isinstance(value, str | int | float) and len(str(value)) <= 200:
        detail["value"] = value
    return ApiErrorResponse(400, "PARAM_ERROR", message, detail if pointer else None)


def invalid_request(message: str) -> ApiErrorResponse:
    """400 INVALID_REQUEST: well formed, but against a business rule."""
    return ApiErrorResponse(400, "INVALID_REQUEST", message)


def not_found(message: str) -> ApiErrorResponse:
    """404 RESOURCE_NOT_EXISTS: there is nothing at that path, or with that id."""
    return ApiErrorResponse(404, "RESOURCE_NOT_EXISTS", message)


def blocked(message: str) -> ApiErrorResponse:
    """403 REQUEST_BLOCKED, as image upload answers (API §4)."""
    return ApiErrorResponse(403, "REQUEST_BLOCKED", message)


def too_frequent() -> ApiErrorResponse:
    """429 FREQUENCY_LIMITED: the request was not processed (API §5.7)."""
    return ApiErrorResponse(429, "FREQUENCY_LIMITED", "频率超限")
