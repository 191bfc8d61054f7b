"""A life as data: what happens, in which order, with which faults. A seed makes one; a failing one shrinks.

Everything that a life depends on is in its script, so that one replays exactly, however it came to be: its ``repr`` is
Python that makes it again. Faults are named by the request that they strike, the first or third ``terminate`` of a
process, and not by a count of all requests: a script means the same after a change that reads once more or less.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Final, Literal, cast

KEYS: Final = ("autumn", "spring", "summer")
MERCHANTS: Final = 5
Journal = Literal["sqlite", "postgresql"]
Order = Literal["create_first", "terminate_first"]


class _Brief:
    """Shows what differs from the defaults."""

    def __repr__(self) -> str:
        shown = (
            f"{each.name}={getattr(self, each.name)!r}"
            for each in fields(cast(Any, self))
            if getattr(self, each.name) != each.default
        )
        return f"{type(self).__name__}({', '.join(shown)})"


@dataclass(frozen=True, repr=False)
class Spec(_Brief):
    """One file. ``amount`` and ``day`` (when it begins, in days from the usual) are terms; ``merchants`` are indexes.

    ``adopt`` counts the activities that were made elsewhere, from 1; 0 adopts none.
    """

    key: str
    merchants: tuple[int, ...] = (0, 1)
    amount: int = 100
    day: int = 0
    generation: int = 1
    protect: bool = False
    state: Literal["running", "terminated"] = "running"
    replace: Order = "create_first"
    renamed_from: tuple[str, ...] = ()
    adopt: int = 0


@dataclass(frozen=True, repr=False)
class Strike(_Brief):
    """What happens to the ``nth`` request of a process on the route ``on`` (from 0), and the ``times - 1`` after it.

    ``what`` is a fault of the sandbox with its ``value`` where it takes one (a status, an index), or one of ``AROUND``.
    The route ``journal`` counts transactions.
    """

    on: str
    nth: int
    what: str
    value: int = 0
    times: int = 1


@dataclass(frozen=True, repr=False)
class Edit(_Brief):
    """A commit: from now on the newest files are these."""

    specs: tuple[Spec, ...]


@dataclass(frozen=True, repr=False)
class Apply(_Brief):
    """A process starts, of the commit ``behind`` the newest. ``wait``: nothing else happens until it has ended.

    ``slow`` stretches what the network takes.
    """

    strikes: tuple[Strike, ...] = ()
    behind: int = 0
    wait: bool = True
    slow: int = 1


@dataclass(frozen=True, repr=False)
class Pass(_Brief):
    """Time passes, in seconds."""

    seconds: float


@dataclass(frozen=True, repr=False)
class Hands(_Brief):
    """Somebody acts on the merchant platform, on our activity number ``index``, newest first."""

    action: str
    index: int = 0


@dataclass(frozen=True, repr=False)
class Unlock(_Brief):
    """Somebody breaks the lock."""


@dataclass(frozen=True, repr=False)
class Elsewhere(_Brief):
    """Somebody makes an activity on the web page, with these merchants."""

    merchants: tuple[int, ...]


Event = Edit | Apply | Pass | Hands | Unlock | Elsewhere


@dataclass(frozen=True, repr=False)
class Script(_Brief):
    """One life. ``oldest_first`` is the order of the sandbox's list: which row is the first to hide."""

    events: tuple[Event, ...]
    journal: Journal = "sqlite"
    oldest_first: bool = False


# What strikes. Each is (what, values); the values of faults of the sandbox are explained in ``network``.

_STATUSES: Final = (403, 404, 413, 429, 502, 503)
READS: Final = ("list", "detail", "merchants", "stock")
WRITES: Final = ("create", "terminate", "add", "delete")
HANDS: Final = ("pause", "resume", "terminate", "fail", "drop")
_ANYWHERE: Final[tuple[tuple[str, tuple[int, ...]], ...]] = (
    ("drop_before", ()),
    ("drop_after", ()),
    ("unreachable", ()),
    *(("rate_limited", (0, 5, 25)),) * 2,
    ("error_before", (500, 503)),
    ("error_after", (500, 503)),
    ("html_before", _STATUSES),
    *(("html_after", _STATUSES),) * 2,
    ("no_signature", ()),
    ("wrong_signature", ()),
    ("truncated", ()),
    ("tampered_body", ()),
    ("late", (1, 5, 15, 40)),
)
AROUND: Final = (
    "kill_before",
    "kill_after",
    "stop_before",
    "stop_after",
    "signal",
    "unlock_before",
    "unlock_after",
)
_OF_ROUTE: Final[dict[str, tuple[tuple[str, tuple[int, ...]], ...]]] = {
    "list": (("row_vanishes", ()), ("row_appears", ())),
    "merchants": (("row_vanishes", ()),),
    "create": (("create_fails", ()), ("late_activity", (1, 4)), ("late_list", (1, 4, 9))),
    "add": (("half_add", ()), ("invalid_merchants", ())),
    "delete": (("half_delete", ()),),
}
_STOPS: Final = (3, 30, 300)


def life(seed: int) -> Script:
    """The life of ``seed``."""
    return _Author(random.Random(seed)).life()


class _Author:
    """Draws a life. Most of it is ordinary, since faults of which every run dies find nothing."""

    def __init__(self, lots: random.Random) -> None:
        self._lots = lots
        self._files: tuple[Spec, ...] = ()
        self._elsewhere = 0
        self._quiet = lots.random() < 0.15

    def life(self) -> Script:
        lots = self._lots
        events: list[Event] = [Edit(self._first_files()), Apply()]
        for _ in range(lots.randint(1, 6)):
            events += self._happening()
        return Script(tuple(events), lots.choice(("sqlite", "sqlite", "postgresql")), lots.random() < 0.5)

    def _happening(self) -> Iterator[Event]:
        lots = self._lots
        roll = lots.random()
        if roll < 0.55:
            yield Edit(self._edited())
            yield from self._applied()
        elif roll < 0.70:
            yield from self._together()
        elif roll < 0.82:
            yield Hands(lots.choice((*HANDS, "close", "open")), lots.randrange(3))
        elif roll < 0.86:
            self._elsewhere += 1
            yield Elsewhere(self._merchants())
        elif roll < 0.93:
            yield Pass(lots.choice((30, 3600, 86_400, 10 * 86_400)))
        else:
            yield from self._applied()

    def _applied(self) -> Iterator[Event]:
        yield Apply(self._strikes(), slow=self._lots.choice((1, 1, 1, 20)))

    def _together(self) -> Iterator[Event]:
        """Applies that overlap: of one commit, or of several in any order."""
        lots = self._lots
        for _ in range(lots.randint(2, 3)):
            if lots.random() < 0.7:
                yield Edit(self._edited())
            yield Apply(self._strikes(), wait=False, behind=int(lots.random() < 0.2), slow=lots.choice((1, 5, 40)))
            yield Pass(lots.choice((0.05, 0.3, 1.1, 4)))
            if lots.random() < 0.2:
                yield Unlock()
        yield Pass(60)

    # --- files ---------------------------------------------------------------------------------------------------

    def _first_files(self) -> tuple[Spec, ...]:
        lots = self._lots
        keys = sorted(lots.sample(KEYS, lots.choice((1, 1, 2, 3))))
        self._files = tuple(self._spec(key) for key in keys)
        return self._files

    def _spec(self, key: str) -> Spec:
        lots = self._lots
        return Spec(
            key,
            self._merchants(),
            amount=lots.choice((100, 200)),
            day=lots.choice((0, -10, -10)),
            protect=lots.random() < 0.1,
            replace=self._order(),
        )

    def _order(self) -> Order:
        return "terminate_first" if self._lots.random() < 0.2 else "create_first"

    def _merchants(self) -> tuple[int, ...]:
        lots = self._lots
        return tuple(sorted(lots.sample(range(MERCHANTS), lots.randint(1, MERCHANTS - 1))))

    def _edited(self) -> tuple[Spec, ...]:
        lots = self._lots
        for _ in range(lots.choice((1, 1, 1, 2))):
            edits: Sequence[Callable[[], tuple[Spec, ...]]] = (
                *(self._terms_edited,) * 5,
                *(self._merchants_edited,) * 3,
                self._file_deleted,
                self._file_made,
                *(self._file_renamed,) * 2,
                self._state_edited,
                self._generation_raised,
                self._adopted,
            )
            self._files = _valid(lots.choice(edits)())
        return self._files

    def _with(self, spec: Spec, edited: Spec) -> tuple[Spec, ...]:
        return tuple(sorted((edited if each is spec else each for each in self._files), key=lambda s: s.key))

    def _any(self) -> Spec | None:
        return self._lots.choice(self._files) if self._files else None

    def _terms_edited(self) -> tuple[Spec, ...]:
        if (spec := self._any()) is None:
            return self._file_made()
        order = self._order()
        return self._with(spec, replace(spec, amount=spec.amount + 100, replace=order, renamed_from=(), adopt=0))

    def _merchants_edited(self) -> tuple[Spec, ...]:
        if (spec := self._any()) is None:
            return self._file_made()
        return self._with(spec, replace(spec, merchants=self._merchants()))

    def _file_deleted(self) -> tuple[Spec, ...]:
        spec = self._any()
        return tuple(each for each in self._files if each is not spec)

    def _file_made(self) -> tuple[Spec, ...]:
        free = [key for key in KEYS if key not in {each.key for each in self._files}]
        if not free:
            return self._merchants_edited()
        new = self._spec(self._lots.choice(free))
        return tuple(sorted((*self._files, new), key=lambda spec: spec.key))

    def _file_renamed(self) -> tuple[Spec, ...]:
        """With or without ``renamed_from``, and perhaps edited in the same commit."""
        free = [key for key in KEYS if key not in {each.key for each in self._files}]
        spec = self._any()
        if spec is None or not free:
            return self._terms_edited() if spec else self._file_made()
        lots = self._lots
        renamed = replace(
            spec,
            key=lots.choice(free),
            renamed_from=lots.choice(((), (spec.key,), (spec.key,))),
            amount=spec.amount + lots.choice((0, 100)),
            adopt=0,
        )
        return self._with(spec, renamed)

    def _state_edited(self) -> tuple[Spec, ...]:
        if (spec := self._any()) is None:
            return self._file_made()
        return self._with(spec, replace(spec, state="terminated", protect=False))

    def _generation_raised(self) -> tuple[Spec, ...]:
        if (spec := self._any()) is None:
            return self._file_made()
        return self._with(spec, replace(spec, generation=spec.generation + 1, state="running"))

    def _adopted(self) -> tuple[Spec, ...]:
        spec = self._any()
        if spec is None or not self._elsewhere:
            return self._terms_edited()
        return self._with(spec, replace(spec, adopt=self._lots.randint(1, self._elsewhere)))

    # --- faults --------------------------------------------------------------------------------------------------

    def _strikes(self) -> tuple[Strike, ...]:
        lots = self._lots
        if self._quiet or lots.random() < 0.25:
            return ()
        return tuple(self._strike() for _ in range(lots.choice((1, 1, 1, 2, 3))))

    def _strike(self) -> Strike:
        lots = self._lots
        roll = lots.random()
        if roll < 0.12:
            return Strike("journal", lots.randrange(14), lots.choice(JOURNAL))
        on = lots.choice((*READS[:3], *WRITES, "create", "terminate", "any"))
        nth = lots.choice((0, 0, 0, 1, 1, 2, 3, 4, 6)) if on in (*READS, "any") else lots.choice((0, 0, 0, 1))
        if roll < 0.30:
            what = lots.choice(HANDS)
            return Strike(on, nth, f"hands_{what}", lots.randrange(2))
        if roll < 0.48:
            what = lots.choice(AROUND)
            return Strike(on, nth, what, lots.choice(_STOPS) if what.startswith("stop") else 0)
        what, values = lots.choice((*_ANYWHERE, *_OF_ROUTE.get(on, ()) * 3))
        times = lots.choice((1, 1, 1, 2, 5)) if what not in ("late", "row_appears") else 1
        value = lots.choice(values) if values else 0
        # A merchant who is missing from every read, signed each time, is missing for everybody who only reads.
        return Strike(on, nth, what, value, 1 if (on, what) == ("merchants", "row_vanishes") else times)


def _valid(files: tuple[Spec, ...]) -> tuple[Spec, ...]:
    """Without what `paygift validate` would refuse: a key, a former key and an adopted activity have one spec each."""
    taken = {spec.key for spec in files}
    adopted: set[int] = set()
    valid = []
    for spec in files:
        former = tuple(key for key in spec.renamed_from if key not in taken)
        taken.update(former)
        adopt = 0 if spec.adopt in adopted else spec.adopt
        adopted.add(adopt)
        valid.append(replace(spec, renamed_from=former, adopt=adopt))
    return tuple(valid)


JOURNAL: Final = ("busy", "lost", "kill_before", "kill_after", "unlock_before")
"""What strikes a transaction: the database is locked by somebody for too long; the session is lost; and so on."""


def smaller(script: Script) -> Iterator[Script]:
    """Lives with one thing less each, the boldest cuts first."""
    events = script.events
    size = len(events) // 2
    while size:
        for start in range(0, len(events), size):
            yield replace(script, events=events[:start] + events[start + size :])
        size //= 2
    for place, event in enumerate(events):
        for less in _smaller_event(event):
            yield replace(script, events=(*events[:place], less, *events[place + 1 :]))
    if script.oldest_first:
        yield replace(script, oldest_first=False)
    if script.journal != "sqlite":
        yield replace(script, journal="sqlite")


def _smaller_event(event: Event) -> Iterator[Event]:
    match event:
        case Edit(specs=specs):
            for place, spec in enumerate(specs):
                yield Edit(specs[:place] + specs[place + 1 :])
                for less in _smaller_spec(spec):
                    yield Edit(_valid((*specs[:place], less, *specs[place + 1 :])))
        case Apply(strikes=strikes):
            for place, strike in enumerate(strikes):
                yield replace(event, strikes=strikes[:place] + strikes[place + 1 :])
                if strike.times > 1:
                    one = replace(strike, times=1)
                    yield replace(event, strikes=(*strikes[:place], one, *strikes[place + 1 :]))
            if event.slow > 1:
                yield replace(event, slow=1)
            if event.behind:
                yield replace(event, behind=0)
            if not event.wait:
                yield replace(event, wait=True)
        case Pass(seconds=seconds) if seconds > 1:
            yield Pass(1)
        case _:
            return


def _smaller_spec(spec: Spec) -> Iterator[Spec]:
    plain = Spec(spec.key)
    for name in ("generation", "protect", "replace", "renamed_from", "adopt", "day", "merchants"):
        if getattr(spec, name) != getattr(plain, name):
            yield replace(spec, **{name: getattr(plain, name)})
