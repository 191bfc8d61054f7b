"""The judgement: what was found, said in words, with the remedy. Pure, so each ``judge_…`` is tested with values.

What cannot be asked because an earlier check failed is skipped, so that the failures stand out. Of what came from the
network, only what WeChat Pay has signed proves anything, but for its 401, which it never signs (API §5.3).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.x509.oid import NameOID

from reconciler.doctor.evidence import Journal, Knock, Material, Outcome, ProjectAccount, Proven, Signed
from reconciler.model.checkup import Check, CheckStatus, Checkup
from reconciler.model.errors import (
    NO_PERMISSION,
    ApiError,
    CredentialsError,
    PaygiftError,
    RemoteError,
    TransportError,
    UnverifiedError,
)
from reconciler.wechatpay.keys import (
    APIV3_KEY_BYTES,
    APIV3_KEY_REMEDY,
    Certificate,
    Credentials,
    apiv3_key_fault,
    public_key_fault,
)
from reconciler.wechatpay.signing import WINDOW_SECONDS

CHECKS: Final = (
    "variables",
    "private_key",
    "account",
    "project_account",
    "key_file",
    "certificate",
    "certificate_validity",
    "apiv3_key",
    "public_key",
    "main_host",
    "backup_host",
    "clock",
    "journal",
    "signed_call",
    "certificates",
    "verification",
    "permission",
    "image_upload",
)
"""All codes, in the order in which they are told: this machine, the network, the account."""

SKEW_WARNING_SECONDS: Final = 30
EXPIRY_WARNING_DAYS: Final = 30
META_REFUSED: Final = "图片meta信息不一致"
"""How WeChat Pay refuses a picture that is not the one of its digest (API §4)."""

_FOR_OTHERS: Final = 0o077
_DAY_SECONDS: Final = 86_400
_API_SECURITY: Final = "账户中心 → API安全"
_NO_CREDENTIALS: Final = "it needs usable credentials; see the failed checks above."
_NOT_ACCEPTED: Final = "it needs an accepted signature and usable keys; see the checks above."
_CLOCK_REMEDY: Final = (
    "Have this machine set its clock over the network (NTP; on Linux: timedatectl set-ntp true)."
)
_RENEW: Final = (
    f"Apply for a new certificate on the merchant platform ({_API_SECURITY}), "
    "then replace the private key and PAYGIFT_SERIAL_NO."
)
_ASK_FOR_PERMISSION: Final = (
    "Have the merchant's 超级管理员 open 支付有礼 on the merchant platform (产品中心), for the very merchant of "
    "PAYGIFT_MCHID. If it is open, or not offered any more, ask WeChat Pay's support for this merchant's "
    "permission to call it, with the Request-ID."
)
_ASK_FOR_UPLOAD: Final = (
    "Have the merchant's 超级管理员 open 支付有礼, 商家券 or 代金券 on the merchant platform (产品中心): the upload "
    "belongs to these products. Without it, only activities whose pictures are uploaded already can be created."
)


def judge(
    material: Material,
    project_account: ProjectAccount,
    main: Knock,
    backup: Knock | None,
    journal: Journal,
    signed: Signed | None,
    now: float,
) -> Checkup:
    """All checks in order. ``signed`` is ``None`` when nothing could be asked; ``now`` is in Unix seconds."""
    certificate, public_key = material.certificate, material.public_key
    return Checkup(
        (
            judge_variables(material.missing, material.invalid),
            judge_private_key(material.private_key),
            judge_account(material.mchid, material.serial_no, material.private_key),
            judge_project_account(material.mchid, project_account),
            judge_key_file(material.private_key_file, material.private_key_mode),
            judge_certificate(certificate, material.serial_no, material.private_key),
            judge_validity(certificate, now),
            judge_apiv3_key(material.apiv3_key),
            judge_public_key(material.public_key_id, public_key, material.private_key),
            judge_main_host(main),
            judge_backup_host(backup),
            judge_clock(main, backup),
            judge_journal(journal),
            *_judge_signed(material, signed),
        )
    )


def _judge_signed(material: Material, signed: Signed | None) -> tuple[Check, ...]:
    if signed is None:
        reason = _NO_CREDENTIALS if material.credentials() is None else "no host can be reached."
        return tuple(_skipped(code, reason) for code in CHECKS[CHECKS.index("signed_call") :])
    signed_call = judge_signed_call(signed)
    others: tuple[Check, ...] = (
        judge_certificates(signed.certificates, has_public_key=material.public_key is not None),
        judge_verification(signed.outcomes),
        judge_permission(signed.activities),
        judge_image_upload(signed.upload),
    )
    if signed_call.status is CheckStatus.FAILED:  # which has told already why the others could not be made
        others = tuple(
            _skipped(each.code, _NOT_ACCEPTED) if each.status is CheckStatus.WARNING else each
            for each in others
        )
    return (signed_call, *others)


# --- this machine ------------------------------------------------------------------------------------------------


def judge_variables(missing: Sequence[str], invalid: Sequence[PaygiftError] = ()) -> Check:
    if invalid:
        return _unusable("variables", " ".join(map(_said, invalid)), invalid[0].remedy)
    if missing:
        return _unusable(
            "variables",
            f"not set: {', '.join(missing)}.",
            "Set them, see README.md, “Credentials”; `paygift --sandbox …` needs none.",
        )
    return _ok("variables", "all that are needed are set.")


def judge_private_key(key: RSAPrivateKey | CredentialsError | None) -> Check:
    if key is None:
        return _skipped("private_key", "it is not set.")
    if isinstance(key, CredentialsError):
        return _failure("private_key", key)
    return _ok("private_key", f"RSA with {key.key_size} bits.")


def judge_account(mchid: str, serial_no: str, key: RSAPrivateKey | CredentialsError | None) -> Check:
    """The form of both numbers. Only the merchant's is shown: a serial number could be a secret in the wrong place."""
    if not (mchid and serial_no and isinstance(key, RSAPrivateKey)):
        return _skipped("account", "it needs PAYGIFT_MCHID, PAYGIFT_SERIAL_NO and the private key.")
    try:
        Credentials(mchid, serial_no, key, apiv3_key=bytes(APIV3_KEY_BYTES))
    except CredentialsError as error:
        return _failure("account", error)
    return _ok("account", f"merchant {mchid}; its serial number has the right form.")


def judge_project_account(mchid: str, named: ProjectAccount) -> Check:
    """Whether the credentials are of the account that the project belongs to. Only that one's number is shown."""
    code = "project_account"
    if isinstance(named, PaygiftError):
        return Check(
            code,
            CheckStatus.WARNING,
            "it cannot be told which account the project belongs to, since paygift.yaml cannot be read.",
            "Run `paygift validate`, and correct what it says.",
        )
    if named is None:
        return _skipped(code, "no project here names its `account`, or the sandbox is meant.")
    if not mchid:
        return _skipped(code, "PAYGIFT_MCHID is not set.")
    if mchid != named.mchid:
        return _unusable(
            code,
            f"PAYGIFT_MCHID is another number, and the project belongs to merchant {named.mchid} "
            f"(`account`, {named.source}).",
            f"Use the credentials of {named.mchid}; without them no command of this project reads or writes anything.",
        )
    return _ok(code, f"{named.mchid}, as `account` in {named.source} says.")


def judge_key_file(file: bool, mode: int | None) -> Check:
    """``file``: whether the key is in one; ``mode``: its permission bits, ``None`` where none can be read."""
    if not file:
        return _skipped("key_file", "PAYGIFT_PRIVATE_KEY_FILE is not used.")
    if mode is None:
        return _skipped("key_file", "its permissions cannot be read here.")
    if mode & _FOR_OTHERS:
        return Check(
            "key_file",
            CheckStatus.WARNING,
            f"the file that PAYGIFT_PRIVATE_KEY_FILE names is open to others than its owner (mode {mode:04o}).",
            'chmod 600 "$PAYGIFT_PRIVATE_KEY_FILE"',
        )
    return _ok("key_file", f"for its owner only (mode {mode:04o}).")


def judge_certificate(
    certificate: x509.Certificate | CredentialsError | None,
    serial_no: str,
    key: RSAPrivateKey | CredentialsError | None,
) -> Check:
    """Whether the merchant certificate, the serial number and the private key belong together."""
    code = "certificate"
    if certificate is None:
        return _skipped(
            code,
            "PAYGIFT_CERTIFICATE_FILE is not set.",
            "Let it name apiclient_cert.pem to have serial number, key and validity compared.",
        )
    if isinstance(certificate, CredentialsError):
        return _failure(code, certificate)
    own = f"{certificate.serial_number:040X}"
    if _is_platforms(certificate):
        return _unusable(
            code,
            f"the certificate {own} is a platform certificate of WeChat Pay, not the merchant's.",
            "Set PAYGIFT_CERTIFICATE_FILE to apiclient_cert.pem, and PAYGIFT_SERIAL_NO to that one's number.",
        )
    if isinstance(key, RSAPrivateKey) and certificate.public_key() != key.public_key():
        return _unusable(
            code,
            f"the merchant certificate {own} is not that of the private key.",
            "Use apiclient_key.pem and apiclient_cert.pem from the same download; if one is lost, apply for a new "
            f"certificate ({_API_SECURITY}).",
        )
    if serial_no and not _same_number(serial_no, certificate.serial_number):
        return _unusable(
            code,
            f"PAYGIFT_SERIAL_NO is not the serial number of the merchant certificate, which is {own}.",
            "Set PAYGIFT_SERIAL_NO to that, or PAYGIFT_CERTIFICATE_FILE to the certificate that you mean.",
        )
    if not isinstance(key, RSAPrivateKey):
        return _skipped(code, "there is no usable private key to compare it with.")
    return _ok(code, f"{own} belongs to the private key and to PAYGIFT_SERIAL_NO.")


def _is_platforms(certificate: x509.Certificate) -> bool:
    """By its name, which is Tenpay.com sign; a merchant's is its number."""
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return any(str(name.value).startswith("Tenpay.com") for name in names)


def judge_validity(certificate: x509.Certificate | CredentialsError | None, now: float) -> Check:
    """Whether the merchant certificate is valid at ``now``, and will be for a while."""
    code = "certificate_validity"
    if not isinstance(certificate, x509.Certificate):
        return _skipped(code, "there is no merchant certificate to look at.")
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    days = (ends.timestamp() - now) / _DAY_SECONDS
    if days < 0:
        return _unusable(code, f"it expired on {ends:%Y-%m-%d}.", _RENEW)
    if now < begins.timestamp():
        return _unusable(
            code, f"it is not valid before {begins:%Y-%m-%d}.", f"Is the clock right? {_CLOCK_REMEDY}"
        )
    if days < EXPIRY_WARNING_DAYS:
        return Check(code, CheckStatus.WARNING, f"it expires in {days:.0f} days, on {ends:%Y-%m-%d}.", _RENEW)
    return _ok(code, f"until {ends:%Y-%m-%d}.")


def judge_apiv3_key(key: bytes | None) -> Check:
    if key is None:
        return _skipped("apiv3_key", "PAYGIFT_APIV3_KEY is not set.")
    if fault := apiv3_key_fault(key):
        return _unusable("apiv3_key", f"PAYGIFT_APIV3_KEY {fault}", APIV3_KEY_REMEDY)
    return _ok("apiv3_key", f"{APIV3_KEY_BYTES} bytes.")


def judge_public_key(
    key_id: str,
    key: RSAPublicKey | CredentialsError | None,
    private_key: RSAPrivateKey | CredentialsError | None = None,
) -> Check:
    """The form of both, and that the key is not the merchant's own."""
    code = "public_key"
    if isinstance(key, CredentialsError):
        return _failure(code, key)
    if key is None or not key_id:
        return _skipped(code, "PAYGIFT_PUBLIC_KEY_ID and PAYGIFT_PUBLIC_KEY are not both set.")
    own = private_key if isinstance(private_key, RSAPrivateKey) else None
    if fault := public_key_fault(key_id, key, own):
        return _failure(code, fault)
    return _ok(code, f"RSA with {key.key_size} bits, not the merchant's own, and an id of the right form.")


def _same_number(text: str, number: int) -> bool:
    try:
        return int(text, 16) == number
    except ValueError:
        return False


# --- the network -------------------------------------------------------------------------------------------------


def judge_main_host(knock: Knock) -> Check:
    if knock.error is not None:
        return _failed("main_host", _said(knock.error), knock.error.remedy)
    return _answered("main_host", knock)


def judge_backup_host(knock: Knock | None) -> Check:
    """Never fails: paygift works without it."""
    code = "backup_host"
    if knock is None:
        return _skipped(code, "the main host is not WeChat Pay's own, and PAYGIFT_BACKUP_URL is not set.")
    if knock.error is not None:
        remedy = f"{knock.error.remedy} It is needed only when the main host fails."
        return Check(code, CheckStatus.WARNING, _said(knock.error), remedy)
    return _answered(code, knock)


def _answered(code: str, knock: Knock) -> Check:
    """WeChat Pay answers in JSON, whatever it answers; login pages and proxies do not."""
    if knock.media_type != "application/json":
        kind = knock.media_type or "no content type"
        return Check(
            code,
            CheckStatus.WARNING,
            f"{knock.host} answered, but hardly as WeChat Pay (HTTP {knock.status}, {kind}).",
            "Something in between may have: check PAYGIFT_BASE_URL, proxies, and login pages of this network.",
        )
    if knock.status == 429 or not 400 <= knock.status < 500:
        return Check(
            code,
            CheckStatus.WARNING,
            f"{knock.host} answered HTTP {knock.status}, where WeChat Pay refuses a request without signature (401).",
            "Run again in a few minutes; if it stays, check PAYGIFT_BASE_URL and proxies.",
        )
    return _ok(code, f"{knock.host} answered in {knock.milliseconds:.0f} ms.")


def judge_clock(main: Knock, backup: Knock | None) -> Check:
    """By the first ``Date`` header that came."""
    for knock in (main, backup):
        if knock is not None and knock.ahead_seconds is not None:
            return judge_skew(knock.ahead_seconds, knock.host)
    return _skipped("clock", "no answer told the time.")


def judge_skew(ahead_seconds: float, host: str) -> Check:
    """Against the clock of ``host``. Signed requests and answers are refused when they are ``WINDOW_SECONDS`` old or
    ahead (API §5.3)."""
    seconds = abs(ahead_seconds)
    direction = "ahead of" if ahead_seconds > 0 else "behind"
    text = f"this machine's clock is {seconds:.0f} s {direction} that of {host}"
    if seconds >= WINDOW_SECONDS:
        return _failed("clock", f"{text}; signatures are refused from {WINDOW_SECONDS} s.", _CLOCK_REMEDY)
    if seconds >= SKEW_WARNING_SECONDS:
        return Check("clock", CheckStatus.WARNING, f"{text}.", _CLOCK_REMEDY)
    return _ok("clock", f"{text}.")


def judge_journal(journal: Journal) -> Check:
    if journal is None:
        return _skipped("journal", "PAYGIFT_JOURNAL_URL is not set: each project has its own file.")
    if isinstance(journal, PaygiftError):
        return _failure("journal", journal)
    return _ok(
        "journal",
        f"{journal} lets us in, and holds a journal that this paygift knows or may be given one; nothing was written.",
    )


# --- the account -------------------------------------------------------------------------------------------------


def judge_signed_call(signed: Signed) -> Check:
    """Whether our signature is accepted: WeChat Pay signs its answers to requests whose signature it has accepted, and
    to no others. Any other answer tells nothing, but for a 401."""
    code = "signed_call"
    outcomes = signed.outcomes
    if any(map(_is_proven, outcomes)):
        return _ok(code, f"{signed.host} accepts our signature.")
    for outcome in outcomes:
        if isinstance(outcome, ApiError) and (_is_rejection(outcome) or outcome.changed_on_the_way):
            return _failure(code, outcome)
    first = outcomes[0]
    match first:
        case UnverifiedError():
            return _skipped(code, "what came back cannot be believed; see verification.")
        case CredentialsError():
            return _skipped(
                code, "what came back cannot be verified without the right key; see certificates."
            )
        case ApiError():
            return _unclear(code, first)
        case PaygiftError():
            return _failure(code, first)
    raise AssertionError("a proven outcome was looked for first")  # pragma: no cover


def _is_proven(outcome: Proven | PaygiftError) -> bool:
    return isinstance(outcome, Proven) or (isinstance(outcome, ApiError) and outcome.verified)


def _is_rejection(error: PaygiftError) -> bool:
    """WeChat Pay's refusal of a signature. A 401 in other words than its own is somebody else's."""
    return isinstance(error, ApiError) and error.rejects_signature


def judge_certificates(found: Sequence[Certificate] | PaygiftError | None, *, has_public_key: bool) -> Check:
    """Whether the APIv3 key opens the platform certificates."""
    code = "certificates"
    if found is None:
        return _skipped(code, "PAYGIFT_APIV3_KEY is not set; the WeChat Pay public key replaces them.")
    if isinstance(found, CredentialsError):
        if has_public_key and not isinstance(found.__cause__, InvalidTag):
            return _skipped(code, "this merchant has none; the WeChat Pay public key replaces them.")
        return _failure(code, found)
    if isinstance(found, PaygiftError):
        return _cannot_tell(code, found)
    last = max(certificate.not_after for certificate in found)
    kind = "certificate" if len(found) == 1 else "certificates"
    return _ok(code, f"the APIv3 key opens {len(found)} platform {kind}, valid until {last:%Y-%m-%d}.")


def judge_verification(outcomes: Sequence[Proven | PaygiftError]) -> Check:
    """Whether answers prove that they are WeChat Pay's: all that claimed to be a success must."""
    for outcome in outcomes:
        if isinstance(outcome, UnverifiedError):
            return _failure("verification", outcome)
    proven = sum(map(_is_proven, outcomes))
    if not proven:
        return _skipped("verification", "no answer came that WeChat Pay has signed; see the checks above.")
    answers = sum(isinstance(outcome, Proven | ApiError) for outcome in outcomes)
    return _ok("verification", f"{proven} of {answers} answers are signed by WeChat Pay.")


def judge_permission(outcome: Outcome) -> Check:
    """Whether this merchant may use pay-gift, by its list of activities. That it may create some, nothing tells but
    creating one: new activities have been closed to more and more merchants since December 2025 (API §0.3)."""
    code = "permission"
    if isinstance(outcome, Proven):
        return _ok(
            code,
            "this merchant may read its 支付有礼 activities. Whether it may still create new ones was not asked.",
        )
    if isinstance(outcome, ApiError) and outcome.verified and outcome.code in NO_PERMISSION:
        return _unusable(code, _said(outcome), _ASK_FOR_PERMISSION)
    return _cannot_tell(code, outcome)


def judge_image_upload(outcome: Outcome) -> Check:
    """Whether pictures may be uploaded, by an upload whose digest is wrong: its refusal is the good news."""
    code = "image_upload"
    if isinstance(outcome, Proven):
        return Check(
            code,
            CheckStatus.WARNING,
            "permitted, but a picture with a wrong digest was taken: one pixel, used by nothing, is stored now.",
            "WeChat Pay may have changed its interface: look for a newer paygift, or report this.",
        )
    if isinstance(outcome, ApiError) and outcome.verified:
        if outcome.code in NO_PERMISSION:
            return _unusable(code, _said(outcome), _ASK_FOR_UPLOAD)
        if outcome.code == "REQUEST_BLOCKED" and META_REFUSED in outcome.text:
            return _ok(
                code, "an upload was refused for its wrong digest and nothing else; nothing was uploaded."
            )
    return _cannot_tell(code, outcome)


def _cannot_tell(code: str, outcome: PaygiftError | Proven | None) -> Check:
    """What has failed an earlier check is not told again."""
    if isinstance(outcome, UnverifiedError):
        return _skipped(code, "what came back cannot be believed; see verification.")
    if isinstance(outcome, TransportError) or (isinstance(outcome, ApiError) and not _is_rejection(outcome)):
        return _unclear(code, outcome)
    return _skipped(code, _NOT_ACCEPTED)


def _unclear(code: str, error: ApiError | TransportError) -> Check:
    unsigned = isinstance(error, ApiError) and not error.verified
    doubt = " WeChat Pay has not signed this answer, so it proves nothing." if unsigned else ""
    return Check(code, CheckStatus.WARNING, f"this cannot be told now: {_said(error)}{doubt}", error.remedy)


# --- saying it ---------------------------------------------------------------------------------------------------


def _ok(code: str, text: str) -> Check:
    return Check(code, CheckStatus.OK, text)


def _skipped(code: str, reason: str, remedy: str = "") -> Check:
    return Check(code, CheckStatus.SKIPPED, reason, remedy)


def _failed(code: str, text: str, remedy: str) -> Check:
    return Check(code, CheckStatus.FAILED, text, remedy)


def _unusable(code: str, text: str, remedy: str) -> Check:
    """A failure of the credentials themselves, or of what they are permitted: what exits 4 in other commands too."""
    return Check(code, CheckStatus.FAILED, text, remedy, credentials=True)


def _failure(code: str, error: PaygiftError) -> Check:
    credentials = isinstance(error, CredentialsError) or _is_rejection(error)
    return Check(code, CheckStatus.FAILED, _said(error), error.remedy, credentials=credentials)


def _said(error: PaygiftError) -> str:
    """The error in one line, without its remedy."""
    request_id = error.request_id if isinstance(error, RemoteError) else ""
    trace = f" (Request-ID {request_id})" if request_id else ""
    return f"{error.message.rstrip('.')}{trace}."
