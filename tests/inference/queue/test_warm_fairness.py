"""With warm engines the fair order stays what it was, for any load."""

import asyncio
import random
from itertools import count
from uuid import uuid4

import hypothesis
from django.conf import settings
from hypothesis import strategies as st

from bench.simulate.virtual_link import VirtualLink
from tests.inference.conftest import forget_pool
from tests.inference.queue.warm_fleet import Ask, VirtualFleet, in_force, turn

ENGINES, SLOTS = 4, 2
WAIT_S = 0.2
TALKS = 6  # conversations of each tenant


def conversations(
    seed: int, rates: dict[str, float], seconds: float, backlog: int = 0
) -> list[Ask]:
    """Arrivals by chance, each a turn of one of its tenant's conversations; `backlog` at once."""
    draw, asks = random.Random(seed), list[Ask]()
    for tenant, rate in rates.items():
        at, turns = 0.0, dict.fromkeys(range(TALKS), 0)
        for number in count(1):
            at += draw.expovariate(rate) if number > backlog else 0.0
            if at >= seconds:
                break
            name = draw.randrange(TALKS)
            turns[name] += 1
            tokens = draw.randint(20, 180)
            asks.append(Ask(at, tenant, tokens / 100, turn(turns[name], f"{name}"), tokens=tokens))
    return asks


def played(asks: list[Ask], until: float) -> VirtualFleet:
    """A fleet of its own plays them."""

    async def play() -> VirtualFleet:
        pool, link = f"test-{uuid4().hex}", VirtualLink(settings.REDIS_URL)
        with in_force(pool, ENGINES, SLOTS):
            fleet = VirtualFleet(link, pool, ENGINES, SLOTS)
            await fleet.play(asks, until)
            await forget_pool(link, pool)
        link.close()
        return fleet

    return asyncio.run(play())


@hypothesis.settings(max_examples=4)
@hypothesis.given(st.integers(0, 2**32), st.floats(4.5, 6.0))
def test_a_flood_of_ten_to_one_gets_no_more_than_its_weight(seed: int, modest: float) -> None:
    """Both have a backlog: 8 slots serve 8 requests a second."""
    fleet = played(conversations(seed, {"modest": modest, "flood": 10 * modest}, 60, 20), 60)
    assert {ask.tenant for ask in fleet.waiting.values()} == {"modest", "flood"}
    ratio = fleet.served["flood"] / fleet.served["modest"]
    assert 1 / 1.05 <= ratio <= 1.05
    assert fleet.counts["hit"] > fleet.counts["miss"]


@hypothesis.settings(max_examples=15)
@hypothesis.given(st.integers(0, 2**32), st.floats(0.5, 12.0), st.floats(0.5, 12.0))
def test_nothing_waits_beside_a_free_slot_for_longer_than_the_bound(
    seed: int, one: float, other: float
) -> None:
    asks = conversations(seed, {"acme": one, "globex": other}, 15)
    fleet = played(asks, 600)
    assert all(ask.begun is not None for ask in asks), "nobody starves"
    assert max((ask.beside_free for ask in asks), default=0) <= WAIT_S + 0.002
    assert not fleet.waiting
