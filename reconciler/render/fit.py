"""A Markdown document that keeps below a number of characters, and says at its top what it left out for that.

What is essential is always there, in the longest of its forms that leaves room for anything else. Then come the
lines of the other sections, in their order, and last the folds behind those lines, in the order of ``rank``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from reconciler.render.escape import code
from reconciler.render.values import counted

MIN_CHARS: Final = 2_000
"""Below this there is no room to say that there is no room."""

Form = Callable[[], Iterator[str]]
"""Lines of Markdown, made as they are asked for."""

_BREAK: Final = len("\n\n")
_NAMED_TWICE: Final = 80
_ESSENTIAL_SHARE: Final = 0.75
"""How much of the room a longer form of what is essential may take."""


@dataclass(slots=True)
class Item:
    """One line, and the fold that takes its place where there is room. Neither is made before it is asked for: of a
    long plan, most is not.
    """

    make_line: Callable[[], str]
    make_fold: Callable[[], str] | None = None
    shown: str = ""
    folded: bool = True

    def show_line(self, room: int) -> int:
        """Show the line if there is room; returns the room that is left, below zero where there was too little."""
        line = self.make_line()
        return self._show(line, room - len(line) - _BREAK, folded=self.make_fold is not None)

    def show_fold(self, room: int) -> int:
        """Show the fold, if there is one, instead of the line, and as ``show_line`` does."""
        if self.make_fold is None:
            return room if self.shown else self.show_line(room)
        fold = self.make_fold()
        freed = len(self.shown) + _BREAK if self.shown else 0
        return self._show(fold, room + freed - len(fold) - _BREAK, folded=False)

    def _show(self, text: str, left: int, *, folded: bool) -> int:
        if left >= 0:
            self.shown, self.folded = text, folded
        return left


@dataclass(slots=True)
class Section:
    """``noun`` (plural) names its items where they are left out. The folds of the lowest ``rank`` open first.

    ``folds_only``: its lines say nothing that is not said elsewhere, so that they are worth no room.
    """

    title: str
    noun: str
    items: list[Item]
    rank: int = 0
    folds_only: bool = False

    def text(self) -> str:
        """The items that are shown, under their title; nothing where none is."""
        shown = [item.shown for item in self.items if item.shown]
        return f"#### {self.title}\n\n{_joined(shown)}" if shown else ""

    def left_out(self) -> Iterator[str]:
        """How many items are not shown, and of how many the details are not."""
        unlisted = sum(not item.shown for item in self.items)
        unfolded = sum(bool(item.shown) and item.folded for item in self.items)
        if unlisted:
            yield f"{unlisted:,} of {len(self.items):,} {self.noun}"
        if unfolded:
            yield f"the details of {unfolded:,} of {len(self.items):,} {self.noun}"

    def show_lines(self, room: int) -> int:
        """Show as many lines as there is room for; returns the room that is left."""
        return room if self.folds_only else _while_room(room, (item.show_line for item in self.items))

    def show_folds(self, room: int) -> int:
        """Open as many folds as there is room for, behind lines that are shown."""
        return _while_room(room, (item.show_fold for item in self.items if item.shown or self.folds_only))


@dataclass(frozen=True, slots=True)
class Names:
    """A list that may have to be cut: the shortest form in which something essential can be said."""

    label: str
    names: tuple[str, ...]

    def text(self, room: int | None = None) -> tuple[str, int]:
        """The line, and how many names did not fit into it."""
        shown = self.names if room is None else _fitting(self.names, room)
        missing = len(self.names) - len(shown)
        more = f" and {missing:,} more that are not named here" if missing else ""
        return f"- {self.label} {code(' '.join(shown))}{more}", missing


@dataclass(slots=True)
class Document:
    """``essential`` holds what must be said in its longer forms, the longest first; ``names`` is the shortest.

    ``kept`` says in words what is essential.
    """

    marker: str
    title: str
    summary: str
    essential: tuple[Form, ...]
    names: tuple[Names, ...]
    kept: str
    sections: tuple[Section, ...]
    foot: str
    notice: str = field(default="", init=False)

    def fitted(self, max_chars: int) -> str:
        """The document in at most ``max_chars`` characters. Raises ValueError where these are below MIN_CHARS."""
        # Better no comment than one that cannot even say that it is cut.
        if max_chars < MIN_CHARS:
            raise ValueError(f"max_chars is {max_chars:,}; at least {MIN_CHARS:,} are needed")
        # The whole is tried first: only a text that is really cut may say that it is.
        return self._whole(max_chars) or self._shortened(max_chars)

    def _whole(self, max_chars: int) -> str | None:
        room = max_chars - len(self._text("")) - self._titles()
        essential = _within(self.essential[0], room)
        if essential is None:
            return None
        room -= len(essential)
        for section in self.sections:
            room = _while_room(room, (item.show_fold for item in section.items))
        complete = all(item.shown for section in self.sections for item in section.items)
        return self._text(essential) if complete else None

    def _shortened(self, max_chars: int) -> str:
        for item in (item for section in self.sections for item in section.items):
            # _whole has filled in some before it gave up.
            item.shown = ""
        self.notice = self._warning(max_chars)  # names every section; they may each be named a second time
        room = max_chars - len(self._text("")) - self._titles() - _NAMED_TWICE * len(self.sections)
        bare = "\n".join(names.text()[0] for names in self.names)
        # What ends or is refused is never dropped in silence: then the text says not to approve it.
        if len(bare) > room:
            return self._overflowing(room, max_chars)
        longer = (_within(form, int(room * _ESSENTIAL_SHARE)) for form in self.essential)
        essential = next((text for text in longer if text is not None), bare)
        room -= len(essential)
        for section in self.sections:
            room = section.show_lines(room)
        for section in sorted(self.sections, key=lambda each: each.rank):
            room = section.show_folds(room)
        self.notice = self._warning(max_chars)
        return self._text(essential)

    def _titles(self) -> int:
        return sum(len(section.title) + len("#### \n\n\n\n") for section in self.sections)

    def _overflowing(self, room: int, max_chars: int) -> str:
        """Even the names are too many. Nobody may take this for the whole."""
        share = room // max(1, len(self.names)) - 80
        cut = [names.text(max(0, share - len(names.label))) for names in self.names]
        missing = sum(each for _, each in cut)
        self.notice = (
            f"> [!CAUTION]\n> **Not to be approved from here: {counted(missing, 'name')} did not fit into "
            f"{max_chars:,} characters.** {self.kept} are too many for this text. Read the whole, "
            f"or take smaller steps."
        )
        return self._text("\n".join(line for line, _ in cut))

    def _warning(self, max_chars: int) -> str:
        left_out = ", ".join(part for section in self.sections for part in section.left_out())
        return (
            f"> [!WARNING]\n> **Shortened to fit into {max_chars:,} characters.** Left out: {left_out or 'wording'}. "
            f"{self.kept} are all here."
        )

    def _text(self, essential: str) -> str:
        parts = (
            f"### {self.title}",
            self.notice,
            self.summary,
            essential,
            *(section.text() for section in self.sections),
            self.foot,
        )
        return f"{self.marker}\n" + "\n\n".join(part for part in parts if part) + "\n"


def _within(form: Form, room: int) -> str | None:
    """The whole of a form, or ``None`` as soon as it is clear that there is no room for it."""
    lines = []
    for line in form():
        lines.append(line)
        room -= len(line) + 1
        if room < 0:
            return None
    return "\n".join(lines).strip("\n")


def _while_room(room: int, shows: Iterable[Callable[[int], int]]) -> int:
    for show in shows:
        left = show(room)
        # The first that does not fit ends it: skipping it for smaller ones would make holes nobody sees.
        if left < 0:
            break
        room = left
    return room


def _joined(items: Sequence[str]) -> str:
    """Lists need no blank line between their items, folds do."""
    parts = [items[0]]
    for before, item in pairwise(items):
        parts.append("\n" if before.startswith("- ") and item.startswith("- ") else "\n\n")
        parts.append(item)
    return "".join(parts)


def _fitting(names: Sequence[str], room: int) -> tuple[str, ...]:
    for index, name in enumerate(names):
        room -= len(name) + 1
        if room < 0:
            return tuple(names[:index])
    return tuple(names)
