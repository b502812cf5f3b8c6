"""Retention of documents in knowledge bases. They are texts of the tenant, and of no person."""

from datetime import datetime
from uuid import UUID

from django.db import transaction

from inference.knowledge import deleting
from inference.models import Document

KINDS = {"documents": ("inference_document", "created_at")}  # for data_classes.by_month


def erase_old(tenant_id: UUID, before: datetime, spare: frozenset[UUID]) -> int:
    """Delete documents that were uploaded before that time."""
    documents = Document.objects.present().filter(tenant_id=tenant_id, created_at__lt=before)
    old = list(documents.exclude(pk__in=list(spare)))
    for document in old:
        with transaction.atomic():
            deleting.discard(document)
    return len(old)
