"""A team over some weeks: old runs that are run again, reverts, broken pushes, queues, forks, waivers, objections.

Each story is told with the steps of the workflows, as in test_story, and ends as docs/github.md says.
"""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import pytest

from reconciler.commands import reviews
from reconciler.review.github.marker import second_line
from reconciler.spec import Project, load_project
from tests.end_to_end.test_story import (
    BEGUN,
    HEAD,
    MERGE,
    NEWER_HEAD,
    OTHER_HEAD,
    OTHER_MERGE,
    OTHER_PULL,
    PULL,
    SPRING,
    SUMMER,
    TWO_MERCHANTS,
    Done,
    Story,
    clean_environment,
    server,
    story,
)
from tests.support.fake_github import BOT
from tests.support.project import SPEC

__all__ = ["clean_environment", "server", "story"]  # the fixtures

REVERT_PULL, REVERT_HEAD, REVERT_MERGE = 9, "1" * 40, "2" * 40
CHEAP = ("spring", SPEC.replace("transaction_amount_minimum: 1000", "transaction_amount_minimum: 1"))


def merged(story: Story, number: int, head: str, commit: str, *specs: tuple[str, str]) -> None:
    """A pull request with these files, planned and merged."""
    story.push(number, head)
    story.checkout(*specs)
    assert story.plan(number).code == 0
    story.merge(number, commit)


def applied(story: Story, commit: str) -> Done:
    """The job `apply` of the run for ``commit``, whose report is told as well."""
    assert story.reviewed(commit).code == 0
    done = story.apply()
    assert story.report(commit).code == 0
    return done


def comment(story: Story, number: int = PULL) -> str:
    (body,) = story.bodies("plan", number)
    return body


def state_line(story: Story, number: int = PULL) -> str:
    return comment(story, number).splitlines()[2]


# --- runs that are run again --------------------------------------------------------------------------------


@pytest.fixture
def taken_back(story: Story) -> Story:
    """A merchant was added and applied, and taken back by a later pull request, applied too."""
    story.by_hand(SPRING)
    merged(story, PULL, HEAD, MERGE, TWO_MERCHANTS)
    assert applied(story, MERGE).code == 0
    merged(story, OTHER_PULL, OTHER_HEAD, OTHER_MERGE, SPRING)
    assert applied(story, OTHER_MERGE).code == 0
    return story


def test_an_old_green_run_that_is_run_again_writes_nothing(taken_back: Story) -> None:
    before = taken_back.effects()
    taken_back.checkout(TWO_MERCHANTS)  # what an old run checks out
    again = taken_back.reviewed(MERGE)
    assert (again.code, again.out) == (6, "")
    assert f"This run is for {MERGE[:12]}, and main is at {OTHER_MERGE[:12]}" in again.err
    assert not Path(taken_back.file("plan.json")).exists()
    assert taken_back.report(MERGE).code == 0
    assert "Nothing was written" in taken_back.bodies("report")[-1]
    assert taken_back.effects() == before


def test_an_old_red_run_that_is_run_again_writes_nothing(story: Story) -> None:
    story.by_hand(SPRING)
    merged(story, PULL, HEAD, MERGE, TWO_MERCHANTS)
    assert story.reviewed().code == 0
    with story.sandbox() as sandbox:
        sandbox.add_fault({"kind": "error_before", "route": "add", "count": 0})
    assert story.apply().code == 7
    with story.sandbox() as sandbox:
        sandbox.clear_faults()
    merged(story, OTHER_PULL, OTHER_HEAD, OTHER_MERGE, SPRING)  # main has thought better of it
    before = story.effects()
    story.checkout(TWO_MERCHANTS)
    assert story.reviewed().code == 6
    assert story.digest().code == 6
    assert story.effects() == before


def test_an_old_run_may_go_on_while_nothing_of_the_project_has_changed(story: Story) -> None:
    merged(story, PULL, HEAD, MERGE, SPRING)
    story.push(OTHER_PULL, OTHER_HEAD)
    story.merge(OTHER_PULL, OTHER_MERGE)  # the very same files
    assert applied(story, MERGE).code == 0
    assert story.effects() == ["created"]


def test_what_was_applied_completely_is_applied_once(story: Story) -> None:
    story.by_hand(SPRING)
    merged(story, PULL, HEAD, MERGE, TWO_MERCHANTS)
    assert applied(story, MERGE).code == 0
    plan = Path(story.file("plan.json")).read_bytes()
    story.by_hand(SPRING)  # somebody takes the merchant away again
    story.checkout(TWO_MERCHANTS)
    before = story.effects()
    again = story.reviewed()
    assert again.code == 6
    assert f"What the plan on pull request #{PULL} shows was applied completely, by run 4711.1" in again.err
    Path(story.file("plan.json")).write_bytes(plan)  # a script that does not ask GitHub
    by_file = story.apply()
    assert by_file.code == 6
    assert "This plan was applied completely by run " in by_file.err
    digest = json.loads(plan)["digest"]
    by_digest = story.paygift("--sandbox", "apply", "--yes", "--expect", digest)
    assert by_digest.code == 6
    assert story.effects() == before


def test_a_plan_that_was_made_anew_may_be_the_same_as_one_before(story: Story) -> None:
    story.by_hand(SPRING)
    merged(story, PULL, HEAD, MERGE, TWO_MERCHANTS)
    assert applied(story, MERGE).code == 0
    story.by_hand(SPRING)
    merged(story, OTHER_PULL, OTHER_HEAD, OTHER_MERGE, TWO_MERCHANTS)
    assert second_line(comment(story, OTHER_PULL)).get("state") is None
    assert applied(story, OTHER_MERGE).code == 0
    assert story.effects().count("merchants added") == 2


def test_a_run_that_has_nothing_left_to_do_writes_nothing_and_is_green(story: Story) -> None:
    merged(story, PULL, HEAD, MERGE, SPRING)
    assert story.reviewed().code == 0
    assert story.apply().code == 0  # and its step that reports dies
    again = story.apply()
    assert again.code == 0
    assert story.report().code == 0
    assert story.bodies("report") == []
    assert "**Applied**: nothing had to be done" in state_line(story)


# --- reverts ------------------------------------------------------------------------------------------------


def test_a_revert_by_button_is_red_with_the_line_that_helps_and_then_applied(story: Story) -> None:
    merged(story, PULL, HEAD, MERGE, SPRING)
    assert applied(story, MERGE).code == 0
    merged(story, OTHER_PULL, OTHER_HEAD, OTHER_MERGE, CHEAP)
    assert applied(story, OTHER_MERGE).code == 0

    story.push(REVERT_PULL, REVERT_HEAD)
    story.checkout(SPRING)
    story.plan(REVERT_PULL, refused=True)
    shown = comment(story, REVERT_PULL)
    assert "NUMBER_USED" in shown
    assert "generation: 2" in shown
    assert "1 unchanged" not in shown
    before = story.effects()
    story.merge(REVERT_PULL, REVERT_MERGE)  # though its check is red
    assert applied(story, REVERT_MERGE).code == 5
    assert story.effects() == before

    merged(story, 10, "3" * 40, "4" * 40, ("spring", f"generation: 2\n{SPEC}"))
    assert applied(story, "4" * 40).code == 0
    assert story.effects() == [*before, "created", "terminated"]


# --- the comment tells the present --------------------------------------------------------------------------


def test_the_comment_says_what_it_is_about(story: Story) -> None:
    story.plan()
    line = state_line(story)
    assert line.startswith(
        f"> **Planned** for `{HEAD[:12]}` · [run](https://github.com/liangpin/campaigns/actions/runs/4710)"
    )
    assert line.endswith("[page of the plan](https://github.com/liangpin/campaigns/actions/runs/4711/artifacts/1)")


def test_a_push_that_does_not_validate_is_told_above_the_old_plan(story: Story) -> None:
    story.plan()
    story.push(head=NEWER_HEAD)
    story.checkout(("spring", SPEC.replace("SINGLE_COUPON", "SINGLE")))
    assert story.outdated().code == 0
    assert state_line(story).startswith(f"> **Outdated**: the pull request is at `{NEWER_HEAD[:12]}`")
    assert story.validate() != []
    assert story.invalid().code == 0
    assert state_line(story).startswith(
        f"> **Failed**: there is no plan of `{NEWER_HEAD[:12]}`: `The files have mistakes"
    )
    assert "spring" in comment(story)

    story.merge()
    refused = story.reviewed()
    assert refused.code != 0
    assert story.effects() == []


def test_the_first_push_that_does_not_validate_gets_a_comment_too(story: Story) -> None:
    story.checkout(("spring", SPEC.replace("SINGLE_COUPON", "SINGLE")))
    assert story.outdated().code == 0
    assert story.bodies("plan") == []
    assert story.invalid().code == 0
    assert "**Failed**" in state_line(story)
    story.checkout(SPRING)
    story.push(head=NEWER_HEAD)
    assert story.plan().code == 0
    assert state_line(story).startswith(f"> **Planned** for `{NEWER_HEAD[:12]}`")


def test_a_project_file_that_cannot_be_read_is_told_in_the_comment_that_is_there(story: Story) -> None:
    story.plan()
    story.push(head=NEWER_HEAD)
    (story.root / "paygift.yaml").write_text("namespace: [\n")
    assert story.invalid().code == 0
    assert "**Failed**" in state_line(story)


def test_a_plan_that_fails_is_told_with_its_reason(story: Story) -> None:
    story.plan()
    story.push(head=NEWER_HEAD)
    with story.sandbox() as sandbox:
        sandbox.add_fault({"kind": "error_before", "route": "list", "count": 0})
    assert story.failed().code == 0
    line = state_line(story)
    assert f"**Failed**: there is no plan of `{NEWER_HEAD[:12]}`: `" in line
    assert "HTTP 500" in line
    with story.sandbox() as sandbox:
        sandbox.clear_faults()
    story.merge()
    refused = story.reviewed()
    assert refused.code == 6
    assert f"There is no plan on pull request #{PULL}: planning failed." in refused.err


def test_a_plan_that_failed_once_and_is_the_same_again_keeps_its_approval(story: Story) -> None:
    story.plan()
    story.github.review(PULL)
    assert story.invalid().code == 0
    story.plan()
    story.merge()
    assert "approved by alice" in story.reviewed().err


def test_an_edit_by_somebody_else_does_not_become_ours_by_way_of_a_failure(story: Story) -> None:
    story.plan()
    story.github.review(PULL)
    (kept,) = story.github.comments
    story.github.edit(kept, kept["body"].replace("spring", "harmless"), "mallory")
    assert story.invalid().code == 0
    story.plan()
    assert "harmless" not in comment(story)
    story.merge()
    assert story.reviewed().code == 6  # the approval was of what mallory had written


def test_a_plan_that_is_applied_says_so_and_links_to_its_report(story: Story) -> None:
    merged(story, PULL, HEAD, MERGE, SPRING)
    assert applied(story, MERGE).code == 0
    (report,) = [each for each in story.github.comments if each["body"].startswith("<!-- paygift report")]
    assert state_line(story) == (
        f"> **Applied** completely · [report](https://github.com/liangpin/campaigns/pull/{PULL}"
        f"#issuecomment-{report['id']}) · [run](https://github.com/liangpin/campaigns/actions/runs/4711)"
    )


def test_a_pull_request_without_changes_has_one_comment(story: Story) -> None:
    story.by_hand(SPRING)
    merged(story, PULL, HEAD, MERGE, SPRING)
    assert applied(story, MERGE).code == 0
    assert len([each for each in story.github.comments if each["login"] == BOT]) == 1
    assert "No changes" in comment(story)


# --- one after another --------------------------------------------------------------------------------------


def test_of_two_pull_requests_in_quick_succession_the_second_applies_both(story: Story) -> None:
    story.plan()
    story.push(OTHER_PULL, OTHER_HEAD)
    story.merge()
    story.checkout(SPRING, SUMMER)  # up to date with main, as the rules want it
    story.plan(OTHER_PULL)
    story.merge(OTHER_PULL, OTHER_MERGE)
    story.checkout(SPRING)
    first = story.reviewed()  # whose run comes late
    assert first.code == 6
    assert f"main is at {OTHER_MERGE[:12]}" in first.err
    story.checkout(SPRING, SUMMER)
    assert applied(story, OTHER_MERGE).code == 0
    assert story.effects() == ["created", "created"]


def queue_of_two(story: Story) -> None:
    """Two pull requests were planned apart, and the queue merges them together."""
    story.plan()
    story.push(OTHER_PULL, OTHER_HEAD)
    story.checkout(SUMMER)
    story.plan(OTHER_PULL)
    story.event = "merge_group"
    story.checkout(SPRING)
    assert story.planned(PULL).code == 0
    story.checkout(SPRING, SUMMER)
    assert story.planned(OTHER_PULL).code == 0
    story.checkout(SPRING)
    story.merge()
    story.checkout(SPRING, SUMMER)
    story.merge(OTHER_PULL, OTHER_MERGE)


def test_a_merge_queue_of_two_is_planned_again_and_approved_before_it_is_applied(story: Story) -> None:
    queue_of_two(story)
    story.checkout(SPRING)
    assert story.reviewed().code == 6  # main has moved on
    story.checkout(SPRING, SUMMER)
    assert story.reviewed(OTHER_MERGE).code == 0
    stale = story.apply()
    assert stale.code == 6
    assert "nobody has reviewed it" in stale.err
    assert story.effects() == []

    story.event = "workflow_dispatch"
    assert story.plan(OTHER_PULL).code == 0
    assert state_line(story, OTHER_PULL).startswith(f"> **Planned** for `{OTHER_MERGE[:12]}`")
    unapproved = story.reviewed(OTHER_MERGE)
    assert unapproved.code == 6
    assert f"Nobody has approved pull request #{OTHER_PULL}." in unapproved.err
    story.github.review(OTHER_PULL)
    assert applied(story, OTHER_MERGE).code == 0
    assert story.effects() == ["created", "created"]


def test_a_plan_made_again_needs_an_approval_of_its_own(story: Story) -> None:
    queue_of_two(story)
    story.github.review(OTHER_PULL)  # of what the pull request showed before
    story.event = "workflow_dispatch"
    assert story.plan(OTHER_PULL).code == 0
    assert story.reviewed(OTHER_MERGE).code == 6
    story.github.review(OTHER_PULL)
    assert applied(story, OTHER_MERGE).code == 0


def test_an_expired_plan_is_made_again_without_an_empty_commit(story: Story) -> None:
    story.plan()
    story.merge()
    story.clock(BEGUN)
    assert story.reviewed().code == 6
    story.event = "workflow_dispatch"
    assert story.plan().code == 0
    story.github.review(PULL)
    assert applied(story, MERGE).code == 0
    assert story.effects() == ["created"]


# --- forks, Dependabot --------------------------------------------------------------------------------------


def test_a_fork_that_changes_campaigns_is_not_applied(story: Story) -> None:
    """The job `plan` is skipped for it."""
    story.github.tip = "5" * 40
    story.github.trees["5" * 40] = {}
    story.push(fork=True)
    assert story.validate() == []
    story.merge()
    refused = story.reviewed()
    assert refused.code == 6
    assert "wrote no plan" in refused.err
    assert "Run the workflow `plan` on the default branch" in refused.err
    story.event = "workflow_dispatch"
    assert story.plan().code == 0
    story.github.review(PULL)
    assert applied(story, MERGE).code == 0


def test_a_merge_by_dependabot_that_changes_nothing_of_the_project_is_green(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads: list[Path] = []

    def counted(root: Path, *, now: datetime) -> Project:
        loads.append(root)
        return load_project(root, now=now)

    monkeypatch.setattr(reviews, "load_project", counted)
    story.github.tip = "5" * 40
    story.github.trees["5" * 40] = story.files()
    story.push(author="dependabot[bot]")
    story.merge()
    calm = story.reviewed()
    assert (calm.code, calm.out) == (0, "found=false\n")
    assert len(loads) == 1, "ten thousand specs take a while"
    assert "It changed nothing of this project." in calm.err
    assert not Path(story.file("plan.json")).exists()
    assert story.report().code == 0
    assert story.bodies("report") == []


# --- waivers ------------------------------------------------------------------------------------------------


@pytest.fixture
def refused(story: Story) -> Story:
    """A pull request that would end a protected campaign."""
    story.by_hand(("spring", f"protect: true\n{SPEC}"), SUMMER)
    story.checkout(("spring", f"protect: true\nstate: terminated\n{SPEC}"), SUMMER)
    story.plan(refused=True)
    assert "PROTECTED" in comment(story)
    return story


def test_a_label_by_a_writer_waives_for_this_pull_request_only(refused: Story) -> None:
    refused.github.label(PULL, "paygift: allow PROTECTED:spring", "alice")
    refused.plan()
    assert "PROTECTED:spring is waived." in refused.waivers.err
    assert "Waived by name" in comment(refused)
    refused.merge()
    assert applied(refused, MERGE).code == 0
    assert refused.effects()[-1] == "terminated"

    refused.by_hand(("autumn", f"protect: true\n{SPEC.replace('春', '秋')}"), SUMMER)
    refused.push(OTHER_PULL, OTHER_HEAD)
    refused.checkout(("autumn", f"protect: true\nstate: terminated\n{SPEC.replace('春', '秋')}"), SUMMER)
    refused.plan(OTHER_PULL, refused=True)


def test_a_line_of_the_description_by_a_writer_waives_too(refused: Story) -> None:
    refused.github.describe(PULL, "The campaign is over.\r\n\r\npaygift: allow PROTECTED:spring\r\n", "bob")
    refused.plan()
    assert "Waived by name" in comment(refused)


@pytest.mark.sampled(every=2)
@pytest.mark.parametrize(
    ("text", "editor"),
    [
        ("paygift: allow PROTECTED:spring", "mallory"),
        ("<!-- paygift: allow PROTECTED:spring -->", "bob"),
        ("<!--\npaygift: allow PROTECTED:spring", "bob"),
        ("```\npaygift: allow PROTECTED:spring\n```", "bob"),
        ("please paygift: allow PROTECTED:spring", "bob"),
        ("", "bob"),
    ],
)
def test_what_a_writer_did_not_say_waives_nothing(refused: Story, text: str, editor: str) -> None:
    refused.github.describe(PULL, text, editor)
    refused.github.label(PULL, "paygift: allow PROTECTED", "mallory")
    refused.plan(refused=True)
    assert "PROTECTED as a label by mallory does not count" in refused.waivers.err
    assert ("in the description, last written by mallory, does not count" in refused.waivers.err) == (
        editor == "mallory"
    )


def test_a_waiver_that_was_taken_back_waives_nothing(refused: Story) -> None:
    refused.github.label(PULL, "paygift: allow PROTECTED", "alice")
    refused.plan()
    refused.github.review(PULL)
    refused.github.unlabel(PULL, "paygift: allow PROTECTED", "mallory")
    refused.plan(refused=True)


# --- objections ---------------------------------------------------------------------------------------------


def test_changes_that_were_requested_stop_the_apply_until_they_are_taken_back(story: Story) -> None:
    story.plan()
    story.github.review(PULL, login="bob")
    story.github.review(PULL, "CHANGES_REQUESTED")
    story.merge()  # by somebody who may go around the rules
    held = story.reviewed()
    assert held.code == 6
    assert "alice has requested changes" in held.err
    assert story.effects() == []
    story.github.review(PULL)
    assert applied(story, MERGE).code == 0


def test_whoever_pushed_cannot_be_the_only_one_to_approve(story: Story) -> None:
    story.push(author="alice")
    story.plan()
    story.github.review(PULL)
    story.merge()
    alone = story.reviewed()
    assert alone.code == 6
    assert "Only alice approved" in alone.err
    story.github.review(PULL, login="bob")
    assert applied(story, MERGE).code == 0
