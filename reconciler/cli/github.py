"""The commands that the workflows in .github/workflows/ call: comments, what was reviewed, drift, annotations."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reconciler.characters import safe
from reconciler.cli.context import Context, input_path, output_path, pass_context, sandbox_option
from reconciler.cli.options import COMMIT, KEY, NUMBER, wanted

if TYPE_CHECKING:
    from reconciler.change import Plan
    from reconciler.github import GitHub, Merged, Owner

PathOption = input_path


@click.group()
def github() -> None:
    """Comments, issues and annotations on GitHub, for workflows.

    Reads GITHUB_TOKEN, GITHUB_REPOSITORY and what else GitHub sets for a workflow's steps. See docs/github.md.
    """


@github.command()
@click.option("--plan", "plan_file", type=PathOption, help="A plan file: keep the one comment that shows it.")
@click.option("--report", "report_file", type=PathOption, help="A report as Markdown: add a comment.")
@click.option(
    "--if-exists", is_flag=True, help="Without the report's file, say so and do nothing: there is no news."
)
@click.option(
    "--pr", type=click.IntRange(min=1), help="The pull request. Default: that of the event or commit."
)
@click.option(
    "--head",
    metavar="SHA",
    callback=wanted(COMMIT),
    help="The commit that the plan was made for. Default: the event's.",
)
def comment(
    plan_file: Path | None, report_file: Path | None, if_exists: bool, pr: int | None, head: str | None
) -> None:
    """Write a plan or a report on its pull request.

    The comment of a plan is updated in place: one per namespace and account, and only the one that the token's own
    identity wrote. Exits 6 if the pull request has moved on.
    """
    from reconciler.github import keep_plan_comment, keep_report_comment
    from reconciler.reconcile import saved_plan

    if (plan_file is None) == (report_file is None):
        raise click.UsageError("Give --plan or --report.")
    if plan_file is not None:
        plan = saved_plan(plan_file)
        with _connected() as connected:
            written = keep_plan_comment(
                connected,
                pr or _pull_of_event(connected),
                plan,
                render=_render,
                head=head or connected.run.head,
            )
    else:
        assert report_file is not None  # noqa: S101 - one of the two is given
        if if_exists and not report_file.exists():
            click.echo(safe(f"There is no {report_file}: no report was made."), err=True)
            return
        markdown = _text(report_file)
        with _connected() as connected:
            written = keep_report_comment(connected, pr or _pull_of_run(connected), markdown)
    click.echo(safe(f"Comment {written.action}: {written.url}"), err=True)


def merged_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Which merge, and whose plan."""
    for option in (
        sandbox_option,
        click.option("--require-approval", is_flag=True, help="Exit 6 if nobody has approved the plan."),
        click.option(
            "--mchid",
            callback=wanted(NUMBER),
            help="The account. Default: PAYGIFT_MCHID, or that of the sandbox.",
        ),
        click.option("--namespace", callback=wanted(KEY), help="Default: that of paygift.yaml."),
        click.option(
            "--commit",
            metavar="SHA",
            callback=wanted(COMMIT),
            help="The commit that a merge ended in. Default: GITHUB_SHA.",
        ),
    ):
        command = option(command)
    return command


@github.command("reviewed-digest")
@merged_options
@pass_context
def reviewed_digest(context: Context, /, **options: Any) -> None:
    """Print the digest of the plan that was reviewed before a merge, for `apply --expect`.

    It is taken from the comment on the merged pull request, if nobody but the workflow has had its hands on it. Where
    the pull request was approved, somebody must have approved that plan. Else exits 6 with the reason, and prints
    nothing.
    """
    with _connected() as connected:
        click.echo(_digest(connected, _merge(context, connected, **options)))


@github.command("reviewed-plan")
@merged_options
@click.option("--out", type=output_path, required=True, help="Where to write the plan file.")
@click.option(
    "--report",
    type=output_path,
    help="If there is no such plan, a report that says why: .md, .html or .json.",
)
@pass_context
def reviewed_plan(context: Context, /, out: Path, report: Path | None, **options: Any) -> None:
    """Fetch the plan file that was reviewed before a merge, for `apply FILE`.

    The plan's workflow keeps it as an artefact. It is taken only if it has the digest that reviewed-digest finds.
    Unlike the digest alone it also lets `apply` go on with what is left after a part was done.
    """
    from reconciler.github import kept_plan
    from reconciler.reconcile import save_plan

    with _connected() as connected:
        merge = _merge(context, connected, **options)
        with context.attempt(report, plan_file=out) as attempt:
            attempt.namespace, attempt.mchid = merge.owner.namespace, merge.owner.mchid
            attempt.expected = _digest(connected, merge)
            save_plan(kept_plan(connected, merge.pull, attempt.expected), out)


@github.command("drift-issue")
@click.option("--drift", "drift_file", type=PathOption, required=True, help="What `drift --json` printed.")
def drift_issue(drift_file: Path) -> None:
    """Open, update or close the issue that tells of drift: one per namespace and account."""
    from reconciler.github import keep_drift_issue, read_drift

    drift = read_drift(_data(drift_file))
    with _connected() as connected:
        written = keep_drift_issue(connected, drift)
    click.echo(
        safe(f"Issue {written.action}: {written.url}") if written.url else "No drift, and no issue.", err=True
    )


@github.command()
@click.option(
    "--problems", "problems_file", type=PathOption, required=True, help="What `validate --json` printed."
)
@pass_context
def annotate(context: Context, problems_file: Path) -> None:
    """Print problems as workflow commands, so that GitHub shows them at their lines. Needs no token.

    Nothing is there to be shown if validate itself failed and left the file empty.
    """
    from reconciler.github import annotate as annotated

    if not _text(problems_file).strip():
        click.echo(safe(f"{problems_file} is empty: validate found no problem of a spec."), err=True)
        return
    for line in annotated(_data(problems_file), folder=_folder(context)):
        click.echo(line)


@dataclass(frozen=True, slots=True)
class _Merge:
    """A merge, and whose plan was reviewed for it."""

    pull: Merged
    owner: Owner
    now: datetime
    require_approval: bool


def _merge(
    context: Context,
    connected: GitHub,
    *,
    commit: str | None,
    namespace: str | None,
    mchid: str | None,
    require_approval: bool,
) -> _Merge:
    from reconciler.github import Owner, pull_of_commit
    from reconciler.session import load

    whose = context.whose()
    mchid = whose.mchid if mchid is None else mchid
    if not mchid:
        raise click.UsageError("Set PAYGIFT_MCHID to a merchant number of 8 to 15 digits, or give --mchid.")
    owner = Owner(namespace or load(context.root(), now=whose.now).namespace, mchid)
    pull = pull_of_commit(connected, commit or connected.run.sha)
    return _Merge(pull, owner, whose.now, require_approval)


def _digest(connected: GitHub, merge: _Merge) -> str:
    from reconciler.github import reviewed_digest as reviewed

    found = reviewed(
        connected, merge.owner, merge.pull, now=merge.now, require_approval=merge.require_approval
    )
    by = f"approved by {', '.join(found.approved_by)}" if found.approved_by else "approved by nobody"
    click.echo(safe(f"Reviewed on pull request #{merge.pull.number}, {by}: {found.digest}"), err=True)
    return found.digest


@contextmanager
def _connected() -> Iterator[GitHub]:
    from reconciler.github import GitHub, Run

    with GitHub(Run.from_environment(os.environ)) as connected:
        yield connected


def _render(plan: Plan, max_chars: int) -> str:
    from reconciler.render.markdown import plan_markdown

    return plan_markdown(plan, max_chars=max_chars)


def _pull_of_event(connected: GitHub) -> int:
    if connected.run.pull is None:
        raise click.UsageError("No pull request set this run off. Give --pr.")
    return connected.run.pull


def _pull_of_run(connected: GitHub) -> int:
    from reconciler.github import pull_of_commit

    return connected.run.pull or pull_of_commit(connected, connected.run.sha).number


def _folder(context: Context) -> str:
    """Where paygift.yaml lies in the repository: annotations name files from its root."""
    root = context.root()
    workspace = Path(os.environ.get("GITHUB_WORKSPACE") or Path.cwd()).resolve()
    resolved = root.resolve()
    return resolved.relative_to(workspace).as_posix() if resolved.is_relative_to(workspace) else ""


def _data(file: Path) -> Any:
    from reconciler.errors import UsageError

    try:
        return json.loads(_text(file))
    except ValueError as error:
        raise UsageError(f"{file} is no JSON: {error}.") from error


def _text(file: Path) -> str:
    from reconciler.errors import UsageError

    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} cannot be read: {error}.") from error
