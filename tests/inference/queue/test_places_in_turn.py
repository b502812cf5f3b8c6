"""The place that a waiting person sees is the one in which their request begins."""

import asyncio
from collections.abc import Sequence
from uuid import uuid4

from django.conf import settings
from hypothesis import given
from hypothesis import settings as trying
from hypothesis import strategies as st

from inference.queue import expected_wait
from inference.queue.expected_wait import Place
from inference.queue.fair_queue import FairQueue
from infrastructure.redis.link import RedisLink
from tests.inference.conftest import forget_pool
from tests.inference.orders import an_item

WEIGHTS = {"acme": 1, "globex": 4, "initech": 2}
requests = st.lists(
    st.tuples(st.sampled_from(sorted(WEIGHTS)), st.integers(1, 200)), min_size=1, max_size=24
)


@trying(max_examples=40, deadline=None)
@given(earlier=requests, cancelled=st.sets(st.integers(0, 23)), taken=st.integers(0, 6))
def test_a_place_counts_the_turns_of_all_tenants(
    earlier: Sequence[tuple[str, int]], cancelled: set[int], taken: int
) -> None:
    with asyncio.Runner() as runner:
        ahead, begun = runner.run(_places(earlier, cancelled, taken))
    assert ahead == begun


async def _places(
    earlier: Sequence[tuple[str, int]], cancelled: set[int], taken: int
) -> tuple[int, int]:
    """Returns the place that is told for the last request, and how many began before it."""
    redis = RedisLink(settings.REDIS_URL)
    queue = FairQueue(redis, f"test-{uuid4().hex}")
    try:
        for n, (tenant, estimate) in enumerate(earlier):
            item = an_item(tenant, estimate, WEIGHTS[tenant])
            await queue.join(item, b"x")
            if n in cancelled:
                await queue.cancel(item.id)
            if n < taken:
                await queue.pop(1, "runner-1")
        await queue.pop(1, "runner-1")  # no slot is free from now on
        mine = an_item("acme", 50)
        await queue.join(mine, b"x")
        place = await queue.in_turn(Place(1, klass="realtime", tenant="acme"), mine.id)
        begun = 0
        while [item.id for item, _ in await queue.pop(1, "runner-1")] != [mine.id]:
            begun += 1
        return place.position - 1, begun
    finally:
        expected_wait.forget()
        await forget_pool(redis, queue.pool)
        redis.close()
        await asyncio.sleep(0)


async def test_a_newcomer_does_not_wait_for_the_whole_line_of_another_tenant(
    queue: FairQueue,
) -> None:
    for _ in range(21):
        await queue.join(an_item("globex"), b"x")
    await queue.pop(1, "runner-1")
    mine = an_item("acme")
    place = (await queue.join(mine, b"x")).place
    assert (place.pool, place.tenant) == (queue.pool, "acme")
    assert (await queue.in_turn(place, mine.id)).position <= 2


async def test_a_request_that_has_begun_keeps_the_place_it_had(queue: FairQueue) -> None:
    place = Place(3, klass="realtime", tenant="acme")
    assert await queue.in_turn(place, str(uuid4())) == place
