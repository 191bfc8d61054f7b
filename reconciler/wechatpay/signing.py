"""APIv3 signatures: what is signed, how it is signed, and how a signature is checked (API §5.2, §5.3).

Pure: the time and the nonce are arguments. Used by the client, and by the sandbox from the other side.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256

SCHEME: Final = "WECHATPAY2-SHA256-RSA2048"
"""Of the ``Authorization`` header (API §5.2)."""
WINDOW_SECONDS: Final = 300
"""A signed answer is rejected when its timestamp is this far, or farther, from now (API §5.3)."""
PROBE_PREFIX: Final = "WECHATPAY/SIGNTEST/"
"""What deliberately wrong signatures begin with; they must fail like any other (API §5.4)."""

PROOF_HEADERS: Final = (
    "Wechatpay-Timestamp",
    "Wechatpay-Nonce",
    "Wechatpay-Signature",
    "Wechatpay-Serial",
)
"""The headers of a signed answer (API §5.3)."""

_PADDING: Final = PKCS1v15()
_DIGEST: Final = SHA256()
_PARAMETER: Final = re.compile(r'\s*([a-z_]+)="([^"]*)"\s*(?:,|$)')
_TIMESTAMP: Final = re.compile(r"[0-9]{1,15}")
_PARAMETERS: Final = frozenset({"mchid", "nonce_str", "signature", "timestamp", "serial_no"})


@dataclass(frozen=True, slots=True)
class Authorization:
    """The parts of a request's ``Authorization`` header. ``timestamp`` stays text: it is signed as it was sent."""

    mchid: str
    nonce_str: str
    signature: str
    timestamp: str
    serial_no: str

    def header(self) -> str:
        """The value to send."""
        return (
            f'{SCHEME} mchid="{self.mchid}",nonce_str="{self.nonce_str}",signature="{self.signature}",'
            f'timestamp="{self.timestamp}",serial_no="{self.serial_no}"'
        )

    @classmethod
    def parse(cls, header: str) -> Authorization:
        """Read a header back; the order of its parts is free. Raises ValueError naming what is wrong with it."""
        scheme, _, rest = header.partition(" ")
        if scheme != SCHEME:
            raise ValueError(f"the Authorization scheme must be {SCHEME}")
        parts: dict[str, str] = {}
        position = 0
        while position < len(rest):
            found = _PARAMETER.match(rest, position)
            if found is None or found[1] in parts:
                raise ValueError('Authorization must be a list of name="value" pairs, each name once')
            parts[found[1]] = found[2]
            position = found.end()
        if parts.keys() != _PARAMETERS:
            raise ValueError(f"Authorization must hold exactly {', '.join(sorted(_PARAMETERS))}")
        return cls(**parts)


def request_message(method: str, target: str, timestamp: str, nonce: str, body: bytes) -> bytes:
    """The bytes that a request's signature covers: five lines, each with its newline.

    ``target`` is path and query exactly as sent, without the host; ``body`` the exact bytes sent, the meta JSON
    for an image upload, empty where there is none.
    """
    return f"{method}\n{target}\n{timestamp}\n{nonce}\n".encode() + body + b"\n"


def response_message(timestamp: str, nonce: str, body: bytes) -> bytes:
    """The bytes that an answer's signature covers: three lines over the raw body."""
    return f"{timestamp}\n{nonce}\n".encode() + body + b"\n"


def sign(key: RSAPrivateKey, message: bytes) -> str:
    """SHA256-with-RSA (PKCS#1 v1.5), Base64."""
    return base64.b64encode(key.sign(message, _PADDING, _DIGEST)).decode("ascii")


def verifies(key: RSAPublicKey, message: bytes, signature: str) -> bool:
    """Whether ``signature`` (Base64) is ``key``'s over ``message``. Text that is not Base64 simply does not verify."""
    try:
        # Without validate, Python passes over what is no Base64.
        raw = base64.b64decode(signature, validate=True)
        key.verify(raw, message, _PADDING, _DIGEST)
    except (binascii.Error, ValueError, InvalidSignature):
        return False
    return True


def authorize(
    key: RSAPrivateKey,
    *,
    mchid: str,
    serial_no: str,
    method: str,
    target: str,
    timestamp: str,
    nonce: str,
    body: bytes,
) -> str:
    """The ``Authorization`` header of one request."""
    signature = sign(key, request_message(method, target, timestamp, nonce, body))
    return Authorization(mchid, nonce, signature, timestamp, serial_no).header()


def response_headers(
    key: RSAPrivateKey, *, serial_no: str, timestamp: str, nonce: str, body: bytes
) -> Mapping[str, str]:
    """The headers that prove an answer, spelled as the real service spells them (API §11)."""
    return {
        "Wechatpay-Timestamp": timestamp,
        "Wechatpay-Nonce": nonce,
        "Wechatpay-Signature": sign(key, response_message(timestamp, nonce, body)),
        "Wechatpay-Serial": serial_no,
        "Wechatpay-Signature-Type": SCHEME,
    }


@dataclass(frozen=True, slots=True)
class Proof:
    """The four headers by which an answer proves its origin. ``timestamp`` stays text: it was signed as it is."""

    timestamp: str
    nonce: str
    signature: str = field(repr=False)
    serial_no: str

    @classmethod
    def read(cls, headers: Mapping[str, str]) -> Proof:
        """From an answer's headers (a mapping that ignores case). Raises ValueError saying what they lack."""
        parts = [headers.get(name, "").strip() for name in PROOF_HEADERS]
        lacking = [name for name, part in zip(PROOF_HEADERS, parts, strict=True) if not part]
        if lacking:
            raise ValueError(f"{', '.join(lacking)} missing or empty")
        # In another client a time that is not a number slips through the window (API §11).
        if not _TIMESTAMP.fullmatch(parts[0]):
            raise ValueError("Wechatpay-Timestamp is not a number of seconds")
        return cls(*parts)

    @property
    def is_probe(self) -> bool:
        """Whether the signature is wrong on purpose, which is worth saying; it fails like any other."""
        return self.signature.startswith(PROBE_PREFIX)

    def age_seconds(self, now: float) -> float:
        """How long before ``now`` (Unix seconds) the answer was signed; negative when after."""
        return now - int(self.timestamp)

    def holds(self, key: RSAPublicKey, body: bytes) -> bool:
        """Whether ``key`` signed ``body``, the exact bytes received, with this time and nonce."""
        return verifies(key, response_message(self.timestamp, self.nonce, body), self.signature)
