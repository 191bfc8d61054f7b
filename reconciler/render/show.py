"""One activity from all sides: what the spec says beside what lives, its merchants, its goods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import datetime

from reconciler.journal.history import Row
from reconciler.model.activity import FIELD_PATHS, DesiredActivity, LiveActivity, Terms
from reconciler.model.characters import safe
from reconciler.plan import FORMAT_VERSION, plan_data
from reconciler.render.history import history_text
from reconciler.render.values import beijing, value

PER_LINE = 6


def show_text(
    desired: DesiredActivity | None,
    live: Sequence[LiveActivity],
    goods: Mapping[str, Sequence[str]],
    done: Sequence[Row] = (),
    *,
    now: datetime,
) -> str:
    """The spec, then each live activity of the key, the ended ones too, then what was ``done`` to them."""
    parts = []
    if desired is not None:
        parts.append(
            f"spec {desired.key} ({desired.source})\n{_terms(desired.terms)}\n{_ids('merchants', desired.merchants)}"
        )
    parts.extend(_live(each, goods.get(each.activity_id, ()), now) for each in live)
    if not live:
        parts.append("no live activity")
    if done:
        parts.append(f"history\n{history_text(done).rstrip()}")
    return "\n\n".join(parts) + "\n"


def _live(live: LiveActivity, goods: Sequence[str], now: datetime) -> str:
    rows = [
        ("activity_status", live.activity_status + (" (ended)" if live.ended(now) else "")),
        ("out_request_no", live.out_request_no),
        ("creator_merchant_id", live.creator_merchant_id),
        ("create_time", beijing(live.create_time) if live.create_time else ""),
        ("update_time", beijing(live.update_time) if live.update_time else ""),
    ]
    known = "\n".join(f"  {name}: {safe(text)}" for name, text in rows if text)
    terms = _terms(live.terms) if live.terms else "  its terms cannot be read; see --json"
    merchants = "  merchants: not read" if live.merchants is None else _ids("merchants", live.merchants)
    return f"live {safe(live.activity_id)}\n{known}\n{terms}\n{merchants}\n{_ids('goods', goods)}"


def _terms(terms: Terms) -> str:
    shown = ((FIELD_PATHS[field.name], getattr(terms, field.name)) for field in fields(Terms))
    lines = [
        f"  {path}: {safe(value(path, content))}" for path, content in shown if content not in (None, "", ())
    ]
    return "\n".join(lines)


def _ids(label: str, ids: Sequence[str]) -> str:
    rows = [[safe(each) for each in ids[start : start + PER_LINE]] for start in range(0, len(ids), PER_LINE)]
    lines = "".join(f"\n    {' '.join(row)}" for row in rows)
    return f"  {label}: {len(ids):,}{lines}"


def show_json(
    desired: DesiredActivity | None,
    live: Sequence[LiveActivity],
    goods: Mapping[str, Sequence[str]],
    done: Sequence[Row] = (),
) -> dict[str, object]:
    """``wire`` is each activity as WeChat Pay sends it, fields that we do not know included. ``history`` is as in
    `history --json`.
    """
    return {
        "format_version": FORMAT_VERSION,
        "kind": "activity",
        "desired": plan_data(desired),
        "live": [
            {
                "activity_id": each.activity_id,
                "merchants": plan_data(each.merchants),
                "goods": list(goods.get(each.activity_id, ())),
                "wire": each.wire,
            }
            for each in live
        ],
        "history": plan_data(tuple(done)),
    }
