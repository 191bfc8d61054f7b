"""What an account looks like before a change, and what the files say after it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tests.crash.stage import spec
from tests.support.samples import mchids

BEFORE: Final = spec(mchids(2))
SCENARIOS: Final[Mapping[str, tuple[Mapping[str, str], Mapping[str, str]]]] = {
    "upload and create": ({}, {"spring": spec(mchids(2))}),
    "add and delete": ({"spring": BEFORE}, {"spring": spec(mchids(2, start=1600000002))}),
    "terminate": ({"spring": BEFORE}, {"spring": spec(mchids(2), state="terminated")}),
    "replace, create first": ({"spring": BEFORE}, {"spring": spec(mchids(2), amount=2000)}),
    "replace, terminate first": (
        {"spring": BEFORE},
        {"spring": spec(mchids(2), amount=2000, replace="terminate_first")},
    ),
}
