"""The fields of specs and paygift.yaml: how each value is read, and the rules of each on its own (API §1.1).

Values arrive as YAML wrote them, every scalar a text, and are read by the type of their field, so that nothing is
guessed from how a value looks.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any, Final, Literal, get_args
from unicodedata import is_normalized, normalize

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, WithJsonSchema
from pydantic_core import PydanticCustomError

from reconciler.model.activity import KEY_PATTERN
from reconciler.model.characters import BLANKS, FORBIDDEN, character_class, shown
from reconciler.spec import published
from reconciler.spec.published import Checked, any_case, text_like, whole

# Limits that a schema states but that are checked in `rules`, so that one entry too many hides no other mistake.
MAX_WINDOWS: Final = 6
MAX_GOODS_TAGS: Final = 500
MAX_AWARDS: Final = 5
MAX_FEN: Final = 1_000_000_000
MAX_GENERATION: Final = 999_999_999

MCHID_PATTERN: Final = r"^[0-9]{8,15}$"
OPAQUE_PATTERN: Final = r"^[!-~]+$"
ADOPT_PATTERN: Final = r"^[0-9]{1,20}$"


# Our own type instead of ValueError: pydantic would put "Value error, " in front of every message.
def invalid(code: str, template: str, **facts: object) -> PydanticCustomError:
    """Stands in pydantic's list of errors; ``{name}`` in the template is filled from the facts."""
    return PydanticCustomError(code, template, facts)


_BLANK: Final = re.compile(f"[{character_class(BLANKS)}]")


def check_text(value: str) -> str:
    """Only what the API stores and a reviewer can see: characters of the BMP, none invisible (API §5.1)."""
    if found := FORBIDDEN.search(value):
        raise _bad_character(value, found.start())
    # Not stripped: what is sent must be what the file says, and the digest goes by it.
    if value[:1].isspace() or value[-1:].isspace():
        raise invalid("untrimmed", "{text} begins or ends with a space: remove it", text=shown(value))
    return value


def _bad_character(value: str, index: int) -> PydanticCustomError:
    character = value[index]
    facts: dict[str, Any] = {"position": index + 1, "codepoint": f"U+{ord(character):04X}"}
    if character in "\r\n":
        return invalid("line_break", "a line break at character {position}: write it in one line", **facts)
    if ord(character) > 0xFFFF:
        facts["character"] = character
        template = "character {position} is {character} ({codepoint}): the API takes no emoji or others above U+FFFF"
        return invalid("not_bmp", template, **facts)
    if _BLANK.fullmatch(character):
        template = "character {position} is {codepoint}, a blank of another kind: write an ordinary space"
        return invalid("blank", template, **facts)
    template = "character {position} is {codepoint}, which cannot be seen: remove it"
    return invalid("invisible", template, **facts)


Text = Checked(check_text, pattern=published.line)


def read_composed(value: object) -> object:
    """A text that customers see, in Unicode NFC: letters that look the same are the same, on every system.

    It is read before lengths are counted, since other forms have more characters than anybody can see.
    """
    if not isinstance(value, str) or is_normalized("NFC", value):
        return value
    # Refused and not composed for the author: the file is what a reviewer approves.
    composed = normalize("NFC", value)
    index = next(index for index, (one, other) in enumerate(zip(value, composed, strict=False)) if one != other)
    facts = {
        "position": index + 1,
        "character": composed[index],
        "codepoint": f"U+{ord(composed[index]):04X}",
    }
    template = "not in Unicode NFC: character {position} must be {character} ({codepoint}); write {composed}"
    raise invalid("not_nfc", template, **facts, composed=shown(composed))


Composed = BeforeValidator(read_composed)

Mchid = Annotated[str, Field(pattern=MCHID_PATTERN)]
Appid = Annotated[str, Field(min_length=1, max_length=32, pattern=OPAQUE_PATTERN)]
GoodsTag = Annotated[str, Field(min_length=1, max_length=15), Text, Composed]
ActivityKey = Annotated[str, Field(pattern=rf"^{KEY_PATTERN.pattern}$")]
StockId = Annotated[str, Field(min_length=1, max_length=20, pattern=OPAQUE_PATTERN)]
Name = Annotated[str, Field(min_length=1), Text]
"""What stands in paygift.yaml and is named by specs: two names that look the same are the same."""


def read_color(value: object) -> object:
    """The API prints colours in any case; we spell them ``ColorNNN`` (API §1.9)."""
    return value.capitalize() if isinstance(value, str) else value


ColorName = Literal[
    "Color010", "Color020", "Color030", "Color040", "Color050",
    "Color060", "Color070", "Color080", "Color090", "Color100",
]  # fmt: skip
_ANY_CASE: Final = any_case("Color") + f"(?:{'|'.join(name[-3:] for name in get_args(ColorName))})"

Color = Annotated[
    ColorName,
    BeforeValidator(read_color),
    WithJsonSchema({"anyOf": [{"type": "string", "enum": [*get_args(ColorName)]}, text_like(_ANY_CASE)]}),
]
"""The published schema offers the documented spelling, and takes any case."""


# --- paths and images ----------------------------------------------------------------------------------------------


def check_path(value: str) -> str:
    """A path that stays inside the project, written with ``/``. Links are looked at when it is opened."""
    if "\\" in value:
        raise invalid("path_separator", "{text}: write paths with / and not with \\", text=shown(value))
    if value.startswith("/") or value[1:2] == ":":
        template = "{text} is an absolute path: write it relative to the folder of paygift.yaml"
        raise invalid("absolute_path", template, text=shown(value))
    # Counted on the text, without looking at a disk: the same path is judged alike everywhere.
    depth = 0
    for part in value.split("/"):
        depth += {"..": -1, ".": 0, "": 0}.get(part, 1)
        if depth < 0:
            raise invalid("outside_project", "{text} leaves the project", text=shown(value))
    return value


RelativePath = Annotated[str, Field(min_length=1), Text, Checked(check_path, pattern=published.path)]

MAX_URL: Final = 128
_ASCII: Final = re.compile(OPAQUE_PATTERN)
MAX_FILE_NAME: Final = 128
LOGO_KINDS: Final = ("JPG", "PNG", "BMP")
AWARD_KINDS: Final = ("JPG", "PNG")


def is_url(image: str) -> bool:
    """Whether an image is a URL to be used as it is, rather than a file to be uploaded."""
    return image.startswith("https://")


def check_logo(value: str) -> str:
    """An https:// URL of at most 128 characters, or a path of a JPG, PNG or BMP (API §1.1, §4)."""
    return _image(value, LOGO_KINDS)


def check_award_image(value: str) -> str:
    """As ``check_logo``, but for BMP, which the images of awards may not be (API §1.1)."""
    return _image(value, AWARD_KINDS)


def _image(value: str, kinds: tuple[str, ...]) -> str:
    # Only a prefix that is exact makes a URL: HTTPS:// falls through to the refusal below.
    if is_url(value):
        return _url(value)
    check_text(value)
    if "://" in value:
        template = "{text} is not an https:// URL; a file is named by its path in the project"
        raise invalid("not_https", template, text=shown(value))
    return _image_path(value, kinds)


def _url(value: str) -> str:
    if not 10 <= len(value) <= MAX_URL:
        template = "a URL of {length} characters, 10 to {limit} are allowed: {text}"
        raise invalid("url_length", template, length=len(value), limit=MAX_URL, text=shown(value))
    if not _ASCII.fullmatch(value):
        template = "{text}: a URL holds no spaces and only ASCII characters; encode the others as %XX"
        raise invalid("url_characters", template, text=shown(value))
    return value


def _image_path(value: str, kinds: tuple[str, ...]) -> str:
    check_path(value)
    name = value.rpartition("/")[2]
    if len(name) > MAX_FILE_NAME:
        template = "a file name of {length} characters, at most {limit} are allowed: {text}"
        raise invalid("file_name_length", template, length=len(name), limit=MAX_FILE_NAME, text=shown(name))
    if not name.upper().endswith(tuple(f".{kind}" for kind in kinds)):
        endings = ", ".join(f".{kind.lower()}" for kind in kinds)
        template = "{text}: the name of an image must end in one of {endings}"
        raise invalid("file_ending", template, text=shown(name), endings=endings)
    return value


Logo = Annotated[str, Field(min_length=1), Checked(check_logo, pattern=published.image(LOGO_KINDS, MAX_URL))]
AwardImage = Annotated[
    str, Field(min_length=1), Checked(check_award_image, pattern=published.image(AWARD_KINDS, MAX_URL))
]


# --- times ---------------------------------------------------------------------------------------------------------

MOMENT: Final = re.compile(
    r"20\d\d-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d(\.(?P<fraction>\d+))?)?([Zz]|[+-]\d\d:\d\d)?", re.ASCII
)
MAX_FRACTION: Final = 3
"""Digits after the point of a second: the API takes milliseconds (API §5.1)."""
_DATE: Final = re.compile(r"(20\d\d) ?[-/.年] ?(\d{1,2}) ?[-/.月] ?(\d{1,2}) ?日?", re.ASCII)


def read_moment(value: object, info: ValidationInfo) -> object:
    """An RFC 3339 time, naive where no offset is written: the project's time zone is not known here.

    Of a date alone it is told how it begins, or in an ``end_time`` how it ends: until the 1st means all of that day.
    """
    # A list, a mapping or nothing: pydantic's error for that is translated elsewhere.
    if not isinstance(value, str):
        return value
    found = MOMENT.fullmatch(value)
    if found is None:
        if day := _DATE.fullmatch(value):
            # Not completed: midnight as an end would cut off the last day, and nobody would see it.
            raise _date_only(value, day, is_end=info.field_name == "end_time")
        template = "{text} is not a time: write for example 2026-12-01T00:00:00+08:00, from the years 2000 to 2099"
        raise invalid("time_format", template, text=shown(value))
    if len(found["fraction"] or "") > MAX_FRACTION:
        template = "{text} is more precise than milliseconds: at most {limit} digits may follow the point"
        raise invalid("fraction", template, text=shown(value), limit=MAX_FRACTION)
    try:
        # RFC 3339 allows a small z, which fromisoformat does not take.
        return datetime.fromisoformat(value.upper())
    except ValueError:
        raise invalid("no_such_time", "{text} does not exist in the calendar", text=shown(value)) from None


def _date_only(value: str, day: re.Match[str], *, is_end: bool) -> PydanticCustomError:
    meant = f"{day[1]}-{int(day[2]):02}-{int(day[3]):02}"
    try:
        datetime.fromisoformat(meant)
    except ValueError:
        return invalid("no_such_time", "{text} does not exist in the calendar", text=shown(value))
    template = "{text} has no time of day: for the beginning of the day write {meant}T00:00:00"
    if is_end:
        template = "{text} has no time of day: for the whole day write {meant}T23:59:59"
    return invalid("date_only", template, text=shown(value), meant=meant)


_MOMENT_ALIKE: Final = MOMENT.pattern.replace(r"(?P<fraction>\d+)", rf"\d{{1,{MAX_FRACTION}}}")
"""Without the group that only Python names."""

Moment = Annotated[datetime, BeforeValidator(read_moment), WithJsonSchema(text_like(_MOMENT_ALIKE))]

TIME_OF_DAY: Final = re.compile(r"([01][0-9]|2[0-3])[0-5][0-9][0-5][0-9]")


def check_time_of_day(value: str) -> str:
    """Six digits HHMMSS, Beijing time (API §1.1); of anything else that looks like a time, what was meant."""
    if TIME_OF_DAY.fullmatch(value):
        return value
    # Only a hint: YAML 1.1 reads 11:00:00 as the number 39600, so that editors and we would disagree.
    digits = value.replace(":", "")
    meant = digits.zfill(len(digits) + len(digits) % 2).ljust(6, "0")
    hint = f": did you mean {meant}?" if digits and TIME_OF_DAY.fullmatch(meant) else ""
    template = "{text} is not a time of day as six digits HHMMSS, 000000 to 235959{hint}"
    raise invalid("time_of_day", template, text=shown(value), hint=hint)


_DIGITS: Final = {"type": "integer", "minimum": 0, "maximum": 235959}
"""What YAML makes of a time of day without quotes."""

TimeOfDay = Annotated[
    str,
    AfterValidator(check_time_of_day),
    WithJsonSchema({"anyOf": [text_like(TIME_OF_DAY.pattern), _DIGITS]}),
]


# --- numbers and switches ------------------------------------------------------------------------------------------

_WHOLE: Final = re.compile(r"0|[1-9][0-9]{0,18}")
_YUAN: Final = re.compile(
    r"(?P<sign>[¥￥]?) ?(?P<yuan>[0-9]{1,8}|[0-9]{1,3}(?:,[0-9]{3}){1,2})(?:\.(?P<cents>[0-9]{1,2}))? ?(?P<unit>元?)"
)


def read_fen(value: object) -> object:
    """A positive whole number of fen. Whether the API takes 0 is unknown (API §9 9), so we do not."""
    if not isinstance(value, str):
        return value
    if not _WHOLE.fullmatch(value):
        meant = _yuan_in_fen(value) or "¥1.00 is written 100, without point, sign or unit"
        raise invalid("not_fen", "{text} is not a whole number of fen: {meant}", text=shown(value), meant=meant)
    # Apart from the pattern, so that it is not told that 0 is not a whole number.
    if value == "0":
        raise invalid("zero", "0 fen: it is not known whether WeChat Pay accepts 0, so the least is 1 fen (¥0.01)")
    if (amount := int(value)) > MAX_FEN:
        template = "{amount} fen (¥{yuan}) is more than {limit} fen (¥10,000,000.00)"
        facts = {"amount": value, "limit": str(MAX_FEN), "yuan": f"{amount // 100:,}.{amount % 100:02}"}
        raise invalid("too_large", template, **facts)
    return amount


def _yuan_in_fen(value: str) -> str:
    """How an amount that is plainly in yuan, with a point or a sign, is written in fen; empty for any other text."""
    found = _YUAN.fullmatch(value)
    # A bare number may be fen: to read it as yuan would give a hundred times as much.
    if found is None or not (found["sign"] or found["cents"] or found["unit"]):
        return ""
    fen = int(found["yuan"].replace(",", "")) * 100 + int((found["cents"] or "").ljust(2, "0"))
    return f"¥{fen // 100:,}.{fen % 100:02} is written {fen}" if 1 <= fen <= MAX_FEN else ""


Fen = Annotated[int, Field(ge=1, le=MAX_FEN), BeforeValidator(read_fen), WithJsonSchema(whole(1, MAX_FEN))]


def read_generation(value: object) -> object:
    """A whole number from 1: it is counted up to run the same terms again."""
    if not isinstance(value, str):
        return value
    if _WHOLE.fullmatch(value) and 1 <= int(value) <= MAX_GENERATION:
        return int(value)
    template = "{text} is not a whole number from 1 to {limit}"
    raise invalid("generation", template, text=shown(value), limit=str(MAX_GENERATION))


def read_count(value: object) -> object:
    """A whole number from 0, for limits that may be none at all."""
    if not isinstance(value, str):
        return value
    if _WHOLE.fullmatch(value) and int(value) <= MAX_GENERATION:
        return int(value)
    raise invalid("not_count", "{text} is not a whole number from 0", text=shown(value))


def read_percent(value: object) -> object:
    """``30`` or ``30%``."""
    if not isinstance(value, str):
        return value
    digits = value.removesuffix("%").strip()
    if _WHOLE.fullmatch(digits) and int(digits) <= 100:
        return int(digits)
    raise invalid("not_percent", "{text} is not a percentage from 0% to 100%", text=shown(value))


def read_switch(value: object) -> object:
    """YAML 1.1 knows 22 ways to write a boolean; two are enough."""
    if not isinstance(value, str):
        return value
    if value.lower() in ("true", "false"):
        return value.lower() == "true"
    raise invalid("not_bool", "{text} is neither true nor false", text=shown(value))


Generation = Annotated[
    int,
    Field(ge=1, le=MAX_GENERATION),
    BeforeValidator(read_generation),
    WithJsonSchema(whole(1, MAX_GENERATION)),
]
Count = Annotated[int, BeforeValidator(read_count), WithJsonSchema(whole(0, MAX_GENERATION))]
CountOrNone = Annotated[int | None, BeforeValidator(read_count), WithJsonSchema(whole(0, MAX_GENERATION))]
Percent = Annotated[int, BeforeValidator(read_percent), WithJsonSchema(whole(0, 100, "(?:100|[1-9]?[0-9]) *%?"))]
Switch = Annotated[
    bool,
    BeforeValidator(read_switch),
    WithJsonSchema({"anyOf": [{"type": "boolean"}, text_like(f"{any_case('true')}|{any_case('false')}")]}),
]


# --- specs ---------------------------------------------------------------------------------------------------------


def at_most(count: int, least: int = 0) -> Any:
    """A limit for the published schema; ``rules`` checks it, after every entry has been looked at."""
    extra: dict[str, Any] = {"maxItems": count, "uniqueItems": True}
    if least:
        extra["minItems"] = least
    return Field(json_schema_extra=extra)


DISTINCT: Final = Field(json_schema_extra={"uniqueItems": True})


NOT_APPLICABLE: Final = {
    ("activity_base_info", "delivery_purpose", "OFF_LINE_PAY"): ("mini_programs_appid", "mini_programs_path"),
    ("advanced_setting", "delivery_user_category", "DELIVERY_ALL_PERSON"): ("merchant_member_appid",),
}
"""The fields that a choice rules out: (object, field, choice) → fields of the same object (API §1.1)."""


VARIABLE_PATTERN: Final = r"^[A-Z_][A-Z0-9_]*$"
