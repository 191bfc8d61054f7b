"""The endpoints: which rule answers which method and path, and how a request is read for it (API §1.0, §3–§5)."""

from __future__ import annotations

import base64
import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, NamedTuple

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from reconciler.sandbox import clock, images, limits, mischief, reads, state
from reconciler.sandbox.call import Call
from reconciler.sandbox.faults import Fault
from reconciler.sandbox.keys import Signer
from reconciler.sandbox.memory import Memory, Step
from reconciler.sandbox.options import Options
from reconciler.sandbox.refusal import Refusal, not_found, param_error
from reconciler.sandbox.world import World
from reconciler.wechatpay import wire


@dataclass(frozen=True, slots=True)
class Scene:
    """What an endpoint may know besides the request: the memory as this request sees it, the business clock, and
    whose certificates there are."""

    memory: Memory
    now: datetime
    options: Options
    mchid: str
    platforms: Sequence[Signer]
    apiv3_key: str = field(repr=False)


Endpoint = Callable[..., Step]


def route_of(call: Call) -> str:
    """The name by which faults know the endpoint of ``call`` (``faults.ROUTES``); empty if there is none."""
    return next(
        (row.route for row in _TABLE if row.method == call.method and row.path.fullmatch(call.path)), ""
    )


def answer(world: World, call: Call, mchid: str, fault: Fault | None = None) -> Any:
    """The body of the 200 that ``call`` gets. Raises Refusal for every other answer.

    ``fault`` has struck at the stage ``EFFECT``: what it does to the memory happens before, what it does to the view
    and to the effect in ``mischief``.
    """
    row, parameters = _find(call)
    if row.route == "upload":
        world.uploads.check(world.real())
    now, activity_id = world.moment(), parameters.get("activity_id", "")
    world.commit(mischief.intruded(world.memory, fault, mchid, activity_id, now))
    seen = mischief.seen(world.memory, fault, row.route, activity_id, call.body or b"", now)
    world.commit(mischief.looked(world.memory, row.route, activity_id))
    scene = Scene(
        memory=seen,
        now=mischief.seen_at(fault, now),
        options=world.options,
        mchid=mchid,
        platforms=world.platforms(),
        apiv3_key=world.keys.apiv3_key,
    )
    step = row.endpoint(scene, call, **parameters)
    return world.commit(mischief.bent(world.memory, step, fault, now))


def _find(call: Call) -> tuple[_Row, dict[str, str]]:
    methods = {row.method for row in _TABLE if row.path.fullmatch(call.path)}
    if not methods:
        raise not_found("请求的资源不存在")
    for row in _TABLE:
        found = row.path.fullmatch(call.path)
        if found and row.method == call.method:
            return row, found.groupdict()
    raise Refusal(405, "METHOD_NOT_ALLOWED", f"请求方法应为{'、'.join(sorted(methods))}")


def _create(scene: Scene, call: Call) -> Step:
    return state.create(scene.memory, scene.mchid, call.json(), scene.now, scene.options)


def _list(scene: Scene, call: Call) -> Step:
    asked, filters = limits.list_query(call.query)
    return Step(reads.listing(scene.memory, scene.mchid, asked, filters, scene.now, scene.options))


def _detail(scene: Scene, call: Call, activity_id: str) -> Step:
    limits.read_query(call.query, ())
    return Step(reads.detail(scene.memory, scene.mchid, activity_id, scene.now, scene.options))


def _merchants(scene: Scene, call: Call, activity_id: str) -> Step:
    asked = limits.page_query(call.query, scene.options)
    return Step(reads.merchants(scene.memory, scene.mchid, activity_id, asked, scene.options))


def _goods(scene: Scene, call: Call, activity_id: str) -> Step:
    asked = limits.page_query(call.query, scene.options)
    return Step(reads.goods(scene.memory, scene.mchid, activity_id, asked, scene.options))


def _terminate(scene: Scene, call: Call, activity_id: str) -> Step:
    if call.body:
        raise param_error("请求体应为空")
    return state.terminate(scene.memory, scene.mchid, activity_id, scene.now, scene.options)


def _add(scene: Scene, call: Call, activity_id: str) -> Step:
    body = call.json()
    return state.add_merchants(scene.memory, scene.mchid, activity_id, body, scene.now, scene.options)


def _delete(scene: Scene, call: Call, activity_id: str) -> Step:
    body = call.json()
    return state.delete_merchants(scene.memory, scene.mchid, activity_id, body, scene.now, scene.options)


def _create_stock(scene: Scene, call: Call) -> Step:
    return state.create_stock(scene.memory, scene.mchid, call.json(), scene.now)


def _stock(scene: Scene, call: Call, stock_id: str) -> Step:
    limits.read_query(call.query, ())
    return Step(state.stock(scene.memory, stock_id))


def _upload(scene: Scene, call: Call) -> Step:
    return images.upload(scene.memory, call.upload, scene.options)


def _certificates(scene: Scene, call: Call) -> Step:
    """API §5.5. There are RSA certificates and no SM2 one; none at all, once there is only the public key."""
    algorithm = limits.read_query(call.query, ("algorithm_type",)).get("algorithm_type", "RSA")
    if algorithm not in ("RSA", "SM2", "ALL"):
        raise param_error("algorithm_type应为RSA、SM2或ALL", "/query/algorithm_type", algorithm)
    if not scene.platforms:
        raise not_found("无可用的平台证书，请在商户平台-API安全申请使用微信支付公钥")
    listed = [] if algorithm == "SM2" else scene.platforms
    return Step({"data": [_encrypted(each, scene.apiv3_key) for each in listed]})


def _encrypted(platform: Signer, apiv3_key: str) -> dict[str, Any]:
    nonce = secrets.token_hex(6)
    plain = platform.certificate_pem.encode()
    sealed = AESGCM(apiv3_key.encode()).encrypt(nonce.encode(), plain, b"certificate")
    begin, end = platform.validity
    return {
        "serial_no": platform.serial_no,
        "effective_time": clock.beijing(begin.timestamp()),
        "expire_time": clock.beijing(end.timestamp()),
        "encrypt_certificate": {
            "algorithm": "AEAD_AES_256_GCM",
            "nonce": nonce,
            "associated_data": "certificate",
            "ciphertext": base64.b64encode(sealed).decode("ascii"),
        },
    }


class _Row(NamedTuple):
    route: str
    method: str
    path: re.Pattern[str]
    endpoint: Endpoint


def _row(route: str, method: str, path: str, endpoint: Endpoint) -> _Row:
    return _Row(route, method, re.compile(re.sub(r"{(\w+)}", r"(?P<\1>[^/]+)", path)), endpoint)


_ACTIVITY: Final = f"{wire.ACTIVITIES_PATH}/{{activity_id}}"
_TABLE: Final = (
    _row("create", "POST", wire.CREATE_PATH, _create),
    _row("list", "GET", wire.ACTIVITIES_PATH, _list),
    _row("detail", "GET", _ACTIVITY, _detail),
    _row("merchants", "GET", f"{_ACTIVITY}/merchants", _merchants),
    _row("goods", "GET", f"{_ACTIVITY}/goods", _goods),
    _row("terminate", "POST", f"{_ACTIVITY}/terminate", _terminate),
    _row("add", "POST", f"{_ACTIVITY}/merchants/add", _add),
    _row("delete", "POST", f"{_ACTIVITY}/merchants/delete", _delete),
    _row("stock", "POST", wire.STOCKS_PATH, _create_stock),
    _row("stock", "GET", f"{wire.STOCKS_PATH}/{{stock_id}}", _stock),
    _row("upload", "POST", wire.IMAGE_UPLOAD_PATH, _upload),
    _row("certificates", "GET", wire.CERTIFICATES_PATH, _certificates),
)
