"""What a plan shows beside its operations, held against them, and against a plan made anew. Pure.

People approve what they are shown: the kind of a change, its differences, clocks and coverage, the findings. A file can
be edited, and its checksum and digest made anew. So what follows from operations must follow from them when a file is
read (``contradiction``), and all the rest must be what the account and the files give (``unlike_shown``). What is left
out, and why, is in docs/decisions/plan-files.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

from reconciler.model.activity import LiveActivity
from reconciler.model.findings import Finding, FindingKind, Severity
from reconciler.model.identity import canonical_json
from reconciler.model.operations import (
    ActivityOperation,
    AddMerchants,
    CreateActivity,
    DeleteMerchants,
    TerminateActivity,
    UploadImage,
)
from reconciler.model.plan import ActivityChange, ChangeKind, Plan, TimelineRow
from reconciler.model.policy import Policy
from reconciler.plan.digest import operation_data, plan_data
from reconciler.plan.timing import first_after, timing_of_new

OF_A_MACHINE: Final = frozenset(
    {
        FindingKind.ADOPTION_GIVEN_UP,
        FindingKind.IMAGES_DIFFER,
        FindingKind.JOURNAL_NOT_READ,
        FindingKind.PROTECTION_REMOVED,
        FindingKind.PROTECT_NOT_MARKED,
    }
)
"""What comes and goes with the journal and the images that are remembered, which need not be the same for plan and
apply."""


# -- when it is read ---------------------------------------------------------------------------------------------------


def contradiction(plan: Plan) -> str:
    """The first thing that ``plan`` shows and that its own operations contradict, as words, or nothing."""
    checks: dict[str, bool] = {
        "uploads": plan.uploads == uploads_of(plan.changes),
        # Emptied or moved into the future, it would let a plan be applied after its campaign has begun.
        "valid_until": plan.valid_until == _valid_until(plan),
        "counts": plan.managed == plan.unchanged + len(touched_ids(plan.changes)) + len(plan.differing),
        "findings": all(_waived_as_allowed(each, plan.allow) for each in plan.findings),
    }
    mistakes = [f"{change.key}: {name}" for change in plan.changes for name in _mistakes(change, plan)]
    return next(iter((*mistakes, *(name for name, holds in checks.items() if not holds))), "")


def _mistakes(change: ActivityChange, plan: Plan) -> Iterator[str]:
    steps = change.operations
    creates = [step for step in steps if isinstance(step, CreateActivity)]
    new = [clock for clock in change.clocks if not clock.activity_id]
    ids = {clock.activity_id for clock in change.clocks} - {""}
    # Reviewers look for the key: under another one, the end of a campaign is looked for in vain.
    if change.key not in {step.key for step in creates or steps}:
        yield "key"
    if not steps or change.kind is not kind_of(steps):
        yield "kind"
    if creates and change.activity_name != creates[0].terms.activity_name:
        yield "activity_name"
    # Clocks of live activities need the account, so only whom they are about can be checked here.
    if new != [timing_of_new(step.terms, plan.made_at) for step in creates] or ids != touched_ids([change]):
        yield "clocks"
    if (change.coverage is not None) is not any(isinstance(step, TerminateActivity) for step in steps):
        yield "coverage"
    if not _counts_hold(change):
        yield "merchants"


def kind_of(steps: Sequence[ActivityOperation]) -> ChangeKind:
    """What the operations of a change come to."""
    creates = any(isinstance(step, CreateActivity) for step in steps)
    ends = any(isinstance(step, TerminateActivity) for step in steps)
    if creates:
        return ChangeKind.REPLACE if ends else ChangeKind.CREATE
    merchants = any(isinstance(step, AddMerchants | DeleteMerchants) for step in steps)
    return ChangeKind.UPDATE if merchants else ChangeKind.TERMINATE


def uploads_of(changes: Iterable[ActivityChange]) -> tuple[UploadImage, ...]:
    """Each local image of what is to be created, once, by path."""
    paths = {
        image.sha256: image.path
        for change in changes
        for step in change.operations
        if isinstance(step, CreateActivity)
        for image in step.terms.images()
        if image.sha256
    }
    return tuple(UploadImage(sha256, path) for sha256, path in sorted(paths.items(), key=lambda item: item[::-1]))


def touched_ids(changes: Iterable[ActivityChange]) -> set[str]:
    """The ids of the live activities that ``changes`` are about."""
    return {
        step.activity_id
        for change in changes
        for step in change.operations
        if not isinstance(step, CreateActivity) and step.activity_id
    }


def _valid_until(plan: Plan) -> object:
    """A create's begin and end, and the next begin or end of what lives, which its clock tells."""
    creates = (step.terms for change in plan.changes for step in change.operations if isinstance(step, CreateActivity))
    instants = [
        *(instant for terms in creates for instant in (terms.begin_time, terms.end_time)),
        *(clock.at for change in plan.changes for clock in change.clocks),
    ]
    return first_after(instants, plan.made_at)


def _counts_hold(change: ActivityChange) -> bool:
    """A create makes all its merchants, and an update has as many more or less as it adds and deletes."""
    added = sum(len(step.merchants) for step in change.operations if isinstance(step, AddMerchants))
    deleted = sum(len(step.merchants) for step in change.operations if isinstance(step, DeleteMerchants))
    made = sum(len(step.merchants) for step in change.operations if isinstance(step, CreateActivity))
    match change.kind:
        case ChangeKind.CREATE:
            return (change.merchants_before, change.merchants_after) == (0, made + added)
        case ChangeKind.REPLACE:
            # How many there were before only the account knows: that is compared when the plan is applied.
            return change.merchants_after == made + added
        case ChangeKind.UPDATE:
            return change.merchants_after == change.merchants_before + added - deleted
        # The same: an end says nothing of merchants.
        case ChangeKind.TERMINATE:
            return True


def _waived_as_allowed(finding: Finding, allow: Iterable[str]) -> bool:
    allowed = Policy(allow=frozenset(allow)).waives(finding.code, finding.key)
    # A finding marked as waived without its waiver would slip through everything that asks for open refusals.
    return finding.waived is (allowed and finding.severity is Severity.REFUSAL)


# -- when it is applied ------------------------------------------------------------------------------------------------

ShownOtherwise = tuple[str, tuple[str, ...]]
"""A key, or nothing for the plan as a whole, and the names of what is shown otherwise."""


def unlike_shown(
    reviewed: Plan,
    then: Plan,
    live: Iterable[LiveActivity],
    done: Callable[[ActivityChange, ActivityChange | None], bool],
    *,
    unexplained: Plan | None = None,
) -> Iterator[ShownOtherwise]:
    """What ``reviewed`` shows otherwise than ``then``: the plan that the files and the account give now for the moment
    at which ``reviewed`` was made, so that nothing differs by the time that has passed.

    ``done`` tells of a change of ``reviewed`` whether a part of it was done meanwhile: then it shows what it was, and
    ``then`` what is left. ``unexplained`` is ``then`` made without the images that this machine remembers: they
    explain differences and decide nothing.
    """
    before, after = _by_key(reviewed), _by_key(then)
    begun = {key for key, change in before.items() if done(change, after.get(key))}
    # The reviewing machine may have remembered no uploads, and then its plan says less of what differs.
    explained = _by_key(unexplained) if unexplained is not None else {}
    whole = tuple(_unlike_as_a_whole(reviewed, then, tuple(live), begun))
    if whole:
        yield "", whole
    for key, change in after.items():
        if key in before:
            other = explained.get(key, change).differences
            names = tuple(_unlike(before[key], change, other, partly=key in begun, alone=not begun))
            if names:
                yield key, names


def _by_key(plan: Plan) -> dict[str, ActivityChange]:
    return {change.key: change for change in plan.changes}


def _unlike(
    shown: ActivityChange, made: ActivityChange, other_differences: object, *, partly: bool, alone: bool
) -> Iterator[str]:
    """The names of what ``shown`` tells otherwise than ``made``. ``partly``: a part of it was done; ``alone``: nothing
    of the whole plan was.
    """
    turned = _turns(shown) != _turns(made)
    for name in ("activity_name", "source"):
        if getattr(shown, name) != getattr(made, name):
            yield name
    # Once a create is done, only the end is left, and that has no differences to tell.
    if not turned and shown.differences not in (made.differences, other_differences):
        yield "differences"
    if shown.clocks != made.clocks and not ((turned or partly) and _clocks_hold(shown, made)):
        yield "clocks"
    if not (turned or partly) and shown.coverage != made.coverage:
        yield "coverage"
    if alone:  # what is done is waited for no more, and others may stand in for it
        for name in ("leans_on", "goes_with"):
            if getattr(shown, name) != getattr(made, name):
                yield name
    if not (_what_is_left_holds(shown, made) if partly else _to_the_last_path(shown) == _to_the_last_path(made)):
        yield "operations"
    if not partly:
        for name in ("kind", "merchants_before", "merchants_after"):
            if getattr(shown, name) != getattr(made, name):
                yield name


def _clocks_hold(shown: ActivityChange, left: ActivityChange) -> bool:
    """Whether what is left stands to time as was shown; what was made since then was told of as new."""
    known = {clock.activity_id for clock in shown.clocks}
    return {clock for clock in left.clocks if clock.activity_id in known} <= set(shown.clocks)


def _turns(change: ActivityChange) -> list[tuple[str, str]]:
    """What it creates and ends, by what is meant and not by every field."""
    return [
        (step.operation, step.out_request_no)
        for step in change.operations
        if isinstance(step, CreateActivity | TerminateActivity)
    ]


def _to_the_last_path(change: ActivityChange) -> list[object]:
    """Its operations, with the paths of images, although these do not change what they do."""
    return [operation_data(step) for step in change.operations]


def _what_is_left_holds(shown: ActivityChange, left: ActivityChange) -> bool:
    """Whether what is still to be created and ended is so by the terms and for the reason that were shown. What its own
    create replaces is superseded once that is done.
    """
    made = {step.out_request_no: step for step in shown.operations if isinstance(step, CreateActivity)}
    ends = {step.activity_id: step.reason for step in shown.operations if isinstance(step, TerminateActivity)}
    creates = [step for step in left.operations if isinstance(step, CreateActivity)]
    superseded = bool(made) and not creates
    return all(
        plan_data(step.terms) == plan_data(made[step.out_request_no].terms)
        for step in creates
        if step.out_request_no in made
    ) and all(
        step.reason == ends[step.activity_id] or (superseded and step.reason == "superseded")
        for step in left.operations
        if isinstance(step, TerminateActivity) and step.activity_id in ends
    )


def _unlike_as_a_whole(reviewed: Plan, then: Plan, live: Sequence[LiveActivity], begun: set[str]) -> Iterator[str]:
    for name in ("namespace", "mchid", "policy"):
        if getattr(reviewed, name) != getattr(then, name):
            yield name
    # What is done has no begin or end to come any more, so that the next boundary moves.
    if not begun and reviewed.valid_until != then.valid_until:
        yield "valid_until"
    # One way only: what is put right since the review does not stop anything.
    if {each for each in then.differing if each.key not in then.refused} - set(reviewed.differing):
        yield "differing"
    yield from dict.fromkeys(f"finding {each.code}" for each in _unlike_findings(reviewed, then, begun))
    if not _timeline_holds(reviewed, then, live):
        yield "timeline"


def _unlike_findings(reviewed: Plan, then: Plan, begun: set[str]) -> Iterator[Finding]:
    """Findings that nobody was shown, and those of what is to be done that are no longer so.

    An open refusal holds back by itself, and a waived one that has passed is nothing to wait for. What was done in part
    has changed what there is to say of it.
    """
    changing = {"", *(change.key for change in then.changes)}
    for here, there, gone in ((then, reviewed, False), (reviewed, then, True)):
        known = set(map(_finding_text, there.findings))
        codes = {(each.code, each.key) for each in there.findings}
        for each in here.findings:
            alone = (each.code, each.key) not in codes
            if _finding_text(each) in known or each.key in begun or (begun and not each.key):
                continue
            if alone and (_settles_itself(each, gone) or (gone and each.key not in changing)):
                continue
            yield each


def _settles_itself(finding: Finding, gone: bool) -> bool:
    passed = finding.waived if gone else finding.code == FindingKind.WAIVER_UNUSED
    return finding.stops or passed or finding.code in OF_A_MACHINE


def _finding_text(finding: Finding) -> str:
    return canonical_json(plan_data(finding))


def _timeline_holds(reviewed: Plan, then: Plan, live: Sequence[LiveActivity]) -> bool:
    """Whether the rows are of activities that are there and have these names and times. Others may have come since."""
    now_shown = {row.activity_id: row for row in then.timeline.rows}
    lives = {each.activity_id: each for each in live}
    rows = {row.activity_id: row for row in reviewed.timeline.rows}
    return touched_ids(reviewed.changes) & now_shown.keys() <= rows.keys() and all(
        row == now_shown.get(row.activity_id) or _row_holds(row, now_shown, lives) for row in rows.values()
    )


def _row_holds(row: TimelineRow, now_shown: Mapping[str, TimelineRow], lives: Mapping[str, LiveActivity]) -> bool:
    """Whether it may have been so when the plan was made: it has ended since, or found no room now."""
    found, shown = lives.get(row.activity_id), now_shown.get(row.activity_id)
    # A row is a claim about the account: what cannot be found there was invented.
    if found is None or found.terms is None or (shown is not None and row.key != shown.key):
        return False
    if (row.name, row.begin) != (found.terms.activity_name, found.terms.begin_time):
        return False
    if row.state == "live":
        return row.end == found.terms.end_time and (shown is None or shown.state == "ended")
    return row.state == "ended" and shown is None
