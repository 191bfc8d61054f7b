"""The documents are complete, and their links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

import reconciler
from reconciler.model.findings import FindingKind
from reconciler.render import messages as wording

ROOT: Final = Path(__file__).parents[2]
DOCUMENTS: Final = sorted({*ROOT.glob("README*.md"), ROOT / "CHANGELOG.md", *ROOT.glob("docs/**/*.md")})
FINDINGS: Final = (ROOT / "docs/findings.md").read_text(encoding="utf-8")
SECTIONS: Final = dict(re.findall(r"^### ([A-Z_]+)\n(.*?)(?=^##|\Z)", FINDINGS, re.MULTILINE | re.DOTALL))

_FENCE: Final = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_CODE: Final = re.compile(r"`[^`\n]*`")
_LINK: Final = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def prose(document: Path) -> str:
    return _FENCE.sub("", document.read_text(encoding="utf-8"))


def links(document: Path) -> list[str]:
    """Targets inside this repository. Code within a link's text is taken out first: it may hold brackets."""
    targets = _LINK.findall(_CODE.sub("code", prose(document)))
    return [target for target in targets if "://" not in target]


def anchors(document: Path) -> set[str]:
    """The anchors that GitHub gives to a document's headings."""
    titles = re.findall(r"^#+ (.+)$", prose(document), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_to_a_file_and_a_heading(document: Path) -> None:
    for target in links(document):
        name, _, anchor = target.partition("#")
        file = (document.parent / name).resolve() if name else document
        assert file.exists(), target
        assert file.is_relative_to(ROOT), target
        assert not anchor or anchor in anchors(file), target


def test_links_are_found_at_all() -> None:
    assert len(links(ROOT / "README.md")) >= 10
    assert "no_specs" in anchors(ROOT / "docs/findings.md")


def test_every_document_is_in_the_index() -> None:
    index = ROOT / "docs/README.md"
    named = {(index.parent / target).resolve() for target in links(index)}
    assert {document for document in ROOT.glob("docs/*.md") if document != index} <= named


def test_every_finding_has_its_section_and_its_sentence() -> None:
    registered = sorted(FindingKind)
    assert sorted(SECTIONS) == registered
    assert sorted(wording.FINDINGS) == registered


@pytest.mark.parametrize("kind", FindingKind)
def test_a_section_says_what_it_means_and_what_to_do(kind: FindingKind) -> None:
    text = SECTIONS[kind]
    assert re.match(rf"\n\*\*{kind.severity}\*\* · \w", text)
    assert "- *Example:* " in text
    assert "- *Remedy:* " in text
    assert (f"`--allow {kind}" in text) is kind.waivable
    assert (" gets no operation." in text) is kind.leaves_undone


@pytest.mark.parametrize("kind", FindingKind)
def test_a_section_stands_under_the_severity_that_its_kind_has(kind: FindingKind) -> None:
    """The last heading of the second level before a code's section names its severity."""
    before = FINDINGS.partition(f"### {kind}\n")[0]
    group = re.findall(r"^## (\w+)$", before, re.MULTILINE)[-1]
    assert group.lower().removesuffix("s") == kind.severity


@pytest.mark.parametrize("kind", FindingKind)
def test_the_documents_explain_each_kind_where_it_says(kind: FindingKind) -> None:
    name, _, anchor = kind.docs_anchor.partition("#")
    assert anchor in anchors(ROOT / name)


def test_the_map_names_every_module() -> None:
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    package = Path(reconciler.__file__).parent
    modules = {path.stem for path in package.glob("**/*.py")} - {"__init__", "__main__"}
    assert {module for module in modules if f"`{module}`" not in text} == set()
    folders = {path.parent.name for path in package.glob("*/__init__.py")}
    assert {folder for folder in folders if f"`{folder}/`" not in text} == set()


def test_the_map_fits_on_a_few_screens() -> None:
    assert len((ROOT / "docs/architecture.md").read_text(encoding="utf-8").splitlines()) <= 150
