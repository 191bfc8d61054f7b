"""Whose TLS certificates are believed, on every host: loopback is no exception."""

from __future__ import annotations

import os
import ssl
from typing import Final

import httpx

from reconciler.errors import UsageError

_FILE: Final = "SSL_CERT_FILE"


def tls_context() -> ssl.SSLContext:
    """Verifies servers by the authorities that ``SSL_CERT_FILE`` or ``SSL_CERT_DIR`` name, else by certifi's.

    Raises UsageError where that file cannot be used.
    """
    try:
        return httpx.create_ssl_context(trust_env=True)
    except OSError as error:  # that of a file, or ssl.SSLError for what is in it
        named = os.environ.get(_FILE)
        if not named:
            raise
        why = "holds no certificate in PEM form" if isinstance(error, ssl.SSLError) else "cannot be read"
        raise UsageError(
            f"{_FILE} names {named}, which {why}.",
            remedy="Let it name a PEM file of the authorities to trust, or unset it.",
        ) from error
