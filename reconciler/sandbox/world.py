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

from reconciler.sandbox import faults, images, reads, writes
from reconciler.sandbox.api_error import NO_RELATION, param_error
from reconciler.sandbox.clock import Clock
from reconciler.sandbox.faults import Fault, Struck
from reconciler.sandbox.keys import Keys, Signer
from reconciler.sandbox.memory import FaultScript, Memory, Transaction
from reconciler.sandbox.options import DEFAULTS, SandboxOptions
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
        options: SandboxOptions = DEFAULTS,
        store: Store | None = None,
        real: Clock = _real_time,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.keys = keys
        self.options = options
        self.real = real
        self.chance = chance
        self.store = store or Store(None)
        self.memory = Memory.of(self.store.entities())
        self.uploads = images.UploadLimit(options.uploads_per_minute)
        self._requests = self.store.last_request()

    @classmethod
    def in_directory(cls, directory: Path, *, options: SandboxOptions, keys: Keys | None = None) -> Self:
        """The world remembered in ``directory``, which is made if need be. Raises SandboxError."""
        return cls(keys or Keys.in_directory(directory), options=options, store=Store(directory))

    def close(self) -> None:
        """Let go of the files."""
        self.store.close()

    def record(self, line: dict[str, Any]) -> str:
        """Log a request; the real time is added. Returns its Request-ID, which never comes twice."""
        self._requests += 1
        request_id = f"SANDBOX-{self._requests:012}"
        at = self.real().isoformat(timespec="milliseconds")
        self.store.record(self._requests, {**line, "request_id": request_id, "at": at})
        return request_id

    def commit(self, transaction: Transaction) -> Any:
        """Remember ``transaction`` on disk, then in memory; its answer may leave after that."""
        self.store.commit(transaction)
        for entity in transaction.entities:
            self.memory.put(entity)
        return transaction.answer

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
        # By turns and not at random, so that a test knows which comes.
        new = signing == "new" or (signing == "either" and self._requests % 2 == 1)
        return self.keys.next_platform if new else self.keys.platform

    def moment(self) -> datetime:
        """The business clock in whole seconds, as the API writes its times."""
        return self._business_time().replace(microsecond=0)

    # The control operations: arguments and results are JSON.

    def now(self) -> str:
        """The business clock, in ISO 8601 and UTC."""
        return self._business_time().isoformat()

    def set_clock(self, text: str) -> None:
        """Move or set the business clock; see ``clock.moved``."""
        self.commit(writes.set_clock(self.memory, text, self.real()))

    def seed(self, stocks: list[dict[str, Any]], *, only_missing: bool = False) -> list[str]:
        """Put in coupon stocks; returns the ids of the new. See ``writes.seed``."""
        transaction = writes.seed(self.memory, stocks, self.keys.mchid, self.moment(), only_missing=only_missing)
        new: list[str] = self.commit(transaction)
        return new

    def reset(self) -> None:
        """Forget everything but the keys, and which ids were given out."""
        ledger = writes.emptied(self.memory)
        self.store.empty(ledger)
        self.memory = Memory.of(iter([ledger]))

    def log(self, limit: int | None = None) -> list[dict[str, Any]]:
        """The newest ``limit`` requests, oldest first."""
        return self.store.log(limit)

    def activities(self) -> list[dict[str, Any]]:
        """The whole truth about every activity, oldest first."""
        now = self.moment()
        return [reads.full_record(each, now, self.options) for each in self.memory.activities.values()]

    def history(self) -> list[dict[str, Any]]:
        """Every effect, oldest first."""
        return self.store.history()

    def pause(self, activity_id: str) -> None:
        """Set STOP_ACT_STATUS, as the web page can."""
        self._platform_action("pause", activity_id)

    def resume(self, activity_id: str) -> None:
        """Take ``pause`` back."""
        self._platform_action("resume", activity_id)

    def fail_creation(self, activity_id: str) -> None:
        """Set CREATE_ACT_FAILED, as an asynchronous creation can (API §1.7)."""
        self._platform_action("fail_creation", activity_id)

    def declare_invalid(self, mchid: str, reason: str = NO_RELATION) -> None:
        """From now on ``mchid`` fails rule validation with ``reason``."""
        self.commit(writes.declare(mchid, reason))

    def declare_valid(self, mchid: str) -> None:
        """Take ``declare_invalid`` back."""
        self.commit(writes.declare(mchid, ""))

    def insert_activity(self, item: dict[str, Any], merchants: Sequence[str] = ()) -> str:
        """Returns the activity's id."""
        transaction = writes.insert(self.memory, self.keys.mchid, item, merchants, self.moment())
        activity_id: str = self.commit(transaction)
        return activity_id

    def add_brand(self, merchants: Sequence[str]) -> None:
        """Register merchants as one brand (API §2 F11)."""
        self.commit(writes.add_brand(self.memory, merchants))

    def add_fault(self, spec: Mapping[str, Any]) -> int:
        """Ask for a fault, as ``faults.parse`` reads it; returns its number. Raises an
        ApiErrorResponse that says what is allowed."""
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
        self.commit(Transaction(None, seen))
        self._plan([])
        return number

    def faults(self) -> list[dict[str, Any]]:
        """All faults, oldest first, with what has happened of them."""
        return [fault.show() for fault in self._faults()]

    def _faults(self) -> list[Fault]:
        return [Fault(**each) for each in self.memory.script.faults]

    def _plan(self, planned: Sequence[Fault], *, made: int | None = None) -> None:
        script = FaultScript([each.stored() for each in planned], made or self.memory.script.made)
        self.commit(Transaction(None, (script,)))

    def _business_time(self) -> datetime:
        return self.real() + timedelta(seconds=self.memory.global_state.offset)

    def _platform_action(self, action: writes.PlatformAction, activity_id: str) -> None:
        self.commit(writes.platform_action(self.memory, action, activity_id, self.moment(), self.options))
