"""What all commands share: which project, which account, which colours, and a progress bar."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

import click

from reconciler import commands
from reconciler.cli.options import FilePath, option
from reconciler.cli.streams import StdoutError, is_terminal, stdout_gone
from reconciler.model.characters import safe

if TYPE_CHECKING:
    import asyncio

    from rich.progress import Progress as RichProgress

    from reconciler.commands.workspace import Result, Workspace

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
    # It holds a password.
    journal_url: str = field(default="", repr=False)

    def workspace(self) -> Workspace:
        """The project and what it is used with, for the functions of ``commands``."""
        return commands.Workspace(
            self.project,
            os.environ,
            sandbox=self.sandbox,
            journal_url=self.journal_url,
            rate=self.rate,
            concurrency=self.concurrency,
            callbacks=commands.Callbacks(remark=remark, progress=Bar, run=run_interruptibly, stoppable=_stoppable),
        )

    def say(self, text: str) -> None:
        """``text`` on stdout, or on stderr if that is closed, full, or read by nobody: for what must be told."""
        if not stdout_gone():
            try:
                click.echo(text, nl=False, color=self.colours())
                return
            except StdoutError as error:
                click.echo(f"Warning: {error} What should have been printed there follows.", err=True)
        # What an apply has done must reach somebody, and a full disk must not decide on it.
        click.echo(text, nl=False, err=True, color=False)

    def colours(self) -> bool:
        """Flag, then NO_COLOR, then FORCE_COLOR, then whether stdout is a terminal (docs/commands.md)."""
        if self.colour is not None:
            return self.colour
        if os.environ.get("NO_COLOR"):
            return False
        return bool(os.environ.get("FORCE_COLOR")) or is_terminal(sys.stdout)


def remark(sentence: str) -> None:
    """A sentence for people, on stderr."""
    click.echo(safe(sentence), err=True)


def run_interruptibly(work: Coroutine[Any, Any, Result]) -> Result:
    """What ``work`` comes to. A first signal cancels it, a second one stops at once."""
    from reconciler.cli.interrupts import run  # noqa: PLC0415 - asyncio, for which `validate` has no use

    return run(work)


def _stoppable() -> AbstractContextManager[asyncio.Event]:
    from reconciler.cli.interrupts import interruptible  # noqa: PLC0415 - the same

    return interruptible()


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


json_option = option("--json", "as_json", is_flag=True, help="JSON on stdout instead of text.")

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
            # Rich takes long to import, and a log of CI keeps every frame of a bar.
            if not is_terminal(sys.stderr) or time.monotonic() - self._started < PATIENCE_SECONDS:
                return
            self._shown = self._show()
        self._shown.update(self._shown.task_ids[0], completed=done, total=total)

    def _show(self) -> RichProgress:
        from rich.console import Console  # noqa: PLC0415 - for what takes long, on a terminal
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        # stderr, since stdout may be JSON for a program.
        progress = Progress(*columns, console=Console(stderr=True), transient=True)
        progress.add_task(self._label, total=None)
        progress.start()
        return progress
