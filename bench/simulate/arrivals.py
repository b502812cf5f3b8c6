"""Generates the requests of one pool over a day, at random; a seed repeats them."""

import heapq
import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from random import Random

from bench.simulate.policy import Curve, Load, Policy
from inference.record.outcome import Outcome

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
    def work_units(self) -> int:
        """Returns the work units so far."""
        return Outcome(prompt_tokens=self.prompt, completion_tokens=self.done).work_units

    @property
    def rest(self) -> int:
        """Returns the work units that are still to come."""
        whole = Outcome(prompt_tokens=self.prompt, completion_tokens=self.tokens)
        return whole.work_units - (self.work_units if self.parked else 0)


class Arrivals:
    """The requests of all classes in the order of time. Its tenants are drawn by their demand."""

    def __init__(self, pool: int, slots: int, policy: Policy, seed: int) -> None:
        day, draw = policy.day, Random(f"{seed} {pool}")
        self._pool, self._slots, self._policy, self._seed = pool, slots, policy, seed
        names = [f"t{n}" for n in range(pool, day.tenants, day.pools)]
        weights, shares = list(policy.weights), list(policy.weights.values())
        self._tenants = list(zip(names, draw.choices(weights, shares, k=len(names)), strict=True))
        demands = [(n + 1) ** -day.skew for n in range(len(names))]
        draw.shuffle(demands)
        self._demands = list(accumulate(demands))

    def __iter__(self) -> Iterator[Request]:
        loads = [each for each in self._policy.loads.items() if each[1].share]
        streams = [self._of_class(name, load) for name, load in loads]
        return heapq.merge(*streams, key=lambda request: request.at)

    def _of_class(self, klass: str, load: Load) -> Iterator[Request]:
        draw = Random(f"{self._seed} {self._pool} {klass}")
        at, number, ends = 0.0, 0, self._policy.day.hours * 3600
        while True:
            at += draw.expovariate(2 * self._rate(load))
            if at >= ends:
                return
            if 2 * draw.random() > height(load.curve, at):
                continue
            ((name, weight),) = draw.choices(self._tenants, cum_weights=self._demands)
            for _ in range(load.burst):
                number += 1
                prompt, tokens = _length(load.prompt, draw), _length(load.tokens, draw)
                estimate = prompt + 2 * LONGEST * load.tokens  # as intake does
                request_id = f"{self._pool}-{klass}-{number}"
                yield Request(request_id, at, klass, name, weight, prompt, tokens, estimate)

    def _rate(self, load: Load) -> float:
        """Returns arrivals a second on average, of bursts where they come in bursts."""
        day = self._policy.day
        service_s = day.first_token_s + load.tokens / day.tokens_per_s
        return load.share * self._slots / service_s / load.burst


def height(curve: Curve, at: float) -> float:
    """Returns the arrival rate against its mean, from 0 to 2; "day" is highest at 15:00."""
    wave = math.cos(2 * math.pi * (at / 3600 - 15) / 24)
    return 1 + {"flat": 0.0, "day": 0.8, "night": -0.8}[curve] * wave


def _length(mean: int, draw: Random) -> int:
    length = draw.lognormvariate(math.log(mean) - SPREAD**2 / 2, SPREAD)
    return max(1, min(LONGEST * mean, round(length)))
