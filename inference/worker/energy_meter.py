"""The energy of each request: its share of what its engine's GPUs use while it runs.

Requests that run at the same time share the GPUs' power equally, moment by moment, as they share
their time. So a request takes less in a full batch, and what all of a batch take together is what
the GPUs used. The driver's counter is read once a second, and the next second makes up for the
difference. While the driver cannot be read nothing is charged, and a request of that time has no
energy. A request costs two readings of a number in this process.
"""

import asyncio
import logging
import math
import time
from collections import Counter
from collections.abc import Callable

from inference.engines import engines
from inference.engines.base import Engine, EngineConfig
from inference.metrics.energy import JOULES, show_carbon
from inference.pool_policy import JOBS
from infrastructure.gpu_driver import Driver, GpuError
from infrastructure.own_addresses import is_here

log = logging.getLogger(__name__)
EVERY_S, AGAIN_S = 1.0, 30.0
# Running meters of this process by engine: one whose entry was changed has two for a while.
_meters: Counter[str] = Counter()


class EnergyMeter:
    """`read` returns the millijoules that the GPUs have used so far, and `part` how much of what
    they use is this worker's; other workers and engines have the rest. Both may block.
    """

    def __init__(
        self,
        read: Callable[[], int],
        part: Callable[[], float] = lambda: 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read, self._part, self._clock = read, part, clock
        self._running = 0
        # Of this worker's part while requests run, in mJ/s; None: unknown.
        self._power: float | None = None
        self._at = clock()
        self._of_each = 0.0  # mJ that one who had run from the beginning would have taken
        self._busy_s = self._charged = 0.0  # since the last reading
        self._last: tuple[float, int] | None = None  # the last reading
        self._owed = 0.0  # used and not charged yet; below 0: charged too much

    def begin(self) -> float:
        """Note that a request runs. Returns a mark for `end`."""
        self._advance()
        self._running += 1
        return self._of_each

    def end(self, mark: float) -> int | None:
        """Returns the millijoules of a request that ran since the mark; None: not measured."""
        self._advance()
        self._running -= 1
        if self._power is None and self._of_each == mark:
            return None
        return round(self._of_each - mark)

    def take_reading(self, counter: int, part: float = 1.0) -> tuple[float, float]:
        """Take the counter. Returns the millijoules of requests and of idle time since the last."""
        self._advance()
        now, last = self._at, self._last
        self._last = now, counter
        busy_s, charged = self._busy_s, self._charged
        self._busy_s = self._charged = 0.0
        if last is None or counter < last[1] or now <= last[0]:  # the driver was restarted
            return charged, 0.0
        seconds, used = now - last[0], (counter - last[1]) * part
        return charged, self._settle(seconds, used, min(busy_s, seconds), charged)

    def miss_reading(self) -> float:
        """Charge nothing until the next two readings. Returns the millijoules of requests since the
        last one.
        """
        self._advance()
        charged, self._busy_s, self._charged = self._charged, 0.0, 0.0
        self._last, self._power, self._owed = None, None, 0.0
        return charged

    def _settle(self, seconds: float, used: float, busy_s: float, charged: float) -> float:
        """Set the power for the next second. Returns what nobody is charged for."""
        idle = used * (1 - busy_s / seconds)
        self._owed += used - idle - charged
        if busy_s or self._power is None:
            # What is owed is for the next second, however soon after the last this reading came.
            owed = self._owed / max(seconds, EVERY_S)
            self._power = max(0.0, used / seconds + owed)
        if busy_s:
            return idle
        idle, self._owed = max(0.0, idle + self._owed), min(0.0, idle + self._owed)
        return idle

    def _advance(self) -> None:
        now = self._clock()
        seconds, self._at = now - self._at, now
        if self._running:
            charged = (self._power or 0.0) * seconds
            self._of_each += charged / self._running
            self._charged += charged
            self._busy_s += seconds

    async def keep(self, pool: str, engine: str) -> None:
        """Read the counter each second, until cancelled."""
        shown = [JOULES.of(pool, engine, part) for part in ("requests", "idle")]
        rest = [0.0, 0.0]  # counters hold whole joules
        _meters[engine] += 1
        try:
            while True:
                for n, millijoules in enumerate(await self._next_reading(engine)):
                    rest[n], joules = math.modf(rest[n] + millijoules / 1000)
                    shown[n].value += int(joules)
                await asyncio.sleep(AGAIN_S if self._last is None else EVERY_S)
        finally:
            _meters[engine] -= 1

    async def _next_reading(self, engine: str) -> tuple[float, float]:
        try:
            reading = await asyncio.to_thread(lambda: (self._read(), self._part()))
        except GpuError as problem:
            log.warning("cannot read the energy of engine %s: %s", engine, problem)
            return self.miss_reading(), 0.0
        return self.take_reading(*reading)


def meter_of(engine: Engine, slots: int) -> EnergyMeter | None:
    """Returns the meter of a worker with so many of the engine's slots.

    None for an engine without named GPUs, and for one on another host.
    """
    config = engine.config
    if not config.gpus or not is_here(config.url):
        return None
    show_carbon()
    gpus = _Gpus(config, slots)
    return EnergyMeter(gpus.millijoules, gpus.part)


class _Gpus:
    """The GPUs of an engine, for a worker with so many of its slots."""

    def __init__(self, config: EngineConfig, slots: int) -> None:
        self._config, self._slots, self._driver = config, slots, Driver()

    def millijoules(self) -> int:
        return sum(self._driver.millijoules(str(gpu)) for gpu in self._config.gpus)

    def part(self) -> float:
        """Returns this worker's part of their energy, by slots and by the number of engines."""
        return self._slots / self._config.slots / self._sharers()

    def _sharers(self) -> int:
        """Returns how many engines have these GPUs, such as adapters of one server."""
        own, name = self._uuids(self._config), self._config.id
        own_names = {name, name.removesuffix(JOBS)}  # a lender's server does not run
        others = [each.config for each in engines() if each.config.id not in own_names]
        here = [config for config in others if config.gpus and is_here(config.url)]
        sharing = sum(not own.isdisjoint(self._uuids(config)) for config in here)
        return sharing + max(1, _meters[name])

    def _uuids(self, config: EngineConfig) -> frozenset[str]:
        return self._driver.uuids(map(str, config.gpus))
