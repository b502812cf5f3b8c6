"""Drives the documents of all tenants: reads them, and removes the rows of those that are gone.

It has no state: everything is in rows, so any process goes on where one has died.
"""

import asyncio
import logging
from datetime import timedelta

from channels.db import database_sync_to_async
from django.db import DatabaseError, transaction
from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone

from audit.keys.master_keys.errors import MasterKeyUnavailable
from inference.api.knowledge import reading
from inference.intake.context import Context
from inference.knowledge import deleting, uploading
from inference.models import Document, DocumentState
from inference.models.assistants.document import LEASE

log = logging.getLogger(__name__)
AT_ONCE = 4  # documents of this process


def drive() -> None:
    """Read what is due, each document for some turns. Two of these at once do no harm."""
    give_up_uploads()
    deleting.purge()
    if Document.objects.due().exists():
        asyncio.run(_read())


def give_up_uploads() -> None:
    """Discard uploads that nobody has ended for a day."""
    before = timezone.now() - timedelta(hours=uploading.PATIENCE_H)
    old = Document.objects.filter(state=DocumentState.UPLOADING, created_at__lt=before)
    for document in old.select_related("base"):
        uploading.give_up(document)


async def _read() -> None:
    async with Context.opened() as context, asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(_read_on(context))


async def _read_on(context: Context) -> None:
    while document := await database_sync_to_async(claimed)():
        try:
            await reading.go_on(context, document)
        except (DatabaseError, MasterKeyUnavailable) as problem:
            log.warning("document %s: %s", document.pk, problem)
            return
        except Exception:
            log.exception("cannot read a document of a knowledge base")
            return


def claimed() -> Document | None:
    """Returns the document that has waited longest, under a new lease."""
    with transaction.atomic():
        due = Document.objects.due().order_by("due_at")
        document = due.select_for_update(skip_locked=True).first()
        if document is None:
            return None
        Document.objects.filter(pk=document.pk).update(
            leased_until=Now() + LEASE, turn=F("turn") + 1, attempts=F("attempts") + 1
        )
    related = Document.objects.select_related("base", "api_key", "member")
    return related.get(pk=document.pk)
