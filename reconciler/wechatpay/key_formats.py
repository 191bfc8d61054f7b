"""Which format a key or a certificate has that somebody gives us, told by its content and not by its name. Pure.

People give what they have: PEM, in any state in which an editor, a CI system or a mail program leaves it; DER and bare
Base64, which say the same without the marker lines; and files that hold something else. What is unambiguous becomes
proper PEM here; the rest gets a name, so that a message can say what it is without repeating a byte of it.
"""

from __future__ import annotations

import base64
import binascii
import re
import textwrap
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from reconciler.wechatpay import der


class KeyFormat(StrEnum):
    """What something is, as a message says it after "it holds"."""

    PRIVATE_KEY = "a private key"
    PUBLIC_KEY = "a public key"
    CERTIFICATE = "a certificate"
    ENCRYPTED_KEY = "a private key that is encrypted with a passphrase"
    REQUEST = "a certificate request (CSR)"
    REVOCATIONS = "a certificate revocation list (CRL)"
    PKCS7 = "a PKCS#7 file (.p7b)"
    PKCS12 = "a PKCS#12 file (.p12, .pfx)"
    OPENSSH_KEY = "an OpenSSH private key"
    SSH_PUBLIC_KEY = "an SSH public key"
    PUTTY_KEY = "a PuTTY key (.ppk)"
    PGP = "a PGP block"
    OTHER_BLOCK = "a PEM block of another kind"
    KEYSTORE = "a Java keystore (.jks)"
    ZIP = "a zip archive"
    ARCHIVE = "a compressed archive"
    WEB_PAGE = "a web page (HTML)"
    XML = "XML"
    JSON = "JSON"
    LFS_POINTER = "a Git LFS pointer instead of the file's content"
    PLACEHOLDER = "a placeholder that was never filled in"
    FILE_NAME = "the name of a file"
    APIV3_KEY = "32 letters and digits, as an APIv3 key has"
    SERIAL_NO = "40 hexadecimal digits, as a serial number has"
    PUBLIC_KEY_ID = "the id of a WeChat Pay public key"
    PERCENT_ENCODED = "percent-encoded text (%2B for +)"
    EMPTY = "nothing"
    BINARY = "binary data of an unknown kind"
    TEXT = "text without a -----BEGIN … line"


@dataclass(frozen=True, slots=True, repr=False)
class Piece:
    """One key, certificate or other thing. ``pem`` is empty where it cannot be used; ``damaged`` tells that it would
    be ``kind`` if it were whole. No repr, since it may be secret."""

    kind: KeyFormat
    pem: bytes = b""
    damaged: bool = False


PEM_KINDS: Final = frozenset(
    {
        KeyFormat.PRIVATE_KEY,
        KeyFormat.PUBLIC_KEY,
        KeyFormat.CERTIFICATE,
        KeyFormat.ENCRYPTED_KEY,
        KeyFormat.REQUEST,
        KeyFormat.REVOCATIONS,
        KeyFormat.PKCS7,
        KeyFormat.PGP,
        KeyFormat.OTHER_BLOCK,
    }
)
"""What can be PEM, and what it is then; the other kinds are not."""

_BY_LABEL: Final = {
    "PRIVATEKEY": KeyFormat.PRIVATE_KEY,
    "RSAPRIVATEKEY": KeyFormat.PRIVATE_KEY,
    "ECPRIVATEKEY": KeyFormat.PRIVATE_KEY,
    "DSAPRIVATEKEY": KeyFormat.PRIVATE_KEY,
    "ENCRYPTEDPRIVATEKEY": KeyFormat.ENCRYPTED_KEY,
    "PUBLICKEY": KeyFormat.PUBLIC_KEY,
    "RSAPUBLICKEY": KeyFormat.PUBLIC_KEY,
    "CERTIFICATE": KeyFormat.CERTIFICATE,
    "X509CERTIFICATE": KeyFormat.CERTIFICATE,
    "TRUSTEDCERTIFICATE": KeyFormat.CERTIFICATE,
    "CERTIFICATEREQUEST": KeyFormat.REQUEST,
    "NEWCERTIFICATEREQUEST": KeyFormat.REQUEST,
    "X509CRL": KeyFormat.REVOCATIONS,
    "PKCS7": KeyFormat.PKCS7,
    "PKCS12": KeyFormat.PKCS12,
    "OPENSSHPRIVATEKEY": KeyFormat.OPENSSH_KEY,
    "SSH2PUBLICKEY": KeyFormat.SSH_PUBLIC_KEY,
}
_OF_DER: Final = {
    der.Content.PKCS8: (KeyFormat.PRIVATE_KEY, "PRIVATE KEY"),
    der.Content.PKCS1_PRIVATE: (KeyFormat.PRIVATE_KEY, "RSA PRIVATE KEY"),
    der.Content.EC_PRIVATE: (KeyFormat.PRIVATE_KEY, "EC PRIVATE KEY"),
    der.Content.DSA_PRIVATE: (KeyFormat.PRIVATE_KEY, "DSA PRIVATE KEY"),
    der.Content.ENCRYPTED_PKCS8: (KeyFormat.ENCRYPTED_KEY, "ENCRYPTED PRIVATE KEY"),
    der.Content.SPKI: (KeyFormat.PUBLIC_KEY, "PUBLIC KEY"),
    der.Content.PKCS1_PUBLIC: (KeyFormat.PUBLIC_KEY, "RSA PUBLIC KEY"),
    der.Content.CERTIFICATE: (KeyFormat.CERTIFICATE, "CERTIFICATE"),
    der.Content.REQUEST: (KeyFormat.REQUEST, "CERTIFICATE REQUEST"),
    der.Content.REVOCATIONS: (KeyFormat.REVOCATIONS, "X509 CRL"),
    der.Content.PKCS7: (KeyFormat.PKCS7, "PKCS7"),
    der.Content.PKCS12: (KeyFormat.PKCS12, "PKCS12"),
}
_MAGIC: Final = (
    (b"PK\x03\x04", KeyFormat.ZIP),
    (b"PK\x05\x06", KeyFormat.ZIP),
    (b"\x1f\x8b", KeyFormat.ARCHIVE),
    (b"7z\xbc\xaf", KeyFormat.ARCHIVE),
    (b"Rar!", KeyFormat.ARCHIVE),
    (b"BZh", KeyFormat.ARCHIVE),
    (b"\xfd7zXZ", KeyFormat.ARCHIVE),
    (b"\xfe\xed\xfe\xed", KeyFormat.KEYSTORE),
)
_TEXTS: Final = (
    (re.compile(r"(ssh-(rsa|dss|ed25519)|ecdsa-sha2-\S+|sk-\S+) "), KeyFormat.SSH_PUBLIC_KEY),
    (re.compile(r"PuTTY-User-Key-File-"), KeyFormat.PUTTY_KEY),
    (re.compile(r"version https://git-lfs\."), KeyFormat.LFS_POINTER),
    (re.compile(r"<(!doctype|html|head|body|meta)\b", re.IGNORECASE), KeyFormat.WEB_PAGE),
    (re.compile(r"\$\{|\{\{|<[\w -]{1,40}>\Z|\*+\Z|%[A-Z_]+%\Z|\$[A-Z_]+\Z"), KeyFormat.PLACEHOLDER),
    (re.compile(r"<"), KeyFormat.XML),
    (re.compile(r"""[{\[]\s*["{}\[\]]"""), KeyFormat.JSON),
    (re.compile(r"PUB_KEY_ID_\w*\Z"), KeyFormat.PUBLIC_KEY_ID),
    (re.compile(r"[0-9A-Fa-f]{40}\Z"), KeyFormat.SERIAL_NO),
    (re.compile(r"[0-9A-Za-z]{32}\Z"), KeyFormat.APIV3_KEY),
    (re.compile(r"\S*%(0A|0D|20|2B|2D|2F|3D)", re.IGNORECASE), KeyFormat.PERCENT_ENCODED),
    (re.compile(r"file:|~|\.{0,2}[/\\][^\n]*\Z|[A-Za-z]:[/\\]|[^\s]{1,200}\.[A-Za-z0-9]{2,4}\Z"), KeyFormat.FILE_NAME),
)  # fmt: skip
"""How text begins that is neither PEM nor Base64. The first one that fits names it."""

_DASHES: Final = "-‐‑‒–—―−"
"""Word processors make these of hyphens."""
_BEGIN: Final = re.compile(rf"[{_DASHES}]\s?BEGIN\s?([A-Z0-9 ]{{1,40}})[{_DASHES}]")
_END: Final = re.compile(rf"[{_DASHES}]\s?END\s?([A-Z0-9 ]{{1,40}})[{_DASHES}]")
_ESCAPED_BREAK: Final = re.compile(r"\\+[rn]")
_ESCAPED_SLASH: Final = re.compile(r"\\+/")
_INVISIBLE: Final = dict.fromkeys(map(ord, "\u200b\u200c\u200d\u2060\ufeff\0"))
_BASE64: Final = re.compile(r"[A-Za-z0-9+/]+={0,2}")
_SHORTEST_BASE64: Final = 64
_MOSTLY: Final = 0.7
_LINE: Final = 64


def pieces_of(content: str | bytes) -> tuple[Piece, ...]:
    """Everything that is in a file or a variable, in its order; at least one piece."""
    # The bytes that a variable had, whatever their encoding.
    raw = content.encode("utf-8", "surrogateescape") if isinstance(content, str) else content
    return tuple(_pieces(raw, nested=False))


def _pieces(raw: bytes, *, nested: bool) -> Iterator[Piece]:
    if (piece := _binary(raw)) is not None:
        yield piece
        return
    text = _decoded(raw)
    if text is None:
        yield Piece(KeyFormat.BINARY)
        return
    blocks = list(_blocks(text))
    if blocks:
        yield from blocks
    else:
        yield from _unmarked(text, nested=nested)


def _binary(raw: bytes) -> Piece | None:
    """What its first bytes tell."""
    for magic, kind in _MAGIC:
        if raw.startswith(magic):
            return Piece(kind)
    found = der.look(raw)
    if found is None:
        return None
    kind, label = _OF_DER[found.content]
    return Piece(kind, _pem(label, raw[: found.length]), damaged=found.length > len(raw))


def _decoded(raw: bytes) -> str | None:
    """As text without its byte order mark, ``None`` if it is none."""
    if raw.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) and b"\0" not in raw:
        raw = raw[2:]  # a shell has dropped what was zero
    elif raw.startswith(BOM_UTF16_LE) or _is_mostly_zero(raw[1::2]):
        return raw.decode("utf-16-le", "replace").lstrip("\ufeff")
    elif raw.startswith(BOM_UTF16_BE) or _is_mostly_zero(raw[0::2]):
        return raw.decode("utf-16-be", "replace").lstrip("\ufeff")
    text = raw.removeprefix(BOM_UTF8).decode("utf-8", "replace")  # what surrounds a block may be GBK
    if "BEGIN" in text:
        return text
    return None if "\ufffd" in text or re.search(r"[\0-\x08\x0e-\x1f]", text) else text


def _is_mostly_zero(half: bytes) -> bool:
    return len(half) > 1 and half.count(0) > _MOSTLY * len(half)


def _blocks(text: str) -> Iterator[Piece]:
    """What stands between marker lines, however its white space, escapes and dashes have been treated."""
    text = _unescaped(text)
    at = 0
    while (begin := _BEGIN.search(text, at)) is not None:
        end = _END.search(text, begin.end())
        label = begin[1].replace(" ", "")
        if end is None:
            locked = _is_encrypted(text[begin.end() :])
            yield Piece(KeyFormat.ENCRYPTED_KEY) if locked else _damaged(label)
            return
        if end[1].replace(" ", "") != label:
            yield _damaged(label)
        elif label != "ECPARAMETERS":  # OpenSSL writes these before an EC key
            yield _block(label, text[begin.end() : end.start()].strip(_DASHES))
        at = end.end()


def _block(label: str, body: str) -> Piece:
    kind = _kind(label)
    if _is_encrypted(body):
        return Piece(KeyFormat.ENCRYPTED_KEY)
    if kind not in (KeyFormat.PRIVATE_KEY, KeyFormat.PUBLIC_KEY, KeyFormat.CERTIFICATE):
        return Piece(kind)
    found = _from_base64(body)
    if found is None or found.damaged or found.kind not in (kind, KeyFormat.ENCRYPTED_KEY):
        return _damaged(label)
    return found


def _is_encrypted(body: str) -> bool:
    """By the header of the older form: ``Proc-Type: 4,ENCRYPTED``."""
    return ":" in body and "ENCRYPTED" in body


def _kind(label: str) -> KeyFormat:
    return KeyFormat.PGP if label.startswith("PGP") else _BY_LABEL.get(label, KeyFormat.OTHER_BLOCK)


def _damaged(label: str) -> Piece:
    return Piece(_kind(label), damaged=True)


def _unmarked(text: str, *, nested: bool) -> Iterator[Piece]:
    """Text without marker lines: Base64 of something, or something else."""
    bare = text.strip().strip("\"'").strip()
    if not bare.translate(_INVISIBLE):
        yield Piece(KeyFormat.EMPTY)
        return
    raw = _base64(bare)
    if raw is not None and not nested:
        inner = list(_pieces(raw, nested=True))
        if inner[0].kind not in (KeyFormat.BINARY, KeyFormat.TEXT):
            yield from inner
            return
    yield Piece(next((kind for form, kind in _TEXTS if form.match(bare)), KeyFormat.TEXT))


def _unescaped(text: str) -> str:
    return _ESCAPED_SLASH.sub("/", _ESCAPED_BREAK.sub("\n", text))


def _base64(text: str) -> bytes | None:
    """What ``text`` encodes, or ``None`` if it is too short, or no Base64."""
    joined = "".join(_unescaped(text).translate(_INVISIBLE).split())
    if len(joined) < _SHORTEST_BASE64 or not _BASE64.fullmatch(joined):
        return None
    try:
        # Padding gets lost when people copy.
        return base64.b64decode(joined.rstrip("=") + "=" * (-len(joined.rstrip("=")) % 4), validate=True)
    except binascii.Error:
        return None


def _from_base64(body: str) -> Piece | None:
    # Lines with a colon are headers of the older PEM (RFC 1421), such as DEK-Info.
    raw = _base64("\n".join(line for line in body.splitlines() if ":" not in line))
    return None if raw is None else _binary(raw)


def _pem(label: str, raw: bytes) -> bytes:
    lines = textwrap.wrap(base64.b64encode(raw).decode("ascii"), _LINE)
    return "\n".join((f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", "")).encode("ascii")
