"""Why a request's signature does not verify: which common mistake it would verify with. Pure.

An RSA signature gives back the digest that was signed. So it is known at once whether the right key signed, and
a mistake is found by comparing digests: each part of the message in its usual wrong forms, two of them at most.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations, product
from typing import Any, Final
from urllib.parse import quote, unquote, unquote_plus

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA1, SHA256, SHA384, SHA512, HashAlgorithm

from reconciler.wechatpay.signing import Authorization, request_message

SHOWN: Final = 128
"""How much of the expected message is told, as by the real service's ``truncated_sign_message`` (API §5.7)."""
_HASHES: Final[tuple[HashAlgorithm, ...]] = (SHA1(), SHA384(), SHA512())  # noqa: S303 (to tell who used it)
_HEX: Final = re.compile("(?:[0-9a-fA-F]{2}){256,}")  # Base64 of as few bits is shorter
_MAIN_HOST: Final = "api.mch.weixin.qq.com"

_LONG_BODY: Final = 64 * 1024
"""Beyond it only single mistakes are looked for: every trial hashes the body."""

Form = tuple[str, Any]
"""A wrong form of a part: what is wrong with it, and the part."""


@dataclass(frozen=True, slots=True)
class SentSignature:
    """A request as it came. ``body`` is what a signature covers; ``whole`` the body with everything, which is another
    one only for uploads; ``host`` as in its header."""

    method: str
    target: str
    body: bytes
    whole: bytes
    host: str


def expected(sent: SentSignature, given: Authorization) -> str:
    """The message that should have been signed, or its beginning. It holds no secret."""
    return _message(sent, given)[:SHOWN].decode("utf-8", "replace")


def explain(sent: SentSignature, given: Authorization, key: RSAPublicKey, others: Mapping[str, RSAPublicKey]) -> str:
    """What is wrong with a signature that ``key`` does not verify, in words for the log; never empty.

    ``others`` are keys that might have been taken by mistake, by what they are called.
    """
    raw, said = _decoded(given.signature, key.key_size // 8)
    if not raw:
        return said
    digest = _digest(key, raw)
    if digest == hashlib.sha256(_message(sent, given)).digest():
        return f"the right message, signed with the right key, but {said}"
    if digest is not None:
        found = _mistakes(sent, given, digest)
        what = f"signed with the right key, but {found}" if found else _SOMETHING_ELSE
    else:
        what = _hash(key, raw) or _owner(sent, given, raw, others)
    return f"{said}; {what}" if said else what


_SOMETHING_ELSE: Final = "signed with the right key, but over another message than the one expected"


def timestamp_hint(timestamp: str, now: float) -> str:
    """What is wrong with a timestamp that was refused, if that can be told."""
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 16):
        return "the timestamp is not a number of seconds"
    if len(timestamp) == 13 and abs(int(timestamp) / 1000 - now) < 86_400:
        return "the timestamp is in milliseconds, and must be in seconds"
    late = int(now) - int(timestamp)
    return f"the timestamp is {abs(late)} s {'behind' if late > 0 else 'ahead'}: check the clock and its time zone"


def serial_hint(serial_no: str, right: str) -> str:
    """What is wrong with a serial number that was refused, if that can be told."""
    plain = serial_no.replace(":", "").replace(" ", "").lower().removeprefix("0x")
    if plain.isascii() and plain.isdigit() and int(plain) == int(right, 16):
        return "the serial number is in decimal, and must be in hexadecimal"
    if plain.lstrip("0") == right.lower().lstrip("0"):
        return "the serial number must be hexadecimal digits alone"
    return "the serial number is not that of the account's API certificate"


def _decoded(signature: str, size: int) -> tuple[bytes, str]:
    """The signature's bytes, ``size`` of them in a signature of the account's, and how they are wrongly written, if
    they are; no bytes if it is beyond reading."""
    if not signature:
        return b"", "the signature is empty"
    found = [
        (raw, [*spelling, *encoding])
        for text, spelling in _spellings(signature)
        for raw, encoding in _encodings(text)
        # Almost any text can be made Base64 somehow: what is changed for that must then have the right length.
        if len(raw) == size or not spelling
    ]
    if not found:
        return b"", "the signature is not Base64"
    raw, mistakes = next((each for each in found if len(each[0]) == size), found[0])
    return raw, f"written {' and '.join(mistakes)}" if mistakes else ""


def _spellings(signature: str) -> Iterator[tuple[str, list[str]]]:
    """The text as it was sent, and as it was perhaps meant, with what then is wrong with it; the likeliest first."""
    plain = unquote(signature)
    for text, mistakes in ((signature, []), (plain, ["percent-encoded"])):
        yield text, mistakes
        yield text.replace(" ", "+"), [*mistakes, "with spaces for +"]
        yield re.sub(r"\s|\\[rn]", "", text), [*mistakes, "with blanks or line ends in it"]


def _encodings(text: str) -> Iterator[tuple[bytes, list[str]]]:
    """What ``text`` may encode: in Base64 first, as it should."""
    digits = text.replace(":", "")
    if _HEX.fullmatch(digits):
        yield bytes.fromhex(digits), ["in hexadecimal, not in Base64"]
        return
    padded = text + "=" * (-len(text) % 4)
    for candidate, others, mistakes in (
        (text, b"+/", []),
        (padded, b"+/", ["in Base64 without its padding"]),
        (padded, b"-_", ["in Base64 for URLs, not in the plain one"]),
    ):
        with contextlib.suppress(binascii.Error, ValueError):
            raw = base64.b64decode(candidate, others, validate=True)
            yield raw, mistakes
            inner = raw.decode("ascii").strip()  # text in Base64 is not a signature, but may hold one
            if _HEX.fullmatch(inner):
                yield bytes.fromhex(inner), ["in Base64 of hexadecimal digits"]
            yield base64.b64decode(inner, validate=True), ["in Base64 twice"]


def _digest(key: RSAPublicKey, raw: bytes, algorithm: HashAlgorithm | None = None) -> bytes | None:
    """The digest that ``key`` signed, or ``None`` if it did not sign this, or hashed otherwise."""
    try:
        return key.recover_data_from_signature(raw, PKCS1v15(), algorithm or SHA256())
    except (InvalidSignature, ValueError):
        return None


def _hash(key: RSAPublicKey, raw: bytes) -> str:
    used = [each.name.upper() for each in _HASHES if _digest(key, raw, each) is not None]
    return f"hashed with {used[0]}, not with SHA256" if used else ""


def _owner(sent: SentSignature, given: Authorization, raw: bytes, others: Mapping[str, RSAPublicKey]) -> str:
    for name, other in others.items():
        digest = _digest(other, raw)
        if digest is not None:
            found = _mistakes(sent, given, digest)
            return f"signed with {name}, not with the merchant's key" + (f", and {found}" if found else "")
    return "signed with a key that is not the merchant's"


def _message(sent: SentSignature, given: Authorization) -> bytes:
    return request_message(sent.method, sent.target, given.timestamp, given.nonce_str, sent.body)


def _mistakes(sent: SentSignature, given: Authorization, digest: bytes) -> str:
    """The mistakes by which the message gets ``digest``: none, one or two of them, the fewest that do."""
    right: dict[str, Any] = {
        "method": sent.method,
        "target": sent.target,
        "timestamp": given.timestamp,
        "nonce": given.nonce_str,
        "body": sent.body,
        "shape": _FIVE_LINES,
    }
    wrong: dict[str, list[Form]] = {
        "method": _methods(sent.method),
        "target": list(_targets(sent)),
        "timestamp": [("the timestamp in milliseconds", given.timestamp + "000")],
        "body": list(_bodies(sent)),
        "shape": list(_SHAPES),
    }
    for many in (1, 2) if len(sent.whole) <= _LONG_BODY else (1,):
        for parts in combinations(wrong, many):
            for forms in product(*(wrong[part] for part in parts)):
                changed = right | {part: form[1] for part, form in zip(parts, forms, strict=True)}
                shape: Callable[..., bytes] = changed.pop("shape")
                if hashlib.sha256(shape(**changed)).digest() == digest:
                    return f"over {' and '.join(form[0] for form in forms)}"
    return ""


def _five_lines(method: str, target: str, timestamp: str, nonce: str, body: bytes) -> bytes:
    return request_message(method, target, timestamp, nonce, body)


_FIVE_LINES: Final = _five_lines
_SHAPES: Final[tuple[Form, ...]] = (
    ("a message without its final newline", lambda **parts: _five_lines(**parts)[:-1]),
    (
        "a message whose empty body has no line of its own",
        lambda **parts: _five_lines(**{**parts, "body": b""})[:-1],
    ),
    ("a message with CRLF line ends", lambda **parts: _five_lines(**parts).replace(b"\n", b"\r\n")),
    (
        "a message that begins with the timestamp, as answers do",
        lambda timestamp, nonce, body, **_: f"{timestamp}\n{nonce}\n".encode() + body + b"\n",
    ),
    (
        "a message with the nonce before the timestamp",
        lambda timestamp, nonce, **parts: _five_lines(timestamp=nonce, nonce=timestamp, **parts),
    ),
)


def _methods(method: str) -> list[Form]:
    forms = ("GET", "POST", "PUT", "PATCH", "DELETE", method.lower())
    return [(f"the method {each}", each) for each in forms if each != method]


def _targets(sent: SentSignature) -> Iterator[Form]:
    """The usual wrong forms of path and query, each that differs from what was sent."""
    path, mark, query = sent.target.partition("?")
    encoded = quote(unquote(query), safe="=&")
    forms = [
        ("a target without its query", path),
        ("a query that is not percent-encoded", f"{path}{mark}{unquote(query)}"),
        ("a query that is not percent-encoded", f"{path}{mark}{unquote_plus(query)}"),
        ("a query percent-encoded more than it was sent", f"{path}{mark}{encoded}"),
        ("a query with + for spaces", f"{path}{mark}{encoded.replace('%20', '+')}"),
        ("a target that is not percent-encoded", unquote(sent.target)),
        ("a target without its first /", sent.target.removeprefix("/")),
        ("a target with a / at its end", f"{path}/{mark}{query}"),
        ("a target with a ? at its end", f"{sent.target}?"),
        ("the host before the target", f"{sent.host}{sent.target}"),
        *(
            ("the full URL instead of the path", f"{scheme}://{host}{sent.target}")
            for scheme in ("http", "https")
            for host in (sent.host, _MAIN_HOST)
        ),
        ("the full URL instead of the path, without its query", f"http://{sent.host}{path}"),
    ]
    yield from (form for form in forms if form[1] != sent.target)


def _bodies(sent: SentSignature) -> Iterator[Form]:
    forms: list[Form] = [("an empty body", b""), ("the body {}", b"{}"), ("the body null", b"null")]
    if sent.whole != sent.body:
        forms.append(("the whole multipart body instead of its meta part", sent.whole))
    query = sent.target.partition("?")[2]
    if query:
        forms.append(("the query as the body", query.encode()))
    forms += _reserialised(sent.body)
    yield from (form for form in forms if form[1] != sent.body)


def _reserialised(body: bytes) -> Iterator[Form]:
    """The same JSON in the ways in which languages write it when nobody says how."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return
    for ordered, spaced, escaped in product((False, True), repeat=3):
        separators = (", ", ": ") if spaced else (",", ":")
        text = json.dumps(content, ensure_ascii=escaped, separators=separators, sort_keys=ordered)
        words = ["with spaces" if spaced else "without spaces"]
        words += ["with sorted keys"] if ordered else []
        words += ["with \\uXXXX escapes"] if escaped else []
        said = f"the body written anew, {', '.join(words)}"
        yield said, text.encode("utf-8", "surrogatepass")
        if not spaced:
            yield f"{said}, and \\/ for /", text.replace("/", "\\/").encode("utf-8", "surrogatepass")
    yield "the body with a newline at its end", body + b"\n"
    yield "the body without the blanks around it", body.strip()
