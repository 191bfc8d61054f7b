"""Credentials say what is wrong with them and never show a secret; certificates open only with the right key."""

from __future__ import annotations

import base64
import functools
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID

from reconciler.model.errors import CredentialsError, UnverifiedError
from reconciler.wechatpay import wire
from reconciler.wechatpay.keyring import Keyring, open_certificates
from reconciler.wechatpay.keys import Credentials, load_private_key, load_public_key

NOW = 1_800_000_000
TODAY = datetime.fromtimestamp(NOW, UTC)
MCHID = "1900000001"
SERIAL_NO = "5157F09EFDC096DE15EBE81A47057A7232F1B8E1"
APIV3_KEY = b"0123456789abcdef0123456789ABCDEF"
PUBLIC_KEY_ID = "PUB_KEY_ID_0114232134912410000000000000"

SECRET_WORDS = (APIV3_KEY.decode(), "BEGIN PRIVATE", "MIIE")


@functools.cache
def rsa_key(name: str, bits: int = 2048) -> rsa.RSAPrivateKey:
    """A key for each role, made once for all tests of a process."""
    return rsa.generate_private_key(65537, bits)


def pem_of(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, password: bytes | None = None) -> bytes:
    encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


def public_pem_of(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def certificate_pem(
    key: CertificateIssuerPrivateKeyTypes, serial_no: int, begin: datetime, days: float = 1825
) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Tenpay.com sign")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), serial_no, begin, begin + timedelta(days=days))
    return builder.sign(key, SHA256()).public_bytes(serialization.Encoding.PEM)


def seal(pem: bytes, serial_no: str, **changes: str) -> dict[str, Any]:
    """An element of what ``/v3/certificates`` lists (API §5.5)."""
    nonce, associated_data = "61f9c719728a", "certificate"
    ciphertext = AESGCM(APIV3_KEY).encrypt(nonce.encode(), pem, associated_data.encode())
    sealed = {
        "algorithm": "AEAD_AES_256_GCM",
        "nonce": nonce,
        "associated_data": associated_data,
        "ciphertext": base64.b64encode(ciphertext).decode(),
    }
    return {
        "serial_no": serial_no,
        "effective_time": "2026-01-01T00:00:00+08:00",
        "expire_time": "2031-01-01T00:00:00+08:00",
        "encrypt_certificate": {**sealed, **changes},
    }


def sealed_certificate(
    role: str, serial_no: int, begin: datetime = TODAY, days: float = 1825, **changes: str
) -> dict[str, Any]:
    return seal(certificate_pem(rsa_key(role), serial_no, begin, days), f"{serial_no:040X}", **changes)


def credentials(**changes: Any) -> Credentials:
    given: dict[str, Any] = {
        "mchid": MCHID,
        "serial_no": SERIAL_NO,
        "private_key": rsa_key("merchant"),
        "apiv3_key": APIV3_KEY,
    }
    return Credentials(**{**given, **changes})


def public_key_credentials(**changes: Any) -> Credentials:
    key = rsa_key("public").public_key()
    return credentials(**{"apiv3_key": None, "public_key_id": PUBLIC_KEY_ID, "public_key": key, **changes})


# --- credentials ------------------------------------------------------------------------------------------------------


def test_the_repr_of_credentials_shows_who_but_no_secret() -> None:
    shown = repr(credentials()) + str(credentials())
    assert MCHID in shown
    assert SERIAL_NO in shown
    assert "[secure]" in shown
    assert not any(word in shown for word in SECRET_WORDS)


def test_credentials_need_only_one_way_to_verify() -> None:
    assert public_key_credentials().apiv3_key is None
    assert "apiv3_key=None" in repr(public_key_credentials())
    assert credentials().public_key is None
    assert public_key_credentials(apiv3_key=APIV3_KEY).public_key is not None


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"mchid": "1900"}, "8 to 15 digits, found 4 characters."),
        ({"mchid": "１９００００００００"}, "8 to 15 digits"),
        ({"mchid": "1900000001\n"}, "8 to 15 digits"),
        ({"serial_no": "serial=5157"}, "hex digits, found 11 characters, not all of them letters and digits"),
        ({"serial_no": ""}, "hex digits"),
        ({"serial_no": "5" * 41}, "hex digits"),
        ({"apiv3_key": APIV3_KEY + b"\n"}, "exactly 32 bytes, found 33"),
        ({"apiv3_key": b""}, "exactly 32 bytes, found 0"),
        ({"mchid": APIV3_KEY.decode()}, "found 32 characters"),
        ({"serial_no": APIV3_KEY.decode() + "!"}, "found 33 characters"),
        ({"apiv3_key": None}, "neither an APIv3 key nor a WeChat Pay public key"),
        ({"public_key_id": PUBLIC_KEY_ID}, "PAYGIFT_PUBLIC_KEY_ID is set, but PAYGIFT_PUBLIC_KEY is not"),
    ],
)
def test_credentials_say_what_is_wrong(changes: dict[str, Any], found: str) -> None:
    with pytest.raises(CredentialsError, match=found) as caught:
        credentials(**changes)
    assert caught.value.remedy
    assert not any(word in str(caught.value) for word in SECRET_WORDS)


def test_a_public_key_needs_its_id() -> None:
    with pytest.raises(CredentialsError, match="PAYGIFT_PUBLIC_KEY is set, but PAYGIFT_PUBLIC_KEY_ID is not"):
        public_key_credentials(public_key_id="")
    with pytest.raises(CredentialsError, match="must begin with PUB_KEY_ID_, found 4 characters"):
        public_key_credentials(public_key_id="0114")


def test_short_keys_are_refused() -> None:
    short = rsa_key("short", 1024)
    with pytest.raises(CredentialsError, match="private key has 1024 bits"):
        credentials(private_key=short)
    with pytest.raises(CredentialsError, match="public key has 1024 bits"):
        public_key_credentials(public_key=short.public_key())


# --- loading ----------------------------------------------------------------------------------------------------------


def test_a_private_key_loads_from_text_and_from_bytes() -> None:
    pem = pem_of(rsa_key("merchant"))
    assert load_private_key(pem, where="x").private_numbers() == rsa_key("merchant").private_numbers()
    assert load_private_key(f"\ufeff\n{pem.decode()}\n", where="x").key_size == 2048


def test_a_public_key_loads() -> None:
    pem = public_pem_of(rsa_key("public"))
    assert load_public_key(pem.decode(), where="x").public_numbers() == rsa_key("public").public_key().public_numbers()


def _bad_private_keys() -> dict[str, tuple[bytes, str]]:
    pem = pem_of(rsa_key("merchant"))
    traditional = b"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n"
    return {
        "empty": (b"", "is not PEM"),
        "binary": (b"\xff\xfe\x00", "is not PEM"),
        "cut short": (pem[: len(pem) // 2], "cut short or damaged"),
        "damaged": (pem.replace(b"\n", b"\nA", 2), "cut short or damaged"),
        "certificate": (
            certificate_pem(rsa_key("merchant"), 1, TODAY),
            "holds a certificate, not a private key",
        ),
        "public key": (public_pem_of(rsa_key("merchant")), "holds a public key, not a private key"),
        "encrypted": (pem_of(rsa_key("merchant"), b"secret"), "encrypted with a passphrase"),
        "encrypted, old": (traditional, "encrypted with a passphrase"),
        "elliptic": (pem_of(ec.generate_private_key(ec.SECP256R1())), "not an RSA key"),
        "short": (pem_of(rsa_key("short", 1024)), "has 1024 bits"),
    }


def test_what_is_no_private_key_is_named_with_place_and_remedy() -> None:
    for pem, found in _bad_private_keys().values():
        with pytest.raises(CredentialsError, match=found) as caught:
            load_private_key(pem, where="PAYGIFT_PRIVATE_KEY")
        assert caught.value.message.startswith("PAYGIFT_PRIVATE_KEY ")
        assert caught.value.remedy
        assert not any(word in str(caught.value) for word in SECRET_WORDS)


def test_what_is_no_public_key_is_named_too() -> None:
    cases = [
        (b"hello", "is not PEM"),
        (pem_of(rsa_key("merchant")), "holds a private key, not a public key"),
        (public_pem_of(rsa_key("public"))[:90], "cut short or damaged"),
        (public_pem_of(ec.generate_private_key(ec.SECP256R1())), "not an RSA key"),
        (public_pem_of(rsa_key("short", 1024)), "has 1024 bits"),
    ]
    for pem, found in cases:
        with pytest.raises(CredentialsError, match=found):
            load_public_key(pem, where="pub_key.pem")


# --- platform certificates --------------------------------------------------------------------------------------------


def _opened(*listed: dict[str, Any], key: bytes = APIV3_KEY) -> Keyring:
    answer = wire.Certificates.model_validate_json(json.dumps({"data": listed}))
    return Keyring(certificates=open_certificates(answer, key))


def test_certificates_open_with_the_apiv3_key() -> None:
    keyring = _opened(sealed_certificate("platform", 0xABC), sealed_certificate("next", 0xDEF))
    found = keyring.key_for(f"{0xDEF:040X}", NOW)
    assert found is not None
    assert found.public_numbers() == rsa_key("next").public_key().public_numbers()
    assert [one.serial_no for one in keyring.certificates] == [f"{0xABC:040X}", f"{0xDEF:040X}"]


@pytest.mark.parametrize("written", ["ABC", "abc", "0ABC"])
def test_serial_numbers_are_compared_as_numbers(written: str) -> None:
    assert _opened(sealed_certificate("platform", 0xABC)).key_for(written, NOW) is not None


def test_an_unknown_serial_number_has_no_key() -> None:
    keyring = _opened(sealed_certificate("platform", 0xABC))
    assert keyring.key_for("ABCD", NOW) is None
    assert keyring.key_for("", NOW) is None


def test_a_certificate_is_used_only_while_it_is_valid() -> None:
    keyring = _opened(sealed_certificate("platform", 0xABC, TODAY, days=1))
    valid = [keyring.key_for("ABC", NOW + second) is not None for second in (-301, -300, 0, 86_400, 86_401)]
    assert valid == [False, True, True, True, False]


def test_a_keyring_is_true_when_it_holds_any_key() -> None:
    assert not Keyring()
    assert Keyring("PUB_KEY_ID_1", rsa_key("public").public_key())
    assert _opened(sealed_certificate("platform", 0xABC))


def test_the_wrong_apiv3_key_is_called_that() -> None:
    wrong = b"x" * 32
    with pytest.raises(CredentialsError, match="the APIv3 key is not this merchant's") as caught:
        _opened(sealed_certificate("platform", 0xABC), key=wrong)
    assert "PAYGIFT_APIV3_KEY" in caught.value.remedy
    assert wrong.decode() not in str(caught.value)


def test_certificates_for_other_algorithms_are_passed_over() -> None:
    foreign = sealed_certificate("platform", 0xDEF, algorithm="AEAD_SM4_GCM")
    assert len(_opened(foreign, sealed_certificate("platform", 0xABC)).certificates) == 1
    with pytest.raises(UnverifiedError, match="none of the 1 listed uses AEAD_AES_256_GCM"):
        _opened(foreign)


def test_certificates_that_cannot_be_read_prove_nothing() -> None:
    elliptic = ec.generate_private_key(ec.SECP256R1())
    cases = [
        (sealed_certificate("platform", 0xABC, ciphertext="%%%"), "is damaged"),
        (sealed_certificate("platform", 0xABC, nonce="short"), "is damaged"),
        (seal(b"no certificate", "ABC"), "is damaged"),
        (seal(certificate_pem(rsa_key("platform"), 0xABC, TODAY), "DEF"), "0ABC is listed under 'DEF'"),
        (seal(certificate_pem(elliptic, 0xABC, TODAY), "ABC"), "0ABC holds no RSA key"),
    ]
    for listed, found in cases:
        with pytest.raises(UnverifiedError, match=found):
            _opened(listed)
