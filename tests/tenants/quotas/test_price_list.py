"""The hot path's prices: those that hold, and few looks at the database."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from channels.db import database_sync_to_async

from tenants.models import Price
from tenants.quotas import price_list
from tenants.quotas.charge import FREE, Prices
from tenants.quotas.price_list import PriceList
from tests.audit.weak_line import WeakLine, through, weak_line_to_database

NOW = datetime.now(UTC)


@pytest.fixture
async def line(dsn: str) -> AsyncIterator[WeakLine]:
    async with weak_line_to_database(dsn) as line:
        yield line


@pytest.fixture
async def prices(dsn: str, line: WeakLine) -> AsyncIterator[PriceList]:
    prices = PriceList(through(line, dsn))
    yield prices
    await prices.close()


@database_sync_to_async
def put(prompt: int, since: datetime) -> None:
    Price.objects.create(model="mock", prompt=prompt, cached=1, completion=9, since=since)


async def test_a_request_pays_what_held_when_it_came_in(prices: PriceList) -> None:
    await put(3, NOW - timedelta(days=2))
    await put(5, NOW - timedelta(hours=1))
    await put(7, NOW + timedelta(hours=1))
    assert await prices.of("mock", NOW.timestamp()) == Prices(5, 1, 9)
    assert await prices.of("mock", (NOW - timedelta(days=1)).timestamp()) == Prices(3, 1, 9)
    assert await prices.of("mock", (NOW + timedelta(days=1)).timestamp()) == Prices(7, 1, 9)
    assert await prices.of("mock", (NOW - timedelta(days=3)).timestamp()) == FREE
    assert await prices.of("large", NOW.timestamp()) == FREE


async def test_at_peak_hours_it_pays_more(prices: PriceList) -> None:
    monday = datetime(2026, 11, 23, tzinfo=UTC)

    @database_sync_to_async
    def put_tariff() -> None:
        prices = {"prompt": 2, "cached": 1, "completion": 4, "since": monday - timedelta(days=9)}
        Price.objects.create(
            model="mock", peak_hours="Mon-Fri 01:00-04:00", peak_factor="2.5", **prices
        )

    await put_tariff()
    for minute, held in ((59, Prices(2, 1, 4)), (60, Prices(5, 2.5, 10)), (240, Prices(2, 1, 4))):
        moment = monday + timedelta(minutes=minute)
        assert await prices.of("mock", moment.timestamp()) == held
        assert await prices.of("mock", (moment - timedelta(days=1)).timestamp()) == Prices(2, 1, 4)


async def test_a_pool_may_have_a_price_of_its_own(prices: PriceList) -> None:
    @database_sync_to_async
    def priced(pool: str, prompt: int, since: timedelta, **more: Any) -> None:
        held = {"prompt": prompt, "cached": 1, "completion": 9, "since": NOW + since, **more}
        Price.objects.create(model="mock", pool=pool, **held)

    yesterday, tomorrow = timedelta(days=-1), timedelta(days=1)
    await priced("", 3, 3 * yesterday)
    for since, prompt in ((2 * yesterday, 5), (yesterday, 6), (tomorrow, 7)):
        await priced("there", prompt, since)
    await priced("far", 8, yesterday, peak_hours="Mon-Sun 00:00-24:00", peak_factor=2)
    await priced("soon", 9, tomorrow)
    now, before = NOW.timestamp(), (NOW + 2 * yesterday).timestamp() + 1
    assert await prices.of("mock", now) == Prices(3, 1, 9)
    assert prices.in_pools("mock", now) == {"there": Prices(6, 1, 9), "far": Prices(16, 2, 18)}
    assert prices.in_pools("mock", before) == {"there": Prices(5, 1, 9)}
    assert prices.in_pools("large", now) == {}


async def test_where_a_pools_own_price_has_ended_the_models_holds(prices: PriceList) -> None:
    @database_sync_to_async
    def ended() -> tuple[float, float]:
        Price.set("mock", 1, 1, 1, by="test")
        own = Price.set("mock", 9, 9, 9, pool="there", by="test")
        return own.since.timestamp(), own.end(by="test").since.timestamp()

    began, over = await ended()
    assert await prices.of("mock", over) == Prices(1, 1, 1)
    assert prices.in_pools("mock", over) == {}
    assert prices.in_pools("mock", (began + over) / 2) == {"there": Prices(9, 9, 9)}


async def test_a_changed_price_arrives_and_nobody_waits_for_it(
    prices: PriceList, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await prices.of("mock", NOW.timestamp()) == FREE
    await put(5, NOW)
    monkeypatch.setattr(price_list, "FRESH_S", 0.0)
    assert await prices.of("mock", NOW.timestamp()) == FREE  # looks, and goes on with what it has
    async with asyncio.timeout(5):
        while await prices.of("mock", NOW.timestamp()) == FREE:
            await asyncio.sleep(0.01)


async def test_many_at_once_look_once(prices: PriceList, line: WeakLine) -> None:
    await asyncio.gather(*[prices.of("mock", NOW.timestamp()) for _ in range(100)])
    assert line.accepted == 1


async def test_a_lost_connection_is_replaced_and_old_prices_end(
    prices: PriceList, line: WeakLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await put(5, NOW)
    await prices.of("mock", NOW.timestamp())
    await line.cut()
    monkeypatch.setattr(price_list, "FRESH_S", 0.0)
    monkeypatch.setattr(price_list, "KEPT_S", 0.0)
    assert (await prices.of("mock", NOW.timestamp())).prompt == 5
    await line.down()
    with pytest.raises((psycopg.OperationalError, OSError)):
        await prices.of("mock", NOW.timestamp())
    await line.up()
    assert (await prices.of("mock", NOW.timestamp())).prompt == 5
