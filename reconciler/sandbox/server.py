"""Running the sandbox: embedded in a thread, in the foreground, and finding one that runs already."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import os
import socket
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Final, Self

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from reconciler.model.errors import PaygiftError, SandboxError, UsageError
from reconciler.sandbox.api import HANG_UP
from reconciler.sandbox.app import app, is_loopback_url
from reconciler.sandbox.control import Control, RunningSandbox, ask
from reconciler.sandbox.keys import FOLDER, Keys
from reconciler.sandbox.options import DEFAULTS, SandboxOptions
from reconciler.sandbox.world import World
from reconciler.system import paygift_folder as folder

__all__ = ["Control", "Keys", "RunningSandbox", "Sandbox", "find_running", "serve"]

DEFAULT_DIRECTORY: Final = Path(".paygift/sandbox")
_SERVER_FILE: Final = "server.json"
_STARTUP_SECONDS: Final = 15.0
_GRACE_SECONDS: Final = 3.0
"""How long a stopping server waits for the requests that it is answering."""


class Sandbox(Control):
    """A sandbox on an ephemeral port of 127.0.0.1, served by a background thread while in its ``with`` block.

    ``keys`` spares tests the making of new ones; they are then neither read from ``directory`` nor written there.
    Raises SandboxError if it cannot start, above all when another process uses ``directory``.
    """

    def __init__(
        self,
        directory: Path = DEFAULT_DIRECTORY,
        *,
        options: SandboxOptions = DEFAULTS,
        keys: Keys | None = None,
    ) -> None:
        super().__init__("", directory, keys or _ready(directory), has_certificates=options.public_key != "only")
        self._options = options

    def __enter__(self) -> Self:
        world = _world(self.directory, self._options, self.keys)
        listener = _listen("127.0.0.1", 0)
        self.base_url = _url(listener)
        about = _about(self.base_url, self.directory, self._options)
        self._server = _Server(world, about, after=listener.close)
        self._thread = threading.Thread(target=self._server.run, args=([listener],), name="sandbox", daemon=True)
        self._thread.start()
        if not self._server.ready.wait(_STARTUP_SECONDS):
            raise SandboxError("The embedded sandbox did not start in time.")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.stop()
        self._thread.join()


def serve(
    directory: Path = DEFAULT_DIRECTORY,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    options: SandboxOptions = DEFAULTS,
    ready: Callable[[RunningSandbox], None] = lambda _: None,
) -> None:
    """Serve until SIGINT or SIGTERM; then return, or end by that signal, as uvicorn does.

    Port 0 takes a free one. ``ready`` is called once requests are answered. Meanwhile ``server.json`` in
    ``directory`` tells other commands where the server is. Raises SandboxError for an address that is not loopback,
    a port in use, and a directory in use.
    """
    keys = _ready(directory)
    note = directory / _SERVER_FILE
    folder.check(note)
    listener = _listen(host, port)
    about = _about(_url(listener), directory, options)
    try:
        world = _world(directory, options, keys)
    except PaygiftError:
        listener.close()
        raise

    def announce() -> None:
        folder.write(note, json.dumps(about))
        ready(_running(about, directory, keys))

    def leave() -> None:
        note.unlink(missing_ok=True)
        listener.close()

    # uvicorn raises the signal once more when it has shut down.
    with contextlib.suppress(KeyboardInterrupt):
        _Server(world, about, before=announce, after=leave).run([listener])


def find_running(directory: Path = DEFAULT_DIRECTORY) -> RunningSandbox | None:
    """The sandbox that ``serve`` runs for ``directory``, or ``None``.

    A file that a killed server left behind counts for nothing: the server must answer, and be the one of the file.
    Raises SandboxError for a file that leads away from this machine, UsageError for a link: no server has written that.
    """
    note = directory / _SERVER_FILE
    try:
        about = json.loads(folder.read(note) or b"")
        base_url = about["base_url"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    if not is_loopback_url(base_url):
        raise SandboxError(f"{note} leads away from this machine, to where no sandbox is.", remedy="Remove that file.")
    try:
        if ask(base_url, "/sandbox/about", timeout=5.0) != about:
            return None
        return _running(about, directory, Keys.read(directory / FOLDER))
    except (OSError, ValueError, KeyError, TypeError, SandboxError):
        return None


class _Protocol(H11Protocol):
    """HTTP/1.1 whose requests carry a way to close their connection, for faults: ASGI itself has none."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        inner = self.app

        async def outer(scope: Any, receive: Any, send: Any) -> None:
            # Closing sends what was written before, and then no more.
            await inner({**scope, "extensions": {HANG_UP: transport.close}}, receive, send)

        self.app = outer


class _Server(uvicorn.Server):
    """uvicorn with hooks. ``ready`` is set once requests are answered; the world is closed with the server."""

    def __init__(
        self,
        world: World,
        about: Mapping[str, Any],
        *,
        before: Callable[[], None] = lambda: None,
        after: Callable[[], None],
    ) -> None:
        # h11 sends header names as they are given, and API §11 wants the real service's case.
        config = uvicorn.Config(
            app(world, about=about),
            http=_Protocol,
            loop="asyncio",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=75,
        )
        super().__init__(config)
        self.ready = threading.Event()
        self._world = world
        self._before = before
        self._after = after

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        await super().startup(sockets)
        self._before()
        self.ready.set()

    async def main_loop(self) -> None:
        # uvicorn looks ten times a second whether it should stop; tests stop hundreds of servers.
        await self._stopping.wait()

    def stop(self) -> None:
        """End the server; from any thread."""
        self.should_exit = True
        self._loop.call_soon_threadsafe(self._stopping.set)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        self.stop()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """What uvicorn does at this point, without its fixed pause."""
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        await self._idle()
        # Who waits for a late answer gets none. Were the task cancelled instead, uvicorn would print a traceback.
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await self._idle()
        self._after()
        self._world.close()

    async def _idle(self) -> None:
        """Wait for what is being answered, ``_GRACE_SECONDS`` at most."""
        state, deadline = self.server_state, self._loop.time() + _GRACE_SECONDS
        while (state.connections or state.tasks) and self._loop.time() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.002)  # uvicorn tells nobody when a connection has gone


def _about(base_url: str, directory: Path, options: SandboxOptions) -> dict[str, Any]:
    return {
        "base_url": base_url,
        "pid": os.getpid(),
        "directory": str(directory.absolute()),
        "has_certificates": options.public_key != "only",
    }


def _running(about: Mapping[str, Any], directory: Path, keys: Keys) -> RunningSandbox:
    return RunningSandbox(about["base_url"], directory, keys, has_certificates=about["has_certificates"])


def _ready(directory: Path) -> Keys:
    try:
        folder.make(directory)
    except UsageError as error:
        raise SandboxError(error.message, remedy=error.remedy) from error
    try:
        return Keys.in_directory(directory)
    except OSError as error:
        raise SandboxError(f"The sandbox's directory {directory} cannot be used: {error}.") from error


def _world(directory: Path, options: SandboxOptions, keys: Keys) -> World:
    directory.mkdir(parents=True, exist_ok=True)
    return World.in_directory(directory, options=options, keys=keys)


def _listen(host: str, port: int) -> socket.socket:
    """A socket that listens on a loopback address: the control endpoints ask nobody who they are."""
    try:
        address = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError:
        raise SandboxError(f"{host!r} is not a loopback address.", remedy="Use 127.0.0.1.") from None
    if not address.is_loopback:
        raise SandboxError(f"The sandbox serves loopback only, not {host}.", remedy="Use 127.0.0.1.")
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    # With the protocol named, asyncio sets TCP_NODELAY on what it accepts: without, an answer takes 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        # On Windows this option lets two servers share a port.
        if os.name == "posix":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((str(address), port))
        listener.listen(2048)
        return listener
    except OSError as error:
        listener.close()
        raise SandboxError(f"The sandbox cannot listen on {host}:{port}: {error}.") from error


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if listener.family == socket.AF_INET6 else f"http://{host}:{port}"
