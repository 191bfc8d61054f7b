"""The command ``doctor``: what is wrong with credentials, clock, network or permissions, and what to do."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from reconciler.cli.context import Context, pass_context, sandbox_option
from reconciler.cli.options import option
from reconciler.model.errors import EXIT_CREDENTIALS, EXIT_ERROR

if TYPE_CHECKING:
    from reconciler.doctor.evidence import ProjectAccount


@click.command()
@option("--json", "as_json", is_flag=True, help="JSON on stdout instead of text.")
@sandbox_option
@pass_context
def doctor(context: Context, as_json: bool) -> int:
    """Check credentials, clock, network, a shared journal and permissions; in a project, whose account it is.

    Needs no project and changes nothing: it sends a few reads, and an upload that is made to be refused. Exits 0 if
    everything essential was checked and is fine, 4 if the credentials are not, otherwise 1. See docs/doctor.md.
    """
    from reconciler.cli.interrupts import run
    from reconciler.doctor import examine
    from reconciler.render.json_ import checkup_json, dumps
    from reconciler.render.text import checkup_text
    from reconciler.render.views.checkup import checkup_view

    with _environment(context) as environ:
        checkup = run(examine(environ, project_account=_project_account(context)))
    if as_json:
        click.echo(dumps(checkup_json(checkup)), nl=False)
    else:
        colour = context.colours()
        click.echo(checkup_text(checkup_view(checkup), colour=colour), nl=False, color=colour)
    if checkup.passed:
        return 0
    return EXIT_CREDENTIALS if checkup.credentials_failed else EXIT_ERROR


def _project_account(context: Context) -> ProjectAccount:
    """What the project here says of its account; nothing where there is none, and for the sandbox."""
    from reconciler.model.errors import ProjectError, UsageError
    from reconciler.spec import read_account

    if context.sandbox:
        return None
    try:
        return read_account(context.root())
    except UsageError:  # no project here, and none is needed
        return None
    except ProjectError as error:
        return error


@contextmanager
def _environment(context: Context) -> Iterator[Mapping[str, str]]:
    """The process's, or one that describes the sandbox."""
    if not context.sandbox:
        yield {**os.environ, "PAYGIFT_JOURNAL_URL": context.journal_url}
        return
    from reconciler.commands.session import sandbox

    with sandbox(context.sandbox_folder()) as local:
        control = local.control
        public_key = {
            "PAYGIFT_PUBLIC_KEY_ID": control.public_key_id,
            "PAYGIFT_PUBLIC_KEY": control.public_key_pem,
        }
        yield {
            "PAYGIFT_BASE_URL": control.base_url,
            "PAYGIFT_MCHID": control.mchid,
            "PAYGIFT_SERIAL_NO": control.serial_no,
            "PAYGIFT_PRIVATE_KEY_FILE": str(control.private_key_file),
            "PAYGIFT_CERTIFICATE": control.keys.merchant_certificate_pem,
            "PAYGIFT_APIV3_KEY": control.apiv3_key,
            **({} if control.has_certificates else public_key),
        }
