"""Local images: whether they are whole, and what kind they are. Nothing is decoded.

What an upload accepts and a phone then cannot show would be found by customers, so the structure is walked from the
first byte to the end that the format itself marks. Bytes after that end are nobody's concern.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

from reconciler.spec.context import LocalImage, MissingImage
from reconciler.spec.files import FileNames, UnusableError, inside, read_bytes, sha256_of

MAX_IMAGE: Final = 2 * 1024 * 1024
"""Bytes of an image (API §4)."""

_PNG: Final = b"\x89PNG\r\n\x1a\n"
_OTHER_KINDS: Final = (
    (re.compile(rb"GIF8"), "a GIF"),
    (re.compile(rb"RIFF.{4}WEBP", re.DOTALL), "a WebP"),
    (re.compile(rb".{4}ftyp(?:hei|hev|mif|msf)", re.DOTALL), "a HEIC, as iPhones take them,"),
    (re.compile(rb".{4}ftypavif", re.DOTALL), "an AVIF"),
    (re.compile(rb"\s*<(?:svg|\?xml|!DOCTYPE|html)", re.IGNORECASE), "an SVG or a web page"),
)


def image_bytes(root: Path, relative: str) -> bytes:
    """The bytes of a local image. Raises UnusableError."""
    return read_bytes(inside(root, relative), MAX_IMAGE)


def image_at(names: FileNames, relative: str) -> LocalImage | MissingImage:
    """What is found where a spec names a local image."""
    try:
        content = read_bytes(names.find(relative), MAX_IMAGE)
        return examined(content)
    except UnusableError as error:
        return MissingImage(error.code, error.message)


def examined(content: bytes) -> LocalImage:
    """The image that ``content`` is. Raises UnusableError if it is another kind of file, cut off or damaged."""
    for signature, look in _LOOKS:
        if content.startswith(signature):
            try:
                kind, is_cmyk = look(content)
            except (struct.error, IndexError):  # there is less than its own numbers say
                # struct's own words are about buffers, which say nothing to an author.
                raise _cut_off() from None
            return LocalImage(sha256_of(content), kind, is_cmyk)
    other = next((f"{kind} and " for pattern, kind in _OTHER_KINDS if pattern.match(content)), "")
    raise UnusableError("not_a_picture", f"is {other}not a JPG, PNG or BMP image")


def _cut_off() -> UnusableError:
    return UnusableError("damaged_picture", "is cut off before its end: copy or download it again")


def _damaged(why: str) -> UnusableError:
    return UnusableError("damaged_picture", f"is damaged ({why}): save it again")


def _sized(width: int, height: int) -> None:
    if not width or not height:
        raise _damaged(f"it is {width} × {height} pixels large")


def _look_at_png(content: bytes) -> tuple[str, bool]:
    """Chunks from IHDR to IEND, each with its checksum."""
    seen: set[bytes] = set()
    position = len(_PNG)
    while b"IEND" not in seen:
        length, name = struct.unpack_from(">I4s", content, position)
        body = content[position + 4 : position + 8 + length]
        (checksum,) = struct.unpack_from(">I", content, position + 8 + length)
        # What one viewer forgives a phone may refuse, and customers would be the first to see it.
        if zlib.crc32(body) != checksum:
            raise _damaged(f"the checksum of its part {name.decode('ascii', 'replace')} is wrong")
        if not seen:
            if name != b"IHDR" or length != 13:
                raise _damaged("it does not begin with IHDR")
            _sized(*struct.unpack_from(">II", body, 4))
        seen.add(name)
        position += 12 + length
    if b"IDAT" not in seen:
        raise _damaged("it holds no pixels")
    return "PNG", False


_NEXT_MARKER: Final = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])")
"""Where the next part of a JPG begins. In its pixels a byte FF is followed by 00, or by the number of a restart."""
_END, _SCAN, _ALONE = 0xD9, 0xDA, frozenset({0x01, 0xD8})
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def _look_at_jpg(content: bytes) -> tuple[str, bool]:
    """Segments from SOI to EOI; previews inside segments are passed over with them, and padding between them too."""
    components = position = 0
    scanned = False
    # A search, since what lies between segments may be padding.
    while found := _NEXT_MARKER.search(content, position):
        marker, position = found[1][0], found.end()
        if marker == _END:
            if not components or not scanned:
                raise _damaged("it holds no pixels")
            return "JPG", components == 4
        if marker in _ALONE:
            continue
        (length,) = struct.unpack_from(">H", content, position)
        if marker in _FRAMES:
            height, width, components = struct.unpack_from(">HHB", content, position + 3)
            _sized(width, height)
        scanned |= marker == _SCAN
        position += length
    raise _cut_off()


def _look_at_bmp(content: bytes) -> tuple[str, bool]:
    announced, _, offset, header = struct.unpack_from("<IIII", content, 2)
    packed = 0
    if header == 12:
        width, height, _, bits = struct.unpack_from("<HHHH", content, 18)
    else:
        width, height, _, bits, packed = struct.unpack_from("<iiHHI", content, 18)
    # A negative height means top-down rows; a negative width means nothing.
    _sized(max(width, 0), height)
    # Other packings are compressed, so that only the announced size can be checked.
    rows = (width * bits + 31) // 32 * 4 * abs(height) if packed in (0, 3, 6) else 0
    if max(offset + rows, announced if packed else 0) > len(content):
        raise _cut_off()
    return "BMP", False


_LOOKS: Final[tuple[tuple[bytes, Callable[[bytes], tuple[str, bool]]], ...]] = (
    (b"\xff\xd8\xff", _look_at_jpg),
    (_PNG, _look_at_png),
    (b"BM", _look_at_bmp),
)
