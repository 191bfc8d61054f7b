"""Fields of damaged specs are read by name, and mypy knows the names."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import reconciler.spec
from reconciler.spec.models import ActivitySpec, AwardItemSpec
from reconciler.spec.salvaged import is_known, known
from reconciler.spec.validation_errors import salvage

DAMAGED = salvage(ActivitySpec, {"generation": "no number", "adopt": "20406366", "award_send_rule": {}})


def test_a_field_that_could_be_read_is_known_and_another_one_is_not() -> None:
    assert known(DAMAGED, lambda spec: spec.adopt) == "20406366"
    assert known(DAMAGED, lambda spec: spec.generation) is None
    assert known(DAMAGED, lambda spec: spec.award_send_rule.award_list) is None
    assert known(None, lambda spec: spec) is None


def test_none_that_is_written_is_known() -> None:
    award = salvage(AwardItemSpec, {"stock_id": "9"})
    assert is_known(award, lambda each: each.thumbnail_url)
    assert not is_known(award, lambda each: each.original_image_url)


@pytest.mark.parametrize("file", sorted(Path(reconciler.spec.__file__).parent.glob("*.py")), ids=lambda file: file.name)
def test_no_field_is_named_by_a_text_that_mypy_does_not_read(file: Path) -> None:
    """``getattr(spec, "agenda", None)`` is ``None`` whatever is written. Foreign errors have no types to ask."""
    calls = [node for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    named = [call for call in calls if ast.unparse(call.func) in ("getattr", "hasattr")]
    assert [ast.unparse(call) for call in named if ast.unparse(call.args[0]) not in ("os", "error")] == []
