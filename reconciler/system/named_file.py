"""What is in the files that environment variables name. Neither their names nor their contents are shown."""

from __future__ import annotations

from pathlib import Path

from reconciler.model.errors import PaygiftError
from reconciler.system.environment import LONGEST_TEXT, Environ, file_name, invalid


def content(environ: Environ, name: str, *, most_bytes: int = LONGEST_TEXT) -> bytes | None:
    """Of the file that the variable names, ``None`` if it is not set. Raises UsageError, or CredentialsError for a
    credential."""
    named = file_name(environ, name)
    if not named:
        return None
    try:
        with Path(named).expanduser().open("rb") as file:
            found = file.read(most_bytes + 1)
    except RuntimeError:  # a ~user who does not exist
        raise invalid(name, "names a file in a home folder that is not known", "Give the whole path.") from None
    except OSError as error:
        why = f"names a file that cannot be read: {error.strerror or type(error).__name__}"
        # From None: the error quotes the file's name, which may be a key in the wrong variable.
        raise invalid(name, why, "Correct the path, or the permissions.") from None
    if len(found) > most_bytes:
        raise invalid(name, f"names a file with more than {most_bytes:,} bytes", "Correct the path.")
    return found


def mode(environ: Environ, name: str) -> int | None:
    """The permission bits of the file that the variable names, ``None`` where there are none to read."""
    try:
        return Path(file_name(environ, name)).expanduser().stat().st_mode & 0o7777
    except (OSError, RuntimeError, PaygiftError):
        return None
