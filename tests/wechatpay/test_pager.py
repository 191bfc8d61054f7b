"""The pager against model servers of every habit: all rows, or an error, and never a silent loss (API §1.8)."""

from __future__ import annotations

import asyncio
import copy
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.model.errors import ApiError, IncompleteReadError
from reconciler.sandbox.options import SandboxOptions
from reconciler.wechatpay import pager
from reconciler.wechatpay.api import PayGiftApi
from reconciler.wechatpay.pager import ListReading, Offset
from tests.support import signed
from tests.support.remote import Remote, Send
from tests.support.samples import desired
from tests.wechatpay.test_wire import REAL_ELEMENT


@dataclass
class Page:
    data: list[str] | None
    total_count: int | None
    limit: int | None


@dataclass
class Server:
    """A list behind one reading of ``offset``. It may cap pages, lie about its total, and change meanwhile.

    ``changes`` are made one by one, each before the request of its number.
    """

    rows: list[str]
    meaning: Offset = Offset.PAGES_FROM_0
    cap: int = 1000
    page_0_is_empty: bool = False
    tells_total: bool = True
    tells_limit: bool = True
    lie: int = 0
    changes: dict[int, Callable[[list[str]], None]] = field(default_factory=dict)
    asked: list[tuple[int, int]] = field(default_factory=list)

    async def fetch(self, offset: int, limit: int) -> Page:
        if change := self.changes.get(len(self.asked)):
            change(self.rows)
        self.asked.append((offset, limit))
        size = min(limit, self.cap)
        begin = self._begin(offset, size)
        data = [] if begin is None else self.rows[begin : begin + size]
        return Page(
            data or None,
            len(self.rows) + self.lie if self.tells_total else None,
            size if self.tells_limit else None,
        )

    def _begin(self, offset: int, size: int) -> int | None:
        match self.meaning:
            case Offset.PAGES_FROM_0:
                return offset * size
            case Offset.PAGES_FROM_1:
                return None if offset == 0 and self.page_0_is_empty else max(0, offset - 1) * size
            case Offset.ROWS:
                return offset


def rows(count: int) -> list[str]:
    return [f"row-{number}" for number in range(count)]


def read(server: Server, limit: int) -> list[str]:
    async def collect() -> list[str]:
        return [row async for row in pager.read(server.fetch, key=str, limit=limit, path="/list")]

    return asyncio.run(collect())


# --- in order ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 19, 20, 21, 40, 350])
def test_a_list_in_order_costs_one_request_a_page_and_one_more_after_a_full_one(count: int) -> None:
    server = Server(rows(count))
    assert read(server, 20) == rows(count)
    assert server.asked == [(page, 20) for page in range(count // 20 + 1)]


def test_rows_arrive_before_the_next_page_is_asked_for() -> None:
    server = Server(rows(40))

    async def first() -> str:
        stream = pager.read(server.fetch, key=str, limit=20, path="/list")
        return await anext(aiter(stream))

    assert asyncio.run(first()) == "row-0"
    assert len(server.asked) == 1


def test_a_server_that_counts_pages_from_1_costs_one_more_request() -> None:
    server = Server(rows(59), Offset.PAGES_FROM_1)
    assert read(server, 20) == rows(59)
    assert [offset for offset, _ in server.asked] == [0, 1, 2, 3]


def test_an_empty_page_0_of_a_list_that_announces_more_means_pages_from_1() -> None:
    server = Server(rows(59), Offset.PAGES_FROM_1, page_0_is_empty=True)
    assert read(server, 20) == rows(59)
    assert [offset for offset, _ in server.asked] == [0, 1, 2, 3]


def test_a_server_that_counts_rows_is_recognised_by_the_overlap() -> None:
    server = Server(rows(60), Offset.ROWS)
    assert read(server, 20) == rows(60)
    assert [offset for offset, _ in server.asked] == [0, 1, 21, 41]


@pytest.mark.parametrize("tells_limit", [True, False])
def test_a_smaller_page_than_asked_for_becomes_the_size_of_all(tells_limit: bool) -> None:
    server = Server(rows(59), cap=20, tells_limit=tells_limit)
    assert read(server, 50) == rows(59)
    assert server.asked == [(0, 50), (1, 20), (2, 20)]


@pytest.mark.parametrize("echoed", [-1, 0, 7, 1000])
def test_an_echoed_limit_that_cannot_be_meant_is_passed_over(echoed: int) -> None:
    server = Server(rows(59))

    async def fetch(offset: int, limit: int) -> Page:
        page = await server.fetch(offset, limit)
        return Page(page.data, page.total_count, echoed)

    async def collect() -> list[str]:
        return [row async for row in pager.read(fetch, key=str, limit=20, path="/list")]

    assert asyncio.run(collect()) == rows(59)
    assert server.asked == [(0, 20), (1, 20), (2, 20)]


def test_without_a_total_a_short_page_ends_the_list() -> None:
    server = Server(rows(30), tells_total=False)
    assert read(server, 20) == rows(30)
    assert len(server.asked) == 2


def test_without_a_total_an_empty_page_ends_the_list() -> None:
    server = Server(rows(40), tells_total=False)
    assert read(server, 20) == rows(40)
    assert len(server.asked) == 3


def test_without_a_total_an_empty_first_page_is_asked_about_twice() -> None:
    server = Server([], tells_total=False)
    assert read(server, 20) == []
    assert [offset for offset, _ in server.asked] == [0, 1]


def test_rows_that_come_twice_are_handed_out_once() -> None:
    async def fetch(offset: int, limit: int) -> Page:
        return Page(["a", "a", "b"], 2, limit)

    async def collect() -> list[str]:
        return [row async for row in pager.read(fetch, key=str, limit=3, path="/list")]

    assert asyncio.run(collect()) == ["a", "b"]


# --- out of order -----------------------------------------------------------------------------------------------------


def failed(server: Server, limit: int) -> IncompleteReadError:
    with pytest.raises(IncompleteReadError) as caught:
        read(server, limit)
    return caught.value


def test_a_list_that_ends_early_is_an_error_after_three_reads() -> None:
    server = Server(rows(45), lie=1)
    error = failed(server, 20)
    assert "ended after 45 of 46 announced entries" in error.message
    assert (error.found, error.announced, error.path, error.method) == (45, 46, "/list", "GET")
    assert sum(offset == 0 for offset, _ in server.asked) == 3
    assert error.remedy


def test_a_list_that_holds_more_than_it_announced_is_an_error_too() -> None:
    error = failed(Server(rows(45), lie=-1), 20)
    assert "45 entries or more, but announced 44" in error.message
    assert (error.found, error.announced) == (45, 44)


def test_a_list_that_announces_entries_and_never_shows_any_is_an_error() -> None:
    error = failed(Server([], lie=3), 20)
    assert (error.found, error.announced) == (0, 3)


def test_a_server_that_repeats_one_full_page_without_a_total_is_an_error() -> None:
    async def fetch(offset: int, limit: int) -> Page:
        return Page(rows(limit), None, limit)

    async def collect() -> None:
        async for _ in pager.read(fetch, key=str, limit=5, path="/list"):
            pass

    with pytest.raises(IncompleteReadError, match="repeated known entries, and no total_count") as caught:
        asyncio.run(collect())
    assert (caught.value.found, caught.value.announced) == (5, 5)


def test_a_total_that_changes_starts_the_read_again_without_repeating_rows() -> None:
    server = Server(rows(60), changes={1: lambda live: live.insert(0, "new")})
    found = read(server, 20)
    assert sorted(found) == sorted([*rows(60), "new"])
    assert [offset for offset, _ in server.asked] == [0, 1, 0, 1, 2, 3]


def test_a_total_that_never_stops_changing_is_an_error() -> None:
    def grow(live: list[str]) -> None:
        live.append(f"new-{len(live)}")

    error = failed(Server(rows(60), changes=dict.fromkeys(range(100), grow)), 20)
    assert "total_count went from 65 to 66" in error.message


def test_an_exchange_that_looks_like_a_row_offset_is_read_again() -> None:
    """One added in front, one removed at the end: with two rows a page, that is what a row offset looks like."""

    def shift(live: list[str]) -> None:
        live.insert(0, "new")
        live.pop()

    server = Server(rows(4), changes={1: shift})
    assert set(read(server, 2)) >= {"new", *rows(3)}


# --- all habits at once -----------------------------------------------------------------------------------------------

SIZES = st.integers(0, 350)
LIMITS = st.integers(1, 120)
SERVERS = st.builds(
    Server,
    SIZES.map(rows),
    st.sampled_from(Offset),
    cap=st.sampled_from([1000, 100, 20, 7]),
    page_0_is_empty=st.booleans(),
    tells_total=st.booleans(),
    tells_limit=st.booleans(),
)


@given(SERVERS, LIMITS)
def test_an_honest_server_of_any_habit_is_read_completely(server: Server, limit: int) -> None:
    assert read(server, limit) == server.rows


@given(SIZES, LIMITS, st.sampled_from(Offset))
def test_a_habit_costs_at_most_one_request_more(count: int, limit: int, meaning: Offset) -> None:
    server = Server(rows(count), meaning)
    read(server, limit)
    fewest = count // limit + 1
    assert len(server.asked) - fewest in ({0} if meaning is Offset.PAGES_FROM_0 else {0, 1})


@given(SERVERS, LIMITS, st.sampled_from([-1, 1]))
def test_a_server_that_lies_by_one_is_found_out(server: Server, limit: int, lie: int) -> None:
    server.tells_total, server.lie = True, lie
    try:
        found = read(server, limit)
    except IncompleteReadError as error:
        assert error.found != error.announced  # noqa: PT017  nothing raised is fine, too
    else:
        # The one lie that cannot be seen: too low by what lies beyond a first page that was silently cut short,
        # or left empty. To ask on would cost every short list a request.
        assert lie == -1
        assert (server.cap < limit and not server.tells_limit) or (server.page_0_is_empty and not found)
        assert found == server.rows[:-1]


@pytest.mark.parametrize("meaning", Offset)
@pytest.mark.parametrize("pages", [1, 2])
def test_a_total_that_lags_behind_by_one_is_found_out_where_a_full_page_ends(meaning: Offset, pages: int) -> None:
    error = failed(Server(rows(20 * pages + 1), meaning, lie=-1), 20)
    assert f"announced {20 * pages}" in error.message
    assert error.found == 20 * pages + 1


def test_a_server_that_repeats_its_last_page_for_ever_still_ends() -> None:
    asked: list[int] = []

    async def fetch(offset: int, limit: int) -> Page:
        asked.append(offset)
        first = min(offset, 1) * limit
        return Page(rows(40)[first : first + limit], 40, limit)

    async def collect() -> list[str]:
        return [row async for row in pager.read(fetch, key=str, limit=20, path="/list")]

    assert asyncio.run(collect()) == rows(40)
    assert asked == [0, 1, 2]


REMOVALS = st.integers(0, 10**6).map(lambda at: lambda live: live.pop(at % len(live)) if live else None)
ADDITIONS = st.integers(0, 10**6).map(lambda at: lambda live: live.insert(at % (len(live) + 1), f"new-{len(live)}"))
MOMENTS = st.integers(0, 12)


@given(
    SERVERS,
    LIMITS,
    st.one_of(st.dictionaries(MOMENTS, REMOVALS), st.dictionaries(MOMENTS, ADDITIONS)),
)
def test_what_stays_in_a_changing_list_is_never_lost(
    server: Server, limit: int, changes: dict[int, Callable[[list[str]], None]]
) -> None:
    """Without a total, changes cannot be seen, so this server tells it. Both lists of the API document it."""
    server.tells_total, server.changes = True, changes
    before = set(server.rows)
    try:
        found = read(server, limit)
    except IncompleteReadError:
        return
    assert len(found) == len(set(found))
    assert set(found) >= before & set(server.rows)


def test_a_reading_that_is_not_over_gives_no_reason() -> None:
    reading = ListReading(20)
    reading.take(rows(20), 40, 20)
    assert (reading.ended, reading.reason, reading.found, reading.offset) == (False, "", 20, 1)


# --- through the sandbox ----------------------------------------------------------------------------------------------


def insert(remote: Remote, activity_id: str, merchants: Sequence[str] = ()) -> None:
    item: dict[str, Any] = copy.deepcopy(REAL_ELEMENT)
    item["activity_id"] = activity_id
    item["creator_merchant_id"] = signed.MCHID
    item["activity_base_info"]["out_request_no"] = f"web-{activity_id}"
    remote.world.insert_activity(item, merchants)


def sandbox(count: int, **options: Any) -> Remote:
    """An account with ``count`` activities, the first of which has ``count`` merchants."""
    remote = Remote(options=SandboxOptions(**options))
    for number in range(count):
        insert(remote, str(number), [str(1900000001 + more) for more in range(count if number == 0 else 0)])
    return remote


async def activity_ids(api: PayGiftApi) -> list[str]:
    return sorted([item.activity_id async for item in api.activities()], key=int)


async def merchant_ids(api: PayGiftApi) -> list[str]:
    return list(await api.merchant_ids("0"))


@pytest.mark.sampled(every=4)
@pytest.mark.parametrize("paging", ["pages_from_0", "pages_from_1", "rows"])
@pytest.mark.parametrize("count", [1, 50, 100, 101])
def test_the_sandbox_is_read_whole_or_not_at_all(paging: str, count: int) -> None:
    for lie in (0, -1, 1):
        remote = sandbox(count, paging=paging, omit_empty_data=True, total_count_error=lie)
        for read_all in (activity_ids, merchant_ids):
            if lie == 0:
                assert len(remote.call(read_all)) == count
                continue
            with pytest.raises(IncompleteReadError) as caught:
                remote.call(read_all)
            assert (caught.value.found, caught.value.announced) == (count, count + lie)
            assert str(count) in caught.value.message


@pytest.mark.parametrize("paging", ["pages_from_0", "pages_from_1", "rows"])
def test_an_account_without_activities_is_empty(paging: str) -> None:
    assert sandbox(0, paging=paging, omit_empty_data=True).call(activity_ids) == []


@pytest.mark.parametrize("paging", ["pages_from_0", "pages_from_1", "rows"])
@pytest.mark.parametrize("changes", [1, 2, 99])
def test_an_account_that_changes_between_pages_is_read_again_up_to_three_times(paging: str, changes: int) -> None:
    remote = sandbox(120, paging=paging)
    pages = itertools.count(1)
    made: list[str] = []

    async def fault(request: httpx.Request, send: Send) -> httpx.Response:
        answer = await send(request)
        if request.url.path.endswith("/activities") and next(pages) % 2 and len(made) < changes:
            made.append(str(1000 + len(made)))
            insert(remote, made[-1])
        return answer

    remote.network.fault = fault
    if changes < 3:
        assert remote.call(activity_ids) == [*map(str, range(120)), *made]
    else:
        with pytest.raises(IncompleteReadError, match="while the list was read"):
            remote.call(activity_ids)


@pytest.mark.parametrize("lie", [-1, 1])
def test_no_plan_is_made_from_an_incomplete_read(lie: int) -> None:
    remote = sandbox(3, total_count_error=lie)
    with pytest.raises(IncompleteReadError) as caught:
        remote.plan([desired("spring")])
    assert "Nothing was concluded from it" in caught.value.remedy


# --- pages that are refused as too large ------------------------------------------------------------------------------


def asked(remote: Remote) -> list[str]:
    """The queries of all requests for merchants, and how they were answered."""
    return [
        f"{line['target'].partition('?')[2]} {line['status']}"
        for line in remote.world.log()
        if "/merchants" in line["target"]
    ]


@pytest.mark.sampled(every=5)
@pytest.mark.parametrize("paging", ["pages_from_0", "pages_from_1", "rows"])
@pytest.mark.parametrize("most", [0, 50, 49, 20, 19, 1])
@pytest.mark.parametrize("count", [1, 20, 45, 120])
def test_merchants_are_read_whole_however_small_the_pages_must_be(paging: str, most: int, count: int) -> None:
    for own in (7, 20, 100):
        options = {"merchants_page_default": own, "merchants_page_max": 200, "paging": paging}
        remote = sandbox(1, merchants_page_refused_above=most, **options)
        insert(remote, "7", [str(1600000001 + more) for more in range(count)])
        assert len(remote.call(lambda api: api.merchant_ids("7"))) == count


def test_the_size_of_pages_is_learnt_once_for_each_client() -> None:
    remote = sandbox(0, merchants_page_refused_above=20)
    for number in range(5):
        insert(remote, str(number), ["1900000001"])

    async def all_at_once(api: PayGiftApi) -> list[tuple[str, ...]]:
        return await asyncio.gather(*(api.merchant_ids(str(number)) for number in range(5)))

    assert remote.call(all_at_once) == [("1900000001",)] * 5
    answers = asked(remote)
    assert [each for each in answers if each.endswith(" 400")] == ["offset=0&limit=50 400"]
    assert {each for each in answers if each.endswith(" 200")} == {"offset=0&limit=20 200"}


def test_no_size_is_sent_where_none_is_taken() -> None:
    remote = sandbox(1, merchants_page_refused_above=1)
    assert len(remote.call(merchant_ids)) == 1
    assert asked(remote)[:3] == ["offset=0&limit=50 400", "offset=0&limit=20 400", "offset=0 200"]


def test_goods_are_asked_for_in_the_same_way() -> None:
    remote = sandbox(1, merchants_page_refused_above=20)

    async def goods(api: PayGiftApi) -> list[str]:
        return [row.goods_id async for row in api.goods("0")]

    assert remote.call(goods) == []
    targets = [line["target"] for line in remote.world.log() if "/goods" in line["target"]]
    queries = [each.partition("?")[2] for each in targets]
    assert queries == ["offset=0&limit=50", "offset=0&limit=20", "offset=0&limit=20"], "found out, and read anew"


@pytest.mark.parametrize(
    "refusal",
    [{"status": 400, "signed": False}, {"status": 403}, {"status": 404}, {"kind": "rate_limited"}],
)
def test_only_a_proven_400_leads_to_smaller_pages(refusal: dict[str, Any]) -> None:
    remote = sandbox(1)
    remote.world.add_fault({"kind": "refused", "route": "merchants", "count": 0} | refusal)
    with pytest.raises(ApiError):
        remote.call(merchant_ids)
    assert {each.partition(" ")[0] for each in asked(remote)} == {"offset=0&limit=50"}


def test_a_400_that_is_not_about_the_size_stays_one_and_makes_no_page_small() -> None:
    remote = sandbox(1)
    remote.world.add_fault({"kind": "refused", "route": "merchants", "count": 3, "status": 400})

    async def bad_then_good(api: PayGiftApi) -> tuple[str, ...]:
        with pytest.raises(ApiError, match="HTTP 400"):
            await api.merchant_ids("0")
        return await api.merchant_ids("0")

    assert remote.call(bad_then_good) == ("1900000001",)
    assert asked(remote) == [
        "offset=0&limit=50 400",
        "offset=0&limit=20 400",
        "offset=0 400",
        "offset=0&limit=50 200",
    ]
