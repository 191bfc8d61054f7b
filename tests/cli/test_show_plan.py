"""What becomes of a plan file on the command line."""

from __future__ import annotations

import pytest

from reconciler.render import messages as wording
from reconciler.render.fit import MIN_CHARS
from tests.support.project import Project


@pytest.fixture
def file(project: Project) -> str:
    name = str(project.root / "plan.json")
    assert project.run("--sandbox", "plan", "--out", name)[0] == 0
    return name


def test_markdown_keeps_to_the_characters_that_are_asked_for(project: Project, file: str) -> None:
    code, out, _ = project.run("show-plan", file, "--format", "markdown", "--max-chars", str(MIN_CHARS))
    assert code == 0
    assert 0 < len(out) <= MIN_CHARS


@pytest.mark.parametrize("characters", [MIN_CHARS - 1, 0, -1])
def test_fewer_characters_than_a_plan_needs_are_a_mistake_of_usage(
    project: Project, file: str, characters: int
) -> None:
    code, out, err = project.run("show-plan", file, "--format", "markdown", f"--max-chars={characters}")
    assert (code, out) == (1, "")
    assert f"{characters} is not in the range x>={MIN_CHARS}" in err
    assert "Traceback" not in err


def test_what_would_take_changes_back_is_shown_when_it_is_asked_for(project: Project, file: str) -> None:
    words = wording.UNDO["terminate"]
    for command in (["--sandbox", "plan"], ["show-plan", file]):
        assert words not in project.run(*command)[1]
        assert words in project.run(*command, "--undo")[1]
