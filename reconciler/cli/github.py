"""The commands that the workflows in .github/workflows/ call: comments, what was reviewed, drift, annotations."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from reconciler import commands
from reconciler.cli.context import Context, input_path, output_path, pass_context, remark, sandbox_option
from reconciler.cli.options import COMMIT, KEY, NUMBER, option, wanted
from reconciler.cli.unexpected import terminable

if TYPE_CHECKING:
    from reconciler.review.github import Written

PathOption = input_path
head_option = option(
    "--head",
    metavar="SHA",
    callback=wanted(COMMIT),
    help="The commit that the plan was made for. Default: the event's.",
)


@click.group()
def github() -> None:
    """Comments, issues and annotations on GitHub, for workflows.

    Reads GITHUB_TOKEN, GITHUB_REPOSITORY and what else GitHub sets for a workflow's steps. See docs/github.md.
    """


@github.command(short_help="Write a plan or a report on its pull request.")
@option("--plan", "plan_file", type=PathOption, help="A plan file: keep the one comment that shows it.")
@option("--report", "report_file", type=PathOption, help="A report as Markdown: add a comment.")
@option("--failed", is_flag=True, help="Say in the plan's comment that there is no plan of the newest commit.")
@option("--outdated", is_flag=True, help="Say in the plan's comment that a new plan is being made.")
@option("--reason", metavar="TEXT", default="", help="With --failed: why, in a sentence.")
@option("--reason-file", type=PathOption, help="With --failed: a file whose last error is the reason.")
@option("--page", metavar="URL", help="With --plan: where the plan is kept as a page.")
@option("--if-exists", is_flag=True, help="With --report: if there is no such file, say so and do nothing.")
@option("--pr", type=click.IntRange(min=1), help="The pull request. Default: that of the event or commit.")
@head_option
@sandbox_option
@pass_context
def comment(
    context: Context,
    plan_file: Path | None,
    report_file: Path | None,
    failed: bool,
    outdated: bool,
    reason: str,
    reason_file: Path | None,
    page: str | None,
    if_exists: bool,
    pr: int | None,
    head: str | None,
) -> None:
    """Write a plan or a report on its pull request, or that there is no plan of its newest commit.

    The comment of a plan is updated in place: one per namespace and account, and only the one that the token's own
    identity wrote. Without a pull request in the event, it is the one that was merged as the commit, planned again.
    Exits 6 if the pull request has moved on.
    """
    if sum((plan_file is not None, report_file is not None, failed, outdated)) != 1:
        raise click.UsageError("Give one of --plan, --report, --failed and --outdated.")
    workspace = context.workspace()
    if report_file is not None:
        if if_exists and not report_file.exists():
            remark(f"There is no {report_file}: no report was made.")
        else:
            _tell_comment(commands.comment_report(workspace, report_file, pull=pr))
    elif plan_file is not None:
        _tell_comment(commands.comment_plan(workspace, plan_file, pull=pr, head=head, page=page or ""))
    else:
        state: Literal["failed", "outdated"] = "failed" if failed else "outdated"
        pull, written = commands.comment_state(
            workspace, state, pull=pr, head=head, reason=reason, reason_file=reason_file
        )
        for each in written:
            _tell_comment(each)
        if not written:
            remark(f"No comment shows a plan of another commit of #{pull}.")


def _tell_comment(written: Written) -> None:
    remark(f"Comment {written.action}: {written.url}" if written.url else "No new comment.")


@github.command("waivers", short_help="Read the waivers of a pull request.")
@option("--pr", type=click.IntRange(min=1), help="The pull request. Default: that of the event or commit.")
@option("--out", type=output_path, required=True, help="Where to write them, for `plan --allow-file`.")
@pass_context
def waivers(context: Context, pr: int | None, out: Path) -> None:
    """Read the waivers of a pull request: labels and lines of its description that say `paygift: allow CODE[:KEY]`.

    They count from people who may write to the repository, and for this pull request only.
    """
    allowed, ignored = commands.read_waivers(context.workspace(), out, pull=pr)
    for sentence in (*(f"{each} is waived." for each in allowed), *ignored):
        remark(sentence)


@github.command("artifact-name", short_help="Print the name under which a plan is kept.")
@option("--plan", "plan_file", type=PathOption, required=True, help="The plan file that is to be kept.")
@head_option
@pass_context
def artifact_name(context: Context, plan_file: Path, head: str | None) -> None:
    """Print `name=…` for GITHUB_OUTPUT: what the artifact with this plan is to be called.

    reviewed-plan looks for it by that name.
    """
    click.echo(f"name={commands.artifact_name(context.workspace(), plan_file, head=head)}")


def merged_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Which merge, and whose plan."""
    for each in (
        sandbox_option,
        option("--require-approval", is_flag=True, help="Exit 6 if nobody has approved the plan."),
        option(
            "--mchid",
            callback=wanted(NUMBER),
            help="The account. Default: PAYGIFT_MCHID, or that of the sandbox.",
        ),
        option("--namespace", callback=wanted(KEY), help="Default: that of paygift.yaml."),
        option(
            "--commit",
            metavar="SHA",
            callback=wanted(COMMIT),
            help="The commit that was merged. Default: GITHUB_SHA.",
        ),
    ):
        command = each(command)
    return command


@github.command("reviewed-digest", short_help="Print the digest that was reviewed before a merge.")
@merged_options
@pass_context
def reviewed_digest(context: Context, /, **options: Any) -> None:
    """Print the digest of the plan that was reviewed before a merge, for `apply --expect`.

    It is taken from the comment on the merged pull request, if nobody but the workflow has edited it. Where
    the pull request was approved, somebody must have approved that plan. Else exits 6 with the reason, and prints
    nothing; also for a commit that is not the tip of the default branch, unless the project is still the same there,
    and for a plan that was applied completely.
    """
    click.echo(commands.reviewed_digest(context.workspace(), commands.Merge(**options)))


@github.command("reviewed-plan", short_help="Fetch the plan file that was reviewed.")
@merged_options
@option("--out", type=output_path, required=True, help="Where to write the plan file.")
@option(
    "--report",
    type=output_path,
    help="If there is no such plan, a report that says why: .md, .html or .json.",
)
@pass_context
def reviewed_plan(context: Context, /, out: Path, report: Path | None, **options: Any) -> None:
    """Fetch the plan file that was reviewed before a merge, for `apply FILE`.

    The plan's workflow keeps it as an artifact. It is taken only if it has the digest that reviewed-digest finds.
    Unlike the digest alone it also lets `apply` go on with what is left after a part was done.

    Prints `found=true`, for GITHUB_OUTPUT; or `found=false`, and exits 0, for a push that was not planned and changed
    nothing of the project.
    """
    with terminable():
        found = commands.reviewed_plan(context.workspace(), commands.Merge(**options), out, report=report)
    click.echo(f"found={'true' if found else 'false'}")


@github.command("drift-issue", short_help="Open, update or close the issue about drift.")
@option("--drift", "drift_file", type=PathOption, required=True, help="What `drift --json` printed.")
@pass_context
def drift_issue(context: Context, drift_file: Path) -> None:
    """Open, update or close the issue about drift: one per namespace and account."""
    written = commands.report_drift(context.workspace(), drift_file)
    remark(f"Issue {written.action}: {written.url}" if written.url else "No drift, and no issue.")


@github.command(short_help="Show mistakes at their lines.")
@option("--problems", "diagnostics_file", type=PathOption, required=True, help="What `validate --json` printed.")
@pass_context
def annotate(context: Context, diagnostics_file: Path) -> None:
    """Print mistakes as workflow commands, so that GitHub shows them at their lines. Needs no token.

    If validate itself failed and left the file empty, there is nothing to show.
    """
    lines = commands.github_annotations(context.workspace(), diagnostics_file)
    if lines is None:
        remark(f"{diagnostics_file} is empty: validate found no mistake.")
    for line in lines or ():
        click.echo(line)
