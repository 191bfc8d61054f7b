"""The hidden lines at the top of a comment: whose plan it shows, and for which commit. Pure.

The first line is the renderer's, the second ours, and the third says the same to people:

    <!-- paygift plan digest=<64 hex> namespace=<ns> mchid=<mchid> format=2.0 -->
    <!-- paygift head=<40 hex> valid_until=<RFC 3339, UTC> since=<RFC 3339, UTC> state=<state> -->
    > **Planned** for `<commit>` · [run](…) · [page](…)

``head`` is the commit that the plan was made for. ``valid_until`` is missing where the plan has none; ``since`` is
there once the same plan has been written again, and says since when it is shown; ``rewritten`` in its place tells when
somebody else made the edit written over. ``state`` is missing for a plan that is there to be reviewed, and else tells
why it is not: ``outdated``, ``failed`` or ``applied``, by the run ``run``. A report's first line ends with what it came
to, ``outcome``; its second names the run that wrote it. Only the first two lines count. What looks like them further
down is text that somebody wrote.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

DIGEST: Final = re.compile(r"[0-9a-f]{64}")
COMMIT: Final = re.compile(r"[0-9a-f]{40}")
STATE: Final = "> "
"""How the line begins that tells people how the plan stands."""
# No < or > in a fact: a value could end the hidden comment and show what it likes.
_FIRST: Final = re.compile(r"<!-- paygift (?P<kind>plan|report|drift)(?P<facts>(?: [a-z]+=[^ <>]*)*) -->")
_SECOND: Final = re.compile(r"<!-- paygift(?P<facts>(?: [a-z_]+=[^ <>]*)+) -->")


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose comment or issue it is: a namespace on one account (merchant number)."""

    namespace: str
    mchid: str


@dataclass(frozen=True, slots=True)
class CommentMarker:
    """What the first line says. Nothing in it has been checked but its form."""

    kind: str
    owner: Owner
    digest: str = ""
    format: str = ""
    outcome: str = ""


def read_marker(body: str) -> CommentMarker | None:
    """The marker in the first line, or ``None`` if that line is none."""
    # The whole line: a marker with something behind it may be made to look like ours.
    found = _FIRST.fullmatch(_line(body, 0))
    if found is None:
        return None
    facts = _facts(found["facts"])
    owner = Owner(facts.get("namespace", ""), facts.get("mchid", ""))
    return CommentMarker(
        found["kind"], owner, facts.get("digest", ""), facts.get("format", ""), facts.get("outcome", "")
    )


def second_line(body: str) -> Mapping[str, str]:
    """What the second line says; nothing if it is not one of ours."""
    found = _SECOND.fullmatch(_line(body, 1))
    return _facts(found["facts"]) if found else {}


def with_second_line(body: str, facts: Mapping[str, str], told: str = "") -> str:
    """``body`` with ``facts`` below its first line, those that are empty left out, and then what is ``told`` of it."""
    first, _, rest = body.partition("\n")
    said = " ".join(f"{name}={value}" for name, value in facts.items() if value)
    shown = f"{STATE}{told}\n\n" if told else ""
    return f"{first}\n<!-- paygift {said} -->\n{shown}{rest}"


def without_second_line(body: str) -> str:
    """What ``with_second_line`` was given: the first line, and the text below ours."""
    first, _, rest = body.replace("\r\n", "\n").partition("\n")
    if second_line(body):
        rest = rest.partition("\n")[2]
    if rest.startswith(STATE):
        rest = rest.partition("\n")[2].removeprefix("\n")
    return f"{first}\n{rest}"


def _facts(text: str) -> dict[str, str]:
    return dict(fact.split("=", 1) for fact in text.split())


def _line(body: str, index: int) -> str:
    """GitHub stores what a browser sends with carriage returns."""
    lines = body.split("\n", index + 1)
    return lines[index].removesuffix("\r") if index < len(lines) else ""
