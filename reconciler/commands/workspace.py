"""What a command is called with: a project's folder, which WeChat Pay and journal it is used with, and who listens."""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from reconciler.journal.location import JournalLocation, journal_location
from reconciler.model.errors import UsageError
from reconciler.spec import find_root
from reconciler.system.paygift_folder import NAME

if TYPE_CHECKING:
    import asyncio

SANDBOX_FOLDER: Final = Path(NAME) / "sandbox"
IMAGES_FILE: Final = Path(NAME) / "images.json"
"""Which images were uploaded to the real account; the sandbox has a file of the same name beside its memory."""

Result = TypeVar("Result")
Remark = Callable[[str], None]
"""Is given a sentence for people; it may quote files and servers, so make it safe before it is printed."""
Progress = Callable[[int, int], None]
"""Called with how many of how many are done, as often as that changes."""


class Runner(Protocol):
    """Drives a coroutine to its end, as ``asyncio.run`` does."""

    def __call__(self, work: Coroutine[Any, Any, Result]) -> Result:
        """What ``work`` returns or raises."""


def no_progress(done: int, total: int) -> None:
    """Nobody is watching."""


def _unwatched(_label: str) -> AbstractContextManager[Progress]:
    return nullcontext(no_progress)


def _unheard(_sentence: str) -> None:
    """Nobody listens."""


@dataclass(frozen=True, slots=True)
class Callbacks:
    """How the caller of a command hears of it while it runs, and stops it. By default it does neither.

    ``remark`` is given warnings and what else a person should know. ``progress`` makes, for what is being done
    ("Applying"), a context of a Progress. ``run`` drives the event loop of commands that talk to WeChat Pay; ``None``
    is ``asyncio.run``. ``stoppable`` makes, within that loop, a context of an event: once that is set, an apply
    finishes what is in flight, and begins nothing more.
    """

    remark: Remark = _unheard
    progress: Callable[[str], AbstractContextManager[Progress]] = _unwatched
    run: Runner | None = None
    stoppable: Callable[[], AbstractContextManager[asyncio.Event]] | None = None


@dataclass(frozen=True, slots=True)
class Workspace:
    """A project, and what it is used with. Nothing is read before a command is called with it.

    ``folder`` is that of paygift.yaml, or one below it; ``None`` is the current one. ``environ`` holds the
    ``PAYGIFT_…`` variables that name the account; with ``sandbox`` it is the WeChat Pay on this machine instead, whose
    memory is beside the project. ``journal_url`` names a team's PostgreSQL database, empty the file in ``.paygift/``.
    ``rate`` is in requests per second, 0 for no limit; ``concurrency`` counts connections; ``None`` is the default of
    either.
    """

    folder: Path | None = None
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)
    sandbox: bool = False
    journal_url: str = field(default="", repr=False)
    rate: float | None = None
    concurrency: int | None = None
    callbacks: Callbacks = field(default_factory=Callbacks, repr=False)

    def root(self) -> Path:
        """The folder of paygift.yaml. Raises UsageError if there is none."""
        return find_root(self.folder or Path.cwd())

    def journal(self) -> JournalLocation:
        """Where the journal of the project is. Raises UsageError without a project."""
        return journal_location(self.root(), self.journal_url, use_sandbox=self.sandbox)

    def sandbox_folder(self) -> Path:
        """Where the sandbox of the project lives; without a project, in the current folder."""
        try:
            root = self.root()
        except UsageError:
            if self.folder:
                raise
            root = Path.cwd()
        return root / SANDBOX_FOLDER
