"""Lives that failed once, as small as they became, and the invariants that are still to be kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tests.simulation.script import Script


@dataclass(frozen=True)
class Known:
    """A life that failed: the seed that found it, the invariant that it broke, and what went wrong."""

    seed: int
    invariant: str
    about: str
    script: Script


NOT_YET: Final = frozenset({"fit", "lock", "order", "told", "planned", "signal", "breaker"})
"""The invariants that lives still break. Nothing else may be broken; an entry goes when its cause does."""

KNOWN: Final[tuple[Known, ...]] = ()
