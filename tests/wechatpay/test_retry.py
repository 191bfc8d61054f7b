"""What is tried again, how often, and with what in between; and that stopping half way leaves nothing behind."""

from __future__ import annotations

import asyncio
import itertools
import logging
import signal
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any

import httpx
import pytest
import stamina
from stamina.instrumentation import RetryDetails, set_on_retry_hooks

from reconciler.model.errors import (
    ApiError,
    CredentialsError,
    IncompleteReadError,
    OutcomeUnknownError,
    PaygiftError,
    ProtocolError,
    RemoteError,
    TransportError,
    UnverifiedError,
)
from reconciler.wechatpay import signing, wire
from reconciler.wechatpay.api import PayGiftApi
from reconciler.wechatpay.client import Answer, Client
from reconciler.wechatpay.retry import Retry, may_repeat
from tests.wechatpay.test_client import Remote, Spoil, assert_no_secrets, changed, error_body, raw, serve
from tests.wechatpay.test_keys import APIV3_KEY, NOW, PUBLIC_KEY_ID, public_key_credentials, rsa_key, sealed_certificate

pytestmark = pytest.mark.anyio
TRIES = Retry().tries


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def api_error(status: int, retry_after_seconds: float | None = None, *, verified: bool = True) -> ApiError:
    return ApiError(status=status, code="X", text="x", retry_after_seconds=retry_after_seconds, verified=verified)


# --- which errors -----------------------------------------------------------------------------------------------------

BOTH, READS, NEVER = (True, True), (True, False), (False, False)

CLASSES: list[tuple[BaseException, tuple[bool, bool]]] = [
    (TransportError("refused", sent=False), BOTH),
    (TransportError("reset"), READS),
    (UnverifiedError("garbage"), READS),
    (UnverifiedError("nobody's key", lasting=True), NEVER),
    (api_error(429), BOTH),
    (api_error(429, verified=False), READS),
    (api_error(500), READS),
    (api_error(502), READS),
    (api_error(503), READS),
    (api_error(400), NEVER),
    (api_error(401), NEVER),
    (api_error(403), NEVER),
    (api_error(404), NEVER),
    (ProtocolError("another shape"), NEVER),
    (IncompleteReadError("short", path="/", found=1, announced=2), NEVER),
    (OutcomeUnknownError("lost"), NEVER),
    (CredentialsError("wrong"), NEVER),
    (asyncio.CancelledError(), NEVER),
    (KeyboardInterrupt(), NEVER),
    (ZeroDivisionError(), NEVER),
]


@pytest.mark.parametrize(("error", "expected"), CLASSES, ids=repr)
def test_the_class_of_an_error_decides_what_may_follow_it(error: BaseException, expected: tuple[bool, bool]) -> None:
    assert (may_repeat(error, write=False), may_repeat(error, write=True)) == expected


def test_a_server_that_asks_to_be_left_alone_is_obeyed_up_to_a_limit() -> None:
    retry = Retry(jitter_seconds=0.5, longest_retry_after_seconds=30)
    for _ in range(20):
        assert 7 <= retry.again(api_error(429, 7), write=True) <= 7.5
    assert 30 <= retry.again(api_error(503, 30), write=False) <= 30.5
    assert retry.again(api_error(429, 31), write=False) is False
    assert retry.again(api_error(503, 1), write=True) is False
    assert retry.again(api_error(429), write=True) is True


# --- how often, and how long ------------------------------------------------------------------------------------------


@dataclass
class Attempts:
    """Something that fails with ``error``, ``times`` times, and then returns how often it was called."""

    error: BaseException
    times: float = float("inf")
    made: int = 0

    async def __call__(self) -> int:
        self.made += 1
        if self.made <= self.times:
            raise self.error
        return self.made


@pytest.fixture
def pauses() -> Iterator[list[float]]:
    """The pauses that stamina takes, in earnest."""
    taken: list[float] = []

    def note(details: RetryDetails) -> None:
        taken.append(details.wait_for)

    set_on_retry_hooks([note])
    with stamina.set_testing(False):
        yield taken
    set_on_retry_hooks(None)


async def test_a_passing_failure_is_forgotten() -> None:
    assert await Retry().run(Attempts(TransportError("reset"), times=2), write=False) == 3


async def test_a_lasting_failure_is_raised_as_it_is_after_the_last_try() -> None:
    attempts = Attempts(TransportError("reset"))
    with pytest.raises(TransportError) as caught:
        await Retry().run(attempts, write=False)
    assert caught.value is attempts.error
    assert attempts.made == TRIES


async def test_what_must_not_be_repeated_is_raised_at_once() -> None:
    for error, (_, write) in CLASSES:
        attempts = Attempts(error, times=1)
        if write:
            assert await Retry().run(attempts, write=True) == 2
        else:
            with pytest.raises(type(error)) as caught:
                await Retry().run(attempts, write=True)
            assert caught.value is error
            assert attempts.made == 1


async def test_pauses_double_up_to_the_longest(pauses: list[float]) -> None:
    retry = Retry(tries=6, first_pause_seconds=0.001, longest_pause_seconds=0.005, jitter_seconds=0)
    with pytest.raises(TransportError):
        await retry.run(Attempts(TransportError("reset")), write=False)
    assert pauses == pytest.approx([0.001, 0.002, 0.004, 0.005, 0.005])


async def test_pauses_differ_from_one_request_to_the_next(pauses: list[float]) -> None:
    retry = Retry(tries=2, first_pause_seconds=0.0, jitter_seconds=0.002)
    for _ in range(5):
        await retry.run(Attempts(TransportError("reset"), times=1), write=False)
        await retry.run(Attempts(api_error(429, 0), times=1), write=True)
    assert len(set(pauses)) == 10
    assert all(0 <= pause <= 0.002 for pause in pauses)


async def test_no_try_begins_after_the_time_is_up(pauses: list[float]) -> None:
    retry = Retry(tries=10_000, seconds=0.03, first_pause_seconds=0.01, jitter_seconds=0)
    with pytest.raises(TransportError):
        await retry.run(Attempts(TransportError("reset")), write=False)
    assert 1 <= len(pauses) <= 3


@pytest.mark.parametrize("seconds", [0.02, 0.035])
async def test_the_first_try_takes_of_the_same_time(seconds: float, pauses: list[float]) -> None:
    made = 0

    async def slow() -> None:
        nonlocal made
        made += 1
        await asyncio.sleep(0.03)
        raise TransportError("reset")

    with pytest.raises(TransportError):
        await Retry(seconds=seconds, first_pause_seconds=0.01, jitter_seconds=0).run(slow, write=False)
    assert made <= 2
    assert made == 1 or seconds > 0.03


def test_the_defaults_are_over_within_a_minute_and_begin_gently() -> None:
    retry = Retry()
    assert (retry.tries, retry.seconds) == (4, 45)
    assert retry.first_pause_seconds > 0
    assert retry.jitter_seconds >= retry.first_pause_seconds


async def test_each_further_try_is_logged_with_what_went_before(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "reconciler")
    error = TransportError("the connection\nwas reset", method="GET", path="/v3/x")
    await Retry().run(Attempts(error, times=1), write=False)
    (record,) = [record for record in caplog.records if record.name.startswith("reconciler")]
    assert record.getMessage() == "try 2 of 4 of GET /v3/x, after: 'the connection\\nwas reset'"


def test_where_nobody_logs_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    """Python prints warnings that no handler takes; stamina has one for every retry."""
    root = logging.getLogger()
    handlers, root.handlers = root.handlers, []
    try:
        asyncio.run(Retry().run(Attempts(TransportError("reset"), times=1), write=False))
    finally:
        root.handlers = handlers
    assert capfd.readouterr() == ("", "")


# --- through the client -----------------------------------------------------------------------------------------------

Fault = Callable[[httpx.Request, httpx.Response], httpx.Response]


def failing(make: Callable[[httpx.Request], Exception]) -> Fault:
    def fault(request: httpx.Request, answer: httpx.Response) -> httpx.Response:
        raise make(request)

    return fault


def spoilt(spoil: Spoil) -> Fault:
    return lambda request, answer: spoil(answer)


def refusing(status: int, code: str, **headers: str | None) -> Fault:
    """An error that nobody has signed."""
    return spoilt(changed(error_body(code, "说明"), status=status, Wechatpay_Signature=None, **headers))


def turning_away(**headers: str) -> Fault:
    """WeChat Pay's own 429."""
    remote = Remote()

    def fault(request: httpx.Request, answer: httpx.Response) -> httpx.Response:
        proven = remote._signed(429, error_body("FREQUENCY_LIMITED", "说明"))
        proven.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
        return proven

    return fault


FAULTS: dict[str, tuple[Fault, tuple[bool, bool]]] = {
    "connection refused": (failing(lambda request: httpx.ConnectError("refused", request=request)), BOTH),
    "connecting times out": (failing(lambda request: httpx.ConnectTimeout("", request=request)), BOTH),
    "no connection is free": (failing(lambda request: httpx.PoolTimeout("", request=request)), BOTH),
    "proxy refuses": (failing(lambda request: httpx.ProxyError("503", request=request)), BOTH),
    "reset while reading": (failing(lambda request: httpx.ReadError("reset", request=request)), READS),
    "reset while writing": (failing(lambda request: httpx.WriteError("reset", request=request)), READS),
    "no answer in time": (failing(lambda request: httpx.ReadTimeout("", request=request)), READS),
    "sending stalls": (failing(lambda request: httpx.WriteTimeout("", request=request)), READS),
    "truncated": (failing(lambda request: httpx.RemoteProtocolError("cut", request=request)), READS),
    "429": (turning_away(), BOTH),
    "429 with Retry-After": (turning_away(Retry_After="5"), BOTH),
    "429 with a Retry-After of an hour": (turning_away(Retry_After="3600"), NEVER),
    "429 that nobody has signed": (refusing(429, "FREQUENCY_LIMITED"), READS),
    "429 of a proxy": (spoilt(changed(b"<html>", status=429, Wechatpay_Signature=None)), READS),
    "500": (refusing(500, "SYSTEM_ERROR"), READS),
    "503 with Retry-After": (refusing(503, "SERVICE_UNAVAILABLE", Retry_After="1"), READS),
    "HTML with 502": (spoilt(changed(b"<html>", status=502, Content_Type="text/html")), READS),
    "HTML with 200": (spoilt(changed(b"<html>", Content_Type="text/html")), READS),
    "no signature": (spoilt(changed(Wechatpay_Signature=None)), READS),
    "a probe": (spoilt(changed(Wechatpay_Signature=f"{signing.PROBE_PREFIX}AAAA")), READS),
    "another body": (spoilt(changed(b'{"ok":false}')), READS),
    "an old answer": (spoilt(changed(Wechatpay_Timestamp=str(NOW - 300))), READS),
    "an unknown key": (spoilt(changed(Wechatpay_Serial="F00")), NEVER),
    "a redirect": (spoilt(changed(status=302)), NEVER),
    "400": (refusing(400, "PARAM_ERROR"), NEVER),
    "401": (refusing(401, "SIGN_ERROR"), NEVER),
    "403": (refusing(403, "NO_AUTH"), NEVER),
    "404": (refusing(404, "RESOURCE_NOT_EXISTS"), NEVER),
}


@dataclass
class Flaky:
    """``remote``, with ``fault`` in the way of its first ``times`` answers. Certificates come through."""

    fault: Fault
    times: float = 1
    remote: Remote = field(
        default_factory=lambda: Remote(answers={"GET /v3/x": (200, b"{}"), "POST /v3/x": (200, b"{}")})
    )
    struck: int = 0

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        answer = await self.remote(request)
        if request.url.path == wire.CERTIFICATES_PATH or self.struck >= self.times:
            return answer
        self.struck += 1
        return self.fault(request, answer)

    @property
    def asked(self) -> list[httpx.Request]:
        return [one for one in self.remote.asked if one.url.path != wire.CERTIFICATES_PATH]

    def client(self, **options: Any) -> Client:
        return self.remote.client(transport=httpx.MockTransport(self), **options)

    async def ask(self, method: str, **options: Any) -> Answer:
        async with self.client() as client:
            return await client.request(method, "/v3/x", **options)


@pytest.mark.parametrize("write", [False, True], ids=["read", "write"])
@pytest.mark.parametrize("fault", FAULTS)
async def test_one_failure_is_survived_where_a_second_try_is_allowed(fault: str, write: bool) -> None:
    act, (read_again, write_again) = FAULTS[fault]
    flaky = Flaky(act)
    method = "POST" if write else "GET"
    if write_again if write else read_again:
        assert (await flaky.ask(method)).status == 200
        assert len(flaky.asked) == 2
    else:
        with pytest.raises(RemoteError) as caught:
            await flaky.ask(method)
        assert_no_secrets(caught.value)
        assert len(flaky.asked) == 1


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_failure_that_stays_is_raised_after_four_tries(fault: str) -> None:
    act, (read_again, _) = FAULTS[fault]
    flaky = Flaky(act, times=99)
    with pytest.raises(RemoteError) as caught:
        await flaky.ask("GET")
    assert_no_secrets(caught.value)
    assert len(flaky.asked) == (TRIES if read_again else 1)


async def test_what_a_write_came_to_can_be_told_by_its_error() -> None:
    with pytest.raises(TransportError) as caught:
        await Flaky(FAULTS["connection refused"][0], times=99).ask("POST")
    assert not caught.value.sent
    with pytest.raises(TransportError) as caught:
        await Flaky(FAULTS["reset while writing"][0], times=99).ask("POST")
    assert caught.value.sent


async def test_a_write_is_repeated_to_the_byte_and_signed_anew() -> None:
    flaky = Flaky(FAULTS["429"][0], times=2)
    ticks, nonces = itertools.count(NOW), (f"{number:032}" for number in itertools.count())
    body = b'{"out_request_no":"liangpin_spring_g1_3f9a1c20b7d4"}'
    async with flaky.client(wall_clock=lambda: next(ticks), nonce=lambda: next(nonces)) as client:
        await client.request("POST", "/v3/x", body=body)
    assert [request.content for request in flaky.asked] == [body] * 3
    proofs = [signing.Authorization.parse(request.headers["Authorization"]) for request in flaky.asked]
    for part in ("nonce_str", "timestamp", "signature"):
        assert len({getattr(proof, part) for proof in proofs}) == 3


async def test_an_upload_is_repeated_to_the_byte() -> None:
    flaky = Flaky(FAULTS["connection refused"][0])
    flaky.remote.answers[f"POST {wire.IMAGE_UPLOAD_PATH}"] = (200, b'{"media_url":"https://x/0"}')
    content = b"\x89PNG\r\n\x1a\n"
    meta = b'{"filename":"a.png","sha256":"' + content.hex().encode() + b'"}'
    async with flaky.client() as client:
        flaky.remote.signed_bodies[wire.IMAGE_UPLOAD_PATH] = meta
        await client.request(
            "POST", wire.IMAGE_UPLOAD_PATH, body=b"the whole form", content_type="x/y", signed_body=meta
        )
    assert [request.content for request in flaky.asked] == [b"the whole form"] * 2


async def test_an_answer_of_another_shape_is_not_asked_for_again() -> None:
    remote = Remote(answers={f"GET {wire.ACTIVITIES_PATH}/1": (200, b"[]")})
    async with remote.client() as client:
        with pytest.raises(ProtocolError):
            await PayGiftApi(client).detail("1")
    assert len(remote.asked) == 2  # one for certificates


async def test_certificates_are_tried_again_before_a_write_and_after_it() -> None:
    """They are only read, and without them a write that has happened would count as unknown."""
    remote, left = Remote(answers={"POST /v3/x": (200, b"{}")}), itertools.cycle([True, True, False])

    def spoil(answer: httpx.Response) -> httpx.Response:
        return changed(b"<html>", status=502)(answer) if next(left) else answer

    remote.spoil_certificates = spoil
    async with remote.client() as client:
        await client.request("POST", "/v3/x")
        remote.certificates = [sealed_certificate("next", 0xDEF)]
        remote.signer = (f"{0xDEF:040X}", rsa_key("next"))
        await client.request("POST", "/v3/x")
    assert remote.log.count("GET /v3/certificates") == 6
    assert remote.log.count("POST /v3/x") == 2


async def test_certificates_that_stay_away_are_not_fetched_again_and_again() -> None:
    remote = Remote(signer=(PUBLIC_KEY_ID, rsa_key("public")))
    async with remote.client(credentials=public_key_credentials(apiv3_key=APIV3_KEY)) as client:
        await client.request("GET", "/v3/x")
        remote.signer = ("F00", rsa_key("next"))
        remote.spoil_certificates = changed(b"<html>", status=502)
        with pytest.raises(UnverifiedError, match="fetching the platform certificates failed"):
            await client.request("GET", "/v3/x")
    assert remote.log.count("GET /v3/x") == 2
    assert remote.log.count("GET /v3/certificates") == TRIES


async def test_a_clock_that_is_wrong_is_told_without_asking_again() -> None:
    remote = Remote(now=NOW + 999)
    async with remote.client() as client:
        with pytest.raises(UnverifiedError, match="999 s behind"):
            await client.request("GET", "/v3/x")
    assert len(remote.asked) == 1


@pytest.mark.parametrize(
    ("header", "date", "seconds"),
    [
        ("0", None, 0),
        (" 17 ", None, 17),
        ("99999999999999999999999999", None, 999999999999999),
        (formatdate(NOW + 60, usegmt=True), None, 60),
        (formatdate(NOW + 60, usegmt=True), formatdate(NOW + 50, usegmt=True), 10),
        (formatdate(NOW - 60, usegmt=True), None, 0),
        ("-5", None, None),
        ("1.5", None, None),
        ("soon", None, None),
        ("", None, None),
    ],
)
async def test_retry_after_is_a_number_of_seconds_or_a_date(
    header: str, date: str | None, seconds: float | None
) -> None:
    with stamina.set_testing(True), pytest.raises(ApiError) as caught:
        await Flaky(refusing(429, "FREQUENCY_LIMITED", Retry_After=header, Date=date), times=99).ask("GET")
    assert caught.value.retry_after_seconds == seconds


# --- stopping half way ------------------------------------------------------------------------------------------------


async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


REFUSE = raw(b"HTTP/1.1 429 X\r\nContent-Length: 0\r\nRetry-After: 20\r\n\r\n")


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.mark.parametrize(
    ("handler", "options"),
    [
        (never, {}),
        (raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", stall=True), {}),
        (REFUSE, {}),
        (never, {"rate": 0.01}),
        (never, {"concurrency": 1}),
    ],
    ids=["waiting for an answer", "in its middle", "between tries", "for the pace", "for a turn"],
)
async def test_a_request_can_be_stopped_anywhere(handler: Handler, options: dict[str, Any]) -> None:
    arrived = asyncio.Event()
    began = time.monotonic()

    async def noticed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        arrived.set()
        await handler(reader, writer)

    with stamina.set_testing(False):
        async with (
            serve(noticed) as base_url,
            Client(public_key_credentials(), base_url=base_url, **options) as client,
        ):
            before = asyncio.all_tasks()
            tasks = [asyncio.create_task(client.request("GET", "/v3/x")) for _ in range(3)]
            await arrived.wait()
            await asyncio.sleep(0.01)
            for task in tasks:
                task.cancel()
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
            assert {type(outcome) for outcome in outcomes} == {asyncio.CancelledError}
            left = asyncio.all_tasks() - before
            assert [task for task in left if "connected" not in repr(task)] == []  # those are the server's
            assert client._turns._value == options.get("concurrency", 8)
    assert time.monotonic() - began < 5


async def test_the_client_goes_on_after_a_request_was_stopped() -> None:
    flaky = Flaky(FAULTS["429 with Retry-After"][0])
    async with flaky.client(concurrency=1) as client:
        with stamina.set_testing(False), pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await client.request("GET", "/v3/x")
        assert len(flaky.asked) == 1
        assert (await client.request("GET", "/v3/x")).status == 200


async def test_stopping_who_fetches_certificates_lets_another_fetch_them() -> None:
    remote = Remote()
    gate = asyncio.Event()

    async def carry(request: httpx.Request) -> httpx.Response:
        if len(remote.asked) == 0:
            remote.asked.append(request)
            await gate.wait()
        return await remote(request)

    async with remote.client(transport=httpx.MockTransport(carry)) as client:
        first = asyncio.create_task(client.request("GET", "/v3/x"))
        second = asyncio.create_task(client.request("GET", "/v3/x"))
        await asyncio.sleep(0.01)
        first.cancel()
        assert (await second).status == 200
        with pytest.raises(asyncio.CancelledError):
            await first


def test_ctrl_c_ends_the_program_without_a_word(capfd: pytest.CaptureFixture[str]) -> None:
    """As ``asyncio.run`` does it: the signal cancels the main task, and all must be over when it returns."""

    async def main() -> None:
        async with (
            serve(never) as base_url,
            Client(public_key_credentials(), base_url=base_url, rate=1) as client,
        ):
            asyncio.get_running_loop().call_later(0.05, signal.raise_signal, signal.SIGINT)
            async with asyncio.TaskGroup() as group:
                for _ in range(3):
                    group.create_task(client.request("GET", "/v3/x"))

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(main(), debug=True)
    assert capfd.readouterr() == ("", "")


def test_every_error_of_the_remote_has_been_thought_of() -> None:
    """A new kind of RemoteError must be given its place in this file."""

    def kinds(of: type[PaygiftError]) -> set[type[PaygiftError]]:
        return {of}.union(*(kinds(kind) for kind in of.__subclasses__()))

    ours = {kind for kind in kinds(RemoteError) if kind.__module__ == "reconciler.model.errors"}
    assert ours - {RemoteError} <= {type(error) for error, _ in CLASSES}
