"""What a command works with: the project, its account, real or sandbox, and whose clock is valid there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from reconciler.apply.image_cache import ImageCache
from reconciler.commands.clock import instant_from, system_clock
from reconciler.commands.settings import Remote, remote_from
from reconciler.commands.untracked import check_untracked
from reconciler.commands.workspace import IMAGES_FILE, SANDBOX_FOLDER, Callbacks, Result, Workspace
from reconciler.journal.location import JournalLocation
from reconciler.model.clock import Clock
from reconciler.model.errors import CredentialsError, StaleError
from reconciler.model.operations import KnownImage
from reconciler.spec import Project, load_project, read_timezone
from reconciler.system.origin import Origin
from reconciler.wechatpay.api import PayGiftApi
from reconciler.wechatpay.client import Client


@dataclass(frozen=True, slots=True)
class Account:
    """A connected account, real or a ``sandbox``: the API, the clock that is valid there, and its merchant number.

    ``uploaded`` are the images that are known to have been uploaded there, by their SHA-256: they explain which image
    of an activity differs, and decide nothing.
    """

    api: PayGiftApi
    clock: Clock
    mchid: str
    sandbox: bool = False
    uploaded: Mapping[str, KnownImage] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Session:
    """A workspace whose files are read: the project, the account it is for, the images that were uploaded there, and
    where its journal is. ``read`` reads the project's files once more.
    """

    project: Project
    remote: Remote
    clock: Clock
    images: ImageCache
    journal: JournalLocation
    read: Callable[[], Project]
    environ: Mapping[str, str] = field(repr=False)
    callbacks: Callbacks = field(default_factory=Callbacks, repr=False)

    @property
    def mchid(self) -> str:
        """The merchant number of the account."""
        return self.remote.credentials.mchid

    @property
    def origin(self) -> Origin:
        """Who runs this, and from which commit, as it is at this moment."""
        return Origin.of(self.environ, self.project.root)

    def reread(self) -> Session:
        """The same with its files as they are by now, for who has waited for the lock.

        Raises ProjectError, CredentialsError, and StaleError if they ask for the lock of another namespace by now.
        """
        project = self.read()
        # The lock that we hold is that of the old namespace.
        if project.namespace != self.project.namespace:
            raise StaleError(
                f"The namespace was {self.project.namespace} when this run asked for the lock, and is "
                f"{project.namespace} now. Nothing was written.",
                remedy="Run apply again.",
            )
        # Whoever held the lock before may have uploaded images.
        return replace(self, project=project, images=self.images.reopened())

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Account]:
        """A client for the account, closed at the end. Nothing is sent before the first call."""
        remote = self.remote
        async with Client(
            remote.credentials,
            base_url=remote.base_url,
            backup_url=remote.backup_url,
            rate=remote.rate,
            concurrency=remote.concurrency,
        ) as client:
            yield Account(PayGiftApi(client), self.clock, self.mchid, remote.sandbox, uploaded=self.images.known)

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """What ``work`` returns or raises, in an event loop of its own."""
        return asyncio.run(work) if self.callbacks.run is None else self.callbacks.run(work)


@contextmanager
def open_session(workspace: Workspace, *, at: str | None = None) -> Iterator[Session]:
    """The project, with the account that the environment names, or with the sandbox beside it.

    ``at`` stops the clock at a time, in the project's time zone where it has no offset, to see what a plan would be
    then. What was not believed, or cannot be known, is remarked.
    Raises UsageError, ProjectError and CredentialsError before anything is sent.
    """
    root = workspace.root()
    # Before .paygift/ is read: a commit could have put a journal or image cache there.
    doubt = check_untracked(root)
    stopped = None if at is None else _stopped(at, root)
    with (
        _sandbox_session(workspace, root, stopped)
        if workspace.sandbox
        else _session(workspace, root, stopped) as session
    ):
        for sentence in filter(None, (doubt, session.images.remark)):
            workspace.callbacks.remark(f"Warning: {sentence}")
        remote = session.remote.paced(rate=workspace.rate, concurrency=workspace.concurrency)
        yield replace(session, remote=remote)


@contextmanager
def _session(workspace: Workspace, root: Path, stopped: Clock | None) -> Iterator[Session]:
    clock = stopped or system_clock
    project = load_project(root, now=clock())
    remote = remote_from(workspace.environ)
    _check_account(project, remote)

    def read() -> Project:
        check_untracked(root)
        fresh = load_project(root, now=clock())
        _check_account(fresh, remote)
        return fresh

    images = ImageCache.open(root / IMAGES_FILE, remote.credentials, clock)
    yield _made(workspace, project, remote, clock, images, read)


@contextmanager
def _sandbox_session(workspace: Workspace, root: Path, stopped: Clock | None) -> Iterator[Session]:
    # Starlette and uvicorn, for which the real account has no use.
    from reconciler.commands.sandboxes import local_sandbox, seed_sandbox  # noqa: PLC0415

    with local_sandbox(root / SANDBOX_FOLDER) as local:
        clock = stopped or local.clock

        def read_and_seed() -> Project:
            fresh = load_project(root, now=clock())
            seed_sandbox(local, fresh)
            return fresh

        project = load_project(root, now=clock())
        made_up = seed_sandbox(local, project).remark
        # The sandbox's URLs look like real ones, so they are kept away from those of the real account.
        file = root / SANDBOX_FOLDER / IMAGES_FILE.name
        images = ImageCache.open(file, local.remote.credentials, clock)
        if made_up:
            workspace.callbacks.remark(f"Warning: {made_up}")
        yield _made(workspace, project, local.remote, clock, images, read_and_seed)


def _made(
    workspace: Workspace,
    project: Project,
    remote: Remote,
    clock: Clock,
    images: ImageCache,
    read: Callable[[], Project],
) -> Session:
    location = workspace.journal()
    return Session(project, remote, clock, images, location, read, workspace.environ, workspace.callbacks)


def _check_account(project: Project, remote: Remote) -> None:
    """Credentials of one account must not act on the campaigns of another's project. Raises CredentialsError."""
    named, mchid = project.account, remote.credentials.mchid
    # A project that names no account gets a note in its plan instead (ACCOUNT_NOT_NAMED).
    if named is None or named.mchid == mchid:
        return
    raise CredentialsError(
        f"The credentials are of merchant {mchid} (PAYGIFT_MCHID), and this project belongs to merchant {named.mchid} "
        f"(`account`, {named.source}). Nothing was read or written.",
        remedy=f"Use the credentials of {named.mchid}, or go to the project of {mchid}. "
        "Change `account` only if this project really belongs to another account now.",
    )


def _stopped(at: str, root: Path) -> Clock:
    moment = instant_from(at, read_timezone(root))
    return lambda: moment
