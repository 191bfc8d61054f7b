"""The rules: what each write does to the memory, and what it answers (API §1.1, §1.5, §1.6, §1.10, §2, §3.2, §4).

Pure: a function takes the memory, the caller's mchid, the request and the business clock's ``now``, and returns a
``Transaction``, or raises an ``ApiErrorResponse``. Nothing is changed here; ``world`` commits the transaction.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final, Literal

from reconciler.sandbox import clock, limits, reads, stocks
from reconciler.sandbox.api_error import NUMBER_REUSED, ApiErrorResponse, invalid_request, not_found, param_error
from reconciler.sandbox.images import check_images
from reconciler.sandbox.memory import (
    Activity,
    Brand,
    Effect,
    Entity,
    GlobalState,
    Json,
    Memory,
    RejectedMerchant,
    Transaction,
    UsedNumber,
)
from reconciler.sandbox.options import SandboxOptions

_INSERTED_TEXTS: Final = ("activity_id", "activity_status", "creator_merchant_id", "belong_merchant_id")
_INSERTED_TIMES: Final = ("create_time", "update_time", "pause_time", "recovery_time")
_ALWAYS: Final = (0.0, 253_000_000_000.0)
"""When an activity runs whose begin and end cannot be read, in Unix seconds."""

FIRST_ACTIVITY_ID: Final = 20406354
"""Where activity ids start: all known ones have eight digits (API §1.1)."""


def create(memory: Memory, mchid: str, body: Json, now: datetime, options: SandboxOptions) -> Transaction:
    """Create a full-send activity (API §1.1).

    The number is looked at before any rule that depends on time or on the memory, so that repeating a request
    gives the same answer however late it comes (API §1.10).
    """
    limits.check_create(body, options)
    info = body["activity_base_info"]
    number = info["out_request_no"]
    if (used := memory.used("create", mchid, number)) is not None:
        return _repeated(used, body)
    _check_open(info, now, options)
    check_images(memory, body, options)
    stocks.check_coupons(memory, body, options)
    at = now.timestamp()
    activity = Activity(
        activity_id=_free_id(memory),
        mchid=mchid,
        out_request_no=number,
        item=reads.public_item(body, options),
        body=body,
        merchants=dict.fromkeys(body["award_send_rule"]["merchant_id_list"], at),
        begin=clock.parse(info["begin_time"]).timestamp(),
        end=clock.parse(info["end_time"]).timestamp(),
        create_time=at,
        update_time=at,
    )
    answer = {"activity_id": activity.activity_id, "create_time": clock.beijing(at)}
    remembered = UsedNumber("create", mchid, number, _digest(body), answer)
    effect = _effect("created", activity, number, activity.merchants, now)
    return Transaction(answer, (activity, remembered, memory.state_after_ids()), (effect,))


def terminate(memory: Memory, mchid: str, activity_id: str, now: datetime, options: SandboxOptions) -> Transaction:
    """End an activity permanently (API §1.5). What happens to one that has ended is a guess."""
    activity = reads.find_owned(memory, mchid, activity_id)
    status = reads.status_of(activity, now, options)
    if status == reads.TERMINATED and options.repeated_terminate == "accept":
        # Counted, though nothing happens, so that a client that ends an activity twice shows.
        again = replace(activity, terminations=activity.terminations + 1)
        return Transaction(_terminate_answer(again), (again,))
    _check_not_ended(status)
    at = now.timestamp()
    ended = replace(
        activity,
        status=reads.TERMINATED,
        terminate_time=at,
        update_time=at,
        terminations=activity.terminations + 1,
    )
    return Transaction(_terminate_answer(ended), (ended,), (_effect("terminated", ended, "", (), now),))


def add_merchants(
    memory: Memory, mchid: str, activity_id: str, body: Json, now: datetime, options: SandboxOptions
) -> Transaction:
    """Add merchants (API §1.6): those that pass are added, the others are listed, and both with 200."""
    limits.check_merchant_change("add", body, options)
    activity = reads.find_owned(memory, mchid, activity_id)
    # A number is the merchant's and not the activity's, so the digest must hold the activity.
    if (used := memory.used("add", mchid, body["add_request_no"])) is not None:
        return _repeated(used, [activity_id, body])
    _check_not_ended(reads.status_of(activity, now, options))
    reasons = _reasons(memory, activity, body["merchant_id_list"], options)
    invalid = {each: reason for each, reason in reasons.items() if reason}
    if invalid.keys() == reasons.keys() and options.all_invalid_add == "refuse":
        raise invalid_request("、".join(sorted(set(invalid.values()))))
    added = reads.missing_from(activity, [each for each, reason in reasons.items() if not reason])
    answer: Json = {
        "activity_id": activity_id,
        "invalid_merchant_id_list": [{"mchid": each, "invalid_reason": reason} for each, reason in invalid.items()],
    }
    # With nobody added, add_time is missing: a guess (API §1.6).
    if invalid.keys() != reasons.keys():
        answer["add_time"] = clock.beijing(now.timestamp())
    merchants = dict(activity.merchants) | dict.fromkeys(added, now.timestamp())
    return _changed("add", activity, merchants, added, body, answer, now)


def delete_merchants(
    memory: Memory, mchid: str, activity_id: str, body: Json, now: datetime, options: SandboxOptions
) -> Transaction:
    """Delete merchants (API §1.6). No answer tells which of them were there."""
    limits.check_merchant_change("delete", body, options)
    activity = reads.find_owned(memory, mchid, activity_id)
    if (used := memory.used("delete", mchid, body["delete_request_no"])) is not None:
        return _repeated(used, [activity_id, body])
    _check_not_ended(reads.status_of(activity, now, options))
    asked = body["merchant_id_list"]
    if options.absent_merchant_delete == "refuse" and reads.missing_from(activity, asked):
        raise invalid_request("发券商户号不在活动中")
    left = {each: added for each, added in activity.merchants.items() if each not in set(asked)}
    if not left and options.last_merchant_delete == "refuse":
        raise invalid_request("活动至少需要保留一个发券商户号")
    deleted = [each for each in dict.fromkeys(asked) if each in activity.merchants]
    answer = {"activity_id": activity_id, "delete_time": clock.beijing(now.timestamp())}
    return _changed("delete", activity, left, deleted, body, answer, now)


def create_stock(memory: Memory, mchid: str, body: Json, now: datetime) -> Transaction:
    """Create a 商家券 batch (API §3.2). Unlike an activity's, its number cannot be used again at all."""
    limits.check_stock(body)
    if memory.used("stock", mchid, body["out_request_no"]) is not None:
        raise ApiErrorResponse(400, "RESOURCE_ALREADY_EXISTS", "商户请求单号已存在")
    stock = stocks.created(memory, body)
    answer = {"stock_id": stock.stock_id, "create_time": clock.beijing(now.timestamp())}
    remembered = UsedNumber("stock", mchid, body["out_request_no"], _digest(body), answer)
    return Transaction(answer, (stock, remembered, memory.state_after_ids()))


def stock(memory: Memory, stock_id: str) -> Json:
    """Query a 商家券 batch (API §3.1)."""
    found = memory.stocks.get(stock_id)
    if found is None:
        raise not_found("批次不存在")
    return found.content


# What people and tests do to the service from behind: none of it is in the API.

PlatformAction = Literal["pause", "resume", "fail_creation"]


def platform_action(
    memory: Memory, action: PlatformAction, activity_id: str, now: datetime, options: SandboxOptions
) -> Transaction:
    """Pause or resume an activity, as the web page can, or let its creation fail after the fact (API §1.7)."""
    activity = memory.activities.get(activity_id)
    if activity is None:
        raise not_found("活动不存在")
    status = reads.status_of(activity, now, options)
    at = now.timestamp()
    running = (reads.CREATED, reads.ONGOING)
    rules: dict[PlatformAction, tuple[tuple[str, ...], Json]] = {
        "pause": (running, {"status": reads.PAUSED, "pause_time": at}),
        "resume": ((reads.PAUSED,), {"status": "", "recovery_time": at}),
        "fail_creation": ((*running, reads.PAUSED), {"status": reads.FAILED}),
    }
    fits, changes = rules[action]
    if status not in fits:
        raise invalid_request(f"{action} does not fit an activity in {status}")
    return Transaction(None, (replace(activity, update_time=at, **changes),))


def insert(memory: Memory, mchid: str, item: Any, merchants: Sequence[str], now: datetime) -> Transaction:
    """Put in an activity that was made elsewhere, shaped like an element of the list (API §1.7).

    ``activity_id``, times and creator are filled in where they are missing, and any other field is kept as it is, odd
    values included: reads show them as they were put in, and the rules take an activity without times to run always.
    A status that the clock decides is left to the clock. Its number, if it has one, counts as used.
    """
    if not isinstance(item, dict):
        raise param_error("活动应为对象", "/body/item")
    activity = _inserted(memory, mchid, item, merchants, now)
    entities: list[Entity] = [activity, memory.state_after_ids()]
    if activity.out_request_no:
        answer = {"activity_id": activity.activity_id, "create_time": clock.beijing(activity.create_time)}
        # No digest is "inserted", so a create under this number always differs from what used it.
        entities.append(UsedNumber("create", activity.mchid, activity.out_request_no, "inserted", answer))
    return Transaction(activity.activity_id, tuple(entities))


def seed(memory: Memory, asked: list[Json], mchid: str, now: datetime, *, only_missing: bool = False) -> Transaction:
    """Put in 商家券 batches; one with a known stock_id replaces it, or gives way to it. Answers the ids of the new."""
    if only_missing:
        asked = [stock for stock in asked if stock.get("stock_id") not in memory.stocks]
    made = stocks.seeded(memory, asked, mchid=mchid, now=now)
    new = [each.stock_id for each in made if each.stock_id not in memory.stocks]
    return Transaction(new, (*made, memory.state_after_ids(len(made))))


def declare(mchid: str, reason: str) -> Transaction:
    """Let ``mchid`` fail rule validation with ``reason`` from now on; an empty reason lets it pass again."""
    return Transaction(None, (RejectedMerchant(mchid, reason),))


def add_brand(memory: Memory, merchants: Sequence[str]) -> Transaction:
    """Register merchants as one brand (API §2 F11)."""
    brand = Brand(f"brand-{memory.global_state.made + 1}", sorted(set(merchants)))
    return Transaction(None, (brand, memory.state_after_ids()))


def set_clock(memory: Memory, text: str, real: datetime) -> Transaction:
    """Set the business clock; see ``clock.moved`` for what ``text`` may be."""
    try:
        offset = clock.moved(text, real=real, offset=memory.global_state.offset)
    except ValueError as error:
        raise param_error(str(error)) from None
    return Transaction(None, (replace(memory.global_state, offset=offset),))


def emptied(memory: Memory) -> GlobalState:
    """What outlives a reset: how many ids were given out, so that no id or image URL ever comes twice."""
    return GlobalState(made=memory.global_state.made)


def _repeated(used: UsedNumber, request: Any) -> Transaction:
    """The answer to a number's second use (API §1.10)."""
    if used.digest != _digest(request):
        raise invalid_request(NUMBER_REUSED)
    return Transaction(used.answer)


def _check_open(info: Json, now: datetime, options: SandboxOptions) -> None:
    """What of create depends on the moment: API §0.3, and the time rules of §1.1."""
    if options.create_closed:
        raise ApiErrorResponse(403, "NO_AUTH", "商户未被授权")
    end = clock.parse(info["end_time"])
    pointer = "/body/activity_base_info/end_time"
    if end - now >= limits.FARTHEST_END:
        raise param_error("活动最长可配置到1年以内", pointer, info["end_time"])
    if end <= now and options.create_ended == "refuse":
        raise param_error("活动结束时间应晚于当前时间", pointer, info["end_time"])


def _check_not_ended(status: str) -> None:
    messages = {
        reads.TERMINATED: "活动已终止",
        reads.OVER_TIME: "活动已过期",
        reads.FAILED: "活动创建失败",
    }
    if status in messages:
        raise invalid_request(messages[status])


def _terminate_answer(activity: Activity) -> Json:
    when = activity.terminate_time if activity.terminate_time is not None else activity.update_time
    return {"activity_id": activity.activity_id, "terminate_time": clock.beijing(when)}


def _reasons(memory: Memory, activity: Activity, asked: Sequence[str], options: SandboxOptions) -> dict[str, str]:
    """For each mchid, why it cannot be added to ``activity``, or empty."""
    reason = stocks.merchant_rule(memory, _owners(memory, activity), options)
    present = "商户号已在活动中" if options.present_merchant_add == "reject" else ""
    return {each: present if each in activity.merchants else reason(each) for each in asked}


def _owners(memory: Memory, activity: Activity) -> list[str]:
    """The belong merchants of an activity's coupons, as far as they are known here."""
    awards = reads.full_send_rule(activity).get("award_list")
    ids = [each.get("stock_id") for each in awards if isinstance(each, dict)] if isinstance(awards, list) else []
    known = [memory.stocks[each] for each in ids if isinstance(each, str) and each in memory.stocks]
    return [each.content["belong_merchant"] for each in known]


def _changed(
    action: Literal["add", "delete"],
    activity: Activity,
    merchants: Mapping[str, float],
    touched: Sequence[str],
    body: Json,
    answer: Json,
    now: datetime,
) -> Transaction:
    """The transaction of a merchant change: without effect if it touched nobody."""
    number = body[f"{action}_request_no"]
    used = UsedNumber(action, activity.mchid, number, _digest([activity.activity_id, body]), answer)
    # Its number is spent all the same.
    if not touched:
        return Transaction(answer, (used,))
    changed = replace(activity, merchants=merchants, update_time=now.timestamp())
    effect = _effect("merchants added" if action == "add" else "merchants deleted", activity, number, touched, now)
    return Transaction(answer, (changed, used), (effect,))


def _inserted(memory: Memory, mchid: str, item: Json, merchants: Sequence[str], now: datetime) -> Activity:
    own = {*_INSERTED_TEXTS, *_INSERTED_TIMES}
    at = {name: moment for name in _INSERTED_TIMES if (moment := clock.seconds(item.get(name))) is not None}
    texts = {name: item[name] for name in _INSERTED_TEXTS if isinstance(item.get(name), str)}
    created = at.get("create_time", now.timestamp())
    info = reads.part(item, "activity_base_info")
    begin, end = clock.seconds(info.get("begin_time")), clock.seconds(info.get("end_time"))
    status, number = texts.get("activity_status", ""), info.get("out_request_no")
    return Activity(
        activity_id=texts.get("activity_id") or _free_id(memory),
        mchid=texts.get("creator_merchant_id") or mchid,
        out_request_no=number if isinstance(number, str) else "",
        item={name: value for name, value in item.items() if name not in own},
        body={},
        merchants=dict.fromkeys(merchants, created),
        begin=_ALWAYS[0] if begin is None else begin,
        end=_ALWAYS[1] if end is None else end,
        create_time=created,
        update_time=at.get("update_time", created),
        status="" if status in reads.BY_CLOCK else status,
        pause_time=at.get("pause_time"),
        recovery_time=at.get("recovery_time"),
        odd={name: item[name] for name in sorted(own - at.keys() - texts.keys()) if name in item},
    )


def _free_id(memory: Memory) -> str:
    return stocks.free_id(FIRST_ACTIVITY_ID + memory.global_state.made + 1, memory.activities)


def _effect(effect: str, activity: Activity, number: str, merchants: Any, now: datetime) -> Effect:
    return Effect(effect, activity.activity_id, number, tuple(merchants), clock.beijing(now.timestamp()))


def _digest(request: Any) -> str:
    """What makes two requests the same: the parsed JSON, not its spelling. Texts count as they were sent."""
    return hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()
