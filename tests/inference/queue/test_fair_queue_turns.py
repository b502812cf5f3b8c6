"""Classes that wait behind a flood, and slots that are kept for those who may come."""

from collections import Counter
from collections.abc import Iterator

import pytest
from pytest_django.fixtures import Settings

from inference import engines
from inference.queue.fair_queue import FairQueue, prefix
from infrastructure.redis.link import RedisLink
from tests.inference.orders import SEALED, an_item

LOWER = ("batch", "finetune", "preprocess")
SLOTS = 4


async def put(queue: FairQueue, klass: str, n: int = 1) -> None:
    for _ in range(n):
        await queue.enqueue(an_item(klass=klass), SEALED)


async def turns(queue: FairQueue, n: int) -> Counter[str]:
    """What is handed out while a realtime request comes for each."""
    found: Counter[str] = Counter()
    for _ in range(n):
        await put(queue, "realtime")
        for item, _ in await queue.pop(1, "runner-1"):
            found[item.klass] += 1
            await queue.end_lease(item, 0)
    return found


async def later(queue: FairQueue, link: RedisLink, seconds: int) -> None:
    """As if so much time had passed for all that wait."""
    name = f"{prefix(queue.pool)}:owed"
    told = await link.call("HGETALL", name)
    for klass, kept in zip(told[::2], told[1::2], strict=True):
        owed, since, starves = kept.split(b"|")
        earlier = b"%b|%d|%b" % (owed, int(since) - seconds * 1000, starves)
        await link.call("HSET", name, klass, earlier)


async def test_nothing_starves_behind_a_flood(queue: FairQueue, link: RedisLink) -> None:
    for klass in LOWER:
        await put(queue, klass, 10)
    assert await turns(queue, 30) == {"realtime": 30}, "strict order for the first minute"
    await later(queue, link, 61)
    told = await turns(queue, 123)  # for as long as they wait
    assert {klass: told[klass] for klass in LOWER} == dict.fromkeys(LOWER, 6), "5 % each"


async def test_whose_line_was_empty_waits_anew(queue: FairQueue, link: RedisLink) -> None:
    await put(queue, "batch", 2)
    await turns(queue, 1)
    await later(queue, link, 61)
    assert (await turns(queue, 60))["batch"] == 2
    await put(queue, "batch", 2)
    assert (await turns(queue, 60))["batch"] == 0


async def test_a_pool_has_shares_and_ageing_of_its_own(
    queue: FairQueue, link: RedisLink, settings: Settings
) -> None:
    settings.QUEUE_LIMITS = {
        "batch": {"share": 0.25, "share_after_s": 0},
        "finetune": {"share": 0, "ageing_s": 100},
        "preprocess": {"share": 0},
    }
    for klass in LOWER:
        await put(queue, klass, 10)
    assert await turns(queue, 12) == {"realtime": 9, "batch": 3}
    await later(queue, link, 250)  # two classes higher: beside realtime
    assert (await turns(queue, 4))["finetune"] == 1
    await later(queue, link, 10_000)
    assert (await turns(queue, 40))["preprocess"] == 0, "an operator may have it strict"


async def test_realtime_alone_leaves_no_trace_of_turns(queue: FairQueue, link: RedisLink) -> None:
    await turns(queue, 5)
    assert not await link.call("EXISTS", f"{prefix(queue.pool)}:owed")


@pytest.fixture
def keeps_two(pool: str, settings: Settings) -> Iterator[None]:
    engine = {"kind": "openai", "url": "http://127.0.0.1:9/v1", "slots": SLOTS}
    settings.ENGINES = {pool: {**engine, "limits": {"realtime": {"reserved": 2}}}}
    engines.forget()
    yield
    engines.forget()


async def test_lower_classes_leave_the_last_slots_free(keeps_two: None, queue: FairQueue) -> None:
    await put(queue, "batch", 5)
    first = await queue.pop(SLOTS, "runner-1")
    assert ([item.klass for item, _ in first], first.held) == (["batch"] * 2, True)
    assert (await queue.pop(2, "runner-1")).held
    await put(queue, "realtime", 2)
    assert [item.klass for item, _ in await queue.pop(2, "runner-1")] == ["realtime"] * 2
    for item, _ in first:
        await queue.end_lease(item, 0)
    again = await queue.pop(2, "runner-1")
    assert (list(again), again.held) == ([], True), "two run, two are kept free"


async def test_nothing_is_kept_from_the_highest_class(keeps_two: None, queue: FairQueue) -> None:
    """Also where more run than this process knows slots."""
    await put(queue, "realtime", SLOTS + 2)
    await put(queue, "batch")
    popped = await queue.pop(SLOTS + 3, "runner-1")
    assert [item.klass for item, _ in popped] == ["realtime"] * (SLOTS + 2)
    assert popped.held


async def test_who_is_held_is_told_of_the_next_request(keeps_two: None, queue: FairQueue) -> None:
    await put(queue, "batch", 3)
    await queue.pop(SLOTS, "runner-1")
    await put(queue, "realtime")
    assert await queue.inbox("runner-1") == b"wake"


async def test_kept_slots_do_not_let_a_class_starve(
    keeps_two: None, queue: FairQueue, link: RedisLink
) -> None:
    await put(queue, "realtime", SLOTS - 1)
    await queue.pop(SLOTS - 1, "runner-1")  # which run on: one slot is left
    await put(queue, "batch", 5)
    assert (await turns(queue, 20))["batch"] == 0
    await later(queue, link, 61)
    assert (await turns(queue, 40))["batch"] == 2
