"""The circuit breaker: once creating is refused for a reason that is not the spec's own, nothing ends for a create that
would follow (concepts.md#plan). New activities may be refused any day (API §0.3).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from reconciler.apply.key_run import KeyRun
from reconciler.model.errors import ApiError, PaygiftError, RemoteError
from reconciler.model.operations import ActivityOperation, CreateActivity, TerminateActivity

_SPECS_OWN_CODES: Final = frozenset({"PARAM_ERROR", "APPID_MCHID_NOT_MATCH", "MCH_NOT_EXISTS", "RESOURCE_NOT_EXISTS"})
_SPECS_OWN_TEXTS: Final = (
    "发券商户号校验失败",
    "商家券信息不满足活动规则",
    "传入的多张商户券的信息不一致",
    "创建请求重入",
)
"""What WeChat Pay is known to say of a request that breaks its rules (API §1.11)."""


@dataclass(slots=True)
class Breaker:
    """``cause`` is the first refusal that was not the spec's own, empty as long as there is none."""

    cause: str = ""

    def refused(self, error: PaygiftError) -> None:
        """A create has failed with ``error``."""
        if not self.cause and isinstance(error, RemoteError) and not _is_the_specs_own(error):
            self.cause = error.message

    def holds(self, operation: ActivityOperation, run: KeyRun) -> str:
        """Why ``operation`` must not be started, or nothing: an end whose successor is still to be created."""
        if not self.cause or not isinstance(operation, TerminateActivity) or run.created_id:
            return ""
        if not any(isinstance(each, CreateActivity) for each in run.change.operations):
            return ""
        return (
            f"Creating was refused for another activity ({self.cause.rstrip('.')}): its successor might be "
            f"refused too. Activity {operation.activity_id} was left running, and nothing has changed for its "
            "merchants."
        )


def _is_the_specs_own(error: PaygiftError) -> bool:
    if not isinstance(error, ApiError) or not error.verified or error.status not in (400, 404):
        return False
    # INVALID_REQUEST stands for causes of all kinds, so of it only the words tell (API §1.11).
    return error.code in _SPECS_OWN_CODES or any(text in error.text for text in _SPECS_OWN_TEXTS)
