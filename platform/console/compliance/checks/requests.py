"""Checks of requests: on record, looked at, limited, and sent to nobody who may not have them."""

from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from django.db import connection
from django.db.models import Sum
from django.utils import timezone

from audit.actions import Action
from console.compliance.check import CheckOutcome, outcome
from console.compliance.queries import DAYS, owned, since
from inference import request_id
from inference.engines import engines as served_by
from inference.engines.base import Engine, EngineConfig
from inference.errors import BadRequest
from inference.intake.access.allowed import visible
from inference.validation.requests import check_chat, model_of, parsed
from tenants.caller import NO_LIMITS, Caller, LocalOnlyBy
from tenants.models import Refusal, Tenant
from tenants.models.refusal import RefusedBy

HOURS, MOST = 24, 20_000
_RECORDED = f"""
    select count(*),
           count(*) filter (where not exists (
               select from audit_event e where e.request_id = c.id
               and e.action = '{Action.COMPLETION_RECEIVED}' and e.at >= %(from)s)),
           count(*) filter (where not exists (
               select from audit_event e where e.request_id = c.id
               and e.action = '{Action.COMPLETION_COMPLETED}' and e.at >= %(from)s))
    from (select id from inference_completion
          where state <> 'open' and created_at >= %(since)s and created_at < %(until)s
            and id >= %(first)s and id < %(last)s
            and (%(tenant)s::uuid is null or tenant_id = %(tenant)s::uuid)
          order by id desc limit {MOST}) c"""
BAD = (
    b"",
    b"{",
    b"[]",
    b'{"model": 1}',
    b'{"model": "m"}',
    b'{"model": "m", "messages": "hello"}',
    b'{"model": "m", "messages": [1]}',
    b'{"model": "m", "messages": [{"role": "root", "content": "x"}]}',
    b'{"model": "m", "messages": [{"role": "user", "content": "x"}], "temperature": "hot"}',
    b'{"model": "m", "messages": [{"role": "user", "content": "x"}], "max_tokens": -1}',
    b'{"model": "m", "messages": [{"role": "user", "content": "x"}], "n": 99}',
    b'{"x": ' + b"[" * 2000 + b"]" * 2000 + b"}",
)


def recorded(tenant: Tenant | None) -> CheckOutcome:
    now = timezone.now()
    begins, ends = now - timedelta(hours=HOURS), now - timedelta(minutes=1)
    first, last = request_id.bounds(begins, ends)
    values: dict[str, Any] = {
        "since": begins,
        "from": now - timedelta(hours=HOURS + 1),
        "until": ends,
        "first": first,
        "last": last,
        "tenant": tenant.id if tenant else None,
    }
    with connection.cursor() as cursor:
        cursor.execute(_RECORDED, values)
        looked_at, no_received, no_completed = cursor.fetchone()
    figures = {
        "requests": looked_at,
        "without_received": no_received,
        "without_completed": no_completed,
    }
    return outcome(figures, unrecorded=no_received or no_completed)


def bad_input(_tenant: Tenant | None) -> CheckOutcome:
    engine = Engine(EngineConfig(name="m", kind="openai", url="http://127.0.0.1:9", model="m"))
    refused = sum(_is_refused(body, engine) for body in BAD)
    figures = {"attempts": len(BAD), "refused": refused}
    return outcome(figures, taken=refused < len(BAD))


def _is_refused(raw: bytes, engine: Engine) -> bool:
    try:
        body = parsed(raw)
        model_of(body)
        check_chat(body, engine)
    except BadRequest:
        return True
    return False


def refusals(tenant: Tenant | None) -> CheckOutcome:
    rows = owned(Refusal.objects.filter(last_at__gte=since()), tenant)
    counts = dict(rows.order_by().values_list("tier").annotate(number=Sum("count")))
    figures = {f"refused_{tier}": counts.get(tier, 0) for tier in RefusedBy.values}
    return outcome({"days": DAYS, **figures})


def recipients(_tenant: Tenant | None) -> CheckOutcome:
    engines = [engine.config for engine in served_by()]
    hosted = sorted((e.name, urlsplit(e.url).hostname or "") for e in engines if e.hosted)
    figures: dict[str, Any] = {
        "models": len(engines),
        "hosted": len(hosted),
        "sub_processors": [f"{name} @ {host}" for name, host in hosted],
    }
    return outcome(figures)


def residency(tenant: Tenant | None) -> CheckOutcome:
    tenants = [tenant] if tenant else list(Tenant.objects.filter(local_only=True))
    hosted = [engine for engine in served_by() if engine.config.hosted]
    bound = [one for one in tenants if one.local_only]
    reached = sum(visible(_caller(one), engine) for one in bound for engine in hosted)
    figures = {"local_only": len(bound), "hosted": len(hosted), "reached": reached}
    return outcome(figures, reached=reached)


def _caller(tenant: Tenant) -> Caller:
    """Returns a caller who may use all that the tenant may."""
    return Caller(
        tenant_id=tenant.id,
        tenant=tenant.name,
        actor="check",
        subject_id=UUID(int=0),
        weight=1,
        limits=NO_LIMITS,
        local_only_by=LocalOnlyBy.TENANT if tenant.local_only else "",
    )
