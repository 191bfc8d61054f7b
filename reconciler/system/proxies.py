"""Which proxy the environment names for a host: ``HTTPS_PROXY``, ``HTTP_PROXY``, ``ALL_PROXY``, ``NO_PROXY``. Pure.

In lower case they come first, and empty there means none, as with curl and urllib. Of ``NO_PROXY`` every entry that can
be read counts, and the others are left alone: names and what ends in them, addresses, networks (10.0.0.0/8), ``*``.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from typing import Final

from reconciler.system.environment import PROXY, Address, Environ, checked_address, stripped

PORTS: Final = {"http": 80, "https": 443}
"""The ports that an address without one means."""
_ENTRY: Final = re.compile(
    r"(?:\w+://)?(?:\[(?P<bracketed>[0-9a-f:.]+)\]|(?P<name>[^\[\]:/]+))(?::(?P<port>[0-9]{1,5}))?/?"
)


def proxy_for(environ: Environ, scheme: str, host: str, port: int | None = None) -> Address | None:
    """The proxy on the way to ``host``, ``None`` for none; its ``variable`` is the one that names it.

    Raises UsageError if that cannot be used.
    """
    name = next((name for name in _names(environ, scheme) if stripped(environ[name])), "")
    if not name or _is_excepted(environ, host, port or PORTS.get(scheme, 0)):
        return None
    return checked_address(name, environ[name], PROXY)


def names_any(environ: Environ) -> bool:
    """Whether the environment says anything of proxies at all."""
    return any(name.lower() in ("http_proxy", "https_proxy", "all_proxy", "no_proxy") for name in environ)


def _names(environ: Environ, scheme: str) -> Iterator[str]:
    """The variables that count for ``scheme``, the first that is not empty above all others."""
    for kind in (scheme, "all"):
        lower, upper = f"{kind}_proxy", f"{kind}_proxy".upper()
        # In CGI, HTTP_PROXY is the header `Proxy` of whoever asked.
        is_header = upper == "HTTP_PROXY" and "REQUEST_METHOD" in environ
        if lower in environ:
            yield lower
        elif upper in environ and not is_header:
            yield upper


def _is_excepted(environ: Environ, host: str, port: int) -> bool:
    listed = environ["no_proxy"] if "no_proxy" in environ else environ.get("NO_PROXY", "")
    entries = re.split(r"[\s,]+", stripped(listed).lower())
    return any(_covers(entry, host.lower().rstrip("."), port) for entry in entries if entry)


def _covers(entry: str, host: str, port: int) -> bool:
    if entry == "*":
        return True
    address = _address(host)
    if address is not None and (network := _network(entry)) is not None:
        return address in network
    found = _ENTRY.fullmatch(entry)
    if found is None or (found["port"] and int(found["port"]) != port):
        return False
    if address is not None:
        return _address(found["bracketed"] or found["name"]) == address
    # example.com, .example.com and *.example.com are one and the same.
    name = (found["name"] or "").lstrip("*").strip(".")
    return bool(name) and (host == name or host.endswith(f".{name}"))


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    """A network, an address being a small one; ``None`` if it is neither."""
    try:
        return ipaddress.ip_network(re.sub(r"\[(.*)\](?=/|\Z)", r"\1", text), strict=False)
    except ValueError:
        return None
