"""Who is asking: what the door hands to everything behind it."""

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Limits:
    """Per tenant; 0 means none."""

    requests_per_minute: int
    burst: int
    max_concurrency: int


@dataclass(frozen=True, slots=True)
class Caller:
    tenant_id: UUID
    tenant: str
    actor: str  # as the audit trail writes it: "key:<uuid>" or "member:<uuid>"
    subject_id: UUID
    weight: int
    limits: Limits
    api_key_id: UUID | None = None
    member_id: UUID | None = None
