"""Files that were renamed, copied or deleted beside one another: an end waits for what comes in its place."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from reconciler.model.activity import Award, DesiredActivity, Image, LiveActivity
from reconciler.model.identity import number_of
from reconciler.model.plan import ChangeKind, Plan
from reconciler.model.policy import Policy
from reconciler.plan import make_plan
from reconciler.plan.staleness import staleness
from reconciler.render.text import plan_text
from reconciler.render.views.plan import plan_view
from tests.support.samples import LOCAL, NAMESPACE, NOW, ONGOING, PICTURE, desired, live, mchids, terms

DAY = timedelta(days=1)
RUNNING: dict[str, Any] = {"begin_time": NOW - 3 * DAY, "end_time": NOW + 10 * DAY}


def plan(wanted: list[DesiredActivity], lives: list[LiveActivity], **policy: Any) -> Plan:
    return make_plan(wanted, lives, namespace=NAMESPACE, now=NOW, policy=Policy(**policy))


def running(key: str = "spring", activity_id: str = "1", **changes: Any) -> LiveActivity:
    return live(desired(key, **{**RUNNING, **changes}), activity_id, status=ONGOING)


def steps(made: Plan) -> list[list[str]]:
    return [[f"{step.operation} {step.key}" for step in change.operations] for change in made.changes]


def codes(made: Plan) -> list[str]:
    return [each.code for each in made.findings]


EDITED = desired("vip-nuts", transaction_amount_minimum=7, merchants=mchids(10), **RUNNING)
OLD = running("members-nuts", merchants=mchids(10))


def test_a_file_that_was_renamed_and_edited_is_a_replacement_in_order() -> None:
    made = plan([EDITED], [OLD], max_terminations=0)
    assert steps(made) == [["create vip-nuts", "terminate members-nuts"]]
    assert made.changes[0].kind is ChangeKind.REPLACE
    assert [each.path for each in made.changes[0].differences] == ["award_send_rule.transaction_amount_minimum"]
    assert codes(made) == ["LOOKS_REPLACED", "REPLACES_RUNNING"]
    assert made.findings[0].facts["former"] == "members-nuts"
    text = plan_text(plan_view(made), digest="d")
    assert "renamed_from: [members-nuts]" in text
    assert "terminate: 1 of members-nuts" in text
    assert "no gap for 10 merchants" in text


def test_last_month_copied_and_the_old_one_deleted_says_what_lies_between() -> None:
    january = desired("january", begin_time=NOW + 12 * DAY, end_time=NOW + 40 * DAY, merchants=mchids(10))
    (change,) = plan([january], [running("december", merchants=mchids(10))]).changes
    assert change.coverage is not None
    assert change.coverage.gap_seconds == 10 * 86_400


@pytest.mark.parametrize(("shared", "paired"), [(5, False), (6, True), (10, True)])
def test_more_than_half_of_the_merchants_make_a_pair(shared: int, paired: bool) -> None:
    new = desired("new", transaction_amount_minimum=7, merchants=mchids(shared), **RUNNING)
    made = plan([new], [OLD])
    assert ("LOOKS_REPLACED" in codes(made)) == paired
    assert len(made.changes) == (1 if paired else 2)
    assert made.changes[0].operations[0].operation == "create"


def test_one_that_starts_does_not_stand_in_for_five_that_end() -> None:
    lives = [running(f"old-{number}", str(number), merchants=mchids(4)) for number in range(5)]
    new = desired("new", transaction_amount_minimum=7, merchants=mchids(4), **RUNNING)
    made = plan([new], lives, max_terminations=3)
    (refusal,) = made.refusals
    assert (refusal.code, refusal.facts["count"]) == ("TOO_MANY_TERMINATIONS", 4)


def test_what_a_start_gives_to_one_it_does_not_give_to_another() -> None:
    """The second campaign ends by itself, and is told and counted so."""
    tea, nuts = running("tea", "1", award_list=(Award("7", PICTURE),)), running("zebra-nuts", "2")
    new = desired("new-nuts", transaction_amount_minimum=7, **RUNNING)
    made = plan([new], [tea, nuts])
    assert steps(made) == [["create new-nuts", "terminate zebra-nuts"], ["terminate tea"]]
    assert [each.facts["former"] for each in made.findings if each.code == "LOOKS_REPLACED"] == ["zebra-nuts"]


def test_one_that_starts_can_join_what_two_had() -> None:
    east, west = (
        running("east", "1", merchants=mchids(4)),
        running("west", "2", merchants=mchids(4, 1700000001)),
    )
    both = desired("both", transaction_amount_minimum=7, merchants=(*mchids(4), *mchids(4, 1700000001)), **RUNNING)
    made = plan([both], [east, west], max_terminations=0)
    assert steps(made) == [["create both", "terminate east", "terminate west"]]
    assert not made.refusals


def test_of_several_starts_the_one_with_the_same_coupon_stands_in() -> None:
    lives = [running("nuts", "1"), running("tea", "2", award_list=(Award("7", PICTURE),))]
    wanted = [
        desired("a-new-tea", transaction_amount_minimum=7, award_list=(Award("7", PICTURE),), **RUNNING),
        desired("b-new-nuts", transaction_amount_minimum=7, **RUNNING),
    ]
    assert steps(plan(wanted, lives)) == [
        ["create a-new-tea", "terminate tea"],
        ["create b-new-nuts", "terminate nuts"],
    ]


def test_what_is_replaced_under_another_key_is_replaced_all_the_same() -> None:
    made = plan([EDITED], [OLD], allow_replace_running=False)
    assert [each.code for each in made.refusals] == ["REPLACE_RUNNING"]
    kept = plan([EDITED], [live(desired("members-nuts", protect=True, merchants=mchids(10), **RUNNING))])
    assert [each.code for each in kept.refusals] == ["PROTECTED"]


def test_a_rename_that_ends_nothing_is_told_all_the_same() -> None:
    renamed = desired("daily", **RUNNING)
    made = plan([renamed], [running("everyday")], on_removed="ignore")
    assert [each.code for each in made.refusals] == ["LOOKS_RENAMED"]
    assert "keeps running" in str(made.refusals[0].facts["fate"])
    edited = plan([replace(EDITED, key="daily")], [OLD], on_removed="ignore")
    assert "LOOKS_REPLACED" in codes(edited)
    assert steps(edited) == [["create daily"]]


def test_what_a_spec_says_to_end_ends_by_itself() -> None:
    made = plan([EDITED, desired("members-nuts", state="terminated", merchants=mchids(10), **RUNNING)], [OLD])
    assert steps(made) == [["create vip-nuts"], ["terminate members-nuts"]]


def test_creations_come_before_ends_whatever_the_keys() -> None:
    made = plan([desired("zebra", merchants=("9",))], [running("ape"), running("bee", "2")], max_terminations=2)
    assert steps(made) == [["create zebra"], ["terminate ape"], ["terminate bee"]]


# -- terminate_first ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old_begins", "new_begins", "order"),
    [
        (-3, 1, ["create", "terminate"]),
        (-3, -1, ["terminate", "create"]),
        (3, 5, ["terminate", "create"]),
    ],
)
def test_what_runs_ends_first_only_where_it_would_overlap(old_begins: int, new_begins: int, order: list[str]) -> None:
    new = desired(replace="terminate_first", begin_time=NOW + new_begins * DAY, transaction_amount_minimum=7)
    old = live(desired(begin_time=NOW + old_begins * DAY), status=ONGOING)
    assert [each.operation for each in plan([new], [old]).operations] == order


# -- the order is part of what was reviewed ----------------------------------------------------------------------------


def test_another_order_is_not_what_was_reviewed() -> None:
    old = running()
    first = desired(transaction_amount_minimum=7, **RUNNING)
    reviewed = plan([first], [old])
    fresh = plan([replace(first, replace="terminate_first")], [old])
    assert [each.code for each in staleness(reviewed, fresh, [old], now=NOW)] == ["reordered"]
    assert [each.code for each in staleness(fresh, reviewed, [old], now=NOW)] == ["reordered"]


def test_an_end_that_no_longer_waits_is_not_what_was_reviewed() -> None:
    ending = desired("members-nuts", state="terminated", merchants=mchids(10), **RUNNING)
    reviewed, fresh = plan([EDITED], [OLD]), plan([EDITED, ending], [OLD])
    assert [each.code for each in staleness(reviewed, fresh, [OLD], now=NOW)] == ["reordered"]


def test_what_is_left_of_a_replacement_is_in_order() -> None:
    old, new = running(), desired(transaction_amount_minimum=7, **RUNNING)
    reviewed = plan([new], [old])
    lives = [old, live(new, "2", status=ONGOING)]
    assert staleness(reviewed, plan([new], lives), lives, now=NOW) == ()


def test_what_is_left_of_an_adopted_activity_is_found_by_its_id() -> None:
    adopted = live(activity_id="7", merchants=mchids(2), out_request_no="", status=ONGOING)
    spec = desired(adopt="7", merchants=mchids(4, 1600000002))
    reviewed = plan([spec], [adopted])
    half = [replace(adopted, merchants=mchids(3))]
    assert [step.operation for step in reviewed.operations] == ["add_merchants", "delete_merchants"]
    assert staleness(reviewed, plan([spec], half), half, now=NOW) == ()
    done = [replace(adopted, merchants=spec.merchants)]
    assert staleness(reviewed, plan([spec], done), done, now=NOW) == ()


# -- what differs, and nothing else ------------------------------------------------------------------------------------


def differing(
    new: DesiredActivity, old: LiveActivity, uploaded: dict[str, str] | None = None
) -> list[tuple[str, bool]]:
    made = make_plan([new], [old], namespace=NAMESPACE, now=NOW, uploaded=uploaded or {})
    return [(each.path, each.unproven) for each in made.changes[0].differences]


AMOUNT = "award_send_rule.transaction_amount_minimum"
COLOUR = "activity_base_info.background_color"


def test_a_colour_that_goes_is_shown_beside_another_edit() -> None:
    new = desired(background_color=None, transaction_amount_minimum=7)
    assert differing(new, live(desired())) == [(COLOUR, False), (AMOUNT, False)]
    by_the_server = live(desired(background_color=None), terms=terms(background_color="Color010"))
    assert differing(new, by_the_server) == [(AMOUNT, False)]


PACKAGE = tuple(
    Award(
        str(stock),
        Image(sha256=f"{stock:02}" * 32, path=f"{stock}.png"),
        Image(sha256=f"9{stock}" * 32, path="s.png"),
    )
    for stock in (1, 2, 3)
)
URLS = {
    image.sha256: f"https://wxpaylogo.qpic.cn/wxpaylogo/{index}/0"
    for index, image in enumerate(terms(merchant_logo_url=LOCAL, award_list=PACKAGE).images())
}


def as_uploaded(spec: DesiredActivity) -> LiveActivity:
    """Live as it is after the images of ``spec`` were uploaded."""
    seen = {image.sha256: Image(url=URLS[image.sha256]) for image in spec.terms.images()}
    awards = tuple(
        Award(
            each.stock_id,
            seen[each.original_image_url.sha256],
            each.thumbnail_url and seen[each.thumbnail_url.sha256],
        )
        for each in spec.terms.award_list
    )
    logo = seen[spec.terms.merchant_logo_url.sha256]
    return live(spec, terms=replace(spec.terms, merchant_logo_url=logo, award_list=awards))


def test_one_image_that_changed_is_one_line() -> None:
    before = desired(merchant_logo_url=LOCAL, award_list=PACKAGE, send_content="GIFT_PACKAGE")
    other = Image(sha256="cd" * 32, path="new.png")
    awards = (replace(PACKAGE[0], thumbnail_url=other), *PACKAGE[1:])
    after = replace(before, terms=replace(before.terms, award_list=awards))
    assert differing(after, as_uploaded(before), URLS) == [("award_send_rule.award_list[0].thumbnail_url", False)]
    dearer = replace(after, terms=replace(after.terms, background_color=None, transaction_amount_minimum=7))
    assert differing(dearer, as_uploaded(before), URLS) == [
        (COLOUR, False),
        (AMOUNT, False),
        ("award_send_rule.award_list[0].thumbnail_url", False),
    ]


def test_where_nobody_remembers_the_uploads_it_is_said_that_images_may_be_the_same() -> None:
    before = desired(merchant_logo_url=LOCAL, award_list=PACKAGE, send_content="GIFT_PACKAGE")
    after = replace(before, terms=replace(before.terms, merchant_logo_url=Image(sha256="cd" * 32, path="new.png")))
    found = differing(after, as_uploaded(before))
    assert len(found) == 7
    assert all(unproven for _, unproven in found)
    made = make_plan([after], [as_uploaded(before)], namespace=NAMESPACE, now=NOW)
    assert "perhaps unchanged" in plan_text(plan_view(made), digest="d")


def test_an_image_that_became_a_url_leaves_the_others_out() -> None:
    before = desired(merchant_logo_url=LOCAL)
    seen = live(before, terms=replace(before.terms, merchant_logo_url=Image(url=URLS[LOCAL.sha256])))
    after = desired(merchant_logo_url=LOCAL, award_list=(Award("98065001", Image(url="https://elsewhere/0")),))
    assert differing(after, seen) == [("award_send_rule.award_list[0].original_image_url", False)]


def test_awards_in_another_order_are_the_same_awards() -> None:
    package = desired(award_list=PACKAGE, merchant_logo_url=LOCAL, send_content="GIFT_PACKAGE")
    turned = replace(package, terms=replace(package.terms, award_list=PACKAGE[::-1]))
    assert plan([turned], [as_uploaded(package)]).empty
    adopted = replace(as_uploaded(package), out_request_no="web-1", activity_id="7")
    assert plan([replace(turned, adopt="7")], [adopted]).empty


def test_a_plan_waives_what_was_reviewed_and_no_more() -> None:
    spec = desired(protect=True, state="terminated", **RUNNING)
    lives = [running()]
    reviewed = plan([spec], lives, allow=frozenset({"PROTECTED"}))
    assert staleness(reviewed, plan([spec], lives, allow=frozenset({"PROTECTED"})), lives, now=NOW) == ()
    other = replace(
        running("other", "2"),
        out_request_no=str(number_of(NAMESPACE, desired("other", protect=True, **RUNNING))),
    )
    fresh = plan([spec], [*lives, other], allow=frozenset({"PROTECTED"}))
    found = {each.code for each in staleness(reviewed, fresh, [*lives, other], now=NOW)}
    assert found == {"waived", "appeared"}
