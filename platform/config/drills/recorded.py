"""What the platform has on record of a drill's requests, and whether its books agree.

It is read over Django's connection, which goes to the server that is primary now.
"""

from collections.abc import Mapping, Sequence

from django.utils import timezone

from config.drills.consistency import Recorded
from console.compliance.checks import trail
from inference.record.reconciliation import reconcile_day
from infrastructure.postgres import queries
from tenants.models import Tenant
from tenants.scope import system_scope

# A request is whole with one usage row and two events. One that lacks a part counts as lost.
_READ = """
    select x.id::text, u.n, e.received, e.completed, e.position
    from unnest(%s::uuid[]) as x(id)
    cross join lateral (
        select count(*) as n from inference_usage where completion_id = x.id) u
    cross join lateral (
        select count(*) filter (where action = 'completion:received') as received,
               count(*) filter (where action = 'completion:completed') as completed,
               min(id) filter (where action = 'completion:received') as position
        from audit_event where request_id = x.id) e"""
_OPEN = """
    select count(*) from inference_completion
    where tenant_id = %s and state = 'open' and created_at > now() - interval '1 day'"""


def read(ids: Sequence[str]) -> Mapping[str, Recorded]:
    with system_scope():
        rows = queries.rows(_READ, [list(ids)])
    record = {}
    for name, *parts, position in rows:
        times = max(parts) if all(parts) else 0
        record[name] = Recorded(times, position or 0)
    return record


def open_requests(tenant: Tenant) -> int:
    with system_scope():
        return int(queries.value(_OPEN, [tenant.pk]))


def books(tenant: Tenant) -> Mapping[str, list[str]]:
    """Returns findings about the newest part of the audit chain, and the tenant's ledger today."""
    with system_scope():
        chain = trail.newest_part(None)
        days = reconcile_day(timezone.now().date(), [tenant])
    differences = [f"ledger and usage differ by {day.difference}" for day in days if day.difference]
    broken = [str(line) for line in chain.figures.get("found", [])]
    return {"audit": broken or [chain.problem] * bool(chain.problem), "ledger": differences}
