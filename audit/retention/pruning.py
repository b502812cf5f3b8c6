"""The night's work: what has been kept long enough goes. Each piece by itself, so that one which
cannot go (a hold, an event that is not under seal, a lock) keeps none of the others.
"""

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import partial
from uuid import UUID

from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from audit.actions import Action
from audit.models import CheckRun
from audit.retention import data_classes, legal_hold, periods
from audit.retention.data_classes import AUDIT, DataClass
from audit.trail import erasing
from audit.trail.record import act

log = logging.getLogger(__name__)
BY, CHECK = "system:retention", "retention.prune"
TABLES = ("audit_payload", "audit_event")  # a month's texts go before what they belong to
TEXTS_AT_ONCE = 10_000
_MONTHS = """
    select to_date(right(c.relname, 8), 'YYYY"_m"MM')
    from pg_inherits i join pg_class c on c.oid = i.inhrelid
    where i.inhparent = %s::regclass and c.relname like %s order by 1"""


@dataclass(slots=True)
class Night:
    """What went, what stays though its time is over and why, and what failed."""

    rows: dict[str, int] = field(default_factory=dict)
    kept: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


def prune() -> Night:
    """Everything that is due. Run again, it does nothing."""
    began, night = time.monotonic(), Night()
    for table in TABLES:
        for month in due_months(table):
            name = f"{table} {month:%Y-%m}"
            _tried(night, name, partial(erasing.prune_month, table, month))
    for tenant_id in data_classes.tenants():
        _tried(night, f"texts {tenant_id}", partial(_texts, tenant_id))
        for one in data_classes.known():
            if one.erase:
                _tried(night, f"{one.name} {tenant_id}", partial(_aged, one, tenant_id))
    _noted(night, time.monotonic() - began)
    return night


def due_months(table: str) -> Iterator[date]:
    """Whole months that are older than the longest retention of all tenants."""
    with connection.cursor() as cursor:
        cursor.execute("select audit_longest_retention()")
        youngest = timezone.now() - timedelta(days=cursor.fetchone()[0])
        cursor.execute(_MONTHS, [table, rf"{table}\_y%"])
        months = [row[0] for row in cursor.fetchall()]
    return (month for month in months if _end(month) <= youngest)


def _end(month: date) -> datetime:
    year, following = divmod(month.year * 12 + month.month, 12)
    return datetime(year, following + 1, 1, tzinfo=UTC)


def _texts(tenant_id: UUID) -> int:
    """Of a tenant that keeps them for less long than another one."""
    rows = 0
    while True:
        with transaction.atomic():
            batch = erasing.prune_texts(tenant_id, TEXTS_AT_ONCE)
            _record(tenant_id, "texts", batch)
        rows += batch
        if batch < TEXTS_AT_ONCE:
            return rows


def _aged(data_class: DataClass, tenant_id: UUID) -> int:
    """Raises OnHold when the whole tenant is held."""
    assert data_class.erase
    with transaction.atomic():
        rule = periods.rule(tenant_id, data_class)
        before = timezone.now() - timedelta(days=rule.days)
        spare = legal_hold.held_subjects(tenant_id, before)
        rows = data_class.erase(tenant_id, before, spare)
        _record(tenant_id, data_class.name, rows, days=rule.days)
    return rows


def _record(tenant_id: UUID, name: str, rows: int, **more: int) -> None:
    if rows:
        detail = {"data_class": AUDIT if name == "texts" else name, "rows": rows, **more}
        act(Action.AUDIT_PRUNE, actor=BY, tenant_id=tenant_id, detail=detail)


def _tried(night: Night, name: str, piece: Callable[[], int]) -> None:
    try:
        rows = piece()
    except (legal_hold.OnHold, erasing.Kept) as held:
        night.kept[name] = str(held)
    except DatabaseError as problem:
        log.warning("cannot prune %s: %s", name, problem)
        night.failed[name] = str(problem).splitlines()[0]
    except Exception as problem:  # an eraser's own: the next one has its turn
        log.exception("cannot prune %s", name)
        night.failed[name] = repr(problem)[:200]
    else:
        if rows:
            night.rows[name] = rows


def _noted(night: Night, seconds: float) -> None:
    CheckRun.objects.create(
        name=CHECK,
        at=timezone.now(),
        ok=not night.failed,
        figures={"rows": night.rows, "kept": night.kept},
        problem="; ".join(f"{name}: {why}" for name, why in night.failed.items())[:500],
        took_ms=int(seconds * 1000),
    )
