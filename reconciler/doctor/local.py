"""What lies on this machine: the ``PAYGIFT_…`` variables, and the files that they name."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TypeVar

from reconciler.doctor.evidence import Journal, Material, ReachedHosts
from reconciler.journal.location import look_at
from reconciler.model.errors import CredentialsError, JournalError, PaygiftError, UsageError
from reconciler.system.environment import stripped, text
from reconciler.system.named_file import mode
from reconciler.wechatpay.hosts import BACKUP_URL, BASE_URL
from reconciler.wechatpay.key_source import given_key
from reconciler.wechatpay.keys import load_certificate, load_private_key, load_public_key

Loaded = TypeVar("Loaded")
"""A key or a certificate."""


def read(environ: Mapping[str, str]) -> Material:
    """Everything there is, usable or not. Variables mean what they mean in ``settings``."""
    seen = _Variables(environ)
    in_file = not seen.has("PAYGIFT_PRIVATE_KEY") and seen.has("PAYGIFT_PRIVATE_KEY_FILE")
    return Material(
        missing=_missing(seen),
        mchid=seen.text("PAYGIFT_MCHID"),
        serial_no=seen.text("PAYGIFT_SERIAL_NO"),
        private_key=_load(load_private_key, environ, "PAYGIFT_PRIVATE_KEY"),
        private_key_file=in_file,
        private_key_mode=_mode(environ) if in_file else None,
        certificate=_load(load_certificate, environ, "PAYGIFT_CERTIFICATE"),
        apiv3_key=seen.text("PAYGIFT_APIV3_KEY", lines=True).encode() or None,
        public_key_id=seen.text("PAYGIFT_PUBLIC_KEY_ID"),
        public_key=_load(load_public_key, environ, "PAYGIFT_PUBLIC_KEY"),
        hosts=_hosts(seen),
        invalid=tuple(seen.errors.values()),
    )


class _Variables:
    """What the variables hold. One that cannot be used counts as empty, and its error is kept."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.errors: dict[str, PaygiftError] = {}

    def text(self, name: str, *, lines: bool = False) -> str:
        try:
            return text(self._environ, name, lines=lines)
        except PaygiftError as error:
            # Collected: somebody who sets up CI should hear of all variables at once.
            self.errors[name] = error
            return ""

    def as_it_is(self, name: str) -> str:
        """For who checks it later."""
        return stripped(self._environ.get(name, ""))

    def has(self, name: str) -> bool:
        """Whether it is set, to whatever."""
        return bool(self.as_it_is(name))


def journal(environ: Mapping[str, str]) -> Journal:
    """The journal that a team shares, knocked at without changing anything."""
    url = stripped(environ.get("PAYGIFT_JOURNAL_URL", ""))
    if not url:
        return None
    try:
        return look_at(url)
    except (JournalError, UsageError) as error:
        return error


def _missing(seen: _Variables) -> tuple[str, ...]:
    private_key, public_key = (
        seen.has(name) or seen.has(f"{name}_FILE") for name in ("PAYGIFT_PRIVATE_KEY", "PAYGIFT_PUBLIC_KEY")
    )
    public_key_id = seen.has("PAYGIFT_PUBLIC_KEY_ID")
    needed = {
        "PAYGIFT_MCHID": seen.has("PAYGIFT_MCHID"),
        "PAYGIFT_SERIAL_NO": seen.has("PAYGIFT_SERIAL_NO"),
        "PAYGIFT_PRIVATE_KEY or PAYGIFT_PRIVATE_KEY_FILE": private_key,
        "PAYGIFT_APIV3_KEY (or PAYGIFT_PUBLIC_KEY_ID with PAYGIFT_PUBLIC_KEY)": (
            public_key or seen.has("PAYGIFT_APIV3_KEY")
        ),
        "PAYGIFT_PUBLIC_KEY_ID": public_key_id or not public_key,
        "PAYGIFT_PUBLIC_KEY or PAYGIFT_PUBLIC_KEY_FILE": public_key or not public_key_id,
    }
    return tuple(name for name, there in needed.items() if not there)


def _hosts(seen: _Variables) -> ReachedHosts:
    main = seen.as_it_is("PAYGIFT_BASE_URL") or BASE_URL
    # Unchecked here: the knock names the variable if it is not an address.
    return ReachedHosts(main, seen.as_it_is("PAYGIFT_BACKUP_URL") or (BACKUP_URL if main == BASE_URL else ""))


def _load(load: Callable[..., Loaded], environ: Mapping[str, str], name: str) -> Loaded | CredentialsError | None:
    """What the variable holds, or what is in the file that it names. The variable itself comes first."""
    try:
        return given_key(load, environ, name)
    except CredentialsError as error:
        return error


def _mode(environ: Mapping[str, str]) -> int | None:
    # Windows has no such bits, and Python makes some up.
    return mode(environ, "PAYGIFT_PRIVATE_KEY_FILE") if os.name == "posix" else None
