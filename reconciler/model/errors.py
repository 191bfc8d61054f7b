"""Every error that paygift raises on purpose.

    PaygiftError
    ├── UsageError               a flag, an argument or an environment variable is invalid
    ├── ProjectError             paygift.yaml or specs are invalid; carries every Diagnostic at once
    ├── CredentialsError         a credential is missing, unreadable, or rejected by WeChat Pay
    ├── RefusedError             the plan holds refusals that nobody waived
    ├── StaleError               a plan is not, or is no longer, the one that was reviewed
    ├── InterruptedRunError      a run was stopped at once, with something in flight
    ├── UnexpectedError          an exception that nobody expected: a defect of paygift, or no memory
    ├── JournalError             the journal cannot be read or written, so nothing may be sent
    │   ├── LockedError          another apply holds the lock
    │   ├── LockLostError        the lock of this run is no longer its own
    │   └── BusyError            another process has been writing to the journal for too long
    ├── GitHubError              GitHub cannot be reached, or does not do what it is asked
    ├── SandboxError             the embedded WeChat Pay cannot start or cannot be reached
    └── RemoteError              anything that went wrong between us and WeChat Pay
        ├── TransportError       no complete answer came: refused, timed out, broken off
        ├── UnverifiedError      an answer came, but nothing proves that WeChat Pay sent it
        ├── ProtocolError        a proven answer that does not have the documented shape
        ├── IncompleteReadError  a list ended before it held what it announced
        ├── OutcomeUnknownError  a write was sent, and neither an answer nor a read tells what became of it
        └── ApiError             WeChat Pay answered with an error (status, code, message)

Facts are attributes; the sentence is made from them once, here or in the command line. Foreign exceptions
(httpx, pydantic, yaml, OSError) are translated where they first appear, with ``raise … from``. Each class says with
which code a command ends because of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TypedDict, Unpack

from reconciler.model.diagnostics import Diagnostic, condensed

if TYPE_CHECKING:
    from pydantic import ValidationError
EXIT_ERROR: Final = 1
"""Anything that has no code of its own."""
# These numbers are documented, and scripts go by them: they can be added to, never changed.
EXIT_PENDING: Final = 2
"""`--detailed-exitcode`: all is well, and something is left to do."""
EXIT_INVALID: Final = 3
"""Files of the project hold mistakes."""
EXIT_CREDENTIALS: Final = 4
"""Credentials are missing, unusable, or rejected."""
EXIT_REFUSED: Final = 5
"""Refusals hold something back that nobody waived."""
EXIT_STALE: Final = 6
"""The plan is not what was reviewed."""
EXIT_PARTIAL: Final = 7
"""An apply did a part of its plan."""
EXIT_INTERRUPTED: Final = 130
"""128 + SIGINT, as shells have it."""

SIGN_ERROR: Final = "SIGN_ERROR"
"""What WeChat Pay says of a signature that is not ours, or not made with our key."""
NO_PERMISSION: Final = frozenset({"NO_AUTH", "NOAUTH"})
"""Codes of WeChat Pay; the coupon pages spell the second (API §1.11)."""


class PaygiftError(Exception):
    """Base of all errors raised on purpose. ``remedy`` says what the reader can do next.

    ``exit_code`` is that of a command that ends because of it: it tells a script what kind of trouble it was.
    ``details`` are lines beside the message: every mistake of the files, or how plans differ.
    """

    exit_code: int = EXIT_ERROR
    details: tuple[str, ...] = ()

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    @property
    def parts(self) -> tuple[str, str]:
        """What happened, without what ``details`` list; and the remedy, where it is a sentence of its own."""
        return self.message, self.remedy

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".strip()


class UsageError(PaygiftError):
    """A flag, an argument or an environment variable is invalid."""


class ProjectError(PaygiftError):
    """paygift.yaml, specs, merchant groups or images are invalid.

    ``diagnostics`` holds every mistake, sorted; the message shows one of each kind."""

    exit_code = EXIT_INVALID

    def __init__(self, diagnostics: Sequence[Diagnostic]) -> None:
        self.diagnostics = tuple(sorted(diagnostics))
        # All of them, uncondensed: a report has room that a terminal has not.
        self.details = tuple(str(diagnostic) for diagnostic in self.diagnostics)
        super().__init__("\n".join(str(diagnostic) for diagnostic in condensed(self.diagnostics)))

    @property
    def parts(self) -> tuple[str, str]:
        """In which files there are mistakes; ``details`` says which."""
        return f"Mistakes in {', '.join(sorted({diagnostic.file for diagnostic in self.diagnostics}))}.", self.remedy


class CredentialsError(PaygiftError):
    """A credential is missing, unreadable, or rejected by WeChat Pay. Never carries the secret itself."""

    exit_code = EXIT_CREDENTIALS


class RefusedError(PaygiftError):
    """The plan holds refusals that nobody waived; ``codes`` names them as CODE:KEY."""

    exit_code = EXIT_REFUSED

    def __init__(self, message: str, *, codes: Sequence[str] = (), remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.codes = tuple(codes)


class StaleError(PaygiftError):
    """A plan is not, or is no longer, the one that was reviewed; nothing was written.

    ``details`` are lines that say how the plans differ.
    """

    exit_code = EXIT_STALE

    def __init__(self, message: str, *, details: Sequence[str] = (), remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.details = tuple(details)


class InterruptedRunError(PaygiftError):
    """A run was stopped at once, with something in flight. The next one finds out what became of it."""

    exit_code = EXIT_INTERRUPTED


class UnexpectedError(PaygiftError):
    """An exception that nobody expected, its ``__cause__``. Says its class and its place, and none of its words."""


@contextmanager
def one_cause() -> Iterator[None]:
    """Of several things done side by side, the first failure ended the others: one cause is what a person can fix."""
    try:
        yield
    # A person cannot act on a group, and its repr would hide the sentence and the exit code.
    except ExceptionGroup as failures:
        cause: Exception = failures
        while isinstance(cause, ExceptionGroup):
            cause = cause.exceptions[0]
        raise cause from failures


class NotSentError(PaygiftError):
    """A write was held back before it left, since the run is to stop or no longer holds its lock. Nothing of it has
    happened.
    """


class JournalError(PaygiftError):
    """The journal cannot be read or written. Nothing is sent that could not be written down before.

    ``damaged`` tells that the file is no longer a database that can be read.
    """

    def __init__(self, message: str, *, damaged: bool = False, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.damaged = damaged


class LockedError(JournalError):
    """Another apply holds the lock of the account and namespace, and did not let go in time."""


class LockLostError(JournalError):
    """The lock of this run was taken away, or can no longer be shown to be its own. Nothing more may be sent."""


class BusyError(JournalError):
    """Another process has been in the middle of writing to the journal for longer than any write takes."""


class GitHubError(PaygiftError):
    """GitHub cannot be reached, or does not do what it is asked. ``status`` is 0 when no answer came.

    ``passing`` tells that the same request may fare better in a moment, ``unsure`` that a write may have happened all
    the same. ``retry_after_seconds`` is how long a rate limit lasts, if that is what stopped us. Never carries the
    token.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 0,
        unsure: bool = False,
        passing: bool = False,
        retry_after_seconds: float | None = None,
        remedy: str = "",
    ) -> None:
        super().__init__(message, remedy=remedy)
        self.status = status
        self.unsure = unsure
        self.passing = passing
        self.retry_after_seconds = retry_after_seconds


class SandboxError(PaygiftError):
    """The embedded WeChat Pay cannot start, or cannot be reached."""


class Where(TypedDict, total=False):
    """Which request an error is about, and what to do: see RemoteError."""

    method: str
    path: str
    request_id: str
    remedy: str


class RemoteError(PaygiftError):
    """Anything that went wrong between us and WeChat Pay.

    ``method`` and ``path`` name the request; ``request_id`` is the service's ``Request-ID`` (API §5.1), empty
    when no answer came. ``tries`` counts how often the request was sent, or tried to be.
    """

    def __init__(
        self, message: str, *, method: str = "", path: str = "", request_id: str = "", remedy: str = ""
    ) -> None:
        super().__init__(message, remedy=remedy)
        self.method = method
        self.path = path
        self.request_id = request_id
        self.tries = 0

    @property
    def parts(self) -> tuple[str, str]:
        """What went wrong with which request. A ``Request-ID`` is told last, after the remedy, so all is one then."""
        return (str(self), "") if self.request_id else (self._sentence, self.remedy)

    @property
    def _sentence(self) -> str:
        where = f"{self.method} {self.path}: " if self.method else ""
        said = f"{where}{self.message}"
        return said if said.endswith((".", "!", "?", "。", "！", "？")) else f"{said}."

    def __str__(self) -> str:
        trace = f"Request-ID {self.request_id}." if self.request_id else ""
        return " ".join(part for part in (self._sentence, self.remedy, trace) if part)


class TransportError(RemoteError):
    """No complete answer came: refused, timed out, or broken off.

    ``sent`` is False when no connection was made, so that nothing can have happened. Otherwise a write may or may
    not have happened. ``lasting`` tells that the next try would fare no better: a certificate that is not trusted.
    """

    def __init__(self, message: str, *, sent: bool = True, lasting: bool = False, **where: Unpack[Where]) -> None:
        super().__init__(message, **where)
        self.sent = sent
        self.lasting = lasting


class UnverifiedError(RemoteError):
    """An answer came, but nothing proves that WeChat Pay sent it (API §5.3, §5.4). It is never used.

    ``lasting`` tells that the next answer would be no better: a key that nobody knows, a clock that is wrong.
    """

    def __init__(self, message: str, *, lasting: bool = False, **where: Unpack[Where]) -> None:
        super().__init__(message, **where)
        self.lasting = lasting


class ProtocolError(RemoteError):
    """A proven answer that does not have the documented shape."""


class IncompleteReadError(RemoteError):
    """A list ended before it held what it announced (API §1.8): ``found`` of ``announced`` entries.

    An incomplete read is never taken for an absence: no plan is made from it.
    """

    def __init__(self, message: str, *, path: str, found: int, announced: int, remedy: str = "") -> None:
        super().__init__(message, method="GET", path=path, remedy=remedy)
        self.found = found
        self.announced = announced


class OutcomeUnknownError(RemoteError):
    """A write was sent, and neither its answer nor a read tells whether it happened. The next run finds out."""


class ApiError(RemoteError):
    """WeChat Pay answered with an error (API §1.11, §5.7): HTTP ``status``, ``code``, server's ``text``.

    ``detail`` is the server's optional, irregular explanation. ``verified`` tells whether the answer was
    signed: an unsigned error is still an error, never a success. ``changed_on_the_way`` tells that another request
    arrived than was sent. ``retry_after_seconds`` is how long the server asked to be left alone, if it did.
    """

    def __init__(
        self,
        *,
        status: int,
        code: str,
        text: str,
        method: str = "",
        path: str = "",
        request_id: str = "",
        detail: object = None,
        verified: bool = True,
        changed_on_the_way: bool = False,
        retry_after_seconds: float | None = None,
        remedy: str = "",
    ) -> None:
        said = f"HTTP {status} {code}".rstrip()
        super().__init__(f"{said}: {text}", method=method, path=path, request_id=request_id, remedy=remedy)
        self.status = status
        self.code = code
        self.text = text
        self.detail = detail
        self.verified = verified
        self.changed_on_the_way = changed_on_the_way
        self.retry_after_seconds = retry_after_seconds
        if self.rejects_credentials:
            self.exit_code = EXIT_CREDENTIALS

    @property
    def rejects_signature(self) -> bool:
        """Whether WeChat Pay refuses our signature, for our keys' sake. It never signs that (API §5.3)."""
        # Any proxy can answer 401: only WeChat Pay's own words, or a signed answer, blame the keys.
        refused = self.code == SIGN_ERROR or self.verified
        return self.status == 401 and refused and not self.changed_on_the_way

    @property
    def rejects_credentials(self) -> bool:
        """Whether it is for the credentials: a signature that is refused, or a signed answer that they may not."""
        # An unsigned NO_AUTH proves nothing, and would send people to look for permissions.
        return self.rejects_signature or (self.verified and self.code in NO_PERMISSION)


def first_mistake(error: ValidationError, whole: str = "") -> str:
    """The first thing that pydantic found wrong: the field, or ``whole``, and why; never what stands there."""
    # include_input=False: the input may be a secret, or a whole file.
    first = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(map(str, first['loc'])) or whole}: {first['msg']}"
