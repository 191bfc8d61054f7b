"""One tiny broken file for each mistake, and a project with more than thirty at once; their problems.txt says it all.

After a change of wording, write the new output over problems.txt and read the difference.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import get_args

import pytest
from pydantic_core.core_schema import ErrorType

from reconciler.model.diagnostics import Diagnostic
from reconciler.model.errors import ProjectError
from reconciler.spec import load_project
from tests.support.projects import NOW, problems

SPECS = Path(__file__).parents[1] / "specs"
BROKEN = SPECS / "broken"
THIRTY = SPECS / "thirty-mistakes"


def expected(folder: Path) -> list[str]:
    return (folder / "problems.txt").read_text(encoding="utf-8").splitlines()


def found(folder: Path) -> tuple[Diagnostic, ...]:
    with pytest.raises(ProjectError) as caught:
        load_project(folder, now=NOW)
    return caught.value.diagnostics


@pytest.fixture(scope="module")
def broken() -> list[str]:
    return problems(BROKEN)


@pytest.mark.parametrize("file", sorted(path.name for path in (BROKEN / "specs").iterdir()))
def test_a_mistake_is_told_in_these_words(file: str, broken: list[str]) -> None:
    told = [line for line in broken if line.startswith(f"specs/{file}:")]
    assert told == [line for line in expected(BROKEN) if line.startswith(f"specs/{file}:")]
    assert told


def test_nothing_else_is_told(broken: list[str]) -> None:
    assert broken == expected(BROKEN)


def test_thirty_mistakes_are_told_in_one_run_sorted_and_located() -> None:
    told = found(THIRTY)
    assert [str(problem) for problem in told] == expected(THIRTY)
    assert len({problem.code for problem in told}) >= 30
    assert list(told) == sorted(told)
    assert all(problem.line and problem.column for problem in told)


def test_every_problem_has_a_code_of_its_own_and_no_words_of_pydantic() -> None:
    told = [*found(BROKEN), *found(THIRTY)]
    foreign = {"Input should", "valid string", "Extra inputs", "Field required", "pydantic", "type="}
    assert not [problem for problem in told for words in foreign if words in problem.message]
    ours = {problem.code for problem in told}
    assert ours & set(get_args(ErrorType)) <= {"missing", "too_long"}
    assert "" not in ours


def test_a_mistake_in_the_defaults_is_told_once_however_many_specs_have_it() -> None:
    logo = [line for line in problems(THIRTY) if "images/lgoo.png" in line]
    assert Counter(logo) == {
        'paygift.yaml:7:5: defaults.activity_base_info.merchant_logo_url: "images/lgoo.png" does not exist': 1
    }
