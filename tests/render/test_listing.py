"""How text dresses what a command shows that only reads; and that views hold no dress."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import reconciler.render.views
from reconciler.render.text import listing_text
from reconciler.render.views.parts import Fact, Listing, RowGroup, Table

MODULES = sorted(Path(reconciler.render.views.__file__).parent.glob("*.py"))


def test_parts_stand_below_each_other_with_a_blank_line_between() -> None:
    table = Table(("KEY", "名"), (("a", "春"), ("long", "x")), ((), ("because", "twice")), title="history")
    group = RowGroup(
        "live 7", (Fact("merchants", "7", items=tuple("1234567")), Fact("", "unread"), Fact("k", "v", "CODE"))
    )
    assert listing_text(Listing((table, group, "2 in all."))) == (
        "history\n"
        "KEY   名\n"
        "a     春\n"
        "long  x\n"
        "    because\n"
        "    twice\n"
        "\n"
        "live 7\n"
        "  merchants: 7\n"
        "    1 2 3 4 5 6\n"
        "    7\n"
        "  unread\n"
        "  CODE  k: v\n"
        "\n"
        "2 in all.\n"
    )


def test_every_part_is_escaped() -> None:
    evil = "\x1b[2J\u202e"
    table = Table((evil,), ((evil,),), ((evil,),), title=evil)
    text = listing_text(Listing((table, RowGroup(evil, (Fact(evil, evil, items=(evil,)),)), evil)))
    assert text.replace("\n", "").isprintable()


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)
def test_views_know_nothing_of_dress(module: Path) -> None:
    """What is escaped or coloured in a view is escaped twice, or wrongly, by the next renderer."""
    imported = {
        name.name if isinstance(node, ast.Import) else f"{node.module}.{name.name}"
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8")))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in node.names
    }
    dress = (
        "reconciler.render.text",
        "reconciler.render.escape",
        "reconciler.render.html",
        "reconciler.render.json_",
    )
    assert not {name for name in imported if name.startswith((*dress, "reconciler.render.markdown"))}
    assert not {"reconciler.model.characters.safe", "html", "click", "rich"} & imported
