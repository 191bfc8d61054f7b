"""`paygift doctor`: are the credentials usable, is WeChat Pay there, and may this merchant do what paygift does?

    environment, files ─local─▶ Material ─┐
    paygift.yaml ──────▶ ProjectAccount ──┤
    the shared journal ─local─▶ Journal  ─┼─judge─▶ Checkup
    WeChat Pay ─remote─▶ Knock, Signed  ──┘

Everything is asked first and judged afterwards, so that the judgement is pure.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from reconciler.doctor import local, remote
from reconciler.doctor.evidence import Knock, Material, ProjectAccount, Signed
from reconciler.doctor.judge import CHECKS, judge
from reconciler.model.checkup import Checkup

if TYPE_CHECKING:
    import httpx

__all__ = ["CHECKS", "examine"]


async def examine(
    environ: Mapping[str, str],
    *,
    project_account: ProjectAccount = None,
    transport: httpx.AsyncBaseTransport | None = None,
    wall_clock: Callable[[], float] = time.time,
) -> Checkup:
    """Everything that the ``PAYGIFT_…`` variables lead to, checked; takes 15 s at most, and changes nothing.

    ``project_account`` is whose account the project here says it is. Raises nothing on purpose: whatever is wrong is a
    check that failed. ``transport`` and ``wall_clock`` (Unix seconds) are replaced in tests.
    """
    material = local.read(environ)
    # Side by side, so that all of it keeps within 15 seconds.
    (main, backup, signed), journal = await asyncio.gather(
        _ask_wechat_pay(material, transport, wall_clock), asyncio.to_thread(local.journal, environ)
    )
    return judge(material, project_account, main, backup, journal, signed, wall_clock())


async def _ask_wechat_pay(
    material: Material, transport: httpx.AsyncBaseTransport | None, wall_clock: Callable[[], float]
) -> tuple[Knock, Knock | None, Signed | None]:
    main, backup = await remote.knock_at(material.hosts, transport, wall_clock)
    reachable = [knock for knock in (main, backup) if knock is not None and knock.error is None]
    credentials = material.credentials()
    # Nothing is signed for nobody: the checks of this machine say what to do first.
    if credentials is None or not reachable:
        return main, backup, None
    # The backup host is enough to judge the credentials.
    return main, backup, await remote.ask(credentials, reachable[0], transport, wall_clock)
