"""Request numbers say whose an activity is, and what it was made from."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.model.activity import Image, Terms
from reconciler.model.identity import (
    Ownership,
    RequestNumber,
    add_request_no,
    delete_request_no,
    instant,
    merchants_digest,
    number_of,
    parse_number,
    terms_digest,
)
from tests.support.samples import LOCAL, NAMESPACE, NOW, any_terms, desired, live, mchids, terms


def test_a_number_names_namespace_key_mark_generation_and_digest() -> None:
    assert str(number_of(NAMESPACE, desired("spring-feedback"))) == "liangpin_spring-feedback_g1_e4189abb75a5"


def test_the_recipe_of_the_digest_has_not_changed() -> None:
    # A new recipe would make every activity that lives look edited, and replace it. Never adapt these values.
    assert terms_digest(terms()) == "e4189abb75a5"
    assert terms_digest(terms(merchant_logo_url=LOCAL, goods_tags=("a", "b"))) == "7b9cdba832e4"


def test_the_longest_number_fits_into_the_api_limit() -> None:
    number = RequestNumber("n" * 24, "k" * 40, 999_999_999, "0" * 12, protect=True)
    assert len(str(number)) <= 128
    assert re.fullmatch(r"[0-9A-Za-z_-]+", str(number))
    assert parse_number(str(number)) == number


@given(
    st.from_regex(r"[a-z0-9-]{1,24}", fullmatch=True),
    st.from_regex(r"[a-z0-9-]{1,40}", fullmatch=True),
    st.integers(1, 999_999_999),
    st.booleans(),
)
def test_every_number_that_is_made_can_be_parsed(namespace: str, key: str, generation: int, protect: bool) -> None:
    number = RequestNumber(namespace, key, generation, "0123456789ab", protect=protect)
    assert parse_number(str(number)) == number


@pytest.mark.parametrize(
    "number",
    [
        "100002322020-0602-1047-99",
        "liangpin_spring_g1",
        "liangpin_spring_g0_0123456789ab",
        "liangpin_spring_g01_0123456789ab",
        "liangpin_spring_x1_0123456789ab",
        "liangpin_spring_g1_0123456789AB",
        "liangpin_spring_g1_0123456789ab\n",
        "Liangpin_spring_g1_0123456789ab",
        "a_b_c_g1_0123456789ab",
        "",
    ],
)
def test_numbers_that_others_made_are_not_ours(number: str) -> None:
    assert parse_number(number) is None


def test_the_mark_of_protection_takes_no_part_in_what_is_matched() -> None:
    plain, protected = (number_of(NAMESPACE, desired(protect=protect)) for protect in (False, True))
    assert str(plain) != str(protected)
    assert plain.slot == protected.slot


@given(any_terms())
def test_a_digest_depends_on_the_instant_and_not_on_how_it_is_written(each: Terms) -> None:
    tokyo = timezone(timedelta(hours=9))
    elsewhere = replace(each, begin_time=each.begin_time.astimezone(tokyo), end_time=each.end_time.astimezone(tokyo))
    assert terms_digest(elsewhere) == terms_digest(each)


def test_a_local_picture_counts_by_its_bytes_and_not_by_its_path() -> None:
    moved = Image(sha256=LOCAL.sha256, path="elsewhere/logo.png")
    changed = Image(sha256="cd" * 32, path=LOCAL.path)
    digest = terms_digest(terms(merchant_logo_url=LOCAL))
    assert terms_digest(terms(merchant_logo_url=moved)) == digest
    assert terms_digest(terms(merchant_logo_url=changed)) != digest


def test_merchants_are_a_set() -> None:
    assert merchants_digest(["2", "1", "2"]) == merchants_digest(["1", "2"])
    assert merchants_digest([]) != merchants_digest(["1"])


def test_repeating_a_change_of_merchants_within_a_run_repeats_its_number() -> None:
    before, two = mchids(3), ["1900000002", "1900000001"]
    number = add_request_no("10028001", two, before, NOW)
    assert re.fullmatch(r"10028001_a_[0-9a-f]{12}", number)
    assert number == add_request_no("10028001", two[::-1], before[::-1], NOW)
    assert number != add_request_no("10028001", two, before[:2], NOW)
    assert number != delete_request_no("10028001", two, before, NOW)


def test_adding_again_after_a_delete_is_another_request() -> None:
    # The merchants before are the same both times; with one number the server would answer and add nothing.
    first = add_request_no("1", ["1900000002"], ["1900000001"], NOW)
    assert first != add_request_no("1", ["1900000002"], ["1900000001"], NOW + timedelta(seconds=1))


def test_instants_are_written_in_one_way_only() -> None:
    assert instant(NOW) == "2026-11-25T02:00:00Z"
    assert instant(NOW + timedelta(milliseconds=120)) == "2026-11-25T02:00:00.120Z"


def test_ownership_follows_the_number_the_adoption_and_the_former_key() -> None:
    spec = desired("spring", renamed_from=("old-spring",), adopt="20406354")
    ownership = Ownership.of(NAMESPACE, [spec])
    assert ownership.key_of(live(desired("spring"))) == "spring"
    assert ownership.key_of(live(desired("old-spring"))) == "spring"
    assert ownership.key_of(live(desired("gone"))) == "gone"
    assert ownership.key_of(live(activity_id="20406354")) == "spring"
    assert ownership.key_of(live()) is None
    assert Ownership.of("another", [spec]).key_of(live(desired("spring"))) is None
