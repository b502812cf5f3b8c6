"""Verifications of backups in the database: a CheckRun each, and an audit event."""

from dataclasses import asdict
from datetime import UTC, datetime

from audit.actions import Action
from audit.models import CheckRun
from audit.trail.record import act
from console.backups.record import VERIFICATION, Verified
from infrastructure.postgres.scope import scope

BY = "system:backup"
_SHOWN = 20  # findings; all are counted
_FIGURES = ("base", "rpo_s", "restore_s", "check_s", "events", "keys")


def store(verified: Verified) -> CheckRun:
    result = asdict(verified)
    figures = {name: result[name] for name in _FIGURES}
    figures["findings"] = len(verified.findings)
    with scope(system=True):
        act(Action.BACKUP_VERIFY, actor=BY, success=not verified.findings, detail=figures)
        return CheckRun.objects.create(
            name=VERIFICATION,
            at=datetime.fromtimestamp(verified.at, UTC),
            ok=not verified.findings,
            figures={**figures, "found": verified.findings[:_SHOWN]},
            problem="; ".join(verified.findings)[:500],
            took_ms=round(1000 * (verified.restore_s + verified.check_s)),
        )


def last() -> CheckRun | None:
    return CheckRun.objects.filter(name=VERIFICATION, tenant_id=None).order_by("-at").first()
