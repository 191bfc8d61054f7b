"""Nothing ends while its successor is not fit, and nothing is called what no answer proves (docs/concepts.md)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from reconciler.journal.database import open_sqlite
from reconciler.live.translate import create_request
from reconciler.model.activity import Award
from reconciler.model.report import OutcomeStatus, Report
from reconciler.render.text import report_text
from reconciler.render.views.report import report_view
from tests.apply.test_apply import ADD, CREATE, DELETE, TERMINATE, UPLOAD, created, spec
from tests.apply.test_recording import JournaledRemote
from tests.support.images import local_image
from tests.support.remote import Fault, Remote, Send, statuses
from tests.support.samples import mchids

RUNNING: dict[str, Any] = {"begin_time": Remote().now - timedelta(days=3)}
LATER = spec(transaction_amount_minimum=200, **RUNNING)


@pytest.fixture
def remote() -> Remote:
    return Remote()


def ended(remote: Remote) -> list[str]:
    return [each["activity_id"] for each in remote.world.history() if each["effect"] == "terminated"]


def newest(remote: Remote) -> str:
    return max(remote.ids())


def once_created(remote: Remote, do: Callable[[str], Any]) -> Fault:
    """``do`` something to a new activity once the list was read after its creation."""
    seen, done = False, False

    async def fault(request: httpx.Request, send: Send) -> httpx.Response:
        nonlocal seen, done
        response = await send(request)
        if request.method == "POST" and request.url.path.endswith(CREATE):
            seen = True
        elif seen and not done and request.method == "GET" and request.url.path.count("/activities/"):
            done = True
            do(newest(remote))
        return response

    return fault


def read(path_part: str, answer: Callable[[httpx.Request], httpx.Response], after: str) -> Fault:
    """Reads of a path get ``answer`` once a write to ``after`` has been sent."""
    sent = False

    async def fault(request: httpx.Request, send: Send) -> httpx.Response:
        nonlocal sent
        if request.method == "GET" and sent and path_part in request.url.path:
            return answer(request)
        if request.method == "POST" and request.url.path.endswith(after):
            sent = True
        return await send(request)

    return fault


# -- fit, right before the end -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["fail_creation", "pause", "end"])
def test_a_successor_that_stops_being_fit_holds_the_end_back(remote: Remote, what: str) -> None:
    created(remote, spec(**RUNNING))

    def happen(activity_id: str) -> None:
        if what == "end":
            remote.world.insert_activity(
                {
                    **_truth(remote, activity_id)["item"],
                    "activity_id": activity_id,
                    "activity_status": "TERMINATE_ACT_STATUS",
                },
                mchids(1),
            )
        else:
            getattr(remote.world, what)(activity_id)

    report = remote.apply(remote.plan([LATER]), fault=once_created(remote, happen))
    assert statuses(report.outcomes)[-1] == "not started"
    assert "nothing has changed for its merchants" in report.outcomes[-1].reason
    assert ended(remote) == []
    assert not report.complete


def _truth(remote: Remote, activity_id: str) -> dict[str, Any]:
    (found,) = (each for each in remote.world.activities() if each["activity_id"] == activity_id)
    return found


def test_a_successor_that_lacks_merchants_holds_the_end_back(remote: Remote) -> None:
    before = spec(merchants=mchids(540), **RUNNING)
    created(remote, before)
    for mchid in mchids(540)[520:]:
        remote.world.declare_invalid(mchid, "商户与活动创建方不具备父子关系")
    report = remote.apply(remote.plan([replace(before, terms=LATER.terms)]))
    assert statuses(report.outcomes)[-3:] == ["done", "partial", "not started"]
    assert "does not serve 20 of 540 merchants" in report.outcomes[-1].reason
    assert ended(remote) == []


def test_merchants_that_only_the_new_one_wants_hold_nothing_back(remote: Remote) -> None:
    created(remote, spec(merchants=mchids(3), **RUNNING))
    many = replace(LATER, merchants=mchids(501))
    remote.seed([many])
    # A create takes all of its merchants or none; so the one that is refused comes with a second call.
    remote.world.declare_invalid(mchids(501)[500], "不行")
    report = remote.apply(remote.plan([many]))
    assert statuses(report.outcomes)[-3:] == ["done", "failed", "done"]
    assert len(ended(remote)) == 1


def test_an_ended_activity_that_answers_a_create_is_none(remote: Remote) -> None:
    """Its row is hidden while the plan is made, so that its number looks new."""
    (old,) = created(remote, LATER)
    remote.call(lambda api: api.terminate(old))
    (running,) = [each for each in created(remote, spec(generation=2, **RUNNING)) if each]
    remote.world.add_fault({"kind": "row_hidden", "ids": old, "count": 1})
    plan = remote.plan([LATER])
    assert [step.operation for step in plan.operations][-2:] == ["create", "terminate"]
    report = remote.apply(plan)
    assert statuses(report.outcomes)[-2:] == ["failed", "not started"]
    assert "has ended" in report.outcomes[-2].reason
    assert ended(remote) == [old]
    assert running in remote.ids()


def test_a_superseded_activity_stays_while_what_is_kept_is_not_fit(remote: Remote) -> None:
    (kept,) = created(remote, spec(**RUNNING))
    body = _truth(remote, kept)
    number = body["out_request_no"].replace("_g1_", "_g2_")
    item = {
        **body["item"],
        "activity_base_info": {**body["item"]["activity_base_info"], "out_request_no": number},
    }
    remote.world.insert_activity(item, mchids(1))
    plan = remote.plan([spec(**RUNNING)])
    (operation,) = plan.operations
    assert operation.operation == "terminate"
    remote.world.pause(operation.successor_id)
    report = remote.apply(plan)
    assert statuses(report.outcomes) == ["not started"]
    assert ended(remote) == []


# -- the circuit breaker -----------------------------------------------------------------------------------------------


def several(**changes: Any) -> list[Any]:
    return [spec(f"k{number:02}", **{**RUNNING, **changes}) for number in range(12)]


def refuse_creates(remote: Remote, status: int = 403, code: str = "NO_AUTH", count: int = 0) -> None:
    remote.world.add_fault({"kind": "refused", "route": "create", "status": status, "code": code, "count": count})


def test_once_creating_is_refused_nothing_ends_for_a_create(remote: Remote) -> None:
    created(remote, *several())
    wanted = several(transaction_amount_minimum=200, replace="terminate_first")
    new = spec("a-new-one", transaction_amount_minimum=5)
    remote.seed([*wanted, new])
    plan = remote.plan([*wanted, new])
    refuse_creates(remote)
    report = remote.apply(plan)
    assert ended(remote) == []
    held = [each for each in report.outcomes if each.operation.operation == "terminate"]
    assert {each.status for each in held} == {OutcomeStatus.NOT_STARTED}
    assert "Creating was refused for another activity" in held[0].reason


def test_what_has_ended_and_is_not_replaced_is_said(remote: Remote) -> None:
    """Without another create to learn from, one has ended before it is known; no more."""
    created(remote, *several(merchants=mchids(37)))
    wanted = several(transaction_amount_minimum=200, replace="terminate_first", merchants=mchids(37))
    remote.seed(wanted)
    plan = remote.plan(wanted)
    refuse_creates(remote)
    report = remote.apply(plan)
    assert len(ended(remote)) == 1
    text = report_text(report_view(report))
    assert "1 campaign has ended and is not replaced: 37 merchants give nothing now." in text


def test_a_refusal_that_is_the_specs_own_stops_nobody_else(remote: Remote) -> None:
    created(remote, *several())
    wanted = several(transaction_amount_minimum=200, replace="terminate_first")
    remote.seed(wanted)
    plan = remote.plan(wanted)
    refuse_creates(remote, status=400, code="PARAM_ERROR", count=1)
    report = remote.apply(plan)
    assert len(ended(remote)) == 12
    assert sum(each.status is OutcomeStatus.DONE for each in report.outcomes) >= 12 + 11


# -- a create that meets what is there ---------------------------------------------------------------------------------


def test_a_create_that_meets_an_activity_deletes_nothing(remote: Remote) -> None:
    everybody = spec(merchants=mchids(100))
    (found,) = created(remote, everybody)
    remote.world.add_fault({"kind": "row_hidden", "ids": found, "count": 1})
    plan = remote.plan([replace(everybody, merchants=mchids(10))])
    report = remote.apply(plan)
    assert statuses(report.outcomes)[-1] == "partial"
    assert "90 merchants that the plan does not name" in report.outcomes[-1].reason
    assert remote.merchants(found) == list(mchids(100))


@pytest.mark.parametrize("code", ["INVALID_REQUEST", "RESOURCE_ALREADY_EXISTS", "WHATEVER"])
def test_a_number_conflict_is_looked_up_whatever_the_words(remote: Remote, code: str) -> None:
    (found,) = created(remote, spec())
    remote.world.add_fault({"kind": "row_hidden", "ids": found, "count": 1})
    plan = remote.plan([spec()])
    remote.world.add_fault({"kind": "refused", "route": "create", "status": 400, "code": code, "count": 1})
    report = remote.apply(plan)
    assert statuses(report.outcomes)[-1] == "already done"
    assert report.outcomes[-1].activity_id == found


# -- what an answer proves ---------------------------------------------------------------------------------------------


def html(status: int) -> Callable[[httpx.Request], httpx.Response]:
    return lambda request: httpx.Response(status, content=b"<html>no</html>", request=request)


def forwarded_then_refused(where: str, status: int) -> Fault:
    """A gateway that forwards a write, and answers for itself."""

    async def fault(request: httpx.Request, send: Send) -> httpx.Response:
        if request.method == "POST" and request.url.path.endswith(where):
            await (await send(request)).aread()
            return html(status)(request)
        return await send(request)

    return fault


@pytest.mark.sampled(every=5)
@pytest.mark.parametrize("status", [400, 401, 403, 404, 408, 409, 413, 417, 422, 426, 429, 451])
@pytest.mark.parametrize("where", [TERMINATE, CREATE, ADD, DELETE])
def test_an_unsigned_refusal_proves_nothing(remote: Remote, where: str, status: int) -> None:
    created(remote, spec(merchants=mchids(4), **RUNNING))
    wanted = {
        TERMINATE: spec(merchants=mchids(4), transaction_amount_minimum=200, replace="terminate_first", **RUNNING),
        CREATE: spec(merchants=mchids(4), transaction_amount_minimum=200, **RUNNING),
        ADD: spec(merchants=mchids(5), **RUNNING),
        DELETE: spec(merchants=mchids(3), **RUNNING),
    }[where]
    remote.seed([wanted])
    report = remote.apply(remote.plan([wanted]), fault=forwarded_then_refused(where, status))
    assert report.complete, [(each.status, each.reason) for each in report.outcomes]
    (doubted,) = [each for each in report.outcomes if each.by_reading]
    assert "reading shows that it has happened" in doubted.reason
    assert not doubted.request_id
    assert "No answer proved 1 operation; reading shows what happened." in report_text(report_view(report))
    assert remote.plan([wanted]).empty


@pytest.mark.parametrize(
    ("wanted", "path", "after", "expected"),
    [
        (
            spec(transaction_amount_minimum=200, replace="terminate_first", **RUNNING),
            "/activities/{old}",
            TERMINATE,
            ["done, not verified", "done"],
        ),
        (spec("autumn"), "/activities/", CREATE, ["done, not verified"]),
        (spec(merchants=("1900000001", *mchids(3)), **RUNNING), "/merchants", ADD, ["done, not verified"]),
        (
            spec(merchants=mchids(1, start=1600000009), **RUNNING),
            "/merchants",
            DELETE,
            ["done", "done, not verified"],
        ),
    ],
)
def test_a_proven_write_that_cannot_be_read_back_is_done_and_asked_about_later(
    memory_path: Path, wanted: Any, path: str, after: str, expected: list[str]
) -> None:
    journal = JournaledRemote(Remote(reads=2), open_sqlite(memory_path / "journal.db"))
    remote = journal.remote
    (old,) = created(remote, spec(**RUNNING))
    unreadable = read(path.format(old=old), html(500), after)
    others = [] if wanted.key == "spring" else [spec(**RUNNING)]
    report = journal.apply(wanted, *others, fault=unreadable)
    assert statuses(report.outcomes)[-len(expected) :] == expected
    (doubted,) = [each for each in report.outcomes if each.status is OutcomeStatus.UNVERIFIED]
    assert doubted.request_id.startswith("SANDBOX-")
    assert "proves that it was done" in doubted.reason
    assert not report.complete
    assert len(journal.run.journal.open_intents()) == 1
    (asked,) = journal.resume()
    assert asked.status is OutcomeStatus.DONE
    assert journal.run.journal.open_intents() == []
    assert remote.plan([wanted, *others]).empty
    journal.close()


def test_rejections_are_told_though_the_merchants_cannot_be_read_back(remote: Remote) -> None:
    created(remote, spec(**RUNNING))
    bad = mchids(3)[2]
    remote.world.declare_invalid(bad, "商户与活动创建方不具备父子关系")
    wanted = spec(merchants=("1900000001", *mchids(3)), **RUNNING)
    report = remote.apply(remote.plan([wanted]), fault=read("/merchants", html(500), ADD))
    (add,) = report.outcomes
    assert add.status is OutcomeStatus.UNVERIFIED
    assert [each.mchid for each in add.rejections] == [bad]


# -- after the first signal, and without the lock ----------------------------------------------------------------------


def stopped_at(remote: Remote, where: str) -> Fault:
    """A rate limit answers the first write to ``where``, and somebody asks the run to stop meanwhile."""
    struck = False

    async def fault(request: httpx.Request, send: Send) -> httpx.Response:
        nonlocal struck
        if request.method == "POST" and request.url.path.endswith(where) and not struck:
            struck = True
            remote.world.add_fault({"kind": "rate_limited", "route": "any", "count": 1})
            assert remote.stop is not None
            remote.stop.set()
        return await send(request)

    return fault


@pytest.mark.parametrize("where", [CREATE, UPLOAD])
def test_after_the_first_signal_no_write_leaves_again(remote: Remote, where: str) -> None:
    wanted = [spec(award_list=(Award("98065001", local_image(0)),))]
    remote.seed(wanted)
    plan = remote.plan(wanted)
    remote.stop = asyncio.Event()
    report = remote.apply(plan, fault=stopped_at(remote, where))
    sent = [line for line in remote.network.sent if line.startswith("POST") and line.endswith(where)]
    assert len(sent) == 1
    assert report.interrupted
    assert set(statuses(report.outcomes)) <= {"done", "not started"}
    assert "interrupted" in report.outcomes[-1].reason


class Losing:
    """A journal whose lock is taken away after so many questions."""

    def __init__(self, journal: JournaledRemote, questions: int) -> None:
        self._run, self._left = journal.run, questions

    async def require(self) -> None:
        self._left -= 1
        if self._left < 0:
            self._run.journal.lock.break_()
        await self._run.require()

    async def intend(self, what: Any) -> int:
        return await self._run.intend(what)

    async def conclude(self, what: Any) -> None:
        await self._run.conclude(what)


def test_whoever_lost_the_lock_sends_nothing_more(memory_path: Path) -> None:
    journal = JournaledRemote(Remote(reads=2), open_sqlite(memory_path / "journal.db"))
    journal.remote.world.add_fault({"kind": "rate_limited", "route": "create", "count": 1})
    before = len(journal.remote.world.history())
    report = journal.apply(spec(), record=Losing(journal, 3))  # two uploads, and the first try of the create
    assert statuses(report.outcomes) == ["done", "done", "not started"]
    assert "was taken away" in report.outcomes[-1].reason
    assert not [each for each in journal.remote.world.history()[before:] if each["effect"] == "created"]
    journal.close()


def test_one_defect_loses_no_other_outcome(remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = [spec("broken"), spec("fine", transaction_amount_minimum=5)]
    remote.seed(wanted)
    plan = remote.plan(wanted)

    def breaks(number: str, *rest: Any) -> Any:
        if "_broken_" in number:
            raise ZeroDivisionError("a defect")
        return create_request(number, *rest)

    monkeypatch.setattr("reconciler.apply.writes.create_request", breaks)
    report: Report = remote.apply(plan)
    assert statuses(report.outcomes)[-2:] == ["failed", "done"]
    assert "ZeroDivisionError" in report.outcomes[-2].reason
