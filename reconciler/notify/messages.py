"""What is posted where people talk when an apply has come to its end: short, and with nothing in it but text. Pure.

Two dresses: Markdown as a group robot of WeCom (企业微信) takes it, and data for any other webhook.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from reconciler.model.characters import safe
from reconciler.model.operations import AddMerchants, CreateActivity, DeleteMerchants, TerminateActivity
from reconciler.model.plan import ChangeKind
from reconciler.model.report import AbortedApply, OutcomeStatus, Report
from reconciler.plan import FORMAT_VERSION, plan_data, plan_digest
from reconciler.render.views.finding import FindingView
from reconciler.render.views.report import OutcomeView, report_view
from reconciler.render.views.stopped import stopped_view

WECOM_BYTES: Final = 4096
"""What WeCom takes as the content of a message, in UTF-8."""
_CUT: Final = "… cut here: the report has the rest."
_KEYS: Final = 20
_REASON_CHARS: Final = 200
_URL_CHARS: Final = 500
_STOPPED: Final = frozenset({"refused", "stale"})
_WRITTEN: Final = (OutcomeStatus.DONE, OutcomeStatus.UNVERIFIED, OutcomeStatus.PARTIAL)
_LOOK_ALIKES: Final = str.maketrans("*`<>[]#&~|", "＊｀＜＞［］＃＆～｜")
"""WeCom's Markdown has no way to escape, so that signs which mean something become their full-width forms. A mention,
which would wake everybody in the group, is ``<@…>``."""


def events(happened: Report | AbortedApply) -> frozenset[str]:
    """What a notice would be about, as ``on`` in paygift.yaml names it; nothing where nothing was to do."""
    if isinstance(happened, AbortedApply):
        kind = stopped_view(happened).kind
        # Once writing has begun nobody knows, and "refused" would sound as if nothing had happened.
        return frozenset({"unknown"} if happened.writing else {kind} & _STOPPED)
    # What others did before is not news of this run.
    came_to = {outcome.status for outcome in happened.outcomes} - {OutcomeStatus.ALREADY_DONE}
    told = {"unknown" if status.open_question else status.value.replace(" ", "_") for status in came_to}
    return frozenset(told | {"refused"} if happened.held else told)


# -- data --------------------------------------------------------------------------------------------------------------


def summary_json(happened: Report | AbortedApply, *, url: str = "", sandbox: bool = False) -> dict[str, object]:
    """``url`` is the page of the run in CI. ``stopped`` is null for an apply that has a report."""
    if isinstance(happened, AbortedApply):
        return _stopped_json(happened, url, sandbox)
    view = report_view(happened)
    counts = Counter(outcome.status.value for outcome in happened.outcomes)
    return {
        **_head(happened.plan.namespace, happened.plan.mchid, plan_digest(happened.plan), url, sandbox),
        "complete": happened.complete,
        "finished_at": plan_data(happened.finished_at),
        "counts": {status.value: counts[status.value] for status in OutcomeStatus},
        "created": _keys(happened, CreateActivity),
        "changed": _changed(happened),
        "terminated": _keys(happened, TerminateActivity),
        "left": [
            {
                "key": each.key,
                "operation": outcome.operation.operation,
                "activity_id": outcome.activity_id,
                "status": each.status.value,
                "reason": each.reason,
                "rejected": [mchid for mchid, _ in each.rejections],
            }
            for outcome, each in zip(happened.outcomes, view.outcomes, strict=True)
            if not outcome.settled
        ],
        "held": [{"code": each.code, "key": each.key} for each in happened.held],
        "stopped": None,
        "text": " ".join(part for part in (view.summary, view.advice) if part),
    }


def _stopped_json(stopped: AbortedApply, url: str, sandbox: bool) -> dict[str, object]:
    view = stopped_view(stopped)
    return {
        **_head(stopped.namespace, stopped.mchid, stopped.plan_digest, url, sandbox),
        "complete": False,
        "finished_at": plan_data(stopped.at),
        "counts": {status.value: 0 for status in OutcomeStatus},
        **{name: [] for name in ("created", "changed", "terminated", "left", "held")},
        "stopped": {
            "exit_code": stopped.exit_code,
            "kind": view.kind,
            "message": stopped.message,
            "details": list(view.details),
            "refusals": [{"code": each.code, "key": each.key} for each in view.refusals],
        },
        "text": f"{view.summary} {view.written}",
    }


def _head(namespace: str, mchid: str, digest: str, url: str, sandbox: bool) -> dict[str, object]:
    return {
        "format_version": FORMAT_VERSION,
        "kind": "apply_summary",
        "namespace": namespace,
        "mchid": mchid,
        "sandbox": sandbox,
        "digest": digest,
        "url": _link(url),
    }


def _keys(report: Report, *operations: type[object]) -> list[str]:
    """The keys of what was done in this run, and not before it."""
    return sorted(
        {
            getattr(outcome.operation, "key", "")
            for outcome in report.outcomes
            if isinstance(outcome.operation, operations) and outcome.status in _WRITTEN
        }
    )


def _changed(report: Report) -> list[str]:
    """Activities whose merchants were changed, and not those that were made with them."""
    updates = {change.key for change in report.plan.changes if change.kind is ChangeKind.UPDATE}
    return [key for key in _keys(report, AddMerchants, DeleteMerchants) if key in updates]


def _link(url: str) -> str:
    """An address that can stand in a link, or none."""
    # From a variable of CI: a bracket or a space would end the link and begin other Markdown.
    fits = url.startswith(("https://", "http://")) and url.isascii() and url.isprintable()
    return url if fits and len(url) <= _URL_CHARS and not set(url) & set(" ()<>[]") else ""


# -- WeCom -------------------------------------------------------------------------------------------------------------


def wecom_json(happened: Report | AbortedApply, *, url: str = "", sandbox: bool = False) -> dict[str, object]:
    """A message for a group robot. Its content has at most ``WECOM_BYTES``, and says so where it was cut."""
    lines = _stopped_lines(happened) if isinstance(happened, AbortedApply) else _report_lines(happened)
    where = " (sandbox)" if sandbox else ""
    first, *rest = lines
    link = [f"[CI run]({_link(url)})"] if _link(url) else []
    content = _fitted([f"**paygift apply{where}** {first}", *rest[:1], *link, *rest[1:]])
    return {"msgtype": "markdown", "markdown": {"content": content}}


def _report_lines(report: Report) -> Iterator[str]:
    view = report_view(report)
    colour = "info" if report.complete else "warning"
    yield f'<font color="{colour}">{plain(view.summary)}</font>'
    yield _whose(report.plan.namespace, report.plan.mchid, plan_digest(report.plan))
    yield from _named("Ended permanently", _keys(report, TerminateActivity))
    yield from _named("Created", _keys(report, CreateActivity))
    yield from _named("Merchants changed", _changed(report))
    left = [each for each in view.outcomes if not each.settled and not each.held]
    if left:
        yield "Left to do:"
        yield from map(_left_line, left)
    if view.held:
        yield "Held back:"
        yield from map(_held_line, view.held)
    if view.advice:
        yield plain(view.advice)


def _left_line(outcome: OutcomeView) -> str:
    key = f"{outcome.key}: " if outcome.key else ""
    reason = f". {outcome.reason[:_REASON_CHARS]}" if outcome.reason else ""
    rejected = f". Rejected: {', '.join(mchid for mchid, _ in outcome.rejections[:_KEYS])}"
    said = f"{key}{outcome.text} — {outcome.status.value}{reason}{rejected if outcome.rejections else ''}"
    return f"> {plain(said)}"


def _held_line(refusal: FindingView) -> str:
    return f"> {plain(f'{refusal.code} {refusal.key}. {refusal.holds} {refusal.text[:_REASON_CHARS]}')}"


def _stopped_lines(stopped: AbortedApply) -> Iterator[str]:
    view = stopped_view(stopped)
    yield f'<font color="warning">{plain(f"{view.summary} {view.written}")}</font>'
    yield _whose(stopped.namespace, stopped.mchid, stopped.plan_digest)
    for sentence in (view.reason, view.remedy):
        if sentence:
            yield plain(sentence[:1000])
    yield from (f"> {plain(f'{each.code} {each.key}')}" for each in view.refusals)
    yield from (f"> {plain(line)}" for line in view.details)


def _whose(namespace: str, mchid: str, digest: str) -> str:
    plan = f"plan {digest[:12]}" if digest else ""
    return plain(" · ".join(part for part in (namespace, mchid, plan) if part))


def _named(words: str, keys: Sequence[str]) -> Iterator[str]:
    if keys:
        more = f" and {len(keys) - _KEYS:,} more" if len(keys) > _KEYS else ""
        yield plain(f"{words}: {', '.join(keys[:_KEYS])}{more}")


def plain(text: str) -> str:
    """``text`` on one line, as nothing but text for WeCom's Markdown."""
    # WeCom makes links of bare addresses, and names come from the account.
    return safe(text).translate(_LOOK_ALIKES).replace("://", "：//")


def _fitted(lines: Iterable[str]) -> str:
    """What needs most attention comes first, so that the end can be spared."""
    content = "\n".join(lines)
    if len(content.encode()) <= WECOM_BYTES:
        return content
    room = WECOM_BYTES - len(f"\n{_CUT}".encode())
    # WeCom counts bytes, so that the cut may fall inside a character.
    return f"{content.encode()[:room].decode(errors='ignore')}\n{_CUT}"
