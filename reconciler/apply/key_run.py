"""What is known, while it is applied, of the operations of one key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from reconciler.apply.send import Trace
from reconciler.model.operations import ActivityOperation, AddMerchants, CreateActivity
from reconciler.model.plan import ActivityChange


@dataclass(slots=True)
class KeyRun:
    """What the operations of one key have learnt so far in this run.

    ``urls`` gives the uploaded URL of each image by its SHA-256. ``created_id`` is the activity that this key's
    create made or found. ``merchants`` are those last read of the activity whose merchants are being changed, or
    ``None`` before the first such operation. ``trace`` is what the present operation has sent.
    """

    change: ActivityChange
    urls: Mapping[str, str]
    created_id: str = ""
    merchants: frozenset[str] | None = None
    trace: Trace = field(default_factory=Trace)

    @property
    def key(self) -> str:
        """The key whose operations these are."""
        return self.change.key

    def activity_id_of(self, operation: ActivityOperation) -> str:
        """The activity that ``operation`` is about: the one it names, or the one that this run created."""
        named = "" if isinstance(operation, CreateActivity) else operation.activity_id
        return named or self.created_id

    def wanted_merchants(self, create: CreateActivity) -> frozenset[str]:
        """All merchants that the created activity is to have in the end."""
        later = (step.merchants for step in self.change.operations if isinstance(step, AddMerchants))
        return frozenset(create.merchants).union(*later)
