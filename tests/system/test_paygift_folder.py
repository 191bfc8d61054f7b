"""What somebody puts into `.paygift/` by a commit is neither followed nor believed, and never shown."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from reconciler.model.errors import UsageError
from reconciler.sandbox.server import Sandbox
from reconciler.system import paygift_folder as folder
from tests.commands.test_first_come import Repository, repository
from tests.support.project import Project, name_account

SECRET = "PAYGIFT_APIV3_KEY=9f8e7d6c5b4a39281706f5e4d3c2b1a0"
COMMANDS = ["plan", "plan --out plan.json", "apply --yes", "drift", "status", "show spring"]


@pytest.fixture
def served(project: Project, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """An account that is real to the commands, with the coupons: its credentials are in the environment."""
    assert project.run("sandbox", "seed")[0] == 0
    with project.sandbox() as sandbox:
        name_account(monkeypatch, sandbox)
        yield sandbox


# -- what lies where images.json would be ------------------------------------------------------------------------------


def link_to(target: str) -> Callable[[Path], None]:
    return lambda file: file.symlink_to(target)


def sparse(file: Path) -> None:
    with file.open("wb") as opened:
        opened.truncate(1 << 30)


ODD: dict[str, tuple[Callable[[Path], object], str]] = {
    "link": (link_to("../secrets.env"), "a symbolic link"),
    "absolute link": (link_to("/etc/hostname"), "a symbolic link"),
    "dangling link": (link_to("nowhere/at/all"), "a symbolic link"),
    "loop": (link_to("images.json"), "a symbolic link"),
    "environment": (link_to("/proc/self/environ"), "a symbolic link"),
    "endless": (link_to("/dev/zero"), "a symbolic link"),
    "pipe": (os.mkfifo, "a named pipe"),
    "folder": (Path.mkdir, "a folder"),
    "1 GB": (sparse, "more than 16,777,216 bytes"),
    "secret": (lambda file: file.write_text(SECRET), "is not an image cache"),
    "NUL": (lambda file: file.write_bytes(b"\0" * 9), "is not an image cache"),
    "UTF-16": (lambda file: file.write_text("{}", encoding="utf-16"), "is not an image cache"),
    "bytes": (lambda file: file.write_bytes(b"\xff" + SECRET.encode()), "is not an image cache"),
    "deep": (lambda file: file.write_text("[" * 100_000), "is not an image cache"),
    "text": (lambda file: file.write_text(json.dumps(SECRET)), "is not an image cache"),
    "key": (lambda file: file.write_text(json.dumps({SECRET: 1})), "is not an image cache"),
    "version": (
        lambda file: file.write_text(json.dumps({"format_version": SECRET, "images": {}})),
        "version",
    ),
    "number": (
        lambda file: file.write_text('{"format_version": ' + "9" * 9999 + "}"),
        "is not an image cache",
    ),
    "shape": (
        lambda file: file.write_text('{"format_version": "2.0", "images": [1]}'),
        "is not an image cache",
    ),
}


def as_it_is(path: Path) -> tuple[int, ...]:
    """What writing would change; when it was read last does not matter."""
    found = os.lstat(path)
    return found.st_mode, found.st_ino, found.st_size, found.st_mtime_ns


def removed(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
    else:
        path.unlink()


def test_what_is_no_cache_is_named_and_neither_read_nor_written(project: Project, served: Sandbox) -> None:
    (project.root / "secrets.env").write_text(SECRET)
    file = project.root / ".paygift/images.json"
    for kind, command in (*((kind, "plan") for kind in ODD), ("link", "apply --yes"), ("link", "drift")):
        put, words = ODD[kind]
        put(file)
        before = as_it_is(file), served.log()
        code, out, err = project.run(*command.split())
        assert (kind, code) == (kind, 1)
        assert ("images.json" in err, words in err, "cache" in err) == (True, True, True), (kind, err)
        assert SECRET.partition("=")[2] not in out + err
        assert (as_it_is(file), served.log()) == before
        removed(file)
    assert (project.root / "secrets.env").read_text() == SECRET


def test_drafts_that_somebody_has_put_beside_it_are_not_written_through(project: Project, served: Sandbox) -> None:
    target = project.root / "target"
    target.write_text("precious")
    for name in ("images.json.new", "images.json.tmp", "images.new", ".images.json"):
        (project.root / ".paygift" / name).symlink_to(target)
    assert project.run("apply", "--yes")[0] == 0
    assert target.read_text() == "precious"
    assert (project.root / ".paygift/images.json").is_file()


# -- the folder itself, and the other files in it ----------------------------------------------------------------------


@pytest.mark.parametrize("inside", [True, False])
def test_a_folder_that_is_a_link_is_refused(
    project: Project, served: Sandbox, tmp_path_factory: pytest.TempPathFactory, inside: bool
) -> None:
    elsewhere = project.root / "kept" if inside else tmp_path_factory.mktemp("elsewhere")
    (project.root / ".paygift").rename(project.root / "moved")
    elsewhere.mkdir(exist_ok=True)
    (project.root / ".paygift").symlink_to(elsewhere)
    before = served.log()
    for command in COMMANDS:
        code, _, err = project.run(*command.split())
        assert (command, code, ".paygift is a symbolic link" in err) == (command, 1, True)
    (project.root / ".paygift").unlink()
    (project.root / "moved").rename(project.root / ".paygift")
    assert (list(elsewhere.iterdir()), served.log()) == ([], before)


def test_a_folder_that_is_a_file_is_named(project: Project) -> None:
    (project.root / ".paygift").rename(project.root / "moved")
    (project.root / ".paygift").write_text("")
    for command in ("--sandbox plan", "--sandbox apply --yes", "sandbox clock", "sandbox serve"):
        code, _, err = project.run(*command.split())
        assert (command, code) == (command, 1)
        assert ".paygift is a file, and not a folder. Remove it" in err


@pytest.mark.parametrize("name", ["", "-wal", "-shm", "-journal"])
def test_a_journal_that_is_a_link_is_neither_read_nor_written(project: Project, served: Sandbox, name: str) -> None:
    assert project.run("apply", "--yes")[0] == 0
    (project.root / "target").write_bytes(b"precious")
    file = project.root / f".paygift/journal.db{name}"
    for target in ("target", "nowhere"):
        file.unlink(missing_ok=True)
        file.symlink_to(project.root / target)
        for command in ("apply --yes", "history", "unlock --yes", "history verify", "show spring"):
            code, _, err = project.run(*command.split())
            assert (command, code, f"journal.db{name} is a symbolic link" in err) == (command, 1, True)
        code, out, _ = project.run("plan")
        assert (code, "JOURNAL_NOT_READ" in out, "a symbolic link" in out) == (0, True, True)
    assert (project.root / "target").read_bytes() == b"precious"
    assert not (project.root / "nowhere").exists()


def test_a_sandbox_whose_files_are_links_is_refused(project: Project) -> None:
    assert project.run("--sandbox", "apply", "--yes")[0] == 0
    names = ("memory.db", "log.db", "log.db-wal", "keys", "keys/apiv3_key.txt", "images.json", "journal.db")
    for name in (*names, "server.json"):
        file, moved = project.root / ".paygift/sandbox" / name, project.root / f"moved-{Path(name).name}"
        there = file.exists()
        if there:
            file.rename(moved)
        else:
            moved.write_text('{"base_url": "http://127.0.0.1:9"}')
        file.symlink_to(moved)
        code, _, err = project.run("--sandbox", "apply", "--yes")
        assert (code, f"{name} is a symbolic link" in err) == (1, True), (name, err)
        file.unlink()
        if there:
            moved.rename(file)
    assert project.run("--sandbox", "apply", "--yes")[0] == 0


def test_a_server_does_not_announce_itself_through_a_link(project: Project) -> None:
    target = project.root / "target"
    target.write_text("precious")
    for name in ("server.tmp", "server.json"):
        (project.root / ".paygift/sandbox" / name).symlink_to(target)
    code, _, err = project.run("sandbox", "serve", "--port", "0")
    assert (code, "server.json is a symbolic link" in err) == (1, True)
    assert target.read_text() == "precious"


def test_a_reset_removes_links_and_not_what_they_lead_to(project: Project) -> None:
    target = project.root / "target"
    target.write_text("precious")
    (project.root / ".paygift/sandbox/images.json").symlink_to(target)
    assert project.run("sandbox", "reset", "--yes")[0] == 0
    assert target.read_text() == "precious"
    assert not (project.root / ".paygift/sandbox/images.json").is_symlink()


def test_stocks_of_the_sandbox_are_read_from_within_the_project(
    project: Project, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside") / "stocks.json"
    outside.write_text("[]")
    for target in ("/proc/self/environ", "/dev/zero", outside):
        (project.root / "sandbox-stocks.json").symlink_to(target)
        code, _, err = project.run("--sandbox", "plan")
        assert (code, "sandbox-stocks.json is a link that leaves the project" in err) == (1, True)
        (project.root / "sandbox-stocks.json").unlink()


def test_stocks_that_are_a_pipe_or_nested_without_end_are_named(project: Project) -> None:
    file = project.root / "sandbox-stocks.json"
    os.mkfifo(file)
    assert "sandbox-stocks.json is not a file" in project.run("--sandbox", "plan")[2]
    file.unlink()
    file.write_text("[" * 100_000)
    code, _, err = project.run("--sandbox", "plan")
    assert (code, "sandbox-stocks.json cannot be read: more than 100 lists" in err) == (1, True)


# -- git ---------------------------------------------------------------------------------------------------------------


def add(project: Project) -> Repository:
    made = repository(project.root)
    (project.root / ".gitignore").unlink()
    return made


def track(made: Repository, name: str, content: str = "x") -> None:
    """Have git track what need not be there any more, as somebody's commit does."""
    file = made.root / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content)
    made.git("add", "--force", "--", name)


def test_a_folder_that_git_tracks_is_refused_before_anything_is_read(project: Project, served: Sandbox) -> None:
    made = add(project)
    track(made, ".paygift/images.json", "{}")
    before = served.log()
    for command in (*COMMANDS, "validate", "--sandbox plan"):
        code, _, err = project.run(*command.split())
        assert (command, code, ".paygift/images.json" in err) == (command, 3, True)
        assert "git rm -r --cached .paygift" in err
    assert served.log() == before
    made.git("rm", "-r", "--quiet", "--cached", ".paygift")
    (project.root / ".paygift/images.json").unlink()
    assert project.run("plan")[0] == 0


def test_all_files_are_counted_and_the_first_are_named(project: Project, served: Sandbox) -> None:
    made = add(project)
    for number in range(30):
        track(made, f".paygift/{number:02}\n::error::x")
    err = project.run("plan")[2]
    assert "30 files" in err
    assert ".paygift/02" in err
    assert ".paygift/03" not in err
    assert "\n::error" not in err


def test_a_project_below_the_top_of_its_repository_is_judged_by_its_own_folder(
    project: Project, served: Sandbox
) -> None:
    made = Repository(project.root.parent)
    made.git("init", "--quiet")
    track(made, ".paygift/images.json")
    try:
        assert project.run("plan")[0] == 0
        track(made, f"{project.root.name}/.paygift/x")
        assert project.run("plan")[0] == 3
    finally:
        subprocess.run(["rm", "-r", made.root / ".git", made.root / ".paygift"], check=True)


def test_a_submodule_in_its_place_is_tracked_too(project: Project, served: Sandbox) -> None:
    made = add(project)
    (project.root / "file").write_text("x")
    made.git("add", "file")
    made.git("commit", "--quiet", "--message", "x")
    commit = made.git("rev-parse", "HEAD")
    made.git("update-index", "--add", "--cacheinfo", f"160000,{commit},.paygift")
    code, _, err = project.run("plan")
    assert (code, "git rm -r --cached .paygift" in err) == (3, True)


def test_what_git_hooks_set_does_not_hide_it(
    project: Project, served: Sandbox, tmp_path_factory: pytest.TempPathFactory
) -> None:
    track(add(project), ".paygift/images.json")
    other = tmp_path_factory.mktemp("other")
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(name, str(other / "index") if name == "GIT_INDEX_FILE" else str(other))
            assert (name, project.run("plan")[0]) == (name, 3)


def test_nothing_tracked_is_fine_and_the_folder_ignores_itself(project: Project, served: Sandbox) -> None:
    made = add(project)
    assert project.run("apply", "--yes")[0] == 0
    assert (project.root / ".paygift/.gitignore").read_text() == "*\n"
    made.git("add", "--all", "--", ".")
    assert ".paygift" not in made.git("ls-files")
    assert project.run("plan")[0] == 0


@pytest.mark.parametrize("how", ["missing", "broken"])
def test_where_git_cannot_tell_that_is_said_once(
    project: Project, served: Sandbox, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    track(add(project), ".paygift/x")
    if how == "missing":
        monkeypatch.setenv("PATH", "/nonexistent")
    else:
        (project.root / ".git/HEAD").write_text("garbage")
    code, _, err = project.run("apply", "--yes")
    assert code == 0
    assert err.count("Whether git tracks anything in .paygift/ is not known") == 1


def test_outside_of_a_repository_nobody_is_asked(
    project: Project, served: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    code, _, err = project.run("plan")
    assert (code, err) == (0, "")


@pytest.mark.parametrize("command", ["--sandbox plan", "--sandbox apply --yes", "sandbox clock"])
def test_whoever_makes_the_folder_has_git_ignore_it(project: Project, command: str) -> None:
    subprocess.run(["rm", "-r", project.root / ".paygift"], check=True)
    project.run(*command.split())
    assert (project.root / ".paygift/.gitignore").read_text() == "*\n"


def test_a_gitignore_of_somebodys_own_stays(project: Project) -> None:
    file = project.root / ".paygift/.gitignore"
    file.write_text("!journal.db\n")
    assert project.run("--sandbox", "apply", "--yes")[0] == 0
    assert file.read_text() == "!journal.db\n"


# -- the opener by itself ----------------------------------------------------------------------------------------------


def test_a_link_above_the_folder_is_nobodys_concern(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    folder.write(tmp_path / "link/.paygift/deeper/file", "1\n")
    assert folder.read(tmp_path / "link/.paygift/deeper/file") == b"1\n"
    assert folder.read(tmp_path / "link/.paygift/other/file") is None


@pytest.mark.parametrize("part", [".paygift", ".paygift/sandbox", ".paygift/sandbox/keys"])
def test_a_link_anywhere_from_the_folder_on_is_refused(tmp_path: Path, part: str) -> None:
    file = tmp_path / ".paygift/sandbox/keys/key"
    folder.write(file, "1\n")
    (tmp_path / part).rename(tmp_path / "moved")
    (tmp_path / part).symlink_to(tmp_path / "moved")
    for attempt in (folder.read, folder.check, lambda each: folder.write(each, "2\n")):
        with pytest.raises(UsageError, match=f"{part} is a symbolic link, .* and not a folder"):
            attempt(file)


def test_what_is_written_replaces_the_file_and_not_what_else_has_its_content(tmp_path: Path) -> None:
    file, other = tmp_path / ".paygift/file", tmp_path / "other"
    other.write_text("precious")
    file.parent.mkdir()
    os.link(other, file)
    folder.write(file, "new\n")
    assert (other.read_text(), file.read_text()) == ("precious", "new\n")


def test_sixteen_mebibytes_are_the_limit(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b" " * folder.LARGEST)
    assert len(folder.read(file) or b"") == folder.LARGEST
    file.write_bytes(b" " * (folder.LARGEST + 1))
    with pytest.raises(UsageError, match="more than 16,777,216 bytes"):
        folder.read(file)
