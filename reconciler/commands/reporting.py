"""One apply as those see it who are told of it: from what it knows of itself to the report that it leaves.

An apply that stops on the way leaves a report too, whatever stops it: why, and that nothing was written, or that nobody
knows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import combinations
from pathlib import Path
from typing import Final

from reconciler.commands.clock import system_clock
from reconciler.commands.session import Session
from reconciler.commands.unexpected import translated
from reconciler.model.clock import Clock
from reconciler.model.errors import PaygiftError, UsageError
from reconciler.model.plan import Plan
from reconciler.model.report import AbortedApply, Report
from reconciler.notify.messages import events, summary_json, wecom_json
from reconciler.notify.post import Message, post
from reconciler.plan import plan_digest
from reconciler.render.html import report_html
from reconciler.render.json_ import dumps, report_json
from reconciler.render.markdown import report_markdown
from reconciler.render.rejected import rejected_csv
from reconciler.render.stopped import COMMENT_CHARS, stopped_as
from reconciler.spec.models import NotifySection
from reconciler.system.environment import stripped
from reconciler.system.origin import job_url
from reconciler.system.output_files import Output, same_file

REPORT_KINDS: Final = (".md", ".html", ".json")
_BYTE_ORDER_MARK: Final = "\ufeff"
"""Without one, spreadsheets take Chinese for something else."""
Warn = Callable[[str], None]
COMMAND: Final = "paygift apply"


@dataclass(slots=True)
class ApplyReporter:
    """What is known so far. ``expected`` is the digest of the plan that may be applied, if only one may, and
    ``reviewed_at`` when that was made, if it is known.

    ``writing`` is set before the first write: from then on nobody may say that nothing was written. ``happened`` is set
    as soon as it is known what the writes came to, ``published`` once that is in the files: from then on nothing else
    may be said of this apply. ``warn`` is given a line for each file that could not be written, and for each who could
    not be told.
    """

    report: Output | None
    environ: Mapping[str, str] = field(repr=False)
    warn: Warn
    rejected: Output | None = None
    sandbox: bool = False
    clock: Clock = system_clock
    namespace: str = ""
    mchid: str = ""
    notify: tuple[NotifySection, ...] = ()
    expected: str = ""
    reviewed_at: datetime | None = None
    plan: Plan | None = None
    writing: bool = False
    happened: Report | None = None
    published: bool = False

    def bind(self, session: Session) -> None:
        """From now on it speaks of this project and account."""
        self.clock = session.clock
        self.namespace = session.project.namespace
        self.mchid = session.mchid
        self.notify = session.project.notify

    def publish(self, happened: Report | AbortedApply) -> None:
        """Write the files that are wanted, and tell whom `notify` names: each of them, whatever becomes of the others.

        What cannot be written is a warning: it changes nothing of what ``happened``.
        """
        # Callbacks run whatever fails before them, the last one first.
        with ExitStack() as last:
            if not (isinstance(happened, AbortedApply) and self.happened is not None):  # that was told before
                last.callback(self._tell, happened)
            if self.rejected is not None and isinstance(happened, Report):
                last.callback(self._write_rejected, self.rejected, happened)
            if self.report is not None:
                self._write(_as(self.report.file.suffix, happened), self.report, "The report")
            self.published = True

    def publish_aborted(self, error: PaygiftError) -> None:
        """The same for what ended it. Where the plan is what cannot be shown, it is left out."""
        aborted = self.aborted(error)
        # What made the apply fail may be the plan itself, and a report must come all the same.
        for each in (aborted, replace(aborted, plan=None)):
            try:
                self.publish(each)
                return
            except Exception:  # noqa: BLE001, S112 - the error that is reported matters more than this one
                continue
        self.warn("Warning: The report is missing: it could not be made. This is a defect of paygift.")

    def _write_rejected(self, file: Output, happened: Report) -> None:
        text = _BYTE_ORDER_MARK + rejected_csv(happened)
        self._write(text, file, "The list of rejected merchants")

    def _write(self, text: str, output: Output, what: str) -> None:
        try:
            output.write(text)
        except UsageError as error:
            self.warn(
                f"Warning: {what} is missing: {error.message} The output above, the exit code and "
                "`paygift history` show what happened."
            )

    def _tell(self, happened: Report | AbortedApply) -> None:
        if self.notify:
            for failure in tell(self.notify, happened, self.environ, sandbox=self.sandbox):
                self.warn(f"Warning: a notice failed: {failure}")

    def aborted(self, error: PaygiftError) -> AbortedApply:
        """What ended it, as far as it had come."""
        message, remedy = error.parts
        return AbortedApply(
            error.exit_code,
            message,
            at=self.clock(),
            remedy=remedy,
            details=error.details,
            namespace=self.namespace,
            mchid=self.mchid,
            plan_digest=plan_digest(self.plan) if self.plan is not None else self.expected,
            plan=self.plan,
            writing=self.writing,
        )


@contextmanager
def reported(
    report: Path | None,
    *,
    environ: Mapping[str, str],
    warn: Warn,
    rejected: Path | None = None,
    plan_file: Path | None = None,
    sandbox: bool = False,
) -> Iterator[ApplyReporter]:
    """An apply that leaves its ``report`` and the ``rejected`` merchants (CSV), however it ends.

    Whatever ends it on the way is reported there, and raised as a PaygiftError.

    ``plan_file`` is what it reads. Raises UsageError, before anything is done, for a file that cannot be written; what
    an earlier run has left there is removed, since it must not pass for this one's.
    """
    _check_names(report, rejected, plan_file)
    reporter = ApplyReporter(_cleared(report), environ, warn, _cleared(rejected), sandbox)
    try:
        yield reporter
    # Interrupts too: CI that cancels a job should find a report that says what was written.
    except BaseException as raised:
        error = translated(raised, command=COMMAND, writing=reporter.writing)
        # Told once: a report that is complete must not be followed by one that says it failed.
        if reporter.happened is None or not reporter.published:
            reporter.publish_aborted(error)
        if error is raised:
            raise
        raise error from raised


def _check_names(report: Path | None, rejected: Path | None, plan_file: Path | None) -> None:
    """Raises UsageError for a name that says no known format, or for one file that would be two things."""
    if report is not None and report.suffix not in REPORT_KINDS:
        raise UsageError(f"{report}: a report ends in {', '.join(REPORT_KINDS)}.", remedy="Name it so.")
    named = [("--report", report), ("--rejected", rejected), ("PLANFILE", plan_file)]
    given = [(name, file) for name, file in named if file is not None]
    for (name, file), (other, another) in combinations(given, 2):
        # By file and not by name: the report would overwrite the plan that it is about.
        if same_file(file, another):
            raise UsageError(f"{name} and {other} are the same file, {file}.", remedy="Name two files.")


def _cleared(file: Path | None) -> Output | None:
    return None if file is None else Output.checked(file, clear=True)


def _as(suffix: str, happened: Report | AbortedApply) -> str:
    """``happened`` in the format of a file's name."""
    if isinstance(happened, AbortedApply):
        return stopped_as(suffix, happened)
    if suffix == ".md":
        return report_markdown(happened, max_chars=COMMENT_CHARS)
    return report_html(happened) if suffix == ".html" else dumps(report_json(happened))


def tell(
    targets: Iterable[NotifySection],
    happened: Report | AbortedApply,
    environ: Mapping[str, str],
    *,
    sandbox: bool,
) -> list[str]:
    """Post what ``happened`` to those of ``targets`` who want to know. Returns a sentence for each who was not told.

    That a plan was refused or stale is told from CI only: elsewhere somebody has just read it.
    """
    about = events(happened)
    # A typing mistake at somebody's desk does not concern the group.
    if isinstance(happened, AbortedApply) and not happened.writing and not environ.get("CI"):
        return []
    messages, failures = [], []
    for target in targets:
        if not about & frozenset(target.on or about):
            continue
        url = stripped(environ.get(target.url_from, ""))
        if not url:
            # A failure, not silence: a secret that is missing in CI is noticed by nobody otherwise.
            failures.append(f"{target.url_from} ({target.kind}): it is not set.")
            continue
        dress = wecom_json if target.kind == "wecom" else summary_json
        body = dress(happened, url=job_url(environ), sandbox=sandbox)
        messages.append(Message(target.kind, target.url_from, url, body))
    return [*failures, *post(messages)] if messages else failures
