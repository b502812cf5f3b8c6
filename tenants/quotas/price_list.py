"""The present prices for the hot path, with at most one query per second."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from infrastructure.postgres.resilient_connection import Connection, ResilientConnection
from tenants.quotas.charge import FREE, Prices
from tenants.quotas.peak_hours import PeakHours

FRESH_S = 1.0  # older prices are queried again, while requests still use them
KEPT_S = 5.0  # older prices are not used
_PRICES = """
    select model, pool, extract(epoch from since)::float8, prompt::float8, cached::float8,
           completion::float8, peak_hours, peak_factor::float8, ended
    from tenants_price order by model, since desc"""


@dataclass(frozen=True, slots=True)
class Tariff:
    """A price from `since` on, in seconds since the epoch; `peak` applies in the `hours`.

    `ended`: the pool has no price of its own from then on.
    """

    since: float
    prices: Prices
    hours: PeakHours | None
    peak: Prices
    ended: bool

    def at(self, moment: float) -> Prices:
        return self.peak if self.hours and self.hours.covers(moment) else self.prices


_Tariffs = dict[str, list[Tariff]]  # the latest first


class PriceList:
    """The price list, with changes within KEPT_S. Raises psycopg.Error and OSError."""

    def __init__(self, dsn: str) -> None:
        self._connection = ResilientConnection(dsn)
        self._by_model: _Tariffs = {}
        self._in_pools: dict[str, _Tariffs] = {}  # by model and pool, for pools with own prices
        self._looked_at = float("-inf")
        self._looking: asyncio.Task[None] | None = None

    async def close(self) -> None:
        if self._looking:
            self._looking.cancel()
        await self._connection.close()

    async def of(self, model: str, at: float) -> Prices:
        """Returns the prices at `at` (seconds since the epoch), in pools without their own."""
        known = self.known(model, at)
        if known is None:
            await asyncio.shield(self._look())
            known = self._prices_at(model, at)
        return known

    def known(self, model: str, at: float) -> Prices | None:
        """Returns the same without waiting, or None if the database must be queried first."""
        age = asyncio.get_running_loop().time() - self._looked_at
        if age > FRESH_S:
            self._look()
        return self._prices_at(model, at) if age <= KEPT_S else None

    def in_pools(self, model: str, at: float) -> dict[str, Prices]:
        """Returns prices at `at` of the model's pools with their own, as of the latest query."""
        by_pool = self._in_pools.get(model)
        if not by_pool:
            return {}
        prices_at = ((pool, _prices_at(tariffs, at)) for pool, tariffs in by_pool.items())
        return {pool: prices for pool, prices in prices_at if prices}

    def _prices_at(self, model: str, at: float) -> Prices:
        return _prices_at(self._by_model.get(model, ()), at) or FREE

    def _look(self) -> asyncio.Task[None]:
        """Starts a query, one for all simultaneous requests."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look_up())
            self._looking.add_done_callback(lambda done: done.cancelled() or done.exception())
        return self._looking

    async def _look_up(self) -> None:
        began = asyncio.get_running_loop().time()
        by_model: _Tariffs = {}
        in_pools: dict[str, _Tariffs] = {}
        for row in await self._connection.ask(_fetch_rows):
            model, pool, since, prompt, cached, completion, peak_hours, factor, ended = row
            prices = Prices(prompt, cached, completion)
            hours = PeakHours.parse(peak_hours) if peak_hours else None
            tariff = Tariff(since, prices, hours, prices.times(factor), ended)
            tariffs, name = (in_pools.setdefault(model, {}), pool) if pool else (by_model, model)
            tariffs.setdefault(name, []).append(tariff)
        self._by_model, self._in_pools, self._looked_at = by_model, in_pools, began


def _prices_at(tariffs: Iterable[Tariff], at: float) -> Prices | None:
    latest = next((tariff for tariff in tariffs if tariff.since <= at), None)
    return latest.at(at) if latest and not latest.ended else None


async def _fetch_rows(connection: Connection) -> list[Any]:
    return await (await connection.execute(_PRICES, prepare=True)).fetchall()
