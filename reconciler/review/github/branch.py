"""The default branch as it is by now: an old run may go on only where it would apply what stands there.

Objects are compared by their ids, in GraphQL: a comparison of commits in REST lists 300 files at most.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from reconciler.model.errors import GitHubError, StaleError
from reconciler.review.github.client import GitHub
from reconciler.review.github.marker import COMMIT

_PATHS_AT_ONCE: Final = 100

_TIP: Final = """
query($owner: String!, $name: String!) {
  repository(owner: $owner, name: $name) { defaultBranchRef { name target { oid } } }
}
"""


@dataclass(frozen=True, slots=True)
class Tip:
    """The newest commit of the default branch, and that branch's name."""

    branch: str
    commit: str


def tip_of(github: GitHub) -> Tip:
    """Raises GitHubError."""
    repository = github.ask(_TIP, _repository(github)).get("repository")
    ref = repository.get("defaultBranchRef") if isinstance(repository, dict) else None
    target = ref.get("target") if isinstance(ref, dict) else None
    commit = target.get("oid") if isinstance(target, dict) else None
    if not isinstance(ref, dict) or not isinstance(commit, str) or not COMMIT.fullmatch(commit):
        raise GitHubError(
            "GitHub does not say what the default branch is at.",
            remedy="Give the job the permission `contents: read`.",
        )
    return Tip(str(ref.get("name", "")), commit)


def changed(github: GitHub, before: str, after: str, paths: Sequence[str]) -> list[str]:
    """Those of ``paths``, from the root of the repository, that are not the same at both commits. A path may be a
    folder; the empty one is everything. Raises GitHubError.
    """
    wanted = sorted(set(paths))
    found: list[str] = []
    for start in range(0, len(wanted), _PATHS_AT_ONCE):
        part = wanted[start : start + _PATHS_AT_ONCE]
        found += [path for path, (one, other) in _objects(github, before, after, part).items() if one != other]
    return found


def require_current(github: GitHub, commit: str, paths: Sequence[str]) -> None:
    """Raise StaleError unless ``commit`` is the tip of the default branch, or ``paths`` are there as they are in it.

    An old run that is run again would write what the branch has taken back since.
    """
    tip = tip_of(github)
    # Not only the commit: two merges in quick succession must not stop each other.
    if tip.commit == commit:
        return
    if different := changed(github, commit, tip.commit, paths):
        what = different[0] or "the repository"
        more = f" and {len(different) - 1} more" if len(different) > 1 else ""
        raise StaleError(
            f"This run is for {commit[:12]}, and {tip.branch} is at {tip.commit[:12]}, where {what}{more} differs: "
            "what was reverted since would be applied again.",
            remedy=f"Nothing was applied. The run for the newest commit of {tip.branch} applies what stands there; "
            "to go back to what this commit says, revert the later one in a pull request.",
        )


def _objects(github: GitHub, before: str, after: str, paths: Sequence[str]) -> dict[str, tuple[str | None, str | None]]:
    """The id of each path at both commits, ``None`` where there is nothing."""
    variables: dict[str, Any] = _repository(github)
    asked = []
    for index, path in enumerate(paths):
        for side, commit in (("a", before), ("b", after)):
            # As variables and never in the text of the query: paths are whatever somebody committed.
            variables[f"{side}{index}"] = f"{commit}:{path}"
            asked.append(f"{side}{index}: object(expression: ${side}{index}) {{ oid }}")
    declared = ", ".join(f"${name}: String!" for name in variables)
    query = f"query({declared}) {{ repository(owner: $owner, name: $name) {{ {' '.join(asked)} }} }}"
    repository = github.ask(query, variables).get("repository")
    # Missing is not null: null says that nothing is there, and would compare as equal.
    if not isinstance(repository, dict) or any(
        f"{side}{index}" not in repository for index in range(len(paths)) for side in "ab"
    ):
        raise GitHubError("GitHub does not tell which files differ.", remedy="Give the job `contents: read`.")
    return {path: (_oid(repository[f"a{index}"]), _oid(repository[f"b{index}"])) for index, path in enumerate(paths)}


def _oid(found: Any) -> str | None:
    oid = found.get("oid") if isinstance(found, dict) else None
    return oid if isinstance(oid, str) else None


def _repository(github: GitHub) -> dict[str, Any]:
    owner, _, name = github.run.repository.partition("/")
    return {"owner": owner, "name": name}
