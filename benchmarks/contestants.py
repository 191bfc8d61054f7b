"""Ways to send many signed requests: one pool of httpx, one for each slot (ours), `httpx2`, nothing but sockets.

Each runs in a process of its own (`main`), which gets a Job as JSON on standard input and prints one Result.
"""

import asyncio
import json
import secrets
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import Final
from urllib.parse import urlsplit

import httpx
from cryptography.hazmat.primitives.asymmetric import rsa

from reconciler.wechatpay import signing
from reconciler.wechatpay.client import Client
from reconciler.wechatpay.keys import Credentials, load_public_key

PATH: Final = "/v3/marketing/paygiftactivity/activities/20406354"
IDLE_SECONDS: Final = 3

Send = Callable[[], Awaitable[object]]
"""One signed request, and its verified answer."""


@dataclass(frozen=True, slots=True)
class Job:
    """``requests`` are sent, or as many as can be within ``at_most_seconds``."""

    contestant: str
    connections: int
    latency_ms: int
    requests: int
    at_most_seconds: float
    base_url: str
    public_key_id: str
    public_key: str


@dataclass(frozen=True, slots=True)
class Result:
    """``cpu_seconds`` are those of the client's process alone."""

    requests: int
    seconds: float
    cpu_seconds: float

    @property
    def rate(self) -> float:
        return self.requests / self.seconds

    @property
    def cpu_ms(self) -> float:
        return self.cpu_seconds / self.requests * 1000

    @property
    def core_share(self) -> float:
        """Of one core, which is all that an event loop can use. Much less where requests never wait for an answer
        means that others had it."""
        return self.cpu_seconds / self.seconds


def main() -> None:
    job = Job(**json.load(sys.stdin))
    print(json.dumps(asdict(asyncio.run(_measure(job)))))


async def _measure(job: Job) -> Result:
    credentials = Credentials(
        mchid="1900000001",
        serial_no="5157F09EFDC096DE15EBE81A47057A7232F1B8E1",
        private_key=rsa.generate_private_key(65537, 2048),
        public_key_id=job.public_key_id,
        public_key=load_public_key(job.public_key.encode(), where="the server"),
    )
    way = _floor if job.contestant == "asyncio" else _client
    async with way(job, credentials) as senders:
        await asyncio.gather(*(send() for send in senders))  # opens the connections
        return await _race(senders, job)


async def _race(senders: list[Send], job: Job) -> Result:
    """All senders at once, each with its next request as soon as it is free."""
    started, cpu = time.perf_counter(), time.process_time()
    begun = 0

    async def run(send: Send) -> None:
        nonlocal begun
        while begun < job.requests and time.perf_counter() - started < job.at_most_seconds:
            begun += 1
            await send()

    await asyncio.gather(*(run(send) for send in senders))
    return Result(begun, time.perf_counter() - started, time.process_time() - cpu)


# --- through the client -----------------------------------------------------------------------------------------------


@asynccontextmanager
async def _client(job: Job, credentials: Credentials) -> AsyncIterator[list[Send]]:
    client = Client(
        credentials,
        base_url=job.base_url,
        transport=None if job.contestant == "slots" else _pool(job.connections),
        concurrency=job.connections,
    )
    query = [("ms", str(job.latency_ms))]
    async with client:
        yield [lambda: client.request("GET", PATH, query=query)] * job.connections


def _pool(connections: int) -> httpx.AsyncBaseTransport:
    limits = httpx.Limits(
        max_connections=connections,
        max_keepalive_connections=connections,
        keepalive_expiry=IDLE_SECONDS,
    )
    return httpx.AsyncHTTPTransport(limits=limits, trust_env=False)


# --- nothing but sockets ----------------------------------------------------------------------------------------------


@asynccontextmanager
async def _floor(job: Job, credentials: Credentials) -> AsyncIterator[list[Send]]:
    """What no client can beat: prepared bytes, hardly any parsing, and the same two signatures."""
    address = urlsplit(job.base_url)
    streams = [await asyncio.open_connection(address.hostname, address.port) for _ in range(job.connections)]
    try:
        yield [_Wire(job, credentials, reader, writer).send for reader, writer in streams]
    finally:
        for _, writer in streams:
            writer.close()


@dataclass(frozen=True, slots=True)
class _Wire:
    job: Job
    credentials: Credentials
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self) -> None:
        target = f"{PATH}?ms={self.job.latency_ms}"
        authorization = signing.authorize(
            self.credentials.private_key,
            mchid=self.credentials.mchid,
            serial_no=self.credentials.serial_no,
            method="GET",
            target=target,
            timestamp=str(int(time.time())),
            nonce=secrets.token_hex(16).upper(),
            body=b"",
        )
        self.writer.write(
            f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: application/json\r\n"
            f"Accept-Language: zh-CN\r\nAccept-Encoding: gzip\r\nUser-Agent: benchmark\r\n"
            f"Wechatpay-Serial: {self.credentials.public_key_id}\r\nAuthorization: {authorization}\r\n\r\n".encode()
        )
        head = await self.reader.readuntil(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode("ascii").split("\r\n")[1:-2])
        body = await self.reader.readexactly(int(headers["Content-Length"]))
        key = self.credentials.public_key
        assert key is not None
        if not signing.Proof.read(headers).holds(key, body):
            raise RuntimeError("the benchmark's own answer does not verify")


if __name__ == "__main__":
    main()
