"""alice's, bob's and charlie's clients: bob is in her team, charlie a stranger in globex."""

from collections.abc import AsyncIterator

import httpx
import pytest
from channels.db import database_sync_to_async

from inference.intake.context import Context
from tenants.models import Tenant
from tests.inference.api.conftest import client_of

in_database = database_sync_to_async


@pytest.fixture
async def alice(context: Context, acme: Tenant) -> AsyncIterator[httpx.AsyncClient]:
    async with await client_of(acme) as client:
        yield client


@pytest.fixture
async def bob(context: Context, acme: Tenant) -> AsyncIterator[httpx.AsyncClient]:
    async with await client_of(acme) as client:
        yield client


@pytest.fixture
async def charlie(context: Context) -> AsyncIterator[httpx.AsyncClient]:
    globex = await in_database(Tenant.open)("globex", by="test")
    async with await client_of(globex) as client:
        yield client
