"""The account's keys: made on first use, then read back. Private files are readable by their owner only."""

from __future__ import annotations

import os
import secrets
import shutil
import string
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Final, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from reconciler.errors import SandboxError

FOLDER: Final = "keys"
MERCHANT_KEY_FILE: Final = "merchant.key.pem"
DEFAULT_MCHID: Final = "1900000001"
_VALIDITY: Final = timedelta(days=5 * 365)  # platform certificates are valid 5 years (API §5.5)
_APIV3_ALPHABET: Final = string.ascii_letters + string.digits
_FILES: Final = {
    "merchant_key_pem": MERCHANT_KEY_FILE,
    "merchant_certificate_pem": "merchant.cert.pem",
    "platform_key_pem": "platform.key.pem",
    "platform_certificate_pem": "platform.cert.pem",
    "apiv3_key": "apiv3_key.txt",
    "mchid": "mchid.txt",
}


@dataclass(frozen=True)
class Keys:
    """One merchant account and the platform that answers it. Secrets stay out of the repr."""

    mchid: str
    merchant_key_pem: str = field(repr=False)
    merchant_certificate_pem: str = field(repr=False)
    platform_key_pem: str = field(repr=False)
    platform_certificate_pem: str = field(repr=False)
    apiv3_key: str = field(repr=False)

    @classmethod
    def made(cls, *, mchid: str = DEFAULT_MCHID) -> Self:
        """New keys; two RSA-2048 key pairs take about a quarter of a second."""
        merchant, platform = (rsa.generate_private_key(65537, 2048) for _ in range(2))
        return cls(
            mchid=mchid,
            merchant_key_pem=_key_pem(merchant),
            merchant_certificate_pem=_certificate_pem(merchant, f"paygift sandbox merchant {mchid}"),
            platform_key_pem=_key_pem(platform),
            platform_certificate_pem=_certificate_pem(platform, "paygift sandbox platform"),
            apiv3_key="".join(secrets.choice(_APIV3_ALPHABET) for _ in range(32)),
        )

    @classmethod
    def read(cls, directory: Path) -> Self:
        """The keys in ``directory``. Raises SandboxError if they cannot be read."""
        try:
            keys = cls(**{name: (directory / file).read_text() for name, file in _FILES.items()})
            _ = (keys.serial_no, keys.platform_serial_no, keys.platform_key, keys.merchant_public_key)
        except (OSError, ValueError) as error:
            raise SandboxError(
                f"The sandbox's keys in {directory} cannot be read: {error}.",
                remedy="Remove that directory to have new ones made.",
            ) from error
        return keys

    @classmethod
    def in_directory(cls, directory: Path) -> Self:
        """The keys below ``directory``, made now if there are none yet. They appear all at once or not at all."""
        home = directory / FOLDER
        if not home.exists():
            cls.made().write(home)
        return cls.read(home)

    def write(self, home: Path) -> None:
        """Write the keys to the new directory ``home``; one that is there already stays as it is."""
        draft = home.with_name(f"{home.name}.{os.getpid()}.{secrets.token_hex(4)}")
        draft.mkdir(mode=0o700, parents=True)
        for name, file in _FILES.items():
            opened = os.open(draft / file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(opened, "w") as out:
                out.write(getattr(self, name))
        try:
            draft.rename(home)
        except OSError:
            # Somebody else was faster: theirs are as good.
            shutil.rmtree(draft)
            if not home.exists():
                raise

    @cached_property
    def serial_no(self) -> str:
        """The merchant API certificate's serial number: 40 hex digits in upper case."""
        return _serial(self.merchant_certificate_pem)

    @cached_property
    def platform_serial_no(self) -> str:
        return _serial(self.platform_certificate_pem)

    @cached_property
    def platform_certificate(self) -> x509.Certificate:
        return x509.load_pem_x509_certificate(self.platform_certificate_pem.encode())

    @cached_property
    def platform_key(self) -> rsa.RSAPrivateKey:
        return _private_key(self.platform_key_pem)

    @cached_property
    def merchant_public_key(self) -> rsa.RSAPublicKey:
        return _private_key(self.merchant_key_pem).public_key()


def _private_key(pem: str) -> rsa.RSAPrivateKey:
    # Our own keys: skipping the primality checks saves 28 ms each at every start.
    key = serialization.load_pem_private_key(pem.encode(), password=None, unsafe_skip_rsa_key_validation=True)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise ValueError("this is no RSA key")  # noqa: TRY004 (a file is wrong, not a program's type)
    return key


def _key_pem(key: rsa.RSAPrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode("ascii")


def _certificate_pem(key: rsa.RSAPrivateKey, common_name: str) -> str:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    begin = datetime.now(UTC) - timedelta(days=1)
    certificate = (
        x509.CertificateBuilder(name, name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + _VALIDITY)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM).decode("ascii")


def _serial(pem: str) -> str:
    return f"{x509.load_pem_x509_certificate(pem.encode()).serial_number:040X}"
