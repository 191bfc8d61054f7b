"""The whole ASGI application: the API, the sandbox's own endpoints, and who may ask either.

The sandbox asks nobody who they are, so only this machine may talk to it. A web page elsewhere can have its own name
resolve to 127.0.0.1 and then send what it likes (DNS rebinding); a browser says that name in ``Host`` all the same.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from reconciler.sandbox import images
from reconciler.sandbox.api import routes
from reconciler.sandbox.api_error import ApiErrorResponse, not_found, param_error
from reconciler.sandbox.world import World

OPERATIONS: Final = frozenset(
    {
        *("now", "set_clock", "seed", "reset", "log", "activities", "history"),
        *(
            "pause",
            "resume",
            "fail_creation",
            "declare_invalid",
            "declare_valid",
            "insert_activity",
            "add_brand",
        ),
        *("add_fault", "clear_faults", "faults"),
    }
)
"""The methods of ``World`` that may be called over HTTP."""
SERVICE_NAMES: Final = frozenset({"api.mch.weixin.qq.com", "api2.mch.weixin.qq.com"})
"""The names that the sandbox stands in for: clients that are led to it by other means still send them, and nobody else
can have them resolve to anything."""
_HOST: Final = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<name>[0-9A-Za-z.-]+))(?::[0-9]*)?", re.ASCII)


def app(world: World, *, about: Mapping[str, Any] | None = None) -> Starlette:
    """The ASGI application. ``about`` is what ``/sandbox/about`` tells, so that a server can be recognised."""
    own = _OwnEndpoints(world, dict(about or {}))
    return Starlette(
        routes=[
            Route("/sandbox/about", own.about),
            Route("/sandbox/{operation}", own.operate, methods=["POST"]),
            Route("/wxpaylogo/{token}/0", own.image),
            *routes(world),
        ],
        middleware=[Middleware(_OnlyThisMachine)],
    )


def is_loopback(name: str) -> bool:
    """Whether ``name`` is ``localhost`` or an address that never leaves this machine."""
    if name.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def is_loopback_url(url: object) -> bool:
    """Whether ``url`` is an http or https address of this machine."""
    if not isinstance(url, str):
        return False
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - raises where it is not a number
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and parts.username is None and is_loopback(parts.hostname or "")


def is_for_this_machine(hosts: Sequence[str]) -> bool:
    """Whether a request with these ``Host`` headers was meant for the sandbox: there is one, and it is ours."""
    # Of two Host headers nobody knows which one a browser or a proxy went by.
    found = _HOST.fullmatch(hosts[0]) if len(hosts) == 1 else None
    if found is None:
        return False
    if found["six"]:
        return is_loopback(found["six"])
    return found["name"].lower() in SERVICE_NAMES or is_loopback(found["name"])


class _OnlyThisMachine:
    """Lets in only what was sent to a name of this machine."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        hosts = Headers(scope=scope).getlist("host") if scope["type"] == "http" else []
        if scope["type"] != "http" or is_for_this_machine(hosts):
            await self._app(scope, receive, send)
            return
        named = ", ".join(hosts)[:100] or "nobody"
        message = f"The sandbox answers only what is sent to this machine, such as 127.0.0.1, and not to {named}."
        await JSONResponse({"code": "MISDIRECTED", "message": message}, 421)(scope, receive, send)


class _OwnEndpoints:
    """What is not WeChat Pay's: the methods of ``World`` as POST /sandbox/NAME with arguments in JSON, for people and
    tests, and the images that were uploaded."""

    def __init__(self, world: World, about: dict[str, Any]) -> None:
        self._world = world
        self._about = about

    async def about(self, _request: Request) -> Response:
        return JSONResponse(self._about)

    async def operate(self, request: Request) -> Response:
        try:
            result = self._operate(request.path_params["operation"], request.headers, await request.body())
        except ApiErrorResponse as error:
            return JSONResponse(error.body(), error.status)
        return JSONResponse(result)

    async def image(self, request: Request) -> Response:
        url = f"{images.HOST}{request.url.path}"
        image = self._world.memory.images.get(url)
        if image is None:
            return Response(status_code=404)
        return Response(self._world.store.blob(url), media_type=image.media_type)

    def _operate(self, operation: str, headers: Headers, body: bytes) -> Any:
        if operation not in OPERATIONS:
            raise not_found(f"there is no operation {operation!r}")
        # A web page can send JSON here only after asking first, which nobody answers: so it cannot.
        if headers.get("content-type") != "application/json":
            raise param_error("Content-Type must be application/json")
        try:
            return getattr(self._world, operation)(**json.loads(body))
        except RecursionError:
            raise param_error(f"{operation} cannot be called so: its arguments are nested too deeply") from None
        except (TypeError, ValueError) as error:
            raise param_error(f"{operation} cannot be called so: {error}") from None
