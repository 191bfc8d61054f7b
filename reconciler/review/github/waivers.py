"""The waivers of one pull request: labels and lines of its description, by people who may write to the repository.

They are read anew for each plan, shown in it, and end with the pull request. A file would waive the next one too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from reconciler.model.errors import GitHubError
from reconciler.review.github.client import GitHub, Json

_WAIVER: Final = re.compile(r"paygift: *allow +(?P<waiver>[A-Z][A-Z_]*(?::[a-z0-9-]+)?)", re.IGNORECASE)
_UNSEEN: Final = re.compile(
    r"<!--.*?(?:-->|\Z)|^ {0,3}(?P<fence>```+|~~~+).*?(?:^ {0,3}(?P=fence)|\Z)", re.DOTALL | re.MULTILINE
)
"""What a reader of a description does not see as part of it: comments of HTML, and examples of code."""
_MAY_WRITE: Final = frozenset({"admin", "maintain", "write"})

_DESCRIPTION: Final = """
query($owner: String!, $name: String!, $number: Int!) {
  repository(owner: $owner, name: $name) {
    pullRequest(number: $number) {
      body
      author { __typename login }
      editor { __typename login }
    }
  }
}
"""


@dataclass(frozen=True, slots=True)
class Waivers:
    """``allow`` are waivers, ``CODE`` or ``CODE:KEY``, in the order in which they were found; ``ignored`` are sentences
    about those that do not count.
    """

    allow: tuple[str, ...]
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Asked:
    waiver: str
    where: str
    by: str


def waivers_of(github: GitHub, pull: int) -> Waivers:
    """The waivers of pull request ``pull``. Raises GitHubError."""

    # A person asks for several waivers, and each question costs a request.
    @cache
    def may_write(login: str) -> bool:
        return bool(login) and _permission(github, login) in _MAY_WRITE

    asked = [*_in_description(github, pull), *_in_labels(github, pull)]
    allow = dict.fromkeys(each.waiver for each in asked if may_write(each.by))
    ignored = [
        f"{each.waiver} {each.where} does not count: {each.by or 'whoever wrote it'} may not write to the repository."
        for each in asked
        if not may_write(each.by)
    ]
    return Waivers(tuple(allow), tuple(dict.fromkeys(ignored)))


def in_text(text: str) -> Iterator[str]:
    """The waivers that lines of a text ask for. Each must be a line of its own, and seen by whoever reads the text."""
    # Not splitlines(): it ends lines where a reader sees none.
    for line in re.split(r"\r\n|\r|\n", _UNSEEN.sub("", text)):
        if found := _WAIVER.fullmatch(line.strip()):
            yield _normal(found["waiver"])


def _normal(waiver: str) -> str:
    code, colon, key = waiver.partition(":")
    return f"{code.upper()}{colon}{key.lower()}"


def _in_description(github: GitHub, pull: int) -> Iterator[_Asked]:
    """A description is by whoever touched it last."""
    owner, _, name = github.run.repository.partition("/")
    found: Any = github.ask(_DESCRIPTION, {"owner": owner, "name": name, "number": pull})
    for step in ("repository", "pullRequest"):
        found = found.get(step) if isinstance(found, dict) else None
    if not isinstance(found, dict):
        raise GitHubError(f"GitHub does not tell the description of pull request #{pull}.")
    # The last editor: an outsider can edit his own description after a maintainer has looked at it.
    by = _login(found.get("editor") or found.get("author"))
    for waiver in in_text(str(found.get("body") or "")):
        yield _Asked(waiver, f"in the description, last written by {by or 'a deleted account'},", by)


def _in_labels(github: GitHub, pull: int) -> Iterator[_Asked]:
    """Labels that the pull request has, by whoever gave it each of them last."""
    given: dict[str, Json] = {}
    for event in github.items(f"issues/{pull}/events"):
        label = event.get("label")
        name = str(label.get("name") or "") if isinstance(label, dict) else ""
        if event.get("event") == "labeled":
            given[name] = event
        elif event.get("event") == "unlabeled":
            given.pop(name, None)
    labels = github.get(f"issues/{pull}").get("labels")
    there = {str(each.get("name")) for each in labels if isinstance(each, dict)} if isinstance(labels, list) else set()
    for name, event in given.items():
        # Events remember names that were changed since: only what is on the pull request counts.
        if name in there and (found := _WAIVER.fullmatch(name.strip())):
            by = _login(event.get("actor"))
            yield _Asked(_normal(found["waiver"]), f"as a label by {by or 'a deleted account'}", by)


def _permission(github: GitHub, login: str) -> str:
    try:
        return str(github.get(f"collaborators/{login}/permission").get("permission"))
    except GitHubError as error:
        if error.status != 404:  # no user of this name: an app
            raise
        return "none"


def _login(user: Any) -> str:
    return str(user.get("login") or "") if isinstance(user, dict) else ""
