"""What a journal holds: entries that chain by hash, as data and as lines of text. Pure.

An ``Intent`` is written before a request leaves, an ``Outcome`` after it was verified; an intent that no outcome names
is a question to the remote. Each entry carries the hash of the one before it, so that a line which was removed or
altered shows (``chain``).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from functools import cache
from typing import Annotated, Any, Final, Literal

from pydantic import Field, TypeAdapter, ValidationError

from reconciler.model.errors import JournalError, first_mistake
from reconciler.model.identity import canonical_json, instant
from reconciler.model.report import OutcomeStatus, Rejection

NO_HASH: Final = "0" * 64
"""What the first entry carries as the hash of the one before it."""


@dataclass(frozen=True, slots=True)
class RunStarted:
    """A run of apply that has something to write. ``who`` is CI's actor or the user. ``switches`` maps
    the ids that are to end once a start under another key stands in for them to that key. ``reviewed`` is the digest of
    the plan that alone might be applied, of which ``plan_digest`` may be what was left; empty where any might be.
    """

    plan_digest: str
    operations: int
    who: str = ""
    host: str = ""
    pid: int = 0
    commit: str = ""
    job_url: str = ""
    version: str = ""
    switches: Mapping[str, str] = field(default_factory=dict)
    reviewed: str = ""
    # Words of existing journals: they stay, whatever the classes are called.
    entry: Literal["begun"] = "begun"


@dataclass(frozen=True, slots=True)
class Intent:
    """One write request that is about to leave. ``body`` is what is sent, to the byte; for an upload it is the meta
    JSON, which names the image's hash. ``request_no`` is empty where the API takes none.
    """

    operation: str
    key: str
    activity_id: str
    request_no: str
    body: str
    entry: Literal["intent"] = "intent"


@dataclass(frozen=True, slots=True)
class OperationFinished:
    """What one operation came to. ``intents`` are the entries of the requests that it sent, none if it sent nothing.

    ``resumed`` tells that a later run found this out by reading. ``seconds`` is how long the operation took, and
    ``path`` the image of an upload.
    """

    operation: str
    key: str
    status: OutcomeStatus
    activity_id: str = ""
    request_no: str = ""
    intents: tuple[int, ...] = ()
    reason: str = ""
    http_status: int = 0
    request_id: str = ""
    tries: int = 0
    seconds: float = 0.0
    rejections: tuple[Rejection, ...] = ()
    path: str = ""
    resumed: bool = False
    entry: Literal["outcome"] = "outcome"

    @property
    def answers(self) -> bool:
        """Whether it settles what its intents asked. What could not be read back stays a question for the next run,
        and is then asked about no more.
        """
        return bool(self.intents) and (self.resumed or not self.status.open_question)


@dataclass(frozen=True, slots=True)
class RunEnded:
    """A run came to its end; ``counts`` tells how many operations came to each status. ``held_by`` names the refusals
    that were open: with any of them the plan was not applied completely, whatever the counts.
    """

    counts: Mapping[str, int]
    interrupted: bool = False
    held_by: tuple[str, ...] = ()
    entry: Literal["ended"] = "ended"

    @property
    def complete(self) -> bool:
        """Whether nothing was left to do."""
        left = {status for status, count in self.counts.items() if count} - {
            OutcomeStatus.DONE.value,
            OutcomeStatus.ALREADY_DONE.value,
        }
        return not left and not self.interrupted and not self.held_by


@dataclass(frozen=True, slots=True)
class LockTakenOver:
    """The lock was taken from ``holder``, who was found dead or was put out by ``who``."""

    holder: str
    reason: str
    who: str = ""
    entry: Literal["displaced"] = "displaced"


@dataclass(frozen=True, slots=True)
class Remembered:
    """What must outlast the files, as it stands from this entry on. Written by an apply whose files say something else.

    ``protected`` are the keys whose specs said ``protect: true``, ``adopted`` the ids that specs took over, with keys.
    """

    protected: tuple[str, ...] = ()
    adopted: Mapping[str, str] = field(default_factory=dict)
    entry: Literal["remembered"] = "remembered"


Content = RunStarted | Intent | OperationFinished | RunEnded | LockTakenOver | Remembered
"""What an entry can say."""
What = Annotated[Content, Field(discriminator="entry")]


@dataclass(frozen=True, slots=True)
class Applied:
    """A run that left nothing to do of a reviewed plan: its name, when it ended (UTC), and the commit of its files."""

    run: str
    at: datetime
    commit: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the journal of one account and namespace. ``seq`` counts from 1, ``at`` is a UTC instant."""

    mchid: str
    namespace: str
    seq: int
    at: datetime
    run: str
    what: Content
    previous: str = NO_HASH
    hash: str = field(default="", compare=False)


def sealed(entry: Entry) -> tuple[str, str]:
    """The entry as one line of canonical JSON without its hash, and its hash: SHA-256 over that line."""
    # Half a surrogate pair, from a server's words, has no UTF-8; as JSON escapes it, it is read back as it was.
    line = canonical_json(_data(entry)).encode(errors="backslashreplace").decode()
    return line, hash_of(line)


def read_entry(line: str) -> Entry:
    """The entry in one line, of the journal or of an audit file. Raises JournalError saying what is wrong with it."""
    data = parsed(line)
    try:
        what = _adapter().validate_python({name: data[name] for name in data if name not in _ENVELOPE})
        return Entry(
            mchid=str(data["mchid"]),
            namespace=str(data["namespace"]),
            seq=int(data["seq"]),
            at=_instant(data["at"]),
            run=str(data["run"]),
            what=what,
            previous=str(data["previous"]),
            hash=str(data.get("hash", "")),
        )
    except (ValidationError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise JournalError(f"this is not an entry of a journal: {_brief(error)}") from error


def _instant(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None or not 1 < moment.year < 9999:
        raise ValueError("its time is not an instant that has a date in every time zone")
    return moment


def parsed(line: str) -> dict[str, Any]:
    """The object in one line. Raises JournalError, also where a key is written twice: two readers might differ."""
    try:
        data = json.loads(line, object_pairs_hook=_once_each)
    except (ValueError, TypeError, RecursionError) as error:  # TypeError for a row that holds no text
        raise JournalError(f"this is not an entry of a journal: {_brief(error)}") from error
    if not isinstance(data, dict):
        raise JournalError("this is not an entry of a journal: it is not a JSON object")
    return data


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) < len(pairs):
        raise ValueError("a key is written twice")
    return data


def hash_of(line: str) -> str:
    """SHA-256 of a sealed line, in hex digits."""
    return hashlib.sha256(line.encode()).hexdigest()


_ENVELOPE: Final = frozenset({"mchid", "namespace", "seq", "at", "run", "previous", "hash"})


def _data(entry: Entry) -> dict[str, object]:
    return {
        "mchid": entry.mchid,
        "namespace": entry.namespace,
        "seq": entry.seq,
        "at": instant(entry.at),
        "run": entry.run,
        **{each.name: _plain(getattr(entry.what, each.name)) for each in fields(entry.what)},
        "previous": entry.previous,
    }


def _plain(value: object) -> object:
    match value:
        case OutcomeStatus():
            return value.value
        case Rejection():
            return asdict(value)
        case tuple():
            return [_plain(item) for item in value]
        case Mapping():
            return dict(value)
    return value


@cache
def _adapter() -> TypeAdapter[Any]:
    """Made when the first entry is read: it takes a moment."""
    return TypeAdapter(What)


def _brief(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return first_mistake(error)
    return f"{type(error).__name__}: {error}"
