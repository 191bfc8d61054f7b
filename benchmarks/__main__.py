"""Measure what people wait for, and hold it against its target: `make bench`, or `python -m benchmarks --help`.

docs/benchmarks.md says what the columns mean.
"""

import argparse

from benchmarks import renderings, startup, transports
from benchmarks.transports import Options


def main() -> None:
    defaults = Options()
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure speed.")
    parser.add_argument("--only", choices=("startup", "renderings", "transports"), help="run one part")
    parser.add_argument("--transport", nargs="+", choices=transports.CONTESTANTS, metavar="NAME")
    parser.add_argument("--connections", nargs="+", type=int, metavar="N")
    parser.add_argument("--latency", nargs="+", type=int, metavar="MS")
    parser.add_argument("--requests", type=int, default=defaults.requests, help="of each measurement")
    parser.add_argument(
        "--seconds", type=float, default=defaults.at_most_seconds, help="after which a measurement ends early"
    )
    parser.add_argument("--rounds", type=int, default=defaults.rounds, help="the best of them counts")
    given = parser.parse_args()
    if given.only in (None, "startup"):
        startup.report()
    if given.only in (None, "renderings"):
        renderings.report()
    if given.only in (None, "transports"):
        transports.report(
            Options(
                contestants=given.transport or defaults.contestants,
                connections=given.connections or defaults.connections,
                latencies_ms=given.latency or defaults.latencies_ms,
                requests=given.requests,
                at_most_seconds=given.seconds,
                rounds=given.rounds,
            )
        )


if __name__ == "__main__":
    main()
