"""One apply as those see it who are told of it: from what it knows of itself to the report that it leaves.

An apply that stops before its first write leaves a report too: why, and that nothing was written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from reconciler.change import Plan, Report, Stopped
from reconciler.errors import PaygiftError, ProjectError, StaleError
from reconciler.plan import plan_digest
from reconciler.reconcile import Clock, Session, check_report_file, save_report, system_clock


@dataclass(slots=True)
class Attempt:
    """What is known so far. ``expected`` is the digest of the plan that may be applied, if only one may.

    ``writing`` is set before the first write: from then on nobody may say that nothing was written.
    """

    file: Path | None = None
    clock: Clock = system_clock
    namespace: str = ""
    mchid: str = ""
    expected: str = ""
    plan: Plan | None = None
    writing: bool = False

    def knows(self, session: Session) -> None:
        self.clock = session.clock
        self.namespace = session.project.namespace
        self.mchid = session.remote.credentials.mchid

    def leave(self, happened: Report | Stopped) -> None:
        """Write the report, if one is wanted. Raises UsageError if it cannot be written."""
        if self.file is not None:
            save_report(happened, self.file)

    def stopped(self, error: PaygiftError, exit_code: int) -> Stopped:
        message, remedy = _said(error)
        return Stopped(
            exit_code,
            message,
            at=self.clock(),
            remedy=remedy,
            details=_details(error),
            namespace=self.namespace,
            mchid=self.mchid,
            plan_digest=plan_digest(self.plan) if self.plan is not None else self.expected,
            plan=self.plan,
            writing=self.writing,
        )


@contextmanager
def attempted(file: Path | None, exit_code: Callable[[PaygiftError], int]) -> Iterator[Attempt]:
    """An attempt whose report goes to ``file``. An error on the way is reported there, and goes on.

    ``exit_code`` tells how the command will end for an error. Raises UsageError for a file that cannot be a report.
    """
    if file is not None:
        check_report_file(file)
    attempt = Attempt(file)
    try:
        yield attempt
    except PaygiftError as error:
        with suppress(PaygiftError):  # what stopped the apply matters more
            attempt.leave(attempt.stopped(error, exit_code(error)))
        raise


def _said(error: PaygiftError) -> tuple[str, str]:
    """What happened, without what ``_details`` lists; and the remedy, where it is a sentence of its own."""
    if isinstance(error, ProjectError):
        files = {problem.file for problem in error.problems}
        return f"Mistakes in {', '.join(sorted(files))}.", error.remedy
    said = str(error)
    if not error.remedy or not said.endswith(error.remedy):
        return said, ""
    return said.removesuffix(error.remedy).rstrip(), error.remedy


def _details(error: PaygiftError) -> tuple[str, ...]:
    if isinstance(error, ProjectError):
        return tuple(str(problem) for problem in error.problems)
    return error.details if isinstance(error, StaleError) else ()
