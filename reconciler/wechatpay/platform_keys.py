"""The keys that answers are verified with: the WeChat Pay public key, and certificates, fetched when needed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from pydantic import ValidationError

from reconciler.model.errors import ApiError, CredentialsError, RemoteError, UnverifiedError
from reconciler.wechatpay import error_answers, signing, wire
from reconciler.wechatpay.call import Call, Exchange
from reconciler.wechatpay.keyring import Certificate, Keyring, open_certificates
from reconciler.wechatpay.keys import PUBLIC_KEY_ID_PREFIX, Credentials
from reconciler.wechatpay.retry import Retry
from reconciler.wechatpay.verification import check, error_answer, proof_of, unverified


class PlatformKeys:
    """Those of the other side, for one merchant. ``exchange`` sends one request, and ``retry`` sends it again."""

    def __init__(self, credentials: Credentials, retry: Retry, exchange: Callable[[Call], Awaitable[Exchange]]) -> None:
        self._credentials = credentials
        self._retry = retry
        self._exchange = exchange
        self._keyring = Keyring(credentials.public_key_id, credentials.public_key)
        self._refreshing = asyncio.Lock()

    async def ready(self) -> None:
        """Before anything is sent: credentials that cannot verify an answer must not cause a write."""
        if not self._keyring:
            await self._refresh(self._keyring)

    async def fetch(self) -> tuple[Certificate, ...]:
        """Platform certificates, anew. Raises CredentialsError without an APIv3 key, or what ``exchange`` raises."""
        await self._refresh(self._keyring)
        return self._keyring.certificates

    async def verify(self, call: Call, exchange: Exchange) -> None:
        """Raises UnverifiedError, or CredentialsError when ours cannot verify it. An unknown platform certificate is
        fetched first."""
        proof = proof_of(call, exchange)
        keyring = self._keyring
        if keyring.key_for(proof.serial_no, exchange.received_at) is None and self._may_refresh(proof):
            keyring = await self._refresh_for(call, keyring)
        check(call, exchange, proof, keyring)

    def _may_refresh(self, proof: signing.Proof) -> bool:
        # No list of certificates has the id of a public key.
        return self._credentials.apiv3_key is not None and not proof.serial_no.startswith(PUBLIC_KEY_ID_PREFIX)

    async def _refresh_for(self, call: Call, stale: Keyring) -> Keyring:
        """Refresh because of an answer. That the refresh failed says nothing about the answered request: a 404 or
        429 of the certificates must not be taken for its own. It has had its own tries, so there are no more."""
        try:
            await self._refresh(stale)
        except (RemoteError, CredentialsError) as error:
            # A write has left by now, and only an UnverifiedError says that its outcome is unknown.
            if isinstance(error, CredentialsError) and call.method == "GET":
                raise
            raise unverified(
                call,
                f"it could not be verified, because fetching the platform certificates failed: {error}",
                lasting=True,
            ) from error
        return self._keyring

    async def _refresh(self, stale: Keyring) -> None:
        """Replace the keyring, unless another task has done so since ``stale`` was seen."""
        async with self._refreshing:
            if self._keyring is stale:
                self._keyring = await self._retry.run(self._fetch_certificates, write=False)

    async def _fetch_certificates(self) -> Keyring:
        """AES-GCM under the APIv3 key vouches for the certificates; then they must vouch for their own answer."""
        if self._credentials.apiv3_key is None:
            raise CredentialsError(
                "platform certificates cannot be read without an APIv3 key.", remedy="Set PAYGIFT_APIV3_KEY."
            )
        call = Call("GET", wire.CERTIFICATES_PATH)
        exchange = await self._exchange(call)
        if exchange.status >= 400:
            signed = bool(exchange.headers.get("Wechatpay-Signature"))  # by a key that nobody has yet
            raise _no_certificates(error_answer(call, exchange, verified=False), signed=signed)
        proof = proof_of(call, exchange)
        try:
            listed = wire.Certificates.model_validate_json(exchange.body)
        except ValidationError as error:
            raise unverified(call, "it is not a list of platform certificates", exchange) from error
        certificates = open_certificates(listed, self._credentials.apiv3_key)
        keyring = Keyring(self._credentials.public_key_id, self._credentials.public_key, certificates)
        check(call, exchange, proof, keyring)
        return keyring


def _no_certificates(error: ApiError, *, signed: bool) -> RemoteError | CredentialsError:
    """A 404 here is about certificates; whoever asked for an activity must not take it for the activity's."""
    if error.status != 404:
        return error
    if error.code == "RESOURCE_NOT_EXISTS":
        return CredentialsError(
            f"this merchant has no platform certificates ({error.text}).",
            remedy="Newer accounts use the WeChat Pay public key: set PAYGIFT_PUBLIC_KEY_ID and PAYGIFT_PUBLIC_KEY."
            + ("" if signed else f" {error_answers.UNSIGNED}"),
        )
    return UnverifiedError(
        "WeChat Pay's platform certificates do not exist here (HTTP 404), so this is probably not WeChat Pay.",
        method=error.method,
        path=error.path,
        request_id=error.request_id,
        remedy="Check PAYGIFT_BASE_URL and proxies.",
    )
