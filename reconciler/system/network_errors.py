"""What exceptions of the network mean, whoever asked: found among their causes, not in their words."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from typing import Final

BROKEN_OFF: Final = ("Server disconnected without sending a response", "peer closed connection without")
"""How httpx begins to say that the other side hung up, rather than said something wrong."""


def causes_of(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what led to it. Connecting to several addresses at once fails with a group of errors."""
    while error is not None:
        yield error
        if isinstance(error, BaseExceptionGroup):
            for one in error.exceptions:
                yield from causes_of(one)
        error = error.__cause__ or error.__context__


def tls_failure(error: BaseException) -> ssl.SSLError | None:
    """Why TLS could not be agreed on; nothing if the other side just hung up meanwhile."""
    for cause in causes_of(error):
        if isinstance(cause, ssl.SSLError) and not isinstance(cause, ssl.SSLEOFError | ssl.SSLZeroReturnError):
            return cause
    return None
