"""Each night all of the trail is verified, with its texts and what file witnesses have heard.

What it found stays (CheckRun), and that it was looked for is an event itself.
"""

import logging
import time
from collections import Counter
from typing import Any

import psycopg
from django.db import transaction
from django.utils import timezone

from audit.actions import Action
from audit.models import CheckRun
from audit.trail.record import act
from audit.verification.verify import Report, opened, verify
from audit.witnesses.delivery import configured
from infrastructure.postgres.scope import scope

log = logging.getLogger(__name__)
NAME, BY = "audit.verified", "system:verification"
CANNOT_RUN = "cannot_run"
TOLD = 20  # findings; all are counted


def run() -> CheckRun:
    at, began = timezone.now(), time.monotonic()
    report, startup_problem = Report(), ""
    heard = configured()  # before the trail is opened: nothing that comes after it
    try:
        with opened() as trail:
            report = verify(trail, witnesses=heard, at_home=True)
    except (psycopg.Error, OSError) as problem:
        startup_problem = f"cannot verify: {problem}"
    ok = report.ok and not startup_problem
    told = startup_problem or "; ".join(finding.text for finding in report.findings[:TOLD])
    with scope(system=True):
        act(Action.AUDIT_VERIFY, actor=BY, success=ok, detail=_figures(report, startup_problem))
        made = CheckRun.objects.create(
            name=NAME,
            at=at,
            ok=ok,
            figures=_figures(report, startup_problem) | {"notes": report.notes[:TOLD]},
            problem=told[:500],
            took_ms=int((time.monotonic() - began) * 1000),
        )
        if not ok:
            transaction.on_commit(lambda: log.error("audit trail: %s", told))
    return made


def _figures(report: Report, startup_problem: str) -> dict[str, Any]:
    """`kinds`: of the findings that are told in full."""
    kinds = Counter(finding.kind for finding in report.findings)
    if startup_problem:
        kinds[CANNOT_RUN] += 1
    return {**report.figures, "found": report.found, "kinds": dict(kinds)}
