"""docs/architecture.md is a true map: its picture is what the code imports, its layers those that the linter keeps."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
PACKAGE: Final = ROOT / "reconciler"
MAP: Final = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
ROOMS: Final = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
MOST_LINES: Final = 400
Arrow = tuple[str, str]


def imports_of(room: str) -> Iterator[str]:
    """The rooms that ``room`` imports from, also inside functions and for types only."""
    for path in (PACKAGE / room).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [f"{node.module}.{each.name}" for each in node.names]
            elif isinstance(node, ast.Import):
                names = [each.name for each in node.names]
            else:
                continue
            for name in names:
                top, _, rest = name.partition(".")
                if top == "reconciler" and rest.split(".")[0] in ROOMS - {room}:
                    yield rest.split(".")[0]


def below(arrows: set[Arrow], room: str) -> set[str]:
    """Everything that ``room`` reaches."""
    direct = {end for start, end in arrows if start == room}
    return direct.union(*(below(arrows, each) for each in direct)) if direct else direct


def needed(arrows: set[Arrow]) -> set[Arrow]:
    """The arrows that no detour stands for: what a picture must show for the rest to follow."""
    return {
        (start, end)
        for start, end in arrows
        if not any(end in below(arrows, other) for first, other in arrows if first == start and other != end)
    }


ARROWS: Final = {(room, other) for room in ROOMS for other in imports_of(room)}


def layers() -> list[set[str]]:
    linter = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    (found,) = [contract["layers"] for contract in linter["contracts"] if contract["id"] == "layers"]
    return [set(layer.split(" | ")) for layer in found]


def test_there_is_no_loose_module() -> None:
    assert {path.name for path in PACKAGE.glob("*.py")} == {"__init__.py", "__main__.py"}


def test_the_picture_is_what_the_code_imports() -> None:
    picture = MAP.partition("```mermaid\n")[2].partition("```")[0]
    drawn = {
        (start, end)
        for starts, ends in re.findall(r"^ *([\w &]+?) --> ([\w &]+)$", picture, re.MULTILINE)
        for start in starts.split(" & ")
        for end in ends.split(" & ")
    }
    assert drawn == needed(ARROWS)


def test_the_layers_are_those_of_the_linter() -> None:
    (told,) = re.findall(r"^- \*\*Layers\*\*.*?: (.*)$", MAP, re.MULTILINE)
    assert [set(re.findall(r"`(\w+)`", layer)) for layer in told.split(" → ")] == layers()
    assert set().union(*layers()) == ROOMS


def test_every_room_and_module_has_its_line() -> None:
    rows = dict(re.findall(r"^\| `(\w+)/` \| (.*) \|$", MAP, re.MULTILINE))
    assert rows.keys() == ROOMS
    for room in ROOMS:
        modules = {path.stem for path in (PACKAGE / room).rglob("*.py")} - {"__init__"}
        assert {module for module in modules if f"`{module}`" not in rows[room]} == set(), room
        assert {name for name in re.findall(r"`(\w+)`", rows[room]) if name not in modules} == set(), room


def test_no_module_is_long() -> None:
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
        for path in PACKAGE.rglob("*.py")
    }
    assert {path: lines for path, lines in lengths.items() if lines > MOST_LINES} == {}
