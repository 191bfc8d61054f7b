"""What is wrong with one spec: the rules that need more than one field. Pure.

``diagnostics_in`` works on damaged specs too (attributes that could not be read are simply not set), so that one
mistake hides no other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta, tzinfo
from difflib import get_close_matches
from itertools import chain
from typing import Final, Protocol

from reconciler.model.characters import shown
from reconciler.spec.context import LocalImage, MissingImage, SpecContext, clock_change, instant_of
from reconciler.spec.diagnostics import FieldDiagnostic, Path
from reconciler.spec.fields import AWARD_KINDS, LOGO_KINDS, MAX_AWARDS, MAX_GOODS_TAGS, MAX_WINDOWS, is_url
from reconciler.spec.models import (
    ActivityBaseInfoSpec,
    ActivitySpec,
    AdvancedSettingSpec,
    AvailablePeriodsSpec,
    AwardSendRuleSpec,
)
from reconciler.spec.salvaged import is_known, known

MAX_VALIDITY: Final = timedelta(days=90)
MAX_AHEAD: Final = timedelta(seconds=31_536_000)
"""An activity ends less than this from now: "1 year" in the API's words (API §1.1, §2 F7)."""

MIN_PACKAGE: Final = 3
_NAMED: Final = 3
"""So many merchants are named in a message; the rest are counted."""

_BASE: Final = ("activity_base_info",)
_BEGIN: Final = (*_BASE, "begin_time")
_END: Final = (*_BASE, "end_time")
_PURPOSE: Final = (*_BASE, "delivery_purpose")
_PERIODS: Final = (*_BASE, "available_periods")
_RULE: Final = ("award_send_rule",)
_AWARDS: Final = (*_RULE, "award_list")
_CONTENT: Final = (*_RULE, "send_content")
_GROUPS: Final = (*_RULE, "merchant_groups")
_LISTED: Final = (*_RULE, "merchant_id_list")
_SETTING: Final = ("advanced_setting",)


def diagnostics_in(spec: ActivitySpec, context: SpecContext) -> list[FieldDiagnostic]:
    """Every mistake that shows only when fields are seen together.

    ``spec`` may be what is left of one: a field that could not be read is not judged.
    """
    base, rule = known(spec, lambda of: of.activity_base_info), known(spec, lambda of: of.award_send_rule)
    setting = known(spec, lambda of: of.advanced_setting)
    # A terminated spec is a record: its times and merchants may be anything by now.
    running = known(spec, lambda of: of.state) == "running"
    begin = _checked(known(base, lambda of: of.begin_time), context.timezone)
    end = _checked(known(base, lambda of: of.end_time), context.timezone)
    periods = known(base, lambda of: of.available_periods)
    return [
        *_time_mistakes(known(base, lambda of: of.begin_time), _BEGIN, context.timezone),
        *_time_mistakes(known(base, lambda of: of.end_time), _END, context.timezone),
        *_validity_mistakes(begin, end, context, running=running),
        *_window_mistakes(periods, begin, end, context.timezone),
        *_day_window_mistakes(periods),
        *_purpose_mistakes(base),
        *_award_mistakes(rule),
        *_image_mistakes(spec, context),
        *_audience_mistakes(setting),
        *_tag_mistakes(setting),
        *_merchant_mistakes(rule, context, running=running),
    ]


def _checked(moment: datetime | None, timezone: tzinfo) -> datetime | None:
    """``moment`` as a UTC instant, if it is one."""
    return None if moment is None or clock_change(moment, timezone) else instant_of(moment, timezone)


def _time_mistakes(moment: datetime | None, path: Path, timezone: tzinfo) -> Iterator[FieldDiagnostic]:
    if moment is None:
        return
    change = clock_change(moment, timezone)
    if change:
        code = "ambiguous_time" if change == "twice" else "nonexistent_time"
        message = f"{moment} happens {change} in {timezone}, where clocks change: write the offset, such as +08:00"
        yield FieldDiagnostic(path, code, message)


class _Span(Protocol):
    """What has a begin and an end: a window of an activity, or a freeze."""

    @property
    def begin_time(self) -> datetime: ...
    @property
    def end_time(self) -> datetime: ...


def span_diagnostics(span: _Span, path: Path, timezone: tzinfo, begin: str = "begin_time") -> Iterator[FieldDiagnostic]:
    """What is wrong with the ``begin_time`` and ``end_time`` of ``span``, which is written at ``path``.

    Both are instants, whichever of them has an offset; without one it is in ``timezone``. ``begin`` is what a message
    calls the earlier one. A time that could not be read is not judged.
    """
    begin_time, end_time = known(span, lambda of: of.begin_time), known(span, lambda of: of.end_time)
    yield from _time_mistakes(begin_time, (*path, "begin_time"), timezone)
    yield from _time_mistakes(end_time, (*path, "end_time"), timezone)
    opens, closes = _checked(begin_time, timezone), _checked(end_time, timezone)
    if opens is not None and closes is not None and closes <= opens:
        message = f"{_local(closes, timezone)} is not later than {begin} {_local(opens, timezone)}"
        yield FieldDiagnostic((*path, "end_time"), "ends_before_begin", message)


def _validity_mistakes(
    begin: datetime | None, end: datetime | None, context: SpecContext, *, running: bool
) -> Iterator[FieldDiagnostic]:
    if begin is not None and end is not None:
        if end <= begin:
            message = f"{_local(end, context.timezone)} is not later than begin_time {_local(begin, context.timezone)}"
            yield FieldDiagnostic(_END, "ends_before_begin", message, partners=(_BEGIN,))
        # Checked here, as WeChat Pay often names no field in its errors (API §7 C5).
        elif end - begin > MAX_VALIDITY:
            message = f"{_duration(end - begin)} after begin_time, at most 90 days are allowed"
            yield FieldDiagnostic(_END, "too_long_validity", message, partners=(_BEGIN,))
    # Which two moments "1 year" lies between is not documented: the stricter reading counts (API §1.1).
    if running and end is not None and end - context.now >= MAX_AHEAD:
        left = timedelta(seconds=(end - context.now) // timedelta(seconds=1))
        message = f"{_duration(left)} from now: an activity must end within less than 365 days"
        yield FieldDiagnostic(_END, "too_far_ahead", message, partners=(_BEGIN,))


def _local(moment: datetime, timezone: tzinfo) -> str:
    local = moment.astimezone(timezone).replace(tzinfo=None)
    return local.isoformat(" ", "milliseconds" if local.microsecond else "seconds")


def _duration(span: timedelta) -> str:
    hours, rest = divmod(span.seconds, 3600)
    minutes, seconds = divmod(rest, 60)
    parts = [f"{count} {unit}" for count, unit in ((span.days, "days"), (hours, "h"), (minutes, "min")) if count]
    if span.microseconds:
        parts.append(f"{seconds}.{span.microseconds // 1000:03} s")
    elif seconds:
        parts.append(f"{seconds} s")
    return " ".join(parts) or "0 s"


def _window_mistakes(
    periods: AvailablePeriodsSpec | None, begin: datetime | None, end: datetime | None, timezone: tzinfo
) -> Iterator[FieldDiagnostic]:
    path = (*_PERIODS, "available_time")
    windows = known(periods, lambda of: of.available_time) or ()
    yield from _count_mistakes(windows, MAX_WINDOWS, path, "windows")
    seen: dict[tuple[datetime, datetime], Path] = {}
    for index, window in enumerate(windows):
        here = (*path, index)
        yield from span_diagnostics(window, here, timezone, "the window's begin_time")
        opens = _checked(known(window, lambda of: of.begin_time), timezone)
        closes = _checked(known(window, lambda of: of.end_time), timezone)
        if begin is not None and opens is not None and opens < begin:
            message = f"{_local(opens, timezone)} is earlier than the activity's begin_time {_local(begin, timezone)}"
            yield FieldDiagnostic((*here, "begin_time"), "outside_activity", message, partners=(_BEGIN,))
        if end is not None and closes is not None and closes > end:
            message = f"{_local(closes, timezone)} is later than the activity's end_time {_local(end, timezone)}"
            yield FieldDiagnostic((*here, "end_time"), "outside_activity", message, partners=(_END,))
        if opens is None or closes is None:
            continue
        if (opens, closes) in seen:
            yield FieldDiagnostic(here, "duplicate", "this window is written twice", also=(seen[opens, closes],))
        seen.setdefault((opens, closes), here)


def _day_window_mistakes(periods: AvailablePeriodsSpec | None) -> Iterator[FieldDiagnostic]:
    path = (*_PERIODS, "available_day_time")
    windows = known(periods, lambda of: of.available_day_time) or ()
    yield from _count_mistakes(windows, MAX_WINDOWS, path, "windows")
    seen: dict[tuple[str, str], Path] = {}
    for index, window in enumerate(windows):
        here = (*path, index)
        opens, closes = known(window, lambda of: of.begin_day_time), known(window, lambda of: of.end_day_time)
        if opens is None or closes is None:
            continue
        # The API says nothing of windows over midnight, so none is sent.
        if closes <= opens:
            message = f"{closes} is not later than begin_day_time {opens}: a window over midnight is written as two"
            yield FieldDiagnostic((*here, "end_day_time"), "ends_before_begin", message)
        if (opens, closes) in seen:
            yield FieldDiagnostic(here, "duplicate", "this window is written twice", also=(seen[opens, closes],))
        seen.setdefault((opens, closes), here)


def _count_mistakes(items: Sequence[object], limit: int, path: Path, noun: str) -> Iterator[FieldDiagnostic]:
    if len(items) > limit:
        yield FieldDiagnostic(path, "too_many", f"{len(items)} {noun}, at most {limit} are allowed")


def _purpose_mistakes(base: ActivityBaseInfoSpec | None) -> Iterator[FieldDiagnostic]:
    purpose = known(base, lambda of: of.delivery_purpose)
    for name, value in (
        ("mini_programs_appid", known(base, lambda of: of.mini_programs_appid)),
        ("mini_programs_path", known(base, lambda of: of.mini_programs_path)),
    ):
        path = (*_BASE, name)
        if purpose == "JUMP_MINI_APP" and value == "":
            message = "required with delivery_purpose: JUMP_MINI_APP"
            yield FieldDiagnostic(path, "missing", message, partners=(_PURPOSE,))
        elif purpose == "OFF_LINE_PAY" and value:
            message = "only for delivery_purpose: JUMP_MINI_APP, and it is OFF_LINE_PAY"
            yield FieldDiagnostic(path, "not_applicable", message, partners=(_PURPOSE,))


def _award_mistakes(rule: AwardSendRuleSpec | None) -> Iterator[FieldDiagnostic]:
    awards, content = known(rule, lambda of: of.award_list), known(rule, lambda of: of.send_content)
    if awards is None:
        return
    least, most = {"SINGLE_COUPON": (1, 1), "GIFT_PACKAGE": (MIN_PACKAGE, MAX_AWARDS)}.get(
        content or "", (1, MAX_AWARDS)
    )
    if not least <= len(awards) <= most:
        wanted = f"exactly {least}" if least == most else f"{least} to {most}"
        message = f"{len(awards)} awards; {content or 'an activity'} takes {wanted}"
        yield FieldDiagnostic(_AWARDS, "award_count", message, partners=(_CONTENT,))
    seen: dict[str, Path] = {}
    for index, award in enumerate(awards):
        here = (*_AWARDS, index)
        stock = known(award, lambda of: of.stock_id)
        no_thumbnail = is_known(award, lambda of: of.thumbnail_url) and award.thumbnail_url is None
        # By count, and not by send_content, which may be what is wrong.
        if len(awards) > 1 and no_thumbnail:
            yield FieldDiagnostic(
                (*here, "thumbnail_url"), "missing", "required where an activity gives several coupons"
            )
        if stock in seen:
            message = f"the coupon {shown(stock)} is given twice"
            yield FieldDiagnostic((*here, "stock_id"), "duplicate", message, also=(seen[stock],))
        elif stock is not None:
            seen[stock] = (*here, "stock_id")


def local_images(spec: ActivitySpec) -> Iterator[str]:
    """The paths of all local images of a spec, damaged or not."""
    return (image for _, image, _ in _local_images(spec))


def _local_images(spec: ActivitySpec) -> Iterator[tuple[Path, str, tuple[str, ...]]]:
    """Every image that is a file: where it is written, its path, and which image formats the API takes there."""
    logo = known(spec, lambda of: of.activity_base_info.merchant_logo_url)
    if logo is not None and not is_url(logo):
        yield (*_BASE, "merchant_logo_url"), logo, LOGO_KINDS
    for index, award in enumerate(known(spec, lambda of: of.award_send_rule.award_list) or ()):
        for name, image in (
            ("original_image_url", known(award, lambda of: of.original_image_url)),
            ("thumbnail_url", known(award, lambda of: of.thumbnail_url)),
        ):
            if image is not None and not is_url(image):
                yield (*_AWARDS, index, name), image, AWARD_KINDS


def _image_mistakes(spec: ActivitySpec, context: SpecContext) -> Iterator[FieldDiagnostic]:
    for path, image, kinds in _local_images(spec):
        match found := context.images[image]:
            case MissingImage():
                yield FieldDiagnostic(path, found.code, f"{shown(image)} {found.message}")
            case LocalImage() if found.kind not in kinds:
                message = f"{shown(image)} is a {found.kind}, only {' and '.join(kinds)} are allowed here"
                yield FieldDiagnostic(path, "picture_kind", message)
            # The upload names the kind by the ending of the file name (API §4), so that it has to be true.
            case LocalImage() if image.rpartition(".")[2].upper() != found.kind:
                message = f"{shown(image)} is a {found.kind} by its content: rename it to end in .{found.kind.lower()}"
                yield FieldDiagnostic(path, "picture_name", message)


def notes_in(spec: ActivitySpec, context: SpecContext) -> Iterator[FieldDiagnostic]:
    """What is not a mistake but should be known before customers see it."""
    for path, image, _ in _local_images(spec):
        found = context.images[image]
        if isinstance(found, LocalImage) and found.cmyk:
            message = f"{shown(image)} is a CMYK JPG, whose colours phones may show wrongly: better save it as RGB"
            yield FieldDiagnostic(path, "cmyk_picture", message)


def _audience_mistakes(setting: AdvancedSettingSpec | None) -> Iterator[FieldDiagnostic]:
    audience = known(setting, lambda of: of.delivery_user_category)
    appid = known(setting, lambda of: of.merchant_member_appid)
    path, partner = (*_SETTING, "merchant_member_appid"), (*_SETTING, "delivery_user_category")
    if audience == "DELIVERY_MEMBER_PERSON" and appid == "":
        message = "required with delivery_user_category: DELIVERY_MEMBER_PERSON"
        yield FieldDiagnostic(path, "missing", message, partners=(partner,))
    elif audience == "DELIVERY_ALL_PERSON" and appid:
        message = "only for delivery_user_category: DELIVERY_MEMBER_PERSON, and it is DELIVERY_ALL_PERSON"
        yield FieldDiagnostic(path, "not_applicable", message, partners=(partner,))


def _tag_mistakes(setting: AdvancedSettingSpec | None) -> Iterator[FieldDiagnostic]:
    path = (*_SETTING, "goods_tags")
    tags = known(setting, lambda of: of.goods_tags) or ()
    yield from _count_mistakes(tags, MAX_GOODS_TAGS, path, "tags")
    yield from _repeated(tags, path, "the tag {} is written twice")


def _repeated(
    texts: Sequence[str | None], path: Path, sentence: str, code: str = "duplicate"
) -> Iterator[FieldDiagnostic]:
    if len(set(texts)) == len(texts):
        return
    seen: dict[str, Path] = {}
    for index, text in enumerate(texts):
        if text in seen:
            yield FieldDiagnostic((*path, index), code, sentence.format(shown(text)), also=(seen[text],))
        elif text is not None:
            seen[text] = (*path, index)


# --- merchants -----------------------------------------------------------------------------------------------------


def _merchant_mistakes(
    rule: AwardSendRuleSpec | None, context: SpecContext, *, running: bool
) -> Iterator[FieldDiagnostic]:
    names: Sequence[str | None] | None = known(rule, lambda of: of.merchant_groups)
    listed: Sequence[str | None] | None = known(rule, lambda of: of.merchant_id_list)
    if names is None or listed is None:
        return
    yield from _group_name_mistakes(names, context)
    yield from _repeated(listed, _LISTED, "the merchant {} is written twice", "duplicate_merchant")
    groups = {name: context.groups.get(name) for name in names if name is not None}
    members = {name: group for name, group in groups.items() if group}
    # Only where all of it could be read: what is damaged is told already.
    if running and not listed and not members and None not in names and None not in groups.values():
        message = "no merchants whose payers would get the coupon: write merchant_id_list or merchant_groups"
        yield FieldDiagnostic(_RULE, "no_merchants", message)
    # No API tells brands (API §9 10): a team that writes down none is not checked.
    if context.brand_of:
        brands = context.brands_in(listed).union(*map(context.brands_in_group, members))
        if len(brands) > 1:
            yield _brand_mistake(names, members, listed, context.brand_of)


def _group_name_mistakes(names: Sequence[str | None], context: SpecContext) -> Iterator[FieldDiagnostic]:
    yield from _repeated(names, _GROUPS, "the group {} is written twice")
    for index, name in enumerate(names):
        if name is not None and context.groups_known and name not in context.groups:
            yield unknown_group(name, context.groups, (*_GROUPS, index))


def unknown_group(name: str, groups: Iterable[str], path: Path) -> FieldDiagnostic:
    """A group that is named, in a spec or in a brand, and that paygift.yaml does not know."""
    alike = get_close_matches(name, list(groups), 1)
    known = ", ".join(map(shown, groups))
    hint = f"did you mean {shown(alike[0])}?" if alike else f"there are {known or 'none'}"
    return FieldDiagnostic(
        path, "unknown_group", f"no group {shown(name)} in the merchant_groups of paygift.yaml; {hint}"
    )


def _brand_mistake(
    names: Sequence[str | None],
    members: Mapping[str, tuple[str, ...]],
    listed: Sequence[str | None],
    brand_of: Mapping[str, str],
) -> FieldDiagnostic:
    """All merchants of an activity must be of one brand (API §2 F6). Where none is in any brand, nothing is known."""
    everybody = set(chain(listed, *members.values())) - {None}
    counts = Counter(brand_of.get(str(mchid), "") for mchid in everybody)
    main = max((brand for brand in counts if brand), key=lambda brand: (counts[brand], brand))
    strangers = sorted(mchid for mchid in everybody if mchid is not None and brand_of.get(mchid) != main)
    named = ", ".join(f"{mchid} ({brand_of.get(mchid) or 'in no brand'})" for mchid in strangers[:_NAMED])
    more = f" and {len(strangers) - _NAMED:,} more" if len(strangers) > _NAMED else ""
    message = f"merchants of several brands: {counts[main]:,} of {shown(main)}, but {named}{more}; one brand is allowed"
    return FieldDiagnostic(_first_place(strangers, names, members, listed), "mixed_brands", message)


def _first_place(
    mchids: Sequence[str],
    names: Sequence[str | None],
    members: Mapping[str, tuple[str, ...]],
    listed: Sequence[str | None],
) -> Path:
    wanted = set(mchids)
    for index, mchid in enumerate(listed):
        if mchid in wanted:
            return (*_LISTED, index)
    return (
        *_GROUPS,
        next(names.index(name) for name, group in members.items() if wanted.intersection(group)),
    )
