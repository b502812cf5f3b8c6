"""Exports the audit trail as a file: made by a job, encrypted under the tenant's key, deleted after
its time.

JSONL with proofs is for machines and verifies offline (export_format.py); CSV is for people and
proves nothing.
"""

import csv
import io
import json
import logging
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

from celery import current_app
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from audit.actions import Action
from audit.keys import encrypted_file
from audit.keys.keyring import keyring
from audit.models import Event, Export
from audit.retention import data_classes, periods, row_counts
from audit.retention.data_classes import EXPORTS, DataClass
from audit.search.events import Filters, oldest_first, queryset
from audit.trail.record import act
from infrastructure.postgres.scope import scope

log = logging.getLogger(__name__)
KIND = "audit"
JSONL, CSV = "jsonl", "csv"
FORMS = {JSONL: "application/x-ndjson", CSV: "text/csv; charset=utf-8"}
MAKING, READY, FAILED = "making", "ready", "failed"
MOST_MAKING = 3  # of one tenant at once
MOST_ROWS = 5_000_000
PROGRESS_EVERY_S = 1.0
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)
COLUMNS = (
    "id",
    "at",
    "action",
    "actor",
    "subject_id",
    "request_id",
    "client_net",
    "route",
    "model",
    "upstream",
    "success",
    "status",
    "error_code",
    "response_length",
    "processing_ms",
    "tokens_in",
    "tokens_out",
    "detail",
)


def register() -> None:
    data_classes.register(
        DataClass(EXPORTS, gettext_lazy("Exported files"), 7, 1, _count, _erase_older)
    )


def _count(tenant_id: UUID, before: datetime) -> row_counts.Counts:
    return row_counts.by_month({"files": ("audit_export", "created_at")}, tenant_id, before)


def _erase_older(tenant_id: UUID, before: datetime, spare: frozenset[UUID]) -> int:
    """Deletes old files. A hold needs only a person's own, since the others copy what stays on
    record.
    """
    old = Export.objects.filter(tenant_id=tenant_id, created_at__lt=before)
    return purge(old.exclude(subject_id__in=spare))


# Requests ----------------------------------------------------------------------------------------
def ask(tenant_id: UUID, filters: Filters, form: str, *, by: str) -> Export:
    """Starts an export and records it. Raises ValidationError."""
    if form not in FORMS:
        raise ValidationError({"form": _("Choose JSONL or CSV.")})
    now = timezone.now()
    order: dict[str, Any] = {"form": form, **filters_as_json(filters), "up_to": now.isoformat()}
    with transaction.atomic():
        pending = Export.objects.filter(tenant_id=tenant_id, state=MAKING, kind=KIND)
        if pending.count() >= MOST_MAKING:
            raise ValidationError(
                _("Three exports are already in progress. Wait until one of them has finished.")
            )
        days = periods.days_of(tenant_id, EXPORTS)
        export = Export.objects.create(
            tenant_id=tenant_id,
            kind=KIND,
            actor=by,
            asked=order,
            expires_at=now + timedelta(days=days),
        )
        detail = {"export": str(export.id), **{k: v for k, v in order.items() if k != "up_to"}}
        act(Action.AUDIT_EXPORT, actor=by, tenant_id=tenant_id, detail=detail)
        transaction.on_commit(_wake)
    return export


def download(export: Export, *, by: str) -> Iterator[bytes]:
    """Yields the decrypted pieces, after recording the download. Raises FileNotFoundError."""
    path = path_of(export)
    if export.state != READY or expired(export) or not path.exists():
        raise FileNotFoundError(path.name)
    assert export.data_key_id
    cipher = keyring.by_id_now(export.data_key_id)
    detail = {"export": str(export.id), "download": True, "sha256": export.sha256}
    act(Action.AUDIT_EXPORT, actor=by, tenant_id=export.tenant_id, detail=detail)
    return encrypted_file.decrypted(path, cipher, _aad(export))


def drop(export: Export, *, by: str) -> None:
    with transaction.atomic():
        detail = {"export": str(export.id), "dropped": True}
        act(Action.AUDIT_EXPORT, actor=by, tenant_id=export.tenant_id, detail=detail)
        purge(Export.objects.filter(pk=export.pk))


def expired(export: Export) -> bool:
    return export.expires_at <= timezone.now()


def selective(filters: Filters) -> bool:
    """Returns True if the filters leave out events within their time range."""
    return filters != Filters(since=filters.since, until=filters.until)


def filters_as_json(filters: Filters) -> dict[str, Any]:
    """Returns the filters that are set, as JSON-compatible values."""
    empty = Filters()
    fields = {}
    for name in Filters.__dataclass_fields__:
        value = getattr(filters, name)
        if value != getattr(empty, name):
            fields[name] = value if isinstance(value, (bool, int, str)) else _plain(value)
    return fields


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    return value.isoformat() if isinstance(value, datetime) else str(value)


def filters_of(asked: dict[str, Any]) -> Filters:
    fields: dict[str, Any] = {}
    for name in Filters.__dataclass_fields__:
        if name in asked:
            value = asked[name]
            if name in ("since", "until"):
                value = datetime.fromisoformat(value)
            elif name in ("subject_id", "api_key_id", "request_id"):
                value = UUID(value)
            elif name == "actors":
                value = tuple(value)
            fields[name] = value
    return Filters(**fields)


# The job -----------------------------------------------------------------------------------------
def _wake() -> None:
    try:
        current_app.send_task("audit.export", ignore_result=True)
    except Exception:  # the broker is away; beat sends the task within a minute
        log.warning("cannot start the export now; beat retries it", exc_info=True)


def work() -> int:
    """Makes pending exports one by one, except those that another worker is making."""
    count = 0
    with scope(system=True):
        waiting = list(Export.objects.filter(state=MAKING, kind=KIND).order_by("created_at"))
    for export in waiting:
        with _ExportLock(export.id) as acquired:
            if acquired and Export.objects.filter(pk=export.pk, state=MAKING).exists():
                _make(export)
                count += 1
    return count


class _ExportLock:
    """An advisory lock of the session, which ends with the worker's connection."""

    def __init__(self, export_id: UUID) -> None:
        self._name = f"export:{export_id}"

    def __enter__(self) -> bool:
        return self._call("pg_try_advisory_lock")

    def __exit__(self, *_: object) -> None:
        self._call("pg_advisory_unlock")

    def _call(self, function: str) -> bool:
        with connection.cursor() as cursor:
            cursor.execute(f"select {function}(hashtextextended(%s, 0))", [self._name])
            return bool(cursor.fetchone()[0])


def _make(export: Export) -> None:
    try:
        fields = _write_file(export)
    except Exception as problem:
        log.exception("export %s failed", export.id)
        _finish(export, state=FAILED, problem=_problem_text(problem))
    else:
        _finish(export, state=READY, **fields)


def _write_file(export: Export) -> dict[str, Any]:
    cipher = keyring.of_subject_now(export.tenant_id, None)
    digest = sha256()
    with encrypted_file.EncryptedFile(path_of(export), cipher, _aad(export)) as file:
        for piece in _pieces(export):
            digest.update(piece)
            file.write(piece)
    return {"data_key_id": cipher.key_id, "bytes": file.size, "sha256": digest.hexdigest()}


def _finish(export: Export, **fields: Any) -> None:
    """Stores the outcome, or deletes the file if the export was dropped meanwhile."""
    with scope(system=True):
        if not Export.objects.filter(pk=export.pk, state=MAKING).update(**fields):
            path_of(export).unlink(missing_ok=True)


def _problem_text(problem: Exception) -> str:
    if isinstance(problem, OSError) and problem.errno == 28:
        return "the disk is full"
    return (str(problem) or type(problem).__name__)[:300]


def _pieces(export: Export) -> Iterator[bytes]:
    filters = filters_of(export.asked)
    events = _counting_progress(export, filters)
    return _csv(events) if export.asked["form"] == CSV else _jsonl(export, filters, events)


def _counting_progress(export: Export, filters: Filters) -> Iterator[list[Event]]:
    """Yields chunks of events, oldest first, and saves the progress now and then."""
    rows, saved_at = 0, 0.0
    begins, ends = None, datetime.fromisoformat(export.asked["up_to"])
    for chunk in oldest_first(export.tenant_id, filters, ends):
        rows += len(chunk)
        if rows > MOST_ROWS:
            raise ValueError(f"more than {MOST_ROWS:,} events: choose a shorter time")
        begins = begins or chunk[0].at
        if time.monotonic() - saved_at > PROGRESS_EVERY_S:
            _save_progress(export, rows, begins, chunk[-1].at, filters.until or ends)
            saved_at = time.monotonic()
        yield chunk
    _save_progress(export, rows, ends, ends, ends)


def _save_progress(
    export: Export, rows: int, begins: datetime, at: datetime, ends: datetime
) -> None:
    whole = (ends - begins).total_seconds()
    percent = min(100, int(100 * (at - begins).total_seconds() / whole)) if whole > 0 else 100
    export.asked["percent"] = percent
    with scope(system=True):
        Export.objects.filter(pk=export.pk).update(rows=rows, asked=export.asked)


def _jsonl(export: Export, filters: Filters, events: Iterable[list[Event]]) -> Iterator[bytes]:
    """Yields events with their seals; complete only if the filters leave nothing out of the time
    range.
    """
    from audit.exports import export_format  # it is large, and few processes need it

    for _chunk in events:  # counts rows and saves progress; the file itself is written by seals
        pass
    until = datetime.fromisoformat(export.asked["up_to"])
    until = min(filters.until, until) if filters.until else until
    chosen = queryset(export.tenant_id, filters) if selective(filters) else None
    yield from export_format.pieces(export.tenant_id, filters.since, until, events=chosen)


def _csv(events: Iterable[list[Event]]) -> Iterator[bytes]:
    """Yields CSV behind a byte order mark, without which Excel misreads UTF-8."""
    yield b"\xef\xbb\xbf" + _lines([list(COLUMNS)])
    for chunk in events:
        yield _lines([[cell(_value(event, name)) for name in COLUMNS] for event in chunk])


def _value(event: Event, name: str) -> Any:
    value = getattr(event, name)
    if name == "at":
        return value.astimezone(UTC).isoformat()
    return json.dumps(value, ensure_ascii=False) if name == "detail" else value


def cell(value: Any) -> Any:
    """Prefixes ' to text that a spreadsheet would run as a formula (OWASP, CSV Injection)."""
    text = "" if value is None else str(value)
    return "'" + text if text.startswith(_FORMULA) and not isinstance(value, int) else text


def _lines(rows: list[list[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


# Files -------------------------------------------------------------------------------------------
def path_of(export: Export) -> Path:
    return folder() / f"{export.id}.sealed"


def folder() -> Path:
    return Path(settings.FOREBAY_HOME) / "exports"


def purge(exports: Any) -> int:
    """Deletes exports, files first: a file without a row would never be noticed."""
    deleted = 0
    for export in exports:
        for path in folder().glob(f"{export.id}*"):
            path.unlink(missing_ok=True)
        deleted += export.delete()[0]
    return deleted


def file_name(export: Export, tenant: str) -> str:
    return (
        f"audit-{tenant}-{export.created_at:%Y-%m-%d}-{str(export.id)[:8]}.{export.asked['form']}"
    )


def _aad(export: Export) -> bytes:
    return b"audit_export|%b|%b" % (export.tenant_id.bytes, export.id.bytes)
