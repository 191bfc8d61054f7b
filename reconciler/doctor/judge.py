"""The judgement: what was found, said in words, with the remedy. Pure, so each ``judge_…`` is tested with values.

What cannot be asked because an earlier check failed is skipped, so that the failures stand out.
"""

from __future__ import annotations

from typing import Final

from reconciler.doctor.account import (
    NOT_ACCEPTED,
    judge_certificates,
    judge_image_upload,
    judge_permission,
    judge_signed_call,
    judge_verification,
)
from reconciler.doctor.checks import skipped
from reconciler.doctor.evidence import Journal, Knock, Material, ProjectAccount, Signed
from reconciler.doctor.machine import (
    judge_account,
    judge_apiv3_key,
    judge_certificate,
    judge_key_file,
    judge_private_key,
    judge_project_account,
    judge_public_key,
    judge_validity,
    judge_variables,
)
from reconciler.doctor.network import judge_backup_host, judge_clock, judge_journal, judge_main_host
from reconciler.model.checkup import Check, CheckStatus, Checkup

CHECKS: Final = (
    "variables",
    "private_key",
    "account",
    "project_account",
    "key_file",
    "certificate",
    "certificate_validity",
    "apiv3_key",
    "public_key",
    "main_host",
    "backup_host",
    "clock",
    "journal",
    "signed_call",
    "certificates",
    "verification",
    "permission",
    "image_upload",
)
"""All codes, in the order in which they are told: this machine, the network, the account."""

_NO_CREDENTIALS: Final = "it needs usable credentials; see the failed checks above."


def judge(
    material: Material,
    project_account: ProjectAccount,
    main: Knock,
    backup: Knock | None,
    journal: Journal,
    signed: Signed | None,
    now: float,
) -> Checkup:
    """All checks in order. ``signed`` is ``None`` when nothing could be asked; ``now`` is in Unix seconds."""
    certificate, public_key = material.certificate, material.public_key
    return Checkup(
        (
            judge_variables(material.missing, material.invalid),
            judge_private_key(material.private_key),
            judge_account(material.mchid, material.serial_no, material.private_key),
            judge_project_account(material.mchid, project_account),
            judge_key_file(material.private_key_file, material.private_key_mode),
            judge_certificate(certificate, material.serial_no, material.private_key),
            judge_validity(certificate, now),
            judge_apiv3_key(material.apiv3_key),
            judge_public_key(material.public_key_id, public_key, material.private_key),
            judge_main_host(main),
            judge_backup_host(backup),
            judge_clock(main, backup),
            judge_journal(journal),
            *_judge_signed(material, signed),
        )
    )


def _judge_signed(material: Material, signed: Signed | None) -> tuple[Check, ...]:
    if signed is None:
        reason = _NO_CREDENTIALS if material.credentials() is None else "no host can be reached."
        # Skipped and not left out: a check that is missing from the list looks as if it had passed.
        return tuple(skipped(code, reason) for code in CHECKS[CHECKS.index("signed_call") :])
    signed_call = judge_signed_call(signed)
    others: tuple[Check, ...] = (
        judge_certificates(signed.certificates, has_public_key=material.public_key is not None),
        judge_verification(signed.outcomes),
        judge_permission(signed.activities),
        judge_image_upload(signed.upload),
    )
    if signed_call.status is CheckStatus.FAILED:  # which has told already why the others could not be made
        others = tuple(
            skipped(each.code, NOT_ACCEPTED) if each.status is CheckStatus.WARNING else each for each in others
        )
    return (signed_call, *others)
