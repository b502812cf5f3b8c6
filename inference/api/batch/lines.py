"""The lines of one batch in PostgreSQL: which wait, which have become requests, how they ended."""

from collections.abc import Iterable
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db import transaction
from django.db.models import Exists, F, OuterRef, QuerySet

from inference.batch.file_store import FileReader
from inference.batch.line_keys import key_of, number_of
from inference.intake.claim import Claim
from inference.models import (
    Batch,
    BatchLine,
    Completion,
    File,
    IdempotencyKey,
    LineState,
    Usage,
)
from inference.models.completion import State
from inference.order import Order
from inference.record.recorded import on_record
from tenants.models import ApiKey

AHEAD = 200  # rows that are read at once


def claim_of(batch: Batch, number: int, instead_of: UUID | None) -> Claim:
    """Makes a line run once: of two that submit it, one is received (record/claiming.py)."""
    return Claim(key_of(number), b"", owner=batch.pk, instead_of=instead_of)


def models_of(batch: Batch) -> list[str]:
    """Of lines that wait; "" stands for those that are not known."""
    rows = BatchLine.objects.filter(batch=batch, state=LineState.WAITING)
    return sorted(rows.values_list("model", flat=True).distinct())


def waiting(batch: Batch, model: str, after: int) -> list[BatchLine]:
    rows = BatchLine.objects.filter(batch=batch, state=LineState.WAITING, model=model)
    return list(rows.filter(number__gt=after).order_by("number")[:AHEAD])


def begun(batch: Batch) -> dict[int, UUID]:
    """Lines that are on record as requests already, by their number: their completions."""
    rows = _claims(batch).filter(_ON_RECORD).values_list("key", "completion_id")
    return {number_of(key): completion for key, completion in rows}


def claimed_as(batch: Batch, number: int) -> tuple[UUID | None, bool]:
    """By which completion, and whether that is on record: not when a quota had no room for it."""
    claim = _claims(batch).filter(key=key_of(number))
    found = claim.values_list("completion_id", _ON_RECORD).first()
    return found or (None, False)


_ON_RECORD = Exists(Completion.objects.filter(pk=OuterRef("completion_id")))


def _claims(batch: Batch) -> QuerySet[IdempotencyKey]:
    return IdempotencyKey.objects.filter(tenant_id=batch.tenant_id, owner=batch.pk)


def rows_of(batch: Batch, numbers: Iterable[int]) -> list[BatchLine]:
    rows = BatchLine.objects.filter(batch=batch, state=LineState.WAITING)
    return list(rows.filter(number__in=list(numbers)))


def settled(completions: Iterable[UUID]) -> dict[UUID, tuple[int, str]]:
    """Status and error code of those that are over."""
    over = Completion.objects.filter(pk__in=list(completions)).exclude(state=State.OPEN)
    used = Usage.objects.filter(completion__in=over)
    rows = used.values_list("completion_id", "status", "error_code")
    return {completion: (status, code) for completion, status, code in rows}


def order_of(completion: UUID) -> Order | None:
    found = on_record(completion)
    return found[1] if found else None


def save(batch: Batch, ended: list[BatchLine]) -> None:
    """What came of lines, and the batch's progress."""
    done = sum(line.state == LineState.DONE for line in ended)
    fields = ["state", "completion_id", "status", "error_ciphertext"]
    with transaction.atomic():
        BatchLine.objects.bulk_update(ended, fields)
        Batch.objects.filter(pk=batch.pk).update(
            completed=F("completed") + done, failed=F("failed") + len(ended) - done
        )


def about(batch: Batch) -> tuple[bytes, ZoneInfo]:
    """The digest of its key, b"" where that has been deleted (it opens nothing); the tenant's time
    zone.
    """
    digest = bytes(batch.api_key.digest) if batch.api_key else b""
    return digest, ZoneInfo(batch.tenant.time_zone)


def successor(batch: Batch) -> bytes:
    """The digest of the key that took the place of its own, if that may read what it asked for.

    b"" where there is none: also for a key that was rotated to somebody else.
    """
    if batch.api_key_id is None:
        return b""
    own = ApiKey.objects.filter(pk=batch.api_key_id)
    fresh = ApiKey.objects.filter(pk__in=own.values("replaced_by")).first()
    may = fresh and ApiKey.objects.readable_with(fresh.pk).filter(pk=batch.api_key_id).exists()
    return bytes(fresh.digest) if fresh and may else b""


def reader(batch: Batch) -> FileReader:
    """Raises File.DoesNotExist, Unreadable."""
    return FileReader(File.objects.whole().get(pk=batch.input_file_id))
