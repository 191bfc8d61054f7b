"""Which process this is, and whether another one is certainly gone, or stopped."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
# A zombie holds its number until its parent asks, and does nothing any more.
_ENDED = frozenset("ZX")
_STOPPED = frozenset("Tt")


@dataclass(frozen=True, slots=True)
class Process:
    """A process on a host. ``birth`` tells it from a later one with the same number, whatever the clock did in
    between; it is empty where the system does not tell.
    """

    host: str
    pid: int
    birth: str = ""

    @classmethod
    def this(cls) -> Process:
        """The one that we are in."""
        return cls(socket.gethostname(), os.getpid(), _birth(os.getpid()))

    @property
    def is_gone(self) -> bool:
        """Whether it has certainly ended. False for one on another host, and wherever nobody can tell."""
        if self.host != socket.gethostname():
            return False
        if self.birth:
            mine = _birth(os.getpid())
            # Another boot, or another container with the same name: its numbers say nothing here.
            comparable = mine.rpartition("/")[0] == self.birth.rpartition("/")[0]
            return comparable and _birth(self.pid) != self.birth
        # On Windows signal 0 is Ctrl-C: asking would interrupt it.
        return os.name == "posix" and not _exists(self.pid)

    @property
    def is_stopped(self) -> bool:
        """Whether it is there and certainly stopped, by SIGSTOP or a debugger: it does nothing until it is let go on.
        False wherever nobody can tell.
        """
        if not self.birth or self.host != socket.gethostname():
            return False
        state, birth = _state_and_birth(self.pid)
        return birth == self.birth and state in _STOPPED


def _birth(pid: int) -> str:
    """Boot, PID namespace and start in ticks since boot: ``boot-id/pid:[4026531836]/8123``. Linux only; empty for a
    process that has ended.
    """
    state, birth = _state_and_birth(pid)
    return "" if state in _ENDED else birth


def _state_and_birth(pid: int) -> tuple[str, str]:
    """The state as a letter, and the birth; twice nothing where the system does not tell."""
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        namespace = (_PROC / "self/ns/pid").readlink().name
        # The command's name is in parentheses and may hold anything, so count from its end.
        stat = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "", ""
    state, *rest = stat.rpartition(")")[2].split()
    return state, f"{boot}/{namespace}/{rest[18]}"


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
