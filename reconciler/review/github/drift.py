"""One open issue per namespace and account while something stands that was changed outside; closed once nothing does.

What is only not applied yet is mentioned in that issue, and opens none: whoever merged it knows of it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import accumulate
from typing import Final, Literal

from pydantic import BaseModel, Field, ValidationError

from reconciler.model.characters import safe
from reconciler.model.errors import UsageError
from reconciler.plan import FORMAT_VERSION, check_format
from reconciler.review.github.client import GitHub, Json
from reconciler.review.github.comments import MOST_CHARACTERS, RESERVED, Written, look_again, viewer
from reconciler.review.github.marker import Owner, read_marker

EQUAL: Final = "Live equals the specs again"
ONLY_PENDING: Final = "Nothing differs that was changed outside; the remaining differences are not applied yet"


class DriftItem(BaseModel):
    """One thing that differs. ``text`` is a sentence for people, ``code`` the same for programs.

    ``since`` is RFC 3339 text, if the remote says since when. ``pending``: it was not changed outside, and is only not
    applied yet.
    """

    key: str = ""
    activity_id: str = ""
    since: str | None = None
    code: str
    text: str
    pending: bool = False


class DriftReport(BaseModel):
    """What `drift --json` prints. Keys that we do not know are ignored."""

    format_version: str
    kind: Literal["drift"]
    namespace: str = Field(pattern=r"^[a-z0-9-]{1,24}$")
    mchid: str = Field(pattern=r"^[0-9]{1,20}$")
    clean: bool
    items: list[DriftItem]

    @property
    def outside(self) -> list[DriftItem]:
        """What was changed outside of paygift, or nobody knows by whom."""
        return [item for item in self.items if not item.pending]

    @property
    def pending(self) -> list[DriftItem]:
        """Edits of the specs that no apply has carried out yet."""
        return [item for item in self.items if item.pending]


def read_drift(data: object) -> DriftReport:
    """Raises UsageError for anything that `drift --json` would not print."""
    try:
        drift = DriftReport.model_validate(data)
    except ValidationError as error:
        raise UsageError("This is not what `paygift drift --json` prints.") from error
    remedy = "Let the same version find drift and tell of it."
    check_format("This drift has", drift.format_version, remedy=remedy)
    if drift.clean != (not drift.items):
        raise UsageError("This drift contradicts itself: `clean` does not fit `items`.")
    return drift


def keep_drift_issue(github: GitHub, drift: DriftReport) -> Written:
    """Open the issue, bring it up to date, or close it: whatever ``drift`` asks for.

    Issues of others that carry our marker, and edits to the text of ours, count for nothing.
    """
    login = viewer(github)
    owner = Owner(drift.namespace, drift.mchid)
    title, body = issue_title(drift), issue_body(drift, run_url="")

    def write() -> Written:
        found = [each for each in github.items("issues", {"state": "open"}) if _ours(each, login, owner)]
        if not drift.outside:
            return _close(github, found, EQUAL if drift.clean else ONLY_PENDING)
        if not found:
            text = issue_body(drift, run_url=github.run.url)
            data = github.create("issues", {"title": title, "body": text})
            return Written("created", str(data.get("html_url", "")))
        # The oldest: people may have answered there.
        kept, *others = sorted(found, key=lambda each: int(each["number"]))
        _close(github, others, f"Reported in #{kept['number']}")
        url = str(kept.get("html_url", ""))
        # Without the link to the run, or each check would edit it and wake its readers.
        if kept.get("title") == title and _without_run(str(kept.get("body") or "")) == body:
            return Written("unchanged", url)
        text = issue_body(drift, run_url=github.run.url)
        github.update(f"issues/{kept['number']}", {"title": title, "body": text})
        return Written("updated", url)

    return look_again(write)


def _ours(issue: Json, login: str, owner: Owner) -> bool:
    user = issue.get("user")
    # GitHub lists pull requests among issues.
    if "pull_request" in issue or not isinstance(user, dict) or user.get("login") != login:
        return False
    marker = read_marker(str(issue.get("body") or ""))
    return marker is not None and (marker.kind, marker.owner) == ("drift", owner)


def _close(github: GitHub, issues: list[Json], why: str) -> Written:
    """Closing comes before the word on it: the other order could tell it twice."""
    for issue in issues:
        number = issue["number"]
        github.update(f"issues/{number}", {"state": "closed", "state_reason": "completed"})
        where = f" ([run]({github.run.url}))" if github.run.url else ""
        github.create(f"issues/{number}/comments", {"body": f"{why}{where}."})
    return Written("closed", str(issues[0].get("html_url", ""))) if issues else Written("none")


def issue_title(drift: DriftReport) -> str:
    """The title of the issue: whose drift it is, and how much."""
    count = len(drift.outside)
    return f"Drift: {drift.namespace} on {drift.mchid}: {count} difference{'' if count == 1 else 's'}"


def issue_body(drift: DriftReport, *, run_url: str) -> str:
    """Markdown under GitHub's limit. Lines that are indented are code: nothing in them is read as Markdown."""
    head = (
        f"<!-- paygift drift namespace={drift.namespace} mchid={drift.mchid} format={FORMAT_VERSION} -->\n"
        "The live account was changed outside of paygift. Either change the specs to what is wanted, in a pull "
        "request, or apply them again. This issue is kept up to date, and closed once there is no such difference.\n\n"
    )
    tail = f"\n[Run]({run_url})\n" if run_url else ""
    room = MOST_CHARACTERS - len(head) - RESERVED - len(tail) - len(_BETWEEN)
    # Names come from the account: as code they can neither mention people nor make links.
    outside, pending = ([f"    {_line(item)}\n" for item in part] for part in (drift.outside, drift.pending))
    shown = _fitting((*outside, *pending), room)
    if shown < len(outside):
        head += f"**The first {shown} of {len(outside)} differences; the run shows them all.**\n\n"
    body = head + "".join(outside[:shown])
    return body + _also_pending(pending, shown - len(outside)) + tail


_BETWEEN: Final = "\nPending, and no drift: {count} of the specs' own edits {verb} not applied yet.\n\n"


def _fitting(lines: Sequence[str], room: int) -> int:
    return sum(length <= room for length in accumulate(map(len, lines)))


def _also_pending(lines: Sequence[str], room_for: int) -> str:
    """What is pending, below the drift and as far as there is room; how many there are is always said."""
    if not lines:
        return ""
    told = _BETWEEN.format(count=len(lines), verb="is" if len(lines) == 1 else "are")
    return told + "".join(lines[: max(room_for, 0)])


def _line(item: DriftItem) -> str:
    named = " ".join(part for part in (item.key or "(unmanaged)", item.activity_id, item.code) if part)
    since = f" (since {item.since})" if item.since else ""
    return safe(f"{named}: {item.text}{since}")


def _without_run(body: str) -> str:
    return re.sub(r"\n\[Run\]\([^)\n]*\)\n\Z", "", body)
