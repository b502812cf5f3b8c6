"""The simulator against a real runner and the mock engine: the same order, the same shares.

Where all is charged for as it turns out, the queue alone decides, and the order must be the very
same. Where answers are shorter than their estimates it hangs on which of those that run at once
ends first: then the shares agree, and nobody begins far from its place.
"""

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Sequence
from uuid import UUID

import pytest
from django.conf import settings

from bench.mock_engine.answers import PROMPT_TOKENS
from bench.mock_engine.server import Behaviour, Engine, EngineProtocol
from bench.simulate.arrivals import Request
from bench.simulate.policy import Day
from bench.simulate.pool import SimulatedPool
from bench.simulate.virtual_link import VirtualLink
from inference.engines.base import EngineConfig
from inference.engines.kinds.openai import OpenAIEngine
from inference.order import Item, Order
from inference.queue.fair_queue import FairQueue
from tenants.models import Tenant
from tests.inference.running import Bench, in_database

SLOTS, INTERVAL_S = 4, 0.004
SIMULATED = "simulated-"
SUBJECT = UUID(int=1)
BODY = (
    b'{"model":"mock","messages":[],"stream":true,"stream_options":{"include_usage":true},'
    b'"max_tokens":%d}'
)
WEIGHTS = {"acme": 1, "globex": 4, "initech": 2}
EACH = 12  # requests of each tenant
TOLERANCE = 0.15  # of the tokens of the first half, by tenant
PLACES = 12  # that a request may begin earlier or later


@pytest.fixture
async def engine() -> AsyncIterator[OpenAIEngine]:
    mock = Engine(Behaviour(64, INTERVAL_S * 1000), ["mock"])
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: EngineProtocol(mock), "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    yield OpenAIEngine(EngineConfig("mock", "openai", url, "mock", slots=SLOTS))
    server.close()


@pytest.fixture
def popped(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """The ids of requests by pool, as a queue handed them out."""
    found, pop = defaultdict[str, list[str]](list), FairQueue.pop

    async def noted(self: FairQueue, n: int, runner: str) -> list[tuple[Item, bytes]]:
        items = await pop(self, n, runner)
        found[self.pool] += [item.id for item, _ in items]
        return items

    monkeypatch.setattr(FairQueue, "pop", noted)
    return found


@pytest.mark.slow(seconds=20)
@pytest.mark.parametrize("spare", [0, 60], ids=["as charged", "less than charged"])
async def test_it_does_as_the_real_one(
    bench: Bench, engine: OpenAIEngine, popped: dict[str, list[str]], spare: int
) -> None:
    requests = await submitted(bench, spare)
    costs = {request.id: (request.tenant, request.rest) for request in requests}
    bench.start(engine)
    await bench.settled(len(requests))
    await simulate(bench, requests)
    real, virtual = popped[bench.pool], popped[SIMULATED + bench.pool]
    assert Counter(virtual) == Counter(real)
    if not spare:
        assert virtual == real
    places = {name: place for place, name in enumerate(virtual)}
    assert max(abs(places[name] - n) for n, name in enumerate(real)) <= PLACES
    ours, theirs = (shares([costs[name] for name in names]) for names in (virtual, real))
    assert all(abs(ours[tenant] / theirs[tenant] - 1) <= TOLERANCE for tenant in theirs)


async def submitted(bench: Bench, spare: int) -> list[Request]:
    """In the real queue, before its runner begins; `spare`: tokens charged for and not taken."""
    draw, found = random.Random(7), list[Request]()
    fronts = [await front(bench, name) for name in WEIGHTS]
    for each in fronts * EACH:
        name, answer = each.acme.name, draw.randint(4, 40)
        body = BODY % answer
        charged = PROMPT_TOKENS + 2 * answer + spare
        (order,) = await each.submit(
            body=body, estimate=charged, weight=WEIGHTS[name], subject_id=SUBJECT
        )
        found.append(_request(order, answer))
    return found


async def front(bench: Bench, name: str) -> Bench:
    """For another tenant's requests; its runner is `bench`'s."""
    tenant = bench.acme if name == "acme" else await in_database(Tenant.open)(name, by="test")
    return Bench(bench.pool, tenant, bench.link)


def _request(order: Order, answer: int) -> Request:
    item = order.item
    return Request(
        item.id, 0.0, item.klass, item.tenant, item.weight, PROMPT_TOKENS, answer, item.estimate
    )


async def simulate(bench: Bench, requests: Sequence[Request]) -> None:
    link = VirtualLink(settings.REDIS_URL)
    day = Day(slots=SLOTS, tokens_per_s=1 / INTERVAL_S, first_token_s=0.002, hours=1)
    try:
        await SimulatedPool(link, SIMULATED + bench.pool, 1, day, iter(requests)).run(opens_at=1.0)
    finally:
        link.close()


def shares(begun: Sequence[tuple[str, int]]) -> Counter[str]:
    """By tenant, of the first half: later on those with the most weight have nothing left."""
    found = Counter[str]()
    for tenant, cost in begun[: len(begun) // 2]:
        found[tenant] += cost
    return found
