"""A reviewed plan whose operations are the same, and what they mean to customers is not: staleness compares effects."""

from __future__ import annotations

from dataclasses import replace

from reconciler.plan.staleness import staleness
from tests.plan.test_service import RUNNING, plan, refused, running
from tests.support.samples import NOW, PAUSED, desired, mchids

EVERYDAY = desired("everyday", merchants=mchids(10), **RUNNING)
GIVES = running("everyday", "1", merchants=mchids(10))
LEAVING = running("extra", "2", merchants=mchids(10), goods_tags=("x",))


def test_a_plan_that_now_leaves_merchants_with_nothing_is_not_what_was_reviewed() -> None:
    """Reviewed: extra ends, and everyday goes on giving ("nothing" for 0 s). Then everyday is paused on the platform.
    Seen: `apply plan.json` finds nothing stale, and ends extra: 10 merchants have nothing.
    """
    reviewed = plan([EVERYDAY], [GIVES, LEAVING])
    lives = [replace(GIVES, activity_status=PAUSED), LEAVING]
    fresh = plan([EVERYDAY], lives)
    before, after = (made.changes[0].coverage for made in (reviewed, fresh))
    assert before is not None
    assert after is not None
    assert [each.nothing_seconds for each in before.sets] == [0]
    assert [each.nothing_seconds for each in after.sets] == [10 * 86_400]
    assert refused(fresh) == ["SUCCESSOR_UNFIT:extra"]
    assert staleness(reviewed, fresh, lives, now=NOW)
