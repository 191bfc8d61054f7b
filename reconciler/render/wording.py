"""The sentences that people read, by code. A second language is a second catalogue.

Templates take the finding's facts by name, and ``key``. Each says what is so, and then what can be done.
"""

from __future__ import annotations

from typing import Final

FINDINGS: Final[dict[str, str]] = {
    "ADOPT_ENDED": (
        "activity {activity_id}, which this spec adopts, has ended. "
        "Remove `adopt` to create a new activity, or remove the spec."
    ),
    "ADOPT_NOT_FOUND": (
        "activity {activity_id}, which this spec adopts, does not exist on this account. "
        "Correct `adopt`, or remove it to create a new activity."
    ),
    "ADOPT_NOT_NEEDED": "the spec already runs as activity {activity_id}; `adopt` can be removed.",
    "ADOPT_NOT_FULL_SEND": (
        "activity {activity_id}, which this spec adopts, is a {activity_type}; "
        "only FULL_SEND_ACT_TYPE can be managed. Remove `adopt`."
    ),
    "ADOPT_NOT_READABLE": (
        "WeChat Pay refuses to show activity {activity_id}, which this spec adopts: {answer}. "
        "It may belong to another merchant. Correct `adopt`, or remove it to create a new activity."
    ),
    "BEGINS_IN_PAST": (
        "it should have begun on {begin_time} Beijing time; it will begin the moment it is created. "
        "If that date is a slip, correct it before anything is applied: terms cannot be edited afterwards."
    ),
    "CREATION_FAILED": (
        "WeChat Pay failed to create activity {activity_id}, and its request number is spent. "
        "Find out why on the merchant platform, then set `generation: {next_generation}` to try again."
    ),
    "GENERATION_NOT_NEEDED": (
        "the same terms already run as activity {activity_id}, generation {generation}; nothing to do."
    ),
    "JOURNAL_NOT_READ": (
        "{problem} What only the journal knows was left out of account: activities that the list hides, and the "
        "`protect` and `adopt` of deleted specs. Nothing is applied until it can be read."
    ),
    "LIVE_TERMS_DIFFER": (
        "activity {activity_id} carries the request number of these terms but shows other ones: "
        "it was not created by paygift as the spec stands. Set `generation: {next_generation}` to replace it."
    ),
    "COUPON_UNUSABLE": (
        "WeChat Pay would refuse it: {problems}. Mend the coupon on the merchant platform, or the spec."
    ),
    "COUPON_TIME_EQUAL": (
        "{doubts}. WeChat Pay asks for coupons that begin before the activity and end after it, "
        "and may refuse this one. Give the coupon or the activity other times."
    ),
    "COUPON_NOT_READABLE": (
        "{unknown}. So nobody knows whether WeChat Pay would take it. Look at the coupon on the merchant platform; one "
        "that belongs to another merchant must be authorised for this one (委托营销)."
    ),
    "ENDS_SOON": (
        "it ends on {end_time} Beijing time, and no other spec with any of its merchants takes over by then. "
        "Write a spec for what comes next, if something does."
    ),
    "FROZEN": (
        "nothing is written until {end_time} Beijing time, by `freeze` in paygift.yaml ({reason}). "
        "Wait, or waive it."
    ),
    "REPLACE_RUNNING": (
        "activity {activity_ids} is running, and `allow_replace_running: false` is set. Undo the edit, or waive it; "
        "merchants can be changed without replacing anything."
    ),
    "TOO_MANY_DELETIONS": (
        "{count} of {before} merchants would be deleted, more than `max_merchant_deletions` ({percent}%) allows. "
        "Look at the merchant group that shrank. If it is meant, waive it."
    ),
    "TOO_MANY_TERMINATIONS": (
        "{count} activities would end without a successor ({keys}), and `max_terminations` allows {allowed}. "
        "Look for specs that were deleted by mistake. If it is meant, waive it."
    ),
    "LOOKS_RENAMED": (
        "this spec has the terms of {former}, whose spec is gone and whose activity {activity_id} would be terminated. "
        "If the file was only renamed, write `renamed_from: [{former}]` in it and nothing ends; if not, waive it."
    ),
    "NO_SPECS": (
        "there are no specs at all, while {managed} managed activities live; all of them would be terminated. "
        "If that is meant, waive it; if not, look at `activities:` in paygift.yaml and at the checkout."
    ),
    "NUMBER_USED": (
        "these terms already ran as activity {activity_id}, which has ended ({activity_status}). What has ended "
        "never comes back by itself: set `generation: {next_generation}` to run them again."
    ),
    "PAUSED": (
        "activity {activity_id} was paused outside paygift. It can be resumed on the merchant platform only."
    ),
    "PROTECTED": (
        "activity {activity_id} is protected and would be terminated. If it is to end, its spec must say so: "
        "`protect: false`, and `state: terminated` where the spec was deleted. Or waive it."
    ),
    "REMOVED_SPEC": (
        "the spec is gone and `on_removed: refuse` is set: {activity_ids} would be terminated. "
        "Restore the spec, set `state: terminated` in it, or waive it."
    ),
    "REMOVED_SPEC_IGNORED": (
        "the spec is gone and `on_removed: ignore` is set: {activity_ids} keeps running."
    ),
    "REPLACES_RUNNING": (
        "activity {activity_ids} is running and will be terminated for ever: its terms cannot be edited, only replaced."
    ),
    "SPEC_ENDED": "its end_time {end_time} has passed; the spec can be removed.",
    "STATUS_UNKNOWN": (
        "activity {activity_id} has the status {activity_status}, which paygift does not know; it is taken to be live."
    ),
    "WAIVER_UNUSED": "--allow {waiver} waived nothing; remove it, so that it does not waive something tomorrow.",
    "TERMS_UNREADABLE": (
        "the terms of {activity_ids} cannot be read, so nothing can be compared. `paygift show {key}` prints them as "
        "WeChat Pay sends them."
    ),
}

NOT_DONE: Final = frozenset(
    {
        "ADOPT_ENDED",
        "ADOPT_NOT_FOUND",
        "ADOPT_NOT_FULL_SEND",
        "ADOPT_NOT_READABLE",
        "CREATION_FAILED",
        "NUMBER_USED",
        "TERMS_UNREADABLE",
    }
)
"""Refusals that leave an activity without operations: a waiver lets the others go on, and does nothing for this one."""

WAIVER: Final = "To waive it: --allow {waiver}"
WAIVER_FOR_OTHERS: Final = "To go on without this one: --allow {waiver}"

TERMINATE_REASONS: Final[dict[str, str]] = {
    "removed": "its spec is gone",
    "state": "its spec says state: terminated",
    "ended": "its spec's end_time has passed",
    "replaced": "its terms have changed",
    "superseded": "its successor is already live",
}

UNDO: Final[dict[str, str]] = {
    "delete_merchants": "the added merchants can be deleted again",
    "add_merchants": "the deleted merchants can be added again",
    "terminate": "the new activity can be ended, and not undone: what customers got until then stays theirs",
    "run_again": "the termination cannot be undone; nearest: a new activity, by the old terms with `generation` raised",
    "nothing": "a picture needs no undoing: it harms nobody",
}

CLOCKS: Final[dict[str, str]] = {
    "begins": "begins in {span} ({at}); its terms cannot be edited once it is created",
    "begun": "its begin_time {at} has passed: it starts at once, and its terms cannot be edited after that",
    "ends": "activity {activity_id} is running, and would end by itself in {span} ({at})",
    "cancelled": "activity {activity_id} has not begun; it would begin in {span} ({at})",
}

CLOCKS_KEPT: Final[dict[str, str]] = {
    **CLOCKS,
    "ends": "activity {activity_id} goes on, only its merchants change; it ends by itself in {span} ({at})",
    "cancelled": "activity {activity_id} stays, only its merchants change; it begins in {span} ({at})",
}
"""The same of an activity that the change does not end."""

IRREVERSIBLE: Final = "a termination cannot be undone"

COVERAGE_GAP: Final = (
    "gap{whose}: nothing is given for {span}, between the termination and the new begin_time"
)
COVERAGE_NONE: Final[dict[str, str]] = {
    "overlap": "no gap{whose}: the old activity ends once the new one is seen; both run for that moment",
    "gap": "no gap{whose} but the moment between the two calls",
    "": "no gap{whose}: nothing that runs is cut short",
}
COVERAGE_WHOSE: Final = " for {merchants}"
COVERAGE_LEFT: Final = (
    "{merchants} no longer ({sample}): nothing for {span}, in which the old activity would have run"
)
COVERAGE_JOINED: Final = "{merchants} newly ({sample}): {begin}"
COVERAGE_BEGINS: Final = "from the new begin_time on"
COVERAGE_BEGUN: Final = "at once"

SUMMARY_ENDS: Final = ", so {count:,} {verb} for ever"

HEADLINE_ENDS: Final = "ends {activity_ids} for ever"
HEADLINE_LEFT: Final = "{merchants} no longer"
HEADLINE_MERCHANTS: Final = "merchants {before} → {after}"
