"""What apply does to the account, and what it says about it: through the real client, against the sandbox."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest

from reconciler.apply import PollPolicy, apply_plan
from reconciler.model.activity import Award, DesiredActivity
from reconciler.model.errors import RefusedError
from reconciler.model.plan import Plan
from reconciler.wechatpay.wire import ACTIVITIES_PATH, AddMerchantsRequest
from tests.support import signed
from tests.support.images import local_image, read_image
from tests.support.remote import (
    Fault,
    Remote,
    Send,
    answered_by,
    dead_after,
    frozen,
    lost_after,
    lost_before,
    statuses,
    then,
    unsigned,
)
from tests.support.samples import desired, mchids

CREATE = "unique-threshold-activity"
ADD, DELETE, TERMINATE, UPLOAD = "merchants/add", "merchants/delete", "terminate", "image-upload"


def spec(key: str = "spring", **changes: Any) -> DesiredActivity:
    """A spec whose pictures are local files, as the sandbox takes only uploaded ones."""
    pictures: dict[str, Any] = {
        "merchant_logo_url": local_image(0),
        "award_list": (Award("98065001", local_image(1)),),
    }
    return desired(key, **pictures | changes)


@pytest.fixture
def remote() -> Remote:
    return Remote()


def created(remote: Remote, *specs: DesiredActivity) -> list[str]:
    """The ids of ``specs`` once they live, in the order of keys."""
    assert remote.converge(specs).complete
    by_number = {each["out_request_no"].split("_")[1]: each["activity_id"] for each in remote.world.activities()}
    return [by_number[each.key] for each in specs]


# -- everything goes well ----------------------------------------------------------------------------------------------


def test_what_is_applied_leaves_nothing_to_plan(remote: Remote) -> None:
    specs = [spec("spring", merchants=mchids(1200)), spec("summer", transaction_amount_minimum=5)]
    report = remote.converge(specs)
    assert report.complete
    assert set(statuses(report.outcomes)) == {"done"}
    assert remote.plan(specs).empty
    assert remote.merchants(report.outcomes[2].activity_id) == list(mchids(1200))


def test_a_picture_is_uploaded_once_for_all_that_use_it(remote: Remote) -> None:
    remote.converge([spec("spring"), spec("summer")])
    assert sum(line.endswith(UPLOAD) for line in remote.network.sent) == 2


def test_merchants_are_brought_in_line(remote: Remote) -> None:
    (activity_id,) = created(remote, spec(merchants=mchids(3)))
    report = remote.converge([spec(merchants=mchids(3, start=1600000002))])
    assert report.complete
    assert remote.merchants(activity_id) == list(mchids(3, start=1600000002))
    assert remote.effects()[-2:] == [f"merchants added {activity_id}", f"merchants deleted {activity_id}"]


def test_a_merchant_that_comes_goes_and_comes_back_is_added_again(remote: Remote) -> None:
    (activity_id,) = created(remote, spec(merchants=mchids(1)))
    for count in (2, 1, 2):
        remote.wait(timedelta(seconds=1))
        assert remote.converge([spec(merchants=mchids(count))]).complete
    assert remote.merchants(activity_id) == list(mchids(2))


def test_a_successor_is_seen_before_the_old_activity_ends(remote: Remote) -> None:
    (old,) = created(remote, spec())
    report = remote.converge([spec(transaction_amount_minimum=200)])
    new = report.outcomes[-2].activity_id
    assert remote.effects()[-2:] == [f"created {new}", f"terminated {old}"]


def test_terminate_first_ends_before_it_creates(remote: Remote) -> None:
    (old,) = created(remote, spec())
    report = remote.converge([spec(transaction_amount_minimum=200, replace="terminate_first")])
    assert report.complete
    assert remote.effects()[-2:] == [f"terminated {old}", f"created {report.outcomes[-1].activity_id}"]


def test_every_outcome_of_a_write_carries_its_request_id(remote: Remote) -> None:
    report = remote.converge([spec()])
    assert all(outcome.request_id.startswith("SANDBOX-") for outcome in report.outcomes)


def test_progress_is_told_for_every_operation(remote: Remote) -> None:
    remote.seed([spec()])
    plan = remote.plan([spec()])
    seen: list[tuple[int, int]] = []
    remote.call(
        lambda api: apply_plan(
            api,
            plan,
            read_image=read_image,
            clock=lambda: remote.now,
            poll=PollPolicy(),
            on_progress=lambda done, total: seen.append((done, total)),
        )
    )
    assert seen == [(1, 3), (2, 3), (3, 3)]


# -- refusals ----------------------------------------------------------------------------------------------------------


def test_a_refused_plan_writes_nothing(remote: Remote) -> None:
    created(remote, spec(protect=True))
    before = remote.effects()
    with pytest.raises(RefusedError, match="PROTECTED:spring") as caught:
        remote.converge([spec(protect=True, transaction_amount_minimum=5)])
    assert caught.value.codes == ("PROTECTED:spring",)
    assert remote.effects() == before


def test_a_waived_refusal_is_applied(remote: Remote) -> None:
    created(remote, spec(protect=True))
    changed = spec(protect=True, transaction_amount_minimum=5)
    assert remote.converge([changed], allow=["PROTECTED:spring"]).complete


# -- answers get lost --------------------------------------------------------------------------------------------------

LOSSES = [lost_before, lost_after, unsigned]


@pytest.mark.parametrize("loss", LOSSES)
def test_a_picture_whose_answer_is_lost_is_uploaded_again(remote: Remote, loss: Callable[[str], Fault]) -> None:
    remote.seed([spec()])
    assert remote.apply(remote.plan([spec()]), fault=loss(UPLOAD)).complete


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("where", [CREATE, ADD, DELETE, TERMINATE])
def test_a_lost_answer_is_resolved_by_reading_and_nothing_happens_twice(
    remote: Remote, where: str, loss: Callable[[str], Fault]
) -> None:
    created(remote, spec("gone"), spec("spring", merchants=mchids(3)))
    wanted = [spec("spring", merchants=mchids(3, start=1600000002)), spec("summer", activity_name="夏日")]
    remote.seed(wanted)
    report = remote.apply(remote.plan(wanted), fault=loss(where))
    assert report.complete
    assert remote.plan(wanted).empty
    effects = [each for each in remote.effects() if not each.startswith("merchants")]
    assert len(effects) == len(set(effects)) == 4


@pytest.mark.parametrize("where", [CREATE, ADD, DELETE, TERMINATE])
def test_a_write_that_never_arrives_is_reported_as_failed(remote: Remote, where: str) -> None:
    created(remote, spec("gone"), spec("spring", merchants=mchids(3)))
    wanted = [spec("spring", merchants=mchids(3, start=1600000002)), spec("summer", activity_name="夏日")]
    remote.seed(wanted)
    report = remote.apply(remote.plan(wanted), fault=lost_before(where, times=99))
    assert not report.complete
    assert "failed" in statuses(report.outcomes)
    assert remote.converge(wanted).complete
    assert remote.plan(wanted).empty


def test_when_reads_fail_too_the_outcome_is_unknown_and_the_next_run_finds_out(remote: Remote) -> None:
    remote.seed([spec()])
    report = remote.apply(remote.plan([spec()]), fault=dead_after(3))
    assert statuses(report.outcomes) == ["done", "done", "unknown"]
    assert "could not be read either" in report.outcomes[-1].reason
    assert remote.plan([spec()]).empty


def test_after_an_unknown_outcome_the_rest_of_the_key_is_not_started(remote: Remote) -> None:
    wanted = [spec(merchants=mchids(600))]
    remote.seed(wanted)
    report = remote.apply(remote.plan(wanted), fault=dead_after(3))
    assert statuses(report.outcomes) == ["done", "done", "unknown", "not started"]
    assert remote.converge(wanted).complete
    assert remote.effects() == [f"created {remote.ids()[0]}", f"merchants added {remote.ids()[0]}"]


# -- the remote says no ------------------------------------------------------------------------------------------------


def test_rejected_merchants_are_listed_with_the_reason_and_the_rest_goes_on(remote: Remote) -> None:
    (activity_id,) = created(remote, spec(merchants=mchids(2)))
    remote.world.declare_invalid("1600000004")
    wanted = [spec(merchants=("1600000001", "1600000003", "1600000004"))]
    report = remote.converge(wanted)
    assert statuses(report.outcomes) == ["partial", "done"]
    (rejection,) = report.outcomes[0].rejections
    assert (rejection.mchid, rejection.invalid_reason) == ("1600000004", "商户与活动创建方不具备父子关系")
    assert remote.merchants(activity_id) == ["1600000001", "1600000003"]
    (left,) = remote.plan(wanted).operations
    assert getattr(left, "merchants", ()) == ("1600000004",)


def test_an_add_that_is_wholly_rejected_has_failed_and_the_rest_goes_on(remote: Remote) -> None:
    created(remote, spec(merchants=mchids(2)))
    remote.world.declare_invalid("1600000003")
    report = remote.converge([spec(merchants=("1600000001", "1600000003"))])
    assert statuses(report.outcomes) == ["failed", "done"]
    assert report.outcomes[0].rejections


def test_one_keys_failure_does_not_stop_the_others(remote: Remote) -> None:
    wanted = [
        spec("spring", award_list=(Award("404", local_image(1)),), merchants=mchids(600)),
        spec("summer"),
    ]
    remote.seed([wanted[1]])
    report = remote.apply(remote.plan(wanted))
    assert statuses(report.outcomes) == ["done", "done", "failed", "not started", "done"]
    assert "RESOURCE_NOT_EXISTS" in report.outcomes[2].reason
    assert report.outcomes[2].request_id


def test_a_picture_that_cannot_be_uploaded_stops_only_what_needs_it(remote: Remote) -> None:
    wanted = [spec("spring"), spec("summer", merchant_logo_url=local_image(7))]
    remote.seed(wanted)

    async def fault(request: httpx.Request, send: Send) -> httpx.Response:
        if b'filename="7.png"' in await request.aread():
            raise httpx.ConnectError("refused", request=request)
        return await send(request)

    report = remote.apply(remote.plan(wanted), fault=fault)
    assert statuses(report.outcomes) == ["done", "done", "failed", "done", "not started"]
    assert report.outcomes[-1].reason == "Its images could not be uploaded: images/7.png."


def test_an_upload_whose_answer_is_lost_has_failed_and_can_be_repeated(remote: Remote) -> None:
    remote.seed([spec()])
    report = remote.apply(remote.plan([spec()]), fault=lost_before(UPLOAD, times=99))
    assert statuses(report.outcomes) == ["failed", "failed", "not started"]
    assert remote.converge([spec()]).complete


def test_a_creation_that_fails_after_its_200_is_reported(remote: Remote) -> None:
    remote.seed([spec()])

    def fail() -> None:
        remote.world.fail_creation(remote.ids()[-1])

    report = remote.apply(remote.plan([spec()]), fault=then(CREATE, fail))
    assert statuses(report.outcomes)[-1] == "failed"
    assert "CREATE_ACT_FAILED" in report.outcomes[-1].reason
    assert [finding.code for finding in remote.plan([spec()]).refusals] == ["CREATION_FAILED"]


# -- somebody else is at work ------------------------------------------------------------------------------------------


def test_a_number_used_with_other_merchants_is_found_and_gets_what_the_plan_adds(remote: Remote) -> None:
    """The answer to a create was lost in an earlier run, and the author changed the merchants since. What the plan does
    not say to delete stays until a plan says it."""
    remote.seed([spec()])
    plan = remote.plan([spec(merchants=mchids(3))])
    created(remote, spec(merchants=mchids(3, start=1600000002)))
    report = remote.apply(plan)
    assert statuses(report.outcomes)[-1] == "partial"
    assert "1 merchants that the plan does not name" in report.outcomes[-1].reason
    assert remote.merchants(remote.ids()[0]) == list(mchids(4))
    assert len(remote.ids()) == 1
    again = remote.plan([spec(merchants=mchids(3))])
    assert [step.operation for step in again.operations] == ["delete_merchants"]


def test_a_number_that_the_list_does_not_show_yet_is_unknown(remote: Remote) -> None:
    remote.seed([spec()])
    plan = remote.plan([spec(merchants=mchids(3))])
    created(remote, spec(merchants=mchids(2)))
    report = remote.apply(
        plan,
        fault=answered_by("/activities$", f"{ACTIVITIES_PATH}?offset=0&limit=100&activity_name=%E6%97%A0"),
    )
    assert statuses(report.outcomes)[-1] == "unknown"
    assert "shows no activity" in report.outcomes[-1].reason
    assert len(remote.pauses) == 2


def test_an_activity_whose_detail_is_not_there_yet_is_waited_for(remote: Remote) -> None:
    remote.seed([spec()])
    report = remote.apply(
        remote.plan([spec()]), fault=answered_by(r"/activities/\d+$", f"{ACTIVITIES_PATH}/404", times=2)
    )
    assert report.complete
    assert len(remote.pauses) == 2


def test_an_old_activity_stays_until_its_successor_is_listed(remote: Remote) -> None:
    (old,) = created(remote, spec())
    changed = spec(transaction_amount_minimum=200)
    nothing = f"{ACTIVITIES_PATH}?offset=0&limit=100&activity_name=%E6%97%A0"
    report = remote.apply(remote.plan([changed]), fault=answered_by("/activities$", nothing))
    assert statuses(report.outcomes)[-2:] == ["done", "not started"]
    assert f"terminated {old}" not in remote.effects()
    assert remote.converge([changed]).complete
    assert remote.effects()[-1] == f"terminated {old}"


def test_a_termination_that_does_not_show_is_unknown(remote: Remote) -> None:
    created(remote, spec())
    report = remote.apply(remote.plan([spec(state="terminated")]), fault=frozen(r"/activities/\d+$"))
    assert statuses(report.outcomes) == ["unknown"]
    assert "still shows the activity as running" in report.outcomes[0].reason


def test_an_answer_about_another_activity_is_not_believed(remote: Remote) -> None:
    specs = [spec("spring"), spec("summer", activity_name="夏日")]
    created(remote, specs[0])
    _, other = created(remote, *specs)
    plan = remote.plan([specs[1]])

    async def confused(request: httpx.Request, send: Send) -> httpx.Response:
        if request.url.path.endswith(TERMINATE):
            return await send(signed.request("POST", f"{ACTIVITIES_PATH}/{other}/terminate"))
        return await send(request)

    report = remote.apply(plan, fault=confused)
    assert statuses(report.outcomes) == ["failed"]


def test_merchants_that_vanish_without_a_reason_are_named(remote: Remote) -> None:
    (activity_id,) = created(remote, spec(merchants=mchids(2)))
    plan = remote.plan([spec(merchants=mchids(3))])
    body = AddMerchantsRequest(merchant_id_list=["1600000002"], add_request_no="x").json_bytes()

    async def forgetful(request: httpx.Request, send: Send) -> httpx.Response:
        if request.url.path.endswith(ADD):
            return await send(signed.request("POST", f"{ACTIVITIES_PATH}/{activity_id}/merchants/add", body))
        return await send(request)

    report = remote.apply(plan, fault=forgetful)
    assert statuses(report.outcomes) == ["failed"]
    assert [each.invalid_reason for each in report.outcomes[0].rejections] == ["WeChat Pay gave no reason"]


def test_merchants_that_somebody_changed_meanwhile_stop_the_change(remote: Remote) -> None:
    (activity_id,) = created(remote, spec(merchants=mchids(2)))
    plan = remote.plan([spec(merchants=mchids(3))])
    created(remote, spec(merchants=mchids(1)))
    report = remote.apply(plan)
    assert statuses(report.outcomes) == ["failed"]
    assert "changed by somebody else" in report.outcomes[0].reason
    assert remote.merchants(activity_id) == list(mchids(1))


def test_a_change_that_somebody_made_already_is_not_made_again(remote: Remote) -> None:
    (activity_id,) = created(remote, spec(merchants=mchids(2)))
    plan = remote.plan([spec(merchants=mchids(3))])
    step = plan.operations[0]
    created(remote, spec(merchants=mchids(3)))
    loose = replace(plan.changes[0], operations=(replace(step, precondition=None),))  # type: ignore[arg-type]
    report = remote.apply(replace(plan, changes=(loose,)))
    assert statuses(report.outcomes) == ["already done"]
    assert remote.merchants(activity_id) == list(mchids(3))


def test_an_activity_that_was_paused_meanwhile_is_not_terminated(remote: Remote) -> None:
    (activity_id,) = created(remote, spec())
    remote.wait(timedelta(days=7))
    plan = remote.plan([spec(state="terminated")])
    remote.world.pause(activity_id)
    report = remote.apply(plan)
    assert statuses(report.outcomes) == ["failed"]
    assert "STOP_ACT_STATUS" in report.outcomes[0].reason


def test_an_activity_that_began_meanwhile_is_still_the_same(remote: Remote) -> None:
    created(remote, spec())
    plan = remote.plan([spec(state="terminated")])
    remote.wait(timedelta(days=7))
    assert remote.apply(plan).complete


def test_what_somebody_terminated_meanwhile_is_already_done(remote: Remote) -> None:
    created(remote, spec())
    plan = remote.plan([spec(state="terminated")])
    assert remote.apply(plan).complete
    report = remote.apply(plan)
    assert statuses(report.outcomes) == ["already done"]
    assert len(remote.effects()) == 2


def test_merchants_of_an_activity_that_ended_meanwhile_are_left(remote: Remote) -> None:
    created(remote, spec())
    plan = remote.plan([spec(merchants=mchids(2))])
    assert remote.apply(remote.plan([spec(state="terminated")])).complete
    report = remote.apply(plan)
    assert statuses(report.outcomes)[0] == "failed"
    assert "has ended since" in report.outcomes[0].reason


def test_ending_what_ended_in_the_same_moment_is_already_done(remote: Remote) -> None:
    (activity_id,) = created(remote, spec())
    plan = remote.plan([spec(state="terminated")])

    async def fault(request: httpx.Request, send: Send) -> httpx.Response:
        # The same signed request twice: somebody else's termination arrives a moment before ours.
        if request.url.path.endswith(TERMINATE):
            await (await send(request)).aread()
        return await send(request)

    report = remote.apply(plan, fault=fault)
    assert statuses(report.outcomes) == ["already done"]
    assert remote.effects().count(f"terminated {activity_id}") == 1


def test_a_plan_without_operations_sends_nothing(remote: Remote) -> None:
    plan: Plan = remote.plan([])
    remote.network.sent.clear()
    assert remote.apply(plan).complete
    assert [line for line in remote.network.sent if "certificates" not in line] == []
