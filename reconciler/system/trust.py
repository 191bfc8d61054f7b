"""Which TLS certificates are trusted, on every host, loopback included: of WeChat Pay, GitHub and robots alike."""

from __future__ import annotations

import os
import ssl
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import truststore

from reconciler.system.environment import file_name, invalid

_FILE: Final = "SSL_CERT_FILE"
_FOLDER: Final = "SSL_CERT_DIR"
_FILE_REMEDY: Final = (
    "Let it name a PEM file of the authorities to trust, or unset it: then this machine's are trusted."
)
_FOLDER_REMEDY: Final = (
    "Let it name a folder that `openssl rehash` has prepared, or unset it: then this machine's are trusted."
)


def tls_context(environ: Mapping[str, str] = os.environ) -> ssl.SSLContext:
    """Verifies servers by the authorities of ``SSL_CERT_FILE``, or else ``SSL_CERT_DIR``, or else of this machine.

    Raises UsageError where they cannot be used.
    """
    file, folder = file_name(environ, _FILE), file_name(environ, _FOLDER)
    if file:
        return _of_file(file)
    if folder:
        return _of_folder(folder)
    return _of_this_machine()


def _of_this_machine() -> ssl.SSLContext:
    context = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if sys.platform in ("darwin", "win32"):
        return context
    # Elsewhere truststore reads the machine's files anew for each connection, which takes longer than all else about
    # it. The context that it has prepared for one serves all.
    return context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="localhost").context


def _of_file(file: str) -> ssl.SSLContext:
    try:
        if not Path(file).is_file():
            raise invalid(_FILE, "names no file that can be read", _FILE_REMEDY)
        return ssl.create_default_context(cafile=file)
    # Before OSError, of which it is one.
    except ssl.SSLError:
        raise invalid(_FILE, "names a file that holds no certificate in PEM form", _FILE_REMEDY) from None
    except OSError:
        raise invalid(_FILE, "names a file that cannot be read", _FILE_REMEDY) from None


def _of_folder(folder: str) -> ssl.SSLContext:
    """There may be several, with colons between them."""
    try:
        folders = [Path(each) for each in folder.split(os.pathsep) if each]
        # OpenSSL takes a missing or empty folder without a word, and then trusts nobody.
        there = any(any(each.iterdir()) for each in folders if each.is_dir())
    except OSError:
        there = False
    if not there:
        raise invalid(_FOLDER, "names no folder with certificates that can be read", _FOLDER_REMEDY)
    return ssl.create_default_context(capath=folder)
