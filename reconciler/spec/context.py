"""What a spec means something by, beside itself: all that lies outside the specs comes in as data. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo


@dataclass(frozen=True, slots=True)
class LocalImage:
    """A local image that was found whole: the hash of its bytes, and what they are (JPG, PNG, BMP).

    ``cmyk`` tells of a JPG in the colours of a printer.
    """

    sha256: str
    kind: str
    cmyk: bool = False


@dataclass(frozen=True, slots=True)
class MissingImage:
    """Why a local image cannot be used."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class SpecContext:
    """All that a spec means something by.

    ``groups`` holds each merchant group sorted, or ``None`` for one that could not be read. ``brand_of`` maps mchids
    to brands and is empty where no brands are written down. ``images`` is asked for local paths only.
    """

    timezone: tzinfo
    now: datetime
    groups: Mapping[str, tuple[str, ...] | None] = field(default_factory=dict)
    brand_of: Mapping[str, str] = field(default_factory=dict)
    images: Mapping[str, LocalImage | MissingImage] = field(default_factory=dict)
    brands_of_group: dict[str, frozenset[str]] = field(default_factory=dict)
    """Filled as groups are asked about: thousands of specs name the same few."""
    groups_known: bool = True
    """False where paygift.yaml does not say readably which groups there are, so that no name of one can be judged."""

    def brands_in(self, mchids: Iterable[str | None]) -> frozenset[str]:
        """The brands of some merchants; ``""`` stands for none."""
        return frozenset(self.brand_of.get(mchid, "") for mchid in mchids if mchid is not None)

    def brands_in_group(self, name: str) -> frozenset[str]:
        """The brands of a merchant group; none where it could not be read."""
        if name not in self.brands_of_group:
            self.brands_of_group[name] = self.brands_in(self.groups.get(name) or ())
        return self.brands_of_group[name]


def instant_of(moment: datetime, timezone: tzinfo) -> datetime:
    """A time as the author wrote it, as an instant in UTC; without an offset it is in ``timezone``."""
    return (moment if moment.tzinfo else moment.replace(tzinfo=timezone)).astimezone(UTC)


def clock_change(moment: datetime, timezone: tzinfo) -> str:
    """How a local time fails to name one instant where clocks change: ``never`` happens, ``twice``, or empty."""
    if moment.tzinfo is not None:
        return ""
    # Python takes such times silently and picks one: a campaign would begin an hour off.
    first, second = moment.replace(tzinfo=timezone), moment.replace(tzinfo=timezone, fold=1)
    if first.utcoffset() == second.utcoffset():
        return ""
    # A time that is skipped comes back as another one; a time that happens twice comes back as itself.
    back = first.astimezone(UTC).astimezone(timezone).replace(tzinfo=None, fold=0)
    return "twice" if back == moment else "never"
