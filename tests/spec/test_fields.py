"""Each field on its own: what is read as what. What is refused, and in which words, is in tests/specs/broken."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from reconciler.model.characters import shown
from reconciler.spec import models as models_module
from reconciler.spec.fields import AwardImage, Color, Fen, Logo, Moment, TimeOfDay
from reconciler.spec.models import (
    ActivityBaseInfoSpec,
    ActivitySpec,
    AdvancedSettingSpec,
    AwardItemSpec,
    AwardSendRuleSpec,
    ProjectFile,
)
from reconciler.spec.validation_errors import diagnostics_of, salvage

BASE: dict[str, Any] = {
    "activity_name": "良品铺子回馈活动",
    "activity_second_title": "海飞丝的券",
    "merchant_logo_url": "https://wxpaylogo.qpic.cn/logo/0",
    "begin_time": "2026-12-01 00:00:00",
    "end_time": "2026-12-31 23:59:59",
    "delivery_purpose": "OFF_LINE_PAY",
}
RULE: dict[str, Any] = {
    "transaction_amount_minimum": "100",
    "send_content": "SINGLE_COUPON",
    "award_list": [{"stock_id": "98065001", "original_image_url": "https://wxpaylogo.qpic.cn/award/0"}],
}
SPEC: dict[str, Any] = {"activity_base_info": BASE, "award_send_rule": RULE}


def read(kind: Any, value: object) -> Any:
    return TypeAdapter(kind).validate_python(value)


def faults(data: object, model: type[BaseModel] = ActivitySpec) -> dict[str, str]:
    """Code by dotted path."""
    with pytest.raises(ValidationError) as caught:
        model.model_validate(data)
    return {".".join(map(str, fault.path)): fault.code for fault in diagnostics_of(model, caught.value)}


def test_a_short_spec_has_the_documented_defaults() -> None:
    spec = ActivitySpec.model_validate(SPEC)
    assert (spec.key, spec.generation, spec.protect, spec.state, spec.replace) == (
        "",
        1,
        False,
        "running",
        "create_first",
    )
    assert (spec.renamed_from, spec.adopt) == ((), "")
    assert spec.activity_base_info.background_color is None
    assert spec.award_send_rule.award_type == "BUSIFAVOR"
    assert spec.award_send_rule.merchant_option == "MANUAL_INPUT_MERCHANT"
    assert spec.advanced_setting.delivery_user_category == "DELIVERY_ALL_PERSON"


@pytest.mark.parametrize("name", ["一", "良品铺子回馈活动十字", "a b", "全角　空格", "café", "❤", "\uffff"])
def test_names_are_counted_in_characters_and_may_hold_any_of_the_bmp(name: str) -> None:
    assert ActivityBaseInfoSpec.model_validate({**BASE, "activity_name": name}).activity_name == name


@pytest.mark.parametrize(
    "name", ["良品铺子回馈活动十一字", "a\u0301" * 6, "", "\u3000a", "a\u202eb", "\x7f", "\U00020bb7"]
)
def test_names_that_are_long_empty_or_unseen_are_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        ActivityBaseInfoSpec.model_validate({**BASE, "activity_name": name})


@pytest.mark.parametrize(
    ("text", "offset", "second", "millisecond"),
    [
        ("2026-12-01T01:02:03+08:00", 8, 3, 0),
        ("2026-12-01T01:02:03Z", 0, 3, 0),
        ("2026-12-01t01:02:03z", 0, 3, 0),
        ("2026-12-01T01:02:03.000-05:00", -5, 3, 0),
        ("2026-12-01T01:02:59.999+08:00", 8, 59, 999),
        ("2026-12-01 01:02:03.07Z", 0, 3, 70),
        ("2026-12-01T01:02:03.5", None, 3, 500),
        ("2026-12-01T01:02", None, 0, 0),
        ("2026-12-01 01:02:03", None, 3, 0),
    ],
)
def test_times_may_be_written_like_this(text: str, offset: int | None, second: int, millisecond: int) -> None:
    moment = read(Moment, text)
    zone = None if offset is None else timezone(timedelta(hours=offset))
    assert moment == datetime(2026, 12, 1, 1, 2, second, millisecond * 1000, tzinfo=zone)
    assert (moment.tzinfo is None) == (offset is None)


@pytest.mark.parametrize(
    "text",
    [
        "2026-12-01", "2026-12-1T00:00:00", "20261201T000000", "2026-12-01T24:00:00", "2026-12-01T00:00:60", "now",
        "2026-02-29T00:00:00", "1999-12-31T00:00:00", "2100-01-01T00:00:00", "2026-12-01T00:00:00.",
        "2026-12-01T00:00:00.0000", "2026-12-01T00:00:00.1234", "2026-12-01T00:00:00,5", "2026-12-01T00:00.5",
        "2026-12-01T00:00:00 +08:00", "2026-12-01T00:00:00+25:00", "２０２６-12-01T00:00:00", "1796054400",
    ],
)  # fmt: skip
def test_times_may_not_be_written_like_this(text: str) -> None:
    with pytest.raises(ValidationError):
        read(Moment, text)


@pytest.mark.parametrize("text", ["000000", "235959", "110000"])
def test_times_of_day_are_six_digits(text: str) -> None:
    assert read(TimeOfDay, text) == text


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("11:00:00", "110000"),
        ("9:30", "093000"),
        ("1100", "110000"),
        ("900", "090000"),
        ("240000", ""),
        ("126000", ""),
        ("noon", ""),
        ("", ""),
    ],
)
def test_other_times_of_day_are_refused_with_what_was_probably_meant(text: str, meant: str) -> None:
    with pytest.raises(ValidationError, match=f"did you mean {meant}\\?" if meant else r"235959 \["):
        read(TimeOfDay, text)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("10.00", "¥10.00 is written 1000"),
        ("100.0", "¥100.00 is written 10000"),
        ("¥10", "¥10.00 is written 1000"),
        ("￥1,000.5", "¥1,000.50 is written 100050"),
        ("88元", "¥88.00 is written 8800"),
        *((text, "¥1.00 is written 100, without") for text in ("1_000", "0100", "-1", "0.00", "99999999.99")),
        *((text, "¥1.00 is written 100, without") for text in ("1.005", "九元", "1e3", "¥")),
    ],
)
def test_an_amount_in_yuan_is_told_in_fen(text: str, meant: str) -> None:
    with pytest.raises(ValidationError) as caught:
        read(Fen, text)
    assert f"is not a whole number of fen: {meant}" in str(caught.value)


@pytest.mark.parametrize(("text", "fen"), [("1", 1), ("100", 100), ("1000000000", 1_000_000_000)])
def test_amounts_are_whole_fen(text: str, fen: int) -> None:
    assert read(Fen, text) == fen


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("0", "zero"), ("1000000001", "too_large"), ("9" * 5000, "not_fen"), ("100.0", "not_fen"), ("1_000", "not_fen"),
        ("1e3", "not_fen"), ("0x10", "not_fen"), ("+1", "not_fen"), ("007", "not_fen"), ("1,000", "not_fen"),
        ("¥1", "not_fen"), ("一百", "not_fen"), ("１００", "not_fen"), ("", "not_fen"),
    ],
)  # fmt: skip
def test_amounts_that_could_be_yuan_are_refused(text: str, code: str) -> None:
    assert faults({**RULE, "transaction_amount_minimum": text}, AwardSendRuleSpec) == {
        "transaction_amount_minimum": code
    }


@pytest.mark.parametrize("text", ["Color010", "COLOR010", "color010", "coLOr010"])
def test_colours_may_be_written_in_any_case(text: str) -> None:
    assert read(Color, text) == "Color010"


@pytest.mark.parametrize("text", ["Color011", "Color10", "#63B359", "green", "Color010 ", "Color0100"])
def test_other_colours_are_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        read(Color, text)


@pytest.mark.parametrize(
    "text", ["https://aa", "https://" + "a" * 120, "logo.png", "图/标志.PNG", "a/../b.jpg", "./b.bmp"]
)
def test_a_logo_is_an_https_url_or_a_path_inside_the_project(text: str) -> None:
    assert read(Logo, text) == text


@pytest.mark.parametrize(
    "text",
    [
        "https://a", "https://" + "a" * 121, "https://a.example/a b", "http://a.example/b", "file:///etc/b.png",
        "/b.png", "C:/b.png", "a\\b.png", "../b.png", "a/../../b.png", "a.gif", "a.jpeg", "png", "a\u200b.png",
        "", f"{'a' * 125}.png", "a/",
    ],
)  # fmt: skip
def test_other_images_are_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        read(Logo, text)


def test_bmp_is_for_logos_only() -> None:
    assert read(Logo, "a.bmp") == "a.bmp"
    with pytest.raises(ValidationError, match=r"must end in one of \.jpg, \.png"):
        read(AwardImage, "a.bmp")


@pytest.mark.parametrize(("text", "value"), [("true", True), ("True", True), ("FALSE", False)])
def test_switches_are_true_or_false(text: str, *, value: bool) -> None:
    assert ActivitySpec.model_validate({**SPEC, "protect": text}).protect is value


@pytest.mark.parametrize("text", ["yes", "on", "1", "y", ""])
def test_switches_are_nothing_else(text: str) -> None:
    assert faults({**SPEC, "protect": text}) == {"protect": "not_bool"}


@pytest.mark.parametrize("text", ["1", "999999999"])
def test_generations_fit_into_a_request_number(text: str) -> None:
    assert ActivitySpec.model_validate({**SPEC, "generation": text}).generation == int(text)


@pytest.mark.parametrize("text", ["0", "1000000000", "-1", "1.0", "01", "one"])
def test_other_generations_are_refused(text: str) -> None:
    assert faults({**SPEC, "generation": text}) == {"generation": "generation"}


@pytest.mark.parametrize("mchid", ["10000000", "100000000000000"])
def test_mchids_have_8_to_15_digits_and_keep_their_text(mchid: str) -> None:
    rule = AwardSendRuleSpec.model_validate({**RULE, "merchant_id_list": [mchid]})
    assert rule.merchant_id_list[0] is mchid


@pytest.mark.parametrize(
    "mchid",
    ["1000000", "1000000000000000", "1900000001\n", " 190000001", "19000000a", "１９０００００００１"],
)
def test_other_mchids_are_refused(mchid: str) -> None:
    assert faults({**RULE, "merchant_id_list": [mchid]}, AwardSendRuleSpec) == {"merchant_id_list.0": "mchid"}


DECOMPOSED = {
    "cafe\u0301": ("character 4 must be \u00e9 (U+00E9)", "caf\u00e9"),
    "\u212b": ("character 1 must be \u00c5 (U+00C5)", "\u00c5"),  # an Ångström sign, which NFC replaces
    "\u1112\u1161\u11ab": ("character 1 must be \ud55c (U+D55C)", "\ud55c"),
    "a\u0301\u0323": ("character 1 must be \u1ea1 (U+1EA1)", "\u1ea1\u0301"),
    "\u0958": ("character 1 must be \u0915 (U+0915)", "\u0915\u093c"),  # one that NFC takes apart
    "e\u0301" * 9: (
        "character 1 must be \u00e9 (U+00E9)",
        "\u00e9" * 9,
    ),  # too long by code points, not in NFC
}


@pytest.mark.parametrize("text", DECOMPOSED)
@pytest.mark.parametrize(
    ("model", "rest", "field"),
    [
        (ActivityBaseInfoSpec, BASE, "activity_name"),
        (ActivityBaseInfoSpec, BASE, "activity_second_title"),
        (ActivityBaseInfoSpec, BASE, "mini_programs_path"),
        (AdvancedSettingSpec, {}, "goods_tags"),
    ],
)
def test_what_customers_see_is_in_nfc_or_told_with_its_nfc_spelling(
    model: type[BaseModel], rest: dict[str, Any], field: str, text: str
) -> None:
    def value(spelling: str) -> object:
        return [spelling] if field == "goods_tags" else spelling

    where, composed = DECOMPOSED[text]
    with pytest.raises(ValidationError) as caught:
        model.model_validate({**rest, field: value(text)})
    (fault,) = diagnostics_of(model, caught.value)
    assert fault.code == "not_nfc"
    assert where in fault.message
    assert fault.message.endswith(f"write {shown(composed)}")
    model.model_validate({**rest, field: value(composed)})


@pytest.mark.parametrize("tag", ["a", "十五个字符的商品标记就是这么长呀", "NUTS_DAILY"])
def test_tags_have_up_to_15_characters(tag: str) -> None:
    assert AdvancedSettingSpec.model_validate({"goods_tags": [tag[:15]]}).goods_tags == (tag[:15],)


@pytest.mark.parametrize("field", ["stock_id"])
def test_ids_are_opaque_but_ascii(field: str) -> None:
    award = RULE["award_list"][0]
    assert AwardItemSpec.model_validate({**award, field: "1263540000000013"}).stock_id == "1263540000000013"
    assert faults({**award, field: "批次1"}, AwardItemSpec) == {field: "not_ascii"}


# Where a value of another shape stands, whatever the field.
SHAPES = [None, "x\ud800", ["x"], {"x": "y"}, [], {}, [None], [["x"]], [{"x": None}]]
PATHS = [
    *[(name,) for name in ActivitySpec.model_fields],
    *[("activity_base_info", name) for name in ActivityBaseInfoSpec.model_fields],
    *[("award_send_rule", name) for name in AwardSendRuleSpec.model_fields],
    *[("advanced_setting", name) for name in AdvancedSettingSpec.model_fields],
]


@pytest.mark.parametrize("path", PATHS, ids=".".join)
def test_any_shape_in_any_field_is_refused_in_our_words_and_leaves_the_others(path: tuple[str, ...]) -> None:
    for shape in SHAPES:
        check_that_a_shape_spoils_nothing_else(path, shape)


def check_that_a_shape_spoils_nothing_else(path: tuple[str, ...], shape: object) -> None:
    data: dict[str, Any] = {
        **SPEC,
        "activity_base_info": {**BASE},
        "award_send_rule": {**RULE},
        "advanced_setting": {},
    }
    inner = data
    for part in path[:-1]:
        inner = inner[part]
    inner[path[-1]] = shape
    try:
        ActivitySpec.model_validate(data)
    except ValidationError as error:
        for fault in diagnostics_of(ActivitySpec, error):
            assert fault.path[: len(path)] == path
            assert not fault.message.startswith("Input should")
            assert "another kind" not in fault.message
    rest = salvage(ActivitySpec, data)
    assert path == ("state",) or rest.state == "running"
    if path[0] != "activity_base_info":
        assert rest.activity_base_info.activity_name == BASE["activity_name"]


def test_an_unforeseen_error_of_pydantic_would_still_be_told_in_our_words() -> None:
    class Other(BaseModel):
        number: float

    with pytest.raises(ValidationError) as caught:
        Other.model_validate({"number": "x"})
    (fault,) = diagnostics_of(Other, caught.value)
    assert fault.message == 'expected another kind of value, found the text "x"'


def test_a_file_of_unknown_keys_gets_suggestions_for_the_first_of_them() -> None:
    with pytest.raises(ValidationError) as caught:
        ProjectFile.model_validate({"namespace": "a", **{f"defaults{n}": "" for n in range(60)}})
    messages = [fault.message for fault in diagnostics_of(ProjectFile, caught.value)]
    assert messages[0] == "unknown key; did you mean `defaults`?"
    assert messages[-1] == "unknown key"


def test_the_schema_states_the_limits() -> None:
    schema = ActivitySpec.model_json_schema()["$defs"]
    assert schema["ActivityBaseInfoSpec"]["properties"]["activity_name"]["maxLength"] == 10
    assert schema["AwardSendRuleSpec"]["properties"]["award_list"]["maxItems"] == 5
    (number, _) = schema["AwardSendRuleSpec"]["properties"]["transaction_amount_minimum"]["anyOf"]
    assert number["maximum"] == 1_000_000_000
    assert schema["AdvancedSettingSpec"]["properties"]["goods_tags"]["maxItems"] == 500
    assert all(definition["additionalProperties"] is False for definition in schema.values())
    assert ProjectFile.model_json_schema()["required"] == ["namespace"]


def test_shown_texts_are_short_and_cannot_write_to_the_terminal() -> None:
    assert shown("a\x1b[2J　b") == '"a\\u001b[2J　b"'
    assert shown("x" * 50) == f'"{"x" * 40}…"'


def test_the_reference_names_every_field() -> None:
    reference = (Path(__file__).parents[2] / "docs/specs.md").read_text(encoding="utf-8")
    models = [
        value for value in vars(models_module).values() if isinstance(value, type) and issubclass(value, BaseModel)
    ]
    for model in models:
        for name in model.model_fields:
            assert f"`{name}`" in reference, f"{model.__name__}.{name}"


def test_utc_is_no_special_case() -> None:
    assert read(Moment, "2026-12-01T00:00:00+00:00") == datetime(2026, 12, 1, tzinfo=UTC)
