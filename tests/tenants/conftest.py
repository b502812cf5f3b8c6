import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Protocol

import pytest
from django.conf import settings
from django.db import connection
from psycopg.conninfo import make_conninfo

from infrastructure.redis.link import RedisLink
from tenants.authentication.authenticator import Authenticator
from tenants.models import ApiKey, Tenant
from tests.tenants.book import Book


class NewLink(Protocol):
    def __call__(self, url: str = ..., *, timeout_s: float | None = ...) -> RedisLink: ...


@pytest.fixture
async def new_link() -> AsyncIterator[NewLink]:
    """Makes links that are closed after the test."""
    made: list[RedisLink] = []

    def make(url: str = settings.REDIS_URL, *, timeout_s: float | None = 5.0) -> RedisLink:
        made.append(RedisLink(url, timeout_s=timeout_s))
        return made[-1]

    yield make
    for link in made:
        link.close()
    await asyncio.sleep(0)


@pytest.fixture
def link(new_link: NewLink) -> RedisLink:
    return new_link()


@pytest.fixture
def dsn(transactional_db: None) -> str:
    """The test database, for what goes past Django."""
    name = connection.settings_dict["NAME"]
    return make_conninfo(settings.DATABASE_URL, dbname=name, **settings.SEES_ALL)


@pytest.fixture
async def authenticator(dsn: str) -> AsyncIterator[Authenticator]:
    authenticator = Authenticator(dsn)
    yield authenticator
    await authenticator.close()


@pytest.fixture
def key(acme: Tenant) -> tuple[ApiKey, str]:
    return ApiKey.issue(acme, "ci", by="test")


@pytest.fixture
def acme(transactional_db: None) -> Tenant:
    return Tenant.open("acme", by="test")


@pytest.fixture
def globex(transactional_db: None) -> Tenant:
    return Tenant.open("globex", by="test", tier="vip")


@pytest.fixture
def book(dsn: str) -> Iterator[Book]:
    book = Book(dsn)
    yield book
    book.connection.close()
