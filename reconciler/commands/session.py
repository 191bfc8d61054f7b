"""What a command works with: the project, the account that it is for, real or sandbox, and whose clock is valid there.

Heavy modules are imported where they are used, so that a command pays for what it uses only.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from reconciler.model.clock import Clock
from reconciler.model.diagnostics import Diagnostic
from reconciler.model.errors import CredentialsError, ProjectError, StaleError, UsageError
from reconciler.system.environment import informing
from reconciler.system.paygift_folder import NAME

if TYPE_CHECKING:
    from reconciler.apply.image_cache import ImageCache
    from reconciler.commands.settings import Remote
    from reconciler.journal.place import Place
    from reconciler.sandbox.server import Control
    from reconciler.spec import Project

IMAGES_FILE = Path(NAME) / "images.json"
_MCHID = re.compile(r"[0-9]{8,15}")
SANDBOX_FOLDER = Path(NAME) / "sandbox"


def system_clock() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Session:
    """What a command works with: the project, the account it is for, the images that were uploaded there, and where
    its journal is. ``read`` reads the project's files once more. ``remarks`` are sentences for people about what was
    not believed, or cannot be known.
    """

    project: Project
    remote: Remote
    clock: Clock
    images: ImageCache
    journal: Place
    read: Callable[[], Project]
    remarks: tuple[str, ...] = ()

    def reread(self) -> Session:
        """The same with its files as they are by now, for who has waited for the lock.

        Raises ProjectError, CredentialsError, and StaleError if they ask for the lock of another namespace by now.
        """
        project = self.read()
        if project.namespace != self.project.namespace:
            raise StaleError(
                f"The namespace was {self.project.namespace} when this run asked for the lock, and is "
                f"{project.namespace} now. Nothing was written.",
                remedy="Run apply again.",
            )
        return replace(self, project=project, images=self.images.reopened())


@contextmanager
def open_session(
    root: Path,
    environ: Mapping[str, str],
    *,
    use_sandbox: bool,
    at: str | None = None,
    journal_url: str = "",
) -> Iterator[Session]:
    """The project in ``root``, with the account that the environment names, or with the sandbox beside it.

    ``at`` stops the clock at a time, in the project's time zone where it has no offset, to see what a plan would be
    then. ``journal_url`` is where a team keeps the journal of the real account; without it, and for the sandbox, the
    journal is a file.
    Raises UsageError, ProjectError and CredentialsError before anything is sent.
    """
    from reconciler.apply.image_cache import ImageCache
    from reconciler.commands.settings import remote_from
    from reconciler.journal.place import journal_place

    doubt = check_untracked(root)
    stopped = None if at is None else _stopped(at, root)
    if not use_sandbox:
        clock = stopped or system_clock
        project = load(root, now=clock())
        remote = remote_from(environ)
        _check_account(project, remote)

        def read() -> Project:
            check_untracked(root)
            fresh = load(root, now=clock())
            _check_account(fresh, remote)
            return fresh

        images = ImageCache.open(root / IMAGES_FILE, remote.credentials, clock)
        place, remarks = journal_place(root, journal_url), tuple(filter(None, (doubt, images.remark)))
        yield Session(project, remote, clock, images, place, read, remarks)
        return
    with sandbox(root / SANDBOX_FOLDER) as local:
        clock = stopped or local.clock

        def read_and_seed() -> Project:
            fresh = load(root, now=clock())
            seed(local, fresh)
            return fresh

        project = load(root, now=clock())
        made_up = _made_up(seed(local, project).made_up)
        # The sandbox's URLs look like real ones, so they are kept away from those of the real account.
        images = ImageCache.open(root / SANDBOX_FOLDER / IMAGES_FILE.name, local.remote.credentials, clock)
        place, remarks = (
            journal_place(root, use_sandbox=True),
            tuple(filter(None, (doubt, made_up, images.remark))),
        )
        yield Session(project, local.remote, clock, images, place, read_and_seed, remarks)


def check_untracked(root: Path) -> str:
    """A sentence for people if nobody can tell whether git tracks anything in ``.paygift/``, or nothing.

    Raises ProjectError if it does: what lies there is of one machine, and a commit must not bring another's.
    """
    if not os.path.lexists(root / NAME):
        return ""
    from reconciler.model.characters import shown
    from reconciler.system.origin import tracked_by_git

    tracked = tracked_by_git(root, NAME)
    if tracked is None:
        return (
            f"Whether git tracks anything in {NAME}/ is not known: git is missing here, does not answer, or does not "
            "trust this repository (`git status` says why). Nothing in there should come with a commit."
        )
    if not tracked:
        return ""
    count = f"{len(tracked):,} file{'' if len(tracked) == 1 else 's'}"
    named = ", ".join(shown(each, 80) for each in tracked[:3])
    message = (
        f"git tracks {count} in it ({named}{', …' if len(tracked) > 3 else ''}), and what is remembered there belongs "
        f"to one machine: run `git rm -r --cached {NAME}`, and commit that"
    )
    raise ProjectError([Diagnostic(NAME, message=message, code="tracked_folder")])


def _check_account(project: Project, remote: Remote) -> None:
    """Credentials of one account must not act on the campaigns of another's project. Raises CredentialsError."""
    named, mchid = project.account, remote.credentials.mchid
    if named is None or named.mchid == mchid:
        return
    raise CredentialsError(
        f"The credentials are of merchant {mchid} (PAYGIFT_MCHID), and this project belongs to merchant {named.mchid} "
        f"(`account`, {named.source}). Nothing was read or written.",
        remedy=f"Use the credentials of {named.mchid}, or go to the project of {mchid}. "
        "Change `account` only if this project really belongs to another account now.",
    )


def _stopped(at: str, root: Path) -> Clock:
    from reconciler.spec import read_timezone

    moment = instant_from(at, read_timezone(root))
    return lambda: moment


def instant_from(text: str, timezone: tzinfo | None = None) -> datetime:
    """A time that a person typed, in UTC; without an offset it is in ``timezone``, or else Beijing's.

    Raises UsageError for what is no time, and for a local time that clocks skip or show twice.
    """
    from reconciler.model.activity import BEIJING
    from reconciler.spec.context import clock_change, instant_of

    zone = timezone or BEIJING
    try:
        moment = datetime.fromisoformat(text)
        change = clock_change(moment, zone)
        instant = instant_of(moment, zone)
    except (ValueError, OverflowError) as error:
        raise UsageError(
            f"{text!r} is no time.", remedy="Write for example 2026-12-24T00:00:00+08:00."
        ) from error
    if change:
        raise UsageError(
            f"{text!r} happens {change} in {zone}, where clocks change.",
            remedy="Write the offset too, such as +08:00.",
        )
    return instant


@dataclass(frozen=True, slots=True)
class AccountRef:
    """The account that a command is for, but asks nothing: its merchant number if known, and the moment there."""

    mchid: str
    now: datetime


def account_ref(environ: Mapping[str, str], *, sandbox_folder: Path | None) -> AccountRef:
    """The account that the environment names, by the system's clock; or the sandbox in a folder, by its own."""
    if sandbox_folder is None:
        return AccountRef(informing(environ, ("PAYGIFT_MCHID",), _MCHID), system_clock())
    with sandbox(sandbox_folder) as local:
        return AccountRef(local.control.mchid, local.clock())


@dataclass(frozen=True, slots=True)
class LocalRemote:
    """A sandbox that runs: how to reach it as a client, its clock, and its controls."""

    remote: Remote
    clock: Clock
    control: Control


@contextmanager
def sandbox(directory: Path) -> Iterator[LocalRemote]:
    """The sandbox of ``directory``: the one that is being served from it, or else one for as long as this lasts."""
    from reconciler.sandbox.server import Sandbox, find_running

    running = find_running(directory)
    if running is not None:
        yield _local_remote(running)
        return
    with Sandbox(directory) as embedded:
        yield _local_remote(embedded)


def _local_remote(control: Control) -> LocalRemote:
    from reconciler.commands.settings import Remote
    from reconciler.wechatpay.keys import Credentials, load_private_key, load_public_key

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
        Remote(credentials, control.base_url, sandbox=True),
        clock=lambda: system_clock() + ahead,
        control=control,
    )


def reset(local: LocalRemote, folder: Path) -> None:
    """Empty the sandbox of ``folder``; forget the pictures that were uploaded to it, and what was applied to it."""
    from reconciler.journal.place import FILE as JOURNAL_FILE

    local.control.reset()
    for name in (IMAGES_FILE.name, *(f"{JOURNAL_FILE.name}{part}" for part in ("", "-wal", "-shm"))):
        (folder / name).unlink(missing_ok=True)


class Seeded(NamedTuple):
    """The ids of coupon stocks that were new to the sandbox, and those of them that were made up."""

    new: list[str]
    made_up: list[str]


def seed(local: LocalRemote, project: Project) -> Seeded:
    """Give the sandbox the coupon stocks that the specs name and it does not know.

    They come from the project's ``sandbox-stocks.json`` where it has them; the rest is made up.
    """
    from reconciler.commands.seed import stocks_for
    from reconciler.spec import STOCKS_FILE

    made_up = {str(stock["stock_id"]): stock for stock in stocks_for(project.activities, local.control.mchid)}
    given = {str(stock["stock_id"]): stock for stock in _stocks_of(project.root / STOCKS_FILE)}
    new = local.control.seed(list({**made_up, **given}.values()), only_missing=True)
    return Seeded(new, [each for each in new if each not in given])


def _made_up(stock_ids: Sequence[str]) -> str:
    """A sentence for people about coupons that the sandbox has only now, and the real account perhaps never."""
    if not stock_ids:
        return ""
    named = ", ".join(stock_ids[:3]) + (f" and {len(stock_ids) - 3} more" if len(stock_ids) > 3 else "")
    return (
        f"The sandbox did not know {len(stock_ids)} coupon stock{'' if len(stock_ids) == 1 else 's'} of the specs "
        f"({named}), and made up what fits. sandbox-stocks.json can say what they are like."
    )


def _stocks_of(file: Path) -> list[dict[str, object]]:
    """The stocks in a file of the project, none where there is no such file. Raises UsageError."""
    from reconciler.spec.files import MAX_TEXT, UnusableError, inside, read_bytes
    from reconciler.system.input_files import parsed_json

    if not os.path.lexists(file):
        return []
    try:
        return _stocks_in(parsed_json(read_bytes(inside(file.parent.resolve(), file.name), MAX_TEXT)), file)
    except UnusableError as problem:
        raise UsageError(f"{file} {problem.message}.", remedy="Correct or remove it.") from problem
    except ValueError as error:
        raise UsageError(f"{file} cannot be read: {error}.", remedy="Correct or remove it.") from error


def read_stocks(path: Path) -> list[dict[str, object]]:
    """The coupon stocks in a JSON file, as create-stock bodies with their ``stock_id``. Raises UsageError."""
    from reconciler.system.input_files import read_json

    return _stocks_in(read_json(path), path)


def _stocks_in(stocks: object, path: Path) -> list[dict[str, object]]:
    if not isinstance(stocks, list) or not all(
        isinstance(each, dict) and "stock_id" in each for each in stocks
    ):
        raise UsageError(f"{path} must be a JSON list of stocks, each with a stock_id.")
    return stocks


def read_activities(path: Path) -> list[tuple[dict[str, object], list[str]]]:
    """The activities in a JSON file, each with its merchants: one in the shape of the list's elements, or all that live
    in what ``paygift show --json`` prints. Raises UsageError."""
    from reconciler.system.input_files import read_json

    content = read_json(path)
    shown = content.get("live") if isinstance(content, dict) and content.get("kind") == "activity" else None
    rows: Any = [{"wire": content}] if shown is None else shown
    if not (isinstance(rows, list) and rows and all(map(_is_shown, rows))):
        raise UsageError(
            f"{path} must be an activity in JSON, or what `paygift show KEY --json` prints of a live one."
        )
    return [(row["wire"], row.get("merchants") or []) for row in rows]


def _is_shown(row: Any) -> bool:
    if not (isinstance(row, dict) and isinstance(row.get("wire"), dict)):
        return False
    return row.get("merchants") is None or isinstance(row["merchants"], list)


def load(root: Path, *, now: datetime) -> Project:
    """The project in ``root``, checked as of ``now``. Raises ProjectError with every problem."""
    from reconciler.spec import load_project

    return load_project(root, now=now)
