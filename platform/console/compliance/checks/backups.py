"""Check that a backup has been restored and found right lately (`forebay backup verify`)."""

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.utils import timezone

from console.backups.verifications import last
from console.compliance.check import CheckOutcome, outcome
from tenants.models import Tenant

_STALE = timedelta(days=8)  # as ForebayBackupUnverified of deploy/prometheus/rules/trust.yml


def verified(_tenant: Tenant | None) -> CheckOutcome:
    """Show the figures of the last verification. Its findings are for operators."""
    run = last()
    figures: dict[str, Any] = {"verified_events": 0, "verified_at": None}
    if run is None:
        return outcome(figures, none=bool(settings.BACKUP_TO))
    figures = {
        "verified_events": run.figures["events"],
        "tried_keys": run.figures["keys"],
        "lost_s": run.figures["rpo_s"],
        "restore_s": run.figures["restore_s"],
        "wrong": run.figures["findings"],
        "verified_at": run.at.isoformat(),
    }
    return outcome(figures, findings=not run.ok, stale=run.at < timezone.now() - _STALE)
