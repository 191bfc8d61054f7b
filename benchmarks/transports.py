"""Signed requests per second and CPU per request, through each transport, side by side."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import rsa

from benchmarks.contestants import Job, Result
from reconciler.wechatpay import signing

CONTESTANTS: Final = ("httpx", "httpx2", "slots", "asyncio")
TARGET: Final = 0.65
"""Of what the latency allows, with one httpx per slot (ours), where CONNECTIONS and LATENCY_MS are these."""
CONNECTIONS: Final = 50
LATENCY_MS: Final = 50

_START: Final = "from benchmarks.contestants import main; main()"
_START_HTTPX2: Final = f"import httpx2; httpx2.alias_httpx(); {_START}"


@dataclass(frozen=True, slots=True)
class Options:
    """``rounds`` are run one after the other, and the best of each cell counts: others share the machine."""

    contestants: Sequence[str] = CONTESTANTS
    connections: Sequence[int] = (8, CONNECTIONS)
    latencies_ms: Sequence[int] = (0, LATENCY_MS)
    requests: int = 2000
    at_most_seconds: float = 4.0
    rounds: int = 1


def report(options: Options) -> None:
    print("\nsigned requests, answers verified; one process for the client, one for the server")
    print(f"best of {options.rounds}; up to {options.requests} requests or {options.at_most_seconds:g} s each")
    print(f"a signature takes {_signature_ms():.2f} ms of CPU on this machine; no client can save that")
    with _server() as about:
        for latency_ms in options.latencies_ms:
            for connections in options.connections:
                _report_cell(options, about, connections, latency_ms)


def _signature_ms(batches: int = 10, each: int = 20) -> float:
    """The quickest of several batches: the one that was least disturbed."""
    key = rsa.generate_private_key(65537, 2048)
    taken = []
    for _ in range(batches):
        started = time.process_time()
        for _ in range(each):
            signing.sign(key, b"a message as long as that of a request, more or less: its length hardly matters")
        taken.append(time.process_time() - started)
    return min(taken) / each * 1000


def _report_cell(options: Options, about: dict[str, Any], connections: int, latency_ms: int) -> None:
    ceiling = connections * 1000 / latency_ms if latency_ms else None
    known = f", so {ceiling:.0f} requests/s at most" if ceiling else ""
    print(f"\n{connections} connections, {latency_ms} ms{known}")
    print("            requests/s   of most   CPU ms/request   of a core   × httpx   requests")
    best: dict[str, Result] = {}
    for _ in range(options.rounds):
        for name in options.contestants:
            job = Job(name, connections, latency_ms, options.requests, options.at_most_seconds, **about)
            result = _run(job)
            best[name] = max(result, best.get(name, result), key=lambda each: each.rate)
    for name, result in best.items():
        print(_row(name, result, ceiling, best.get("httpx")), flush=True)
    if ceiling and (connections, latency_ms) == (CONNECTIONS, LATENCY_MS) and "slots" in best:
        reached = best["slots"].rate / ceiling
        verdict = "reached" if reached >= TARGET else "MISSED"
        print(f"  target: slots ≥ {TARGET:.0%} of {ceiling:.0f} requests/s: {verdict} ({reached:.0%})")


def _row(name: str, result: Result, ceiling: float | None, plain: Result | None) -> str:
    of_most = f"{result.rate / ceiling:.0%}" if ceiling else "–"
    ratio = f"{result.rate / plain.rate:.2f}" if plain else "–"
    return (
        f"  {name:8} {result.rate:10.0f} {of_most:>11} {result.cpu_ms:13.2f} {result.core_share:>14.0%} "
        f"{ratio:>9} {result.requests:10}"
    )


def _run(job: Job) -> Result:
    start = _START_HTTPX2 if job.contestant == "httpx2" else _START
    done = subprocess.run(
        [sys.executable, "-c", start],
        input=json.dumps(asdict(job)),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return Result(**json.loads(done.stdout))


@contextmanager
def _server() -> Iterator[dict[str, Any]]:
    command = [sys.executable, "-m", "benchmarks.server"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())
        process.stdin.close()
