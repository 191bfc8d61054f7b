"""An adopted activity that ends on its day is a campaign like any other."""

from __future__ import annotations

from dataclasses import replace

from tests.samples import NOW, ONGOING, OVER_TIME, desired, live, terms
from tests.test_service import DAY, RUNNING, codes, plan, refused

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
