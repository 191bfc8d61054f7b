"""Whether a live activity already has the desired terms, and if not, which fields differ.

Terms are compared with ``==``, after two things that reading cannot tell are settled: the URL under which a local
picture was uploaded, and the colour that the server picked where the author named none. The digest in our own request
number remembers both, so it decides wherever it can.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace

from reconciler.activity import FIELD_PATHS, Award, DesiredActivity, Image, LiveActivity, Terms
from reconciler.change import Difference
from reconciler.identity import RequestNumber, parse_number, terms_digest
from reconciler.plan.digest import plan_data


def same_number(desired: DesiredActivity, live: LiveActivity) -> bool:
    """Whether ``live`` was created under the number that ``desired`` would be created under today.

    The key and the namespace are the caller's business, since a spec may have been renamed; ``protect`` is a mark
    and plays no part (design §5).
    """
    number = parse_number(live.out_request_no)
    return (
        number is not None
        and number.generation == desired.generation
        and number.digest == terms_digest(desired.terms)
    )


def same_terms(desired: DesiredActivity, live: LiveActivity) -> bool:
    """Whether nothing but the merchants would differ between ``live`` and a new activity made from ``desired``."""
    if same_number(desired, live):
        return True
    return live.terms is not None and settled(desired.terms, live) == live.terms


def contradicts_number(desired: DesiredActivity, live: LiveActivity) -> bool:
    """Whether the number says that ``live`` has the desired terms, and its fields say that it has not."""
    return (
        live.terms is not None
        and same_number(desired, live)
        and _with_live_images(_with_live_colour(desired.terms, live.terms), live.terms) != live.terms
    )


def settled(terms: Terms, live: LiveActivity) -> Terms:
    """``terms`` with what reading cannot tell taken over from ``live``, wherever that is not known to be wrong."""
    if live.terms is None:
        return terms
    number = parse_number(live.out_request_no)
    if not _colour_was_dropped(terms, live.terms, number):
        terms = _with_live_colour(terms, live.terms)
    if _images_are_unchanged(terms, live.terms, number):
        terms = _with_live_images(terms, live.terms)
    return terms


def differences(terms: Terms, live: LiveActivity) -> tuple[Difference, ...]:
    """Each field in which ``live`` differs from the desired ``terms``, in the order of the API's fields.

    deepdiff finds the places inside awards and windows. It costs about a millisecond, so call this only for terms
    that are known to differ.
    """
    if live.terms is None:
        return ()
    desired_terms = settled(terms, live)
    found: list[Difference] = []
    for field in fields(Terms):
        before, after = getattr(live.terms, field.name), getattr(desired_terms, field.name)
        if before != after:
            found.extend(_explain(FIELD_PATHS[field.name], before, after))
    return tuple(found)


def _explain(path: str, before: object, after: object) -> Iterator[Difference]:
    if not (isinstance(before, tuple) and isinstance(after, tuple)):
        yield Difference(path, plan_data(before), plan_data(after))
    elif all(isinstance(item, str) for item in (*before, *after)):
        # Only the tags: a set, so what went and what came says it all.
        yield from (Difference(path, tag, None) for tag in before if tag not in after)
        yield from (Difference(path, None, tag) for tag in after if tag not in before)
    else:
        yield from _explain_items(path, before, after)


def _explain_items(path: str, before: tuple[object, ...], after: tuple[object, ...]) -> Iterator[Difference]:
    from deepdiff import DeepDiff  # noqa: PLC0415 - slow to import, and most plans need no explanation
    from deepdiff.helper import NotPresent  # noqa: PLC0415

    tree = DeepDiff(_plain(before), _plain(after), view="tree")
    levels = [level for kind in tree.values() for level in kind]
    for level in sorted(levels, key=lambda level: str(level.path())):
        steps = level.path(output_format="list")
        inside = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
        live, desired = (None if isinstance(side, NotPresent) else side for side in (level.t1, level.t2))
        yield Difference(path + inside, plan_data(live), plan_data(desired))


def _plain(items: tuple[object, ...]) -> list[dict[str, object]]:
    """Awards or windows as mappings, so that deepdiff names their fields. Pictures stay whole."""
    return [
        {field.name: getattr(item, field.name) for field in fields(item)}  # type: ignore[arg-type]
        for item in items
    ]


def _colour_was_dropped(terms: Terms, live: Terms, number: RequestNumber | None) -> bool:
    """Whether the author once named the live colour and now names none, as the number's digest proves."""
    if terms.background_color is not None or number is None:
        return False
    with_colour = replace(terms, background_color=live.background_color)
    return terms_digest(with_colour) == number.digest


def _images_are_unchanged(terms: Terms, live: Terms, number: RequestNumber | None) -> bool:
    """Whether the local pictures are those that ``live`` was created with.

    For a number of ours the digest proves it: it must come out right for the live terms with our pictures put in.
    Of an adopted activity nobody can tell, and an unknown difference is no reason to end a campaign.
    """
    if number is None:
        return True
    candidate = _with_images(live, list(terms.images()))
    if candidate is None:
        return False
    colours = {terms.background_color, live.background_color, None}
    return any(
        terms_digest(replace(candidate, background_color=colour)) == number.digest for colour in colours
    )


def _with_live_colour(terms: Terms, live: Terms) -> Terms:
    return terms if terms.background_color else replace(terms, background_color=live.background_color)


def _with_live_images(terms: Terms, live: Terms) -> Terms:
    """Local pictures replaced by the live ones that stand in the same places; URLs stay, they can be compared."""
    theirs = list(live.images())
    ours = list(terms.images())
    if len(theirs) != len(ours):
        return terms
    merged = [there if here.sha256 else here for here, there in zip(ours, theirs, strict=True)]
    return _with_images(terms, merged) or terms


def _with_images(terms: Terms, images: list[Image]) -> Terms | None:
    """``terms`` with its pictures replaced one by one, or ``None`` if their number does not fit."""
    if len(images) != len(list(terms.images())):
        return None
    supply = iter(images)
    logo = next(supply)
    awards = tuple(
        Award(
            award.stock_id,
            next(supply),
            next(supply) if award.thumbnail_url is not None else None,
        )
        for award in terms.award_list
    )
    return replace(terms, merchant_logo_url=logo, award_list=awards)
