"""The activities folder: every entry is a spec, hidden, a file that the project names, or told.

An entry that was passed over in silence would be a campaign that ends, so only names that begin with a dot are ignored.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from reconciler.model.characters import shown
from reconciler.spec.fields import AWARD_KINDS, LOGO_KINDS
from reconciler.spec.files import UnusableError, inside, reason_of, same_name

PROJECT_FILE: Final = "paygift.yaml"
SPEC_ENDINGS: Final = (".yaml", ".yml")

_ALMOST_A_SPEC: Final = re.compile(r"(.+?)\.ya?ml", re.IGNORECASE)
# From the kinds that fields accepts, so that a new kind of image is known here as well.
_IMAGE_ENDINGS: Final = tuple(f".{kind.lower()}" for kind in {*LOGO_KINDS, *AWARD_KINDS})


@dataclass(frozen=True, slots=True)
class FolderEntry:
    """An entry, by its name relative to the root; without ``unusable`` it is a spec.

    ``unusable`` tells why it, or a folder, is not read. That is excused where the project itself names the file at
    ``path``, which is empty for what nothing can excuse.
    """

    name: str
    unusable: UnusableError | None = None
    path: str = ""

    @property
    def is_image(self) -> bool:
        """Whether it is called like an image."""
        return self.name.lower().endswith(_IMAGE_ENDINGS)


def entries_in(root: Path, folder: Path) -> list[FolderEntry]:
    """Everything under ``folder`` that is not hidden, sorted by name. Both paths are resolved already."""
    start = folder.relative_to(root).as_posix()
    return sorted(_walk(root, folder, "" if start == "." else f"{start}/"), key=lambda found: found.name)


def misnamed_project_files(folder: Path) -> list[str]:
    """Names in ``folder`` that were meant to be paygift.yaml, such as paygift.yml; none where it cannot be listed."""
    try:
        names = [path.name for path in folder.iterdir()]
    except (OSError, ValueError):  # not a folder, or closed to us: whoever reads something in it says so
        return []
    # Otherwise the search goes on above, and finds the project of somebody else.
    return sorted(name for name in names if name != PROJECT_FILE and _is_project_file(name))


def _walk(root: Path, folder: Path, prefix: str) -> Iterator[FolderEntry]:
    top = str(folder)
    # A list instead of recursion: links can nest deeper than Python's stack.
    todo: list[tuple[str, str, frozenset[Path]]] = [(top, prefix, frozenset({folder}))]
    while todo:
        path, prefix, above = todo.pop()
        try:
            with os.scandir(path) as entries:
                visible = [entry for entry in entries if not entry.name.startswith(".")]
        except OSError as error:
            yield FolderEntry(prefix.rstrip("/"), UnusableError("unreadable", f"cannot be read: {reason_of(error)}"))
            continue
        # A submodule that was not fetched is an empty folder: its campaigns would look deleted, and end.
        if not visible and path != top:
            yield FolderEntry(prefix.rstrip("/"), _empty_folder())
        # Told on Linux already: on a Mac the checkout has lost one of both, and its campaign would end.
        yield from _same_names(sorted(entry.name for entry in visible), prefix)
        for entry in visible:
            name = prefix + entry.name
            if _is_folder(entry):
                unusable, chain = _enter(root, entry, above)
                if unusable is None:
                    todo.append((entry.path, f"{name}/", chain))
                else:
                    yield FolderEntry(name, unusable)
            # The letter case counts: winter.YAML is told instead of read, in the same way on every system.
            elif entry.name.endswith(SPEC_ENDINGS) and not _is_project_file(entry.name):
                yield FolderEntry(name, _link_error(root, entry))
            else:
                yield FolderEntry(name, _not_a_spec(entry.name), entry.path)


def _is_project_file(name: str) -> bool:
    return name.casefold() in {f"paygift{ending}" for ending in SPEC_ENDINGS}


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself: reading it as a file says so
        return False


def _enter(root: Path, entry: os.DirEntry[str], above: frozenset[Path]) -> tuple[UnusableError | None, frozenset[Path]]:
    if not entry.is_symlink():
        return None, above | {Path(entry.path)}
    error = _link_error(root, entry)
    real = Path(entry.path).resolve()
    # Only folders above: two links to one folder are odd, and end by themselves.
    if error is None and real in above:
        error = UnusableError("link_cycle", "is a link to a folder that it is in")
    return error, above | {real}


def _link_error(root: Path, entry: os.DirEntry[str]) -> UnusableError | None:
    if not entry.is_symlink():
        return None
    try:
        inside(root, entry.path)
    except UnusableError as error:
        return error
    return None


# --- what is told --------------------------------------------------------------------------------------------------


def misnamed() -> UnusableError:
    """A project file that is not called exactly paygift.yaml."""
    message = f"is not read, only {PROJECT_FILE} is: rename it, or move what it says there and remove it"
    return UnusableError("misnamed_project_file", message)


def _empty_folder() -> UnusableError:
    message = (
        "the folder is empty but for hidden files: fetch it if it is a submodule (git submodule update --init), "
        "or remove it"
    )
    return UnusableError("empty_folder", message)


def _same_names(names: Sequence[str], prefix: str) -> Iterator[FolderEntry]:
    """Names of one folder that are one and the same file on a Mac or on Windows, where a checkout loses the other."""
    seen: dict[str, str] = {}
    for name in names:
        first = seen.setdefault(same_name(name), name)
        if first != name:
            message = (
                f"its name differs from {shown(first)} only in case or in how letters are composed, and on a Mac or on "
                "Windows only one of both files exists: rename it"
            )
            yield FolderEntry(prefix + name, UnusableError("same_name", message))


def _not_a_spec(name: str) -> UnusableError:
    if name != PROJECT_FILE and _is_project_file(name):
        return misnamed()
    if name == PROJECT_FILE:
        message = (
            "is not the project file of this project: move the project that it belongs to out of the activities "
            "folder, or remove the file"
        )
        return UnusableError("other_project_file", message)
    almost = _ALMOST_A_SPEC.match(name)
    if almost:
        meant = shown(f"{almost[1]}.yaml")
        message = (
            "is not read, since its name does not end in .yaml or .yml in lower case: if it is a spec, rename it to "
            f"{meant}; if not, remove it"
        )
    elif name.lower().endswith(_IMAGE_ENDINGS):
        message = "is an image that no spec names: remove it, or move it out of the activities folder"
    else:
        message = (
            "is neither a spec (*.yaml, *.yml) nor named by paygift.yaml or a spec: move it out of the activities "
            "folder, or begin its name with a dot"
        )
    return UnusableError("not_read", message)
