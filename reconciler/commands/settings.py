"""Where WeChat Pay is and who we are there: read from the environment, checked, and never shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from reconciler.model.errors import CredentialsError
from reconciler.system.environment import stripped, text
from reconciler.wechatpay.client import CONCURRENCY
from reconciler.wechatpay.hosts import BACKUP_URL, BASE_URL
from reconciler.wechatpay.key_source import given_key
from reconciler.wechatpay.keys import Credentials, load_private_key, load_public_key

RATE: Final = 20.0
"""Requests per second to a real account, unless told otherwise: no limit is published (API §1.12)."""
REMEDY: Final = "See README.md, “Credentials”; `paygift --sandbox …` needs none."


@dataclass(frozen=True, slots=True)
class Remote:
    """A WeChat Pay to talk to, and how hard. The repr of ``credentials`` holds no secret.

    ``rate`` is in requests per second, None for no limit; ``concurrency`` counts connections. ``sandbox`` is set for
    the WeChat Pay of a project's own, which is nobody's account.
    """

    credentials: Credentials
    base_url: str = BASE_URL
    backup_url: str = ""
    rate: float | None = None
    concurrency: int = CONCURRENCY
    sandbox: bool = False

    def paced(self, *, rate: float | None = None, concurrency: int | None = None) -> Remote:
        """The same remote at the ``rate`` and ``concurrency`` that were asked for, if any. Rate 0 means no limit."""
        return replace(
            self,
            rate=self.rate if rate is None else rate or None,
            concurrency=self.concurrency if concurrency is None else concurrency,
        )


def remote_from(environ: Mapping[str, str]) -> Remote:
    """The remote that the ``PAYGIFT_…`` variables name.

    Raises CredentialsError that lists every variable which is missing, or says what is wrong with one; UsageError for
    an address that cannot be one.
    """
    missing = [name for name in ("PAYGIFT_MCHID", "PAYGIFT_SERIAL_NO") if not text(environ, name)]
    if not _either(environ, "PAYGIFT_PRIVATE_KEY"):
        missing.append("PAYGIFT_PRIVATE_KEY or PAYGIFT_PRIVATE_KEY_FILE")
    public_key, public_key_id = _either(environ, "PAYGIFT_PUBLIC_KEY"), text(environ, "PAYGIFT_PUBLIC_KEY_ID")
    apiv3_key = text(environ, "PAYGIFT_APIV3_KEY", lines=True)
    # One of them must be there to check signatures with: an unsigned answer is never believed.
    if not public_key and not apiv3_key:
        missing.append("PAYGIFT_APIV3_KEY (or PAYGIFT_PUBLIC_KEY_ID with PAYGIFT_PUBLIC_KEY)")
    if public_key != bool(public_key_id):
        missing.append("PAYGIFT_PUBLIC_KEY_ID" if public_key else "PAYGIFT_PUBLIC_KEY or PAYGIFT_PUBLIC_KEY_FILE")
    if missing:
        raise CredentialsError(f"Not set: {', '.join(missing)}.", remedy=REMEDY)
    private_key = given_key(load_private_key, environ, "PAYGIFT_PRIVATE_KEY")
    assert private_key is not None  # noqa: S101 - it is not missing
    credentials = Credentials(
        mchid=text(environ, "PAYGIFT_MCHID"),
        serial_no=text(environ, "PAYGIFT_SERIAL_NO"),
        private_key=private_key,
        apiv3_key=apiv3_key.encode() or None,
        public_key_id=public_key_id,
        public_key=given_key(load_public_key, environ, "PAYGIFT_PUBLIC_KEY"),
    )
    base_url = text(environ, "PAYGIFT_BASE_URL") or BASE_URL
    # The real backup host knows nothing of what is served elsewhere.
    backup_url = text(environ, "PAYGIFT_BACKUP_URL") or (BACKUP_URL if base_url == BASE_URL else "")
    # Plain http never leaves this machine: somebody serves a sandbox there.
    rate = None if base_url.startswith("http://") else RATE
    return Remote(credentials, base_url, backup_url, rate)


def _either(environ: Mapping[str, str], name: str) -> bool:
    return any(stripped(environ.get(each, "")) for each in (name, f"{name}_FILE"))
