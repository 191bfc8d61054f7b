"""A key from the environment: the text in a variable, or the file that ``…_FILE`` names. Never shown."""

from __future__ import annotations

import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, TypeVar

from reconciler.model.errors import CredentialsError
from reconciler.system.environment import stripped
from reconciler.wechatpay.key_formats import KeyFormat, pieces_of

LARGEST_FILE: Final = 256 * 1024
"""In bytes. A key has about 2 kB; with a chain of certificates, 20."""

Key = TypeVar("Key")
"""What the loading makes of it."""
_NOT_FILES: Final = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)


def given_key(load: Callable[..., Key], environ: Mapping[str, str], name: str) -> Key | None:
    """What ``load`` makes of the variable ``name``, or of the file that ``{name}_FILE`` names; the former comes first.

    ``None`` where neither is set. Raises CredentialsError, as ``load`` does.
    """
    text, file = environ.get(name, ""), stripped(environ.get(f"{name}_FILE", ""))
    if stripped(text):
        return load(text, where=name)
    if file:
        return load(_content(file, name), where=f"the file that {name}_FILE names")
    return None


def _content(file: str, name: str) -> bytes:
    try:
        path = Path(file).expanduser()
        mode = path.stat().st_mode
        # A pipe or a device might never end.
        if not stat.S_ISREG(mode):
            raise CredentialsError(
                f"{name}_FILE names {_sort(mode)} instead of a file.",
                remedy=f"Let it name the file itself, or put the text into {name}.",
            )
        with path.open("rb") as opened:
            content = opened.read(LARGEST_FILE + 1)
    except RuntimeError as error:
        raise CredentialsError(
            f"{name}_FILE names a file in a home folder that is not known.", remedy="Give the whole path."
        ) from error
    except (OSError, ValueError) as error:
        raise _unreadable(error, file, name) from error
    if len(content) > LARGEST_FILE:
        raise CredentialsError(
            f"{name}_FILE names a file that is larger than {LARGEST_FILE // 1024} KiB, so it is not a key.",
            remedy="Let it name the key's own file.",
        )
    return content


def _unreadable(error: Exception, file: str, name: str) -> CredentialsError:
    """People put keys where their files' names belong."""
    kind = pieces_of(file)[0].kind
    if kind in (KeyFormat.FILE_NAME, KeyFormat.TEXT, KeyFormat.BINARY):
        cause = error.strerror if isinstance(error, OSError) and error.strerror else "it is not a path"
        return CredentialsError(
            f"{name}_FILE names a file that cannot be read: {cause}.",
            remedy="Correct the path, or the permissions.",
        )
    itself = kind in (KeyFormat.PRIVATE_KEY, KeyFormat.PUBLIC_KEY, KeyFormat.CERTIFICATE)
    return CredentialsError(
        f"{name}_FILE holds {kind} instead of a file's name.",
        remedy=f"Put the text itself into {name}." if itself else f"Let it name the file for {name}.",
    )


def _sort(mode: int) -> str:
    return next((words for test, words in _NOT_FILES if test(mode)), "something else")
