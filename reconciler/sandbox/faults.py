"""Faults on command: what there is, what was asked for, and which of it strikes a request. Pure.

A request passes six stages, in the order of ``Stage``. At each, the first fault that matches, is due and is drawn
strikes; one that finds its stage taken waits for the next request. What a fault does at its stage is done elsewhere:
``api`` (delay, request, answer, signature), ``fault_effects`` (effect), ``world`` (keys).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from enum import Enum
from typing import Any, Final

Json = dict[str, Any]

ANY: Final = "any"
READS: Final = ("list", "detail", "merchants", "goods")
ROUTES: Final = (*READS, "create", "add", "delete", "terminate", "upload", "certificates", "stock")
"""What a fault can be for, besides ``any``. ``stock`` is querying and creating coupon stocks alike."""


class Stage(Enum):
    """Where in the life of a request a fault strikes, in this order."""

    KEYS = "which key the platform signs with"
    DELAY = "how late the answer is"
    REQUEST = "something answers before the request gets anywhere"
    EFFECT = "what the request sees and does"
    ANSWER = "what becomes of the answer"
    SIGNATURE = "what is wrong with the answer's signature"


@dataclass(frozen=True, slots=True)
class Parameter:
    """``default`` is ``None`` where leaving it out means something else than any value."""

    default: Any
    read: Callable[[Any], Any]
    allowed: str


@dataclass(frozen=True, slots=True)
class FaultKind:
    """``routes`` are the only ones it can strike; empty: all."""

    stage: Stage
    description: str
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    routes: tuple[str, ...] = ()


def _number(value: Any) -> float:
    # float() takes true for 1.
    if isinstance(value, bool):
        raise ValueError("not a number")  # noqa: TRY004 (the reader is a person with a command line)
    number = float(value)
    if not 0 <= number < 1e9:
        raise ValueError("out of bounds")
    return number


def _whole(value: Any) -> int:
    number = _number(value)
    if number != int(number):
        raise ValueError("not whole")
    return int(number)


def _flag(value: Any) -> bool:
    return {"true": True, "false": False}[str(value).lower()]


def _numbers(value: Any) -> list[str]:
    numbers = value.split(",") if isinstance(value, str) else [str(each) for each in value]
    if not all(each.isascii() and each.isdigit() for each in numbers):
        raise ValueError("not all digits")
    return numbers


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("not a text")
    return value


def _seconds(default: float | None) -> Parameter:
    return Parameter(default, _number, "a number of seconds")


def _one_of(default: Any, *choices: Any) -> Parameter:
    texts = {str(each): each for each in choices}
    return Parameter(default, lambda value: texts[str(value)], f"one of {', '.join(texts)}")


_RETRY_AFTER: Final = Parameter(None, _whole, "a whole number of seconds")
_SIGNED: Final = Parameter(True, _flag, "true or false")
_ERROR: Final = {"status": _one_of(500, 500, 502, 503), "retry_after": _RETRY_AFTER, "signed": _SIGNED}
_PAGE: Final = {"status": _one_of(502, 200, 403, 404, 413, 429, 500, 502, 503, 504)}

KINDS: Final[Mapping[str, FaultKind]] = {
    "rotated_certificate": FaultKind(
        Stage.KEYS,
        "from this request on there are two platform certificates, and answers are signed with the new one",
        {"signing": _one_of("new", "new", "either", "old")},
    ),
    "latency": FaultKind(Stage.DELAY, "the effect is at once, the answer late", {"seconds": _seconds(1.0)}),
    "rate_limited": FaultKind(
        Stage.REQUEST, "429 without any effect", {"retry_after": _RETRY_AFTER, "signed": _SIGNED}
    ),
    "refused": FaultKind(
        Stage.REQUEST,
        "an error without any effect; code and message are the documented ones of the status, if none are given",
        {
            "status": _one_of(403, 400, 401, 403, 404),
            "code": Parameter(None, _text, "a text"),
            "message": Parameter(None, _text, "a text"),
            "signed": _SIGNED,
        },
    ),
    "error_before": FaultKind(Stage.REQUEST, "5xx without any effect", _ERROR),
    "drop_before": FaultKind(Stage.REQUEST, "the connection closes, without answer and without effect"),
    "html_before": FaultKind(Stage.REQUEST, "a page of a gateway, without effect", _PAGE),
    "invalid_merchants": FaultKind(
        Stage.EFFECT,
        "merchants fail validation in this request; the last that it names, if none are given",
        {
            "merchants": Parameter(None, _numbers, "mchids with commas between them"),
            "reason": Parameter("商户与活动创建方不具备父子关系", _text, "a text"),
        },
        ("create", "add"),
    ),
    "half_add": FaultKind(
        Stage.EFFECT,
        "200, but only the first half of the merchants gets added",
        {"number": _one_of("spent", "spent", "free")},
        ("add",),
    ),
    "half_delete": FaultKind(
        Stage.EFFECT,
        "200, but only the first half of the merchants gets deleted",
        {"number": _one_of("spent", "spent", "free")},
        ("delete",),
    ),
    "create_fails": FaultKind(Stage.EFFECT, "200, and then CREATE_ACT_FAILED", {}, ("create",)),
    "late_activity": FaultKind(
        Stage.EFFECT,
        "200, but reads show the activity only later",
        {
            "seconds": _seconds(None),
            "reads": Parameter(None, _whole, "a whole number"),
            "where": _one_of("both", "list", "detail", "both"),
        },
        ("create",),
    ),
    "status_lag": FaultKind(
        Stage.EFFECT,
        "reads show the statuses of a while ago",
        {"seconds": _seconds(3600.0)},
        ("list", "detail"),
    ),
    "row_appears": FaultKind(
        Stage.EFFECT, "before this read, somebody else adds a first row", {}, ("list", "merchants")
    ),
    "row_hidden": FaultKind(
        Stage.EFFECT,
        "some activities, all if none are given, are missing from the list, which reads by id show",
        {"ids": Parameter(None, _numbers, "activity_ids with commas between them")},
        ("list",),
    ),
    "row_vanishes": FaultKind(Stage.EFFECT, "the first row is missing from this read", {}, ("list", "merchants")),
    "error_after": FaultKind(Stage.ANSWER, "5xx instead of the answer, after the effect", _ERROR),
    "drop_after": FaultKind(Stage.ANSWER, "the connection closes instead of the answer, after the effect"),
    "truncated": FaultKind(Stage.ANSWER, "the connection closes in the middle of the body, after the effect"),
    "html_after": FaultKind(Stage.ANSWER, "a page of a gateway instead of the answer, after the effect", _PAGE),
    "wrong_signature": FaultKind(Stage.SIGNATURE, "signed with another key than its serial names"),
    "no_signature": FaultKind(Stage.SIGNATURE, "no Wechatpay-… headers"),
    "empty_signature": FaultKind(Stage.SIGNATURE, "the Wechatpay-… headers are there and empty"),
    "signtest": FaultKind(Stage.SIGNATURE, "a signature that begins with WECHATPAY/SIGNTEST/"),
    "garbage_signature": FaultKind(Stage.SIGNATURE, "a signature that is not Base64"),
    "stale_timestamp": FaultKind(Stage.SIGNATURE, "truly signed, long ago", {"seconds": _seconds(3600.0)}),
    "future_timestamp": FaultKind(Stage.SIGNATURE, "truly signed, in the future", {"seconds": _seconds(3600.0)}),
    "text_timestamp": FaultKind(Stage.SIGNATURE, "truly signed, over a timestamp that is not a number"),
    "unknown_serial": FaultKind(Stage.SIGNATURE, "signed with a key, and a serial, that no list has"),
    "tampered_body": FaultKind(Stage.SIGNATURE, "the body was changed after it was signed, and is still good JSON"),
}

_UNSIGNED: Final = frozenset({"drop_before", "html_before", "drop_after", "html_after"})


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault that was asked for. ``count`` is how often it strikes, 0 for no limit; the first ``skip`` requests that
    it sees pass; ``seen`` and ``struck`` count what has happened so far."""

    n: int
    kind: str
    route: str
    count: int
    skip: int
    probability: float
    parameters: Mapping[str, Any]
    seen: int = 0
    struck: int = 0

    @property
    def stage(self) -> Stage:
        """Where it strikes."""
        return KINDS[self.kind].stage

    def __getitem__(self, name: str) -> Any:
        """The parameter of that name."""
        return self.parameters[name]

    def matches(self, route: str) -> bool:
        """``route`` is empty for a request that no endpoint serves."""
        own = KINDS[self.kind].routes
        return self.route in (ANY, route) and (not own or route in own)

    def strikes(self, chance: Callable[[], float]) -> bool:
        """Whether it strikes the request that it has just seen."""
        due = self.seen > self.skip and (not self.count or self.struck < self.count)
        return due and (self.probability >= 1 or chance() < self.probability)

    def stored(self) -> Json:
        """All of it, ready for JSON: ``Fault(**stored)`` is the same fault."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    def show(self) -> Json:
        """Flat, like the specification that it was made from; parameters that were left out are left out."""
        given = {name: value for name, value in self.parameters.items() if value is not None}
        rest = {name: value for name, value in self.stored().items() if name != "parameters"}
        counters = {name: rest.pop(name) for name in ("seen", "struck")}
        return rest | given | counters


Struck = Mapping[Stage, Fault]


def parse(spec: Mapping[str, Any], n: int = 0) -> Fault:
    """Read ``{"kind": …, "route": …, "count": …, "skip": …, "probability": …, PARAMETER: …}``; all but the kind may
    be left out, and numbers may be texts. Raises ValueError saying what is allowed."""
    given = dict(spec)
    name = given.pop("kind", "")
    if name not in KINDS:
        raise ValueError(f"there is no fault {name!r}; there are {', '.join(KINDS)}")
    kind = KINDS[name]
    routes = (ANY, *(kind.routes or ROUTES))
    unknown = [each for each in given if each not in kind.parameters and each not in ("route", *_COMMON)]
    if unknown:
        allowed = ", ".join(kind.parameters) or "no parameters of its own"
        raise ValueError(f"{name} has no parameter {unknown[0]!r}; it has {allowed}")
    route = _read("route", _one_of(ANY, *routes), given)
    common = {each: _read(each, parameter, given) for each, parameter in _COMMON.items()}
    parameters = {each: _read(each, parameter, given) for each, parameter in kind.parameters.items()}
    return Fault(n, name, route, parameters=parameters, **common)


def strike(
    faults: Sequence[Fault], route: str, *, verified: bool, chance: Callable[[], float]
) -> tuple[Struck, list[Fault]]:
    """Which faults strike one request, by stage, and all faults with their counters after it."""
    struck: dict[Stage, Fault] = {}
    after = list(faults)
    for stage in Stage:
        if not _reached(stage, struck, verified=verified):
            continue
        for place, fault in enumerate(after):
            if fault.stage is stage and fault.matches(route):
                after[place] = replace(fault, seen=fault.seen + 1)
                if stage not in struck and after[place].strikes(chance):
                    after[place] = struck[stage] = replace(after[place], struck=fault.struck + 1)
    return struck, after


def rotation(faults: Iterable[Fault]) -> str:
    """How a rotated certificate signs (``new``, ``either``, ``old``), or empty. Once struck, it lasts."""
    return next((str(each["signing"]) for each in faults if each.stage is Stage.KEYS and each.struck), "")


def names(struck: Struck) -> str:
    """The faults that struck, as the log tells them."""
    return ", ".join(fault.kind for fault in struck.values())


def _reached(stage: Stage, struck: Mapping[Stage, Fault], *, verified: bool) -> bool:
    """Whether a request, struck as it is so far, gets to ``stage``. One that did not verify has no effect and gets
    no signature, and one that is answered early never meets the rest."""
    stopped = Stage.REQUEST in struck
    ends = [struck[each] for each in (Stage.REQUEST, Stage.ANSWER) if each in struck]
    unsigned = any(fault.kind in _UNSIGNED or not fault.parameters.get("signed", True) for fault in ends)
    match stage:
        case Stage.EFFECT:
            return verified and not stopped
        case Stage.ANSWER:
            return not stopped
        case Stage.SIGNATURE:
            return verified and not unsigned
        case _:
            return True


def _probability(value: Any) -> float:
    number = _number(value)
    if number > 1:
        raise ValueError("more than 1")
    return number


_COMMON: Final = {
    "count": Parameter(1, _whole, "a whole number, 0 for no limit"),
    "skip": Parameter(0, _whole, "a whole number"),
    "probability": Parameter(1.0, _probability, "a number from 0 to 1"),
}


def _read(name: str, parameter: Parameter, given: Mapping[str, Any]) -> Any:
    if name not in given or given[name] is None:
        return parameter.default
    try:
        return parameter.read(given[name])
    except (ValueError, TypeError, KeyError, OverflowError):
        raise ValueError(f"{name} must be {parameter.allowed}, not {given[name]!r}") from None
