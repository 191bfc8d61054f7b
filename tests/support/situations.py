"""Whole situations for a plan: files and an account that fit each other in every odd way. Hypothesis strategies, and
what such a plan comes to, worked out without asking the code under test.

Values are few, so that specs and live activities meet: the same terms, numbers, merchants and former keys again and
again. All times lie on whole hours, so that who gives what can be told by looking at the middle of each hour.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Final

from hypothesis import strategies as st

from reconciler.model.activity import (
    BEIJING,
    FULL_SEND,
    Award,
    DayWindow,
    DesiredActivity,
    LiveActivity,
    Source,
    Terms,
    Window,
)
from reconciler.model.identity import RequestNumber, number_of, parse_number, terms_digest
from reconciler.model.operations import AddMerchants, CreateActivity, DeleteMerchants, TerminateActivity
from reconciler.model.plan import ActivityChange, Plan
from reconciler.model.policy import Freeze, OnRemoved, Policy
from reconciler.model.witness import Witness
from reconciler.plan import make_plan
from tests.support.samples import (
    CREATED,
    FAILED,
    NAMESPACE,
    NOW,
    ONGOING,
    OVER_TIME,
    PAUSED,
    PICTURE,
    TERMINATED,
    mchids,
    terms,
)

KEYS: Final = ("alpha", "beta", "gamma", "delta")
FORMER: Final = ("older", "oldest")
IDS: Final = tuple(str(number) for number in range(8, 15))
HOURS: Final = 130
"""So far ahead is looked; nothing below lasts longer."""
HOUR: Final = timedelta(hours=1)

_BEGINS: Final = (-72, -24, -1, 0, 1, 24, 60)
_ENDS: Final = (-2, 0, 1, 24, 48, 120)
_POOLS: Final = tuple(
    mchids(count, start)
    for count, start in (
        (1, 1600000001),
        (2, 1600000001),
        (3, 1600000002),
        (5, 1600000001),
        (6, 1600000004),
        (10, 1600000001),
        (12, 1600000001),
        (12, 1600000007),
        (2, 1700000001),
    )
)


@dataclass(frozen=True, slots=True, repr=False)
class Situation:
    """What ``make_plan`` is asked about."""

    desired: tuple[DesiredActivity, ...]
    live: tuple[LiveActivity, ...]
    policy: Policy
    witness: Witness
    unreadable: Mapping[str, str]
    now: datetime = NOW

    def __repr__(self) -> str:
        """Short enough to be read when a property fails."""
        return "\n  ".join(["", *map(_told, self.desired), *map(_told, self.live), str(self.policy), str(self.witness)])

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """What hypothesis shows."""
        printer.text(repr(self))

    def plan(self, **changes: Any) -> Plan:
        asked: dict[str, Any] = {
            "namespace": NAMESPACE,
            "now": self.now,
            "policy": self.policy,
            "witness": self.witness,
            "unreadable": self.unreadable,
        }
        return make_plan(self.desired, self.live, **asked | changes)

    @property
    def renamed(self) -> dict[str, str]:
        return {former: spec.key for spec in self.desired for former in spec.renamed_from}

    @property
    def wanted(self) -> dict[str, DesiredActivity]:
        return {spec.key: spec for spec in self.desired}

    def owner(self, live: LiveActivity) -> str:
        """The key whose activity it is by the rules of ownership, empty if it is not ours (concepts.md#identity)."""
        number = parse_number(live.out_request_no)
        adopting = next((spec.key for spec in self.desired if spec.adopt == live.activity_id), "")
        if number is None:
            return adopting
        if number.namespace != NAMESPACE:
            return ""
        own = self.renamed.get(number.key, number.key)
        return own if own in self.wanted else adopting or own


def _told(each: DesiredActivity | LiveActivity) -> str:
    what = each.terms
    hours = "unreadable"
    if what is not None:
        begin, end = ((at - NOW) // HOUR for at in (what.begin_time, what.end_time))
        extra = [len(what.available_time), [day.begin_day_time for day in what.available_day_time]]
        coupons = [award.stock_id for award in what.award_list]
        hours = f"{begin}..{end}h {extra} {what.transaction_amount_minimum} {what.background_color} {coupons}"
    who = f"{len(each.merchants or ())} from {min(each.merchants or ('',))}"
    if isinstance(each, LiveActivity):
        kind = "" if each.activity_type == FULL_SEND else each.activity_type
        name = f"live {each.activity_id} {each.out_request_no!r} {each.activity_status} {kind}"
        return f"{name} | {hours} | {who} | made {each.create_time}"
    own = f"g{each.generation} protect={each.protect} {each.state} {each.replace} {each.renamed_from} {each.adopt!r}"
    return f"spec {each.key} {own} | {hours} | {who}"


# -- strategies --------------------------------------------------------------------------------------------------------


@st.composite
def some_terms(draw: st.DrawFn) -> Terms:
    begin = draw(st.sampled_from(_BEGINS))
    end = draw(st.sampled_from([hour for hour in _ENDS if hour > begin]))
    span = Window(NOW + begin * HOUR, NOW + end * HOUR)
    half = Window(span.begin_time, span.begin_time + max(1, (end - begin) // 2) * HOUR)
    package = draw(st.sampled_from([False, False, False, True]))
    return terms(
        begin_time=span.begin_time,
        end_time=span.end_time,
        available_time=draw(st.sampled_from([(), (), (), (half,)])),
        available_day_time=draw(
            st.sampled_from([(), (), (), (DayWindow("110000", "135959"),), (DayWindow("220000", "015959"),)])
        ),
        transaction_amount_minimum=draw(st.sampled_from([100, 100, 200])),
        background_color=draw(st.sampled_from(["Color020", "Color020", None])),
        send_content="GIFT_PACKAGE" if package else "SINGLE_COUPON",
        award_list=tuple(Award(str(stock), PICTURE, PICTURE) for stock in (7, 8, 9))
        if package
        else (Award(draw(st.sampled_from(["98065001", "98065001", "7"])), PICTURE),),
    )


@st.composite
def specs(draw: st.DrawFn) -> tuple[DesiredActivity, ...]:
    """Up to four specs that fit each other (``desired.conflicts``)."""
    keys = draw(st.lists(st.sampled_from(KEYS), unique=True, max_size=4))
    formers = [each for each in (*KEYS, *FORMER) if each not in keys]
    shared = draw(some_terms())
    made: list[DesiredActivity] = []
    for key in keys:
        renamed = draw(st.sampled_from([(), (), *((each,) for each in formers), tuple(formers)]))
        formers = [each for each in formers if each not in renamed]
        adopt = draw(st.sampled_from(["", "", "", "", *IDS]))
        taken = {spec.adopt for spec in made}
        made.append(
            DesiredActivity(
                key,
                shared if draw(st.booleans()) else draw(some_terms()),
                draw(st.sampled_from(_POOLS)),
                Source(f"specs/{key}.yaml", 1),
                generation=draw(st.sampled_from([1, 1, 1, 2, 3])),
                protect=draw(st.sampled_from([False, False, True])),
                state=draw(st.sampled_from(["running", "running", "running", "terminated"])),
                replace=draw(st.sampled_from(["create_first", "create_first", "terminate_first"])),
                renamed_from=tuple(sorted(renamed)),
                adopt="" if adopt in taken else adopt,
            )
        )
    return tuple(made)


@st.composite
def accounts(draw: st.DrawFn, desired: Sequence[DesiredActivity]) -> tuple[LiveActivity, ...]:
    """Live activities that were made from these specs, from other versions of them, or by others."""
    found: list[LiveActivity] = []
    numbers: set[str] = set()
    for activity_id in draw(st.lists(st.sampled_from(IDS), unique=True, max_size=6)):
        live = draw(_live(activity_id, desired))
        if live.out_request_no not in numbers:
            found.append(live)
        numbers.add(live.out_request_no)
    return tuple(found)


@st.composite
def _live(draw: st.DrawFn, activity_id: str, desired: Sequence[DesiredActivity]) -> LiveActivity:
    of = draw(st.sampled_from(desired)) if desired and draw(st.sampled_from([True, True, False])) else None
    what = of.terms if of and draw(st.sampled_from([True, True, False])) else draw(some_terms())
    keys = (of.key, of.key, *of.renamed_from) if of else (*KEYS, *FORMER)
    number = RequestNumber(
        draw(st.sampled_from([NAMESPACE] * 7 + ["another"])),
        draw(st.sampled_from(keys)),
        draw(st.sampled_from([1, 1, 1, 2])),
        terms_digest(what),
        protect=draw(st.sampled_from([False, False, False, True])),
    )
    status = draw(st.sampled_from(["", "", "", "", PAUSED, TERMINATED, FAILED, OVER_TIME, "NEW_STATUS"]))
    # Sometimes it is not what its number says, or cannot be read, or is of a kind that is not ours.
    shown: Terms | None = draw(st.sampled_from([what] * 12 + [replace(what, activity_name="别的"), None]))
    kind = draw(st.sampled_from([FULL_SEND] * 12 + ["STEP_SEND_ACT_TYPE"]))
    return LiveActivity(
        activity_id=activity_id,
        out_request_no=draw(st.sampled_from([str(number)] * 5 + [f"web-{activity_id}", ""])),
        activity_status=status or (ONGOING if what.begin_time <= NOW else CREATED),
        terms=shown if kind == FULL_SEND else None,
        merchants=of.merchants if of and draw(st.booleans()) else draw(st.sampled_from(_POOLS)),
        activity_type=kind,
        create_time=draw(st.sampled_from([NOW - 80 * HOUR, NOW - 90 * HOUR, None])),
        update_time=draw(st.sampled_from([NOW - 70 * HOUR, None])),
    )


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    on_removed: tuple[OnRemoved, ...] = ("terminate", "terminate", "terminate", "refuse", "ignore")
    frozen = Freeze(Window(NOW - HOUR, NOW), "双十一")
    return Policy(
        on_removed=draw(st.sampled_from(on_removed)),
        max_terminations=draw(st.sampled_from([0, 0, 1, None])),
        max_replacements_running=draw(st.sampled_from([None, 0, 1])),
        max_merchant_deletions=draw(st.sampled_from([0, 0, 30, 100])),
        allow_replace_running=draw(st.booleans()),
        freeze=draw(st.sampled_from([(), (), (frozen,)])),
        warn_before_end=draw(st.sampled_from([0, 3])),
    )


@st.composite
def situations(draw: st.DrawFn) -> Situation:
    desired = draw(specs())
    live = draw(accounts(desired))
    keys = st.sampled_from((*KEYS, *FORMER))
    witness = Witness(
        protected=frozenset(draw(st.sets(keys, max_size=2))),
        adopted=draw(st.dictionaries(st.sampled_from(IDS), keys, max_size=2)),
        last_create=draw(st.sampled_from([None, NOW - HOUR])),
    )
    there = {each.activity_id for each in live}
    unreadable = {
        spec.adopt: "HTTP 403 NO_AUTH: 无权限"
        for spec in desired
        if spec.adopt and spec.adopt not in there and draw(st.booleans())
    }
    return Situation(desired, live, draw(policies()), witness, unreadable)


# -- what it comes to, by looking at every hour ------------------------------------------------------------------------


@cache
def hours(what: Terms, now: datetime) -> int:
    """The hours, from ``now`` on, in the middle of which an activity with these terms gives: a bit for each."""
    return sum(1 << hour for hour in range(HOURS) if _gives(what, now + hour * HOUR + HOUR / 2))


def _gives(what: Terms, at: datetime) -> bool:
    clock = f"{at.astimezone(BEIJING):%H%M%S}"
    return (
        what.begin_time <= at <= what.end_time
        and (not what.available_time or any(each.begin_time <= at <= each.end_time for each in what.available_time))
        and (
            not what.available_day_time
            or any(_in_day(clock, each.begin_day_time, each.end_day_time) for each in what.available_day_time)
        )
    )


def _in_day(clock: str, opens: str, closes: str) -> bool:
    return opens <= clock <= closes if opens <= closes else clock >= opens or clock <= closes


@dataclass(frozen=True, slots=True)
class Giving:
    """A live or planned activity as customers meet it. ``made`` is the key of the change that creates it."""

    key: str
    activity_id: str
    nominal: int
    paused: bool
    merchants: frozenset[str]
    made: str = ""

    @property
    def actual(self) -> int:
        return 0 if self.paused else self.nominal


def before(situation: Situation) -> list[Giving]:
    """Our activities that have not ended."""
    return [
        Giving(
            key,
            each.activity_id,
            hours(each.terms, situation.now) if each.terms else 0,
            each.activity_status == PAUSED,
            frozenset(each.merchants or ()),
        )
        for each in situation.live
        if (key := situation.owner(each)) and not each.ended(situation.now)
    ]


def after(situation: Situation, plan: Plan) -> list[Giving]:
    """What is there once all operations of ``plan`` are done."""
    there = {each.activity_id: each for each in before(situation)}
    made: dict[str, Giving] = {}
    for change in plan.changes:
        for step in change.operations:
            match step:
                case CreateActivity():
                    made[step.out_request_no] = Giving(
                        step.key,
                        "",
                        hours(step.terms, situation.now),
                        paused=False,
                        merchants=frozenset(step.merchants),
                        made=change.key,
                    )
                case AddMerchants(activity_id=""):
                    grown = made[step.out_request_no]
                    made[step.out_request_no] = replace(grown, merchants=grown.merchants.union(step.merchants))
                case AddMerchants():
                    grown = there[step.activity_id]
                    there[step.activity_id] = replace(grown, merchants=grown.merchants.union(step.merchants))
                case DeleteMerchants():
                    less = there[step.activity_id]
                    there[step.activity_id] = replace(less, merchants=less.merchants - set(step.merchants))
                case TerminateActivity():
                    del there[step.activity_id]
    return [*there.values(), *made.values()]


def given(to: str, by: Iterable[Giving]) -> int:
    """The hours in which any of ``by`` gives something to the payers of the merchant ``to``."""
    found = 0
    for each in by:
        if to in each.merchants:
            found |= each.actual
    return found


def ended_by(plan: Plan | ActivityChange) -> list[TerminateActivity]:
    steps = plan.operations
    return [step for step in steps if isinstance(step, TerminateActivity)]


def applied(situation: Situation, plan: Plan) -> Situation:
    """The situation once all of ``plan`` is done, at the same instant."""
    live = {each.activity_id: each for each in situation.live}
    made: dict[str, LiveActivity] = {}
    for step in plan.operations:
        match step:
            case CreateActivity():
                made[step.out_request_no] = LiveActivity(
                    str(100 + len(made)),
                    step.out_request_no,
                    ONGOING if step.terms.begin_time <= situation.now else CREATED,
                    step.terms,
                    step.merchants,
                    create_time=situation.now,
                )
            case AddMerchants(activity_id=""):
                grown = made[step.out_request_no]
                made[step.out_request_no] = _with(grown, {*(grown.merchants or ()), *step.merchants})
            case AddMerchants():
                grown = live[step.activity_id]
                live[step.activity_id] = _with(grown, {*(grown.merchants or ()), *step.merchants})
            case DeleteMerchants():
                less = live[step.activity_id]
                live[step.activity_id] = _with(less, set(less.merchants or ()) - set(step.merchants))
            case TerminateActivity():
                live[step.activity_id] = replace(live[step.activity_id], activity_status=TERMINATED)
    return replace(situation, live=(*live.values(), *made.values()))


def _with(live: LiveActivity, merchants: Iterable[str]) -> LiveActivity:
    return replace(live, merchants=tuple(sorted(merchants)))


def made_from(spec: DesiredActivity, activity_id: str, **changes: Any) -> LiveActivity:
    """The activity that ``spec`` makes."""
    status = ONGOING if spec.terms.begin_time <= NOW else CREATED
    plain = LiveActivity(
        activity_id, str(number_of(NAMESPACE, spec)), status, spec.terms, spec.merchants, create_time=NOW
    )
    return replace(plain, **changes)
