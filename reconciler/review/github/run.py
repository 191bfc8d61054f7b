"""Which workflow run this is: what GitHub puts into the environment of every step."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from reconciler.model.errors import UsageError
from reconciler.system.environment import (
    ENDPOINT,
    Form,
    address_informing,
    checked_address,
    informing,
    invalid,
    matching,
    text,
)
from reconciler.system.input_files import parsed_json
from reconciler.system.named_file import content

API_URL: Final = "https://api.github.com"
_REPOSITORY: Final = re.compile(r"[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+")
_QUEUED: Final = re.compile(r"/pr-(?P<number>\d+)-[0-9a-f]{40}\Z")
"""How the branch ends that a merge queue makes for a pull request."""
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/=-]+")
"""What may stand in an Authorization header (RFC 6750)."""
_COMMIT: Final = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_NUMBER: Final = re.compile(r"[0-9]{1,20}")
_MOST_BYTES: Final = 64 * 1024 * 1024
"""Of an event: GitHub's own limit is 25 MB."""


@dataclass(frozen=True, slots=True)
class WorkflowRun:
    """A run of a workflow in ``repository`` (owner/name). ``event`` is what set it off, as GitHub tells it.

    ``sha`` is the commit that was pushed; for a pull request it is GitHub's trial merge and of no use here.
    ``token`` is never shown.
    """

    repository: str
    token: str = field(repr=False)
    api_url: str = API_URL
    graphql_url: str = f"{API_URL}/graphql"
    sha: str = ""
    ref_name: str = ""
    run_id: str = ""
    run_attempt: str = ""
    server_url: str = "https://github.com"
    event: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> WorkflowRun:
        """The run that ``environ`` describes. Raises UsageError for what is missing or invalid."""
        # Checked here: a line break in a header would be quoted by the HTTP library's error.
        token = matching(environ, "GITHUB_TOKEN", _TOKEN, "a token")
        repository = matching(environ, "GITHUB_REPOSITORY", _REPOSITORY, "a repository; expected OWNER/NAME")
        held = {"GITHUB_TOKEN": token, "GITHUB_REPOSITORY": repository}
        missing = [name for name, value in held.items() if not value]
        if missing:
            raise UsageError(
                f"Not set: {', '.join(missing)}.",
                remedy="In a workflow, give the step `env: {GITHUB_TOKEN: ${{ github.token }}}`.",
            )
        api_url = checked_url("GITHUB_API_URL", text(environ, "GITHUB_API_URL") or API_URL)
        graphql_url = text(environ, "GITHUB_GRAPHQL_URL") or f"{api_url.removesuffix('/v3')}/graphql"
        return cls(
            repository=repository,
            token=token,
            api_url=api_url,
            graphql_url=checked_url("GITHUB_GRAPHQL_URL", graphql_url),
            sha=matching(environ, "GITHUB_SHA", _COMMIT, "a commit"),
            ref_name=text(environ, "GITHUB_REF_NAME"),
            run_id=informing(environ, ("GITHUB_RUN_ID",), _NUMBER),
            run_attempt=informing(environ, ("GITHUB_RUN_ATTEMPT",), _NUMBER),
            server_url=address_informing(environ, "GITHUB_SERVER_URL") or "https://github.com",
            event=_event(environ),
        )

    @property
    def url(self) -> str:
        """Where people can read this run's log; empty outside of a workflow."""
        return f"{self.server_url}/{self.repository}/actions/runs/{self.run_id}" if self.run_id else ""

    @property
    def pull(self) -> int | None:
        """The number of the pull request that set this run off, if one did; in a merge queue, the one that is last."""
        number = self._pull_data().get("number")
        group = self.event.get("merge_group")
        # The event of a merge queue has no number, only this name of a branch.
        if isinstance(group, dict) and (found := _QUEUED.search(str(group.get("head_ref", "")))):
            return int(found["number"])
        return number if isinstance(number, int) else None

    @property
    def head(self) -> str:
        """The last commit of that pull request's branch; empty if none set this run off."""
        head = self._pull_data().get("head")
        return str(head.get("sha", "")) if isinstance(head, dict) else ""

    @property
    def before(self) -> str:
        """What the branch was at before the push that set this run off; empty if none did, or the branch is new."""
        before = str(self.event.get("before") or "")
        # For a new branch git writes forty zeros.
        return before if before.strip("0") else ""

    def _pull_data(self) -> Mapping[str, Any]:
        data = self.event.get("pull_request")
        return data if isinstance(data, dict) else {}


def checked_url(name: str, url: str, form: Form = ENDPOINT) -> str:
    """``url`` without a slash at its end. The token goes there, so it must be https, or this machine."""
    return checked_address(name, url, form).url.rstrip("/")


def _event(environ: Mapping[str, str]) -> Mapping[str, Any]:
    found = content(environ, "GITHUB_EVENT_PATH", most_bytes=_MOST_BYTES)
    if found is None:
        return {}
    try:
        event = parsed_json(found)
    except ValueError as error:
        raise invalid("GITHUB_EVENT_PATH", f"names a file that cannot be read: {error}") from None
    return event if isinstance(event, dict) else {}
