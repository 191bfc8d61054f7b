"""The wire: what comes in is verified before it is read, and what goes out is signed (API §5).

The story is ``Wire``: read, number, verify, answer, log, sign, send. Faults on command will stand between these steps.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.utils import format_datetime
from typing import Any, Final

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from reconciler.sandbox import endpoints, gate, images
from reconciler.sandbox.endpoints import Call
from reconciler.sandbox.refusal import Refusal, not_found, param_error
from reconciler.sandbox.world import World
from reconciler.wechatpay import signing

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
    }
)
"""The methods of ``World`` that may be called over HTTP."""


def app(world: World, *, about: Mapping[str, Any] | None = None) -> Starlette:
    """The ASGI application. ``about`` is what ``/sandbox/about`` tells, so that a server can be recognised."""
    control = _Control(world, dict(about or {}))
    return Starlette(
        routes=[
            Route("/sandbox/about", control.tell),
            Route("/sandbox/{operation}", control.operate, methods=["POST"]),
            Route("/wxpaylogo/{token}/0", _Pictures(world).show),
            Route("/{rest:path}", Wire(world)),
        ]
    )


@dataclass(frozen=True, slots=True)
class Answer:
    """``verdict`` is what was found about the request's signature: ``ok``, or what is wrong with it."""

    status: int
    body: Any
    verdict: str

    @property
    def proven(self) -> bool:
        """Whether the answer is signed: only requests that could be verified get a proof (API §5.3)."""
        return self.verdict == "ok"


class Wire:
    """The API itself, as an ASGI application for every path that is not the sandbox's own."""

    def __init__(self, world: World) -> None:
        self._world = world
        keys = world.keys
        self._account = gate.Account(keys.mchid, keys.serial_no, keys.merchant_public_key)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            call = await _read_call(scope, receive)
        except ClientDisconnect:
            return
        answer = self._answer(call)
        request_id = self._record(call, answer)
        body = json.dumps(answer.body, ensure_ascii=False, separators=(",", ":")).encode()
        headers = dict(self._headers(answer, body, request_id))
        # Starlette's responses would write these names in lower case, and some SDKs compare case (API §11).
        raw = [(name.encode("ascii"), value.encode("ascii")) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": answer.status, "headers": raw})
        await send({"type": "http.response.body", "body": body})

    def _answer(self, call: Call) -> Answer:
        try:
            mchid = self._admit(call)
        except Refusal as refusal:
            issue = refusal.detail["detail"]["issue"] if refusal.status == 401 else "not checked"
            return Answer(refusal.status, refusal.body(), issue)
        try:
            return Answer(200, endpoints.answer(self._world, call, mchid), "ok")
        except Refusal as refusal:
            return Answer(refusal.status, refusal.body(), "ok")

    def _admit(self, call: Call) -> str:
        if call.body is None:
            raise Refusal(413, "PARAM_ERROR", "请求体过大")
        gate.check_headers(call.headers)
        authorization = call.headers.get("authorization", "")
        return gate.check_signature(authorization, call.signed, self._account, self._world.real())

    def _record(self, call: Call, answer: Answer) -> str:
        """Log the request, without anything secret, and give it its Request-ID."""
        return self._world.record(
            {
                "method": call.method,
                "target": call.target,
                "status": answer.status,
                "code": answer.body["code"] if answer.status >= 400 else "",
                "verdict": answer.verdict,
            }
        )

    def _headers(self, answer: Answer, body: bytes, request_id: str) -> Iterator[tuple[str, str]]:
        now = self._world.real()
        yield "Date", format_datetime(now, usegmt=True)
        yield "Content-Type", "application/json; charset=utf-8"
        yield "Content-Language", "zh-CN"
        yield "Content-Length", str(len(body))
        yield "Request-ID", request_id
        if answer.proven:
            yield from signing.response_headers(
                self._world.keys.platform_key,
                serial_no=self._world.keys.platform_serial_no,
                timestamp=str(int(now.timestamp())),
                nonce=secrets.token_hex(16),
                body=body,
            ).items()


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
