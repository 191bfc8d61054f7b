"""What lies among the specs: every entry is read, hidden, named by the project, or told so that nothing is planned."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from reconciler.model.errors import ProjectError, UsageError
from reconciler.spec import find_root, load_project
from tests.support.project import Project
from tests.support.projects import NOW, PROJECT, SPEC, png, problems, put, write

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22e\nsize 1234\n"
LFS = "is a Git LFS pointer and not the file itself: fetch it (git lfs pull; in CI, check out with LFS)"
UNNAMED = "is an image that no spec names"


def codes(root: Path) -> dict[str, str]:
    """The code that each file is told with."""
    with pytest.raises(ProjectError) as caught:
        load_project(root, now=NOW)
    return {problem.file: problem.code for problem in caught.value.diagnostics}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write(tmp_path / "project", paygift_yaml=PROJECT, activities__spring_yaml=SPEC)


# --- other endings -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "winter-tea.YAML",
        "winter-tea.Yml",
        "winter-tea.yaml.txt",
        "winter-tea.yaml.bak",
        "winter-tea.yml.orig",
        "winter-tea.yaml~",
        "winter-tea.yaml ",
        "winter-tea.yaml (1)",
        "winter-tea.YAML.txt",
    ],
)
def test_what_was_nearly_a_spec_is_told_with_the_name_that_it_needs(root: Path, name: str) -> None:
    put(root, f"activities/2026/{name}", SPEC)
    (told,) = problems(root)
    assert told.startswith(f"activities/2026/{name}: is not read, since its name does not end in .yaml or .yml")
    assert 'rename it to "winter-tea.yaml"; if not, remove it' in told


@pytest.mark.parametrize(
    "name", ["winter-tea", "winter-tea.json", "winter-tea.yam", "README.md", "plan.html", "~$a.xlsx"]
)
def test_what_is_nothing_of_ours_is_told(root: Path, name: str) -> None:
    put(root, f"activities/{name}", SPEC)
    (told,) = problems(root)
    assert told.startswith(f"activities/{name}: is neither a spec (*.yaml, *.yml) nor named by")
    assert "move it out of the activities folder" in told


def test_only_a_dot_at_the_beginning_hides(root: Path) -> None:
    for name in (".hidden.yaml", ".git/config.yaml", ".notes.txt", ".DS_Store", "._spring.yaml"):
        put(root, f"activities/{name}", "not: a spec\n")
    assert problems(root) == []


# --- folders -------------------------------------------------------------------------------------------------------


def test_an_empty_folder_is_told_as_a_submodule_that_may_not_have_been_fetched(root: Path) -> None:
    (root / "activities/brands/tea").mkdir(parents=True)
    (told,) = problems(root)
    assert told.startswith("activities/brands/tea: the folder is empty but for hidden files: fetch it")
    assert "git submodule update --init" in told


def test_a_folder_of_hidden_entries_only_is_empty(root: Path) -> None:
    put(root, "activities/autumn/.gitkeep", "")
    put(root, "activities/autumn/.old/autumn.yaml", SPEC)
    assert codes(root) == {"activities/autumn": "empty_folder"}


def test_a_folder_that_is_called_like_a_spec_is_a_folder(root: Path) -> None:
    put(root, "activities/more.yaml/summer.yaml", SPEC)
    assert [each.key for each in load_project(root, now=NOW).activities] == ["spring", "summer"]
    (root / "activities/winter-tea.yaml").mkdir()
    assert codes(root) == {"activities/winter-tea.yaml": "empty_folder"}


def test_an_empty_folder_behind_a_link_is_told_where_the_link_is(root: Path) -> None:
    (root / "elsewhere").mkdir()
    (root / "activities/linked").symlink_to("../elsewhere")
    assert codes(root) == {"activities/linked": "empty_folder"}


# --- what is no file -----------------------------------------------------------------------------------------------


def test_pipes_sockets_and_broken_links_are_told_whatever_they_are_called(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = root / "activities"
    os.mkfifo(folder / "pipe")
    os.mkfifo(folder / "pipe.yml")
    (folder / "gone").symlink_to("nothing")
    (folder / "gone.yaml").symlink_to("nothing.yaml")
    (folder / "self").symlink_to("self")
    with socket.socket(socket.AF_UNIX) as server:
        monkeypatch.chdir(folder)  # the path of a socket must be short
        server.bind("s.yaml")
    assert sorted(codes(root)) == sorted(
        f"activities/{name}" for name in ("pipe", "pipe.yml", "gone", "gone.yaml", "self", "s.yaml")
    )


# --- names that are one name elsewhere -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other"),
    [("Tea.yaml", "tea.yaml"), ("caf\u00e9.yaml", "cafe\u0301.yaml"), ("A/x.yaml", "a/x.yaml")],
)
def test_names_that_a_mac_takes_for_one_are_told(root: Path, one: str, other: str) -> None:
    put(root, f"activities/{one}", f"key: one\n{SPEC}")
    put(root, f"activities/{other}", f"key: other\n{SPEC}")
    assert list(codes(root).values()) == ["same_name"]


# --- Git LFS -------------------------------------------------------------------------------------------------------


def test_a_pointer_of_git_lfs_is_named_as_such_wherever_it_lies(root: Path) -> None:
    project = f"{PROJECT}merchant_groups: {{east: merchants/east.txt}}\n"
    logo = SPEC.replace("https://wxpaylogo.qpic.cn/logo/0", "images/logo.png")
    write(root, paygift_yaml=project, activities__a_yaml=logo, activities__b_yaml=POINTER)
    put(root, "images/logo.png", POINTER)
    put(root, "merchants/east.txt", POINTER.replace("\n", "\r\n"))
    assert problems(root) == [
        f'activities/a.yaml:4:3: activity_base_info.merchant_logo_url: "images/logo.png" {LFS}',
        f"activities/b.yaml: {LFS}",
        f'paygift.yaml:2:19: merchant_groups.east: "merchants/east.txt" {LFS}',
    ]
    write(root, paygift_yaml=POINTER)
    assert problems(root) == [f"paygift.yaml: {LFS}"]


def test_a_file_that_grows_while_it_is_read_is_told(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = os.read

    def grown(descriptor: int, count: int) -> bytes:
        return (read(descriptor, count) + b"---\nkey: more\n")[:count]

    monkeypatch.setattr(os, "read", grown)
    assert problems(root) == ["paygift.yaml: changed while it was read: run again"]


# --- files that the project names ----------------------------------------------------------------------------------

DEFAULTS = """\
activities: .
merchant_groups: {east: merchants/east.txt}
defaults:
  activity_base_info: {merchant_logo_url: images/default.png}
"""


@pytest.fixture
def flat(tmp_path: Path) -> Path:
    """A project whose specs lie beside everything else."""
    spec = SPEC.replace("https://wxpaylogo.qpic.cn/logo/0", "./images//logo.png")
    root = write(tmp_path / "project", paygift_yaml=PROJECT + DEFAULTS, spring_yaml=spec)
    for name in ("images/logo.png", "images/default.png"):
        put(root, name, png())
    put(root, "merchants/east.txt", "1900000001\n")
    put(root, "sandbox-stocks.json", "[]")
    return root


def test_files_that_the_project_names_are_accounted_for(flat: Path) -> None:
    assert problems(flat) == []


def test_files_that_it_no_longer_names_are_told(flat: Path) -> None:
    write(flat, paygift_yaml=f"{PROJECT}activities: .\n")
    put(flat, "old/sandbox-stocks.json", "[]")
    assert codes(flat) == dict.fromkeys(
        ("images/default.png", "merchants/east.txt", "old/sandbox-stocks.json"), "not_read"
    )
    assert f"images/default.png: {UNNAMED}: remove it" in problems(flat)[0]


def test_a_picture_is_not_told_while_the_spec_that_names_it_cannot_be_read(flat: Path) -> None:
    put(flat, "spring.yaml", "activity_base_info: {\n")
    put(flat, "winter.yaml.bak", SPEC)
    assert sorted(codes(flat)) == ["spring.yaml", "winter.yaml.bak"]


def test_a_picture_behind_a_link_is_named_with_it(flat: Path) -> None:
    (flat / "images/logo.png").rename(flat / "images/real.png")
    (flat / "images/logo.png").symlink_to("real.png")
    assert problems(flat) == []


def test_a_group_that_is_called_like_a_spec_is_read_as_one_all_the_same(flat: Path) -> None:
    """Otherwise a slip in merchant_groups would hide a campaign."""
    put(flat, "paygift.yaml", f"{PROJECT}activities: .\nmerchant_groups: {{east: spring.yaml}}\n")
    assert any(line.startswith('spring.yaml:1:1: "activity_base_info:" is not a merchant') for line in problems(flat))


# --- the project file ----------------------------------------------------------------------------------------------


def test_a_project_file_in_the_activities_folder_is_not_passed_over(root: Path) -> None:
    write(root, activities__brand__paygift_yaml=PROJECT, activities__brand__summer_yaml=SPEC)
    put(root, "activities/paygift.yml", PROJECT)
    assert codes(root) == {
        "activities/brand/paygift.yaml": "other_project_file",
        "activities/paygift.yml": "misnamed_project_file",
    }


@pytest.mark.parametrize("name", ["paygift.yml", "PAYGIFT.YAML", "Paygift.Yml"])
def test_a_misnamed_project_file_is_told_beside_the_right_one(root: Path, name: str) -> None:
    put(root, name, "policy: {freeze: []}\n")
    assert problems(root) == [
        f"{name}: is not read, only paygift.yaml is: rename it, or move what it says there and remove it"
    ]
    write(root, paygift_yaml=f"{PROJECT}activities: .\n")
    assert f"{name}: is not read, only paygift.yaml is: rename it" in "\n".join(problems(root))


@pytest.mark.parametrize("name", ["paygift.yml", "PAYGIFT.YAML"])
def test_a_misnamed_project_file_does_not_lead_to_the_project_above(root: Path, name: str) -> None:
    file = put(root, f"brands/tea/{name}", PROJECT)
    with pytest.raises(ProjectError) as caught:
        find_root(file.parent)
    assert str(caught.value).startswith(f"{file}: is not read, only paygift.yaml is")


def test_a_project_file_that_is_a_broken_link_is_still_the_nearest(root: Path) -> None:
    (root / "brands").mkdir()
    (root / "brands/paygift.yaml").symlink_to("../nowhere.yaml")
    assert find_root(root / "brands") == root / "brands"
    assert problems(root / "brands") == ["paygift.yaml: is a link that leaves the project"]
    (root / "brands/paygift.yaml").unlink()
    (root / "brands/paygift.yaml").symlink_to("nowhere.yaml")
    assert problems(root / "brands") == ["paygift.yaml: does not exist"]


def test_a_folder_that_cannot_be_listed_is_no_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_path: object) -> list[str]:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "listdir", refuse)
    with pytest.raises(UsageError, match=r"There is no paygift\.yaml"):
        find_root(tmp_path)


# --- every command that plans --------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["validate", "plan", "apply --yes", "drift", "status", "show spring"])
def test_no_command_plans_while_an_entry_is_unread(project: Project, command: str) -> None:
    assert project.run("--sandbox", "apply", "--yes")[0] == 0
    (project.root / "activities/spring.yaml").rename(project.root / "activities/spring.YAML")
    code, out, err = project.run("--sandbox", *command.split())
    assert code == 3
    assert out == ""
    assert "activities/spring.YAML: is not read" in err
    with project.sandbox() as sandbox:
        (activity,) = sandbox.activities()
    assert activity["terminations"] == 0
