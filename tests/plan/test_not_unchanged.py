"""What lives and is not what its file says is never counted as unchanged, and a refusal says what to write."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from reconciler.model.activity import DesiredActivity, LiveActivity, Source
from reconciler.model.plan import Plan
from reconciler.model.policy import Policy
from reconciler.plan import make_plan
from reconciler.render.html import plan_html
from reconciler.render.json_ import plan_json
from reconciler.render.markdown import plan_markdown
from reconciler.render.text import plan_text
from reconciler.render.views.plan import plan_view
from reconciler.spec import generation_line
from tests.support.project import SPEC, Project
from tests.support.samples import FAILED, NAMESPACE, NOW, ONGOING, PAUSED, TERMINATED, desired, live, mchids

RUNNING: dict[str, Any] = {"begin_time": NOW - timedelta(days=3)}
CHEAP = desired(transaction_amount_minimum=1, **RUNNING)
DEAR = desired(transaction_amount_minimum=5000, **RUNNING)
OTHER = live(DEAR, "2", status=ONGOING)


def plan(wanted: DesiredActivity | None, *lives: LiveActivity, **policy: Any) -> Plan:
    """For ``wanted`` beside five campaigns that are as their files say."""
    fine = [desired(f"fine-{number}", goods_tags=(str(number),)) for number in range(5)]
    others = [live(each, f"10{number}") for number, each in enumerate(fine)]
    specs = [*fine, *([wanted] if wanted else [])]
    return make_plan(specs, [*others, *lives], namespace=NAMESPACE, now=NOW, policy=Policy(**policy))


@pytest.mark.parametrize(
    ("code", "wanted", "lives", "policy"),
    [
        ("NUMBER_USED", CHEAP, [live(CHEAP, "1", status=TERMINATED), OTHER], {}),
        ("CREATION_FAILED", CHEAP, [live(CHEAP, "1", status=FAILED), OTHER], {}),
        ("TERMS_UNREADABLE", CHEAP, [replace(OTHER, terms=None)], {}),
        ("TERMS_UNREADABLE", None, [replace(OTHER, terms=None)], {}),
        ("ADOPT_ENDED", replace(CHEAP, adopt="1", replace="terminate_first"),
         [live(None, "1", status=TERMINATED), OTHER], {}),
        ("ADOPT_AMBIGUOUS", replace(DEAR, adopt="1"),
         [live(None, "1", status=ONGOING, terms=DEAR.terms, merchants=()), OTHER], {}),
        ("ADOPT_NOT_EXPRESSIBLE", replace(CHEAP, adopt="1"),
         [live(None, "1", status=ONGOING, terms=replace(DEAR.terms, transaction_amount_minimum=0), merchants=())], {}),
        ("ADOPT_NOT_FULL_SEND", replace(DEAR, adopt="1"),
         [live(None, "1", status=ONGOING, activity_type="X", merchants=()), OTHER], {}),
        ("LIVE_TERMS_DIFFER", CHEAP, [live(CHEAP, "1", status=ONGOING, terms=DEAR.terms)], {}),
        ("REMOVED_SPEC_IGNORED", None, [OTHER], {"on_removed": "ignore"}),
        ("REMOVED_SPEC", None, [OTHER], {"on_removed": "refuse"}),
        ("PROTECTED", replace(CHEAP, protect=True), [OTHER], {}),
    ],
)  # fmt: skip
def test_what_differs_from_its_file_is_not_unchanged(
    code: str, wanted: DesiredActivity | None, lives: list[LiveActivity], policy: dict[str, Any]
) -> None:
    for allow in (frozenset[str](), frozenset({code})):
        made = plan(wanted, *lives, allow=allow, **policy)
        assert code in [each.code for each in made.findings]
        assert made.unchanged == 5
        told = plan_view(made).summary
        assert "5 unchanged" in told
        if not made.operations:
            open_refusal = bool(made.refusals)
            assert (", 1 refused, 5 unchanged" in told) is open_refusal
            assert (", 1 differing, 5 unchanged" in told) is not open_refusal


def test_a_paused_activity_with_the_terms_of_its_file_is_unchanged() -> None:
    made = plan(DEAR, replace(OTHER, activity_status=PAUSED))
    assert (made.unchanged, made.differing) == (6, ())
    assert plan_view(made).summary == "No changes. 6 unchanged, 0 unmanaged."


def test_merchants_that_are_to_change_are_a_change() -> None:
    made = plan(replace(DEAR, merchants=mchids(2)), OTHER)
    assert (made.unchanged, made.differing) == (5, ())


def test_every_rendering_says_so() -> None:
    made = plan(CHEAP, live(CHEAP, "1", status=TERMINATED), OTHER)
    said = "No changes, 1 refused, 5 unchanged, 0 unmanaged."
    for text in (
        plan_text(plan_view(made), digest="d"),
        plan_markdown(made),
        plan_html(made),
    ):
        assert said in text
    counts = plan_json(made)["counts"]
    assert counts == {"managed": 6, "unchanged": 5, "unmanaged": 0, "refused": 1, "differing": 0}


# -- the suggestion ----------------------------------------------------------------------------------------------------

REVERTED = SPEC.replace("minimum: 1000", "minimum: 1")


def reverted(project: Project, head: str = "") -> None:
    """¥0.01 ran, ¥50 replaced it, and now the file says ¥0.01 again."""
    for text in (REVERTED, SPEC.replace("minimum: 1000", "minimum: 5000")):
        project.write("spring", head + text)
        assert project.run("--sandbox", "apply", "--yes")[0] == 0
    project.write("spring", head + REVERTED)


@pytest.mark.sampled(every=3)
@pytest.mark.parametrize(
    ("head", "line", "remedy", "then"),
    [
        ("", 1, "`generation: 2`, above `activity_base_info:`", "generation: 2\n"),
        ("# 春日\nkey: spring # ours\n", 2, "`generation: 2`, below `key: spring # ours`",
         "# 春日\nkey: spring # ours\ngeneration: 2\n"),
        ("key: spring\ngeneration: 1 # first\n", 2, "`generation: 2 # first`, in place of `generation: 1 # first`",
         "key: spring\ngeneration: 2 # first\n"),
        ("---\ngeneration: '1'\r\n", 2, "`generation: 2`, in place of `generation: '1'`", "---\ngeneration: 2\n"),
    ],
)  # fmt: skip
def test_a_revert_is_told_what_to_write(project: Project, head: str, line: int, remedy: str, then: str) -> None:
    reverted(project, head)
    _code, out, _ = project.run("--sandbox", "plan")
    assert out.startswith("refusal NUMBER_USED spring")
    assert f"Write at activities/spring.yaml:{line}: {remedy}." in out
    assert "No changes, 1 refused, 0 unchanged, 0 unmanaged." in out
    (finding,) = [
        each
        for each in json.loads(project.run("--sandbox", "plan", "--json")[1])["findings"]
        if each["code"] == "NUMBER_USED"
    ]
    suggestion = finding["facts"]["suggestion"]
    assert (suggestion["file"], suggestion["line"]) == ("activities/spring.yaml", line)
    project.write("spring", then + REVERTED)
    assert "1 to replace" in project.run("--sandbox", "plan")[1]


def test_markdown_shows_the_lines_that_take_the_place_of_the_one(project: Project) -> None:
    reverted(project, "key: spring\n")
    file = str(project.root / "plan.json")
    project.run("--sandbox", "plan", "--out", file)
    out = project.run("show-plan", file, "--format", "markdown")[1]
    assert "Write at activities/spring.yaml:1: `generation: 2`, below `key: spring`." in out
    assert "  ```suggestion\n  key: spring\n  generation: 2\n  ```" in out
    page = project.run("show-plan", file, "--format", "html")[1]
    assert "Write at activities/spring.yaml:1:" in page


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("{key: a, generation: 1}\n", 1),
        ("--- {key: a}\n", 1),
        ("? generation\n: 1\n", 1),
        ("generation:\n  1\n", 1),
        ("a: 1\n", 7),
        ("a: [\n", 1),
    ],
)
def test_where_no_one_line_says_it_nothing_is_suggested(project: Project, text: str, line: int) -> None:
    project.write("spring", text)
    assert generation_line(project.root, Source("activities/spring.yaml", line), 2) is None


def test_the_second_of_two_specs_in_a_file_is_met(project: Project) -> None:
    project.write("spring", "key: a\n---\n  key: b\n  x: 1\n")
    found = generation_line(project.root, Source("activities/spring.yaml", 3), 4)
    assert found is not None
    assert (found.line, found.place, found.write) == (3, "after", "  generation: 4")


def test_a_line_with_backticks_stays_in_its_block(project: Project) -> None:
    reverted(project, "key: spring # ``` <!-- x --> ```\n")
    file = str(project.root / "plan.json")
    project.run("--sandbox", "plan", "--out", file)
    out = project.run("show-plan", file, "--format", "markdown")[1]
    assert "  ````suggestion\n  key: spring # ```" in out
