"""The requests of one pool over the day, by a seed."""

import heapq
import math
from bisect import bisect
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from random import Random

from bench.simulate.policy import Curve, Load, Policy
from inference.record.statements import Outcome

SPREAD = 0.8  # sigma of the lengths' logarithm
LONGEST = 4  # times the mean: max_tokens


@dataclass(slots=True)
class Request:
    """`at` in seconds of the day; `done`: tokens of its answer that are there."""

    id: str
    at: float
    klass: str
    tenant: str
    weight: int
    prompt: int
    tokens: int
    estimate: int
    started: float | None = None
    done: int = 0
    parked: int = 0

    @property
    def cost(self) -> int:
        """The cost so far, in the fair queue's unit."""
        return Outcome(prompt_tokens=self.prompt, completion_tokens=self.done).cost

    @property
    def rest(self) -> int:
        """The cost that is still to come."""
        whole = Outcome(prompt_tokens=self.prompt, completion_tokens=self.tokens)
        return whole.cost - (self.cost if self.parked else 0)


class Tenants:
    """The tenants of one pool, with their weights, drawn by their demand."""

    def __init__(self, names: list[str], policy: Policy, draw: Random) -> None:
        self.names = names
        weights, shares = list(policy.weights), list(policy.weights.values())
        self.weights = draw.choices(weights, shares, k=len(names))
        demands = [(n + 1) ** -policy.day.skew for n in range(len(names))]
        draw.shuffle(demands)
        self._demands = list(accumulate(demands))

    def one(self, draw: Random) -> int:
        return bisect(self._demands, draw.random() * self._demands[-1], hi=len(self.names) - 1)


def arrivals(
    pool: int, tenants: Tenants, slots: int, policy: Policy, seed: int
) -> Iterator[Request]:
    """Returns the requests of all classes in the order of time."""
    streams = [
        _of_class(pool, name, load, tenants, slots, policy, Random(f"{seed} {pool} {name}"))
        for name, load in policy.loads.items()
        if load.share
    ]
    return heapq.merge(*streams, key=lambda request: request.at)


def _of_class(
    pool: int, klass: str, load: Load, tenants: Tenants, slots: int, policy: Policy, draw: Random
) -> Iterator[Request]:
    day = policy.day
    service_s = day.first_token_s + load.tokens / day.tokens_per_s
    rate = load.share * slots / service_s / load.burst  # on average
    at, number, ends = 0.0, 0, day.hours * 3600
    while True:
        at += draw.expovariate(2 * rate)
        if at >= ends:
            return
        if 2 * draw.random() > height(load.curve, at):
            continue
        tenant = tenants.one(draw)
        for _ in range(load.burst):
            number += 1
            name, weight = tenants.names[tenant], tenants.weights[tenant]
            prompt, tokens = _length(load.prompt, draw), _length(load.tokens, draw)
            estimate = prompt + 2 * LONGEST * load.tokens  # as intake does
            yield Request(
                f"{pool}-{klass}-{number}", at, klass, name, weight, prompt, tokens, estimate
            )


def height(curve: Curve, at: float) -> float:
    """Returns the arrival rate against its mean, from 0 to 2; "day" is highest at 15:00."""
    wave = math.cos(2 * math.pi * (at / 3600 - 15) / 24)
    return 1 + {"flat": 0.0, "day": 0.8, "night": -0.8}[curve] * wave


def _length(mean: int, draw: Random) -> int:
    length = draw.lognormvariate(math.log(mean) - SPREAD**2 / 2, SPREAD)
    return max(1, min(LONGEST * mean, round(length)))
