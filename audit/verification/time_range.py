"""The range of a verification: everything, one tenant, or a span of time."""

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

_EVER = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class TimeRange:
    tenant_id: UUID | None = None
    since: datetime | None = None
    until: datetime | None = None

    def is_all(self) -> bool:
        return self.tenant_id is None and self.since is None and self.until is None

    def of_tenant(self, tenant_id: UUID) -> bool:
        return self.tenant_id in (None, tenant_id)

    def overlaps(self, first: datetime, last: datetime) -> bool:
        return last >= (self.since or _EVER[0]) and first < (self.until or _EVER[1])
