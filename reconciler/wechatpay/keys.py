"""The credentials of a merchant: its keys and numbers, loaded and checked (API §5.2, §5.6).

The merchant's private key signs requests; ``keyring`` has those that may sign answers.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from reconciler.model.errors import CredentialsError
from reconciler.wechatpay.key_formats import PEM_KINDS, KeyFormat, pieces_of

MINIMUM_BITS: Final = 2048
"""Of an RSA key, the merchant's or WeChat Pay's."""
APIV3_KEY_BYTES: Final = 32
"""The length of an APIv3 key: AES-256 (API §5.5)."""
PUBLIC_KEY_ID_PREFIX: Final = "PUB_KEY_ID_"
"""What tells the id of a WeChat Pay public key from the serial number of a certificate (API §5.6)."""

Key = TypeVar("Key")
"""A key or a certificate."""

_MCHID: Final = re.compile(r"[0-9]{8,15}", re.ASCII)
_SERIAL_NO: Final = re.compile(r"[0-9A-Fa-f]{1,40}", re.ASCII)
_TOOL_FOLDER: Final = "in the folder that WeChat Pay's certificate tool (微信支付商户平台证书工具) has made"


class _Wanted(NamedTuple):
    """What a variable is for, and where its file lies."""

    kind: KeyFormat
    variable: str
    remedy: str


_PRIVATE_KEY: Final = _Wanted(
    KeyFormat.PRIVATE_KEY,
    "PAYGIFT_PRIVATE_KEY",
    f"Use the file apiclient_key.pem, which lies beside apiclient_cert.pem and apiclient_cert.p12 {_TOOL_FOLDER}.",
)
_PUBLIC_KEY: Final = _Wanted(
    KeyFormat.PUBLIC_KEY,
    "PAYGIFT_PUBLIC_KEY",
    "Use the file pub_key.pem, which the merchant platform offers under 账户中心 → API安全 → 微信支付公钥.",
)
_CERTIFICATE: Final = _Wanted(
    KeyFormat.CERTIFICATE,
    "PAYGIFT_CERTIFICATE",
    f"Use the file apiclient_cert.pem, which lies beside apiclient_key.pem {_TOOL_FOLDER}.",
)
_PUBLIC_KEY_ID: Final = re.compile(rf"{PUBLIC_KEY_ID_PREFIX}[0-9A-Za-z]{{1,100}}", re.ASCII)
_PUBLIC_KEY_ID_REMEDY: Final = (
    "Set PAYGIFT_PUBLIC_KEY_ID to the 公钥ID that the merchant platform shows beside the key "
    "(账户中心 → API安全 → 微信支付公钥)."
)
APIV3_KEY_REMEDY: Final = (
    "Set it to the APIv3密钥 as it was typed in on the merchant platform (账户中心 → API安全): 32 characters, without "
    "quotes, and not the older API密钥."
)
"""For an APIv3 key that cannot be one."""
_APIV3_KEY_GUESSES: Final = (
    (re.compile(r"[0-9A-Fa-f]{64}"), ": 64 hexadecimal digits, so perhaps a key that was encoded"),
    (
        re.compile(r"[0-9A-Za-z+/]{43}=|[0-9A-Za-z]{42,43}={1,2}"),
        ": Base64, so perhaps a key that was encoded",
    ),
    (re.compile(r"([\"'`]).{32}\1"), ", with the quotes around it"),
    (re.compile(r"\s*\S{32}\s*"), ", with white space around it"),
    (re.compile(r".*-----BEGIN .*", re.DOTALL), ": a key or certificate in PEM"),
)
_EXTRACTING: Final = {
    KeyFormat.PRIVATE_KEY: "-nocerts -nodes -out apiclient_key.pem",
    KeyFormat.CERTIFICATE: "-clcerts -nokeys -out apiclient_cert.pem",
}
_VARIABLES: Final = {
    KeyFormat.APIV3_KEY: "PAYGIFT_APIV3_KEY",
    KeyFormat.SERIAL_NO: "PAYGIFT_SERIAL_NO",
    KeyFormat.PUBLIC_KEY_ID: "PAYGIFT_PUBLIC_KEY_ID",
}


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
            is_id = self.serial_no.startswith(PUBLIC_KEY_ID_PREFIX)
            raise CredentialsError(
                "the merchant certificate's serial number must be up to 40 hex digits, found "
                f"{'the id of a WeChat Pay public key' if is_id else _shape(self.serial_no)}.",
                remedy="Set PAYGIFT_SERIAL_NO to what `openssl x509 -noout -serial -in apiclient_cert.pem` prints "
                "after `serial=`.",
            )
        _require_bits(self.private_key, "the merchant's private key", _PRIVATE_KEY.remedy)
        if self.apiv3_key is not None and (mistake := apiv3_key_mistake(self.apiv3_key)):
            raise CredentialsError(f"PAYGIFT_APIV3_KEY {mistake}", remedy=APIV3_KEY_REMEDY)
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
        if mistake := public_key_mistake(self.public_key_id, self.public_key, self.private_key):
            raise mistake
        _require_bits(self.public_key, "the WeChat Pay public key", _PUBLIC_KEY.remedy)

    def mac(self, purpose: str, data: bytes) -> str:
        """64 hex digits that only the holder of the private key can make: HMAC-SHA256 over ``data``, under a key that
        is derived for this ``purpose`` and merchant number alone, and never leaves here."""
        secret = self.private_key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        info = f"paygift {purpose} {self.mchid}".encode()
        # A change of info makes every cached image a stranger's, to be uploaded again.
        key = HKDF(hashes.SHA256(), length=32, salt=None, info=info).derive(secret)
        return hmac.new(key, data, "sha256").hexdigest()

    def __repr__(self) -> str:
        apiv3_key = None if self.apiv3_key is None else "[secure]"
        return (
            f"Credentials(mchid={self.mchid!r}, serial_no={self.serial_no!r}, private_key=[secure], "
            f"apiv3_key={apiv3_key}, public_key_id={self.public_key_id!r})"
        )


def apiv3_key_mistake(key: bytes) -> str:
    """What is wrong with an APIv3 key, as the end of a sentence that begins with its variable; empty if nothing is."""
    if len(key) == APIV3_KEY_BYTES:
        return ""
    text = key.decode("utf-8", "replace")
    guess = next((words for form, words in _APIV3_KEY_GUESSES if form.fullmatch(text)), "")
    return f"must be exactly {APIV3_KEY_BYTES} bytes, found {len(key)}{guess}."


def public_key_mistake(key_id: str, key: RSAPublicKey, private_key: RSAPrivateKey | None) -> CredentialsError | None:
    """What shows, without asking anybody, that ``key`` is not the WeChat Pay public key called ``key_id``."""
    if not key_id.startswith(PUBLIC_KEY_ID_PREFIX):
        return CredentialsError(
            f"PAYGIFT_PUBLIC_KEY_ID must begin with {PUBLIC_KEY_ID_PREFIX}, found {_shape(key_id)}.",
            remedy=_PUBLIC_KEY_ID_REMEDY,
        )
    if not _PUBLIC_KEY_ID.fullmatch(key_id):
        return CredentialsError(
            f"PAYGIFT_PUBLIC_KEY_ID must be {PUBLIC_KEY_ID_PREFIX} with letters and digits after it, found white space "
            f"or other characters ({len(key_id)} in all).",
            remedy=_PUBLIC_KEY_ID_REMEDY,
        )
    if private_key is not None and key == private_key.public_key():
        return CredentialsError(
            "PAYGIFT_PUBLIC_KEY is the other half of PAYGIFT_PRIVATE_KEY: the merchant's own public key, not WeChat "
            "Pay's.",
            remedy=_PUBLIC_KEY.remedy,
        )
    return None


def _shape(text: str) -> str:
    """Never the text itself: people swap variables, and then it is another one's secret."""
    return f"{len(text)} characters{'' if text.isalnum() else ', not all of them letters and digits'}"


def load_private_key(content: str | bytes, *, where: str) -> RSAPrivateKey:
    """The merchant's private key from PEM, DER or Base64; ``where`` names its source in errors (a file or a variable).

    Raises CredentialsError with cause and remedy, and without a byte of the content.
    """
    key = _parse(lambda pem: load_pem_private_key(pem, None), content, where, _PRIVATE_KEY)
    if not isinstance(key, RSAPrivateKey):
        raise _not_rsa(where, _PRIVATE_KEY)
    _require_bits(key, where, _PRIVATE_KEY.remedy)
    return key


def load_public_key(content: str | bytes, *, where: str) -> RSAPublicKey:
    """The WeChat Pay public key; otherwise as ``load_private_key``."""
    key = _parse(load_pem_public_key, content, where, _PUBLIC_KEY)
    if not isinstance(key, RSAPublicKey):
        raise _not_rsa(where, _PUBLIC_KEY)
    _require_bits(key, where, _PUBLIC_KEY.remedy)
    return key


def load_certificate(content: str | bytes, *, where: str) -> x509.Certificate:
    """The merchant's certificate; otherwise as ``load_private_key``. Its public key can be read."""

    def load(pem: bytes) -> x509.Certificate:
        certificate = x509.load_pem_x509_certificate(pem)
        certificate.public_key()  # so that later nothing can go wrong
        return certificate

    return _parse(load, content, where, _CERTIFICATE)


def _parse(load: Callable[[bytes], Key], content: str | bytes, where: str, wanted: _Wanted) -> Key:
    try:
        return load(_wanted_pem(content, where, wanted))
    except UnsupportedAlgorithm as error:
        raise _not_rsa(where, wanted) from error
    except (ValueError, TypeError) as error:
        raise _damaged(where, wanted) from error


def _wanted_pem(content: str | bytes, where: str, wanted: _Wanted) -> bytes:
    """The one piece of ``content`` that is wanted; what stands beside it does not matter."""
    pieces = pieces_of(content)
    fitting = [piece for piece in pieces if piece.kind is wanted.kind]
    # The same key twice leaves no doubt.
    whole = list(dict.fromkeys(piece.pem for piece in fitting if not piece.damaged))
    if wanted is _CERTIFICATE and len(whole) > 1:  # a chain
        whole = [pem for pem in whole if not _is_authoritys(pem)]
    if len(whole) == 1:
        return whole[0]
    if whole:
        raise CredentialsError(
            f"{where} holds {len(whole)} different {wanted.kind.removeprefix('a ')}s, and it is unclear which one "
            "to use.",
            remedy=f"Leave only the right one in it. {wanted.remedy}",
        )
    if fitting:
        raise _damaged(where, wanted)
    raise _something_else([piece.kind for piece in pieces], where, wanted)


def _is_authoritys(pem: bytes) -> bool:
    """Whether other certificates may be issued with this one. Raises ValueError if it cannot be read."""
    try:
        constraints = x509.load_pem_x509_certificate(pem).extensions.get_extension_for_class(x509.BasicConstraints)
    except x509.ExtensionNotFound:
        return False
    return constraints.value.ca


def _something_else(kinds: Sequence[KeyFormat], where: str, wanted: _Wanted) -> CredentialsError:
    if wanted.kind is KeyFormat.PRIVATE_KEY and KeyFormat.ENCRYPTED_KEY in kinds:
        return CredentialsError(
            f"{where} holds {KeyFormat.ENCRYPTED_KEY}.",
            remedy="Decrypt it first: openssl pkey -in apiclient_key.pem -out decrypted.pem",
        )
    kind = kinds[0]
    found = f"holds {kind}, not {wanted.kind}" if kind in PEM_KINDS else f"is not PEM: it holds {kind}"
    return CredentialsError(
        f"{where} {found}.",
        remedy=" ".join((*_hints(kind, wanted), wanted.remedy, *_ways_out(kind, wanted))),
    )


def _hints(kind: KeyFormat, wanted: _Wanted) -> Iterator[str]:
    """What to do with what was given, before looking for the right file."""
    if kind in _VARIABLES:
        yield f"{_VARIABLES[kind]} is for that."
    match kind, wanted.kind:
        case KeyFormat.FILE_NAME, _:
            yield f"A file's name is for {wanted.variable}_FILE."
        case KeyFormat.ZIP | KeyFormat.ARCHIVE, _:
            yield "Unpack it first."
        case KeyFormat.LFS_POINTER, _:
            yield "Keep keys out of Git."
        case KeyFormat.PRIVATE_KEY | KeyFormat.ENCRYPTED_KEY, KeyFormat.PUBLIC_KEY:
            yield "The merchant's own key is for PAYGIFT_PRIVATE_KEY; WeChat Pay's public key is needed here."
        case KeyFormat.PUBLIC_KEY, KeyFormat.PRIVATE_KEY:
            yield "WeChat Pay's public key is for PAYGIFT_PUBLIC_KEY; the merchant's own is needed here."
        case KeyFormat.CERTIFICATE, KeyFormat.PUBLIC_KEY:
            yield (
                "The merchant's certificate is for PAYGIFT_CERTIFICATE; platform certificates need not be given, "
                "PAYGIFT_APIV3_KEY fetches them."
            )


def _ways_out(kind: KeyFormat, wanted: _Wanted) -> Iterator[str]:
    """What to do if there is no such file."""
    if kind is KeyFormat.PKCS12 and wanted.kind in _EXTRACTING:
        yield (
            f"If it is lost, extract it: openssl pkcs12 -in apiclient_cert.p12 {_EXTRACTING[wanted.kind]} "
            "(the password is the merchant number; OpenSSL 3 may need -legacy)."
        )


def _not_rsa(where: str, wanted: _Wanted) -> CredentialsError:
    key = "whose key is" if wanted.kind is KeyFormat.CERTIFICATE else "that is"
    return CredentialsError(f"{where} holds {wanted.kind} {key} not an RSA key.", remedy=wanted.remedy)


def _damaged(where: str, wanted: _Wanted) -> CredentialsError:
    return CredentialsError(
        f"{where} begins like {wanted.kind}, but it cannot be read: it is cut short or damaged.",
        remedy=f"Copy it again, from -----BEGIN to the end of the -----END line. {wanted.remedy}",
    )


def _require_bits(key: RSAPrivateKey | RSAPublicKey, what: str, remedy: str) -> None:
    if key.key_size < MINIMUM_BITS:
        raise CredentialsError(
            f"{what} has {key.key_size} bits; WeChat Pay uses RSA keys of at least {MINIMUM_BITS}.",
            remedy=remedy,
        )
