"""The command ``doctor``: what is wrong with credentials, clock, network or permissions, and what to do."""

from __future__ import annotations

import click

from reconciler import commands
from reconciler.cli.context import Context, json_option, pass_context, sandbox_option
from reconciler.model.errors import EXIT_CREDENTIALS, EXIT_ERROR


@click.command()
@json_option
@sandbox_option
@pass_context
def doctor(context: Context, as_json: bool) -> int:
    """Check credentials, clock, network, a shared journal and permissions; in a project, whose account it is.

    Needs no project and changes nothing: it sends a few reads, and an upload that is made to be refused. Exits 0 if
    everything essential was checked and is fine, 4 if the credentials are not, otherwise 1. See docs/doctor.md.
    """
    # Here, so that --help waits for no renderer.
    from reconciler.render.json_ import checkup_json, dumps  # noqa: PLC0415
    from reconciler.render.text import checkup_text  # noqa: PLC0415
    from reconciler.render.views.checkup import checkup_view  # noqa: PLC0415

    checkup = commands.doctor(context.workspace())
    if as_json:
        click.echo(dumps(checkup_json(checkup)), nl=False)
    else:
        colour = context.colours()
        click.echo(checkup_text(checkup_view(checkup), colour=colour), nl=False, color=colour)
    if checkup.passed:
        return 0
    # 4 before 1: scripts tell by it whether to fetch new credentials.
    return EXIT_CREDENTIALS if checkup.credentials_failed else EXIT_ERROR
