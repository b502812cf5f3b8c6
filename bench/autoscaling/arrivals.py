"""A day's requests: three tenants, each with a noon of its own (bench/day_load.py), two bursts."""

import random
from collections.abc import Iterator
from dataclasses import dataclass

from bench.day_load import SEED, height

DAY_S, TENANTS = 86_400.0, 3
BURSTS = ((9.5, 1 / 3, 1.6), (20.0, 0.5, 1.8))  # hour, for how many hours, times the load


@dataclass(frozen=True, slots=True)
class Request:
    at: float  # s
    runs_s: float  # on a server, alone or beside others: it has a slot


def day(mean_per_s: float, runs_s: float, hours: float = 24, seed: int = SEED) -> Iterator[Request]:
    """A Poisson process by thinning; how long answers take is exponential around `runs_s`."""
    draw, at = random.Random(seed), 0.0
    loads = [mean_per_s * load(60.0 * minute) for minute in range(round(hours * 60) + 1)]
    most = max(loads)
    while (at := at + draw.expovariate(most)) < hours * 3600:
        if draw.random() * most < loads[int(at / 60)]:
            yield Request(at, min(600.0, draw.expovariate(1 / runs_s)))


def load(at: float) -> float:
    """Against the mean."""
    of_tenants = sum(height(at / DAY_S, tenant) for tenant in range(TENANTS)) / TENANTS
    return of_tenants * _burst(at / 3600)


def _burst(hour: float) -> float:
    return next((times for begins, lasts, times in BURSTS if begins <= hour < begins + lasts), 1.0)
