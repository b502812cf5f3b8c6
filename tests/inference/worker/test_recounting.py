"""After a loss of Redis, tenants stand as they did: usage says what they have had."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from inference.queue.client import client
from inference.queue.fair_queue import prefix
from inference.worker.recovery import sweeper
from tenants.models import Tenant, Tier
from tests.inference.usages import use
from tests.inference.worker.conftest import POOL

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("swept_pool")]


def lost(seconds_ago: int = 10) -> datetime:
    """Redis was, and the sweeper has seen it. When that was."""
    began = int(time.time() * 1000) - seconds_ago * 1000
    client().set(f"{prefix(POOL)}:epoch", began)
    return datetime.fromtimestamp(began / 1000, UTC)


def standing(klass: str = "realtime") -> dict[str, float]:
    told: Any = client().hgetall(f"{prefix(POOL)}:{klass}:counters")
    return {name.decode(): float(tokens) for name, tokens in told.items()}


def tokens(tenant: Tenant, at: datetime, prompt: int, answer: int, **more: Any) -> None:
    use(
        tenant,
        pool=POOL,
        prompt_tokens=prompt,
        completion_tokens=answer,
        created_at=at,
        **more,
    )


@pytest.fixture
def tenants(db: None) -> dict[str, Tenant]:
    names = {"acme": Tier.STANDARD, "globex": Tier.STANDARD, "initech": Tier.VIP}
    return {name: Tenant.open(name, by="test", tier=tier) for name, tier in names.items()}


def test_who_had_more_goes_later(tenants: dict[str, Tenant]) -> None:
    acme, globex, initech = tenants.values()
    at = lost()
    just_before, long_before = at - timedelta(seconds=5), at - timedelta(seconds=90)
    tokens(acme, just_before, 100, 50)
    tokens(globex, just_before, 1000, 100)
    tokens(globex, just_before, 300, 0)
    tokens(initech, just_before, 2000, 200)  # a quarter of it, by its weight
    tokens(acme, long_before, 9000, 9000)
    tokens(acme, at + timedelta(seconds=2), 7000, 7000)  # which has been charged since then
    tokens(acme, just_before, 5000, 500, cache="l2")
    tokens(acme, just_before, 500, 0, klass="batch")
    sweeper.sweep_all()
    assert standing() == {str(globex.id): 1500 - 200, str(initech.id): 600 - 200}
    assert standing("batch") == {}, "alone it goes before nobody"


def test_it_is_counted_once_in_an_epoch(tenants: dict[str, Tenant]) -> None:
    acme, globex, _ = tenants.values()
    at = lost() - timedelta(seconds=1)
    tokens(acme, at, 100, 0)
    tokens(globex, at, 300, 0)
    key = f"{prefix(POOL)}:realtime:counters"
    client().hset(key, str(globex.id), 40)  # what it has had since then
    for _ in range(3):
        client().hdel(f"{prefix(POOL)}:compared", "upto")  # a look that failed at its end
        sweeper.sweep_all()
    assert standing() == {str(globex.id): 240}


def test_who_waits_already_moves_back(tenants: dict[str, Tenant]) -> None:
    acme, globex, _ = tenants.values()
    at = lost() - timedelta(seconds=1)
    tokens(acme, at, 100, 0)
    tokens(globex, at, 300, 0)
    active = f"{prefix(POOL)}:realtime:active"
    client().zadd(active, {str(globex.id): 0, str(acme.id): 0})
    sweeper.sweep_all()
    assert client().zrange(active, 0, -1) == [str(acme.id).encode(), str(globex.id).encode()]
