"""Whether lines of a journal are what was written: each carries the hash of the one before it. Pure.

A hash is over the line as it stands, to the byte, so that spaces, repeated keys and the order of keys count too.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from reconciler.journal.entry import NO_HASH, hash_of, parsed
from reconciler.model.errors import JournalError
from reconciler.model.identity import canonical_json

_SEALED: Final = re.compile(r'(\{.*),"hash":"([0-9a-f]{64})"\}', re.DOTALL)


def audit_line(sealed_line: str, hash_: str) -> str:
    """One line of an audit file: what was sealed, whatever it holds by now and to the byte, and its hash of then."""
    body = sealed_line[:-1] if sealed_line.endswith("}") else f"{sealed_line}}}"  # a brace that is gone stays gone
    return f'{body},"hash":"{hash_}"}}'


@dataclass(frozen=True, slots=True)
class Break:
    """Where a chain does not hold: the line, counted from 1 (0: none of them), and what is wrong there."""

    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class _Link:
    """What a line says of its place: in the chain of ``account`` and ``namespace``, as entry ``seq``."""

    account: str
    namespace: str
    seq: int
    previous: str
    hash: str
    intact: bool


@dataclass(slots=True)
class _Chain:
    """A chain as far as it was read. ``heads`` are those hashes that somebody looks for, with the lines after them.

    ``intact``: whether its last line is what was written; the hash of one that was altered proves nothing of the next.
    """

    seq: int = 0
    last: str = NO_HASH
    intact: bool = True
    heads: dict[str, int] = field(default_factory=dict)


def verify(lines: Iterable[str], *, heads: Collection[str] = ()) -> Iterator[Break]:
    """Every place where ``lines`` of audit files are not what was written.

    Journals of several accounts and namespaces may follow one another; each is a chain of its own. What was cut off at
    the end of one, or all of it, shows only by its head, the hash of its last entry: every report of an apply has it.
    Each of ``heads`` must be the last of some chain.

    A line that was altered is named, and not the one after it: it stands in for the entry that is missing where it is.
    """
    chains: dict[tuple[str, str], _Chain] = {}
    misplaced = 0  # lines that are named already, and do not tell whose entry they were
    for number, line in enumerate(lines, start=1):
        try:
            link = _link(line)
        except JournalError as error:
            yield Break(number, error.message)
            misplaced += 1
            continue
        chain = chains.setdefault((link.account, link.namespace), _Chain())
        missing = link.seq - chain.seq - 1
        if not link.intact:
            yield Break(number, f"entry {link.seq} was altered: its hash does not fit what it says")
            if missing or not chain.seq:
                misplaced += 1
                continue
        elif 0 < missing <= misplaced:
            misplaced -= missing
        elif reason := _broken(link, chain):
            yield Break(number, reason)
        chain.seq, chain.last, chain.intact = link.seq, link.hash, link.intact
        if link.hash in heads:
            chain.heads[link.hash] = number
    for head in heads:
        yield from _missing(head, chains)


def _broken(link: _Link, chain: _Chain) -> str:
    if link.seq != chain.seq + 1:
        return f"entry {link.seq} follows where entry {chain.seq + 1} was to come"
    if chain.intact and link.previous != chain.last:
        return f"entry {link.seq} does not continue entry {chain.seq}: one of both was replaced"
    return ""


def _missing(head: str, chains: dict[tuple[str, str], _Chain]) -> Iterator[Break]:
    for (account, namespace), chain in chains.items():
        if chain.last == head:
            return
        if head in chain.heads:
            yield Break(
                chain.heads[head],
                f"the journal of {namespace} on {account} goes on after this entry, whose hash is {head}: what follows "
                "was written later, or added. Give the hash that its last report tells",
            )
            return
    yield Break(
        0,
        f"no journal ends in the entry whose hash is {head}: entries are missing at the end of one, or all of one is",
    )


def _link(line: str) -> _Link:
    """Raises JournalError for a line that has no place in any chain. What else it says is not looked at: an entry of a
    newer version counts as well.
    """
    data = parsed(line)
    try:
        account, namespace, seq, previous = (data[name] for name in ("mchid", "namespace", "seq", "previous"))
    except KeyError as error:
        raise JournalError(f"this is not an entry of a journal: it has no {error}") from error
    # isinstance() would take true for an int.
    if type(seq) is not int or not all(isinstance(each, str) for each in (account, namespace, previous)):
        raise JournalError("this is not an entry of a journal: its place in the chain is not readable")
    content, hash_ = _content(line, data)
    return _Link(account, namespace, seq, previous, hash_, hash_of(content) == hash_)


def _content(line: str, data: dict[str, object]) -> tuple[str, str]:
    """What was sealed, and the hash it had. In files of before 2026-12 the hash stood among the other keys, in their
    order, and the rest must be canonical JSON. A line that was printed into a log of CI has ``##`` broken up, which
    means the same (``characters.safe_json``): what is sealed never holds the escape itself.
    """
    line = line.replace("#\\u0023", "##")
    if found := _SEALED.fullmatch(line):
        return f"{found[1]}}}", found[2]
    hash_ = str(data.get("hash", ""))
    if canonical_json(data) != line:
        return line, hash_
    return canonical_json({name: value for name, value in data.items() if name != "hash"}), hash_
