"""Lives that failed once, as small as they became, and the invariants that are still to be kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tests.simulation.script import Apply, Edit, Hands, Pass, Script, Spec, Strike, Unlock


@dataclass(frozen=True)
class Known:
    """A life that failed: the seed that found it, the invariant that it broke, and what went wrong.

    Seeds are those of the drawing as it was when they were found. The script is what is lived.
    """

    seed: int
    invariant: str
    about: str
    script: Script


NOT_YET: Final[frozenset[str]] = frozenset()
"""The invariants that lives still break: none. One that is put in here is not asked for by the tests."""

KNOWN: Final = (
    Known(
        876,
        "fit",
        "the creation of the successor fails after it was shown once, and the old one is ended",
        Script(
            (
                Edit((Spec("summer", amount=300),)),
                Apply(),
                Edit((Spec("autumn", amount=300),)),
                Apply((Strike("detail", 0, "hands_fail"),)),
            )
        ),
    ),
    Known(
        42,
        "fit",
        "the successor is paused after it was created, and the old one is ended",
        Script(
            (
                Edit((Spec("summer"),)),
                Apply(),
                Edit((Spec("summer", amount=200),)),
                Apply((Strike("create", 0, "hands_pause"),)),
            )
        ),
    ),
    Known(
        289,
        "fit",
        "half of the successor's merchants were not added, and the old one is ended",
        Script(
            (
                Edit((Spec("spring", (0, 3, 4), amount=200),)),
                Apply(),
                Edit((Spec("summer", (1, 2, 3, 4)),)),
                Apply((Strike("add", 0, "half_add"),)),
            )
        ),
    ),
    Known(
        1239,
        "breaker",
        "a create is refused since the account takes no new activities, and a campaign ends that another was to follow",
        Script(
            (
                Edit((Spec("summer", amount=200),)),
                Apply(),
                Hands("close"),
                Edit((Spec("spring", amount=400), Spec("summer", amount=300, replace="terminate_first"))),
                Apply(),
            )
        ),
    ),
    Known(
        3053,
        "planned",
        "a create meets an activity that the list did not show, and deletes merchants of it",
        Script(
            (
                Edit((Spec("autumn", amount=200, day=-10),)),
                Apply((Strike("create", 0, "late_list", 9),)),
                Edit((Spec("autumn", (1, 2, 3), amount=200, day=-10),)),
                Apply(),
                Apply(),
            )
        ),
    ),
    Known(
        2517,
        "told",
        "a create is answered with an activity that has ended, whose row one read did not show: reported as done",
        Script(
            (
                Edit((Spec("autumn", amount=200),)),
                Apply(),
                Edit((Spec("summer", amount=300),)),
                Apply((Strike("terminate", 0, "hands_terminate"),)),
                Edit(()),
                Apply((Strike("list", 0, "row_vanishes"),), behind=1),
            )
        ),
    ),
    Known(
        21,
        "told",
        "a gateway forwards a terminate and answers 413 itself: reported as failed",
        Script(
            (
                Edit((Spec("summer", amount=200),)),
                Apply(),
                Edit(()),
                Apply((Strike("terminate", 0, "html_after", 413),)),
            )
        ),
    ),
    Known(
        377,
        "told",
        "a gateway forwards a create and answers 403 itself: reported as failed",
        Script((Edit((Spec("summer", amount=500),)), Apply((Strike("create", 0, "html_after", 403),)))),
    ),
    Known(
        9186,
        "told",
        "a gateway forwards an add and answers 403 itself: reported as failed",
        Script(
            (
                Edit((Spec("spring", (0, 1, 4), amount=300),)),
                Edit(()),
                Apply((Strike("add", 0, "html_after", 403),), behind=1),
            )
        ),
    ),
    Known(
        1466,
        "told",
        "a terminate is proven, and reading it back fails: reported as failed",
        Script(
            (
                Edit((Spec("summer", amount=200),)),
                Apply(),
                Edit((Spec("autumn", amount=300),)),
                Apply((Strike("detail", 2, "error_after", 500, times=5),)),
            )
        ),
    ),
    Known(
        2492,
        "lock",
        "a terminate that was answered 429 is sent again after the lock was broken",
        Script(
            (
                Edit((Spec("summer"),)),
                Apply(),
                Edit(()),
                Apply((Strike("terminate", 0, "rate_limited", 5), Strike("terminate", 0, "unlock_before"))),
            )
        ),
    ),
    Known(
        40,
        "lock",
        "a create that was written down under the lock waits for its turn, and leaves after the lock was broken",
        Script(
            (
                Edit((Spec("autumn", amount=300), Spec("summer", amount=200))),
                Apply((Strike("create", 0, "unlock_after"),)),
            )
        ),
    ),
    Known(
        189,
        "lock",
        "a terminate that was answered 500, and is seen not to have happened, is sent again after the lock was broken",
        Script(
            (
                Edit((Spec("summer"),)),
                Apply(),
                Apply((Strike("terminate", 0, "error_before", 500),), behind=1, wait=False),
                Unlock(),
            )
        ),
    ),
    Known(
        1487,
        "lock",
        "the database session is lost, and with it the lock; the run connects again and writes on",
        Script(
            (
                Edit((Spec("autumn", amount=200), Spec("summer"))),
                Apply(),
                Edit(()),
                Apply(
                    (Strike("merchants", 1, "wrong_signature"), Strike("terminate", 0, "kill_before")),
                    wait=False,
                ),
                Apply((Strike("journal", 8, "lost"),)),
            ),
            journal="postgresql",
        ),
    ),
    Known(
        573,
        "signal",
        "a run is asked to stop while it adds merchants, and writes that had not left yet leave",
        Script(
            (
                Edit((Spec("spring", (0, 1, 2, 4)), Spec("summer", (1, 3, 4), amount=300))),
                Apply((Strike("add", 0, "signal"),)),
            )
        ),
    ),
    Known(
        193,
        "order",
        "an apply of an older commit has waited for the lock, gets it last, and ends what the newer one made",
        Script(
            (
                Edit((Spec("summer", (0, 1, 4), amount=200),)),
                Apply(wait=False, slow=40),
                Pass(0.3),
                Edit(()),
                Apply(wait=False),
                Pass(0.05),
                Edit((Spec("summer", amount=300),)),
                Apply(),
            )
        ),
    ),
    Known(
        27,
        "order",
        "an old run is run again, and ends what its commit did not know",
        Script((Edit((Spec("spring"),)), Apply(), Apply(behind=1))),
    ),
    Known(
        346363201,
        "told",
        "a create is proven, a merchant must be added again, and the lock is lost: reported as failed",
        Script(
            (
                Edit((Spec("autumn", amount=300),)),
                Apply((Strike("create", 0, "hands_drop"), Strike("detail", 0, "unlock_after"))),
            )
        ),
    ),
    Known(
        2248,
        "told",
        "the same, and the run is asked to stop: the create is reported as not started",
        Script(
            (
                Edit((Spec("autumn", amount=300),)),
                Apply((Strike("create", 0, "hands_drop"), Strike("detail", 0, "signal"))),
            )
        ),
    ),
)
