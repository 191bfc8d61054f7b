"""Who approved a pull request, for which commit and when: the last word of each reviewer.

Asked in GraphQL: REST lists the same reviews (``pulls/{n}/reviews``), but does not tell who of the reviewers may write
to the repository. On a public one anybody may approve, and GitHub's own rules do not count that either.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from reconciler.errors import GitHubError
from reconciler.github.client import MOST_PAGES, GitHub, Json
from reconciler.github.comments import is_actor, moment

_REVIEWS: Final = """
query($owner: String!, $name: String!, $number: Int!, $after: String) {
  repository(owner: $owner, name: $name) {
    pullRequest(number: $number) {
      reviews(first: 100, after: $after) {
        nodes {
          state
          submittedAt
          authorCanPushToRepository
          author { __typename login }
          commit { oid }
        }
        pageInfo { hasNextPage endCursor }
      }
    }
  }
}
"""
_OPINIONS: Final = frozenset({"APPROVED", "CHANGES_REQUESTED", "DISMISSED"})
"""A remark (COMMENTED) takes no approval back, and one that is PENDING was not submitted."""


@dataclass(frozen=True, slots=True)
class Approval:
    """``commit`` is what the reviewer had before their eyes: the newest of the branch, when the page was loaded."""

    login: str
    commit: str
    at: datetime


def approvals(github: GitHub, pull: int, *, besides: str) -> tuple[Approval, ...]:
    """The approvals that stand, oldest first: of those who may write to the repository, but not those of ``besides``.

    Who writes the plan must not be the one who approves it.
    """
    last: dict[str, Json] = {}
    for review in sorted(_opinions(github, pull), key=lambda each: moment(each.get("submittedAt"))):
        if not is_actor(review.get("author"), besides):
            last[_login(review)] = review
    return tuple(
        sorted(
            (_approval(each) for each in last.values() if each["state"] == "APPROVED"),
            key=lambda each: each.at,
        )
    )


def _opinions(github: GitHub, pull: int) -> Iterator[Json]:
    """Of those who may write. Whose account is gone may not."""
    for review in _reviews(github, pull):
        if review.get("state") in _OPINIONS and review.get("authorCanPushToRepository") is True:
            yield review


def _reviews(github: GitHub, pull: int) -> Iterator[Json]:
    owner, _, name = github.run.repository.partition("/")
    variables: Json = {"owner": owner, "name": name, "number": pull, "after": None}
    for _ in range(MOST_PAGES):
        page = _page(github.ask(_REVIEWS, variables), pull)
        yield from page["nodes"]
        if not page["pageInfo"].get("hasNextPage"):
            return
        variables = {**variables, "after": page["pageInfo"].get("endCursor")}
    raise GitHubError(f"Pull request #{pull} has more than {MOST_PAGES} pages of reviews.")


def _page(data: Any, pull: int) -> Json:
    """Half an answer is none: a review that is not seen could be the one that matters."""
    for name in ("repository", "pullRequest", "reviews"):
        data = data.get(name) if isinstance(data, dict) else None
    whole = isinstance(data, dict) and isinstance(data.get("pageInfo"), dict)
    nodes = data.get("nodes") if whole else None
    if not isinstance(nodes, list) or not all(isinstance(node, dict) for node in nodes):
        raise GitHubError(
            f"GitHub does not tell the reviews of pull request #{pull}.",
            remedy="Give the job the permissions that docs/github.md lists.",
        )
    return dict(data)


def _login(review: Json) -> str:
    author = review.get("author")
    return f"{author.get('__typename')} {author.get('login')}" if isinstance(author, dict) else ""


def _approval(review: Json) -> Approval:
    commit = review.get("commit")
    oid = str(commit.get("oid", "")) if isinstance(commit, dict) else ""
    return Approval(_login(review).partition(" ")[2], oid, moment(review.get("submittedAt")))
