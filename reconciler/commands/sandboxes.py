"""The sandbox of a project: WeChat Pay on this machine, reached as the real one is, with its clock and controls."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from reconciler.commands.clock import system_clock
from reconciler.commands.seed import stocks_for
from reconciler.commands.settings import Remote
from reconciler.commands.workspace import IMAGES_FILE
from reconciler.journal.location import FILE as JOURNAL_FILE
from reconciler.model.clock import Clock
from reconciler.model.errors import UsageError
from reconciler.sandbox.options import SandboxOptions
from reconciler.sandbox.server import Control, RunningSandbox, Sandbox, find_running, serve
from reconciler.spec import STOCKS_FILE, Project, load_project
from reconciler.spec.files import MAX_TEXT, UnusableError, inside, read_bytes
from reconciler.system.input_files import parsed_json, read_json
from reconciler.wechatpay.keys import Credentials, load_private_key, load_public_key


@dataclass(frozen=True, slots=True)
class LocalRemote:
    """A sandbox that runs in ``folder``: how to reach it as a client, its clock, and its controls."""

    folder: Path
    remote: Remote
    clock: Clock
    control: Control


@contextmanager
def local_sandbox(folder: Path) -> Iterator[LocalRemote]:
    """The sandbox of ``folder`` (see ``Workspace.sandbox_folder``): the one that is being served from it, or else one
    for as long as this lasts. Raises SandboxError, UsageError.
    """
    running = find_running(folder)
    # Two on one folder would overwrite each other's memory.
    if running is not None:
        yield _local_remote(folder, running)
        return
    with Sandbox(folder) as embedded:
        yield _local_remote(folder, embedded)


def _local_remote(folder: Path, control: Control) -> LocalRemote:
    where, pem = "the sandbox's public key", control.public_key_pem
    credentials = Credentials(
        mchid=control.mchid,
        serial_no=control.serial_no,
        private_key=load_private_key(control.private_key_pem, where="the sandbox's private key"),
        apiv3_key=control.apiv3_key.encode(),
        public_key_id="" if control.has_certificates else control.public_key_id,
        public_key=None if control.has_certificates else load_public_key(pem, where=where),
    )
    # Asked once: the sandbox's clock runs at the speed of ours, so the distance stays.
    ahead = control.now() - system_clock()
    return LocalRemote(
        folder,
        Remote(credentials, control.base_url, sandbox=True),
        clock=lambda: system_clock() + ahead,
        control=control,
    )


def serve_sandbox(folder: Path, *, port: int, options: Iterable[str], ready: Callable[[RunningSandbox], None]) -> None:
    """Serve the sandbox of ``folder`` on 127.0.0.1 until the process is interrupted; 0 takes a free ``port``.

    ``options`` are NAME=VALUE, of docs/sandbox.md. ``ready`` is called once it can be reached. Raises UsageError,
    SandboxError.
    """
    try:
        chosen = SandboxOptions.parse(tuple(options))
    except ValueError as error:
        raise UsageError(f"--option: {error}.") from error
    serve(folder, port=port, options=chosen, ready=ready)


def reset_sandbox(local: LocalRemote) -> None:
    """Empty the sandbox; forget the images that were uploaded to it, and what was applied to it."""
    local.control.reset()
    for name in (IMAGES_FILE.name, *(f"{JOURNAL_FILE.name}{part}" for part in ("", "-wal", "-shm"))):
        (local.folder / name).unlink(missing_ok=True)


class Seeded(NamedTuple):
    """The ids of coupon stocks that were new to the sandbox, and those of them that were made up."""

    new: list[str]
    made_up: list[str]

    @property
    def remark(self) -> str:
        """A sentence for people about coupons that the sandbox has only now, and the real account perhaps never."""
        if not self.made_up:
            return ""
        count = len(self.made_up)
        named = ", ".join(self.made_up[:3]) + (f" and {count - 3} more" if count > 3 else "")
        return (
            f"The sandbox did not know {count} coupon stock{'' if count == 1 else 's'} of the specs "
            f"({named}), and made up what fits. sandbox-stocks.json can say what they are like."
        )


def seed_sandbox(local: LocalRemote, project: Project) -> Seeded:
    """Give the sandbox the coupon stocks that the specs name and it does not know.

    They come from the project's ``sandbox-stocks.json`` where it has them; the rest is made up.
    """
    made_up = {str(stock["stock_id"]): stock for stock in stocks_for(project.activities, local.control.mchid)}
    given = {str(stock["stock_id"]): stock for stock in _stocks_of(project.root / STOCKS_FILE)}
    # only_missing: a stock that was changed for a test must stay as it is.
    new = local.control.seed(list({**made_up, **given}.values()), only_missing=True)
    return Seeded(new, [each for each in new if each not in given])


def seed_from_project(local: LocalRemote, root: Path) -> int:
    """The same for the project in ``root``; how many were new. Raises ProjectError."""
    return len(seed_sandbox(local, load_project(root, now=local.clock())).new)


def seed_from_file(local: LocalRemote, file: Path) -> int:
    """Put in the coupon stocks of a JSON file, create-stock bodies with their ``stock_id``; say how many were new.

    Raises UsageError.
    """
    return len(local.control.seed(_stocks_in(read_json(file), file)))


def insert_from_file(folder: Path, file: Path) -> list[str]:
    """Put the activities of a JSON file into the sandbox of ``folder``, or change those with the same activity_id.

    Returns their ids.
    It is one activity in the shape of the list's elements, or what ``paygift show --json`` prints of live ones, with
    their merchants. Nothing in it is checked. Raises UsageError for another file.
    """
    content = read_json(file)
    shown = content.get("live") if isinstance(content, dict) and content.get("kind") == "activity" else None
    rows: Any = [{"wire": content}] if shown is None else shown
    if not (isinstance(rows, list) and rows and all(map(_is_shown, rows))):
        raise UsageError(f"{file} must be an activity in JSON, or what `paygift show KEY --json` prints of a live one.")
    # Only now: what is piped into ``file`` may come from a command that uses the sandbox itself.
    with local_sandbox(folder) as local:
        return [local.control.insert_activity(row["wire"], row.get("merchants") or []) for row in rows]


def _is_shown(row: Any) -> bool:
    if not (isinstance(row, dict) and isinstance(row.get("wire"), dict)):
        return False
    return row.get("merchants") is None or isinstance(row["merchants"], list)


def _stocks_of(file: Path) -> list[dict[str, object]]:
    """The stocks in a file of the project, none where there is no such file. Raises UsageError."""
    if not os.path.lexists(file):
        return []
    try:
        return _stocks_in(parsed_json(read_bytes(inside(file.parent.resolve(), file.name), MAX_TEXT)), file)
    except UnusableError as mistake:
        raise UsageError(f"{file} {mistake.message}.", remedy="Correct or remove it.") from mistake
    except ValueError as error:
        raise UsageError(f"{file} cannot be read: {error}.", remedy="Correct or remove it.") from error


def _stocks_in(stocks: object, file: Path) -> list[dict[str, object]]:
    if not isinstance(stocks, list) or not all(isinstance(each, dict) and "stock_id" in each for each in stocks):
        raise UsageError(f"{file} must be a JSON list of stocks, each with a stock_id.")
    return stocks
