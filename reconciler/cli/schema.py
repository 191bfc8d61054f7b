"""The command ``schema``: JSON Schemas for editors and programs."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from reconciler import commands
from reconciler.cli.context import output_path
from reconciler.cli.options import option
from reconciler.render.json_ import dumps
from reconciler.system.output_files import write

KINDS: Final = ("spec", "project", "plan", "report")


@click.command()
@option(
    "--kind",
    type=click.Choice(KINDS),
    default=KINDS[0],
    show_default=True,
    help="A spec or paygift.yaml for editors; a plan or a report, as --json writes them, for programs.",
)
@option("--out", type=output_path, help="Write it to a file instead of stdout.")
def schema(kind: str, out: Path | None) -> None:
    """Print the JSON Schema (draft 2020-12) of what you write or read.

    A spec that begins with `# yaml-language-server: $schema=FILE` is completed and checked while it is written.
    """
    text = dumps(commands.schema(kind))
    if out is None:
        click.echo(text, nl=False)
    else:
        write(text, out)
