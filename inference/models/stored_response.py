"""Responses that their key can retrieve later."""

import uuid
from typing import ClassVar

from django.db import models, transaction
from django.utils import timezone

from audit.actions import Action
from audit.trail.record import act
from tenants.models import ApiKey, Tenant


class StoredResponseQuerySet(models.QuerySet["StoredResponse"]):
    def of_key(self, api_key_id: uuid.UUID) -> "StoredResponseQuerySet":
        """Responses of this key, or of a key that it was rotated from or to, as with requests."""
        return self.filter(api_key__in=ApiKey.objects.readable_with(api_key_id))

    def present(self) -> "StoredResponseQuerySet":
        return self.filter(deleted_at=None)

    def deleted(self) -> "StoredResponseQuerySet":
        return self.exclude(deleted_at=None)


class StoredResponse(models.Model):
    """A response that its key can retrieve (OpenAI's Responses). Its id is its completion's.

    It has no text: that is the record's (inference/stored_responses/record.py). It is written in
    the commit that receives the completion (record/sql_statements.py). A deleted row stays until
    its retention ends, so that a repeated deletion succeeds.
    """

    is_history = True  # keeps its subject's pseudonym: tenants/personal_data/erasure.py

    id = models.UUIDField(primary_key=True, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="+", db_index=False)
    api_key = models.ForeignKey(ApiKey, models.SET_NULL, null=True, related_name="+")
    subject_id = models.UUIDField()
    background = models.BooleanField(default=False)
    size = models.PositiveIntegerField(default=0)  # bytes of its input
    created_at = models.DateTimeField()
    deleted_at = models.DateTimeField(null=True)

    objects: ClassVar[StoredResponseQuerySet] = StoredResponseQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        indexes = [
            models.Index(fields=["tenant", "created_at"], name="response_tenant_created"),
        ]

    def __str__(self) -> str:
        return self.public_id

    @property
    def public_id(self) -> str:
        return f"resp_{self.id.hex}"

    def withdraw(self, by: str, client_net: str | None = None) -> None:
        """Delete it for its key. The record keeps its texts for as long as other requests'."""
        with transaction.atomic():
            present = StoredResponse.objects.present().filter(pk=self.pk)
            if present.update(deleted_at=timezone.now()):
                act(
                    Action.RESPONSE_DELETE,
                    actor=by,
                    tenant_id=self.tenant_id,
                    subject_id=self.subject_id,
                    client_net=client_net,
                    detail={"response": self.public_id},
                )
