"""Nightly verification of the whole trail, with its texts and the lines of file witnesses.

Its findings stay in a CheckRun, and the run itself is an audit event.
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
from audit.verification.verify import VerificationReport, open_trail, verify
from audit.witnesses.delivery import configured
from infrastructure.postgres.scope import scope

log = logging.getLogger(__name__)
NAME, BY = "audit.verified", "system:verification"
CANNOT_RUN = "cannot_run"
SHOWN = 20  # findings; all are counted


def run() -> CheckRun:
    at, began = timezone.now(), time.monotonic()
    report, startup_problem = VerificationReport(), ""
    witnesses = configured()  # before the trail is open_trail, so that no line is newer than it
    try:
        with open_trail() as trail:
            report = verify(trail, witnesses=witnesses, at_home=True)
    except (psycopg.Error, OSError) as problem:
        startup_problem = f"cannot verify: {problem}"
    ok = report.ok and not startup_problem
    problem_text = startup_problem or "; ".join(finding.text for finding in report.findings[:SHOWN])
    figures = _figures(report, startup_problem)
    with scope(system=True):
        act(Action.AUDIT_VERIFY, actor=BY, success=ok, detail=figures)
        figures = {**figures, "notes": report.notes[:SHOWN]}
        check_run = CheckRun.record(NAME, at, began, figures, problem_text)
        if not ok:
            transaction.on_commit(lambda: log.error("audit trail: %s", problem_text))
    return check_run


def _figures(report: VerificationReport, startup_problem: str) -> dict[str, Any]:
    """Returns the counts of a run. `kinds` counts only findings that the report has in full."""
    kinds = Counter(finding.kind for finding in report.findings)
    if startup_problem:
        kinds[CANNOT_RUN] += 1
    return {**report.figures, "found": report.found, "kinds": dict(kinds)}
