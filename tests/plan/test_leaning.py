"""An end whose merchants go on under another key, since the plan adds them there or creates something there, waits for
that. Joining two campaigns, dividing one and moving shops are everyday edits, and what the plan gives may be refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from reconciler.model.activity import Award, DesiredActivity
from reconciler.model.plan import Plan
from reconciler.model.report import OutcomeStatus, Report
from tests.apply.test_apply import created, spec
from tests.support.images import local_image
from tests.support.remote import Remote
from tests.support.samples import PAUSED, TERMINATED, mchids

EAST, WEST = mchids(4), mchids(4, 1700000001)


def begun(*specs: DesiredActivity) -> Remote:
    """An account with these campaigns, a week after they began."""
    remote = Remote()
    created(remote, *specs)
    remote.wait(timedelta(days=7))
    return remote


def run(remote: Remote, wanted: Sequence[DesiredActivity], **more: Any) -> tuple[Plan, Report]:
    plan = remote.plan(wanted)
    assert plan.refusals == ()
    return plan, remote.apply(plan, **more)


def served(remote: Remote) -> set[str]:
    """Everybody to whose payers something gives."""
    return {
        mchid
        for each in remote.world.activities()
        if each["activity_status"] not in (TERMINATED, PAUSED)
        for mchid in each["merchants"]
    }


def said_bare(plan: Plan) -> int:
    """How many merchants have nothing at all for some time, as the plan has it."""
    coverages = [change.coverage for change in plan.changes if change.coverage is not None]
    return sum(each.count for coverage in coverages for each in coverage.sets if each.nothing_seconds)


def test_a_campaign_that_is_joined_to_another_does_not_end_while_its_merchants_are_refused_there() -> None:
    """``west.yaml`` deleted, its shops written into ``east.yaml``. Seen: the add is rejected (同品牌), west ends, its 4
    merchants have nothing. No finding at all in the plan.
    """
    remote = begun(spec("east", merchants=EAST), spec("west", merchants=WEST, activity_name="西"))
    for mchid in WEST:
        remote.world.declare_invalid(mchid)
    plan, _ = run(remote, [spec("east", merchants=(*EAST, *WEST))])
    assert said_bare(plan) == 0
    assert served(remote) == {*EAST, *WEST}


def test_a_campaign_that_is_divided_does_not_end_while_one_part_is_refused() -> None:
    """``all.yaml`` becomes ``east.yaml`` and ``west.yaml``, neither with more than half. Seen: west's coupon is wrong,
    its create fails, all ends, west's 4 merchants have nothing.
    """
    remote = begun(spec("all", merchants=(*EAST, *WEST)))
    west = spec("west", merchants=WEST, transaction_amount_minimum=300, award_list=(Award("404", local_image(1)),))
    east = spec("east", merchants=EAST, transaction_amount_minimum=200)
    remote.seed([east])
    plan, _ = run(remote, [east, west])
    assert said_bare(plan) == 0
    assert served(remote) == {*EAST, *WEST}


def test_a_campaign_does_not_end_for_what_its_own_spec_says_while_another_is_refused() -> None:
    """``state: terminated`` beside a new campaign for the same shops: the plan says that nobody has nothing."""
    remote = begun(spec("old", merchants=EAST))
    new = spec("new", merchants=EAST, transaction_amount_minimum=200, award_list=(Award("404", local_image(1)),))
    plan, _ = run(remote, [spec("old", merchants=EAST, state="terminated"), new])
    assert said_bare(plan) == 0
    assert served(remote) == set(EAST)


def test_a_shop_that_moves_to_another_campaign_stays_where_it_was_while_it_is_refused_there() -> None:
    """One shop written into ``west.yaml`` instead of ``east.yaml``. Seen: rejected there, and deleted here."""
    remote = begun(spec("east", merchants=EAST), spec("west", merchants=WEST, activity_name="西"))
    remote.world.declare_invalid(EAST[0])
    run(
        remote,
        [spec("east", merchants=EAST[1:]), spec("west", merchants=(EAST[0], *WEST), activity_name="西")],
    )
    assert served(remote) == {*EAST, *WEST}


def test_two_campaigns_that_change_places_do_not_end_for_one_another_while_one_is_refused() -> None:
    """Each key gets the other's shops, with another amount. Seen: the one is created and ends its old activity, whose
    shops the other was to serve; that one's create fails."""
    others = [spec(f"other-{number}", merchants=("1500000001",), goods_tags=(str(number),)) for number in range(8)]
    remote = begun(spec("east", merchants=EAST), spec("west", merchants=WEST), *others)
    wrong = (Award("404", local_image(1)),)
    wanted = [
        spec("east", merchants=WEST, transaction_amount_minimum=7),
        spec("west", merchants=EAST, transaction_amount_minimum=7, award_list=wrong),
    ]
    run(remote, [*wanted, *others])
    assert served(remote) >= {*EAST, *WEST}


def test_running_again_after_some_shops_were_refused_does_not_end_what_serves_them() -> None:
    """700 shops, renamed and edited; 3 of the last 200 are refused. Seen: the first run holds the end back, since
    the new one does not serve all; the second tries the 3 again in vain, and ends the old one.
    """
    shops = mchids(700)
    remote = begun(spec("old", merchants=shops))
    for mchid in shops[-3:]:
        remote.world.declare_invalid(mchid)
    wanted = [spec("new", merchants=shops, transaction_amount_minimum=300)]
    remote.seed(wanted)
    _, report = run(remote, wanted)
    assert "does not serve 3 of 700 merchants" in report.outcomes[-1].reason
    plan = remote.plan(wanted)
    if not plan.refusals:
        remote.apply(plan)
    assert served(remote) == set(shops)


@pytest.mark.parametrize("route", ["create", "upload"])
def test_what_waits_for_a_create_that_did_not_come_says_so_at_once(route: str) -> None:
    """It looked for the activity for 15 s, and said that it does not show in the list yet: after a create that was
    refused, and after one that was not started since its image was refused.
    """
    remote = begun(spec("whole", merchants=(*EAST, *WEST)))
    parts = [
        spec("part-east", merchants=EAST, transaction_amount_minimum=7),
        spec("part-west", merchants=WEST, transaction_amount_minimum=8),
    ]
    remote.seed(parts)
    remote.world.add_fault({"kind": "refused", "route": route, "status": 403, "code": "NO_AUTH"})
    _, report = run(remote, parts)
    held = report.outcomes[-1]
    assert (held.operation.operation, held.status) == ("terminate", OutcomeStatus.NOT_STARTED)
    assert "part-east was not created (" in held.reason
    assert served(remote) == {*EAST, *WEST}
