"""What anybody may ask the management API for costs little, and leaves traces."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from channels.db import database_sync_to_async
from django.conf import settings
from django.db import connection
from django.test import Client
from drf_spectacular.generators import SchemaGenerator
from psycopg.conninfo import make_conninfo

from audit.models import Event
from console.api.document import schema_pages
from inference.intake.context import Context
from tenants import secret_keys
from tenants.models import ApiKey, Tenant
from tests.console.api.conftest import API

in_database = database_sync_to_async


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Counts how often the schema is built: a small one, since test_schema.py has the whole."""
    schema_pages._built.cache_clear()
    times = list[Any]()

    def counted(self: SchemaGenerator, *args: Any, **kwargs: Any) -> dict[str, Any]:
        times.append(args)
        return {"openapi": "3.0.3", "info": {"title": "Forebay", "version": "1"}, "paths": {}}

    monkeypatch.setattr(SchemaGenerator, "get_schema", counted)
    yield times
    schema_pages._built.cache_clear()


def test_the_schema_is_built_once_for_each_language_and_format(built: list[Any]) -> None:
    client = Client()
    answers = [client.get(f"{API}schema/") for _ in range(3)]
    assert len(built) == 1
    assert {answer.content for answer in answers} == {answers[0].content}
    assert answers[0].headers["Content-Type"].startswith("application/vnd.oai.openapi")
    json = client.get(f"{API}schema/", headers={"Accept": "application/vnd.oai.openapi+json"})
    assert json.json()["openapi"].startswith("3.")
    assert "openapi: 3." in answers[0].content.decode()
    client.get(f"{API}schema/?lang=zh-hans")
    assert len(built) == 3


def test_nobody_makes_up_languages_and_versions(built: list[Any]) -> None:
    client = Client()
    for n in range(5):
        for asked in (f"?lang=x{n}", f"?version={n}", ""):
            answer = client.get(f"{API}schema/{asked}", headers={"Accept-Language": f"x{n}"})
            assert answer.status_code == 200
    assert len(built) == 1


@pytest.fixture
async def context(settings: Any, transactional_db: None) -> AsyncIterator[Context]:
    name = connection.settings_dict["NAME"]
    settings.DATABASE_URL = make_conninfo(settings.DATABASE_URL, dbname=name)
    opened = await Context.open()
    yield opened
    await opened.close()


def asking(context: Context) -> httpx.AsyncClient:
    """Of the whole application, as a server with a lifespan calls it."""

    async def served(scope: Any, receive: Any, send: Any) -> None:
        from config.asgi import application

        await application({**scope, "state": {"context": context}}, receive, send)

    return httpx.AsyncClient(
        transport=httpx.ASGITransport(served), base_url=f"http://{settings.ALLOWED_HOSTS[0]}"
    )


@pytest.mark.parametrize("kind", ["wrong", "revoked", "none"])
async def test_a_key_that_opens_nothing_is_on_record(
    context: Context, acme: Tenant, kind: str
) -> None:
    key, text = await in_database(ApiKey.issue)(acme, "ci", by="test")
    if kind == "revoked":
        await in_database(key.revoke)(by="test")
    given = {"revoked": text, "wrong": secret_keys.mint().text, "none": ""}[kind]
    headers = {"Authorization": f"Bearer {given}"} if given else {}
    async with asking(context) as client:
        answers = [
            await client.get(f"{API}tenants/acme{n}/keys/", headers=headers) for n in range(5)
        ]
    for answer in answers:
        assert answer.status_code == 401
    await context.refusals.flush()
    events = await in_database(lambda: list(Event.objects.filter(action="access:denied")))()
    assert sum(event.detail["count"] for event in events) == 5
    assert events[0].actor == "unknown"
    assert events[0].status == 401
    assert events[0].route == "/api/v1/tenants/<slug:tenant>/keys/"
    code = "not_authenticated" if kind == "none" else "invalid_api_key"
    assert events[0].error_code == code
