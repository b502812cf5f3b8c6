"""Of bytes that no limit has let in yet, everybody holds a share, and leaves room for others."""

import asyncio
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_django.fixtures import Settings

from inference.errors import LimitReached, Unavailable
from inference.intake.limits import unadmitted_bodies
from inference.intake.limits.unadmitted_bodies import (
    EVERYBODY,
    FREE,
    BodyBudget,
    BodyMemory,
    BodyOwner,
    refusal,
)
from tenants.caller import NO_LIMITS, Caller

pytestmark = pytest.mark.unit
ALICE, BOB = BodyOwner("API key", "alice", 60), BodyOwner("API key", "bob", 60)
SHARED = BodyOwner("address", "192.0.2.1", 70)


def test_an_owner_holds_its_share_and_no_more() -> None:
    budget = BodyBudget(200)
    assert budget.take((SHARED, ALICE), 60) is None
    assert budget.take((SHARED, ALICE), 1) is ALICE
    assert budget.take((SHARED, BOB), 20) is SHARED
    assert budget.take((BOB,), 20) is None
    assert budget.total == 80
    budget.give_back((SHARED, ALICE), 60)
    assert budget.take((SHARED, BOB), 20) is None


def test_nobody_holds_more_than_what_remains_free() -> None:
    budget, held = BodyBudget(100), dict[int, int]()
    for n in range(20):
        owner = (BodyOwner("API key", str(n), 1000),)
        while budget.take(owner, 1) is None:
            held[n] = held.get(n, 0) + 1
    assert held == {0: 50, 1: 25, 2: 12, 3: 6, 4: 3, 5: 2, 6: 1}
    assert budget.take((ALICE,), 2) is EVERYBODY


@given(st.lists(st.tuples(st.sampled_from([ALICE, BOB, SHARED]), st.integers(1, 90))))
def test_what_is_given_back_is_free_again(steps: list[tuple[BodyOwner, int]]) -> None:
    budget, taken = BodyBudget(100), list[tuple[BodyOwner, int]]()
    for owner, size in steps:
        if budget.take((owner,), size) is None:
            taken.append((owner, size))
        assert budget.total == sum(size for _, size in taken) <= 100
    for owner, size in taken:
        budget.give_back((owner,), size)
    assert budget.total == 0
    assert not any(map(budget.taken_by, (ALICE, BOB, SHARED)))


async def test_all_that_wait_are_served_and_nobody_is_forgotten() -> None:
    budget, order = BodyBudget(100), list[int]()
    assert budget.take((ALICE,), 50) is None

    async def wait(n: int, owner: BodyOwner) -> None:
        await budget.wait((owner,), 20)
        order.append(n)
        await asyncio.sleep(0)
        budget.give_back((owner,), 20)

    waiting = [asyncio.create_task(wait(n, ALICE)) for n in range(30)]
    await asyncio.sleep(0)
    assert order == []
    for n in (0, 7, 29):
        waiting[n].cancel()
    await asyncio.wait_for(wait(99, BOB), 5)  # whom that does not concern
    budget.give_back((ALICE,), 50)
    waiting[1].cancel()  # as it is woken
    await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 5)
    assert order[:4] == [99, 2, 3, 4]
    assert sorted(order[1:]) == [n for n in range(2, 29) if n != 7]
    assert not any(task.cancelled() for n, task in enumerate(waiting) if n not in (0, 1, 7, 29))
    assert budget.total == 0


async def test_one_that_was_woken_for_nothing_lets_the_next_one_go() -> None:
    """It waits for everybody's room, and then for its own."""
    budget = BodyBudget(200)
    big = BodyOwner("API key", "big", 100)
    assert budget.take((big,), 60) is None
    assert budget.take((BOB,), 50) is None
    first = asyncio.create_task(budget.wait((SHARED, BOB), 46))
    second = asyncio.create_task(budget.wait((ALICE,), 46))
    await asyncio.sleep(0)
    budget.give_back((big,), 60)
    await asyncio.wait_for(second, 5)
    assert not first.done()
    budget.give_back((BOB,), 50)
    await asyncio.wait_for(first, 5)


def test_the_first_bytes_of_a_body_count_for_nothing() -> None:
    budget, asked = BodyBudget(10 * FREE), list[int]()

    def owners() -> tuple[BodyOwner, ...]:
        asked.append(1)
        return (BodyOwner("address", "a", 5 * FREE),)

    held = BodyMemory(budget, owners)
    assert held.grow(FREE) is None
    assert not asked
    assert held.grow(3 * FREE) is None
    assert held.grow(2 * FREE) is None
    assert budget.total == 2 * FREE
    assert held.grow(9 * FREE) == BodyOwner("address", "a", 5 * FREE)
    held.release(2 * FREE)
    assert budget.total == FREE
    held.release()
    held.release()
    assert budget.total == 0


def test_shares_grow_with_the_largest_body(settings: Settings) -> None:
    small = {owner.kind: owner.most for owner in unadmitted_bodies.of_stranger("192.0.2.1")}
    settings.MAX_BODY_BYTES *= 100
    large = {owner.kind: owner.most for owner in unadmitted_bodies.of_stranger("192.0.2.1")}
    assert small["address"] == 32 * 1024 * 1024
    assert large["address"] == 2 * settings.MAX_BODY_BYTES
    assert large["strangers"] == 4 * settings.MAX_BODY_BYTES


def test_all_keys_of_a_tenant_share_what_the_tenant_may_hold() -> None:
    """Each key and each address stays below its own share."""
    budget, tenant = BodyBudget(128 * unadmitted_bodies.MEBIBYTE), uuid4()
    whole = 32 * unadmitted_bodies.MEBIBYTE  # the share of a key
    first, second, third, stranger = (
        unadmitted_bodies.of_caller(a_caller(tenant_id), f"192.0.2.{n}")
        for n, tenant_id in enumerate([tenant, tenant, tenant, uuid4()])
    )
    assert budget.take(first, whole) is None
    assert budget.take(second, whole) is None
    full = budget.take(third, 1)
    assert full == BodyOwner("tenant", tenant, 2 * whole)
    assert budget.take(stranger, whole) is None


def a_caller(tenant_id: UUID) -> Caller:
    """Returns a caller with a key of its own."""
    return Caller(tenant_id, "acme", "key:1", uuid4(), 1, NO_LIMITS, api_key_id=uuid4())


def test_a_refusal_says_whose_share_is_used_up() -> None:
    assert isinstance(refusal(EVERYBODY), Unavailable)
    error = refusal(ALICE)
    assert isinstance(error, LimitReached)
    assert "this API key sends more than 60 bytes at once" in error.message
    assert error.code == unadmitted_bodies.CODE
    assert error.retry_after == 1
