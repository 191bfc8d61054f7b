"""The API on the wire: what comes in is verified before it is read, and what goes out is signed (API §5).

The story is ``Api``: read, verify, answer, log, sign, send. Faults on command stand between these steps.
"""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from http import HTTPStatus
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from reconciler.sandbox import endpoints, faults
from reconciler.sandbox.api_error import ApiErrorResponse
from reconciler.sandbox.authentication import ApiRequest, RegisteredAccount, VerificationResult, verify
from reconciler.sandbox.endpoints import ENDPOINTS, Endpoint
from reconciler.sandbox.faults import Fault, Stage, Struck
from reconciler.sandbox.keys import Signer
from reconciler.sandbox.world import World
from reconciler.wechatpay import signing

LARGEST_BODY: Final = 4 * 1024 * 1024
"""Twice the largest image, so that one which is too large is still told that."""
UNKNOWN_SERIAL: Final = "7FFFFFFF00000000DEADBEEF0000000000000000"
"""Well formed, and in no list of certificates."""
HANG_UP: Final = "paygift.hang_up"
SLEEP: Final = "paygift.sleep"
"""What ``Api`` looks for among a scope's extensions."""


def routes(world: World) -> list[Route]:
    """Every endpoint of the API; and, for any other path, the answer that there is none."""
    served = [Route(each.path, Api(world, each), name=each.route) for each in ENDPOINTS]
    return [*served, Route("/{rest:path}", Api(world, None))]


class ConnectionDropped(Exception):  # noqa: N818 (what a client is told, not an error of the sandbox)
    """The sandbox would close the connection now, but has none: there is no server around it.

    Raised through the ASGI application, and so out of ``httpx.ASGITransport``. ``sent`` of ``announced`` bytes of the
    body had left; both are 0 if there was no answer at all.
    """

    def __init__(self, sent: int = 0, announced: int = 0) -> None:
        super().__init__(f"the connection was closed after {sent} of {announced} bytes of the body")
        self.sent = sent
        self.announced = announced


@dataclass(frozen=True, slots=True)
class ApiAnswer:
    """``content`` is JSON, or the text of a page. ``signed`` tells whether it gets a signature."""

    status: int
    content: Any
    signed: bool = True
    retry_after: int | None = None


class Api:
    """One endpoint as an ASGI application; without one, the answer to every path that is not served.

    It decides about methods itself, and not Starlette: what is refused is logged, signed and in the API's own words,
    and HEAD is refused like any other method.
    A server can put into the scope's ``extensions`` how to close the connection (``HANG_UP``: a function without
    arguments), and a test how to wait (``SLEEP``: an awaitable function of seconds).
    """

    def __init__(self, world: World, endpoint: Endpoint | None) -> None:
        self._world = world
        self._endpoint = endpoint
        keys = world.keys
        self._account = RegisteredAccount(keys.mchid, keys.serial_no, keys.merchant_public_key)
        self._others = {
            "the platform's key": keys.platform.key.public_key(),
            "the key of the platform's next certificate": keys.next_platform.key.public_key(),
            "the WeChat Pay public key's private key": keys.wechatpay.key.public_key(),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            request = await _read_request(scope, receive)
        except ClientDisconnect:
            return
        # Starlette's patterns end in `$`, which lets a newline (%0A) follow.
        slipped = request.path.endswith("\n") and not "".join(request.parameters.values()).endswith("\n")
        endpoint = None if slipped else self._endpoint
        result = verify(request, self._account, self._others, self._world.real())
        served = endpoint is not None and request.method == endpoint.method
        struck = self._world.strike(endpoint.route if endpoint and served else "", verified=result.verified)
        answer = self._answer(request, endpoint, result, struck)
        # Before it leaves: whoever has the answer finds it in the log.
        request_id = self._record(request, result, struck, answer)
        extensions = scope.get("extensions") or {}
        connection = _Connection(receive, send, extensions.get(HANG_UP))
        if (delay := struck.get(Stage.DELAY)) is not None:
            wait = extensions.get(SLEEP)
            if wait is not None:
                await wait(delay["seconds"])
            # The effect has happened all the same, which is what this fault is for.
            elif not await connection.lasts(delay["seconds"]):
                return
        if answer is None:
            await connection.drop(0, 0)
            return
        headers, body = self._headers_and_body(request, answer, struck, request_id)
        # Starlette's responses would write these names in lower case, and some SDKs compare case (API §11).
        raw = [(name.encode("ascii"), value.encode("ascii")) for name, value in headers]
        await send({"type": "http.response.start", "status": answer.status, "headers": raw})
        if _kind(struck, Stage.ANSWER) == "truncated":
            half = body[: len(body) // 2]
            await send({"type": "http.response.body", "body": half, "more_body": True})
            await connection.drop(len(half), len(body))
        else:
            await send({"type": "http.response.body", "body": body})

    def _answer(
        self, request: ApiRequest, endpoint: Endpoint | None, result: VerificationResult, struck: Struck
    ) -> ApiAnswer | None:
        """The answer, whatever it takes; ``None`` where the connection is to be closed instead."""
        if (fault := struck.get(Stage.REQUEST)) is not None:
            return _fault_answer(fault, result)
        if result.error is not None:
            # Only a request whose signature was accepted gets a signed answer (API §5.3).
            answer = ApiAnswer(result.error.status, result.error.body(), signed=False)
        else:
            try:
                effect = struck.get(Stage.EFFECT)
                answer = ApiAnswer(200, endpoints.answer(self._world, request, endpoint, result.mchid, effect))
            except ApiErrorResponse as error:
                answer = ApiAnswer(error.status, error.body())
        fault = struck.get(Stage.ANSWER)
        return answer if fault is None or fault.kind == "truncated" else _fault_answer(fault, result)

    def _record(self, request: ApiRequest, result: VerificationResult, struck: Struck, answer: ApiAnswer | None) -> str:
        """Log the request, without anything secret, and give it its Request-ID."""
        content = answer.content if answer is not None else None
        return self._world.record(
            {
                "method": request.method,
                "target": request.target,
                "status": answer.status if answer is not None else 0,
                "code": content.get("code", "") if isinstance(content, dict) else "",
                "verdict": result.verdict,
                "near_miss": result.near_miss,
                "expected": result.expected,
                "fault": faults.names(struck),
            }
        )

    def _headers_and_body(
        self, request: ApiRequest, answer: ApiAnswer, struck: Struck, request_id: str
    ) -> tuple[list[tuple[str, str]], bytes]:
        # Real time, wherever the business clock stands: clients check the age of answers (API §5.3).
        now = self._world.real()
        headers = [("Date", format_datetime(now, usegmt=True))]
        if answer.retry_after is not None:
            headers.append(("Retry-After", str(answer.retry_after)))
        if isinstance(answer.content, str):
            body = answer.content.encode()
            return [*headers, ("Content-Type", "text/html"), ("Content-Length", str(len(body)))], body
        body = json.dumps(answer.content, ensure_ascii=False, separators=(",", ":")).encode()
        signature: Mapping[str, str] = {}
        if answer.signed:
            signer = self._world.signer(request.headers.get("wechatpay-serial", ""))
            stranger = self._world.keys.merchant_key
            signature, body = _sign(body, struck.get(Stage.SIGNATURE), signer, stranger, now)
        headers += [
            ("Content-Type", "application/json; charset=utf-8"),  # the Java SDK insists on it (API §11)
            ("Content-Language", "zh-CN"),
            ("Content-Length", str(len(body))),
            ("Request-ID", request_id),
        ]
        return [*headers, *signature.items()], body


@dataclass(frozen=True, slots=True)
class _Connection:
    """What there is of a connection to the client."""

    receive: Receive
    send: Send
    hang_up: Callable[[], None] | None

    async def lasts(self, seconds: float) -> bool:
        """Wait so long. False, and at once, if the client leaves meanwhile: nobody is there to be answered."""
        try:
            async with asyncio.timeout(seconds):
                await self._left()
        except TimeoutError:
            return True
        return False

    async def drop(self, sent: int, announced: int) -> None:
        """Close it. Raises ConnectionDropped where there is none to be closed."""
        if self.hang_up is None:
            raise ConnectionDropped(sent, announced)
        self.hang_up()
        await self._left()  # a server would answer 500 for us if we left before it has noticed

    async def _left(self) -> None:
        while (await self.receive())["type"] != "http.disconnect":
            pass


def _sign(
    body: bytes, fault: Fault | None, signer: Signer, stranger: RSAPrivateKey, now: datetime
) -> tuple[Mapping[str, str], bytes]:
    """The ``Wechatpay-…`` headers of an answer (API §5.3), as they should be or as ``fault`` wants them, and the body
    to send with them. ``stranger`` is a key that is not the platform's."""
    nonce = secrets.token_hex(16)

    def signed(
        *, by: RSAPrivateKey = signer.key, serial: str = signer.serial_no, at: object = int(now.timestamp())
    ) -> dict[str, str]:
        return dict(signing.response_headers(by, serial_no=serial, timestamp=str(at), nonce=nonce, body=body))

    match fault:
        case None:
            return signed(), body
        case Fault(kind="no_signature"):
            return {}, body
        case Fault(kind="empty_signature"):
            return dict.fromkeys(signed(), ""), body
        case Fault(kind="wrong_signature"):
            return signed(by=stranger), body
        case Fault(kind="unknown_serial"):
            return signed(by=stranger, serial=UNKNOWN_SERIAL), body
        case Fault(kind="signtest"):
            probe = signing.PROBE_PREFIX + base64.b64encode(nonce.encode()).decode("ascii")
            return signed() | {"Wechatpay-Signature": probe}, body
        case Fault(kind="garbage_signature"):
            return signed() | {"Wechatpay-Signature": "%%% no Base64 %%%"}, body
        case Fault(kind="stale_timestamp"):
            return signed(at=int(now.timestamp() - fault["seconds"])), body
        case Fault(kind="future_timestamp"):
            return signed(at=int(now.timestamp() + fault["seconds"])), body
        case Fault(kind="text_timestamp"):
            return signed(at="just now"), body
        case _:
            # Changed after it was signed: another JSON object, with one field more.
            return signed(), b'{"tampered":true,' + body.removeprefix(b"{")


def _kind(struck: Struck, stage: Stage) -> str:
    return struck[stage].kind if stage in struck else ""


def _fault_answer(fault: Fault, result: VerificationResult) -> ApiAnswer | None:
    """What comes instead of the answer when ``fault`` has struck at the stages REQUEST or ANSWER."""
    match fault.kind:
        case "drop_before" | "drop_after":
            return None
        case "html_before" | "html_after":
            return ApiAnswer(fault["status"], _page(fault["status"]), signed=False)
        case "refused":
            return _refused(fault, result)
        case "rate_limited":
            status, code, message = 429, "FREQUENCY_LIMITED", "频率超限"
        case _:
            status = fault["status"]
            code = "SYSTEM_ERROR" if status == 500 else "SERVICE_UNAVAILABLE"
            message = "系统异常,请稍后重试" if status == 500 else "服务不可用,请稍后重试"
    signed = result.verified and fault["signed"]
    return ApiAnswer(status, {"code": code, "message": message}, signed, fault["retry_after"])


_REFUSED: Final[Mapping[int, tuple[str, str]]] = {
    400: ("INVALID_REQUEST", "请求违反业务规则"),
    401: ("SIGN_ERROR", "验证不通过"),
    403: ("NO_AUTH", "商户未被授权"),
    404: ("RESOURCE_NOT_EXISTS", "资源不存在或不可用"),
}


def _refused(fault: Fault, result: VerificationResult) -> ApiAnswer:
    code, message = _REFUSED[fault["status"]]
    content = {"code": fault["code"] or code, "message": fault["message"] or message}
    return ApiAnswer(fault["status"], content, result.verified and fault["signed"])


def _page(status: int) -> str:
    title = f"{status} {HTTPStatus(status).phrase}"
    return f"<html>\r\n<head><title>{title}</title></head>\r\n<body><h1>{title}</h1></body>\r\n</html>\r\n"


async def _read_request(scope: Scope, receive: Receive) -> ApiRequest:
    path = scope["raw_path"].decode("ascii", "replace")
    query = scope["query_string"].decode("ascii", "replace")
    return ApiRequest(
        method=scope["method"],
        target=f"{path}?{query}" if query else path,
        path=scope["path"],
        query=query,
        headers=Headers(scope=scope),
        body=await _read_body(scope, receive),
        parameters=scope["path_params"],
    )


async def _read_body(scope: Scope, receive: Receive) -> bytes | None:
    """The whole body, or ``None`` if it is larger than any that could be accepted."""
    body = bytearray()
    async for chunk in Request(scope, receive).stream():
        body += chunk
        if len(body) > LARGEST_BODY:
            return None
    return bytes(body)
