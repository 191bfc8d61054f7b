"""The account's keys: made on first use, then read back. Private files are readable by their owner only."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
import string
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Final, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from reconciler.model.errors import SandboxError
from reconciler.system.paygift_folder import check, check_folder, read

FOLDER: Final = "keys"
MERCHANT_KEY_FILE: Final = "merchant.key.pem"
PUBLIC_KEY_FILE: Final = "wechatpay.public.pem"
DEFAULT_MCHID: Final = "1900000001"
KEY_BITS: Final = 2048
_VALIDITY: Final = timedelta(days=5 * 365)  # platform certificates are valid 5 years (API §5.5)
_APIV3_ALPHABET: Final = string.ascii_letters + string.digits
_FILES: Final = {
    "merchant_key_pem": MERCHANT_KEY_FILE,
    "merchant_certificate_pem": "merchant.cert.pem",
    "platform_key_pem": "platform.key.pem",
    "platform_certificate_pem": "platform.cert.pem",
    "apiv3_key": "apiv3_key.txt",
    "mchid": "mchid.txt",
    "next_key_pem": "platform2.key.pem",
    "wechatpay_key_pem": "wechatpay.key.pem",
}
_LATER: Final = ("next_key_pem", "wechatpay_key_pem")
"""Keys that sandboxes did not have at first: they are made where they are missing."""


@dataclass(frozen=True, slots=True)
class Signer:
    """A key of the platform, under the name by which answers tell it."""

    serial_no: str
    key: rsa.RSAPrivateKey = field(repr=False)
    certificate_pem: str = field(default="", repr=False)
    """Empty for the WeChat Pay public key, which has none."""

    @property
    def validity(self) -> tuple[datetime, datetime]:
        """From when until when its certificate is valid."""
        certificate = x509.load_pem_x509_certificate(self.certificate_pem.encode())
        return certificate.not_valid_before_utc, certificate.not_valid_after_utc


@dataclass(frozen=True)
class Keys:
    """One merchant account and the platform that answers it. Secrets stay out of the repr.

    The platform has three keys: that of its certificate, that of the certificate which comes after a rotation, and
    the one of the WeChat Pay public key (API §5.5, §5.6).
    """

    mchid: str
    merchant_key_pem: str = field(repr=False)
    merchant_certificate_pem: str = field(repr=False)
    platform_key_pem: str = field(repr=False)
    platform_certificate_pem: str = field(repr=False)
    apiv3_key: str = field(repr=False)
    next_key_pem: str = field(repr=False)
    wechatpay_key_pem: str = field(repr=False)

    @classmethod
    def generate(cls, *, mchid: str = DEFAULT_MCHID, platform_bits: int = KEY_BITS) -> Self:
        """New keys; four RSA-2048 key pairs take about a third of a second.

        ``platform_bits`` is the size of the two keys that have certificates. A platform that answers tens of thousands
        of requests, as in tests, spends most of its time on signing, and a key of half the size signs in a sixth of it.
        """
        merchant, wechatpay = _new_key(), _new_key()
        platform, following = _new_key(platform_bits), _new_key(platform_bits)
        return cls(
            mchid=mchid,
            merchant_key_pem=_key_pem(merchant),
            merchant_certificate_pem=_certificate_pem(merchant, f"paygift sandbox merchant {mchid}"),
            platform_key_pem=_key_pem(platform),
            platform_certificate_pem=_certificate_pem(platform, "paygift sandbox platform"),
            apiv3_key="".join(secrets.choice(_APIV3_ALPHABET) for _ in range(32)),
            next_key_pem=_key_pem(following),
            wechatpay_key_pem=_key_pem(wechatpay),
        )

    @classmethod
    def read(cls, directory: Path) -> Self:
        """The keys in ``directory``. Raises SandboxError if they cannot be read, UsageError if they are links."""
        try:
            keys = cls(**{name: _text(directory / file) for name, file in _FILES.items()})
            _ = (keys.serial_no, keys.platform, keys.merchant_public_key)
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
        check_folder(home)
        if not home.exists():
            cls.generate().write(home)
        for name in _LATER:
            _write_if_missing(home / _FILES[name], lambda: _key_pem(_new_key()))
        keys = cls.read(home)
        _write_if_missing(home / PUBLIC_KEY_FILE, lambda: keys.public_key_pem)
        return keys

    def write(self, home: Path) -> None:
        """Write the keys to the new directory ``home``; one that is there already stays as it is."""
        draft = home.with_name(f"{home.name}.{os.getpid()}.{secrets.token_hex(4)}")
        draft.mkdir(mode=0o700, parents=True)
        for name, file in _FILES.items():
            _write(draft / file, getattr(self, name))
        _write(draft / PUBLIC_KEY_FILE, self.public_key_pem)
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

    @property
    def platform_serial_no(self) -> str:
        """The platform certificate's serial number: 40 hex digits in upper case."""
        return self.platform.serial_no

    @cached_property
    def platform(self) -> Signer:
        """Whose certificate verifies answers, until it is rotated."""
        pem = self.platform_certificate_pem
        return Signer(_serial(pem), _private_key(self.platform_key_pem), pem)

    @cached_property
    def next_platform(self) -> Signer:
        """Whose certificate comes after a rotation. It is made from the key, the same each time."""
        key = _private_key(self.next_key_pem)
        begin, _ = self.platform.validity
        number = int.from_bytes(_fingerprint(key)[:19], "big") | 1 << 151  # 40 hex digits, as of a real one
        pem = _certificate_pem(key, "paygift sandbox platform 2", number=number, begin=begin)
        return Signer(_serial(pem), key, pem)

    @cached_property
    def wechatpay(self) -> Signer:
        """The WeChat Pay public key's other half, under its ``PUB_KEY_ID_…``."""
        key = _private_key(self.wechatpay_key_pem)
        number = int.from_bytes(_fingerprint(key)[:8], "big")
        return Signer(f"PUB_KEY_ID_01{self.mchid}{number:020}", key)

    @property
    def public_key_pem(self) -> str:
        """The WeChat Pay public key, as the merchant platform gives it out."""
        public = self.wechatpay.key.public_key()
        return public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode(
            "ascii"
        )

    @cached_property
    def merchant_key(self) -> rsa.RSAPrivateKey:
        """What requests are signed with."""
        return _private_key(self.merchant_key_pem)

    @property
    def merchant_public_key(self) -> rsa.RSAPublicKey:
        """What requests are verified with."""
        return self.merchant_key.public_key()


def _new_key(bits: int = KEY_BITS) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, bits)


def _write(file: Path, text: str) -> None:
    """A new file that its owner alone can read."""
    opened = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(opened, "w") as out:
        out.write(text)


def _text(file: Path) -> str:
    """Raises OSError if it is missing, UsageError if it is a link or the like."""
    content = read(file)
    if content is None:
        raise FileNotFoundError(f"{file.name} is missing")
    return content.decode("ascii")


def _write_if_missing(file: Path, make: Callable[[], str]) -> None:
    """Write ``file`` if it is missing, whole or not at all. What somebody faster has written stays."""
    if check(file):
        return
    draft = file.with_name(f"{file.name}.{os.getpid()}.{secrets.token_hex(4)}")
    _write(draft, make())
    with contextlib.suppress(FileExistsError):
        # A rename would replace a key that somebody faster uses already.
        os.link(draft, file)
    draft.unlink()


def _fingerprint(key: rsa.RSAPrivateKey) -> bytes:
    public = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(public).digest()


def _private_key(pem: str) -> rsa.RSAPrivateKey:
    # Our own keys: skipping the primality checks saves 28 ms each at every start.
    key = serialization.load_pem_private_key(pem.encode(), password=None, unsafe_skip_rsa_key_validation=True)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise ValueError("this is not an RSA key")  # noqa: TRY004 (a file is wrong, not a program's type)
    return key


def _key_pem(key: rsa.RSAPrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode("ascii")


def _certificate_pem(
    key: rsa.RSAPrivateKey, common_name: str, *, number: int = 0, begin: datetime | None = None
) -> str:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    begin = begin or datetime.now(UTC) - timedelta(days=1)
    certificate = (
        x509.CertificateBuilder(name, name)
        .public_key(key.public_key())
        .serial_number(number or x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + _VALIDITY)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM).decode("ascii")


def _serial(pem: str) -> str:
    return f"{x509.load_pem_x509_certificate(pem.encode()).serial_number:040X}"
