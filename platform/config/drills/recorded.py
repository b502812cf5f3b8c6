"""The platform's record of a drill's requests, and a check that its books agree.

It is read over Django's connection, which goes to the server that is primary now.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta

from django.utils import timezone

from config.drills.consistency import Mark, Recorded
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
# Attempts of a batch's line that failed are repeated, each with a completion of its own.
_OTHERS = """
    select c.id::text
    from inference_completion c join inference_usage u on u.completion_id = c.id
    where c.tenant_id = %s and c.created_at > now() - interval '1 day'
      and u.status = 200 and not u.repeated and not c.id = any(%s::uuid[])
      and (select min(e.id) from audit_event e
           where e.request_id = c.id and e.action = 'completion:received') > %s
    order by c.created_at"""
_OPEN = """
    select count(*) from inference_completion
    where tenant_id = %s and state = 'open' and created_at > now() - interval '1 day'"""
_MARK = """
    select coalesce((select max(id) from audit_event
                     where tenant_id = %s and at > now() - interval '2 days'), 0),
           coalesce((select max(id) from audit_seal), 0)"""


def mark(tenant: Tenant) -> Mark:
    """Returns where the tenant's events, and all seals, end now."""
    with system_scope():
        return Mark(*queries.rows(_MARK, [tenant.pk])[0])


def read(ids: Sequence[str]) -> Mapping[str, Recorded]:
    with system_scope():
        rows = queries.rows(_READ, [list(ids)])
    record = {}
    for name, *parts, position in rows:
        times = max(parts) if all(parts) else 0
        record[name] = Recorded(times, position or 0)
    return record


def others(tenant: Tenant, ids: Sequence[str], since: Mark) -> list[str]:
    """Returns the tenant's answered completions since then that are none of these."""
    with system_scope():
        return [name for (name,) in queries.rows(_OTHERS, [tenant.pk, list(ids), since.event])]


def open_requests(tenant: Tenant) -> int:
    with system_scope():
        return int(queries.value(_OPEN, [tenant.pk]))


def books(tenant: Tenant, since: Mark) -> Mapping[str, list[str]]:
    """Returns findings about the audit chain since then, and the tenant's ledger of these days."""
    with system_scope():
        return {"audit": _chain(since), "ledger": _ledger(tenant)}


def _chain(since: Mark) -> list[str]:
    chain, unsealed = trail.part_after(since.seal), trail.unsealed(None)
    broken = [str(line) for line in chain.figures.get("found", [])]
    findings = broken or [chain.problem] * bool(chain.problem)
    if unsealed.problem:
        findings.append(f"an event waits for its seal since {unsealed.figures['unsealed_s']} s")
    return findings


def _ledger(tenant: Tenant) -> list[str]:
    now = timezone.now()
    days = {now.date(), (now - timedelta(hours=1)).date()}  # a drill may begin before midnight
    compared = [each for day in sorted(days) for each in reconcile_day(day, [tenant])]
    findings = [
        f"ledger and usage differ by {day.difference}" for day in compared if day.difference
    ]
    if waiting := open_requests(tenant):
        findings.append(f"requests that never ended: {waiting}")
    return findings
