"""What workflows ask of GitHub: comments on a pull request, its waivers, the plan that was reviewed, the drift issue.

Every function raises GitHubError where GitHub cannot be reached or does not do what it is asked (exit code 1), and
UsageError for what it is called with (1).
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from reconciler.commands.accounts import account_ref
from reconciler.commands.plan_files import save_plan, show_plan
from reconciler.commands.reporting import reported
from reconciler.commands.workspace import Workspace
from reconciler.model.errors import ProjectError, UsageError
from reconciler.model.plan import Plan
from reconciler.render.markdown import plan_markdown
from reconciler.review.github import (
    GitHub,
    Merged,
    NotReviewedError,
    Owner,
    PlanOwner,
    Reviewed,
    WorkflowRun,
    Written,
    annotate,
    changed,
    keep_drift_issue,
    keep_plan_comment,
    keep_plan_state,
    keep_report_comment,
    kept_plan,
    pull_of_commit,
    read_drift,
    require_current,
    waivers_of,
)
from reconciler.review.github import artifact_name as name_of_artifact
from reconciler.review.github import reviewed_digest as digest_of_review
from reconciler.spec import load_project, read_namespace
from reconciler.system.input_files import read_input, read_json
from reconciler.system.origin import head_of, top_of
from reconciler.system.output_files import Output


def comment_plan(
    workspace: Workspace, plan_file: Path, *, pull: int | None = None, head: str | None = None, page: str = ""
) -> Written:
    """Keep the one comment of a pull request that shows the plan of its namespace and account.

    Without ``pull`` it is that of the workflow's event or commit. ``head`` is the commit that the plan was made for, by
    default the event's; ``page`` is where the plan is kept as a page. Raises StaleError if the pull request has moved
    on (exit code 6).
    """
    # Checked as apply does: what apply would refuse must not be shown for approval.
    plan = show_plan(plan_file)
    with _connected(workspace) as github:
        on = _target(github, pull, head)
        return keep_plan_comment(github, on.pull, plan, render=_render, head=on.head, page=page)


def comment_state(
    workspace: Workspace,
    state: Literal["failed", "outdated"],
    *,
    pull: int | None = None,
    head: str | None = None,
    reason: str = "",
    reason_file: Path | None = None,
) -> tuple[int, list[Written]]:
    """Say in the comments of plans that there is no plan of the newest commit, or that one is on its way.

    ``reason`` says why; ``reason_file`` is a file whose last error does. Returns the pull request, and what was
    written: nothing where no comment shows a plan of another commit.
    """
    with _connected(workspace) as github:
        on = _target(github, pull, head)
        why = _last_error(reason_file) if reason_file is not None else reason
        mchid = account_ref(workspace).mchid
        if not mchid:
            raise UsageError("Set PAYGIFT_MCHID.")
        plans = PlanOwner(mchid, _namespace_if_any(workspace))
        return on.pull, list(keep_plan_state(github, on.pull, plans, state, reason=why, head=on.head))


def comment_report(workspace: Workspace, report_file: Path, *, pull: int | None = None) -> Written:
    """Add a report, as Markdown, to its pull request; without ``pull`` that of the workflow's event or commit."""
    markdown = _text(report_file)
    with _connected(workspace) as github:
        return keep_report_comment(github, pull or _pull_of_run(github), markdown)


def read_waivers(
    workspace: Workspace, out: Path, *, pull: int | None = None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Write the waivers of a pull request to ``out``, for the ``allow_file`` of ``plan``.

    Returns them, and a sentence for each that does not count: it is from somebody who may not write to the repository.
    """
    # Before GitHub is asked: that it cannot be written is known already.
    output = Output.checked(out)
    with _connected(workspace) as github:
        found = waivers_of(github, pull or _pull_of_run(github))
    output.write("".join(f"{each}\n" for each in found.allow))
    return tuple(found.allow), tuple(found.ignored)


def artifact_name(workspace: Workspace, plan_file: Path, *, head: str | None = None) -> str:
    """The name under which a workflow keeps a plan file, by which ``reviewed_plan`` looks for it. Needs no token."""
    plan = show_plan(plan_file)
    run = WorkflowRun.from_environment(workspace.environ)
    return name_of_artifact(Owner(plan.namespace, plan.mchid), head or run.head or run.sha)


@dataclass(frozen=True, slots=True)
class Merge:
    """Which merge, and whose plan: the ``commit`` that it ended in, by default GITHUB_SHA; ``namespace`` and ``mchid``,
    by default those of the workspace. With ``require_approval`` somebody must have approved that plan.
    """

    commit: str | None = None
    namespace: str | None = None
    mchid: str | None = None
    require_approval: bool = False


def reviewed_digest(workspace: Workspace, merge: Merge) -> str:
    """The digest of the plan that was reviewed before a merge, for the ``expect`` of ``apply``.

    It is taken from the comment on the merged pull request, if nobody but the workflow has edited it; who approved it
    is remarked. Raises StaleError where there is none, or the commit is not what the default branch says (exit code 6);
    ProjectError (3).
    """
    with _connected(workspace) as github:
        merged = _Merged.of(workspace, github, merge)
        return _reviewed(workspace, github, merged, merged.pull_request(github)).digest


def reviewed_plan(workspace: Workspace, merge: Merge, out: Path, *, report: Path | None = None) -> bool:
    """Write the plan file that was reviewed before a merge to ``out``, for the ``plan_file`` of ``apply``.

    The workflow of the plan keeps it as an artifact; it is taken only if it has the digest of ``reviewed_digest``.
    False, and no file, for a push that was not planned and changed nothing of the project. Where there is no such plan,
    ``report`` (.md, .html or .json) says why. Raises as ``reviewed_digest`` does.
    """
    with _connected(workspace) as github:
        merged = _Merged.of(workspace, github, merge)
        try:
            pull = merged.pull_request(github)
            with reported(
                report,
                environ=workspace.environ,
                warn=workspace.callbacks.remark,
                plan_file=out,
                sandbox=workspace.sandbox,
            ) as reporter:
                reporter.namespace, reporter.mchid = merged.owner.namespace, merged.owner.mchid
                found = _reviewed(workspace, github, merged, pull)
                reporter.expected = found.digest
                save_plan(kept_plan(github, merged.owner, found), out)
        # Only this kind: a plan that was reviewed and is stale must never end green.
        except NotReviewedError as error:
            # An unreviewed push that touches the project must fail loudly, not pass as "nothing to do".
            if not merged.changed_nothing(github):
                raise
            workspace.callbacks.remark(f"{error.message} It changed nothing of this project.")
        else:
            return True
    if report is not None:
        # reported() has made one for the error, which turned out to be none.
        report.unlink(missing_ok=True)
    return False


def report_drift(workspace: Workspace, drift_file: Path) -> Written:
    """Open, update or close the issue that tells of drift, by what `drift --json` wrote.

    There is one per namespace and account.
    """
    drift = read_drift(read_json(drift_file))
    with _connected(workspace) as github:
        return keep_drift_issue(github, drift)


def github_annotations(workspace: Workspace, diagnostics_file: Path) -> list[str] | None:
    """What `validate --json` wrote, as workflow commands that show it at its lines. Needs no token.

    ``None`` for an empty file: validate itself failed.
    """
    if not _text(diagnostics_file).strip():
        return None
    return list(annotate(read_json(diagnostics_file), folder=_folder(workspace)))


# -- which pull request ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Target:
    """A pull request, and its commit that is meant; empty for the newest."""

    pull: int
    head: str


def _target(github: GitHub, pull: int | None, head: str | None) -> _Target:
    run = github.run
    # With --pr the commit of the event is of something else.
    return _Target(pull or _pull_of_run(github), head or run.head or (run.sha if not pull else ""))


def _pull_of_run(github: GitHub) -> int:
    if not github.run.pull and not github.run.sha:
        raise UsageError("Neither a pull request nor a commit started this run. Give --pr.")
    return github.run.pull or pull_of_commit(github, github.run.sha).number


@contextmanager
def _connected(workspace: Workspace) -> Iterator[GitHub]:
    with GitHub(WorkflowRun.from_environment(workspace.environ)) as github:
        yield github


def _render(plan: Plan, max_chars: int) -> str:
    return plan_markdown(plan, max_chars=max_chars)


def _namespace_if_any(workspace: Workspace) -> str:
    """That of paygift.yaml, whatever else is wrong; empty where it cannot be read."""
    try:
        return read_namespace(workspace.root())
    except ProjectError:
        return ""


# -- what was merged ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Merged:
    """A commit that a merge ended in, whose plan was reviewed for it, and the paths that their project is made of."""

    commit: str
    owner: Owner
    paths: tuple[str, ...]
    now: datetime
    require_approval: bool

    @classmethod
    def of(cls, workspace: Workspace, github: GitHub, merge: Merge) -> _Merged:
        account = account_ref(workspace)
        mchid = account.mchid if merge.mchid is None else merge.mchid
        if not mchid:
            raise UsageError("Set PAYGIFT_MCHID to a merchant number of 8 to 15 digits, or give --mchid.")
        commit = merge.commit or github.run.sha
        namespace, paths = _sources(workspace, commit, account.now, merge.namespace)
        return cls(commit, Owner(namespace, mchid), paths, account.now, merge.require_approval)

    def pull_request(self, github: GitHub) -> Merged:
        """Raises NotReviewedError if there is none."""
        return pull_of_commit(github, self.commit)

    def changed_nothing(self, github: GitHub) -> bool:
        """Whether the push that started this run left everything of the project as it was."""
        run = github.run
        if not run.before or self.commit != run.sha:
            return False
        return not changed(github, run.before, self.commit, self.paths)


def _sources(workspace: Workspace, commit: str, now: datetime, namespace: str | None) -> tuple[str, tuple[str, ...]]:
    """A project's namespace, and what it is made of, as paths from the root of the repository.

    That is everything, where the project is not checked out at ``commit``: what it was made of then is not known.
    """
    try:
        root = workspace.root()
    except UsageError:
        if namespace is None:
            raise
        return namespace, ("",)
    project = load_project(root, now=now)
    # Fails closed: everything counts, so that any difference makes it stale.
    if head_of(root) != commit:
        return namespace or project.namespace, ("",)
    folder = _folder(workspace)
    paths = (posixpath.normpath(f"{folder}/{each}") for each in project.reads)
    return namespace or project.namespace, tuple("" if each in (".", "/") else each.lstrip("/") for each in paths)


def _reviewed(workspace: Workspace, github: GitHub, merged: _Merged, pull: Merged) -> Reviewed:
    """Raises StaleError, also for a commit of which the default branch has taken something back."""
    # Before the digest: an old run would otherwise find its old review in perfect order.
    require_current(github, pull.commit, merged.paths)
    found = digest_of_review(github, merged.owner, pull, now=merged.now, require_approval=merged.require_approval)
    by = f"approved by {', '.join(found.approved_by)}" if found.approved_by else "approved by nobody"
    workspace.callbacks.remark(f"Reviewed on pull request #{pull.number}, {by}: {found.digest}")
    return found


# -- files -------------------------------------------------------------------------------------------------------------


def _folder(workspace: Workspace) -> str:
    """Where paygift.yaml lies in its repository: GitHub names files from the root of that."""
    root = workspace.root().resolve()
    top = top_of(root) or Path(workspace.environ.get("GITHUB_WORKSPACE") or Path.cwd()).resolve()
    return root.relative_to(top).as_posix() if root.is_relative_to(top) else ""


def _last_error(file: Path) -> str:
    """What a command said last, from its error on; empty if it said nothing."""
    if not file.exists():
        return ""
    lines = [line.strip() for line in _text(file).splitlines() if line.strip()]
    errors = [index for index, line in enumerate(lines) if line.startswith("Error: ")]
    return " ".join(lines[errors[-1] :] if errors else lines[-1:]).removeprefix("Error: ")


def _text(file: Path) -> str:
    try:
        return read_input(file).decode()
    except UnicodeDecodeError as error:
        raise UsageError(f"{file} cannot be read: it is not UTF-8 from byte {error.start} on.") from error
