"""The keys of a merchant and of WeChat Pay: loading, checking, decrypting (API §5.2, §5.5, §5.6).

The merchant's private key signs requests. Answers are signed by a platform certificate, which the service hands out
encrypted under the APIv3 key, or by the WeChat Pay public key, which the merchant downloads once. Both may be in use
at the same time, so every answer names its key by a serial number, and a ``Keyring`` looks it up.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from reconciler.errors import CredentialsError, UnverifiedError
from reconciler.wechatpay import signing, wire

MINIMUM_BITS: Final = 2048
APIV3_KEY_BYTES: Final = 32
PUBLIC_KEY_ID_PREFIX: Final = "PUB_KEY_ID_"
CERTIFICATE_ALGORITHM: Final = "AEAD_AES_256_GCM"

Key = TypeVar("Key")

_MCHID: Final = re.compile(r"[0-9]{8,15}", re.ASCII)
_SERIAL_NO: Final = re.compile(r"[0-9A-Fa-f]{1,40}", re.ASCII)
_PEM_LABEL: Final = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----")

_PRIVATE_KEY_REMEDY: Final = (
    "Use the file apiclient_key.pem from the merchant platform (账户中心 → API安全), with its line breaks."
)
_PUBLIC_KEY_REMEDY: Final = (
    "Use the file pub_key.pem, which the merchant platform offers under 账户中心 → API安全 → 微信支付公钥."
)


@dataclass(frozen=True, slots=True, repr=False)
class Credentials:
    """Who calls, and the keys of both sides. Checked when it is made; its repr holds no secret.

    ``serial_no`` is the merchant certificate's, in hex. ``apiv3_key`` (32 bytes) opens platform certificates;
    ``public_key`` with its ``public_key_id`` replaces them. At least one of the two must be there. Raises
    CredentialsError naming the first thing that is wrong.
    """

    mchid: str
    serial_no: str
    private_key: RSAPrivateKey
    apiv3_key: bytes | None = None
    public_key_id: str = ""
    public_key: RSAPublicKey | None = None

    def __post_init__(self) -> None:
        if not _MCHID.fullmatch(self.mchid):
            raise CredentialsError(
                f"the merchant number must be 8 to 15 digits, found {_shape(self.mchid)}.",
                remedy="Set PAYGIFT_MCHID to the 商户号 shown on the merchant platform.",
            )
        if not _SERIAL_NO.fullmatch(self.serial_no):
            raise CredentialsError(
                f"the merchant certificate's serial number must be up to 40 hex digits, "
                f"found {_shape(self.serial_no)}.",
                remedy="Set PAYGIFT_SERIAL_NO to what `openssl x509 -noout -serial -in apiclient_cert.pem` prints "
                "after `serial=`.",
            )
        _require_bits(self.private_key, "the merchant's private key", _PRIVATE_KEY_REMEDY)
        if self.apiv3_key is not None and len(self.apiv3_key) != APIV3_KEY_BYTES:
            raise CredentialsError(
                f"the APIv3 key must be exactly {APIV3_KEY_BYTES} bytes, found {len(self.apiv3_key)}.",
                remedy="Check PAYGIFT_APIV3_KEY for a missing end, quotes, or a trailing line break.",
            )
        self._check_public_key()

    def _check_public_key(self) -> None:
        if self.public_key is None and not self.public_key_id:
            if self.apiv3_key is None:
                raise CredentialsError(
                    "nothing can verify what WeChat Pay answers: neither an APIv3 key nor a WeChat Pay public key "
                    "is set.",
                    remedy="Set PAYGIFT_APIV3_KEY, or PAYGIFT_PUBLIC_KEY_ID with PAYGIFT_PUBLIC_KEY.",
                )
            return
        if self.public_key is None or not self.public_key_id:
            there, missing = "PAYGIFT_PUBLIC_KEY", "PAYGIFT_PUBLIC_KEY_ID"
            if self.public_key is None:
                there, missing = missing, there
            raise CredentialsError(
                f"{there} is set, but {missing} is not.",
                remedy="Set both, or neither to use platform certificates.",
            )
        if not self.public_key_id.startswith(PUBLIC_KEY_ID_PREFIX):
            raise CredentialsError(
                f"the public key's id must begin with {PUBLIC_KEY_ID_PREFIX}, "
                f"found {_shape(self.public_key_id)}.",
                remedy="Set PAYGIFT_PUBLIC_KEY_ID to the 公钥ID that the merchant platform shows beside the key.",
            )
        _require_bits(self.public_key, "the WeChat Pay public key", _PUBLIC_KEY_REMEDY)

    def mac(self, purpose: str, data: bytes) -> str:
        """64 hex digits that only the holder of the private key can make: HMAC-SHA256 over ``data``, under a key that
        is derived for this ``purpose`` and merchant number alone, and never leaves here."""
        secret = self.private_key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        info = f"paygift {purpose} {self.mchid}".encode()
        key = HKDF(hashes.SHA256(), length=32, salt=None, info=info).derive(secret)
        return hmac.new(key, data, "sha256").hexdigest()

    def __repr__(self) -> str:
        apiv3_key = None if self.apiv3_key is None else "[secure]"
        return (
            f"Credentials(mchid={self.mchid!r}, serial_no={self.serial_no!r}, private_key=[secure], "
            f"apiv3_key={apiv3_key}, public_key_id={self.public_key_id!r})"
        )


def _shape(text: str) -> str:
    """Never the text itself: people swap variables, and then it is another one's secret."""
    return f"{len(text)} characters{'' if text.isalnum() else ', not all of them letters and digits'}"


def load_private_key(pem: str | bytes, *, where: str) -> RSAPrivateKey:
    """The merchant's private key from PEM text; ``where`` names its source in errors (a file or a variable).

    Raises CredentialsError with cause and remedy, and without a byte of the text.
    """
    label = _pem_label(pem, where, _PRIVATE_KEY_REMEDY)
    if "ENCRYPTED" in label or b"Proc-Type: 4,ENCRYPTED" in _as_bytes(pem):
        raise CredentialsError(
            f"{where} holds a private key that is encrypted with a passphrase.",
            remedy="Decrypt it first: openssl pkey -in apiclient_key.pem -out decrypted.pem",
        )
    if "PRIVATE KEY" not in label:
        raise CredentialsError(
            f"{where} holds a {label.lower()}, not a private key.", remedy=_PRIVATE_KEY_REMEDY
        )
    key = _parse(lambda: load_pem_private_key(_as_bytes(pem), None), label, where, _PRIVATE_KEY_REMEDY)
    if not isinstance(key, RSAPrivateKey):
        raise CredentialsError(
            f"{where} holds a private key that is not an RSA key.", remedy=_PRIVATE_KEY_REMEDY
        )
    _require_bits(key, where, _PRIVATE_KEY_REMEDY)
    return key


def load_public_key(pem: str | bytes, *, where: str) -> RSAPublicKey:
    """The WeChat Pay public key from PEM text; ``where`` names its source in errors. Raises CredentialsError."""
    label = _pem_label(pem, where, _PUBLIC_KEY_REMEDY)
    if "PUBLIC KEY" not in label:
        raise CredentialsError(
            f"{where} holds a {label.lower()}, not a public key.", remedy=_PUBLIC_KEY_REMEDY
        )
    key = _parse(lambda: load_pem_public_key(_as_bytes(pem)), label, where, _PUBLIC_KEY_REMEDY)
    if not isinstance(key, RSAPublicKey):
        raise CredentialsError(
            f"{where} holds a public key that is not an RSA key.", remedy=_PUBLIC_KEY_REMEDY
        )
    _require_bits(key, where, _PUBLIC_KEY_REMEDY)
    return key


def _as_bytes(pem: str | bytes) -> bytes:
    return pem.encode() if isinstance(pem, str) else pem


def _pem_label(pem: str | bytes, where: str, remedy: str) -> str:
    """What the first PEM block says it is: ``PRIVATE KEY``, ``CERTIFICATE``, …"""
    found = _PEM_LABEL.search(_as_bytes(pem).decode("utf-8", "replace"))
    if found is None:
        raise CredentialsError(f"{where} is not PEM: it has no -----BEGIN … line.", remedy=remedy)
    return found[1]


def _parse(load: Callable[[], Key], label: str, where: str, remedy: str) -> Key:
    try:
        return load()
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise CredentialsError(
            f"{where} begins like a {label.lower()}, but it cannot be read: it is cut short or damaged.",
            remedy=remedy,
        ) from error


def _require_bits(key: RSAPrivateKey | RSAPublicKey, what: str, remedy: str) -> None:
    if key.key_size < MINIMUM_BITS:
        raise CredentialsError(
            f"{what} has {key.key_size} bits; WeChat Pay uses RSA keys of at least {MINIMUM_BITS}.",
            remedy=remedy,
        )


@dataclass(frozen=True, slots=True)
class Certificate:
    """A platform certificate. Serial number and validity are its own, since those are what AES-GCM vouches for."""

    serial_no: str
    public_key: RSAPublicKey
    not_before: datetime
    not_after: datetime

    def valid_at(self, now: float) -> bool:
        """``now`` in Unix seconds. Answers may differ from our clock by the window, so the first moments do too."""
        begin = self.not_before.timestamp() - signing.WINDOW_SECONDS
        return begin <= now <= self.not_after.timestamp()


@dataclass(frozen=True, slots=True)
class Keyring:
    """The keys that may sign answers. Never changed, only replaced, so that a refresh cannot be half seen."""

    public_key_id: str = ""
    public_key: RSAPublicKey | None = None
    certificates: tuple[Certificate, ...] = ()

    def __bool__(self) -> bool:
        return self.public_key is not None or bool(self.certificates)

    def key_for(self, serial_no: str, now: float) -> RSAPublicKey | None:
        """The key of that serial number if it is valid at ``now`` (Unix seconds), else None."""
        if self.public_key is not None and serial_no == self.public_key_id:
            return self.public_key
        for certificate in self.certificates:
            if _same_serial(certificate.serial_no, serial_no) and certificate.valid_at(now):
                return certificate.public_key
        return None


def _same_serial(one: str, other: str) -> bool:
    """Serial numbers are numbers: some write them without leading zeros, or in lower case (API §11)."""
    return one.upper().lstrip("0") == other.upper().lstrip("0")


def open_certificates(answer: wire.Certificates, apiv3_key: bytes) -> tuple[Certificate, ...]:
    """Decrypt what ``/v3/certificates`` listed (API §5.5). Kinds of certificate that are not for RSA are passed over.

    Raises CredentialsError when the APIv3 key does not open them, UnverifiedError when they cannot be read.
    """
    listed = [one for one in answer.data if one.encrypt_certificate.algorithm == CERTIFICATE_ALGORITHM]
    if not listed:
        raise _unreadable(f"none of the {len(answer.data)} listed uses {CERTIFICATE_ALGORITHM}")
    return tuple(_open_certificate(one, AESGCM(apiv3_key)) for one in listed)


def _open_certificate(listed: wire.PlatformCertificate, box: AESGCM) -> Certificate:
    sealed = listed.encrypt_certificate
    try:
        ciphertext = base64.b64decode(sealed.ciphertext, validate=True)
        pem = box.decrypt(sealed.nonce.encode(), ciphertext, sealed.associated_data.encode())
        certificate = x509.load_pem_x509_certificate(pem)
        public_key = certificate.public_key()
    except InvalidTag as error:
        raise CredentialsError(
            "WeChat Pay's platform certificates cannot be decrypted: the APIv3 key is not this merchant's.",
            remedy="Set PAYGIFT_APIV3_KEY to the APIv3密钥 that was set on the merchant platform (账户中心 → API安全). "
            "It is not the older API密钥, and cannot be displayed there; if it is lost, set a new one.",
        ) from error
    except (binascii.Error, ValueError, UnsupportedAlgorithm) as error:
        raise _unreadable(f"certificate {listed.serial_no[:40]!r} is damaged") from error
    serial_no = f"{certificate.serial_number:040X}"
    if not isinstance(public_key, RSAPublicKey):
        raise _unreadable(f"certificate {serial_no} holds no RSA key")
    if not _same_serial(serial_no, listed.serial_no):
        raise _unreadable(f"certificate {serial_no} is listed under {listed.serial_no[:40]!r}")
    return Certificate(
        serial_no, public_key, certificate.not_valid_before_utc, certificate.not_valid_after_utc
    )


def _unreadable(what: str) -> UnverifiedError:
    return UnverifiedError(
        f"WeChat Pay's platform certificates cannot be read: {what}.",
        method="GET",
        path=wire.CERTIFICATES_PATH,
    )
