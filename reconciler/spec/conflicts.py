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
        first = keys.setdefault(header.key, index)
        if header.key and first != index:
            message = f"the key {shown(header.key)} is also the key of another spec"
            yield (
                index,
                FieldDiagnostic(("key",), "duplicate_key", message, also=(OtherSpec(first, ("key",)),)),
            )
        first = adopted.setdefault(header.adopt, index)
        if header.adopt and first != index:
            message = f"another spec adopts {header.adopt} too"
            yield (
                index,
                FieldDiagnostic(("adopt",), "duplicate_adopt", message, also=(OtherSpec(first, ("adopt",)),)),
            )
    yield from _rename_conflicts(headers, keys)


def _rename_conflicts(
    headers: Sequence[Header], keys: Mapping[str, int]
) -> Iterator[tuple[int, FieldDiagnostic]]:
    claims: dict[str, tuple[int, Path]] = {}
    for index, header in enumerate(headers):
        for position, former in enumerate(header.renamed_from):
            path = ("renamed_from", position)
            if not former:
                continue
            if former == header.key:
                yield (
                    index,
                    FieldDiagnostic(
                        path, "renamed_from_itself", f"{shown(former)} is the key this spec has now"
                    ),
                )
            elif former in keys:
                message = f"{shown(former)} is still the key of another spec"
                yield (
                    index,
                    FieldDiagnostic(
                        path, "renamed_from_living", message, also=(OtherSpec(keys[former], ("key",)),)
                    ),
                )
            elif former in claims:
                message = f"{shown(former)} is claimed twice"
                yield (
                    index,
                    FieldDiagnostic(path, "renamed_from_twice", message, also=(OtherSpec(*claims[former]),)),
                )
            claims.setdefault(former, (index, path))
