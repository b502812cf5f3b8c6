"""Keys, streams of theirs, and who reads them."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from channels.db import database_sync_to_async
from django.utils import timezone
from pytest_django.fixtures import Settings

from inference import engines
from inference.intake.context import Context
from inference.models import Completion
from inference.stream.frames import Kind
from inference.stream.writer import Writer
from infrastructure.redis.link import RedisLink
from tenants.models import ApiKey, Member, Tenant, User
from tenants.roles import Role
from tests.inference.orders import a_frame, an_order
from tests.inference.web import served, serving

in_database = database_sync_to_async


@pytest.fixture
async def context(settings: Settings, dsn: str, pool: str) -> AsyncIterator[Context]:
    settings.ENGINES = {pool: {"kind": "openai", "url": "http://127.0.0.1:9/v1"}}
    settings.DATABASE_URL, settings.ADDRESS_PER_MINUTE = dsn, 0
    engines.forget()
    async with serving() as opened:
        yield opened
    engines.forget()


@pytest.fixture
async def alice(acme: Tenant) -> Member:
    user = await in_database(User.objects.create_user)("alice@acme.example")
    member: Member = await in_database(acme.add_member)(user, Role.OWNER)
    return member


async def issued(tenant: Tenant, maker: Member | None = None) -> tuple[ApiKey, str]:
    by = maker.actor if maker else "test"
    return await in_database(ApiKey.issue)(tenant, "ci", by=by, created_by=maker)


async def streamed(link: RedisLink, tenant: Tenant, **whose: Any) -> UUID:
    """A stream of three events that has ended, and is kept."""
    route = "/chat" if "member" in whose else "/v1/chat/completions"
    order = an_order(id=uuid4(), tenant_id=tenant.id, route=route)
    now = timezone.now()
    ended = {"state": "done", "created_at": now, "settled_at": now, "stream": True}
    create = in_database(Completion.objects.create)
    await create(id=order.id, tenant=tenant, model=order.model, route=route, **ended, **whose)
    writer = Writer(link)
    writer.put(order, a_frame(1, 3, of=order.id, kind=Kind.END))
    await writer.drained()
    return order.id


async def events(text: str, completion_id: UUID) -> httpx.Response:
    headers = {"Authorization": f"Bearer {text}"}
    transport = httpx.ASGITransport(served, client=("198.51.100.7", 5000))
    async with httpx.AsyncClient(
        transport=transport, base_url="http://forebay", headers=headers
    ) as client:
        return await client.get(f"/v1/completions/{completion_id}/events")
