"""An apply that came to nothing, as Markdown, HTML and JSON: what stopped it, and that nothing was written. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final

from reconciler.model.findings import Severity
from reconciler.model.report import AbortedApply
from reconciler.plan import FORMAT_VERSION, plan_data
from reconciler.render.escape import code, prose
from reconciler.render.fit import Document, Item, Names, Section
from reconciler.render.html.page import page
from reconciler.render.html.parts import facts, section
from reconciler.render.html.parts import prose as html_prose
from reconciler.render.html.tags import Html, tag
from reconciler.render.json_ import dumps
from reconciler.render.markdown import MAX_CHARS
from reconciler.render.marker import Marker
from reconciler.render.values import beijing
from reconciler.render.view import FindingView, plan_view

NOTHING_WRITTEN: Final = "Nothing was written."
PERHAPS_WRITTEN: Final = (
    "Something may have been written, and nobody knows how far it came: run apply again, which finds out."
)
KINDS: Final[dict[int, str]] = {
    1: "error",
    3: "invalid",
    4: "credentials",
    5: "refused",
    6: "stale",
    130: "interrupted",
}
"""What the exit codes say, in a word that stays the same."""
COMMENT_CHARS: Final = MAX_CHARS - 160
"""A comment on a pull request gets a second hidden line."""
_SENTENCE_CHARS: Final = 1_000
"""An error may quote a long list, which the details hold too."""
_DETAILS: Final[dict[int, str]] = {3: "Mistakes", 6: "What differs"}


@dataclass(frozen=True, slots=True)
class StoppedView:
    """``reason`` and ``remedy`` are sentences, ``details`` lines. ``refusals`` are those that nobody waived."""

    kind: str
    summary: str
    written: str
    reason: str
    remedy: str
    refusals: tuple[FindingView, ...]
    details_title: str
    details: tuple[str, ...]


def stopped_view(stopped: AbortedApply) -> StoppedView:
    kind = KINDS.get(stopped.exit_code, "error")
    findings = plan_view(stopped.plan).findings if stopped.plan is not None else ()
    return StoppedView(
        kind=kind,
        summary=f"{'Broken off' if stopped.writing else 'Not applied'}: {kind}, exit {stopped.exit_code}.",
        written=PERHAPS_WRITTEN if stopped.writing else NOTHING_WRITTEN,
        reason=stopped.message.removesuffix(NOTHING_WRITTEN).rstrip(),  # said once is enough
        remedy=stopped.remedy,
        refusals=tuple(each for each in findings if each.severity is Severity.REFUSAL and not each.waived),
        details_title=_DETAILS.get(stopped.exit_code, "Details"),
        details=stopped.details,
    )


def stopped_as(suffix: str, stopped: AbortedApply) -> str:
    """The report of ``stopped`` in the format of a file's name: ``.md``, ``.html`` or ``.json``."""
    dress: dict[str, Callable[[AbortedApply], str]] = {".md": stopped_markdown, ".html": stopped_html}
    return dress[suffix](stopped) if suffix in dress else dumps(stopped_json(stopped))


def stopped_json(stopped: AbortedApply) -> dict[str, object]:
    """``written`` is false, or null where nobody knows; ``text`` says so in words."""
    view = stopped_view(stopped)
    return {
        "format_version": FORMAT_VERSION,
        "kind": "stopped",
        "namespace": stopped.namespace,
        "mchid": stopped.mchid,
        "plan_digest": stopped.plan_digest,
        "at": plan_data(stopped.at),
        "exit_code": stopped.exit_code,
        "error": {"kind": view.kind, "message": stopped.message, "remedy": stopped.remedy},
        "refusals": [
            {"code": each.code, "key": each.key, "text": each.text, "source": each.source}
            for each in view.refusals
        ],
        "details": list(view.details),
        "written": None if stopped.writing else False,
        "text": view.written,
    }


# -- Markdown ----------------------------------------------------------------------------------------------------------


def stopped_markdown(stopped: AbortedApply, *, max_chars: int = COMMENT_CHARS) -> str:
    """For a comment, in at most ``max_chars`` characters. Its first line is a report's marker."""
    view = stopped_view(stopped)
    items = [Item(partial("- {}".format, code(line))) for line in view.details]
    return Document(
        marker=str(
            Marker("report", stopped.plan_digest, stopped.namespace, stopped.mchid, outcome="stopped")
        ),
        title="paygift apply",
        summary="\n\n".join(_paragraphs(view)),
        essential=(partial(_refusal_lines, view),),
        names=tuple(Names(f"**refused** {code(each.code)}:", (each.key or "-",)) for each in view.refusals),
        kept="Refusals",
        sections=(Section(view.details_title, "lines", items),),
        foot=f"Plan `{stopped.plan_digest[:12]}`." if stopped.plan_digest else "",
    ).fitted(max_chars)


def _paragraphs(view: StoppedView) -> Iterator[str]:
    yield f"**{prose(view.summary)} {prose(view.written)}**"
    for sentence in (view.reason, view.remedy):
        if sentence:
            yield prose(sentence if len(sentence) <= _SENTENCE_CHARS else f"{sentence[:_SENTENCE_CHARS]}…")


def _refusal_lines(view: StoppedView) -> Iterator[str]:
    if view.refusals:
        yield "#### Refused\n"
    for each in view.refusals:
        name = " ".join(part for part in (f"**{code(each.code)}**", code(each.key)) if part)
        words, option, waiver = each.waiver.partition("--allow ")
        yield f"- {name}: {prose(each.text)} {prose(words.strip())} {code(option + waiver)}"


# -- HTML --------------------------------------------------------------------------------------------------------------


def stopped_html(stopped: AbortedApply) -> str:
    view = stopped_view(stopped)
    return page(
        f"paygift apply · {stopped.namespace}" if stopped.namespace else "paygift apply",
        tag(
            "header",
            tag("h1", "paygift apply"),
            tag("p", f"{view.summary} {view.written}", class_="summary"),
            tag("p", view.reason),
            tag("p", view.remedy) if view.remedy else None,
            facts(
                ("namespace", stopped.namespace),
                ("account", stopped.mchid),
                ("stopped", f"{beijing(stopped.at)} Beijing time"),
                ("digest of the plan", stopped.plan_digest),
            ),
        ),
        tag(
            "main",
            section("Refused", map(_refusal, view.refusals)) if view.refusals else None,
            section(view.details_title, (tag("ul", *map(_detail, view.details)),)) if view.details else None,
        ),
    )


def _refusal(each: FindingView) -> Html:
    return tag(
        "article",
        tag("h3", tag("code", each.code), " ", each.key),
        tag("p", html_prose(each.text)),
        tag("p", each.waiver, class_="waive"),
        class_="card refusal",
    )


def _detail(line: str) -> Html:
    return tag("li", tag("code", line))
