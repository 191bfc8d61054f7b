"""What the READMEs say that an edit does is what a plan says of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.project import SPEC, Project

WHILE_IT_RUNS, AFTER = "2026-12-15T10:00:00+08:00", "2027-01-15T10:00:00+08:00"
README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
TABLE = README.partition("## What an edit does\n")[2].partition("\n## ")[0]
GOES_ON = "No changes. 1 unchanged, 0 unmanaged."
REPLACED = "Plan: 1 to replace, so 1 ends permanently"

Edit = Callable[[Project], None]


def saying(line: str) -> Edit:
    return lambda project: project.write("spring", f"{line}\n{SPEC}")


def changing(old: str, new: str) -> Edit:
    return lambda project: project.edit("spring", old, new)


def dates(project: Project) -> None:
    project.edit("spring", "2026-12-01", "2027-01-20")
    project.edit("spring", "2026-12-31", "2027-01-25")


def timezone(project: Project) -> None:
    project.write("spring", SPEC.replace("+08:00", ""))
    (project.root / "paygift.yaml").write_text("namespace: liangpin\ntimezone: Asia/Tokyo\n", encoding="utf-8")


def renamed(line: str) -> Edit:
    def edit(project: Project) -> None:
        (project.root / "activities/spring.yaml").unlink()
        project.write("vernal", f"{line}{SPEC}")

    return edit


def deleted(project: Project) -> None:
    (project.root / "activities/spring.yaml").unlink()
    project.write("other")
    project.edit("other", "1000", "2000")
    project.edit("other", "1900000001", "1900000002")


def namespace(project: Project) -> None:
    (project.root / "paygift.yaml").write_text("namespace: weiran\n", encoding="utf-8")


@pytest.mark.parametrize(
    ("row", "edit", "clock", "said"),
    [
        ("merchant_id_list", changing('"]', '", "1900000002"]'), WHILE_IT_RUNS, "Plan: 1 to change; "),
        ("anything else", changing("1000", "2000"), WHILE_IT_RUNS, REPLACED),
        ("end_time", changing("2026-12-31", "2027-01-05"), WHILE_IT_RUNS, REPLACED),
        ("both dates", dates, WHILE_IT_RUNS, "! gap for 1 merchant: "),
        ("both dates", dates, AFTER, "Plan: 1 to create; "),
        ("timezone", timezone, WHILE_IT_RUNS, REPLACED),
        ("key", renamed(""), WHILE_IT_RUNS, "refusal LOOKS_RENAMED vernal"),
        ("renamed_from", renamed("renamed_from: [spring]\n"), WHILE_IT_RUNS, GOES_ON),
        ("I delete it", deleted, WHILE_IT_RUNS, "Plan: 1 to create, 1 to terminate, so 1 ends"),
        ("state: terminated", saying("state: terminated"), WHILE_IT_RUNS, "Plan: 1 to terminate, so 1 ends"),
        ("protect: true", saying("protect: true"), WHILE_IT_RUNS, GOES_ON),
        ("generation: 2", saying("generation: 2"), WHILE_IT_RUNS, GOES_ON),
        ("comments", saying("# a comment"), WHILE_IT_RUNS, GOES_ON),
        ("namespace", namespace, WHILE_IT_RUNS, "Plan: 1 to create; 0 unchanged, 1 unmanaged."),
    ],
)  # fmt: skip
def test_an_edit_does_what_the_table_says(row: str, edit: Edit, clock: str, said: str, project: Project) -> None:
    assert re.search(rf"^\|[^|\n]*\b{re.escape(row)}\b|\|[^\n]*`{re.escape(row)}", TABLE, re.MULTILINE)
    assert project.run("--sandbox", "apply", "--yes")[0] == 0
    assert project.run("sandbox", "clock", clock)[0] == 0
    edit(project)
    assert said in project.run("--sandbox", "plan")[1]


def test_the_same_terms_run_once_more_with_another_generation(project: Project) -> None:
    project.run("--sandbox", "apply", "--yes")
    saying("state: terminated")(project)
    project.run("--sandbox", "apply", "--yes")
    saying("generation: 2")(project)
    assert "Plan: 1 to create; " in project.run("--sandbox", "plan")[1]
