"""A line is what git and an editor show as a line, in every text of a project; and links lead nowhere else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from reconciler.model.errors import ProjectError
from reconciler.spec import find_root, load_project, read_account, read_namespace, read_timezone
from tests.support.project import Project
from tests.support.projects import NOW, PROJECT, SPEC, png, problems, put, write

BREAKS = ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\r"]
BIDI = ["\u061c", "\u200e", "\u200f", "\u202a", "\u202e", "\u2066", "\u2069"]
OTHERS = ["\x00", "\x07", "\x1b", "\x7f", "\x80", "\x9f", "\ufeff", "\ufffe", "\uffff"]
GROUPED = PROJECT + "merchant_groups: {east: east.txt}\n"


def spoilt(root: Path, file: str, comment: str) -> list[str]:
    """What is said of a good project whose ``file`` gets ``comment`` as its second line."""
    texts = {"paygift.yaml": GROUPED, "activities/a.yaml": SPEC, "east.txt": "1900000003\n1900000004\n"}
    for name, text in texts.items():
        first, rest = text.split("\n", 1)
        put(root, name, f"{first}\n{comment}\n{rest}" if name == file else text)
    return problems(root)


@pytest.mark.parametrize("file", ["paygift.yaml", "activities/a.yaml", "east.txt"])
@pytest.mark.parametrize("character", [*BREAKS, *BIDI, *OTHERS], ids=ascii)
def test_what_an_editor_does_not_show_as_it_is_read_is_refused_with_its_place(
    tmp_path: Path, file: str, character: str
) -> None:
    told = spoilt(tmp_path, file, f"# 说明 wiki{character}policy: x")
    assert [line.split(" U+")[0] for line in told if line.startswith(file)] == [f"{file}:2:10: the character"]
    assert f"U+{ord(character):04X}" in told[0]


@pytest.mark.parametrize("comment", ["# ❤️ 👨‍👩‍👧 é 中文\t|", "# a\r", "#", "# \u3000 \xa0 x", "# \u200b"])
def test_what_an_editor_shows_stays_allowed_in_comments(tmp_path: Path, comment: str) -> None:
    for file in ("paygift.yaml", "activities/a.yaml", "east.txt"):
        assert spoilt(tmp_path, file, comment) == []


@pytest.mark.parametrize("ending", ["\r\n", "\n"])
def test_both_endings_of_lines_are_lines_and_both_may_be_mixed(tmp_path: Path, ending: str) -> None:
    write(tmp_path, paygift_yaml=f"{PROJECT}# x\r\n".replace("\n", ending) if ending == "\n" else PROJECT)
    put(tmp_path, "activities/a.yaml", SPEC.replace("\n", ending))
    assert problems(tmp_path) == []


def test_the_first_of_many_is_told_and_the_others_are_counted(tmp_path: Path) -> None:
    (told,) = spoilt(tmp_path, "activities/a.yaml", "# a\u2028b\x0bc\rd")
    assert told == (
        "activities/a.yaml:2:4: the character U+2028 ends a line for some programs and not for git: press Enter "
        "instead (and 2 more such characters in this file)"
    )


def test_a_policy_that_the_diff_hides_is_not_read(project: Project) -> None:
    (project.root / "paygift.yaml").write_text(
        "namespace: liangpin # see wiki\u2028policy: {on_removed: ignore}\n", encoding="utf-8"
    )
    for arguments in (("validate",), ("--sandbox", "plan"), ("--sandbox", "apply", "--yes")):
        code, _, err = project.run(*arguments)
        assert code == 3
        assert "paygift.yaml:1:31: the character U+2028" in err


# --- files that are no UTF-8 text -----------------------------------------------------------------------------------

TEXTS = "1900000001\n1900000002\n"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"PK\x03\x04\x14\x00\x06\x00", "east.txt\" is an Excel workbook (.xlsx) or another archive and not a text"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "is an old Excel or Word file"),
        (b"%PDF-1.7\n", "is a PDF"),
        (png(), "is an image"),
        (TEXTS.encode("utf-16"), "east.txt:1:1: is UTF-16: save the file as UTF-8"),
        (TEXTS.encode("utf-16-le"), "east.txt:1:1: is UTF-16: save the file as UTF-8"),
        (TEXTS.encode("utf-16-be"), "east.txt:1:1: is UTF-16: save the file as UTF-8"),
        (f"# 华东\n{TEXTS}".encode("utf-16-le"), "east.txt:1:1: is UTF-16: save the file as UTF-8"),
        (f"# 华东\n{TEXTS}".encode("gbk"), "is not UTF-8: save the file as UTF-8 (it may be GBK or UTF-16)"),
    ],
)  # fmt: skip
def test_a_group_that_is_no_text_is_named_by_what_it_is_and_has_no_consequences(
    tmp_path: Path, content: bytes, told: str
) -> None:
    brands = 'brands: {b: {merchants: ["1900000009"], merchant_groups: [east]}}\n'
    only = SPEC.replace('merchant_id_list: ["1900000002", "1900000001"]', "merchant_groups: [east]")
    write(tmp_path, paygift_yaml=GROUPED + brands, activities__a_yaml=only, activities__b_yaml=SPEC)
    put(tmp_path, "east.txt", content)
    (only_one,) = problems(tmp_path)
    assert told in only_one


def test_a_spec_in_utf_16_is_named_too(tmp_path: Path) -> None:
    write(tmp_path, paygift_yaml=PROJECT, activities__a_yaml=SPEC.encode("utf-16-be"))
    assert problems(tmp_path) == ["activities/a.yaml:1:1: is UTF-16: save the file as UTF-8"]


# --- no consequences ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("group", ["x\n" * 20_000, "19000000\nabc\n", "<<<<<<< HEAD\n1900000001\n=======\n"])
def test_a_group_with_a_line_that_is_no_merchant_has_no_consequences(project: Project, group: str) -> None:
    brands = 'brands: {b: {merchants: ["1900000009"], merchant_groups: [east]}}\n'
    (project.root / "paygift.yaml").write_text(GROUPED + brands, encoding="utf-8")
    (project.root / "east.txt").write_text(group, encoding="utf-8")
    project.edit("spring", 'merchant_id_list: ["1900000001"]', "merchant_groups: [east]")
    code, _, err = project.run("validate")
    assert code == 3
    assert all(line.startswith("east.txt:") for line in err.splitlines()[:-1])
    assert len(err.splitlines()) <= 3


@pytest.mark.parametrize(
    ("wrong", "path"),
    [
        ("merchant_groups: [east]", "merchant_groups"),
        ("defaults: [x]", "defaults"),
        ("brands: {b: {merchants: [x]}}", "brands.b.merchants[0]"),
        ("brands: {b: {merchant_groups: [west], merchants: ['1900000009']}}", "brands.b.merchant_groups[0]"),
    ],
)
def test_what_paygift_yaml_says_unreadably_is_told_there_and_nowhere_else(
    tmp_path: Path, wrong: str, path: str
) -> None:
    spec = SPEC.replace("  merchant_id_list", "  merchant_groups: [east]\n  merchant_id_list")
    groups = "" if "merchant_groups: [east]" in wrong else "merchant_groups: {east: east.txt}\n"
    write(tmp_path, paygift_yaml=f"{PROJECT}{groups}{wrong}\n", east_txt="1900000003\n", activities__a_yaml=spec)
    if wrong.startswith("defaults"):
        put(tmp_path, "activities/a.yaml", spec.replace("  delivery_purpose: OFF_LINE_PAY\n", ""))
    (told,) = problems(tmp_path)
    assert f": {path}: " in told


# --- links ----------------------------------------------------------------------------------------------------------


def test_no_file_of_a_project_is_a_link_out_of_it(tmp_path: Path) -> None:
    outside, root = tmp_path / "outside", tmp_path / "root"
    outer: tuple[tuple[str, str | bytes], ...] = (
        ("paygift.yaml", PROJECT),
        ("a.yaml", SPEC),
        ("g.txt", "1900000003\n"),
        ("p.png", png()),
    )
    for name, content in outer:
        put(outside, name, content)
    (outside / "specs").mkdir()
    grouped = f"{PROJECT}merchant_groups: {{east: g.txt}}\nactivities: specs\n"
    pictured = SPEC.replace("https://wxpaylogo.qpic.cn/logo/0", "p.png")

    def told(*links: str) -> list[str]:
        project = root / "-".join(links)
        files: dict[str, str | bytes] = {"paygift.yaml": grouped, "specs/a.yaml": pictured}
        files |= {"g.txt": "1900000003\n", "p.png": png()}
        for name, text in files.items():
            if name not in links and name.partition("/")[0] not in links:
                put(project, name, text)
        for link in links:
            project.mkdir(parents=True, exist_ok=True)
            (project / link).symlink_to(outside / ("a.yaml" if link == "specs/a.yaml" else link))
        return problems(project)

    leaves = "is a link that leaves the project"
    assert told("paygift.yaml") == [f"paygift.yaml: {leaves}"]
    assert told("g.txt") == [f'paygift.yaml:2:19: merchant_groups.east: "g.txt" {leaves}']
    assert told("specs") == [f'paygift.yaml:3:1: activities: "specs" {leaves}']
    assert told("p.png") == [f'specs/a.yaml:4:3: activity_base_info.merchant_logo_url: "p.png" {leaves}']
    (root / "x/specs").mkdir(parents=True)
    put(root / "x", "paygift.yaml", f"{PROJECT}activities: specs\n")
    (root / "x/specs/a.yaml").symlink_to(outside / "a.yaml")
    assert problems(root / "x") == [f"specs/a.yaml: {leaves}"]


@pytest.mark.parametrize("read", [read_namespace, read_account, read_timezone], ids=lambda each: str(each.__name__))
def test_nobody_reads_a_project_file_through_a_link_out_of_the_project(tmp_path: Path, read: object) -> None:
    put(tmp_path, "secret", "TOKEN: abc\n")
    (tmp_path / "root").mkdir()
    (tmp_path / "root/paygift.yaml").symlink_to("../secret")
    with pytest.raises(ProjectError, match=r"^paygift\.yaml: is a link that leaves the project$"):
        read(find_root(tmp_path / "root"))  # type: ignore[operator]


def test_a_link_that_stays_in_the_project_is_followed(tmp_path: Path) -> None:
    put(tmp_path, "config/real.yaml", PROJECT)
    put(tmp_path, "activities/a.yaml", SPEC)
    (tmp_path / "paygift.yaml").symlink_to("config/real.yaml")
    assert len(load_project(tmp_path, now=NOW).activities) == 1


def test_a_project_file_that_is_a_link_to_itself_is_told(tmp_path: Path) -> None:
    (tmp_path / "paygift.yaml").symlink_to("paygift.yaml")
    (told,) = problems(tmp_path)
    assert told.startswith("paygift.yaml: cannot be read")


# --- names as they are on disk --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("disk", "written"),
    [
        ("images/Logo.png", "images/logo.png"),
        ("Images/logo.png", "images/logo.png"),
        ("images/logo.PNG", "images/logo.png"),
        ("images/e\u0301.png", "images/\u00e9.png"),
    ],
)
def test_a_picture_that_differs_in_case_or_composition_is_named_as_it_is_on_disk(
    tmp_path: Path, disk: str, written: str
) -> None:
    spec = SPEC.replace("https://wxpaylogo.qpic.cn/logo/0", written)
    write(tmp_path, paygift_yaml=PROJECT, activities__a_yaml=spec)
    put(tmp_path, disk, png())
    (told,) = problems(tmp_path)
    assert f'"{written}" is called "{disk}" on disk: write it so' in told


def test_groups_and_the_activities_folder_are_held_to_their_names_too(tmp_path: Path) -> None:
    project = f"{PROJECT}activities: Specs\nmerchant_groups: {{east: ./m/../m/East.txt}}\n"
    write(tmp_path, paygift_yaml=project, specs__a_yaml=SPEC, m__east_txt="1900000003\n")
    activities, group = problems(tmp_path)
    assert '"Specs" is called "specs" on disk' in activities
    assert '"./m/../m/East.txt" is called "m/../m/east.txt" on disk' in group


def test_where_the_system_finds_the_other_name_too_it_is_told_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a Mac: the name that a spec writes opens the file, whose name in the folder is another."""
    spec = SPEC.replace("https://wxpaylogo.qpic.cn/logo/0", "logo.png")
    write(tmp_path, paygift_yaml=PROJECT, activities__a_yaml=spec, logo_png=png())
    assert problems(tmp_path) == []
    listed = Path.iterdir
    monkeypatch.setattr(
        Path, "iterdir", lambda folder: (Path(str(each).replace("logo", "LOGO")) for each in listed(folder))
    )
    (told,) = problems(tmp_path)
    assert '"logo.png" is called "LOGO.png" on disk' in told


def test_a_file_that_is_not_there_at_all_is_missing(tmp_path: Path) -> None:
    spec = SPEC.replace("https://wxpaylogo.qpic.cn/logo/0", "images/none.png")
    write(tmp_path, paygift_yaml=PROJECT, activities__a_yaml=spec)
    assert ['"images/none.png" does not exist' in told for told in problems(tmp_path)] == [True]
    (tmp_path / "images").mkdir(mode=0o300 if os.getuid() else 0o700)
    assert ['"images/none.png" does not exist' in told for told in problems(tmp_path)] == [True]
