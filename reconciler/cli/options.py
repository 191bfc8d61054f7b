"""Options whose values come from the environment (``PAYGIFT_COMMAND_OPTION``): checked as they are read, never quoted.

On the command line somebody has typed a value, and is shown it. In a variable there may be a secret that went astray.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import click
from click.core import ParameterSource

from reconciler.model.characters import safe

Callback = Callable[[click.Context, click.Parameter, Any], Any]

KEY: Final = (r"[a-z0-9][a-z0-9-]{0,63}", "a key or namespace")
NUMBER: Final = (r"[0-9]{1,20}", "a number")
HASH: Final = (r"[0-9a-f]{64}", "64 hex digits")
FRACTION: Final = (r"[01](?:\.[0-9]{1,9})?", "a number from 0 to 1")
WORD: Final = (r"[a-z_]{1,24}", "a name of lower-case letters")
SETTING: Final = (r"[a-z_]{1,40}=[a-z0-9.,_-]{1,40}", "NAME=VALUE")
COMMIT: Final = (r"[0-9a-f]{7,64}", "a commit")
TIME: Final = (
    r"\d{4}-\d\d-\d\d(?:[T ]\d\d(?::?\d\d){0,2}(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?",
    "a time, such as 2026-12-24T00:00:00",
)
WAIVER: Final = (r"[A-Z][A-Z_]{2,40}(?::[a-z0-9][a-z0-9-]{0,63})?", "CODE or CODE:KEY")


class Option(click.Option):
    """An option that a variable can set, which is called after its flag: ``PAYGIFT_PLAN_JSON`` for ``plan --json``,
    whatever its parameter is called in Python. ``PAYGIFT_NO_COLOR=1`` is ``--no-color``.
    """

    def variable_set(self, ctx: click.Context) -> str:
        """The variable that sets it, or nothing. What is empty once it is stripped sets nothing."""
        names = (_variable(ctx, each) for each in (*self.opts, *self.secondary_opts))
        return next((each for each in names if _held(each)), "")

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:
        """What the variable holds, as click is to convert it."""
        if not self.allow_from_autoenv:
            return None
        name = self.variable_set(ctx)
        value = _held(name)
        if any(name == _variable(ctx, each) for each in self.secondary_opts):
            on = click.BOOL.str_to_bool(value)
            # What is not a switch is left to click, which refuses it.
            return value if on is None else str(not on)
        return value or None


option: Final = partial(click.option, cls=Option)


def _variable(ctx: click.Context, flag: str) -> str:
    """``PAYGIFT_COMMAND_OPTION``; nothing for a short flag."""
    word = flag.removeprefix("--")
    return f"{ctx.auto_envvar_prefix}_{word.replace('-', '_').upper()}" if word != flag else ""


def _held(variable: str) -> str:
    value = os.environ.get(variable, "")
    if not value:
        return ""
    # Start-up time counts for every --help.
    from reconciler.system.environment import stripped  # noqa: PLC0415 - only where a variable is set

    return stripped(value)


def wanted(form: tuple[str, str]) -> Callback:
    """A callback for an option of text: from the environment it must be of that form (pattern, and what it is)."""
    pattern, expected = form

    def check(ctx: click.Context, parameter: click.Parameter, value: Any) -> Any:
        if variable_of(ctx, parameter):
            for each in value if isinstance(value, tuple) else (value,):
                # From a variable only: typed by a person, the functions below say it better, and quote it.
                if each is not None and not re.fullmatch(pattern, each):
                    raise click.BadParameter(f"expected {expected}", ctx, parameter)
        return value

    return check


class FilePath(click.Path):
    """A file or folder that a command reads; with ``output`` one that it writes, and need not be able to read."""

    def __init__(self, *, output: bool = False) -> None:
        super().__init__(path_type=Path, readable=not output)
        self._output = output

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path. One from a variable must be there, and is not quoted."""
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        if ctx is not None and param is not None and variable_of(ctx, param) and not self._is_there(path):
            where = "in a folder that is there" if self._output else "that is there"
            self.fail(f"expected a file or folder {where}", param, ctx)
        return path

    def _is_there(self, path: Path) -> bool:
        try:
            return (path.parent if self._output else path).exists()
        except OSError:
            return False


def variable_of(ctx: click.Context, parameter: click.Parameter) -> str:
    """The environment variable that the value was read from, or nothing if it was not."""
    if ctx.get_parameter_source(parameter.name) is not ParameterSource.ENVIRONMENT:
        return ""
    return parameter.variable_set(ctx) if isinstance(parameter, Option) else ""


def told(error: click.ClickException) -> str:
    """What to print on stderr, one or more lines, each fit for a log."""
    if isinstance(error, click.BadParameter) and error.ctx is not None and error.param is not None:
        variable = variable_of(error.ctx, error.param)
        if variable:
            return f"Error: {variable} does not hold what it should: {_expected(error)}.\n"
    said = io.StringIO()
    error.show(said)
    # click quotes what was typed, which may hold control characters.
    return "\n".join(map(safe, said.getvalue().split("\n")))  # it quotes arguments


def _expected(error: click.BadParameter) -> str:
    """Of our own checks the message; click's quote the value."""
    assert error.param is not None  # noqa: S101 - looked at above
    kind = error.param.type
    # By the beginning, as click gives its own errors no other mark.
    if error.message.startswith("expected "):
        return error.message
    if isinstance(kind, click.Choice):
        return f"expected one of {', '.join(map(str, kind.choices))}"
    if isinstance(kind, click.IntRange | click.FloatRange):
        bounds = [f"at least {kind.min}"] if kind.min is not None else []
        bounds += [f"at most {kind.max}"] if kind.max is not None else []
        return f"expected {' and '.join(['a number', *bounds])}"
    return f"expected {'true or false' if kind is click.BOOL else f'a value of type {kind.name}'}"
