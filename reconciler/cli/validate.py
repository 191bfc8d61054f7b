"""The command validate. It imports neither a plan nor a renderer, so that an editor may call it at every save."""

from __future__ import annotations

import click

from reconciler import commands
from reconciler.cli.context import Context, json_option, pass_context, remark, sandbox_option
from reconciler.model.diagnostics import Diagnostic, condensed
from reconciler.model.errors import EXIT_INVALID, ProjectError


@click.command()
@json_option
@sandbox_option
@pass_context
def validate(context: Context, as_json: bool) -> int:
    """Check paygift.yaml and all specs; needs no credentials.

    Prints every mistake as file:line:column and exits 3, or says how many specs are fine.
    """
    try:
        found = commands.validate(context.workspace())
    except ProjectError as error:
        if not as_json:
            raise
        # On stdout as well: `github annotate` reads it, whatever the exit code.
        _print_json(error.diagnostics, specs=0, notes=())
        return EXIT_INVALID
    if as_json:
        _print_json((), specs=found.specs, notes=found.notes)
        return 0
    for note in condensed(found.notes):
        remark(f"note: {note}")
    click.echo(f"{found.specs} spec{'' if found.specs == 1 else 's'} fine.")
    if found.specs == 0:
        remark("No specs were found. Look at `activities:` in paygift.yaml, and at the checkout.")
    return 0


def _print_json(diagnostics: tuple[Diagnostic, ...], *, specs: int, notes: tuple[Diagnostic, ...]) -> None:
    from reconciler.render.json_ import diagnostics_json, dumps  # noqa: PLC0415 - the planner, for --json only

    click.echo(dumps(diagnostics_json(diagnostics, specs=specs, notes=notes)), nl=False)
