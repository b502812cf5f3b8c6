"""Embeds the passages of a document for whoever uploaded it, some at a time."""

from contextlib import suppress
from datetime import timedelta
from functools import lru_cache
from uuid import UUID

from channels.db import database_sync_to_async
from django.db.models.functions import Now

from audit.keys.keyring import Unreadable
from audit.retention.legal_hold import OnHold
from inference.api.deferred import Refused, Wait, caller_of, consequence
from inference.api.refusals import REFUSALS
from inference.intake.context import Context
from inference.knowledge import storing, uploading
from inference.knowledge.embedding import BATCH, Vector, embed
from inference.knowledge.reading import reader
from inference.knowledge.reading.reader import Reading
from inference.knowledge.storing import LeaseLost, OtherLength
from inference.models import Document
from inference.text_extraction.unreadable import UnreadableDocument
from tenants.caller import Caller
from tenants.scope import tenant_scope

in_database = database_sync_to_async
CLASS = "batch"  # of work: people's requests go first
PORTIONS = 8  # of BATCH passages, before other documents have their turn
ATTEMPTS = 5  # without a commit; then it fails
TURN_S, LONGEST_WAIT_S = 2.0, 600.0


async def go_on(context: Context, document: Document) -> None:
    """Embed the next passages of a document under lease, and end it with the last."""
    try:
        await _go_on(context, document)
    except Wait as wait:
        await in_database(_wait)(document, wait)
    except LeaseLost:
        pass
    except (Refused, UnreadableDocument) as problem:
        await _fail(document, problem.code)
    except OtherLength:
        await _fail(document, "other_dimensions")
    except Unreadable:
        await _fail(document, "unreadable")


async def _go_on(context: Context, document: Document) -> None:
    if document.attempts > ATTEMPTS:
        raise Refused("broken_off")
    caller = await caller_of(context, document.api_key or document.member)
    reading = await in_database(_reading)(document.pk)
    await in_database(_note)(document, reading)
    for _portion in range(PORTIONS):
        passages = reading.passages[document.embedded : document.embedded + BATCH]
        if not passages:
            return await in_database(_complete)(document)
        texts = [reader.embedded_text(passage) for passage in passages]
        embedded = await _embedded(context, caller, document.base.model, texts)
        await in_database(storing.add)(document, passages, embedded)
    raise Wait(TURN_S)


async def _embedded(context: Context, caller: Caller, model: str, texts: list[str]) -> list[Vector]:
    """Raises Wait, Refused."""
    try:
        return await embed(context, caller, model, texts, klass=CLASS)
    except REFUSALS as refusal:
        raise consequence(refusal) from None


# The document's row ------------------------------------------------------------------------------
@lru_cache(1)
def _reading(document_id: UUID) -> Reading:
    """Returns the document's passages. Raises UnreadableDocument, Unreadable.

    The last one is remembered: it is asked for again with each turn of a long document.
    """
    document = Document.objects.get(pk=document_id)
    with tenant_scope(document.tenant_id):
        raw = uploading.content(document)
    return reader.read(raw, document.form, document.name)


def _note(document: Document, reading: Reading) -> None:
    figures = {"passages": len(reading.passages), "left_out": reading.left_out}
    with tenant_scope(document.tenant_id):
        if not Document.objects.due_by(document).update(state="embedding", **figures):
            raise LeaseLost
    document.passages = figures["passages"]


def _complete(document: Document) -> None:
    _reading.cache_clear()
    try:
        storing.complete(document)
    except OnHold:
        raise Refused("on_hold") from None


def _wait(document: Document, wait: Wait) -> None:
    attempts = max(document.attempts - wait.is_limit, 0)  # without room it was no attempt
    seconds = max(TURN_S, min(wait.seconds, LONGEST_WAIT_S))
    fields = {"due_at": Now() + timedelta(seconds=seconds), "attempts": attempts}
    with tenant_scope(document.tenant_id):
        Document.objects.due_by(document).update(leased_until=None, **fields)


async def _fail(document: Document, code: str) -> None:
    with suppress(LeaseLost):
        await in_database(storing.fail)(document, code)
