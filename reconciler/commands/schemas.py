"""JSON Schemas (draft 2020-12) of what people write and of what paygift writes. Pure.

Both are derived from the types that read and write these things, so that they say what is so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from reconciler.render.schema import plan_schema, report_schema
from reconciler.spec.schema import project_schema, spec_schema

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
SCHEMAS: Final[dict[str, Callable[[], dict[str, object]]]] = {
    "spec": spec_schema,
    "project": project_schema,
    "plan": plan_schema,
    "report": report_schema,
}
"""How each is made, by what it describes."""


def schema(kind: str) -> dict[str, object]:
    """The schema of one of SCHEMAS, which names its dialect. Raises KeyError for another kind."""
    return {"$schema": DIALECT, **SCHEMAS[kind]()}
