"""Answers of the management API that are kept for an `Idempotency-Key`."""

from datetime import timedelta
from typing import ClassVar

from django.db import models
from django.utils import timezone

from tenants.models.tenant import Tenant

KEPT = timedelta(hours=24)


class IdempotentRequestQuerySet(models.QuerySet["IdempotentRequest"]):
    def over(self) -> "IdempotentRequestQuerySet":
        return self.filter(created_at__lte=timezone.now() - KEPT)


class IdempotentRequest(models.Model):
    """The answer to a request that may be repeated (`Idempotency-Key`).

    It may contain a secret that is shown once, so it is encrypted under the tenant's key.
    """

    tenant = models.ForeignKey(Tenant, models.CASCADE, null=True, related_name="+")
    actor = models.CharField(max_length=80)
    route = models.CharField(max_length=200)  # method and path
    key = models.CharField(max_length=255)
    body = models.BinaryField()  # its SHA-256
    data_key_id = models.UUIDField()
    ciphertext = models.BinaryField()
    created_at = models.DateTimeField(default=timezone.now)

    objects: ClassVar[IdempotentRequestQuerySet] = IdempotentRequestQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        constraints = [
            models.UniqueConstraint("actor", "route", "key", name="tenants_idempotent_once")
        ]
        indexes = [models.Index(fields=["created_at"], name="tenants_idempotent_created")]

    def __str__(self) -> str:
        return f"{self.route} {self.key}"
