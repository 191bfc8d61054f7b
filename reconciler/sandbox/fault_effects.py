"""What faults do to what a request sees and to what comes of it. Pure: memories and transactions in and out.

``faults`` decides whether they strike. Activities which ``late_activity`` left unseen are kept from reads here, too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from reconciler.sandbox import clock, reads, writes
from reconciler.sandbox.faults import READS, Fault
from reconciler.sandbox.memory import (
    Activity,
    Entity,
    HiddenActivity,
    Json,
    Memory,
    RejectedMerchant,
    Transaction,
    UsedNumber,
)

_STRANGER: Final = "1999999999"
"""The merchant whom ``row_appears`` adds."""
_STAY: Final = timedelta(days=30)


def insert_row_before_read(
    memory: Memory, fault: Fault | None, mchid: str, activity_id: str, now: datetime
) -> Transaction:
    """What somebody else does right before a read: a new activity, or one more merchant on an activity, each of
    which the read will list first."""
    if fault is None or fault.kind != "row_appears":
        return Transaction(None)
    if not activity_id:
        return writes.insert(memory, mchid, _stranger(now), [mchid], now)
    activity = memory.activities.get(activity_id)
    if activity is None:
        return Transaction(None)
    # First, so that all other rows move on by one while a client reads pages.
    merchants = {_free(activity): now.timestamp(), **activity.merchants}
    return Transaction(None, (replace(activity, merchants=merchants),))


def change_view(
    memory: Memory, fault: Fault | None, route: str, activity_id: str, body: bytes, now: datetime
) -> Memory:
    """``memory`` as this request sees it."""
    memory = _without_unseen(memory, route, now)
    match fault:
        case Fault(kind="row_vanishes"):
            return _without_first(memory, activity_id)
        case Fault(kind="row_hidden"):
            return memory.without_activities(fault["ids"] or memory.activities)
        case Fault(kind="status_lag"):
            return _with_old_statuses(memory, status_time(fault, now).timestamp())
        case Fault(kind="invalid_merchants"):
            named = fault["merchants"] or _named(body)[-1:]
            return memory.with_entities(*(RejectedMerchant(each, fault["reason"]) for each in named))
    return memory


def status_time(fault: Fault | None, now: datetime) -> datetime:
    """The moment as of which this request sees statuses."""
    match fault:
        case Fault(kind="status_lag"):
            return now - timedelta(seconds=fault["seconds"])
    return now


def count_read(memory: Memory, route: str, activity_id: str) -> Transaction:
    """Count a read: each brings unseen activities nearer to being seen."""
    place = _place(route)
    entities = [
        replace(each, reads={**each.reads, place: each.reads[place] - 1})
        for each in memory.unseen.values()
        if each.reads.get(place, 0) > 0 and (place == "list" or each.activity_id == activity_id)
    ]
    return Transaction(None, tuple(entities))


def change_transaction(memory: Memory, transaction: Transaction, fault: Fault | None, now: datetime) -> Transaction:
    """``transaction`` as it really happens. ``memory`` is as it was before."""
    match fault:
        case Fault(kind="create_fails"):
            return _changed(transaction, status=reads.FAILED)
        case Fault(kind="half_add" | "half_delete"):
            return _halved(memory, transaction, spent=fault["number"] == "spent")
        case Fault(kind="late_activity"):
            late = [_unseen(each, fault, now) for each in _activities(transaction)]
            return replace(transaction, entities=(*transaction.entities, *late))
    return transaction


def _place(route: str) -> str:
    return {"list": "list"}.get(route, "detail" if route in READS else "")


def _without_unseen(memory: Memory, route: str, now: datetime) -> Memory:
    place = _place(route)
    hidden = [
        each.activity_id
        for each in memory.unseen.values()
        if each.until.get(place, 0.0) > now.timestamp() or each.reads.get(place, 0) > 0
    ]
    return memory.without_activities(hidden) if hidden else memory


def _without_first(memory: Memory, activity_id: str) -> Memory:
    """Of the list the newest activity is missing, of an activity the merchant that it has had longest."""
    if not activity_id:
        # The newest comes first in the list, unless an option turns it round.
        return memory.without_activities(list(memory.activities)[-1:])
    activity = memory.activities.get(activity_id)
    if activity is None:
        return memory
    rest = dict(list(activity.merchants.items())[1:])
    return memory.with_entities(replace(activity, merchants=rest))


def _with_old_statuses(memory: Memory, moment: float) -> Memory:
    """Statuses that were decided after ``moment`` are left to the clock again."""
    fresh = [
        replace(each, status="", update_time=moment)
        for each in memory.activities.values()
        if each.status and _decided(each) > moment
    ]
    return memory.with_entities(*fresh)


def _decided(activity: Activity) -> float:
    known = {reads.TERMINATED: activity.terminate_time, reads.PAUSED: activity.pause_time}
    return known.get(activity.status) or activity.update_time


def _named(body: bytes) -> list[str]:
    """The merchants that a create or an add names; none if it is not in order, which gets refused in any case."""
    try:
        content = json.loads(body)
        rule = content.get("award_send_rule", content)
        return [each for each in rule["merchant_id_list"] if isinstance(each, str)]
    except (ValueError, RecursionError, TypeError, KeyError, AttributeError):
        return []


def _halved(memory: Memory, transaction: Transaction, *, spent: bool) -> Transaction:
    """Only the first half of the merchants, rounded down, gets added or deleted; the answer does not tell. Whether
    the request's number counts as used all the same is ``spent``."""
    entities: list[Entity] = [each for each in transaction.entities if spent or not isinstance(each, UsedNumber)]
    effects = []
    for activity in _activities(transaction):
        before = memory.activities[activity.activity_id].merchants
        touched = transaction.effects[0].merchants
        kept = touched[: len(touched) // 2]
        entities.remove(activity)
        if kept:
            merchants = _half(before, activity.merchants, kept)
            entities.append(replace(activity, merchants=merchants))
            effects.append(replace(transaction.effects[0], merchants=kept))
    return replace(transaction, entities=tuple(entities), effects=tuple(effects))


def _half(before: Mapping[str, float], after: Mapping[str, float], touched: tuple[str, ...]) -> dict[str, float]:
    if len(after) > len(before):
        return {each: added for each, added in after.items() if each in before or each in touched}
    return {each: added for each, added in before.items() if each not in touched}


def _activities(transaction: Transaction) -> list[Activity]:
    return [each for each in transaction.entities if isinstance(each, Activity)]


def _changed(transaction: Transaction, **changes: Any) -> Transaction:
    entities = [replace(each, **changes) if isinstance(each, Activity) else each for each in transaction.entities]
    return replace(transaction, entities=tuple(entities))


def _unseen(activity: Activity, fault: Fault, now: datetime) -> HiddenActivity:
    """Neither seconds nor reads: the first read of each place misses it."""
    seconds, count = fault["seconds"], fault["reads"]
    if seconds is None and count is None:
        count = 1
    places = ("list", "detail") if fault["where"] == "both" else (fault["where"],)
    return HiddenActivity(
        activity.activity_id,
        until=dict.fromkeys(places, now.timestamp() + (seconds or 0.0)),
        reads=dict.fromkeys(places, count or 0),
    )


def _free(activity: Activity) -> str:
    number = int(_STRANGER)
    while str(number) in activity.merchants:
        number -= 1
    return str(number)


def _stranger(now: datetime) -> Json:
    """An activity as the web page makes them: without a request number of ours."""
    return {
        "activity_type": "FULL_SEND_ACT_TYPE",
        "activity_base_info": {
            "activity_name": "别处建的活动",
            "activity_second_title": "沙箱",
            "begin_time": clock.beijing(now.timestamp()),
            "end_time": clock.beijing((now + _STAY).timestamp()),
            "delivery_purpose": "OFF_LINE_PAY",
        },
        "award_send_rule": {"full_send_rule": {"transaction_amount_minimum": 100}},
        "advanced_setting": {"delivery_user_category": "DELIVERY_ALL_PERSON"},
    }
