"""The sandbox of a project: WeChat Pay on this machine, reached as the real one is, with its clock and controls."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from reconciler.commands.clock import Clock, system_clock
from reconciler.commands.seed import stocks_for
from reconciler.commands.settings import Remote
from reconciler.commands.workspace import IMAGES_FILE
from reconciler.journal.location import FILE as JOURNAL_FILE
from reconciler.model.errors import UsageError
from reconciler.sandbox.options import Options
from reconciler.sandbox.server import Control, RunningSandbox, Sandbox, find_running, serve
from reconciler.spec import STOCKS_FILE, Project, load_project
from reconciler.spec.files import MAX_TEXT, UnusableError, inside, read_bytes
from reconciler.system.input_files import parsed_json, read_json
from reconciler.wechatpay.keys import Credentials, load_private_key


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
    if running is not None:
        yield _local_remote(folder, running)
        return
    with Sandbox(folder) as embedded:
        yield _local_remote(folder, embedded)


def _local_remote(folder: Path, control: Control) -> LocalRemote:
    credentials = Credentials(
        mchid=control.mchid,
        serial_no=control.serial_no,
        private_key=load_private_key(control.private_key_pem, where="the sandbox's private key"),
        apiv3_key=control.apiv3_key.encode(),
    )
    # Asked once: the sandbox's clock runs at the speed of ours, so the distance stays.
    ahead = control.now() - system_clock()
    return LocalRemote(
        folder,
        Remote(credentials, control.base_url, sandbox=True),
        clock=lambda: system_clock() + ahead,
        control=control,
    )


def serve_sandbox(
    folder: Path, *, port: int, options: Iterable[str], ready: Callable[[RunningSandbox], None]
) -> None:
    """Serve the sandbox of ``folder`` on 127.0.0.1 until the process is interrupted; 0 takes a free ``port``.

    ``options`` are NAME=VALUE, of docs/sandbox.md. ``ready`` is called once it can be reached. Raises UsageError,
    SandboxError.
    """
    try:
        chosen = Options.parse(tuple(options))
    except ValueError as error:
        raise UsageError(f"--option: {error}.") from error
    serve(folder, port=port, options=chosen, ready=ready)


def reset_sandbox(local: LocalRemote) -> None:
    """Empty the sandbox; forget the images that were uploaded to it, and what was applied to it."""
    local.control.reset()
    for name in (IMAGES_FILE.name, *(f"{JOURNAL_FILE.name}{part}" for part in ("", "-wal", "-shm"))):
        (local.folder / name).unlink(missing_ok=True)


def seed_sandbox(local: LocalRemote, project: Project) -> int:
    """Give the sandbox the coupon stocks that the specs name and it does not know; say how many these were.

    They come from the project's ``sandbox-stocks.json`` where it has them; the rest is made up.
    """
    made_up = {str(stock["stock_id"]): stock for stock in stocks_for(project.activities, local.control.mchid)}
    given = {str(stock["stock_id"]): stock for stock in _stocks_of(project.root / STOCKS_FILE)}
    return local.control.seed(list({**made_up, **given}.values()), only_missing=True)


def seed_from_project(local: LocalRemote, root: Path) -> int:
    """The same for the project in ``root``. Raises ProjectError."""
    return seed_sandbox(local, load_project(root, now=local.clock()))


def seed_from_file(local: LocalRemote, file: Path) -> int:
    """Put in the coupon stocks of a JSON file, create-stock bodies with their ``stock_id``; say how many were new.

    Raises UsageError.
    """
    return local.control.seed(_stocks_in(read_json(file), file))


def _stocks_of(file: Path) -> list[dict[str, object]]:
    """The stocks in a file of the project, none where there is no such file. Raises UsageError."""
    if not os.path.lexists(file):
        return []
    try:
        return _stocks_in(parsed_json(read_bytes(inside(file.parent.resolve(), file.name), MAX_TEXT)), file)
    except UnusableError as problem:
        raise UsageError(f"{file} {problem.message}.", remedy="Correct or remove it.") from problem
    except ValueError as error:
        raise UsageError(f"{file} cannot be read: {error}.", remedy="Correct or remove it.") from error


def _stocks_in(stocks: object, file: Path) -> list[dict[str, object]]:
    if not isinstance(stocks, list) or not all(
        isinstance(each, dict) and "stock_id" in each for each in stocks
    ):
        raise UsageError(f"{file} must be a JSON list of stocks, each with a stock_id.")
    return stocks
