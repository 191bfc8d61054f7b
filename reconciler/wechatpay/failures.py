"""What goes wrong on the way to WeChat Pay and back, in plain words: exceptions of httpx become our errors."""

from __future__ import annotations

import os
import re
import socket
import ssl
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

import httpx

from reconciler.model.errors import TransportError
from reconciler.system.network_errors import BROKEN_OFF, causes_of, tls_failure
from reconciler.system.route import ProxyFailedError, status_of

_NEVER_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
"""A request is only written to a connection that stands, TLS and the proxy's tunnel included."""

_NO_HTTP: Final[Mapping[str, str]] = {
    "conflicting Content-Length": "its Content-Length headers contradict each other",
    "bad Content-Length": "its Content-Length is not a number of bytes",
    "Receive buffer too long": "its head is too long",
    "illegal status line": "it does not begin with a status line",
    "illegal header line": "one of its header lines is malformed",
}
"""What is wrong with an answer, by how the libraries begin to say it."""
_NO_HTTP_REMEDY: Final = (
    "It is probably not WeChat Pay's, but comes from something in between: check PAYGIFT_BASE_URL and proxies."
)


class _CertificateMistake(NamedTuple):
    """What is wrong with a certificate, and what to do."""

    what: str
    remedy: str


_UNTRUSTED_REMEDY: Final = (
    "If this network inspects TLS, let SSL_CERT_FILE name a PEM file of the authorities to trust, the network's own "
    "included; without it those of this machine's own store are trusted. Otherwise do not go on: somebody may be "
    "posing as the host."
)
_CLOCK_OR_RENEWAL_REMEDY: Final = (
    "Check this machine's clock first. If it is right, the certificate must be renewed, by whoever runs the host or "
    "the proxy that inspects TLS."
)
_SELF_SIGNED: Final = _CertificateMistake("its certificate is self-signed", _UNTRUSTED_REMEDY)
_UNKNOWN_ISSUER: Final = _CertificateMistake("the issuer of its certificate is not trusted", _UNTRUSTED_REMEDY)
_OTHER_NAME: Final = _CertificateMistake(
    "its certificate is for another host name",
    "Check PAYGIFT_BASE_URL (a name, no address), and whether a proxy or the name service (DNS) leads elsewhere.",
)
_CERTIFICATE_MISTAKES: Final[Mapping[int, _CertificateMistake]] = {  # X509_V_ERR_… of OpenSSL
    2: _UNKNOWN_ISSUER,
    9: _CertificateMistake("its certificate is not valid yet", _CLOCK_OR_RENEWAL_REMEDY),
    10: _CertificateMistake("its certificate has expired", _CLOCK_OR_RENEWAL_REMEDY),
    18: _SELF_SIGNED,
    19: _UNKNOWN_ISSUER,
    20: _UNKNOWN_ISSUER,
    21: _UNKNOWN_ISSUER,
    27: _UNKNOWN_ISSUER,
    62: _OTHER_NAME,
    64: _OTHER_NAME,
}

_NO_PROXY_REMEDY: Final = "Check that {variable} names a proxy that makes connections to https hosts (CONNECT)."
_PROXY_REFUSALS: Final[Mapping[int, str]] = {
    400: _NO_PROXY_REMEDY,
    401: "It asks for a user name and a password: {variable}=http://USER:PASSWORD@HOST:PORT, percent-encoded.",
    403: "Have the proxy's operator allow connections to {host}, or list it in NO_PROXY if it can be reached directly.",
    404: _NO_PROXY_REMEDY,
    405: _NO_PROXY_REMEDY,
    407: "It asks for a user name and a password: {variable}=http://USER:PASSWORD@HOST:PORT, percent-encoded.",
    501: _NO_PROXY_REMEDY,
}
"""What stays so until somebody does something."""
_PROXY_TROUBLES: Final[Mapping[int, str]] = dict.fromkeys(
    (500, 502, 503, 504),
    "The proxy cannot reach {host}, or is not working: try again, then ask its operator, also about its name service "
    "(DNS).",
)
_MADE_FROM: Final[Mapping[str, str]] = {
    "header Wechatpay-Serial": "PAYGIFT_PUBLIC_KEY_ID",
    "header Host": "PAYGIFT_BASE_URL or PAYGIFT_BACKUP_URL",
    "header Authorization": "PAYGIFT_MCHID and PAYGIFT_SERIAL_NO",
}
"""Parts of a request, and where they come from."""
_FIELD: Final = re.compile(rb"([\x21-\x7e\x80-\xff]([\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?")
_TARGET: Final = re.compile(r"[\x21-\x7e]+")
_NETWORK_REMEDY: Final = "Check the network, then run again."


class Arrived(Protocol):
    """What has come of an answer: its headers (a mapping that ignores case), and so many bytes of its body."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Its headers, by names in any case."""

    @property
    def received(self) -> int:
        """Bytes of its body, compressed as they came."""


def invalid_part(headers: Iterable[tuple[bytes, bytes]], target: str) -> str:
    """Which part of a request cannot be written as HTTP: ``header NAME``, or its target; empty if all can."""
    for name, value in headers:
        if not _FIELD.fullmatch(value):
            return f"header {name.decode('ascii', 'replace')}"
    return "" if _TARGET.fullmatch(target) else "path and query"


def unwritable(part: str, *, method: str, path: str) -> TransportError:
    """For a request that was not sent, because of ``part``."""
    message, remedy = _unwritable(part)
    return TransportError(message, method=method, path=path, remedy=remedy, sent=False, lasting=True)


def transport_error(
    error: Exception,
    *,
    method: str,
    path: str,
    host: str,
    timeout_seconds: float,
    arrived: Arrived | None = None,
) -> TransportError:
    """No complete answer came; ``arrived`` is what had begun to, if anything had."""
    never_sent, lasting = isinstance(error, _NEVER_SENT), _is_lasting(error)
    if isinstance(error, httpx.LocalProtocolError | httpx.UnsupportedProtocol):
        message, remedy = _unwritable("")
        lasting = True
    elif arrived is None:
        message, remedy = _before_answer(error, host, timeout_seconds)
    else:
        message, remedy = _within_answer(error, arrived, timeout_seconds), _NETWORK_REMEDY
    request_id = "" if arrived is None else arrived.headers.get("Request-ID", "")
    return TransportError(
        message,
        method=method,
        path=path,
        request_id=request_id,
        remedy=remedy,
        sent=not never_sent,
        lasting=lasting,
    )


def _is_lasting(error: Exception) -> bool:
    """Whether the next try would fare no better."""
    if isinstance(error, ProxyFailedError) and error.status:
        return error.status in _PROXY_REFUSALS
    return isinstance(error, _NEVER_SENT) and tls_failure(error) is not None


def _unwritable(part: str) -> tuple[str, str]:
    """Of a request that is not HTTP: ours, and not the network's."""
    variable = _MADE_FROM.get(part, "")
    if variable:
        remedy = f"It is made from {variable}: look for white space and other characters that do not belong there."
    else:
        remedy = "This is a mistake in paygift and not one of the network: please report it."
    subject = f"its {part} is" if part else "a part of it is"
    return f"the request was not sent, since {subject} not valid in HTTP.", remedy


def unreached(errors: Sequence[TransportError]) -> TransportError:
    """One error for all the hosts that could not be reached, each with its own (at least one)."""
    first, *others = errors
    if not others:
        return first
    together = TransportError(
        " ".join(dict.fromkeys(error.message for error in errors)),
        method=first.method,
        path=first.path,
        remedy=first.remedy,
        sent=False,
        lasting=all(error.lasting for error in errors),
    )
    together.__cause__ = others[-1]
    return together


def _before_answer(error: Exception, host: str, timeout_seconds: float) -> tuple[str, str]:
    if isinstance(error, ProxyFailedError):
        return _at_proxy(error, host, timeout_seconds)
    causes = tuple(causes_of(error))
    if isinstance(error, httpx.ConnectTimeout):
        return f"{host} did not accept a connection within {timeout_seconds:g} s.", _NETWORK_REMEDY
    if isinstance(error, httpx.TimeoutException | TimeoutError):
        return f"{host} did not answer within {timeout_seconds:g} s.", _NETWORK_REMEDY
    if isinstance(error, httpx.ProxyError):
        said = f": {status}" if (status := status_of(error)) else ""
        return f"the proxy on the way to {host} refused{said}.", "Check HTTPS_PROXY and NO_PROXY."
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        return (
            f"the name {host} could not be resolved.",
            "Check PAYGIFT_BASE_URL and the network's name service (DNS).",
        )
    if (tls := tls_failure(error)) is not None:
        mistake = _certificate_mistake(tls)
        return f"no trustworthy TLS connection to {host} could be made: {mistake.what}.", mistake.remedy
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        return (
            f"{host} refused the connection.",
            "Check PAYGIFT_BASE_URL, and that the service runs there.",
        )
    if isinstance(error, httpx.ConnectError):
        return f"{host} could not be reached{_system_error(causes)}.", _NETWORK_REMEDY
    if isinstance(error, httpx.RemoteProtocolError) and not str(error).startswith(BROKEN_OFF):
        return f"{host} answered, but not in valid HTTP/1.1{_in_detail(error)}.", _NO_HTTP_REMEDY
    return f"the connection to {host} was broken off before any answer came.", _NETWORK_REMEDY


def _system_error(causes: Sequence[BaseException]) -> str:
    """What the operating system calls it. The words of libraries may repeat an address."""
    numbers = [cause.errno for cause in causes if isinstance(cause, OSError) and not isinstance(cause, ssl.SSLError)]
    # Negative ones are the name resolver's, of which strerror knows nothing.
    return next((f": {os.strerror(number)}" for number in numbers if number and number > 0), "")


def _at_proxy(error: ProxyFailedError, host: str, timeout_seconds: float) -> tuple[str, str]:
    """What happened before a proxy had made a connection to ``host``."""
    variable, name = error.proxy
    proxy = f"the proxy {name} ({variable})"
    causes = tuple(causes_of(error.__cause__))
    remedy = f"Check {variable}, and that the proxy runs there; NO_PROXY lists what needs none."
    if error.status:
        return _refused_by_proxy(error.status, proxy, variable, host)
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        return (
            f"the name of {proxy} could not be resolved.",
            f"Check {variable}, and this network's name service (DNS).",
        )
    if (tls := tls_failure(error)) is not None:
        mistake = _certificate_mistake(tls)
        cured = (
            mistake.remedy
            if isinstance(tls, ssl.SSLCertVerificationError)
            else (f"Most proxies are reached without TLS: {variable} then begins with http://, for https hosts too.")
        )
        return f"no trustworthy TLS connection to {proxy} could be made: {mistake.what}.", cured
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        return f"{proxy} refused the connection.", remedy
    if any(isinstance(cause, httpx.TimeoutException) for cause in causes):
        return f"{proxy} did not connect within {timeout_seconds:g} s.", remedy
    if any(isinstance(cause, httpx.ConnectError) for cause in causes):
        return f"{proxy} could not be reached{_system_error(causes)}.", remedy
    return f"{proxy} closed the connection instead of connecting to the host.", remedy


def _refused_by_proxy(status: int, proxy: str, variable: str, host: str) -> tuple[str, str]:
    remedy = _PROXY_REFUSALS.get(status) or _PROXY_TROUBLES.get(status, _NO_PROXY_REMEDY)
    return f"{proxy} refused to connect: HTTP {status}.", remedy.format(variable=variable, host=host)


def _certificate_mistake(error: ssl.SSLError) -> _CertificateMistake:
    """In our words; OpenSSL's own code is shown where we have none."""
    if isinstance(error, ssl.SSLCertVerificationError):
        code = getattr(error, "verify_code", 0)
        unknown = _CertificateMistake(f"its certificate cannot be verified (OpenSSL's code {code})", _UNTRUSTED_REMEDY)
        return _CERTIFICATE_MISTAKES.get(code, unknown)
    return _CertificateMistake(
        f"TLS failed ({error.reason or 'no reason given'})",
        "Check scheme and port of PAYGIFT_BASE_URL, and proxies.",
    )


def _in_detail(error: Exception) -> str:
    for beginning, what in _NO_HTTP.items():
        if str(error).startswith(beginning):
            return f": {what}"
    return ""


def _within_answer(error: Exception, arrived: Arrived, timeout_seconds: float) -> str:
    announced = arrived.headers.get("Content-Length", "")
    so_far = f"{arrived.received} of {announced} bytes" if announced else f"{arrived.received} bytes"
    if isinstance(error, httpx.TimeoutException | TimeoutError):
        return f"the answer stalled after {so_far}; {timeout_seconds:g} s were not enough."
    if isinstance(error, httpx.DecodingError):
        return f"the answer's compression is damaged ({so_far} received)."
    if isinstance(error, httpx.RemoteProtocolError) and not str(error).startswith(BROKEN_OFF):
        return f"the answer is not valid HTTP/1.1 after {so_far}."
    return f"the answer broke off after {so_far}."
