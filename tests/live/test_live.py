"""A read of the account is complete, or it is an error; it is never an absence."""

from __future__ import annotations

import httpx
import pytest

from reconciler.live.reader import read_live
from reconciler.model.errors import ApiError, IncompleteReadError, TransportError
from reconciler.sandbox.options import SandboxOptions
from reconciler.wechatpay.wire import ACTIVITIES_PATH
from tests.apply.test_apply import created, spec
from tests.support import signed
from tests.support.remote import Remote, Send, answered_by
from tests.support.samples import NAMESPACE, desired


@pytest.fixture
def remote() -> Remote:
    return Remote()


def test_merchants_are_read_for_what_is_managed_and_has_not_ended(remote: Remote) -> None:
    spring, gone = created(remote, spec("spring"), spec("gone", activity_name="别的"))
    created(remote, spec("spring"))
    item = remote.world.activities()[0]["item"]
    web = {**item["activity_base_info"], "out_request_no": "web-1"}
    remote.world.insert_activity({**item, "activity_id": "77", "activity_base_info": web})
    remote.network.sent.clear()
    lives = {live.activity_id: live for live in remote.live([spec("spring")])}
    assert lives[spring].merchants == ("1900000001",)
    assert lives[gone].merchants is None
    assert lives[gone].activity_status == "TERMINATE_ACT_STATUS"
    assert lives["77"].merchants is None
    assert [line for line in remote.network.sent if line.endswith("/merchants")] == [
        f"GET {ACTIVITIES_PATH}/{spring}/merchants"
    ]


def test_an_adopted_activity_that_the_list_does_not_show_is_asked_for_by_id(remote: Remote) -> None:
    (activity_id,) = created(remote, spec())
    nothing = f"{ACTIVITIES_PATH}?offset=0&limit=100&activity_name=%E6%97%A0"
    remote.network.fault = answered_by("/activities$", nothing)
    (live,) = remote.live([desired("spring", adopt=activity_id)])
    assert (live.activity_id, live.merchants) == (activity_id, ("1900000001",))


def test_an_adopted_activity_that_does_not_exist_is_simply_not_there(remote: Remote) -> None:
    assert remote.live([desired("spring", adopt="404")]) == ()


def test_an_unsigned_404_proves_no_absence(remote: Remote) -> None:
    async def proxy(request: httpx.Request, send: Send) -> httpx.Response:
        if request.url.path.endswith("/404"):
            return httpx.Response(404, text="not found", request=request)
        return await send(request)

    remote.network.fault = proxy
    with pytest.raises(ApiError, match="404"):
        remote.live([desired("spring", adopt="404")])


def test_one_page_that_fails_fails_the_read_with_its_own_error(remote: Remote) -> None:
    created(remote, spec())

    async def broken(request: httpx.Request, send: Send) -> httpx.Response:
        if request.url.path.endswith("/merchants"):
            raise httpx.ReadError("reset", request=request)
        return await send(request)

    remote.network.fault = broken
    with pytest.raises(TransportError):
        remote.live([spec()])


def test_a_list_that_ends_before_what_it_announced_is_an_error(remote: Remote) -> None:
    created(remote, spec())

    async def empty(request: httpx.Request, send: Send) -> httpx.Response:
        # The second page stands in for the first: it announces one row and holds none.
        if request.url.path.endswith("/activities"):
            return await send(signed.request("GET", f"{ACTIVITIES_PATH}?offset=5&limit=100"))
        return await send(request)

    remote.network.fault = empty
    with pytest.raises(IncompleteReadError) as caught:
        remote.live([spec()])
    assert (caught.value.found, caught.value.announced) == (0, 1)


def test_progress_counts_what_has_been_read_completely(remote: Remote) -> None:
    created(remote, spec("spring"), spec("summer", activity_name="别的"))
    seen: list[tuple[int, int]] = []
    remote.call(
        lambda api: read_live(
            api,
            namespace=NAMESPACE,
            desired=[],
            now=remote.now,
            on_progress=lambda done, known: seen.append((done, known)),
        )
    )
    assert seen[-1] == (2, 2)


@pytest.mark.parametrize("paging", ["pages_from_0", "pages_from_1", "rows"])
def test_a_long_list_is_read_whole_whatever_its_pages_are_counted_from(paging: str) -> None:
    remote = Remote(options=SandboxOptions(paging=paging))  # type: ignore[arg-type]
    (first,) = created(remote, spec())
    item = remote.world.activities()[0]["item"]
    for number in range(120):
        base = {**item["activity_base_info"], "out_request_no": f"web-{number}"}
        remote.world.insert_activity({**item, "activity_id": str(number), "activity_base_info": base})
    assert len(remote.live()) == 121
    assert first in {live.activity_id for live in remote.live()}
