"""What all tests share: nobody sleeps between two tries of a request, and a red run is red again the next time."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import stamina
from hypothesis import settings

# Properties are tried with the same examples in every run, so that no change is stopped by another one's bad luck.
# To look for new ones: PAYGIFT_EXPLORE=1 pytest
settings.register_profile("same", derandomize=True)
settings.register_profile("explore", print_blob=True)
settings.load_profile("explore" if os.environ.get("PAYGIFT_EXPLORE") else "same")


@pytest.fixture(autouse=True)
def _no_pauses_between_tries() -> Iterator[None]:
    """As many tries as in earnest, without the pauses."""
    with stamina.set_testing(True, attempts=100, cap=True):
        yield
