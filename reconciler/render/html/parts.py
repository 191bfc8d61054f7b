"""What pages of plans and of reports have in common: facts, sections, findings, and sentences with code in them."""

from __future__ import annotations

from collections.abc import Container, Iterable

from reconciler.render.escape import CODE
from reconciler.render.html.tags import Html, tag, together
from reconciler.render.views.finding import FindingView


def facts(*named: tuple[str, str]) -> Html:
    """Names and what they stand for, in one list; those that are empty are left out."""
    rows = (tag("div", tag("dt", name), tag("dd", tag("code", fact))) for name, fact in named if fact)
    return tag("dl", *rows, class_="facts")


def section(heading: str, content: Iterable[str], *, name: str | None = None) -> Html:
    """A part of the page under its heading; ``name`` is what links lead to."""
    return tag("section", tag("h2", heading), *content, id=name)


def key_link(key: str) -> Html:
    """A link to the change of this key."""
    return tag("a", key, href=f"#change-{key}")


def badge(name: str, words: str) -> Html:
    """A word in a coloured oval; ``name`` is its class in page.css."""
    return tag("span", words, class_=f"badge {name}")


def finding_card(finding: FindingView, changed: Container[str]) -> Html:
    """A finding, what it holds back and how to answer it; ``changed`` are the keys that the page can link to."""
    waiver = None if finding.waived else finding.waiver
    return tag(
        "article",
        tag(
            "h3",
            tag("code", finding.code),
            " ",
            key_link(finding.key) if finding.key in changed else finding.key,
        ),
        tag("p", prose(finding.text)),
        tag("p", tag("b", finding.holds)) if finding.holds else None,
        tag("p", finding.source, class_="where quiet mono") if finding.source else None,
        tag("p", prose(finding.remedy)) if finding.remedy and not finding.waived else None,
        tag("p", f"{waiver.words} ", tag("code", waiver.option), class_="waive") if waiver else None,
        class_=f"card {'waived' if finding.waived else finding.severity.value}",
    )


def prose(text: str) -> Html:
    """A sentence, with what it has in backticks as code."""
    # Split first and escape afterwards: tag() and together() do that, each part for itself.
    return together(*(tag("code", part) if index % 2 else part for index, part in enumerate(CODE.split(text))))
