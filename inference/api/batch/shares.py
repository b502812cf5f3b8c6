"""Shares a tenant's limit of lines in flight among its batches."""

from collections import Counter
from uuid import UUID

from django.conf import settings


class Shares:
    """The batches of one driver."""

    def __init__(self) -> None:
        self._batches: Counter[UUID] = Counter()  # batches under way, by tenant

    def join(self, tenant_id: UUID) -> None:
        self._batches[tenant_id] += 1

    def leave(self, tenant_id: UUID) -> None:
        self._batches[tenant_id] -= 1

    def of_a_batch(self, tenant_id: UUID) -> int:
        share = settings.BATCH_TENANT_IN_FLIGHT // max(1, self._batches[tenant_id])
        return max(1, min(settings.BATCH_IN_FLIGHT, share))
