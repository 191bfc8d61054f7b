"""The command for plan files: show-plan."""

from __future__ import annotations

from pathlib import Path

import click

from reconciler import commands
from reconciler.cli.context import Context, fail_option, pass_context, undo_option
from reconciler.cli.options import option
from reconciler.model.errors import EXIT_REFUSED

FORMATS = ("text", "json", "markdown", "html")


@click.command("show-plan")
@click.argument("file", type=click.Path(path_type=Path))
@option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    default="text",
    show_default=True,
    help="Markdown is for comments and job summaries, HTML a page of its own.",
)
@undo_option
@option(
    "--max-chars",
    type=click.IntRange(min=2_000),
    default=65_536,
    show_default=True,
    help="The most characters that Markdown may have.",
)
@fail_option
@pass_context
def show_plan(context: Context, file: Path, form: str, max_chars: int, undo: bool, fail_on_refusals: bool) -> int:
    """Show a plan file, made with `plan --out`; needs no credentials.

    A file that was changed after it was made is refused.
    """
    # Here, so that --help waits for no renderer.
    from reconciler.cli import printing  # noqa: PLC0415
    from reconciler.render.html import plan_html  # noqa: PLC0415
    from reconciler.render.markdown import plan_markdown  # noqa: PLC0415

    # No project and no credentials: the page is made where only the artifact is.
    plan = commands.show_plan(file)
    if form == "json":
        click.echo(printing.plan_as_json(plan), nl=False)
    elif form == "markdown":
        click.echo(plan_markdown(plan, max_chars=max_chars), nl=False)
    elif form == "html":
        click.echo(plan_html(plan), nl=False)
    else:
        colour = context.colours()
        click.echo(printing.plan_text(plan, colour=colour, notes=True, undo=undo), nl=False, color=colour)
    # Without the flag 0: a workflow shows the plan before it decides.
    return EXIT_REFUSED if fail_on_refusals and plan.refusals else 0
