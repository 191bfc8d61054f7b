"""How a check is said: passed, skipped or failed, in a line and a remedy. Pure."""

from __future__ import annotations

from reconciler.model.checkup import Check, CheckStatus
from reconciler.model.errors import ApiError, CredentialsError, PaygiftError, RemoteError


def ok(code: str, text: str) -> Check:
    """It is as it should be."""
    return Check(code, CheckStatus.OK, text)


def skipped(code: str, reason: str, remedy: str = "") -> Check:
    """It was not asked, because of ``reason``."""
    return Check(code, CheckStatus.SKIPPED, reason, remedy)


def failed(code: str, text: str, remedy: str) -> Check:
    """It is not as it should be, and not because of the credentials."""
    return Check(code, CheckStatus.FAILED, text, remedy)


def unusable(code: str, text: str, remedy: str) -> Check:
    """A failure of the credentials themselves, or of what they are permitted: what exits 4 in other commands too."""
    return Check(code, CheckStatus.FAILED, text, remedy, credentials=True)


def failure(code: str, error: PaygiftError) -> Check:
    """It ended with ``error``, which tells whether that is because of the credentials."""
    # It decides between exit 4 and 1, so that it must not follow from the text.
    credentials = isinstance(error, CredentialsError) or is_rejection(error)
    return Check(code, CheckStatus.FAILED, said(error), error.remedy, credentials=credentials)


def said(error: PaygiftError) -> str:
    """The error in one line, without its remedy."""
    request_id = error.request_id if isinstance(error, RemoteError) else ""
    trace = f" (Request-ID {request_id})" if request_id else ""
    return f"{error.message.rstrip('.')}{trace}."


def is_rejection(error: PaygiftError) -> bool:
    """WeChat Pay's refusal of a signature. A 401 in other words than its own is somebody else's."""
    return isinstance(error, ApiError) and error.rejects_signature
