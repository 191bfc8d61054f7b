"""paygift.yaml: what it says of zone, account, defaults, merchant groups and brands, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from reconciler.model.activity import NamedAccount, Source
from reconciler.model.characters import escaped, shown
from reconciler.model.diagnostics import Diagnostic
from reconciler.model.errors import ProjectError
from reconciler.spec.diagnostics import FieldDiagnostic
from reconciler.spec.entries import PROJECT_FILE
from reconciler.spec.files import UnusableError, read_text
from reconciler.spec.lookalikes import lookalikes
from reconciler.spec.merchants import parse_group
from reconciler.spec.models import NO_DEFAULTS, BrandSection, ProjectFile
from reconciler.spec.rules import span_diagnostics, unknown_group
from reconciler.spec.salvaged import is_known, known
from reconciler.spec.sheets import Reading, Sheet
from reconciler.spec.validation_errors import kind_of
from reconciler.spec.yaml_ import TextDiagnostic, YamlDocument
from reconciler.spec.zones import UnknownZoneError, zone_named

Groups = Mapping[str, tuple[str, ...] | None]
"""The merchants of each group, sorted; ``None`` for one that could not be read."""


def project_sheet(reading: Reading) -> Sheet:
    """The document. Raises ProjectError where nothing is known that specs could be held against."""
    text = reading.text(PROJECT_FILE) or ""
    documents, found = reading.parsed(PROJECT_FILE, text)
    document = documents[0] if documents else YamlDocument(0, {})
    # The second would be passed over, and a policy in it with it.
    if len(documents) > 1:
        message = "the project file is one document: remove the `---` above this line"
        reading.diagnostics.append(Diagnostic(PROJECT_FILE, documents[1].line, 1, "", message, "several_documents"))
    if not document.sound or (found and not documents):
        raise ProjectError(reading.diagnostics)
    data = {} if document.data is None else document.data
    if reading.diagnostics and not text:
        raise ProjectError(reading.diagnostics)
    if not isinstance(data, dict):
        message = f"expected a mapping (namespace: NAME), found {kind_of(data)}"
        wrong = TextDiagnostic(document.line, 1, (), "wrong_type", message)
        reading.add_of_text(PROJECT_FILE, lookalikes(text, is_yaml=False) or [wrong])
        raise ProjectError(reading.diagnostics)
    return Sheet(PROJECT_FILE, text, 0, data)


@dataclass(frozen=True)
class ProjectSettings:
    """What ``sheet`` says. ``written`` is a ProjectFile that may lack what is damaged."""

    reading: Reading
    sheet: Sheet
    written: ProjectFile

    @classmethod
    def read(cls, reading: Reading) -> ProjectSettings:
        """Raises ProjectError as ``project_sheet`` does."""
        sheet = project_sheet(reading)
        return cls(reading, sheet, reading.validated(ProjectFile, sheet))

    def zone(self) -> ZoneInfo | None:
        """The zone of times without an offset; ``None`` if it is not known."""
        name = known(self.written, lambda of: of.timezone)
        if name is None:
            return None
        try:
            return zone_named(name)
        except UnknownZoneError as error:
            self._add(FieldDiagnostic(("timezone",), "unknown_timezone", f"{shown(name)} {error}"))
            return None

    def account(self) -> NamedAccount | None:
        """Whose credentials may act for the project, and where that stands."""
        if not self.written.account:
            return None
        file, line, _, _ = self.sheet.place(("account",))
        return NamedAccount(self.written.account, Source(escaped(file), line))

    def check_freezes(self, zone: ZoneInfo) -> None:
        """Every freeze ends after it begins."""
        for index, freeze in enumerate(known(self.written, lambda of: of.policy.freeze) or ()):
            for found in span_diagnostics(freeze, ("policy", "freeze", index), zone):
                self._add(found)

    def defaults(self) -> dict[str, Any]:
        """What stands under every spec."""
        defaults = dict(known(self.written, lambda of: of.defaults) or {})
        for name in NO_DEFAULTS:
            # `adopt` as a default would make every spec claim one activity.
            if defaults.pop(name, None) is not None:
                message = "belongs to one activity: it cannot be a default"
                self._add(FieldDiagnostic(("defaults", name), "not_a_default", message))
        return defaults

    def groups(self) -> Groups:
        """The merchants of every group.

        Where a line is not a merchant, nobody knows who belongs to the group, and what would follow is not told.
        """
        groups: dict[str, tuple[str, ...] | None] = {}
        named: Mapping[str, str | None] = known(self.written, lambda of: of.merchant_groups) or {}
        for name, file in named.items():
            groups[name] = None if file is None else self._group(name, file)
        return groups

    def _group(self, name: str, file: str) -> tuple[str, ...] | None:
        try:
            text = read_text(self.reading.names.find(file))
        except UnusableError as error:
            if error.line:
                self.reading.add_unusable(file, error)
            else:
                message = f"{shown(file)} {error.message}"
                self._add(FieldDiagnostic(("merchant_groups", name), error.code, message))
            return None
        mchids, found = parse_group(file, text)
        self.reading.diagnostics += found
        # A line that was misread is a merchant that would be deleted from every live activity.
        return mchids if all(each.code == "duplicate_merchant" for each in found) else None

    def brands(self, groups: Groups) -> dict[str, tuple[str, ...]]:
        """The sorted merchants of every brand; nothing at all if those of one are not known."""
        brands: dict[str, tuple[str, ...]] = {}
        brand_of: dict[str, str] = {}
        written = known(self.written, lambda of: of.brands) or {}
        for name, brand in written.items():
            brands[name] = self._members(name, brand, groups)
            shared = [mchid for mchid in brands[name] if mchid in brand_of]
            if shared:
                more = f" and {len(shared) - 1:,} more" if len(shared) > 1 else ""
                other = brand_of[shared[0]]
                message = f"the merchant {shown(shared[0])}{more} is in the brand {shown(other)} too"
                self._add(FieldDiagnostic(("brands", name), "two_brands", message, also=(("brands", other),)))
            for mchid in brands[name]:
                brand_of.setdefault(mchid, name)
        # Half known, brands would call good merchants strangers.
        return brands if all(_is_known(brand, groups) for brand in written.values()) else {}

    def _members(self, name: str, brand: BrandSection, groups: Groups) -> tuple[str, ...]:
        listed: Sequence[str | None] = known(brand, lambda of: of.merchants) or ()
        merchants = {mchid for mchid in listed if mchid is not None}
        named: Sequence[str | None] = known(brand, lambda of: of.merchant_groups) or ()
        groups_known = is_known(self.written, lambda of: of.merchant_groups)
        for index, group in enumerate(named):
            merchants.update(groups.get(group or "") or ())
            if group is not None and group not in groups and groups_known:
                self._add(unknown_group(group, groups, ("brands", name, "merchant_groups", index)))
        return tuple(sorted(merchants))

    def _add(self, diagnostic: FieldDiagnostic) -> None:
        self.reading.add(diagnostic, self.sheet)


def _is_known(brand: BrandSection, groups: Groups) -> bool:
    """Whether all merchants of a brand could be read. Otherwise no merchant can be called a stranger."""
    merchants: Sequence[str | None] | None = known(brand, lambda of: of.merchants)
    names: Sequence[str | None] | None = known(brand, lambda of: of.merchant_groups)
    if merchants is None or names is None or None in merchants:
        return False
    return all(name is not None and groups.get(name) is not None for name in names)
