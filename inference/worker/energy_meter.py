"""The energy of each request: its share of what its engine's GPUs use while it runs.

Requests that run at the same time share the GPUs' power equally, moment by moment, as they share
their time. So a request takes less in a full batch, and what all of a batch take together is what
the GPUs used. The driver's counter is read once a second, and the next second makes up for the
difference. A request costs two readings of a number in this process.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence

from inference.engines import engines
from inference.engines.base import Engine
from inference.metrics.energy import JOULES, show_carbon
from infrastructure.gpu_driver import Driver, GpuError
from infrastructure.own_addresses import is_here

log = logging.getLogger(__name__)
EVERY_S, AGAIN_S = 1.0, 30.0


class EnergyMeter:
    """`part`: of the GPUs' energy that is this worker's; other workers and engines have the rest.

    `read` returns the millijoules that the GPUs have used so far.
    """

    def __init__(
        self,
        read: Callable[[], int],
        part: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read, self._part, self._clock = read, part, clock
        self._running = 0
        self._power = 0.0  # of this worker's part while requests run, in mJ/s
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

    def end(self, mark: float) -> int:
        """Returns the millijoules of a request that ran since the mark."""
        self._advance()
        self._running -= 1
        return round(self._of_each - mark)

    def take_reading(self, counter: int) -> tuple[float, float]:
        """Take the counter. Returns the millijoules of requests and of idle time since the last."""
        self._advance()
        now, last = self._at, self._last
        self._last = now, counter
        busy_s, charged = self._busy_s, self._charged
        self._busy_s = self._charged = 0.0
        if last is None or counter < last[1] or now <= last[0]:  # the driver was restarted
            return charged, 0.0
        seconds, used = now - last[0], (counter - last[1]) * self._part
        return charged, self._settle(seconds, used, min(busy_s, seconds), charged)

    def _settle(self, seconds: float, used: float, busy_s: float, charged: float) -> float:
        """Set the power for the next second. Returns what nobody is charged for."""
        idle = used * (1 - busy_s / seconds)
        self._owed += used - idle - charged
        if busy_s:
            self._power = max(0.0, (used + self._owed) / seconds)
            return idle
        idle, self._owed = max(0.0, idle + self._owed), min(0.0, idle + self._owed)
        return idle

    def _advance(self) -> None:
        now = self._clock()
        seconds, self._at = now - self._at, now
        if self._running:
            self._of_each += self._power * seconds / self._running
            self._charged += self._power * seconds
            self._busy_s += seconds

    async def keep(self, pool: str, engine: str) -> None:
        """Read the counter each second, until cancelled."""
        of_requests, of_idle_time = (
            JOULES.of(pool, engine, "requests"),
            JOULES.of(pool, engine, "idle"),
        )
        for_requests, in_idle_time = float(of_requests.value), float(of_idle_time.value)
        while True:
            try:
                charged, idle = self.take_reading(await asyncio.to_thread(self._read))
            except GpuError as problem:
                log.warning("cannot read the energy of engine %s: %s", engine, problem)
                await asyncio.sleep(AGAIN_S)
                continue
            for_requests += charged / 1000
            in_idle_time += idle / 1000
            of_requests.value, of_idle_time.value = int(for_requests), int(in_idle_time)
            await asyncio.sleep(EVERY_S)


def meter_of(engine: Engine, slots: int) -> EnergyMeter | None:
    """Returns the meter of a worker with so many of the engine's slots.

    None for an engine without named GPUs, and for one on another host.
    """
    config = engine.config
    if not config.gpus or not is_here(config.url):
        return None
    show_carbon()
    names = [str(gpu) for gpu in config.gpus]
    return EnergyMeter(_reader(names), slots / config.slots / _sharers(names))


def _reader(gpus: Sequence[str]) -> Callable[[], int]:
    driver = Driver()
    return lambda: sum(map(driver.millijoules, gpus))


def _sharers(gpus: Sequence[str]) -> int:
    """Returns how many engines have these GPUs, such as adapters of one server."""
    others = [engine.config for engine in engines() if is_here(engine.config.url)]
    return max(1, sum(not set(gpus).isdisjoint(map(str, config.gpus)) for config in others))
