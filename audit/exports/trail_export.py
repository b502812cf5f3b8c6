"""The audit trail as a file: made by a job, encrypted under the tenant's key, gone after its time.

Two forms. JSONL with proofs is for machines and verifies offline (export_format.py); CSV is for
people and proves nothing.
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
from audit.retention import ages, data_classes, periods
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
TOLD_EVERY_S = 1.0
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


def _count(tenant_id: UUID, before: datetime) -> ages.Counts:
    return ages.by_month({"files": ("audit_export", "created_at")}, tenant_id, before)


def _erase_older(tenant_id: UUID, before: datetime, spare: frozenset[UUID]) -> int:
    """Copies of what stays on record: a hold does not need them, except a person's own."""
    old = Export.objects.filter(tenant_id=tenant_id, created_at__lt=before)
    return purge(old.exclude(subject_id__in=spare))


# What people do ----------------------------------------------------------------------------------
def ask(tenant_id: UUID, filters: Filters, form: str, *, by: str) -> Export:
    """Begins an export; on record. Raises ValidationError."""
    if form not in FORMS:
        raise ValidationError({"form": _("Choose JSONL or CSV.")})
    now = timezone.now()
    asked: dict[str, Any] = {"form": form, **said(filters), "up_to": now.isoformat()}
    with transaction.atomic():
        waiting = Export.objects.filter(tenant_id=tenant_id, state=MAKING, kind=KIND)
        if waiting.count() >= MOST_MAKING:
            raise ValidationError(
                _("Three exports are already in progress. Wait until one of them has finished.")
            )
        days = periods.days_of(tenant_id, EXPORTS)
        export = Export.objects.create(
            tenant_id=tenant_id,
            kind=KIND,
            actor=by,
            asked=asked,
            expires_at=now + timedelta(days=days),
        )
        detail = {"export": str(export.id), **{k: v for k, v in asked.items() if k != "up_to"}}
        act(Action.AUDIT_EXPORT, actor=by, tenant_id=tenant_id, detail=detail)
        transaction.on_commit(_wake)
    return export


def download(export: Export, *, by: str) -> Iterator[bytes]:
    """Its pieces, in the clear; on record before the first one. Raises FileNotFoundError."""
    path = path_of(export)
    if export.state != READY or expired(export) or not path.exists():
        raise FileNotFoundError(path.name)
    assert export.data_key_id
    cipher = keyring.by_id_now(export.data_key_id)
    detail = {"export": str(export.id), "download": True, "sha256": export.sha256}
    act(Action.AUDIT_EXPORT, actor=by, tenant_id=export.tenant_id, detail=detail)
    return encrypted_file.opened(path, cipher, _aad(export))


def drop(export: Export, *, by: str) -> None:
    with transaction.atomic():
        detail = {"export": str(export.id), "dropped": True}
        act(Action.AUDIT_EXPORT, actor=by, tenant_id=export.tenant_id, detail=detail)
        purge(Export.objects.filter(pk=export.pk))


def expired(export: Export) -> bool:
    return export.expires_at <= timezone.now()


def selective(filters: Filters) -> bool:
    """Whether it leaves out events within its time."""
    return filters != Filters(since=filters.since, until=filters.until)


def said(filters: Filters) -> dict[str, Any]:
    """What was asked for, as JSON can hold it."""
    empty = Filters()
    found = {}
    for name in Filters.__dataclass_fields__:
        value = getattr(filters, name)
        if value != getattr(empty, name):
            found[name] = value if isinstance(value, (bool, int, str)) else _plain(value)
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    return value.isoformat() if isinstance(value, datetime) else str(value)


def filters_of(asked: dict[str, Any]) -> Filters:
    given: dict[str, Any] = {}
    for name in Filters.__dataclass_fields__:
        if name in asked:
            value = asked[name]
            if name in ("since", "until"):
                value = datetime.fromisoformat(value)
            elif name in ("subject_id", "api_key_id", "request_id"):
                value = UUID(value)
            elif name == "actors":
                value = tuple(value)
            given[name] = value
    return Filters(**given)


# The job -----------------------------------------------------------------------------------------
def _wake() -> None:
    try:
        current_app.send_task("audit.export", ignore_result=True)
    except Exception:  # the broker is away: beat asks again within a minute
        log.warning("cannot start the export now; beat retries it", exc_info=True)


def work() -> int:
    """Makes what waits, one after the other. What another worker is at, it leaves alone."""
    made = 0
    with scope(system=True):
        waiting = list(Export.objects.filter(state=MAKING, kind=KIND).order_by("created_at"))
    for export in waiting:
        with _alone(export.id) as mine:
            if mine and Export.objects.filter(pk=export.pk, state=MAKING).exists():
                _make(export)
                made += 1
    return made


class _alone:
    """A lock of the session: it ends with the worker, whatever becomes of it."""

    def __init__(self, export_id: UUID) -> None:
        self._name = f"export:{export_id}"

    def __enter__(self) -> bool:
        return self._ask("pg_try_advisory_lock")

    def __exit__(self, *_: object) -> None:
        self._ask("pg_advisory_unlock")

    def _ask(self, function: str) -> bool:
        with connection.cursor() as cursor:
            cursor.execute(f"select {function}(hashtextextended(%s, 0))", [self._name])
            return bool(cursor.fetchone()[0])


def _make(export: Export) -> None:
    try:
        written = _written(export)
    except Exception as problem:
        log.exception("export %s failed", export.id)
        _finish(export, state=FAILED, problem=_why(problem))
    else:
        _finish(export, state=READY, **written)


def _written(export: Export) -> dict[str, Any]:
    cipher = keyring.of_subject_now(export.tenant_id, None)
    digest = sha256()
    with encrypted_file.EncryptedFile(path_of(export), cipher, _aad(export)) as file:
        for piece in _pieces(export):
            digest.update(piece)
            file.write(piece)
    return {"data_key_id": cipher.key_id, "bytes": file.size, "sha256": digest.hexdigest()}


def _finish(export: Export, **fields: Any) -> None:
    """Only where it is still wanted: it may have been dropped meanwhile."""
    with scope(system=True):
        if not Export.objects.filter(pk=export.pk, state=MAKING).update(**fields):
            path_of(export).unlink(missing_ok=True)


def _why(problem: Exception) -> str:
    if isinstance(problem, OSError) and problem.errno == 28:
        return "the disk is full"
    return (str(problem) or type(problem).__name__)[:300]


def _pieces(export: Export) -> Iterator[bytes]:
    filters = filters_of(export.asked)
    events = _counted(export, filters)
    return _csv(events) if export.asked["form"] == CSV else _jsonl(export, filters, events)


def _counted(export: Export, filters: Filters) -> Iterator[list[Event]]:
    """Chunks, oldest first; now and then it tells how far it has come."""
    rows, told = 0, 0.0
    begins, ends = None, datetime.fromisoformat(export.asked["up_to"])
    for chunk in oldest_first(export.tenant_id, filters, ends):
        rows += len(chunk)
        if rows > MOST_ROWS:
            raise ValueError(f"more than {MOST_ROWS:,} events: choose a shorter time")
        begins = begins or chunk[0].at
        if time.monotonic() - told > TOLD_EVERY_S:
            _tell(export, rows, begins, chunk[-1].at, filters.until or ends)
            told = time.monotonic()
        yield chunk
    _tell(export, rows, ends, ends, ends)


def _tell(export: Export, rows: int, begins: datetime, at: datetime, ends: datetime) -> None:
    whole = (ends - begins).total_seconds()
    percent = min(100, int(100 * (at - begins).total_seconds() / whole)) if whole > 0 else 100
    export.asked["percent"] = percent
    with scope(system=True):
        Export.objects.filter(pk=export.pk).update(rows=rows, asked=export.asked)


def _jsonl(export: Export, filters: Filters, events: Iterable[list[Event]]) -> Iterator[bytes]:
    """Each event with its seal; complete only where nothing was left out within its time."""
    from audit.exports import export_format  # it is large, and few processes need it

    for _chunk in events:  # counts, and tells how far it is; what is written comes by seals
        pass
    until = datetime.fromisoformat(export.asked["up_to"])
    until = min(filters.until, until) if filters.until else until
    chosen = queryset(export.tenant_id, filters) if selective(filters) else None
    yield from export_format.pieces(export.tenant_id, filters.since, until, events=chosen)


def _csv(events: Iterable[list[Event]]) -> Iterator[bytes]:
    """With a byte order mark, without which Excel takes UTF-8 for something else."""
    yield b"\xef\xbb\xbf" + _lines([list(COLUMNS)])
    for chunk in events:
        yield _lines([[cell(_value(event, name)) for name in COLUMNS] for event in chunk])


def _value(event: Event, name: str) -> Any:
    value = getattr(event, name)
    if name == "at":
        return value.astimezone(UTC).isoformat()
    return json.dumps(value, ensure_ascii=False) if name == "detail" else value


def cell(value: Any) -> Any:
    """What a spreadsheet would run as a formula gets a leading ' (OWASP, CSV Injection)."""
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
    """Files first: a row without a file is seen, a file without a row is not."""
    rows = 0
    for export in exports:
        for path in folder().glob(f"{export.id}*"):
            path.unlink(missing_ok=True)
        rows += export.delete()[0]
    return rows


def file_name(export: Export, tenant: str) -> str:
    return (
        f"audit-{tenant}-{export.created_at:%Y-%m-%d}-{str(export.id)[:8]}.{export.asked['form']}"
    )


def _aad(export: Export) -> bytes:
    return b"audit_export|%b|%b" % (export.tenant_id.bytes, export.id.bytes)
