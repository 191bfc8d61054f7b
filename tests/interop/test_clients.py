"""WeChat Pay clients which others wrote work against `paygift sandbox serve`, and their faults are refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from reconciler.sandbox.control import RunningSandbox
from tests.interop import npm
from tests.interop.clients import (
    Answer,
    Client,
    PublicKey,
    WeChatPayV3,
    axios_plugin,
    wechatpayv3_async,
    wechatpayv3_sync,
)
from tests.support.images import png
from tests.support.signed import BIG, LOGO, MCHID, SMALL, create_body, keys

SYNC, ASYNC, AXIOS = "wechatpayv3", "wechatpayv3 async", "wechatpay-axios-plugin"
PUBLIC_KEY = " with a public key"
EACH = pytest.mark.parametrize(
    "client", [SYNC, ASYNC, AXIOS, *(name + PUBLIC_KEY for name in (SYNC, ASYNC, AXIOS))], indirect=True
)


@pytest.fixture
def client(request: pytest.FixtureRequest, sandbox: RunningSandbox) -> Iterator[Client]:
    """The client of that name. It knows the platform by its certificates, or by the WeChat Pay public key."""
    key = PublicKey(sandbox.public_key_id, sandbox.public_key_pem) if PUBLIC_KEY in request.param else None
    opened: AbstractContextManager[Client]
    match request.param.removesuffix(PUBLIC_KEY):
        case "wechatpayv3":
            opened = wechatpayv3_sync(sandbox, key)
        case "wechatpayv3 async":
            opened = wechatpayv3_async(sandbox, key)
        case _:
            opened = axios_plugin(sandbox, request.getfixturevalue("node_modules"), key)
    with opened as made:
        yield made


@pytest.fixture
def number(request: pytest.FixtureRequest) -> str:
    """A request number that no other test uses."""
    return "".join(character if character.isalnum() else "_" for character in request.node.name)


@EACH
def test_a_client_leads_an_activity_from_upload_to_termination(client: Client, number: str, tmp_path: Path) -> None:
    picture = tmp_path / "logo.png"
    picture.write_bytes(png(len(number)))
    url = client.upload(picture).body["media_url"]
    text = json.dumps(create_body({"activity_base_info.out_request_no": number}))
    for placeholder in (LOGO, BIG, SMALL):
        text = text.replace(placeholder, url)
    created = client.create(json.loads(text))
    assert created.status == 200
    activity_id = created.body["activity_id"]
    assert client.create(json.loads(text)) == created

    listed = {each["activity_id"]: each for each in client.list(offset=0, limit=100).body["data"]}
    assert listed[activity_id]["activity_base_info"]["out_request_no"] == number
    detail = client.detail(activity_id).body
    assert (detail["activity_id"], detail["activity_status"]) == (activity_id, "CREATE_ACT_STATUS")
    assert client.goods(activity_id, 0, 20).body["total_count"] == 0

    added = client.add(activity_id, f"{number}_a", ["1900000002", "1900000003"]).body
    assert added["activity_id"] == activity_id
    assert added["add_time"]
    assert client.delete(activity_id, f"{number}_d", ["1900000002"]).body["activity_id"] == activity_id
    page = client.merchants(activity_id, 0, 20).body
    assert [each["mchid"] for each in page["data"]] == [MCHID, "1900000003"]

    ended = client.terminate(activity_id)
    if client.can_terminate:
        assert ended.body["activity_id"] == activity_id
    else:
        assert (ended.status, ended.code) == (401, "SIGN_ERROR")
    status = client.detail(activity_id).body["activity_status"]
    assert status == ("TERMINATE_ACT_STATUS" if client.can_terminate else "CREATE_ACT_STATUS")


@EACH
def test_a_client_gets_and_believes_the_certificates(client: Client) -> None:
    (entry,) = client.certificates().body["data"]
    assert entry["serial_no"] == keys().platform_serial_no


@pytest.mark.parametrize("client", [SYNC + PUBLIC_KEY, ASYNC + PUBLIC_KEY], indirect=True)
def test_wechatpayv3_believes_answers_by_the_public_key_alone(client: WeChatPayV3) -> None:
    """It would fetch certificates if an answer named one. wechatpay-axios-plugin would refuse it."""
    assert client.list(offset=0, limit=10).status == 200
    assert client.client._core._certificates == []


@EACH
def test_a_client_is_told_why_it_is_refused(client: Client) -> None:
    refused = client.detail("404")
    assert (refused.status, refused.code) == (404, "RESOURCE_NOT_EXISTS")


# Their faults (API §11)


@pytest.mark.parametrize("client", [SYNC, ASYNC], indirect=True)
def test_wechatpayv3_lists_by_post_and_is_refused(client: WeChatPayV3) -> None:
    refused = client.list_by_its_own_method(offset=0, limit=20)
    assert (refused.status, refused.code) == (405, "METHOD_NOT_ALLOWED")


@pytest.mark.parametrize("client", [ASYNC], indirect=True)
def test_wechatpayv3_async_terminates_with_a_null_that_it_did_not_sign_and_is_refused(
    client: WeChatPayV3, sandbox: RunningSandbox
) -> None:
    refused = client.terminate("1")
    assert (refused.status, refused.code) == (401, "SIGN_ERROR")
    assert refused.body["detail"]["sign_information"]["truncated_sign_message"].endswith("\nnull\n")
    assert "sign not match" in sandbox.log(1)[0]["verdict"]


@pytest.mark.parametrize("client", [AXIOS], indirect=True)
def test_axios_plugin_signs_27_where_it_sends_an_apostrophe_and_is_refused(client: Client) -> None:
    def found(name: str) -> Answer:
        return client.list(offset=0, limit=20, activity_name=name)

    assert [found(name).status for name in ("春", "a b", "a&b=c+d%", "(a)*!~")] == [200] * 4
    assert [(found(name).status, found(name).code) for name in ("mother's", "'")] == [(401, "SIGN_ERROR")] * 2


# How the clients from npm are pinned


def test_every_package_from_npm_is_pinned_by_its_hash_and_names_no_registry() -> None:
    lock = json.loads(npm.LOCK_FILE.read_text())
    packages = {name: package for name, package in lock["packages"].items() if name}
    assert len(packages) > 1
    assert all(package["integrity"].startswith("sha512-") for package in packages.values())
    assert not any("resolved" in package for package in packages.values())


def test_a_failed_installation_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(npm, "BUILD", tmp_path)
    monkeypatch.setattr(npm, "_CI", ["no-such-command"])
    with pytest.raises(RuntimeError, match=r"(?s)no-such-command.*run `make test` again"):
        npm.installed()
    assert list(tmp_path.iterdir()) == []
