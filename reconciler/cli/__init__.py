"""The command ``paygift``: options in, text and exit codes out. It decides nothing.

Only click is imported here, so that ``paygift --help`` is quick; commands import what they use.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Final, NoReturn

import click

from reconciler import __version__
from reconciler.cli.context import Context
from reconciler.cli.options import FilePath, option, told
from reconciler.cli.streams import StdoutError, guarded_streams, occupy_closed_descriptors
from reconciler.cli.unexpected import hush, is_debugging, leave, show_traceback, translated
from reconciler.model.characters import safe
from reconciler.model.diagnostics import condensed
from reconciler.model.errors import EXIT_ERROR, EXIT_INTERRUPTED, PaygiftError, ProjectError, UnexpectedError

_COMMANDS: Final[dict[str, tuple[str, str]]] = {
    "validate": ("reconciler.cli.validate", "Check paygift.yaml and all specs; needs no credentials."),
    "plan": ("reconciler.cli.project", "Show what apply would do."),
    "apply": ("reconciler.cli.project", "Make the live account match the specs."),
    "drift": (
        "reconciler.cli.project",
        "Report what on the account differs from the specs; exits 2 if anything.",
    ),
    "show-plan": ("reconciler.cli.plans", "Show a plan file; needs no credentials."),
    "schema": ("reconciler.cli.schema", "Print the JSON Schema of a spec, paygift.yaml, plan or report."),
    "status": ("reconciler.cli.project", "List live activities and how they stand to the specs."),
    "show": ("reconciler.cli.project", "Show one activity: spec, live, merchants, goods."),
    "history": ("reconciler.cli.history", "Show what applies have done; needs no credentials."),
    "unlock": ("reconciler.cli.history", "Take the lock from an apply that is dead."),
    "doctor": ("reconciler.cli.doctor", "Check credentials, clock, network and permissions."),
    "sandbox": ("reconciler.cli.sandbox", "WeChat Pay on this machine, for trying things out."),
    "github": ("reconciler.cli.github", "Comments, issues and annotations on GitHub, for workflows."),
    "demo": ("reconciler.cli.demo", "Run the whole story against the sandbox."),
}
"""Where each command lives, and its line in --help, so that listing commands imports none of them."""


_EXPECTED: Final = (
    PaygiftError,
    StdoutError,
    click.ClickException,
    click.exceptions.Exit,
    click.Abort,
    KeyboardInterrupt,
)
"""What ends a command and is told as what it is."""


class Commands(click.Group):
    """Commands that are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order in which --help shows them."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported now; ``None`` if there is none of this name."""
        if cmd_name not in _COMMANDS:
            return None
        command = getattr(import_module(_COMMANDS[cmd_name][0]), cmd_name.replace("-", "_"))
        assert isinstance(command, click.Command)  # noqa: S101 - the table above names commands only
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command. Raises nothing but what ``_EXPECTED`` names."""
        try:
            return super().invoke(ctx)
        except _EXPECTED:
            raise
        except BaseException as error:
            # Here and not in run(): only click's context knows which command it was.
            raise translated(error, command=f"paygift {ctx.invoked_subcommand or ''}".rstrip()) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """From the table above, so that none of them is imported."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])


@click.group(cls=Commands, context_settings={"auto_envvar_prefix": "PAYGIFT", "help_option_names": ["-h", "--help"]})
@option(
    "-C",
    "--project",
    metavar="FOLDER",
    type=FilePath(),
    help="The folder of paygift.yaml. Default: the nearest one from here upwards.",
)
@option("--sandbox", is_flag=True, help="Use WeChat Pay on this machine instead of the real one.")
@option(
    "--rate",
    type=click.FloatRange(min=0),
    help="At most so many requests per second; 0: no limit. Default: 20, and no limit with --sandbox.",
)
@option("--concurrency", type=click.IntRange(min=1), help="At most so many connections to WeChat Pay. Default: 8.")
@option(
    "--journal-url",
    default="",
    metavar="URL",
    help="A PostgreSQL database for the journal and the lock of a team. Default: the file .paygift/journal.db.",
)
@option(
    "--color/--no-color",
    default=None,
    help="Whether to use colours. Default: as NO_COLOR or FORCE_COLOR say, else only on a terminal.",
)
# People pin versions in PAYGIFT_VERSION, which must not print one and exit.
@click.version_option(__version__, "-V", "--version", prog_name="paygift", allow_from_autoenv=False)
@click.pass_context
def paygift(
    ctx: click.Context,
    project: Path | None,
    sandbox: bool,
    rate: float | None,
    concurrency: int | None,
    journal_url: str,
    color: bool | None,
) -> None:
    """WeChat Pay 支付有礼 (pay-gift) activities as code.

    Exit codes: 0 fine, 1 error, 2 changes pending (with --detailed-exitcode), 3 project invalid, 4 credentials,
    5 refused, 6 stale, 7 partly applied, 130 interrupted.

    A variable named PAYGIFT_COMMAND_OPTION sets an option: PAYGIFT_PLAN_JSON=1 is `plan --json`,
    PAYGIFT_RATE=5 is `--rate 5`.
    """
    ctx.obj = Context(
        project=project,
        sandbox=sandbox,
        colour=color,
        rate=rate,
        concurrency=concurrency,
        journal_url=journal_url,
    )


def main() -> NoReturn:
    """Run the command line and exit with one of the codes of the README."""
    # First of all, before anything opens a file.
    occupy_closed_descriptors()
    hush()
    leave(run())


def run(arguments: Sequence[str] | None = None) -> int:
    """One command, by default that of the process. Returns its exit code; errors are explained on stderr."""
    try:
        with guarded_streams():
            return _run(arguments)
    except KeyboardInterrupt:  # while the end was being told
        return EXIT_INTERRUPTED


def _run(arguments: Sequence[str] | None) -> int:
    try:
        # standalone_mode would exit by click's codes, and 2 means "changes pending" here.
        code = paygift.main(arguments, prog_name="paygift", standalone_mode=False)
        if sys.stdout is not None:
            # Now, while an error can still become an exit code.
            sys.stdout.flush()
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted. Run `paygift plan` to see what is left; nothing is done twice.", err=True)
        return EXIT_INTERRUPTED
    except click.ClickException as error:
        click.echo(told(error), err=True, nl=False)
        return EXIT_ERROR
    except StdoutError as error:
        if not error.reader_left:  # as `head` does, which has all that it wants
            click.echo(f"Error: {error}", err=True)
        return EXIT_ERROR
    except BaseException as error:  # noqa: BLE001 - whatever it is, it ends here, as an exit code
        return _explain(translated(error, command="paygift"), error)
    return code if isinstance(code, int) else 0


def _explain(error: PaygiftError, raised: BaseException) -> int:
    if isinstance(error, UnexpectedError) and is_debugging():
        show_traceback(error.__cause__ or raised)
    if isinstance(error, ProjectError):
        click.echo("\n".join(safe(str(diagnostic)) for diagnostic in condensed(error.diagnostics)), err=True)
        click.echo(_mistake_count(error), err=True)
    else:
        for line in error.details:
            # Details quote the account and the files, where commands for a CI system may stand.
            click.echo(safe(line), err=True)
        click.echo(f"Error: {safe(str(error))}", err=True)
    return error.exit_code


def _mistake_count(error: ProjectError) -> str:
    files = {diagnostic.file for diagnostic in error.diagnostics}
    mistakes = len(error.diagnostics)
    return (
        f"{mistakes} mistake{'s' if mistakes > 1 else ''} in {len(files)} file{'s' if len(files) > 1 else ''}; "
        "nothing was read from or sent to WeChat Pay."
    )
