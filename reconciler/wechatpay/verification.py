"""Whether an answer is WeChat Pay's: signed by a key of the keyring, over this body, in our time (API §5.3). Pure."""

from __future__ import annotations

from typing import Final

from reconciler.model.errors import ApiError, UnverifiedError
from reconciler.wechatpay import error_answers, signing
from reconciler.wechatpay.arrival import Sent
from reconciler.wechatpay.call import Call, Exchange
from reconciler.wechatpay.keyring import Keyring
from reconciler.wechatpay.keys import PUBLIC_KEY_ID_PREFIX

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})


def proof_of(call: Call, exchange: Exchange) -> signing.Proof:
    """The answer's proof, complete and of our time. Raises UnverifiedError."""
    if 300 <= exchange.status < 400 and exchange.status not in _REDIRECTS:
        raise unverified(
            call,
            f"HTTP {exchange.status} is neither a success nor an error, and WeChat Pay never answers so",
            exchange,
            remedy="It may come from a cache in between: check PAYGIFT_BASE_URL and proxies.",
        )
    if exchange.status in _REDIRECTS:
        raise unverified(
            call,
            f"it is a redirect (HTTP {exchange.status}), which is never followed",
            exchange,
            remedy="Check PAYGIFT_BASE_URL, and whether this network asks for a login first.",
            lasting=True,
        )
    try:
        proof = signing.Proof.read(exchange.headers)
    except ValueError as error:
        raise unverified(
            call,
            f"it is not signed as WeChat Pay signs (HTTP {exchange.status}, {error})",
            exchange,
            remedy="It may come from something in between: check PAYGIFT_BASE_URL and proxies.",
        ) from error
    age = proof.age_seconds(exchange.received_at)
    if abs(age) >= signing.WINDOW_SECONDS:
        wrong_clock = error_answers.clock_remedy(exchange.headers, exchange.received_at)
        raise unverified(
            call,
            f"its timestamp is {abs(age):.0f} s in the {'past' if age > 0 else 'future'}; "
            f"less than {signing.WINDOW_SECONDS} s are accepted",
            exchange,
            remedy=wrong_clock or "Something in between may have repeated an old answer: check caches and proxies.",
            lasting=bool(wrong_clock),
        )
    return proof


def check(call: Call, exchange: Exchange, proof: signing.Proof, keyring: Keyring) -> None:
    """Raises UnverifiedError unless a key of the keyring signed the answer."""
    key = keyring.key_for(proof.serial_no, exchange.received_at)
    if key is None:
        raise unverified(
            call,
            # Cut: nobody has proven it yet, and it may be of any length.
            f"it is signed with the key {proof.serial_no[:100]!r}, which is unknown or not valid now",
            exchange,
            remedy=_serial_remedy(proof.serial_no),
            lasting=True,
        )
    if not proof.holds(key, exchange.body):
        why = f"its signature is not that of key {proof.serial_no[:100]!r} over this answer"
        if proof.is_probe:
            why += f" (marked {signing.PROBE_PREFIX}: WeChat Pay sends a few wrong ones to test its clients)"
        raise unverified(call, why, exchange, remedy=_signature_remedy(proof))


def _signature_remedy(proof: signing.Proof) -> str:
    """Platform certificates vouch for their own keys; nothing does for a public key that somebody has given us."""
    if proof.is_probe or not proof.serial_no.startswith(PUBLIC_KEY_ID_PREFIX):
        return "Run again; if this stays, check proxies that rewrite answers."
    return (
        "Check that PAYGIFT_PUBLIC_KEY is the key of PAYGIFT_PUBLIC_KEY_ID: the merchant platform shows both together "
        "(账户中心 → API安全 → 微信支付公钥). If it is, check proxies that rewrite answers."
    )


def _serial_remedy(serial_no: str) -> str:
    if serial_no.startswith(PUBLIC_KEY_ID_PREFIX):
        return "Set PAYGIFT_PUBLIC_KEY_ID and PAYGIFT_PUBLIC_KEY to the WeChat Pay public key of that id."
    return (
        "If this merchant uses a WeChat Pay public key, finish the change to it on the merchant platform, or set "
        "PAYGIFT_APIV3_KEY too; otherwise check PAYGIFT_BASE_URL."
    )


def unverified(
    call: Call, why: str, exchange: Exchange | None = None, *, remedy: str = "", lasting: bool = False
) -> UnverifiedError:
    """The error for an answer that proves nothing; ``lasting`` if another try would fare no better."""
    return UnverifiedError(
        f"the answer is not believed: {why}{'' if why.endswith('.') else '.'}",
        method=call.method,
        path=call.path,
        request_id="" if exchange is None else exchange.request_id,
        remedy=remedy,
        lasting=lasting,
    )


def error_answer(call: Call, exchange: Exchange, *, verified: bool) -> ApiError:
    """The error that an answer of HTTP status 400 or more is."""
    return error_answers.api_error(
        Sent(call.method, call.target, call.signed_body, exchange.host),
        path=call.path,
        status=exchange.status,
        headers=exchange.headers,
        body=exchange.body,
        verified=verified,
        received_at=exchange.received_at,
    )
