"""Posts a message to a robot or a webhook. Whatever goes wrong is said in a sentence, and fails nothing.

The address is a secret: a robot's key is a part of it. It is sent to its own host and nowhere else, never along a
redirect, and stands in no message, log or repr. That is why nothing is quoted here, neither errors nor answers.
"""

from __future__ import annotations

import json
import logging
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, Literal

import httpx

from reconciler import __version__
from reconciler.model.errors import PaygiftError
from reconciler.system.environment import HOOK, checked_address, is_loopback
from reconciler.system.network import Outbound, failure
from reconciler.system.retries import retry_context

SECONDS: Final = 5.0
"""For everything together: all messages, both tries, names that nobody resolves, answers that drip."""
TRIES: Final = 2
_MOST_BYTES: Final = 65_536


DELIVERY_HEADER: Final = "X-Paygift-Delivery"


@dataclass(frozen=True, slots=True)
class Message:
    """``variable`` is the name of the environment variable that holds ``url``. ``delivery`` is the message's own id:
    both tries carry it, so that a receiver knows them for one.
    """

    kind: Literal["wecom", "webhook"]
    variable: str
    url: str = field(repr=False)
    body: Mapping[str, object] = field(repr=False)
    delivery: str = field(default_factory=lambda: str(uuid.uuid4()), compare=False)


class _NotToldError(Exception):
    """Why a message did not arrive, as the end of a sentence. ``unsent``: it did not leave, and may be sent again.

    After an answer, whatever it is, nobody knows who has read the message before.
    """

    def __init__(self, why: str, *, unsent: bool = False) -> None:
        super().__init__(why)
        self.unsent = unsent


def post(messages: Sequence[Message]) -> list[str]:
    """Post all ``messages`` at once. Returns a sentence for each that did not arrive, after ``SECONDS`` at the latest.

    Threads that nobody waits for in the end: a lookup of a name can be bounded by no other means.
    """
    # One deadline for all: an apply that is done must end.
    ends = time.monotonic() + SECONDS
    posting = [_Posting(message) for message in messages]
    for each in posting:
        each.start()
    for each in posting:
        each.join(max(0.0, ends - time.monotonic()))
    return [f"{each.message.variable} ({each.message.kind}): {each.failure}." for each in posting if each.failure]


class _Posting(threading.Thread):
    """One message on its way. ``failure`` is empty once it has arrived."""

    def __init__(self, message: Message) -> None:
        # A daemon, or Python would wait for a lookup that never ends.
        super().__init__(daemon=True)
        self.message = message
        # True until something else is known: it is read when the time is up.
        self.failure = f"no answer within {SECONDS:g} s"

    def run(self) -> None:
        try:
            _post(self.message)
        except _NotToldError as error:
            self.failure = str(error)
        except PaygiftError as error:  # a variable that is invalid, this one's or one about proxies or certificates
            said = error.message.rstrip(".")
            own = f"{self.message.variable} "
            self.failure = f"it {said.removeprefix(own)}" if said.startswith(own) else said
        except Exception:  # noqa: BLE001 - whatever it is, its own words could tell the address
            self.failure = "it failed, for a reason that could tell its address"
        else:
            self.failure = ""


def _post(message: Message) -> None:
    address = checked_address(message.variable, message.url, HOOK)
    with (
        _unlogged(message.url),
        httpx.Client(
            # What stays on this machine goes through no proxy.
            transport=Outbound(direct=is_loopback(address.host)),
            timeout=SECONDS,
            # The address is a key, and would be passed on to whoever answers.
            follow_redirects=False,
            # Proxies come through Outbound; httpx's own reading quotes addresses in its errors.
            trust_env=False,
            headers={"User-Agent": f"paygift/{__version__}"},
        ) as client,
    ):
        for attempt in retry_context(
            # Only what did not leave: a group must not read the same news twice.
            on=lambda error: isinstance(error, _NotToldError) and error.unsent,
            attempts=TRIES,
            timeout=SECONDS,
            wait_initial=0.2,
            wait_max=0.5,
        ):
            with attempt:
                _send(client, message)


def _send(client: httpx.Client, message: Message) -> None:
    try:
        with client.stream(
            "POST", message.url, json=message.body, headers={DELIVERY_HEADER: message.delivery}
        ) as answer:
            _check(answer, message.kind)
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        # from None: the error that caused it holds the request, and that the address.
        raise _NotToldError(f"it cannot be reached: {failure(error)}", unsent=True) from None
    except httpx.TimeoutException:
        raise _NotToldError(f"no answer within {SECONDS:g} s") from None
    except httpx.HTTPError as error:
        raise _NotToldError(failure(error)) from None


def _check(answer: httpx.Response, kind: str) -> None:
    status = answer.status_code
    if answer.is_redirect:
        raise _NotToldError(f"HTTP {status}, a redirect, which is not followed")
    if not answer.is_success:
        raise _NotToldError(f"HTTP {status}" + (", and whether it arrived is unknown" if status >= 500 else ""))
    if kind != "wecom":
        return
    code = _errcode(answer)
    if code != 0:
        raise _NotToldError("an answer that is not WeCom's" if code is None else f"errcode {code}")


def _errcode(answer: httpx.Response) -> int | None:
    """WeCom says with HTTP 200 that it has refused. Its ``errmsg`` may hold the address."""
    content = b""
    for part in answer.iter_bytes():
        content += part
        if len(content) > _MOST_BYTES:
            return None
    try:
        data = json.loads(content)
    except ValueError:
        return None
    code = data.get("errcode") if isinstance(data, dict) else None
    # Not isinstance: false would pass for 0, which means success.
    return code if type(code) is int else None


@contextmanager
def _unlogged(url: str) -> Iterator[None]:
    """httpx logs each request with its whole address."""
    secret = str(httpx.URL(url))

    def tells_nothing(record: logging.LogRecord) -> bool:
        return secret not in record.getMessage()

    logger = logging.getLogger("httpx")
    logger.addFilter(tells_nothing)
    try:
        yield
    finally:
        logger.removeFilter(tells_nothing)
