"""What WeChat Pay says of a request whose signature it refuses, held against what was sent (API §5.7). Pure.

A gateway that drops a query or rewrites a path breaks the signature, and then no key is right.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple
from urllib.parse import unquote

from pydantic import BaseModel, ValidationError

from reconciler.wechatpay import signing

# Only the length of what was signed is compared, so any nonce and time of the right length will do.
_NONCE: Final = "0" * 32
_TIMESTAMP: Final = "0" * 10
_ORIGIN: Final = re.compile(r"https?://[^/?#]*", re.IGNORECASE)


class Sent(NamedTuple):
    """A request as it was signed, and the host that it went to. ``target`` is path and query."""

    method: str
    target: str
    body: bytes
    host: str


class _Information(BaseModel):
    method: str
    url: str
    sign_message_length: int | None = None


class _Detail(BaseModel):
    sign_information: _Information


def change_on_the_way(detail: object, sent: Sent) -> str | None:
    """How the request that arrived differs from ``sent``, as the end of a sentence; empty if it does not.

    ``None`` where the answer does not tell. Nothing of what it says is repeated: nobody has signed it.
    """
    try:
        seen = _Detail.model_validate(detail).sign_information
    except ValidationError:
        return None
    if seen.method.upper() != sent.method:
        return f"with another method than {sent.method}"
    target = _ORIGIN.sub("", seen.url, count=1)
    if target != sent.target:
        return _other_target(target, sent.target)
    if seen.sign_message_length not in (None, *_lengths(sent)):
        return "with another body"
    return ""


def _other_target(seen: str, sent: str) -> str:
    (path, _, query), (our_path, _, our_query) = seen.partition("?"), sent.partition("?")
    if unquote(seen) == unquote(sent):
        return "with its percent-encoding changed"
    if path == our_path and not query:
        return "without its query"
    if path == our_path:
        return "with another query" if our_query else "with a query that was not sent"
    if path.endswith(our_path):
        return "with something before its path"
    if our_path.endswith(path) and path not in ("", "/"):
        return "without the beginning of its path"
    return "for another path"


def _lengths(sent: Sent) -> tuple[int, int]:
    """Of what was signed: in bytes, and in characters, since nobody says which is counted."""
    message = signing.request_message(sent.method, sent.target, _TIMESTAMP, _NONCE, sent.body)
    return len(message), len(message.decode("utf-8", "replace"))
