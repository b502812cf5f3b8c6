"""Lines that name an adapter of their tenant, or an alias."""

from collections.abc import Iterable, Iterator
from typing import Any

import psycopg
import pytest
from channels.db import database_sync_to_async

from inference.engines import adapters, aliases
from inference.engines.base import Engine
from inference.models import BatchLine, ModelAlias, ModelVersion, Usage
from inference.registry import following
from tenants.models import Tenant
from tests.inference.adapters.rows import a_version, an_adapter, put_in_force, serve
from tests.inference.batch.conftest import Echo, Shop, line

in_database = database_sync_to_async


@pytest.fixture(autouse=True)
def _serves_adapters(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(Engine, "serves_adapter", lambda *_: True)
    yield
    adapters.put_in_force([], [])
    aliases.put_in_force([])


def _serve(tenant: Tenant, dsn: str) -> ModelVersion:
    version = a_version(tenant)
    serve(an_adapter(tenant, "mock"), version)
    put_in_force(dsn)
    return version


@database_sync_to_async
def listed(rows: Iterable[Any]) -> list[Any]:
    return list(rows)


async def test_each_line_gets_its_own_and_counts_as_one_of_the_base(
    shop: Shop, echo: Echo, dsn: str
) -> None:
    tenant = await in_database(lambda: shop.key.tenant)()
    version = await in_database(_serve)(tenant, dsn)
    lines = [line(number) for number in (1, 2, 3)]
    lines[0]["body"]["model"], lines[2]["body"]["model"] = "mock:support", "mock:nothing"
    ended = await shop.done(await shop.begin(lines))
    assert ended["request_counts"] == {"total": 3, "completed": 2, "failed": 1}
    by_text = {text: order.adapter for text, order in zip(echo.said, echo.asked, strict=True)}
    assert by_text["say 2"] is None
    assert by_text["say 1"]
    assert by_text["say 1"].version == version.pk
    (failed,) = await shop.lines(ended["error_file_id"])
    assert failed["response"]["status_code"] == 404
    models = BatchLine.objects.order_by("number").values_list("model", flat=True)
    assert await listed(models) == ["mock", "mock", ""]
    used = Usage.objects.exclude(adapter="").values_list("model", "adapter", "adapter_version")
    assert await listed(used) == [("mock", "support", "tuned@1")]


async def test_a_line_may_name_an_alias(shop: Shop, echo: Echo, dsn: str) -> None:
    tenant = await in_database(lambda: shop.key.tenant)()

    def alias() -> None:
        ModelAlias.create(tenant, "sonnet", "mock", by="test")
        with psycopg.connect(dsn, autocommit=True) as connection:
            following.load_aliases(connection)

    await in_database(alias)()
    lines = [line(number) for number in (1, 2)]
    lines[1]["body"]["model"] = "sonnet"
    ended = await shop.done(await shop.begin(lines))
    assert ended["request_counts"] == {"total": 2, "completed": 2, "failed": 0}
    models = BatchLine.objects.order_by("number").values_list("model", flat=True)
    assert await listed(models) == ["mock", "mock"]
