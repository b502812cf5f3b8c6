"""Deletes expired data each night.

Each piece is separate, so that one which must stay (because of a hold, an unsealed event or a lock)
does not keep the others.
"""

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import partial
from uuid import UUID

from django.db import DatabaseError, transaction
from django.utils import timezone

from audit.actions import Action
from audit.models import CheckRun
from audit.retention import data_classes, legal_hold, periods
from audit.retention.data_classes import AUDIT, DataClass
from audit.trail import partitions
from audit.trail.record import act
from infrastructure.postgres.queries import rows, value

log = logging.getLogger(__name__)
BY, CHECK = "system:retention", "retention.prune"
TABLES = ("audit_payload", "audit_event")  # a month's texts are dropped before their events
TEXTS_AT_ONCE = 10_000
_MONTHS = """
    select to_date(right(c.relname, 8), 'YYYY"_m"MM')
    from pg_inherits i join pg_class c on c.oid = i.inhrelid
    where i.inhparent = %s::regclass and c.relname like %s order by 1"""


@dataclass(slots=True)
class PruneReport:
    """Deleted rows, expired data on hold with its hold, and failures, each by piece."""

    rows: dict[str, int] = field(default_factory=dict)
    on_hold: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


def prune() -> PruneReport:
    """Deletes everything that is due. A second run does nothing."""
    began, report = time.monotonic(), PruneReport()
    for table in TABLES:
        for month in due_months(table):
            name = f"{table} {month:%Y-%m}"
            _try(report, name, partial(partitions.prune_month, table, month))
    for tenant_id in data_classes.tenants():
        _try(report, f"texts {tenant_id}", partial(_prune_texts, tenant_id))
        for data_class in data_classes.known():
            if data_class.erase:
                piece = partial(_prune_class, data_class, tenant_id)
                _try(report, f"{data_class.name} {tenant_id}", piece)
    problem = "; ".join(f"{name}: {problem}" for name, problem in report.failed.items())
    figures = {"rows": report.rows, "kept": report.on_hold}
    CheckRun.record(CHECK, timezone.now(), began, figures, problem)
    return report


def due_months(table: str) -> Iterator[date]:
    """Returns whole months that are older than the longest retention of all tenants."""
    youngest = timezone.now() - timedelta(days=value("select audit_longest_retention()"))
    months = [month for (month,) in rows(_MONTHS, [table, rf"{table}\_y%"])]
    return (month for month in months if _end(month) <= youngest)


def _end(month: date) -> datetime:
    year, following = divmod(month.year * 12 + month.month, 12)
    return datetime(year, following + 1, 1, tzinfo=UTC)


def _prune_texts(tenant_id: UUID) -> int:
    """Deletes texts of a tenant whose retention is shorter than another one's."""
    total = 0
    while True:
        with transaction.atomic():
            batch = partitions.prune_texts(tenant_id, TEXTS_AT_ONCE)
            _record(tenant_id, AUDIT, batch)
        total += batch
        if batch < TEXTS_AT_ONCE:
            return total


def _prune_class(data_class: DataClass, tenant_id: UUID) -> int:
    """Deletes a tenant's expired rows of one class. Raises OnHold if all of the tenant is held.

    Each step has a transaction of its own: an open one delays all seals.
    """
    total = step = _prune_step(data_class, tenant_id)
    while step >= data_class.step > 0:
        step = _prune_step(data_class, tenant_id)
        total += step
    return total


def _prune_step(data_class: DataClass, tenant_id: UUID) -> int:
    assert data_class.erase
    with transaction.atomic():
        rule = periods.rule(tenant_id, data_class)
        before = timezone.now() - timedelta(days=rule.days)
        spare = legal_hold.held_subjects(tenant_id, before)
        number = data_class.erase(tenant_id, before, spare)
        _record(tenant_id, data_class.name, number, days=rule.days)
    return number


def _record(tenant_id: UUID, name: str, number: int, **more: int) -> None:
    if number:
        detail = {"data_class": name, "rows": number, **more}
        act(Action.AUDIT_PRUNE, actor=BY, tenant_id=tenant_id, detail=detail)


def _try(report: PruneReport, name: str, piece: Callable[[], int]) -> None:
    try:
        number = piece()
    except (legal_hold.OnHold, partitions.HoldInForce) as hold:
        report.on_hold[name] = str(hold)
    except DatabaseError as problem:
        log.warning("cannot prune %s: %s", name, problem)
        report.failed[name] = str(problem).splitlines()[0]
    except Exception as problem:  # from an app's eraser: the next piece still has its turn
        log.exception("cannot prune %s", name)
        report.failed[name] = repr(problem)[:200]
    else:
        if number:
            report.rows[name] = number
