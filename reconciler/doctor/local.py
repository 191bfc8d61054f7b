"""What lies on this machine: the ``PAYGIFT_…`` variables, and the files that they name."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from reconciler.doctor.evidence import Hosts, Journal, Material
from reconciler.errors import CredentialsError, JournalError, UsageError
from reconciler.journal.place import look_at
from reconciler.wechatpay.hosts import BACKUP_URL, BASE_URL
from reconciler.wechatpay.keys import load_private_key, load_public_key

_LONGEST_PATH: Final = 500

Loaded = TypeVar("Loaded")


def read(environ: Mapping[str, str]) -> Material:
    """Everything there is, usable or not. Variables mean what they mean in ``settings``."""
    key_file = "" if environ.get("PAYGIFT_PRIVATE_KEY") else environ.get("PAYGIFT_PRIVATE_KEY_FILE", "")
    apiv3_key = environ.get("PAYGIFT_APIV3_KEY")
    return Material(
        missing=_missing(environ),
        mchid=environ.get("PAYGIFT_MCHID", ""),
        serial_no=environ.get("PAYGIFT_SERIAL_NO", ""),
        private_key=_load(load_private_key, environ, "PAYGIFT_PRIVATE_KEY"),
        private_key_file=key_file,
        private_key_mode=_mode(key_file),
        certificate=_load(_load_certificate, environ, "PAYGIFT_CERTIFICATE"),
        apiv3_key=apiv3_key.encode() if apiv3_key else None,
        public_key_id=environ.get("PAYGIFT_PUBLIC_KEY_ID", ""),
        public_key=_load(load_public_key, environ, "PAYGIFT_PUBLIC_KEY"),
        hosts=_hosts(environ),
    )


def journal(environ: Mapping[str, str]) -> Journal:
    """The journal that a team shares, knocked at without changing anything."""
    url = environ.get("PAYGIFT_JOURNAL_URL", "")
    if not url:
        return None
    try:
        return look_at(url)
    except (JournalError, UsageError) as error:
        return error


def _missing(environ: Mapping[str, str]) -> tuple[str, ...]:
    private_key, public_key = (
        bool(environ.get(name) or environ.get(f"{name}_FILE"))
        for name in ("PAYGIFT_PRIVATE_KEY", "PAYGIFT_PUBLIC_KEY")
    )
    public_key_id = bool(environ.get("PAYGIFT_PUBLIC_KEY_ID"))
    needed = {
        "PAYGIFT_MCHID": environ.get("PAYGIFT_MCHID"),
        "PAYGIFT_SERIAL_NO": environ.get("PAYGIFT_SERIAL_NO"),
        "PAYGIFT_PRIVATE_KEY or PAYGIFT_PRIVATE_KEY_FILE": private_key,
        "PAYGIFT_APIV3_KEY (or PAYGIFT_PUBLIC_KEY_ID with PAYGIFT_PUBLIC_KEY)": (
            public_key or environ.get("PAYGIFT_APIV3_KEY")
        ),
        "PAYGIFT_PUBLIC_KEY_ID": public_key_id or not public_key,
        "PAYGIFT_PUBLIC_KEY or PAYGIFT_PUBLIC_KEY_FILE": public_key or not public_key_id,
    }
    return tuple(name for name, there in needed.items() if not there)


def _hosts(environ: Mapping[str, str]) -> Hosts:
    main = environ.get("PAYGIFT_BASE_URL") or BASE_URL
    return Hosts(main, environ.get("PAYGIFT_BACKUP_URL") or (BACKUP_URL if main == BASE_URL else ""))


def _load(
    load: Callable[..., Loaded], environ: Mapping[str, str], name: str
) -> Loaded | CredentialsError | None:
    """What the variable holds, or what is in the file that it names. The variable itself comes first."""
    text, file = environ.get(name), environ.get(f"{name}_FILE")
    try:
        if text:
            # CI systems often keep the line breaks of a secret as the two characters \\n.
            return load(text.replace("\\n", "\n"), where=name)
        if file:
            return load(_content(Path(file), f"{name}_FILE"), where=f"{name}_FILE ({file})")
    except CredentialsError as error:
        return error
    return None


def _content(path: Path, variable: str) -> bytes:
    if _holds_no_path(str(path)):
        raise CredentialsError(
            f"{variable} holds something else than the name of a file.",
            remedy=f"Put the PEM text itself into {variable.removesuffix('_FILE')}, or a file's name here.",
        )
    try:
        return path.expanduser().read_bytes()
    except (OSError, RuntimeError) as error:  # RuntimeError for a ~user who does not exist
        cause = error.strerror if isinstance(error, OSError) else error
        raise CredentialsError(
            f"{variable} names {path}, which cannot be read: {cause}.",
            remedy="Correct the path, or the permissions.",
        ) from error


def _holds_no_path(text: str) -> bool:
    """People put keys where their names belong; then the text must not be repeated."""
    return "\n" in text or "-----" in text or len(text) > _LONGEST_PATH


def _load_certificate(pem: str | bytes, *, where: str) -> x509.Certificate:
    try:
        certificate = x509.load_pem_x509_certificate(pem.encode() if isinstance(pem, str) else pem)
        certificate.public_key()  # so that later nothing can go wrong
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise CredentialsError(
            f"{where} holds no certificate in PEM form.",
            remedy="Use the file apiclient_cert.pem, which came with apiclient_key.pem.",
        ) from error
    return certificate


def _mode(file: str) -> int | None:
    if os.name != "posix" or not file:
        return None
    try:
        return stat.S_IMODE(Path(file).expanduser().stat().st_mode)
    except (OSError, RuntimeError):
        return None
