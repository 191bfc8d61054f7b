"""Files that commands are given to read: whatever they hold or are, a sentence says what is wrong, and no traceback."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler.model.identity import canonical_json
from reconciler.plan import checksum
from reconciler.system import input_files as inputs
from tests.support.project import Project

CODES = {0, 1, 3, 6}
READERS = [
    ["show-plan", "FILE"],
    ["show-plan", "--format", "html", "FILE"],
    ["show-plan", "--format", "markdown", "FILE"],
    ["show-plan", "--format", "json", "FILE"],
    ["--sandbox", "apply", "--yes", "FILE"],
    ["history", "verify", "FILE"],
    ["sandbox", "seed", "FILE"],
    ["github", "annotate", "--problems", "FILE"],
    ["github", "comment", "--plan", "FILE"],
    ["github", "comment", "--report", "FILE"],
    ["github", "drift-issue", "--drift", "FILE"],
]
DEEP = "[" * 100_000
BAD: dict[str, str | bytes] = {
    "deep list": DEEP,
    "deep but well-formed": "[" * 500 + "]" * 500,
    "deep object": '{"a":' * 500 + "1" + "}" * 500,
    "half a pair": '{"kind": "plan", "format_version": "\\ud800"}',
    "half a pair as a name": '{"kind": "plan", "\\udfff": 1}',
    "NaN": '{"kind": "plan", "format_version": NaN}',
    "Infinity": "[-Infinity]",
    "huge": '{"kind": "plan", "format_version": 1e999}',
    "long": f'{{"kind": "plan", "format_version": {"9" * 5000}}}',
    "twice": '{"kind": "plan", "kind": "plan"}',
    "cut off": '{"kind": "plan"',
    "not UTF-8": b"\xff\xfe\x00",
    "nothing": "",
    "null": "null",
    "list of null": "[null]",
    "stock of another type": '[{"stock_id": {"a": []}}]',
}


def read_by(project: Project, command: list[str], file: Path) -> tuple[int, str]:
    code, out, err = project.run(*(str(file) if part == "FILE" else part for part in command))
    assert "Traceback" not in out + err
    assert "unexpectedly" not in err, err
    assert code in CODES, err
    return code, err


@pytest.mark.parametrize("command", READERS, ids=" ".join)
def test_nothing_that_a_file_holds_is_unexpected(project: Project, command: list[str]) -> None:
    file = project.root / "input.json"
    for name, content in BAD.items():
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        code, err = read_by(project, command, file)
        if command[0] in ("show-plan", "--sandbox"):
            assert (code, err.count("\n")) == (6, 1), (name, err)
            assert "plan file" in err


@pytest.mark.parametrize("command", READERS, ids=" ".join)
def test_nothing_that_a_file_can_be_is_unexpected(
    project: Project, command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inputs, "SILENCE_SECONDS", 0.01)
    monkeypatch.setattr(inputs, "MOST_BYTES", 1024)
    fifo, loop = project.root / "fifo", project.root / "loop"
    os.mkfifo(fifo)
    loop.symlink_to(loop)
    for file in (
        fifo,
        loop,
        project.root,
        project.root / ("x" * 400),
        project.root / "a\udc80",
        Path("/dev/null"),
    ):
        assert read_by(project, command, file)[0] in CODES


def test_a_file_that_does_not_end_is_not_read_to_its_end(project: Project) -> None:
    code, _, err = project.run("show-plan", "/dev/zero")
    assert code == 1
    assert "has more than 256 MiB" in err


def test_a_plan_may_come_through_a_pipe(project: Project) -> None:
    plan, fifo = project.root / "plan.json", project.root / "fifo"
    project.run("--sandbox", "plan", "--out", str(plan))
    os.mkfifo(fifo)
    writer = threading.Thread(target=lambda: fifo.write_bytes(plan.read_bytes()))
    writer.start()
    code, out, _ = project.run("show-plan", str(fifo))
    writer.join()
    assert code == 0
    assert "spring" in out


def sealed(data: dict[str, Any]) -> str:
    """A plan file whose checksum fits, whatever is in it."""
    return canonical_json({**data, "checksum": checksum(data)})


@pytest.mark.parametrize("year", ["9999", "0001"])
def test_a_time_without_a_date_in_other_zones_is_refused(project: Project, year: str) -> None:
    file = project.root / "plan.json"
    project.run("--sandbox", "plan", "--out", str(file))
    text = file.read_text(encoding="utf-8")
    for part in ("made_at", "valid_until"):
        data = json.loads(text)
        data[part] = f"{year}-01-01T00:00:00Z" if year == "0001" else f"{year}-12-31T23:59:59Z"
        file.write_text(sealed(data), encoding="utf-8")
        for form in ("text", "html", "markdown", "json"):
            code, err = read_by(project, ["show-plan", "--format", form, "FILE"], file)
            assert code == 6
            assert "before year 2 or after year 9998" in err


LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("\ud800")
TREES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
)


def places(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a tree, as the keys and indexes that lead there."""
    inner = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [path, *(found for name, value in inner for found in places(value, (*path, name)))][0 if path else 1 :]


@given(st.data())
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_no_plan_file_is_unexpected_wherever_it_was_changed(project: Project, data: st.DataObject) -> None:
    good = project.root / "good.json"
    if not good.exists():
        project.run("--sandbox", "plan", "--out", str(good))
    plan = json.loads(good.read_text(encoding="utf-8"))
    *way, last = data.draw(st.sampled_from(places(plan)))
    parent = plan
    for step in way:
        parent = parent[step]
    parent[last] = data.draw(TREES)
    plan.pop("checksum", None)
    file = project.root / "changed.json"
    try:
        file.write_text(sealed(plan), encoding="utf-8")
    except UnicodeEncodeError:  # half a surrogate pair has no checksum
        file.write_text(json.dumps({**plan, "checksum": "0" * 64}), encoding="utf-8")
    form = data.draw(st.sampled_from(["text", "html", "markdown", "json"]))
    assert read_by(project, ["show-plan", "--format", form, "FILE"], file)[0] in (0, 6)
