"""Valkey Cluster: every script's keys lie in one slot, and links go to the node that has it."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import pytest
from msgspec.structs import replace as replaced
from redis.crc import key_slot

from config.environment import PROJECT
from console.api import call_rate
from inference.cache import stored_answers
from inference.cache.levels import KEEP, SecondLevel, flight_word
from inference.cache.levels import prefix as kept_prefix
from inference.engines.health import breakers
from inference.engines.kinds.exclusive_use import EngineUse
from inference.order import Item
from inference.queue import fair_queue
from inference.queue.client import client
from inference.queue.fair_queue import FairQueue, prefix, sweep_arguments
from inference.queue.occupancy import occupancy
from inference.queue_control.lowering import demote
from inference.queue_control.overview import overview
from inference.queue_control.tenant_queue import own_lines
from inference.stream import frames
from inference.worker.sibling_workers import PLACE
from infrastructure.redis import servers
from infrastructure.redis.cluster_link import ClusterLink, link_to
from infrastructure.redis.link import RedisLink, Script
from infrastructure.redis.servers import Address
from tenants.caller import Limits
from tenants.rate_limits.admission import Ask, SharedAdmission
from tenants.rate_limits.held_slots import HeldSlot, reacquire, release, undo
from tests.cluster import cluster
from tests.inference.orders import an_order

RUN: set[str] = set()  # texts of the scripts that have run
PARTS = {"clock.lua", "buckets.lua"}  # stand before others in one script


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with cluster(tmp_path_factory.mktemp("cluster")) as made:
        yield made.url


class Noting(ClusterLink):
    async def run(self, script: Script, keys: list[object], *arguments: object) -> object:
        RUN.add(script.text)
        return await super().run(script, keys, *arguments)


@pytest.fixture
async def link(url: str) -> AsyncIterator[RedisLink]:
    link = Noting(url)
    yield link
    link.close()
    await asyncio.sleep(0)


def an_item() -> Item:
    """All of one tenant, whose come first who came first."""
    return Item(1, 100, 1, "realtime", "tenant", str(uuid4()))


async def test_the_queue(link: RedisLink, url: str) -> None:
    """Twenty pools, which lie in slots of all nodes."""
    for _ in range(20):
        queue = FairQueue(link, f"pool-{uuid4()}")
        one, other, third = an_item(), an_item(), an_item()
        assert await queue.enqueue(one, b"order")
        await queue.beat("runner", True, [])
        joined = [await queue.join(item, b"order") for item in (other, third)]
        assert (await queue.in_turn(replaced(joined[1].place, position=2), third.id)).position
        assert {item.id for item, _ in await queue.pop(2, "runner")} == {one.id, other.id}
        await queue.look()
        assert await queue.cancel(one.id) == "running"
        assert await queue.inbox("runner") in (b"wake", b"cancel " + one.id.encode())
        assert await queue.end_lease(one, 50)
        assert not (await queue.beat("runner", False, [other]))[2]
        assert await queue.cancel(third.id) == "queued"
        assert await queue.adopt(fourth := an_item(), b"order", "runner")
        assert await queue.end_lease(fourth, 1)
        await queue.leave("runner", stop=True)
        assert await queue.was_cancelled(third.id)
        _by_the_sweeper(url, queue.pool)


def _by_the_sweeper(url: str, pool: str) -> None:
    with servers.client(url) as redis:
        redis.zadd(f"{prefix(pool)}:leases", {str(lost := an_item()): 1})
        redis.hset(f"{prefix(pool)}:orders", lost.id, "order")
        for script, words in (
            (fair_queue.SWEEP, sweep_arguments(100)),
            (fair_queue.TAKE_OUT, [lost.id]),
            (fair_queue.COMPARED, ["epoch", "upto", "round"]),
            (fair_queue.RECOUNT, ["epoch", "realtime", "tenant", 100]),
        ):
            RUN.add(script.text)
            redis.register_script(script.text)(keys=[prefix(pool)], args=words)


async def test_classes_that_give_way(link: RedisLink) -> None:
    for _ in range(20):
        queue = FairQueue(link, f"pool-{uuid4()}")
        low = replaced(an_item(), klass="batch")
        await queue.enqueue(low, b"order")
        await queue.pop(1, "runner")
        await queue.offer(low, 1.0)
        await queue.report_work({low: 200})
        await queue.enqueue(an_item(), b"order")
        assert await queue.inbox("runner") == b"park " + low.id.encode()
        assert await queue.still_wants(low, 1.0)
        assert await queue.park(low, 200)


async def test_kept_answers(link: RedisLink) -> None:
    second, flights = SecondLevel(link), [an_order(cached=uuid4().bytes) for _ in range(20)]
    for order in flights:
        assert await second.begin(order) == (None, None)
        about = "subject", "mock", flight_word(order), 0
        words = order.cached.hex(), b"answer", 60_000, 1_000, *about
        await link.run(KEEP, [kept_prefix(order.tenant_id)], *words)
        assert await second.get(order.tenant_id, order.cached) == b"answer"
    await second.still_in_flight(flights)


@pytest.fixture
def everywhere(url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Also for code that is not on the hot path."""
    monkeypatch.setattr("django.conf.settings.REDIS_URL", url)
    client.cache_clear()
    yield
    client().close()
    client.cache_clear()


@pytest.mark.usefixtures("everywhere")
async def test_kept_answers_go_by_person(link: RedisLink) -> None:
    orders = [an_order(cached=uuid4().bytes) for _ in range(20)]
    for order in orders:
        about = order.subject_id.hex, "mock", flight_word(order), 0
        words = order.cached.hex(), b"answer", 60_000, 1_000, *about
        await link.run(KEEP, [kept_prefix(order.tenant_id)], *words)
        whose = order.tenant_id, order.subject_id
        assert await asyncio.to_thread(stored_answers.purge_subject, order.tenant_id, uuid4()) == 0
        assert await asyncio.to_thread(stored_answers.purge_subject, *whose) == 1
        assert await asyncio.to_thread(stored_answers.left_of, *whose) == 0
    RUN.add(stored_answers.DROP.text)


@pytest.mark.usefixtures("everywhere")
async def test_the_queues_pages(link: RedisLink) -> None:
    pools = [f"pool-{uuid4()}" for _ in range(20)]
    items = [an_item() for _ in pools]
    for pool, item in zip(pools, items, strict=True):
        await FairQueue(link, pool).enqueue(item, b"order")
        assert (await asyncio.to_thread(overview, pool)).waiting == 1
    assert {one.waiting for one in (await asyncio.to_thread(occupancy, pools)).values()} == {1}
    lines = await asyncio.to_thread(own_lines, items[0].tenant, pools)
    assert [line.waiting for line in lines] == [1] * len(pools)
    for pool, item in zip(pools, items, strict=True):
        assert await asyncio.to_thread(demote, pool, [item], "batch") == [1]
    RUN.update((fair_queue.OVERVIEW.text, fair_queue.TENANT_LINES.text, fair_queue.DEMOTE.text))


async def test_the_limits(link: RedisLink) -> None:
    async def restore() -> None: ...

    limits = Limits(100, 200, 10_000, 10, 5, 50)
    shared = SharedAdmission(link, restore)
    asks = [
        Ask(str(uuid4()), f"198.51.100.{n}", 100, 0, str(uuid4()), limits, str(uuid4()), limits)
        for n in range(20)
    ]
    for ask in asks:
        ask = replaced(ask, tokens=10, hold_s=60, bytes=100_000)
        admission, at = await shared.admit(ask)
        assert admission.tier == ""
        assert admission.requests
        slot = HeldSlot(ask.request_id, ask.tenant, ask.key, 100_000)
        assert await release(link, slot, 10, 5)
        await reacquire(link, slot, 60)
        assert not await undo(link, replaced(ask, request_id=str(uuid4())), at)
    assert len({key_slot(key.encode()) for ask in asks for key in ask.keys}) == 1


async def test_engines(link: RedisLink) -> None:
    for n in range(20):
        engine = f"engine-{n}"
        await link.run(
            breakers.REPORT,
            breakers.keys(engine),
            *breakers.arguments(engine, "failed", "t", "why"),
        )
        use = EngineUse(f"http://{engine}")
        await use.beat(link)
        await use.leave(link)
        assert await link.run(PLACE, [f"{prefix(engine)}:place:engine.{engine}"], "here", 1000) == 1
    states = [breakers.STATES_KEY, breakers.CHANGES_KEY]
    now, latest, *flat = await link.run(breakers.STATES, states)
    assert len(flat) == 40


def test_calls_of_the_management_api(url: str) -> None:
    with servers.client(url) as redis:
        RUN.add(call_rate._SCRIPT)
        script = redis.register_script(call_rate._SCRIPT)
        assert [script(keys=[f"ip:{n}"], args=[60]) for n in range(20)] == [0] * 20


def test_these_are_all_scripts() -> None:
    """Run after the tests above."""
    packages = ("inference", "tenants", "platform")
    files = [path for package in packages for path in (PROJECT / package).rglob("*.lua")]
    assert len(files) > len(PARTS)
    missing = {
        path.name
        for path in files
        if path.name not in PARTS and not any(path.read_text() in text for text in RUN)
    }
    assert missing == set()


async def test_streams_go_to_the_nodes_that_have_them(link: RedisLink) -> None:
    names = [frames.history(uuid4().bytes) for _ in range(20)]
    written = await link.many(
        [words for name in names for words in (("DEL", name), ("XADD", name, "1-0", "f", "x"))]
    )
    assert written[1::2] == [b"1-0"] * 20
    for name in names:
        ((_, entries),) = await link.call("XREAD", "COUNT", 1, "STREAMS", name, "0")
        assert len(entries) == 1


async def test_slots_that_have_moved_are_found(url: str) -> None:
    link = ClusterLink(url)
    assert await link.call("SET", "a", 1) == b"OK"
    first, *_others = nodes = servers.servers(url).seeds
    link._owners = [first if owner != first else nodes[1] for owner in link._owners]
    assert await link.call("GET", "a") == b"1"
    assert await link.many([("GET", "a"), ("INCR", "b"), ("LPOP", "a")])
    link.close()


def test_what_a_url_names() -> None:
    found = servers.servers("redis+cluster://me:se%2Fcret@a:7000,b,[::1]")
    assert found.seeds == (("a", 7000), ("b", 6379), ("::1", 6379))
    assert found.url_of(Address("::1", 1)) == "redis://me:se%2Fcret@[::1]:1"
    assert type(link_to("redis://a")) is RedisLink
