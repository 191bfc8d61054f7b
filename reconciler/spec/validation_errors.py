"""pydantic's errors → diagnostics in our words; and what is still good of a document that has some.

No sentence of pydantic's reaches an author: every error type that our models can raise is translated here, and the
types of our own come with a message already.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from typing import Any, Final, TypeVar, get_args, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_core.core_schema import ErrorType

from reconciler.model.activity import KEY_PATTERN
from reconciler.model.characters import shown
from reconciler.spec.diagnostics import FieldDiagnostic, Path
from reconciler.spec.fields import ADOPT_PATTERN, MCHID_PATTERN, OPAQUE_PATTERN
from reconciler.spec.lookalikes import full_width_hint
from reconciler.spec.models import ActivitySpec

Model = TypeVar("Model", bound=BaseModel)

EMPTY: Final = "empty: write a value, or remove the line"
ADDRESS_WRITTEN: Final = (
    "this address is a secret: whoever has it can write to your group. Put it into an environment "
    "variable, in CI from a secret, write `url_from: THE_VARIABLE`, and have this address changed"
)
_MAX_SUGGESTIONS: Final = 50
"""Looking for similar names is slow, and a file with more unknown keys than this is not a spec."""

_PATTERNS: Final = {
    MCHID_PATTERN: ("mchid", "{text} is not a merchant number: 8 to 15 digits"),
    OPAQUE_PATTERN: ("not_ascii", "{text}: only ASCII letters, digits and signs are allowed, without spaces"),
    ADOPT_PATTERN: ("adopt", "{text} is not an activity_id: 1 to 20 digits"),
    rf"^{KEY_PATTERN.pattern}$": ("key", "{text} is not a key: 1 to 40 of a-z, 0-9 and -"),
    "": ("namespace", "{text} is not a namespace: 1 to 24 of a-z, 0-9 and -"),
}

_EXPECTED: Final = {
    "string_type": "a text",
    "string_unicode": "a text in Unicode",
    "model_type": "a mapping (key: value)",
    "dict_type": "a mapping (key: value)",
    "tuple_type": "a list (- value)",
    "datetime_type": "a time, such as 2026-12-01T00:00:00+08:00",
    "int_type": "a whole number",
    "bool_type": "true or false",
}

_WHY_ONLY: Final = {
    "award_type": "the API gives only 商家券, BUSIFAVOR",
    "merchant_option": (
        "only MANUAL_INPUT_MERCHANT works: WeChat Pay answers 商家券不支持自动获取发券商户号 to any other value"
    ),
}

_FOREIGN_TYPES: Final = frozenset(get_args(ErrorType))
"""The types of error that come with a sentence of pydantic's; those of ours come with our own."""

_NOT_OPEN: Final = "WeChat Pay has not opened it for 商家券, the only awards there are: remove it"
_KNOWN_STRANGERS: Final = {
    "out_request_no": (
        "made_by_paygift",
        "paygift makes this number itself, from key, generation and terms: remove it",
    ),
    "payment_mode": ("not_open", _NOT_OPEN),
    "payment_method_information": ("not_open", _NOT_OPEN),
    "full_send_rule": (
        "flat_rule",
        "write its fields directly under award_send_rule, as in a create request",
    ),
    "activity_id": ("use_adopt", "to take over an existing activity write `adopt: <activity_id>` at the top"),
    "activity_status": ("use_state", "write `state: running` or `state: terminated` at the top"),
}


_ABOUT_TEXT: Final = frozenset(
    {
        "unknown_key",
        "too_long",
        "invisible",
        "blank",
        "not_nfc",
        "untrimmed",
        "line_break",
        "not_bmp",
        "url_length",
    }
    | {"file_name_length", "outside_project", "address_written", "not_a_variable"}
)
"""Codes of mistakes in texts that may well hold full-width signs, of those that are not about the value, and of those
whose value may be a secret."""


def diagnostics_of(model: type[BaseModel], error: ValidationError) -> list[FieldDiagnostic]:
    """Every mistake that ``error`` holds, in our words."""
    # Not str(error): pydantic quotes its input there, which may be a secret.
    details = error.errors(include_url=False)
    suggestions = iter(range(_MAX_SUGGESTIONS))
    return [_diagnostic(model, detail, suggestions) for detail in details]


def _diagnostic(model: type[BaseModel], detail: ErrorDetails, suggestions: Iterator[int]) -> FieldDiagnostic:
    path: Path = tuple(detail["loc"])
    if path[-1:] == ("[key]",):  # what pydantic adds where it is a mapping's key that it refuses
        path = path[:-1]
    value = detail["input"]
    # Wherever in `notify` it stands: logs of CI are read by more people than may know it.
    if path[:1] == ("notify",) and isinstance(value, str) and "://" in value:
        return FieldDiagnostic(path, "address_written", ADDRESS_WRITTEN)  # before any sentence that would quote it
    diagnostic = _judged(model, detail, path, suggestions)
    if isinstance(value, str) and diagnostic.code not in _ABOUT_TEXT:
        diagnostic = replace(diagnostic, message=diagnostic.message + full_width_hint(value))
    return diagnostic


def _judged(model: type[BaseModel], detail: ErrorDetails, path: Path, suggestions: Iterator[int]) -> FieldDiagnostic:
    kind, value = detail["type"], detail["input"]
    context = detail.get("ctx", {})
    if kind == "missing":
        return FieldDiagnostic(path, "missing", "required, and missing")
    if kind == "extra_forbidden":
        return _unknown_key(model, path, suggest=next(suggestions, None) is not None)
    if value is None:
        return FieldDiagnostic(path, "empty", EMPTY)
    # By pydantic's own list: types that a new version brings are foreign too, and end in general words.
    if kind not in _FOREIGN_TYPES:
        return FieldDiagnostic(path, kind, detail["msg"], context)
    if kind == "literal_error":
        return _not_a_choice(model, path, value)
    return _translated(path, kind, value, context)


def _translated(path: Path, kind: str, value: object, context: dict[str, Any]) -> FieldDiagnostic:
    if kind == "string_too_short":
        return FieldDiagnostic(path, "empty", EMPTY)
    if kind == "string_too_long":
        facts = {"length": len(str(value)), "limit": context["max_length"]}
        message = f"{facts['length']} characters, at most {facts['limit']} are allowed: {shown(str(value))}"
        return FieldDiagnostic(path, "too_long", message, facts)
    if kind == "string_pattern_mismatch":
        code, message = _PATTERNS.get(context["pattern"], _PATTERNS[""])
        return FieldDiagnostic(path, code, message.format(text=shown(str(value))), {"text": value})
    expected = _EXPECTED.get(kind, "another kind of value")
    return FieldDiagnostic(path, "wrong_type", f"expected {expected}, found {kind_of(value)}")


def kind_of(value: object) -> str:
    """What stands there, for a message: ``nothing``, ``a list``, ``the text "spring"``."""
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "a mapping"
    return "a list" if isinstance(value, list) else f"the text {shown(str(value))}"


def _not_a_choice(model: type[BaseModel], path: Path, value: object) -> FieldDiagnostic:
    field = _field_at(model, path)
    choices = [str(choice) for choice in _choices(field.annotation)] if field else []
    if not isinstance(value, str):
        return FieldDiagnostic(path, "wrong_type", f"expected one of {', '.join(choices)}, found {kind_of(value)}")
    reason = _WHY_ONLY.get(str(path[-1]))
    if reason:
        message = f"{shown(value)}: {reason}"
    else:
        alike = difflib.get_close_matches(value.casefold(), [choice.casefold() for choice in choices], 1)
        meant = [choice for choice in choices if choice.casefold() in alike]
        hint = f"; did you mean {meant[0]}?" if meant else ""
        message = f"{shown(value)} is not one of {', '.join(choices)}{hint}"
    return FieldDiagnostic(path, "unknown_value", message, {"value": value, "choices": choices})


def _choices(annotation: Any) -> Iterator[object]:
    """The values of every Literal inside ``annotation``."""
    for part in get_args(annotation):
        if get_args(part):
            yield from _choices(part)
        elif isinstance(part, str):
            yield part


# --- unknown keys --------------------------------------------------------------------------------------------------


def _unknown_key(model: type[BaseModel], path: Path, *, suggest: bool) -> FieldDiagnostic:
    key = str(path[-1])
    if model is ActivitySpec and key in _KNOWN_STRANGERS:
        code, message = _KNOWN_STRANGERS[key]
        return FieldDiagnostic(path, code, message)
    own = list(_model_at(model, path[:-1]).model_fields)
    return FieldDiagnostic(
        path, "unknown_key", f"unknown key{_suggestion(model, own, key) if suggest else ''}", {"known": own}
    )


def _suggestion(model: type[BaseModel], own: Sequence[str], key: str) -> str:
    homes = [home for home, names in _objects(model).items() if key in names]
    if homes:
        return f"; it belongs {'to `' + homes[0] + '`' if homes[0] else 'at the top, not indented'}"
    alike = difflib.get_close_matches(key, own, 1)
    if alike:
        return f"; did you mean `{alike[0]}`?"
    everywhere = {name: home for home, names in _objects(model).items() for name in names}
    alike = difflib.get_close_matches(key, everywhere, 1, 0.75)
    if alike:
        return f"; did you mean `{alike[0]}` {_in_words(everywhere[alike[0]])}?"
    return f"; known here: {', '.join(own)}"


def _in_words(home: str) -> str:
    return f"in `{home}`" if home else "at the top"


@cache
def _objects(model: type[BaseModel], home: str = "") -> dict[str, tuple[str, ...]]:
    """Every object of a document by its dotted path, with the names of its fields."""
    found = {home: tuple(model.model_fields)}
    for name, field in model.model_fields.items():
        inner = _inner_model(field)
        if inner is not None:
            found |= _objects(inner, f"{home}.{name}" if home else name)
    return found


# --- from paths to models ------------------------------------------------------------------------------------------


def _inner_model(field: FieldInfo) -> type[BaseModel] | None:
    """The model that a field holds: itself, in a list, or as the values of a mapping."""
    for part in (field.annotation, *get_args(field.annotation)):
        if isinstance(part, type) and issubclass(part, BaseModel):
            return part
    return None


def _model_at(model: type[BaseModel], path: Path) -> type[BaseModel]:
    field = _field_at(model, path)
    return (_inner_model(field) if field else None) or model


def _field_at(model: type[BaseModel], path: Path) -> FieldInfo | None:
    """The last field that ``path`` passes; indices and the keys of mappings are not fields."""
    field = None
    for part in path:
        found = model.model_fields.get(str(part))
        if found is not None:
            field = found
            model = _inner_model(found) or model
    return field


# --- what is still good --------------------------------------------------------------------------------------------


def salvage(model: type[Model], data: object) -> Model:
    """An instance with the fields that are valid by themselves; the others are not set at all: read it with ``known``.

    Fields that were not written have their defaults. Lists keep their good texts, and all their mappings.
    """
    written = data if isinstance(data, dict) else {}
    good: dict[str, Any] = {}
    lost = []
    for name in model.model_fields:
        if name not in written:
            continue
        try:
            good[name] = _salvage_field(model, name, written[name])
        except ValidationError:
            lost.append(name)
    # Without validating: half a spec is for finding more mistakes, and never becomes a plan.
    instance = model.model_construct(None, **good)
    for name in lost:
        instance.__dict__.pop(name, None)
    return instance


def _salvage_field(model: type[BaseModel], name: str, value: object) -> object:
    field = model.model_fields[name]
    inner = _inner_model(field)
    kind = get_origin(field.annotation)
    if kind is tuple and isinstance(value, list):
        # Not filtered: the position of an entry is how its line is found.
        return tuple(_salvage_item(model, name, item) for item in value)
    if kind is dict and isinstance(value, dict):
        return {key: _salvage_item(model, name, item) for key, item in value.items()}
    if kind is None and inner is not None and isinstance(value, dict):
        return salvage(inner, value)
    return _adapter(model, name).validate_python(value)


def _salvage_item(model: type[BaseModel], name: str, item: object) -> object:
    """An entry of a list or mapping. A bad one becomes ``None``: the others keep their indices."""
    inner = _inner_model(model.model_fields[name])
    if inner is not None:
        return salvage(inner, item)
    try:
        return _item_adapter(model, name).validate_python(item)
    except ValidationError:
        return None


@cache
def _adapter(model: type[BaseModel], name: str) -> TypeAdapter[Any]:
    return TypeAdapter(model.model_fields[name].rebuild_annotation())


@cache
def _item_adapter(model: type[BaseModel], name: str) -> TypeAdapter[Any]:
    arguments = get_args(model.model_fields[name].annotation)
    return TypeAdapter(arguments[0] if arguments[-1] is Ellipsis else arguments[-1])
