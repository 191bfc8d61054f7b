"""Specs and paygift.yaml as an editor sees them: derived from the models of ``spec``, made fit for YAML.

paygift reads every plain value as a text, by the type of its field. An editor's YAML parser does not: to it
``98065001`` is a number and ``true`` a switch. So a text that may look like a number may be one here, within the same
bounds, and a number may be written in quotes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import core_schema

from reconciler.model import characters
from reconciler.spec import fields, models
from reconciler.spec.rules import MIN_PACKAGE
from reconciler.spec.schema_words import AUTHORED

Schema = dict[str, Any]

_LONGEST: Final = 128
"""No text that may look like a number has a limit above this."""


def spec_schema() -> Schema:
    """One activity. Only what stands in lists is required: anything else may come from the project's ``defaults``."""
    description = "One activity. What the project's `defaults` say may be left out."
    activity = _optional(_derived(models.ActivitySpec))
    return {"title": "paygift: an activity", **activity, "description": description, "allOf": _RULES}


def project_schema() -> Schema:
    """paygift.yaml; under ``defaults`` stands what may stand in a spec."""
    project, activity = _derived(models.ProjectFile), _optional(_derived(models.ActivitySpec))
    shared = activity.pop("$defs")
    for name in models.NO_DEFAULTS:
        del activity["properties"][name]
    activity["description"] = "What every spec begins with, and may say otherwise."
    project["properties"]["defaults"] = activity
    return {"title": "paygift.yaml", **project, "$defs": {**shared, **project["$defs"]}}


# -- what the functions that read and check a value let through --------------------------------------------------------


def _lasting(pattern: str) -> str:
    """A pattern for the whole of a text, in the dialect that JavaScript and Python share."""
    return f"^(?:{pattern})$".replace(r"\d", "[0-9]")


def _moment() -> str:
    """A time, without the group that only Python names."""
    return _lasting(fields.MOMENT.pattern.replace(r"(?P<fraction>\d+)", rf"\d{{1,{fields.MAX_FRACTION}}}"))


@cache
def _visible() -> str:
    """One character that a text may hold, as a class of ranges below U+FFFF."""
    allowed = (code for code in range(0x10000) if not characters.FORBIDDEN.match(chr(code)))
    return f"[{''.join(_ranges(allowed))}]"


def _ranges(codes: Iterator[int]) -> Iterator[str]:
    first = last = next(codes)
    for code in codes:
        if code > last + 1:
            yield f"\\u{first:04x}-\\u{last:04x}"
            first = code
        last = code
    yield f"\\u{first:04x}-\\u{last:04x}"


def _any_case(word: str) -> str:
    return "".join(f"[{letter.upper()}{letter.lower()}]" if letter.isalpha() else letter for letter in word)


_INSIDE: Final = r"(?!/)(?!.:)(?!\.\.(?:/|$))(?!.*\\)"
"""A path that begins in the project; that it leaves it further on cannot be told by a pattern."""


def _line(begin: str = "", end: str = "") -> str:
    """A text in one line, without spaces around it, between what it must begin and end with."""
    return rf"{begin}(?!\s){_visible()}*(?<!\s){end}"


def _text(schema: Schema) -> Schema:
    return {**schema, "pattern": _lasting(_line())}


def _path(schema: Schema) -> Schema:
    return {**schema, "pattern": _lasting(_line(_INSIDE))}


def _image(kinds: tuple[str, ...]) -> Callable[[Schema], Schema]:
    endings = "|".join(_any_case(kind) for kind in kinds)
    url = rf"https://[!-~]{{2,{fields.MAX_URL - len('https://')}}}"

    def says(schema: Schema) -> Schema:
        file = _line(rf"(?!.*://){_INSIDE}", rf"(?<=\.(?:{endings}))")
        return {**schema, "pattern": _lasting(f"{url}|{file}")}

    return says


def _color(schema: Schema) -> Schema:
    """The documented spelling is offered; any case is taken."""
    digits = "|".join(name.removeprefix("Color") for name in schema["enum"])
    return {"anyOf": [schema, {"type": "string", "pattern": _lasting(f"{_any_case('Color')}(?:{digits})")}]}


def _whole(least: int, most: int, text: str = "") -> Callable[[Schema], Schema]:
    """A whole number, or the same in quotes, as far as a pattern can count."""
    digits = f"[1-9][0-9]{{0,{len(str(most)) - 1}}}"
    pattern = _lasting(text or (digits if least else f"0|{digits}"))
    number = {"type": "integer", "minimum": least, "maximum": most}
    return lambda schema: {"anyOf": [number, {"type": "string", "pattern": pattern}]}


_SAYS: Final[dict[Any, Callable[[Schema], Schema]]] = {
    fields.check_text: _text,
    fields.check_path: _path,
    fields.check_logo: _image(fields.LOGO_KINDS),
    fields.check_picture: _image(fields.AWARD_KINDS),
    models.check_variable: lambda schema: {**schema, "pattern": fields.VARIABLE_PATTERN},
    fields.check_time_of_day: lambda _: {
        "anyOf": [
            {"type": "string", "pattern": _lasting(fields.TIME_OF_DAY.pattern)},
            {"type": "integer", "minimum": 0, "maximum": 235959},
        ]
    },
    fields.read_composed: lambda schema: schema,  # a pattern cannot tell how letters are composed
    fields.read_color: _color,
    fields.read_moment: lambda _: {"type": "string", "pattern": _moment()},
    fields.read_fen: _whole(1, fields.MAX_FEN),
    fields.read_generation: _whole(1, fields.MAX_GENERATION),
    fields.read_count: _whole(0, fields.MAX_GENERATION),
    fields.read_percent: _whole(0, 100, "(?:100|[1-9]?[0-9]) *%?"),
    fields.read_switch: lambda schema: {
        "anyOf": [
            schema,
            {"type": "string", "pattern": _lasting("|".join(map(_any_case, ("true", "false"))))},
        ]
    },
}
"""For each function of ``spec`` that reads or checks a value: what it lets through, from what its type says."""


class _Authored(GenerateJsonSchema):
    """Adds what the functions check. A function without a line in _SAYS is a mistake, found when the schema is made."""

    def function_before_schema(self, schema: core_schema.BeforeValidatorFunctionSchema) -> Schema:
        return _SAYS[schema["function"]["function"]](super().function_before_schema(schema))

    def function_after_schema(self, schema: core_schema.AfterValidatorFunctionSchema) -> Schema:
        return _SAYS[schema["function"]["function"]](super().function_after_schema(schema))

    def nullable_schema(self, schema: core_schema.NullableSchema) -> Schema:
        """What may be left out may not be empty: ``null`` is a mistake in a spec."""
        return self.generate_inner(schema["schema"])


# -- from a model to what is published ---------------------------------------------------------------------------------


def _derived(model: type[BaseModel]) -> Schema:
    raw = model.model_json_schema(schema_generator=_Authored)
    described = {name: _described(name, found) for name, found in raw.pop("$defs").items()}
    finished = _as_yaml_sees(_described(model.__name__, raw))
    return {**finished, "$defs": _as_yaml_sees(described)}


def _described(name: str, schema: Schema) -> Schema:
    """Words for every key, and none of pydantic's titles and empty defaults."""
    properties = {
        field: {**_plain(found), "description": AUTHORED[name][field]}
        for field, found in schema["properties"].items()
    }
    description = schema["description"].replace("``", "`")
    return {**_plain(schema), "description": description, "properties": properties}


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


def _optional(schema: Schema) -> Schema:
    """Nothing required but in lists, which are not merged with those of ``defaults``."""
    listed = set(re.findall(r"'items': \{'\$ref': '#/\$defs/(\w+)'\}", str(schema)))
    loose = {
        name: found if name in listed else _without_required(found) for name, found in schema["$defs"].items()
    }
    return {**_without_required(schema), "$defs": loose}


def _without_required(schema: Schema) -> Schema:
    return {name: found for name, found in schema.items() if name != "required"}


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
