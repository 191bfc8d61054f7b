"""YAML text → plain data: mappings, lists and texts, nothing else; and what is wrong with the text itself.

Every plain scalar stays a text, so that YAML 1.1 cannot turn ``000000``, ``11:00:00``, ``no`` or a date into something
else. An empty value (also ``~`` and ``null``) becomes ``None`` and is reported. Composing is libyaml's work; what is
built from the nodes is ours, and bounded: depth, number of nodes after aliases are expanded, number of documents.
No node is kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from sys import intern
from typing import Any, Final

import yaml
from yaml import MappingNode, Node, ScalarNode
from yaml.composer import Composer
from yaml.parser import Parser
from yaml.reader import Reader
from yaml.scanner import Scanner
from yaml.tokens import FlowMappingEndToken, FlowMappingStartToken, FlowSequenceEndToken, FlowSequenceStartToken

from reconciler.model.characters import shown
from reconciler.spec.diagnostics import Path

MAX_DEPTH: Final = 40
MAX_NODES: Final = 100_000
MAX_DOCUMENTS: Final = 1_000
_SAFE_RECURSION: Final = 800
"""libyaml's composer recurses in C and dies of a deep document; a few hundred levels are safe on any stack."""

_SCALAR: Any = ScalarNode  # as Any, because the stubs say that every node has a tag, and ours may have none
_NULLS: Final = frozenset({"", "~", "null", "Null", "NULL"})
_UNPRINTABLE: Final = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class TextDiagnostic:
    """Something wrong with the YAML itself. ``line`` and ``column`` count from 1."""

    line: int
    column: int
    path: Path
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class YamlDocument:
    """One document of a file: the line at which its content begins, and its content. ``sound`` is false where
    the content could not be read to its end."""

    line: int
    data: Any
    sound: bool = True


class _TooDeepError(Exception):
    def __init__(self, mark: yaml.Mark | None) -> None:
        super().__init__()
        self.mark = mark


class _Untagged:
    """The part of a resolver that composers call: nodes without an explicit tag get none."""

    # No type is guessed from how a value looks: a mchid or 000000 would become a number.
    def resolve(self, kind: object, value: object, implicit: object) -> None:
        return None

    def descend_resolver(self, current_node: Node | None, current_index: object) -> None:
        pass

    def ascend_resolver(self) -> None:
        pass


class _DepthCounting(_Untagged):
    # Counted in the hook that composers call at each level, before the C stack could overflow.
    depth = 0

    def descend_resolver(self, current_node: Node | None, current_index: object) -> None:
        self.depth += 1
        if self.depth > MAX_DEPTH + 2:
            raise _TooDeepError(current_node.start_mark if current_node else None)

    def ascend_resolver(self) -> None:
        self.depth -= 1


class _PythonComposer(_DepthCounting, Reader, Scanner, Parser, Composer):
    def __init__(self, text: str) -> None:
        Reader.__init__(self, text)
        Scanner.__init__(self)
        Parser.__init__(self)
        Composer.__init__(self)


try:
    # Private, but the public C loaders bring a resolver and a constructor of their own.
    from yaml._yaml import CParser
except ImportError:
    _careful: Any = _PythonComposer
    _quick: Any = _PythonComposer
else:

    class _QuickComposer(_Untagged, CParser):
        pass

    class _CarefulComposer(_DepthCounting, CParser):
        pass

    _careful = _CarefulComposer
    _quick = _QuickComposer


def compose(text: str) -> Iterator[Node]:
    """The root node of every document. Raises ``yaml.YAMLError``, or ``_TooDeepError``, at the first that is broken."""
    # Each level of nesting takes one of these characters, so few of them cannot nest deeply.
    nesting = sum(text.count(character) for character in ":-[{?")
    composer = (_quick if nesting < _SAFE_RECURSION else _careful)(text)
    while composer.check_node():
        yield composer.get_node()


def parse(text: str) -> tuple[list[YamlDocument], list[TextDiagnostic]]:
    """All documents of ``text`` up to the first that is broken, and everything wrong with them. Never raises."""
    documents: list[YamlDocument] = []
    walker = _Walker()
    try:
        for node in compose(text):
            if len(documents) == MAX_DOCUMENTS:
                # An end, or a megabyte of `---` would be read for minutes.
                raise _StopError(node, (), "too_many_documents", f"more than {MAX_DOCUMENTS} documents in one file")
            documents.append(YamlDocument(node.start_mark.line + 1, walker.root(node), walker.sound))
    except _StopError as stop:
        walker.diagnostics.append(stop.diagnostic)
    except _TooDeepError as error:
        walker.diagnostics.append(_located(error.mark, (), "too_deep", f"nested more than {MAX_DEPTH} levels deep"))
    except (
        yaml.YAMLError,
        ValueError,
        OverflowError,
    ) as error:  # yaml's own parser lets chr() fail on "\UFFFFFFFF"
        walker.diagnostics.append(_syntax_diagnostic(error, text))
    return documents, walker.diagnostics


class _StopError(Exception):
    """Going on would cost too much."""

    def __init__(self, node: Node, path: Path, code: str, message: str) -> None:
        super().__init__(message)
        self.diagnostic = _located(node.start_mark, path, code, message)


class _Walker:
    """Builds plain data out of nodes, and collects what it does not like."""

    def __init__(self) -> None:
        self.diagnostics: list[TextDiagnostic] = []
        self.sound = True
        self._left = MAX_NODES
        self._open: set[int] = set()
        self._firsts: dict[int, dict[str, Any]] = {}

    def root(self, node: Node) -> Any:
        self.sound = True
        try:
            return self._scalar(node, ()) if node.__class__ is _SCALAR else self._container(node, ())
        except _StopError as stop:
            self.diagnostics.append(stop.diagnostic)
            self.sound = False
            return None

    def _scalar(self, node: Any, path: Path, at: Any = None) -> str | None:
        """A scalar that is not an ordinary text; the loops below take the ordinary ones themselves."""
        if node.tag is not None:
            self._tagged(node, path)
        if node.value in _NULLS and not node.style:
            if path:  # an empty document is the loader's to judge
                self._report(at or node, path, "empty", "empty: write a value, or remove the line")
            return None
        return str(node.value)

    def _container(self, node: Any, path: Path) -> Any:
        if len(path) >= MAX_DEPTH:
            raise _StopError(node, path, "too_deep", f"nested more than {MAX_DEPTH} levels deep")
        # YAML lets an alias contain itself, and the walk would never end.
        if id(node) in self._open:
            raise _StopError(node, path, "alias_cycle", "an alias that contains itself")
        # Counted after aliases: a few lines of nested ones expand to billions ("billion laughs").
        self._left -= len(node.value)
        if self._left < 0:
            message = f"more than {MAX_NODES:,} values once aliases (*name) are expanded"
            raise _StopError(node, path, "too_many_values", message)
        if node.tag is not None:
            self._tagged(node, path)
        self._open.add(id(node))
        built = self._mapping(node, path) if node.__class__ is MappingNode else self._sequence(node, path)
        self._open.discard(id(node))
        return built

    def _mapping(self, node: Any, path: Path) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value in node.value:
            key = key_node.value
            if key_node.__class__ is not _SCALAR:
                self._report(key_node, path, "key_not_text", "a key must be a text, not a list or a mapping")
                continue
            odd = key in result or key == "<<" or key_node.tag is not None
            if odd and not self._acceptable_key(node, key_node, path):
                continue
            if value.__class__ is _SCALAR:
                plain = value.tag is None and (value.style or value.value not in _NULLS)
                result[key] = value.value if plain else self._scalar(value, (*path, key), key_node)
            else:
                result[key] = self._container(value, (*path, key))
        return result

    def _sequence(self, node: Any, path: Path) -> list[Any]:
        result: list[Any] = []
        for index, value in enumerate(node.value):
            if value.__class__ is _SCALAR:
                plain = value.tag is None and (value.style or value.value not in _NULLS)
                # mchids repeat across thousands of specs: one text for each
                result.append(intern(value.value) if plain else self._scalar(value, (*path, index)))
            else:
                result.append(self._container(value, (*path, index)))
        return result

    def _acceptable_key(self, mapping: Any, key_node: Any, path: Path) -> bool:
        key = key_node.value
        if key_node.tag is not None:
            self._tagged(key_node, (*path, key))
        # A merge key hides which value counts; quoted it is a key like any other, and unknown.
        if key == "<<" and not key_node.style:
            message = "merge keys are not supported: write what specs share under `defaults:` in paygift.yaml"
            self._report(key_node, (*path, key), "merge_key", message)
            return False
        # YAML forbids equal keys and most parsers take the last: then a diff shows one value and another counts.
        first = self._first_keys(mapping)[key]
        if first is key_node:
            return True
        line = first.start_mark.line + 1
        self._report(key_node, (*path, key), "duplicate_key", f"written twice: the first is in line {line}")
        return False

    def _first_keys(self, mapping: Any) -> dict[str, Any]:
        """Once for each mapping that repeats itself: a file of nothing but repetitions must not take forever."""
        if id(mapping) not in self._firsts:
            scalars = [key for key, _ in mapping.value if key.__class__ is _SCALAR]
            self._firsts[id(mapping)] = {key.value: key for key in reversed(scalars)}
        return self._firsts[id(mapping)]

    def _tagged(self, node: Node, path: Path) -> None:
        tag = node.tag.replace("tag:yaml.org,2002:", "!!")
        message = f"the tag {shown(tag)} is not supported: write the plain value"
        self._report(node, path, "tag", message)

    def _report(self, node: Node, path: Path, code: str, message: str) -> None:
        self.diagnostics.append(_located(node.start_mark, path, code, message))


def _located(mark: yaml.Mark | None, path: Path, code: str, message: str) -> TextDiagnostic:
    if mark is None:
        return TextDiagnostic(1, 1, path, code, message)
    return TextDiagnostic(mark.line + 1, mark.column + 1, path, code, message)


# --- syntax errors, in words that help -----------------------------------------------------------------------------

_ADVICE: Final = (
    ("mapping values are not allowed", "an unexpected `:`: indent this line like its neighbours, or quote the text"),
    ("could not find expected ':'", "expected `key: value` here: a `:` is missing, or the line is indented wrongly"),
    ("undefined alias", "an alias (*name) without an anchor (&name) before it; quote a text that begins with *"),
    ("duplicate anchor", "an anchor (&name) that was defined before"),
    ("unknown escape character", "an unknown escape: in double quotes, write \\\\ for a backslash"),
    ("found unexpected ':'", "an unexpected `:`: quote the text"),
    ("block sequence entries are not allowed", "an unexpected `-`: a list begins on its own line"),
    ("did not find expected key", "expected `key: value`: this line is indented differently, or a quote is open"),
    ("did not find expected '-' indicator", "expected `- value` here, or less indentation: the lines above are a list"),
    ("did not find expected ',' or", "expected `,` or the closing bracket"),
    ("did not find expected node content", "expected a value"),
    ("did not find expected <document start>", "expected the end of the file, or `---`: this line is indented wrongly"),
    ("while parsing a block mapping", "expected `key: value`: this line is indented differently, or a quote is open"),
    ("while parsing a block collection", "expected `- value` here, or less indentation: the lines above are a list"),
    ("while parsing a flow", "expected a value, `,` or the closing bracket"),
)  # fmt: skip

_IN_BRACKETS: Final = (
    "did not find expected ',' or",
    "did not find expected node content",
    "while parsing a flow",
)


def _syntax_diagnostic(error: Exception, text: str) -> TextDiagnostic:
    # First, since the parser points at the beginning of the file for these.
    if found := _UNPRINTABLE.search(text):
        line, column = line_and_column(text, found.start())
        message = f"the character U+{ord(found[0]):04X} is not allowed in YAML: remove it"
        return TextDiagnostic(line, column, (), "yaml_character", message)
    mark = getattr(error, "problem_mark", None)
    said = f"{getattr(error, 'problem', None) or error} {getattr(error, 'context', None) or ''}".strip()
    advice = _not_closed(error, said, text) or _advice(said, _character_at(mark, text))
    return _located(mark, (), "yaml_syntax", f"not valid YAML: {advice}")


def _not_closed(error: Exception, said: str, text: str) -> str:
    """Which quote or bracket is open where the text ends; empty if there is none, or something else is wrong."""
    begin = getattr(error, "context_mark", None)
    if begin is not None and any(words in said for words in ("unexpected end of stream", "document indicator")):
        return f"the quote of {begin.line + 1}:{begin.column + 1} is not closed"
    opened = _innermost_open(text) if any(words in said for words in _IN_BRACKETS) else None
    if opened is None:
        return ""
    return f'"{_character_at(opened, text)}" of {opened.line + 1}:{opened.column + 1} is not closed'


def _innermost_open(text: str) -> yaml.Mark | None:
    """Where the innermost bracket begins that is still open at the end, or where the text can be read no further."""
    scanner, opened = _quick(text), []
    try:
        while scanner.check_token():
            token = scanner.get_token()
            if isinstance(token, FlowSequenceStartToken | FlowMappingStartToken):
                opened.append(token.start_mark)
            elif isinstance(token, FlowSequenceEndToken | FlowMappingEndToken) and opened:
                opened.pop()
    except (yaml.YAMLError, ValueError, OverflowError):
        pass  # what follows an open bracket is often not YAML inside of brackets
    return opened[-1] if opened else None


def _advice(said: str, character: str) -> str:
    if "cannot start any token" in said:
        if character == "\t":
            return "a tab: indent with spaces"
        return f"a text cannot begin with {shown(character)}: put it in quotes"
    for words, advice in _ADVICE:
        if words in said:
            return advice
    return said.partition("\n")[0]


def _character_at(mark: yaml.Mark | None, text: str) -> str:
    lines = text.split("\n")
    if mark is None or mark.line >= len(lines):
        return ""
    return lines[mark.line][mark.column : mark.column + 1]


def line_and_column(text: str, index: int) -> tuple[int, int]:
    """Where the character at ``index`` stands, both counted from 1."""
    before = text[:index]
    return before.count("\n") + 1, index - (before.rfind("\n") + 1) + 1
