"""A day of several tenants in little time: more requests by day than by night, by a fixed seed.

Takes the options of bench.load: `--key` has the keys of all tenants, with commas between them,
`--rate` is the mean of them together. Each tenant has its day at another hour.
"""

import asyncio
import json
import math
import random
from collections.abc import Iterator
from dataclasses import asdict, replace
from time import perf_counter

import uvloop

from bench.load import Load, Options, read_options, request_bytes

SEED, SWING = 7, 0.6  # the most is 1.6 times the mean, the least 0.4 times
APART = 0.15  # of a day, between the noons of two tenants


class DayLoad(Load):
    def __init__(self, options: Options) -> None:
        super().__init__(options)
        keys = options.key.split(",")
        self._sources = [request_bytes(replace(options, key=key)) for key in keys]

    async def constant_rate(self) -> None:
        began = perf_counter()
        for due, tenant in arrivals(self.options, len(self._sources)):
            if (wait := began + due - perf_counter()) > 0:
                await asyncio.sleep(wait)
            self.source = self._sources[tenant]
            self.send_new(min(began + due, perf_counter()))
        await asyncio.sleep(max(0.0, self.window[1] - perf_counter()))


def arrivals(options: Options, tenants: int) -> Iterator[tuple[float, int]]:
    """Seconds from the beginning, and whose: a Poisson process whose rate follows the days."""
    draw, at = random.Random(SEED), 0.0
    length = options.warmup + options.seconds
    while True:
        at += draw.expovariate(options.rate * (1 + SWING))
        if at >= length:
            return
        tenant = draw.randrange(tenants)
        if draw.random() * (1 + SWING) < height(at / length, tenant):
            yield at, tenant


def height(hour: float, tenant: int) -> float:
    """Of a tenant's rate against its mean; `hour` from 0 to 1."""
    noon = 0.5 + APART * (tenant % 3 - 1)
    return 1 + SWING * math.cos(2 * math.pi * (hour - noon))


async def run(options: Options) -> dict[str, object]:
    return asdict(await DayLoad(options).run())


def main() -> None:
    print(json.dumps(uvloop.run(run(read_options()))))


if __name__ == "__main__":
    main()
