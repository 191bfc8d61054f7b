"""How the plan on a pull request stands, in one line of Markdown for people. Pure.

Every one names a commit and links to the run that says it.
"""

from __future__ import annotations

from typing import Final, Literal
from urllib.parse import urlsplit

from reconciler.render.escape import code
from reconciler.review.github.run import WorkflowRun

State = Literal["outdated", "failed"]
"""Why a comment shows no plan of the newest commit."""
REASON_CHARS: Final = 300


def planned(run: WorkflowRun, head: str, page: str = "") -> str:
    """The line of a comment whose plan holds: for which commit, and where to read more."""
    return _joined(f"**Planned** for `{head[:12]}`", _link("run", run.url), _link("page of the plan", page))


def unplanned(run: WorkflowRun, state: State, head: str, reason: str = "") -> str:
    """``reason`` is one sentence, perhaps of an error."""
    if state == "outdated":
        said = f"**Outdated**: the pull request is at `{head[:12]}` by now, and the plan of that is being made"
    else:
        # An error quotes specs: as code nothing in it mentions people or makes a link.
        why = f"{_code(reason)}." if reason.strip() else "the run says why."
        said = f"**Failed**: there is no plan of `{head[:12]}`: {why} Anything below is outdated"
    return _joined(said, _link("run", run.url))


def applied(run: WorkflowRun, report: str) -> str:
    """``report`` is the address of the comment with the report, empty where nothing had to be done."""
    said = "**Applied** completely" if report else "**Applied**: nothing had to be done"
    return _joined(said, _link("report", report), _link("run", run.url))


def _joined(*parts: str) -> str:
    return " · ".join(part for part in parts if part)


def _link(text: str, address: str) -> str:
    """An address that is not one of the web, or could end the link, is shown as it is."""
    if not address:
        return ""
    if urlsplit(address).scheme not in ("https", "http") or any(each in address for each in " ()<>\n\r"):
        return f"{text}: {_code(address)}"
    return f"[{text}]({address})"


def _code(text: str) -> str:
    return code(" ".join(text.split())[:REASON_CHARS])
