"""Whether a live activity already has the desired terms, and if not, which fields differ.

Terms are compared with ``==``, after two things that reading cannot tell are settled: the URL under which a local
image was uploaded, and the colour that the server picked where the author named none. The digest in our own request
number remembers both, so it decides wherever it can.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from datetime import datetime
from itertools import islice, product
from types import MappingProxyType
from typing import Final

from reconciler.model.activity import (
    FIELD_PATHS,
    WHOLE_DAY,
    Award,
    DayWindow,
    DesiredActivity,
    Image,
    LiveActivity,
    Terms,
    Window,
)
from reconciler.model.identity import RequestNumber, parse_number, terms_digest
from reconciler.model.plan import Difference
from reconciler.plan.digest import plan_data

MOST_GUESSES: Final = 512
"""So many ways in which the images of an activity may have been written are tried, to tell which has changed."""


def same_number(desired: DesiredActivity, live: LiveActivity) -> bool:
    """Whether ``live`` was created under the number that ``desired`` would be created under today.

    The key and the namespace are the caller's business, since a spec may have been renamed; ``protect`` is a mark
    and plays no part (concepts.md#identity).
    """
    number = parse_number(live.out_request_no)
    return (
        number is not None and number.generation == desired.generation and number.digest == terms_digest(desired.terms)
    )


def same_terms(desired: DesiredActivity, live: LiveActivity) -> bool:
    """Whether nothing but the merchants would differ between ``live`` and a new activity made from ``desired``.

    The number tells what reading cannot. It has room for 12 digits of the digest, so that the terms are compared too.
    """
    if same_number(desired, live):
        # Twelve digits can be made to collide in minutes, so a number alone never says "the same".
        return not contradictions(desired, live)
    return live.terms is not None and not differing(desired.terms, live)


def differing(terms: Terms, live: LiveActivity) -> tuple[str, ...]:
    """The names of the fields of Terms that differ, as far as reading can tell, in the order of the API's fields."""
    if live.terms is None:
        return ()
    return _unlike(settled(terms, live), live.terms)


def _unlike(these: Terms, those: Terms) -> tuple[str, ...]:
    """The names of the fields that do not mean the same."""
    # Most activities are as they should be: the slow way is for the others.
    if these == those:
        return ()
    ours, theirs = comparable(these), comparable(those)
    return tuple(each.name for each in fields(Terms) if getattr(ours, each.name) != getattr(theirs, each.name))


def contradictions(desired: DesiredActivity, live: LiveActivity) -> tuple[str, ...]:
    """The names of the fields of Terms in which ``live`` is not what its number says that it is."""
    return shown_otherwise(desired.terms, live) if same_number(desired, live) else ()


def shown_otherwise(terms: Terms, live: LiveActivity) -> tuple[str, ...]:
    """The names of the fields of Terms in which ``live`` is certainly not ``terms``, whatever its number: images that
    were uploaded, and a colour that is left to the server, can be anything.
    """
    if live.terms is None:
        return ()
    return _unlike(_with_live_images(_with_live_colour(terms, live.terms), live.terms), live.terms)


def comparable(terms: Terms) -> Terms:
    """``terms`` in the one form of all that mean the same: awards in the order of their coupons, times in whole seconds
    (the API takes milliseconds, and need not give them back, API §5.1), windows over midnight as two.
    """
    whole = Window(_whole(terms.begin_time), _whole(terms.end_time))
    spans = tuple(Window(_whole(each.begin_time), _whole(each.end_time)) for each in terms.available_time)
    return replace(
        terms,
        begin_time=whole.begin_time,
        end_time=whole.end_time,
        # The server may fill in what a spec leaves out: the whole time, and no window, are the same.
        available_time=() if spans == (whole,) else spans,
        available_day_time=_within_days(terms.available_day_time),
        # No source says that the list keeps its order; an order that differs must not end a campaign.
        award_list=tuple(sorted(terms.award_list, key=lambda award: award.stock_id)),
    )


def _whole(moment: datetime) -> datetime:
    return moment.replace(microsecond=0)


def _within_days(windows: tuple[DayWindow, ...]) -> tuple[DayWindow, ...]:
    """Daily windows with those that go over midnight cut there; none if they are the whole day."""
    first, last = WHOLE_DAY
    if all(each.begin_day_time <= each.end_day_time for each in windows):
        return () if windows == (DayWindow(first, last),) else windows
    cut = [
        part
        for each in windows
        for part in (
            (each,)
            if each.begin_day_time <= each.end_day_time
            else (DayWindow(each.begin_day_time, last), DayWindow(first, each.end_day_time))
        )
    ]
    return tuple(sorted(cut))


def settled(terms: Terms, live: LiveActivity) -> Terms:
    """``terms`` with what reading cannot tell taken over from ``live``, wherever that is not known to be wrong."""
    if live.terms is None:
        return terms
    number = parse_number(live.out_request_no)
    # The server picks a colour where none is named (API §1.9): to compare it would be drift without end.
    if not _colour_was_dropped(terms, live.terms, number):
        terms = _with_live_colour(terms, live.terms)
    if _images_are_unchanged(terms, live.terms, number):
        terms = _with_live_images(terms, live.terms)
    return terms


def differences(
    terms: Terms, live: LiveActivity, uploaded: Mapping[str, str] = MappingProxyType({})
) -> tuple[Difference, ...]:
    """Each field in which ``live`` differs from the desired ``terms``, in the order of the API's fields.

    ``uploaded`` gives the URLs of images that are known to have been uploaded, by their SHA-256: it tells which of
    several images has changed, and decides nothing. deepdiff finds the places inside awards and windows. It costs about
    a millisecond, so call this only for terms that are known to differ.
    """
    if live.terms is None:
        return ()
    number, unproven = parse_number(live.out_request_no), False
    if number is None:
        was, terms = live.terms, settled(terms, live)
    elif (written := _as_written(terms, live.terms, number, uploaded)) is not None:
        was = written
    else:
        was, terms, unproven = live.terms, _with_uploaded(terms, live.terms, uploaded), True
    found: list[Difference] = []
    before, after = comparable(was), comparable(terms)
    for field in fields(Terms):
        here, there = getattr(before, field.name), getattr(after, field.name)
        if here != there:
            found.extend(_explain(FIELD_PATHS[field.name], here, there))
    return tuple(replace(each, unproven=unproven and _cannot_be_read(each)) for each in found)


def _cannot_be_read(difference: Difference) -> bool:
    """Whether the two sides are an upload and a file, or a colour and none: reading does not tell if they differ."""
    if isinstance(difference.desired, dict) and "sha256" in difference.desired:
        return isinstance(difference.live, dict)
    return difference.path == FIELD_PATHS["background_color"] and difference.desired is None


def _as_written(terms: Terms, live: Terms, number: RequestNumber, uploaded: Mapping[str, str]) -> Terms | None:
    """The terms that ``live`` was created from, if its number's digest proves them; ``None`` where they are not found.

    Each live image was written as its URL, or as a file: the one that ``terms`` name in its place, or one that is
    remembered to have been uploaded there. A live colour was written, or left to the server.
    """
    files: dict[str, str] = {url: sha256 for sha256, url in uploaded.items()}
    ours = _images_by_place(terms)
    places = list(_images_by_place(live).items())
    choices = [list(dict.fromkeys(_could_have_been(image, ours.get(place), files))) for place, image in places]
    colours = dict.fromkeys((live.background_color, terms.background_color, None))
    # Bounded: five awards with two images each have more combinations than anybody waits for.
    for images in islice(product(*choices), MOST_GUESSES):
        candidate = _with_images(live, images)
        for colour in colours:
            guess = replace(candidate, background_color=colour)
            if terms_digest(guess) == number.digest:
                return guess
    return None


def _could_have_been(live: Image, ours: Image | None, files: Mapping[str, str]) -> Iterator[Image]:
    """What an author may have written for an image that is live at a URL, which people are shown all the same."""
    if live.url in files:
        yield Image(sha256=files[live.url], path=live.url)
    if ours is not None and ours.sha256:
        yield Image(sha256=ours.sha256, path=live.url)
    # Last: the author may have written the URL himself.
    yield live


def _with_uploaded(terms: Terms, live: Terms, uploaded: Mapping[str, str]) -> Terms:
    """``terms`` with those files replaced by live images that are remembered to be the same."""
    theirs = _images_by_place(live)
    same = [
        there
        if (there := theirs.get(place)) is not None and here.sha256 and uploaded.get(here.sha256) == there.url
        else here
        for place, here in _images_by_place(terms).items()
    ]
    return _with_images(terms, same)


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

    # Coupons that only changed places would be told as edits of every one of them.
    before = _in_the_order_of(after, before)
    tree = DeepDiff(_plain(before), _plain(after), view="tree")
    levels = [level for kind in tree.values() for level in kind]
    for level in sorted(levels, key=lambda level: str(level.path())):
        steps = level.path(output_format="list")
        inside = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
        live, desired = (
            None if isinstance(side, NotPresent) else _at(items, steps)
            for side, items in ((level.t1, before), (level.t2, after))
        )
        yield Difference(path + inside, plan_data(live), plan_data(desired))


def _in_the_order_of(after: tuple[object, ...], before: tuple[object, ...]) -> tuple[object, ...]:
    """``before`` with each award in the place of the one that gives the same coupon; the others fill what is left."""
    stocks = [each.stock_id for each in after if isinstance(each, Award)]
    same = {each.stock_id: each for each in before if isinstance(each, Award) and each.stock_id in stocks}
    if not same:
        return before
    rest = [each for each in before if each not in same.values()]
    ordered = [same[stock] if stock in same else rest.pop(0) if rest else None for stock in stocks]
    return (*(each for each in ordered if each is not None), *rest)


def _plain(items: tuple[object, ...]) -> list[dict[str, object]]:
    """Awards or windows as mappings, so that deepdiff names their fields. An image is one value."""
    return [
        {field.name: _one_value(getattr(item, field.name)) for field in fields(item)}  # type: ignore[arg-type]
        for item in items
    ]


def _one_value(content: object) -> object:
    return content.url or content.sha256 if isinstance(content, Image) else content


def _at(items: tuple[object, ...], steps: Sequence[object]) -> object:
    """What stands at a place inside ``items``: an item, or a field of one."""
    index, *names = steps
    found = items[index] if isinstance(index, int) else None
    for name in names:
        found = getattr(found, str(name))
    return found


def _colour_was_dropped(terms: Terms, live: Terms, number: RequestNumber | None) -> bool:
    """Whether the author once named the live colour and now names none, as the number's digest proves."""
    if terms.background_color is not None or number is None:
        return False
    with_colour = replace(terms, background_color=live.background_color)
    return terms_digest(with_colour) == number.digest


def _images_are_unchanged(terms: Terms, live: Terms, number: RequestNumber | None) -> bool:
    """Whether the local images are those that ``live`` was created with.

    For a number of ours the digest proves it: it must come out right for the live terms with our images put in.
    Of an adopted activity nobody can tell, and a campaign is not ended for an unknown difference.
    """
    if number is None:
        return True
    ours, theirs = _images_by_place(terms), _images_by_place(live)
    # Another set of places means other awards: there is nothing to put the images into.
    if ours.keys() != theirs.keys():
        return False
    candidate = _with_images(live, [ours[place] for place in theirs])
    colours = {terms.background_color, live.background_color, None}
    return any(terms_digest(replace(candidate, background_color=colour)) == number.digest for colour in colours)


def _with_live_colour(terms: Terms, live: Terms) -> Terms:
    return terms if terms.background_color else replace(terms, background_color=live.background_color)


def _with_live_images(terms: Terms, live: Terms) -> Terms:
    """Local images replaced by the live ones that stand in the same places; URLs stay, they can be compared."""
    theirs = _images_by_place(live)
    merged = [theirs.get(place, here) if here.sha256 else here for place, here in _images_by_place(terms).items()]
    return _with_images(terms, merged)


Place = tuple[str, str]
"""A coupon, empty for the logo, and the field of its image."""


def _images_by_place(terms: Terms) -> dict[Place, Image]:
    """Every image by where it stands, in the order of ``Terms.images``: awards in another order are the same awards."""
    found: dict[Place, Image] = {("", "merchant_logo_url"): terms.merchant_logo_url}
    for award in terms.award_list:
        # The remote may show a coupon twice, which no spec says: the first one counts, without an error.
        found.setdefault((award.stock_id, "original_image_url"), award.original_image_url)
        if award.thumbnail_url is not None:
            found.setdefault((award.stock_id, "thumbnail_url"), award.thumbnail_url)
    return found


def images_by_field(terms: Terms) -> dict[str, Image]:
    """Every image by the field that it stands in, its coupon named: ``….award_list[98065001].thumbnail_url``."""
    return {
        f"{FIELD_PATHS['award_list']}[{stock_id}].{name}" if stock_id else FIELD_PATHS[name]: image
        for (stock_id, name), image in _images_by_place(terms).items()
    }


def _with_images(terms: Terms, images: Sequence[Image]) -> Terms:
    """``terms`` with its images replaced, in the order of ``_images_by_place``."""
    supply = dict(zip(_images_by_place(terms), images, strict=True))
    awards = tuple(
        Award(
            award.stock_id,
            supply[award.stock_id, "original_image_url"],
            None if award.thumbnail_url is None else supply[award.stock_id, "thumbnail_url"],
        )
        for award in terms.award_list
    )
    return replace(terms, merchant_logo_url=supply["", "merchant_logo_url"], award_list=awards)
