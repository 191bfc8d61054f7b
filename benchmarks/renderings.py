"""How long a reviewer's comment takes to make: a plan of 2,000 operations as Markdown, and whether it still says all.

Times are the best of several runs, in milliseconds: the best run is the one that was least disturbed.
"""

import time
from typing import Final

from reconciler.model.operations import TerminateActivity
from reconciler.model.plan import Plan
from reconciler.render.markdown import MAX_CHARS, plan_markdown
from tests.support.samples import large

RUNS: Final = 10
OPERATIONS: Final = 2_000
TARGET_MS: Final = 200


def report() -> None:
    plan = large(OPERATIONS)
    text = plan_markdown(plan)
    best = min(_once_ms(plan) for _ in range(RUNS))
    essential = _essential(plan)
    named = sum(name in text for name in essential)
    print("\nrenderings")
    print(f"  {OPERATIONS:,} operations as Markdown {best:6.0f} ms   target {TARGET_MS} ms")
    print(f"  {len(text):,} of {MAX_CHARS:,} characters, {named:,} of {len(essential):,} endings and refusals named")


def _once_ms(plan: Plan) -> float:
    start = time.perf_counter()
    plan_markdown(plan)
    return (time.perf_counter() - start) * 1000


def _essential(plan: Plan) -> list[str]:
    """The ids of all that ends, and the keys of all that is refused."""
    ends = [step.activity_id for step in plan.operations if isinstance(step, TerminateActivity)]
    return [*ends, *(finding.key for finding in plan.refusals if finding.key)]
