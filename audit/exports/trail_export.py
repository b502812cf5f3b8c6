"""Exports the audit trail as a file that a job makes, under the tenant's key (export_file.py).

JSONL with proofs is for machines and verifies offline (export_format.py); CSV is for people and
proves nothing.
"""

import json
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from audit.actions import Action
from audit.exports import export_file
from audit.exports.export_file import FAILED, MAKING, READY
from audit.models import Event, Export
from audit.retention import data_classes
from audit.retention.data_classes import EXPORTS, DataClass
from audit.search.events import Filters, oldest_first, queryset
from audit.trail.record import act, act_on
from infrastructure.csv_cells import csv_lines, no_formula
from infrastructure.postgres.queries import try_lock
from infrastructure.postgres.scope import scope

log = logging.getLogger(__name__)
KIND = "audit"
JSONL, CSV = "jsonl", "csv"
FORMS = {JSONL: "application/x-ndjson", CSV: "text/csv; charset=utf-8"}
MOST_MAKING = 3  # of one tenant at once
MOST_ROWS = 5_000_000
PROGRESS_EVERY_S = 1.0
_COLUMNS = """id at action actor subject_id request_id client_net route model upstream success
    status error_code response_length processing_ms tokens_in tokens_out detail"""
COLUMNS = tuple(_COLUMNS.split())
# How a filter that is stored as JSON is read again; all others are what JSON says.
_READ: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("since", "until"), datetime.fromisoformat),
    **dict.fromkeys(("subject_id", "api_key_id", "request_id"), UUID),
    "actors": tuple,
}


def register() -> None:
    label, kinds = gettext_lazy("Exported files"), {"files": ("audit_export", "created_at")}
    count = partial(data_classes.by_month, kinds)
    data_classes.register(DataClass(EXPORTS, label, 7, 1, count, _erase_older))


def _erase_older(tenant_id: UUID, before: datetime, spare: frozenset[UUID]) -> int:
    """Deletes old files. A hold spares a person's own; the others copy what stays on record."""
    old = Export.objects.filter(tenant_id=tenant_id, created_at__lt=before)
    return export_file.purge(old.exclude(subject_id__in=spare))


# Requests ----------------------------------------------------------------------------------------
def ask(tenant_id: UUID, filters: Filters, form: str, *, by: str, verify: bool = False) -> Export:
    """Starts an export and records it; with `verify` it is verified too. Raises ValidationError."""
    if form not in FORMS:
        raise ValidationError({"form": _("Choose JSONL or CSV.")})
    if verify and form != JSONL:
        raise ValidationError({"verify": _("Only JSONL has proofs.")})
    order = {"form": form, **({"verify": True} if verify else {}), **filters_as_json(filters)}
    with transaction.atomic():
        pending = Export.objects.filter(tenant_id=tenant_id, state=MAKING, kind=KIND)
        if pending.count() >= MOST_MAKING:
            raise ValidationError(
                _("Three exports are already in progress. Wait until one of them has finished.")
            )
        bounded_filter = {**order, "up_to": timezone.now().isoformat()}
        export = export_file.new(tenant_id=tenant_id, kind=KIND, actor=by, asked=bounded_filter)
        _act(export, by, **order)
        transaction.on_commit(partial(export_file.wake, "audit.export"))
    return export


def download(export: Export, *, by: str) -> Iterator[bytes]:
    """Yields the decrypted pieces, after recording the download. Raises FileNotFoundError."""
    pieces = export_file.reading(export)
    _act(export, by, download=True, sha256=export.sha256)
    return pieces


def drop(export: Export, *, by: str) -> None:
    with transaction.atomic():
        _act(export, by, dropped=True)
        export_file.purge(Export.objects.filter(pk=export.pk))


def file_name(export: Export, tenant: str) -> str:
    day, form = f"{export.created_at:%Y-%m-%d}", export.asked["form"]
    return f"audit-{tenant}-{day}-{str(export.id)[:8]}.{form}"


def selective(filters: Filters) -> bool:
    """Returns True if the filters leave out events within their time range."""
    return filters != Filters(since=filters.since, until=filters.until)


def filters_as_json(filters: Filters) -> dict[str, Any]:
    """Returns the filters that are set, as JSON-compatible values."""
    empty = asdict(Filters())
    return {name: _plain(value) for name, value in asdict(filters).items() if value != empty[name]}


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    return list(value) if isinstance(value, tuple) else value


def filters_of(asked: dict[str, Any]) -> Filters:
    names = asked.keys() & asdict(Filters()).keys()
    return Filters(**{n: _READ[n](asked[n]) if n in _READ else asked[n] for n in names})


def _act(export: Export, by: str, /, **detail: Any) -> None:
    act_on(export, Action.AUDIT_EXPORT, by, export=str(export.id), **detail)


# The job -----------------------------------------------------------------------------------------
Verify = Callable[[Export], dict[str, Any]]  # the outcome as JSON-compatible values; "ok" is a bool


def work(verify: Verify | None = None) -> int:
    """Makes pending exports one by one, except those that another worker is making.

    `verify` verifies those for which that was asked (checks/verified_export.py).
    """
    count = 0
    with scope(system=True):
        waiting = list(Export.objects.filter(state=MAKING, kind=KIND).order_by("created_at"))
    for export in waiting:
        with try_lock(f"export:{export.id}") as acquired:
            if acquired and Export.objects.filter(pk=export.pk, state=MAKING).exists():
                _make(export, verify)
                count += 1
    return count


def _make(export: Export, verify: Verify | None) -> None:
    try:
        fields = _write_file(export)
        if verify and export.asked.get("verify"):
            fields["asked"] = {**export.asked, "verified": _verified(export, verify)}
    except Exception as problem:
        log.exception("export %s failed", export.id)
        full = isinstance(problem, OSError) and problem.errno == 28
        text = "the disk is full" if full else str(problem) or type(problem).__name__
        _finish(export, state=FAILED, problem=text[:300])
    else:
        _finish(export, state=READY, **fields)


def _write_file(export: Export) -> dict[str, Any]:
    with export_file.writing(export) as file:
        for piece in _pieces(export):
            file.write(piece)
    return {name: getattr(export, name) for name in ("data_key_id", "bytes", "sha256")}


def _verified(export: Export, verify: Verify) -> dict[str, Any]:
    """Returns the outcome of the verification, which is on record."""
    outcome = verify(export)
    detail = {name: outcome[name] for name in ("events", "found")} | {"export": str(export.id)}
    of: dict[str, Any] = {"tenant_id": export.tenant_id, "subject_id": export.subject_id}
    with scope(system=True):
        act(Action.AUDIT_VERIFY, actor=export.actor, success=outcome["ok"], detail=detail, **of)
    return outcome


def _finish(export: Export, **fields: Any) -> None:
    """Stores the outcome, or deletes the file if the export was dropped meanwhile."""
    with scope(system=True):
        if not Export.objects.filter(pk=export.pk, state=MAKING).update(**fields):
            export_file.path_of(export).unlink(missing_ok=True)


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
            whole = (filters.until or ends) - begins
            _save_progress(export, rows, (chunk[-1].at - begins) / whole if whole else 1)
            saved_at = time.monotonic()
        yield chunk
    _save_progress(export, rows, 1)


def _save_progress(export: Export, rows: int, share: float) -> None:
    export.asked["percent"] = min(100, int(100 * share))
    with scope(system=True):
        Export.objects.filter(pk=export.pk).update(rows=rows, asked=export.asked)


def _jsonl(export: Export, filters: Filters, events: Iterable[list[Event]]) -> Iterator[bytes]:
    """Yields events with their seals; complete only if the filters are of time alone."""
    from audit.exports import export_format  # it is large, and few processes need it

    for _chunk in events:  # counts rows and saves progress; the file itself is written by seals
        pass
    until = datetime.fromisoformat(export.asked["up_to"])
    until = min(filters.until, until) if filters.until else until
    chosen = queryset(export.tenant_id, filters) if selective(filters) else None
    yield from export_format.pieces(export.tenant_id, filters.since, until, events=chosen)


def _csv(events: Iterable[list[Event]]) -> Iterator[bytes]:
    """Yields CSV behind a byte order mark, without which Excel misreads UTF-8."""
    yield b"\xef\xbb\xbf" + csv_lines([COLUMNS]).encode()
    for chunk in events:
        lines = csv_lines([cell(_value(event, name)) for name in COLUMNS] for event in chunk)
        yield lines.encode()


def _value(event: Event, name: str) -> Any:
    value = getattr(event, name)
    if name == "at":
        return value.astimezone(UTC).isoformat()
    return json.dumps(value, ensure_ascii=False) if name == "detail" else value


def cell(value: Any) -> str:
    text = "" if value is None else str(value)
    return text if isinstance(value, int) else no_formula(text)
