"""What an author may write: paygift.yaml and specs as pydantic models, and the rules of each field on its own.

The API's objects keep their names and nesting (API §1.1); beside them stand our own keys (docs/specs.md). Values arrive
as YAML wrote them, every scalar a text, and are read by the type of their field, so that nothing is guessed from how a
value looks. Rules that need two fields, the clock, a time zone, a merchant group or a picture are in ``desired``.
``schema`` says the same to editors, as far as a JSON Schema can: a ``read_`` or ``check_`` function has its line there.

``Fault`` is a mistake before anybody has looked up where it stands; ``load`` turns faults into located problems.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from reconciler.model.activity import NAMESPACE_PATTERN, ReplaceOrder, State
from reconciler.spec.fields import (
    _DISTINCT,
    ADOPT_PATTERN,
    MAX_AWARDS,
    MAX_GENERATION,
    MAX_GOODS_TAGS,
    MAX_WINDOWS,
    VARIABLE_PATTERN,
    ActivityKey,
    Appid,
    Color,
    Composed,
    Fen,
    GoodsTag,
    Logo,
    Mchid,
    Moment,
    Name,
    Picture,
    RelativePath,
    StockId,
    Text,
    TimeOfDay,
    at_most,
    invalid,
    read_count,
    read_generation,
    read_percent,
    read_switch,
)


class SpecObject(BaseModel):
    """No key is allowed that is not named here: a misspelt key would silently change what is given to customers."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class AvailableTimeSpec(SpecObject):
    """A span of dates and times in which coupons are given."""

    begin_time: Moment
    end_time: Moment


class AvailableDayTimeSpec(SpecObject):
    """A daily span in which coupons are given, Beijing time."""

    begin_day_time: TimeOfDay
    end_day_time: TimeOfDay


class AvailablePeriodsSpec(SpecObject):
    """When, inside the activity, coupons are given: where both lists are written, in both at once."""

    available_time: Annotated[tuple[AvailableTimeSpec, ...], at_most(MAX_WINDOWS)] = ()
    available_day_time: Annotated[tuple[AvailableDayTimeSpec, ...], at_most(MAX_WINDOWS)] = ()


class ActivityBaseInfoSpec(SpecObject):
    """What the activity is called, what it looks like, and when it runs. ``out_request_no`` is ours to make."""

    activity_name: Annotated[str, Field(min_length=1, max_length=10), Text, Composed]
    activity_second_title: Annotated[str, Field(min_length=1, max_length=9), Text, Composed]
    merchant_logo_url: Logo
    background_color: Color | None = None
    begin_time: Moment
    end_time: Moment
    available_periods: AvailablePeriodsSpec = AvailablePeriodsSpec()
    delivery_purpose: Literal["OFF_LINE_PAY", "JUMP_MINI_APP"]
    mini_programs_appid: Appid = ""
    mini_programs_path: Annotated[str, Field(min_length=1, max_length=128), Text, Composed] = ""


class AwardItemSpec(SpecObject):
    """One coupon of the gift, and its pictures."""

    stock_id: StockId
    original_image_url: Picture
    thumbnail_url: Picture | None = None


class AwardSendRuleSpec(SpecObject):
    """From which order amount on what is given, and whose payers get it."""

    transaction_amount_minimum: Fen
    send_content: Literal["SINGLE_COUPON", "GIFT_PACKAGE"]
    award_type: Literal["BUSIFAVOR"] = "BUSIFAVOR"
    award_list: Annotated[tuple[AwardItemSpec, ...], at_most(MAX_AWARDS, 1)]
    merchant_option: Literal["MANUAL_INPUT_MERCHANT"] = "MANUAL_INPUT_MERCHANT"
    merchant_groups: Annotated[tuple[str, ...], _DISTINCT] = ()
    merchant_id_list: Annotated[tuple[Mchid, ...], _DISTINCT] = ()


class AdvancedSettingSpec(SpecObject):
    """Who gets it: everybody or members, any order or only tagged goods."""

    delivery_user_category: Literal["DELIVERY_ALL_PERSON", "DELIVERY_MEMBER_PERSON"] = "DELIVERY_ALL_PERSON"
    merchant_member_appid: Appid = ""
    goods_tags: Annotated[tuple[GoodsTag, ...], at_most(MAX_GOODS_TAGS)] = ()


class ActivitySpec(SpecObject):
    """One activity as its author wrote it, the project's ``defaults`` merged in."""

    key: ActivityKey = ""
    generation: Annotated[int, Field(ge=1, le=MAX_GENERATION), BeforeValidator(read_generation)] = 1
    protect: Annotated[bool, BeforeValidator(read_switch)] = False
    state: State = "running"
    renamed_from: tuple[ActivityKey, ...] = ()
    adopt: Annotated[str, Field(pattern=ADOPT_PATTERN)] = ""
    replace: ReplaceOrder = "create_first"
    activity_base_info: ActivityBaseInfoSpec
    award_send_rule: AwardSendRuleSpec
    advanced_setting: AdvancedSettingSpec = AdvancedSettingSpec()


NO_DEFAULTS: Final = ("key", "renamed_from", "adopt")
"""What ``defaults`` may not hold, since it belongs to one activity."""


# --- the project file ----------------------------------------------------------------------------------------------


class BrandSection(SpecObject):
    """Merchants of one brand, which the API cannot be asked for (API §2 F1, F6)."""

    merchants: tuple[Mchid, ...] = ()
    merchant_groups: tuple[str, ...] = ()


class FreezeSection(SpecObject):
    """A span of time in which nothing is written without a waiver, and what it is for."""

    begin_time: Moment
    end_time: Moment
    reason: str = ""


class PolicySection(SpecObject):
    """What a plan may do without asking (docs/specs.md)."""

    on_removed: Literal["terminate", "refuse", "ignore"] = "terminate"
    max_terminations: Annotated[int | None, BeforeValidator(read_count)] = None
    max_replacements_running: Annotated[int | None, BeforeValidator(read_count)] = None
    max_merchant_deletions: Annotated[int, BeforeValidator(read_percent)] = 30
    allow_replace_running: Annotated[bool, BeforeValidator(read_switch)] = True
    freeze: tuple[FreezeSection, ...] = ()
    warn_before_end: Annotated[int, BeforeValidator(read_count)] = 3


def check_variable(value: str) -> str:
    """The value is not quoted: it may be the secret, written where the name of its variable belongs."""
    if not re.fullmatch(VARIABLE_PATTERN, value):
        raise invalid(
            "not_a_variable",
            "not the name of an environment variable (A-Z, 0-9 and _), such as PAYGIFT_WECOM_URL",
        )
    return value


class NotifySection(SpecObject):
    """Who is told what came of an apply. Its address is a secret, so that only the name of a variable stands here.

    ``on`` is what to tell of; nothing written means all of it.
    """

    kind: Literal["wecom", "webhook"]
    url_from: Annotated[str, AfterValidator(check_variable)]
    on: tuple[Literal["done", "partial", "failed", "unknown", "not_started", "refused", "stale"], ...] = ()


class ProjectFile(SpecObject):
    """paygift.yaml."""

    namespace: Annotated[str, Field(pattern=rf"^{NAMESPACE_PATTERN.pattern}$")]
    account: Mchid = ""
    timezone: Name = "Asia/Shanghai"
    activities: RelativePath = "activities/"
    defaults: dict[str, Any] = {}
    merchant_groups: dict[Name, RelativePath] = {}
    brands: dict[Name, BrandSection] = {}
    policy: PolicySection = PolicySection()
    notify: tuple[NotifySection, ...] = ()
