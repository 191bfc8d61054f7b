"""What the READMEs tell people to paste works, and what they show is what the program prints."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pytest
import yaml

from reconciler.cli import _COMMANDS as COMMANDS
from reconciler.cli import paygift
from reconciler.commands.unexpected import DEBUG
from reconciler.model.errors import ProjectError
from reconciler.spec import load_project

ROOT: Final = Path(__file__).parents[2]
ENGLISH: Final = ROOT / "README.md"
CHINESE: Final = ROOT / "README.zh-CN.md"
READMES: Final = (ENGLISH, CHINESE)

NOT_RUN: Final = ("make ", "pip install ", "git clone ", "export ", "paygift sandbox serve")
"""They set up a machine, take minutes, or never end; each is tested elsewhere or by running this suite at all."""

_BLOCK: Final = re.compile(
    r"(?:<!-- (?P<mark>[a-z]+):[^\n]*-->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_EXIT: Final = re.compile(r"#.*\bexit (\d+)")


@dataclass(frozen=True)
class Block:
    """A fenced block. ``mark`` is the first word of the comment above it, if there is one."""

    mark: str
    language: str
    text: str


def blocks(readme: Path) -> list[Block]:
    found = _BLOCK.finditer(readme.read_text(encoding="utf-8"))
    return [Block(each["mark"] or "", each["language"], each["text"]) for each in found]


def marked(readme: Path, mark: str) -> Block:
    (block,) = (each for each in blocks(readme) if each.mark == mark)
    return block


def lines_to_paste(readme: Path) -> list[str]:
    """Every line of a ``sh`` block, and what follows a ``$`` in a ``console`` block, comments included."""
    found = []
    for block in blocks(readme):
        lines = block.text.splitlines()
        if block.language == "console":
            lines = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
        elif block.language != "sh":
            continue
        found += [line for line in lines if line and not line.startswith("#")]
    return found


def command_of(line: str) -> str:
    return line.partition(" #")[0].strip()


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A folder with ``activities/`` in it, and an environment without credentials in which ``paygift`` is this code."""
    folder = tmp_path_factory.mktemp("clone")
    shutil.copytree(ROOT / "activities", folder / "activities", ignore=shutil.ignore_patterns(".paygift"))
    tools = tmp_path_factory.mktemp("tools")
    paygift = tools / "paygift"
    paygift.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m reconciler "$@"\n', encoding="utf-8")
    paygift.chmod(0o755)
    environment = without_credentials()
    environment["PATH"] = f"{tools}{os.pathsep}{environment['PATH']}"
    environment["PYTHONPATH"] = str(ROOT)
    return folder, environment


def without_credentials() -> dict[str, str]:
    """The environment without anything that would set an account or an option."""
    return {name: text for name, text in os.environ.items() if not name.startswith("PAYGIFT_")}


def test_every_command_that_can_be_pasted_works(shell: tuple[Path, dict[str, str]]) -> None:
    folder, environment = shell
    ran = 0
    for line in lines_to_paste(ENGLISH):
        command = command_of(line)
        if f"{command} ".startswith(NOT_RUN):
            continue
        if command.startswith("cd "):
            folder /= command.removeprefix("cd ")
            continue
        expected = int(found[1]) if (found := _EXIT.search(line)) else 0
        done = subprocess.run(
            command, shell=True, cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == expected, f"{command}\n{done.stdout}{done.stderr}"
        ran += 1
    assert ran >= 5


PLACEHOLDER: Final = re.compile(r"[A-Z]{4,}$")
"""A word that stands for what a reader has at hand, such as HASH."""


@pytest.mark.sampled(every=3)
@pytest.mark.parametrize("name", ["specs", "journal", "interop"])
def test_what_documents_tell_to_paste_works(name: str, shell: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    folder, environment = shell
    environment = {**environment, "PAYGIFT_SANDBOX": "1"}
    shutil.copytree(folder / "activities", tmp_path / "project", ignore=shutil.ignore_patterns(".paygift"))
    ran = 0
    for line in lines_to_paste(ROOT / f"docs/{name}.md"):
        command = command_of(line)
        if f"{command} ".startswith((*NOT_RUN, "cd ", "npm ")) or PLACEHOLDER.search(command):
            continue
        done = subprocess.run(
            command, shell=True, cwd=tmp_path / "project", env=environment, capture_output=True, text=True, check=False
        )  # fmt: skip
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        ran += 1
    assert ran >= 3


def test_both_readmes_have_the_same_commands() -> None:
    english, chinese = ([command_of(line) for line in lines_to_paste(readme)] for readme in READMES)
    assert english == chinese


def test_both_readmes_say_the_same_exits() -> None:
    english, chinese = (
        [found[1] for line in lines_to_paste(readme) if (found := _EXIT.search(line))] for readme in READMES
    )
    assert english == chinese


@pytest.fixture(scope="module")
def printed_plan(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The plan with a replacement that the demo prints, as it was printed."""
    folder = str(tmp_path_factory.mktemp("demo") / "story")
    story = subprocess.run(
        [sys.executable, "-m", "reconciler", "--no-color", "demo", "--folder", folder],
        cwd=ROOT,
        env=without_credentials(),
        capture_output=True,
        text=True,
        check=True,
    )
    runs = (each.partition("\n") for each in story.stdout.split("\n$ paygift ")[1:])
    (plan,) = (output for command, _, output in runs if " plan" in command and "\n-/+ " in output)
    return plan.partition("\n(exit ")[0]


def lasting(plan: str) -> str:
    """Only the seconds of the uploads differ from run to run, while campaigns are created in the same order."""
    return re.sub(r"(?<=uploaded earlier \(2026-11-25 10:)\d\d:\d\d", "…", plan).strip()


def without_ids(plan: str) -> str:
    """What does not depend on which campaign was created, and which image uploaded, first: all that goes on at once."""
    plan = re.sub(r"/wxpaylogo/[\w-]{32}/0", "/…", lasting(plan))
    return re.sub(r"\bDigest [0-9a-f]{12}\b", "Digest …", re.sub(r"\b204\d{5}\b", "ID", plan))


@pytest.mark.parametrize("readme", READMES, ids=lambda path: path.name)
def test_the_plan_shown_is_the_plan_printed(readme: Path, printed_plan: str) -> None:
    shown = marked(readme, "plan").text
    assert without_ids(shown) == without_ids(printed_plan)
    if ids_in(shown) == ids_in(printed_plan):
        assert digest_in(shown) == digest_in(printed_plan)


@pytest.mark.parametrize("readme", READMES, ids=lambda path: path.name)
def test_the_plan_shown_is_the_one_that_the_text_says(readme: Path) -> None:
    story = (ROOT / "reconciler/cli/demo.py").read_text(encoding="utf-8").partition('winter-tea.yaml").unlink()')[0]
    plans = story.count('story.run("--sandbox", "plan"') + 1
    before = readme.read_text(encoding="utf-8").partition("<!-- plan:")[0].splitlines()[-3:]
    assert any(
        word in line
        for line in before
        for word in ({3: "third plan", 4: "fourth plan"}[plans], f"第{'〇一二三四'[plans]}个")
    )


def digest_in(plan: str) -> str:
    (digest,) = re.findall(r"^Digest ([0-9a-f]{12}), valid until ", plan, re.MULTILINE)
    return str(digest)


def ids_in(plan: str) -> list[str]:
    return re.findall(r"\b204\d{5}\b", plan)


@pytest.mark.parametrize("readme", READMES, ids=lambda path: path.name)
def test_the_ids_in_the_reading_guide_are_those_that_the_plan_ends(readme: Path) -> None:
    """The guide names the activities that end; a newcomer will look for them in the plan."""
    plan = marked(readme, "plan").text
    ending = re.findall(r"^ +- terminate: (\d+)", plan, re.MULTILINE)
    guide = readme.read_text(encoding="utf-8").partition(plan)[2]
    assert ending
    assert all(activity_id in guide for activity_id in ending)


@pytest.mark.parametrize("readme", READMES, ids=lambda path: path.name)
def test_the_spec_shown_is_the_example(readme: Path) -> None:
    example = (ROOT / "activities/specs/members-nuts.yaml").read_text(encoding="utf-8")
    assert yaml.safe_load(marked(readme, "spec").text) == yaml.safe_load(example)


@pytest.mark.parametrize("readme", READMES, ids=lambda path: path.name)
@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_named(readme: Path, command: str) -> None:
    assert re.search(rf"^\| `paygift {command}\b", readme.read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize("readme", READMES, ids=lambda path: path.name)
def test_every_variable_of_the_settings_is_named_and_no_other(readme: Path) -> None:
    settings = (ROOT / "reconciler/commands/settings.py").read_text(encoding="utf-8")
    read = set(re.findall(r'"(PAYGIFT_[A-Z0-9_]+)"', settings))
    files = {f"{name}_FILE" for name in ("PAYGIFT_PRIVATE_KEY", "PAYGIFT_PUBLIC_KEY")}
    named = set(re.findall(r"`(PAYGIFT_[A-Z0-9_]+)`", readme.read_text(encoding="utf-8")))
    assert {*read, *files} <= named | {"PAYGIFT_PUBLIC_KEY or PAYGIFT_PUBLIC_KEY_FILE"}
    options = {DEBUG, *(f"PAYGIFT_{str(option.name).upper()}" for option in paygift.params)}
    assert DEBUG in named
    assert named <= {*read, *files, *options}


@pytest.mark.parametrize("readme", READMES, ids=lambda path: path.name)
def test_every_exit_code_is_named(readme: Path) -> None:
    codes = (ROOT / "reconciler/model/errors.py").read_text(encoding="utf-8")
    given = {"0", *re.findall(r"^EXIT_[A-Z]+: Final = (\d+)$", codes, re.MULTILINE)}
    assert set(re.findall(r"^\| (\d+) \|", readme.read_text(encoding="utf-8"), re.MULTILINE)) == given


COMPOSED: Final = ("HTTP ", "— ", "Not set: ")
"""Messages whose words are put together from facts, so that no source holds them in one piece."""


def messages(readme: Path) -> list[str]:
    """What the table of situations says that the program says: whole sentences, in their parts between ``…``."""
    rows = re.findall(r"^\|[^|]+\|([^|]+)\| [0-7][^|]*\|[^|]+\|$", readme.read_text(encoding="utf-8"), re.MULTILINE)
    quoted = [text for row in rows for text in re.findall(r"`([^`]+)`", row)]
    parts = [part.strip() for text in quoted for part in text.split("…")]
    return [part for part in parts if " " in part and not part.startswith(COMPOSED)]


@pytest.mark.parametrize("readme", READMES, ids=lambda path: path.name)
def test_the_messages_shown_are_those_of_the_program(readme: Path, tmp_path: Path) -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in ROOT.glob("reconciler/**/*.py"))
    sentences = re.sub(r'"\s+f?"', "", source)
    mistake, *others = messages(readme)
    assert mistake_in_fen(tmp_path / "project").startswith(mistake)
    assert len(others) >= 6
    assert [text for text in others if text not in sentences] == []


def mistake_in_fen(project: Path) -> str:
    """The problem of the example project once an amount in it is written in yuan."""
    shutil.copytree(ROOT / "activities", project, ignore=shutil.ignore_patterns(".paygift"))
    spec = project / "specs/everyday.yaml"
    text = spec.read_text(encoding="utf-8")
    spec.write_text(text.replace("amount_minimum: 1000 ", "amount_minimum: 10.00 "), encoding="utf-8")
    with pytest.raises(ProjectError) as caught:
        load_project(project, now=datetime(2026, 11, 25, tzinfo=UTC))
    (problem,) = caught.value.diagnostics
    return str(problem)


@pytest.mark.parametrize("readme", READMES, ids=lambda path: path.name)
def test_it_is_short_enough_to_be_read(readme: Path) -> None:
    assert len(readme.read_text(encoding="utf-8").splitlines()) <= 300


# -- both languages say the same, row by row ---------------------------------------------------------------------------


def rows(readme: Path) -> list[list[str]]:
    """For each row of each table: what does not depend on the language, sorted; an empty list between two tables."""
    text = _BLOCK.sub("", readme.read_text(encoding="utf-8"))
    found: list[list[str]] = []
    for line in text.splitlines():
        if line.startswith("| "):
            numbers = re.findall(r"(?<=\| )\d+(?= \|)", line)
            found.append(sorted([*re.findall(r"`[^`]+`", line), *re.findall(r"\]\(([^)]+)\)", line), *numbers]))
        elif found and found[-1]:
            found.append([])
    return found


def test_both_readmes_have_the_same_rows_in_the_same_order() -> None:
    english, chinese = map(rows, READMES)
    assert sum(row == [] for row in english) >= 6
    assert len(english) > 70
    for one, other in zip(english, chinese, strict=True):
        assert one == other
