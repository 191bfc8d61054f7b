"""However the account came to look as it does, apply makes live equal the files, and nothing happens twice.

Histories are made of what really happens: authors edit, applies die half way, operators pause, resume and terminate
behind our back, creations fail, others make activities of their own, and time passes.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler.activity import Award, DesiredActivity
from reconciler.change import CreateActivity, Severity
from reconciler.identity import parse_number
from reconciler.policy import WAIVABLE
from reconciler.sandbox.refusal import Refusal
from reconciler.translate import create_request
from tests.pictures import local_image
from tests.remote import Remote, dead_after
from tests.samples import NAMESPACE, desired, mchids, terms

KEYS = ("autumn", "spring", "summer")
SPENT = frozenset({"NUMBER_USED", "CREATION_FAILED"})
ALLOWED = tuple(WAIVABLE)
"""What stops an apply for a person's sake is waived here, so that all else is done. A key whose number is spent has
no operations, waived or not."""


@st.composite
def specs(draw: st.DrawFn) -> tuple[DesiredActivity, ...]:
    """Up to three specs; few enough values that histories meet the same terms and numbers again."""
    chosen = draw(st.sets(st.sampled_from(KEYS)))
    return tuple(
        desired(
            key,
            merchants=mchids(draw(st.integers(1, 3)), start=1600000001 + draw(st.integers(0, 2))),
            activity_name=key,
            merchant_logo_url=local_image(draw(st.integers(0, 1))),
            award_list=(Award("98065001", local_image(2)),),
            background_color=draw(st.sampled_from([None, "Color050"])),
            transaction_amount_minimum=draw(st.sampled_from([100, 200])),
            begin_time=terms().begin_time - timedelta(days=draw(st.sampled_from([0, 10]))),
            generation=draw(st.integers(1, 2)),
            protect=draw(st.booleans()),
            state=draw(st.sampled_from(["running", "running", "running", "terminated"])),
            replace=draw(st.sampled_from(["create_first", "terminate_first"])),
        )
        for key in sorted(chosen)
    )


EVENTS = st.one_of(
    st.tuples(st.just("apply"), specs()),
    st.tuples(st.just("die"), specs(), st.integers(1, 8)),
    st.tuples(st.sampled_from(["pause", "resume", "terminate", "fail"]), st.integers(0, 5)),
    st.tuples(st.just("elsewhere"), st.sampled_from(["", "TERMINATE_ACT_STATUS", "STOP_ACT_STATUS"])),
    st.tuples(st.just("wait"), st.sampled_from([1, 30, 24 * 20, 24 * 40])),
)


class History:
    """An account, and what happens to it."""

    def __init__(self) -> None:
        self.remote = Remote(reads=2)
        self.elsewhere: dict[str, dict[str, Any]] = {}

    def happen(self, event: tuple[Any, ...]) -> None:
        match event:
            case ("apply", wanted):
                self.remote.converge(wanted, allow=ALLOWED)
            case ("die", wanted, writes):
                self.remote.seed(wanted)
                self.remote.apply(self.remote.plan(wanted, allow=ALLOWED), fault=dead_after(writes))
            case ("elsewhere", status):
                self._made_elsewhere(status)
            case ("wait", hours):
                self.remote.wait(timedelta(hours=hours))
            case (behind_our_back, index):
                self._behind_our_back(behind_our_back, index)
        self.remote.wait(timedelta(seconds=1))

    def _made_elsewhere(self, status: str) -> None:
        """An activity of somebody else: on the web page, or by a team with another namespace."""
        count = len(self.elsewhere)
        number = f"another_spring_g1_{count:012x}" if count % 2 else f"web-{count}"
        body = json.loads(create_request(number, terms(), mchids(2), {}).json_bytes())
        item = {
            **body,
            "award_send_rule": {"full_send_rule": body["award_send_rule"]},
            "activity_status": status,
        }
        activity_id = self.remote.world.insert_activity(item, mchids(2))
        self.elsewhere[activity_id] = self.truth()[activity_id]

    def _behind_our_back(self, action: str, index: int) -> None:
        """Somebody uses the merchant platform on one of our activities, if its status allows it."""
        ids = [each for each in self.remote.ids() if each not in self.elsewhere]
        if not ids:
            return
        activity_id = ids[index % len(ids)]
        hooks = {
            "pause": self.remote.world.pause,
            "resume": self.remote.world.resume,
            "fail": self.remote.world.fail_creation,
        }
        try:
            if action == "terminate":
                self.remote.call(lambda api: api.terminate(activity_id))
            else:
                hooks[action](activity_id)
        except Exception as error:
            if not _is_refusal(error):
                raise

    def truth(self) -> dict[str, dict[str, Any]]:
        return {each["activity_id"]: each for each in self.remote.world.activities()}


def _is_refusal(error: Exception) -> bool:
    """Whether the platform would not do it, which is its right."""
    return isinstance(error, Refusal) or getattr(error, "status", 0) == 400


@pytest.mark.heavy
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(EVENTS, max_size=5), specs())
def test_apply_converges_from_any_history(
    events: Sequence[tuple[Any, ...]], wanted: tuple[DesiredActivity, ...]
) -> None:
    history = History()
    for event in events:
        history.happen(event)
    remote = history.remote
    before, effects_before = history.truth(), len(remote.effects())

    report = remote.converge(wanted, allow=ALLOWED)
    assert report.complete, list(report.left())

    again = remote.plan(wanted, allow=ALLOWED)
    assert again.operations == ()
    refused = [finding for finding in again.findings if finding.severity is Severity.REFUSAL]
    assert {finding.code for finding in refused} <= SPENT
    live_equals_the_files(remote, wanted, {finding.key for finding in refused})
    nothing_happened_twice(remote)
    _nothing_ended_was_created_again(remote, before, effects_before)
    after = history.truth()
    for activity_id, untouched in history.elsewhere.items():
        assert lasting(after[activity_id]) == lasting(untouched)


def live_equals_the_files(remote: Remote, wanted: Sequence[DesiredActivity], refused: set[str]) -> None:
    ours: dict[str, list[Any]] = {}
    for each in remote.live(wanted):
        number = parse_number(each.out_request_no)
        if number is not None and number.namespace == NAMESPACE and not each.ended(remote.now):
            ours.setdefault(number.key, []).append(each)
    for spec in wanted:
        lives = ours.pop(spec.key, [])
        if spec.key in refused:
            continue
        if spec.state == "terminated" or spec.terms.end_time < remote.now:
            assert lives == []
        else:
            (live,) = lives
            assert live.merchants == spec.merchants
    assert ours == {}


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
    return {
        name: value
        for name, value in activity.items()
        if name not in ("activity_status", "update_time", "item")
    }


def test_the_same_create_is_planned_whatever_else_is_there() -> None:
    """A spec's number depends on nothing but the spec, so that two machines cannot make two activities of it."""
    alone, crowded = Remote(), Remote()
    crowded.converge(
        [desired("autumn", merchant_logo_url=local_image(0), award_list=(Award("1", local_image(1)),))]
    )
    spec = desired("spring", merchant_logo_url=local_image(0))
    numbers = {
        step.out_request_no
        for remote in (alone, crowded)
        for step in remote.plan([spec], allow=ALLOWED).operations
        if isinstance(step, CreateActivity)
    }
    assert len(numbers) == 1
