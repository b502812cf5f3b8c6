"""Two runners of one engine: neither trusts what it knows of the slots while both may send."""

import asyncio
from collections.abc import AsyncIterator, Callable
from time import monotonic
from uuid import UUID, uuid4

import pytest

from inference.engines.base import EngineConfig
from inference.engines.kinds import exclusive_use
from inference.engines.kinds.exclusive_use import EngineUse
from inference.engines.kinds.llama_cpp import LlamaCppEngine
from infrastructure.redis.link import RedisLink


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in {"TRUST_S": 0.4, "SETTLE_S": 0.5, "SEND_S": 0.8, "COUNTS_S": 1.0}.items():
        monkeypatch.setattr(exclusive_use, name, seconds)
    monkeypatch.setattr(exclusive_use, "BEAT_S", 0.05)


class Runner:
    """Says that it is there, until it is frozen or leaves."""

    def __init__(self, use: EngineUse, link: RedisLink) -> None:
        self.use, self.link = use, link
        self.begin()

    def begin(self) -> None:
        self.keeping = asyncio.create_task(self.use.keep(self.link))

    def freeze(self) -> None:
        self.keeping.cancel()

    async def leave(self) -> None:
        self.freeze()
        await self.use.leave(self.link)


Begin = Callable[[], Runner]


@pytest.fixture
async def begin(link: RedisLink) -> AsyncIterator[Begin]:
    """Begins a runner in a process of its own, of an engine of the test's own."""
    url, begun = f"http://{uuid4().hex}:8080", list[Runner]()

    def begin() -> Runner:
        begun.append(Runner(EngineUse(url), link))
        return begun[-1]

    yield begin
    for runner in begun:
        runner.freeze()
    await link.call("DEL", *EngineUse(url).keys)


async def ready(runner: Runner) -> None:
    await asyncio.wait_for(runner.use.ready(), 2)


async def trusting(runner: Runner) -> object:
    async with asyncio.timeout(5):
        while runner.use.mark is None:
            await asyncio.sleep(0.01)
    return runner.use.mark


async def test_a_runner_alone_trusts_once_a_new_redis_knows_who_is_there(begin: Begin) -> None:
    one = begin()
    await ready(one)
    assert one.use.mark is None
    mark = await trusting(one)
    await asyncio.sleep(0.3)
    assert await trusting(one) is mark


async def test_the_next_runner_of_a_process_goes_on_if_nobody_came_between(begin: Begin) -> None:
    one = begin()
    mark = await trusting(one)
    await one.leave()
    assert one.use.mark is None
    one.begin()
    assert await trusting(one) is mark
    await one.leave()
    two = begin()
    await ready(two)
    await two.leave()
    one.begin()
    assert await trusting(one) is not mark


async def test_a_newcomer_waits_until_the_other_has_ceased_to_trust(begin: Begin) -> None:
    one = begin()
    mark = await trusting(one)
    two = begin()
    await ready(two)
    assert one.use.mark is None
    await asyncio.sleep(1.2)
    assert (one.use.mark, two.use.mark) == (None, None)
    await two.leave()
    assert await trusting(one) is not mark


async def test_the_first_runner_of_a_foretold_engine_does_not_wait(
    begin: Begin, link: RedisLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exclusive_use, "SETTLE_S", 60.0)
    one = begin()
    one.freeze()  # before its first beat
    assert not await _may_send(one)
    async with one.use.announced(link):
        await asyncio.sleep(1.2)
    await one.use.beat(link)
    assert await _may_send(one)
    assert one.use.mark is not None


async def test_what_was_foretold_for_too_short_a_time_is_not_trusted(
    begin: Begin, link: RedisLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exclusive_use, "COUNTS_S", 60.0)
    one = begin()
    one.freeze()
    async with one.use.announced(link):
        await asyncio.sleep(0.6)
    await one.use.beat(link)
    assert one.use._may_send_at <= monotonic()
    assert one.use.mark is None


async def test_a_newcomer_waits_for_another_that_is_there_foretold_or_not(
    begin: Begin, link: RedisLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exclusive_use, "SETTLE_S", 60.0)
    one = begin()
    async with one.use.announced(link):
        await trusting(one)
        two = begin()
        assert not await _may_send(two)
        await _trusts_no_more(one)
    await one.leave()
    await trusting(two)
    await ready(two)


async def test_a_newcomer_that_came_and_went_unseen_is_noticed(begin: Begin) -> None:
    one = begin()
    mark = await trusting(one)
    one.freeze()
    two = begin()
    await ready(two)
    await two.leave()
    await one.use.beat(one.link)
    assert await trusting(one) is not mark


async def test_a_frozen_runner_sends_nothing_and_trusts_nothing(begin: Begin) -> None:
    one = begin()
    mark = await trusting(one)
    one.freeze()
    await asyncio.sleep(1.1)
    assert one.use.mark is None
    assert not await _may_send(one)
    await trusting(begin())  # the other has been forgotten
    await one.use.beat(one.link)
    assert not await _may_send(one)  # the newcomer is it, by now
    assert one.use.mark is not mark


async def _trusts_no_more(runner: Runner) -> None:
    async with asyncio.timeout(5):
        while runner.use.mark is not None:
            await asyncio.sleep(0.01)


async def _may_send(runner: Runner) -> bool:
    try:
        await asyncio.wait_for(runner.use.ready(), 0.2)
    except TimeoutError:
        return False
    return True


async def test_a_redis_that_lost_its_data_makes_nobody_the_only_one(
    begin: Begin, link: RedisLink
) -> None:
    one = begin()
    mark = await trusting(one)
    await link.call("DEL", *one.use.keys)
    await one.use.beat(link)
    assert one.use.mark is None
    assert await trusting(one) is not mark


class Asked:
    """In place of llama.cpp: what each request was told of its slot's cache."""

    def __init__(self, engine: LlamaCppEngine) -> None:
        self.engine = engine

    async def by(self, link: RedisLink, tenant: UUID) -> list[bool]:
        """Two requests of one runner: whether they may use what lies in their slot."""
        async with self.engine.used(link) as mine:
            assert isinstance(mine, LlamaCppEngine)
            await self._trusting(mine)
            return [await self._own(mine, tenant) for _ in range(2)]

    async def _trusting(self, mine: LlamaCppEngine) -> None:
        async with asyncio.timeout(5):
            while mine._slots._use.mark is None:  # noqa: ASYNC110 (a clock decides)
                await asyncio.sleep(0.01)

    async def _own(self, mine: LlamaCppEngine, tenant: UUID) -> bool:
        async with mine._slots.lease(tenant, b"x", _one) as lease:
            lease.served = True
            return lease.own_cache


async def _one() -> int:
    return 1


async def test_what_runners_of_two_processes_know_of_one_engine(link: RedisLink) -> None:
    url, acme, globex = f"http://{uuid4().hex}:8080", uuid4(), uuid4()
    config = EngineConfig(name="m", kind="llama_cpp", url=url, model="m")
    one, two = (Asked(LlamaCppEngine(config)) for _ in range(2))
    assert await one.by(link, acme) == [False, True]
    assert await one.by(link, acme) == [True, True]  # nobody was there meanwhile
    assert await two.by(link, globex) == [False, True]
    assert await one.by(link, acme) == [False, True]
    await link.call("DEL", *EngineUse(url).keys)
