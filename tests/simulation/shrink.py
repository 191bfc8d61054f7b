"""From a life that fails to the smallest one that fails in the same way."""

from __future__ import annotations

from tests.simulation.life import Lived, live
from tests.simulation.process import Process
from tests.simulation.script import Script, smaller

MOST_TRIES = 1500
"""Lives that are lived for one shrinking, which is enough for a script of twenty events."""


def shrunk(script: Script, invariant: str, *, kind: type[Process] = Process) -> Lived:
    """The smallest script found, by leaving out one thing after the other, whose life breaks ``invariant`` too."""
    best, tries = live(script, kind=kind), MOST_TRIES
    going_on = True
    while going_on:
        going_on = False
        for less in smaller(best.script):
            tries -= 1
            if tries < 0:
                return best
            lived = live(less, kind=kind)
            if invariant in lived.invariants:
                best, going_on = lived, True
                break
    return best
