"""What contributors are told is so: the commands, the hooks, and the habits of the tests themselves."""

from __future__ import annotations

import re
import shlex
import tomllib
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from hypothesis import HealthCheck, settings

ROOT: Final = Path(__file__).parents[2]
CONTRIBUTING: Final = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
MAKEFILE: Final = (ROOT / "Makefile").read_text(encoding="utf-8")
HOOKS: Final[list[dict[str, Any]]] = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))[
    "repos"
][0]["hooks"]
URLS: Final[dict[str, str]] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]


def checks() -> dict[str, list[str]]:
    """The commands of `make check`, without the files at their end, and those files."""
    recipe = re.findall(r"^check:.*\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE)[0]
    lines = [line.split(";", 1)[1].partition("||")[0] for line in recipe.splitlines()]
    plain = [line.replace("$(PYTEST)", "$(BIN)/python -m pytest").replace("$(BIN)", ".venv/bin") for line in lines]
    found = {}
    for words in map(shlex.split, plain):
        files = [word for word in words if word.endswith(".yml")]
        found[shlex.join(word for word in words if word not in files)] = files
    return found


def test_the_hooks_are_the_checks_of_make_check() -> None:
    assert len(checks()) >= 8
    assert {shlex.join(shlex.split(hook["entry"])) for hook in HOOKS} == set(checks())


@pytest.mark.parametrize("hook", HOOKS, ids=[hook["id"] for hook in HOOKS])
def test_a_hook_is_given_the_files_that_make_check_gives(hook: dict[str, Any]) -> None:
    """And those that take none are told so."""
    given = checks()[shlex.join(shlex.split(hook["entry"]))]
    assert hook.get("pass_filenames", True) == bool(given)
    if given:
        files = [str(file.relative_to(ROOT)) for file in (ROOT / ".github").rglob("*") if file.is_file()]
        wanted = [file for file in files if any(fnmatch(file, pattern) for pattern in given)]
        assert wanted
        assert wanted == [file for file in files if re.search(hook["files"], file)]


def test_hooks_fetch_nothing() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    assert [repo["repo"] for repo in config["repos"]] == ["local"]
    assert {hook["language"] for hook in HOOKS} == {"system"}
    known = {"id", "name", "entry", "language", "types", "files", "pass_filenames", "always_run", "stages"}
    assert {name for hook in HOOKS for name in hook} <= known


def test_every_target_that_is_named_is_one() -> None:
    named = set(re.findall(r"`make ([a-z]+)", CONTRIBUTING))
    targets = set(re.findall(r"^([a-z]+):.*##", MAKEFILE, re.MULTILINE))
    assert {"test", "check", "soak"} <= named <= targets


def test_every_file_and_test_that_is_named_is_there() -> None:
    named = re.findall(r"\btests/[\w/.]+(?:::\w+)?", CONTRIBUTING)
    assert len(named) >= 5
    for each in named:
        file, _, test = each.partition("::")
        assert (ROOT / file).exists(), each
        assert not test or f"def {test}(" in (ROOT / file).read_text(encoding="utf-8"), each


def test_the_addresses_of_the_package_lead_into_one_repository() -> None:
    source = URLS["Source"]
    owner = source.removeprefix("https://github.com/").partition("/")[0]
    for address in URLS.values():
        path = address.removeprefix(source)
        assert path != address or address == source
        inside = re.fullmatch(r"/(?:tree|blob)/HEAD/(.+)", path)
        assert inside is None or (ROOT / inside[1]).exists()
    (rule,) = re.findall(r"^\* @([\w-]+)/", (ROOT / ".github/CODEOWNERS").read_text(), re.MULTILINE)
    assert rule == owner


@pytest.mark.parametrize("profile", ["same", "explore"])
def test_no_property_fails_because_a_machine_is_busy(profile: str) -> None:
    chosen = settings.get_profile(profile)
    assert chosen.deadline is None
    assert HealthCheck.too_slow in chosen.suppress_health_check
