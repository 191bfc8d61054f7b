"""A request to the API as it came in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from starlette.datastructures import Headers

from reconciler.sandbox import gate, images, limits
from reconciler.sandbox.refusal import param_error
from reconciler.wechatpay import wire


@dataclass(frozen=True, slots=True)
class Call:
    """A request to the API. ``target`` and ``body`` are exactly what was sent; ``body`` is ``None`` if it was too
    large to be read."""

    method: str
    target: str
    path: str
    query: str
    headers: Headers
    body: bytes | None

    @property
    def authorization(self) -> str:
        return self.headers.get("authorization", "")

    @property
    def signed(self) -> gate.Signed:
        """For an upload the meta part stands for the body (API §4)."""
        body = (self.upload.meta or b"") if self.path == wire.IMAGE_UPLOAD_PATH else self.body
        return gate.Signed(self.method, self.target, body or b"")

    @property
    def upload(self) -> images.Upload:
        return images.read_upload(self.headers.get("content-type", ""), self.body or b"")

    def json(self) -> Any:
        if self.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise param_error("Http头Content-Type应为application/json")
        return limits.read_body(self.body or b"")
