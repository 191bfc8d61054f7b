"""How a plan differs from the one that was reviewed, in lines."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from reconciler.plan import Stale
from reconciler.render.values import beijing, merchants, sample

_HOW = {
    "appeared": "new, nobody has reviewed it",
    "vanished": "reviewed, and no longer needed by the files",
    "changed": "its activity has changed since the review",
}


def stale_lines(reasons: Iterable[Stale]) -> list[str]:
    """One line for each reason: what it is about, and how it differs."""
    return [_line(reason) for reason in reasons]


def _line(reason: Stale) -> str:
    if reason.code == "expired":
        at = beijing(reason.at) if reason.at else ""
        return f"! it was valid until {at} Beijing time: from then on its operations mean something else"
    # The waiver is named, since it is what was added, and not the refusal.
    if reason.code == "waived":
        return f"! --allow {_waiver(reason.waiver)} waives something that nobody reviewed"
    if reason.code == "reordered":
        return f"! {reason.key}: its creates and terminations are in another order than was reviewed"
    if reason.code == "bare":
        return f"! {reason.key}: its end leaves more merchants with nothing than the reviewed plan said"
    if reason.code == "shown":
        whose = f"{reason.key}: " if reason.key else ""
        names = ", ".join(reason.what)
        return f"! {whose}the plan shows something other than what the files and the account give: {names}"
    return f"! {reason.key}: {_what(reason)}: {_HOW[reason.code]}"


def _waiver(waived: tuple[str, ...]) -> str:
    code, key, *span = waived
    until = f" (now until {beijing(datetime.fromisoformat(span[-1]))} Beijing time)" if span else ""
    return f"{code}:{key}{until}" if key else f"{code}{until}"


def _what(reason: Stale) -> str:
    ids = tuple(effect.what for effect in reason.effects)
    match reason.kind:
        case "create":
            return f"create {reason.effects[0].out_request_no}"
        case "terminate":
            return f"terminate {sample(ids)}"
        case _:
            return f"{reason.kind} {merchants(len(ids))} ({sample(ids)})"
