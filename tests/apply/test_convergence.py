"""However the account came to look as it does, apply makes live equal the files, and nothing happens twice.

Histories are made of what really happens: authors edit, applies die half way, operators pause, resume and terminate
behind our back, creations fail, others make activities of their own, and time passes.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.live.translate import create_request
from reconciler.model.activity import Award, DayWindow, DesiredActivity, LiveActivity, Window
from reconciler.model.findings import WAIVABLE, Severity
from reconciler.model.identity import parse_number
from reconciler.model.operations import CreateActivity
from reconciler.model.plan import Plan
from reconciler.sandbox.api_error import ApiErrorResponse
from reconciler.sandbox.writes import terminate
from tests.live.test_odd_rows import FOREIGN, ODD_VALUES
from tests.support.images import local_image
from tests.support.remote import End, Fault, Remote, after_write, dead_after
from tests.support.samples import NAMESPACE, PICTURE, desired, mchids, terms
from tests.support.signed import keys

KEYS = ("autumn", "spring", "summer")
FORMER = ("older", *KEYS)
SPENT = frozenset({"NUMBER_USED", "CREATION_FAILED"})
STUCK = SPENT | {"TERMS_UNREADABLE"} | {code for code in WAIVABLE if code.startswith("ADOPT_")}
ALLOWED = tuple(WAIVABLE)
"""What stops an apply for a person's sake is waived here, so that all else is done. A key whose number is spent has
no operations, waived or not, nor has one whose adoption fails, or that nobody can read."""
MORNING = DayWindow("080000", "115959")


@st.composite
def specs(draw: st.DrawFn) -> tuple[DesiredActivity, ...]:
    """Up to three specs; few enough values that histories meet the same terms and numbers again.

    ``adopt`` is ``#`` and an index, since no activity is there yet: see ``History.meant``.
    """
    chosen = sorted(draw(st.sets(st.sampled_from(KEYS))))
    formers = [key for key in FORMER if key not in chosen]
    made: list[DesiredActivity] = []
    for key in chosen:
        renamed = draw(st.sampled_from([(), (), (), *((each,) for each in formers), tuple(formers)]))
        formers = [each for each in formers if each not in renamed]
        made.append(draw(a_spec(key, tuple(sorted(renamed)))))
    return tuple(made)


@st.composite
def a_spec(draw: st.DrawFn, key: str, renamed_from: tuple[str, ...] = ()) -> DesiredActivity:
    begin = terms().begin_time - timedelta(days=draw(st.sampled_from([0, 10])))
    return desired(
        key,
        merchants=mchids(draw(st.integers(1, 3)), start=1600000001 + draw(st.integers(0, 2))),
        activity_name="优惠",
        merchant_logo_url=local_image(draw(st.integers(0, 1))),
        award_list=(Award("98065001", local_image(2)),),
        background_color=draw(st.sampled_from([None, "Color050"])),
        transaction_amount_minimum=draw(st.sampled_from([100, 200])),
        begin_time=begin,
        available_time=draw(st.sampled_from([(), (), (Window(begin, begin + timedelta(days=3)),)])),
        available_day_time=draw(st.sampled_from([(), (), (MORNING,)])),
        generation=draw(st.integers(1, 2)),
        protect=draw(st.booleans()),
        state=draw(st.sampled_from(["running", "running", "running", "terminated"])),
        replace=draw(st.sampled_from(["create_first", "terminate_first"])),
        renamed_from=renamed_from,
        adopt=draw(st.sampled_from(["", "", "", "#0", "#1", "#2", "#5"])),
    )


STATUSES = st.sampled_from(["", "TERMINATE_ACT_STATUS", "STOP_ACT_STATUS"])
MEDDLING = st.sampled_from(["pause", "resume", "terminate", "fail"])
EVENTS = st.one_of(
    st.tuples(st.just("apply"), specs()),
    st.tuples(st.just("apply"), specs()),
    st.tuples(st.just("die"), specs(), st.integers(1, 8)),
    st.tuples(st.just("meddled"), specs(), st.integers(1, 6), MEDDLING, st.integers(0, 5)),
    st.tuples(MEDDLING, st.integers(0, 5)),
    st.tuples(st.just("elsewhere"), STATUSES, a_spec("web")),
    st.tuples(st.just("odd"), st.integers(0, len(ODD_VALUES) - 1)),
    st.tuples(st.just("wait"), st.sampled_from([1, 30, 24 * 20, 24 * 40])),
)


class History:
    """An account, and what happens to it."""

    def __init__(self) -> None:
        self.remote = Remote(reads=2)
        self.elsewhere: dict[str, dict[str, Any]] = {}
        self.adopted: set[str] = set()

    def happen(self, event: tuple[Any, ...]) -> None:
        match event:
            case ("apply", wanted):
                self._apply(wanted)
            case ("die", wanted, writes):
                self._apply(wanted, dead_after(writes))
            case ("meddled", wanted, number, action, index):
                self._apply(wanted, after_write(number, lambda: self.meddle(action, index)))
            case ("elsewhere", status, spec):
                self._made_elsewhere(status, spec)
            case ("odd", index):
                self._odd(ODD_VALUES[index])
            case ("wait", hours):
                self.remote.wait(timedelta(hours=hours))
            case (behind_our_back, index):
                self.meddle(behind_our_back, index)
        self.remote.wait(timedelta(seconds=1))

    def _apply(self, wanted: tuple[DesiredActivity, ...], fault: Fault | None = None) -> None:
        """One run, and no end in it that its successor was not fit for."""
        meant, earlier = self.meant(wanted), len(self.remote.network.ends)
        self.remote.seed(meant)
        self.remote.apply(self.remote.plan(meant, allow=ALLOWED), fault=fault)
        for end in self.remote.network.ends[earlier:]:
            ended_fit(end, meant)

    def meant(self, wanted: Sequence[DesiredActivity]) -> tuple[DesiredActivity, ...]:
        """``wanted`` with the ids of activities that are there, whoever's they are, for the indices in ``adopt``."""
        ids = self.remote.ids()
        found: list[DesiredActivity] = []
        for spec in wanted:
            index = int(spec.adopt.removeprefix("#") or 0)
            activity_id = ids[index % len(ids)] if spec.adopt and ids else ""
            taken = {each.adopt for each in found}
            found.append(replace(spec, adopt="" if activity_id in taken else activity_id))
        self.adopted.update(spec.adopt for spec in found)
        return tuple(found)

    def _made_elsewhere(self, status: str, spec: DesiredActivity) -> None:
        """An activity of somebody else: on the web page, or by a team with another namespace."""
        count = len(self.elsewhere)
        number = f"another_spring_g1_{count:012x}" if count % 2 else f"web-{count}"
        images = {image.sha256: PICTURE.url for image in spec.terms.images()}
        body = json.loads(create_request(number, spec.terms, spec.merchants, images).json_bytes())
        item = {
            **body,
            "award_send_rule": {"full_send_rule": body["award_send_rule"]},
            "activity_status": status,
        }
        self._insert(item, spec.merchants)

    def _odd(self, values: dict[str, Any]) -> None:
        """A row of somebody else with values that nobody has documented."""
        self._insert({**FOREIGN, "activity_id": f"77{len(self.elsewhere)}", **values}, mchids(2))

    def _insert(self, item: dict[str, Any], merchants: Sequence[str]) -> None:
        activity_id = self.remote.world.insert_activity(item, merchants)
        self.elsewhere[activity_id] = self.truth()[activity_id]

    def others(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """What is nobody's of us: of the web page and adopted by no spec, or of another namespace."""
        for activity_id, untouched in self.elsewhere.items():
            if activity_id not in self.adopted or parse_number(untouched["out_request_no"]):
                yield activity_id, untouched

    def meddle(self, action: str, index: int) -> None:
        """Somebody uses the merchant platform on one of our activities, if its status allows it."""
        ids = [each for each in self.remote.ids() if each not in self.elsewhere]
        if not ids:
            return
        activity_id = ids[index % len(ids)]
        with suppress(ApiErrorResponse):  # the platform may not do it, which is its right
            self._hooks()[action](activity_id)

    def _hooks(self) -> dict[str, Callable[[str], object]]:
        world = self.remote.world

        def end(activity_id: str) -> object:
            return world.commit(terminate(world.memory, keys().mchid, activity_id, world.moment(), world.options))

        return {"pause": world.pause, "resume": world.resume, "fail": world.fail_creation, "terminate": end}

    def truth(self) -> dict[str, dict[str, Any]]:
        return {each["activity_id"]: each for each in self.remote.world.activities()}


@pytest.mark.parametrize("examples", [8, pytest.param(60, marks=pytest.mark.heavy)])
def test_apply_converges_from_any_history(examples: int) -> None:
    property_of = given(st.lists(EVENTS, max_size=5), specs())
    settings(max_examples=examples)(property_of(converges))()


def converges(events: Sequence[tuple[Any, ...]], wanted: tuple[DesiredActivity, ...]) -> None:
    history = History()
    for event in events:
        history.happen(event)
    remote = history.remote
    before, effects_before = history.truth(), len(remote.effects())

    wanted = history.meant(wanted)
    report = remote.converge(wanted, allow=ALLOWED)
    assert report.complete, list(report.left())

    again = remote.plan(wanted, allow=ALLOWED)
    assert again.operations == ()
    refused = [finding for finding in again.findings if finding.severity is Severity.REFUSAL]
    assert {finding.code for finding in refused} <= STUCK
    live_equals_the_files(remote, wanted, stuck(again))
    nothing_happened_twice(remote)
    _nothing_ended_was_created_again(remote, before, effects_before)
    after = history.truth()
    for activity_id, untouched in history.others():
        assert lasting(after[activity_id]) == lasting(untouched)


def stuck(plan: Plan) -> set[str]:
    """The keys for which nothing can be done, waived or not."""
    return {finding.key for finding in plan.findings if finding.code in STUCK}


def live_equals_the_files(remote: Remote, wanted: Sequence[DesiredActivity], refused: set[str]) -> None:
    ours: dict[str, list[LiveActivity]] = {}
    for each in remote.live(wanted):
        key = owner(each.out_request_no, each.activity_id, wanted)
        if key and not each.ended(remote.now):
            ours.setdefault(key, []).append(each)
    for spec in wanted:
        lives = ours.pop(spec.key, [])
        if spec.key in refused:
            continue
        if spec.state == "terminated" or spec.terms.end_time <= remote.now:
            assert lives == []
        else:
            (live,) = lives
            assert live.merchants == spec.merchants
    assert ours == {}


def owner(number: str, activity_id: str, wanted: Sequence[DesiredActivity]) -> str:
    """The key whose activity it is, empty if it is not ours (concepts.md#identity)."""
    adopting = next((spec.key for spec in wanted if spec.adopt == activity_id), "")
    parsed = parse_number(number)
    if parsed is None:
        return adopting
    if parsed.namespace != NAMESPACE:
        return ""
    own = next((spec.key for spec in wanted if parsed.key in spec.renamed_from), parsed.key)
    return own if own in {spec.key for spec in wanted} else adopting or own


def ended_fit(end: End, wanted: Sequence[DesiredActivity]) -> None:
    """Where the files want what ended to go on under its key, and create first, something stood ready for it then: not
    ended, created or running, and with all its merchants that the spec wants.
    """
    ended = end.account[end.activity_id]
    key = owner(ended["out_request_no"], end.activity_id, wanted)
    spec = next((each for each in wanted if each.key == key), None)
    if spec is None or spec.state == "terminated" or spec.terms.end_time < end.at or spec.replace != "create_first":
        return
    needed = set(ended["merchants"]) & set(spec.merchants)
    ready = [
        each
        for each in end.account.values()
        if each["activity_id"] != end.activity_id
        and owner(each["out_request_no"], each["activity_id"], wanted) == key
        and each["activity_status"] in ("CREATE_ACT_STATUS", "ONGOING_ACT_STATUS")
        and needed <= set(each["merchants"])
    ]
    assert ready, f"{end.activity_id} ended, and nothing of {key} stood ready"


def nothing_happened_twice(remote: Remote) -> None:
    created = Counter(each["request_no"] for each in remote.world.history() if each["effect"] == "created")
    assert all(times == 1 for times in created.values())
    assert all(each["terminations"] <= 1 for each in remote.world.activities())


def _nothing_ended_was_created_again(remote: Remote, before: dict[str, Any], effects_before: int) -> None:
    ended = {
        number.slot
        for each in before.values()
        if each["activity_status"] in ("TERMINATE_ACT_STATUS", "OVER_TIME_ACT_STATUS", "CREATE_ACT_FAILED")
        and (number := parse_number(each["out_request_no"]))
    }
    new = [each for each in remote.world.history()[effects_before:] if each["effect"] == "created"]
    numbers = [parse_number(each["request_no"]) for each in new]
    assert not ended & {number.slot for number in numbers if number is not None}


def lasting(activity: dict[str, Any]) -> dict[str, Any]:
    """What time alone does not change. ``item`` holds the status too."""
    return {name: value for name, value in activity.items() if name not in ("activity_status", "update_time", "item")}


def test_the_same_create_is_planned_whatever_else_is_there() -> None:
    """A spec's number depends on nothing but the spec, so that two machines cannot make two activities of it."""
    alone, crowded = Remote(), Remote()
    crowded.converge([desired("autumn", merchant_logo_url=local_image(0), award_list=(Award("1", local_image(1)),))])
    spec = desired("spring", merchant_logo_url=local_image(0))
    numbers = {
        step.out_request_no
        for remote in (alone, crowded)
        for step in remote.plan([spec], allow=ALLOWED).operations
        if isinstance(step, CreateActivity)
    }
    assert len(numbers) == 1
