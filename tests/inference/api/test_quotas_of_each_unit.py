"""A whole answer reaches its client whatever its quotas count, and tells what they have left."""

import httpx
import pytest
from channels.db import database_sync_to_async

from tenants.models import Quota, Tenant
from tenants.models.quotas.quota import Unit

in_database = database_sync_to_async
LIMIT = 10_000_000
HI = [{"role": "user", "content": "hi"}]
# What a chat of 7 and 3 tokens without a price takes: GPU-seconds are of jobs.
TAKEN = {Unit.REQUESTS: 1, Unit.TOKENS: 10, Unit.COST: 0, Unit.GPU_SECONDS: 0}


@pytest.mark.parametrize("unit", Unit.values)
async def test_a_whole_answer_tells_the_rest(
    client: httpx.AsyncClient, acme: Tenant, unit: str
) -> None:
    await in_database(Quota.set)(acme, unit=unit, window="day", limit=LIMIT, by="test")
    answer = await client.post("/v1/chat/completions", json={"model": "small", "messages": HI})
    assert answer.status_code == 200, answer.text
    name = f"x-quota-remaining-{unit.replace('_', '-')}"
    assert int(answer.headers[name]) == LIMIT - TAKEN[Unit(unit)]
