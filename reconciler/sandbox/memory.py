"""What the sandbox remembers, as values: entities, what a request made of them, and the table that holds them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar, Self, get_args

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Activity:
    """One activity. ``item`` is what reads return of it, without what depends on the clock or on the merchants.

    ``body`` is the create request as it was sent, empty for an activity that was put in from outside. ``merchants``
    maps each mchid to when it was added, oldest first. ``status`` is set once something other than the clock
    decides it. ``odd`` is what reads show in place of what they would, for an activity that was put in with
    invalid values. All times are Unix seconds of the business clock.
    """

    # Kinds and fields stand in stores of earlier versions: they stay, whatever classes are called.
    kind: ClassVar = "activity"
    activity_id: str
    mchid: str
    out_request_no: str
    item: Json
    body: Json
    merchants: Mapping[str, float]
    begin: float
    end: float
    create_time: float
    update_time: float
    status: str = ""
    pause_time: float | None = None
    recovery_time: float | None = None
    terminate_time: float | None = None
    terminations: int = 0
    odd: Json = field(default_factory=dict)

    @property
    def id(self) -> str:
        """Its key among those of its kind."""
        return self.activity_id


@dataclass(frozen=True, slots=True)
class StoredStock:
    """A 商家券 batch; ``content`` is what its query answers (API §3.1)."""

    kind: ClassVar = "stock"
    stock_id: str
    content: Json

    @property
    def id(self) -> str:
        """Its key among those of its kind."""
        return self.stock_id


@dataclass(frozen=True, slots=True)
class UploadedImage:
    """An uploaded image; its bytes are in the store."""

    kind: ClassVar = "image"
    url: str
    media_type: str
    sha256: str

    @property
    def id(self) -> str:
        """Its key among those of its kind."""
        return self.url


@dataclass(frozen=True, slots=True)
class UsedNumber:
    """A request number that was used, with a digest of what came with it and the answer it got (API §1.10)."""

    kind: ClassVar = "used"
    action: str
    mchid: str
    number: str
    digest: str
    answer: Json

    @property
    def id(self) -> str:
        """Its key among those of its kind."""
        return used_id(self.action, self.mchid, self.number)


@dataclass(frozen=True, slots=True)
class Brand:
    """Merchants of one brand (API §2 F11)."""

    kind: ClassVar = "brand"
    id: str
    merchants: list[str]


@dataclass(frozen=True, slots=True)
class RejectedMerchant:
    """Why a merchant fails rule validation; an empty reason takes that back."""

    kind: ClassVar = "verdict"
    mchid: str
    reason: str

    @property
    def id(self) -> str:
        """Its key among those of its kind."""
        return self.mchid


@dataclass(frozen=True, slots=True)
class HiddenActivity:
    """An activity that reads do not show yet. ``until`` is Unix seconds of the business clock; ``reads`` counts how
    many more reads of the list, and of the activity itself, will miss it."""

    kind: ClassVar = "unseen"
    activity_id: str
    until: Mapping[str, float]
    reads: Mapping[str, int]

    @property
    def id(self) -> str:
        """Its key among those of its kind."""
        return self.activity_id


@dataclass(frozen=True, slots=True)
class FaultScript:
    """The faults that were asked for, as ``faults.Fault`` holds them, and how many were ever asked for."""

    kind: ClassVar = "script"
    faults: list[Json]
    made: int
    id: str = "script"


@dataclass(frozen=True, slots=True)
class GlobalState:
    """What there is once. ``made`` counts the ids given out; ``offset`` is the business clock's
    distance from real time, in seconds."""

    kind: ClassVar = "ledger"
    made: int = 0
    offset: float = 0.0
    id: str = "ledger"


Entity = (
    Activity
    | StoredStock
    | UploadedImage
    | UsedNumber
    | Brand
    | RejectedMerchant
    | HiddenActivity
    | FaultScript
    | GlobalState
)
KINDS: Mapping[str, type[Entity]] = {kind.kind: kind for kind in get_args(Entity)}


def used_id(action: str, mchid: str, number: str) -> str:
    """The key of a ``UsedNumber``: numbers belong to an action and to a merchant."""
    return f"{action} {mchid} {number}"


def values(entity: Entity) -> Json:
    """The entity's fields, ready for JSON."""
    return {each.name: getattr(entity, each.name) for each in fields(entity)}


@dataclass(frozen=True, slots=True)
class Effect:
    """One line of history: ``effect`` is created, merchants added, merchants deleted, or terminated."""

    effect: str
    activity_id: str
    request_no: str
    merchants: tuple[str, ...]
    at: str


@dataclass(frozen=True, slots=True)
class Transaction:
    """What a request comes to: the answer, and all that must be remembered before the answer may leave."""

    answer: Any
    entities: tuple[Entity, ...] = ()
    effects: tuple[Effect, ...] = ()
    blob: tuple[str, bytes] | None = None


@dataclass(slots=True)
class Memory:
    """All entities by kind and id, in the order in which they first came."""

    tables: dict[str, dict[str, Any]] = field(default_factory=lambda: {kind: {} for kind in KINDS})

    @classmethod
    def of(cls, entities: Iterator[Entity]) -> Self:
        """A memory of ``entities``; of two with one id, the later."""
        memory = cls()
        for entity in entities:
            memory.put(entity)
        return memory

    def put(self, entity: Entity) -> None:
        """Remember ``entity``, in the place of the one with its id."""
        self.tables[entity.kind][entity.id] = entity

    def with_entities(self, *entities: Entity) -> Memory:
        """A copy that also holds ``entities``; this one stays as it is."""
        copy = Memory({kind: dict(table) for kind, table in self.tables.items()})
        for entity in entities:
            copy.put(entity)
        return copy

    def without_activities(self, ids: Iterable[str]) -> Memory:
        """A copy that knows nothing of some activities; this one stays as it is."""
        gone = set(ids)
        kept = {name: each for name, each in self.activities.items() if name not in gone}
        return Memory(self.tables | {"activity": kept})

    @property
    def global_state(self) -> GlobalState:
        """What there is once; as at the beginning if nothing was remembered."""
        found: GlobalState = self.tables["ledger"].get("ledger", GlobalState())
        return found

    def state_after_ids(self, more: int = 1) -> GlobalState:
        """What ``global_state`` is once ``more`` ids were given out."""
        return replace(self.global_state, made=self.global_state.made + more)

    @property
    def activities(self) -> Mapping[str, Activity]:
        """By activity_id."""
        return self.tables["activity"]

    @property
    def stocks(self) -> Mapping[str, StoredStock]:
        """By stock_id."""
        return self.tables["stock"]

    @property
    def images(self) -> Mapping[str, UploadedImage]:
        """By URL."""
        return self.tables["image"]

    @property
    def unseen(self) -> Mapping[str, HiddenActivity]:
        """Activities that some reads do not show yet, by activity_id."""
        return self.tables["unseen"]

    @property
    def script(self) -> FaultScript:
        """The faults that were asked for."""
        script: FaultScript = self.tables["script"].get("script", FaultScript([], 0))
        return script

    @property
    def brands(self) -> list[frozenset[str]]:
        """The merchants of each registered brand."""
        return [frozenset(brand.merchants) for brand in self.tables["brand"].values()]

    def used(self, action: str, mchid: str, number: str) -> UsedNumber | None:
        """The use of a request number, if it was used."""
        return self.tables["used"].get(used_id(action, mchid, number))

    def declared(self, mchid: str) -> str:
        """Why ``mchid`` was declared invalid, or empty."""
        verdict: RejectedMerchant | None = self.tables["verdict"].get(mchid)
        return verdict.reason if verdict else ""
