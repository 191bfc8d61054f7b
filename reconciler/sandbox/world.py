"""The sandbox without a socket: keys, memory, store and clocks, tied together.

What ``Control`` offers over HTTP is done here. Not for several threads at once: the server's event loop is the one
user, and every method is one step without an await, so that requests never see half of each other's changes.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

from reconciler.sandbox import faults, gate, reads, state
from reconciler.sandbox.faults import Fault, Struck
from reconciler.sandbox.keys import Keys, Signer
from reconciler.sandbox.memory import Memory, Script, Step
from reconciler.sandbox.options import DEFAULTS, Options
from reconciler.sandbox.refusal import NO_RELATION, param_error
from reconciler.sandbox.store import Store


def _real_time() -> datetime:
    return datetime.now(UTC)


class World:
    """One account on one sandbox. ``real`` is the real clock, which signatures use; business rules use ``now``.

    ``chance`` decides about faults that have a probability: a number from 0 to below 1 each time. A test gives it a
    seed: ``chance=random.Random(7).random``.
    """

    def __init__(
        self,
        keys: Keys,
        *,
        options: Options = DEFAULTS,
        store: Store | None = None,
        real: Callable[[], datetime] = _real_time,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.keys = keys
        self.options = options
        self.real = real
        self.chance = chance
        self.store = store or Store(None)
        self.memory = Memory.of(self.store.entities())
        self.uploads = gate.UploadLimit(options.uploads_per_minute)
        self._requests = self.store.last_request()

    @classmethod
    def in_directory(cls, directory: Path, *, options: Options, keys: Keys | None = None) -> Self:
        """The world remembered in ``directory``, which is made if need be. Raises SandboxError."""
        return cls(keys or Keys.in_directory(directory), options=options, store=Store(directory))

    def close(self) -> None:
        self.store.close()

    def record(self, line: dict[str, Any]) -> str:
        """Log a request; the real time is added. Returns its Request-ID, which never comes twice."""
        self._requests += 1
        request_id = f"SANDBOX-{self._requests:012}"
        at = self.real().isoformat(timespec="milliseconds")
        self.store.record(self._requests, {**line, "request_id": request_id, "at": at})
        return request_id

    def commit(self, step: Step) -> Any:
        """Remember ``step`` on disk, then in memory; its answer may leave after that."""
        self.store.commit(step)
        for entity in step.entities:
            self.memory.put(entity)
        return step.answer

    def strike(self, route: str, *, verified: bool) -> Struck:
        """The faults that strike a request, counted."""
        planned = self._faults()
        if not planned:
            return {}
        struck, after = faults.strike(planned, route, verified=verified, chance=self.chance)
        if after != planned:
            self._plan(after)
        return struck

    def platforms(self) -> list[Signer]:
        """Whose certificates are listed, newest last. None, once there is only the public key (API §5.6)."""
        if self.options.public_key == "only":
            return []
        keys = self.keys
        return [keys.platform, keys.next_platform] if faults.rotation(self._faults()) else [keys.platform]

    def signer(self, named: str) -> Signer:
        """Who signs the answer to a request which names ``named`` in ``Wechatpay-Serial``."""
        wechatpay, option = self.keys.wechatpay, self.options.public_key
        if option == "only" or (option == "started" and named == wechatpay.serial_no):
            return wechatpay
        signing = faults.rotation(self._faults())
        new = signing == "new" or (signing == "either" and self._requests % 2 == 1)
        return self.keys.next_platform if new else self.keys.platform

    def moment(self) -> datetime:
        """The business clock in whole seconds, as the API writes its times."""
        return self._precisely().replace(microsecond=0)

    # The control operations: arguments and results are JSON.

    def now(self) -> str:
        return self._precisely().isoformat()

    def set_clock(self, text: str) -> None:
        self.commit(state.set_clock(self.memory, text, self.real()))

    def seed(self, stocks: list[dict[str, Any]], *, only_missing: bool = False) -> int:
        step = state.seed(self.memory, stocks, self.keys.mchid, self.moment(), only_missing=only_missing)
        new: int = self.commit(step)
        return new

    def reset(self) -> None:
        ledger = state.emptied(self.memory)
        self.store.empty(ledger)
        self.memory = Memory.of(iter([ledger]))

    def log(self, limit: int | None = None) -> list[dict[str, Any]]:
        return self.store.log(limit)

    def activities(self) -> list[dict[str, Any]]:
        now = self.moment()
        return [reads.truth(each, now, self.options) for each in self.memory.activities.values()]

    def history(self) -> list[dict[str, Any]]:
        return self.store.history()

    def pause(self, activity_id: str) -> None:
        self._hook("pause", activity_id)

    def resume(self, activity_id: str) -> None:
        self._hook("resume", activity_id)

    def fail_creation(self, activity_id: str) -> None:
        self._hook("fail_creation", activity_id)

    def declare_invalid(self, mchid: str, reason: str = NO_RELATION) -> None:
        self.commit(state.declare(mchid, reason))

    def declare_valid(self, mchid: str) -> None:
        self.commit(state.declare(mchid, ""))

    def insert_activity(self, item: dict[str, Any], merchants: Sequence[str] = ()) -> str:
        """Returns the activity's id."""
        step = state.insert(self.memory, self.keys.mchid, item, merchants, self.moment())
        activity_id: str = self.commit(step)
        return activity_id

    def add_brand(self, merchants: Sequence[str]) -> None:
        self.commit(state.add_brand(self.memory, merchants))

    def add_fault(self, spec: Mapping[str, Any]) -> int:
        """Ask for a fault, as ``faults.parse`` reads it; returns its number. Raises a Refusal that says what is
        allowed."""
        number = self.memory.script.made + 1
        try:
            fault = faults.parse(spec, number)
        except ValueError as error:
            raise param_error(str(error)) from None
        self._plan([*self._faults(), fault], made=number)
        return number

    def clear_faults(self) -> int:
        """Take all faults back; returns how many there were. Activities left unseen are seen again."""
        number = len(self.memory.script.faults)
        seen = tuple(replace(each, until={}, reads={}) for each in self.memory.unseen.values())
        self.commit(Step(None, seen))
        self._plan([])
        return number

    def faults(self) -> list[dict[str, Any]]:
        return [fault.show() for fault in self._faults()]

    def _faults(self) -> list[Fault]:
        return [Fault(**each) for each in self.memory.script.faults]

    def _plan(self, planned: Sequence[Fault], *, made: int | None = None) -> None:
        script = Script([each.stored() for each in planned], made or self.memory.script.made)
        self.commit(Step(None, (script,)))

    def _precisely(self) -> datetime:
        return self.real() + timedelta(seconds=self.memory.ledger.offset)

    def _hook(self, action: state.Hook, activity_id: str) -> None:
        self.commit(state.hook(self.memory, action, activity_id, self.moment(), self.options))
