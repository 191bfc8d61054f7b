"""What all commands share: which project, which account, which colours, and a progress bar."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

import click

from reconciler.cli.options import FilePath, option
from reconciler.cli.streams import StdoutError, is_terminal, stdout_gone
from reconciler.model.characters import safe

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

    from reconciler.commands.reporting import ApplyReporter
    from reconciler.commands.session import AccountRef, Session
    from reconciler.journal.place import Place
    from reconciler.model.errors import PaygiftError

PATIENCE_SECONDS: Final = 1.0
"""A bar appears only for what takes longer."""


@dataclass(slots=True)
class Context:
    """The options before the command. ``sandbox`` may also be given after it."""

    project: Path | None = None
    sandbox: bool = False
    colour: bool | None = None
    rate: float | None = None
    concurrency: int | None = None
    journal_url: str = field(default="", repr=False)

    def root(self) -> Path:
        """The folder of paygift.yaml. Raises UsageError if there is none."""
        from reconciler.spec import find_root

        return find_root(self.project or Path.cwd())

    @contextmanager
    def session(self, *, at: str | None = None) -> Iterator[Session]:
        """The project and its account, real or sandbox; ``at`` stops the clock at a time, as a person types it."""
        from reconciler.commands.session import open_session

        with open_session(
            self.root(), os.environ, use_sandbox=self.sandbox, at=at, journal_url=self.journal_url
        ) as session:
            for remark in session.remarks:
                click.echo(f"Warning: {safe(remark)}", err=True)
            yield replace(session, remote=session.remote.paced(rate=self.rate, concurrency=self.concurrency))

    @contextmanager
    def attempt(
        self, report: Path | None, *, rejected: Path | None = None, plan_file: Path | None = None
    ) -> Iterator[ApplyReporter]:
        """An apply that leaves its files and tells whom `notify` names, however it ends."""
        from reconciler.cli.unexpected import terminable, translated

        def explained(error: BaseException, writing: bool) -> PaygiftError:
            return translated(error, command="paygift apply", writing=writing)

        with terminable():
            from reconciler.commands.reporting import attempted

            with attempted(
                report,
                explained,
                environ=os.environ,
                warn=lambda text: click.echo(safe(text), err=True),
                rejected=rejected,
                plan_file=plan_file,
                sandbox=self.sandbox,
            ) as attempt:
                yield attempt

    def say(self, text: str) -> None:
        """``text`` on stdout, or on stderr if that is closed, full, or read by nobody: for what must be told."""
        if not stdout_gone():
            try:
                click.echo(text, nl=False, color=self.colours())
                return
            except StdoutError as error:
                click.echo(f"Warning: {error} What should have been printed there follows.", err=True)
        click.echo(text, nl=False, err=True, color=False)

    def journal(self) -> Place:
        """Where the journal of this project is. Raises UsageError without a project."""
        from reconciler.journal.place import journal_place

        return journal_place(self.root(), self.journal_url, use_sandbox=self.sandbox)

    def account_ref(self) -> AccountRef:
        """The account that the command is for, without asking it anything."""
        from reconciler.commands.session import account_ref

        return account_ref(os.environ, sandbox_folder=self.sandbox_folder() if self.sandbox else None)

    def sandbox_folder(self) -> Path:
        """Where the sandbox of this project lives; without a project, in the folder we are in."""
        from reconciler.commands.session import SANDBOX_FOLDER
        from reconciler.model.errors import UsageError

        try:
            root = self.root()
        except UsageError:
            if self.project:
                raise
            root = Path.cwd()
        return root / SANDBOX_FOLDER

    def colours(self) -> bool:
        """Flag, then NO_COLOR, then FORCE_COLOR, then whether stdout is a terminal (docs/commands.md)."""
        if self.colour is not None:
            return self.colour
        if os.environ.get("NO_COLOR"):
            return False
        return bool(os.environ.get("FORCE_COLOR")) or is_terminal(sys.stdout)


pass_context = click.make_pass_decorator(Context)
input_path: Final = FilePath()
output_path: Final = FilePath(output=True)
"""A file that a command writes, and need not be able to read (see ``output``)."""


def sandbox_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """--sandbox after the command's name, too."""

    def choose(ctx: click.Context, _parameter: click.Parameter, chosen: bool) -> None:
        if chosen:
            ctx.find_object(Context).sandbox = True  # type: ignore[union-attr]

    return option(
        "--sandbox",
        is_flag=True,
        expose_value=False,
        callback=choose,
        help="Use WeChat Pay on this machine instead of the real one.",
    )(command)


undo_option = option(
    "--undo", is_flag=True, help="Show in text how each change can be undone; Markdown and HTML always do."
)


fail_option = option(
    "--fail-on-refusals", is_flag=True, help="Exit 5 if anything is refused, after everything was shown."
)


class Bar:
    """A progress bar on stderr: only on a terminal, and only once something has taken over a second."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._started = time.monotonic()
        self._shown: RichProgress | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shown is not None:
            self._shown.stop()

    def __call__(self, done: int, total: int) -> None:
        if self._shown is None:
            if not is_terminal(sys.stderr) or time.monotonic() - self._started < PATIENCE_SECONDS:
                return
            self._shown = self._show()
        self._shown.update(self._shown.task_ids[0], completed=done, total=total)

    def _show(self) -> RichProgress:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        progress = Progress(*columns, console=Console(stderr=True), transient=True)
        progress.add_task(self._label, total=None)
        progress.start()
        return progress
