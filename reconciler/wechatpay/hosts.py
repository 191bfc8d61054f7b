"""The hosts of the service: which URLs are valid, and which host to try first (API §5.8)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import httpx

from reconciler.system.environment import ORIGIN, checked_address

BASE_URL: Final = "https://api.mch.weixin.qq.com"
"""The main host (API §5.8)."""
BACKUP_URL: Final = "https://api2.mch.weixin.qq.com"
"""The same service in another city (API §5.8)."""
_MAIN_HOST_AGAIN_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True, eq=False)
class Host:
    """A host of the service, and the headers that are the same for each request to it."""

    origin: httpx.URL
    headers: Sequence[tuple[bytes, bytes]] = field(repr=False)

    @property
    def name(self) -> str:
        """With its port, if it has one of its own."""
        return self.origin.netloc.decode("ascii")


class Hosts:
    """The service's hosts, and which to try first. ``backup`` is ``main`` where there is no other; ``clock`` is
    monotonic, in seconds."""

    def __init__(self, main: Host, backup: Host, clock: Callable[[], float]) -> None:
        self._main = main
        self._backup = backup
        self._clock = clock
        self._main_again_at: float | None = None

    def in_order(self) -> tuple[Host, ...]:
        """The hosts to try for the next request, the first one first."""
        if self._backup is self._main:
            return (self._main,)
        if self._main_again_at is None:
            return self._main, self._backup
        now = self._clock()
        if now < self._main_again_at:
            return self._backup, self._main
        # One request finds out whether the main host is back. The others go on as they are until it is.
        self._main_again_at = now + _MAIN_HOST_AGAIN_SECONDS
        return self._main, self._backup

    def reached(self, host: Host) -> None:
        """``host`` has answered, whatever it has answered."""
        if host is self._main:
            self._main_again_at = None

    def unreachable(self, host: Host) -> None:
        """Nothing could be sent to ``host``."""
        if host is self._main:
            self._main_again_at = self._clock() + _MAIN_HOST_AGAIN_SECONDS


def origin_of(text: str, variable: str) -> httpx.URL:
    """Scheme, host and port of the service. The path is signed, so a prefix could not be told from the API's own.

    Raises UsageError.
    """
    address = checked_address(variable, text, ORIGIN)
    return httpx.URL(scheme=address.scheme, host=address.host, port=address.port)
