"""An apply that came to nothing, as Markdown and HTML: what stopped it, and that nothing was written. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

from reconciler.model.report import AbortedApply
from reconciler.render.escape import code, prose
from reconciler.render.fit import Document, Item, Names, Section
from reconciler.render.json_ import dumps, stopped_json
from reconciler.render.markdown import MAX_CHARS, Marker
from reconciler.render.page import page
from reconciler.render.tags import Html, tag, together
from reconciler.render.values import beijing
from reconciler.render.views.finding import FindingView
from reconciler.render.views.stopped import StoppedView, stopped_view

_CODE: Final = re.compile("`([^`]+)`")
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
    items = [Item(partial("- {}".format, code(line))) for line in view.details]
    return Document(
        marker=_marker(stopped),
        title="paygift apply",
        summary="\n\n".join(_paragraphs(view)),
        essential=(partial(_refusal_lines, view),),
        names=tuple(Names(f"**refused** {code(each.code)}:", (each.key or "-",)) for each in view.refusals),
        kept="Refusals",
        sections=(Section(view.details_title, "lines", items),),
        foot=f"Plan `{stopped.plan_digest[:12]}`." if stopped.plan_digest else "",
    ).fitted(max_chars)


def _marker(stopped: AbortedApply) -> str:
    """An account or a namespace that does not fit makes a marker that nobody reads."""
    namespace = re.sub(r"[^a-z0-9-]", "?", stopped.namespace)
    mchid = re.sub(r"[^0-9A-Za-z_-]", "?", stopped.mchid)
    return str(Marker("report", stopped.plan_digest, namespace, mchid, outcome="stopped"))


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
            _facts(stopped),
        ),
        tag(
            "main",
            _section("Refused", *map(_refusal, view.refusals)) if view.refusals else None,
            _section(view.details_title, tag("ul", *map(_detail, view.details))) if view.details else None,
        ),
    )


def _facts(stopped: AbortedApply) -> Html:
    facts = (
        ("namespace", stopped.namespace),
        ("account", stopped.mchid),
        ("stopped", f"{beijing(stopped.at)} Beijing time"),
        ("digest of the plan", stopped.plan_digest),
    )
    rows = (tag("div", tag("dt", name), tag("dd", tag("code", fact))) for name, fact in facts if fact)
    return tag("dl", *rows, class_="facts")


def _section(heading: str, *content: Html) -> Html:
    return tag("section", tag("h2", heading), together(*content))


def _refusal(each: FindingView) -> Html:
    return tag(
        "article",
        tag("h3", tag("code", each.code), " ", each.key),
        tag(
            "p",
            *(tag("code", part) if index % 2 else part for index, part in enumerate(_CODE.split(each.text))),
        ),
        tag("p", each.waiver, class_="waive"),
        class_="card refusal",
    )


def _detail(line: str) -> Html:
    return tag("li", tag("code", line))
