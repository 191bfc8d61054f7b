"""Specs and paygift.yaml as an editor sees them: derived from the models of ``spec``, made fit for YAML.

paygift reads every plain value as a text, by the type of its field. An editor's YAML parser does not: to it
``98065001`` is a number and ``true`` a switch. So a text that may look like a number may be one here, within the same
bounds, and a number may be written in quotes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import core_schema

from reconciler.spec import fields, models
from reconciler.spec.rules import MIN_PACKAGE

Schema = dict[str, Any]

_LONGEST: Final = 128
"""No text that may look like a number has a limit above this."""


def spec_schema() -> Schema:
    """One activity. Only what stands in lists is required: anything else may come from the project's ``defaults``."""
    description = "One activity. What the project's `defaults` say may be left out."
    activity = _derived(models.ActivitySpec)
    return {"title": "paygift: an activity", **activity, "description": description, "allOf": _RULES}


def project_schema() -> Schema:
    """paygift.yaml; under ``defaults`` stands what may stand in a spec."""
    project, activity = _derived(models.ProjectFile), _derived(models.ActivitySpec)
    shared = activity.pop("$defs")
    for name in models.NO_DEFAULTS:
        del activity["properties"][name]
    activity["description"] = "Values for every spec, which a spec may override."
    project["properties"]["defaults"] = activity
    return {"title": "paygift.yaml", **project, "$defs": {**shared, **project["$defs"]}}


# -- from a model to what is published ---------------------------------------------------------------------------------


class _WithoutNull(GenerateJsonSchema):
    """What may be left out may not be empty: ``null`` is a mistake in a spec."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> Schema:
        return self.generate_inner(schema["schema"])


def _derived(model: type[BaseModel]) -> Schema:
    raw = model.model_json_schema(schema_generator=_WithoutNull)
    objects = raw.pop("$defs")
    described = {name: _described(found, objects) for name, found in objects.items()}
    return {**_as_yaml_sees(_described(raw, objects)), "$defs": _as_yaml_sees(described)}


def _described(schema: Schema, objects: Schema) -> Schema:
    """Words for every key, and none of pydantic's titles and empty defaults.

    pydantic leaves out what an object says of itself in the same words.
    """
    properties = {
        field: _plain(found if "description" in found else {**found, "description": _words_of(found, objects)})
        for field, found in schema["properties"].items()
    }
    description = schema["description"].replace("``", "`")
    return {**_plain(schema), "description": description, "properties": properties}


def _words_of(reference: Schema, objects: Schema) -> str:
    return str(objects[reference["$ref"].rpartition("/")[2]]["description"])


def _plain(schema: Schema) -> Schema:
    without = {name: found for name, found in schema.items() if name != "title"}
    if without.get("default") in (None, "", [], ()) or isinstance(without["default"], dict):
        without.pop("default", None)
    return without


def _as_yaml_sees(schema: Any) -> Any:
    """Every text that may look like a number or a switch, as either."""
    if isinstance(schema, list):
        return [_as_yaml_sees(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    # Before all else: widened twice, an amount would accept a switch.
    if any(each.get("type") in ("integer", "boolean") for each in schema.get("anyOf", ())):
        return schema  # what may be written in either way has been said already
    if schema.get("type") != "string" or "enum" in schema or "const" in schema:
        return {name: _as_yaml_sees(each) for name, each in schema.items()}
    others = [*_as_number(schema), *([{"type": "boolean"}] if _fits(schema, "true") else ())]
    if not others:
        return schema
    words = {name: schema.pop(name) for name in ("description", "default") if name in schema}
    return {**words, "anyOf": [schema, *others]}


def _as_number(schema: Schema) -> Iterator[Schema]:
    # Tried out instead of read from the pattern, which may be any regular expression.
    lengths = [length for length in range(1, _LONGEST + 1) if _fits(schema, "1" * length)]
    if not lengths:
        return
    least, most = lengths[0], lengths[-1]
    number: Schema = {"type": "number" if _fits(schema, "1.5") else "integer"}
    if least > 1:
        number["minimum"] = 10 ** (least - 1)
    elif not _fits(schema, "-1"):
        number["minimum"] = 0
    elif most < _LONGEST:
        number["minimum"] = 1 - 10 ** (most - 1)
    if most < _LONGEST:
        number["maximum"] = 10**most - 1
    yield number


def _fits(schema: Schema, text: str) -> bool:
    return (
        schema.get("minLength", 0) <= len(text) <= schema.get("maxLength", _LONGEST)
        and re.search(schema.get("pattern", ""), text) is not None
    )


# -- rules between fields, as far as both stand in one file ------------------------------------------------------------


def _rule(part: str, field: str, value: str, then: Schema) -> Schema:
    condition = {"required": [field], "properties": {field: {"const": value}}}
    return {"properties": {part: {"if": condition, "then": then}}}


def _never(*fields: str) -> Schema:
    return {"properties": dict.fromkeys(fields, False)}


_RULES: Final = [
    _rule(
        "award_send_rule",
        "send_content",
        "SINGLE_COUPON",
        {"properties": {"award_list": {"minItems": 1, "maxItems": 1}}},
    ),
    _rule(
        "award_send_rule",
        "send_content",
        "GIFT_PACKAGE",
        {"properties": {"award_list": {"minItems": MIN_PACKAGE, "items": {"required": ["thumbnail_url"]}}}},
    ),
    *(_rule(*choice, _never(*fields)) for choice, fields in fields.NOT_APPLICABLE.items()),
]
