"""The registry of findings: every code once, and no way around it."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path
from typing import Final, get_args

import pytest

import reconciler
from reconciler.model.findings import WAIVABLE, Finding, FindingKind, Severity
from reconciler.plan.drift import DriftCode

PACKAGE: Final = Path(reconciler.__file__).parent
REGISTRY: Final = PACKAGE / "model/findings.py"


@cache
def trees() -> tuple[tuple[Path, ast.Module], ...]:
    return tuple((file, ast.parse(file.read_text(encoding="utf-8"))) for file in PACKAGE.glob("**/*.py"))


@cache
def names_used() -> frozenset[str]:
    """``FindingKind.X``, wherever something takes X from the registry."""
    return frozenset(
        ast.unparse(node)
        for file, tree in trees()
        if file != REGISTRY
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
    )


@pytest.mark.parametrize("kind", FindingKind)
def test_a_kind_is_called_what_its_code_says(kind: FindingKind) -> None:
    assert kind.name == kind.value


def test_only_refusals_can_be_waived_or_leave_an_activity_undone() -> None:
    refusals = {kind for kind in FindingKind if kind.severity is Severity.REFUSAL}
    assert refusals == WAIVABLE
    assert {kind for kind in FindingKind if kind.leaves_undone} < refusals


def test_a_finding_has_the_severity_of_its_kind() -> None:
    found = Finding.of(FindingKind.PROTECTED, "tea", {"activity_id": "1"})
    assert found == Finding("PROTECTED", Severity.REFUSAL, "tea", {"activity_id": "1"})
    assert type(found.code) is str  # as a plan file holds it


def test_the_product_makes_findings_of_registered_kinds_only() -> None:
    """``Finding(…)`` takes any code: it is for the reader of plan files, which is pydantic."""
    made = [
        f"{file.relative_to(PACKAGE)}:{node.lineno}"
        for file, tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Finding"
    ]
    assert made == []


def test_no_code_is_spelt_out_beside_the_registry_and_the_sentences() -> None:
    """A text that is compared with a code could be misspelt, and mypy would not see it."""
    kinds = set(FindingKind).difference(get_args(DriftCode))  # which mypy checks
    spelt = [
        f"{file.relative_to(PACKAGE)}:{node.lineno}: {node.value}"
        for file, tree in trees()
        if file not in (REGISTRY, PACKAGE / "render/messages.py")
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and node.value in kinds
    ]
    assert spelt == [], "\n".join(spelt)


@pytest.mark.parametrize("kind", FindingKind)
def test_each_kind_is_raised_somewhere(kind: FindingKind) -> None:
    assert f"FindingKind.{kind.name}" in names_used()
