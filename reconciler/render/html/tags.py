"""HTML from calls: a text that is put into a tag is escaped, unless it is HTML already. There is no third kind."""

from __future__ import annotations

from typing import Final

from reconciler.render.escape import markup

_VOID: Final = frozenset({"br", "input", "meta"})


class Html(str):
    """Text that is HTML. Only this module and the constants of ``page`` make any."""

    __slots__ = ()


def tag(name: str, /, *children: str | None, **attributes: str | bool | None) -> Html:
    """``tag("a", "text", class_="x", aria_label="y")``: ``_`` in names becomes ``-``, a trailing one is dropped.

    ``None`` leaves a child or an attribute out; ``True`` writes an attribute without a value.
    """
    given = "".join(_attribute(attribute, value) for attribute, value in attributes.items())
    return Html(f"<{name}{given}>" if name in _VOID else f"<{name}{given}>{together(*children)}</{name}>")


def together(*children: str | None) -> Html:
    """``children`` side by side: text escaped, HTML as it is, ``None`` left out."""
    # By type: what forgets to say that it is HTML is escaped, which is ugly and safe.
    return Html("".join(child if isinstance(child, Html) else markup(child) for child in children if child))


def _attribute(name: str, value: str | bool | None) -> str:
    if value is None or value is False:
        return ""
    written = name.rstrip("_").replace("_", "-")
    # Always in quotes: unquoted, a space in a value would begin another attribute.
    return f" {written}" if value is True else f' {written}="{markup(value)}"'
