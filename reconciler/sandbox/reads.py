"""What reads return: the status by the clock, the shapes of API §1.2–§1.4 and §1.7, and pages (API §1.8)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, TypeVar

from reconciler.sandbox import clock
from reconciler.sandbox.api_error import not_found
from reconciler.sandbox.limits import PageAsked
from reconciler.sandbox.memory import Activity, Json, Memory
from reconciler.sandbox.options import SandboxOptions

Row = TypeVar("Row")

CREATED: Final = "CREATE_ACT_STATUS"
ONGOING: Final = "ONGOING_ACT_STATUS"
OVER_TIME: Final = "OVER_TIME_ACT_STATUS"
TERMINATED: Final = "TERMINATE_ACT_STATUS"
PAUSED: Final = "STOP_ACT_STATUS"
FAILED: Final = "CREATE_ACT_FAILED"
BY_CLOCK: Final = frozenset({CREATED, ONGOING, OVER_TIME})


def status_of(activity: Activity, now: datetime, options: SandboxOptions) -> str:
    """``activity_status`` at ``now`` (API §1.7): what was decided for it, else what the clock says.

    A paused activity still expires.
    """
    over = now.timestamp() > activity.end + options.over_time_lag_seconds
    if activity.status and not (activity.status == PAUSED and over):
        return activity.status
    if over:
        return OVER_TIME
    return ONGOING if now.timestamp() >= activity.begin + options.ongoing_lag_seconds else CREATED


def detail(memory: Memory, mchid: str, activity_id: str, now: datetime, options: SandboxOptions) -> Json:
    """API §1.2. Without ``merchant_id_list``: only the merchants endpoint returns it (API §2 F8)."""
    activity = find_owned(memory, mchid, activity_id)
    shown = _element(activity, now, options)
    for name in ("pause_time", "recovery_time"):
        moment = getattr(activity, name)
        if moment is not None:
            shown[name] = clock.beijing(moment)
    return shown | activity.odd


def listing(
    memory: Memory,
    mchid: str,
    asked: PageAsked,
    filters: Mapping[str, str],
    now: datetime,
    options: SandboxOptions,
) -> Json:
    """API §1.7: what ``mchid`` created, filtered, newest first; ``merchant_id_list`` is there and empty."""
    found = [each for each in memory.activities.values() if each.mchid == mchid and _passes(each, filters)]
    if wanted := filters.get("activity_status"):
        found = [each for each in found if status_of(each, now, options) == wanted]
    if options.list_order == "newest_first":
        found.reverse()
    # So in the one real answer that is known (API §1.7).
    rows = [_with_empty_merchants(_element(each, now, options)) for each in _window(found, asked, options)]
    return _page_of(rows, len(found), asked, options)


def merchants(memory: Memory, mchid: str, activity_id: str, asked: PageAsked, options: SandboxOptions) -> Json:
    """API §1.3, in the order in which they were added."""
    activity = find_owned(memory, mchid, activity_id)
    rows = [
        {
            "mchid": each,
            "merchant_name": f"商户{each}",
            "create_time": clock.beijing(added),
            "update_time": clock.beijing(added),
        }
        for each, added in _window(list(activity.merchants.items()), asked, options)
    ]
    return _page_of(rows, len(activity.merchants), asked, options) | {"activity_id": activity_id}


def goods(memory: Memory, mchid: str, activity_id: str, asked: PageAsked, options: SandboxOptions) -> Json:
    """API §1.4: a full-send activity has none."""
    find_owned(memory, mchid, activity_id)
    return _page_of([], 0, asked, options) | {"activity_id": activity_id}


def find_owned(memory: Memory, mchid: str, activity_id: str) -> Activity:
    """The activity, for its creator; for everybody else it does not exist (API §6)."""
    activity = memory.activities.get(activity_id)
    if activity is None or activity.mchid != mchid:
        raise not_found("活动不存在")
    return activity


def full_record(activity: Activity, now: datetime, options: SandboxOptions) -> Json:
    """All that the sandbox knows of an activity, for tests."""
    return {
        "activity_id": activity.activity_id,
        "activity_status": status_of(activity, now, options),
        "out_request_no": activity.out_request_no,
        "mchid": activity.mchid,
        "merchants": sorted(activity.merchants),
        "body": activity.body,
        "item": activity.item,
        "terminations": activity.terminations,
        "create_time": clock.beijing(activity.create_time),
        "update_time": clock.beijing(_update_time(activity, now, options)),
    }


def _passes(activity: Activity, filters: Mapping[str, str]) -> bool:
    name = part(activity.item, "activity_base_info").get("activity_name")
    named = filters.get("activity_name", "") in (name if isinstance(name, str) else "")
    return named and filters.get("award_type") in (None, full_send_rule(activity).get("award_type"))


def part(item: Json, name: str) -> Json:
    """The object of that name; an empty one where something else stands, as activities made elsewhere may have it."""
    found = item.get(name)
    return found if isinstance(found, dict) else {}


def full_send_rule(activity: Activity) -> Json:
    """The rule of a full-send activity; an empty one for any other."""
    return part(part(activity.item, "award_send_rule"), "full_send_rule")


def _element(activity: Activity, now: datetime, options: SandboxOptions) -> Json:
    return {
        "activity_id": activity.activity_id,
        **activity.item,
        "activity_status": status_of(activity, now, options),
        "creator_merchant_id": activity.mchid,
        "belong_merchant_id": activity.mchid,  # the same: its documentation calls it not enabled yet (API §1.2)
        "create_time": clock.beijing(activity.create_time),
        "update_time": clock.beijing(_update_time(activity, now, options)),
        **activity.odd,
    }


def _with_empty_merchants(element: Json) -> Json:
    if not isinstance(element.get("award_send_rule"), dict):
        return element
    rules = {
        name: rule | {"merchant_id_list": []} if isinstance(rule, dict) else rule
        for name, rule in element["award_send_rule"].items()
    }
    return element | {"award_send_rule": rules}


def _update_time(activity: Activity, now: datetime, options: SandboxOptions) -> float:
    """When it last changed; going over the end counts, which no user does (API §1.7)."""
    flips = {
        ONGOING: activity.begin + options.ongoing_lag_seconds,
        OVER_TIME: activity.end + options.over_time_lag_seconds,
    }
    return max(activity.update_time, flips.get(status_of(activity, now, options), 0.0))


def _page_of(rows: Sequence[Any], total: int, asked: PageAsked, options: SandboxOptions) -> dict[str, Any]:
    told = max(total + options.total_count_error, 0)
    page: dict[str, Any] = {"total_count": told, "offset": asked.offset, "limit": asked.limit}
    return page if options.omit_empty_data and not rows else {"data": rows} | page


def _window(rows: Sequence[Row], asked: PageAsked, options: SandboxOptions) -> Sequence[Row]:
    """The rows of one page. With pages from 1, page 0 is the first page once more (API §1.8)."""
    match options.paging:
        case "rows":
            first = asked.offset
        case "pages_from_1":
            first = max(asked.offset - 1, 0) * asked.limit
        case _:
            first = asked.offset * asked.limit
    return rows[first : first + asked.limit]


def public_item(body: Json, options: SandboxOptions) -> Json:
    """What reads will return of a create request: the rule nested one deeper (API §1.2), defaults filled in."""
    rule = {name: value for name, value in body["award_send_rule"].items() if name != "merchant_id_list"}
    return {
        "activity_type": "FULL_SEND_ACT_TYPE",
        "activity_base_info": _public_info(body["activity_base_info"], options),
        "award_send_rule": {"full_send_rule": rule},
        "advanced_setting": _public_setting(body.get("advanced_setting", {}), options),
    }


def _public_info(info: Json, options: SandboxOptions) -> Json:
    shown = {name: value for name, value in info.items() if name != "background_color"}
    colour = info.get("background_color") or options.default_background_color
    if colour:
        shown["background_color"] = colour.upper() if options.background_color_case == "upper" else colour
    return _rewritten(shown) if options.times_returned == "beijing" else shown


def _public_setting(setting: Json, options: SandboxOptions) -> Json:
    category = options.default_delivery_user_category
    return ({"delivery_user_category": category} if category else {}) | setting


def _rewritten(value: Any) -> Any:
    """``value`` with every begin_time and end_time in Beijing time."""
    if isinstance(value, list):
        return [_rewritten(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        name: clock.beijing(clock.parse(each).timestamp()) if name in ("begin_time", "end_time") else _rewritten(each)
        for name, each in value.items()
    }


def missing_from(activity: Activity, asked: Iterable[str]) -> list[str]:
    """Those of ``asked`` that the activity does not have, in the order asked, each once."""
    return [mchid for mchid in dict.fromkeys(asked) if mchid not in activity.merchants]
