"""``make simulate``: live many lives, and show the smallest script of each kind of failure.

Nothing here decides: a seed's life is in ``script``, what must be so in ``judge``, and what is known in ``known``.
"""

from __future__ import annotations

import os
import secrets
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import count, islice

import click

from tests.simulation.judge import INVARIANTS
from tests.simulation.known import KNOWN
from tests.simulation.life import Lived, live
from tests.simulation.script import life
from tests.simulation.shrink import shrunk

_AT_A_TIME = 20


@click.command()
@click.option("--seeds", default="", help="How many fresh seeds, or FIRST..LAST; by default 300 fresh ones.")
@click.option("--minutes", type=float, help="Go on with fresh seeds for so long.")
@click.option("--known", is_flag=True, help="The lives that once failed, and nothing else.")
@click.option("--jobs", type=int, default=os.cpu_count() or 1, help="Processes, one for each core by default.")
@click.option("--story", type=int, help="Tell the life of one seed, and its smallest failing script.")
def simulate(seeds: str, minutes: float | None, known: bool, jobs: int, story: int | None) -> None:
    """Live simulated lives of an account. Exits 1 if an invariant did not hold."""
    if story is not None:
        lived = live(life(story))
        _tell(lived)
        failed = _shrink(dict.fromkeys(lived.invariants, story))
    elif known:
        failed = _known()
    else:
        failed = _many(_numbers(seeds, minutes), minutes, jobs)
    raise SystemExit(1 if failed else 0)


def _numbers(seeds: str, minutes: float | None) -> Iterable[int]:
    first, dots, last = seeds.partition("..")
    if dots:
        return range(int(first), int(last) + 1)
    fresh = count(secrets.randbelow(10**9))
    return fresh if minutes is not None else islice(fresh, int(first or 300))


def _many(numbers: Iterable[int], minutes: float | None, jobs: int) -> bool:
    """Whether one failed."""
    began = time.monotonic()
    lives, found, first = 0, Counter[str](), dict[str, int]()
    with ProcessPoolExecutor(jobs) as pool:
        todo = iter(numbers)
        while round_ := [list(islice(todo, _AT_A_TIME)) for _ in range(jobs)]:
            for failures in pool.map(_lived, round_):
                for seed, invariants in failures:
                    found.update(invariants)
                    for invariant in invariants:
                        first.setdefault(invariant, seed)
                    click.echo(f"seed {seed}: {', '.join(sorted(invariants))}")
            lives += sum(map(len, round_))
            over = minutes is not None and time.monotonic() - began > minutes * 60
            if over or not round_[-1]:
                break
    took = time.monotonic() - began
    click.echo(f"{lives} lives in {took:.0f} s, {lives / took * 60:.0f} a minute, on {jobs} processes.")
    for invariant, times in found.most_common():
        click.echo(f"{times:5} lives break [{invariant}] {INVARIANTS[invariant]}.")
    return _shrink(first)


def _lived(seeds: list[int]) -> list[tuple[int, frozenset[str]]]:
    """The lives that failed."""
    lived = ((seed, live(life(seed)).invariants) for seed in seeds)
    return [(seed, invariants) for seed, invariants in lived if invariants]


def _shrink(first: dict[str, int]) -> bool:
    for invariant, seed in sorted(first.items()):
        click.echo(f"\nThe smallest life that breaks [{invariant}] as that of seed {seed} does:\n")
        _tell(shrunk(life(seed), invariant))
    return bool(first)


def _known() -> bool:
    failed = False
    for each in KNOWN:
        still = each.invariant in live(each.script).invariants
        failed |= still
        click.echo(f"{'fails' if still else 'holds':5}  [{each.invariant}] seed {each.seed}: {each.about}")
    return failed


def _tell(lived: Lived) -> None:
    for line in _lines(lived):
        click.echo(line)


def _lines(lived: Lived) -> Iterator[str]:
    yield from lived.story
    yield from (f"  !! {violation}" for violation in lived.violations)
    yield f"\n{lived.script!r}"


if __name__ == "__main__":
    simulate()
