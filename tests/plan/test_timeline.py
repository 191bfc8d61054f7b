"""What a plan knows of the campaigns around it, and that it stays small however many there are."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from reconciler.model.activity import LiveActivity
from reconciler.model.plan import Plan, TimelineRow
from reconciler.plan import make_plan, plan_digest, read_plan
from reconciler.plan.timeline import LATELY, MOST_ROWS
from reconciler.render.html import plan_html
from reconciler.render.json_ import dumps, plan_json
from reconciler.render.views.timeline import timeline_rows
from tests.support.project import Project
from tests.support.samples import CREATED, FAILED, NAMESPACE, NOW, ONGOING, OVER_TIME, TERMINATED, desired, live, terms

DAY = timedelta(days=1)


def running(key: str, activity_id: str, begin: float = -3, end: float = 20, **changes: Any) -> LiveActivity:
    """A live activity of ours; times in days from now."""
    spec = desired(key, begin_time=NOW + begin * DAY, end_time=NOW + end * DAY)
    return live(spec, activity_id, **{"status": ONGOING, **changes})


def plan(lives: list[LiveActivity], **more: Any) -> Plan:
    return make_plan([], lives, namespace=NAMESPACE, now=NOW, **more)


def shown(made: Plan) -> list[tuple[str, str]]:
    return [(row.activity_id, row.state) for row in made.timeline.rows]


def test_a_row_has_the_times_of_the_live_activity() -> None:
    (row,) = plan([running("tea", "1")]).timeline.rows
    assert row == TimelineRow("tea", "1", terms().activity_name, NOW - 3 * DAY, NOW + 20 * DAY, "live")


@pytest.mark.parametrize(
    ("status", "begin", "end", "updated", "expected"),
    [
        (OVER_TIME, -20, -1, None, -1),
        (ONGOING, -20, -1, None, -1),
        (TERMINATED, -20, 9, -2, -2),
        (TERMINATED, -20, 9, None, 0),
        (TERMINATED, -20, -5, -2, -5),
        (OVER_TIME, -90, -(LATELY / DAY) - 1, None, None),
        (TERMINATED, 2, 9, -1, None),
        (TERMINATED, -20, 9, 2, 0),
        (FAILED, 2, 9, -1, None),
        (FAILED, -20, 9, -1, None),
        (FAILED, -20, -2, None, None),
    ],
)
def test_what_has_ended_lately_is_there_until_the_day_it_ended(
    status: str, begin: float, end: float, updated: float | None, expected: float | None
) -> None:
    update_time = None if updated is None else NOW + updated * DAY
    rows = plan([running("tea", "1", begin, end, status=status, update_time=update_time)]).timeline.rows
    assert [(row.state, row.end) for row in rows] == ([] if expected is None else [("ended", NOW + expected * DAY)])


def test_what_others_made_is_there_without_a_key_and_what_has_no_times_is_not() -> None:
    made = plan([live(activity_id="1", status=CREATED), live(activity_id="2", terms=None)])
    assert [(row.key, row.activity_id) for row in made.timeline.rows] == [("", "1")]
    assert made.timeline.left_out == 0


def test_rows_are_few_ours_first_and_those_nearest_to_now() -> None:
    specs = [
        *(desired(f"now-{n}", begin_time=NOW - DAY) for n in range(50)),
        *(desired(f"later-{n}", begin_time=NOW + (n + 1) * DAY / 10) for n in range(MOST_ROWS)),
    ]
    mine = [live(spec, f"{10_000 + n}") for n, spec in enumerate(specs)]
    others = [live(activity_id=f"3{n:04d}") for n in range(50)]
    over = [running(f"over-{n}", f"4{n:04d}", end=-1) for n in range(50)]
    made = make_plan(specs, [*over, *others, *mine[::-1]], namespace=NAMESPACE, now=NOW)
    assert made.empty
    assert [row.key for row in made.timeline.rows] == [spec.key for spec in specs[:MOST_ROWS]]
    assert made.timeline.left_out == len([*over, *others, *mine]) - MOST_ROWS
    few = make_plan(specs[:9], [*over, *others, *mine[:9]], namespace=NAMESPACE, now=NOW)
    assert [row.activity_id[0] for row in few.timeline.rows] == ["1"] * 9 + ["3"] * 50 + ["4"] * 50


def test_what_the_plan_touches_is_always_there() -> None:
    specs = [desired(f"kept-{n}", begin_time=NOW - DAY) for n in range(MOST_ROWS + 9)]
    lives = [live(spec, f"{10_000 + n}") for n, spec in enumerate(specs)]
    gone = running("gone", "9", begin=80, end=89)
    made = make_plan(specs, [*lives, gone], namespace=NAMESPACE, now=NOW)
    assert [step.operation for step in made.operations] == ["terminate"]
    assert shown(made)[0] == ("9", "live")
    assert (len(shown(made)), made.timeline.left_out) == (MOST_ROWS + 1, 9)


def test_the_timeline_survives_the_file_and_is_not_in_the_digest() -> None:
    made = plan([running("tea", "1"), live(activity_id="2")])
    read = read_plan(json.loads(dumps(plan_json(made))))
    assert read.timeline == made.timeline
    assert plan_digest(replace(made, timeline=Plan(NAMESPACE, NOW).timeline)) == plan_digest(made)
    assert timeline_rows(read) == timeline_rows(made)


def test_a_file_of_ten_thousand_activities_stays_small() -> None:
    specs = [desired(f"campaign-{n:05d}") for n in range(10_000)]
    lives = [live(spec, f"{20_000_000 + n}") for n, spec in enumerate(specs)]
    made = make_plan(specs, lives, namespace=NAMESPACE, now=NOW)
    assert made.empty
    assert made.timeline.left_out == 10_000 - MOST_ROWS
    assert len(dumps(plan_json(made))) < 100_000
    html = plan_html(made)
    assert "9,800 more activities of the account" in html
    assert len(html) < 500_000


def test_the_page_of_a_plan_file_shows_what_lives_and_what_has_ended(project: Project) -> None:
    for key in ("spring", "summer", "autumn"):
        project.write(key)
    project.run("--sandbox", "apply", "--yes")
    project.run("sandbox", "clock", "2026-12-05T10:00:00+08:00")
    (project.root / "activities/summer.yaml").unlink()
    assert project.run("--sandbox", "apply", "--yes")[0] == 0
    project.edit("autumn", "1000\n", "2000\n")
    file = str(project.root / "plan.json")
    assert project.run("--sandbox", "plan", "--out", file)[0] == 0
    code, html, _ = project.run("show-plan", file, "--format", "html")
    assert code == 0
    rows = re.findall(r'aria-label="(\w+): ([a-z ]+), 2026-12-(\S+ \S+) – 2026-12-(\S+)', html)
    assert rows == [
        ("autumn", "to be terminated", "01 00:00:00", "31"),
        ("autumn", "planned", "01 00:00:00", "31"),
        ("spring", "live", "01 00:00:00", "31"),
        ("summer", "ended", "01 00:00:00", "05"),
    ]
