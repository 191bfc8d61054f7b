"""The way to a host, for every request that leaves this machine: which proxy, and whose certificates count.

WeChat Pay, doctor, GitHub and notices ask here. httpx would read the environment itself, but it ends in a traceback
where ``NO_PROXY`` names an IPv6 address or a variable is malformed, and quotes what the variable holds.
"""

from __future__ import annotations

import os
import platform
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple, TypedDict
from urllib.request import getproxies, proxy_bypass

import httpx

from reconciler.system.environment import PROXY, Address, checked_address
from reconciler.system.proxies import names_any, proxy_for
from reconciler.system.trust import tls_context

_STATUS: Final = re.compile(r"[1-5][0-9]{2}\b", re.ASCII)


class Proxy(NamedTuple):
    """What may be said of a proxy: the ``variable`` that names it, and its ``host`` with its port, without password."""

    variable: str
    host: str


class ProxyFailedError(httpx.ConnectError):
    """``proxy`` has made no connection, so nothing of the request has left. ``status`` is what it has answered, 0 if
    nothing; the cause is what happened."""

    def __init__(self, proxy: Proxy, status: int = 0) -> None:
        super().__init__("the proxy has made no connection")
        self.proxy = proxy
        self.status = status


def status_of(error: httpx.TransportError) -> int:
    """What a proxy has answered instead of connecting, 0 if nothing. httpx's words begin with it."""
    found = _STATUS.match(str(error)) if isinstance(error, httpx.ProxyError) else None
    return int(found[0]) if found else 0


def proxy_failed(proxy: Address, error: httpx.TransportError) -> ProxyFailedError:
    """The error for ``proxy``, which has made no connection because of ``error``."""
    host = proxy.host if proxy.port is None else f"{proxy.host}:{proxy.port}"
    return ProxyFailedError(Proxy(proxy.variable, host), status_of(error))


@dataclass(frozen=True, slots=True)
class Route:
    """How requests of one scheme get to a host: through ``proxy``, or directly where it is ``None``."""

    scheme: str
    proxy: Address | None


class TransportOptions(TypedDict):
    """What httpx's transports take, asynchronous or not."""

    verify: ssl.SSLContext
    proxy: httpx.Proxy | None
    trust_env: bool


class Routes:
    """The ways from here, by the environment. With ``direct`` no proxy is used, whatever the environment names."""

    def __init__(self, environ: Mapping[str, str] = os.environ, *, direct: bool = False) -> None:
        self._environ = environ
        self._direct = direct
        self._known: dict[tuple[str, str, int | None], Route] = {}

    def to(self, url: httpx.URL) -> Route:
        """The way to the host of ``url``, the same as the first time. Raises UsageError for a proxy that cannot be
        used."""
        host = (url.scheme, url.host, url.port)
        if host not in self._known:
            self._known[host] = Route(url.scheme, None if self._direct else self._proxy(*host))
        return self._known[host]

    def options(self, route: Route) -> TransportOptions:
        """For a transport of httpx that goes this way. Raises UsageError for certificates that cannot be used."""
        proxy = route.proxy
        proxy_tls = proxy is not None and proxy.scheme == "https"
        # Plain http needs no certificates, so those that cannot be read do not matter there.
        tls = self._tls if proxy_tls or route.scheme == "https" else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        named = None
        if proxy is not None:
            url = httpx.URL(scheme=proxy.scheme, host=proxy.host, port=proxy.port)
            auth = (proxy.user, proxy.password) if proxy.user or proxy.password else None
            named = httpx.Proxy(url, auth=auth, ssl_context=tls if proxy_tls else None)
        return {"verify": tls, "proxy": named, "trust_env": False}

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        """One for all connections: reading the certificates takes longer than many requests."""
        return tls_context(self._environ)

    def _proxy(self, scheme: str, host: str, port: int | None) -> Address | None:
        """The proxy that the environment names, or else the settings of Windows and macOS."""
        if names_any(self._environ) or platform.system() not in ("Windows", "Darwin"):
            return proxy_for(self._environ, scheme, host, port)
        named = "" if proxy_bypass(host) else getproxies().get(scheme, "")
        return checked_address("The proxy of the system's settings", named, PROXY) if named else None
