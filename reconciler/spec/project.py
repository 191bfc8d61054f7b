"""A project: paygift.yaml, its merchant groups, its specs.

Either all of it is good, or every mistake is told at once.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
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
from reconciler.spec.diagnostics import FieldDiagnostic, OtherSpec
from reconciler.spec.diagnostics import Path as FieldPath
from reconciler.spec.entries import PROJECT_FILE, FolderEntries, entries_in, misnamed, misnamed_project_files
from reconciler.spec.files import FileNames, UnusableError, inside, read_text, reason_of, sha256_of
from reconciler.spec.images import picture_at, read_picture
from reconciler.spec.lookalikes import lookalikes
from reconciler.spec.merchants import parse_group
from reconciler.spec.models import (
    NO_DEFAULTS,
    ActivitySpec,
    BrandSection,
    NotifySection,
    PolicySection,
    ProjectFile,
)
from reconciler.spec.normalize import normalize
from reconciler.spec.positions import Positions, dotted, in_defaults, reach
from reconciler.spec.rules import diagnostics_in, local_images, notes_in, span_diagnostics, unknown_group
from reconciler.spec.salvaged import is_known, known
from reconciler.spec.validation_errors import Model, diagnostics_of, salvage
from reconciler.spec.yaml_ import TextDiagnostic, YamlDocument, parse
from reconciler.spec.zones import UnknownZoneError, zone_named

_NO_YAML: Final = frozenset({"yaml_syntax", "merge_conflict", "full_width"})
"""Codes of a text that could not be parsed, or of why."""

STOCKS_FILE: Final = "sandbox-stocks.json"
"""The coupon stocks that the sandbox of a project knows, beside paygift.yaml."""


@dataclass(frozen=True, slots=True)
class Project:
    """A team's repository, complete and without mistakes.

    ``activities`` are sorted by key, ``brands`` holds the sorted mchids of every brand. ``timezone`` is the one for
    times written without an offset. ``account`` is whose credentials may act for it, ``None`` where it names none.
    ``notes`` are no mistakes, but should be known before customers see it. ``reads`` are the files and folders that it
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
    start = start.absolute()
    for folder in (start, *start.parents):
        if os.path.lexists(folder / PROJECT_FILE):
            return folder
        if names := misnamed_project_files(folder):
            raise ProjectError([_problem(str(folder / name), misnamed()) for name in names])
    raise UsageError(
        f"There is no {PROJECT_FILE} in {start}, nor in any folder above it.",
        remedy=f"Go to the folder of your campaigns, or make one: a {PROJECT_FILE} needs the line `namespace: NAME`.",
    )


def load_project(root: Path, *, now: datetime) -> Project:
    """Everything under ``root``; ``now`` is aware. Raises ProjectError with all problems of all files, sorted."""
    with _no_garbage_collection():
        return _Loading(root.resolve(), now).run()


def read_namespace(root: Path) -> str:
    """The namespace of the project in ``root``, whatever is wrong with the rest of it.

    Raises ProjectError if paygift.yaml does not say it.
    """
    sheet = _Loading(root.resolve(), datetime.now(UTC))._read_sheet()
    namespace = sheet.data.get("namespace")
    if not isinstance(namespace, str):
        raise ProjectError([Diagnostic(PROJECT_FILE, 1, 1, "namespace", "is missing", "missing")])
    return namespace


def read_timezone(root: Path) -> ZoneInfo:
    """The time zone of the project in ``root``, whatever is wrong with its specs.

    Raises ProjectError if paygift.yaml names one that is unknown, or cannot be read.
    """
    loading = _Loading(root.resolve(), datetime.now(UTC))
    sheet = loading._read_sheet()
    zone = loading._zone(loading._validate(ProjectFile, sheet), sheet)
    if zone is None:
        raise ProjectError(loading.problems)
    return zone


def read_account(root: Path) -> NamedAccount | None:
    """The account that the project in ``root`` names, whatever is wrong with the rest of it; ``None`` if it does not.

    Raises ProjectError if ``account`` cannot be read.
    """
    loading = _Loading(root.resolve(), datetime.now(UTC))
    sheet = loading._read_sheet()
    project = loading._validate(ProjectFile, sheet)
    if known(project, lambda of: of.account) is None:
        raise ProjectError(loading.problems)
    return loading._account(project, sheet)


def read_image(project_root: Path, image: Image) -> bytes:
    """The bytes of a local image, for the upload. Raises ProjectError if they are not what was planned."""
    try:
        content = read_picture(project_root.resolve(), image.path)
    except UnusableError as problem:
        raise ProjectError(
            [Diagnostic(image.path, 0, 0, message=problem.message, code=problem.code)]
        ) from problem
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
class _Sheet:
    """One document, with what it takes to say where something stands in it."""

    file: str
    text: str
    index: int = 0
    data: Any = None
    project: _Sheet | None = None
    """The project file, for a spec whose defaults come from there."""

    @cached_property
    def positions(self) -> Positions:
        return Positions(self.text, self.index)

    def place(self, path: FieldPath, partners: Iterable[FieldPath] = ()) -> tuple[str, int, int, FieldPath]:
        """File, line, column and path of what is written at ``path``: perhaps in the project's defaults.

        A rule of several fields is told at the first of them that the spec itself writes.
        """
        written = next((each for each in (path, *partners) if reach(self.data, each) == len(each)), None)
        defaults = self.project.data.get("defaults") if self.project else None
        if written is None and self.project and in_defaults(self.data, defaults, path):
            return self.project.place(("defaults", *path))
        return (self.file, *self.positions.find(path if written is None else written), path)


@dataclass
class _Loading:
    """One run of load_project: what it has found so far."""

    root: Path
    now: datetime
    problems: list[Diagnostic] = field(default_factory=list)
    notes: list[Diagnostic] = field(default_factory=list)
    activities: list[DesiredActivity] = field(default_factory=list)
    headers: list[Header] = field(default_factory=list)
    sources: list[tuple[str, int]] = field(default_factory=list)
    """File and number of the document of every header."""
    pictures: dict[str, LocalImage | MissingImage] = field(default_factory=dict)
    defaults_known: bool = True
    """False where the project's ``defaults`` cannot be read, so that nothing can be called missing."""

    @cached_property
    def names(self) -> FileNames:
        return FileNames(self.root)

    def run(self) -> Project:
        for name in misnamed_project_files(self.root):
            self._unusable(name, misnamed())
        sheet = self._read_sheet()
        project = self._validate(ProjectFile, sheet)
        zone = self._zone(project, sheet)
        if zone is not None:
            self._check_freezes(project, zone, sheet)
        groups = self._groups(project, sheet)
        brands = self._brands(project, sheet, groups)
        defaults = self._defaults(project, sheet)
        brand_of = {mchid: brand for brand, mchids in brands.items() for mchid in mchids}
        groups_known = is_known(project, lambda of: of.merchant_groups)
        context = SpecContext(
            zone or BEIJING, self.now, groups, brand_of, self.pictures, groups_known=groups_known
        )
        if self.problems:
            self._add_issues(PROJECT_FILE, lookalikes(sheet.text, is_yaml=True))
        entries = self._entries(project, sheet)
        for found in entries:
            if found.unusable is None:
                self._load_file(found.name, sheet, defaults, context)
        self._check_together()
        self._check_entries([found for found in entries if found.unusable], project, defaults)
        if self.problems or zone is None:
            raise ProjectError(sorted(set(self.problems)))
        activities = tuple(sorted(self.activities, key=lambda activity: activity.key))
        return Project(
            self.root,
            project.namespace,
            zone,
            activities,
            project.policy,
            brands,
            project.notify,
            self._account(project, sheet),
            tuple(sorted(set(self.notes))),
            self._reads(project, entries),
        )

    def _reads(self, project: ProjectFile, entries: Iterable[FolderEntries]) -> tuple[str, ...]:
        names = {PROJECT_FILE, project.activities, *project.merchant_groups.values(), *self.pictures}
        places = [self.root / name for name in (*names, *(found.name for found in entries))]
        if any(os.path.realpath(place) != os.path.normpath(place) for place in places):
            return ("",)
        return tuple(sorted(os.path.normpath(name) for name in names))

    # --- the project file ---

    def _read_sheet(self) -> _Sheet:
        text = self._read(PROJECT_FILE) or ""
        documents, issues = self._parse(PROJECT_FILE, text)
        document = documents[0] if documents else YamlDocument(0, {})
        if len(documents) > 1:
            message = "the project file is one document: remove the `---` above this line"
            self.problems.append(
                Diagnostic(PROJECT_FILE, documents[1].line, 1, "", message, "several_documents")
            )
        if not document.sound or (issues and not documents):
            raise ProjectError(self.problems)  # nothing is known that specs could be held against
        data = {} if document.data is None else document.data
        if self.problems and not text:
            raise ProjectError(self.problems)
        if not isinstance(data, dict):
            message = "expected a mapping (namespace: NAME), found something else"
            self._add_issues(PROJECT_FILE, lookalikes(text, is_yaml=False))
            raise ProjectError(
                [*self.problems, Diagnostic(PROJECT_FILE, document.line, 1, "", message, "wrong_type")]
            )
        return _Sheet(PROJECT_FILE, text, 0, data)

    def _zone(self, project: ProjectFile, sheet: _Sheet) -> ZoneInfo | None:
        name = known(project, lambda of: of.timezone)
        if name is None:
            return None
        try:
            return zone_named(name)
        except UnknownZoneError as error:
            self._add(FieldDiagnostic(("timezone",), "unknown_timezone", f"{shown(name)} {error}"), sheet)
            return None

    def _account(self, project: ProjectFile, sheet: _Sheet) -> NamedAccount | None:
        if not project.account:
            return None
        file, line, _, _ = sheet.place(("account",))
        return NamedAccount(project.account, Source(escaped(file), line))

    def _check_freezes(self, project: ProjectFile, zone: ZoneInfo, sheet: _Sheet) -> None:
        for index, freeze in enumerate(known(project, lambda of: of.policy.freeze) or ()):
            for fault in span_diagnostics(freeze, ("policy", "freeze", index), zone):
                self._add(fault, sheet)

    def _defaults(self, project: ProjectFile, sheet: _Sheet) -> dict[str, Any]:
        defaults = dict(known(project, lambda of: of.defaults) or {})
        self.defaults_known = is_known(project, lambda of: of.defaults)
        for name in NO_DEFAULTS:
            if defaults.pop(name, None) is not None:
                message = "belongs to one activity: it cannot be a default"
                self._add(FieldDiagnostic(("defaults", name), "not_a_default", message), sheet)
        return defaults

    def _groups(self, project: ProjectFile, sheet: _Sheet) -> dict[str, tuple[str, ...] | None]:
        groups: dict[str, tuple[str, ...] | None] = {}
        named: Mapping[str, str | None] = known(project, lambda of: of.merchant_groups) or {}
        for name, file in named.items():
            groups[name] = None
            if file is None:
                continue
            try:
                text = read_text(self.names.find(file))
            except UnusableError as problem:
                if problem.line:
                    self._unusable(file, problem)
                else:
                    message = f"{shown(file)} {problem.message}"
                    self._add(FieldDiagnostic(("merchant_groups", name), problem.code, message), sheet)
                continue
            mchids, problems = parse_group(file, text)
            self.problems += problems
            # Where a line is no merchant, nobody knows who belongs to the group, and what would follow is not told.
            if all(problem.code == "duplicate_merchant" for problem in problems):
                groups[name] = mchids
        return groups

    def _brands(
        self, project: ProjectFile, sheet: _Sheet, groups: Mapping[str, tuple[str, ...] | None]
    ) -> dict[str, tuple[str, ...]]:
        brands: dict[str, tuple[str, ...]] = {}
        brand_of: dict[str, str] = {}
        all_known = True
        for name, brand in (known(project, lambda of: of.brands) or {}).items():
            path = ("brands", name)
            listed: Sequence[str | None] = known(brand, lambda of: of.merchants) or ()
            merchants = {mchid for mchid in listed if mchid is not None}
            named: Sequence[str | None] = known(brand, lambda of: of.merchant_groups) or ()
            for index, group in enumerate(named):
                merchants.update(groups.get(group or "") or ())
                if (
                    group is not None
                    and group not in groups
                    and is_known(project, lambda of: of.merchant_groups)
                ):
                    self._add(unknown_group(group, groups, (*path, "merchant_groups", index)), sheet)
            all_known &= self._is_known(brand, groups)
            brands[name] = tuple(sorted(merchants))
            shared = [mchid for mchid in brands[name] if mchid in brand_of]
            if shared:
                more = f" and {len(shared) - 1:,} more" if len(shared) > 1 else ""
                message = (
                    f"the merchant {shown(shared[0])}{more} is in the brand {shown(brand_of[shared[0]])} too"
                )
                also = (("brands", brand_of[shared[0]]),)
                self._add(FieldDiagnostic(path, "two_brands", message, also=also), sheet)
            for mchid in brands[name]:
                brand_of.setdefault(mchid, name)
        return brands if all_known else {}

    def _is_known(self, brand: BrandSection, groups: Mapping[str, tuple[str, ...] | None]) -> bool:
        """Whether all merchants of a brand could be read. Otherwise no merchant can be called a stranger."""
        merchants: Sequence[str | None] | None = known(brand, lambda of: of.merchants)
        names: Sequence[str | None] | None = known(brand, lambda of: of.merchant_groups)
        if merchants is None or names is None or None in merchants:
            return False
        return all(name is not None and groups.get(name) is not None for name in names)

    # --- specs ---

    def _entries(self, project: ProjectFile, sheet: _Sheet) -> list[FolderEntries]:
        folder = known(project, lambda of: of.activities)
        if folder is None:
            return []
        try:
            real = _folder_at(self.names.find(folder))
        except UnusableError as problem:
            self._add(
                FieldDiagnostic(("activities",), problem.code, f"{shown(folder)} {problem.message}"), sheet
            )
            return []
        return entries_in(self.root, real)

    def _check_entries(
        self, unread: Iterable[FolderEntries], project: ProjectFile, defaults: dict[str, Any]
    ) -> None:
        """Tell of every entry that was not read, unless it is a file that the project itself names.

        Pictures are told once nothing else is wrong: what names them may be what could not be read.
        """
        named = self._named_files(project, defaults)
        sound = not self.problems
        for found in unread:
            if found.path and (os.path.realpath(found.path) in named or (found.is_picture and not sound)):
                continue
            if found.unusable is not None:
                self._unusable(found.name, found.unusable)

    def _named_files(self, project: ProjectFile, defaults: dict[str, Any]) -> set[str]:
        """The real paths of the files that make up the project beside its specs."""
        groups: Iterable[str | None] = (known(project, lambda of: of.merchant_groups) or {}).values()
        pictures = {*self.pictures, *local_images(salvage(ActivitySpec, defaults))}
        names = [PROJECT_FILE, STOCKS_FILE, *(group for group in groups if group is not None), *pictures]
        return {os.path.realpath(self.root / name) for name in names}

    def _load_file(self, name: str, project: _Sheet, defaults: dict[str, Any], context: SpecContext) -> None:
        text = self._read(name)
        if text is None:
            return
        before = len(self.problems)
        documents, issues = self._parse(name, text)
        if not documents and not issues:
            message = "the file is empty: write an activity, or remove the file"
            self.problems.append(Diagnostic(escaped(name), 0, 0, message=message, code="empty_file"))
        for index, document in enumerate(documents):
            if document.sound:
                sheet = _Sheet(name, text, index, document.data, project)
                self._load_spec(sheet, document.line, defaults, context, sound=not issues)
        if len(self.problems) > before and not any(issue.code in _NO_YAML for issue in issues):
            self._add_issues(
                name, lookalikes(text, is_yaml=all(isinstance(each.data, dict) for each in documents))
            )

    def _load_spec(
        self, sheet: _Sheet, line: int, defaults: dict[str, Any], context: SpecContext, *, sound: bool
    ) -> None:
        if not isinstance(sheet.data, dict):
            found = "nothing" if sheet.data is None else "something else"
            message = f"expected an activity (activity_base_info, award_send_rule, …), found {found}"
            self.problems.append(Diagnostic(escaped(sheet.file), line, 1, "", message, "no_activity"))
            return
        data = merged(defaults, sheet.data)
        faults: list[FieldDiagnostic] = []
        try:
            spec = ActivitySpec.model_validate(data)
        except ValidationError as error:
            faults = diagnostics_of(ActivitySpec, error)
            spec = salvage(ActivitySpec, data)
        for path in local_images(spec):
            if path not in self.pictures:
                self.pictures[path] = picture_at(self.names, path)
        faults += diagnostics_in(spec, context)
        key = self._key(spec, sheet, faults)
        self.headers.append(
            Header(key, known(spec, lambda of: of.renamed_from) or (), known(spec, lambda of: of.adopt) or "")
        )
        self.sources.append((sheet.file, sheet.index))
        for fault in faults:
            if self.defaults_known or fault.code != "missing":
                self._add(fault, sheet)
        self.notes += (self._problem(note, sheet) for note in notes_in(spec, context))
        if sound and not faults and context.groups_known:
            self.activities.append(normalize(spec, key, Source(sheet.file, line), context))

    def _key(self, spec: ActivitySpec, sheet: _Sheet, faults: list[FieldDiagnostic]) -> str:
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
        faults.append(FieldDiagnostic(("key",), "key_needed", message))
        return ""

    def _check_together(self) -> None:
        for index, fault in conflicts(self.headers):
            self._add(fault, self._sheet_of(index))

    def _sheet_of(self, index: int) -> _Sheet:
        file, document = self.sources[index]
        return _Sheet(file, self._read(file) or "", document)

    # --- telling ---

    def _validate(self, model: type[Model], sheet: _Sheet) -> Model:
        try:
            return model.model_validate(sheet.data)
        except ValidationError as error:
            for fault in diagnostics_of(model, error):
                self._add(fault, sheet)
            return salvage(model, sheet.data)

    def _read(self, file: str) -> str | None:
        try:  # what was found in the activities folder has been looked at already
            return read_text(inside(self.root, file) if file == PROJECT_FILE else self.root / file)
        except UnusableError as problem:
            self._unusable(file, problem)
            return None

    def _add(self, fault: FieldDiagnostic, sheet: _Sheet) -> None:
        self.problems.append(self._problem(fault, sheet))

    def _problem(self, fault: FieldDiagnostic, sheet: _Sheet) -> Diagnostic:
        file, line, column, path = sheet.place(fault.path, fault.partners)
        places = [self._named(place, sheet) for place in fault.also]
        see = f" (see {', '.join(places)})" if places else ""
        message = f"{fault.message}{see}"
        return Diagnostic(escaped(file), line, column, dotted(path), message, fault.code, fault.facts)

    def _named(self, place: FieldPath | OtherSpec, sheet: _Sheet) -> str:
        if isinstance(place, OtherSpec):
            sheet, place = self._sheet_of(place.index), place.path
        file, line, _, _ = sheet.place(place)
        return str(Source(escaped(file), line))

    def _parse(self, file: str, text: str) -> tuple[list[YamlDocument], list[TextDiagnostic]]:
        """What ``parse`` finds. Where it is no YAML and something in it explains why, that is told instead."""
        documents, issues = parse(text)
        if any(issue.code == "yaml_syntax" for issue in issues) and (
            causes := lookalikes(text, is_yaml=False)
        ):
            issues = [*(issue for issue in issues if issue.code != "yaml_syntax"), *causes]
        self._add_issues(file, issues)
        return documents, issues

    def _add_issues(self, file: str, issues: Iterable[TextDiagnostic]) -> None:
        for issue in issues:
            problem = Diagnostic(
                escaped(file), issue.line, issue.column, dotted(issue.path), issue.message, issue.code
            )
            self.problems.append(problem)

    def _unusable(self, file: str, problem: UnusableError) -> None:
        self.problems.append(_problem(file, problem))


def _problem(file: str, found: UnusableError) -> Diagnostic:
    return Diagnostic(escaped(file), found.line, found.column, "", found.message, found.code)


def _folder_at(real: Path) -> Path:
    """``real``, if it is a folder. Raises UnusableError."""
    try:
        if real.is_dir():
            return real
        raise UnusableError("no_folder", "is not a folder" if real.exists() else "does not exist")
    except OSError as error:  # its name is too long
        raise UnusableError("unreadable", f"cannot be read: {reason_of(error)}") from error
