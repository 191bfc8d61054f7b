"""Marketing image upload (API §4): the multipart body, what of it is signed, what is accepted, and how often. Pure."""

from __future__ import annotations

import base64
import hashlib
import re
from collections import deque
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from reconciler.sandbox import limits, schema
from reconciler.sandbox.api_error import blocked, param_error, too_frequent
from reconciler.sandbox.memory import Memory, Transaction, UploadedImage
from reconciler.sandbox.options import SandboxOptions

LARGEST: Final = 2 * 1024 * 1024
HOST: Final = "https://wxpaylogo.qpic.cn"
_MINUTE: Final = 60.0
_BOUNDARY: Final = re.compile(r'boundary=(?:"([^"]+)"|([^\s;]+))', re.IGNORECASE)
_PARAMETER: Final = re.compile(r';\s*(name|filename)\*?="?([^";\r\n]*)', re.IGNORECASE)
_KINDS: Final = ((b"\xff\xd8\xff", "image/jpeg"), (b"\x89PNG\r\n\x1a\n", "image/png"), (b"BM", "image/bmp"))
_META: Final = schema.Object(
    "图片meta信息",
    {"filename": schema.Text("文件名称", 1, 128), "sha256": schema.Text("文件摘要", 1, 256)},
    open=True,
)


@dataclass(frozen=True, slots=True)
class Upload:
    """The two parts of an upload; a part that is not there, or not as documented, is ``None``."""

    meta: bytes | None = None
    file: bytes | None = None


def read_upload(content_type: str, body: bytes) -> Upload:
    """Take a multipart body apart. Some clients leave the boundary out of the header (API §11): then it is the
    body's first line. A meta part with a filename is taken for a file."""
    found = _BOUNDARY.search(content_type)
    boundary = (found[1] or found[2]).encode() if found else body.partition(b"\r\n")[0].removeprefix(b"--")
    if not boundary:
        return Upload()
    parts: dict[str, bytes] = {}
    # The first boundary has no line end before it.
    for part in (b"\r\n" + body).split(b"\r\n--" + boundary)[1:-1]:
        head, _, content = part.partition(b"\r\n\r\n")
        parameters = {name.lower(): value for name, value in _PARAMETER.findall(head.decode("utf-8", "replace"))}
        # The real service refuses a meta part with a filename (API §11).
        if ("filename" in parameters) == (parameters.get("name") == "file"):
            parts.setdefault(parameters.get("name", ""), content)
    return Upload(parts.get("meta"), parts.get("file"))


class UploadLimit:
    """Lets ``per_minute`` uploads through in any 60 s; 0: all of them. Those turned away do not count."""

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._taken: deque[float] = deque(maxlen=per_minute or None)

    def check(self, now: datetime) -> None:
        """Count an upload at ``now``. Raises 429 FREQUENCY_LIMITED when there were too many in the last minute."""
        if not self._per_minute:
            return
        moment = now.timestamp()
        if len(self._taken) == self._per_minute and moment - self._taken[0] < _MINUTE:
            raise too_frequent()
        self._taken.append(moment)


def upload(memory: Memory, parts: Upload, options: SandboxOptions) -> Transaction:
    """Judge an upload and give the image its URL (API §4)."""
    if parts.meta is None:
        raise blocked("图片meta信息不一致")
    meta = limits.read_body(parts.meta)
    schema.check(meta, _META, "/body/meta")
    if not parts.file:
        raise param_error("图片文件为空")
    if len(parts.file) > LARGEST:
        raise param_error("图片文件大小不能超过2M")
    media_type = _media_type(parts.file)
    if media_type is None or not meta["filename"].lower().endswith((".jpg", ".bmp", ".png")):
        raise blocked("未知图片类型")
    digest = hashlib.sha256(parts.file).hexdigest()
    if meta["sha256"].lower() != digest:
        raise blocked("图片meta信息不一致")
    url = f"{HOST}/wxpaylogo/{_token(memory, digest, options)}/0"
    return Transaction(
        {"media_url": url},
        (UploadedImage(url, media_type, digest), memory.state_after_ids()),
        blob=(url, parts.file),
    )


def check_images(memory: Memory, body: Any, options: SandboxOptions) -> None:
    """Every image of a create request was uploaded, and those of awards are JPG or PNG (API §1.1). The message
    names no field, as the real one does not (API §7 C5)."""
    awards = body["award_send_rule"]["award_list"]
    _check_url(memory, body["activity_base_info"]["merchant_logo_url"], options)
    for award in awards:
        for name in ("original_image_url", "thumbnail_url"):
            if name in award:
                _check_url(memory, award[name], options, award=True)


def _check_url(memory: Memory, url: str, options: SandboxOptions, *, award: bool = False) -> None:
    image = memory.images.get(url)
    if image is None and options.foreign_images == "accept":
        return
    if image is None or (award and image.media_type == "image/bmp"):
        raise param_error("请求参数错误")


def _media_type(content: bytes) -> str | None:
    return next((media_type for magic, media_type in _KINDS if content.startswith(magic)), None)


def _token(memory: Memory, digest: str, options: SandboxOptions) -> str:
    seed = digest if options.image_urls == "by_content" else f"{memory.global_state.made + 1} {digest}"
    raw = hashlib.sha256(seed.encode()).digest()[:24]
    return base64.urlsafe_b64encode(raw).decode("ascii")
