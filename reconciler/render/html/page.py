"""The frame of every HTML page: its style, its script, and the policy that lets nothing else in.

The page asks for nothing: no font, no image, no other file. Its Content-Security-Policy names the style and the
script by their hash, so that nothing that came from elsewhere could run even if it got through the escaping.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from importlib.resources import files
from typing import Final

from reconciler.render.html.tags import Html, tag, together

_FILES: Final = files(__package__)
# Read once at import: its hash below must be of the very text that stands in the page.
STYLE: Final = "\n" + _FILES.joinpath("page.css").read_text(encoding="utf-8")
"""What stands between the tags of ``style``."""
SCRIPT: Final = "\n" + _FILES.joinpath("page.js").read_text(encoding="utf-8")
"""What stands between the tags of ``script``. Without it, everything is shown."""


def _hash(content: str) -> str:
    return f"'sha256-{b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        # No 'unsafe-inline': that would let an injected attribute or element style the page.
        f"style-src {_hash(STYLE)}",
        f"script-src {_hash(SCRIPT)}",
        "base-uri 'none'",
        "form-action 'none'",
    )
)
"""The Content-Security-Policy: this style and this script, and nothing else."""


def page(title: str, *body: str | None) -> str:
    """A whole document, which needs nothing but itself."""
    head = together(
        tag("meta", charset="utf-8"),
        # Second, right after the charset: a policy holds only for what comes after it.
        tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        # The page's own address may be an artifact's, which is a key by itself.
        tag("meta", name="referrer", content="no-referrer"),
        tag("meta", name="robots", content="noindex"),
        tag("title", title),
        tag("style", Html(STYLE)),
    )
    script = tag("script", Html(SCRIPT))
    document = tag("html", tag("head", head), tag("body", *body, script), lang="en")
    return f"<!doctype html>\n{document}\n"
