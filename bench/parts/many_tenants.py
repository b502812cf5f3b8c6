"""Tenants by the thousand, each with a key, limits and six quotas; and their counters."""

from datetime import UTC, datetime
from itertools import product

from django.db import connection, transaction

from audit.keys.keyring import keyring
from bench.parts.catalogue import MODEL
from tenants import secret_keys
from tenants.models import ApiKey, Price, Quota, QuotaCounter, Tenant
from tenants.models.quotas.quota import Unit, Window
from tenants.quotas import windows

ROOMY = 10**12
UNITS, WINDOWS = (Unit.REQUESTS, Unit.TOKENS, Unit.COST), (Window.DAY, Window.MONTH)
LIMITS = {
    "requests_per_minute": 1_000_000,
    "burst": 1_000_000,
    "tokens_per_minute": 1_000_000_000,
    "max_concurrency": 10_000,
}
_HOLD = "select tenants_hold(array_agg(id), array_agg(id)) from tenants_tenant"
_OPEN = """
    select count(tenants_open_counter(id, %(starts)s, %(ends)s)) from tenants_quota
    where "window" = %(window)s"""
_RESERVED = "select coalesce(sum(reserved), 0)::bigint from tenants_quotacounter"


def open_tenants(number: int, *, quotas: bool = True) -> list[str]:
    """Returns the texts of their keys."""
    Price.set(MODEL, 2, "0.5", 8, by="bench")
    tenants = [
        Tenant(name=f"{'tenant' if quotas else 'free'}-{n}", **LIMITS) for n in range(number)
    ]
    Tenant.objects.bulk_create(tenants, 1000)
    minted = [secret_keys.mint() for _ in tenants]
    keys = [
        ApiKey(tenant=tenant, name="key", public_id=m.public_id, digest=m.digest, **LIMITS)
        for tenant, m in zip(tenants, minted, strict=True)
    ]
    ApiKey.objects.bulk_create(keys, 1000)
    kinds = list(product(UNITS, WINDOWS)) if quotas else []
    Quota.objects.bulk_create(
        [Quota(tenant=t, unit=u, window=w, limit=ROOMY) for t in tenants for u, w in kinds], 1000
    )
    for key in keys:  # else the first request of each would make its keys of encryption
        keyring.of_subject_now(key.tenant_id, key.subject_id)
    open_counters()
    return [m.text for m in minted]


def open_counters() -> None:
    """Open those of the present windows, where there are none."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_HOLD)
        for window in WINDOWS:
            starts, ends = windows.bounds(window, datetime.now(UTC), "UTC")
            cursor.execute(_OPEN, {"starts": starts, "ends": ends, "window": window})
        cursor.execute("analyze")


def forget_the_day() -> None:
    """Remove the counters of the day, as if it had just begun."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_HOLD)
        QuotaCounter.objects.filter(quota__window=Window.DAY).delete()


def still_reserved() -> int:
    """Returns 0 when every request has been settled."""
    with connection.cursor() as cursor:
        cursor.execute(_RESERVED)
        return int(cursor.fetchone()[0])
