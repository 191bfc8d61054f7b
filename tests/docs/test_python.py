"""What docs/python.md shows runs, prints what it says, and leaves out no function."""

from __future__ import annotations

import inspect
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from reconciler import commands

ROOT: Final = Path(__file__).parents[2]
TEXT: Final = (ROOT / "docs/python.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    return str(found)


def test_the_example_plans_and_applies_without_a_terminal(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "activities", tmp_path / "activities", ignore=shutil.ignore_patterns(".paygift"))
    done = subprocess.run(
        [sys.executable, "-c", block("python")],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == block("text")
    assert json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))["complete"] is True


@pytest.mark.parametrize("name", commands.__all__)
def test_every_public_name_is_there_and_says_what_it_promises(name: str) -> None:
    assert inspect.getdoc(getattr(commands, name))


def test_every_function_is_in_the_document() -> None:
    functions = [name for name in commands.__all__ if inspect.isfunction(getattr(commands, name))]
    assert [name for name in functions if not re.search(rf"`{name}\b", TEXT)] == []


def test_parameters_in_the_document_are_those_of_the_function() -> None:
    shown = re.findall(r"`(\w+)\(([^)`]*=[^)`]*)\)`", TEXT)
    assert len(shown) >= 5
    for name, parameters in shown:
        optional = [each.removesuffix("=") for each in parameters.split(", ") if each.endswith("=")]
        assert set(optional) <= set(inspect.signature(getattr(commands, name)).parameters), name


def test_whoever_only_validates_waits_for_no_http_client() -> None:
    program = (
        "import sys; from reconciler import commands; commands.validate(commands.Workspace());"
        "print([each for each in ('asyncio', 'httpx', 'sqlalchemy', 'rich', 'reconciler.plan') if each in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT / "activities",
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"


def test_what_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'terminate_everything'"):
        getattr(commands, "terminate_everything")  # noqa: B009 - mypy would see it
