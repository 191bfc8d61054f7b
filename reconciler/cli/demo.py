"""The command ``demo``: the main job as a story, with the real commands against the sandbox."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Final

import click

from reconciler import commands
from reconciler.cli import run
from reconciler.cli.context import Context, output_path, pass_context
from reconciler.cli.options import option
from reconciler.model.errors import EXIT_PARTIAL, EXIT_PENDING

BEFORE_THE_SEASON: Final = "2026-11-25T10:00:00+08:00"
IN_THE_SEASON: Final = "2026-12-15T10:00:00+08:00"
"""The dates of the examples are fixed, so the sandbox's clock is too."""
NEW_SHOPS: Final = ("1688000001", "1688000002")
REJECTED: Final = "1688000002"


@click.command()
@option("--folder", type=output_path, help="Where to work: a new or empty folder. Default: a new temporary one.")
@pass_context
def demo(context: Context, folder: Path | None) -> None:
    """Run the whole story against the sandbox: validate, plan, apply, change, converge.

    Works on a copy of the example project and leaves it there to play with. Needs neither credentials nor a network.
    """
    root = _copy_examples(folder)
    story = _Story(root, colour=context.colours())

    story.tell("Six campaigns are written down as YAML. Every mistake would be named here, with its line.")
    story.run("validate")
    story.run("sandbox", "clock", BEFORE_THE_SEASON)
    story.tell("What would happen? The live account is read over signed HTTP; it is empty.")
    story.run("--sandbox", "plan", "--detailed-exitcode", expect=EXIT_PENDING)
    story.tell("Do it: each write is checked before and read back after.")
    story.run("--sandbox", "apply", "--yes")
    story.tell("Now live equals the files, so a second plan is empty.")
    story.run("--sandbox", "plan", "--detailed-exitcode")

    story.tell(
        "Three weeks later, campaigns are running. An author adds two new shops to lunch-hour and to the brand, raises "
        "the threshold of members-nuts, and removes winter-tea.yaml."
    )
    story.run("sandbox", "clock", IN_THE_SEASON)
    shops = ", ".join(f'"{mchid}"' for mchid in NEW_SHOPS)
    _edit(root / "paygift.yaml", 'merchants: ["1900000001"]', f'merchants: ["1900000001", {shops}]')
    _edit(
        root / "specs/lunch-hour.yaml",
        "merchant_groups: [east]",
        f"merchant_groups: [east]\n  merchant_id_list: [{shops}]",
    )
    _edit(root / "specs/members-nuts.yaml", "amount_minimum: 5000  ", "amount_minimum: 8000  ")
    (root / "specs/winter-tea.yaml").unlink()
    story.run("--sandbox", "plan", "--detailed-exitcode", expect=EXIT_PENDING)
    story.tell(f"WeChat Pay rejects one of the two merchants, {REJECTED}. All else is done, and nothing is hidden.")
    _reject(root, REJECTED)
    story.run("--sandbox", "apply", "--yes", expect=EXIT_PARTIAL)
    story.run("--sandbox", "status")
    story.tell("The journal shows who did what to lunch-hour, and how it ended.")
    story.run("--sandbox", "history", "--key", "lunch-hour")
    story.tell("A new plan shows exactly what is left.")
    story.run("--sandbox", "plan", "--detailed-exitcode", expect=EXIT_PENDING)
    story.tell("The author takes the rejected merchant out again. Live equals the files.")
    _edit(root / "specs/lunch-hour.yaml", f', "{REJECTED}"', "")
    story.run("--sandbox", "plan", "--detailed-exitcode")
    story.end()


class _Story:
    """Runs real commands in the demo's folder, each under its heading, and stops at a surprise."""

    def __init__(self, root: Path, *, colour: bool) -> None:
        self._root = root
        self._colour = colour
        self._chapter = 0

    def tell(self, text: str) -> None:
        self._chapter += 1
        click.echo(f"\n{click.style(f'{self._chapter}. {text}', bold=True)}", color=self._colour)

    def run(self, *arguments: str, expect: int = 0) -> None:
        click.echo(f"\n{click.style('$ paygift ' + ' '.join(arguments), fg='cyan')}", color=self._colour)
        colour = "--color" if self._colour else "--no-color"
        # One request after another: so the sandbox gives out the same ids each time, and plans have the same digest.
        code = run(["-C", str(self._root), colour, "--concurrency", "1", *arguments])
        # The demo is run in tests: a story that goes on after a surprise would prove nothing.
        if code != expect:
            raise click.ClickException(
                f"That should have exited with {expect}, and exited with {code}. The files are in {self._root}."
            )
        if code:
            click.echo(f"(exit {code}: {_MEANINGS[code]})")

    def end(self) -> None:
        command = "paygift" if shutil.which("paygift") else Path(sys.argv[0]).absolute()
        click.echo(
            f"\nThe campaigns, their sandbox and its memory are in {self._root}. To continue:\n\n"
            f"  cd {self._root}\n"
            f"  {command} --sandbox status\n"
            f"  {command} --sandbox plan\n"
        )


_MEANINGS: Final = {EXIT_PENDING: "changes pending", EXIT_PARTIAL: "partly applied"}


def _copy_examples(folder: Path | None) -> Path:
    target = folder or Path(tempfile.mkdtemp(prefix="paygift-demo-"))
    # It deletes and edits specs further on.
    if folder is not None and folder.exists() and any(folder.iterdir()):
        raise click.UsageError(f"{folder} is not empty. Name a new folder.")
    shutil.copytree(_examples(), target, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".paygift"))
    return target


def _examples() -> Path:
    """The example project: inside an installed package, or beside it in a checkout."""
    package = Path(__file__).parent.parent
    installed = package / "activities"
    return installed if installed.is_dir() else package.parent / "activities"


def _edit(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    # An edit that changes nothing would let the story go on with a wrong plan.
    if old not in text:
        raise click.ClickException(f"The example {file.name} no longer holds {old!r}.")
    file.write_text(text.replace(old, new), encoding="utf-8")


def _reject(root: Path, mchid: str) -> None:
    with commands.local_sandbox(commands.Workspace(root).sandbox_folder()) as local:
        local.control.declare_invalid(mchid)
