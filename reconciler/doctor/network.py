"""The checks of what is reached over the network without credentials: hosts, the clock, a shared journal. Pure."""

from __future__ import annotations

from typing import Final

from reconciler.doctor.checks import failed, failure, ok, said, skipped
from reconciler.doctor.evidence import Journal, Knock
from reconciler.doctor.machine import CLOCK_REMEDY
from reconciler.model.checkup import Check, CheckStatus
from reconciler.model.errors import PaygiftError
from reconciler.wechatpay.signing import WINDOW_SECONDS

SKEW_WARNING_SECONDS: Final = 30
"""Of this machine's clock; signatures are refused from ``WINDOW_SECONDS``."""


def judge_main_host(knock: Knock) -> Check:
    """Whether it answers as WeChat Pay does."""
    if knock.error is not None:
        return failed("main_host", said(knock.error), knock.error.remedy)
    return _answered("main_host", knock)


def judge_backup_host(knock: Knock | None) -> Check:
    """Never fails: paygift works without it."""
    code = "backup_host"
    if knock is None:
        return skipped(code, "the main host is not WeChat Pay's own, and PAYGIFT_BACKUP_URL is not set.")
    if knock.error is not None:
        remedy = f"{knock.error.remedy} It is needed only when the main host fails."
        return Check(code, CheckStatus.WARNING, said(knock.error), remedy)
    return _answered(code, knock)


def _answered(code: str, knock: Knock) -> Check:
    """WeChat Pay answers in JSON, whatever it answers; login pages and proxies do not."""
    # Only a warning: what proves who answered is a signature, which comes later.
    if knock.media_type != "application/json":
        kind = knock.media_type or "no content type"
        return Check(
            code,
            CheckStatus.WARNING,
            f"{knock.host} answered, but probably not as WeChat Pay (HTTP {knock.status}, {kind}).",
            "Something in between may have: check PAYGIFT_BASE_URL, proxies, and login pages of this network.",
        )
    # A success without a signature would be the oddest answer of all.
    if knock.status == 429 or not 400 <= knock.status < 500:
        return Check(
            code,
            CheckStatus.WARNING,
            f"{knock.host} answered HTTP {knock.status}, where WeChat Pay refuses a request without signature (401).",
            "Run again in a few minutes; if it stays, check PAYGIFT_BASE_URL and proxies.",
        )
    return ok(code, f"{knock.host} answered in {knock.milliseconds:.0f} ms.")


def judge_clock(main: Knock, backup: Knock | None) -> Check:
    """By the first ``Date`` header that came."""
    # Any host's clock will do: signatures are refused minutes off, not seconds.
    for knock in (main, backup):
        if knock is not None and knock.ahead_seconds is not None:
            return judge_skew(knock.ahead_seconds, knock.host)
    return skipped("clock", "no answer had a Date header.")


def judge_skew(ahead_seconds: float, host: str) -> Check:
    """Against the clock of ``host``. Signed requests and answers are refused when they are ``WINDOW_SECONDS`` old or
    ahead (API §5.3)."""
    seconds = abs(ahead_seconds)
    direction = "ahead of" if ahead_seconds > 0 else "behind"
    text = f"this machine's clock is {seconds:.0f} s {direction} that of {host}"
    if seconds >= WINDOW_SECONDS:
        return failed("clock", f"{text}; signatures are refused from {WINDOW_SECONDS} s.", CLOCK_REMEDY)
    if seconds >= SKEW_WARNING_SECONDS:
        return Check("clock", CheckStatus.WARNING, f"{text}.", CLOCK_REMEDY)
    return ok("clock", f"{text}.")


def judge_journal(journal: Journal) -> Check:
    """Whether the journal that a team shares can be used."""
    if journal is None:
        return skipped("journal", "PAYGIFT_JOURNAL_URL is not set: each project has its own file.")
    if isinstance(journal, PaygiftError):
        return failure("journal", journal)
    return ok(
        "journal",
        f"{journal} can be used, and has a journal of a known version or can be given one; nothing was written.",
    )
