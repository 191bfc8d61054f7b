"""The published schemas say what paygift reads and writes: all that an editor can know, and nothing that is not so."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final, cast

import pytest
from check_jsonschema.parsers.yaml import construct_yaml_implementation
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from pydantic import TypeAdapter, ValidationError
from ruamel.yaml.error import YAMLError

from reconciler.cli.schema import KINDS
from reconciler.commands.schemas import SCHEMAS
from reconciler.commands.schemas import schema as schema_of
from reconciler.model.report import AbortedApply
from reconciler.plan import read_plan
from reconciler.render.json_ import plan_json, report_json, stopped_json
from reconciler.spec import models
from tests.render.test_stopped import REFUSED, STALE
from tests.render.test_text import GOLDEN, everything, everything_happened
from tests.support.project import SPEC, Project

ROOT: Final = Path(__file__).parents[2]
BROKEN: Final = ROOT / "tests/specs/broken"


@cache
def validator(kind: str) -> Draft202012Validator:
    return Draft202012Validator(schema_of(kind))


def complaint(kind: str, data: object) -> str:
    """What an editor would say first, or nothing."""
    error = best_match(validator(kind).iter_errors(data))
    return f"{error.json_path}: {error.message}" if error else ""


@pytest.mark.parametrize("kind", SCHEMAS)
def test_the_schemas_are_schemas(kind: str) -> None:
    Draft202012Validator.check_schema(schema_of(kind))


# -- what people write, through a tool that reads YAML as editors do ---------------------------------------------------


def seen_by_an_editor(kind: str, file: Path) -> str:
    """The first complaint about a file. YAML that the parser of check-jsonschema cannot read is one too."""
    try:
        (*_, data) = construct_yaml_implementation().load_all(file.read_bytes())
    except (YAMLError, TypeError, ValueError) as error:
        return str(error)
    return complaint(kind, data)


EXAMPLES: Final = sorted((ROOT / "activities/specs").glob("*.yaml"))


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_an_editor_finds_nothing_wrong_with_the_examples(file: Path) -> None:
    assert seen_by_an_editor("spec", file) == ""


def test_an_editor_finds_nothing_wrong_with_the_example_project() -> None:
    assert len(EXAMPLES) >= 6
    assert seen_by_an_editor("project", ROOT / "activities/paygift.yaml") == ""


ONLY_VALIDATE: Final = {
    # what stands in other files: groups, brands, pictures, other specs, `defaults`
    *("award-bmp-in-disguise", "logo-empty-file", "logo-folder", "logo-misnamed", "logo-missing-file"),
    *("logo-not-a-picture", "brand-and-stranger", "two-brands", "group-unknown", "title-decomposed"),
    *("no-merchants", "renamed-from-a-living-key", "renamed-from-itself"),
    *("bad_file_name", "begins-after-the-default-end", "ends-before-the-default-begin"),
    *("members-without-appid", "mini-program-without-appid", "mini-program-without-path"),
    *("appid-without-members", "appid-without-mini-program", "two-awards-of-a-single-coupon"),
    # what takes counting: the order of times, the calendar, paths that leave the project half way
    *("a-year-ahead", "ends-before-it-begins", "longer-than-90-days", "window-backwards", "window-outside"),
    *("day-window-over-midnight", "time-impossible", "logo-outside", "logo-name-too-long"),
    # how it is written: to an editor `10.00`, `0100` and `1_000` are whole numbers
    *("amount-with-point", "amount-with-leading-zero", "amount-with-underscore", "tag"),
}


@pytest.mark.parametrize("file", sorted((BROKEN / "specs").glob("*.yaml")), ids=lambda file: file.stem)
def test_an_editor_finds_every_mistake_that_a_schema_can_tell(file: Path) -> None:
    assert (seen_by_an_editor("spec", file) == "") == (file.stem in ONLY_VALIDATE)


def test_an_empty_file_is_nothing_to_an_editor() -> None:
    assert complaint("spec", None) != ""


RULE_BREAKERS: Final[list[dict[str, Any]]] = [
    {"award_send_rule": {"send_content": "SINGLE_COUPON", "award_list": []}},
    {
        "award_send_rule": {
            "send_content": "SINGLE_COUPON",
            "award_list": [{"stock_id": str(n), "original_image_url": "a.png"} for n in range(2)],
        }
    },
    {
        "award_send_rule": {
            "send_content": "GIFT_PACKAGE",
            "award_list": [{"stock_id": str(n), "original_image_url": "a.png"} for n in range(3)],
        }
    },
    {"activity_base_info": {"delivery_purpose": "OFF_LINE_PAY", "mini_programs_appid": "wx1"}},
    {"activity_base_info": {"delivery_purpose": "OFF_LINE_PAY", "mini_programs_path": "/a"}},
    {"advanced_setting": {"delivery_user_category": "DELIVERY_ALL_PERSON", "merchant_member_appid": "wx1"}},
]


@pytest.mark.parametrize("broken", RULE_BREAKERS)
def test_what_contradicts_itself_within_one_file_is_found(broken: dict[str, Any]) -> None:
    ((part, fields),) = broken.items()
    assert complaint("spec", broken).startswith(f"$.{part}")
    assert complaint("project", {"namespace": "a", "defaults": broken}) == "" or "award_list" in fields


PROJECT_MISTAKES: Final[list[dict[str, Any]]] = [
    {},
    {"namespace": "Liang"},
    {"namespace": "a", "defaults": {"key": "b"}},
    {"namespace": "a", "defaults": {"activity_base_info": {"activity_nam": "b"}}},
    {"namespace": "a", "policy": {"max_merchant_deletions": "101%"}},
    {"namespace": "a", "policy": {"freeze": [{"begin_time": "2026-11-11T00:00:00"}]}},
    {"namespace": "a", "merchant_groups": {"east": "/etc/passwd"}},
    {"namespace": "a", "activities": "../elsewhere"},
    {"namespace": "a", "brands": {"b": {"merchants": ["19"]}}},
    {"namespace": "a", "timezone": None},
    {"namespace": "a", "notify": [{"kind": "wecom", "url_from": "https://qyapi.weixin.qq.com/x"}]},
    {"namespace": "a", "notify": [{"kind": "pigeon", "url_from": "PIGEON"}]},
]


@pytest.mark.parametrize("broken", PROJECT_MISTAKES)
def test_mistakes_in_the_project_file_are_found(broken: dict[str, Any]) -> None:
    assert complaint("project", broken)


def test_defaults_may_hold_what_a_spec_may_hold() -> None:
    shared = {"activity_base_info": {"begin_time": "2026-12-01 00:00"}, "protect": True}
    assert complaint("project", {"namespace": 2026, "defaults": shared}) == ""


# -- field by field: the schema and the reader agree -------------------------------------------------------------------

MODELS: Final = [
    each
    for each in vars(models).values()
    if isinstance(each, type) and issubclass(each, models.SpecObject) and each is not models.SpecObject
]
NOT_SAYABLE: Final = {"no_such_time", "outside_project", "file_name_length", "too_large", "time_of_day"}
"""Codes of mistakes that a schema cannot always tell. A time of day can be told as a text, and not as a number."""


def scalar_fields() -> Iterator[Any]:
    for model in MODELS:
        for name, info in model.model_fields.items():
            reader = TypeAdapter(cast(Any, Annotated[info.annotation, None, *info.metadata]))
            if not {"type", "anyOf"}.isdisjoint(reader.json_schema()) and "tuple" not in str(info.annotation):
                yield pytest.param(model.__name__, name, reader, id=f"{model.__name__}.{name}")


SCALARS: Final = list(scalar_fields())


@cache
def schema_of_field(model: str, name: str) -> Any:
    of_project = ("ProjectFile", "BrandSection", "FreezeSection", "NotifySection", "PolicySection")
    whole: Any = validator("project" if model in of_project else "spec").schema
    root = "ProjectFile" if whole["title"] == "paygift.yaml" else "ActivitySpec"
    definitions: Any = whole["$defs"]
    properties: Any = whole["properties"] if model == root else definitions[model]["properties"]
    return Draft202012Validator({**properties[name], "$defs": definitions})


def why_refused(reader: TypeAdapter[Any], text: str) -> str:
    try:
        reader.validate_python(text)
    except ValidationError as error:
        return error.errors()[0]["type"]
    return ""


PIECES: Final = st.sampled_from(
    [
        *("Color020", "color100", "COLOR010", "Color110", "true", "False", "yes", "running", "refuse"),
        *("0", "1", "100", "007", "30%", "100 %", "101%", "-5", "1.5", "1000000001", "999999999999"),
        *("000000", "235959", "240000", "11:00:00", "900", "1900000001", "98065001", "20406354"),
        *("2026-12-01T00:00:00+08:00", "2026-12-01 00:00", "2026-12-01", "2026-02-30T00:00:00Z"),
        *("2026-12-01T00:00:00.000z", "2026-12-01T00:00:00.5Z", "1999-12-01T00:00:00Z"),
        *("2026-12-01T00:00:00.999", "2026-12-01T00:00:00.0000Z", "2026-12-01T00:00:00."),
        *("images/logo.png", "a.JPG", "a.bmp", "../a.png", "a/../../b.png", "/a.png", "C:/a.png", "a\\b.png"),
        *("https://a.example/x", "https://a", "http://a.example/x.png", "ftp://a/b.png", "https://图.png"),
        *(
            "activities/",
            "良品铺子",
            "良品铺子回馈活动大酬宾",
            " a",
            "a ",
            "a\nb",
            "a\u200bb",
            "🎁",
            "",
            "wx23",
        ),
        *("OFF_LINE_PAY", "SINGLE_COUPON", "BUSIFAVOR", "create_first", "ignore", "Asia/Shanghai"),
    ]
)
TEXTS: Final = (PIECES | st.text(max_size=12) | st.tuples(PIECES, PIECES).map("".join)).map(
    lambda text: text.rstrip("\n")  # which `$` lets pass in Python, and nowhere else
)


@pytest.mark.sampled(every=3)
@pytest.mark.parametrize(("model", "name", "reader"), SCALARS)
@given(text=TEXTS)
@settings(max_examples=80)
def test_a_text_is_taken_by_the_schema_if_it_is_taken_by_the_reader(
    model: str, name: str, reader: TypeAdapter[Any], text: str
) -> None:
    refused = why_refused(reader, text)
    if refused not in NOT_SAYABLE - {"time_of_day"}:
        assert schema_of_field(model, name).is_valid(text) == (not refused)


@pytest.mark.sampled(every=3)
@pytest.mark.parametrize(("model", "name", "reader"), SCALARS)
@given(number=st.integers(0, 10**21) | st.integers(0, 10**9).map(lambda n: 10**10 - n) | st.booleans())
@settings(max_examples=30)
def test_what_looks_like_a_number_or_a_switch_is_read_as_its_field_wants(
    model: str, name: str, reader: TypeAdapter[Any], number: int
) -> None:
    refused = why_refused(reader, str(number).lower())
    if refused not in NOT_SAYABLE:
        assert schema_of_field(model, name).is_valid(number) == (not refused)


def test_scalar_fields_are_found_at_all() -> None:
    assert len(SCALARS) >= 30


def test_every_key_is_explained() -> None:
    for kind in ("spec", "project"):
        schema: Any = schema_of(kind)
        for part in (schema, *schema["$defs"].values(), schema["properties"].get("defaults", schema)):
            assert all(found["description"].endswith(".") for found in part["properties"].values())


def test_nothing_but_lists_demands_anything_of_a_spec() -> None:
    schema: Any = schema_of("spec")
    demanding = {name for name, found in schema["$defs"].items() if "required" in found}
    assert demanding == {"AwardItemSpec", "AvailableTimeSpec", "AvailableDayTimeSpec"}
    assert "required" not in schema


# -- what programs read ------------------------------------------------------------------------------------------------


def strict(schema: Any) -> Any:
    """The schema, with everything forbidden that it does not name."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: strict(each) for name, each in schema.items()}
    return {**made, "additionalProperties": False} if isinstance(schema.get("properties"), dict) else made


def assert_described(kind: str, data: object) -> None:
    """Valid, and nothing in it that the schema does not name."""
    error = best_match(Draft202012Validator(strict(schema_of(kind))).iter_errors(data))
    assert error is None, f"{error.json_path}: {error.message}" if error else ""


def test_a_plan_with_everything_in_it_is_described() -> None:
    assert_described("plan", json.loads((GOLDEN / "plan.json").read_text(encoding="utf-8")))


def test_a_report_with_everything_in_it_is_described() -> None:
    assert_described("report", report_json(everything_happened()))


@pytest.mark.parametrize("stopped", [REFUSED, STALE, replace(STALE, plan_digest="", writing=True)])
def test_a_report_of_what_was_not_applied_is_described(stopped: AbortedApply) -> None:
    assert_described("report", stopped_json(stopped))


def test_readers_may_meet_keys_that_they_do_not_know() -> None:
    data = plan_json(everything())
    assert complaint("plan", {**data, "new_in_2_1": 1, "format_version": "2.1"}) == ""


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "report"},
        {"format_version": "1.0"},
        {"digest": "abc"},
        {"made_at": "2026-11-25T10:00:00+08:00"},
        {"changes": [{"key": "a"}]},
        {"uploads": [{"operation": "create"}]},
        {"findings": [{"code": "X", "severity": "loud"}]},
    ],
)
def test_what_is_no_plan_is_no_plan_to_the_schema_either(change: dict[str, Any]) -> None:
    assert complaint("plan", {**plan_json(everything()), **change})


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("plan", plan_json(everything())),
        ("report", report_json(everything_happened())),
        ("report", stopped_json(REFUSED)),
    ],
    ids=["plan", "report", "stopped"],
)
def test_nothing_that_is_named_may_be_missing(kind: str, data: dict[str, Any]) -> None:
    for name in data:
        assert complaint(kind, {key: found for key, found in data.items() if key != name}), name


def test_a_plan_that_the_schema_takes_can_be_read() -> None:
    data = json.loads(json.dumps(plan_json(everything())))
    assert complaint("plan", data) == ""
    assert plan_json(read_plan(data)) == data


# -- through the command line ------------------------------------------------------------------------------------------


def printed(project: Project, *arguments: str, code: int = 0) -> Any:
    exited, out, err = project.run(*arguments)
    assert exited == code, err
    return json.loads(out)


@pytest.mark.parametrize("kind", SCHEMAS)
def test_the_command_prints_a_schema_or_writes_it_to_a_file(project: Project, kind: str) -> None:
    shown = printed(project, "schema", "--kind", kind)
    assert shown == schema_of(kind)
    file = project.root / "schema.json"
    assert project.run("schema", "--kind", kind, "--out", str(file)) == (0, "", "")
    assert json.loads(file.read_text(encoding="utf-8")) == shown


def test_the_command_needs_no_project_and_means_a_spec(tmp_path: Path, project: Project) -> None:
    assert printed(project, "schema") == schema_of("spec")
    code, _, err = project.run("schema", "--out", str(tmp_path / "no/such/folder"))
    assert code == 1
    assert "cannot be written" in err


def test_the_kinds_of_the_command_are_those_there_are() -> None:
    assert tuple(SCHEMAS) == KINDS


def test_what_real_runs_write_is_described(project: Project) -> None:
    """Two refusals, creates, an upload; then merchants that are rejected, a replacement and a termination."""
    project.write("summer", SPEC.replace("春日回馈", "夏日回馈"))
    plan = project.root / "plan.json"
    assert_described("plan", printed(project, "--sandbox", "plan", "--json", "--out", str(plan)))
    assert_described("plan", json.loads(plan.read_text(encoding="utf-8")))
    assert_described("report", printed(project, "--sandbox", "apply", "--yes", "--json"))
    project.edit("spring", "1000\n", "2000\n")
    project.edit("summer", '["1900000001"]', '["1900000001", "1688000001"]')
    project.run("sandbox", "reject", "1688000001")
    assert_described("plan", printed(project, "--sandbox", "plan", "--json"))
    report = project.root / "report.json"
    arguments = ("--sandbox", "apply", "--yes", "--json", "--report", str(report))
    assert_described("report", printed(project, *arguments, code=7))
    assert_described("report", json.loads(report.read_text(encoding="utf-8")))
    (project.root / "activities/spring.yaml").unlink()
    assert_described("plan", printed(project, "--sandbox", "plan", "--json"))
