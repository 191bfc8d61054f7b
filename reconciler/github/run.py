"""Which workflow run this is: what GitHub puts into the environment of every step."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from reconciler.errors import UsageError
from reconciler.inputs import parsed_json, read_input
from reconciler.wechatpay.hosts import is_loopback

API_URL: Final = "https://api.github.com"
_REPOSITORY: Final = re.compile(r"[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+")
_QUEUED: Final = re.compile(r"/pr-(?P<number>\d+)-[0-9a-f]{40}\Z")
"""How the branch ends that a merge queue makes for a pull request."""


@dataclass(frozen=True, slots=True)
class Run:
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
    def from_environment(cls, environ: Mapping[str, str]) -> Run:
        """The run that ``environ`` describes. Raises UsageError for what is missing or cannot be meant."""
        missing = [name for name in ("GITHUB_TOKEN", "GITHUB_REPOSITORY") if not environ.get(name)]
        if missing:
            raise UsageError(
                f"Not set: {', '.join(missing)}.",
                remedy="In a workflow, give the step `env: {GITHUB_TOKEN: ${{ github.token }}}`.",
            )
        if not _REPOSITORY.fullmatch(environ["GITHUB_REPOSITORY"]):
            raise UsageError(
                f"GITHUB_REPOSITORY is {environ['GITHUB_REPOSITORY']!r};", remedy="expected OWNER/NAME."
            )
        api_url = checked_url("GITHUB_API_URL", environ.get("GITHUB_API_URL") or API_URL)
        graphql_url = environ.get("GITHUB_GRAPHQL_URL") or f"{api_url.removesuffix('/v3')}/graphql"
        return cls(
            repository=environ["GITHUB_REPOSITORY"],
            token=environ["GITHUB_TOKEN"].strip(),
            api_url=api_url,
            graphql_url=checked_url("GITHUB_GRAPHQL_URL", graphql_url),
            sha=environ.get("GITHUB_SHA", ""),
            ref_name=environ.get("GITHUB_REF_NAME", ""),
            run_id=environ.get("GITHUB_RUN_ID", ""),
            run_attempt=environ.get("GITHUB_RUN_ATTEMPT", ""),
            server_url=environ.get("GITHUB_SERVER_URL") or "https://github.com",
            event=_event(environ.get("GITHUB_EVENT_PATH", "")),
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
        return before if before.strip("0") else ""

    def _pull_data(self) -> Mapping[str, Any]:
        data = self.event.get("pull_request")
        return data if isinstance(data, dict) else {}


def checked_url(name: str, url: str) -> str:
    """``url`` without a slash at its end. The token goes there, so it must be https, or this machine."""
    parts = urlsplit(url)
    if parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or "")):
        return url.rstrip("/")
    raise UsageError(f"{name} is {url!r};", remedy="expected an https:// address.")


def _event(path: str) -> Mapping[str, Any]:
    if not path:
        return {}
    try:
        event = parsed_json(read_input(Path(path)))
    except UsageError as error:
        raise UsageError(f"GITHUB_EVENT_PATH cannot be read: {error.message}") from error
    except ValueError as error:
        raise UsageError(f"GITHUB_EVENT_PATH cannot be read: {error}.") from error
    return event if isinstance(event, dict) else {}
