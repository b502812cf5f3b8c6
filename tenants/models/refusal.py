"""Refused requests, summed by caller and minute."""

import uuid

from django.db import models
from django.utils.translation import gettext_lazy as _

from tenants.models.tenant import Tenant


class RefusedBy(models.TextChoices):
    """The limits that can refuse a request, in the words of `x-ratelimit-scope`."""

    IP = "ip", _("Requests of this address")
    KEY_RATE = "key_rate", _("Requests per minute of the key")
    RATE = "rate", _("Requests per minute of the tenant")
    KEY_TOKENS = "key_tokens", _("Tokens per minute of the key")
    TOKENS = "tokens", _("Tokens per minute of the tenant")
    KEY_CONCURRENCY = "key_concurrency", _("Requests at once of the key")
    CONCURRENCY = "concurrency", _("Requests at once of the tenant")
    KEY_BYTES = "key_bytes", _("Bytes in flight of the key")
    BYTES = "bytes", _("Bytes in flight of the tenant")
    KEY_STORED = "key_stored", _("Bytes stored per day of the key")
    STORED = "stored", _("Bytes stored per day of the tenant")
    KEY_READERS = "key_readers", _("Readers of streams at once of the key")
    READERS = "readers", _("Readers of streams at once of the tenant")
    QUOTA = "quota", _("Quota")


class Refusal(models.Model):
    """Refusals of one kind to one caller in one minute, so that a flood of them makes few rows.

    The id is derived from tenant, actor, tier, counter and minute (uuid5), so that every process
    computes the same one without a query.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="refusals")
    actor = models.CharField(max_length=80)
    tier = models.CharField(max_length=20, choices=RefusedBy)
    quota_id = models.UUIDField(null=True)
    route = models.CharField(max_length=80, default="")
    model = models.CharField(max_length=120, default="")
    client_net = models.GenericIPAddressField(null=True)
    limit = models.BigIntegerField()
    used = models.BigIntegerField()
    minute = models.DateTimeField()
    first_at = models.DateTimeField()
    last_at = models.DateTimeField()
    frees_at = models.DateTimeField()
    count = models.IntegerField(default=1)

    class Meta:
        indexes = [
            models.Index(fields=["tenant", "-last_at"], name="tenants_refusal_last"),
            # Serves operators, who see all tenants.
            models.Index(fields=["-last_at", "-id"], name="tenants_refusal_newest"),
        ]

    def __str__(self) -> str:
        return f"{self.tier} {self.minute:%H:%M}"

    @property
    def of_bytes(self) -> bool:
        """True if `limit` and `used` are bytes."""
        return self.tier.endswith(("bytes", "stored"))

    @property
    def public_id(self) -> str:
        """The id in the refused client's error message."""
        return f"ref_{self.id.hex}"
