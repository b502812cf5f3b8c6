"""Web processes remember what decides, and hear of each change within a second."""

import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from channels.db import database_sync_to_async
from pytest_django.fixtures import Settings

from inference import engines
from inference.decisions import policies, serving
from inference.errors import NotFound
from inference.intake.context import Context
from inference.models import DecisionPolicy, DecisionPolicyVersion
from tenants.models import Tenant
from tests.inference.decisions.specs import payments
from tests.inference.running import until
from tests.inference.web import serving as open_context

in_database = database_sync_to_async
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
async def context(acme: Tenant, settings: Settings, dsn: str) -> AsyncIterator[Context]:
    settings.DATABASE_URL = dsn
    settings.ENGINES = {"deepseek-r1": {"kind": "openai", "url": "http://127.0.0.1:9/v1"}}
    engines.forget()
    async with open_context() as context:
        yield context
    engines.forget()


def _approved(acme: Tenant, name: str = "payments") -> DecisionPolicy:
    """Returns a policy with two approved versions, none of which decides."""
    policy = policies.create(acme, name, payments(), by="test")
    policies.write(policy, payments(), by="test")
    DecisionPolicyVersion.objects.update(state="approved")
    return policy


async def _do(act: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    return await in_database(act)(*args, **kwargs)


async def _promote(policy: DecisionPolicy, number: int) -> None:
    version = await _do(policy.versions.get, number=number)
    await _do(policies.promote, version, by="test")


async def _champion(context: Context, tenant: Tenant, name: str = "payments") -> int:
    """Returns the number of the version that decides; 0: none."""
    try:
        return (await serving.serving(context, tenant.pk, name)).champion.number
    except NotFound as missing:
        assert missing.code == "policy_not_found"
        return 0


async def test_a_change_is_in_force_within_a_second(context: Context, acme: Tenant) -> None:
    policy = await _do(_approved, acme)
    assert await _champion(context, acme) == 0
    for number in (1, 2, 0):
        if number:
            await _promote(policy, number)
        else:
            await _do(policy.stop, by="test")
        began = time.monotonic()

        async def changed(expected: int = number) -> bool:
            return await _champion(context, acme) == expected

        await until(changed, 30)
        assert time.monotonic() - began < 5  # of a busy machine; by the caches' rules a second


async def test_few_queries_serve_all_that_ask(
    context: Context, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _promote(await _do(_approved, acme), 1)
    monkeypatch.setattr(serving, "REMEMBERED_S", 60.0)
    monkeypatch.setattr(serving, "CACHE_S", 60.0)
    read, reads = serving._read, list[str]()

    async def counted(tenant_id: Any, name: str) -> Any:
        reads.append(name)
        return await read(tenant_id, name)

    monkeypatch.setattr(serving, "_read", counted)
    for _ in range(20):
        assert await _champion(context, acme) == 1
        assert await _champion(context, acme, "nothing") == 0
    # The notification of the promotion may come after the first reading, which it ends.
    assert set(reads) == {"payments", "nothing"}
    assert len(reads) <= 4


async def test_a_policy_of_another_tenant_does_not_exist(context: Context, acme: Tenant) -> None:
    globex = await _do(Tenant.open, "globex", by="test")
    await _promote(await _do(_approved, globex), 1)
    assert await _champion(context, acme) == 0
    assert await _champion(context, globex) == 1
