"""What an author may write: paygift.yaml and specs as pydantic models, and the rules of each field on its own.

The API's objects keep their names and nesting (API §1.1); beside them stand our own keys (docs/specs.md). Values arrive
as YAML wrote them, every scalar a text, and are read by the type of their field, so that nothing is guessed from how a
value looks. Rules that need two fields, the clock, a time zone, a merchant group or an image are in ``rules``.
``schema`` says the same to editors, as far as a JSON Schema can; the descriptions are what they show beside a key.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema

from reconciler.model.activity import NAMESPACE_PATTERN, ReplaceOrder, State
from reconciler.spec.fields import (
    ADOPT_PATTERN,
    DISTINCT,
    MAX_AWARDS,
    MAX_GOODS_TAGS,
    MAX_WINDOWS,
    VARIABLE_PATTERN,
    ActivityKey,
    Appid,
    AwardImage,
    Color,
    Composed,
    Count,
    CountOrNone,
    Fen,
    Generation,
    GoodsTag,
    Logo,
    Mchid,
    Moment,
    Name,
    Percent,
    RelativePath,
    StockId,
    Switch,
    Text,
    TimeOfDay,
    at_most,
    invalid,
)

_IMAGE: Final = "An https:// URL, used as it is, or an image in the project, uploaded when the plan is applied"
_TIME: Final = "such as 2026-12-01T00:00:00+08:00; without an offset in the project's `timezone`"
_DAY_TIME: Final = "six digits HHMMSS, Beijing time"


class SpecObject(BaseModel):
    """No key is allowed that is not named here: a misspelt key would silently change what is given to customers."""

    # forbid: `protct: true` must be an error, not an activity without protection.
    model_config = ConfigDict(extra="forbid", frozen=True)


def _requires_nothing(schema: dict[str, Any]) -> None:
    schema.pop("required", None)


class SpecSection(SpecObject):
    """What ``defaults`` are merged into: its published schema requires nothing, since anything may come from there.

    Lists are not merged, so that what stands in them is a plain SpecObject.
    """

    # Only the published schema: what is missing after the merge is a mistake all the same.
    model_config = ConfigDict(json_schema_extra=_requires_nothing)


class AvailableTimeSpec(SpecObject):
    """A span of dates and times in which coupons are given."""

    begin_time: Moment = Field(description=f"From, {_TIME}.")
    end_time: Moment = Field(description=f"Until, {_TIME}.")


class AvailableDayTimeSpec(SpecObject):
    """A daily span in which coupons are given, Beijing time."""

    # A text and not a time: the digest and the API use the six digits.
    begin_day_time: TimeOfDay = Field(description=f"From, {_DAY_TIME}.")
    end_day_time: TimeOfDay = Field(description=f"Until, {_DAY_TIME}.")


class AvailablePeriodsSpec(SpecSection):
    """When, inside the activity, coupons are given: where both lists are written, in both at once."""

    available_time: Annotated[tuple[AvailableTimeSpec, ...], at_most(MAX_WINDOWS)] = Field(
        (), description="Spans of dates and times, at most 6, inside the activity."
    )
    available_day_time: Annotated[tuple[AvailableDayTimeSpec, ...], at_most(MAX_WINDOWS)] = Field(
        (), description="Daily spans, at most 6. One over midnight is written as two."
    )


class ActivityBaseInfoSpec(SpecSection):
    """What the activity is called, what it looks like, and when it runs. ``out_request_no`` is ours to make."""

    activity_name: Annotated[str, Field(min_length=1, max_length=10), Text, Composed] = Field(
        description="1 to 10 characters, as customers see them."
    )
    activity_second_title: Annotated[str, Field(min_length=1, max_length=9), Text, Composed] = Field(
        description="1 to 9 characters, as customers see them."
    )
    merchant_logo_url: Logo = Field(description=f"{_IMAGE}. JPG, PNG or BMP.")
    background_color: Color | None = Field(None, description="Default: WeChat Pay's own.")
    begin_time: Moment = Field(description=f"When it begins, {_TIME}. If that is past, it starts at once.")
    end_time: Moment = Field(description=f"When it ends, {_TIME}. At most 90 days after begin_time.")
    available_periods: AvailablePeriodsSpec = Field(
        AvailablePeriodsSpec(),
        description="When, inside the activity, coupons are given. Default: all the time.",
    )
    delivery_purpose: Literal["OFF_LINE_PAY", "JUMP_MINI_APP"] = Field(
        description="Bring people back to the shop, or lead them to a mini program."
    )
    mini_programs_appid: Appid = Field("", description="With delivery_purpose: JUMP_MINI_APP, and only then.")
    mini_programs_path: Annotated[str, Field(min_length=1, max_length=128), Text, Composed] = Field(
        "", description="With delivery_purpose: JUMP_MINI_APP, and only then."
    )


class AwardItemSpec(SpecObject):
    """One coupon of the gift, and its images."""

    stock_id: StockId = Field(description="批次号: the coupon (商家券), which must exist already.")
    original_image_url: AwardImage = Field(description=f"{_IMAGE}. JPG or PNG, recommended 678 × 232.")
    thumbnail_url: AwardImage | None = Field(
        None, description=f"{_IMAGE}. JPG or PNG, recommended 120 × 120. Required in a package."
    )


class AwardSendRuleSpec(SpecSection):
    """From which order amount, what is given, and whose payers get it."""

    transaction_amount_minimum: Fen = Field(description="The least amount of the order in whole fen: ¥1.00 is 100.")
    send_content: Literal["SINGLE_COUPON", "GIFT_PACKAGE"] = Field(description="One coupon, or a package of 3 to 5.")
    award_type: Literal["BUSIFAVOR"] = Field("BUSIFAVOR", description="The API gives only 商家券.")
    award_list: Annotated[tuple[AwardItemSpec, ...], at_most(MAX_AWARDS, 1)] = Field(
        description="Exactly 1 coupon for SINGLE_COUPON, 3 to 5 for GIFT_PACKAGE."
    )
    # Samples of the API send another value, which it refuses for 商家券 (API §1.1, §7 C1).
    merchant_option: Literal["MANUAL_INPUT_MERCHANT"] = Field(
        "MANUAL_INPUT_MERCHANT", description="No other value works for 商家券."
    )
    merchant_groups: Annotated[tuple[str, ...], DISTINCT] = Field(
        (), description="Groups of paygift.yaml, whose payers get the coupon."
    )
    merchant_id_list: Annotated[tuple[Mchid, ...], DISTINCT] = Field(
        (), description="Merchants whose payers get the coupon, united with the groups."
    )


class AdvancedSettingSpec(SpecSection):
    """Who gets it: everybody or members, any order or only tagged goods."""

    delivery_user_category: Literal["DELIVERY_ALL_PERSON", "DELIVERY_MEMBER_PERSON"] = Field(
        "DELIVERY_ALL_PERSON", description="Everybody, or members only."
    )
    merchant_member_appid: Appid = Field(
        "", description="With delivery_user_category: DELIVERY_MEMBER_PERSON, and only then."
    )
    goods_tags: Annotated[tuple[GoodsTag, ...], at_most(MAX_GOODS_TAGS)] = Field(
        (), description="The order must carry one of these. Default: any order."
    )


class ActivitySpec(SpecSection):
    """One activity as its author wrote it, the project's ``defaults`` merged in."""

    key: ActivityKey = Field(
        "",
        description="The activity's name here, once in the project. Default: the file's name without its ending.",
    )
    generation: Generation = Field(
        1, description="Raise it to run the same terms again after the activity was terminated."
    )
    protect: Switch = Field(False, description="Refuse to terminate or replace it, even once this file is deleted.")
    state: State = Field(
        "running",
        description="`terminated` ends the activity permanently, and leaves the file as the record.",
    )
    renamed_from: tuple[ActivityKey, ...] = Field(
        (), description="Keys that this activity had before: nothing ends because a file or key was renamed."
    )
    adopt: Annotated[str, Field(pattern=ADOPT_PATTERN)] = Field(
        "", description="The activity_id of an activity that was created elsewhere and is to be taken over."
    )
    replace: ReplaceOrder = Field(
        "create_first",
        description="What comes first when the terms change: a moment with two gifts, or a moment with none.",
    )
    activity_base_info: ActivityBaseInfoSpec = Field(
        description="What the activity is called, what it looks like, and when it runs."
    )
    award_send_rule: AwardSendRuleSpec = Field(
        description="From which order amount, what is given, and whose payers get it."
    )
    advanced_setting: AdvancedSettingSpec = Field(
        AdvancedSettingSpec(),
        description="Who gets it: everybody or members, any order or only tagged goods.",
    )


NO_DEFAULTS: Final = ("key", "renamed_from", "adopt")
"""What ``defaults`` may not hold, since it belongs to one activity."""


# --- the project file ----------------------------------------------------------------------------------------------


class BrandSection(SpecObject):
    """Merchants of one brand, which the API cannot be asked for (API §2 F1, F6)."""

    merchants: tuple[Mchid, ...] = Field((), description="Merchants of the brand.")
    merchant_groups: tuple[str, ...] = Field((), description="Groups of the brand.")


class FreezeSection(SpecObject):
    """A span of time in which nothing is written without a waiver, and what it is for."""

    begin_time: Moment = Field(description=f"From, {_TIME}.")
    end_time: Moment = Field(description=f"Until, {_TIME}.")
    reason: str = Field("", description="What it is for, such as 双十一.")


class PolicySection(SpecObject):
    """What a plan may do without asking (docs/specs.md)."""

    on_removed: Literal["terminate", "refuse", "ignore"] = Field(
        "terminate", description="What happens to a running activity whose spec was deleted."
    )
    max_terminations: CountOrNone = Field(
        None,
        description=(
            "The most activities that may end without a successor in one plan. Default: 1, or a fifth of the live ones."
        ),
    )
    max_replacements_running: CountOrNone = Field(
        None, description="The most running activities that may be replaced in one plan. Default: no limit."
    )
    max_merchant_deletions: Percent = Field(
        30,
        description="The most of an activity's merchants, in percent, that may lose its gift in one plan, deleted or "
        "left out.",
    )
    allow_replace_running: Switch = Field(True, description="Whether new terms may replace an activity that has begun.")
    freeze: tuple[FreezeSection, ...] = Field((), description="Spans in which nothing is written.")
    warn_before_end: Count = Field(
        3, description="Warn of activities that end within so many days while no other one follows."
    )


def check_variable(value: str) -> str:
    """The value is not quoted: it may be the secret, written where the name of its variable belongs."""
    if not re.fullmatch(VARIABLE_PATTERN, value):
        raise invalid(
            "not_a_variable",
            "not the name of an environment variable (A-Z, 0-9 and _), such as PAYGIFT_WECOM_URL",
        )
    return value


Variable = Annotated[
    str, AfterValidator(check_variable), WithJsonSchema({"type": "string", "pattern": VARIABLE_PATTERN})
]


class NotifySection(SpecObject):
    """Who is notified of the outcome of an apply. Its address is a secret, so only the name of a variable is given.

    ``on`` is what to tell of; nothing written means all of it.
    """

    kind: Literal["wecom", "webhook"] = Field(description="A group robot of WeCom (企业微信), or any webhook.")
    url_from: Variable = Field(
        description="The environment variable that holds the address. The address itself is a secret."
    )
    on: tuple[Literal["done", "partial", "failed", "unknown", "not_started", "refused", "stale"], ...] = Field(
        (), description="Which outcomes to report. Default: all."
    )


class ProjectFile(SpecObject):
    """paygift.yaml."""

    namespace: Annotated[str, Field(pattern=rf"^{NAMESPACE_PATTERN.pattern}$")] = Field(
        description="Marks what this repository owns on the account. Do not change it while activities live."
    )
    account: Mchid = Field(
        "", description="The 商户号 that this project belongs to: credentials of another account are refused."
    )
    timezone: Name = Field("Asia/Shanghai", description="IANA name, for times that are written without an offset.")
    activities: RelativePath = Field("activities/", description="The folder of the specs, searched recursively.")
    # Judged in each spec after merging, since only there it is known what is missing.
    defaults: dict[str, Any] = Field({}, description="Values for every spec, which a spec may override.")
    merchant_groups: dict[Name, RelativePath] = Field(
        {}, description="Lists of merchants in text files: one number a line."
    )
    brands: dict[Name, BrandSection] = Field(
        {}, description="Which merchants belong together: those of an activity must be of one brand."
    )
    policy: PolicySection = Field(PolicySection(), description="What a plan may do without asking.")
    notify: tuple[NotifySection, ...] = Field((), description="Who is notified of the outcome of an apply.")
