"""What hides, reorders or commands: by property, in names, in logs and in annotations."""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.model.characters import DEFAULT_IGNORABLE, FORBIDDEN, HIDDEN, safe, safe_json
from reconciler.model.diagnostics import Diagnostic, condensed
from reconciler.model.errors import ProjectError
from reconciler.render.escape import code, code_block, markup, prose
from reconciler.render.text import table
from reconciler.review.github.annotate import annotate
from reconciler.spec import load_project
from tests.support.project import Project
from tests.support.projects import NOW, PROJECT, SPEC, problems, write

LISTED = [
    0x34F,
    0x61C,
    0x115F,
    0x1160,
    0x17B4,
    0x17B5,
    0x180B,
    0x180E,
    0x2800,
    0x3164,
    *range(0xFE00, 0xFE10),
    0xFFA0,
]
COMMANDS = [
    "::stop-commands::x", "::add-mask::1", "  ::set-env name=A::b", "\u3000::error::x", "\t::warning file=a::b",
    "##[error]x", "a ##[command]b", "###[group]", "##vso[task.setvariable variable=a]b", "x##[##[y",
    "##teamcity[message text='x']",
]  # fmt: skip


def every() -> Iterator[str]:
    return map(chr, range(sys.maxunicode + 1))


# --- the property ---------------------------------------------------------------------------------------------------


def test_the_table_has_as_many_code_points_as_the_property() -> None:
    assert sum(last - first + 1 for first, last in DEFAULT_IGNORABLE) == 4_174


@pytest.mark.parametrize("category", ["Cc", "Cf", "Cs", "Zl", "Zp"])
def test_every_character_of_these_categories_is_hidden(category: str) -> None:
    assert [hex(ord(c)) for c in every() if unicodedata.category(c) == category and not HIDDEN.match(c)] == []


def test_every_blank_but_those_that_people_type_is_hidden() -> None:
    assert [c for c in every() if c.isspace() and not HIDDEN.match(c)] == [" ", "\u3000"]


@pytest.mark.parametrize("code_point", LISTED, ids=hex)
def test_no_name_may_hold_what_cannot_be_seen(tmp_path: Path, code_point: int) -> None:
    spec = SPEC.replace("良品铺子回馈活动", f'"春日\\u{code_point:04x}回馈"')
    write(tmp_path, paygift_yaml=PROJECT, activities__a_yaml=spec)
    (told,) = problems(tmp_path)
    assert told.startswith("activities/a.yaml:2:3: activity_base_info.activity_name: character 3 is U+")


def test_letters_digits_and_marks_that_can_be_seen_are_allowed() -> None:
    seen = [c for c in map(chr, range(0x10000)) if unicodedata.category(c)[0] in "LNPS" and FORBIDDEN.match(c)]
    assert [hex(ord(c)) for c in seen] == ["0x115f", "0x1160", "0x2800", "0x3164", "0xffa0"]


@pytest.mark.parametrize("where", ["merchant_groups", "brands"])
def test_two_groups_or_brands_may_not_look_the_same(tmp_path: Path, where: str) -> None:
    value = "east.txt" if where == "merchant_groups" else '{merchants: ["1900000001"]}'
    write(tmp_path, paygift_yaml=f'{PROJECT}{where}:\n  "east\\u034f": {value}\n', activities__a_yaml=SPEC)
    told = problems(tmp_path)
    place = rf'paygift.yaml:3:3: {where}."east\u034f": '
    assert f"{place}character 5 is U+034F, which cannot be seen: remove it" in told


# --- logs -----------------------------------------------------------------------------------------------------------


def commands_in(text: str) -> list[str]:
    """The lines that GitHub or Azure would obey."""
    return [line for line in text.split("\n") if line.strip().startswith("::") or "##[" in line or "##vso[" in line]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_a_ci_system_is_broken_up_and_can_still_be_read(command: str) -> None:
    for written in (safe(command), table(["a", "b"], [["", command], [command, ""]]), markup(command)):
        assert commands_in(written) == []
        assert "teamcity" not in written or "##teamcity[" not in written
    assert commands_in(code(command)) == []
    assert commands_in(code_block([command], "")) == []
    assert commands_in(prose(command)) == []


@pytest.mark.parametrize("text", ["a::b", "Tag::x ::", "#[a]", "## a", "# #[", "满 10 减 5", "：：x", "a ##"])
def test_what_is_no_command_stays_as_it_is(text: str) -> None:
    assert safe(text) == text


def test_json_that_may_land_in_a_log_means_the_same() -> None:
    data = {"a##[b": ["##[error]", "####[", "\\##[", "::x::"]}
    written = safe_json(json.dumps(data, indent=2))
    assert json.loads(written) == data
    assert commands_in(written) == []


@pytest.mark.parametrize("name", ["::stop-commands::x.yaml", "##[error]x.yaml", " ::error::x.yml", "##vso[a]x.yaml"])
def test_no_file_name_is_a_command_whatever_prints_it(project: Project, name: str) -> None:
    (project.root / "paygift.yaml").write_text("namespace: liangpin\nactivities: .\n", encoding="utf-8")
    (project.root / name).write_text("##[x]: ::y::\n", encoding="utf-8")
    for arguments in (
        ("validate",),
        ("validate", "--json"),
        ("--sandbox", "plan"),
        ("--sandbox", "apply", "--yes"),
    ):
        code_, out, err = project.run(*arguments)
        assert code_ == 3
        assert commands_in(out + "\n" + err) == []
        assert ".y" in out + err


def test_no_name_that_the_account_shows_is_a_command(project: Project) -> None:
    name = "##[group]x"
    with project.sandbox() as sandbox:
        item = {"activity_base_info": {"activity_name": name, "activity_second_title": "::stop-commands::x"}}
        sandbox.insert_activity(item, ["1900000001"])
    for arguments in (("status",), ("status", "--json"), ("drift",), ("plan", "--json"), ("plan", "--notes")):
        _, out, err = project.run("--sandbox", *arguments)
        assert commands_in(out + "\n" + err) == []


@pytest.mark.parametrize("command", COMMANDS)
def test_an_annotation_is_one_command_and_holds_no_other(command: str) -> None:
    found = {"file": command, "line": 1, "column": 1, "path": "", "code": "x", "message": command}
    (line,) = annotate({"format_version": "1.0", "problems": [found]})
    assert line.startswith("::error file=")
    assert "##[" not in line
    assert "##vso[" not in line


# --- many mistakes of one kind --------------------------------------------------------------------------------------


def test_twenty_thousand_equal_mistakes_are_one_line_with_their_number() -> None:
    lines = [
        Diagnostic("g.txt", n, 1, message=f'"{n}" is not a merchant number', code="mchid") for n in range(1, 20_001)
    ]
    (told,) = condensed([*lines])
    assert (told.line, told.code) == (1, "mchid")
    assert "19,999 more of this kind in this file" in told.message


def test_the_same_mistake_in_thousands_of_files_is_one_line_and_others_stay() -> None:
    same = [Diagnostic(f"{n:04}.yaml", 7, 3, "a.b", "no group", "unknown_group") for n in range(5_000)]
    other = Diagnostic("0007.yaml", 9, 1, "x", "unknown key", "unknown_key")
    told = condensed(sorted([*same, other]))
    assert [each.file for each in told] == ["0000.yaml", "0007.yaml"]
    assert "4,999 more of this kind in other files" in told[0].message
    assert told[1] == other


def test_twenty_mistakes_are_told_one_by_one_and_different_fields_are_different_kinds() -> None:
    twenty = [Diagnostic("a.yaml", n, 1, f"a[{n}].b", "empty", "empty") for n in range(20)]
    assert condensed(twenty) == twenty
    fields = [Diagnostic("a.yaml", n, 1, f"field{n}", f"missing {n}", "missing") for n in range(100)]
    assert condensed(fields) == fields
    assert len(condensed([Diagnostic("a.yaml", n, 1, f"a[{n}].b", "empty", "empty") for n in range(21)])) == 1


def test_the_error_itself_keeps_every_mistake(tmp_path: Path) -> None:
    write(tmp_path, paygift_yaml=PROJECT + "merchant_groups: {east: g.txt}\n", activities__a_yaml=SPEC)
    (tmp_path / "g.txt").write_text("x\n" * 200)
    with pytest.raises(ProjectError) as caught:
        load_project(tmp_path, now=NOW)
    assert len(caught.value.diagnostics) == 200


def test_an_exported_journal_can_be_printed_into_a_log_and_verified(project: Project) -> None:
    name = "春日##[x]"
    project.edit("spring", "activity_name: 春日回馈", f'activity_name: "{name}"')
    assert project.run("--sandbox", "apply", "--yes")[0] == 0
    _, out, _ = project.run("history", "--sandbox", "export")
    assert name not in out
    assert any(name in str(json.loads(line)) for line in out.splitlines())
    assert commands_in(out) == []
    (project.root / "journal.jsonl").write_text(out, encoding="utf-8")
    code_, _, err = project.run("history", "--sandbox", "verify", str(project.root / "journal.jsonl"))
    assert (code_, err) == (0, "")


@pytest.mark.parametrize("argument", ["##[error]x", "x\n::stop-commands::y", "\x1b[2J"])
def test_no_argument_is_a_command_where_it_is_quoted(project: Project, argument: str) -> None:
    for arguments in (("show", argument), (argument,), ("plan", argument), ("plan", f"--{argument}")):
        code_, out, err = project.run(*arguments)
        assert code_ != 0
        assert commands_in(out + "\n" + err) == []
        assert "\x1b" not in err
