"""An apply that came to nothing, as Markdown and HTML: what stopped it, and that nothing was written. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

from reconciler.model.report import AbortedApply
from reconciler.render.escape import code, prose
from reconciler.render.fit import Document, Item, Names, Section
from reconciler.render.html.page import page
from reconciler.render.html.parts import facts, section
from reconciler.render.html.parts import prose as html_prose
from reconciler.render.html.tags import Html, tag
from reconciler.render.json_ import dumps, stopped_json
from reconciler.render.markdown import MAX_CHARS
from reconciler.render.marker import Marker
from reconciler.render.values import beijing
from reconciler.render.views.finding import FindingView
from reconciler.render.views.stopped import StoppedView, stopped_view

COMMENT_CHARS: Final = MAX_CHARS - 160
"""A comment on a pull request gets a second hidden line."""
_SENTENCE_CHARS: Final = 1_000
"""An error may quote a long list, which the details hold too."""


def stopped_as(suffix: str, stopped: AbortedApply) -> str:
    """The report of ``stopped`` in the format of a file's name: ``.md``, ``.html`` or ``.json``."""
    dress: dict[str, Callable[[AbortedApply], str]] = {".md": stopped_markdown, ".html": stopped_html}
    return dress[suffix](stopped) if suffix in dress else dumps(stopped_json(stopped))


# -- Markdown ----------------------------------------------------------------------------------------------------------


def stopped_markdown(stopped: AbortedApply, *, max_chars: int = COMMENT_CHARS) -> str:
    """For a comment, in at most ``max_chars`` characters. Its first line is a report's marker."""
    view = stopped_view(stopped)
    # As code: a detail may quote a spec, a path or the server.
    items = [Item(partial("- {}".format, code(line))) for line in view.details]
    return Document(
        # "stopped" leaves the review unspent: the same plan may be applied once the cause is gone.
        marker=str(Marker("report", stopped.plan_digest, stopped.namespace, stopped.mchid, outcome="stopped")),
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
        waiver = f" {prose(each.waiver.words)} {code(each.waiver.option)}" if each.waiver else ""
        yield f"- {name}: {prose(each.text)}{waiver}"


# -- HTML --------------------------------------------------------------------------------------------------------------


def stopped_html(stopped: AbortedApply) -> str:
    """One page that asks for nothing from elsewhere."""
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
        tag("p", str(each.waiver or ""), class_="waive"),
        class_="card refusal",
    )


def _detail(line: str) -> Html:
    return tag("li", tag("code", line))
