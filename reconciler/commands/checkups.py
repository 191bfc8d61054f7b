"""Is everything in place: credentials, clock, network, permissions, and whose account the project is for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from reconciler.commands.workspace import Workspace
from reconciler.doctor import examine
from reconciler.doctor.evidence import ProjectAccount
from reconciler.model.checkup import Checkup
from reconciler.model.errors import ProjectError, UsageError
from reconciler.spec import read_account


def doctor(workspace: Workspace) -> Checkup:
    """Check all that the ``PAYGIFT_…`` variables lead to; in a project, also whose account it is.

    Needs no project and changes nothing: it sends a few reads, and an upload that is made to be refused. Takes 15 s at
    most. What is wrong is a check that failed, not an error. Raises SandboxError, UsageError for a folder without
    project (exit code 1).
    """
    run = workspace.callbacks.run or asyncio.run
    with _environment(workspace) as environ:
        return run(examine(environ, project_account=_project_account(workspace)))


def _project_account(workspace: Workspace) -> ProjectAccount:
    """What the project here says of its account; nothing where there is none, and for the sandbox."""
    if workspace.sandbox:
        return None
    try:
        return read_account(workspace.root())
    except UsageError:  # no project here, and none is needed
        return None
    except ProjectError as error:
        return error


@contextmanager
def _environment(workspace: Workspace) -> Iterator[Mapping[str, str]]:
    """The caller's, or one that describes the sandbox."""
    if not workspace.sandbox:
        yield {**workspace.environ, "PAYGIFT_JOURNAL_URL": workspace.journal_url}
        return
    # Starlette and uvicorn, for which the real account has no use.
    from reconciler.commands.sandboxes import local_sandbox  # noqa: PLC0415

    with local_sandbox(workspace.sandbox_folder()) as local:
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
