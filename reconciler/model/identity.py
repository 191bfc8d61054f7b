"""Request numbers: made and parsed. They are identity and ownership without a state file (concepts.md#identity).

``out_request_no = <namespace>_<key>_<g|p><generation>_<digest>``, in ``[0-9A-Za-z_-]`` and at most 128 characters
(API §1.1). The digest covers the terms, never the merchants, so the same terms always give the same number. How a
digest is made must never change: a new recipe would make every live activity look edited.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from reconciler.model.activity import (
    FIELD_PATHS,
    KEY_PATTERN,
    NAMESPACE_PATTERN,
    Award,
    DayWindow,
    DesiredActivity,
    Image,
    LiveActivity,
    Terms,
    Window,
)

# Changed, no number of a live activity would match any more, and all would become unmanaged.
DIGEST_LENGTH: Final = 12
"""Hex digits of a digest that request numbers have room for."""
_NUMBER: Final = re.compile(
    rf"(?P<namespace>{NAMESPACE_PATTERN.pattern})_(?P<key>{KEY_PATTERN.pattern})"
    rf"_(?P<mark>[gp])(?P<generation>[1-9][0-9]{{0,8}})_(?P<digest>[0-9a-f]{{{DIGEST_LENGTH}}})"
)


@dataclass(frozen=True, slots=True)
class RequestNumber:
    """A parsed ``out_request_no`` of ours.

    ``protect`` tells whether the activity was created with ``protect: true``. It is a mark and takes no part in
    ``slot``: two numbers with the same slot are the same number for every question of identity.
    """

    namespace: str
    key: str
    generation: int
    digest: str
    protect: bool = False

    def __str__(self) -> str:
        # Neither a namespace nor a key can hold an underscore, so the parts cannot run together.
        return f"{self.namespace}_{self.key}_{'p' if self.protect else 'g'}{self.generation}_{self.digest}"

    @property
    def slot(self) -> tuple[str, int, str]:
        """(key, generation, digest): what is matched."""
        return (self.key, self.generation, self.digest)


@dataclass(frozen=True, slots=True)
class Ownership:
    """Which live activities are ours, and under which key.

    ``adopted`` maps activity ids that specs take over to their keys, ``renamed`` maps former keys to present ones.
    ``wanted`` are the keys of all specs. Another namespace's activity is never ours, and one of another spec of the
    same project stays that spec's, whatever ``adopt`` says (concepts.md#identity).
    """

    namespace: str
    adopted: Mapping[str, str]
    renamed: Mapping[str, str]
    wanted: frozenset[str] = frozenset()

    @classmethod
    def of(cls, namespace: str, desired: Sequence[DesiredActivity]) -> Ownership:
        """What the specs of a project say about it."""
        return cls(
            namespace,
            adopted={activity.adopt: activity.key for activity in desired if activity.adopt},
            renamed={former: activity.key for activity in desired for former in activity.renamed_from},
            wanted=frozenset(activity.key for activity in desired),
        )

    def key_of(self, live: LiveActivity) -> str | None:
        """The key that manages ``live``, or ``None`` if it is not ours to touch."""
        adopting = self.adopted.get(live.activity_id)
        number = parse_number(live.out_request_no)
        # Made elsewhere: only `adopt` can make it ours.
        if number is None:
            return adopting
        # Before `adopt`: another project would end it, or create it again, at its next apply.
        if number.namespace != self.namespace:
            return None
        own = self.renamed.get(number.key, number.key)
        return own if adopting is None or own in self.wanted else adopting


def number_of(namespace: str, desired: DesiredActivity) -> RequestNumber:
    """The number under which ``desired`` is, or would be, created."""
    return RequestNumber(
        namespace, desired.key, desired.generation, terms_digest(desired.terms), protect=desired.protect
    )


def parse_number(out_request_no: str) -> RequestNumber | None:
    """The parts of a number that some paygift made, or ``None`` for any other number."""
    # fullmatch: a number made elsewhere may begin like one of ours.
    found = _NUMBER.fullmatch(out_request_no)
    if found is None:
        return None
    return RequestNumber(
        namespace=found["namespace"],
        key=found["key"],
        generation=int(found["generation"]),
        digest=found["digest"],
        protect=found["mark"] == "p",
    )


def terms_digest(terms: Terms) -> str:
    """The first 12 hex digits of ``terms_sha256``: what a request number has room for.

    They tell accident from edit and prove nothing: two specs with the same 12 digits are found within minutes. Where
    "the same" decides what is written, the full digest or the terms themselves are compared.
    """
    return terms_sha256(terms)[:DIGEST_LENGTH]


def terms_sha256(terms: Terms) -> str:
    """64 hex digits: SHA-256 over the canonical JSON of the terms.

    Times are UTC instants, a local image is the hash of its bytes; absent fields are left out, so that a field
    which the API gains later does not change the numbers of activities that do not use it.
    """
    return _sha256_hex(canonical_json(_terms_data(terms)))


def merchants_digest(merchants: Iterable[str]) -> str:
    """64 hex digits: SHA-256 over the sorted set of mchids."""
    return _sha256_hex(canonical_json(sorted(set(merchants))))


def add_request_no(activity_id: str, merchants: Iterable[str], before: Iterable[str], at: datetime) -> str:
    """The number of one call that adds ``merchants`` to an activity that has ``before``, in the run begun ``at``.

    Repeating the call within a run repeats the number. Another run gets another one: a merchant that was added,
    deleted and is added again would otherwise meet its old number, be answered as before, and not be added
    (API §1.10). See docs/decisions/merchant-request-numbers.md.
    """
    return _change_request_no("a", activity_id, merchants, before, at)


def delete_request_no(activity_id: str, merchants: Iterable[str], before: Iterable[str], at: datetime) -> str:
    """The number of one call that deletes ``merchants`` from an activity that has ``before``."""
    return _change_request_no("d", activity_id, merchants, before, at)


def canonical_json(data: object) -> str:
    """JSON with sorted keys and no spaces: equal data, equal text."""
    return json.dumps(data, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def instant(moment: datetime) -> str:
    """``moment`` as the one text that stands for it: UTC, whole seconds, ``Z`` (milliseconds only if there are any)."""
    utc = moment.astimezone(UTC)
    timespec = "milliseconds" if utc.microsecond else "seconds"
    return utc.replace(tzinfo=None).isoformat(timespec=timespec) + "Z"


def _change_request_no(
    letter: str, activity_id: str, merchants: Iterable[str], before: Iterable[str], at: datetime
) -> str:
    parts = [sorted(set(merchants)), sorted(set(before)), at.astimezone(UTC).isoformat()]
    return f"{activity_id}_{letter}_{_sha256_hex(canonical_json(parts))[:DIGEST_LENGTH]}"


def _terms_data(terms: Terms) -> dict[str, object]:
    data: dict[str, object] = {}
    # Its order does not matter (keys are sorted), its names do: renaming a field changes every number.
    for name in FIELD_PATHS:
        value = _plain(getattr(terms, name))
        # Absent and empty are the same to the API, and must be the same to the digest.
        if value not in (None, "", []):
            data[name] = value
    return data


def _plain(value: object) -> object:
    match value:
        case datetime():
            return instant(value)
        case Image():
            # Never the path, and never where it was uploaded: both differ between machines.
            return value.url or f"sha256:{value.sha256}"
        case Window():
            return [instant(value.begin_time), instant(value.end_time)]
        case DayWindow():
            return [value.begin_day_time, value.end_day_time]
        case Award():
            parts = (value.stock_id, value.original_image_url, value.thumbnail_url)
            return [_plain(part) for part in parts if part is not None]
        case tuple():
            return [_plain(item) for item in value]
    return value


def _sha256_hex(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
