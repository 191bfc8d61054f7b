"""A plan's operations as plain data, and the digest that says whether two plans would do the same."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from datetime import datetime
from enum import Enum
from typing import Final

from reconciler.model.activity import Image
from reconciler.model.findings import Finding, FindingKind
from reconciler.model.identity import canonical_json, instant
from reconciler.model.operations import Operation
from reconciler.model.plan import Plan
from reconciler.model.policy import Policy

OF_THE_MOMENT: Final = frozenset({FindingKind.FROZEN.value})
"""Refusals that only ask to wait: once they have passed, what was reviewed with them may be applied."""
_PLAIN: Final = frozenset({str, int, bool, type(None)})


def plan_digest(plan: Plan) -> str:
    """64 hex digits: SHA-256 over the canonical JSON of the operations with their preconditions, of what was waived for
    their sake, of what is refused, of the policy, and of how long all this holds.

    No prose, no clock and no order of files goes into it, and nothing that one machine remembers: images count by their
    content, or by the address that the spec gives. The same plan made elsewhere or a minute later has the same digest.
    """
    covered = {
        "namespace": plan.namespace,
        "mchid": plan.mchid,
        "operations": [_without_paths(operation_data(operation)) for operation in plan.operations],
        # A waiver is part of what was approved: added afterwards, it is another plan.
        "waived": sorted(list(each) for each in waived(plan)),
        "refused": sorted({each.name for each in plan.refusals if each.code not in OF_THE_MOMENT}),
        # Loosened after the review, a limit would let through what reviewers were shown as refused.
        "policy": policy_data(plan.policy),
        # Otherwise the field could be edited, and the digest would still fit.
        "valid_until": plan_data(plan.valid_until),
    }
    return hashlib.sha256(canonical_json(covered).encode()).hexdigest()


def policy_data(policy: Policy) -> dict[str, object]:
    """The team's rules as JSON-ready data; the waivers of a run are told apart from them."""
    # A new field of Policy joins the digest by itself: forgotten, it could be changed after the review.
    return {each.name: plan_data(getattr(policy, each.name)) for each in fields(policy) if each.name != "allow"}


def digests_of_review(plan: Plan) -> frozenset[str]:
    """The digests that a review of ``plan`` may have had: its own, and that of a review in which nothing was refused.
    What is refused since then is held. What was refused then, and is not any more, has another digest.
    """
    clean = replace(plan, findings=tuple(each for each in plan.findings if not each.stops))
    return frozenset({plan_digest(plan), plan_digest(clean)})


def waived(plan: Plan) -> set[tuple[str, ...]]:
    """What was waived: a code, a key, and, for a freeze, the span that was meant. Another span is another question."""
    return {
        (each.code, each.key, *_span(each)) if each.code == FindingKind.FROZEN else (each.code, each.key)
        for each in plan.findings
        if each.waived
    }


def _span(frozen: Finding) -> tuple[str, ...]:
    return tuple(str(plan_data(frozen.facts.get(name))) for name in ("begin_time", "end_time"))


def _without_paths(data: object) -> object:
    """An image is its bytes, wherever the file lies."""
    match data:
        case dict():
            # A file that only moved must not make a reviewed plan stale.
            return {name: _without_paths(value) for name, value in data.items() if name != "path"}
        case list():
            return [_without_paths(item) for item in data]
    return data


def operation_data(operation: Operation) -> dict[str, object]:
    """One operation as JSON-ready data, its name first."""
    data = {field.name: plan_data(getattr(operation, field.name)) for field in fields(operation)}
    return {"operation": operation.operation, **data}


def plan_data(value: object) -> object:
    """Any value of a plan as JSON-ready data: dataclasses become mappings, instants RFC 3339 text in UTC."""
    if type(value) in _PLAIN:  # most values are, and the questions below are slow
        return value
    match value:
        case Image():
            # Never both: an address that one machine remembers would give it another digest.
            return {"url": value.url} if value.url else {"sha256": value.sha256, "path": value.path}
        case datetime():
            return instant(value)
        case Enum():
            return value.value
        case tuple() | list():
            return [plan_data(item) for item in value]
        case Mapping():
            return {str(name): plan_data(item) for name, item in value.items()}
    if is_dataclass(value):
        # Not dataclasses.asdict, which copies deeply and knows no instants or images.
        return {field.name: plan_data(getattr(value, field.name)) for field in fields(value)}
    return value
