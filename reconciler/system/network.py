"""HTTP to GitHub and to robots: through the environment's proxies, and verified as WeChat Pay is.

Not by httpx's own reading of the environment, which ends in a traceback where a variable is malformed, and quotes it.
"""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Iterator, Mapping

import httpx

from reconciler.system.environment import Address
from reconciler.system.proxies import proxy_for
from reconciler.system.trust import tls_context


class ProxyFailedError(httpx.ConnectError):
    """The way to the proxy, or through it, failed before anything of the request was sent."""

    def __init__(self, variable: str) -> None:
        super().__init__(f"the proxy that {variable} names cannot be reached, or refuses")
        self.variable = variable


class Outbound(httpx.BaseTransport):
    """A transport for httpx. Its client must have ``trust_env=False``. With ``direct`` there are no proxies.

    Raises what httpx's own raises, ProxyFailedError for a proxy's failure, UsageError for a variable that is invalid.
    """

    def __init__(self, environ: Mapping[str, str] = os.environ, *, direct: bool = False) -> None:
        self._environ = environ
        self._direct = direct
        self._tls: ssl.SSLContext | None = None
        self._transports: dict[tuple[str, Address | None], httpx.HTTPTransport] = {}

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        proxy = None if self._direct else proxy_for(self._environ, url.scheme, url.host, url.port)
        try:
            return self._transport(url.scheme, proxy).handle_request(request)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError) as error:
            if proxy is None or tls_failure(error) is not None:
                raise
            raise ProxyFailedError(proxy.variable) from error

    def _transport(self, scheme: str, proxy: Address | None) -> httpx.HTTPTransport:
        if (scheme, proxy) not in self._transports:
            secure = scheme == "https" or (proxy is not None and proxy.scheme == "https")
            # Plain http needs no certificates, so those that cannot be read do not matter there.
            tls = self._context() if secure else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            made = httpx.HTTPTransport(verify=tls, trust_env=False, proxy=_httpx_proxy(proxy, tls))
            self._transports[scheme, proxy] = made
        return self._transports[scheme, proxy]

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = tls_context(self._environ)
        return self._tls

    def close(self) -> None:
        for transport in self._transports.values():
            transport.close()


def _httpx_proxy(proxy: Address | None, tls: ssl.SSLContext) -> httpx.Proxy | None:
    if proxy is None:
        return None
    url = httpx.URL(scheme=proxy.scheme, host=proxy.host, port=proxy.port)
    auth = (proxy.user, proxy.password) if proxy.user or proxy.password else None
    return httpx.Proxy(url, auth=auth, ssl_context=tls if proxy.scheme == "https" else None)


def failure(error: httpx.HTTPError) -> str:
    """Why no answer came, as the end of a sentence and in our words: a library's could tell an address."""
    causes = tuple(_causes(error))
    if isinstance(error, ProxyFailedError):
        return f"the proxy that {error.variable} names cannot be reached, or refuses"
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
    if isinstance(error, httpx.NetworkError) or str(error).startswith(_BROKEN_OFF):
        return "the connection was broken off"
    return "what came back is not valid HTTP"


_BROKEN_OFF = ("Server disconnected without sending a response", "peer closed connection without")


def tls_failure(error: BaseException) -> ssl.SSLError | None:
    """Why TLS could not be agreed on; nothing if the other side just hung up meanwhile."""
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLError) and not isinstance(
            cause, ssl.SSLEOFError | ssl.SSLZeroReturnError
        ):
            return cause
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
