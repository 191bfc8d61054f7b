"""Who holds, or waits for, the lock: as data for the journal, and as words for people."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from reconciler.journal.process import Process


@dataclass(frozen=True, slots=True)
class Holder:
    """``who`` runs it, ``since`` is when, as text for people; ``commit`` is which files it is about, if known."""

    who: str
    process: Process
    since: str
    token: str = field(default_factory=lambda: secrets.token_hex(16))
    commit: str = ""

    def __str__(self) -> str:
        at = f", at commit {self.commit[:12]}" if self.commit else ""
        return f"{self.who or 'somebody'} on {self.process.host}, process {self.process.pid}, since {self.since}{at}"

    def to_json(self) -> str:
        """What ``from_row`` reads, without the token."""
        about = {"who": self.who, "since": self.since, "process": asdict(self.process), "commit": self.commit}
        return json.dumps(about)

    @classmethod
    def from_row(cls, token: str, text: str) -> Holder:
        """From what ``to_json`` made, of this version or of one that knew no commits."""
        try:
            data: Mapping[str, Any] = json.loads(text)
            about = data["process"]
            process = Process(str(about["host"]), int(about["pid"]), str(about.get("birth", "")))
            return cls(str(data["who"]), process, str(data["since"]), token, str(data.get("commit", "")))
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
            return cls("", Process("an unknown host", 0), "an unknown time", token)  # a damaged row is still a lock

    @property
    def condition(self) -> str:
        """What is known of its process beside that it exists, as a sentence with its remedy; or nothing."""
        if not self.process.is_stopped:
            return ""
        pid = self.process.pid
        return f"That process is stopped: `kill -CONT {pid}` lets it go on, `paygift unlock` takes the lock away."
