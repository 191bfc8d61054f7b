"""Our comments on a pull request: found by author and marker, written once, and kept up to date in place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, TypeVar

from reconciler.model.errors import GitHubError, StaleError, UsageError
from reconciler.model.identity import instant
from reconciler.model.plan import Plan
from reconciler.plan import FORMAT_VERSION, plan_digest
from reconciler.review.github.client import GitHub, Json
from reconciler.review.github.marker import (
    COMMIT,
    CommentMarker,
    Owner,
    read_marker,
    second_line,
    with_second_line,
    without_second_line,
)
from reconciler.review.github.states import State, applied, planned, unplanned

MOST_CHARACTERS: Final = 65_536
"""GitHub refuses a longer body. It counts characters, not bytes."""
RESERVED: Final = 1_200
"""Kept free for what is added to a text: the second hidden line, how the plan stands, a word on what was left out."""

_MARKS: Final = """
query($ids: [ID!]!) {
  nodes(ids: $ids) {
    ... on IssueComment {
      body
      createdAt
      lastEditedAt
      author { __typename login }
      editor { __typename login }
    }
  }
}
"""

Action = Literal["created", "updated", "unchanged", "closed", "none"]
Render = Callable[[Plan, int], str]
"""A plan as Markdown of at most so many characters, whose first line is the marker."""
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Written:
    """What became of a comment or an issue, and where it is."""

    action: Action
    url: str = ""


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment whose first line is a marker of ours, or tries to look like one (``marker`` is then ``None``)."""

    id: int
    node_id: str
    login: str
    body: str
    url: str
    marker: CommentMarker | None


@dataclass(frozen=True, slots=True)
class PlanOwner:
    """Whose plans a run is about that has none: the account, and the namespace where the project file says it."""

    mchid: str
    namespace: str = ""

    def has(self, comment: Comment) -> bool:
        """Whether ``comment`` shows a plan of this account, and of this namespace if one is known."""
        marker = comment.marker
        if marker is None or marker.kind != "plan" or marker.owner.mchid != self.mchid:
            return False
        return self.namespace in ("", marker.owner.namespace)

    def first_line(self) -> str:
        """That of a comment without a plan; empty where the namespace is not known."""
        if not self.namespace:
            return ""
        return f"<!-- paygift plan namespace={self.namespace} mchid={self.mchid} format={FORMAT_VERSION} -->"


def viewer(github: GitHub) -> str:
    """The login that our token writes as, such as ``github-actions[bot]``. Raises GitHubError.

    A workflow's token may not ask ``GET /user``; this question it may ask.
    """
    asked = github.ask("query { viewer { login } }").get("viewer")
    login = asked.get("login") if isinstance(asked, dict) else None
    if not isinstance(login, str) or not login:
        raise GitHubError("GitHub does not say whose token this is.")
    return login


def marked_comments(github: GitHub, pull: int) -> Iterator[Comment]:
    """Every comment that begins like one of ours, whoever wrote it."""
    for data in github.items(f"issues/{pull}/comments"):
        body = str(data.get("body") or "")
        # From the first character: a quoted marker further down is somebody's text.
        if body.startswith("<!-- paygift "):
            yield _comment(data, body)


def marks_of(github: GitHub, comment: Comment) -> Json | None:
    """The comment's text with who wrote it and who changed it last, in one answer so that they belong together.

    ``None`` if the comment has been deleted.
    """
    nodes = github.ask(_MARKS, {"ids": [comment.node_id]}).get("nodes")
    if not isinstance(nodes, list) or len(nodes) != 1 or not isinstance(nodes[0], dict) or not nodes[0]:
        return None
    marks: Json = nodes[0]
    return marks


def is_actor(actor: Any, login: str) -> bool:
    """Whether ``actor`` is whom ``login`` names. An app's login ends in ``[bot]`` for itself, and not for others."""
    if not isinstance(actor, dict):
        return False
    bot = login.endswith("[bot]")
    # With the type, since a user may have the name of an app.
    return actor.get("login") == login.removesuffix("[bot]") and (actor.get("__typename") == "Bot") == bot


def moment(text: Any) -> datetime:
    """A time as GitHub gives it. Raises GitHubError."""
    try:
        found = datetime.fromisoformat(text)
    except (TypeError, ValueError) as error:
        raise GitHubError(f"GitHub gives {text!r} where a time should be.") from error
    # Compared with aware times, it would raise in the middle of a check.
    if found.tzinfo is None:
        raise GitHubError(f"GitHub gives {text!r} where a time with its offset should be.")
    return found


def keep_plan_comment(
    github: GitHub, pull: int, plan: Plan, *, render: Render, head: str = "", page: str = ""
) -> Written:
    """Make the one comment of the plan's namespace and account on ``pull`` say what ``plan`` says.

    ``head`` is the commit that the plan was made for, by default the last one of the branch; for a pull request that is
    merged it is the commit in which that ended, planned again. ``page`` is where the plan is kept as a page. Raises
    StaleError if the pull request has moved on or is closed: a late run must not overwrite what was reviewed.

    A plan that would do the same, for the same commit and as long, keeps the moment since when it is shown: approvals
    of it stand, however often it is planned and worded anew. What somebody else has edited is written anew though it
    says the same again: until then it counts for nothing, and nobody could apply it.
    """
    # Asked now and not taken from the event: a run may have waited in a queue since.
    head = _checked_head(github.get(f"pulls/{pull}"), pull, head)
    markdown = render(plan, MOST_CHARACTERS - RESERVED)
    owner = Owner(plan.namespace, plan.mchid)
    marker = read_marker(markdown)
    digest = plan_digest(plan)
    # Apply believes the marker, so that it must be that of the plan which is shown.
    if marker is None or (marker.kind, marker.owner, marker.digest) != ("plan", owner, digest):
        raise GitHubError("The comment was not made for this plan: its first line is not the plan's marker.")
    until = instant(plan.valid_until) if plan.valid_until else ""
    facts = {"head": head, "valid_until": until}
    told = planned(github.run, head, page)

    def body(kept: Comment | None, login: str) -> str:
        if kept is None:
            return with_second_line(markdown, facts, told)
        marks = marks_of(github, kept)
        # Its `since` would be a stranger's edit: approvals before it may be of another text.
        if not _untouched(marks, login):
            # GitHub takes no notice of an edit that changes nothing: this makes it another text.
            return with_second_line(markdown, facts | {"rewritten": _last_touched(marks)}, told)
        shown = second_line(kept.body)
        kept_facts = {name: shown.get(name, "") for name in ("since", "rewritten")}
        as_it_is = with_second_line(markdown, facts | kept_facts, told)
        # No write at all: an edit would move lastEditedAt, and take approvals back for nothing.
        if kept.body == as_it_is:
            return as_it_is
        return with_second_line(markdown, facts | {"since": _shown_since(marks, digest, facts)}, told)

    return _keep(github, pull, body, lambda each: _is(each, "plan", owner))


def _checked_head(pull_data: Json, pull: int, head: str) -> str:
    """The commit that a plan on this pull request is for. Raises UsageError, StaleError."""
    newest = head_sha(pull_data)
    head = head or newest
    if not COMMIT.fullmatch(head):
        raise UsageError(f"{head!r} is not a commit.", remedy="Give --head 40 hex digits.")
    if pull_data.get("merged_at") and pull_data.get("merge_commit_sha") == head:
        return head
    if pull_data.get("state") != "open":
        raise StaleError(f"Pull request #{pull} is closed; its comment stays as it was reviewed.")
    # A slow run must not show an old plan under a new commit.
    if newest != head:
        raise StaleError(
            f"The plan was made for {head[:12]}, and pull request #{pull} is at {newest[:12]} by now.",
            remedy="The run for its newest commit writes the comment.",
        )
    return head


def keep_plan_state(
    github: GitHub, pull: int, whose: PlanOwner, state: State, *, reason: str = "", head: str = ""
) -> list[Written]:
    """Make our plan comments on ``pull`` say that there is no plan of its newest commit: it ``failed`` for a
    ``reason``, or the one shown is ``outdated``. What was planned before stays below.

    A failure that has no comment yet gets one, where ``whose`` says enough for it. Raises StaleError if the pull
    request has moved on or is closed.
    """
    head = _checked_head(github.get(f"pulls/{pull}"), pull, head)
    login = viewer(github)
    kept = [each for each in marked_comments(github, pull) if each.login == login and whose.has(each)]
    if state == "outdated":
        kept = [each for each in kept if second_line(each.body).get("head") != head]
    told = unplanned(github.run, state, head, reason)
    written = []
    for comment in kept:
        facts = second_line(comment.body)
        marks = marks_of(github, comment)
        # Kept, so that approvals stand if the same plan comes back after the failure.
        since = facts.get("since") or _last_touched(marks)
        changes = {"state": state, "since": since} if _untouched(marks, login) else {"state": state, "since": ""}
        written.append(_retell(github, comment, {**facts, **changes}, told))
    if not kept and state == "failed" and (first := whose.first_line()):
        body = with_second_line(f"{first}\n### paygift plan\n", {"head": head, "state": state}, told)
        written.append(_keep(github, pull, lambda kept, login: body, whose.has))
    return written


def _retell(github: GitHub, comment: Comment, facts: Mapping[str, str], told: str) -> Written:
    body = with_second_line(without_second_line(comment.body), facts, told)
    if body == comment.body:
        return Written("unchanged", comment.url)
    return Written("updated", _url(github.update(f"issues/comments/{comment.id}", {"body": body})))


def keep_report_comment(github: GitHub, pull: int, markdown: str) -> Written:
    """Add what apply did, as Markdown that begins with a report's marker, to ``pull``.

    Every run has a comment of its own: what an earlier one did must stay to be read. A run that had nothing to do has
    none. Once a plan is applied completely its comment says so, and nobody can apply it again.
    """
    marker = read_marker(markdown)
    if marker is None or marker.kind != "report":
        raise UsageError("This is not a report: its first line is not a report's marker.")
    run = f"{github.run.run_id}.{github.run.run_attempt}"
    written = Written("none")
    if marker.outcome != "nothing":
        written = _add_report(github, pull, markdown, marker.owner, run)
    # Only then: a run that is left half done must be able to go on with the same review.
    if marker.outcome in ("complete", "nothing"):
        _mark_applied(github, pull, marker.owner, run, written)
    return written


def _add_report(github: GitHub, pull: int, markdown: str, owner: Owner, run: str) -> Written:
    body = with_second_line(markdown, {"run": run})
    if len(body) > MOST_CHARACTERS:
        raise UsageError(f"The report has {len(body):,} characters; GitHub takes {MOST_CHARACTERS:,}.")
    return _keep(
        github,
        pull,
        lambda kept, login: body,
        lambda each: _is(each, "report", owner) and second_line(each.body).get("run") == run,
    )


def _mark_applied(github: GitHub, pull: int, owner: Owner, run: str, report: Written) -> None:
    login = viewer(github)
    for comment in marked_comments(github, pull):
        # A comment of somebody else may look the same.
        if comment.login == login and _is(comment, "plan", owner):
            facts = {**second_line(comment.body), "state": "applied", "run": run}
            _retell(github, comment, facts, applied(github.run, report.url))


def head_sha(pull: Json) -> str:
    """The newest commit of a pull request, or nothing where GitHub does not name it."""
    head = pull.get("head")
    return str(head.get("sha", "")) if isinstance(head, dict) else ""


def look_again(write: Callable[[], Result]) -> Result:
    """What ``write`` returns, which looks before it writes: once more if nobody knows whether it has created, or if
    what it had found was deleted meanwhile.
    """
    try:
        return write()
    except GitHubError as error:
        # What is certain is not tried again; what is not may have been created, and the second look finds it.
        if not error.unsure and error.status != 404:
            raise
        return write()


def _untouched(marks: Json | None, login: str) -> bool:
    """Whether nobody but ``login`` has written the comment with these ``marks``, or edited it last."""
    if marks is None or not is_actor(marks.get("author"), login):
        return False
    return not marks.get("lastEditedAt") or is_actor(marks.get("editor"), login)


def _shown_since(marks: Json | None, digest: str, facts: Mapping[str, str]) -> str:
    """Since when an untouched comment shows the plan with ``digest`` and ``facts``; empty if it does not."""
    if marks is None:
        return ""
    body = str(marks.get("body") or "")
    marker, shown = read_marker(body), second_line(body)
    if marker is None or marker.digest != digest:
        return ""
    # The same digest for another commit or validity is another thing to approve.
    if any(shown.get(name, "") != fact for name, fact in facts.items()):
        return ""
    return shown.get("since") or _last_touched(marks)


def _last_touched(marks: Json | None) -> str:
    return str(marks.get("lastEditedAt") or marks.get("createdAt") or "") if marks else ""


def _keep(
    github: GitHub,
    pull: int,
    make_body: Callable[[Comment | None, str], str],
    ours: Callable[[Comment], bool],
) -> Written:
    """``make_body`` is given the comment that will be changed, if there is one, and our login."""
    login = viewer(github)

    def write() -> Written:
        found = [each for each in marked_comments(github, pull) if each.login == login and ours(each)]
        if not found:
            data = github.create(f"issues/{pull}/comments", {"body": make_body(None, login)})
            return Written("created", _url(data))
        kept, *others = found
        body = make_body(kept, login)
        for other in others:  # a lost answer, and a list that did not show the comment yet
            github.delete(f"issues/comments/{other.id}")
        if kept.body == body:
            return Written("unchanged", kept.url)
        return Written("updated", _url(github.update(f"issues/comments/{kept.id}", {"body": body})))

    return look_again(write)


def _is(comment: Comment, kind: str, owner: Owner) -> bool:
    return comment.marker is not None and (comment.marker.kind, comment.marker.owner) == (kind, owner)


def _comment(data: Json, body: str) -> Comment:
    user = data.get("user")
    login = str(user.get("login", "")) if isinstance(user, dict) else ""
    return Comment(int(data.get("id", 0)), str(data.get("node_id", "")), login, body, _url(data), read_marker(body))


def _url(data: dict[str, Any]) -> str:
    return str(data.get("html_url", ""))
