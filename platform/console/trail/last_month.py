"""The last whole month, which pages of the audit trail offer to verify."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.utils import timezone


@dataclass(frozen=True, slots=True)
class Month:
    """A month of UTC. `since` and `until` are as a form sends them, in the reader's time zone."""

    begins: datetime
    since: str
    until: str


def last_month() -> Month:
    until = timezone.now().astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    begins = (until - timedelta(days=1)).replace(day=1)
    return Month(begins, _typed(begins), _typed(until))


def _typed(moment: datetime) -> str:
    return timezone.localtime(moment).strftime("%Y-%m-%dT%H:%M")
