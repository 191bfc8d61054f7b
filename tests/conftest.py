"""What all tests share: nobody sleeps between two tries of a request."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import stamina


@pytest.fixture(autouse=True)
def _no_pauses_between_tries() -> Iterator[None]:
    """As many tries as in earnest, without the pauses."""
    with stamina.set_testing(True, attempts=100, cap=True):
        yield
