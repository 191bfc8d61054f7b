"""The first line of a rendering in Markdown: a comment that tells programs what follows. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from reconciler.plan import FORMAT_VERSION

_MARKER: Final = re.compile(
    r"<!-- paygift (?P<kind>plan|report) digest=(?P<digest>[0-9a-f]{64}) namespace=(?P<namespace>[a-z0-9-]*) "
    r"mchid=(?P<mchid>[0-9A-Za-z_-]*) format=(?P<format>\d+\.\d+)(?: outcome=(?P<outcome>[a-z]+))? -->"
)


@dataclass(frozen=True, slots=True)
class Marker:
    """The first line of a rendering. ``kind`` is ``plan`` or ``report``; the digest is the plan's in both. A report
    says what it came to: ``complete``, ``nothing`` to do, ``partial``, or ``stopped`` before or while it wrote.
    """

    kind: str
    digest: str
    namespace: str
    mchid: str
    format: str = FORMAT_VERSION
    outcome: str = ""

    def __str__(self) -> str:
        """A plan file may hold anything as its namespace: what does not fit makes a marker that nobody reads."""
        # A > here would end the comment, and what follows would be shown as Markdown.
        namespace = re.sub(r"[^a-z0-9-]", "?", self.namespace)
        mchid = re.sub(r"[^0-9A-Za-z_-]", "?", self.mchid)
        outcome = f" outcome={self.outcome}" if self.outcome else ""
        return (
            f"<!-- paygift {self.kind} digest={self.digest} namespace={namespace} mchid={mchid}"
            f" format={self.format}{outcome} -->"
        )


def read_marker(markdown: str) -> Marker | None:
    """The marker in the first line of a text, if it is one. Whether to believe it depends on who wrote the text."""
    first, _, _ = markdown.partition("\n")
    # GitHub stores what a browser sends with carriage returns.
    found = _MARKER.fullmatch(first.rstrip("\r"))
    return Marker(**found.groupdict("")) if found else None
