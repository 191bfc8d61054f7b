"""Merchants that the files want served, whose campaign ends although what is to serve them cannot be changed.

The plan says "give nothing from then on", and exits 0: a warning about another key is all that tells why.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from reconciler.model.activity import LiveActivity
from tests.plan.test_service import RUNNING, ended, plan, refused, running
from tests.support.samples import PAUSED, TERMINATED, desired, live, mchids, terms

EAST, WEST = mchids(10), mchids(3, 1700000001)
JOINED = desired("east", merchants=(*EAST, *WEST), **RUNNING)
LEAVING = running("west", "2", merchants=WEST, goods_tags=("x",))


@pytest.mark.parametrize(
    "east",
    [
        replace(running("east", "1", merchants=EAST), terms=terms(transaction_amount_minimum=999, **RUNNING)),
        running("east", "1", merchants=EAST, status=PAUSED),
    ],
    ids=["LIVE_TERMS_DIFFER", "PAUSED"],
)
def test_a_campaign_is_not_joined_to_one_that_nothing_is_done_to_or_that_gives_nothing(
    east: LiveActivity,
) -> None:
    """``west.yaml`` deleted, its shops written into ``east.yaml``. Seen: west ends, 3 shops have nothing, exit 0."""
    made = plan([JOINED], [east, LEAVING])
    assert not ended(made) or refused(made)


def test_a_waived_refusal_of_what_starts_does_not_let_the_other_end() -> None:
    """A rename with an edit back to terms that had ended. ``--allow NUMBER_USED`` is for the others to go on. Seen: the
    former one ends, nothing starts."""
    new = desired("new", transaction_amount_minimum=7, merchants=EAST, **RUNNING)
    lives = [running("old", "1", merchants=EAST), replace(live(new, "2"), activity_status=TERMINATED)]
    made = plan([new], lives, allow=frozenset({"NUMBER_USED"}))
    assert not ended(made) or refused(made)
