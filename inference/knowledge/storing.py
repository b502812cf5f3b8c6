"""Stores the passages of a document as they are embedded, and makes the document ready.

A commit has some passages and their number on the document's row, so that a reader that takes over
goes on behind them: nothing is embedded again that was committed.
"""

from collections.abc import Sequence
from typing import Any

from django.db import connection, transaction
from django.db.models import Max, Q
from django.db.models.functions import Now
from django.utils import timezone

from audit.actions import Action
from audit.retention import legal_hold
from inference.knowledge import encryption, search_words, vectors
from inference.knowledge.base_keys import BaseSecrets
from inference.knowledge.deleting import discard
from inference.knowledge.embedding import Vector
from inference.knowledge.encryption import Text
from inference.knowledge.reading.section import Section
from inference.models import Document, DocumentState, KnowledgeBase
from inference.models.assistants.document import DUE, LEASE, DocumentQuerySet
from tenants.scope import tenant_scope

BY = "system:knowledge"
_INSERT = """
    insert into inference_passage (tenant_id, base_id, document_id, number, data_key_id, ciphertext,
                                   words, dimensions, embedding)
    values (%s, %s, %s, %s, %s, %s, %s, %s, %s::halfvec) returning id"""
_INSERT_WORDS = """
    insert into inference_passageword (tenant_id, passage_id, word, count)
    select %s, %s, unnest(%s::bigint[]), unnest(%s::int[])"""
MOST_COUNTED = 30_000  # the column's


class LeaseLost(Exception):
    """Another process reads the document, or it was deleted."""


class OtherLength(Exception):
    """The model makes vectors of another length than those of the base."""


def add(document: Document, passages: Sequence[Section], embedded: Sequence[Vector]) -> None:
    """Store the next passages with their vectors. Raises LeaseLost, OtherLength."""
    with tenant_scope(document.tenant_id):
        _move_on(document, len(passages))
        _check_length(document.base, len(embedded[0]))
        secrets, cipher = BaseSecrets.of(document.base), encryption.cipher_for(document)
        first = document.embedded - len(passages)
        for number, (passage, vector) in enumerate(zip(passages, embedded, strict=True), first):
            counts = search_words.of_passage(passage.titles, passage.text)
            text = Text(passage.titles, passage.anchor, passage.text, passage.url)
            row = (
                document.tenant_id,
                document.base_id,
                document.pk,
                number,
                cipher.key_id,
                encryption.encrypt_passage(cipher, document, number, text),
                counts.total(),
                len(vector),
                vectors.literal(secrets.turned(vector)),
            )
            hashed = {secrets.word(word): min(n, MOST_COUNTED) for word, n in counts.items()}
            _insert(row, hashed)


def _insert(row: tuple[Any, ...], hashed: dict[int, int]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_INSERT, row)
        (passage_id,) = cursor.fetchone() or (0,)
        counts = [list(hashed), list(hashed.values())]
        cursor.execute(_INSERT_WORDS, [row[0], passage_id, *counts])


def _move_on(document: Document, count: int) -> None:
    """Count passages as embedded, and renew the lease. Raises LeaseLost."""
    mine = Document.objects.due_by(document)
    after = document.embedded + count
    if not mine.update(embedded=after, attempts=0, leased_until=Now() + LEASE):
        raise LeaseLost
    document.embedded, document.attempts = after, 0


def _check_length(base: KnowledgeBase, length: int) -> None:
    """Raises OtherLength."""
    KnowledgeBase.objects.filter(pk=base.pk, dimensions=0).update(dimensions=length)
    base.refresh_from_db(fields=["dimensions"])
    if base.dimensions != length:
        raise OtherLength


def complete(document: Document) -> None:
    """Make a document ready whose passages are stored, in place of an earlier one of its name.

    An earlier upload that is still being read never takes its place. Raises LeaseLost, and OnHold
    where a legal hold keeps the earlier one.
    """
    with tenant_scope(document.tenant_id), transaction.atomic():
        for earlier in _before(document).select_for_update():
            if earlier.state == DocumentState.READY:
                legal_hold.refuse_if_held(earlier.tenant_id, earlier.id)
            discard(earlier)
        _end(document, DocumentState.READY, ready_at=timezone.now())
        document.record(
            Action.KNOWLEDGE_IMPORT, BY, state=str(document.state), passages=document.passages
        )
        KnowledgeBase.objects.filter(pk=document.base_id).update(changed_at=timezone.now())


def _before(document: Document) -> DocumentQuerySet:
    """Returns those whose place a document takes: what is ready, and what came before it.

    Which of two uploads came first, their last pieces say: either may have begun before the other.
    """
    named = document.base.documents.filter(name=document.name).exclude(pk=document.pk)
    last_piece = document.pieces.aggregate(last=Max("id", default=0))["last"]
    still_read = Q(state__in=DUE) & ~Q(pieces__id__gt=last_piece)
    return named.filter(still_read | Q(state=DocumentState.READY))


def fail(document: Document, code: str) -> None:
    """End it without a result; an earlier document of its name stays. Raises LeaseLost."""
    with tenant_scope(document.tenant_id), transaction.atomic():
        _end(document, DocumentState.FAILED, problem=code[:60])
        document.record(Action.KNOWLEDGE_IMPORT, BY, state=str(document.state), problem=code[:60])


def _end(document: Document, state: DocumentState, **fields: Any) -> None:
    if not Document.objects.due_by(document).update(state=state, leased_until=None, **fields):
        raise LeaseLost
    document.refresh_from_db()
