"""What a piece of DER is, by the outermost tags of its structure (X.690). Pure; nothing is verified or decoded."""

from __future__ import annotations

from enum import Enum, IntEnum, auto
from typing import Final, NamedTuple


class Content(Enum):
    """What the outermost structure is."""

    PKCS8 = auto()
    PKCS1_PRIVATE = auto()
    EC_PRIVATE = auto()
    DSA_PRIVATE = auto()
    ENCRYPTED_PKCS8 = auto()
    SPKI = auto()
    PKCS1_PUBLIC = auto()
    CERTIFICATE = auto()
    REQUEST = auto()
    REVOCATIONS = auto()
    PKCS7 = auto()
    PKCS12 = auto()


class Found(NamedTuple):
    """``length`` in bytes is what the outermost structure claims, which is more than there is if it was cut short."""

    content: Content
    length: int


class _Element(NamedTuple):
    tag: int
    begin: int
    end: int


class _Tag(IntEnum):
    INTEGER = 0x02
    BITS = 0x03
    OCTETS = 0x04
    OBJECT_ID = 0x06
    UTC_TIME = 0x17
    TIME = 0x18
    SEQUENCE = 0x30
    VERSION = 0xA0


_LONG: Final = 0x80
_MOST_LENGTH_BYTES: Final = 4
_MOST_CHILDREN: Final = 10
_DSA_OTHERS: Final = 4  # q, g, y and x, after version and p; an RSA key has seven
# 1.2.840.113549.1.7, as DER writes it.
_PKCS7_PREFIX: Final = bytes.fromhex("2a864886f70d0107")


def look(data: bytes) -> Found | None:
    """Which of the structures that keys come in ``data`` begins with, if any."""
    outer = _element(data, 0)
    if outer is None or outer.tag != _Tag.SEQUENCE:
        return None
    content = _content(data, outer)
    return None if content is None else Found(content, outer.end)


def _content(data: bytes, outer: _Element) -> Content | None:
    children = _children(data, outer)
    match [child.tag for child in children]:
        case [_Tag.INTEGER, _Tag.SEQUENCE, _Tag.OCTETS, *_]:
            return Content.PKCS8
        case [_Tag.INTEGER, _Tag.OCTETS, *_]:
            return Content.EC_PRIVATE
        case [_Tag.INTEGER, _Tag.SEQUENCE, *_]:
            # A PFX begins with its version, which is 3 (RFC 7292).
            return Content.PKCS12 if _value(data, children[0]) == b"\x03" else None
        case [_Tag.INTEGER, _Tag.INTEGER, *others]:
            return _integers(_value(data, children[0]), len(others))
        case [_Tag.OBJECT_ID, *_]:
            return Content.PKCS7 if _value(data, children[0]).startswith(_PKCS7_PREFIX) else None
        case [_Tag.SEQUENCE, _Tag.BITS, *_]:
            return Content.SPKI
        case [_Tag.SEQUENCE, _Tag.OCTETS, *_]:
            return Content.ENCRYPTED_PKCS8
        case [_Tag.SEQUENCE, _Tag.SEQUENCE, *_] | [_Tag.SEQUENCE]:  # nothing but the first if it was cut short
            return _signed(data, children[0])
    return None


def _integers(first: bytes, others: int) -> Content:
    """Keys that are lists of numbers; private ones begin with a version, which is 0."""
    if first != b"\0":
        return Content.PKCS1_PUBLIC
    return Content.DSA_PRIVATE if others == _DSA_OTHERS else Content.PKCS1_PRIVATE


def _signed(data: bytes, body: _Element) -> Content | None:
    """A certificate, a request for one, or a list of revoked ones, by what comes first in the part that is signed."""
    parts = _children(data, body)
    match [part.tag for part in parts]:
        case [_Tag.VERSION, *_]:
            return Content.CERTIFICATE
        case [_Tag.SEQUENCE, *_] | [
            _Tag.INTEGER,
            _Tag.SEQUENCE,
            _Tag.SEQUENCE,
            _Tag.UTC_TIME | _Tag.TIME,
            *_,
        ]:
            return Content.REVOCATIONS
        case [_Tag.INTEGER, _Tag.SEQUENCE, *_]:
            first = _children(data, parts[1])
            is_algorithm = bool(first) and first[0].tag == _Tag.OBJECT_ID
            return Content.CERTIFICATE if is_algorithm else Content.REQUEST
    return None


def _value(data: bytes, element: _Element) -> bytes:
    return data[element.begin : element.end]


def _children(data: bytes, parent: _Element) -> list[_Element]:
    """The first elements within ``parent``, as far as they are there."""
    found: list[_Element] = []
    at = parent.begin
    while at < parent.end and len(found) < _MOST_CHILDREN and (one := _element(data, at)) is not None:
        found.append(one)
        at = one.end
    return found


def _element(data: bytes, at: int) -> _Element | None:
    """The element that begins at ``at``. One of indefinite length (BER) goes on to the end."""
    if at + 2 > len(data):
        return None
    tag, length = data[at], data[at + 1]
    begin = at + 2
    if length == _LONG:
        return _Element(tag, begin, max(begin, len(data)))
    if length > _LONG:
        count = length - _LONG
        if count > _MOST_LENGTH_BYTES or begin + count > len(data):
            return None
        length = int.from_bytes(data[begin : begin + count], "big")
        begin += count
    return _Element(tag, begin, begin + length)
