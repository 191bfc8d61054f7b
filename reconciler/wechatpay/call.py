"""What goes back and forth: a request before it is signed, and what came back before it is believed. Pure."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from reconciler.wechatpay import wire

Permit = Callable[[], Awaitable[None]]
"""Asked right before a write leaves, at every try; raises whatever forbids it."""


@dataclass(frozen=True, slots=True)
class Call:
    """A request before it is signed, so that it can be signed again. ``path`` names it in errors."""

    method: str
    path: str
    query: str = ""
    body: bytes = field(default=b"", repr=False)
    content_type: str = ""
    signed_body: bytes = field(default=b"", repr=False)
    permit: Permit | None = None

    @property
    def is_write(self) -> bool:
        """Whether it may change something."""
        return self.method != "GET"

    @property
    def is_upload(self) -> bool:
        """Whether it counts against the limit of uploads by the minute (API §4)."""
        return self.is_write and self.path == wire.IMAGE_UPLOAD_PATH

    @property
    def target(self) -> str:
        """Path and query, as they are signed and sent."""
        return f"{self.path}?{self.query}" if self.query else self.path


@dataclass(frozen=True, slots=True)
class Exchange:
    """What came back from ``host``, proven or not. ``received_at`` is our clock, in Unix seconds."""

    host: str
    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    received_at: float

    @property
    def request_id(self) -> str:
        """Under which WeChat Pay can find it again; empty if the answer does not say."""
        return self.headers.get("Request-ID", "")
