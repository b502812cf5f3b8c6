"""Who floods the queue gets no more tokens than its weight says: a minute of virtual engines."""

import random
from collections import Counter
from dataclasses import dataclass

import pytest

from inference.order import Item
from inference.queue.fair_queue import FairQueue
from tests.inference.orders import an_item

SLOTS, TOKENS_A_TICK, TICKS = 4, 12, 60 * 4  # a tick is a quarter of a second
ARRIVALS = {"flooder": 5.0, "steady": 0.5}  # a tick: 10 to 1, and both have a backlog
SAYS = {"flooder": 1.0, "steady": 40.0}  # its requests ask for so much more than they take
SEALED = b"sealed"


@dataclass
class Running:
    item: Item
    tokens: int  # that are to come
    done: int = 0


class Minute:
    """Slots that give a few tokens a tick each, and pay for them as a runner does."""

    def __init__(self, queue: FairQueue, weights: dict[str, int]) -> None:
        self.queue, self.weights = queue, weights
        self.random = random.Random(7)
        self.tokens: dict[str, int] = {}  # by request
        self.running: list[Running] = []
        self.served: Counter[str] = Counter()
        self.due = dict.fromkeys(ARRIVALS, 20.0)  # there is a backlog to begin with

    async def pass_by(self) -> None:
        for _ in range(TICKS):
            await self.arrive()
            for item, _ in await self.queue.pop(SLOTS - len(self.running), "runner-1"):
                self.running.append(Running(item, self.tokens[item.id]))
            for each in self.running:
                self.give(each)
            await self.queue.report_work({each.item: 2 * each.done for each in self.running})
            await self.end_lease()

    async def arrive(self) -> None:
        for tenant, rate in ARRIVALS.items():
            self.due[tenant] += rate
            for _ in range(int(self.due[tenant])):
                self.due[tenant] -= 1
                tokens = self.random.randint(20, 180)
                estimate = round(2 * tokens * SAYS[tenant])
                item = an_item(tenant, estimate, self.weights[tenant])
                self.tokens[item.id] = tokens
                await self.queue.enqueue(item, SEALED)

    def give(self, each: Running) -> None:
        came = min(TOKENS_A_TICK, each.tokens - each.done)
        each.done += came
        self.served[each.item.tenant] += came

    async def end_lease(self) -> None:
        for each in [each for each in self.running if each.done == each.tokens]:
            self.running.remove(each)
            await self.queue.end_lease(each.item, 2 * each.done)


@pytest.mark.parametrize("weight", [1, 2])
async def test_ten_to_one_arrivals_are_served_by_weight(queue: FairQueue, weight: int) -> None:
    minute = Minute(queue, {"flooder": 1, "steady": weight})
    await minute.pass_by()
    served = minute.served
    for tenant in ARRIVALS:
        waiting, _ = await queue.turns("realtime", tenant)
        assert waiting, "it has a backlog to the end"
    ratio = served["steady"] / served["flooder"] / weight
    assert 1 / 1.05 <= ratio <= 1.05
