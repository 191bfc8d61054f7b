"""How long it takes until `paygift` does anything: what every command pays.

Times are the best of several runs, in milliseconds: the best run is the one that was least disturbed.
"""

import subprocess
import sys
import time

RUNS = 10
TARGETS_MS = {("--help",): 80, ("--version",): 80}


def best_ms(arguments: tuple[str, ...]) -> float:
    """Wall time in milliseconds of the quickest of RUNS runs of `paygift` with these arguments."""
    command = [sys.executable, "-m", "reconciler", *arguments]
    return min(_once_ms(command) for _ in range(RUNS))


def _once_ms(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return (time.perf_counter() - start) * 1000


def report() -> None:
    print("\nstart-up")
    for arguments, target in TARGETS_MS.items():
        print(f"  paygift {' '.join(arguments):12} {best_ms(arguments):6.0f} ms   target {target} ms")
