"""Errors carry their facts: what they say in parts, and with which code a command ends because of them."""

from __future__ import annotations

from itertools import chain

import pytest

from reconciler.model.diagnostics import Diagnostic
from reconciler.model.errors import (
    EXIT_CREDENTIALS,
    EXIT_ERROR,
    EXIT_INTERRUPTED,
    EXIT_INVALID,
    EXIT_REFUSED,
    EXIT_STALE,
    ApiError,
    CredentialsError,
    InterruptedRunError,
    PaygiftError,
    ProjectError,
    RefusedError,
    RemoteError,
    StaleError,
)


def kinds(of: type[PaygiftError] = PaygiftError) -> set[type[PaygiftError]]:
    return {of, *chain.from_iterable(kinds(each) for each in of.__subclasses__())}


OTHER_CODES: dict[type, int] = {
    ProjectError: EXIT_INVALID,
    CredentialsError: EXIT_CREDENTIALS,
    RefusedError: EXIT_REFUSED,
    StaleError: EXIT_STALE,
    InterruptedRunError: EXIT_INTERRUPTED,
}


def test_every_class_of_errors_has_the_exit_code_that_the_readme_promises() -> None:
    """That of the nearest class above it that has one of its own."""
    for kind in kinds():
        above = [OTHER_CODES[base] for base in kind.__mro__ if base in OTHER_CODES]
        assert kind.exit_code == (above or [EXIT_ERROR])[0], kind


@pytest.mark.parametrize(
    ("status", "code", "verified", "expected"),
    [
        (401, "SIGN_ERROR", False, EXIT_CREDENTIALS),
        (401, "SIGN_ERROR", True, EXIT_CREDENTIALS),
        (403, "NO_AUTH", True, EXIT_CREDENTIALS),
        (403, "NO_AUTH", False, EXIT_ERROR),
        (400, "INVALID_REQUEST", True, EXIT_ERROR),
        (500, "SYSTEM_ERROR", True, EXIT_ERROR),
    ],
)
def test_an_answer_that_rejects_the_credentials_ends_a_command_as_they_do(
    status: int, code: str, verified: bool, expected: int
) -> None:
    assert ApiError(status=status, code=code, text="", verified=verified).exit_code == expected


@pytest.mark.parametrize(
    ("error", "parts"),
    [
        (PaygiftError("It is so.", remedy="Do this."), ("It is so.", "Do this.")),
        (
            RemoteError("it broke", method="GET", path="/v3/x", remedy="Do this."),
            ("GET /v3/x: it broke.", "Do this."),
        ),
        (
            RemoteError("it broke", request_id="08F", remedy="Do this."),
            ("it broke. Do this. Request-ID 08F.", ""),
        ),
        (
            ProjectError([Diagnostic("b.yaml", 1), Diagnostic("a.yaml", 2)]),
            ("Mistakes in a.yaml, b.yaml.", ""),
        ),
    ],
)
def test_an_error_tells_what_happened_and_the_remedy_apart(error: PaygiftError, parts: tuple[str, str]) -> None:
    assert error.parts == parts


def test_the_mistakes_of_files_are_details() -> None:
    mistake = Diagnostic("a.yaml", 2, 1, "state", "unknown")
    assert ProjectError([mistake]).details == ("a.yaml:2:1: state: unknown",)
