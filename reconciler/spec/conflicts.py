"""What is wrong between specs: keys, former keys and adopted ids that two of them claim. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from reconciler.model.characters import shown
from reconciler.spec.diagnostics import FieldDiagnostic, OtherSpec, Path


@dataclass(frozen=True, slots=True)
class Header:
    """What must not collide between specs. ``key`` and ``adopt`` are empty where they are not known."""

    key: str
    renamed_from: tuple[str | None, ...] = ()
    adopt: str = ""


def conflicts(headers: Sequence[Header]) -> Iterator[tuple[int, FieldDiagnostic]]:
    """Keys, former keys and adopted ids that two specs claim: the index of the later one, and what is wrong."""
    keys: dict[str, int] = {}
    adopted: dict[str, int] = {}
    for index, header in enumerate(headers):
        if header.key and (first := keys.setdefault(header.key, index)) != index:
            message = f"the key {shown(header.key)} is also the key of another spec"
            yield index, _conflict(("key",), "duplicate_key", message, first, ("key",))
        if header.adopt and (first := adopted.setdefault(header.adopt, index)) != index:
            message = f"another spec adopts {header.adopt} too"
            yield index, _conflict(("adopt",), "duplicate_adopt", message, first, ("adopt",))
    yield from _rename_conflicts(headers, keys)


def _rename_conflicts(headers: Sequence[Header], keys: Mapping[str, int]) -> Iterator[tuple[int, FieldDiagnostic]]:
    claims: dict[str, tuple[int, Path]] = {}
    for index, header in enumerate(headers):
        for position, former in enumerate(header.renamed_from):
            path, name = ("renamed_from", position), shown(former or "")
            if not former:
                continue
            if former == header.key:
                yield (
                    index,
                    FieldDiagnostic(path, "renamed_from_itself", f"{name} is the key this spec has now"),
                )
            # Both would own the activities of that key, and one plan would end them for the other.
            elif former in keys:
                message = f"{name} is still the key of another spec"
                yield index, _conflict(path, "renamed_from_living", message, keys[former], ("key",))
            elif former in claims:
                yield (
                    index,
                    _conflict(path, "renamed_from_twice", f"{name} is claimed twice", *claims[former]),
                )
            # Even a claim that is wrong: a second one of the same key is told too.
            claims.setdefault(former, (index, path))


def _conflict(path: Path, code: str, message: str, index: int, there: Path) -> FieldDiagnostic:
    """With the place ``there`` in the spec that was loaded as number ``index``."""
    return FieldDiagnostic(path, code, message, also=(OtherSpec(index, there),))
