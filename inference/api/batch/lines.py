"""The lines of a batch in PostgreSQL: waiting, submitted, and ended ones."""

from collections.abc import Iterable
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db import transaction
from django.db.models import Exists, F, OuterRef, QuerySet

from inference.api.threads import Threads
from inference.batch.file_store import FileReader
from inference.batch.input_lines import key_of, number_of
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
from tenants.models import ApiKey

AHEAD = 200  # rows of one query
in_thread = Threads(4, "batch").run
# Whole files are read and written here, so that they never delay the renewal of a lease.
in_long_thread = Threads(2, "batch-files").run


def models_of(batch: Batch) -> list[str]:
    """Returns the models of waiting lines; "" stands for those that are not served."""
    rows = BatchLine.objects.filter(batch=batch, state=LineState.WAITING)
    return sorted(rows.values_list("model", flat=True).distinct())


def waiting(batch: Batch, model: str, after: int) -> list[BatchLine]:
    rows = BatchLine.objects.filter(batch=batch, state=LineState.WAITING, model=model)
    return list(rows.filter(number__gt=after).order_by("number")[:AHEAD])


def begun(batch: Batch) -> dict[int, UUID]:
    """Returns the completions of lines that are recorded as requests, by the line's number."""
    rows = _claims(batch).filter(_ON_RECORD).values_list("key", "completion_id")
    return {number_of(key): completion for key, completion in rows}


def claimed_as(batch: Batch, number: int) -> tuple[UUID | None, bool]:
    """Returns the claiming completion, and whether it is recorded.

    It is not if a quota had no room for it.
    """
    claim = _claims(batch).filter(key=key_of(number))
    row = claim.values_list("completion_id", _ON_RECORD).first()
    return row or (None, False)


_ON_RECORD = Exists(Completion.objects.filter(pk=OuterRef("completion_id")))


def _claims(batch: Batch) -> QuerySet[IdempotencyKey]:
    return IdempotencyKey.objects.filter(tenant_id=batch.tenant_id, owner=batch.pk)


def rows_of(batch: Batch, numbers: Iterable[int]) -> list[BatchLine]:
    rows = BatchLine.objects.filter(batch=batch, state=LineState.WAITING)
    return list(rows.filter(number__in=list(numbers)))


def settled(completions: Iterable[UUID]) -> dict[UUID, tuple[int, str]]:
    """Returns status and error code of those that are over."""
    over = Completion.objects.filter(pk__in=list(completions)).exclude(state=State.OPEN)
    used = Usage.objects.filter(completion__in=over)
    rows = used.values_list("completion_id", "status", "error_code")
    return {completion: (status, code) for completion, status, code in rows}


def save(batch: Batch, ended: list[BatchLine], retried: list[BatchLine]) -> None:
    """Store the outcome of lines, the failed tries of others, and the batch's progress."""
    done_count = sum(line.state == LineState.DONE for line in ended)
    fields = ["state", "completion_id", "status", "error_ciphertext"]
    with transaction.atomic():
        BatchLine.objects.bulk_update(retried, ["earlier"])
        BatchLine.objects.bulk_update(ended, fields)
        completed, failed = F("completed") + done_count, F("failed") + len(ended) - done_count
        Batch.objects.filter(pk=batch.pk).update(completed=completed, failed=failed)


def about(batch: Batch) -> tuple[bytes, ZoneInfo]:
    """Returns the digest of the batch's key and the tenant's time zone.

    The digest is b"" for a deleted key.
    """
    digest = bytes(batch.api_key.digest) if batch.api_key else b""
    return digest, ZoneInfo(batch.tenant.time_zone)


def successor(batch: Batch) -> bytes:
    """Returns the digest of the key that replaced the batch's, if it may read the batch's answers.

    b"" if there is none, or if the key was rotated to another person.
    """
    if batch.api_key_id is None:
        return b""
    fresh = ApiKey.objects.successor_of(batch.api_key_id)
    return bytes(fresh.digest) if fresh else b""


def reader(batch: Batch) -> FileReader:
    """Raises File.DoesNotExist, Unreadable."""
    return FileReader(File.objects.whole().get(pk=batch.input_file_id))
