"""What was said of a pull request, for which commit and when: the last word of each reviewer; and who pushed what.

Asked in GraphQL: REST lists the same reviews (``pulls/{n}/reviews``), but does not tell who of the reviewers may write
to the repository. On a public one anybody may approve, and GitHub's own rules do not count that either.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from reconciler.model.errors import GitHubError
from reconciler.review.github.client import MOST_PAGES, GitHub, Json
from reconciler.review.github.comments import is_actor, moment

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
class Review:
    """``commit`` is what the reviewer had before their eyes: the newest of the branch, when the page was loaded."""

    login: str
    commit: str
    at: datetime
    state: str


@dataclass(frozen=True, slots=True)
class Reviews:
    """The last words that stand: ``approvals``, oldest first, and the logins of those who have requested changes."""

    approvals: tuple[Review, ...]
    objecting: tuple[str, ...]


def reviews_of(github: GitHub, pull: int, *, besides: str) -> Reviews:
    """Those of people who may write to the repository, but not those of ``besides``.

    Who writes the plan must not be the one who approves it.
    """
    last: dict[str, Json] = {}
    # By time: an objection that came after an approval counts, whatever order GitHub lists them in.
    for review in sorted(_opinions(github, pull), key=lambda each: moment(each.get("submittedAt"))):
        if not is_actor(review.get("author"), besides):
            last[_login(review)] = review
    said = sorted(map(_said, last.values()), key=lambda each: each.at)
    return Reviews(
        tuple(each for each in said if each.state == "APPROVED"),
        tuple(each.login for each in said if each.state == "CHANGES_REQUESTED"),
    )


def pushers_of(github: GitHub, branch: str, commit: str) -> frozenset[str]:
    """The logins of those who may have pushed ``commit`` to ``branch``: who did, as the repository's activity tells;
    where it does not, whoever wrote or committed it. Raises GitHubError.
    """
    try:
        # The author of a commit is only text that whoever commits it can write; who pushed it, GitHub knows.
        pushes = github.items("activity", {"ref": f"refs/heads/{branch}"}) if branch else []
    except GitHubError as error:
        if error.status not in (403, 404):  # older servers have no such list
            raise
        pushes = []
    found = {_login_in(each.get("actor")) for each in pushes if each.get("after") == commit}
    if not found - {""}:
        data = github.get(f"commits/{commit}")
        found = {_login_in(data.get("author")), _login_in(data.get("committer"))}
    return frozenset(found - {""})


def _login_in(user: Any) -> str:
    """As GraphQL has it: without what REST adds to the name of an app."""
    return str(user.get("login") or "").removesuffix("[bot]") if isinstance(user, dict) else ""


def _opinions(github: GitHub, pull: int) -> Iterator[Json]:
    """Of those who may write. Whose account is gone may not."""
    for review in _reviews(github, pull):
        # is True: null or anything else must not count as a permission.
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
    # With the type: an app and a user can have the same login.
    return f"{author.get('__typename')} {author.get('login')}" if isinstance(author, dict) else ""


def _said(review: Json) -> Review:
    commit = review.get("commit")
    oid = str(commit.get("oid", "")) if isinstance(commit, dict) else ""
    login = _login(review).partition(" ")[2]
    return Review(login, oid, moment(review.get("submittedAt")), str(review.get("state")))
