"""Text from specs and from the remote, made harmless for Markdown and for HTML. Pure.

What a reader cannot see is shown first (``characters.safe``, which is all that plain text needs); then every format has
its own function. Other formats have theirs where they are written: ``rejected.cell`` for CSV,
``notify.messages.plain`` for WeCom, ``github.annotate.in_command`` for workflow commands.

Markdown is the hardest: GitHub turns names, numbers and addresses into links after Markdown is done, so escaping single
characters does not help. A word that anything could be made of is therefore put into a code span, where nothing happens
to it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from html import escape
from typing import Final

from reconciler.model.characters import safe

_LONG_RUN: Final = re.compile("`{10,}")
"""Renderers stop taking backticks for a fence at some length; nobody means as many as this."""

CODE: Final = re.compile("`([^`]+)`")
"""What a sentence of ours has in backticks: it stays code in every format."""

_PLAIN: Final = re.compile(r"""(?:[^\x00-\x7f]|[0-9A-Za-z.,;:!?'"%()+=/-])+""")
_LINKED: Final = re.compile(r"[0-9a-f]{7}|[a-z]-\d|//|www\.|:[a-z+-]|:(?:100|1234)\b", re.IGNORECASE)
"""What GitHub makes links and emoji of: commits, tickets, addresses, ``:names:``. Names need an ``@``, numbers a ``#``,
which are not plain."""

_WRAPPED: Final = re.compile(r"""(?P<before>[('"]*)(?P<core>.*?)(?P<after>[).,;:!?'"]*)""", re.DOTALL)
_TOUCHING: Final = re.compile("`\n`")
"""Where one code span ends and another begins: backticks must not run together."""

_STARTS_A_BLOCK: Final = re.compile(r"[-+=]|\d+[.)]")


def markup(text: str) -> str:
    """``text`` between tags or in a quoted attribute of HTML."""
    return escape(safe(text))


def code(text: str) -> str:
    """``text`` as a code span of Markdown. Not for tables: a ``|`` would end their cell."""
    content = _without_long_runs(safe(text))
    if not content:
        return ""
    runs = {len(run) for run in re.findall("`+", content)}
    # A run that is not in the content: otherwise the content could close the span and go on as Markdown.
    fence = "`" * next(length for length in range(1, 12) if length not in runs)
    # CommonMark takes one space off both ends, but not where there is nothing else.
    padded = content[0] in "` " or content[-1] in "` "
    return f"{fence} {content} {fence}" if padded and content.strip() else f"{fence}{content}{fence}"


def code_block(lines: Iterable[str], language: str) -> str:
    """Lines as a fenced block of Markdown."""
    content = [_without_long_runs(safe(line)) for line in lines]
    longest = max((len(run) for line in content for run in re.findall("`+", line)), default=0)
    # Longer than any run inside, so that no line of the content can close it.
    fence = "`" * max(3, longest + 1)
    return "\n".join((fence + language, *content, fence))


def prose(text: str) -> str:
    """A sentence in Markdown, in which no word is more than a word. What the sentence has in backticks stays code."""
    return _prose(text, code)


def prose_in_tags(text: str) -> str:
    """A sentence inside an HTML block of Markdown, where Markdown means nothing but links are still made."""
    return _prose(text, _code_tag)


def _code_tag(text: str) -> str:
    return f"<code>{_without_long_runs(markup(text))}</code>"


def _prose(text: str, as_code: Callable[[str], str]) -> str:
    if not text.strip():  # nothing at all after a dash would make a heading of the line above
        return as_code(text) if text else ""
    # safe() first: an escape that it makes must be escaped for Markdown like any other text.
    parts = CODE.split(safe(text).strip())
    dressed = [as_code(part) if index % 2 else _words(part, as_code) for index, part in enumerate(parts)]
    sentence = _TOUCHING.sub("` `", "\n".join(part for part in dressed if part)).replace("\n", "")
    starts = _STARTS_A_BLOCK.match(sentence)
    if starts is None:
        return sentence
    last = starts.end() - 1
    # An entity and no backslash, which would be seen where Markdown does not apply.
    return f"{sentence[:last]}&#{ord(sentence[last])};{sentence[last + 1 :]}"


def _words(text: str, as_code: Callable[[str], str]) -> str:
    return " ".join(_word(word, as_code) for word in text.split(" "))


@lru_cache(maxsize=4096)
def _word(word: str, as_code: Callable[[str], str]) -> str:
    """Sentences of a plan have most of their words in common, so that few have to be looked at twice."""
    # A list of what is harmless: everything else goes into code, so a trick that is new fails too.
    if not word or (_PLAIN.fullmatch(word) and not _LINKED.search(word)):
        return word
    found = _WRAPPED.fullmatch(word)
    if found is None or not found["core"]:
        return as_code(word)
    return f"{found['before']}{as_code(found['core'])}{found['after']}"


def _without_long_runs(text: str) -> str:
    return _LONG_RUN.sub(lambda match: "\\x60" * len(match[0]), text)
