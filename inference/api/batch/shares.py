"""How many lines of a batch are under way at once: those of a tenant share what it may have."""

from collections import Counter
from uuid import UUID

from django.conf import settings


class Shares:
    """Of one driver."""

    def __init__(self) -> None:
        self._batches: Counter[UUID] = Counter()  # that have work, by tenant

    def join(self, tenant_id: UUID) -> None:
        self._batches[tenant_id] += 1

    def leave(self, tenant_id: UUID) -> None:
        self._batches[tenant_id] -= 1

    def of_a_batch(self, tenant_id: UUID) -> int:
        share = settings.BATCH_TENANT_IN_FLIGHT // max(1, self._batches[tenant_id])
        return max(1, min(settings.BATCH_IN_FLIGHT, share))
