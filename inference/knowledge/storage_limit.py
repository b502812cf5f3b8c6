"""Bounds the bytes of a document, of a base, and of a tenant's bases together.

A row says what it takes. It is raised before bytes are stored, under a lock for the tenant, so that
two uploads at the same time cannot exceed a limit together.
"""

from uuid import UUID

from django.conf import settings
from django.db.models import F, Sum

from inference.models import Document, KnowledgeBase
from infrastructure.postgres.queries import lock


class TooLarge(Exception):
    """The document has reached the limit of a document."""


class BaseFull(Exception):
    """The base has reached the limit of a base."""


class StorageFull(Exception):
    """The tenant's bases have reached their limit."""


def reserve(document: Document, size: int) -> None:
    """Let the document take `size` bytes more. Raises TooLarge, BaseFull, StorageFull."""
    if document.size + size > settings.KNOWLEDGE_DOCUMENT_BYTES:
        raise TooLarge
    lock(f"knowledge:{document.tenant_id}")
    bases = KnowledgeBase.objects.filter(pk=document.base_id)
    if bases.values_list("stored_bytes", flat=True)[0] + size > settings.KNOWLEDGE_BASE_BYTES:
        raise BaseFull
    if stored(document.tenant_id) + size > settings.KNOWLEDGE_BYTES:
        raise StorageFull
    bases.update(stored_bytes=F("stored_bytes") + size)
    document.size += size
    document.save(update_fields=["size"])


def release(document: Document) -> None:
    """Give back what the document takes."""
    bases = KnowledgeBase.objects.filter(pk=document.base_id)
    bases.update(stored_bytes=F("stored_bytes") - document.size)


def stored(tenant_id: UUID) -> int:
    """Returns the bytes of a tenant's knowledge bases."""
    bases = KnowledgeBase.objects.present().filter(tenant_id=tenant_id)
    return bases.aggregate(size=Sum("stored_bytes"))["size"] or 0
