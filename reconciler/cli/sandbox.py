"""The commands for the sandbox: serve, clock, seed, insert, pause, resume, reject, fault, log, reset."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reconciler import commands
from reconciler.cli.context import Context, json_option, pass_context
from reconciler.cli.options import FRACTION, NUMBER, SETTING, WORD, option, wanted
from reconciler.model.characters import safe
from reconciler.model.errors import UsageError
from reconciler.render.json_ import dumps
from reconciler.render.text import table
from reconciler.render.values import beijing
from reconciler.sandbox.faults import KINDS, parse
from reconciler.sandbox.options import SandboxOptions

if TYPE_CHECKING:
    from reconciler.commands import LocalRemote
    from reconciler.sandbox.server import RunningSandbox


Rows = Sequence[tuple[str, str]]


class _Explained(click.Command):
    """A command whose help ends with a list, which is made only when it is asked for."""

    def __init__(self, *args: Any, title: str, rows: Callable[[], Rows], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._title = title
        self._rows = rows

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section(self._title):
            formatter.write_dl(self._rows())


class _TakesOffsets(click.Command):
    """A command whose argument may begin with a minus, such as ``-2h``: click would take that for -2 and -h."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        offsets = [each for each in args if re.match("-[0-9]", each)]
        # Whoever writes -- has said it already.
        if offsets and "--" not in args:
            args = [*(each for each in args if each not in offsets), "--", *offsets]
        return super().parse_args(ctx, args)


def _options() -> Rows:
    return [(f"{name}={default}", allowed) for name, allowed, default in SandboxOptions.describe()]


def _kinds() -> Rows:
    rows = []
    for name, kind in KINDS.items():
        parameters = "".join(
            f" {each}={'…' if parameter.default is None else _shown(parameter.default)}: {parameter.allowed}."
            for each, parameter in kind.parameters.items()
        )
        only = f" Only {' and '.join(kind.routes)}." if kind.routes else ""
        rows.append((name, f"{kind.description}.{only}{parameters}"))
    return rows


@click.group()
def sandbox() -> None:
    """WeChat Pay on this machine, for trying things out.

    It lives in .paygift/sandbox/ beside paygift.yaml, and remembers everything until it is reset. See docs/sandbox.md.
    """


@sandbox.command(
    short_help="Serve it until Ctrl-C, for other clients.",
    cls=_Explained,
    title="Options and their defaults (docs/sandbox.md)",
    rows=_options,
)
@option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8750,
    show_default=True,
    help="The port on 127.0.0.1; 0 takes a free one.",
)
@option(
    "--option",
    "options",
    multiple=True,
    callback=wanted(SETTING),
    metavar="NAME=VALUE",
    help="How it behaves; see below.",
)
@pass_context
def serve(context: Context, port: int, options: tuple[str, ...]) -> None:
    """Serve it until Ctrl-C, for other clients and other terminals."""

    def announce(running: RunningSandbox) -> None:
        click.echo(
            f"WeChat Pay sandbox on {running.base_url}, until Ctrl-C. `paygift --sandbox` uses it by itself;\n"
            "for other clients:\n\n"
            f"  export PAYGIFT_BASE_URL={running.base_url}\n"
            f"  export PAYGIFT_MCHID={running.mchid}\n"
            f"  export PAYGIFT_SERIAL_NO={running.serial_no}\n"
            f"  export PAYGIFT_PRIVATE_KEY_FILE={running.private_key_file}\n"
            f"  export PAYGIFT_APIV3_KEY={running.apiv3_key}\n\n"
            "and, for answers signed with the WeChat Pay public key instead of the certificate:\n\n"
            f"  export PAYGIFT_PUBLIC_KEY_ID={running.public_key_id}\n"
            f"  export PAYGIFT_PUBLIC_KEY_FILE={running.public_key_file}\n"
        )

    commands.serve_sandbox(context.workspace().sandbox_folder(), port=port, options=options, ready=announce)


@sandbox.command(short_help="Show its clock, or set it.", cls=_TakesOffsets)
@click.argument("to", metavar="[+3d|-2h|TIME|real]", required=False)
@pass_context
def clock(context: Context, to: str | None) -> None:
    """Show its clock, or set it: +3d, -2h, a time or date, or `real`.

    An offset is a whole number of s, m, h, d or w. A time without an offset from UTC is Beijing's.
    """
    with _local(context) as local:
        if to is not None:
            local.control.set_clock(to)
        click.echo(f"{beijing(local.control.now().replace(microsecond=0))} Beijing time")


@sandbox.command(short_help="Add coupon stocks.")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=False)
@pass_context
def seed(context: Context, file: Path | None) -> None:
    """Add coupon stocks, of a file or as the specs name them.

    FILE is a JSON list of create-stock bodies, each with its stock_id. Without it, the project's sandbox-stocks.json is
    read, and what the specs name beyond it is made up.
    """
    with _local(context) as local:
        if file is not None:
            new = commands.seed_from_file(local, file)
        else:
            new = commands.seed_from_project(local, context.workspace().root())
        click.echo(f"{new} new coupon stock{'' if new == 1 else 's'}.")


@sandbox.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@pass_context
def insert(context: Context, file: Path) -> None:
    """Insert an activity that was made elsewhere, or change one.

    FILE is JSON, or - for stdin: an activity as the list of WeChat Pay shows it, or what `paygift show KEY --json`
    prints. An activity_id that the sandbox knows takes that activity's place; without one it gets a new one. Nothing in
    it is checked, so that it can be what nobody expects.
    """
    folder = context.workspace().sandbox_folder()
    for activity_id in commands.insert_from_file(folder, Path("/dev/stdin") if file == Path("-") else file):
        click.echo(f"{safe(activity_id)} is put in.")


@sandbox.command()
@option("-y", "--yes", is_flag=True, help="Do not ask.")
@pass_context
def reset(context: Context, yes: bool) -> None:
    """Forget everything: activities, stocks, images, clock, log. The keys stay."""
    if not yes:
        # A script that resets by accident would lose the state that it is testing.
        if not sys.stdin.isatty():
            raise click.UsageError("There is no terminal to ask on. Give --yes to reset without asking.")
        click.confirm("Forget everything that this sandbox remembers?", abort=True, err=True)
    with _local(context) as local:
        commands.reset_sandbox(local)
    click.echo("The sandbox is empty.")


@sandbox.command()
@click.argument("activity_id")
@pass_context
def pause(context: Context, activity_id: str) -> None:
    """Pause an activity, as somebody can on the merchant platform."""
    with _local(context) as local:
        local.control.pause(activity_id)
    click.echo(f"{activity_id} is paused.")


@sandbox.command()
@click.argument("activity_id")
@pass_context
def resume(context: Context, activity_id: str) -> None:
    """Resume a paused activity."""
    with _local(context) as local:
        local.control.resume(activity_id)
    click.echo(f"{activity_id} continues.")


@sandbox.command()
@click.argument("mchid")
@option("--again", is_flag=True, help="Take it back: the merchant is valid again.")
@pass_context
def reject(context: Context, mchid: str, again: bool) -> None:
    """From now on, refuse to add a merchant to activities."""
    with _local(context) as local:
        if again:
            local.control.declare_valid(mchid)
        else:
            local.control.declare_invalid(mchid)
    click.echo(f"{mchid} is {'valid again' if again else 'rejected from now on'}.")


@sandbox.command(short_help="Show the requests that it was sent.")
@option(
    "-n",
    "--limit",
    type=click.IntRange(min=0),
    default=50,
    show_default=True,
    help="How many of the newest requests.",
)
@json_option
@pass_context
def log(context: Context, limit: int, as_json: bool) -> None:
    """Show the requests that it was sent, oldest first.

    SIGNATURE is ok, or what is wrong with it. What may have gone wrong, and what should have been signed, stands below
    the table.
    """
    with _local(context) as local:
        lines = local.control.log(limit)
    if as_json:
        click.echo(dumps(lines), nl=False)
        return
    head = ("N", "AT", "METHOD", "TARGET", "STATUS", "CODE", "REQUEST-ID", "FAULT", "SIGNATURE")
    names = ("n", "at", "method", "target", "status", "code", "request_id", "fault", "verdict")
    click.echo(table(head, [[str(line.get(name) or "-") for name in names] for line in lines]))
    for line in lines:
        if line.get("near_miss"):
            click.echo(f"\n{line['n']}: {safe(line['verdict'])}: {safe(line['near_miss'])}")
        if line.get("expected"):
            click.echo(f"   expected: {safe(json.dumps(line['expected'], ensure_ascii=False))}")


@sandbox.group(short_help="Make it fail on command.")
def fault() -> None:
    """Make it fail on command: a fault strikes the next requests that match it, and is remembered until then."""


@fault.command(
    "add",
    short_help="Add a fault.",
    cls=_Explained,
    title="Kinds, and their parameters with defaults",
    rows=_kinds,
)
@click.argument("kind")
@click.argument("parameters", metavar="[NAME=VALUE]...", nargs=-1)
@option("--route", default="any", callback=wanted(WORD), show_default=True, help="Only requests to this endpoint.")
@option(
    "--count",
    default="1",
    callback=wanted(NUMBER),
    show_default=True,
    help="How often it strikes; 0 for no limit.",
)
@option("--skip", default="0", callback=wanted(NUMBER), show_default=True, help="How many requests pass first.")
@option(
    "--probability",
    default="1",
    callback=wanted(FRACTION),
    show_default=True,
    help="How likely it strikes: 0 to 1.",
)
@pass_context
def add_fault(context: Context, /, kind: str, parameters: tuple[str, ...], **common: str) -> None:
    """Add a fault, such as `error_after --count 2 status=503`."""
    spec: dict[str, str] = {"kind": kind, **common}
    for text in parameters:
        name, equals, value = text.partition("=")
        if not equals or name in spec:
            raise UsageError(f"{text!r} is not a parameter of a fault.", remedy="Write NAME=VALUE, each name once.")
        spec[name] = value
    try:
        parse(spec)
    except ValueError as error:
        raise UsageError(f"{error}.") from error
    with _local(context) as local:
        number = local.control.add_fault(spec)
    click.echo(f"Fault {number} waits.")


@fault.command("list")
@json_option
@pass_context
def list_faults(context: Context, as_json: bool) -> None:
    """Show all faults, and how often each has struck."""
    with _local(context) as local:
        faults = local.control.faults()
    if as_json:
        click.echo(dumps(faults), nl=False)
        return
    names = ("n", "kind", "route", "count", "skip", "probability", "seen", "struck")
    rows = []
    for each in faults:
        parameters = " ".join(f"{name}={_shown(value)}" for name, value in each.items() if name not in names)
        rows.append([*(str(each[name]) for name in names), parameters or "-"])
    click.echo(table((*(name.upper() for name in names), "PARAMETERS"), rows))


@fault.command("clear")
@pass_context
def clear_faults(context: Context) -> None:
    """Clear all faults and their effects."""
    with _local(context) as local:
        number = local.control.clear_faults()
    click.echo(f"{number} fault{'' if number == 1 else 's'} cleared.")


def _shown(value: Any) -> str:
    """A parameter as it would be typed."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ",".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _local(context: Context) -> AbstractContextManager[LocalRemote]:
    return commands.local_sandbox(context.workspace().sandbox_folder())
