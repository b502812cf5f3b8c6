"""Embeds the passages of a document for whoever uploaded it, some at a time.

Its wire is a row: it decides what a refusal means for the document, which fails, or waits.
"""

from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from functools import lru_cache
from uuid import UUID

from channels.db import database_sync_to_async
from django.db.models.functions import Now

from audit.keys.keyring import Unreadable
from audit.retention.legal_hold import OnHold
from inference.api.refusals import REFUSALS, as_error
from inference.intake.context import Context
from inference.intake.errors import NotAdmitted
from inference.knowledge import storing, uploading
from inference.knowledge.embedding import BATCH, Vector, embed
from inference.knowledge.reading import reader
from inference.knowledge.reading.reader import Reading
from inference.knowledge.storing import LeaseLost, OtherLength
from inference.models import Document
from inference.text_extraction.unreadable import UnreadableDocument
from tenants.authentication.authenticator import (
    AuthenticationUnavailable,
    TenantClosed,
    UnknownCaller,
)
from tenants.caller import Caller
from tenants.scope import tenant_scope

in_database = database_sync_to_async
CLASS = "batch"  # of work: people's requests go first
PORTIONS = 8  # of BATCH passages, before other documents have their turn
ATTEMPTS = 5  # without a commit; then it fails
LEAST_WAIT_S, LONGEST_WAIT_S = 2.0, 600.0


class Wait(Exception):
    """The document cannot go on for `seconds`. Where a `limit` has no room, it was no attempt."""

    def __init__(self, seconds: float, *, limit: bool = False) -> None:
        super().__init__(seconds)
        self.seconds, self.limit = max(LEAST_WAIT_S, min(seconds, LONGEST_WAIT_S)), limit


class Failed(Exception):
    """The document can never be embedded. `code` is for programs."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


async def go_on(context: Context, document: Document) -> None:
    """Embed the next passages of a document under lease, and end it with the last."""
    try:
        await _go_on(context, document)
    except Wait as wait:
        await in_database(_wait)(document, wait)
    except LeaseLost:
        pass
    except Failed as problem:
        await _fail(document, problem.code)
    except UnreadableDocument as problem:
        await _fail(document, problem.code)
    except OtherLength:
        await _fail(document, "other_dimensions")
    except Unreadable:
        await _fail(document, "unreadable")


async def _go_on(context: Context, document: Document) -> None:
    if document.attempts > ATTEMPTS:
        raise Failed("broken_off")
    caller = await _caller(context, document)
    reading = await in_database(_reading)(document.pk)
    await in_database(_note)(document, reading)
    for _portion in range(PORTIONS):
        passages = reading.passages[document.embedded : document.embedded + BATCH]
        if not passages:
            return await in_database(_complete)(document)
        texts = [reader.embedded_text(passage) for passage in passages]
        embedded = await _embedded(context, caller, document.base.model, texts)
        await in_database(storing.add)(document, passages, embedded)
    raise Wait(0)


async def _caller(context: Context, document: Document) -> Caller:
    """Returns the caller as it is now. Raises Wait, Failed."""
    key, member = document.api_key, document.member
    try:
        if key:
            caller = await context.authenticator.by_digest(bytes(key.digest))
        elif member:
            caller = await context.authenticator.by_member(member.pk)
        else:
            raise Failed("access_revoked")
    except TenantClosed:
        raise Failed("tenant_closed") from None
    except UnknownCaller:
        raise Failed("access_revoked") from None
    except AuthenticationUnavailable:
        raise Wait(LEAST_WAIT_S) from None
    return replace(caller, networks=())  # its address was checked at the upload


async def _embedded(context: Context, caller: Caller, model: str, texts: list[str]) -> list[Vector]:
    """Raises Wait, Failed."""
    try:
        return await embed(context, caller, model, texts, klass=CLASS)
    except NotAdmitted as refused:
        if refused.admission.never_fits:
            raise Failed(as_error(refused).code) from None
        raise Wait(refused.admission.frees_in_ms / 1000, limit=True) from None
    except REFUSALS as refusal:
        error = as_error(refusal)
        if error.status == 429 or error.status >= 500:
            limit = error.status == 429
            raise Wait(error.retry_after or LEAST_WAIT_S, limit=limit) from None
        raise Failed(error.code) from None


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
        raise Failed("on_hold") from None


def _wait(document: Document, wait: Wait) -> None:
    attempts = max(document.attempts - wait.limit, 0)
    fields = {"due_at": Now() + timedelta(seconds=wait.seconds), "attempts": attempts}
    with tenant_scope(document.tenant_id):
        Document.objects.due_by(document).update(leased_until=None, **fields)


async def _fail(document: Document, code: str) -> None:
    with suppress(LeaseLost):
        await in_database(storing.fail)(document, code)
