"""A plan file cannot show one thing and do another: whatever is edited in one, its sums made anew, is found out.

Every leaf of a file is changed, and every entry of a list left out: the file is refused when it is read, or apply says
that it is stale. What may be changed without either is listed here, and in docs/decisions/plan-files.md.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache, partial
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest

from reconciler.commands.plan_files import intact_plan
from reconciler.model.activity import Window
from reconciler.model.errors import StaleError
from reconciler.model.identity import instant
from reconciler.model.policy import Freeze, Policy
from reconciler.plan import checksum, make_plan, plan_digest
from reconciler.plan.plan_file import _adapter, _plan_fields
from reconciler.plan.staleness import staleness
from reconciler.render.json_ import dumps, plan_json
from tests.support.project import Project
from tests.support.samples import LOCAL, NAMESPACE, NOW, ONGOING, OVER_TIME, PAUSED, TERMINATED, desired, live, mchids

RUNNING: dict[str, Any] = {"begin_time": NOW - timedelta(days=3)}
WANTED = [
    desired("create", merchants=mchids(3), merchant_logo_url=LOCAL, available_day_time=()),
    desired("shops", merchants=mchids(4, start=1600000003), **RUNNING),
    desired("dearer", transaction_amount_minimum=5, merchants=mchids(2, start=1700000001), **RUNNING),
    desired("joined", merchants=mchids(6, start=1800000001)),
    desired("paused", merchants=("1500000001",), goods_tags=("p",), **RUNNING),
    desired("used", merchants=("1500000002",), goods_tags=("u",), state="terminated", protect=True, **RUNNING),
    desired("back", merchants=("1500000004",), goods_tags=("b",), transaction_amount_minimum=1, **RUNNING),
    desired("other", merchants=("1500000003",), goods_tags=("o",), **RUNNING),
]
LIVES = [
    live(replace(WANTED[1], merchants=mchids(4)), "1", status=ONGOING),
    live(desired("dearer", merchants=mchids(3, start=1700000001), **RUNNING), "2", status=ONGOING),
    live(desired("gone", activity_name="离场", merchants=mchids(6, start=1800000001)), "3", status=ONGOING),
    live(WANTED[4], "4", status=PAUSED),
    live(WANTED[5], "5", status=ONGOING),
    live(desired("other", goods_tags=("x",), **RUNNING), "6", status=ONGOING),
    live(desired("back", goods_tags=("b",), transaction_amount_minimum=1, **RUNNING), "9", status=TERMINATED),
    live(desired("back", goods_tags=("b",), transaction_amount_minimum=5000, **RUNNING), "10", status=ONGOING),
    live(None, "7", status=ONGOING),
    live(None, "8", status=TERMINATED, update_time=NOW - timedelta(days=2), terms=desired(**RUNNING).terms),
]  # fmt: skip
FREEZE = Freeze(Window(NOW - timedelta(hours=1), NOW + timedelta(hours=9)), "双十一")
POLICY = Policy(
    freeze=(FREEZE,),
    allow=frozenset({"FROZEN", "NUMBER_USED:back", "PROTECTED:used", "TOO_MANY_TERMINATIONS"}),
)


def made(now: datetime = NOW, **more: Any) -> Any:
    asked: dict[str, Any] = {"namespace": NAMESPACE, "mchid": "1900000001", "policy": POLICY, "now": now}
    return make_plan(WANTED, LIVES, **asked | more)


REVIEWED = made()
LATER = NOW + timedelta(minutes=7)
FRESH = made(LATER)

OPEN = (
    r"made_at",  # when it was made: all that depends on it is worked out for that moment
    r"counts\.unmanaged",  # how many activities of others there were
    r"timeline\.(left_out|rows\.\d+\.left out)",  # how many of these, and which, the picture has room for
)


def leaves(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths to everything that is no list or mapping, and to every entry of a list."""
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else None
    if items is None:
        yield path
        return
    for name, each in items:
        if isinstance(data, list):
            yield (*path, name, "left out")
        yield from leaves(each, (*path, name))


OTHERS = {
    "kind": ["create", "update", "replace", "terminate"],
    "code": ["begins", "begun", "ends", "cancelled"],
    "severity": ["note", "warning", "refusal"],
    "reason": ["removed", "state", "ended", "replaced", "superseded"],
    "moment": ["", "gap", "overlap", "kept", "paused"],
    "set": ["both", "old", "new"],
    "state": ["live", "ended"],
    "operation": ["create", "terminate", "add_merchants"],
}


def changed(value: Any, name: Any) -> Iterator[Any]:
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", value):
        moment = datetime.fromisoformat(value)
        yield from (instant(moment + timedelta(days=days)) for days in (-1, 1, 400))
    elif isinstance(value, bool):
        yield not value
    elif isinstance(value, int):
        yield from (value + 1, value - 1, 0 if value else 2)
    elif isinstance(value, str):
        yield from (each for each in OTHERS.get(name, ()) if each != value)
        yield (
            f"{value}0" if not re.fullmatch("[0-9a-f]{12,}", value) else value[:-1] + ("0" if value[-1] != "0" else "1")
        )
    if value is not None:
        yield None


def forgeries(data: Any, *, all_of_them: bool = False) -> Iterator[tuple[str, Any]]:
    """What each is called, and ``data`` with it. Of several values for a leaf one is taken, the same every time."""
    for path in leaves(data):
        name = ".".join(map(str, path))
        if path[-1] == "left out":
            yield name, edited(data, path[:-1], lambda place, last: place.pop(last))
            continue
        values = list(changed(value_at(data, path), path[-1]))
        for value in values if all_of_them else values[crc32(name.encode()) % max(len(values), 1) :][:1]:
            yield f"{name} = {value!r}", edited(data, path, partial(put, value))


def value_at(data: Any, path: tuple[Any, ...]) -> Any:
    for step in path:
        data = data[step]
    return data


def put(value: Any, place: Any, last: Any) -> None:
    place[last] = value


def edited(data: Any, path: tuple[Any, ...], edit: Callable[[Any, Any], object]) -> Any:
    """A copy of ``data`` in which ``edit`` was done at ``path``; what is beside the way there is shared."""
    first, *rest = path
    fresh = copy.copy(data)
    if rest:
        fresh[first] = edited(data[first], tuple(rest), edit)
    else:
        edit(fresh, first)
    return fresh


def summed(data: Any) -> Any:
    """``data`` with its digest and checksum made anew, as whoever edits it on purpose would."""
    with suppress(Exception):
        data = {**data, "digest": plan_digest(_adapter().validate_python(_plan_fields(data)))}
    return {**data, "checksum": checksum(data)}


def found_out(data: Any) -> bool:
    try:
        plan = intact_plan(data)
    except StaleError:
        return True
    then = made_once(plan.made_at)
    return bool(staleness(plan, FRESH, LIVES, now=LATER, then=then))


made_once = cache(made)


def test_the_plan_holds_what_a_plan_can_hold() -> None:
    assert {each.kind.value for each in REVIEWED.changes} == {"create", "update", "replace", "terminate"}
    assert any(each.differences for each in REVIEWED.changes)
    assert {each.waived for each in REVIEWED.findings} == {True, False}
    assert REVIEWED.differing
    assert REVIEWED.uploads
    assert REVIEWED.valid_until


def test_what_was_not_edited_is_applied() -> None:
    assert not found_out(json.loads(dumps(plan_json(REVIEWED))))


def test_whatever_is_edited_is_found_out_or_listed() -> None:
    data = json.loads(dumps(plan_json(REVIEWED)))
    undetected = [
        name
        for name, forged in forgeries(data)
        if name.split(" ")[0] not in ("digest", "checksum") and not found_out(summed(forged))
    ]
    surprising = [name for name in undetected if not any(re.match(rf"{each}( =|$)", name) for each in OPEN)]
    assert surprising == []


# -- once a part of it was done ----------------------------------------------------------------------------------------

LEFT = [
    live(replace(WANTED[1], merchants=mchids(5)), "1", status=ONGOING),
    *LIVES[1:],
    live(WANTED[0], "99"),
]


def left_over(now: datetime) -> Any:
    return make_plan(WANTED, LEFT, namespace=NAMESPACE, mchid="1900000001", policy=POLICY, now=now)


def reasons(plan: Any) -> list[str]:
    found = staleness(plan, left_over(LATER), LEFT, now=LATER, then=left_over(plan.made_at))
    return [f"{each.key}: {', '.join(each.what)}" for each in found]


def change_of(data: Any, key: str) -> Any:
    return next(each for each in data["changes"] if each["key"] == key)


def test_what_is_left_of_a_plan_that_nobody_edited_goes_on() -> None:
    assert reasons(intact_plan(json.loads(dumps(plan_json(REVIEWED))))) == []


@pytest.mark.parametrize(
    ("edit", "named"),
    [
        (lambda data: change_of(data, "dearer")["differences"].clear(), "dearer: differences"),
        (lambda data: change_of(data, "joined")["coverage"].update(moment="kept"), "joined: coverage"),
        (lambda data: change_of(data, "dearer")["source"].update(file="specs/tea.yaml"), "dearer: source"),
        (lambda data: data["policy"].update(max_terminations=9), ": policy"),
        (lambda data: data["findings"].pop(0), ": finding LOOKS_REPLACED"),
    ],
)
def test_what_is_left_is_what_was_shown(edit: Callable[[Any], object], named: str) -> None:
    data = json.loads(dumps(plan_json(REVIEWED)))
    edit(data)
    assert reasons(intact_plan(summed(data))) == [named]


# -- on the command line -----------------------------------------------------------------------------------------------


@pytest.fixture
def file(project: Project) -> Path:
    """A plan that replaces what runs, in a file."""
    assert project.run("--sandbox", "apply", "--yes")[0] == 0
    project.run("sandbox", "clock", "2026-12-02T10:00:00+08:00")
    project.edit("spring", "transaction_amount_minimum: 1000", "transaction_amount_minimum: 1")
    made_file = project.root / "plan.json"
    assert project.run("--sandbox", "plan", "--out", str(made_file))[0] == 0
    return made_file


def forge(file: Path, edit: Callable[[Any], object]) -> None:
    data = json.loads(file.read_text(encoding="utf-8"))
    edit(data)
    file.write_text(dumps(summed(data)), encoding="utf-8")


def dearer(data: Any) -> None:
    data["changes"][0]["differences"][0]["desired"] = 5000


def without_gap(data: Any) -> None:
    data["changes"][0]["coverage"]["moment"] = "kept"


def without_warning(data: Any) -> None:
    data["findings"] = [each for each in data["findings"] if each["code"] != "REPLACES_RUNNING"]


def later_end(data: Any) -> None:
    data["changes"][0]["clocks"][1]["at"] = data["valid_until"] = "2026-12-30T15:59:59Z"


@pytest.mark.parametrize(
    ("edit", "named"),
    [
        (
            dearer,
            "spring: the plan shows something other than what the files and the account give: differences",
        ),
        (without_gap, "coverage"),
        (without_warning, "finding REPLACES_RUNNING"),
        (later_end, "clocks"),
    ],
)
def test_what_only_the_account_knows_is_found_out_by_apply(
    project: Project, file: Path, edit: Callable[[Any], object], named: str
) -> None:
    forge(file, edit)
    code, _, err = project.run("--sandbox", "apply", str(file), "--yes")
    assert code == 6
    assert named in err
    assert "Nothing was written." in err
    assert project.run("--sandbox", "status", "--all")[1].count("spring") == 1


@pytest.mark.sampled(every=3)
@pytest.mark.parametrize(
    ("edit", "named"),
    [
        (lambda data: data["changes"][0].update(kind="update"), "spring: kind"),
        (lambda data: data.update(valid_until=None), "valid_until"),
        (lambda data: data.update(valid_until="2027-01-31T15:59:59Z"), "valid_until"),
        (lambda data: data["counts"].update(unchanged=6), "counts"),
        (lambda data: data["findings"][0].update(text="All is well."), r"findings.0.text"),
        (lambda data: data["changes"][0]["operations"][1]["undo"].update(possible=True), "undo.possible"),
        (lambda data: data.update(made_at="2026-12-02T02:00:00"), "cannot be read"),
    ],
)
def test_what_operations_contradict_is_not_even_shown(
    project: Project, file: Path, edit: Callable[[Any], object], named: str
) -> None:
    forge(file, edit)
    for command in (["show-plan", str(file)], ["--sandbox", "apply", str(file), "--yes"]):
        code, out, err = project.run(*command)
        assert (code, out) == (6, "")
        assert named in err


def test_the_file_is_applied_later_than_it_was_made(project: Project, file: Path) -> None:
    project.run("sandbox", "clock", "2026-12-09T10:00:00+08:00")
    code, out, err = project.run("--sandbox", "apply", str(file), "--yes")
    assert (code, "done" in out or "Applied" in out) == (0, True), err


def test_a_plan_of_the_future_is_none(project: Project, file: Path) -> None:
    project.run("sandbox", "clock", "2026-12-02T09:00:00+08:00")
    code, _, err = project.run("--sandbox", "apply", str(file), "--yes")
    assert code == 6
    assert "made_at" in err


def test_a_file_of_an_earlier_paygift_is_refused_by_name(project: Project, file: Path) -> None:
    forge(file, lambda data: data.update(format_version="1.0"))
    for command in (["show-plan", str(file)], ["--sandbox", "apply", str(file), "--yes"]):
        code, _, err = project.run(*command)
        assert code == 6
        assert "format 1.0; this paygift reads 2.x. Make it again with `paygift plan --out FILE`" in err


def test_the_digest_is_the_same_whatever_a_machine_remembers(project: Project, file: Path) -> None:
    """Not of what was uploaded, nor where: the plan of a machine that has uploaded is that of one that has not."""
    (remembered,) = project.root.rglob("images.json")
    project.write(
        "other",
        (project.root / "activities/spring.yaml").read_text(encoding="utf-8").replace(": 1\n", ": 7\n"),
    )
    plans = []
    for _ in range(2):
        plans.append(json.loads(project.run("--sandbox", "plan", "--json")[1]))
        remembered.unlink(missing_ok=True)
    assert plans[0]["digest"] == plans[1]["digest"]


def test_a_policy_and_the_validity_are_part_of_the_digest() -> None:
    assert plan_digest(replace(REVIEWED, policy=Policy(max_terminations=99))) != plan_digest(REVIEWED)
    assert plan_digest(replace(REVIEWED, valid_until=None)) != plan_digest(REVIEWED)


def test_what_ends_by_itself_meanwhile_makes_no_plan_stale() -> None:
    """It is a picture of what is around the plan, and at the plan's moment it was so."""
    brief = desired("brief", merchants=("1999999999",), goods_tags=("z",), **RUNNING, end_time=NOW + timedelta(hours=1))
    asked: dict[str, Any] = {"namespace": NAMESPACE, "mchid": "1900000001", "policy": POLICY}
    before = [*LIVES, live(brief, "50", status=ONGOING)]
    after = [*LIVES, live(brief, "50", status=OVER_TIME, merchants=None)]
    reviewed = make_plan([*WANTED, brief], before, now=NOW, **asked)
    assert "ENDS_SOON" in [each.code for each in reviewed.findings]
    later = NOW + timedelta(hours=2)
    fresh, then = (make_plan([*WANTED, brief], after, now=moment, **asked) for moment in (later, NOW))
    assert staleness(reviewed, fresh, after, now=later, then=then) == ()
