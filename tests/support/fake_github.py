"""A small GitHub with a memory, on loopback: what `paygift github` asks of it, and no more.

It keeps one repository: its default branch and the files at each commit, pushes, pull requests with labels and
descriptions, comments with their authors and editors, issues, artifacts, and who may write. It checks the token,
pages lists with ``Link`` headers, gives logins as REST and GraphQL do (an app is ``name[bot]`` to itself and to REST,
and ``name`` to GraphQL), and refuses bodies that are too long. It does not imitate: permissions, conditional requests,
most fields, and any GraphQL but the questions that are asked; those it tells apart by their words.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import socket
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

REPOSITORY = "liangpin/campaigns"
TOKEN = "ghs_secretsecretsecretsecretsecretsecret"
BOT = "github-actions[bot]"
MOST_CHARACTERS = 65_536
START = datetime(2026, 11, 25, 2, 0, tzinfo=UTC)


@dataclass
class Fault:
    """An answer given instead of the real one; with ``after``, once the real one has had its effect."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    after: bool = False
    method: str = ""
    path: str = ""
    """Only to requests with this method, and with this in their path."""


@dataclass
class FakeGitHub:
    """Its memory is open to tests. Every write takes a minute, so that the order of things shows in their times."""

    url: str = ""
    login: str = BOT
    pulls: dict[int, dict[str, Any]] = field(default_factory=dict)
    commits: dict[str, list[int]] = field(default_factory=dict)
    """Which pull requests GitHub names for a commit."""
    comments: list[dict[str, Any]] = field(default_factory=list)
    reviews: list[dict[str, Any]] = field(default_factory=list)
    issues: dict[int, dict[str, Any]] = field(default_factory=dict)
    artifacts: dict[int, tuple[str, bytes]] = field(default_factory=dict)
    """Name and ZIP archive; an empty archive has expired."""
    tip: str = ""
    """What the default branch, `main`, is at."""
    trees: dict[str, dict[str, str]] = field(default_factory=dict)
    """The ids of files and folders by path, at each commit; a commit without any is an empty repository."""
    pushes: list[dict[str, Any]] = field(default_factory=list)
    """The repository's activity: who pushed what, newest last."""
    authors: dict[str, str] = field(default_factory=dict)
    """Who wrote a commit."""
    events: list[dict[str, Any]] = field(default_factory=list)
    permissions: dict[str, str] = field(default_factory=lambda: {"alice": "write", "bob": "admin", "mallory": "read"})
    faults: deque[Fault] = field(default_factory=deque)
    asked: list[tuple[str, str]] = field(default_factory=list)
    now: datetime = START
    next_id: int = 100

    # --- what tests do by hand ---

    def open_pull(
        self,
        number: int,
        head: str,
        *,
        base: str = "main",
        author: str = "carol",
        branch: str = "",
        fork: bool = False,
    ) -> None:
        """Somebody opens a pull request, or pushes to its branch."""
        branch = branch or f"branch-{number}"
        before = self.pulls.get(number, {})
        self.pulls[number] = {
            "number": number,
            "state": "open",
            "user": {"login": author},
            "body": before.get("body", ""),
            "editor": before.get("editor"),
            "labels": before.get("labels", []),
            "head": {
                "sha": head,
                "ref": branch,
                "repo": {"full_name": "stranger/fork" if fork else REPOSITORY},
            },
            "base": {"ref": base},
            "merged_at": None,
            "merge_commit_sha": "f" * 40,  # GitHub's trial merge
        }
        self.authors[head] = author
        if not fork:
            self.pushes.append(
                {
                    "id": self._new_id(),
                    "ref": f"refs/heads/{branch}",
                    "after": head,
                    "actor": {"login": author},
                }
            )

    def describe(self, number: int, text: str, editor: str) -> None:
        self.pulls[number].update({"body": text, "editor": editor})

    def label(self, number: int, name: str, login: str) -> None:
        self.pulls[number]["labels"].append({"name": name})
        self._event(number, "labeled", name, login)

    def unlabel(self, number: int, name: str, login: str) -> None:
        self.pulls[number]["labels"].remove({"name": name})
        self._event(number, "unlabeled", name, login)

    def _event(self, number: int, kind: str, label: str, login: str) -> None:
        event = {"issue": number, "id": self._new_id(), "event": kind, "label": {"name": label}}
        self.events.append({**event, "actor": {"login": login}})

    def merge(self, number: int, commit: str, *, others: tuple[str, ...] = ()) -> None:
        """Merge as ``commit``; a rebase makes ``others`` before it."""
        self._tick()
        changes = {"state": "closed", "merged_at": _text(self.now), "merge_commit_sha": commit}
        self.pulls[number].update(changes)
        self.tip = commit
        for each in (commit, *others):
            self.commits.setdefault(each, []).append(number)

    def say(self, number: int, body: str, *, login: str = "mallory", editor: str | None = None) -> dict[str, Any]:
        """A comment by ``login``, edited afterwards by ``editor``."""
        self._tick()
        comment = {
            "issue": number,
            "id": self._new_id(),
            "body": body,
            "login": login,
            "created_at": _text(self.now),
            "editor": None,
            "edited_at": None,
        }
        self.comments.append(comment)
        if editor is not None:
            self.edit(comment, body, editor)
        return comment

    def edit(self, comment: dict[str, Any], body: str, editor: str) -> None:
        self._tick()
        comment.update({"body": body, "editor": editor, "edited_at": _text(self.now)})

    def review(
        self,
        number: int,
        state: str = "APPROVED",
        *,
        login: str | None = "alice",
        commit: str = "",
        may_write: bool = True,
    ) -> dict[str, Any]:
        """A review of the newest commit, unless somebody had an older page before their eyes."""
        self._tick()
        review = {
            "issue": number,
            "state": state,
            "submittedAt": None if state == "PENDING" else _text(self.now),
            "authorCanPushToRepository": may_write,
            "author": _actor(login),
            "commit": {"oid": commit or self.pulls[number]["head"]["sha"]},
        }
        self.reviews.append(review)
        return review

    def writes(self) -> list[tuple[str, str]]:
        return [each for each in self.asked if each[0] != "GET" and not each[1].endswith("/graphql")]

    # --- what it answers ---

    async def answer(self, request: Request) -> Response:
        path = request.url.path
        self.asked.append((request.method, path))
        if path.startswith("/blob/"):
            assert "authorization" not in request.headers
            return Response(self.artifacts[int(path.removeprefix("/blob/"))][1])
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            return _problem(401, "Bad credentials")
        fault = self.faults[0] if self.faults else None
        if fault is None or fault.method not in ("", request.method) or fault.path not in path:
            return await self._really(request, path)
        self.faults.popleft()
        if fault.after:
            await self._really(request, path)
        if isinstance(fault.body, str):
            return Response(fault.body, fault.status, dict(fault.headers))
        return JSONResponse(fault.body or {"message": "out of order"}, fault.status, dict(fault.headers))

    async def _really(self, request: Request, path: str) -> Response:
        data = json.loads(await request.body() or b"null")
        if path == "/api/graphql":
            return JSONResponse(_with_missing(self._question(data)))
        prefix = f"/api/v3/repos/{REPOSITORY}/"
        if not path.startswith(prefix):
            return _problem(404, "Not Found")
        match request.method, *path.removeprefix(prefix).split("/"):
            case "GET", "pulls", number if int(number) in self.pulls:
                return JSONResponse(self.pulls[int(number)])
            case "GET", "commits", commit:
                author = self.authors.get(commit, "")
                return JSONResponse(
                    {"author": {"login": author} if author else None, "committer": {"login": "web-flow"}}
                )
            case "GET", "activity":
                ref = request.query_params["ref"]
                return self._page(request, [each for each in self.pushes if each["ref"] == ref])
            case "GET", "collaborators", login, "permission":
                return JSONResponse({"permission": self.permissions.get(login, "read")})
            case "GET", "issues", number, "events":
                return self._page(request, [each for each in self.events if each["issue"] == int(number)])
            case "GET", "issues", number if number.isdecimal() and int(number) in self.pulls:
                return JSONResponse(self.pulls[int(number)])
            case "GET", "commits", commit, "pulls":
                return self._page(request, [self.pulls[each] for each in self.commits.get(commit, [])])
            case "GET", "issues", number, "comments":
                found = [each for each in self.comments if each["issue"] == int(number)]
                return self._page(request, [self._comment(each) for each in found])
            case "POST", "issues", number, "comments":
                return self._limited(data, lambda: self._comment(self._say(int(number), data["body"])))
            case "PATCH", "issues", "comments", number if old := self._find(int(number)):
                return self._limited(data, lambda: self._comment(self._edited(old, data["body"])), 200)
            case "DELETE", "issues", "comments", number if old := self._find(int(number)):
                self.comments.remove(old)
                return Response(status_code=204)
            case "GET", "actions", "artifacts":
                wanted = request.query_params["name"]
                return JSONResponse({"artifacts": self._artifacts(wanted)})
            case "GET", "actions", "artifacts", number, "zip":
                return Response(status_code=302, headers={"Location": f"{self.url}/blob/{number}?sig=secret"})
            case "GET", "issues":
                state = request.query_params.get("state", "open")
                return self._page(request, [each for each in self.issues.values() if each["state"] == state])
            case "POST", "issues":
                return self._limited(data, lambda: self.open_issue(data["title"], data["body"]))
            case "PATCH", "issues", number if int(number) in self.issues:
                self.issues[int(number)].update(data)
                return JSONResponse(self.issues[int(number)])
        return _problem(404, "Not Found")

    def open_issue(self, title: str, body: str, *, login: str | None = None) -> dict[str, Any]:
        number = self._new_id()
        self.issues[number] = {
            "number": number,
            "state": "open",
            "title": title,
            "body": body,
            "user": {"login": login or self.login},
            "html_url": f"https://github.com/{REPOSITORY}/issues/{number}",
        }
        return self.issues[number]

    def _artifacts(self, wanted: str) -> list[dict[str, Any]]:
        return [
            {"id": number, "name": name, "expired": not archive}
            for number, (name, archive) in self.artifacts.items()
            if name == wanted
        ]

    def _question(self, data: dict[str, Any]) -> dict[str, Any]:
        if data["query"].split()[:2] == ["query", "{"]:
            return {"viewer": {"login": self.login}}
        if "defaultBranchRef" in data["query"]:
            return {"repository": {"defaultBranchRef": {"name": "main", "target": {"oid": self.tip}}}}
        if "object(" in data["query"]:
            return {"repository": self._objects(data)}
        if "body\n      author" in data["query"]:
            pull = self.pulls[data["variables"]["number"]]
            person = {"author": _actor(pull["user"]["login"]), "editor": _actor(pull["editor"])}
            return {"repository": {"pullRequest": {"body": pull["body"], **person}}}
        if "reviews(" in data["query"]:
            return {"repository": {"pullRequest": {"reviews": self._reviews(data["variables"])}}}
        nodes = [self._find(int(node.removeprefix("IC_"))) for node in data["variables"]["ids"]]
        return {"nodes": [each and self._marks(each) for each in nodes]}

    def _objects(self, data: dict[str, Any]) -> dict[str, Any]:
        """Each alias asks for one `COMMIT:PATH`."""
        found: dict[str, Any] = {}
        for alias, variable in re.findall(r"(\w+): object\(expression: \$(\w+)\)", data["query"]):
            commit, _, path = data["variables"][variable].partition(":")
            oid = self.object_at(commit, path)
            found[alias] = {"oid": oid} if oid else None
        return found

    def object_at(self, commit: str, path: str) -> str:
        """The id of a file; of a folder, one that differs when anything in it does."""
        inside = {
            name: oid
            for name, oid in self.trees.get(commit, {}).items()
            if not path or f"{name}/".startswith(f"{path}/")
        }
        return hashlib.sha256(repr(sorted(inside.items())).encode()).hexdigest()[:40] if inside else ""

    def _reviews(self, asked: dict[str, Any]) -> dict[str, Any]:
        assert f"{asked['owner']}/{asked['name']}" == REPOSITORY
        found = [
            {name: fact for name, fact in each.items() if name != "issue"}
            for each in self.reviews
            if each["issue"] == asked["number"]
        ]
        start = int(asked["after"] or 0)
        more = start + 100 < len(found)
        return {
            "nodes": found[start : start + 100],
            "pageInfo": {"hasNextPage": more, "endCursor": str(start + 100) if more else None},
        }

    def _marks(self, comment: dict[str, Any]) -> dict[str, Any]:
        return {
            "body": comment["body"],
            "createdAt": comment["created_at"],
            "lastEditedAt": comment["edited_at"],
            "author": _actor(comment["login"]),
            "editor": _actor(comment["editor"]),
        }

    def _comment(self, comment: dict[str, Any]) -> dict[str, Any]:
        return {
            "id": comment["id"],
            "node_id": f"IC_{comment['id']}",
            "body": comment["body"],
            "user": {"login": comment["login"]} if comment["login"] else None,
            "created_at": comment["created_at"],
            "updated_at": comment["edited_at"] or comment["created_at"],
            "html_url": f"https://github.com/{REPOSITORY}/pull/{comment['issue']}#issuecomment-{comment['id']}",
        }

    def _say(self, number: int, body: str) -> dict[str, Any]:
        return self.say(number, body, login=self.login)

    def _edited(self, comment: dict[str, Any], body: str) -> dict[str, Any]:
        if comment["body"] != body:  # what changes nothing is no edit
            self.edit(comment, body, self.login)
        return comment

    def _limited(self, data: dict[str, Any], write: Any, status: int = 201) -> Response:
        if len(data["body"]) > MOST_CHARACTERS:
            return _problem(422, f"Body is too long (maximum is {MOST_CHARACTERS} characters)")
        return JSONResponse(write(), status)

    def _page(self, request: Request, found: list[dict[str, Any]]) -> Response:
        size = min(int(request.query_params.get("per_page", "30")), 100)
        page = int(request.query_params.get("page", "1"))
        headers = {}
        if page * size < len(found):
            following = request.url.include_query_params(page=page + 1)
            headers["Link"] = f'<{following}>; rel="next", <{request.url}>; rel="first"'
        return JSONResponse(found[(page - 1) * size : page * size], headers=headers)

    def _find(self, number: int) -> dict[str, Any] | None:
        return next((each for each in self.comments if each["id"] == number), None)

    def _tick(self) -> None:
        self.now += timedelta(minutes=1)

    def _new_id(self) -> int:
        self.next_id += 1
        return self.next_id


def _with_missing(data: dict[str, Any]) -> dict[str, Any]:
    """GraphQL's answer: what is not there is ``null``, and an error beside it."""
    missing = [
        {"type": "NOT_FOUND", "path": ["nodes", at], "message": "Could not resolve to a node"}
        for at, node in enumerate(data.get("nodes", ()))
        if node is None
    ]
    return {"data": data, "errors": missing} if missing else {"data": data}


def _actor(login: str | None) -> dict[str, str] | None:
    if not login:
        return None
    kind = "Bot" if login.endswith("[bot]") else "User"
    return {"__typename": kind, "login": login.removesuffix("[bot]")}


def _problem(status: int, message: str) -> Response:
    return JSONResponse({"message": message}, status)


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


class _Server(uvicorn.Server):
    def __init__(self, app: Starlette) -> None:
        super().__init__(
            uvicorn.Config(app, loop="asyncio", lifespan="off", ws="none", log_config=None, access_log=False)
        )
        self.ready = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.loop = asyncio.get_running_loop()
        self.ready.set()


@contextmanager
def served() -> Iterator[FakeGitHub]:
    """A GitHub that answers at ``url`` until the block ends. Its memory may be replaced meanwhile."""
    fake = FakeGitHub()
    # With the protocol named, asyncio turns Nagle's algorithm off; else every answer waits for 40 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    fake.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    methods = ["GET", "POST", "PATCH", "DELETE"]
    server = _Server(Starlette(routes=[Route("/{path:path}", fake.answer, methods=methods)]))
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    assert server.ready.wait(10)
    try:
        yield fake
    finally:
        server.should_exit = True
        thread.join()
        listener.close()
