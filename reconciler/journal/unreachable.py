"""Why a PostgreSQL server did not let us in, in our words: its library's quote users, hosts and files. Pure."""

from __future__ import annotations

import re
from typing import Final

_CAUSES: Final = (
    (r"invalid (connection option|integer|port|.* value)|bad value", "an option after the ? of its address is invalid"),
    (r"authentication failed|no password supplied", "it does not accept the user and the password"),
    (r"no pg_hba\.conf entry", "it does not let this user in from this machine (pg_hba.conf)"),
    (r"role .* does not exist", "it has no such user"),
    (r"database .* does not exist", "it has no such database"),
    (r"permission denied for database", "the user may not connect to that database"),
    (r"too many (clients|connections)|remaining connection slots", "it has too many connections already"),
    (r"starting up|shutting down|recovery", "it is starting up or shutting down"),
    (r"certificate|SSL|TLS", "no TLS connection that both sides want could be made"),
    (r"translate host name|resolve host|Name or service not known|nodename nor", "its name could not be resolved"),
    (r"Connection refused", "it refused the connection"),
    (r"timeout|timed out", "it did not answer in time"),
    (r"No such file or directory", "no server listens at that socket"),
    (r"Permission denied", "its socket may not be used by this user"),
    (r"unreachable|No route to host", "it cannot be reached through the network"),
    (r"closed the connection unexpectedly|Connection reset", "it closed the connection"),
)  # fmt: skip
"""By what libpq and psycopg say, in the order in which they are looked for."""


def not_connected(error: BaseException | None) -> str:
    """Why no connection was made, from what PostgreSQL's library raised; never its words."""
    said = str(error)
    found = (words for pattern, words in _CAUSES if re.search(pattern, said, re.IGNORECASE))
    return next(found, "no connection could be made")
