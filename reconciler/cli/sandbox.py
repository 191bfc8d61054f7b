"""The commands for the sandbox: serve, clock, seed, reset, log."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reconciler.cli.context import Context, pass_context

if TYPE_CHECKING:
    from reconciler.reconcile import LocalRemote


@click.group()
def sandbox() -> None:
    """WeChat Pay on this machine, for trying things out.

    It lives in .paygift/sandbox/ beside paygift.yaml, and remembers everything until it is reset. See docs/sandbox.md.
    """


@sandbox.command()
@click.option("--port", default=8750, show_default=True, help="The port on 127.0.0.1; 0 takes a free one.")
@pass_context
def serve(context: Context, port: int) -> None:
    """Serve it until Ctrl-C, for curl, other clients and other terminals."""
    from reconciler.sandbox.server import RunningSandbox
    from reconciler.sandbox.server import serve as run

    def announce(running: RunningSandbox) -> None:
        click.echo(
            f"WeChat Pay sandbox on {running.base_url}, until Ctrl-C. `paygift --sandbox` uses it by itself;\n"
            "for other clients:\n\n"
            f"  export PAYGIFT_BASE_URL={running.base_url}\n"
            f"  export PAYGIFT_MCHID={running.mchid}\n"
            f"  export PAYGIFT_SERIAL_NO={running.serial_no}\n"
            f"  export PAYGIFT_PRIVATE_KEY_FILE={running.private_key_file}\n"
            f"  export PAYGIFT_APIV3_KEY={running.apiv3_key}\n"
        )

    folder = context.sandbox_folder()
    run(folder, port=port, ready=announce)


@sandbox.command(context_settings={"ignore_unknown_options": True})
@click.argument("to", metavar="[+3d|-2h|TIME|real]", required=False)
@pass_context
def clock(context: Context, to: str | None) -> None:
    """Show its clock, or set it: +3d, -2h, +90m, a time with an offset, or `real`."""
    from reconciler.render.values import beijing

    with _local(context) as local:
        if to is not None:
            local.control.set_clock(to)
        click.echo(f"{beijing(local.control.now().replace(microsecond=0))} Beijing time")


@sandbox.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=False)
@pass_context
def seed(context: Context, file: Path | None) -> None:
    """Put in coupon stocks: those of FILE, or all that the project's specs name.

    FILE is a JSON list of create-stock bodies, each with its stock_id.
    """
    from reconciler import reconcile

    with _local(context) as local:
        if file is not None:
            new = local.control.seed(reconcile.read_stocks(file))
        else:
            new = reconcile.seed(local, reconcile.load(context.root(), now=local.clock()))
        click.echo(f"{new} new coupon stock{'' if new == 1 else 's'}.")


@sandbox.command()
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@pass_context
def reset(context: Context, yes: bool) -> None:
    """Forget everything: activities, stocks, images, clock, log. The keys stay."""
    if not yes:
        click.confirm("Forget everything that this sandbox remembers?", abort=True, err=True)
    from reconciler import reconcile

    with _local(context) as local:
        reconcile.reset(local, context.sandbox_folder())
    click.echo("The sandbox is empty.")


@sandbox.command()
@click.option(
    "-n", "--limit", type=int, default=50, show_default=True, help="How many of the newest requests."
)
@click.option("--json", "as_json", is_flag=True, help="JSON on stdout instead of text.")
@pass_context
def log(context: Context, limit: int, as_json: bool) -> None:
    """Show the requests that it was sent, oldest first, and what it thought of their signatures."""
    from reconciler.render.json_ import dumps
    from reconciler.render.text import table

    with _local(context) as local:
        lines = local.control.log(limit)
    if as_json:
        click.echo(dumps(lines), nl=False)
        return
    head = ("N", "AT", "METHOD", "TARGET", "STATUS", "CODE", "REQUEST-ID", "SIGNATURE")
    names = ("n", "at", "method", "target", "status", "code", "request_id", "verdict")
    click.echo(table(head, [[str(line[name] or "-") for name in names] for line in lines]))


@contextmanager
def _local(context: Context) -> Iterator[LocalRemote]:
    from reconciler.reconcile import sandbox as run

    with run(context.sandbox_folder()) as local:
        yield local
