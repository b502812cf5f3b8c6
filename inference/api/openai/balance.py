"""`/user/balance`: the rest of a caller's cost quotas, in DeepSeek's shape."""

from decimal import ROUND_DOWN, Decimal
from typing import Any

from django.conf import settings
from django.utils import timezone

from inference.api.ownership import repeatable_in_scope
from tenants.caller import SESSION, Caller
from tenants.models import Quota
from tenants.models.quotas.balance import Balance, balances

_CENT = Decimal("0.01")


async def balance_of(caller: Caller) -> dict[str, Any]:
    """Returns the quota with the least left; amounts that raises have added to it are `granted`.

    Quotas of one model, and those per session, do not count. A caller without a cost quota has no
    balance, and is available.
    """
    of_cost = [quota for quota in caller.quotas if quota.unit == "cost" and not quota.model]
    ids = [quota.id for quota in of_cost if quota.window != SESSION]
    tightest = await repeatable_in_scope(caller.tenant_id, _tightest, caller, ids) if ids else None
    if tightest is None:
        return {"is_available": True, "balance_infos": []}
    granted = min(tightest.raised, tightest.remaining)
    info = {
        "currency": settings.CURRENCY,
        "total_balance": _money(tightest.remaining),
        "granted_balance": _money(granted),
        "topped_up_balance": _money(tightest.remaining - granted),
    }
    return {"is_available": tightest.remaining > 0, "balance_infos": [info]}


def _tightest(caller: Caller, ids: list[Any]) -> Balance | None:
    quotas = list(Quota.objects.filter(tenant_id=caller.tenant_id, id__in=ids))
    by_quota = balances(quotas, caller.time_zone, timezone.now())
    return min(by_quota.values(), key=lambda balance: balance.remaining, default=None)


def _money(micro_units: int) -> str:
    """Returns the amount in currency units, rounded down."""
    return str((Decimal(micro_units) / 1_000_000).quantize(_CENT, ROUND_DOWN))
