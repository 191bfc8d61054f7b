"""The plan file that a run of the plan's workflow has kept as an artifact.

Who made the artifact does not matter: what is taken must hash to the digest that was reviewed.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from typing import Any, Final

from reconciler.model.errors import GitHubError, StaleError
from reconciler.model.plan import Plan
from reconciler.plan import plan_digest, read_plan
from reconciler.review.github.client import GitHub, Json
from reconciler.review.github.marker import Owner
from reconciler.review.github.reviewed import REMEDY, Reviewed

FILE: Final = "plan.json"
MOST_BYTES: Final = 64 * 1024 * 1024
MOST_ARTEFACTS: Final = 10
"""Runs that planned the same commit: the newest of them count."""


def artifact_name(owner: Owner, head: str) -> str:
    """What plan.yml calls what it keeps of ``owner``'s plan for the commit ``head``."""
    return f"paygift-plan-{owner.namespace}-{owner.mchid}-{head}"


def kept_plan(github: GitHub, owner: Owner, reviewed: Reviewed) -> Plan:
    """The plan that was reviewed, as it was kept. Raises StaleError if there is none."""
    name, digest = artifact_name(owner, reviewed.head), reviewed.digest
    for data in _plan_files(github, name):
        try:
            plan = read_plan(data)
        # Any workflow can keep an artifact of this name: a bad one must not hide the good one.
        except StaleError:
            continue
        # The digest is all the trust there is: names and ids of artifacts prove nothing.
        if plan_digest(plan) == digest:
            return plan
    raise StaleError(f"No artifact {name} holds the plan that was reviewed, or it has expired.", remedy=REMEDY)


def _plan_files(github: GitHub, name: str) -> Iterator[Any]:
    """What is in the plan files of this name, newest first."""
    found = github.get("actions/artifacts", {"name": name, "per_page": "100"}).get("artifacts")
    if not isinstance(found, list):
        raise GitHubError("GitHub's list of artifacts is not a list.")
    usable = [each for each in found if isinstance(each, dict) and _usable(each, name)]
    for each in sorted(usable, key=lambda each: int(each["id"]), reverse=True)[:MOST_ARTEFACTS]:
        archive = github.download(f"actions/artifacts/{each['id']}/zip", at_most=MOST_BYTES)
        if (data := _plan_in(archive)) is not None:
            yield data


def _usable(artifact: Json, name: str) -> bool:
    return artifact.get("name") == name and not artifact.get("expired") and isinstance(artifact.get("id"), int)


def _plan_in(archive: bytes) -> Any:
    """What the plan file in a ZIP archive says; ``None`` if there is no readable one."""
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as opened, opened.open(FILE) as file:
            # Never extracted to disk: names in a ZIP may lead anywhere.
            content = file.read(MOST_BYTES + 1)  # the size that the archive states may be a lie
        return json.loads(content) if len(content) <= MOST_BYTES else None
    # zipfile raises the last two for methods it lacks and for encrypted files.
    except (zipfile.BadZipFile, KeyError, ValueError, OSError, NotImplementedError, RuntimeError):
        return None
