"""What the ends of a change mean to customers, in words: a headline, and a line for each set of merchants."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

from reconciler.model.plan import Coverage, MerchantCoverage, Timing
from reconciler.render import messages
from reconciler.render.values import merchants, sample, span
from reconciler.render.views.parts import Line


def coverage_headlines(covered: Coverage) -> Iterator[str]:
    """The worst that happens to those who stay, and who leaves."""
    staying = next((each for each in covered.sets if each.set == "both"), None)
    if staying is not None:
        yield _staying(staying, covered)
    for each in covered.sets:
        if each.set == "old":
            yield messages.HEADLINE_LEFT[_loss(each)].format(**_who(each))


def coverage_lines(covered: Coverage, clocks: Iterable[Timing]) -> Iterator[Line]:
    """A line for each set of merchants; plan files of the first versions hold none."""
    if not covered.sets and covered.gap_seconds:
        yield Line("!", "", messages.COVERAGE_UNTOLD.format(span=span(covered.gap_seconds)))
    begun = any(clock.code == "begun" for clock in clocks)
    for each in covered.sets:
        yield Line(
            "!" if each.gap_seconds else "",
            "",
            _coverage_of(each, covered, begun=begun),
            items=each.merchants,
        )


def _coverage_of(each: MerchantCoverage, covered: Coverage, *, begun: bool) -> str:
    facts = {**_who(each), "sample": sample(each.merchants)}
    match each.set:
        case "both":
            return _staying(each, covered)
        case "old":
            return messages.COVERAGE_LEFT[_loss(each)].format(**facts, **_spans(each))
        case "new":
            begin = messages.COVERAGE_BEGUN if begun else messages.COVERAGE_BEGINS
            return messages.COVERAGE_JOINED.format(begin=begin, **facts)


def _staying(each: MerchantCoverage, covered: Coverage) -> str:
    """What happens to merchants that something serves afterwards."""
    if not each.gap_seconds:
        return messages.COVERAGE_NONE[covered.moment].format(**_who(each))
    return messages.COVERAGE_GAP.format(**_who(each), loss=messages.COVERAGE_LOSS[_loss(each)].format(**_spans(each)))


def _who(each: MerchantCoverage) -> dict[str, str]:
    """How many merchants, and the verbs that go with so many."""
    one = each.count == 1
    verbs = {verb: f"{verb}s" for verb in ("give", "lose", "leave", "join")} if one else {}
    plural = {verb: verb for verb in ("give", "lose", "leave", "join", "have")}
    have = {"have": "has"} if one else {}
    return {**plural, **verbs, **have, "merchants": merchants(each.count)}


def _loss(each: MerchantCoverage) -> Literal["nothing", "partly", "others", "none"]:
    """Whether anything else is given while this gift is lost."""
    if not each.gap_seconds:
        return "none"
    # "Nothing at all" is the strongest sentence there is, and is kept for what is exactly so.
    if each.nothing_seconds == each.gap_seconds:
        return "nothing"
    return "partly" if each.nothing_seconds else "others"


def _spans(each: MerchantCoverage) -> dict[str, str]:
    gap = span(each.gap_seconds)
    return {
        "span": messages.COVERAGE_UP_TO.format(span=gap) if each.up_to else gap,
        "nothing": span(each.nothing_seconds),
    }
