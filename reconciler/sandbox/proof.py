"""The headers that prove an answer (API §5.3), as they should be, and as faults want them. Pure: time and nonce are
arguments."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Final

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from reconciler.sandbox.faults import Fault
from reconciler.wechatpay import signing

UNKNOWN_SERIAL: Final = "7FFFFFFF00000000DEADBEEF0000000000000000"
"""Well formed, and in no list of certificates."""


def prove(
    body: bytes,
    fault: Fault | None,
    *,
    key: RSAPrivateKey,
    serial_no: str,
    stranger: RSAPrivateKey,
    now: float,
    nonce: str,
) -> tuple[Mapping[str, str], bytes]:
    """The ``Wechatpay-…`` headers of an answer, and the body to send with them.

    ``stranger`` is a key that is not the platform's. ``now`` is in Unix seconds.
    """

    def signed(
        *, by: RSAPrivateKey = key, serial: str = serial_no, at: str = str(int(now))
    ) -> dict[str, str]:
        return dict(signing.response_headers(by, serial_no=serial, timestamp=at, nonce=nonce, body=body))

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
            return signed(at=str(int(now - fault["seconds"]))), body
        case Fault(kind="future_timestamp"):
            return signed(at=str(int(now + fault["seconds"]))), body
        case Fault(kind="text_timestamp"):
            return signed(at="just now"), body
        case _:
            return signed(), tampered(body)


def tampered(body: bytes) -> bytes:
    """``body`` changed behind the signature's back: another JSON object, with one field more."""
    return b'{"tampered":true,' + body.removeprefix(b"{")
