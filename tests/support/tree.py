"""Every command of the command line and every option of each, as click knows them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import click

from reconciler.cli import paygift

UNSETTABLE: Final = ("--help", "--version")
"""They answer and end, instead of changing what a command does."""


@dataclass(frozen=True)
class Command:
    """``words`` are what is typed after ``paygift``; none for what stands before every command."""

    context: click.Context
    words: tuple[str, ...] = ()

    @property
    def options(self) -> list[click.Option]:
        """All that can be set, by a flag or a variable."""
        found = (each for each in self.context.command.params if isinstance(each, click.Option))
        return [each for each in found if not {*each.opts} & {*UNSETTABLE}]

    @property
    def does_something(self) -> bool:
        """Whether it can be called, and not only the commands below it."""
        command = self.context.command
        return not isinstance(command, click.Group) or command.invoke_without_command


def commands() -> list[Command]:
    """The whole tree, from the top."""
    root = click.Context(paygift, info_name="paygift", **paygift.context_settings)
    return list(_below(Command(root)))


def _below(command: Command) -> Iterator[Command]:
    yield command
    group = command.context.command
    if isinstance(group, click.Group):
        for name in group.list_commands(command.context):
            found = group.get_command(command.context, name)
            assert found is not None
            context = click.Context(found, parent=command.context, info_name=name)
            yield from _below(Command(context, (*command.words, name)))


def flags(option: click.Option) -> list[str]:
    """Its long flags as they are typed, those that switch it off last."""
    return [each for each in (*option.opts, *option.secondary_opts) if each.startswith("--")]
