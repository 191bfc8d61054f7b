"""What a checkup is judged by: what lies on this machine, and what came back from WeChat Pay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

from reconciler.model.activity import NamedAccount
from reconciler.model.errors import CredentialsError, PaygiftError
from reconciler.wechatpay.keyring import Certificate
from reconciler.wechatpay.keys import Credentials


@dataclass(frozen=True, slots=True)
class ReachedHosts:
    """Base URLs. ``backup`` is empty where there is none."""

    main: str
    backup: str


@dataclass(frozen=True, slots=True, repr=False)
class Material:
    """The variables and the files they name. A key is its error where it cannot be used, ``None`` where not given.

    ``private_key_file`` tells that the key is in a file; ``private_key_mode`` holds that file's permission bits,
    ``None`` where there are none to read. ``invalid`` are the errors of variables that hold no value of anything. No
    repr, since this holds every secret there is.
    """

    missing: tuple[str, ...]
    mchid: str
    serial_no: str
    private_key: RSAPrivateKey | CredentialsError | None
    private_key_file: bool
    private_key_mode: int | None
    certificate: x509.Certificate | CredentialsError | None
    apiv3_key: bytes | None
    public_key_id: str
    public_key: RSAPublicKey | CredentialsError | None
    hosts: ReachedHosts
    invalid: tuple[PaygiftError, ...] = ()

    def credentials(self) -> Credentials | None:
        """What a client needs, if all of it is usable."""
        if not isinstance(self.private_key, RSAPrivateKey) or isinstance(self.public_key, CredentialsError):
            return None
        try:
            return Credentials(
                self.mchid,
                self.serial_no,
                self.private_key,
                self.apiv3_key,
                self.public_key_id,
                self.public_key,
            )
        # judge_account tells what is wrong; here it only means that nothing can be signed.
        except CredentialsError:
            return None


@dataclass(frozen=True, slots=True)
class Knock:
    """What became of one unsigned request to a host.

    ``url`` is the base URL, ``host`` the name to show. With an answer: how long it took, its HTTP ``status``, its
    ``media_type``, and by how many seconds our clock is ahead of its ``Date`` (``None`` without one).
    """

    url: str
    host: str
    error: PaygiftError | None = None
    milliseconds: float = 0.0
    status: int = 0
    media_type: str = ""
    ahead_seconds: float | None = None


ProjectAccount: TypeAlias = NamedAccount | PaygiftError | None
"""The account that the project here names, why that cannot be told, or ``None`` where no project names one."""

Journal: TypeAlias = str | PaygiftError | None
"""Where the shared journal is, why it cannot be used, or ``None`` where there is none."""


@dataclass(frozen=True, slots=True)
class Proven:
    """A success that WeChat Pay has signed."""


Outcome: TypeAlias = Proven | PaygiftError | None
"""``None`` for what was not asked."""


@dataclass(frozen=True, slots=True)
class Signed:
    """What became of the signed requests to ``host``."""

    host: str
    certificates: Sequence[Certificate] | PaygiftError | None
    activities: Outcome
    upload: Outcome

    @property
    def outcomes(self) -> tuple[Proven | PaygiftError, ...]:
        """All that came, the first one first."""
        certificates = self.certificates
        first = certificates if certificates is None or isinstance(certificates, PaygiftError) else Proven()
        return tuple(each for each in (first, self.activities, self.upload) if each is not None)
