"""The other side: answers every request, after a while, with the same proven answer. `python -m benchmarks.server`.

It must never be what is measured. So it is a process of its own, reads no more of a request than its target, does
not check signatures, and signs once a second. ``?ms=50`` in a target asks for an answer after 50 milliseconds.

Its first line of output is JSON: ``base_url``, ``public_key_id`` and ``public_key`` (PEM). It listens on loopback,
and ends when its standard input does, and so with the process that started it.
"""

import asyncio
import json
import sys
import threading
import time

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from reconciler.wechatpay import signing

PUBLIC_KEY_ID = "PUB_KEY_ID_0000000000000000000000000001"
NONCE = "c5ac7061fccab6bf3e254dcf98995b8c"
BODY = json.dumps(
    {
        "activity_id": "20406354",
        "activity_type": "FULL_SEND_ACT_TYPE",
        "activity_status": "ONGOING_ACT_STATUS",
        "create_time": "2026-03-01T12:00:00+08:00",
        "update_time": "2026-03-01T12:00:00+08:00",
        "activity_base_info": {
            "activity_name": "良品铺子回馈活动",
            "activity_second_title": "海飞丝的券",
            "merchant_logo_url": "https://wxpaylogo.qpic.cn/wxpaylogo/logo/0",
            "background_color": "COLOR020",
            "begin_time": "2026-03-02T00:00:00+08:00",
            "end_time": "2026-03-31T23:59:59+08:00",
            "out_request_no": "1900000001_20260301_0001",
            "delivery_purpose": "OFF_LINE_PAY",
        },
        "award_send_rule": {
            "full_send_rule": {
                "transaction_amount_minimum": 100,
                "send_content": "SINGLE_COUPON",
                "award_type": "BUSIFAVOR",
                "award_list": [{"stock_id": "1001", "original_image_url": "https://a/0"}],
                "merchant_option": "MANUAL_INPUT_MERCHANT",
                "merchant_id_list": [],
            }
        },
        "advanced_setting": {"delivery_user_category": "DELIVERY_ALL_PERSON", "goods_tags": ["tag1"]},
    },
    ensure_ascii=False,
).encode()


class Answers:
    """The whole answer as bytes, signed anew when the second has changed."""

    def __init__(self, key: rsa.RSAPrivateKey) -> None:
        self._key = key
        self._second = 0
        self._answer = b""

    def now(self) -> bytes:
        second = int(time.time())
        if second != self._second:
            self._second = second
            proof = signing.response_headers(
                self._key, serial_no=PUBLIC_KEY_ID, timestamp=str(second), nonce=NONCE, body=BODY
            )
            head = [
                "HTTP/1.1 200 OK",
                "Server: nginx",
                "Content-Type: application/json; charset=utf-8",
                f"Content-Length: {len(BODY)}",
                "Connection: keep-alive",
                "Request-ID: 08F78BB3BB0610D50218F69E9D5F20A0B70428F8E602-0",
                *(f"{name}: {value}" for name, value in proof.items()),
            ]
            self._answer = "\r\n".join([*head, "", ""]).encode() + BODY
        return self._answer


class Connection(asyncio.Protocol):
    """One client. Requests have no body, and come one at a time."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._loop = asyncio.get_running_loop()
        self._head = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._head += data
        if self._head.endswith(b"\r\n\r\n"):
            target = self._head.split(b" ", 2)[1]
            self._head = b""
            milliseconds = int(target.rpartition(b"?ms=")[2])
            if milliseconds:
                # Half a millisecond less: the event loop rounds up to whole ones.
                self._loop.call_later((milliseconds - 0.5) / 1000, self._answer)
            else:
                self._answer()

    def _answer(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(self._answers.now())


async def serve() -> None:
    key = rsa.generate_private_key(65537, 2048)
    answers = Answers(key)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(answers), "127.0.0.1", 0, backlog=2048)
    about = {
        "base_url": f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}",
        "public_key_id": PUBLIC_KEY_ID,
        "public_key": key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode("ascii"),
    }
    print(json.dumps(about), flush=True)
    stop = asyncio.Event()

    def watch() -> None:
        sys.stdin.read()
        loop.call_soon_threadsafe(stop.set)

    threading.Thread(target=watch, daemon=True).start()
    await stop.wait()
    server.close()


if __name__ == "__main__":
    asyncio.run(serve())
