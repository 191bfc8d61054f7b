"""A project: paygift.yaml, its merchant groups, its specs.

Either all of it is good, or every mistake is told at once.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from pydantic import ValidationError

from reconciler.model.activity import BEIJING, KEY_PATTERN, DesiredActivity, Image, NamedAccount, Source
from reconciler.model.characters import escaped, shown
from reconciler.model.diagnostics import Diagnostic
from reconciler.model.errors import ProjectError, UsageError
from reconciler.spec.conflicts import Header, conflicts
from reconciler.spec.context import LocalImage, MissingImage, SpecContext
from reconciler.spec.defaults import merged
from reconciler.spec.diagnostics import FieldDiagnostic
from reconciler.spec.entries import PROJECT_FILE, FolderEntry, entries_in, misnamed, misnamed_project_files
from reconciler.spec.files import UnusableError, reason_of, sha256_of
from reconciler.spec.images import image_at, image_bytes
from reconciler.spec.lookalikes import lookalikes
from reconciler.spec.models import ActivitySpec, NotifySection, PolicySection, ProjectFile
from reconciler.spec.normalize import normalize
from reconciler.spec.project_file import ProjectSettings, project_sheet
from reconciler.spec.rules import diagnostics_in, local_images, notes_in
from reconciler.spec.salvaged import is_known, known
from reconciler.spec.sheets import Reading, Sheet, unusable
from reconciler.spec.validation_errors import diagnostics_of, kind_of, salvage

_NO_YAML: Final = frozenset({"yaml_syntax", "merge_conflict", "full_width"})
"""Codes of a text that could not be parsed, or of why."""

STOCKS_FILE: Final = "sandbox-stocks.json"
"""The coupon stocks that the sandbox of a project knows, beside paygift.yaml."""


@dataclass(frozen=True, slots=True)
class Project:
    """A team's repository, complete and without mistakes.

    ``activities`` are sorted by key, ``brands`` holds the sorted mchids of every brand. ``timezone`` is the one for
    times written without an offset. ``account`` is whose credentials may act for it, ``None`` where it names none.
    ``notes`` are not mistakes, but should be known before customers see it. ``reads`` are the files and folders that it
    is made of, as paths from ``root``; the empty path, everything, where links lead to others.
    """

    root: Path
    namespace: str
    timezone: ZoneInfo
    activities: tuple[DesiredActivity, ...]
    policy: PolicySection
    brands: Mapping[str, tuple[str, ...]]
    notify: tuple[NotifySection, ...] = ()
    account: NamedAccount | None = None
    notes: tuple[Diagnostic, ...] = ()
    reads: tuple[str, ...] = ("",)


def find_root(start: Path) -> Path:
    """The nearest folder at or above ``start`` that holds paygift.yaml, whatever state that is in.

    Raises UsageError if there is none, ProjectError if a nearer folder holds a paygift.yml or the like: the project
    above it is not the one that was meant.
    """
    # Not resolve(): through a link to a folder the project above the link is meant.
    start = start.absolute()
    for folder in (start, *start.parents):
        # lexists: a broken link is a mistake to be told, and not a reason to look further up.
        if os.path.lexists(folder / PROJECT_FILE):
            return folder
        if names := misnamed_project_files(folder):
            raise ProjectError([unusable(str(folder / name), misnamed()) for name in names])
    raise UsageError(
        f"There is no {PROJECT_FILE} in {start}, nor in any folder above it.",
        remedy=f"Go to the folder of your campaigns, or make one: a {PROJECT_FILE} needs the line `namespace: NAME`.",
    )


def load_project(root: Path, *, now: datetime) -> Project:
    """Everything under ``root``; ``now`` is aware. Raises ProjectError with every mistake of every file, sorted."""
    with _no_garbage_collection():
        return _Loading(Reading(root.resolve()), now).run()


def read_namespace(root: Path) -> str:
    """The namespace of the project in ``root``, whatever is wrong with the rest of it.

    Raises ProjectError if paygift.yaml does not say it.
    """
    namespace = project_sheet(Reading(root.resolve())).data.get("namespace")
    if not isinstance(namespace, str):
        raise ProjectError([Diagnostic(PROJECT_FILE, 1, 1, "namespace", "is missing", "missing")])
    return namespace


def read_timezone(root: Path) -> ZoneInfo:
    """The time zone of the project in ``root``, whatever is wrong with its specs.

    Raises ProjectError if paygift.yaml names one that is unknown, or cannot be read.
    """
    settings = ProjectSettings.read(Reading(root.resolve()))
    zone = settings.zone()
    if zone is None:
        raise ProjectError(settings.reading.diagnostics)
    return zone


def read_account(root: Path) -> NamedAccount | None:
    """The account that the project in ``root`` names, whatever is wrong with the rest of it; ``None`` if it does not.

    Raises ProjectError if ``account`` cannot be read.
    """
    settings = ProjectSettings.read(Reading(root.resolve()))
    if known(settings.written, lambda of: of.account) is None:
        raise ProjectError(settings.reading.diagnostics)
    return settings.account()


def read_image(project_root: Path, image: Image) -> bytes:
    """The bytes of a local image, for the upload. Raises ProjectError if they are not what was planned."""
    try:
        content = image_bytes(project_root.resolve(), image.path)
    except UnusableError as error:
        raise ProjectError([Diagnostic(image.path, 0, 0, message=error.message, code=error.code)]) from error
    # The reviewed bytes are uploaded or none: a file may change between plan and apply.
    if sha256_of(content) != image.sha256:
        message = "has changed since the specs were loaded: plan again"
        raise ProjectError([Diagnostic(image.path, 0, 0, message=message, code="image_changed")])
    return content


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Loading makes much and drops it in order; looking for cycles meanwhile costs a quarter of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@dataclass
class _Loading:
    """One run of load_project: what it has found so far."""

    reading: Reading
    now: datetime
    notes: list[Diagnostic] = field(default_factory=list)
    activities: list[DesiredActivity] = field(default_factory=list)
    headers: list[Header] = field(default_factory=list)
    images: dict[str, LocalImage | MissingImage] = field(default_factory=dict)
    defaults_known: bool = True
    """False where the project's ``defaults`` cannot be read, so that nothing can be called missing."""

    @property
    def root(self) -> Path:
        return self.reading.root

    def run(self) -> Project:
        reading = self.reading
        for name in misnamed_project_files(self.root):
            reading.add_unusable(name, misnamed())
        settings = ProjectSettings.read(reading)
        project, sheet = settings.written, settings.sheet
        zone = settings.zone()
        if zone is not None:
            settings.check_freezes(zone)
        groups = settings.groups()
        brands = settings.brands(groups)
        defaults = settings.defaults()
        self.defaults_known = is_known(project, lambda of: of.defaults)
        brand_of = {mchid: brand for brand, mchids in brands.items() for mchid in mchids}
        groups_known = is_known(project, lambda of: of.merchant_groups)
        # With an unknown zone nothing is planned, but the specs are still judged.
        context = SpecContext(zone or BEIJING, self.now, groups, brand_of, self.images, groups_known=groups_known)
        if reading.diagnostics:
            reading.add_of_text(PROJECT_FILE, lookalikes(sheet.text, is_yaml=True))
        entries = self._entries(project, sheet)
        for found in entries:
            if found.unusable is None:
                self._load_file(found.name, sheet, defaults, context)
        for index, conflict in conflicts(self.headers):
            reading.add(conflict, reading.sheet_of(index))
        self._check_entries([found for found in entries if found.unusable], project, defaults)
        # All or nothing: a spec left out looks like one that was deleted, and its campaign would end.
        if reading.diagnostics or zone is None:
            raise ProjectError(sorted(set(reading.diagnostics)))
        activities = tuple(sorted(self.activities, key=lambda activity: activity.key))
        return Project(
            self.root,
            project.namespace,
            zone,
            activities,
            project.policy,
            brands,
            project.notify,
            settings.account(),
            tuple(sorted(set(self.notes))),
            self._reads(project, entries),
        )

    def _reads(self, project: ProjectFile, entries: Iterable[FolderEntry]) -> tuple[str, ...]:
        names = {PROJECT_FILE, project.activities, *project.merchant_groups.values(), *self.images}
        places = [self.root / name for name in (*names, *(found.name for found in entries))]
        if any(os.path.realpath(place) != os.path.normpath(place) for place in places):
            # What a link leads to cannot be named by a path of the commit: so everything counts.
            return ("",)
        return tuple(sorted(os.path.normpath(name) for name in names))

    # --- specs ---

    def _entries(self, project: ProjectFile, sheet: Sheet) -> list[FolderEntry]:
        folder = known(project, lambda of: of.activities)
        if folder is None:
            return []
        try:
            real = _folder_at(self.reading.names.find(folder))
        except UnusableError as error:
            self.reading.add(FieldDiagnostic(("activities",), error.code, f"{shown(folder)} {error.message}"), sheet)
            return []
        return entries_in(self.root, real)

    def _check_entries(self, unread: Iterable[FolderEntry], project: ProjectFile, defaults: dict[str, Any]) -> None:
        """Tell of every entry that was not read, unless it is a file that the project itself names.

        Images are told once nothing else is wrong: what names them may be what could not be read.
        """
        named = self._named_files(project, defaults)
        sound = not self.reading.diagnostics
        for found in unread:
            # By real path: the same file may be named through a link or in another way.
            if found.path and (os.path.realpath(found.path) in named or (found.is_image and not sound)):
                continue
            if found.unusable is not None:
                self.reading.add_unusable(found.name, found.unusable)

    def _named_files(self, project: ProjectFile, defaults: dict[str, Any]) -> set[str]:
        """The real paths of the files that make up the project beside its specs."""
        groups: Iterable[str | None] = (known(project, lambda of: of.merchant_groups) or {}).values()
        images = {*self.images, *local_images(salvage(ActivitySpec, defaults))}
        names = [PROJECT_FILE, STOCKS_FILE, *(group for group in groups if group is not None), *images]
        return {os.path.realpath(self.root / name) for name in names}

    def _load_file(self, name: str, project: Sheet, defaults: dict[str, Any], context: SpecContext) -> None:
        text = self.reading.text(name)
        if text is None:
            return
        before = len(self.reading.diagnostics)
        documents, found = self.reading.parsed(name, text)
        if not documents and not found:
            message = "the file is empty: write an activity, or remove the file"
            self.reading.diagnostics.append(Diagnostic(escaped(name), 0, 0, message=message, code="empty_file"))
        for index, document in enumerate(documents):
            if document.sound:
                sheet = Sheet(name, text, index, document.data, project)
                self._load_spec(sheet, document.line, defaults, context, sound=not found)
        told = self.reading.diagnostics[before:]
        if told and not any(each.code in _NO_YAML for each in found):
            causes = lookalikes(text, is_yaml=all(isinstance(each.data, dict) for each in documents))
            written = all(each.data is not None for each in documents)
            if causes and written:  # the causes say why what is written is not an activity
                self.reading.diagnostics[before:] = [each for each in told if each.code != "no_activity"]
            self.reading.add_of_text(name, causes)

    def _load_spec(
        self, sheet: Sheet, line: int, defaults: dict[str, Any], context: SpecContext, *, sound: bool
    ) -> None:
        if not isinstance(sheet.data, dict):
            message = f"expected an activity (activity_base_info, award_send_rule, …), found {kind_of(sheet.data)}"
            self.reading.diagnostics.append(Diagnostic(escaped(sheet.file), line, 1, "", message, "no_activity"))
            return
        data = merged(defaults, sheet.data)
        mistakes: list[FieldDiagnostic] = []
        try:
            spec = ActivitySpec.model_validate(data)
        except ValidationError as error:
            mistakes = diagnostics_of(ActivitySpec, error)
            spec = salvage(ActivitySpec, data)
        for path in local_images(spec):
            if path not in self.images:
                self.images[path] = image_at(self.reading.names, path)
        mistakes += diagnostics_in(spec, context)
        key = self._key(spec, sheet, mistakes)
        self.headers.append(
            Header(key, known(spec, lambda of: of.renamed_from) or (), known(spec, lambda of: of.adopt) or "")
        )
        self.reading.sources.append((sheet.file, sheet.index))
        for each in mistakes:
            # What is missing may stand in the defaults that could not be read.
            if self.defaults_known or each.code != "missing":
                self.reading.add(each, sheet)
        self.notes += (self.reading.located(note, sheet) for note in notes_in(spec, context))
        # A spec whose merchants are not known would seem to lose them all.
        if sound and not mistakes and context.groups_known:
            self.activities.append(normalize(spec, key, Source(sheet.file, line), context))

    def _key(self, spec: ActivitySpec, sheet: Sheet, mistakes: list[FieldDiagnostic]) -> str:
        """The key that counts: the one that is written, or else the stem of the file's name."""
        written = known(spec, lambda of: of.key)
        if written is None:
            return ""
        if written:
            return written
        stem = sheet.file.rpartition("/")[2].rpartition(".")[0]
        if KEY_PATTERN.fullmatch(stem):
            return stem
        message = f"the file's name {shown(stem)} cannot be the key: write `key:`, 1 to 40 of a-z, 0-9 and -"
        mistakes.append(FieldDiagnostic(("key",), "key_needed", message))
        return ""


def _folder_at(real: Path) -> Path:
    """``real``, if it is a folder. Raises UnusableError."""
    try:
        if real.is_dir():
            return real
        raise UnusableError("no_folder", "is not a folder" if real.exists() else "does not exist")
    except OSError as error:  # its name is too long
        raise UnusableError("unreadable", f"cannot be read: {reason_of(error)}") from error
