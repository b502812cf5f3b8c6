"""Keys of requests to `/v1` that may be sent twice."""

from datetime import timedelta
from typing import ClassVar

from django.db import models
from django.utils import timezone

from inference.models.batch import Batch
from tenants.models import Tenant

KEPT = timedelta(hours=24)


class IdempotencyKeyQuerySet(models.QuerySet["IdempotencyKey"]):
    def over(self) -> "IdempotencyKeyQuerySet":
        """Expired keys. A batch's keys stay until it ends: they tell which lines have run."""
        under_way = Batch.objects.under_way().values("pk")
        return self.filter(created_at__lte=timezone.now() - KEPT).exclude(owner__in=under_way)


class IdempotencyKey(models.Model):
    """An `Idempotency-Key` and the completion that it belongs to, or the batch or job.

    Written in the commit that receives the completion (record/commits.py), or in the transaction
    that creates the other (api/openai/creation_key.py). The audit trail has a completion's answer.
    A key without a completion is free: a quota had no room for the request. Key and body are keyed
    hashes (intake/idempotency_claim.py), so no text of a client is stored here.
    """

    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="+", db_index=False)
    owner = models.UUIDField()  # the first of the API keys that were rotated into each other
    key = models.BinaryField()
    body = models.BinaryField()
    completion_id = models.UUIDField()
    created_at = models.DateTimeField()

    objects: ClassVar[IdempotencyKeyQuerySet] = IdempotencyKeyQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "owner", "key"], name="inference_idempotency_once"
            )
        ]
        indexes = [models.Index(fields=["created_at"], name="inference_idempotency_created")]

    def __str__(self) -> str:
        return f"key of {self.completion_id}"

    @property
    def is_over(self) -> bool:
        return self.created_at <= timezone.now() - KEPT
