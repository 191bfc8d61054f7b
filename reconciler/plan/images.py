"""Where images are known to be, beside what the account shows. Pure; nothing here decides what a plan does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Final

from reconciler.model.activity import DesiredActivity, LiveActivity
from reconciler.model.findings import Finding, FindingKind
from reconciler.model.identity import Ownership
from reconciler.model.operations import KnownImage
from reconciler.model.plan import Difference, Plan
from reconciler.plan.compare import images_by_field, same_number

SKEW: Final = timedelta(minutes=5)
"""How far the clock of WeChat Pay and ours may be apart."""


def with_known_images(plan: Plan, uploaded: Mapping[str, KnownImage]) -> Plan:
    """``plan`` with those of its uploads that are in ``uploaded`` (by SHA-256) already."""
    known = tuple(uploaded[each.sha256] for each in plan.uploads if each.sha256 in uploaded)
    return replace(plan, known_images=known)


def image_findings(
    plan: Plan,
    live: Iterable[LiveActivity],
    desired: Sequence[DesiredActivity],
    uploaded: Mapping[str, KnownImage],
) -> Iterator[Finding]:
    """A warning for each live activity of a spec that shows other addresses than its images were uploaded to."""
    wanted = {each.key: each for each in desired}
    ownership = Ownership.of(plan.namespace, desired)
    for each in live:
        spec = wanted.get(ownership.key_of(each) or "")
        # What is over cannot be corrected, and would be told in every plan to come.
        if spec is None or each.ended(plan.made_at):
            continue
        differing = differing_images(spec, each, uploaded)
        if differing:
            facts: dict[str, object] = {
                "activity_id": each.activity_id,
                "fields": [path for path, _, _ in differing],
                "live": [url for _, url, _ in differing],
                "uploaded": [image.url for _, _, image in differing],
                "next_generation": spec.generation + 1,
            }
            yield Finding.of(FindingKind.IMAGES_DIFFER, spec.key, facts, spec.source)


def differing_images(
    desired: DesiredActivity, live: LiveActivity, uploaded: Mapping[str, KnownImage]
) -> list[tuple[str, str, KnownImage]]:
    """Path, live address and known image of each file of ``desired`` that ``live`` shows at another address.

    Two uploads of the same bytes may get two addresses (API §4), so an address alone proves nothing. What counts is an
    image that was known before ``live`` was created, under the number of these very images: paygift would have used
    that address here.
    """
    if live.terms is None or live.create_time is None or not same_number(desired, live):
        return []
    theirs = images_by_field(live.terms)
    found = []
    for path, image in images_by_field(desired.terms).items():
        known, there = uploaded.get(image.sha256), theirs.get(path)
        if known is None or there is None or there.url == known.url:
            continue
        # An image that was uploaded later may have another address with the same bytes, and both are right.
        if known.uploaded_at <= live.create_time + SKEW:
            found.append((path, there.url, known))
    return found


def differences_of(finding: Finding) -> tuple[Difference, ...]:
    """What a finding of ``image_findings`` says, field by field: what is live, and what was uploaded."""
    columns = (finding.facts[name] for name in ("fields", "live", "uploaded"))
    rows = zip(*(each for each in columns if isinstance(each, list)), strict=True)
    return tuple(Difference(path, {"url": live}, {"url": known}) for path, live, known in rows)
