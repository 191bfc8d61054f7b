"""Where a value stands: looked up only for what is reported, by composing its file once more."""

from __future__ import annotations

from itertools import islice
from typing import Any

import yaml
from yaml import MappingNode, Node, SequenceNode

from reconciler.model.characters import escaped, shown
from reconciler.spec.diagnostics import Path
from reconciler.spec.yaml_ import compose


class Positions:
    """The lines and columns of one document, found again from its text."""

    def __init__(self, text: str, document: int = 0) -> None:
        self._indices: dict[int, dict[Any, tuple[yaml.Mark, Node]]] = {}
        self._root = next(islice(compose(text), document, None), None)

    def find(self, path: Path) -> tuple[int, int]:
        """Line and column, from 1, of the key or list entry at ``path``, or of what comes nearest above it."""
        node = self._root
        if node is None:
            return (0, 0)
        mark = node.start_mark
        for part in path:
            entry = self._entries(node).get(part)
            if entry is None:
                break
            mark, node = entry
        return (mark.line + 1, mark.column + 1)

    def _entries(self, node: Node) -> dict[Any, tuple[yaml.Mark, Node]]:
        # By id: a file with thousands of mistakes would be searched once for each of them.
        if id(node) not in self._indices:
            self._indices[id(node)] = _entries(node)
        return self._indices[id(node)]


def _entries(node: Node) -> dict[Any, tuple[yaml.Mark, Node]]:
    if isinstance(node, SequenceNode):
        return {index: (item.start_mark, item) for index, item in enumerate(node.value)}
    if not isinstance(node, MappingNode):
        return {}
    # Backwards, so that the first of two equal keys wins, as it does when the data is built.
    return {key.value: (key.start_mark, value) for key, value in reversed(node.value) if isinstance(key.value, str)}


def dotted(path: Path) -> str:
    """``("award_list", 1, "stock_id")`` → ``award_list[1].stock_id``."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
            # A key is the author's own text, which may hold what a terminal or CI would act on.
            if escaped(part) != part or len(part) > 60:
                text = text.removesuffix(part) + shown(part)
    return text


def reach(data: object, path: Path) -> int:
    """How many parts of ``path`` exist in ``data``."""
    for depth, part in enumerate(path):
        inside = (isinstance(data, dict) and part in data) or (
            isinstance(data, list) and isinstance(part, int) and part < len(data)
        )
        if not inside:
            return depth
        data = data[part]  # type: ignore[index]
    return len(path)


def in_defaults(data: object, defaults: object, path: Path) -> bool:
    """Whether the value at ``path`` was put there by ``defaults``, or is missing from a list that was.

    What is missing elsewhere is the spec's to write. Only mappings are merged: a list or text replaces the default.
    """
    own, default = reach(data, path), reach(defaults, path)
    for part in path[:own]:
        if not isinstance(data, dict):
            return False
        data = data[part]
    in_default_list = any(isinstance(part, int) for part in path[own:default])
    return isinstance(data, dict) and own < default and (default == len(path) or in_default_list)
