"""Findings judged by the policy: which are waived, in which order they stand, which waivers waived nothing. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from reconciler.model.findings import Finding, FindingKind, Severity
from reconciler.model.plan import Plan
from reconciler.model.policy import Policy


def with_findings(plan: Plan, more: Iterable[Finding], policy: Policy) -> Plan:
    """``plan`` with ``more`` findings, all judged by ``policy``: which waivers were of use shows once all are there."""
    # Judged anew: a waiver that seemed unused may be what a later finding needs.
    found = [each for each in (*plan.findings, *more) if each.code != FindingKind.WAIVER_UNUSED]
    return replace(plan, findings=tuple(_judged(policy, [*found, *_unused_waivers(policy, found)])))


def _unused_waivers(policy: Policy, findings: Sequence[Finding]) -> Iterator[Finding]:
    refusals = [each for each in findings if each.severity is Severity.REFUSAL]
    # A misspelt waiver waives nothing, and whoever wrote it believes that it does: so it is told.
    used = {waiver for each in refusals for waiver in (each.code, f"{each.code}:{each.key}")}
    for waiver in sorted(policy.allow - used):
        yield Finding.of(FindingKind.WAIVER_UNUSED, facts={"waiver": waiver})


def _judged(policy: Policy, findings: Iterable[Finding]) -> list[Finding]:
    """Open refusals first, then by severity, code and key; those that this run allows are marked, not hidden."""
    order = list(Severity)[::-1]
    judged = [
        replace(each, waived=each.severity is Severity.REFUSAL and policy.waives(each.code, each.key))
        for each in findings
    ]
    return sorted(judged, key=lambda each: (each.waived, order.index(each.severity), each.code, each.key))
