"""What is found about a request before it may come in: whose it is, or what is wrong with it, and why perhaps. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from reconciler.sandbox import gate, near_miss
from reconciler.sandbox.call import Call
from reconciler.sandbox.refusal import Refusal
from reconciler.wechatpay.signing import Authorization


@dataclass(frozen=True, slots=True)
class Found:
    """``verdict`` is ``ok``, or what is wrong with the signature; with it comes the caller's mchid, or the refusal that
    keeps the request out. ``near_miss`` and ``expected`` are for the log alone."""

    verdict: str
    mchid: str = ""
    refusal: Refusal | None = None
    near_miss: str = ""
    expected: str = ""

    @property
    def verified(self) -> bool:
        """Only requests that could be verified have an effect, and get a signed answer (API §5.3)."""
        return self.verdict == "ok"


def examine(call: Call, account: gate.Account, others: Mapping[str, RSAPublicKey], now: datetime) -> Found:
    """``others`` are keys which somebody might have signed with by mistake, by name."""
    try:
        if call.body is None:
            raise Refusal(413, "PARAM_ERROR", "请求体过大")
        gate.check_headers(call.headers)
        mchid = gate.check_signature(call.authorization, call.signed, account, now)
    except Refusal as refusal:
        if refusal.status != 401:
            return Found("not checked", refusal=refusal)
        hint, expected = _look_closer(call, refusal.detail["field"], account, others, now)
        return Found(refusal.detail["detail"]["issue"], "", refusal, hint, expected)
    return Found("ok", mchid)


def _look_closer(
    call: Call, field: str, account: gate.Account, others: Mapping[str, RSAPublicKey], now: datetime
) -> tuple[str, str]:
    """What might have gone wrong with ``field`` of the Authorization header, and what should have been signed."""
    if field == "signature":
        given = Authorization.parse(call.authorization)
        signed = call.signed
        host = call.headers.get("host", "")
        sent = near_miss.Sent(signed.method, signed.target, signed.body, call.body or b"", host)
        return near_miss.explain(sent, given, account.public_key, others), near_miss.expected(sent, given)
    if field == "timestamp":
        timestamp = Authorization.parse(call.authorization).timestamp
        return near_miss.timestamp_hint(timestamp, now.timestamp()), ""
    if field == "serial_no":
        serial_no = Authorization.parse(call.authorization).serial_no
        return near_miss.serial_hint(serial_no, account.serial_no), ""
    return "", ""
