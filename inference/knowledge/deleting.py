"""Deletes documents and bases: in one commit nobody finds them, and the key is gone.

Their rows follow in the background, some at a time: a transaction that lasted minutes would keep
the audit trail's sealer waiting. So do the keys of a deleted base's documents. A legal hold over
the tenant keeps all of them.
"""

from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from audit.actions import Action
from audit.keys import keyring as keys
from audit.retention import legal_hold
from audit.retention.legal_hold import OnHold
from inference.knowledge import encryption, storage_limit
from inference.models import (
    Document,
    DocumentPiece,
    DocumentState,
    KnowledgeBase,
    Passage,
    PassageWord,
)
from tenants.models.model_changes import lock
from tenants.scope import tenant_scope

__all__ = ["OnHold", "delete", "remove"]
AT_ONCE = 500  # passages of one transaction
HELD_FOR = timedelta(hours=1)  # until it is looked at again whether a legal hold keeps rows


def remove(document: Document, *, by: str) -> None:
    """Delete a document; one that is gone stays so. Raises OnHold."""
    with transaction.atomic():
        legal_hold.refuse_if_held(document.tenant_id, document.id)
        if not discard(document):
            return
        document.record(Action.KNOWLEDGE_REMOVE, by)
        KnowledgeBase.objects.filter(pk=document.base_id).update(changed_at=timezone.now())


def delete(base: KnowledgeBase, *, by: str) -> None:
    """Delete a base with its documents, and destroy its key. Raises OnHold."""
    with transaction.atomic():
        legal_hold.refuse_if_held(base.tenant_id, base.id)
        number = base.documents.present().update(state=DocumentState.GONE, due_at=timezone.now())
        keys.destroy(base.tenant_id, base.id)
        base.deleted_at, base.stored_bytes = timezone.now(), 0
        base.save(update_fields=["deleted_at", "stored_bytes"])
        base.record(Action.KNOWLEDGE_DELETE, by, documents=number)


def discard(document: Document) -> bool:
    """Have nobody find the document, and destroy its key, in the open transaction.

    Returns False if it is gone already: its bytes are given back once. A legal hold keeps the key
    of an upload that is given up, and its rows, until its release.
    """
    lock(document)
    if document.state == DocumentState.GONE:
        return False
    storage_limit.release(document)
    if not _is_held(document):
        encryption.destroy_key(document)
    gone = {"state": DocumentState.GONE, "due_at": timezone.now(), "leased_until": None}
    Document.objects.filter(pk=document.pk).update(**gone)
    return True


def purge() -> None:
    """Delete the rows of documents and bases that are gone."""
    gone = Document.objects.filter(state=DocumentState.GONE)
    for document in gone.order_by("due_at").iterator():
        if _is_held(document):
            later = timezone.now() + HELD_FOR
            Document.objects.filter(pk=document.pk).update(due_at=later)
            continue
        encryption.destroy_key(document)
        while _purge_some(document):
            pass
    for base in KnowledgeBase.objects.exclude(deleted_at=None).filter(documents=None):
        with tenant_scope(base.tenant_id):
            base.delete()


def _is_held(document: Document) -> bool:
    return legal_hold.in_force(document.tenant_id, document.id) is not None


def _purge_some(document: Document) -> bool:
    """Delete some passages, and with the last one the document. Returns whether more are left."""
    with tenant_scope(document.tenant_id):
        passages = Passage.objects.filter(document=document).order_by("number")
        ids = list(passages.values_list("pk", flat=True)[:AT_ONCE])
        PassageWord.objects.filter(passage_id__in=ids)._raw_delete("default")
        Passage.objects.filter(pk__in=ids)._raw_delete("default")
        if len(ids) == AT_ONCE:
            return True
        DocumentPiece.objects.filter(document=document)._raw_delete("default")
        Document.objects.filter(pk=document.pk)._raw_delete("default")
        return False
