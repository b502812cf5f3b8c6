"""Events and their encrypted texts, partitioned by month. Rows are only ever added."""

from datetime import UTC, datetime
from typing import ClassVar, Self
from uuid import UUID

from django.db import models

from audit.models.key import DataKey
from audit.models.xid import Xid

# The events of requests; all others are acts. A list of words and not a pattern: PostgreSQL cannot
# estimate a pattern behind row-level security, and would not use the small indexes of acts.
REQUESTS = ("completion:received", "completion:completed")
# No clock shows another time; an infinite one would stop the sealer.
_AT = models.Q(at__gte=datetime(2000, 1, 1, tzinfo=UTC), at__lt=datetime(2200, 1, 1, tzinfo=UTC))


class EventQuerySet(models.QuerySet["Event"]):
    """Filters for an auditor's queries."""

    def of_tenant(self, tenant_id: UUID) -> Self:
        return self.filter(tenant_id=tenant_id)

    def by(self, actor: str) -> Self:
        return self.filter(actor=actor)

    def between(self, start: datetime | None, end: datetime | None) -> Self:
        events = self
        if start:
            events = events.filter(at__gte=start)
        if end:
            events = events.filter(at__lt=end)
        return events

    def newest_first(self) -> Self:
        return self.order_by("-at", "-id")


class Event(models.Model):
    """One event. audit/trail/canonical.py defines the part of it that is sealed, and its form."""

    at = models.DateTimeField()
    action = models.CharField(max_length=40)
    tenant_id = models.UUIDField(null=True)
    request_id = models.UUIDField(null=True)
    actor = models.CharField(max_length=80)  # "key:<uuid>", "member:<uuid>", "operator:<uuid>", …
    subject_id = models.UUIDField(null=True)  # pseudonym of the person, never a name
    client_net = models.GenericIPAddressField(null=True)  # /24 or /48; the full one is encrypted
    route = models.CharField(max_length=80, default="")
    model = models.CharField(max_length=120, default="")
    success = models.BooleanField(default=True)
    status = models.SmallIntegerField(null=True)
    error_code = models.CharField(max_length=60, default="")
    response_length = models.IntegerField(null=True)
    processing_ms = models.IntegerField(null=True)
    tokens_in = models.IntegerField(null=True)
    tokens_out = models.IntegerField(null=True)
    detail = models.JSONField(default=dict)
    api_key_id = models.UUIDField(null=True)
    upstream = models.CharField(max_length=120, default="")  # which engine or service answered
    payload_sha256 = models.BinaryField(null=True)  # of the ciphertext, never of a text
    # The writing transaction (set by the database): the sealer takes rows in this order.
    xid = models.BigIntegerField(db_default=Xid())

    objects: ClassVar[EventQuerySet] = EventQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["request_id", "action", "at"], name="audit_event_once_per_request"
            ),
            models.CheckConstraint(condition=_AT, name="audit_event_of_a_clock"),
        ]
        # Each index costs the hot path; search/events.py says what it is for. An actor or a subject
        # belongs to one tenant, so their indexes need no tenant column and serve the platform too.
        indexes = [
            models.Index(fields=["tenant_id", "-at"], name="audit_event_tenant_at"),
            models.Index(fields=["-at"], name="audit_event_at"),
            models.Index(fields=["actor", "-at"], name="audit_event_actor_at"),
            models.Index(fields=["subject_id", "-at"], name="audit_event_subject_at"),
            models.Index(fields=["tenant_id", "client_net", "-at"], name="audit_event_net_at"),
            models.Index(fields=["xid", "id"], name="audit_event_written"),
            models.Index(
                fields=["tenant_id", "-at"],
                name="audit_event_acts",
                condition=~models.Q(action__in=REQUESTS),
            ),
            models.Index(
                fields=["-at"],
                name="audit_event_all_acts",  # `id__gt` hides it from tenants' searches
                condition=~models.Q(action__in=REQUESTS) & models.Q(id__gt=0),
            ),
            models.Index(
                fields=["tenant_id", "-at"],
                name="audit_event_failed",
                condition=models.Q(success=False) | models.Q(status__gte=400),
            ),
        ]


class Payload(models.Model):
    """A text that belongs to an event, encrypted under its subject's key."""

    at = models.DateTimeField()
    tenant_id = models.UUIDField()
    request_id = models.UUIDField()
    field = models.CharField(max_length=20)  # "request" or "response"
    data_key = models.ForeignKey(  # the key is deleted before the text
        DataKey, models.DO_NOTHING, db_constraint=False, db_index=False
    )
    ciphertext = models.BinaryField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["request_id", "field", "at"], name="audit_payload_once"
            ),
            models.CheckConstraint(condition=_AT, name="audit_payload_of_a_clock"),
        ]
        indexes = [
            models.Index(fields=["data_key", "at"], name="audit_payload_key_at"),
            models.Index(fields=["tenant_id", "at"], name="audit_payload_tenant_at"),
        ]
