"""A spec without mistakes → the activity that it asks for, in canonical form. Pure."""

from __future__ import annotations

from datetime import tzinfo
from itertools import chain

from reconciler.model.activity import WHOLE_DAY, Award, DayWindow, DesiredActivity, Image, Source, Terms, Window
from reconciler.spec.context import LocalImage, SpecContext, instant_of
from reconciler.spec.fields import is_url
from reconciler.spec.models import ActivityBaseInfoSpec, ActivitySpec


def normalize(spec: ActivitySpec, key: str, source: Source, context: SpecContext) -> DesiredActivity:
    """The activity that ``spec``, which has none, asks for; in canonical form.

    ``key`` is the one that counts: where the spec has none, the file's name decides.
    """
    return DesiredActivity(
        key=key,
        terms=_terms(spec, context),
        merchants=_merchants(spec, context),
        source=source,
        generation=spec.generation,
        protect=spec.protect,
        state=spec.state,
        replace=spec.replace,
        # Sorted wherever order means nothing: reordering a list must not look like a change.
        renamed_from=tuple(sorted(spec.renamed_from)),
        adopt=spec.adopt,
    )


def _terms(spec: ActivitySpec, context: SpecContext) -> Terms:
    base, rule, setting = spec.activity_base_info, spec.award_send_rule, spec.advanced_setting
    window = Window(instant_of(base.begin_time, context.timezone), instant_of(base.end_time, context.timezone))
    return Terms(
        activity_name=base.activity_name,
        activity_second_title=base.activity_second_title,
        merchant_logo_url=_image(base.merchant_logo_url, context),
        background_color=base.background_color,
        begin_time=window.begin_time,
        end_time=window.end_time,
        available_time=_available_time(base, window, context.timezone),
        available_day_time=_available_day_time(base),
        delivery_purpose=base.delivery_purpose,
        mini_programs_appid=base.mini_programs_appid,
        mini_programs_path=base.mini_programs_path,
        transaction_amount_minimum=rule.transaction_amount_minimum,
        send_content=rule.send_content,
        award_type=rule.award_type,
        award_list=tuple(
            Award(
                award.stock_id,
                _image(award.original_image_url, context),
                None if award.thumbnail_url is None else _image(award.thumbnail_url, context),
            )
            for award in rule.award_list
        ),
        merchant_option=rule.merchant_option,
        delivery_user_category=setting.delivery_user_category,
        merchant_member_appid=setting.merchant_member_appid,
        # A set to the API, so that their order must not end a campaign.
        goods_tags=tuple(sorted(setting.goods_tags)),
    )


def _available_time(base: ActivityBaseInfoSpec, whole: Window, timezone: tzinfo) -> tuple[Window, ...]:
    windows = sorted(
        Window(instant_of(each.begin_time, timezone), instant_of(each.end_time, timezone))
        for each in base.available_periods.available_time
    )
    # The whole time is the same as no window: else removing it would replace a running campaign.
    return () if windows == [whole] else tuple(windows)


def _available_day_time(base: ActivityBaseInfoSpec) -> tuple[DayWindow, ...]:
    windows = sorted(
        DayWindow(each.begin_day_time, each.end_day_time) for each in base.available_periods.available_day_time
    )
    # As above: the API takes 000000 to 235959 for "no daily limit" (API §1.1).
    return () if windows == [DayWindow(*WHOLE_DAY)] else tuple(windows)


def _image(image: str, context: SpecContext) -> Image:
    if is_url(image):
        return Image(url=image)
    found = context.images[image]
    return Image(sha256=found.sha256 if isinstance(found, LocalImage) else "", path=image)


def _merchants(spec: ActivitySpec, context: SpecContext) -> tuple[str, ...]:
    rule = spec.award_send_rule
    groups = [context.groups[name] or () for name in rule.merchant_groups]
    if len(groups) == 1 and not rule.merchant_id_list:
        return groups[0]  # one tuple for all specs that name only this group
    return tuple(sorted(set(chain(rule.merchant_id_list, *groups))))
