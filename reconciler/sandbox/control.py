"""The far end of ``/sandbox/…``: the same methods for an embedded server and for one in another process."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from reconciler.model.errors import SandboxError
from reconciler.sandbox.keys import FOLDER, MERCHANT_KEY_FILE, PUBLIC_KEY_FILE, Keys

_TIMEOUT: Final = 30.0


def ask(base_url: str, path: str, arguments: Mapping[str, Any] | None = None, *, timeout: float = _TIMEOUT) -> Any:
    """One request to a sandbox's own endpoints: GET, or POST with ``arguments``. Raises SandboxError."""
    address = urlsplit(base_url)
    connection = HTTPConnection(address.hostname or "", address.port, timeout=timeout)
    try:
        if arguments is None:
            connection.request("GET", path)
        else:
            headers = {"Content-Type": "application/json"}
            connection.request("POST", path, json.dumps(arguments).encode(), headers)
        response = connection.getresponse()
        body = json.loads(response.read())
    except (OSError, HTTPException, ValueError, RecursionError) as error:
        raise SandboxError(f"The sandbox at {base_url} cannot be reached: {error!r}.") from error
    finally:
        connection.close()
    if response.status != 200:
        raise SandboxError(f"The sandbox refused: {body['message']}")
    return body


class Control:
    """A sandbox that runs: where it is, the credentials of its one account, and everything that can be done to it."""

    def __init__(self, base_url: str, directory: Path, keys: Keys, *, has_certificates: bool = True) -> None:
        self.base_url = base_url
        self.has_certificates = has_certificates
        """Whether answers can be verified without the WeChat Pay public key."""
        self.directory = directory
        self.keys = keys

    @property
    def mchid(self) -> str:
        """The account's 商户号."""
        return self.keys.mchid

    @property
    def serial_no(self) -> str:
        """The serial number of the merchant's API certificate, 40 hex digits."""
        return self.keys.serial_no

    @property
    def private_key_pem(self) -> str:
        """The merchant's private key, PKCS#8."""
        return self.keys.merchant_key_pem

    @property
    def private_key_file(self) -> Path:
        """Where ``private_key_pem`` is kept; not there if the keys were given to ``Sandbox`` as an argument."""
        return self.directory / FOLDER / MERCHANT_KEY_FILE

    @property
    def apiv3_key(self) -> str:
        """What opens platform certificates, 32 characters."""
        return self.keys.apiv3_key

    @property
    def public_key_id(self) -> str:
        """The WeChat Pay public key's id: answers to requests that name it in ``Wechatpay-Serial`` are signed with
        it (API §5.6)."""
        return self.keys.wechatpay.serial_no

    @property
    def public_key_pem(self) -> str:
        """The WeChat Pay public key, as the merchant platform gives it out."""
        return self.keys.public_key_pem

    @property
    def public_key_file(self) -> Path:
        """Where ``public_key_pem`` is kept; not there if the keys were given to ``Sandbox`` as an argument."""
        return self.directory / FOLDER / PUBLIC_KEY_FILE

    def now(self) -> datetime:
        """The business clock, aware, in UTC."""
        return datetime.fromisoformat(self._do("now"))

    def set_clock(self, text: str) -> None:
        """``+3d``, ``-2h``, ``+90m`` move the business clock from where it stands; a time with offset sets it;
        ``real`` takes it back to real time. It goes on ticking, and survives restarts."""
        self._do("set_clock", text=text)

    def seed(self, stocks: Sequence[Mapping[str, Any]], *, only_missing: bool = False) -> list[str]:
        """Put in 商家券 batches (API §3.1) and return the ids of those that were new. Fields that are left out are
        filled in; a batch that is there already is replaced, or stays as it is with ``only_missing``."""
        new: list[str] = self._do("seed", stocks=list(stocks), only_missing=only_missing)
        return new

    def reset(self) -> None:
        """Forget everything: activities, stocks, images, numbers, brands, declarations, faults, clock, history and
        log."""
        self._do("reset")

    def log(self, limit: int | None = None) -> list[dict[str, Any]]:
        """The newest ``limit`` requests to the API, oldest first: n, method, target, status, code, request_id,
        verdict (``ok``, or what is wrong with the signature), near_miss (what may have gone wrong with it),
        expected (the message that should have been signed, or its beginning), fault (what struck), at (real time).
        ``status`` is 0 if no answer was sent."""
        lines: list[dict[str, Any]] = self._do("log", limit=limit)
        return lines

    def activities(self) -> list[dict[str, Any]]:
        """The whole truth about every activity, oldest first: activity_id, activity_status, out_request_no, mchid,
        merchants (sorted), body (as created), item (as reads return it), terminations, create_time, update_time."""
        found: list[dict[str, Any]] = self._do("activities")
        return found

    def history(self) -> list[dict[str, Any]]:
        """Every effect, oldest first: n, effect (``created``, ``merchants added``, ``merchants deleted`` or
        ``terminated``), activity_id, request_no, merchants, at (business clock)."""
        effects: list[dict[str, Any]] = self._do("history")
        return effects

    def pause(self, activity_id: str) -> None:
        """Set STOP_ACT_STATUS, as the web page can."""
        self._do("pause", activity_id=activity_id)

    def resume(self, activity_id: str) -> None:
        """Take ``pause`` back. Raises SandboxError unless it is paused."""
        self._do("resume", activity_id=activity_id)

    def fail_creation(self, activity_id: str) -> None:
        """Set CREATE_ACT_FAILED, as an asynchronous creation can after its 200 (API §1.7)."""
        self._do("fail_creation", activity_id=activity_id)

    def declare_invalid(self, mchid: str, reason: str = "商户与活动创建方不具备父子关系") -> None:
        """From now on an add lists ``mchid`` as invalid with ``reason``, and a create with it is refused."""
        self._do("declare_invalid", mchid=mchid, reason=reason)

    def declare_valid(self, mchid: str) -> None:
        """Take ``declare_invalid`` back."""
        self._do("declare_valid", mchid=mchid)

    def insert_activity(self, item: Mapping[str, Any], merchants: Iterable[str] = ()) -> str:
        """Put in an activity that was made elsewhere, shaped like an element of the list (API §1.7). What is missing
        of id, times and creator is filled in. Returns its activity_id."""
        activity_id: str = self._do("insert_activity", item=dict(item), merchants=list(merchants))
        return activity_id

    def add_brand(self, merchants: Iterable[str]) -> None:
        """Register merchants as one brand (API §2 F11)."""
        self._do("add_brand", merchants=list(merchants))

    def add_fault(self, spec: Mapping[str, Any]) -> int:
        """Ask for a fault: ``{"kind": "error_after", "route": "create", "count": 2, "status": 503}``. Everything but
        the kind may be left out; docs/sandbox.md lists kinds and parameters. Returns the fault's number."""
        number: int = self._do("add_fault", spec=dict(spec))
        return number

    def clear_faults(self) -> int:
        """Take all faults back, and what they have left: a rotated certificate, activities that are not seen yet.
        Returns how many there were."""
        number: int = self._do("clear_faults")
        return number

    def faults(self) -> list[dict[str, Any]]:
        """All faults, oldest first, as they were asked for, with n, seen (requests that reached it) and struck."""
        found: list[dict[str, Any]] = self._do("faults")
        return found

    def _do(self, operation: str, **arguments: Any) -> Any:
        return ask(self.base_url, f"/sandbox/{operation}", arguments)


class RunningSandbox(Control):
    """A sandbox that another process serves."""
