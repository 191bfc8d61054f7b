"""What an author would write in a spec, as data: the line, and what should stand there. Pure but for reading the file.

Only for what is refused: a file is composed once more for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import yaml
from yaml import MappingNode, Node, ScalarNode

from reconciler.model.activity import Source
from reconciler.spec.files import UnusableError, read_text
from reconciler.spec.yaml_ import compose


@dataclass(frozen=True, slots=True)
class Suggestion:
    """``write`` is one line, ``place`` how it stands to the line ``line`` (from 1) of ``file``, which now reads
    ``present``.
    """

    file: str
    line: int
    place: Literal["replace", "after", "before"]
    present: str
    write: str


def generation_line(root: Path, source: Source, generation: int) -> Suggestion | None:
    """How the spec at ``source`` says ``generation``: in its own line, below ``key:``, or at its top.

    ``None`` where no line says it: the spec is written in braces, or is no longer what it was.
    """
    try:
        text = read_text(root / source.file)
        node = next((each for each in compose(text) if each.start_mark.line + 1 == source.line), None)
    except (UnusableError, yaml.YAMLError):
        return None
    if not isinstance(node, MappingNode) or node.flow_style or not node.value:
        return None
    lines = text.split("\n")
    written = {key.value: (key, value) for key, value in reversed(node.value)}
    key, value = written.get("generation") or written.get("key") or node.value[0]
    present = lines[key.start_mark.line].removesuffix("\r")
    indent = present[: key.start_mark.column]
    # Better no suggestion than one that breaks the file when it is pasted.
    if indent.strip() or not _on_one_line(key, value):
        return None
    place: Literal["replace", "after", "before"] = "before"
    write = f"{indent}generation: {generation}"
    if key.value == "generation":
        place, write = "replace", write + present[value.end_mark.column :].rstrip()
    elif key.value == "key":
        place = "after"
    return Suggestion(source.file, key.start_mark.line + 1, place, present, write)


def _on_one_line(key: Node, value: Node) -> bool:
    """The first key of a spec that has neither is only written above."""
    if key.value not in ("generation", "key"):
        return True
    return isinstance(value, ScalarNode) and value.end_mark.line == key.start_mark.line
