"""The documents are complete, and their links lead somewhere."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Final, get_args

import pytest

from reconciler.model.findings import FindingKind
from reconciler.plan import DriftCode
from reconciler.render import messages as wording
from reconciler.render.views import status
from tests.support.tree import Command, commands, flags

ROOT: Final = Path(__file__).parents[2]
DOCUMENTS: Final = sorted({*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")})
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


def test_the_map_fits_on_a_few_screens() -> None:
    assert len((ROOT / "docs/architecture.md").read_text(encoding="utf-8").splitlines()) <= 150


# -- what drift and status say -----------------------------------------------------------------------------------------

DRIFT: Final = (ROOT / "docs/drift.md").read_text(encoding="utf-8")


def test_every_code_of_drift_has_its_row() -> None:
    assert sorted(re.findall(r"^\| `([A-Z_]+)` \|", DRIFT, re.MULTILINE)) == sorted(get_args(DriftCode))


def test_every_word_of_status_is_explained() -> None:
    section = DRIFT.partition("## The words of `status`\n")[2].partition("\n## ")[0]
    explained = "".join(re.findall(r"^\| ([^|]+) \|", section, re.MULTILINE))
    named = (value for name, value in vars(status).items() if name.isupper() and isinstance(value, str))
    fixed = {value for value in named if not re.fullmatch(r"[A-Z_]+", value)}  # the rest are WeChat Pay's words
    by_code = {words.partition("{")[0].rstrip() for words in status.WORDS.values() if words}
    assert [
        words for words in sorted(fixed | by_code) if words.replace("`", "") not in explained.replace("`", "")
    ] == []


# -- the command line --------------------------------------------------------------------------------------------------

COMMANDS: Final = (ROOT / "docs/commands.md").read_text(encoding="utf-8")
DESCRIBED: Final = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", COMMANDS, re.MULTILINE | re.DOTALL))
ROOT_OPTIONS: Final = "Options before the command"
USERS: Final = [path for path in DOCUMENTS if "decisions" not in path.parts and path.name != "CHANGELOG.md"]


def rows(section: str) -> list[str]:
    """The long flags of a table of options, one text for each row."""
    table = re.findall(r"^\| (`-[^|]+) \|", section, re.MULTILINE)
    return [" ".join(re.findall(r"--[a-z-]+", row)) for row in table]


def expected_rows(command: Command) -> list[str]:
    return [" ".join(flags(option)) for option in command.options]


@pytest.mark.parametrize("command", commands(), ids=lambda each: " ".join(each.words) or "paygift")
def test_every_option_of_the_command_line_is_described(command: Command) -> None:
    if command.does_something:
        name = " ".join(command.words)
        assert f"`paygift {name}" in DESCRIBED[name].partition("|")[0]
        assert sorted(rows(DESCRIBED[name])) == sorted(expected_rows(command))
    elif not command.words:
        assert rows(DESCRIBED[ROOT_OPTIONS]) == expected_rows(command)
    else:
        assert command.options == []


def test_no_command_is_described_that_is_not_there() -> None:
    known = {" ".join(command.words) for command in commands() if command.does_something}
    assert set(DESCRIBED) - known == {ROOT_OPTIONS, "Options in the environment"}


def test_the_variables_that_are_shown_are_those_of_the_options_beside_them() -> None:
    pairs = re.findall(
        r"^\| `paygift ([^`]+)` \| `(PAYGIFT_[A-Z_]+)=", DESCRIBED["Options in the environment"], re.MULTILINE
    )
    assert len(pairs) >= 5
    for typed, variable in pairs:
        command, flag = re.match(r"(.*?)--([a-z-]+)", typed).groups()  # type: ignore[union-attr]
        words = [*command.split(), flag]
        assert variable == "_".join(("paygift", *words)).upper().replace("-", "_")


def typed_in(document: Path) -> list[str]:
    """What people would type: lines and code that begin with ``paygift``, without comments."""
    text = document.read_text(encoding="utf-8")
    lines = re.findall(r"^ *(?:- run: |- )?(paygift [^#|>\n]*)", "".join(_FENCE.findall(text)), re.MULTILINE)
    return [*lines, *re.findall(r"`(paygift [^`\n]+)`", _FENCE.sub("", text))]


@pytest.mark.parametrize("document", USERS, ids=lambda path: path.name)
def test_no_command_or_option_is_named_that_is_not_there(document: Path) -> None:
    tree = {command.words: command for command in commands()}
    for line in typed_in(document):
        words = line.split()[1:]
        path = tuple(word for word in words if re.fullmatch(r"[a-z][a-z-]*", word))
        deepest = max((each for each in tree if path[: len(each)] == each), key=len)
        options = [*tree[()].options, *tree[deepest].options]
        known = {flag for option in options for flag in flags(option)} | {"--help", "--version"}
        used = {re.sub(r"[^a-z-].*", "", word.strip("[]")) for word in words if word.lstrip("[").startswith("--")}
        assert used <= known, line


def test_commands_are_found_in_documents_at_all() -> None:
    assert sum(len(typed_in(document)) for document in USERS) > 100


# -- what the code cites -----------------------------------------------------------------------------------------------

SOURCES: Final = [path for folder in ("reconciler", "tests", "benchmarks") for path in ROOT.glob(f"{folder}/**/*.py")]


def test_every_document_that_the_code_cites_is_there() -> None:
    cited = {
        (name, anchor)
        for path in SOURCES
        for name, anchor in re.findall(r"\b([\w/-]+\.md)#?([\w-]*)", path.read_text(encoding="utf-8"))
        if name.startswith(("docs/", "concepts"))
    }
    assert {name for name, _ in cited} >= {"docs/sandbox.md", "concepts.md"}
    for name, anchor in cited:
        document = ROOT / "docs" / name.removeprefix("docs/")
        assert document.is_file(), name
        assert not anchor or anchor in anchors(document), f"{name}#{anchor}"


# -- what can be pasted ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", ["activities/spring.yaml", "activities/east/spring.yaml"])
def test_the_pattern_for_editors_finds_every_spec(spec: str) -> None:
    """yaml-language-server knows `*` alone, as any characters: two slashes in a pattern are two in the path."""
    text = (ROOT / "docs/specs.md").read_text(encoding="utf-8")
    (settings,) = re.findall(r"^```json\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    patterns = json.loads(settings)["yaml.schemas"]
    found = [schema for schema, pattern in patterns.items() if re.search(pattern_of(pattern), spec)]
    assert found == [".schema/spec.json"]


def pattern_of(glob: str) -> str:
    return re.escape(glob).replace(r"\*", ".*") + "$"


# -- words -------------------------------------------------------------------------------------------------------------

QUAINT: Final = re.compile(
    r"\b(for ever|for good|mend(s|ed|ing)?|cannot be meant|pictures?|newcomers?)\b"
    r"|(?<!here )\b(is|are) no (?!longer)[a-z]"
)
PLAIN: Final = [path for path in USERS if path.name != "wechatpay-api.md"]
CODE: Final = sorted(ROOT.glob("reconciler/**/*.py"))


def quaint(text: str) -> list[str]:
    """What of ``text`` is not in the plain words of the field, with its surroundings. Code in backquotes is exempt."""
    line = re.sub(r"\s+", " ", _CODE.sub("", text))
    return [line[max(0, match.start() - 40) : match.end() + 20] for match in QUAINT.finditer(line)]


def written_in(source: str) -> list[str]:
    """All that a module says to people: its docstrings, and each literal text, those inside f-strings too.

    Codes such as ``damaged_picture`` and ``NEWCOMER`` are not words, so nothing needs an exemption for them.
    """
    found = (node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant))
    return [value for value in found if isinstance(value, str)]


@pytest.mark.parametrize("document", PLAIN, ids=lambda path: path.name)
def test_documents_are_in_plain_words(document: Path) -> None:
    assert quaint(prose(document)) == []


@pytest.mark.parametrize("module", CODE, ids=lambda path: str(path.relative_to(ROOT / "reconciler")))
def test_messages_and_docstrings_are_in_plain_words(module: Path) -> None:
    assert [each for text in written_in(module.read_text(encoding="utf-8")) for each in quaint(text)] == []


def test_quaint_words_are_found_in_docstrings_and_inside_f_strings_but_not_in_codes() -> None:
    source = """
def damaged(name):
    'A picture.'
    return f'{name} is no image: save it', 'damaged_picture', 'it is no longer here, nor are others'
"""
    assert [each for text in written_in(source) for each in quaint(text)] == ["A picture.", " is no image: save it"]
