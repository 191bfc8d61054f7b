"""What ends of a key that has several, and what goes on of it, at different hours of the same shops."""

from __future__ import annotations

from reconciler.model.activity import DayWindow
from tests.plan.test_service import RUNNING, ended, plan, refused, running
from tests.support.samples import desired, mchids

MORNINGS, EVENINGS = DayWindow("080000", "115959"), DayWindow("180000", "215959")


def test_what_goes_on_in_the_evening_does_not_meet_what_ended_of_the_morning() -> None:
    """``renamed_from: [a, b]`` with the terms of b. Seen: a ends, its 12 shops lose every morning for 10 days, and
    max_terminations 0 and max_merchant_deletions 0 pass without a finding. Alone, as a replacement of mornings by
    evenings, it is refused.
    """
    spec = desired("both", renamed_from=("a", "b"), merchants=mchids(12), available_day_time=(EVENINGS,), **RUNNING)
    lives = [
        running("a", "1", merchants=mchids(12), available_day_time=(MORNINGS,)),
        running("b", "2", merchants=mchids(12), available_day_time=(EVENINGS,)),
    ]
    made = plan([spec], lives, max_terminations=0, max_merchant_deletions=0)
    assert ended(made) == ["1"]
    assert "TOO_MANY_TERMINATIONS" in refused(made)
