"""The commands that the workflows in .github/workflows/ call: comments, what was reviewed, drift, annotations."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from reconciler.cli.context import Context, input_path, output_path, pass_context, sandbox_option
from reconciler.cli.options import COMMIT, KEY, NUMBER, option, wanted
from reconciler.model.characters import safe

if TYPE_CHECKING:
    from reconciler.model.plan import Plan
    from reconciler.review.github import GitHub, Merged, Owner, Reviewed, Written

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
@option(
    "--failed", is_flag=True, help="Say in the plan's comment that there is no plan of the newest commit."
)
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
    from reconciler.commands.reconcile import saved_plan

    if sum((plan_file is not None, report_file is not None, failed, outdated)) != 1:
        raise click.UsageError("Give one of --plan, --report, --failed and --outdated.")
    if report_file is not None:
        _comment_report(report_file, pr, if_exists=if_exists)
        return
    plan = saved_plan(plan_file) if plan_file is not None else None
    with _connected() as connected:
        on = _On(
            pr or _pull_of_run(connected), head or connected.run.head or (connected.run.sha if not pr else "")
        )
        if plan is not None:
            _comment_plan(connected, plan, on, page or "")
        else:
            why = _last_error(reason_file) if reason_file is not None else reason
            _comment_state(context, connected, on, "failed" if failed else "outdated", why)


@dataclass(frozen=True, slots=True)
class _On:
    """A pull request, and its commit that is meant; empty for the newest."""

    pull: int
    head: str


def _comment_plan(connected: GitHub, plan: Plan, on: _On, page: str) -> None:
    from reconciler.review.github import keep_plan_comment

    written = keep_plan_comment(connected, on.pull, plan, render=_render, head=on.head, page=page)
    _tell_comment(written)


def _comment_state(
    context: Context, connected: GitHub, on: _On, state: Literal["failed", "outdated"], reason: str
) -> None:
    from reconciler.review.github import PlanOwner, keep_plan_state

    mchid = context.account_ref().mchid
    if not mchid:
        raise click.UsageError("Set PAYGIFT_MCHID.")
    plans = PlanOwner(mchid, _namespace_if_any(context))
    written = keep_plan_state(connected, on.pull, plans, state, reason=reason, head=on.head)
    for each in written:
        _tell_comment(each)
    if not written:
        click.echo(f"No comment shows a plan of another commit of #{on.pull}.", err=True)


def _comment_report(report_file: Path, pr: int | None, *, if_exists: bool) -> None:
    from reconciler.review.github import keep_report_comment

    if if_exists and not report_file.exists():
        click.echo(safe(f"There is no {report_file}: no report was made."), err=True)
        return
    markdown = _text(report_file)
    with _connected() as connected:
        _tell_comment(keep_report_comment(connected, pr or _pull_of_run(connected), markdown))


def _tell_comment(written: Written) -> None:
    click.echo(
        safe(f"Comment {written.action}: {written.url}" if written.url else "No new comment."), err=True
    )


def _namespace_if_any(context: Context) -> str:
    """That of paygift.yaml, whatever else is wrong; empty where it cannot be read."""
    from reconciler.model.errors import ProjectError
    from reconciler.spec import read_namespace

    try:
        return read_namespace(context.root())
    except ProjectError:
        return ""


def _last_error(file: Path) -> str:
    """What a command said last, from its error on; empty if it said nothing."""
    if not file.exists():
        return ""
    lines = [line.strip() for line in _text(file).splitlines() if line.strip()]
    errors = [index for index, line in enumerate(lines) if line.startswith("Error: ")]
    return " ".join(lines[errors[-1] :] if errors else lines[-1:]).removeprefix("Error: ")


@github.command("waivers", short_help="Read the waivers of a pull request.")
@option("--pr", type=click.IntRange(min=1), help="The pull request. Default: that of the event or commit.")
@option("--out", type=output_path, required=True, help="Where to write them, for `plan --allow-file`.")
def waivers(pr: int | None, out: Path) -> None:
    """Read the waivers of a pull request: labels and lines of its description that say `paygift: allow CODE[:KEY]`.

    They count from people who may write to the repository, and for this pull request only.
    """
    from reconciler.review.github import waivers_of
    from reconciler.system.output_files import Output

    output = Output.checked(out)
    with _connected() as connected:
        found = waivers_of(connected, pr or _pull_of_run(connected))
    output.write("".join(f"{each}\n" for each in found.allow))
    for sentence in (*(f"{each} is waived." for each in found.allow), *found.ignored):
        click.echo(safe(sentence), err=True)


@github.command("artifact-name", short_help="Print the name under which a plan is kept.")
@option("--plan", "plan_file", type=PathOption, required=True, help="The plan file that is to be kept.")
@head_option
def artifact_name(plan_file: Path, head: str | None) -> None:
    """Print `name=…` for GITHUB_OUTPUT: what the artifact with this plan is to be called.

    reviewed-plan looks for it by that name.
    """
    from reconciler.commands.reconcile import saved_plan
    from reconciler.review.github import Owner, WorkflowRun, artifact_name

    plan = saved_plan(plan_file)
    run = WorkflowRun.from_environment(os.environ)
    click.echo(f"name={artifact_name(Owner(plan.namespace, plan.mchid), head or run.head or run.sha)}")


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
    with _connected() as connected:
        click.echo(_reviewed(connected, _merge(context, connected, **options)).digest)


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
    from reconciler.commands.reconcile import save_plan
    from reconciler.review.github import NotReviewedError, kept_plan

    with _connected() as connected:
        try:
            merge = _merge(context, connected, **options)
            with context.attempt(report, plan_file=out) as attempt:
                attempt.namespace, attempt.mchid = merge.owner.namespace, merge.owner.mchid
                reviewed = _reviewed(connected, merge)
                attempt.expected = reviewed.digest
                save_plan(kept_plan(connected, merge.owner, reviewed), out)
        except NotReviewedError as error:
            if not _changes_nothing(context, connected, options["commit"]):
                raise
            click.echo(safe(f"{error.message} It changed nothing of this project."), err=True)
        else:
            click.echo("found=true")
            return
    if report is not None:
        report.unlink(missing_ok=True)
    click.echo("found=false")


@github.command("drift-issue", short_help="Open, update or close the issue about drift.")
@option("--drift", "drift_file", type=PathOption, required=True, help="What `drift --json` printed.")
def drift_issue(drift_file: Path) -> None:
    """Open, update or close the issue about drift: one per namespace and account."""
    from reconciler.review.github import keep_drift_issue, read_drift

    drift = read_drift(_data(drift_file))
    with _connected() as connected:
        written = keep_drift_issue(connected, drift)
    click.echo(
        safe(f"Issue {written.action}: {written.url}") if written.url else "No drift, and no issue.", err=True
    )


@github.command(short_help="Show mistakes at their lines.")
@option("--problems", "problems_file", type=PathOption, required=True, help="What `validate --json` printed.")
@pass_context
def annotate(context: Context, problems_file: Path) -> None:
    """Print mistakes as workflow commands, so that GitHub shows them at their lines. Needs no token.

    If validate itself failed and left the file empty, there is nothing to show.
    """
    from reconciler.review.github import annotate as annotated

    if not _text(problems_file).strip():
        click.echo(safe(f"{problems_file} is empty: validate found no mistake."), err=True)
        return
    for line in annotated(_data(problems_file), folder=_folder(context)):
        click.echo(line)


@dataclass(frozen=True, slots=True)
class _Merge:
    """A merge, whose plan was reviewed for it, and the paths that their project is made of."""

    pull: Merged
    owner: Owner
    paths: tuple[str, ...]
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
    from reconciler.review.github import Owner, pull_of_commit

    account = context.account_ref()
    mchid = account.mchid if mchid is None else mchid
    if not mchid:
        raise click.UsageError("Set PAYGIFT_MCHID to a merchant number of 8 to 15 digits, or give --mchid.")
    commit = commit or connected.run.sha
    reads = _reads(context, commit, account.now, namespace)
    pull = pull_of_commit(connected, commit)
    return _Merge(pull, Owner(reads.namespace, mchid), reads.paths, account.now, require_approval)


@dataclass(frozen=True, slots=True)
class _Reads:
    """A project's namespace, and what it is made of, as paths from the root of the repository."""

    namespace: str
    paths: tuple[str, ...] = ("",)


def _reads(context: Context, commit: str, now: datetime, namespace: str | None) -> _Reads:
    """Everything, where the project is not checked out at ``commit``: what it was made of then is not known."""
    from reconciler.commands.session import load
    from reconciler.model.errors import UsageError
    from reconciler.system.origin import head_of

    try:
        root = context.root()
    except UsageError:
        if namespace is None:
            raise
        return _Reads(namespace)
    project = load(root, now=now)
    known = head_of(root) == commit
    paths = (
        tuple(posixpath.normpath(f"{_folder(context)}/{each}") for each in project.reads) if known else ("",)
    )
    return _Reads(
        namespace or project.namespace,
        tuple("" if each in (".", "/") else each.lstrip("/") for each in paths),
    )


def _changes_nothing(context: Context, connected: GitHub, commit: str | None) -> bool:
    """Whether the push that set this run off left everything of the project as it was."""
    from reconciler.review.github import changed

    run = connected.run
    commit = commit or run.sha
    if not run.before or commit != run.sha:
        return False
    return not changed(
        connected, run.before, commit, _reads(context, commit, context.account_ref().now, None).paths
    )


def _reviewed(connected: GitHub, merge: _Merge) -> Reviewed:
    """Raises StaleError, also for a commit of which the default branch has taken something back."""
    from reconciler.review.github import require_current
    from reconciler.review.github import reviewed_digest as reviewed

    require_current(connected, merge.pull.commit, merge.paths)
    found = reviewed(
        connected, merge.owner, merge.pull, now=merge.now, require_approval=merge.require_approval
    )
    by = f"approved by {', '.join(found.approved_by)}" if found.approved_by else "approved by nobody"
    click.echo(safe(f"Reviewed on pull request #{merge.pull.number}, {by}: {found.digest}"), err=True)
    return found


@contextmanager
def _connected() -> Iterator[GitHub]:
    from reconciler.review.github import GitHub, WorkflowRun

    with GitHub(WorkflowRun.from_environment(os.environ)) as connected:
        yield connected


def _render(plan: Plan, max_chars: int) -> str:
    from reconciler.render.markdown import plan_markdown

    return plan_markdown(plan, max_chars=max_chars)


def _pull_of_run(connected: GitHub) -> int:
    from reconciler.review.github import pull_of_commit

    if not connected.run.pull and not connected.run.sha:
        raise click.UsageError("Neither a pull request nor a commit started this run. Give --pr.")
    return connected.run.pull or pull_of_commit(connected, connected.run.sha).number


def _folder(context: Context) -> str:
    """Where paygift.yaml lies in its repository: GitHub names files from the root of that."""
    from reconciler.system.origin import top_of

    root = context.root().resolve()
    top = top_of(root) or Path(os.environ.get("GITHUB_WORKSPACE") or Path.cwd()).resolve()
    return root.relative_to(top).as_posix() if root.is_relative_to(top) else ""


def _data(file: Path) -> Any:
    from reconciler.system.input_files import read_json

    return read_json(file)


def _text(file: Path) -> str:
    from reconciler.model.errors import UsageError
    from reconciler.system.input_files import read_input

    try:
        return read_input(file).decode()
    except UnicodeDecodeError as error:
        raise UsageError(f"{file} cannot be read: it is not UTF-8 from byte {error.start} on.") from error
