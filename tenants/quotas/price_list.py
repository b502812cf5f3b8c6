"""The prices that hold, for the hot path: at most one look per second, whatever comes."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from infrastructure.postgres.resilient_connection import Connection, ResilientConnection
from tenants.quotas.peak_hours import PeakHours
from tenants.quotas.prices import FREE, Prices

FRESH_S = 1.0  # older ones are looked up again, while requests go on with them
KEPT_S = 5.0  # nobody goes on with ones that are older
_PRICES = """
    select model, pool, extract(epoch from since)::float8, prompt::float8, cached::float8,
           completion::float8, peak_hours, peak_factor::float8, ended
    from tenants_price order by model, since desc"""


@dataclass(frozen=True, slots=True)
class Tariff:
    """`since` in seconds since the epoch; `peak` in the hours of the week that are dearer.

    `ended`: its pool has no price of its own from then on.
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
    """A changed price holds within KEPT_S. Raises psycopg.Error and OSError without a database."""

    def __init__(self, dsn: str) -> None:
        self._connection = ResilientConnection(dsn)
        self._found: _Tariffs = {}  # by model
        self._in_pools: dict[str, _Tariffs] = {}  # by model and pool: of those with their own
        self._looked_at = float("-inf")
        self._looking: asyncio.Task[None] | None = None

    async def close(self) -> None:
        if self._looking:
            self._looking.cancel()
        await self._connection.close()

    async def of(self, model: str, at: float) -> Prices:
        """What held at `at` (seconds since the epoch), in pools without a price of their own."""
        known = self.known(model, at)
        if known is None:
            await asyncio.shield(self._look())
            known = self._held(model, at)
        return known

    def known(self, model: str, at: float) -> Prices | None:
        """The same without waiting; None where the database has to be asked first."""
        age = asyncio.get_running_loop().time() - self._looked_at
        if age > FRESH_S:
            self._look()
        return self._held(model, at) if age <= KEPT_S else None

    def in_pools(self, model: str, at: float) -> dict[str, Prices]:
        """Of the model's pools with a price of their own at `at`, as of the latest look."""
        found = self._in_pools.get(model)
        if not found:
            return {}
        held = ((pool, _held(tariffs, at)) for pool, tariffs in found.items())
        return {pool: prices for pool, prices in held if prices}

    def _held(self, model: str, at: float) -> Prices:
        return _held(self._found.get(model, ()), at) or FREE

    def _look(self) -> asyncio.Task[None]:
        """One look for everybody who asks at the same time."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look_up())
            self._looking.add_done_callback(lambda done: done.cancelled() or done.exception())
        return self._looking

    async def _look_up(self) -> None:
        began = asyncio.get_running_loop().time()
        found: _Tariffs = {}
        in_pools: dict[str, _Tariffs] = {}
        for model, pool, *row in await self._rows():
            tariffs, name = (in_pools.setdefault(model, {}), pool) if pool else (found, model)
            tariffs.setdefault(name, []).append(_tariff(*row))
        self._found, self._in_pools, self._looked_at = found, in_pools, began

    async def _rows(self) -> list[Any]:
        return await self._connection.ask(_asked)


def _held(tariffs: Iterable[Tariff], at: float) -> Prices | None:
    held = next((tariff for tariff in tariffs if tariff.since <= at), None)
    return held.at(at) if held and not held.ended else None


def _tariff(
    since: float,
    prompt: float,
    cached: float,
    completion: float,
    hours: str,
    factor: float,
    ended: bool,
) -> Tariff:
    prices, peak = Prices(prompt, cached, completion), PeakHours.parse(hours) if hours else None
    return Tariff(since, prices, peak, prices.times(factor), ended)


async def _asked(connection: Connection) -> list[Any]:
    return await (await connection.execute(_PRICES, prepare=True)).fetchall()
