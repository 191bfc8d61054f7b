"""The coupons of what is to be created: what WeChat Pay would refuse, may refuse, or does not show (API §2)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from reconciler.live.reader import read_coupons
from reconciler.live.translate import coupon
from reconciler.model.activity import Award
from reconciler.model.coupon import Coupon, CouponRead, UnreadCoupon
from reconciler.model.errors import ApiError, RemoteError
from reconciler.model.findings import Finding, Severity
from reconciler.plan import coupon_findings, make_plan, stocks_named, unproven
from reconciler.wechatpay.wire import ACTIVITIES_PATH, Stock
from tests.apply.test_apply import spec
from tests.plan.test_limits import DAY, GOOD
from tests.support.project import Project
from tests.support.remote import Remote, answered_by
from tests.support.samples import NAMESPACE, NOW, PICTURE, desired, terms

PACKAGE = tuple(Award(stock_id, PICTURE, PICTURE) for stock_id in ("1", "2", "3"))
ALIKE: dict[str, CouponRead] = {stock_id: replace(GOOD, stock_id=stock_id) for stock_id in ("1", "2", "3")}


def findings(coupons: Mapping[str, CouponRead], **changes: Any) -> list[Finding]:
    made = make_plan([desired(**changes)], [], namespace=NAMESPACE, now=NOW)
    return list(coupon_findings(made, coupons))


def package(**coupons: CouponRead) -> list[Finding]:
    """What there is to say of a package in which the coupons ``c1`` to ``c3`` are those given."""
    changed = {name.removeprefix("c"): coupon for name, coupon in coupons.items()}
    return findings(ALIKE | changed, award_list=PACKAGE, send_content="GIFT_PACKAGE")


def said(found: list[Finding]) -> dict[str, str]:
    return {each.code: str(next(iter(each.facts.values()))) for each in found}


# -- a package ---------------------------------------------------------------------------------------------------------


def member(stock_id: str, **changes: Any) -> Coupon:
    return replace(GOOD, stock_id=stock_id, **changes)


def test_a_package_of_coupons_that_are_alike_is_fine() -> None:
    made = make_plan([desired(award_list=PACKAGE, send_content="GIFT_PACKAGE")], [], namespace=NAMESPACE, now=NOW)
    assert stocks_named(made) == ["1", "2", "3"]
    assert package() == []


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"max_coupons_per_user": 2}, "coupon 3 has limit per user 2, the others 1"),
        ({"max_coupons": 10_000}, "coupon 3 has stock 10,000, the others 100"),
        ({"belong_merchant": "1900000002"}, "coupon 3 has owner 1900000002, the others 1900000001"),
        (
            {"begin_time": GOOD.begin_time and GOOD.begin_time - DAY},
            "coupon 3 has begin 2026-11-29 00:00:00, the others 2026-11-30 00:00:00, 1 d later",
        ),
        (
            {"end_time": GOOD.end_time and GOOD.end_time + timedelta(hours=30)},
            "coupon 3 has end 2027-01-03 05:59:59, the others 2027-01-01 23:59:59, 1 d 6 h earlier",
        ),
        (
            {"redeem": (("available_day_after_receive", "7"),)},
            "coupon 3 has available_day_after_receive 7, the others none",
        ),
    ],
)
def test_a_coupon_that_is_not_like_the_others_is_named_with_both_values(changes: dict[str, Any], told: str) -> None:
    (finding,) = package(c3=member("3", **changes))
    assert (finding.code, finding.severity) == ("COUPON_UNUSABLE", Severity.REFUSAL)
    assert finding.facts["problems"] == told


def test_where_no_value_prevails_all_are_told() -> None:
    (finding,) = package(c2=member("2", max_coupons=2), c3=member("3", max_coupons=3))
    assert finding.facts["problems"] == (
        "the coupons of a package must be alike in stock: coupon 1 100, coupon 2 2, coupon 3 3"
    )


def test_every_difference_is_told_at_once() -> None:
    (finding,) = package(c3=member("3", max_coupons=2, max_coupons_per_user=2, stock_state="STOPED"))
    assert str(finding.facts["problems"]).count("coupon 3") == 3


def test_a_value_that_is_not_shown_is_neither_alike_nor_different() -> None:
    assert said(package(c3=member("3", max_coupons=None))) == {
        "COUPON_NOT_READABLE": "whether the stock of coupon 3 is that of the others is not known"
    }
    assert said(package(c2=member("2", max_coupons=None), c3=member("3", max_coupons=7))) == {
        "COUPON_UNUSABLE": "the coupons of a package must be alike in stock: coupon 1 100, coupon 3 7",
        "COUPON_NOT_READABLE": "whether the stock of coupon 2 is that of the others is not known",
    }
    assert package(**{f"c{each}": member(each, max_coupons=None) for each in "123"}) == []


def test_a_coupon_that_cannot_be_read_leaves_the_others_to_be_compared() -> None:
    found = said(package(c1=UnreadCoupon("HTTP 403 NO_AUTH: 商户未被授权"), c3=member("3", max_coupons=7)))
    assert found == {
        "COUPON_UNUSABLE": "the coupons of a package must be alike in stock: coupon 2 100, coupon 3 7",
        "COUPON_NOT_READABLE": "coupon 1 could not be read: HTTP 403 NO_AUTH: 商户未被授权",
    }


# -- what is not shown -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"begin_time": None}, "the begin of coupon 98065001 cannot be read"),
        ({"end_time": None}, "the end of coupon 98065001 cannot be read"),
        ({"stock_state": ""}, "the state of coupon 98065001 cannot be read"),
        ({"coupon_code_mode": ""}, "the code mode of coupon 98065001 cannot be read"),
        ({"belong_merchant": ""}, "the owner of coupon 98065001 cannot be read"),
        (
            {"coupon_code_mode": "NEW_MODE"},
            "coupon 98065001 has the code mode NEW_MODE, which paygift does not know",
        ),
        (
            {"coupon_code_mode": "MERCHANT_UPLOAD"},
            "coupon 98065001 does not tell whether uploaded codes are left",
        ),
    ],
)
def test_what_cannot_be_read_of_a_coupon_is_a_warning(changes: dict[str, Any], told: str) -> None:
    (finding,) = findings({"98065001": replace(GOOD, **changes)})
    assert (finding.code, finding.severity) == ("COUPON_NOT_READABLE", Severity.WARNING)
    assert finding.facts["unknown"] == told


def test_a_time_that_cannot_be_read_does_not_hide_the_other_one() -> None:
    found = said(findings({"98065001": replace(GOOD, begin_time=None, end_time=terms().end_time - DAY)}))
    assert set(found) == {"COUPON_NOT_READABLE", "COUPON_UNUSABLE"}


# -- as good as certain ------------------------------------------------------------------------------------------------


def test_a_coupon_of_which_all_is_known_and_fine_leaves_no_reason() -> None:
    assert list(unproven(terms(), {"98065001": GOOD})) == []
    uploaded = replace(GOOD, coupon_code_mode="MERCHANT_UPLOAD", codes_left=1)
    assert list(unproven(terms(), {"98065001": uploaded})) == []
    assert list(unproven(terms(award_list=PACKAGE, send_content="GIFT_PACKAGE"), ALIKE)) == []


@pytest.mark.parametrize(
    "found",
    [
        None,
        UnreadCoupon("HTTP 403 NO_AUTH: no"),
        *(
            replace(GOOD, **changes)
            for changes in (
                {"begin_time": None},
                {"end_time": None},
                {"begin_time": terms().begin_time},
                {"end_time": terms().end_time},
                {"begin_time": terms().begin_time + DAY},
                {"end_time": terms().end_time - DAY},
                {"stock_state": "PAUSED"},
                {"stock_state": ""},
                {"coupon_code_mode": "MERCHANT_API"},
                {"coupon_code_mode": "MERCHANT_UPLOAD", "codes_left": 0},
                {"coupon_code_mode": "MERCHANT_UPLOAD", "codes_left": None},
                {"coupon_code_mode": ""},
                {"coupon_code_mode": "NEW_MODE"},
                {"belong_merchant": ""},
                {"max_coupons": None},
                {"max_coupons_per_user": None},
            )
        ),
    ],
)
def test_whatever_is_refused_doubtful_or_unknown_leaves_a_reason(found: CouponRead) -> None:
    assert any("98065001" in reason for reason in unproven(terms(), {"98065001": found}))


def test_a_package_with_a_difference_leaves_a_reason() -> None:
    given = terms(award_list=PACKAGE, send_content="GIFT_PACKAGE")
    other = member("3", redeem=(("available_week", "x"),))
    assert list(unproven(given, ALIKE | {"3": other})) == ["coupon 3 has available_week x, the others none"]
    assert list(unproven(given, {"1": ALIKE["1"], "2": ALIKE["2"]})) == ["coupon 3 does not exist"]


# -- as they are read --------------------------------------------------------------------------------------------------

STOCK: dict[str, Any] = {
    "stock_id": "1",
    "stock_state": "RUNNING",
    "belong_merchant": "1900000001",
    "coupon_code_mode": "WECHATPAY_MODE",
    "coupon_use_rule": {
        "coupon_available_time": {
            "available_begin_time": "2026-11-01T00:00:00+08:00",
            "available_end_time": "2027-01-31T23:59:59+08:00",
        }
    },
    "stock_send_rule": {"max_coupons": 100, "max_coupons_per_user": 1},
}


def read(beside: dict[str, Any] | None = None, **inside: Any) -> Coupon:
    """The stock with fields in ``coupon_available_time``, and some ``beside`` it."""
    stock = json.loads(json.dumps(STOCK))
    stock["coupon_use_rule"]["coupon_available_time"] |= inside
    stock["coupon_use_rule"] |= beside or {}
    return coupon(Stock.model_validate(stock))


WEEK = {"week_day": [1, 3], "available_day_time": [{"begin_time": 3600, "end_time": 86399}]}
TWICE = [
    {"begin_time": "2026-12-01T00:00:00+08:00", "end_time": "2026-12-02T00:00:00+08:00"},
    {"begin_time": "2026-12-05T00:00:00+08:00", "end_time": "2026-12-06T00:00:00+08:00"},
]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"available_day_after_receive": 7}, {"available_day_after_receive": "7"}),
        ({"available_week": WEEK}, {"available_week": {**WEEK, "week_day": [3, 1, 1]}}),
        ({"irregulary_avaliable_time": TWICE}, {"irregulary_avaliable_time": TWICE[::-1]}),
        (
            {"irregulary_avaliable_time": TWICE[:1]},
            {
                "irregulary_avaliable_time": [
                    {"begin_time": "2026-11-30T16:00:00Z", "end_time": "2026-12-01T16:00:00.000Z"}
                ]
            },
        ),
        ({}, {"available_week": None, "irregulary_avaliable_time": [], "wait_days_after_receive": 0}),
        ({}, {"available_week": {"week_day": [], "available_day_time": None}}),
        ({"available_week": WEEK}, {"beside": {"available_week": WEEK}}),
    ],
)
def test_what_means_the_same_is_the_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert read(**one) == read(**other)


@pytest.mark.parametrize(
    "change",
    [
        {"available_day_after_receive": 7},
        {"wait_days_after_receive": 1},
        {"available_week": WEEK},
        {"available_week": {"week_day": [1, 3]}},
        {"available_week": {"week_day": [0]}},
        {"irregulary_avaliable_time": TWICE},
        {"irregulary_avaliable_time": TWICE[:1]},
        {"a_field_of_tomorrow": True},
        {"available_begin_time": "2026-11-02T00:00:00+08:00"},
        {"available_end_time": "2027-01-30T23:59:59+08:00"},
    ],
)
def test_every_part_of_the_redeem_time_counts(change: dict[str, Any]) -> None:
    changed = read(**change)
    assert changed != read()
    coupons: dict[str, CouponRead] = {each: replace(read(), stock_id=each) for each in "12"}
    coupons["3"] = replace(changed, stock_id="3")
    (finding,) = findings(coupons, award_list=PACKAGE, send_content="GIFT_PACKAGE")
    (name,) = change
    assert name.removeprefix("available_").removesuffix("_time") in str(finding.facts["problems"])


@pytest.mark.parametrize(
    "odd",
    [
        {"stock_state": 5},
        {"belong_merchant": None},
        {"coupon_code_mode": []},
        {"coupon_use_rule": None},
        {"coupon_use_rule": {"coupon_available_time": "always"}},
        {"coupon_use_rule": {"coupon_available_time": {"available_begin_time": "", "available_end_time": 7}}},
        {
            "coupon_use_rule": {
                "coupon_available_time": {
                    "available_begin_time": "0001-01-01T00:00:00+08:00",
                    "available_end_time": "9999-12-31T23:59:59Z",
                }
            }
        },
        {"stock_send_rule": [], "coupon_code_count": {"available_count": "many"}},
    ],
)
def test_a_stock_of_whatever_shape_is_read_as_far_as_it_goes(odd: dict[str, Any]) -> None:
    found = coupon(Stock.model_validate({**STOCK, **odd}))
    assert list(unproven(terms(award_list=(Award("1", PICTURE),)), {"1": found}))


def test_numbers_may_be_texts() -> None:
    stock = {**STOCK, "coupon_code_mode": "MERCHANT_UPLOAD", "coupon_code_count": {"available_count": "5"}}
    stock["stock_send_rule"] = {"max_coupons": "100", "max_coupons_per_user": True}
    found = coupon(Stock.model_validate(stock))
    assert (found.codes_left, found.max_coupons, found.max_coupons_per_user) == (5, 100, None)


def test_coupons_are_read_from_the_account() -> None:
    remote = Remote()
    remote.seed([spec()])
    found = remote.call(lambda api: read_coupons(api, ["98065001", "404"]))
    assert found["404"] is None
    assert isinstance(found["98065001"], Coupon)
    assert list(coupon_findings(remote.plan([spec()]), found)) == []


@pytest.mark.parametrize("status", [400, 403])
def test_a_query_that_is_refused_proves_nothing_about_the_coupon(status: int) -> None:
    remote = Remote()
    remote.seed([spec()])
    remote.world.add_fault({"kind": "refused", "route": "stock", "status": status, "message": "发券商户无权限"})
    (found,) = remote.call(lambda api: read_coupons(api, ["98065001"])).values()
    assert isinstance(found, UnreadCoupon)
    assert f"HTTP {status}" in found.reason
    assert "发券商户无权限" in found.reason


def test_a_stock_of_another_shape_altogether_could_not_be_read() -> None:
    remote = Remote()
    remote.seed([spec()])
    remote.network.fault = answered_by("/stocks/98065001", f"{ACTIVITIES_PATH}?offset=0&limit=1")
    (found,) = remote.call(lambda api: read_coupons(api, ["98065001"])).values()
    assert isinstance(found, UnreadCoupon)
    assert "stock_id: Field required" in found.reason


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "refused", "status": 401},
        {"kind": "refused", "status": 403, "signed": False},
        {"kind": "refused", "status": 404, "signed": False},
        {"kind": "rate_limited"},
        {"kind": "error_before"},
    ],
)
def test_what_proves_nothing_fails_the_read(fault: dict[str, Any]) -> None:
    remote = Remote()
    remote.seed([spec()])
    remote.world.add_fault({"route": "stock", "count": 0, **fault})
    with pytest.raises(RemoteError):
        remote.call(lambda api: read_coupons(api, ["98065001"]))


def test_an_error_keeps_its_own_type() -> None:
    remote = Remote()
    remote.world.add_fault({"kind": "refused", "route": "stock", "status": 401, "count": 0})
    with pytest.raises(ApiError) as caught:
        remote.call(lambda api: read_coupons(api, ["1", "2"]))
    assert caught.value.status == 401


# -- from the command line ---------------------------------------------------------------------------------------------


def seed(project: Project, *stocks: dict[str, Any]) -> None:
    file = project.root / "stocks.json"
    file.write_text(json.dumps(list(stocks)))
    assert project.run("sandbox", "seed", str(file))[0] == 0


def test_a_plan_goes_on_where_a_coupon_may_not_be_looked_at(project: Project) -> None:
    project.run("sandbox", "fault", "add", "refused", "--route", "stock", "--count", "0")
    code, out, _ = project.run("--sandbox", "plan", "--json")
    assert code == 0
    (finding,) = json.loads(out)["findings"]
    assert (finding["code"], finding["severity"], finding["key"]) == (
        "COUPON_NOT_READABLE",
        "warning",
        "spring",
    )
    assert "HTTP 403 NO_AUTH: 商户未被授权" in finding["text"]
    assert project.run("--sandbox", "apply", "--yes")[0] == 0


@pytest.mark.parametrize(
    ("stock", "told"),
    [
        (
            {
                "coupon_use_rule": {
                    "coupon_available_time": {
                        "available_begin_time": "",
                        "available_end_time": "9999-12-31T00:00:00Z",
                    }
                }
            },
            "the begin of coupon 98065001 cannot be read; the end of coupon 98065001 cannot be read",
        ),
        (
            {"coupon_code_mode": "MERCHANT_UPLOAD", "coupon_code_count": None},
            "does not tell whether uploaded codes are left",
        ),
    ],
)
def test_a_coupon_that_shows_too_little_is_a_warning_of_its_key(
    project: Project, stock: dict[str, Any], told: str
) -> None:
    seed(project, {"stock_id": "98065001", **stock})
    code, out, _ = project.run("--sandbox", "plan")
    assert code == 0
    assert out.startswith("warning COUPON_NOT_READABLE spring")
    assert told in " ".join(out.split())


def test_a_package_whose_coupons_differ_in_one_day_is_refused_by_both_sides(project: Project) -> None:
    text = (project.root / "activities/spring.yaml").read_text(encoding="utf-8")
    award = '    - {stock_id: "98065001", original_image_url: images/logo.png}\n'
    awards = "".join(
        f'    - {{stock_id: "{each}", original_image_url: images/logo.png, thumbnail_url: images/logo.png}}\n'
        for each in (1, 2, 3)
    )
    project.write("spring", text.replace(award, awards).replace("SINGLE_COUPON", "GIFT_PACKAGE"))
    days = {"coupon_use_rule": {"coupon_available_time": {"available_day_after_receive": 7}}}
    seed(project, {"stock_id": "1"}, {"stock_id": "2"}, {"stock_id": "3", **days})
    code, out, _ = project.run("--sandbox", "apply", "--yes")
    assert code == 5
    assert "coupon 3 has available_day_after_receive 7, the others none" in " ".join(out.split())
    code, out, _ = project.run("--sandbox", "apply", "--yes", "--allow", "COUPON_UNUSABLE")
    assert (code, "传入的多张商户券的信息不一致" in out) == (7, True)
    seed(project, *({"stock_id": each, **days} for each in ("1", "2", "3")))
    assert project.run("--sandbox", "apply", "--yes")[0] == 0
