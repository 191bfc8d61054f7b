"""HTTP to GitHub and to robots: through the environment's proxies, and verified as WeChat Pay is.

Not by httpx's own reading of the environment, which ends in a traceback where a variable is malformed, and quotes it.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

import httpx

from reconciler.system.network_errors import BROKEN_OFF, causes_of, tls_failure
from reconciler.system.route import ProxyFailedError, Route, Routes, proxy_failed


class Outbound(httpx.BaseTransport):
    """A transport for httpx. Its client must have ``trust_env=False``. With ``direct`` there are no proxies.

    Raises what httpx's own raises, ProxyFailedError for a proxy's failure, UsageError for a variable that is invalid.
    """

    def __init__(self, environ: Mapping[str, str] = os.environ, *, direct: bool = False) -> None:
        self._routes = Routes(environ, direct=direct)
        self._transports: dict[Route, httpx.HTTPTransport] = {}

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Raises as the class says."""
        route = self._routes.to(request.url)
        if route not in self._transports:
            self._transports[route] = httpx.HTTPTransport(**self._routes.options(route))
        try:
            return self._transports[route].handle_request(request)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError) as error:
            if route.proxy is None or tls_failure(error) is not None:
                raise
            raise proxy_failed(route.proxy, error) from error

    def close(self) -> None:
        """Close every connection."""
        for transport in self._transports.values():
            transport.close()


def failure(error: httpx.HTTPError) -> str:
    """Why no answer came, as the end of a sentence and in our words: a library's could tell an address."""
    causes = tuple(causes_of(error))
    if isinstance(error, ProxyFailedError):
        return f"the proxy that {error.proxy.variable} names cannot be reached, or refuses"
    if isinstance(error, httpx.TimeoutException):
        return "no answer in time"
    if tls_failure(error) is not None:
        return (
            "no trustworthy TLS connection could be made (if this network inspects TLS, let SSL_CERT_FILE name a PEM "
            "file with its authority)"
        )
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        return "the name of the host could not be resolved"
    if isinstance(error, httpx.ConnectError):
        refused = any(isinstance(cause, ConnectionRefusedError) for cause in causes)
        return "the connection was refused" if refused else "no connection could be made"
    if isinstance(error, httpx.NetworkError) or str(error).startswith(BROKEN_OFF):
        return "the connection was broken off"
    return "what came back is not valid HTTP"
