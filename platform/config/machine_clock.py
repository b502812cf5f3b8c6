"""The range in which a machine's clock can be right. The audit trail takes no other time."""

from datetime import UTC, datetime

YEARS = range(2000, 2200)


def now() -> datetime:
    return datetime.now(UTC)


def problem() -> str:
    """Returns what is wrong and what to do, or "". Machines without a battery begin in 1970."""
    moment = now()
    if moment.year in YEARS:
        return ""
    return f"this machine's clock says {moment:%Y-%m-%d}: set it, for example with timedatectl"
