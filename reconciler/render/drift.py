"""What has drifted, as text and as data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from reconciler.change import Plan
from reconciler.plan import FORMAT_VERSION, Drift, plan_data
from reconciler.render.text import safe
from reconciler.render.values import beijing, counted

SENTENCES: Final[dict[str, str]] = {
    "NOT_CREATED": "its spec has no live activity; `apply` would create it",
    "MERCHANTS_DIFFER": "the merchants of activity {activity_id} are not those of the spec",
    "TERMS_DIFFER": "the terms of activity {activity_id} are not those of the spec; `apply` would replace it",
    "SHOULD_END": "activity {activity_id} lives, and its spec is gone or says that it should not",
    "ENDED_BY_HAND": "activity {activity_id} was terminated, and not by its spec; raise `generation` to run it again",
    "PAUSED": "activity {activity_id} was paused on the merchant platform",
    "REFUSED": "it is not as specified, and `apply` would refuse to change that; see `paygift plan`",
    "NEWCOMER": "activity {activity_id} was made lately, and no spec manages it",
}


def drift_text(found: Sequence[Drift]) -> str:
    """One line for each thing, and a summary line. Times are Beijing time."""
    if not found:
        return "No drift: live is as specified.\n"
    lines = [f"{each.code}  {safe(each.key or '-')}: {sentence(each)}{_since(each)}" for each in found]
    return "\n".join((*lines, "", f"{counted(len(found), 'drift')}. Times are Beijing time.")) + "\n"


def drift_json(found: Sequence[Drift], plan: Plan) -> dict[str, object]:
    return {
        "format_version": FORMAT_VERSION,
        "kind": "drift",
        "namespace": plan.namespace,
        "mchid": plan.mchid,
        "made_at": plan_data(plan.made_at),
        "clean": not found,
        "items": [
            {
                "code": each.code,
                "key": each.key,
                "activity_id": each.activity_id,
                "since": plan_data(each.since),
                "text": sentence(each),
            }
            for each in found
        ],
    }


def sentence(drift: Drift) -> str:
    return SENTENCES[drift.code].format(activity_id=safe(drift.activity_id))


def _since(drift: Drift) -> str:
    return f" (since {beijing(drift.since)}, says WeChat Pay)" if drift.since else ""
