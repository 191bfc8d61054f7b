"""The sandbox's coupon stocks fit the activities that name them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from reconciler.commands.seed import stocks_for
from reconciler.model.activity import Award, DesiredActivity
from reconciler.model.identity import instant
from tests.support.samples import PICTURE, desired, terms


def package(key: str, *stock_ids: str, days: int = 0) -> DesiredActivity:
    awards = tuple(Award(stock_id, PICTURE, PICTURE) for stock_id in stock_ids)
    return desired(key, award_list=awards, end_time=terms().end_time + timedelta(days=days))


def times(stock: Any) -> tuple[str, str]:
    period = stock["coupon_use_rule"]["coupon_available_time"]
    return period["available_begin_time"], period["available_end_time"]


def test_every_stock_is_made_once_and_lasts_a_day_longer_on_either_side() -> None:
    stocks = stocks_for([package("a", "1"), package("b", "1", days=5), package("c", "2")], "1900000001")
    assert [stock["stock_id"] for stock in stocks] == ["1", "2"]
    day = timedelta(days=1)
    assert times(stocks[0]) == (
        instant(terms().begin_time - day),
        instant(terms().end_time + timedelta(days=6)),
    )
    assert times(stocks[1]) == (instant(terms().begin_time - day), instant(terms().end_time + day))


def test_stocks_of_one_package_are_alike_even_through_another_package() -> None:
    stocks = stocks_for([package("a", "1", "2"), package("b", "2", "3"), package("c", "3", days=9)], "1900000001")
    assert len({times(stock) for stock in stocks}) == 1


def test_without_activities_there_are_no_stocks() -> None:
    assert stocks_for([], "1900000001") == []
