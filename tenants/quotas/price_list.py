"""The prices that hold, for the hot path: at most one look per second, whatever comes."""

import asyncio
from dataclasses import dataclass
from typing import Any

from audit.resilient_connection import Connection, ResilientConnection
from tenants.quotas.peak_hours import PeakHours

FRESH_S = 1.0  # older ones are looked up again, while requests go on with them
KEPT_S = 5.0  # nobody goes on with ones that are older
_PRICES = """
    select model, extract(epoch from since)::float8, prompt::float8, cached::float8,
           completion::float8, peak_hours, peak_factor::float8
    from tenants_price order by model, since desc"""


@dataclass(frozen=True, slots=True)
class Prices:
    """Micro-units of the currency per token."""

    prompt: float = 0.0
    cached: float = 0.0
    completion: float = 0.0

    def times(self, factor: float) -> "Prices":
        return Prices(self.prompt * factor, self.cached * factor, self.completion * factor)


@dataclass(frozen=True, slots=True)
class Tariff:
    """`since` in seconds since the epoch; `peak` in the hours of the week that are dearer."""

    since: float
    prices: Prices
    hours: PeakHours | None
    peak: Prices

    def at(self, moment: float) -> Prices:
        return self.peak if self.hours and self.hours.covers(moment) else self.prices


FREE = Prices()
_Found = dict[str, list[Tariff]]


class PriceList:
    """A changed price holds within KEPT_S. Raises psycopg.Error and OSError without a database."""

    def __init__(self, dsn: str) -> None:
        self._connection = ResilientConnection(dsn)
        self._found: _Found = {}
        self._looked_at = float("-inf")
        self._looking: asyncio.Task[None] | None = None

    async def close(self) -> None:
        if self._looking:
            self._looking.cancel()
        await self._connection.close()

    async def of(self, model: str, at: float) -> Prices:
        """What held at `at` (seconds since the epoch)."""
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

    def _held(self, model: str, at: float) -> Prices:
        for tariff in self._found.get(model, ()):
            if tariff.since <= at:
                return tariff.at(at)
        return FREE

    def _look(self) -> asyncio.Task[None]:
        """One look for everybody who asks at the same time."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look_up())
            self._looking.add_done_callback(lambda done: done.cancelled() or done.exception())
        return self._looking

    async def _look_up(self) -> None:
        began = asyncio.get_running_loop().time()
        found: _Found = {}
        for model, *row in await self._rows():
            found.setdefault(model, []).append(_tariff(*row))
        self._found, self._looked_at = found, began

    async def _rows(self) -> list[Any]:
        return await self._connection.ask(_asked)


def _tariff(
    since: float, prompt: float, cached: float, completion: float, hours: str, factor: float
) -> Tariff:
    prices = Prices(prompt, cached, completion)
    return Tariff(since, prices, PeakHours.parse(hours) if hours else None, prices.times(factor))


async def _asked(connection: Connection) -> list[Any]:
    return await (await connection.execute(_PRICES, prepare=True)).fetchall()
