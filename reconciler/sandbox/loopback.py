"""Which names are this machine's own. The sandbox asks nobody who they are, so only this machine may talk to it. Pure.

A web page elsewhere can have its own name resolve to 127.0.0.1 and then send what it likes (DNS rebinding). A browser
says that name in ``Host`` all the same.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

SERVICE_NAMES: Final = frozenset({"api.mch.weixin.qq.com", "api2.mch.weixin.qq.com"})
"""The names that the sandbox stands in for: clients that are led to it by other means still say them, and nobody else
can have them resolve to anything."""

_HOST: Final = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<name>[0-9A-Za-z.-]+))(?::[0-9]*)?", re.ASCII)


def is_loopback(name: str) -> bool:
    """Whether ``name`` is ``localhost`` or an address that never leaves this machine."""
    if name.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def is_loopback_url(url: object) -> bool:
    """Whether ``url`` is an http or https address of this machine."""
    if not isinstance(url, str):
        return False
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - raises where it is no number
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and parts.username is None and is_loopback(parts.hostname or "")


def may_enter(hosts: Sequence[str]) -> bool:
    """Whether a request with these ``Host`` headers was meant for the sandbox: there is one, and it is ours."""
    found = _HOST.fullmatch(hosts[0]) if len(hosts) == 1 else None
    if found is None:
        return False
    if found["six"]:
        return is_loopback(found["six"])
    return found["name"].lower() in SERVICE_NAMES or is_loopback(found["name"])
