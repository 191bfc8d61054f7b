"""The digest that was reviewed: from the comment that the plan's workflow wrote on the pull request of a merge.

Fails closed: one pull request, one comment, by us, untouched by others, for the commit that was merged, written before
the merge, still valid, not applied yet, and shown before an approval by somebody else if there are any. Anything else
is a StaleError with the reason (docs/github.md says what each check is worth).

Once merged, a pull request can be planned again for the commit in which it ended: that plan must be approved.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from reconciler.model.errors import StaleError, UsageError
from reconciler.model.identity import instant
from reconciler.plan import check_format
from reconciler.review.github.approvals import Review, pushers_of, reviews_of
from reconciler.review.github.client import GitHub, Json
from reconciler.review.github.comments import Comment, head_sha, is_actor, marked_comments, marks_of, moment, viewer
from reconciler.review.github.marker import COMMIT, DIGEST, CommentMarker, Owner, read_marker, second_line

REMEDY: Final = (
    "Nothing was applied. Run the workflow `plan` on the default branch, approve what it shows on the pull request, "
    "and run `apply` there; or open a new pull request."
)
APPROVE_AGAIN: Final = (
    "Nothing was applied. Look at that plan. If it is right, approve the pull request and run this job again; "
    "or open a new one."
)


@dataclass(frozen=True, slots=True)
class Merged:
    """The pull request that ended in ``commit``. ``head`` was the last one of its ``branch``."""

    number: int
    head: str
    merged_at: datetime
    commit: str = ""
    branch: str = ""


class NotReviewedError(StaleError):
    """Nobody has planned this merge on a pull request: it is for the caller to say whether anything had to be."""


def pull_of_commit(github: GitHub, commit: str) -> Merged:
    """The one pull request whose merge, squash or rebase ended in ``commit``. Raises StaleError.

    Its ``merge_commit_sha`` is that commit in all three cases; a commit that merely belongs to a pull request is not.
    """
    if not COMMIT.fullmatch(commit):
        raise UsageError(f"{commit!r} is not a commit.", remedy="Set GITHUB_SHA, or give --commit 40 hex digits.")
    found = [
        each
        for each in github.items(f"commits/{commit}/pulls")
        # GitHub also lists pull requests that merely contain the commit, open ones among them.
        if each.get("merged_at") and each.get("merge_commit_sha") == commit and _into(github, each)
    ]
    if not found:
        raise NotReviewedError(f"No pull request was merged as {commit[:12]}: nobody reviewed it.", remedy=REMEDY)
    if len(found) > 1:
        numbers = ", ".join(f"#{each.get('number')}" for each in found)
        raise StaleError(
            f"{commit[:12]} is the merge of several pull requests, {numbers}: it is unclear which one was reviewed.",
            remedy=REMEDY,
        )
    (pull,) = found
    head = pull.get("head")
    branch = str(head.get("ref") or "") if isinstance(head, dict) else ""
    return Merged(int(pull["number"]), head_sha(pull), moment(pull["merged_at"]), commit, branch)


@dataclass(frozen=True, slots=True)
class Reviewed:
    """``digest`` has 64 hex digits. ``approved_by`` are the logins of those who approved that plan, perhaps none.
    ``head`` is the commit that it was made for.
    """

    digest: str
    approved_by: tuple[str, ...] = ()
    head: str = ""


def reviewed_digest(
    github: GitHub, owner: Owner, pull: Merged, *, now: datetime, require_approval: bool = False
) -> Reviewed:
    """The digest of the plan that was shown on ``pull``. Raises StaleError with the reason.

    Where there are approvals, one of them at least must be of this plan, by somebody who did not push what it is about.
    Whether there must be any is for the rules of the repository to say, or for ``require_approval``. Whoever requests
    changes stops it.
    """
    login = viewer(github)
    comment = _one_comment(github, owner, pull.number, login)
    # Text, author and editor in one answer: read one by one, an edit could slip in between.
    marks = marks_of(github, comment)
    if marks is None:
        raise StaleError("The comment with the plan has been deleted.", remedy=REMEDY)
    _check_hands(marks, login, pull.number)
    # Not comment.body, which was read before and may be another text.
    body = str(marks.get("body") or "")
    marker, facts = _readable(read_marker(body), owner, pull.number), second_line(body)
    _check_state(facts, pull)
    _check_moment(marks, facts, pull, now)
    since = moment(facts.get("since") or marks.get("lastEditedAt") or marks.get("createdAt"))
    # Planned after the merge: no approval before it can have been of this plan.
    again = facts.get("head") == pull.commit != pull.head
    approved = _approved(github, pull, since, login, required=require_approval or again)
    if not DIGEST.fullmatch(marker.digest):
        raise StaleError(f"The plan on pull request #{pull.number} has no digest of 64 hex digits.", remedy=REMEDY)
    return Reviewed(marker.digest, approved, facts.get("head", ""))


def _approved(github: GitHub, pull: Merged, since: datetime, login: str, *, required: bool) -> tuple[str, ...]:
    """Who approved what is shown since ``since``; perhaps nobody, unless it is ``required``. Raises StaleError."""
    said = reviews_of(github, pull.number, besides=login)
    # Before approvals are counted: one objection weighs more than any number of them.
    if said.objecting:
        raise StaleError(
            f"{said.objecting[0]} has requested changes on pull request #{pull.number}, and not taken it back.",
            remedy="Nothing was applied. Once that reviewer approves, or the review is dismissed, run this job again.",
        )
    if not said.approvals:
        if required:
            raise StaleError(f"Nobody has approved pull request #{pull.number}.", remedy=APPROVE_AGAIN)
        return ()
    return _by_others(github, pull, _approvers(said.approvals, pull, since))


def _by_others(github: GitHub, pull: Merged, approved: tuple[str, ...]) -> tuple[str, ...]:
    """``approved`` without those who pushed what they approved. Raises StaleError if nobody remains."""
    pushers = pushers_of(github, pull.branch, pull.head)
    # Whoever pushed the last commit approves his own work otherwise.
    others = tuple(each for each in approved if each not in pushers)
    if not others:
        raise StaleError(
            f"Only {', '.join(dict.fromkeys(approved))} approved pull request #{pull.number}, and pushed "
            f"{pull.head[:12]} too: nobody else has looked at it.",
            remedy=APPROVE_AGAIN,
        )
    return others


def _one_comment(github: GitHub, owner: Owner, pull: int, login: str) -> Comment:
    """Ours for this owner. One that cannot be read might be ours for it, so it counts."""
    strangers: list[str] = []
    ours: list[Comment] = []
    for comment in marked_comments(github, pull):
        if not _may_be(comment, owner):
            continue
        # A stranger's comment is not an error, or anybody could stop every apply by writing one.
        if comment.login == login:
            ours.append(comment)
        else:
            strangers.append(comment.login)
    if not ours:
        forged = f" One by {strangers[0]} looks like it, and does not count." if strangers else ""
        raise NotReviewedError(
            f"{login} wrote no plan of {_name(owner)} on pull request #{pull}.{forged}", remedy=REMEDY
        )
    # Which of them was approved nobody can tell.
    if len(ours) > 1:
        raise StaleError(f"{login} wrote {len(ours)} plans of {_name(owner)} on pull request #{pull}.", remedy=REMEDY)
    return ours[0]


def _may_be(comment: Comment, owner: Owner) -> bool:
    if comment.marker is None:
        return comment.body.startswith("<!-- paygift plan")
    return comment.marker.kind == "plan" and comment.marker.owner == owner


def _check_hands(marks: Json, login: str, pull: int) -> None:
    """Whoever may write to a repository may edit anybody's comment, and the author stays the same."""
    if not is_actor(marks.get("author"), login):
        raise StaleError(f"The plan on pull request #{pull} was not written by {login}.", remedy=REMEDY)
    # An editor whose account is gone is null, and counts as a stranger.
    if marks.get("lastEditedAt") and not is_actor(marks.get("editor"), login):
        editor = marks.get("editor")
        who = editor.get("login") if isinstance(editor, dict) else "a deleted account"
        raise StaleError(f"The plan on pull request #{pull} was edited by {who}.", remedy=REMEDY)


def _readable(marker: CommentMarker | None, owner: Owner, pull: int) -> CommentMarker:
    where = f"The plan on pull request #{pull}"
    if marker is None or marker.kind != "plan" or marker.owner != owner:
        raise StaleError(f"{where} cannot be read: its first line is malformed.", remedy=REMEDY)
    check_format(f"{where} has", marker.format, error=StaleError, remedy=REMEDY)
    return marker


def _check_state(facts: Mapping[str, str], pull: Merged) -> None:
    where = f"the plan on pull request #{pull.number}"
    match facts.get("state", ""):
        case "":
            return
        case "applied":
            raise StaleError(
                f"What {where} shows was applied completely, by run {facts.get('run', '')}: it is applied once.",
                remedy="Nothing was applied. If live has changed since, plan again: run the workflow `plan` on the "
                "default branch, or open a pull request.",
            )
        case "failed":
            raise StaleError(f"There is no plan on pull request #{pull.number}: planning failed.", remedy=REMEDY)
        case "outdated":
            raise StaleError(f"What {where} shows is outdated: no newer one came.", remedy=REMEDY)
        # Written by a newer version, perhaps for a reason to stop.
        case other:
            raise StaleError(f"What {where} shows is {other!r}, which this paygift does not know.", remedy=REMEDY)


def _check_moment(marks: Json, facts: Mapping[str, str], pull: Merged, now: datetime) -> None:
    where = f"The plan on pull request #{pull.number}"
    head = facts.get("head", "")
    if head not in (pull.head, pull.commit):
        raise StaleError(
            f"{where} was made for {head[:12] or 'no commit'}; merged was {pull.head[:12]}.", remedy=REMEDY
        )
    written = moment(marks.get("lastEditedAt") or marks.get("createdAt"))
    # Reviewers can only have seen what was there before the merge.
    if head == pull.head and written > pull.merged_at:
        raise StaleError(f"{where} was written after the merge.", remedy=REMEDY)
    until = facts.get("valid_until")
    if until and now >= moment(until):
        raise StaleError(f"{where} was valid until {until}.", remedy=REMEDY)


def _approvers(given: Sequence[Review], pull: Merged, since: datetime) -> tuple[str, ...]:
    """Who approved what has been shown since ``since``. Raises StaleError if all of them approved something else."""
    # Both: an approval may be for an older commit although it is newer than the plan.
    approved = tuple(each.login for each in given if each.at >= since and each.commit == pull.head)
    if given and not approved:
        last = given[-1]
        raise StaleError(
            f"The plan on pull request #{pull.number} was written at {instant(since)}, and nobody has "
            "approved it since: "
            f"the last approval, by {last.login}, is of {instant(last.at)} and for {last.commit[:12] or 'no commit'}.",
            remedy=APPROVE_AGAIN,
        )
    return approved


def _into(github: GitHub, pull: Json) -> bool:
    """Whether it was merged into the branch that was pushed; any branch will do outside of a workflow."""
    base = pull.get("base")
    ref = base.get("ref") if isinstance(base, dict) else None
    return not github.run.ref_name or ref == github.run.ref_name


def _name(owner: Owner) -> str:
    return f"{owner.namespace} on {owner.mchid}"
