"""A request goes to the engine that has its prompt warm; the order of tenants stays as it was."""

from collections.abc import AsyncIterator, Iterator

import pytest
from django.conf import settings as configured
from pytest_django.fixtures import Settings

from bench.simulate.virtual_link import VirtualLink
from inference.engines.health import reachability
from inference.queue import limits
from inference.queue.fair_queue import DEMOTE, TAKE_OUT, FairQueue, prefix
from infrastructure.redis.link import RedisLink
from tests.inference.orders import SEALED, an_item
from tests.inference.queue.warm_fleet import Ask, VirtualFleet, in_force, turn

ENGINES, SLOTS = 4, 2
WAIT_S = 0.2


@pytest.fixture(autouse=True)
def four_engines(pool: str) -> Iterator[None]:
    with in_force(pool, ENGINES, SLOTS):
        yield


@pytest.fixture
async def fleet(pool: str) -> AsyncIterator[VirtualFleet]:
    link = VirtualLink(configured.REDIS_URL)
    yield VirtualFleet(link, pool, ENGINES, SLOTS)
    link.close()


def talk(tenant: str, turns: int, every_s: float, name: str = "a") -> list[Ask]:
    return [Ask(n * every_s, tenant, 0.5, turn(n, name)) for n in range(turns)]


# Where a request goes --------------------------------------------------------------------------
async def test_all_turns_of_a_conversation_go_to_one_engine(fleet: VirtualFleet) -> None:
    asks = talk("acme", 6, 1.0)
    await fleet.play(asks, 10)
    assert len({ask.engine for ask in asks}) == 1
    assert fleet.counts == {"new": 1, "hit": 5}
    assert all(ask.begun == ask.at for ask in asks), "its engine is woken itself"


async def test_an_equal_prompt_of_another_tenant_tells_nothing(fleet: VirtualFleet) -> None:
    asks = [Ask(0, "acme", 0.5, turn(0)), Ask(1, "globex", 0.5, turn(0))]
    await fleet.play(asks, 10)
    assert fleet.counts == {"new": 2}


async def test_a_request_waits_for_a_slot_of_its_engine_and_not_longer_than_the_bound(
    fleet: VirtualFleet,
) -> None:
    """Two fill the engine that has it warm. One of them ends soon, then none does."""
    for takes_s, waits_s, outcome in ((0.1, 0.1, "hit"), (5.0, WAIT_S, "miss")):
        begin = fleet.now + 10
        first = Ask(begin, "acme", 0.1, turn(0, f"{takes_s}"))
        fill = [Ask(begin + 1, "acme", takes_s, turn(1, f"{takes_s}")) for _ in range(SLOTS)]
        last = Ask(begin + 1, "acme", 0.5, turn(2, f"{takes_s}"))
        before = fleet.counts[outcome]
        await fleet.play([first, *fill, last], begin + 9)
        assert last.begun == pytest.approx(last.at + waits_s, abs=0.002)
        assert (last.engine == first.engine) == (outcome == "hit")
        assert fleet.counts[outcome] > before
    assert fleet.counts["waited"] == 2


async def test_no_slot_stays_empty_while_others_wait(fleet: VirtualFleet) -> None:
    """The engine is full for long. Whoever comes without a warm engine begins at once."""
    fill = [Ask(0, "acme", 0.1, turn(0)), *(Ask(1, "acme", 60, turn(1)) for _ in range(SLOTS))]
    patient = Ask(2, "acme", 0.1, turn(2))
    others = [Ask(2.05 + n / 100, "globex", 0.1) for n in range(3)]
    await fleet.play([*fill, patient, *others], 10)
    assert [ask.begun for ask in others] == [pytest.approx(ask.at) for ask in others]
    assert patient.begun is not None
    assert patient.begun <= 2 + WAIT_S + 0.002


async def test_with_no_time_to_wait_any_engine_takes_it(
    fleet: VirtualFleet, settings: Settings
) -> None:
    settings.WARM_WAIT_MS = 0
    asks = talk("acme", 6, 1.0)
    await fleet.play(asks, 10)
    assert not fleet.counts


async def test_lower_classes_have_no_warm_engines(
    queue: FairQueue, link: RedisLink, pool: str
) -> None:
    for _ in range(2):
        await queue.join(an_item(klass="batch"), SEALED, turn(0))
        assert not (await queue.pop(1, f"{pool}.1-1")).warm
    await queue.join(item := an_item(), SEALED, turn(0))
    assert await link.run(DEMOTE, [prefix(pool)], "batch", 8, str(item)) == [1]
    assert await link.call("HLEN", f"{prefix(pool)}:prefixes") == 0


# Faults ----------------------------------------------------------------------------------------
async def test_requests_of_a_dead_runner_begin_elsewhere_within_the_bound(
    fleet: VirtualFleet,
) -> None:
    """Its note is never read. Others look at their next beat, which is the real runners' part."""
    first = Ask(0, "acme", 0.1, turn(0))
    await fleet.play([first], 1)
    fleet.engines[first.engine].is_dead = True
    second, other = (
        Ask(2, "acme", 0.1, turn(1)),
        next(e for e in fleet.engines if e != first.engine),
    )
    for beat in (2.1, 2.3):
        fleet.at(beat, lambda: fleet.fill(fleet.engines[other]))
    await fleet.play([second], 3)
    assert second.begun is not None
    assert second.begun <= 2 + WAIT_S + 0.002


async def test_nobody_waits_for_an_engine_that_takes_no_requests(
    fleet: VirtualFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Ask(0, "acme", 0.1, turn(0))
    await fleet.play([first], 1)
    fleet.engines[first.engine].is_dead = True
    await fleet.queue.leave(f"{first.engine}-1", stop=True)
    monkeypatch.setattr(limits, "LOOK_S", -1)
    monkeypatch.setattr(reachability, "available", lambda each: each.config.id != first.engine)
    second = Ask(2, "acme", 0.1, turn(1))
    await fleet.play([second], 3)
    assert second.begun == second.at


async def test_the_worker_of_a_sleeping_warm_engine_is_to_be_woken(
    queue: FairQueue, pool: str
) -> None:
    warm, other = f"{pool}.1-1", f"{pool}.2-1"
    await queue.join(an_item(), SEALED, turn(0))
    await queue.pop(1, warm)
    await queue.pop(1, other)
    assert (await queue.join(an_item(), SEALED, turn(1))).asleep == f"{pool}.1"
    assert not await queue.pop(1, other), "it is left to the engine that wakes up"
    assert (await queue.join(an_item(), SEALED, turn(1))).asleep == "", "it has been called"
    assert len(await queue.pop(2, warm)) == 2


async def test_one_that_lives_is_not_to_be_woken(queue: FairQueue, pool: str) -> None:
    warm, other = f"{pool}.1-1", f"{pool}.2-1"
    await queue.join(an_item(), SEALED, turn(0))
    await queue.pop(1, warm)  # full
    await queue.beat(warm, False, [])
    await queue.pop(1, other)
    assert (await queue.join(an_item(), SEALED, turn(1))).asleep == ""


# What stays in Redis -----------------------------------------------------------------------------
async def test_nothing_is_kept_of_requests_that_are_over(
    queue: FairQueue, link: RedisLink, pool: str
) -> None:
    await queue.join(begun := an_item(), SEALED, turn(0))
    await queue.pop(1, f"{pool}.1-1")
    for end in ("cancel", "take out", "end"):
        await queue.join(item := an_item(), SEALED, turn(1))
        assert not await queue.pop(1, f"{pool}.2-1"), "it is left to the warm engine"
        if end == "cancel":
            await queue.cancel(item.id)
        elif end == "take out":
            await link.run(TAKE_OUT, [prefix(pool)], item.id)
        else:
            await queue.end_lease(item, 0)
    await queue.end_lease(begun, 10)
    assert await link.call("HLEN", f"{prefix(pool)}:prefixes") == 0


async def test_a_tenant_s_hashes_are_bounded_and_expire(
    queue: FairQueue, link: RedisLink, pool: str
) -> None:
    runner, names = f"{pool}.1-1", [f"{prefix(pool)}:warm:acme{each}" for each in ("", ":older")]
    for n in range(2500):
        await queue.join(item := an_item(), SEALED, f"{n:016x}||")
        await queue.pop(1, runner)
        await queue.end_lease(item, 10)
    sizes = [await link.call("HLEN", name) for name in names]
    assert sizes == [2500 % 1024, 1024]
    for name in names:
        assert 0 < await link.call("PTTL", name) <= 600_000
