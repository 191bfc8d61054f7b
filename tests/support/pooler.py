"""A pool between a client and PostgreSQL that gives each transaction a session of its choice, as pgbouncer does with
``pool_mode=transaction``. Serves the server of the fixture ``postgresql``, which trusts everybody, on a TCP port.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import URL, make_url

_SSL, _GSS, _CANCEL = 80877103, 80877104, 80877102
_PROTOCOL = 196608


@dataclass
class Pooler:
    """Sessions with the server, of which the one that was free last is taken first, or with ``in_turn`` the one that
    was free longest. With ``per_client`` a client keeps its session, as in session mode.
    """

    server: URL
    in_turn: bool = False
    per_client: bool = False
    _free: list[socket.socket] = field(default_factory=list)
    _all: list[socket.socket] = field(default_factory=list)
    _hello: bytes = b""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self) -> socket.socket:
        with self._lock:
            if not self._free:
                self._free.append(self._connect())
            return self._free.pop(0 if self.in_turn else -1)

    def give(self, session: socket.socket) -> None:
        with self._lock:
            self._free.append(session)

    def warm(self, sessions: int) -> None:
        """Have so many sessions ready."""
        for session in [self.take() for _ in range(sessions)]:
            self.give(session)

    def _connect(self) -> socket.socket:
        session = socket.socket(socket.AF_UNIX)
        session.connect(str(Path(str(self.server.query["host"])) / ".s.PGSQL.5432"))
        names = {"user": self.server.username or "postgres", "database": self.server.database or ""}
        body = struct.pack("!I", _PROTOCOL) + b"".join(f"{name}\0{value}\0".encode() for name, value in names.items())
        body += b"\0"
        session.sendall(struct.pack("!I", len(body) + 4) + body)
        self._hello = _until_ready(session)[0]
        self._all.append(session)
        return session

    def serve(self, client: socket.socket) -> None:
        with suppress(OSError, EOFError), client:
            self._welcome(client)
            session: socket.socket | None = None
            while True:
                kind, message = _message(client)
                if kind == b"X":
                    break
                session = session or self.take()
                session.sendall(message)
                if kind in b"QS":
                    answer, state = _until_ready(session)
                    if state == b"I" and not self.per_client:
                        self.give(session)
                        session = None
                    client.sendall(answer)

    def _welcome(self, client: socket.socket) -> None:
        while True:
            (length,) = struct.unpack("!I", _exactly(client, 4))
            (code,) = struct.unpack("!I", _exactly(client, length - 4)[:4])
            if code not in (_SSL, _GSS):
                break
            client.sendall(b"N")
        self.give(self.take())
        client.sendall(self._hello)

    def close(self) -> None:
        for session in self._all:
            session.close()


def _exactly(source: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = source.recv(count - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data


def _message(source: socket.socket) -> tuple[bytes, bytes]:
    head = _exactly(source, 5)
    (length,) = struct.unpack("!I", head[1:])
    return head[:1], head + _exactly(source, length - 4)


def _until_ready(session: socket.socket) -> tuple[bytes, bytes]:
    """All that the server says until it is ready for more, and the state of the transaction then."""
    said = b""
    while True:
        kind, message = _message(session)
        said += message
        if kind == b"Z":
            return said, message[-1:]


@contextmanager
def pooled(database_url: str, *, in_turn: bool = False, per_client: bool = False) -> Iterator[tuple[Pooler, str]]:
    """A pool before the database of that URL, and the URL of the pool."""
    pooler = Pooler(make_url(database_url), in_turn, per_client)
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                threading.Thread(target=pooler.serve, args=(client,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    port = listener.getsockname()[1]
    try:
        yield pooler, f"postgresql://postgres@127.0.0.1:{port}/{pooler.server.database}"
    finally:
        listener.close()
        pooler.close()
