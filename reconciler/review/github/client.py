"""One request to GitHub's API, tried again where that is safe; lists to their end; questions in GraphQL.

A read, and a write that may be repeated, is tried again after anything that may pass. Creating something is tried again
only if it provably did not happen; otherwise the error is ``unsure``, and the caller looks before it tries again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, Final, Self

import httpx

from reconciler import __version__
from reconciler.model.errors import GitHubError
from reconciler.review.github.run import WorkflowRun, checked_url
from reconciler.system.environment import LINK
from reconciler.system.network import Outbound, failure
from reconciler.system.retries import retry_context

TRIES: Final = 5
SECONDS: Final = 240.0
"""After this long no further try begins."""
LONGEST_PAUSE_SECONDS: Final = 120.0
"""A rate limit that lasts longer ends the command: a later run does better than a runner that waits."""
SECONDARY_PAUSE_SECONDS: Final = 60.0
"""GitHub asks for a minute where it sets a secondary rate limit and does not say for how long."""
MOST_PAGES: Final = 200
"""20,000 comments. A list that goes on is an error, never cut short."""
MOST_READINGS: Final = 4
"""A list that is another one each time is an error."""

Json = dict[str, Any]


class GitHub:
    """The repository of one workflow run. ``clock`` gives seconds since 1970, to read a rate limit's end with."""

    def __init__(
        self,
        run: WorkflowRun,
        *,
        clock: Callable[[], float] = time.time,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.run = run
        self._clock = clock
        self._client = httpx.Client(
            headers={
                "Accept": "application/vnd.github+json",
                "Authorization": f"Bearer {run.token}",
                "User-Agent": f"paygift/{__version__}",
                "X-GitHub-Api-Version": "2022-11-28",
            },
            timeout=httpx.Timeout(30.0, connect=10.0),
            transport=transport or Outbound(),
            # Proxies come from our own reader of the environment: httpx quotes addresses in its errors.
            trust_env=False,
            # The token must not go where an answer leads.
            follow_redirects=False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def get(self, path: str, params: Mapping[str, str] | None = None) -> Json:
        """One object of this repository, such as ``pulls/7``."""
        return _object(self._answer("GET", str(httpx.URL(self._url(path), params=params))))

    def items(self, path: str, params: Mapping[str, str] | None = None) -> list[Json]:
        """Everything in a list of this repository.

        Pages are counted from the beginning: what is removed from one of them moves an item of the next one into it,
        where nobody sees it. So a list of several pages is read until two readings agree.
        """
        pages = list(self._pages(path, params))
        for _ in range(MOST_READINGS):
            if len(pages) == 1:
                return pages[0]
            before, pages = pages, list(self._pages(path, params))
            # Ids and not contents: an edit meanwhile hides nothing.
            if _identities(before) == _identities(pages):
                return [item for page in pages for item in page]
        raise GitHubError(f"{path} changes while it is read.", remedy="Run this job again.")

    def _pages(self, path: str, params: Mapping[str, str] | None) -> Iterator[list[Json]]:
        url = str(httpx.URL(self._url(path), params={**(params or {}), "per_page": "100"}))
        for _ in range(MOST_PAGES):
            answer = self._answer("GET", url)
            yield _objects(answer)
            url = answer.links.get("next", {}).get("url", "")
            if not url:
                return
            # The token would go with the request.
            if not url.startswith(f"{self.run.api_url}/"):
                raise GitHubError(f"The next page of {path} is on another host.", remedy="Nothing was sent there.")
        raise GitHubError(f"{path} has more than {MOST_PAGES} pages.")

    def download(self, path: str, *, at_most: int) -> bytes:
        """A file that GitHub keeps elsewhere and leads to. The token stays here: that address is a key by itself."""
        address = self._answer("GET", self._url(path)).headers.get("location", "")
        checked_url(f"The address of {path}", address, LINK)
        try:
            with (
                # Another client, which has no token in its headers.
                httpx.Client(transport=Outbound(), trust_env=False, timeout=60.0) as client,
                client.stream("GET", address) as answer,
            ):
                if not answer.is_success:
                    raise GitHubError(f"{path} cannot be downloaded: HTTP {answer.status_code}.")
                content = b""
                for part in answer.iter_bytes():
                    content += part
                    # While it comes: Content-Length is only what the other side says.
                    if len(content) > at_most:
                        raise GitHubError(f"{path} has more than {at_most:,} bytes.")
        except httpx.HTTPError as error:
            # Not the error's own words: they would tell the address.
            raise GitHubError(f"{path} cannot be downloaded: {failure(error)}.") from None
        return content

    def create(self, path: str, data: Json) -> Json:
        """Add something to a list. An error that is ``unsure`` may have added it all the same."""
        return _object(self._answer("POST", self._url(path), data, repeatable=False))

    def update(self, path: str, data: Json) -> Json:
        """Change what is at ``path`` (PATCH), and return it as it is then. Raises GitHubError."""
        return _object(self._answer("PATCH", self._url(path), data))

    def delete(self, path: str) -> None:
        """Remove something. That it is gone already is fine: the answer to the first try may have been lost."""
        try:
            self._answer("DELETE", self._url(path))
        except GitHubError as error:
            # Any other refusal leaves a comment that will be counted as a second plan.
            if error.status != 404:
                raise

    def ask(self, query: str, variables: Json | None = None) -> Json:
        """The data of a GraphQL query. All of ours only read.

        Raises GitHubError for half an answer: ``null`` stands for what is not there (NOT_FOUND) and for nothing else.
        """
        # A POST that only reads, so it may be repeated like a GET.
        body = {"query": query, "variables": variables or {}}
        answer = self._answer("POST", self.run.graphql_url, body)
        data = _object(answer).get("data")
        errors = [each for each in _errors_of(answer) if each.get("type") != "NOT_FOUND"]
        if not isinstance(data, dict) or errors:
            half = "in part only" if isinstance(data, dict) else "without data"
            why = self._quiet("; ".join(_said(each) for each in errors or _errors_of(answer)))[:300]
            raise GitHubError(
                f"GitHub answered a question {half}: {why or 'it does not say why'}.", remedy=_REMEDIES[403]
            )
        return data

    def _url(self, path: str) -> str:
        return f"{self.run.api_url}/repos/{self.run.repository}/{path}"

    def _answer(self, method: str, url: str, data: Json | None = None, *, repeatable: bool = True) -> httpx.Response:
        def again(error: Exception) -> bool | float:
            # A comment that is created twice makes the plan ambiguous, and nothing is applied.
            if not isinstance(error, GitHubError) or not error.passing or (error.unsure and not repeatable):
                return False
            pause = error.retry_after_seconds
            if pause is None:
                return True
            return pause if pause <= LONGEST_PAUSE_SECONDS else False

        for attempt in retry_context(on=again, attempts=TRIES, timeout=SECONDS, wait_max=10.0):
            with attempt:
                return self._send(method, url, data)
        raise AssertionError("the last try returns or raises")  # pragma: no cover

    def _send(self, method: str, url: str, data: Json | None) -> httpx.Response:
        # The path only: queries stay out of messages.
        asked = f"{method} {httpx.URL(url).path}"
        try:
            answer = self._client.request(method, url, json=data)
        # Nothing has left yet, so even a create may be tried again.
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise GitHubError(f"{asked}: GitHub cannot be reached: {failure(error)}.", passing=True) from error
        except httpx.HTTPError as error:
            raise GitHubError(f"{asked}: no answer came: {failure(error)}.", passing=True, unsure=True) from error
        if (answer.is_success or answer.status_code == 302) and not any(map(_may_pass, _errors_of(answer))):
            return answer
        raise self._error(asked, answer)

    def _error(self, asked: str, answer: httpx.Response) -> GitHubError:
        said = f"{asked}: HTTP {answer.status_code}: {self._quiet(_message_of(answer))}"
        pause = pause_asked(answer, self._clock())
        if pause is not None:
            remedy = f"GitHub's rate limit is used up for {pause:.0f} s more; run this job again then."
            return GitHubError(said, status=answer.status_code, passing=True, retry_after_seconds=pause, remedy=remedy)
        broken = answer.status_code >= 500 or answer.is_success
        remedy = "" if broken else _REMEDIES.get(answer.status_code, "")
        return GitHubError(said, status=answer.status_code, passing=broken, unsure=broken, remedy=remedy)

    def _quiet(self, text: object) -> str:
        """No message may tell the token, wherever it comes from."""
        # GitHub masks secrets in its logs, but not in comments and reports.
        return str(text).replace(self.run.token, "[secure]")


_REMEDIES: Final = {
    301: "The repository has moved: correct GITHUB_REPOSITORY.",
    401: "GITHUB_TOKEN is not valid, or no longer.",
    403: "Give the job the permissions that docs/github.md lists.",
    404: "Give the job the permissions that docs/github.md lists, and check the number.",
}


def pause_asked(answer: httpx.Response, now: float) -> float | None:
    """For how many seconds GitHub wants to be left alone; ``None`` if this is not a rate limit.

    It says so with 429 or 403, in GraphQL with 200 too, and for how long in ``Retry-After`` or, once nothing remains,
    ``X-RateLimit-Reset``.
    """
    used_up = answer.headers.get("x-ratelimit-remaining") == "0"
    if not (
        # A 403 is a missing permission too, and waiting does not help that.
        answer.status_code == 429
        or (answer.status_code == 403 and (used_up or _names_limit(answer.text) or "retry-after" in answer.headers))
        or any(map(_is_limit, _errors_of(answer)))
    ):
        return None
    if "retry-after" in answer.headers:
        return _seconds(answer.headers["retry-after"], now)
    if used_up and answer.headers.get("x-ratelimit-reset", "").isdecimal():
        return max(0.0, float(answer.headers["x-ratelimit-reset"]) - now) + 1.0
    return SECONDARY_PAUSE_SECONDS


def _seconds(text: str, now: float) -> float:
    if text.strip().isdecimal():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    except ValueError:
        return SECONDARY_PAUSE_SECONDS


def _errors_of(answer: httpx.Response) -> list[Json]:
    """What GraphQL could not do. It says so with HTTP 200."""
    if answer.status_code != 200 or '"errors"' not in answer.text:
        return []
    data = _json(answer)
    errors = data.get("errors") if isinstance(data, dict) else None
    return [each for each in errors if isinstance(each, dict)] if isinstance(errors, list) else []


def _may_pass(error: Json) -> bool:
    """A rate limit, or what GitHub calls a timeout or a bug of its own."""
    return (
        _is_limit(error)
        or error.get("type") in _OUT_OF_ORDER
        or str(error.get("message", "")).lower().startswith("something went wrong")
    )


def _is_limit(error: Json) -> bool:
    """The types are those that it has used since 2020, and before that; the secondary limit has words only."""
    return error.get("type") in ("RATE_LIMIT", "RATE_LIMITED") or _names_limit(str(error.get("message", "")))


def _names_limit(text: str) -> bool:
    return "rate limit" in text.lower() or "abuse detection" in text.lower()


_OUT_OF_ORDER: Final = ("INTERNAL", "SERVICE_UNAVAILABLE", "TIMEOUT")


def _said(error: Json) -> str:
    return ": ".join(str(error[name]) for name in ("type", "message") if error.get(name))


def _identities(pages: list[list[Json]]) -> list[tuple[object, object]]:
    return [(item.get("id"), item.get("number")) for page in pages for item in page]


def _message_of(answer: httpx.Response) -> str:
    if errors := _errors_of(answer):
        return _said(errors[0])[:300]
    try:
        data = answer.json()
    except ValueError:
        return answer.reason_phrase
    message = data.get("message") if isinstance(data, dict) else None
    return str(message)[:300] if message else answer.reason_phrase


def _json(answer: httpx.Response) -> Any:
    try:
        return answer.json()
    except ValueError as error:
        raise GitHubError(f"GitHub's answer to {answer.request.url.path} is not JSON.") from error


def _object(answer: httpx.Response) -> Json:
    data = _json(answer)
    if not isinstance(data, dict):
        raise GitHubError(f"GitHub's answer to {answer.request.url.path} is not an object.")
    return data


def _objects(answer: httpx.Response) -> list[Json]:
    data = _json(answer)
    if not isinstance(data, list) or not all(isinstance(item, dict) for item in data):
        raise GitHubError(f"GitHub's answer to {answer.request.url.path} is not a list of objects.")
    return data
