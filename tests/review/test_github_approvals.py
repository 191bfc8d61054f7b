"""Which approvals of a pull request count for the plan that its comment shows, against a small GitHub on loopback."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from reconciler.model.errors import GitHubError, StaleError
from reconciler.model.plan import Plan
from reconciler.review.github import GitHub, keep_plan_comment, pull_of_commit, reviewed_digest
from reconciler.review.github.marker import second_line
from tests.review.test_github import (
    DIGEST,
    HEAD,
    MERGE,
    MOVED,
    OTHER,
    OWNER,
    PLAN,
    PULL,
    bodies,
    client,
    fake,
    github,
    keep,
    render,
    server,
)
from tests.support.fake_github import BOT, START, FakeGitHub, Fault

__all__ = ["client", "fake", "github", "server"]  # the fixtures


def approved_by(github: GitHub, **more: Any) -> tuple[str, ...]:
    return reviewed_digest(github, OWNER, pull_of_commit(github, MERGE), now=START, **more).approved_by


def not_approved(github: GitHub, reason: str, **more: Any) -> None:
    with pytest.raises(StaleError, match=reason) as caught:
        approved_by(github, **more)
    assert "approve the pull request and run this job again" in caught.value.remedy


def test_an_approval_of_what_the_comment_shows_counts(fake: FakeGitHub, github: GitHub) -> None:
    keep(github)
    fake.review(PULL)
    fake.review(PULL, "COMMENTED")
    fake.merge(PULL, MERGE)
    assert approved_by(github, require_approval=True) == ("alice",)


def test_an_approval_in_the_second_of_the_comment_counts(fake: FakeGitHub, github: GitHub) -> None:
    keep(github)
    fake.review(PULL)["submittedAt"] = fake.comments[0]["created_at"]
    fake.merge(PULL, MERGE)
    assert approved_by(github) == ("alice",)


def test_an_approval_before_the_comment_showed_another_plan_does_not_count(fake: FakeGitHub, github: GitHub) -> None:
    keep(github, OTHER)
    fake.review(PULL)
    keep(github)  # live has changed, and plan was run again
    fake.merge(PULL, MERGE)
    not_approved(
        github,
        r"written at 2026-11-25T02:03:00Z, and nobody has approved it since: the last approval, by alice, "
        r"is of 2026-11-25T02:02:00Z",
    )
    fake.review(PULL)  # on the merged pull request, whose comment changes no more
    assert approved_by(github) == ("alice",)


def test_an_approval_before_there_was_a_plan_does_not_count(fake: FakeGitHub, github: GitHub) -> None:
    fake.review(PULL)
    keep(github)
    fake.merge(PULL, MERGE)
    not_approved(github, "nobody has approved it since")


def test_an_approval_of_an_older_commit_does_not_count(fake: FakeGitHub, github: GitHub) -> None:
    keep(github)
    fake.review(PULL, commit=MOVED)
    fake.merge(PULL, MERGE)
    not_approved(github, "for bbbbbbbbbbbb")


def test_one_approval_of_the_newest_plan_is_enough(fake: FakeGitHub, github: GitHub) -> None:
    fake.review(PULL, login="bob")
    keep(github)
    fake.review(PULL)
    fake.merge(PULL, MERGE)
    assert approved_by(github) == ("alice",)


def test_an_approval_that_was_dismissed_does_not_count(fake: FakeGitHub, github: GitHub) -> None:
    keep(github)
    fake.review(PULL)
    fake.review(PULL, "DISMISSED")
    fake.merge(PULL, MERGE)
    assert approved_by(github) == ()
    not_approved(github, "Nobody has approved pull request #7", require_approval=True)


def test_changes_that_somebody_has_requested_stop_it_until_taken_back(fake: FakeGitHub, github: GitHub) -> None:
    keep(github)
    fake.review(PULL, "CHANGES_REQUESTED", login="mallory", may_write=False)  # anybody may say so
    fake.review(PULL, login="bob")
    fake.review(PULL, "CHANGES_REQUESTED")
    fake.review(PULL, "COMMENTED")
    fake.merge(PULL, MERGE)
    with pytest.raises(StaleError, match="alice has requested changes on pull request #7"):
        approved_by(github)
    fake.review(PULL)
    assert approved_by(github) == ("bob", "alice")


def test_who_pushed_the_commit_does_not_count_as_its_approver(fake: FakeGitHub, github: GitHub) -> None:
    fake.open_pull(PULL, HEAD, author="alice")
    keep(github)
    fake.review(PULL)
    fake.merge(PULL, MERGE)
    not_approved(github, "Only alice approved pull request #7, and pushed aaaaaaaaaaaa too")
    fake.review(PULL, login="bob")
    assert approved_by(github) == ("bob",)


def test_a_commit_that_somebody_else_wrote_counts_as_pushed_by_who_pushed_it(fake: FakeGitHub, github: GitHub) -> None:
    fake.open_pull(PULL, HEAD, author="alice")
    fake.authors[HEAD] = "carol"
    keep(github)
    fake.review(PULL)
    fake.merge(PULL, MERGE)
    not_approved(github, "Only alice approved")


def test_without_a_list_of_pushes_the_author_of_the_commit_is_taken_for_its_pusher(
    fake: FakeGitHub, github: GitHub
) -> None:
    fake.open_pull(PULL, HEAD, author="alice")
    fake.pushes.clear()
    keep(github)
    fake.review(PULL)
    fake.merge(PULL, MERGE)
    not_approved(github, "Only alice approved")
    fake.faults.append(Fault(404, path="/activity"))
    not_approved(github, "Only alice approved")
    fake.authors[HEAD] = "carol"
    assert approved_by(github) == ("alice",)


@pytest.mark.parametrize(
    "stranger",
    [
        {"login": "mallory", "may_write": False},
        {"login": BOT},  # who wrote the plan
        {"login": None, "may_write": False},
        {"state": "PENDING"},
    ],
)
def test_an_approval_by_whom_it_is_not_for_does_not_count(
    fake: FakeGitHub, github: GitHub, stranger: dict[str, Any]
) -> None:
    keep(github, OTHER)
    fake.review(PULL)
    keep(github)
    fake.review(PULL, **stranger)
    fake.merge(PULL, MERGE)
    not_approved(github, "the last approval, by alice")


def test_a_merge_without_review_is_for_the_rules_of_the_repository_to_allow(fake: FakeGitHub, github: GitHub) -> None:
    keep(github)
    fake.merge(PULL, MERGE)
    assert approved_by(github) == ()
    not_approved(github, "Nobody has approved pull request #7", require_approval=True)


def test_an_approval_behind_more_than_a_hundred_remarks_is_found(fake: FakeGitHub, github: GitHub) -> None:
    keep(github)
    for _ in range(230):
        fake.review(PULL, "COMMENTED")
    fake.review(PULL)
    fake.merge(PULL, MERGE)
    assert approved_by(github, require_approval=True) == ("alice",)


@pytest.mark.parametrize(
    "answer",
    [
        {"repository": None},
        {"repository": {"pullRequest": {"reviews": {"nodes": []}}}},
        {"repository": {"pullRequest": {"reviews": {"nodes": [None], "pageInfo": {}}}}},
    ],
)
def test_reviews_that_are_not_told_are_an_error_and_not_an_absence(
    fake: FakeGitHub, github: GitHub, monkeypatch: pytest.MonkeyPatch, answer: dict[str, Any]
) -> None:
    keep(github)
    fake.merge(PULL, MERGE)
    really = fake._question
    monkeypatch.setattr(fake, "_question", lambda data: answer if "reviews(" in data["query"] else really(data))
    with pytest.raises(GitHubError, match="does not tell the reviews of pull request #7"):
        approved_by(github)


def worded(clock: str, plan: Plan, max_chars: int) -> str:
    return f"{render(plan, max_chars)} {clock}"


def test_the_same_plan_in_other_words_keeps_its_approval(fake: FakeGitHub, github: GitHub) -> None:
    keep(github)
    fake.review(PULL)
    for clock in ("in 3 h", "in 2 h", "in 2 h"):
        keep_plan_comment(github, PULL, PLAN, render=partial(worded, clock))
    assert second_line(bodies(fake)[0]) == {"head": HEAD, "since": "2026-11-25T02:01:00Z"}
    assert bodies(fake)[0].endswith("in 2 h")
    assert len(fake.writes()) == 3
    fake.merge(PULL, MERGE)
    assert approved_by(github) == ("alice",)


@pytest.mark.parametrize(
    "change",
    [
        lambda fake: fake.edit(fake.comments[0], fake.comments[0]["body"] + "!", "mallory"),
        lambda fake: fake.edit(fake.comments[0], fake.comments[0]["body"].replace(HEAD, MOVED), BOT),
        lambda fake: fake.edit(fake.comments[0], fake.comments[0]["body"].replace(DIGEST, "0" * 64), BOT),
        lambda fake: fake.edit(
            fake.comments[0], fake.comments[0]["body"].replace(" -->\n>", " valid_until=x -->\n>"), BOT
        ),
    ],
)
def test_what_was_not_the_same_plan_by_our_hand_hands_on_no_approval(
    fake: FakeGitHub, github: GitHub, change: Any
) -> None:
    keep(github)
    fake.review(PULL)
    before = fake.comments[0]["body"]
    change(fake)
    assert fake.comments[0]["body"] != before
    assert keep(github) == "updated"
    assert "since" not in second_line(bodies(fake)[0])
    fake.merge(PULL, MERGE)
    not_approved(github, "nobody has approved it since")
