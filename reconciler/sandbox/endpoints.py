"""The endpoints: which rule answers which method and path, and how a request is read for it (API §1.0, §3–§5)."""

from __future__ import annotations

import base64
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from starlette.datastructures import Headers

from reconciler.sandbox import clock, gate, images, limits, reads, state
from reconciler.sandbox.keys import Keys
from reconciler.sandbox.refusal import Refusal, not_found, param_error
from reconciler.sandbox.world import World
from reconciler.wechatpay import wire


@dataclass(frozen=True, slots=True)
class Call:
    """A request to the API. ``target`` and ``body`` are exactly what was sent; ``body`` is ``None`` if it was too
    large to be read."""

    method: str
    target: str
    path: str
    query: str
    headers: Headers
    body: bytes | None

    @property
    def signed(self) -> gate.Signed:
        """For an upload the meta part stands for the body (API §4)."""
        body = (self.upload.meta or b"") if self.path == wire.IMAGE_UPLOAD_PATH else self.body
        return gate.Signed(self.method, self.target, body or b"")

    @property
    def upload(self) -> images.Upload:
        return images.read_upload(self.headers.get("content-type", ""), self.body or b"")

    def json(self) -> Any:
        if self.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise param_error("Http头Content-Type应为application/json")
        return limits.read_body(self.body or b"")


Endpoint = Callable[..., Any]


def answer(world: World, call: Call, mchid: str) -> Any:
    """The body of the 200 that ``call`` gets. Raises Refusal for every other answer."""
    endpoint, parameters = _find(call)
    return endpoint(world, call, mchid, **parameters)


def _find(call: Call) -> tuple[Endpoint, dict[str, str]]:
    methods = {method for method, path, _ in _TABLE if path.fullmatch(call.path)}
    if not methods:
        raise not_found("请求的资源不存在")
    for method, path, endpoint in _TABLE:
        found = path.fullmatch(call.path)
        if found and method == call.method:
            return endpoint, found.groupdict()
    raise Refusal(405, "METHOD_NOT_ALLOWED", f"请求方法应为{'、'.join(sorted(methods))}")


def _create(world: World, call: Call, mchid: str) -> Any:
    step = state.create(world.memory, mchid, call.json(), world.moment(), world.options)
    return world.commit(step)


def _list(world: World, call: Call, mchid: str) -> Any:
    asked, filters = limits.list_query(call.query)
    return reads.listing(world.memory, mchid, asked, filters, world.moment(), world.options)


def _detail(world: World, call: Call, mchid: str, activity_id: str) -> Any:
    limits.read_query(call.query, ())
    return reads.detail(world.memory, mchid, activity_id, world.moment(), world.options)


def _merchants(world: World, call: Call, mchid: str, activity_id: str) -> Any:
    asked = limits.page_query(call.query, world.options)
    return reads.merchants(world.memory, mchid, activity_id, asked, world.options)


def _goods(world: World, call: Call, mchid: str, activity_id: str) -> Any:
    asked = limits.page_query(call.query, world.options)
    return reads.goods(world.memory, mchid, activity_id, asked, world.options)


def _terminate(world: World, call: Call, mchid: str, activity_id: str) -> Any:
    if call.body:
        raise param_error("请求体应为空")
    step = state.terminate(world.memory, mchid, activity_id, world.moment(), world.options)
    return world.commit(step)


def _add(world: World, call: Call, mchid: str, activity_id: str) -> Any:
    step = state.add_merchants(world.memory, mchid, activity_id, call.json(), world.moment(), world.options)
    return world.commit(step)


def _delete(world: World, call: Call, mchid: str, activity_id: str) -> Any:
    step = state.delete_merchants(
        world.memory, mchid, activity_id, call.json(), world.moment(), world.options
    )
    return world.commit(step)


def _create_stock(world: World, call: Call, mchid: str) -> Any:
    return world.commit(state.create_stock(world.memory, mchid, call.json(), world.moment()))


def _stock(world: World, call: Call, _mchid: str, stock_id: str) -> Any:
    limits.read_query(call.query, ())
    return state.stock(world.memory, stock_id)


def _upload(world: World, call: Call, _mchid: str) -> Any:
    return world.commit(images.upload(world.memory, call.upload, world.options))


def _certificates(world: World, call: Call, _mchid: str) -> Any:
    """API §5.5. There is an RSA certificate and no SM2 one."""
    algorithm = limits.read_query(call.query, ("algorithm_type",)).get("algorithm_type", "RSA")
    if algorithm not in ("RSA", "SM2", "ALL"):
        raise param_error("algorithm_type应为RSA、SM2或ALL", "/query/algorithm_type", algorithm)
    return {"data": [] if algorithm == "SM2" else [_encrypted(world.keys)]}


def _encrypted(keys: Keys) -> dict[str, Any]:
    nonce = secrets.token_hex(6)
    plain = keys.platform_certificate_pem.encode()
    sealed = AESGCM(keys.apiv3_key.encode()).encrypt(nonce.encode(), plain, b"certificate")
    certificate = keys.platform_certificate
    return {
        "serial_no": keys.platform_serial_no,
        "effective_time": clock.beijing(certificate.not_valid_before_utc.timestamp()),
        "expire_time": clock.beijing(certificate.not_valid_after_utc.timestamp()),
        "encrypt_certificate": {
            "algorithm": "AEAD_AES_256_GCM",
            "nonce": nonce,
            "associated_data": "certificate",
            "ciphertext": base64.b64encode(sealed).decode("ascii"),
        },
    }


def _row(method: str, path: str, endpoint: Endpoint) -> tuple[str, re.Pattern[str], Endpoint]:
    return method, re.compile(re.sub(r"{(\w+)}", r"(?P<\1>[^/]+)", path)), endpoint


_ACTIVITY: Final = f"{wire.ACTIVITIES_PATH}/{{activity_id}}"
_TABLE: Final = (
    _row("POST", wire.CREATE_PATH, _create),
    _row("GET", wire.ACTIVITIES_PATH, _list),
    _row("GET", _ACTIVITY, _detail),
    _row("GET", f"{_ACTIVITY}/merchants", _merchants),
    _row("GET", f"{_ACTIVITY}/goods", _goods),
    _row("POST", f"{_ACTIVITY}/terminate", _terminate),
    _row("POST", f"{_ACTIVITY}/merchants/add", _add),
    _row("POST", f"{_ACTIVITY}/merchants/delete", _delete),
    _row("POST", wire.STOCKS_PATH, _create_stock),
    _row("GET", f"{wire.STOCKS_PATH}/{{stock_id}}", _stock),
    _row("POST", wire.IMAGE_UPLOAD_PATH, _upload),
    _row("GET", wire.CERTIFICATES_PATH, _certificates),
)
