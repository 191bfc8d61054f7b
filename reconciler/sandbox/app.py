"""The wire: what comes in is verified before it is read, and what goes out is signed (API §5).

The story is ``Wire``: read, verify, answer, log, sign, send. Faults on command stand between these steps.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import format_datetime
from http import HTTPStatus
from typing import Any, Final

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from reconciler.sandbox import endpoints, faults, gate, images
from reconciler.sandbox.call import Call
from reconciler.sandbox.examine import Found, examine
from reconciler.sandbox.faults import Fault, Stage, Struck
from reconciler.sandbox.loopback import may_enter
from reconciler.sandbox.proof import prove
from reconciler.sandbox.refusal import Refusal, not_found, param_error
from reconciler.sandbox.world import World

LARGEST_BODY: Final = 4 * 1024 * 1024
"""Twice the largest image, so that one which is too large can still be told so."""
OPERATIONS: Final = frozenset(
    {
        *(
            "now",
            "set_clock",
            "seed",
            "reset",
            "log",
            "activities",
            "history",
            "pause",
            "resume",
            "fail_creation",
        ),
        *("declare_invalid", "declare_valid", "insert_activity", "add_brand"),
        *("add_fault", "clear_faults", "faults"),
    }
)
"""The methods of ``World`` that may be called over HTTP."""
HANG_UP: Final = "paygift.hang_up"
SLEEP: Final = "paygift.sleep"
"""What ``Wire`` looks for among a scope's extensions."""


def app(world: World, *, about: Mapping[str, Any] | None = None) -> Starlette:
    """The ASGI application. ``about`` is what ``/sandbox/about`` tells, so that a server can be recognised."""
    control = _Control(world, dict(about or {}))
    return Starlette(
        routes=[
            Route("/sandbox/about", control.tell),
            Route("/sandbox/{operation}", control.operate, methods=["POST"]),
            Route("/wxpaylogo/{token}/0", _Pictures(world).show),
            Route("/{rest:path}", Wire(world)),
        ],
        middleware=[Middleware(_Door)],
    )


class _Door:
    """Lets in only what was sent to a name of this machine; what is told to others is said by nobody but us."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        hosts = Headers(scope=scope).getlist("host") if scope["type"] == "http" else []
        if scope["type"] != "http" or may_enter(hosts):
            await self._app(scope, receive, send)
            return
        said = ", ".join(hosts)[:100] or "nobody"
        message = (
            f"The sandbox answers only what is sent to this machine, such as 127.0.0.1, and not to {said}."
        )
        await JSONResponse({"code": "MISDIRECTED", "message": message}, 421)(scope, receive, send)


class ConnectionDropped(Exception):  # noqa: N818 (what a client is told, no error of the sandbox)
    """The sandbox would close the connection now, but knows none: there is no server around it.

    Raised through the ASGI application, and so out of ``httpx.ASGITransport``. ``sent`` of ``announced`` bytes of the
    body had left; both are 0 if there was no answer at all.
    """

    def __init__(self, sent: int = 0, announced: int = 0) -> None:
        super().__init__(f"the connection was closed after {sent} of {announced} bytes of the body")
        self.sent = sent
        self.announced = announced


@dataclass(frozen=True, slots=True)
class Answer:
    """``content`` is JSON, or the text of a page. ``signed`` tells whether it gets a proof."""

    status: int
    content: Any
    signed: bool = True
    retry_after: int | None = None


class Wire:
    """The API itself, as an ASGI application for every path that is not the sandbox's own.

    A server can put into the scope's ``extensions`` how to close the connection (``HANG_UP``: a function without
    arguments), and a test how to wait (``SLEEP``: an awaitable function of seconds).
    """

    def __init__(self, world: World) -> None:
        self._world = world
        keys = world.keys
        self._account = gate.Account(keys.mchid, keys.serial_no, keys.merchant_public_key)
        self._others = {
            "the platform's key": keys.platform.key.public_key(),
            "the key of the platform's next certificate": keys.next_platform.key.public_key(),
            "the WeChat Pay public key's private key": keys.wechatpay.key.public_key(),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            call = await _read_call(scope, receive)
        except ClientDisconnect:
            return
        found = examine(call, self._account, self._others, self._world.real())
        struck = self._world.strike(endpoints.route_of(call), verified=found.verified)
        answer = self._answer(call, found, struck)
        request_id = self._record(call, found, struck, answer)
        extensions = scope.get("extensions") or {}
        if (delay := struck.get(Stage.DELAY)) is not None:
            await extensions.get(SLEEP, asyncio.sleep)(delay["seconds"])
        connection = _Connection(receive, send, extensions.get(HANG_UP))
        if answer is None:
            await connection.drop(0, 0)
            return
        headers, body = self._dress(call, answer, struck, request_id)
        # Starlette's responses would write these names in lower case, and some SDKs compare case (API §11).
        raw = [(name.encode("ascii"), value.encode("ascii")) for name, value in headers]
        await send({"type": "http.response.start", "status": answer.status, "headers": raw})
        if _kind(struck, Stage.ANSWER) == "truncated":
            half = body[: len(body) // 2]
            await send({"type": "http.response.body", "body": half, "more_body": True})
            await connection.drop(len(half), len(body))
        else:
            await send({"type": "http.response.body", "body": body})

    def _answer(self, call: Call, found: Found, struck: Struck) -> Answer | None:
        """The answer, whatever it takes; ``None`` where the connection is to be closed instead."""
        if (fault := struck.get(Stage.REQUEST)) is not None:
            return _instead(fault, found)
        if found.refusal is not None:
            answer = Answer(found.refusal.status, found.refusal.body(), signed=False)
        else:
            try:
                effect = struck.get(Stage.EFFECT)
                answer = Answer(200, endpoints.answer(self._world, call, found.mchid, effect))
            except Refusal as refusal:
                answer = Answer(refusal.status, refusal.body())
        fault = struck.get(Stage.ANSWER)
        return answer if fault is None or fault.kind == "truncated" else _instead(fault, found)

    def _record(self, call: Call, found: Found, struck: Struck, answer: Answer | None) -> str:
        """Log the request, without anything secret, and give it its Request-ID."""
        content = answer.content if answer is not None else None
        return self._world.record(
            {
                "method": call.method,
                "target": call.target,
                "status": answer.status if answer is not None else 0,
                "code": content.get("code", "") if isinstance(content, dict) else "",
                "verdict": found.verdict,
                "near_miss": found.near_miss,
                "expected": found.expected,
                "fault": faults.names(struck),
            }
        )

    def _dress(
        self, call: Call, answer: Answer, struck: Struck, request_id: str
    ) -> tuple[list[tuple[str, str]], bytes]:
        """The headers, and the body that goes with them."""
        now = self._world.real()
        headers = [("Date", format_datetime(now, usegmt=True))]
        if answer.retry_after is not None:
            headers.append(("Retry-After", str(answer.retry_after)))
        if isinstance(answer.content, str):
            body = answer.content.encode()
            return [*headers, ("Content-Type", "text/html"), ("Content-Length", str(len(body)))], body
        body = json.dumps(answer.content, ensure_ascii=False, separators=(",", ":")).encode()
        proof: Mapping[str, str] = {}
        if answer.signed:
            signer = self._world.signer(call.headers.get("wechatpay-serial", ""))
            proof, body = prove(
                body,
                struck.get(Stage.PROOF),
                key=signer.key,
                serial_no=signer.serial_no,
                stranger=self._world.keys.merchant_key,
                now=now.timestamp(),
                nonce=secrets.token_hex(16),
            )
        headers += [
            ("Content-Type", "application/json; charset=utf-8"),
            ("Content-Language", "zh-CN"),
            ("Content-Length", str(len(body))),
            ("Request-ID", request_id),
        ]
        return [*headers, *proof.items()], body


@dataclass(frozen=True, slots=True)
class _Connection:
    """What there is of a connection to the client."""

    receive: Receive
    send: Send
    hang_up: Callable[[], None] | None

    async def drop(self, sent: int, announced: int) -> None:
        """Close it. Raises ConnectionDropped where there is none to be closed."""
        if self.hang_up is None:
            raise ConnectionDropped(sent, announced)
        self.hang_up()
        while (await self.receive())["type"] != "http.disconnect":
            pass  # a server would answer 500 for us if we left before it has noticed


def _kind(struck: Struck, stage: Stage) -> str:
    return struck[stage].kind if stage in struck else ""


def _instead(fault: Fault, found: Found) -> Answer | None:
    """What comes instead of the answer when ``fault`` has struck at the stages REQUEST or ANSWER."""
    match fault.kind:
        case "drop_before" | "drop_after":
            return None
        case "html_before" | "html_after":
            return Answer(fault["status"], _page(fault["status"]), signed=False)
        case "refused":
            return _refusal(fault, found)
        case "rate_limited":
            status, code, message = 429, "FREQUENCY_LIMITED", "频率超限"
        case _:
            status = fault["status"]
            code = "SYSTEM_ERROR" if status == 500 else "SERVICE_UNAVAILABLE"
            message = "系统异常,请稍后重试" if status == 500 else "服务不可用,请稍后重试"
    signed = found.verified and fault["signed"]
    return Answer(status, {"code": code, "message": message}, signed, fault["retry_after"])


_REFUSALS: Final[Mapping[int, tuple[str, str]]] = {
    400: ("INVALID_REQUEST", "请求违反业务规则"),
    401: ("SIGN_ERROR", "验证不通过"),
    403: ("NO_AUTH", "商户未被授权"),
    404: ("RESOURCE_NOT_EXISTS", "资源不存在或不可用"),
}


def _refusal(fault: Fault, found: Found) -> Answer:
    code, message = _REFUSALS[fault["status"]]
    content = {"code": fault["code"] or code, "message": fault["message"] or message}
    return Answer(fault["status"], content, found.verified and fault["signed"])


def _page(status: int) -> str:
    title = f"{status} {HTTPStatus(status).phrase}"
    return f"<html>\r\n<head><title>{title}</title></head>\r\n<body><h1>{title}</h1></body>\r\n</html>\r\n"


class _Control:
    """What people and tests do to the sandbox: the methods of ``World`` as POST /sandbox/NAME, arguments in JSON."""

    def __init__(self, world: World, about: dict[str, Any]) -> None:
        self._world = world
        self._about = about

    async def tell(self, _request: Request) -> Response:
        return JSONResponse(self._about)

    async def operate(self, request: Request) -> Response:
        try:
            result = self._operate(request.path_params["operation"], request.headers, await request.body())
        except Refusal as refusal:
            return JSONResponse(refusal.body(), refusal.status)
        return JSONResponse(result)

    def _operate(self, operation: str, headers: Headers, body: bytes) -> Any:
        if operation not in OPERATIONS:
            raise not_found(f"there is no operation {operation!r}")
        # A web page can send JSON here only after asking first, which nobody answers: so it cannot.
        if headers.get("content-type") != "application/json":
            raise param_error("Content-Type must be application/json")
        try:
            return getattr(self._world, operation)(**json.loads(body))
        except RecursionError:
            raise param_error(
                f"{operation} cannot be called so: its arguments are nested too deeply"
            ) from None
        except (TypeError, ValueError) as error:
            raise param_error(f"{operation} cannot be called so: {error}") from None


class _Pictures:
    def __init__(self, world: World) -> None:
        self._world = world

    async def show(self, request: Request) -> Response:
        url = f"{images.HOST}{request.url.path}"
        image = self._world.memory.images.get(url)
        if image is None:
            return Response(status_code=404)
        return Response(self._world.store.blob(url), media_type=image.media_type)


async def _read_call(scope: Scope, receive: Receive) -> Call:
    path = scope["raw_path"].decode("ascii", "replace")
    query = scope["query_string"].decode("ascii", "replace")
    return Call(
        method=scope["method"],
        target=f"{path}?{query}" if query else path,
        path=scope["path"],
        query=query,
        headers=Headers(scope=scope),
        body=await _read_body(scope, receive),
    )


async def _read_body(scope: Scope, receive: Receive) -> bytes | None:
    """The whole body, or ``None`` if it is larger than any that could be accepted."""
    body = bytearray()
    async for chunk in Request(scope, receive).stream():
        body += chunk
        if len(body) > LARGEST_BODY:
            return None
    return bytes(body)
