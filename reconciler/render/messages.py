"""The sentences that people read, by code. A second language is a second catalogue.

Templates take the finding's facts by name, and ``key``. Each says what is so, and then what can be done.
"""

from __future__ import annotations

from typing import Final

# By code, so that the sentence in a plan file can be held against what this paygift says.
FINDINGS: Final[dict[str, str]] = {
    "ADOPT_FOREIGN": (
        "activity {activity_id}, which this spec adopts, belongs to the namespace {namespace}: another "
        "project manages it, so this one never changes it. Correct `adopt`, or have that project release it."
    ),
    "ADOPT_NOT_EXPRESSIBLE": (
        "activity {activity_id}, which this spec adopts, has values that a spec cannot express ({fields}), so it "
        "would be replaced: ended permanently, and created again as the spec says. Remove `adopt` to leave it "
        "unmanaged; or, if it is to be replaced, write `generation: 2`."
    ),
    "ADOPT_OWNED": (
        "activity {activity_id}, which this spec adopts, belongs to the spec {owner} of this project. "
        "Remove `adopt`, or remove that spec and write `renamed_from: [{owner}]` here."
    ),
    "ADOPTION_GIVEN_UP": (
        "the spec that adopted {activity_ids} was deleted. The activity keeps running and is unmanaged again; "
        "to end it, restore the spec with `state: terminated`."
    ),
    "CREATE_UNPROVEN": (
        "`terminate_first` would end a running activity before its successor exists, and the create that "
        "follows may fail: {reasons}. Remove `replace: terminate_first`: then the new activity is created "
        "first, and both give the gift for a moment."
    ),
    "LOOKS_REPLACED": (
        "this spec has most of the merchants of {former}, whose file was deleted; {activity_ids} {fate}. If the file "
        "was renamed and edited, write `renamed_from: [{former}]` in it, so that its history stays together."
    ),
    "PROTECTION_REMOVED": (
        "activity {activity_id} was protected, and this change both removes its protection and ends it."
    ),
    "PROTECT_NOT_MARKED": (
        "`protect` was written after activity {activity_id} was created, so its request number does not "
        "show it. Until an apply has recorded it in the journal, deleting the spec ends the activity "
        "like any other."
    ),
    "REVIEWED_AS_REFUSED": (
        "it was refused when the plan was reviewed ({reasons}), and is not refused now: nobody has "
        "reviewed its operations. Plan again, and have the new plan reviewed."
    ),
    "SUCCESSOR_UNFIT": (
        "{activity_ids} would end, but its successor gives nothing: {why}. Fix that first (resume "
        "it on the merchant platform, or run its terms as a new activity with a higher `generation`), or waive it."
    ),
    "TOO_MANY_REPLACEMENTS": (
        "{count} running activities would be replaced ({keys}), and `max_replacements_running` allows {allowed}. "
        "Split the change, or waive it if it is intended."
    ),
    "WINDOW_NEVER_OPENS": (
        "the daily window {windows} lies outside every span in which the activity runs: nothing is ever given in it. "
        "Correct available_day_time or available_time."
    ),
    "ACCOUNT_NOT_NAMED": (
        "paygift.yaml does not say which account this project belongs to, so credentials of any account are accepted. "
        'If these are the right ones, write `account: "{mchid}"` in it.'
    ),
    "ADOPT_AMBIGUOUS": (
        "this spec already runs as activity {kept_id}, and adopts {activity_id}, which has the same terms: one of the "
        "two would end. Remove `adopt`, or the number that does not belong here."
    ),
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
        "WeChat Pay refuses to show activity {activity_id}, which this spec adopts: {reason}. "
        "It may belong to another merchant. Correct `adopt`, or remove it to create a new activity."
    ),
    "BEGINS_IN_PAST": (
        "it should have begun on {begin_time} Beijing time; it will begin the moment it is created. "
        "If that date is a mistake, correct it before anything is applied: terms cannot be edited afterwards."
    ),
    "CREATION_FAILED": (
        "WeChat Pay failed to create activity {activity_id}, and its request number is spent. "
        "Find out why on the merchant platform, then set `generation: {next_generation}` to try again."
    ),
    "GENERATION_NOT_NEEDED": (
        "the same terms already run as activity {activity_id}, generation {generation}; nothing to do."
    ),
    "IMAGES_DIFFER": (
        "activity {activity_id} shows {live} where the images of this spec were uploaded to {uploaded} ({fields}). It "
        "was created from another machine, or not by paygift: open both and compare. If they differ, set "
        "`generation: {next_generation}` to replace it."
    ),
    "JOURNAL_NOT_READ": (
        "{problem} What only the journal knows is missing: activities that the list hides, and the "
        "`protect` and `adopt` of deleted specs. Nothing is applied until it can be read."
    ),
    "LIVE_TERMS_DIFFER": (
        "activity {activity_id} carries the request number of these terms but shows other ones ({fields}): it was "
        "not created by paygift as the spec stands. Nothing about it is changed, merchants included. Set "
        "`generation: {next_generation}` to replace it."
    ),
    "COUPON_UNUSABLE": (
        "WeChat Pay would refuse it: {problems}. Fix the coupon on the merchant platform, or the spec."
    ),
    "COUPON_TIME_EQUAL": (
        "{doubts}. WeChat Pay requires coupons that begin before the activity and end after it, "
        "and may refuse this one. Change the times of the coupon or of the activity."
    ),
    "COUPON_NOT_READABLE": (
        "{unknown}, so it is unknown whether WeChat Pay would accept it. Check it on the merchant platform; one "
        "that belongs to another merchant must be authorised for this one (委托营销)."
    ),
    "ENDS_SOON": (
        "it ends on {end_time} Beijing time, and for {count} of its {of} merchants no other activity "
        "follows within a day. Write a spec for the next one, if there is one."
    ),
    "FROZEN": (
        "nothing is written until {end_time} Beijing time, by `freeze` in paygift.yaml ({reason}). Wait, or waive it."
    ),
    "REPLACE_RUNNING": (
        "activity {activity_ids} is running, and `allow_replace_running: false` is set. Undo the edit, or waive it; "
        "merchants can be changed without replacing anything."
    ),
    "TOO_MANY_DELETIONS": (
        "{count} of {before} merchants would lose this gift, more than `max_merchant_deletions` ({percent}%) allows. "
        "Look at the merchant group that shrank. If this is intended, waive it."
    ),
    "TOO_MANY_TERMINATIONS": (
        "{count} activities would end without a successor ({keys}), and `max_terminations` allows {allowed}. "
        "Look for specs that were deleted by mistake. If this is intended, waive it."
    ),
    "LOOKS_RENAMED": (
        "this spec has the terms of {former}, whose file was deleted; {activity_ids} {fate}. "
        "If the file was only renamed, write `renamed_from: [{former}]` in it and nothing ends; if not, waive it."
    ),
    "NO_SPECS": (
        "there are no specs at all, but {managed} managed activities are live; all of them would be terminated. "
        "If this is intended, waive it; if not, look at `activities:` in paygift.yaml and at the checkout."
    ),
    "NUMBER_USED": (
        "these terms already ran as activity {activity_id}, which has ended ({activity_status}). What has ended "
        "never comes back by itself: set `generation: {next_generation}` to run them again."
    ),
    "PAUSED": (
        "activity {activity_id} was paused outside paygift, and gives nothing. It can be resumed on the merchant "
        "platform; to run the same terms as a new activity instead, set `generation: {next_generation}`."
    ),
    "PROTECTED": (
        "activity {activity_id} is protected and would be terminated. Put the spec back as it was. "
        "If the activity shall really end, write `protect: false` and `state: terminated` in it; or waive it."
    ),
    "REMOVED_SPEC": (
        "the file was deleted and `on_removed: refuse` is set: {activity_ids} would be terminated. "
        "Restore the spec, set `state: terminated` in it, or waive it."
    ),
    "REMOVED_SPEC_IGNORED": ("the file was deleted and `on_removed: ignore` is set: {activity_ids} keeps running."),
    "REPLACES_RUNNING": (
        "activity {activity_ids} is running and will be terminated permanently: its terms cannot be edited, only "
        "replaced."
    ),
    "SPEC_ENDED": "its end_time {end_time} has passed; the spec can be removed.",
    "STATUS_UNKNOWN": (
        "activity {activity_id} has the status {activity_status}, which paygift does not know; it is treated as live."
    ),
    "WAIVER_UNUSED": (
        "--allow {waiver} waives nothing here. Remove it: it might later waive a refusal that nobody has reviewed."
    ),
    "TERMS_UNREADABLE": (
        "the terms of {activity_ids} cannot be read, so nothing can be compared. `paygift show {key}` prints them as "
        "WeChat Pay sends them."
    ),
}

HOLDS_ALL: Final = "Holds the whole plan: nothing is applied."
HOLDS: Final = "Holds {key}{others}{rest}."
HOLDS_OTHERS: Final = ", and with it {keys}"
HOLDS_REST: Final = "; the rest is applied"
REFUSED: Final = "Refused: held back until fixed or waived"
REFUSED_ALL: Final = "Refused: apply stops here"
SUMMARY_STOPS: Final = "Apply would stop at {refusals}."
SUMMARY_HOLDS: Final = "{refusals} {hold} {keys}; apply does the rest."

QUESTION: Final = "Apply {what}, {operations}? Type yes to apply"
HELD: Final = "Held back: {keys}."
ADVICE_HELD: Final = (
    "Everything else is done. What is held waits until its cause is fixed, or the refusal is waived by name: plan "
    "again then, and have that reviewed."
)

WAIVER: Final = "To waive it:"
WAIVER_FOR_OTHERS: Final = "To apply the rest without this one:"
"""What an option does for a refusal that leaves its activity without operations: the others go on."""

REMEDIES: Final[dict[str, str]] = {
    "replace": "Write at {at}: `{write}`, in place of `{present}`.",
    "after": "Write at {at}: `{write}`, below `{present}`.",
    "before": "Write at {at}: `{write}`, above `{present}`.",
}
"""What to write in a spec, by how it stands to the line that is named."""

TERMINATE_REASONS: Final[dict[str, str]] = {
    "removed": "its file was deleted",
    "state": "its spec says state: terminated",
    "ended": "its spec's end_time has passed",
    "replaced": "its terms have changed",
    "superseded": "its successor is already live",
}

UNDO: Final[dict[str, str]] = {
    "delete_merchants": "the added merchants can be deleted again",
    "add_merchants": "the deleted merchants can be added again",
    "terminate": "the new activity can be ended, and not undone: what customers got until then stays theirs",
    "run_again": (
        "the termination cannot be undone. Closest remedy: create it again with the old terms and a higher `generation`"
    ),
    "nothing": "an uploaded image needs no undoing: it does no harm",
    "not_done": "this run did nothing here, so there is nothing to take back",
    "unknown": "nobody knows yet whether it was done; run `paygift apply` again, which finds out first",
}

CLOCKS: Final[dict[str, str]] = {
    "begins": "begins in {span} ({at}); its terms cannot be edited once it is created",
    "begun": "its begin_time {at} has passed: it starts at once, and its terms cannot be edited after that",
    "ends": "activity {activity_id} is running, and would end by itself in {span} ({at})",
    "cancelled": "activity {activity_id} has not begun; it would begin in {span} ({at})",
}

CLOCKS_KEPT: Final[dict[str, str]] = {
    **CLOCKS,
    "ends": "activity {activity_id} keeps running, only its merchants change; it ends by itself in {span} ({at})",
    "cancelled": "activity {activity_id} stays, only its merchants change; it begins in {span} ({at})",
}
"""The same of an activity that the change does not end."""

# Said at every end, in every rendering: no endpoint takes one back (API §1.0, §1.5).
IRREVERSIBLE: Final = "a termination cannot be undone"

COVERAGE_GAP: Final = "gap for {merchants}: {loss}"
COVERAGE_NONE: Final[dict[str, str]] = {
    "overlap": "no gap for {merchants}: the old activity ends once the new one is seen; both give for that moment",
    "gap": "{merchants} {have} nothing between the two calls, and permanently if WeChat Pay refuses the second",
    "kept": "no gap for {merchants}: the activity that stays gives already",
    "paused": "no gap for {merchants}: what ends is paused and gives nothing",
    "": "no gap for {merchants}: nothing that runs is cut short",
}
COVERAGE_LEFT: Final[dict[str, str]] = {
    "nothing": "{merchants} {give} nothing from then on ({sample}): this activity would have given for {span}",
    "partly": "{merchants} {lose} this gift ({sample}) for {span}, and {have} nothing at all for {nothing} of it",
    "others": "{merchants} {lose} this gift ({sample}) for {span}; other activities still give there",
    "none": "{merchants} {leave} ({sample}): what ends would have given them nothing more",
}
COVERAGE_LOSS: Final[dict[str, str]] = {
    "nothing": "nothing is given for {span} in which the old activity would have given",
    "partly": "this gift is not given for {span}, and nothing at all for {nothing} of it",
    "others": "this gift is not given for {span}; other activities give there meanwhile",
}
COVERAGE_UNTOLD: Final = "gap: nothing is given for {span}"
COVERAGE_UP_TO: Final = "up to {span}"
WAITS: Final = "waits until {key} serves {merchants} ({sample})"
COVERAGE_JOINED: Final = "{merchants} {join} ({sample}): {begin}"
COVERAGE_BEGINS: Final = "from the new begin_time on"
COVERAGE_BEGUN: Final = "at once"

SUMMARY_ENDS: Final = ", so {count:,} {verb} permanently"

HEADLINE_ENDS: Final = "ends {activity_ids} permanently"
HEADLINE_LEFT: Final[dict[str, str]] = {
    "nothing": "{merchants} {give} nothing from then on",
    "partly": "{merchants} {lose} this gift",
    "others": "{merchants} {lose} this gift",
    "none": "{merchants} {leave}",
}
UPLOADED_EARLIER: Final = "{path} → {url}, uploaded earlier ({at})"
UNPROVEN: Final = "(perhaps unchanged: reading cannot tell)"
HEADLINE_MERCHANTS: Final = "merchants {before} → {after}"
HEADLINE_ADOPTED: Final = " of the adopted activity {activity_id}"

SETTLED_BY_READING: Final = "No answer proved {operations}; reading shows what happened."
NOT_REPLACED: Final = "{campaigns} {have} ended and {are} not replaced: {merchants} {give} nothing now."
