"""The keys that may sign answers, and the platform certificates that the service hands out sealed (API §5.2, §5.5).

Answers are signed by a platform certificate, which is encrypted under the APIv3 key, or by the WeChat Pay public key,
which the merchant downloads once. Both may be in use at the same time, so every answer names its key by a serial
number, and a ``Keyring`` looks it up.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from reconciler.model.errors import CredentialsError, UnverifiedError
from reconciler.wechatpay import signing, wire

CERTIFICATE_ALGORITHM: Final = "AEAD_AES_256_GCM"
"""How RSA certificates are sealed; other kinds are sealed otherwise (API §5.5)."""


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
    # The list around the sealed certificates is not sealed, and may name another.
    if not _same_serial(serial_no, listed.serial_no):
        raise _unreadable(f"certificate {serial_no} is listed under {listed.serial_no[:40]!r}")
    return Certificate(serial_no, public_key, certificate.not_valid_before_utc, certificate.not_valid_after_utc)


def _unreadable(what: str) -> UnverifiedError:
    return UnverifiedError(
        f"WeChat Pay's platform certificates cannot be read: {what}.",
        method="GET",
        path=wire.CERTIFICATES_PATH,
    )
