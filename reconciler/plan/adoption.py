"""Whether a spec may take over the activity that its ``adopt`` names (concepts.md#identity). Pure.

An adoption that goes wrong ends somebody's campaign: these checks come before every other decision about a key, also
about one that is to end.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Container, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from reconciler.model.activity import FIELD_PATHS, FULL_SEND, DesiredActivity, LiveActivity, Terms
from reconciler.model.characters import FORBIDDEN
from reconciler.model.findings import Finding, FindingKind
from reconciler.model.identity import Ownership, parse_number
from reconciler.plan.compare import differing, same_terms

MOST_FEN: Final = 1_000_000_000
"""The highest threshold that a create takes (API §1.1)."""
_COLOUR: Final = re.compile(r"Color0[1-9]0|Color100")
_MOST_CHARACTERS: Final = {"activity_name": 10, "activity_second_title": 9}
_MOST_WINDOWS: Final = 6
_LONGEST: Final = timedelta(days=90)


def adoption_blocked(
    desired: DesiredActivity,
    mine: Sequence[LiveActivity],
    ownership: Ownership,
    adopted: LiveActivity | None,
    unreadable: Mapping[str, str],
    terminated: Container[str],
    now: datetime,
) -> Finding | None:
    """Why nothing is decided for this key, or ``None``.

    ``mine`` are the key's activities that have not ended, ``adopted`` is the one that ``adopt`` names, if the account
    shows it. ``unreadable`` says why an activity could not be read, by its id; ``terminated`` are the activities that
    the journal knows to have been ended by an apply.
    """
    if not desired.adopt:
        return None
    if adopted is None:
        if desired.adopt in unreadable:
            return _refusal(FindingKind.ADOPT_NOT_READABLE, desired, reason=unreadable[desired.adopt])
        # Taken over once, the key may live on under a number of ours after the adopted one is gone.
        return None if mine else _refusal(FindingKind.ADOPT_NOT_FOUND, desired)
    owner = ownership.key_of(adopted)
    # Two keys that count on one activity would each end or change what the other needs.
    if owner is not None and owner != desired.key:
        return _refusal(FindingKind.ADOPT_OWNED, desired, owner=owner)
    if owner is None:
        number = parse_number(adopted.out_request_no)
        return _refusal(FindingKind.ADOPT_FOREIGN, desired, namespace=number.namespace if number else "")
    if adopted.ended(now):
        over = desired.state != "running" or desired.terms.end_time <= now
        # An apply ended it to create another, and came no further. With the same terms it would come back by accident.
        halfway = adopted.activity_id in terminated and not same_terms(desired, adopted)
        return None if mine or over or halfway else _refusal(FindingKind.ADOPT_ENDED, desired)
    # Other types show up in reads only (API §1.2): what replaces one of them could not be created.
    if adopted.activity_type != FULL_SEND:
        return _refusal(FindingKind.ADOPT_NOT_FULL_SEND, desired, activity_type=adopted.activity_type)
    return None


def _refusal(kind: FindingKind, desired: DesiredActivity, **facts: object) -> Finding:
    return Finding.of(kind, desired.key, {"activity_id": desired.adopt, **facts}, desired.source)


def not_expressible(desired: DesiredActivity, lives: Sequence[LiveActivity]) -> Finding | None:
    """A refusal where an adopted activity would be replaced because of what a spec cannot say.

    The author has not asked for that difference. Raising ``generation`` does: then what the spec says is meant.
    """
    # Otherwise a spec could never be edited: what it cannot say would refuse every replacement permanently.
    if desired.generation > 1:
        return None
    for live in lives:
        if live.activity_id != desired.adopt or live.terms is None:
            continue
        cannot = [FIELD_PATHS[name] for name in differing(desired.terms, live) if name in inexpressible(live.terms)]
        if cannot:
            facts: dict[str, object] = {"activity_id": live.activity_id, "fields": cannot}
            return Finding.of(FindingKind.ADOPT_NOT_EXPRESSIBLE, desired.key, facts, desired.source)
    return None


def inexpressible(terms: Terms) -> frozenset[str]:
    """The fields of Terms whose live values no spec can say, since the API would not take them from us (API §1.1)."""
    jump = terms.delivery_purpose == "JUMP_MINI_APP"
    members = terms.delivery_user_category == "DELIVERY_MEMBER_PERSON"
    count = len(terms.award_list)
    package = terms.send_content == "GIFT_PACKAGE"
    says = {
        **{name: _text(getattr(terms, name), most) for name, most in _MOST_CHARACTERS.items()},
        # Reads show whatever the web pages stored, which is more than a create accepts.
        "merchant_logo_url": terms.merchant_logo_url.url.startswith("https://"),
        "background_color": terms.background_color is None or bool(_COLOUR.fullmatch(terms.background_color)),
        "end_time": timedelta() < terms.end_time - terms.begin_time <= _LONGEST,
        "available_time": len(terms.available_time) <= _MOST_WINDOWS and _windows_inside(terms),
        "available_day_time": len(terms.available_day_time) <= _MOST_WINDOWS,
        "delivery_purpose": terms.delivery_purpose in ("OFF_LINE_PAY", "JUMP_MINI_APP"),
        "mini_programs_appid": bool(terms.mini_programs_appid) == jump,
        "mini_programs_path": bool(terms.mini_programs_path) == jump,
        "transaction_amount_minimum": 1 <= terms.transaction_amount_minimum <= MOST_FEN,
        "send_content": package or terms.send_content == "SINGLE_COUPON",
        # The only award that the create takes, though reads may show others (API §1.1).
        "award_type": terms.award_type == "BUSIFAVOR",
        "award_list": (3 <= count <= 5 if package else count == 1) and _awards(terms),
        "merchant_option": terms.merchant_option == "MANUAL_INPUT_MERCHANT",
        "delivery_user_category": members or terms.delivery_user_category == "DELIVERY_ALL_PERSON",
        "merchant_member_appid": bool(terms.merchant_member_appid) == members,
        "goods_tags": len(terms.goods_tags) <= 500 and all(_text(tag, 15) for tag in terms.goods_tags),
    }
    return frozenset(name for name, can in says.items() if not can)


def _text(text: str, most: int) -> bool:
    plain = unicodedata.normalize("NFC", text) == text and text == text.strip()
    return 1 <= len(text) <= most and plain and not FORBIDDEN.search(text)


def _windows_inside(terms: Terms) -> bool:
    return all(terms.begin_time <= each.begin_time < each.end_time <= terms.end_time for each in terms.available_time)


def _awards(terms: Terms) -> bool:
    stocks = {award.stock_id for award in terms.award_list}
    several = len(terms.award_list) > 1
    return len(stocks) == len(terms.award_list) and all(
        award.thumbnail_url is not None or not several for award in terms.award_list
    )
