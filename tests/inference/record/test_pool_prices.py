"""A model that costs otherwise in some pools: whichever serves, no budget is overspent."""

from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

import msgspec
import orjson
import pytest
from django.db import connection
from django.db.models import Sum
from django.utils import timezone
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.keys.keyring import keyring
from inference.engines.base import Engine, EngineConfig
from inference.intake.limits import cost_bound
from inference.models import Usage
from inference.order import Order
from inference.record import reconciliation, request_rows, sql_statements
from inference.record.outcome import Outcome
from tenants.models import LedgerEntry, Quota, Tenant
from tenants.quotas.charge import Prices
from tests.inference.orders import an_order
from tests.tenants.callers import caller

pytestmark = pytest.mark.django_db(transaction=True)
CONTEXT, ANSWER = 100, 60
ENGINE = Engine(EngineConfig("mock", "openai", "http://127.0.0.1:9", "m", context_length=CONTEXT))
PLATFORM = replace(caller(), api_key_id=None)
POOLS = ("here", "near", "there")
MADE_SINCE = "later"


@dataclass(frozen=True)
class Asked:
    """What a request does: where it is routed to, and who serves it (None: it is still open)."""

    routed: str
    served: str | None
    prompt: int
    cached: int
    answer: int


def _asked(routed: str, served: str | None, prompt: int, cached: int, answer: int) -> Asked:
    return Asked(routed, served, prompt, min(cached, prompt), min(answer, CONTEXT - prompt))


amounts = st.integers(0, 40).map(lambda n: n / 4)
prices = st.builds(Prices, amounts, amounts, amounts)
requests = st.builds(
    _asked,
    st.sampled_from(POOLS),
    st.sampled_from([*POOLS, MADE_SINCE, None]),
    st.integers(1, CONTEXT),
    st.integers(0, CONTEXT),
    st.integers(0, ANSWER),
)


@settings(max_examples=12, deadline=None)
@given(
    st.fixed_dictionaries(dict.fromkeys(POOLS, prices)),
    st.integers(0, 4000),
    st.lists(requests, min_size=1, max_size=8),
)
def test_whichever_pool_serves_no_budget_is_overspent(
    at: dict[str, Prices], limit: int, all_asked: list[Asked]
) -> None:
    tenant = Tenant.open(f"t-{uuid4().hex[:12]}", by="test")
    quota = Quota.set(tenant, unit="cost", window="day", limit=limit, by="test")
    cost = 0
    for asked in all_asked:
        order = received(tenant, at, asked.routed)
        if order and asked.served:
            settle(order, asked)
            served = asked.routed if asked.served == MADE_SINCE else asked.served
            cost += at[served].cost(asked.prompt, asked.cached, asked.answer)
        standing = quota.balance()
        assert standing.used + standing.reserved <= limit
    assert quota.balance().used == cost
    assert _sum(LedgerEntry.objects.filter(tenant_id=tenant.id, kind="settle")) == cost
    assert _sum(Usage.objects.filter(tenant_id=tenant.id)) == cost
    assert reconciliation.reconcile(tenant, timezone.now().date()).difference == 0


def received(tenant: Tenant, at: dict[str, Prices], routed: str) -> Order | None:
    """None where the budget has no room for it."""
    charge = cost_bound.charge(
        PLATFORM,
        ENGINE,
        at[routed],
        body=b"x" * CONTEXT,
        chat=True,
        max_tokens=ANSWER,
        elsewhere=at,
    )
    who = {"tenant_id": tenant.id, "subject_id": tenant.id}  # one key for all of them
    order = an_order(**who, charge=charge, pool=routed)
    cipher = keyring.of_subject_now(order.tenant_id, order.subject_id)
    row = request_rows.received_row(order, request_rows.encrypted_order(order, cipher))
    ((_, told),) = _written(sql_statements.RECEIVED, row)
    return None if orjson.loads(told)["refused"] else order


def settle(order: Order, asked: Asked) -> None:
    outcome = Outcome(
        prompt_tokens=asked.prompt, cached_tokens=asked.cached, completion_tokens=asked.answer
    )
    order = msgspec.structs.replace(order, pool=asked.served)
    row = request_rows.settled_row(order, outcome, None, order.created_at + 1)
    assert row["beyond"] is None
    _written(sql_statements.SETTLED, row)


def _written(statement: str, row: Any) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(statement, [orjson.dumps([row]).decode()])
        found: list[Any] = cursor.fetchall()
    return found


def _sum(rows: Any) -> int:
    return rows.aggregate(cost=Sum("cost"))["cost"] or 0
