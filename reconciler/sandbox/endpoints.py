"""The endpoints: which rule answers which method and path, and what it is given (API §1.0, §3–§5)."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, NamedTuple

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from reconciler.sandbox import clock, fault_effects, images, limits, reads, writes
from reconciler.sandbox.api_error import ApiErrorResponse, not_found, param_error
from reconciler.sandbox.authentication import ApiRequest
from reconciler.sandbox.faults import Fault
from reconciler.sandbox.keys import Signer
from reconciler.sandbox.memory import Memory, Transaction
from reconciler.sandbox.options import SandboxOptions
from reconciler.sandbox.world import World
from reconciler.wechatpay import wire


@dataclass(frozen=True, slots=True)
class RequestContext:
    """What an endpoint may know besides the request: the memory as this request sees it, the business clock, and
    whose certificates there are."""

    memory: Memory
    now: datetime
    options: SandboxOptions
    mchid: str
    platforms: Sequence[Signer]
    apiv3_key: str = field(repr=False)


class Endpoint(NamedTuple):
    """``route`` is the name by which faults know it (``faults.ROUTES``); ``path`` is a pattern of Starlette's."""

    route: str
    method: str
    path: str
    answer: Callable[..., Transaction]


def answer(world: World, request: ApiRequest, endpoint: Endpoint | None, mchid: str, fault: Fault | None = None) -> Any:
    """The body of the 200 that ``request`` gets from ``endpoint``, whose path it has, or which is ``None`` where none
    has. Raises ApiErrorResponse for every other answer.

    ``fault`` has struck at the stage ``EFFECT``: what it does to the memory happens before, what it does to the view
    and to the effect in ``fault_effects``.
    """
    if endpoint is None:
        raise not_found("请求的资源不存在")
    if request.method != endpoint.method:
        raise ApiErrorResponse(405, "METHOD_NOT_ALLOWED", f"请求方法应为{endpoint.method}")
    if endpoint.route == "upload":
        # Real time: a limit by the minute must not pass by moving the business clock.
        world.uploads.check(world.real())
    now, activity_id = world.moment(), request.parameters.get("activity_id", "")
    # It stays, even if the request is refused: somebody else has done it.
    world.commit(fault_effects.insert_row_before_read(world.memory, fault, mchid, activity_id, now))
    view = fault_effects.change_view(world.memory, fault, endpoint.route, activity_id, request.body or b"", now)
    # After the view was taken, so that the read which is counted still misses the activity.
    world.commit(fault_effects.count_read(world.memory, endpoint.route, activity_id))
    context = RequestContext(
        memory=view,
        now=fault_effects.status_time(fault, now),
        options=world.options,
        mchid=mchid,
        platforms=world.platforms(),
        apiv3_key=world.keys.apiv3_key,
    )
    transaction = endpoint.answer(context, request, **request.parameters)
    return world.commit(fault_effects.change_transaction(world.memory, transaction, fault, now))


def _create(context: RequestContext, request: ApiRequest) -> Transaction:
    return writes.create(context.memory, context.mchid, request.json(), context.now, context.options)


def _list(context: RequestContext, request: ApiRequest) -> Transaction:
    asked, filters = limits.list_query(request.query)
    return Transaction(reads.listing(context.memory, context.mchid, asked, filters, context.now, context.options))


def _detail(context: RequestContext, request: ApiRequest, activity_id: str) -> Transaction:
    limits.read_query(request.query, ())
    return Transaction(reads.detail(context.memory, context.mchid, activity_id, context.now, context.options))


def _merchants(context: RequestContext, request: ApiRequest, activity_id: str) -> Transaction:
    asked = limits.page_query(request.query, context.options)
    return Transaction(reads.merchants(context.memory, context.mchid, activity_id, asked, context.options))


def _goods(context: RequestContext, request: ApiRequest, activity_id: str) -> Transaction:
    asked = limits.page_query(request.query, context.options)
    return Transaction(reads.goods(context.memory, context.mchid, activity_id, asked, context.options))


def _terminate(context: RequestContext, request: ApiRequest, activity_id: str) -> Transaction:
    # One client sends the body null here, and signs an empty one (API §11).
    if request.body:
        raise param_error("请求体应为空")
    return writes.terminate(context.memory, context.mchid, activity_id, context.now, context.options)


def _add(context: RequestContext, request: ApiRequest, activity_id: str) -> Transaction:
    body = request.json()
    return writes.add_merchants(context.memory, context.mchid, activity_id, body, context.now, context.options)


def _delete(context: RequestContext, request: ApiRequest, activity_id: str) -> Transaction:
    body = request.json()
    return writes.delete_merchants(context.memory, context.mchid, activity_id, body, context.now, context.options)


def _create_stock(context: RequestContext, request: ApiRequest) -> Transaction:
    return writes.create_stock(context.memory, context.mchid, request.json(), context.now)


def _stock(context: RequestContext, request: ApiRequest, stock_id: str) -> Transaction:
    limits.read_query(request.query, ())
    return Transaction(writes.stock(context.memory, stock_id))


def _upload(context: RequestContext, request: ApiRequest) -> Transaction:
    return images.upload(context.memory, request.upload, context.options)


def _certificates(context: RequestContext, request: ApiRequest) -> Transaction:
    """API §5.5. There are RSA certificates and no SM2 one; none at all, once there is only the public key."""
    # The Java SDK sends this parameter (API §11).
    algorithm = limits.read_query(request.query, ("algorithm_type",)).get("algorithm_type", "RSA")
    if algorithm not in ("RSA", "SM2", "ALL"):
        raise param_error("algorithm_type应为RSA、SM2或ALL", "/query/algorithm_type", algorithm)
    if not context.platforms:
        raise not_found("无可用的平台证书，请在商户平台-API安全申请使用微信支付公钥")
    listed = [] if algorithm == "SM2" else context.platforms
    return Transaction({"data": [_encrypted(each, context.apiv3_key) for each in listed]})


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


_ACTIVITY: Final = f"{wire.ACTIVITIES_PATH}/{{activity_id}}"
ENDPOINTS: Final = (
    Endpoint("create", "POST", wire.CREATE_PATH, _create),
    Endpoint("list", "GET", wire.ACTIVITIES_PATH, _list),
    Endpoint("detail", "GET", _ACTIVITY, _detail),
    Endpoint("merchants", "GET", f"{_ACTIVITY}/merchants", _merchants),
    Endpoint("goods", "GET", f"{_ACTIVITY}/goods", _goods),
    Endpoint("terminate", "POST", f"{_ACTIVITY}/terminate", _terminate),
    Endpoint("add", "POST", f"{_ACTIVITY}/merchants/add", _add),
    Endpoint("delete", "POST", f"{_ACTIVITY}/merchants/delete", _delete),
    Endpoint("stock", "POST", wire.STOCKS_PATH, _create_stock),
    Endpoint("stock", "GET", f"{wire.STOCKS_PATH}/{{stock_id}}", _stock),
    Endpoint("upload", "POST", wire.IMAGE_UPLOAD_PATH, _upload),
    Endpoint("certificates", "GET", wire.CERTIFICATES_PATH, _certificates),
)
"""Every path serves one method."""
