"""One activity from all sides: what the spec says beside what lives, its merchants, its goods."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from datetime import datetime

from reconciler.journal.history import Row
from reconciler.model.activity import FIELD_PATHS, DesiredActivity, LiveActivity, Terms
from reconciler.render.values import beijing, value
from reconciler.render.views.history import history_view
from reconciler.render.views.parts import Fact, Listing, RowGroup


def show_view(
    desired: DesiredActivity | None,
    live: Sequence[LiveActivity],
    goods: Mapping[str, Sequence[str]],
    done: Sequence[Row] = (),
    *,
    now: datetime,
) -> Listing:
    """The spec, then each live activity of the key, the ended ones too, then what was ``done`` to them."""
    spec = () if desired is None else (_spec(desired),)
    lives = tuple(_live(each, goods.get(each.activity_id, ()), now) for each in live)
    history = history_view(done, title="history").parts if done else ()
    return Listing((*spec, *(lives or ("no live activity",)), *history))


def _spec(desired: DesiredActivity) -> RowGroup:
    facts = (*_terms(desired.terms), _ids("merchants", desired.merchants))
    return RowGroup(f"spec {desired.key} ({desired.source})", facts)


def _live(live: LiveActivity, goods: Sequence[str], now: datetime) -> RowGroup:
    known = (
        Fact("activity_status", live.activity_status + (" (ended)" if live.ended(now) else "")),
        Fact("out_request_no", live.out_request_no),
        Fact("creator_merchant_id", live.creator_merchant_id),
        Fact("create_time", beijing(live.create_time) if live.create_time else ""),
        Fact("update_time", beijing(live.update_time) if live.update_time else ""),
    )
    terms = _terms(live.terms) if live.terms else (Fact("", "its terms cannot be read; see --json"),)
    # Not "0": that would read as a campaign that reaches nobody.
    merchants = Fact("merchants", "not read") if live.merchants is None else _ids("merchants", live.merchants)
    facts = (*(each for each in known if each.text), *terms, merchants, _ids("goods", goods))
    return RowGroup(f"live {live.activity_id}", facts)


def _terms(terms: Terms) -> Iterator[Fact]:
    for field in fields(terms):
        content, path = getattr(terms, field.name), FIELD_PATHS[field.name]
        if content not in (None, "", ()):
            yield Fact(path, value(path, content))


def _ids(label: str, ids: Sequence[str]) -> Fact:
    return Fact(label, f"{len(ids):,}", items=tuple(ids))
