"""The digest that was reviewed: from the comment that the plan's workflow wrote on the pull request of a merge.

Fails closed: one pull request, one comment, by us, untouched by others, for the commit that was merged, written before
the merge, still valid, and shown before an approval if there are any. Anything else is a StaleError with the reason
(docs/github.md says what each check is worth).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from reconciler.errors import StaleError, UsageError
from reconciler.github.approvals import Approval, approvals
from reconciler.github.client import GitHub, Json
from reconciler.github.comments import (
    Comment,
    head_sha,
    is_actor,
    marked_comments,
    marks_of,
    moment,
    viewer,
)
from reconciler.github.marker import COMMIT, DIGEST, FORMAT, Marker, Owner, read_marker, second_line
from reconciler.identity import instant

REMEDY: Final = (
    "Nothing was applied. Open a new pull request (an empty commit will do), and have its plan reviewed."
)
APPROVE_AGAIN: Final = (
    "Nothing was applied. Look at that plan. If it is right, approve the pull request and run this job again; "
    "or open a new one."
)


@dataclass(frozen=True, slots=True)
class Merged:
    """The pull request that a commit came from."""

    number: int
    head: str
    merged_at: datetime


def pull_of_commit(github: GitHub, commit: str) -> Merged:
    """The one pull request whose merge, squash or rebase ended in ``commit``. Raises StaleError.

    Its ``merge_commit_sha`` is that commit in all three cases; a commit that merely belongs to a pull request is not.
    """
    if not COMMIT.fullmatch(commit):
        raise UsageError(
            f"{commit!r} is no commit.", remedy="Set GITHUB_SHA, or give --commit 40 hex digits."
        )
    found = [
        each
        for each in github.items(f"commits/{commit}/pulls")
        if each.get("merged_at") and each.get("merge_commit_sha") == commit and _into(github, each)
    ]
    if not found:
        raise StaleError(f"No pull request was merged as {commit[:12]}: nobody reviewed it.", remedy=REMEDY)
    if len(found) > 1:
        numbers = ", ".join(f"#{each.get('number')}" for each in found)
        raise StaleError(
            f"{commit[:12]} is the merge of several pull requests, {numbers}: which was meant?", remedy=REMEDY
        )
    (pull,) = found
    return Merged(int(pull["number"]), head_sha(pull), moment(pull["merged_at"]))


@dataclass(frozen=True, slots=True)
class Reviewed:
    """``digest`` has 64 hex digits. ``approved_by`` are the logins of those who approved that plan, perhaps none."""

    digest: str
    approved_by: tuple[str, ...] = ()


def reviewed_digest(
    github: GitHub, owner: Owner, pull: Merged, *, now: datetime, require_approval: bool = False
) -> Reviewed:
    """The digest of the plan that was shown on ``pull``. Raises StaleError with the reason.

    Where there are approvals, one of them at least must be of this plan. Whether there must be any is for the rules of
    the repository to say, or for ``require_approval``.
    """
    login = viewer(github)
    comment = _one_comment(github, owner, pull.number, login)
    marks = marks_of(github, comment)
    if marks is None:
        raise StaleError("The comment with the plan has been deleted.", remedy=REMEDY)
    _check_hands(marks, login, pull.number)
    body = str(marks.get("body") or "")
    marker = _readable(read_marker(body), owner, pull.number)
    facts = second_line(body)
    _check_moment(marks, facts, pull, now)
    given = approvals(github, pull.number, besides=login)
    if require_approval and not given:
        raise StaleError(f"Nobody has approved pull request #{pull.number}.", remedy=APPROVE_AGAIN)
    since = moment(facts.get("since") or marks.get("lastEditedAt") or marks.get("createdAt"))
    return Reviewed(marker.digest, _approvers(given, pull, since))


def _one_comment(github: GitHub, owner: Owner, pull: int, login: str) -> Comment:
    """Ours for this owner. One that cannot be read might be ours for it, so it counts."""
    strangers: list[str] = []
    ours: list[Comment] = []
    for comment in marked_comments(github, pull):
        if not _may_be(comment, owner):
            continue
        if comment.login == login:
            ours.append(comment)
        else:
            strangers.append(comment.login)
    if not ours:
        forged = f" One by {strangers[0]} looks like it, and does not count." if strangers else ""
        raise StaleError(
            f"{login} wrote no plan of {_name(owner)} on pull request #{pull}.{forged}", remedy=REMEDY
        )
    if len(ours) > 1:
        raise StaleError(
            f"{login} wrote {len(ours)} plans of {_name(owner)} on pull request #{pull}.", remedy=REMEDY
        )
    return ours[0]


def _may_be(comment: Comment, owner: Owner) -> bool:
    if comment.marker is None:
        return comment.body.startswith("<!-- paygift plan")
    return comment.marker.kind == "plan" and comment.marker.owner == owner


def _check_hands(marks: Json, login: str, pull: int) -> None:
    """Whoever may write to a repository may edit anybody's comment, and the author stays the same."""
    if not is_actor(marks.get("author"), login):
        raise StaleError(f"The plan on pull request #{pull} was not written by {login}.", remedy=REMEDY)
    if marks.get("lastEditedAt") and not is_actor(marks.get("editor"), login):
        editor = marks.get("editor")
        who = editor.get("login") if isinstance(editor, dict) else "somebody who is gone"
        raise StaleError(f"The plan on pull request #{pull} was edited by {who}.", remedy=REMEDY)


def _readable(marker: Marker | None, owner: Owner, pull: int) -> Marker:
    where = f"The plan on pull request #{pull}"
    if marker is None or marker.kind != "plan" or marker.owner != owner:
        raise StaleError(f"{where} cannot be read: its first line is malformed.", remedy=REMEDY)
    if marker.format.partition(".")[0] != FORMAT:
        raise StaleError(
            f"{where} has format {marker.format!r}; this paygift reads {FORMAT}.x.", remedy=REMEDY
        )
    if not DIGEST.fullmatch(marker.digest):
        raise StaleError(f"{where} has no digest of 64 hex digits.", remedy=REMEDY)
    return marker


def _check_moment(marks: Json, facts: Any, pull: Merged, now: datetime) -> None:
    where = f"The plan on pull request #{pull.number}"
    if facts.get("head") != pull.head:
        made_for = str(facts.get("head", ""))[:12] or "no commit"
        raise StaleError(f"{where} was made for {made_for}; merged was {pull.head[:12]}.", remedy=REMEDY)
    if moment(marks.get("lastEditedAt") or marks.get("createdAt")) > pull.merged_at:
        raise StaleError(f"{where} was written after the merge.", remedy=REMEDY)
    until = facts.get("valid_until")
    if until and now >= moment(until):
        raise StaleError(f"{where} was valid until {until}.", remedy=REMEDY)


def _approvers(given: Sequence[Approval], pull: Merged, since: datetime) -> tuple[str, ...]:
    """Who approved what has been shown since ``since``. Raises StaleError if all of them approved something else."""
    approved = tuple(each.login for each in given if each.at >= since and each.commit == pull.head)
    if given and not approved:
        last = given[-1]
        raise StaleError(
            f"The plan on pull request #{pull.number} was written at {instant(since)}, and approved by nobody since: "
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
