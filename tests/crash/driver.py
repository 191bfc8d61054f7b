"""Runs the real command in processes that can be killed at a chosen moment. Started by ``Commands`` in ``project``.

A process that has imported everything reads jobs as JSON lines on stdin, and forks for each: the child runs
``paygift ARGUMENTS`` as ``reconciler.cli.run`` does, and the answer on stdout is how that ended. A fork takes
milliseconds where a new interpreter takes half a second, and there are hundreds of moments.

The moments are counted in the child: before and after each write to the journal, before a request is signed, and after
its answer was verified. The others, between sending and answering, are the server's to see.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Final

_OFF: Final = [0.0]
"""By how many seconds the clock of this process is wrong."""
_real_time, _real_sleep = time.time, asyncio.sleep


def _time() -> float:
    return _real_time() + _OFF[0]


async def _no_pause(seconds: float, result: Any = None) -> Any:
    return await _real_sleep(0, result)


# Before anything of ours is imported, as defaults of arguments are bound then. Nobody sleeps in tests.
time.time = _time
asyncio.sleep = _no_pause  # type: ignore[assignment]

import stamina  # noqa: E402
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey  # noqa: E402
from sqlalchemy import Connection, Engine, event  # noqa: E402

from reconciler.cli import run  # noqa: E402
from reconciler.commands import settings  # noqa: E402
from reconciler.journal.database import Database  # noqa: E402
from reconciler.wechatpay import signing  # noqa: E402
from reconciler.wechatpay.keys import load_private_key  # noqa: E402

_WRITES = ("INSERT", "UPDATE", "DELETE")


class Moments:
    """Counts moments, and ends the process at the one that is wanted: as nothing but SIGKILL can."""

    def __init__(self, wanted: int | None, file: Path) -> None:
        self._wanted = wanted
        self._file = file
        self.passed = 0

    def one_more(self) -> None:
        self.passed += 1
        if self.passed == self._wanted:
            os.kill(os.getpid(), signal.SIGKILL)

    def write_down(self) -> None:
        self._file.write_text(str(self.passed))


def _watch(moments: Moments) -> None:
    authorize, verifies, transaction = signing.authorize, signing.verifies, Database.transaction

    def before_sending(*positional: Any, **named: Any) -> str:
        moments.one_more()
        return authorize(*positional, **named)

    def after_the_answer(*positional: Any) -> bool:
        proven = verifies(*positional)
        moments.one_more()
        return proven

    def before_writing(_connection: Connection, _cursor: Any, statement: str, *_rest: Any) -> None:
        if statement.startswith(_WRITES):
            moments.one_more()

    @contextmanager
    def after_writing(database: Database) -> Iterator[Connection]:
        with transaction(database) as connection:
            yield connection
        moments.one_more()

    signing.authorize = before_sending
    signing.verifies = after_the_answer  # type: ignore[assignment]
    Database.transaction = after_writing  # type: ignore[method-assign,assignment]
    event.listen(Engine, "before_cursor_execute", before_writing)


def _fill_disk(pages: int) -> None:
    """SQLite finds room for so many more pages, and then none."""

    def limit(connection: Any, _record: object) -> None:
        (used,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {max(1, used + pages)}")

    event.listen(Engine, "connect", limit)


@cache
def _private_key(text: str | bytes, *, where: str) -> RSAPrivateKey:
    """Loading a key takes longer than all the rest of a short run, so it happens once, before the forks."""
    key = load_private_key(text, where=where)
    signing.sign(key, b"")  # what the first signature prepares, too
    return key


def _child(job: dict[str, Any]) -> None:
    output = os.open(job["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.environ.update(job["environ"])
    _OFF[0] = job.get("clock_is_off", 0.0)
    Path(job["pid"]).write_text(str(os.getpid()))
    moments = Moments(job.get("kill"), Path(job["moments"]))
    _watch(moments)
    if job.get("pages") is not None:
        _fill_disk(job["pages"])
    with stamina.set_testing(True, attempts=100, cap=True):
        codes = [run(arguments) for arguments in job["commands"]]
    sys.stdout.flush()
    moments.write_down()
    Path(job["codes"]).write_text(json.dumps(codes))
    Path(job["modules"]).write_text("\n".join(sys.modules))
    os._exit(0)


def _import_what_it_did(names: Path) -> None:
    """What a child had to import, later ones find imported."""
    for name in names.read_text().split() if names.exists() else []:
        if name.startswith(("reconciler.", "rich.", "sqlalchemy.", "stamina.", "anyio.", "pydantic.", "httpcore.")):
            import_module(name)


def main() -> None:
    for line in sys.stdin:
        job = json.loads(line)
        settings.load_private_key = _private_key  # type: ignore[attr-defined]
        settings.remote_from(job["environ"])  # loads the key
        gc.freeze()  # or the children's collector would copy every page that it looks at
        children = [_fork(part) for part in job.pop("together", [job])]
        statuses = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
        if "modules" in job:
            _import_what_it_did(Path(job["modules"]))
        sys.stdout.write(f"{json.dumps(statuses)}\n")
        sys.stdout.flush()


def _fork(job: dict[str, Any]) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            _child(job)
        finally:
            os._exit(70)
    return pid


if __name__ == "__main__":
    main()
