"""Checks of what keeps the platform available when something fails."""

from console.compliance.check import CheckOutcome, outcome
from console.compliance.drills import evidence
from tenants.models import Tenant


def drills(_tenant: Tenant | None) -> CheckOutcome:
    """Look at the newest report on drills: how old it is, and what it found."""
    report = evidence.newest()
    if report is None:
        return outcome({"drills": 0})
    summary, age = report["body"]["summary"], evidence.age_of(report)
    figures = {
        "drills": summary["drills"],
        "drilled_at": report["body"]["made_at"],
        "answered": summary["acknowledged"],
        "lost": summary["lost"],
        "doubled": summary["doubled"],
        "rto_p50_s": summary["rto_p50_s"],
        "rto_max_s": summary["rto_max_s"],
    }
    lost = summary["lost"] or summary["doubled"] or summary["out_of_order"]
    # What failed in them names servers and commands, and stands in the report, which is for
    # operators alone.
    failures = [drill["label"]["en"] for drill in report["body"]["drills"] if not drill["good"]]
    return outcome(figures, lost=bool(lost), failed=failures, old=age > evidence.OLDEST)
