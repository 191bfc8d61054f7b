"""Signatures by value: RFC 7515 gives the key and the known answer, the API documents the messages."""

from __future__ import annotations

import base64

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st

from reconciler.wechatpay import signing
from reconciler.wechatpay.signing import Authorization, Proof

# RFC 7515, appendix A.2: an example key that everybody knows.
_N = """
ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pC
gNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg6
65xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRW
yuXpoQ
"""
_D = """
Eq5xpGnNCivDflJsRQBXHx1hdR1k6Ulwe2JZD50LpXyWPEAeP88vLNO97IjlA7_GQ5sLKMgvfTeXZx9SE-7YwVol2NXOoAJe46sui395IW_GO-pW
J1O0BkTGoVEn2bKVRUCgu-GjBVaYLU6f3l9kJfFNS3E0QbVdxzubSu3Mkqzjkn439X0M_V51gfpRLI9JYanrC4D4qAdGcopV_0ZHHzQlBjudU2Qv
Xt4ehNYTCBr6XCLQUShb1juUO1ZdiYoFaFQT5Tw8bGUl_x_jTj3ccPDVZFD9pIuhLhBOneufuBiB4cS98l2SR_RQyGWSeWjnczT0QU91p1DhOVRu
OopznQ
"""
_SIGNING_INPUT = (
    b"eyJhbGciOiJSUzI1NiJ9"
    b".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
)
_SIGNATURE = """
cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t
1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12j
zDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQ
Ge77Rw
"""


def _raw(text: str) -> bytes:
    compact = "".join(text.split())
    return base64.urlsafe_b64decode(compact + "=" * (-len(compact) % 4))


def _rfc_key() -> rsa.RSAPrivateKey:
    n, d = int.from_bytes(_raw(_N)), int.from_bytes(_raw(_D))
    p, q = rsa.rsa_recover_prime_factors(n, 65537, d)
    numbers = rsa.RSAPrivateNumbers(
        p, q, d, d % (p - 1), d % (q - 1), rsa.rsa_crt_iqmp(p, q), rsa.RSAPublicNumbers(65537, n)
    )
    return numbers.private_key()


KEY = _rfc_key()
SIGNATURE = base64.b64encode(_raw(_SIGNATURE)).decode()


def test_sign_gives_the_known_answer_of_rfc_7515() -> None:
    assert signing.sign(KEY, _SIGNING_INPUT) == SIGNATURE


def test_verifies_accepts_the_known_answer_and_nothing_near_it() -> None:
    public = KEY.public_key()
    assert signing.verifies(public, _SIGNING_INPUT, SIGNATURE)
    assert not signing.verifies(public, _SIGNING_INPUT + b"\n", SIGNATURE)
    assert not signing.verifies(public, _SIGNING_INPUT, "A" + SIGNATURE[1:])


@pytest.mark.parametrize("signature", ["", "not base64!", "签名", signing.PROBE_PREFIX + SIGNATURE, "AAAA"])
def test_text_that_is_no_signature_does_not_verify(signature: str) -> None:
    assert not signing.verifies(KEY.public_key(), _SIGNING_INPUT, signature)


def test_the_message_of_a_request_is_five_lines_each_with_its_newline() -> None:
    message = signing.request_message("GET", "/v3/certificates?a=%E7%A4%BC", "1554208460", "593BEC0C", b"")
    assert message == b"GET\n/v3/certificates?a=%E7%A4%BC\n1554208460\n593BEC0C\n\n"


def test_the_message_of_a_request_ends_with_the_exact_body() -> None:
    body = '{"name":"礼"}'.encode()
    assert signing.request_message("POST", "/v3/x", "1", "n", body) == b"POST\n/v3/x\n1\nn\n" + body + b"\n"


@pytest.mark.parametrize(
    ("body", "message"), [(b"{}", b"1554209980\nc5ac7061\n{}\n"), (b"", b"1554209980\nc5ac7061\n\n")]
)
def test_the_message_of_an_answer_is_three_lines_also_without_a_body(body: bytes, message: bytes) -> None:
    assert signing.response_message("1554209980", "c5ac7061", body) == message


def test_authorize_writes_a_header_that_parses_back_and_verifies() -> None:
    header = signing.authorize(
        KEY,
        mchid="1900000001",
        serial_no="5157F09E",
        method="GET",
        target="/v3/x",
        timestamp="7",
        nonce="N",
        body=b"",
    )
    read = Authorization.parse(header)
    assert (read.mchid, read.serial_no, read.timestamp, read.nonce_str) == (
        "1900000001",
        "5157F09E",
        "7",
        "N",
    )
    assert signing.verifies(KEY.public_key(), b"GET\n/v3/x\n7\nN\n\n", read.signature)


def test_an_authorization_parses_in_any_order_and_with_spaces() -> None:
    written = Authorization("1900000001", "N", "c2ln", "7", "ABC")
    shuffled = f'{signing.SCHEME} serial_no="ABC", timestamp="7" ,mchid="1900000001",signature="c2ln",nonce_str="N"'
    assert Authorization.parse(shuffled) == written
    assert Authorization.parse(written.header()) == written


@pytest.mark.parametrize(
    ("header", "complaint"),
    [
        ("", "scheme"),
        ("Bearer token", "scheme"),
        (f"{signing.SCHEME} mchid=1900000001", "pairs"),
        (f'{signing.SCHEME} mchid="1",mchid="2"', "once"),
        (f'{signing.SCHEME} mchid="1"', "exactly"),
        (f"{signing.SCHEME} ", "exactly"),
    ],
)
def test_an_authorization_that_is_not_whole_is_refused(header: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Authorization.parse(header)


def _headers(**changes: str) -> httpx.Headers:
    made = signing.response_headers(KEY, serial_no="5157F09E", timestamp="1554209980", nonce="c5ac", body=b"{}")
    return httpx.Headers({**made, **{name.replace("_", "-"): value for name, value in changes.items()}})


def test_response_headers_make_a_proof_that_holds() -> None:
    proof = Proof.read(_headers())
    assert proof.serial_no == "5157F09E"
    assert proof.holds(KEY.public_key(), b"{}")
    assert not proof.holds(KEY.public_key(), b"{ }")
    assert not proof.is_probe


def test_a_proof_shows_no_signature() -> None:
    proof = Proof.read(_headers())
    assert proof.signature not in repr(proof)


@pytest.mark.parametrize("name", signing.PROOF_HEADERS)
@pytest.mark.parametrize("value", [None, "", "  "])
def test_a_proof_needs_each_of_its_headers(name: str, value: str | None) -> None:
    headers = _headers()
    del headers[name]
    if value is not None:
        headers[name] = value
    with pytest.raises(ValueError, match=f"^{name} missing or empty$"):
        Proof.read(headers)


@pytest.mark.parametrize(
    "timestamp", ["soon", "-5", "1e9", "1554209980.5", "15542 09980", "１５５４", "9" * 5000, "1, 2"]
)
def test_a_timestamp_is_a_plain_number_of_seconds(timestamp: str) -> None:
    with pytest.raises(ValueError, match="not a number of seconds"):
        Proof.read({**_headers(), **dict.fromkeys(signing.PROOF_HEADERS, "x"), "Wechatpay-Timestamp": timestamp})


def test_age_is_positive_for_the_past_and_negative_for_the_future() -> None:
    proof = Proof.read(_headers())
    assert proof.age_seconds(1554209990.5) == 10.5
    assert proof.age_seconds(1554209970) == -10


def test_a_probe_is_recognised_and_does_not_hold() -> None:
    proof = Proof.read(_headers(Wechatpay_Signature=signing.PROBE_PREFIX + SIGNATURE))
    assert proof.is_probe
    assert not proof.holds(KEY.public_key(), b"{}")


@given(st.text(st.characters(max_codepoint=0x2FF)), st.binary())
def test_no_text_makes_verification_raise(signature: str, body: bytes) -> None:
    assert not signing.verifies(KEY.public_key(), body, signature)
