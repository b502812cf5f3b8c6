"""Row counts by month, for previews of a retention change (data_classes.py)."""

from datetime import datetime
from uuid import UUID

from django.db import connection

Counts = dict[str, dict[str, int]]  # month -> kind -> rows: {"2026-01": {"events": 12}}


def by_month(kinds: dict[str, tuple[str, str]], tenant_id: UUID, before: datetime) -> Counts:
    """Counts rows older than `before`. `kinds`: name -> table with a `tenant_id`, and its time
    column.
    """
    counts: Counts = {}
    with connection.cursor() as cursor:
        for kind, (table, column) in kinds.items():
            cursor.execute(
                f"select to_char({column} at time zone 'UTC', 'YYYY-MM') as month, count(*) "
                f"from {table} where tenant_id = %s and {column} < %s group by 1 order by 1",
                [tenant_id, before],
            )
            for month, rows in cursor.fetchall():
                counts.setdefault(month, {})[kind] = rows
    return dict(sorted(counts.items()))


def of_trail(tenant_id: UUID, before: datetime) -> Counts:
    kinds = {"events": ("audit_event", "at"), "texts": ("audit_payload", "at")}
    return by_month(kinds, tenant_id, before)
