"""Reports on drills in the database: the newest is evidence, and what the alert is about.

A report is the figures of a run of DRILLS (audit.CheckRun), and its hash is in the audit trail.
"""

import time
from datetime import datetime, timedelta

from django.utils import timezone

from audit.actions import Action
from audit.models import CheckRun
from audit.trail.record import act
from console.compliance import signed_report as reports
from console.compliance.signed_report import Report

DRILLS = "drills.report"
OLDEST = timedelta(days=90)


def record(report: Report, *, by: str) -> CheckRun:
    """Store a report and put it on record, in one transaction with whatever is open."""
    body = report["body"]
    summary = body["summary"]
    act(
        Action.DRILL_REPORT,
        actor=by,
        success=is_good(report),
        detail={**summary, "sha256": reports.sha256_of(report)},
    )
    problem = "" if is_good(report) else f"{summary['failed']} of {summary['drills']}"
    at = datetime.fromisoformat(body["made_at"])
    return CheckRun.record(DRILLS, at, time.monotonic(), {"report": report}, problem)


def is_good(report: Report) -> bool:
    summary = report["body"]["summary"]
    return bool(summary["drills"]) and not summary["failed"]


def newest() -> Report | None:
    run = CheckRun.objects.filter(name=DRILLS, tenant_id=None).order_by("-at").first()
    report: Report | None = run.figures["report"] if run else None
    return report


def age_of(report: Report) -> timedelta:
    return timezone.now() - datetime.fromisoformat(report["body"]["made_at"])
