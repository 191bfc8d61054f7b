"""What lies on this machine: the ``PAYGIFT_…`` variables, and the files that they name."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from reconciler.doctor.evidence import Hosts, Journal, Material
from reconciler.errors import CredentialsError, JournalError, UsageError
from reconciler.journal.place import look_at
from reconciler.wechatpay.hosts import BACKUP_URL, BASE_URL
from reconciler.wechatpay.key_source import given_key
from reconciler.wechatpay.keys import load_certificate, load_private_key, load_public_key

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
        certificate=_load(load_certificate, environ, "PAYGIFT_CERTIFICATE"),
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
    try:
        return given_key(load, environ, name)
    except CredentialsError as error:
        return error


def _mode(file: str) -> int | None:
    if os.name != "posix" or not file:
        return None
    try:
        return stat.S_IMODE(Path(file).expanduser().stat().st_mode)
    except (OSError, RuntimeError, ValueError):
        return None
