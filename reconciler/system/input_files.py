"""The files that commands are given to read: bounded, whatever they turn out to be, and JSON that means one thing."""

from __future__ import annotations

import json
import math
import os
import re
import select
from pathlib import Path
from typing import Any, Final, NoReturn

from reconciler.model.errors import UsageError

MOST_BYTES: Final = 256 * 1024 * 1024
"""A plan of ten thousand activities has a tenth of that."""
DEEPEST: Final = 100
"""How many lists and objects may be in one another; ours have less than a dozen."""
SILENCE_SECONDS: Final = 60.0
"""How long whoever writes into a FIFO may take for the next piece."""
_PIECE: Final = 1024 * 1024
_SURROGATE: Final = re.compile(r"\\u[dD][89a-fA-F]")


def read_input(file: Path, *, most_bytes: int = MOST_BYTES) -> bytes:
    """The content of a file, FIFO or device. Raises UsageError if it cannot be read, does not end, or is too large."""
    try:
        descriptor = os.open(
            file, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        )  # a FIFO without a writer is waited for below
    except (OSError, ValueError) as error:  # ValueError for NUL and for half a surrogate pair
        raise _unreadable(file, error) from error
    try:
        return _read(descriptor, file, most_bytes)
    except OSError as error:
        raise _unreadable(file, error) from error
    finally:
        os.close(descriptor)


def read_json(file: Path) -> object:
    """What a JSON file holds. Raises UsageError, with the place where there is one."""
    try:
        return parsed_json(read_input(file))
    except ValueError as error:
        raise UsageError(f"{file} cannot be read: {error}.", remedy="Correct it, or make it again.") from error


def parsed_json(content: bytes) -> object:
    """What UTF-8 JSON means. Raises ValueError, which quotes nothing, for what is none or what two readers could take
    for different things: duplicate keys, NaN and numbers without bounds, halves of characters, and what is too deep.
    """
    try:
        # Editors on Windows put a byte order mark first.
        text = content.decode("utf-8-sig")
        data: object = json.loads(
            text,
            object_pairs_hook=_once_each,
            parse_constant=_no_constant,
            parse_float=_finite,
            parse_int=_whole,
        )
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not UTF-8 from byte {error.start} on") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"it is not JSON, line {error.lineno}, column {error.colno}: {error.msg}") from error
    except RecursionError as error:
        raise ValueError(_TOO_DEEP) from error
    _check_depth(data)
    # Only then: to write a large file out again takes time.
    if _SURROGATE.search(text):
        _check_characters(data)
    return data


_TOO_DEEP: Final = f"more than {DEEPEST} lists or objects are in one another"


def _unreadable(file: Path, error: Exception) -> UsageError:
    why = error.strerror if isinstance(error, OSError) else "its name holds a character that no file name can hold"
    return UsageError(f"{_shown(file)} cannot be read: {why}.", remedy="Name another file.")


def _shown(file: Path) -> str:
    return str(file).encode("utf-8", "backslashreplace").decode()


def _read(descriptor: int, file: Path, most_bytes: int) -> bytes:
    content = bytearray()
    while True:
        # Windows can select nothing but sockets.
        if os.name == "posix" and not select.select([descriptor], [], [], SILENCE_SECONDS)[0]:
            raise UsageError(
                f"{file} cannot be read: nothing was written to it for {SILENCE_SECONDS:g} s.",
                remedy="Start its writer first.",
            )
        piece = os.read(descriptor, _PIECE)
        if not piece:
            return bytes(content)
        content += piece
        if len(content) > most_bytes:
            raise UsageError(
                f"{file} cannot be read: it has more than {most_bytes // 1024**2} MiB.",
                remedy="Name another file.",
            )


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) < len(pairs):
        raise ValueError("a key is written twice in one object")
    return data


def _no_constant(_name: str) -> NoReturn:
    raise ValueError("it holds NaN or Infinity, which JSON does not know")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("it holds a number that is too large")
    return number


def _whole(text: str) -> int:
    # Python refuses thousands of digits, and in words of its own.
    if len(text) > 19:
        raise ValueError("it holds a number that is too large")
    return int(text)


def _check_depth(data: object) -> None:
    # Level by level: recursion is what too deep a file would break.
    level: list[Any] = [data]
    for _ in range(DEEPEST + 1):
        level = [each for each in level if isinstance(each, (dict, list))]
        if not level:
            return
        level = [inner for each in level for inner in (each.values() if isinstance(each, dict) else each)]
    raise ValueError(_TOO_DEEP)


def _check_characters(data: object) -> None:
    try:
        json.dumps(data, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise ValueError("a text in it holds half of a surrogate pair") from error
