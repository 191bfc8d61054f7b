"""Whatever somebody gives as a key: it is taken where it can be nothing else, else named, and never repeated."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import zipfile
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.hazmat.primitives.serialization.pkcs7 import serialize_certificates
from cryptography.hazmat.primitives.serialization.pkcs12 import serialize_key_and_certificates
from cryptography.x509.oid import NameOID

from reconciler.cli import run
from reconciler.commands.settings import remote_from
from reconciler.doctor.evidence import Material
from reconciler.doctor.local import read
from reconciler.model.errors import CredentialsError
from reconciler.system.environment import stripped
from reconciler.wechatpay.key_formats import pieces_of
from reconciler.wechatpay.key_source import LARGEST_FILE
from tests.wechatpay.test_keys import (
    APIV3_KEY,
    MCHID,
    PUBLIC_KEY_ID,
    SERIAL_NO,
    certificate_pem,
    pem_of,
    public_pem_of,
    rsa_key,
)

PRIVATE, PUBLIC, CERTIFICATE = "PAYGIFT_PRIVATE_KEY", "PAYGIFT_PUBLIC_KEY", "PAYGIFT_CERTIFICATE"
VARIABLES: Final = (PRIVATE, PUBLIC, CERTIFICATE)
FILES: Final = {PRIVATE: "apiclient_key.pem", PUBLIC: "pub_key.pem", CERTIFICATE: "apiclient_cert.pem"}
BEGAN: Final = datetime(2026, 1, 1, tzinfo=UTC)
OWN: Final = 0x5157F09EFDC096DE15EBE81A47057A7232F1B8E1


class Given(NamedTuple):
    """``wanted_by`` are the variables for which it is the right thing; for others the message holds ``words``."""

    content: bytes
    words: str
    wanted_by: tuple[str, ...] = ()


@cache
def material() -> dict[str, bytes]:
    """The right thing for each variable, as PEM. The private key is not the public key's other half."""
    own = rsa_key("merchant")
    return {
        PRIVATE: pem_of(own),
        PUBLIC: public_pem_of(rsa_key("public")),
        CERTIFICATE: certificate_pem(own, OWN, BEGAN),
    }


def body(pem: bytes) -> bytes:
    return b"".join(pem.splitlines()[1:-1])


def der(pem: bytes) -> bytes:
    return base64.b64decode(body(pem))


def escaped(pem: bytes, line_break: bytes) -> bytes:
    return pem.replace(b"\n", line_break)


STATES: Final[Mapping[str, Callable[[bytes], bytes]]] = {
    "as it should be": lambda pem: pem,
    "CRLF": lambda pem: escaped(pem, b"\r\n"),
    "CR": lambda pem: escaped(pem, b"\r"),
    r"\n": lambda pem: escaped(pem, rb"\n"),
    r"\r\n": lambda pem: escaped(pem, rb"\r\n"),
    r"\\n": lambda pem: escaped(pem, rb"\\n"),
    "in JSON quotes": lambda pem: json.dumps(pem.decode()).encode(),
    "in JSON by PHP": lambda pem: json.dumps(pem.decode()).replace("/", r"\/").encode(),
    "within JSON": lambda pem: json.dumps({"key": pem.decode(), "id": 1}).encode(),
    "spaces for line breaks": lambda pem: escaped(pem, b" "),
    "tabs for line breaks": lambda pem: escaped(pem, b"\t"),
    "no line breaks": lambda pem: escaped(pem, b""),
    "no white space at all": lambda pem: b"".join(pem.split()),
    "indented": lambda pem: b"  " + escaped(pem, b"\n\t  "),
    "blank lines": lambda pem: escaped(pem, b"\n\n"),
    "full-width blanks": lambda pem: escaped(pem, "\u3000\u00a0\n".encode()),
    "zero-width blanks": lambda pem: escaped(pem, "\u200b\n\ufeff".encode()),
    "typographic dashes": lambda pem: pem.decode().replace("-----", "—–-").encode(),
    "four dashes": lambda pem: pem.replace(b"-----", b"----"),
    "quoted": lambda pem: b'"' + pem.strip() + b'"',
    "text around": lambda pem: "商户私钥:\n".encode() + pem + "勿外传 END\n".encode(),
    "GBK around": lambda pem: "商户私钥:\n".encode("gbk") + pem,
    "Bag Attributes": lambda pem: b"Bag Attributes\n    localKeyID: 01 02\nKey Attributes: <No Attributes>\n" + pem,
    "UTF-8 BOM": lambda pem: b"\xef\xbb\xbf" + pem,
    "UTF-16 LE": lambda pem: b"\xff\xfe" + pem.decode().encode("utf-16-le"),
    "UTF-16 BE": lambda pem: b"\xfe\xff" + pem.decode().encode("utf-16-be"),
    "UTF-16 without BOM": lambda pem: pem.decode().encode("utf-16-le"),
    "UTF-16 from a shell": lambda pem: b"\xff\xfe" + pem,
    "twice the same": lambda pem: pem + pem,
    "DER": der,
    "DER and a line break": lambda pem: der(pem) + b"\n",
    "bare Base64": body,
    "bare Base64 in lines": lambda pem: b"\n".join(pem.splitlines()[1:-1]) + b"\n",
    "bare Base64 in quotes": lambda pem: b"'" + body(pem) + b"'",
    "bare Base64 without =": lambda pem: body(pem).rstrip(b"="),
    "bare Base64 in UTF-16": lambda pem: b"\xff\xfe" + body(pem).decode().encode("utf-16-le"),
    "Base64 of the PEM file": base64.b64encode,
    "Base64 of the PEM file in lines": base64.encodebytes,
    "after an elliptic curve": lambda pem: (
        b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n" + pem
    ),
}
"""In which states the right thing may be."""


@cache
def others() -> dict[str, Given]:
    """Other things, and what a message calls them."""
    own, pem, certificate = rsa_key("merchant"), material()[PRIVATE], material()[CERTIFICATE]
    loaded = x509.load_pem_x509_certificate(certificate)
    request = x509.CertificateSigningRequestBuilder(x509.Name([])).sign(own, SHA256())
    pkcs12 = serialize_key_and_certificates(
        b"Tenpay Certificate", own, loaded, None, serialization.BestAvailableEncryption(MCHID.encode())
    )
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr("geheim.pem", pem)
    locked = own.private_bytes(Encoding.DER, PrivateFormat.PKCS8, serialization.BestAvailableEncryption(MCHID.encode()))
    traditional = b"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n"
    return {
        "PKCS#12": Given(pkcs12, "a PKCS#12 file (.p12, .pfx)"),
        "PKCS#12 in Base64": Given(base64.b64encode(pkcs12), "a PKCS#12 file (.p12, .pfx)"),
        "PKCS#7": Given(serialize_certificates([loaded], Encoding.DER), "a PKCS#7 file"),
        "PKCS#7 in PEM": Given(serialize_certificates([loaded], Encoding.PEM), "a PKCS#7 file"),
        "a request": Given(request.public_bytes(Encoding.PEM), "a certificate request (CSR)"),
        "a request in DER": Given(request.public_bytes(Encoding.DER), "a certificate request (CSR)"),
        "encrypted": Given(pem_of(own, b"secret"), "a private key that is encrypted with a passphrase"),
        "encrypted DER": Given(locked, "a private key that is encrypted with a passphrase"),
        "encrypted, old": Given(
            traditional + b"-----END RSA PRIVATE KEY-----\n",
            "a private key that is encrypted with a passphrase",
        ),
        "OpenSSH": Given(
            own.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()), "an OpenSSH private key"
        ),
        "an SSH public key": Given(
            own.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH), "an SSH public key"
        ),
        "PuTTY": Given(b"PuTTY-User-Key-File-3: ssh-rsa\nEncryption: none\n", "a PuTTY key"),
        "PGP": Given(
            b"-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nlQOYBF\n-----END PGP PRIVATE KEY BLOCK-----\n",
            "a PGP block",
        ),
        "parameters": Given(
            b"-----BEGIN DH PARAMETERS-----\nMEYCQQDaWDwW2YUiidDkr3VvTMqS\n-----END DH PARAMETERS-----\n",
            "a PEM block of another kind",
        ),
        "a keystore": Given(b"\xfe\xed\xfe\xed\x00\x00\x00\x02" + bytes(40), "a Java keystore"),
        "a zip": Given(zipped.getvalue(), "a zip archive"),
        "a gzip": Given(b"\x1f\x8b\x08" + bytes(60), "a compressed archive"),
        "a web page": Given(
            b"\n<!DOCTYPE html><html><title>Sign in, geheim</title></html>", "a web page (HTML)"
        ),
        "a web page without doctype": Given(b"<html><body>502 Bad Gateway</body></html>", "a web page (HTML)"),
        "a .NET key": Given(b"<RSAKeyValue><Modulus>geheimgeheim</Modulus></RSAKeyValue>", "XML"),
        "JSON": Given(b'{"code": "PARAM_ERROR", "message": "geheimgeheim"}', "JSON"),
        "JWK": Given(b'[{"kty": "RSA", "n": "geheimgeheimgeheim"}]', "JSON"),
        "a Git LFS pointer": Given(
            b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 1704\n", "a Git LFS pointer"
        ),
        "an empty file": Given(b"", "it holds nothing"),
        "blanks": Given(" \r\n\u200b\ufeff\n".encode(), "it holds nothing"),
        "a path": Given(b"/srv/geheim/schluessel.pem", "the name of a file"),
        "a path with blanks": Given(b"/srv/ge heim/schlu essel.pem\n", "the name of a file"),
        "a Windows path": Given(rb"C:\new\repository\schluessel.pem", "the name of a file"),
        "a file's name": Given(b"schluessel-geheim.pem", "the name of a file"),
        "a home": Given(b"~/geheim/schluessel", "the name of a file"),
        "a placeholder": Given(b"${{ secrets.GEHEIMER_SCHLUESSEL }}", "a placeholder"),
        "a shell's placeholder": Given(b"$GEHEIMER_SCHLUESSEL", "a placeholder"),
        "stars": Given(b"****************", "a placeholder"),
        "an APIv3 key": Given(APIV3_KEY, "PAYGIFT_APIV3_KEY is for that"),
        "a serial number": Given(SERIAL_NO.encode(), "PAYGIFT_SERIAL_NO is for that"),
        "an id": Given(PUBLIC_KEY_ID.encode(), "PAYGIFT_PUBLIC_KEY_ID is for that"),
        "percent-encoded": Given(
            pem.replace(b"\n", b"%0A").replace(b"+", b"%2B").replace(b"-", b"%2D").replace(b" ", b"%20"),
            "percent-encoded text",
        ),
        "hexadecimal": Given(der(pem).hex().encode(), "text without a -----BEGIN"),
        "other words": Given(b"geheim, wirklich geheim", "text without a -----BEGIN"),
        "other bytes": Given(b"\x00\x01geheimgeheim\xff\xfe", "binary data"),
        "a long line of dashes": Given(b"-" * 100_000, "text without a -----BEGIN"),
    }  # fmt: skip


def as_sm2(pem: bytes) -> bytes:
    """The same with the name of the curve changed to that of 国密."""
    return der(pem).replace(bytes.fromhex("06082a8648ce3d030107"), bytes.fromhex("06082a811ccf5501822d"))


@cache
def mistaken() -> dict[str, Given]:
    """Right in kind for one variable, and still unusable; for the others it is another thing."""
    pem = material()[PRIVATE]
    elliptic = ec.generate_private_key(ec.SECP256R1())
    edwards = ed25519.Ed25519PrivateKey.generate()
    old = dsa.generate_private_key(1024)
    return {
        "elliptic": Given(pem_of(elliptic), "a private key that is not an RSA key", (PRIVATE,)),
        "elliptic, SEC 1": Given(
            elliptic.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()),
            "not an RSA key",
            (PRIVATE,),
        ),
        "elliptic DER": Given(
            elliptic.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption()),
            "not an RSA key",
            (PRIVATE,),
        ),
        "Edwards": Given(
            edwards.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
            "not an RSA key",
            (PRIVATE,),
        ),
        "DSA": Given(
            old.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()),
            "not an RSA key",
            (PRIVATE,),
        ),
        "SM2": Given(as_sm2(pem_of(elliptic)), "not an RSA key", (PRIVATE,)),
        "SM2, public": Given(as_sm2(public_pem_of(elliptic)), "not an RSA key", (PUBLIC,)),
        "short": Given(pem_of(rsa_key("short", 1024)), "has 1024 bits", (PRIVATE,)),
        "elliptic, public": Given(public_pem_of(elliptic), "a public key that is not an RSA key", (PUBLIC,)),
        "short, public": Given(public_pem_of(rsa_key("short", 1024)), "has 1024 bits", (PUBLIC,)),
        "no END": Given(pem[:-20], "cut short or damaged", (PRIVATE,)),
        "half": Given(pem[: len(pem) // 2], "cut short or damaged", (PRIVATE,)),
        "a letter too many": Given(pem.replace(b"\n", b"\nA", 2), "cut short or damaged", (PRIVATE,)),
        "a line too few": Given(
            b"\n".join(pem.splitlines()[:5] + pem.splitlines()[6:]), "cut short or damaged", (PRIVATE,)
        ),
        "another END": Given(pem.replace(b"END PRIVATE", b"END RSA PRIVATE"), "cut short or damaged", (PRIVATE,)),
        "nothing within": Given(
            b"-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----", "cut short or damaged", (PRIVATE,)
        ),
        "an example within": Given(
            b"-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----", "cut short or damaged", (PRIVATE,)
        ),
        "half of bare Base64": Given(body(pem)[:800], "cut short or damaged", (PRIVATE,)),
        "a line of bare Base64": Given(body(pem)[:64], "cut short or damaged", (PRIVATE,)),
        "half of DER": Given(der(pem)[:600], "cut short or damaged", (PRIVATE,)),
        "half of a certificate": Given(der(material()[CERTIFICATE])[:300], "cut short or damaged", (CERTIFICATE,)),
        "two different keys": Given(pem + pem_of(rsa_key("public")), "2 different private keys", (PRIVATE,)),
        "two different public keys": Given(
            public_pem_of(rsa_key("merchant")) + material()[PUBLIC], "2 different public keys", (PUBLIC,)
        ),
    }


# --- how it is given --------------------------------------------------------------------------------------------------


def environ(name: str, content: bytes, file: Path | None) -> dict[str, str]:
    """Everything right, but for what ``name`` holds: in its variable, or in ``file``."""
    given = {
        "PAYGIFT_MCHID": MCHID,
        "PAYGIFT_SERIAL_NO": SERIAL_NO,
        "PAYGIFT_APIV3_KEY": APIV3_KEY.decode(),
        "PAYGIFT_PUBLIC_KEY_ID": PUBLIC_KEY_ID,
        **{each: pem.decode() for each, pem in material().items()},
    }
    del given[name]
    if file is None:
        return {**given, name: os.fsdecode(content)}
    file.write_bytes(content)
    return {**given, f"{name}_FILE": str(file)}


def ways(name: str, content: bytes, folder: Path) -> list[dict[str, str]]:
    """As text, where a variable can hold it, and as a file. A variable with nothing but blanks is not set."""
    as_file = environ(name, content, folder / "geben.pem")
    unset = not stripped(content.decode(errors="replace"))
    return [as_file] if b"\0" in content or unset else [as_file, environ(name, content, None)]


def seen_by_the_doctor(name: str, found: Material) -> object:
    return {PRIVATE: found.private_key, PUBLIC: found.public_key, CERTIFICATE: found.certificate}[name]


def refusals(name: str, given: dict[str, str]) -> list[CredentialsError]:
    """Of the doctor, and of the commands; these do not look at the certificate."""
    judged = seen_by_the_doctor(name, read(given))
    assert isinstance(judged, CredentialsError)
    if name == CERTIFICATE:
        return [judged]
    with pytest.raises(CredentialsError) as caught:
        remote_from(given)
    return [judged, caught.value]


def assert_not_repeated(content: bytes, said: str) -> None:
    text = content.decode("latin-1")
    runs = {text[at : at + 12] for at in range(len(text) - 11)}
    assert [run for run in runs if run.strip("-") and run in said] == []


def numbers(key: Any) -> object:
    return key.serial_number if isinstance(key, x509.Certificate) else key.public_key().public_numbers() if hasattr(
        key, "public_key"
    ) else key.public_numbers()  # fmt: skip


def right(name: str) -> object:
    return {
        PRIVATE: numbers(rsa_key("merchant")),
        PUBLIC: numbers(rsa_key("public").public_key()),
        CERTIFICATE: OWN,
    }[name]


@pytest.mark.parametrize("name", VARIABLES)
@pytest.mark.parametrize("state", STATES)
def test_the_right_thing_is_taken_in_any_state_in_which_it_can_be_nothing_else(
    state: str, name: str, tmp_path: Path
) -> None:
    for given in ways(name, STATES[state](material()[name]), tmp_path):
        assert numbers(seen_by_the_doctor(name, read(given))) == right(name)
        remote_from(given)


@pytest.mark.parametrize("name", VARIABLES)
def test_other_states_of_the_same_key_are_the_same_key(name: str, tmp_path: Path) -> None:
    own, theirs = rsa_key("merchant"), rsa_key("public").public_key()
    pkcs1 = own.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    public = theirs.public_bytes(Encoding.DER, PublicFormat.PKCS1)
    chosen = {PRIVATE: pkcs1, PUBLIC: public, CERTIFICATE: der(material()[CERTIFICATE])}[name]
    marked = {
        PRIVATE: b"-----BEGIN RSA PRIVATE KEY-----\n" + body(material()[PRIVATE]) + b"\n-----END RSA PRIVATE KEY-----",
        PUBLIC: b"-----BEGIN PUBLIC KEY-----" + base64.b64encode(public) + b"-----END PUBLIC KEY-----",
        CERTIFICATE: material()[CERTIFICATE].replace(b"CERTIFICATE", b"TRUSTED CERTIFICATE"),
    }[name]  # markers that somebody has put around it by hand
    bundle = material()[CERTIFICATE] + material()[PUBLIC] + material()[PRIVATE]
    for content in (chosen, base64.b64encode(chosen), marked, bundle):
        for given in ways(name, content, tmp_path):
            assert numbers(seen_by_the_doctor(name, read(given))) == right(name)
            remote_from(given)


@pytest.mark.parametrize("name", VARIABLES)
@pytest.mark.parametrize("thing", [*others(), *mistaken(), *VARIABLES])
def test_anything_else_is_named_with_its_variable_and_its_remedy(thing: str, name: str, tmp_path: Path) -> None:
    kinds = {PRIVATE: "a private key", PUBLIC: "a public key", CERTIFICATE: "a certificate"}
    swapped = {each: Given(pem, f"holds {kinds[each]}, not", (each,)) for each, pem in material().items()}
    known = {**others(), **mistaken(), **swapped}[thing]
    if thing in VARIABLES and name == thing:
        return
    for given in ways(name, known.content, tmp_path):
        for refusal in refusals(name, given):
            assert re.match(rf"(the file that )?{name}", refusal.message)
            if not known.wanted_by or name in known.wanted_by or thing in VARIABLES:
                assert known.words in str(refusal)
            assert FILES[name] in refusal.remedy or "openssl pkey" in refusal.remedy
            assert_not_repeated(known.content, str(refusal).replace(name, ""))


def test_what_can_be_extracted_comes_with_the_command(tmp_path: Path) -> None:
    pkcs12 = others()["PKCS#12"].content
    (private,) = (refusals(PRIVATE, each)[1] for each in ways(PRIVATE, pkcs12, tmp_path))
    assert "openssl pkcs12 -in apiclient_cert.p12 -nocerts -nodes -out apiclient_key.pem" in private.remedy
    assert "the password is the merchant number" in private.remedy
    (certificate,) = (refusals(CERTIFICATE, each)[0] for each in ways(CERTIFICATE, pkcs12, tmp_path))
    assert "-clcerts -nokeys -out apiclient_cert.pem" in certificate.remedy
    (public,) = (refusals(PUBLIC, each)[1] for each in ways(PUBLIC, pkcs12, tmp_path))
    assert "openssl" not in public.remedy


def test_the_only_certificate_that_is_no_authoritys_is_meant(tmp_path: Path) -> None:
    authority = _authority()
    for content in (authority + material()[CERTIFICATE], material()[CERTIFICATE] + authority):
        for given in ways(CERTIFICATE, content, tmp_path):
            assert numbers(read(given).certificate) == OWN
    other = certificate_pem(rsa_key("public"), 7, BEGAN)
    for given in ways(CERTIFICATE, other + material()[CERTIFICATE], tmp_path):
        (refusal,) = refusals(CERTIFICATE, given)
        assert "holds 2 different certificates, and it is unclear which one to use" in refusal.message


def _authority() -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Tenpay.com Root CA")])
    builder = x509.CertificateBuilder(name, name, rsa_key("platform").public_key(), 1, BEGAN, BEGAN.replace(year=2040))
    made = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    return made.sign(rsa_key("platform"), SHA256()).public_bytes(Encoding.PEM)


# --- files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", VARIABLES)
def test_what_is_no_file_is_named_and_not_waited_for(name: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.pem")
    (tmp_path / "folder.pem").mkdir()
    (tmp_path / "long.pem").write_bytes(material()[PRIVATE] + b"\n" * LARGEST_FILE)
    (tmp_path / "to-zero.pem").symlink_to("/dev/zero")
    (tmp_path / "loop.pem").symlink_to("loop.pem")
    found = {
        "pipe.pem": "names a pipe instead of a file",
        "folder.pem": "names a folder instead of a file",
        "to-zero.pem": "names a device instead of a file",
        "long.pem": "is larger than 256 KiB",
        "loop.pem": "cannot be read: Too many levels",
        "missing.pem": "cannot be read: No such file",
        "long.pem/key.pem": "cannot be read: Not a directory",
    }
    for file, words in found.items():
        given = environ(name, b"", tmp_path / "unused")
        for refusal in refusals(name, {**given, f"{name}_FILE": str(tmp_path / file)}):
            assert words in refusal.message
            assert refusal.message.startswith(f"{name}_FILE names a ")
            assert file not in refusal.message
            assert refusal.remedy


@pytest.mark.parametrize("name", VARIABLES)
def test_a_secret_where_a_files_name_belongs_is_not_repeated(name: str, tmp_path: Path) -> None:
    pem = material()[PRIVATE].decode()
    for secret, words in {
        pem: "holds a private key instead of a file's name",
        escaped(pem.encode(), rb"\n").decode(): "holds a private key instead of a file's name",
        body(pem.encode()).decode(): "holds a private key instead of a file's name",
        body(pem.encode()).decode()[:200]: "holds a private key instead of a file's name",
        body(pem.encode()).decode()[64:]: "cannot be read",
        body(pem.encode()).decode()[64:164]: "cannot be read",
        APIV3_KEY.decode(): "as an APIv3 key has instead of a file's name",
        "postgresql://paygift:geheimgeheim@db/journal": "cannot be read",
        "geheim geheim geheim": "cannot be read",
        "geheimgeheimgeheim": "cannot be read",
        "https://hook.example/geheimgeheim.pem": "cannot be read",
        "geheimgeheim\udcff.pem": "cannot be read",
        "geheimgeheim\0.pem": "cannot be read",
    }.items():
        given = {**environ(name, b"", tmp_path / "unused"), f"{name}_FILE": secret}
        for refusal in refusals(name, given):
            assert words in refusal.message
            assert refusal.message.startswith(f"{name}_FILE ")
            assert_not_repeated(secret.encode("utf-8", "surrogateescape"), str(refusal))


@pytest.mark.parametrize(
    "made", ["-BEGIN A" * 20_000, "-----BEGIN A-----" * 10_000, "-" * 200_000, "-----BEGIN " * 20_000]
)
def test_what_is_made_to_take_long_does_not(made: str) -> None:
    assert len(pieces_of(made)) == 1


# --- on the command line ----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("_no_variables")
@pytest.mark.parametrize("command", ["plan", "doctor", "status", "apply", "drift"])
def test_commands_say_it_too(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "paygift.yaml").write_text("namespace: liangpin\n")
    (tmp_path / "activities").mkdir()
    content = others()["PKCS#12"].content
    settings = {
        "PAYGIFT_BASE_URL": "http://127.0.0.1:9",
        "PAYGIFT_BACKUP_URL": "",
        **environ(PRIVATE, content, tmp_path / "key"),
    }
    for variable, value in settings.items():
        monkeypatch.setenv(variable, value)
    assert run(["-C", str(tmp_path), command]) == 4
    said = "".join(capfd.readouterr())
    assert "PAYGIFT_PRIVATE_KEY_FILE" in said
    assert "is not PEM: it holds a PKCS#12 file (.p12, .pfx)." in said
    assert "Traceback" not in said
