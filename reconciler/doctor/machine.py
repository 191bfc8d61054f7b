"""The checks of this machine: variables, keys and files, which nobody needs to be asked about. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.x509.oid import NameOID

from reconciler.doctor.checks import failure, ok, said, skipped, unusable
from reconciler.doctor.evidence import ProjectAccount
from reconciler.model.checkup import Check, CheckStatus
from reconciler.model.errors import CredentialsError, PaygiftError
from reconciler.wechatpay.keys import (
    APIV3_KEY_BYTES,
    APIV3_KEY_REMEDY,
    Credentials,
    apiv3_key_mistake,
    public_key_mistake,
)

EXPIRY_WARNING_DAYS: Final = 30
"""Before the end of the merchant certificate."""

_FOR_OTHERS: Final = 0o077
_DAY_SECONDS: Final = 86_400
_API_SECURITY: Final = "账户中心 → API安全"
CLOCK_REMEDY: Final = "Have this machine set its clock over the network (NTP; on Linux: timedatectl set-ntp true)."
"""For a clock that is wrong."""
_RENEW: Final = (
    f"Apply for a new certificate on the merchant platform ({_API_SECURITY}), "
    "then replace the private key and PAYGIFT_SERIAL_NO."
)


def judge_variables(missing: Sequence[str], invalid: Sequence[PaygiftError] = ()) -> Check:
    """Whether all variables that are needed are set, and all that are set hold a value."""
    # Before what is missing: an invalid variable counts as empty, and would be told as missing.
    if invalid:
        return unusable("variables", " ".join(map(said, invalid)), invalid[0].remedy)
    if missing:
        return unusable(
            "variables",
            f"not set: {', '.join(missing)}.",
            "Set them, see README.md, “Credentials”; `paygift --sandbox …` needs none.",
        )
    return ok("variables", "all that are needed are set.")


def judge_private_key(key: RSAPrivateKey | CredentialsError | None) -> Check:
    """Whether it can be used."""
    if key is None:
        return skipped("private_key", "it is not set.")
    if isinstance(key, CredentialsError):
        return failure("private_key", key)
    return ok("private_key", f"RSA with {key.key_size} bits.")


def judge_account(mchid: str, serial_no: str, key: RSAPrivateKey | CredentialsError | None) -> Check:
    """The form of both numbers. Only the merchant's is shown: a serial number could be a secret in the wrong place."""
    if not (mchid and serial_no and isinstance(key, RSAPrivateKey)):
        return skipped("account", "it needs PAYGIFT_MCHID, PAYGIFT_SERIAL_NO and the private key.")
    try:
        Credentials(mchid, serial_no, key, apiv3_key=bytes(APIV3_KEY_BYTES))
    except CredentialsError as error:
        return failure("account", error)
    return ok("account", f"merchant {mchid}; its serial number has the right form.")


def judge_project_account(mchid: str, named: ProjectAccount) -> Check:
    """Whether the credentials are of the account that the project belongs to. Only that one's number is shown."""
    code = "project_account"
    if isinstance(named, PaygiftError):
        return Check(
            code,
            CheckStatus.WARNING,
            "it is unknown which account the project belongs to, because paygift.yaml cannot be read.",
            "Run `paygift validate`, and correct what it says.",
        )
    if named is None:
        return skipped(code, "no project here names its `account`, or the sandbox is used.")
    if not mchid:
        return skipped(code, "PAYGIFT_MCHID is not set.")
    if mchid != named.mchid:
        return unusable(
            code,
            f"PAYGIFT_MCHID is another number, and the project belongs to merchant {named.mchid} "
            f"(`account`, {named.source}).",
            f"Use the credentials of {named.mchid}; without them no command of this project reads or writes anything.",
        )
    return ok(code, f"{named.mchid}, as `account` in {named.source} says.")


def judge_key_file(file: bool, mode: int | None) -> Check:
    """``file``: whether the key is in one; ``mode``: its permission bits, ``None`` where none can be read."""
    if not file:
        return skipped("key_file", "PAYGIFT_PRIVATE_KEY_FILE is not used.")
    if mode is None:
        return skipped("key_file", "its permissions cannot be read here.")
    if mode & _FOR_OTHERS:
        return Check(
            "key_file",
            CheckStatus.WARNING,
            f"the file that PAYGIFT_PRIVATE_KEY_FILE names is open to others than its owner (mode {mode:04o}).",
            'chmod 600 "$PAYGIFT_PRIVATE_KEY_FILE"',
        )
    return ok("key_file", f"for its owner only (mode {mode:04o}).")


def judge_certificate(
    certificate: x509.Certificate | CredentialsError | None,
    serial_no: str,
    key: RSAPrivateKey | CredentialsError | None,
) -> Check:
    """Whether the merchant certificate, the serial number and the private key belong together."""
    code = "certificate"
    if certificate is None:
        return skipped(
            code,
            "PAYGIFT_CERTIFICATE_FILE is not set.",
            "Let it name apiclient_cert.pem to have serial number, key and validity compared.",
        )
    if isinstance(certificate, CredentialsError):
        return failure(code, certificate)
    # Forty digits, leading zeros included, as PAYGIFT_SERIAL_NO is written.
    own = f"{certificate.serial_number:040X}"
    # First: people take the wrong one of two files, and the other checks would only confuse them.
    if _is_platforms(certificate):
        return unusable(
            code,
            f"the certificate {own} is a platform certificate of WeChat Pay, not the merchant's.",
            "Set PAYGIFT_CERTIFICATE_FILE to apiclient_cert.pem, and PAYGIFT_SERIAL_NO to that one's number.",
        )
    if isinstance(key, RSAPrivateKey) and certificate.public_key() != key.public_key():
        return unusable(
            code,
            f"the merchant certificate {own} is not that of the private key.",
            "Use apiclient_key.pem and apiclient_cert.pem from the same download; if one is lost, apply for a new "
            f"certificate ({_API_SECURITY}).",
        )
    if serial_no and not _same_number(serial_no, certificate.serial_number):
        return unusable(
            code,
            f"PAYGIFT_SERIAL_NO is not the serial number of the merchant certificate, which is {own}.",
            "Set PAYGIFT_SERIAL_NO to that, or PAYGIFT_CERTIFICATE_FILE to the right certificate.",
        )
    if not isinstance(key, RSAPrivateKey):
        return skipped(code, "there is no usable private key to compare it with.")
    return ok(code, f"{own} belongs to the private key and to PAYGIFT_SERIAL_NO.")


def _is_platforms(certificate: x509.Certificate) -> bool:
    """By its name, which is Tenpay.com sign; a merchant's is its number."""
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return any(str(name.value).startswith("Tenpay.com") for name in names)


def judge_validity(certificate: x509.Certificate | CredentialsError | None, now: float) -> Check:
    """Whether the merchant certificate is valid at ``now``, and will be for a while."""
    code = "certificate_validity"
    if not isinstance(certificate, x509.Certificate):
        return skipped(code, "there is no merchant certificate to look at.")
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    days = (ends.timestamp() - now) / _DAY_SECONDS
    if days < 0:
        return unusable(code, f"it expired on {ends:%Y-%m-%d}.", _RENEW)
    if now < begins.timestamp():
        return unusable(code, f"it is not valid before {begins:%Y-%m-%d}.", f"Is the clock right? {CLOCK_REMEDY}")
    if days < EXPIRY_WARNING_DAYS:
        return Check(code, CheckStatus.WARNING, f"it expires in {days:.0f} days, on {ends:%Y-%m-%d}.", _RENEW)
    return ok(code, f"until {ends:%Y-%m-%d}.")


def judge_apiv3_key(key: bytes | None) -> Check:
    """Its form. Whether it is the right one, ``judge_certificates`` tells."""
    if key is None:
        return skipped("apiv3_key", "PAYGIFT_APIV3_KEY is not set.")
    if mistake := apiv3_key_mistake(key):
        return unusable("apiv3_key", f"PAYGIFT_APIV3_KEY {mistake}", APIV3_KEY_REMEDY)
    return ok("apiv3_key", f"{APIV3_KEY_BYTES} bytes.")


def judge_public_key(
    key_id: str,
    key: RSAPublicKey | CredentialsError | None,
    private_key: RSAPrivateKey | CredentialsError | None = None,
) -> Check:
    """The form of both, and that the key is not the merchant's own."""
    code = "public_key"
    if isinstance(key, CredentialsError):
        return failure(code, key)
    if key is None or not key_id:
        return skipped(code, "PAYGIFT_PUBLIC_KEY_ID and PAYGIFT_PUBLIC_KEY are not both set.")
    own = private_key if isinstance(private_key, RSAPrivateKey) else None
    if mistake := public_key_mistake(key_id, key, own):
        return failure(code, mistake)
    return ok(code, f"RSA with {key.key_size} bits, not the merchant's own, and an id of the right form.")


def _same_number(text: str, number: int) -> bool:
    try:
        # As numbers: case and leading zeros differ between tools.
        return int(text, 16) == number
    except ValueError:
        return False
