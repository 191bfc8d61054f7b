"""Plan files and reports as programs read them: derived from the types that ``render.json_`` writes.

Readers ignore keys that they do not know, so nothing here forbids any. Everything that is named is always there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final, Literal, get_args

from pydantic import Field, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import core_schema

from reconciler.model.activity import Image
from reconciler.model.findings import Finding
from reconciler.model.operations import KnownImage, Operation, UploadImage
from reconciler.model.plan import ActivityChange, Differing, Timeline
from reconciler.model.policy import Policy
from reconciler.model.report import Outcome
from reconciler.plan import FORMAT_VERSION, PLAN_FORMAT_VERSION, Undo, first_number

Schema = dict[str, Any]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Version = Annotated[str, Field(pattern=rf"^{first_number(FORMAT_VERSION)}\.[0-9]+$")]
PlanVersion = Annotated[str, Field(pattern=rf"^{first_number(PLAN_FORMAT_VERSION)}\.[0-9]+$")]
"""Another first number is another format, which a reader refuses."""


@dataclass(frozen=True)
class Counts:
    """Managed live activities, those of them that equal their files, and all others on the account; then the keys that
    are refused, and the other keys whose live activities differ from their files and stay as they are.
    """

    managed: int
    unchanged: int
    unmanaged: int
    refused: int
    differing: int


@dataclass(frozen=True)
class HeldBack:
    """An open refusal and all keys that it holds back; without a key of its own it holds the whole plan."""

    code: str
    key: str
    keys: tuple[str, ...]
    text: str


@dataclass(frozen=True)
class PlanFile:
    """What `paygift plan --json` and `plan --out` write. `checksum` covers everything else."""

    format_version: PlanVersion
    kind: Literal["plan"]
    namespace: str
    mchid: str
    made_at: datetime
    valid_until: datetime | None
    digest: Sha256
    allow: tuple[str, ...]
    policy: Policy
    findings: tuple[Finding, ...]
    held: tuple[HeldBack, ...]
    uploads: tuple[UploadImage, ...]
    known_images: tuple[KnownImage, ...]
    changes: tuple[ActivityChange, ...]
    differing: tuple[Differing, ...]
    counts: Counts
    timeline: Timeline
    checksum: Sha256


@dataclass(frozen=True)
class ReportFile:
    """What `paygift apply --json` and `apply --report FILE.json` write: one outcome for each operation of the plan."""

    format_version: Version
    kind: Literal["report"]
    plan_digest: Sha256
    started_at: datetime
    finished_at: datetime
    complete: bool
    interrupted: bool
    run: str
    journal_head: str
    remarks: tuple[str, ...]
    held: tuple[HeldBack, ...]
    outcomes: tuple[Outcome, ...]


@dataclass(frozen=True)
class StoppedError:
    """`kind` is a word that stays the same, and stands for the exit code; the others are sentences."""

    kind: str
    message: str
    remedy: str


@dataclass(frozen=True)
class Refused:
    """A refusal that nobody waived."""

    code: str
    key: str
    text: str
    source: str


@dataclass(frozen=True)
class StoppedFile:
    """What `apply --report FILE.json` writes for an apply that ended before its first write, or in the middle.

    `written` is false, or null where nobody knows.
    """

    format_version: Version
    kind: Literal["stopped"]
    namespace: str
    mchid: str
    plan_digest: Sha256 | Literal[""]
    at: datetime
    exit_code: int
    error: StoppedError
    refusals: tuple[Refused, ...]
    details: tuple[str, ...]
    written: Literal[False] | None
    text: str


_ALSO: Final[Mapping[Any, Mapping[str, Any]]] = {
    **{operation: {"undo": Undo} for operation in get_args(Operation)},
    Finding: {"text": str},
    Undo: {"text": str},
}
"""What is written beside the fields of a type, for people."""

_IMAGE: Final[Schema] = {
    "description": "An image by its URL, or a file that is to be uploaded.",
    "type": "object",
    "properties": {"url": {"type": "string"}, "sha256": {"type": "string"}, "path": {"type": "string"}},
    "oneOf": [{"required": ["url"]}, {"required": ["sha256", "path"]}],
}


def plan_schema() -> Schema:
    """What ``plan_json`` writes."""
    return {"title": "paygift: a plan", **_derived(PlanFile)}


def report_schema() -> Schema:
    """What ``report_json`` writes, and ``stopped_json`` of an apply that came to nothing."""
    either = Annotated[ReportFile | StoppedFile, Field(discriminator="kind")]
    return {"title": "paygift: a report", **_derived(either)}


class _Written(GenerateJsonSchema):
    """Fields with a default are written too, and some things look otherwise than their type."""

    def field_is_required(self, *_: object, **__: object) -> bool:
        # Readers should not have to guess: what is named is always written.
        return True

    def datetime_schema(self, schema: core_schema.DatetimeSchema) -> Schema:
        return {**super().datetime_schema(schema), "pattern": "Z$"}

    def dataclass_schema(self, schema: core_schema.DataclassSchema) -> Schema:
        if schema["cls"] is Image:
            return _IMAGE
        made = super().dataclass_schema(schema)
        # policy_data leaves them out, since a waiver is not a rule of the team.
        if schema["cls"] is Policy:  # the waivers of a run stand beside it
            del made["properties"]["allow"]
            made["required"].remove("allow")
        for name, kind in _ALSO.get(schema["cls"], {}).items():
            made["properties"][name] = self.generate_inner(TypeAdapter(kind).core_schema)
            made["required"].append(name)
        return made


def _derived(of: Any) -> Schema:
    made: Schema = TypeAdapter(of).json_schema(mode="serialization", schema_generator=_Written)
    return dict(_without_titles(made))


def _without_titles(schema: Any) -> Any:
    """Without pydantic's titles, and with our docstrings as Markdown. ``properties`` has keys of ours."""
    if isinstance(schema, list):
        return [_without_titles(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made = {}
    for name, found in schema.items():
        if name in ("properties", "$defs"):
            made[name] = {key: _without_titles(each) for key, each in found.items()}
        elif name == "description":
            made[name] = found.replace("``", "`")
        elif name not in ("title", "default"):
            made[name] = _without_titles(found)
    return made
