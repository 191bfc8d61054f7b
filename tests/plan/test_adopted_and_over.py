"""An adopted activity that ends on its day is a campaign like any other."""

from __future__ import annotations

from dataclasses import replace

from reconciler.model.witness import Witness
from reconciler.plan import make_plan
from reconciler.plan.staleness import staleness
from tests.plan.test_service import DAY, RUNNING, codes, plan, refused, running
from tests.support.samples import NAMESPACE, NOW, ONGOING, OVER_TIME, TERMINATED, desired, live, terms

WEB = live(activity_id="77", status=ONGOING, merchants=("1900000001",), terms=terms(**RUNNING))
SPEC = desired(adopt="77", begin_time=NOW - 9 * DAY, end_time=NOW - DAY)
OVER = replace(WEB, activity_status=OVER_TIME, terms=SPEC.terms)


def test_an_adopted_activity_that_ended_with_its_spec_is_no_refusal() -> None:
    """It was ADOPT_ENDED: exit 5 for the whole project from the day after the campaign on, until somebody removed the
    spec.
    """
    assert codes(plan([replace(SPEC, adopt="")], [])) == ["SPEC_ENDED"]
    made = plan([SPEC], [OVER])
    assert refused(made) == []
    assert codes(made) == ["SPEC_ENDED"]


def test_nor_is_one_whose_replacement_has_ended_too() -> None:
    replaced = live(replace(SPEC, adopt=""), "78", status=OVER_TIME)
    assert refused(plan([SPEC], [OVER, replaced])) == []


def test_what_was_adopted_and_ended_first_is_followed_by_its_create_after_a_crash() -> None:
    """``adopt`` with ``replace: terminate_first`` and an edit; apply dies between its two writes. It was ADOPT_ENDED in
    each later plan, so that the create never came, and the merchants had nothing, and the reviewed plan was stale
    ("vanished"). Without ``adopt`` the create is planned again, as it should be.
    """
    edited = desired(adopt="77", transaction_amount_minimum=7, replace="terminate_first", **RUNNING)
    reviewed = plan([edited], [WEB])
    assert [each.operation for each in reviewed.operations] == ["terminate", "create"]
    half = [replace(WEB, activity_status=TERMINATED)]
    fresh = make_plan([edited], half, namespace=NAMESPACE, now=NOW, witness=Witness(terminated=frozenset({"77"})))
    assert [each.operation for each in fresh.operations] == ["create"]
    assert staleness(reviewed, fresh, half, now=NOW) == ()


def test_an_adoption_that_will_stop_the_create_stops_the_end_before_it() -> None:
    """A wrong id in ``adopt`` beside a running activity of the key. The id was not looked at, the running one ended
    first, and where apply died there, ADOPT_NOT_FOUND stopped the create.
    """
    edited = desired(adopt="404", transaction_amount_minimum=7, replace="terminate_first", **RUNNING)
    lives = [running()]
    first = plan([edited], lives)
    half = [replace(lives[0], activity_status=TERMINATED)]
    assert refused(first) == refused(plan([edited], half))


def test_what_was_adopted_and_ended_by_us_does_not_come_back_with_the_same_terms() -> None:
    """``state: terminated`` ended it. A spec that says ``running`` again would create what nobody has edited."""
    ended = [replace(WEB, activity_status=TERMINATED)]
    witness = Witness(terminated=frozenset({"77"}))
    same = desired(adopt="77", **RUNNING)
    assert refused(make_plan([same], ended, namespace=NAMESPACE, now=NOW, witness=witness)) == ["ADOPT_ENDED:spring"]


def test_an_unknown_adoption_does_not_stop_what_is_created_first() -> None:
    """An activity that was adopted and replaced long ago is in no list any more. If apply dies between the two, the
    successor is there already.
    """
    edited = desired(adopt="404", transaction_amount_minimum=7, **RUNNING)
    assert refused(plan([edited], [running()])) == []
