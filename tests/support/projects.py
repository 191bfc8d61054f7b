"""Projects on disk for tests of loading: a good one that each test spoils in one place."""

from __future__ import annotations

import struct
import zlib
from datetime import UTC, datetime
from pathlib import Path

from reconciler.model.errors import ProjectError
from reconciler.spec import load_project

NOW = datetime(2026, 11, 23, tzinfo=UTC)

PROJECT = "namespace: liangpin\n"

SPEC = """\
activity_base_info:
  activity_name: 良品铺子回馈活动
  activity_second_title: 海飞丝的券
  merchant_logo_url: https://wxpaylogo.qpic.cn/logo/0
  begin_time: 2026-12-01T00:00:00
  end_time: 2026-12-31T23:59:59
  delivery_purpose: OFF_LINE_PAY
award_send_rule:
  transaction_amount_minimum: 100
  send_content: SINGLE_COUPON
  award_list:
    - {stock_id: "98065001", original_image_url: https://wxpaylogo.qpic.cn/award/0}
  merchant_id_list: ["1900000002", "1900000001"]
"""


def write(root: Path, **files: str | bytes) -> Path:
    """A project of these files; ``__`` in a name stands for ``/``, and the last ``_`` for the dot."""
    for name, content in files.items():
        stem, _, ending = name.replace("__", "/").rpartition("_")
        put(root, f"{stem}.{ending}", content)
    return root


def put(root: Path, name: str, content: str | bytes) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def problems(root: Path, now: datetime = NOW) -> list[str]:
    """What loading has to say, one line for each problem; nothing if the project is good."""
    try:
        load_project(root, now=now)
    except ProjectError as error:
        return [str(problem) for problem in error.diagnostics]
    return []


def png(shade: int = 0) -> bytes:
    """A picture of one pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    pixel = zlib.compress(bytes([0, shade]))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixel) + chunk(b"IEND", b"")
