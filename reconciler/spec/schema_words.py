"""What an editor shows beside a key: its meaning, its unit, its default where a type cannot say it."""

from __future__ import annotations

from typing import Final

_PICTURE: Final = (
    "An https:// URL, used as it is, or a picture in the project, uploaded when the plan is applied"
)
_TIME: Final = "such as 2026-12-01T00:00:00+08:00; without an offset in the project's `timezone`"
_DAY_TIME: Final = "six digits HHMMSS, Beijing time"

AUTHORED: Final[dict[str, dict[str, str]]] = {
    "ActivitySpec": {
        "key": "The activity's name here, once in the project. Default: the file's name without its ending.",
        "generation": "Raise it to run the same terms again after the activity was terminated.",
        "protect": "Refuse to terminate or replace it, even once this file is deleted.",
        "state": "`terminated` ends the activity permanently, and leaves the file as the record.",
        "renamed_from": "Keys that this activity had before: nothing ends because a file or key was renamed.",
        "adopt": "The activity_id of an activity that was created elsewhere and is to be taken over.",
        "replace": "What comes first when the terms change: a moment with two gifts, or a moment with none.",
        "activity_base_info": "What the activity is called, what it looks like, and when it runs.",
        "award_send_rule": "From which order amount on what is given, and whose payers get it.",
        "advanced_setting": "Who gets it: everybody or members, any order or only tagged goods.",
    },
    "ActivityBaseInfoSpec": {
        "activity_name": "1 to 10 characters, as customers see them.",
        "activity_second_title": "1 to 9 characters, as customers see them.",
        "merchant_logo_url": f"{_PICTURE}. JPG, PNG or BMP.",
        "background_color": "Default: WeChat Pay's own.",
        "begin_time": f"When it begins, {_TIME}. If that is past, it starts at once.",
        "end_time": f"When it ends, {_TIME}. At most 90 days after begin_time.",
        "available_periods": "When, inside the activity, coupons are given. Default: all the time.",
        "delivery_purpose": "Bring people back to the shop, or lead them to a mini program.",
        "mini_programs_appid": "With delivery_purpose: JUMP_MINI_APP, and only then.",
        "mini_programs_path": "With delivery_purpose: JUMP_MINI_APP, and only then.",
    },
    "AvailablePeriodsSpec": {
        "available_time": "Spans of dates and times, at most 6, inside the activity.",
        "available_day_time": "Daily spans, at most 6. One over midnight is written as two.",
    },
    "AvailableTimeSpec": {"begin_time": f"From, {_TIME}.", "end_time": f"Until, {_TIME}."},
    "AvailableDayTimeSpec": {"begin_day_time": f"From, {_DAY_TIME}.", "end_day_time": f"Until, {_DAY_TIME}."},
    "AwardSendRuleSpec": {
        "transaction_amount_minimum": "The least amount of the order in whole fen: ¥1.00 is 100.",
        "send_content": "One coupon, or a package of 3 to 5.",
        "award_type": "The API gives only 商家券.",
        "award_list": "Exactly 1 coupon for SINGLE_COUPON, 3 to 5 for GIFT_PACKAGE.",
        "merchant_option": "No other value works for 商家券.",
        "merchant_groups": "Groups of paygift.yaml, whose payers get the coupon.",
        "merchant_id_list": "Merchants whose payers get the coupon, united with the groups.",
    },
    "AwardItemSpec": {
        "stock_id": "批次号: the coupon (商家券), which must exist already.",
        "original_image_url": f"{_PICTURE}. JPG or PNG, recommended 678 × 232.",
        "thumbnail_url": f"{_PICTURE}. JPG or PNG, recommended 120 × 120. Required in a package.",
    },
    "AdvancedSettingSpec": {
        "delivery_user_category": "Everybody, or members only.",
        "merchant_member_appid": "With delivery_user_category: DELIVERY_MEMBER_PERSON, and only then.",
        "goods_tags": "The order must carry one of these. Default: any order.",
    },
    "ProjectFile": {
        "namespace": "Marks what this repository owns on the account. Do not change it while activities live.",
        "account": "The 商户号 that this project belongs to: credentials of another account are refused.",
        "timezone": "IANA name, for times that are written without an offset.",
        "activities": "The folder of the specs, searched recursively.",
        "defaults": "What every spec begins with, and may say otherwise.",
        "merchant_groups": "Lists of merchants in text files: one number a line.",
        "brands": "Which merchants belong together: those of an activity must be of one brand.",
        "policy": "What a plan may do without asking.",
        "notify": "Who is told what came of an apply.",
    },
    "NotifySection": {
        "kind": "A group robot of WeCom (企业微信), or any webhook.",
        "url_from": "The environment variable that holds the address. The address itself is a secret.",
        "on": "What to tell of. Default: all of it.",
    },
    "BrandSection": {"merchants": "Merchants of the brand.", "merchant_groups": "Groups of the brand."},
    "PolicySection": {
        "on_removed": "What becomes of a running activity whose spec was deleted.",
        "max_terminations": (
            "More activities may not end without a successor in one plan. Default: 1, or a fifth of those that live."
        ),
        "max_replacements_running": "More that have begun may not be replaced in one plan. Default: no limit.",
        "max_merchant_deletions": (
            "More percent of an activity's merchants may not lose its gift in one plan, deleted or left out."
        ),
        "allow_replace_running": "Whether new terms may replace an activity that has begun.",
        "freeze": "Spans in which nothing is written.",
        "warn_before_end": "Warn of what ends within so many days while nothing takes over.",
    },
    "FreezeSection": {
        "begin_time": f"From, {_TIME}.",
        "end_time": f"Until, {_TIME}.",
        "reason": "What it is for, such as 双十一.",
    },
}
"""By model and field of ``spec``."""
