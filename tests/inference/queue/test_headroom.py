"""The last free slots of a pool: for a higher class, and for other tenants of a class."""

from collections import Counter
from collections.abc import Callable

import pytest
from pytest_django.fixtures import Settings

from inference import engines
from inference.engine_entries import EngineEntry
from inference.order import Item
from inference.queue import expected_wait, limits
from inference.queue.fair_queue import SWEEP, FairQueue, Popped, prefix, sweep_arguments
from infrastructure.redis.link import RedisLink
from tests.inference.orders import SEALED, an_item

Declare = Callable[..., None]
SLOTS = 16  # of which three are kept free
ENGINE = {"kind": "openai", "url": "http://127.0.0.1:9/v1", "slots": SLOTS}


@pytest.fixture
def declare(pool: str, settings: Settings) -> Declare:
    """The pool, as FOREBAY_ENGINES has it."""

    def declared(**fields: object) -> None:
        settings.ENGINES = {pool: {**ENGINE, **fields}}
        engines.forget()

    return declared


@pytest.fixture(autouse=True)
def of_sixteen(declare: Declare) -> None:
    declare()


async def put(queue: FairQueue, tenant: str, n: int, klass: str = "realtime") -> None:
    for _ in range(n):
        await queue.enqueue(an_item(tenant, klass=klass), SEALED)


async def pop(queue: FairQueue, n: int = SLOTS) -> Popped:
    return await queue.pop(n, "runner-1")


async def over(queue: FairQueue, items: list[tuple[Item, bytes]]) -> None:
    for item, _ in items:
        await queue.end_lease(item, item.estimate)


async def has_come(queue: FairQueue, *tenants: str) -> None:
    """Each had a real-time request, which is over."""
    for tenant in tenants:
        await put(queue, tenant, 1)
        (only,) = await pop(queue, 1)
        assert only[0].tenant == tenant
        await over(queue, [only])


async def later(queue: FairQueue, link: RedisLink, seconds: int) -> None:
    name = f"{prefix(queue.pool)}:realtime:lately"
    for tenant in await link.call("ZRANGE", name, 0, -1):
        await link.call("ZINCRBY", name, -1000 * seconds, tenant)


def of(popped: Popped) -> Counter[str]:
    return Counter(item.tenant for item, _ in popped)


async def test_lower_classes_leave_headroom_while_realtime_requests_come(
    queue: FairQueue, link: RedisLink
) -> None:
    await put(queue, "acme", 30, "batch")
    idle = await pop(queue)
    assert len(idle) == SLOTS, "nobody else has come"
    await over(queue, idle)
    await has_come(queue, "globex")
    busy = await pop(queue)
    assert (len(busy), busy.held) == (SLOTS - 3, True)
    await put(queue, "globex", 3)
    assert of(await pop(queue, 3)) == {"globex": 3}, "they begin at once"
    await over(queue, list(busy))
    await later(queue, link, 61)
    await put(queue, "acme", 30, "batch")
    assert len(await pop(queue, SLOTS - 3)) == SLOTS - 3, "an idle night is filled"


@pytest.mark.parametrize(("slots", "kept"), [(1, 0), (2, 0), (3, 0), (4, 1), (9, 2), (100, 9)])
async def test_a_pool_leaves_the_root_of_its_slots_less_one(
    slots: int, kept: int, queue: FairQueue, declare: Declare
) -> None:
    declare(slots=slots)
    await has_come(queue, "globex")
    await put(queue, "acme", slots, "batch")
    assert len(await pop(queue, slots)) == slots - kept


@pytest.mark.parametrize(
    ("said", "kept", "by_tenants"),
    [({"reserved": 0}, 0, 0), ({"reserved": 5}, 5, 3), ({"headroom": 1}, 1, 1)],
)
async def test_what_the_pool_says_goes_before_what_is_usual(
    said: dict[str, int], kept: int, by_tenants: int, queue: FairQueue, declare: Declare
) -> None:
    declare(limits={"realtime": said})
    await has_come(queue, "globex")
    await put(queue, "acme", SLOTS, "batch")
    batch = await pop(queue)
    assert len(batch) == SLOTS - kept
    await over(queue, batch)
    while batch := await pop(queue):  # what was left
        await over(queue, batch)
    await has_come(queue, "globex", "acme")
    await put(queue, "acme", SLOTS)
    assert len(await pop(queue)) == SLOTS - by_tenants


@pytest.mark.parametrize(
    ("limits", "at_once"),
    [
        ({"lower_slots": 2}, 2),
        ({"lower_slots": 0}, 1),
        ({"lower_slots": SLOTS - 1}, SLOTS - 3),
        ({"lower_slots": SLOTS - 1, "headroom": 0}, SLOTS - 1),
        ({"lower_slots": SLOTS + 9, "headroom": 0}, SLOTS),
    ],
)
async def test_lower_classes_have_few_slots_while_realtime_requests_come(
    limits: dict[str, int], at_once: int, queue: FairQueue, link: RedisLink, declare: Declare
) -> None:
    declare(limits={"realtime": limits})
    await put(queue, "acme", 3 * SLOTS, "batch")
    idle = await pop(queue)
    assert len(idle) == SLOTS, "nobody else has come"
    await over(queue, idle)
    await has_come(queue, "globex")
    busy = await pop(queue)
    assert len(busy) == at_once
    assert not (at_once < SLOTS and await pop(queue, SLOTS - at_once))
    await over(queue, list(busy))
    await later(queue, link, 61)
    assert len(await pop(queue)) == SLOTS, "an idle night is filled"


async def test_too_many_of_lower_classes_are_parked_as_a_realtime_request_begins(
    queue: FairQueue, link: RedisLink, declare: Declare
) -> None:
    inbox = f"{prefix(queue.pool)}:inbox:runner-1"
    declare(limits={"realtime": {"lower_slots": 2}})
    await put(queue, "acme", SLOTS - 1, "batch")
    batch = {item.id: item for item, _ in await pop(queue, SLOTS - 1)}
    for item in batch.values():
        await queue.offer(item, 1_000.0)
    await put(queue, "globex", 1)
    assert of(await pop(queue, 1)) == {"globex": 1}
    notes = [note.decode() for note in await link.call("LRANGE", inbox, 0, -1)]
    parked = [batch[note.removeprefix("park ")] for note in notes if note.startswith("park ")]
    assert len(parked) == len(set(parked)) == SLOTS - 1 - 2
    *parked, last = parked
    for item in parked:
        assert await queue.still_wants(item, 1_000.0)
        assert await queue.park(item, 1)
    ended, *_ = batch.keys() - {item.id for item in (*parked, last)}
    await link.run_all([queue.ending_lease(batch[ended], 1), queue.parking("over", batch[ended])])
    assert not await queue.still_wants(last, 1_000.0), "two run by now"
    assert not await pop(queue, SLOTS - 3), "those that were parked wait until nobody comes"


@pytest.mark.parametrize(
    ("engine", "at_once"),
    [
        ({"kind": "llama_cpp", "launch": {"model": "/m.gguf"}}, 2),
        ({"kind": "llama_cpp", "launch": {"model": "/m.gguf"}, "slots": 4}, 1),
        ({"kind": "llama_cpp"}, SLOTS - 3),
        ({"kind": "vllm"}, SLOTS - 3),
    ],
)
async def test_beside_realtime_requests_a_server_on_processors_has_few_slots_for_batches(
    engine: dict[str, object], at_once: int, queue: FairQueue, declare: Declare
) -> None:
    declare(**engine)
    await has_come(queue, "globex")
    await put(queue, "acme", SLOTS, "batch")
    slots = engine.get("slots", SLOTS)
    assert isinstance(slots, int)
    assert len(await pop(queue, slots)) == at_once


async def test_few_slots_for_lower_classes_leave_a_tenant_all_others(
    queue: FairQueue, declare: Declare
) -> None:
    """Unlike headroom: real-time requests share the slots among themselves as ever."""
    declare(limits={"realtime": {"lower_slots": 1, "headroom": 0}})
    await has_come(queue, "globex")
    await put(queue, "acme", SLOTS)
    assert of(await pop(queue)) == {"acme": SLOTS}


@pytest.mark.parametrize("reserved", [SLOTS, SLOTS + 5])
async def test_what_is_reserved_is_never_all_there_is(
    queue: FairQueue, declare: Declare, reserved: int
) -> None:
    """Lower classes go on, one at a time: engines may have gone since the figure was chosen."""
    declare(limits={"realtime": {"reserved": reserved}})
    await put(queue, "acme", 3, "batch")
    for _ in range(3):
        busy = await pop(queue)
        assert of(busy) == {"acme": 1}
        assert not await pop(queue, SLOTS - 1)
        await over(queue, list(busy))


async def test_a_pool_that_this_process_does_not_know_keeps_nothing(
    link: RedisLink, pool: str, settings: Settings
) -> None:
    settings.QUEUE_LIMITS = {"realtime": {"headroom": 2}}
    queue = FairQueue(link, f"{pool}-unknown")
    await has_come(queue, "globex", "acme")
    await put(queue, "acme", 3)
    await put(queue, "acme", 3, "batch")
    assert len(await pop(queue, 6)) == 6
    for name in await link.call("KEYS", f"{prefix(queue.pool)}:*"):
        await link.call("DEL", name)


async def test_a_tenant_leaves_headroom_for_others_that_were_there_lately(
    queue: FairQueue, link: RedisLink
) -> None:
    await put(queue, "flood", SLOTS)
    alone = await pop(queue)
    assert len(alone) == SLOTS
    await over(queue, alone)
    await has_come(queue, "globex", "initech")
    await put(queue, "flood", 40)
    first = await pop(queue)
    assert (of(first), first.held) == ({"flood": SLOTS - 3}, True)
    await put(queue, "globex", 2)
    assert of(await pop(queue, 3)) == {"globex": 2}
    await later(queue, link, 61)
    assert of(await pop(queue, 1)) == {"flood": 1}, "nobody else has come for a minute"


async def test_tenants_that_all_wait_leave_nothing_free(queue: FairQueue) -> None:
    await has_come(queue, "acme", "globex")
    await put(queue, "acme", 40)
    await put(queue, "globex", 40)
    assert of(await pop(queue)) == {"acme": SLOTS / 2, "globex": SLOTS / 2}


async def test_who_runs_less_than_its_part_has_the_last_slots(queue: FairQueue) -> None:
    await has_come(queue, "acme", "globex", "initech")
    await put(queue, "globex", 14)
    held = await pop(queue, SLOTS)
    assert of(held) == {"globex": SLOTS - 3}
    await put(queue, "acme", 2)
    assert of(await pop(queue, 3)) == {"acme": 2}


async def test_one_that_comes_first_in_a_tie_is_not_stopped_by_a_flood(queue: FairQueue) -> None:
    """Names do not decide, nor that a flood was charged too much as its requests began."""
    await has_come(queue, "aaa", "mmm", "zzz")
    await put(queue, "mmm", 40)
    await pop(queue)
    for tenant in ("zzz", "aaa"):
        await put(queue, tenant, 1)
        assert of(await pop(queue, 2)) == {tenant: 1}


async def test_shares_are_exact_while_others_are_away(queue: FairQueue) -> None:
    """Weights 1 and 4, and a third one that was there lately."""
    await has_come(queue, "away", "acme", "vip")
    running: list[tuple[Item, bytes]] = []
    served: Counter[str] = Counter()
    for _ in range(60):
        for tenant, weight in (("acme", 1), ("vip", 4)):
            for _ in range(6):
                await queue.enqueue(an_item(tenant, weight=weight), SEALED)
        running += await pop(queue, SLOTS - len(running))
        ended, running = running[:5], running[5:]
        served.update(item.tenant for item, _ in ended)
        await over(queue, ended)
    assert abs(served["vip"] / served["acme"] / 4 - 1) < 0.1


async def test_a_flood_that_is_held_is_told_that_it_waits(queue: FairQueue) -> None:
    await has_come(queue, "globex", "flood")
    await put(queue, "flood", 40)
    await pop(queue)
    line = await queue.look()
    assert line.full
    assert line.waiting["realtime"] == 40 - (SLOTS - 3)


async def test_a_held_flood_wakes_nobody_and_who_comes_does(
    queue: FairQueue, link: RedisLink
) -> None:
    inbox = f"{prefix(queue.pool)}:inbox:runner-1"
    await has_come(queue, "globex", "flood")
    await put(queue, "flood", 40)
    await link.call("DEL", inbox)
    assert (await pop(queue)).held
    await put(queue, "flood", 1)
    assert not await link.call("LLEN", inbox)
    await put(queue, "globex", 1)
    assert await link.call("LPOP", inbox) == b"wake"


async def test_nobody_is_held_for_slots_that_lower_classes_would_give_back(
    queue: FairQueue, link: RedisLink
) -> None:
    await put(queue, "acme", 6, "batch")
    for item, _ in await pop(queue, 6):
        await queue.offer(item, 1_000.0)
    await has_come(queue, "globex", "flood")
    await put(queue, "flood", 12)
    assert of(await pop(queue, SLOTS - 6)) == {"flood": SLOTS - 6}
    notes = await link.call("LRANGE", f"{prefix(queue.pool)}:inbox:runner-1", 0, -1)
    assert sum(note.startswith(b"park ") for note in notes) >= 2, "for the two that wait"


async def test_a_minimum_share_is_had_from_the_headroom_too(
    queue: FairQueue, link: RedisLink, declare: Declare
) -> None:
    declare(limits={"batch": {"share": 0.5, "share_after_s": 0}})
    await has_come(queue, "globex")
    await put(queue, "acme", 40, "batch")
    await put(queue, "globex", 2)
    assert len(await pop(queue)) == SLOTS - 3
    found: Counter[str] = Counter()
    for _ in range(20):
        await put(queue, "globex", 1)
        began = await pop(queue, 1)
        found.update(item.klass for item, _ in began)
        await over(queue, began)
    assert found["batch"] == 10


async def test_nobody_is_counted_for_ever(queue: FairQueue, link: RedisLink) -> None:
    """Also where an earlier version has ended what this one began."""
    await has_come(queue, "globex")
    await link.call("HSET", f"{prefix(queue.pool)}:realtime:runs", "globex", 7)
    await later(queue, link, 61)
    await link.run(SWEEP, [prefix(queue.pool)], *sweep_arguments(500))
    left = [f"{prefix(queue.pool)}:realtime:{name}" for name in ("runs", "lately")]
    assert not await link.call("EXISTS", *left)


async def test_who_came_before_the_clock_was_set_back_is_forgotten(
    queue: FairQueue, link: RedisLink
) -> None:
    await has_come(queue, "globex")
    await later(queue, link, -3600)
    await link.run(SWEEP, [prefix(queue.pool)], *sweep_arguments(500))
    assert not await link.call("EXISTS", f"{prefix(queue.pool)}:realtime:lately")


async def test_of_an_engine_that_drains_what_it_runs_counts_and_no_slot_that_it_has_freed(
    queue: FairQueue,
) -> None:
    def one_drains(drains: bool) -> None:
        each = [
            EngineEntry("m", queue.pool, f"e-{n}", ENGINE, draining=drains and n == 0)
            for n in (0, 1)
        ]
        engines.put_in_force(each)

    one_drains(False)
    await put(queue, "acme", 60, "batch")
    gone = list(await queue.pop(SLOTS, "e-0-0a1b"))
    assert len(gone) == SLOTS
    one_drains(True)
    assert limits.slots_of(engines.pools()[queue.pool]) == SLOTS
    await has_come(queue, "globex")
    begun = list(await queue.pop(2, "e-1-0a1b"))
    assert len(begun) == 2, "what the other one still runs takes none of them"
    await over(queue, gone)
    begun += list(await queue.pop(SLOTS, "e-1-0a1b"))
    assert len(begun) == SLOTS - 3, "nor has it any to give: three are kept free as before"


async def put_vip(queue: FairQueue, tenant: str, n: int) -> None:
    for _ in range(n):
        await queue.enqueue(an_item(tenant, weight=4), SEALED)


async def test_a_vip_finds_a_slot_that_nobody_else_may_have(
    queue: FairQueue, declare: Declare
) -> None:
    declare(limits={"realtime": {"reserved_vip": 2, "headroom": 0}})
    await put(queue, "acme", 40)
    await put(queue, "acme", 40, "batch")
    busy = await pop(queue)
    assert (of(busy), busy.held) == ({"acme": SLOTS - 2}, True)
    await put_vip(queue, "vip", 2)
    assert of(await pop(queue, 2)) == {"vip": 2}, "they begin at once, before who waits"
    await over(queue, list(busy)[:1])
    assert not await pop(queue, 1), "it is for a VIP"
    await put_vip(queue, "vip", 1)
    await over(queue, list(busy)[1:4])
    assert of(await pop(queue, 4)) == {"acme": 1, "vip": 1}


async def test_a_flood_of_vips_has_its_turns_and_not_more(
    queue: FairQueue, declare: Declare
) -> None:
    declare(limits={"realtime": {"reserved_vip": 2, "headroom": 0}})
    running: list[tuple[Item, bytes]] = []
    served: Counter[str] = Counter()
    for _ in range(60):
        await put(queue, "acme", 6)
        await put_vip(queue, "vip", 6)
        running += await pop(queue, SLOTS - len(running))
        ended, running = running[:5], running[5:]
        served.update(item.tenant for item, _ in ended)
        await over(queue, ended)
    assert abs(served["vip"] / served["acme"] / 4 - 1) < 0.1


async def test_slots_for_vips_are_never_all_there_are(queue: FairQueue, declare: Declare) -> None:
    declare(limits={"realtime": {"reserved_vip": SLOTS + 5}})
    await put(queue, "acme", 3)
    assert of(await pop(queue)) == {"acme": 1}


async def test_a_vip_that_comes_wakes_a_runner_with_a_slot_for_it(
    queue: FairQueue, link: RedisLink, declare: Declare
) -> None:
    inbox = f"{prefix(queue.pool)}:inbox:runner-1"
    declare(limits={"realtime": {"reserved_vip": 2, "headroom": 0}})
    await put(queue, "acme", 40)
    assert (await pop(queue)).held
    await put(queue, "acme", 1)
    assert not await link.call("LLEN", inbox)
    await put_vip(queue, "vip", 1)
    assert await link.call("LPOP", inbox) == b"wake"


async def test_lower_classes_leave_slots_for_vips_free(queue: FairQueue, declare: Declare) -> None:
    declare(limits={"realtime": {"reserved_vip": 2, "headroom": 0}})
    await put(queue, "vip", SLOTS, "batch")
    busy = await pop(queue)
    assert (len(busy), busy.held) == (SLOTS - 2, True)
    await put_vip(queue, "vip", 1)
    assert of(await pop(queue, 2)) == {"vip": 1}


async def test_who_waits_while_slots_are_free_for_vips_is_counted(
    queue: FairQueue, declare: Declare
) -> None:
    """Else a queue would never be full, and no pool for overflow would relieve it."""
    declare(limits={"realtime": {"reserved_vip": 2, "headroom": 0}})
    await put(queue, "acme", SLOTS - 2)
    assert len(await pop(queue)) == SLOTS - 2
    places = []
    for n in range(4):
        joined = await queue.join(an_item(f"tenant-{n}"), SEALED)
        places.append(joined.place.position)
        assert (await pop(queue, 2)).held
    assert places[1:] == [2, 3, 4], "the first one might have found a slot"
    assert expected_wait.waiting(queue.pool, "realtime") == 4


@pytest.mark.parametrize("waiting", [0, 5])
async def test_lower_classes_make_room_while_slots_are_free_for_vips(
    waiting: int, queue: FairQueue, link: RedisLink, declare: Declare
) -> None:
    """At once, not when the sweeper comes by; also where no more of them wait."""
    inbox = f"{prefix(queue.pool)}:inbox:runner-1"
    declare(limits={"realtime": {"reserved_vip": 2, "headroom": 0}})
    await put(queue, "acme", SLOTS - 2 + waiting, "batch")
    for item, _ in await pop(queue):
        await queue.offer(item, 1_000.0)
    await put(queue, "globex", 1)
    assert await link.call("LPOP", inbox) == b"wake"
    assert (await pop(queue, 2)).held
    (note,) = await link.call("LRANGE", inbox, 0, -1)
    assert note.startswith(b"park ")
    await put_vip(queue, "vip", 1)
    assert of(await pop(queue, 2)) == {"vip": 1}, "theirs are free all the same"
