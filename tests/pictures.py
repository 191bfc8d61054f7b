"""Small real PNGs, a different one for every number."""

from __future__ import annotations

import hashlib
import struct
import zlib

from reconciler.activity import Image


def png(number: int = 0, size: int = 8) -> bytes:
    """A grey square whose shade is ``number``."""
    rows = b"".join(b"\0" + bytes([number % 256]) * size for _ in range(size))
    header = struct.pack(">IIBBBBB", size, size, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, content) for kind, content in chunks)


def local_image(number: int = 0) -> Image:
    """The picture as a spec names it: by its file, with the hash of its bytes."""
    return Image(sha256=hashlib.sha256(png(number)).hexdigest(), path=f"images/{number}.png")


def read_image(image: Image) -> bytes:
    """The bytes of a picture that ``local_image`` made."""
    return png(int(image.path.removeprefix("images/").removesuffix(".png")))


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
