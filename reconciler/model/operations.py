"""Operations: the writes that a plan wants, a closed set, each with its preconditions.

Frozen data without a sentence in it: renderers find the words, the digest covers them, and a plan file holds them. Each
carries its name in ``operation``, so that it keeps its type in a file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from reconciler.model.activity import Terms

MERCHANTS_PER_CALL: Final = 500
"""A create, an add and a delete each take 1 to 500 mchids (API §1.1, §1.6)."""


def in_calls(mchids: Iterable[str]) -> Iterator[tuple[str, ...]]:
    """``mchids``, sorted, in as many parts as calls are needed for them."""
    # Sorted, or a set's order would give calls, numbers and digests that differ from run to run.
    ordered = sorted(mchids)
    for start in range(0, len(ordered), MERCHANTS_PER_CALL):
        yield tuple(ordered[start : start + MERCHANTS_PER_CALL])


@dataclass(frozen=True, slots=True)
class Precondition:
    """What must still be so when an operation on a live activity is sent; checked by reading detail.

    ``terms_digest`` covers the live terms. ``merchants_digest`` covers the merchants before the operation, and is
    empty where the operation does not depend on them. Both are a full SHA-256 (64 hex digits).
    """

    activity_id: str
    activity_status: str
    terms_digest: str
    merchants_digest: str = ""


@dataclass(frozen=True, slots=True)
class UploadImage:
    """Upload a local image once, however many activities use it. ``path`` is relative to the project's root."""

    sha256: str
    path: str
    operation: Literal["upload_image"] = "upload_image"


@dataclass(frozen=True, slots=True)
class KnownImage:
    """An image that the account has uploaded before, and where it is; ``uploaded_at`` is a UTC instant."""

    sha256: str
    url: str
    uploaded_at: datetime


@dataclass(frozen=True, slots=True)
class CreateActivity:
    """Create an activity with its first merchants: at most 500, the rest follow by AddMerchants."""

    key: str
    out_request_no: str
    terms: Terms
    merchants: tuple[str, ...]
    operation: Literal["create"] = "create"


@dataclass(frozen=True, slots=True)
class AddMerchants:
    """Add at most 500 merchants.

    ``activity_id`` is empty, and ``precondition`` is ``None``, for an activity that an earlier operation of the
    same key creates.
    """

    key: str
    activity_id: str
    out_request_no: str
    merchants: tuple[str, ...]
    precondition: Precondition | None = None
    operation: Literal["add_merchants"] = "add_merchants"


@dataclass(frozen=True, slots=True)
class DeleteMerchants:
    """Delete at most 500 merchants; the fields are those of AddMerchants."""

    key: str
    activity_id: str
    out_request_no: str
    merchants: tuple[str, ...]
    precondition: Precondition | None = None
    operation: Literal["delete_merchants"] = "delete_merchants"


TerminateReason = Literal["removed", "state", "ended", "replaced", "superseded"]
"""Why an activity ends: see ``TerminateActivity``."""


@dataclass(frozen=True, slots=True)
class TerminateActivity:
    """End a live activity, permanently.

    ``reason``: its spec was deleted, its spec says ``state: terminated``, its spec's end time has passed, it is being
    replaced by a create of the same key in this plan, or its successor already lives. Whatever the reason, one that
    comes after a create in the same change waits until what that made is seen, and fit to stand in for it.
    ``successor_id`` is the live activity that a superseded one is ended for, and ``serves`` the merchants of the ended
    one that it must serve.
    """

    key: str
    activity_id: str
    out_request_no: str
    reason: TerminateReason
    precondition: Precondition
    successor_id: str = ""
    serves: tuple[str, ...] = ()
    operation: Literal["terminate"] = "terminate"


Operation = UploadImage | CreateActivity | AddMerchants | DeleteMerchants | TerminateActivity
"""Every write that there is."""
ActivityOperation = CreateActivity | AddMerchants | DeleteMerchants | TerminateActivity
"""Those that belong to one key; an image may be of several."""
