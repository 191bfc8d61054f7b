"""Documents of a project with what it takes to say where something stands in them, and all that is wrong with them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from reconciler.model.activity import Source
from reconciler.model.characters import escaped
from reconciler.model.diagnostics import Diagnostic
from reconciler.spec.diagnostics import FieldDiagnostic, OtherSpec
from reconciler.spec.diagnostics import Path as FieldPath
from reconciler.spec.entries import PROJECT_FILE
from reconciler.spec.files import FileNames, UnusableError, inside, read_text
from reconciler.spec.lookalikes import lookalikes
from reconciler.spec.positions import Positions, dotted, in_defaults, reach
from reconciler.spec.validation_errors import Model, diagnostics_of, salvage
from reconciler.spec.yaml_ import TextDiagnostic, YamlDocument, parse


@dataclass
class Sheet:
    """One document, with what it takes to say where something stands in it."""

    file: str
    text: str
    index: int = 0
    data: Any = None
    project: Sheet | None = None
    """The project file, for a spec whose defaults come from there."""

    @cached_property
    # Not made with the sheet: composing a file again is dear, and most files have no mistake.
    def positions(self) -> Positions:
        """Looked up where something is reported, and only there."""
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
class Reading:
    """The files of one project under ``root``, and every mistake that was found in them so far."""

    root: Path
    diagnostics: list[Diagnostic] = field(default_factory=list)
    sources: list[tuple[str, int]] = field(default_factory=list)
    """File and number of the document of every spec, in the order in which they were loaded."""

    @cached_property
    def names(self) -> FileNames:
        """The names of the files as they are on disk."""
        return FileNames(self.root)

    def text(self, file: str) -> str | None:
        """The text of ``file``; ``None``, and a diagnostic, where it cannot be used."""
        try:  # what was found in the activities folder has been looked at already
            return read_text(inside(self.root, file) if file == PROJECT_FILE else self.root / file)
        except UnusableError as error:
            self.add_unusable(file, error)
            return None

    def parsed(self, file: str, text: str) -> tuple[list[YamlDocument], list[TextDiagnostic]]:
        """What ``parse`` finds. Where it is not YAML and something in it explains why, that is told instead."""
        documents, found = parse(text)
        # The parser names the line after; the cause has its own.
        if any(each.code == "yaml_syntax" for each in found) and (causes := lookalikes(text, is_yaml=False)):
            found = [*(each for each in found if each.code != "yaml_syntax"), *causes]
        self.add_of_text(file, found)
        return documents, found

    def validated(self, model: type[Model], sheet: Sheet) -> Model:
        """The document as ``model``; of a damaged one what is still good (``salvage``), and every mistake."""
        try:
            return model.model_validate(sheet.data)
        except ValidationError as error:
            for each in diagnostics_of(model, error):
                self.add(each, sheet)
            return salvage(model, sheet.data)

    def sheet_of(self, index: int) -> Sheet:
        """The document of the spec that was loaded as number ``index``."""
        file, document = self.sources[index]
        # Read again, since keeping the texts of thousands of specs for a rare conflict would fill memory.
        return Sheet(file, self.text(file) or "", document)

    def add(self, diagnostic: FieldDiagnostic, sheet: Sheet) -> None:
        """A mistake in a field, told at its place."""
        self.diagnostics.append(self.located(diagnostic, sheet))

    def add_of_text(self, file: str, found: Iterable[TextDiagnostic]) -> None:
        """Mistakes in a text."""
        self.diagnostics += (
            Diagnostic(escaped(file), each.line, each.column, dotted(each.path), each.message, each.code)
            for each in found
        )

    def add_unusable(self, file: str, error: UnusableError) -> None:
        """A file that cannot be used."""
        self.diagnostics.append(unusable(file, error))

    def located(self, diagnostic: FieldDiagnostic, sheet: Sheet) -> Diagnostic:
        """A mistake in a field with its place, and the other places that it is about."""
        file, line, column, path = sheet.place(diagnostic.path, diagnostic.partners)
        places = [self._named(place, sheet) for place in diagnostic.also]
        see = f" (see {', '.join(places)})" if places else ""
        message = f"{diagnostic.message}{see}"
        return Diagnostic(escaped(file), line, column, dotted(path), message, diagnostic.code, diagnostic.facts)

    def _named(self, place: FieldPath | OtherSpec, sheet: Sheet) -> str:
        if isinstance(place, OtherSpec):
            sheet, place = self.sheet_of(place.index), place.path
        file, line, _, _ = sheet.place(place)
        return str(Source(escaped(file), line))


def unusable(file: str, error: UnusableError) -> Diagnostic:
    """Why ``file`` cannot be used, at its place if there is one."""
    return Diagnostic(escaped(file), error.line, error.column, "", error.message, error.code)
