"""One finding in words: its sentence, what it holds, what to write, and how it is waived."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypedDict

from reconciler.model.activity import Source
from reconciler.model.findings import Finding, FindingKind, Severity
from reconciler.plan import Held, plan_data
from reconciler.render import messages
from reconciler.render.values import sample, value

SUGGESTION: Final = "suggestion"
"""The fact of a finding that says what to write in which line."""


@dataclass(frozen=True, slots=True)
class Waiver:
    """How a refusal is waived: ``words`` say what that does, ``name`` is the waiver's, as ``--allow`` takes it."""

    words: str
    name: str

    @property
    def option(self) -> str:
        """What has to be typed."""
        return f"--allow {self.name}"

    def __str__(self) -> str:
        return f"{self.words} {self.option}"


@dataclass(frozen=True, slots=True)
class FindingView:
    """One finding in words. ``waiver`` is that of a refusal, ``holds`` what an open one holds; ``remedy`` is what to
    write where, if that is known, and ``lines`` what then stands in the place of that one line.
    """

    severity: Severity
    code: str
    key: str
    text: str
    source: str
    waiver: Waiver | None = None
    waived: bool = False
    holds: str = ""
    remedy: str = ""
    lines: tuple[str, ...] = ()


class _Remedy(TypedDict, total=False):
    remedy: str
    lines: tuple[str, ...]


def finding_text(finding: Finding) -> str:
    """The sentence of a finding, its facts in human units."""
    # A suggestion is a line of YAML, and has renderings of its own.
    facts = {name: value(name, fact) for name, fact in finding.facts.items() if name != SUGGESTION}
    return messages.FINDINGS[finding.code].format(key=finding.key, **facts)


def finding_view(finding: Finding, holds: str) -> FindingView:
    """``finding`` in words; ``holds`` says what it holds, and is empty for one that holds nothing."""
    refusal = finding.severity is Severity.REFUSAL
    words = messages.WAIVER_FOR_OTHERS if FindingKind[finding.code].leaves_undone else messages.WAIVER
    return FindingView(
        severity=finding.severity,
        code=finding.code,
        key=finding.key,
        text=finding_text(finding),
        source=str(finding.source or ""),
        waiver=Waiver(words, finding.name) if refusal else None,
        waived=finding.waived,
        holds=holds,
        **_remedy(plan_data(finding.facts.get(SUGGESTION))),
    )


def holds(finding: Finding, held: Held, *, goes_on: bool) -> str:
    """What an open refusal holds, as a sentence. ``goes_on``: something else will be done."""
    # A waived refusal holds nothing any more.
    if not finding.stops:
        return ""
    if not finding.key:
        return messages.HOLDS_ALL
    others = [] if held.whole else [key for key in held.by_refusal.get(finding.name, ()) if key != finding.key]
    return messages.HOLDS.format(
        key=finding.key,
        others=messages.HOLDS_OTHERS.format(keys=sample(tuple(others))) if others else "",
        rest=messages.HOLDS_REST if goes_on else "",
    )


def _remedy(suggestion: object) -> _Remedy:
    """What to write, in words and as the lines that take the place of the one that is named."""
    match suggestion:
        case {
            "file": str() as file,
            "line": int() as line,
            "place": "replace" | "after" | "before" as place,
            "present": str() as present,
            "write": str() as write,
        }:
            lines = {"replace": (write,), "after": (present, write), "before": (write, present)}[place]
            said = messages.REMEDIES[place].format(at=Source(file, line), write=write.strip(), present=present.strip())
            return {"remedy": said, "lines": lines}
    return {}
