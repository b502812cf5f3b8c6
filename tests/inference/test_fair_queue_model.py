"""Anything that web processes, runners and the sweeper may do to the queue, against a model."""

import asyncio
from collections import defaultdict, deque
from collections.abc import Coroutine
from typing import Any, TypeVar
from uuid import uuid4

import hypothesis
from django.conf import settings
from hypothesis import HealthCheck
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from msgspec import structs

from inference.order import CLASSES, Item
from inference.queue import fair_queue
from inference.queue.fair_queue import SWEEP, FairQueue, prefix
from tenants.redis_link import RedisLink
from tests.inference.conftest import forget_pool

T = TypeVar("T")
WEIGHTS = {"acme": 1, "globex": 4, "initech": 1}
costs = st.integers(0, 60).map(lambda n: n * 4)  # whole numbers for every weight


class Line:
    """One class: who waits, and what each tenant has had for its weight."""

    def __init__(self) -> None:
        self.waiting: dict[str, deque[Item]] = defaultdict(deque)
        self.had: dict[str, float] = {}
        self.floor = 0.0

    def active(self) -> list[str]:
        return sorted((t for t, line in self.waiting.items() if line), key=self._rank)

    def _rank(self, tenant: str) -> tuple[float, str]:
        return self.had[tenant], tenant

    def join(self, item: Item) -> None:
        active = self.active()
        if not self.waiting[item.tenant]:
            lowest = self.had[active[0]] if active else self.floor
            self.had[item.tenant] = max(self.had.get(item.tenant, 0.0), lowest)
        self.waiting[item.tenant].append(item)

    def take(self) -> Item:
        return self.waiting[self.active()[0]].popleft()

    def charge(self, item: Item, tokens: int) -> None:
        self.had[item.tenant] = self.had.get(item.tenant, 0.0) + tokens / item.weight

    def after_taking_from(self, tenant: str) -> None:
        if not self.waiting[tenant]:
            self.floor = self.had[tenant]


class Queue(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.pool = f"test-{uuid4().hex}"
        self.tenants = {name: f"{name}-{self.pool}" for name in WEIGHTS}
        self.redis = RedisLink(settings.REDIS_URL)
        self.queue = FairQueue(self.redis, self.pool)
        self.lines = {klass: Line() for klass in CLASSES}
        self.orders: dict[str, bytes] = {}
        self.leased: list[Item] = []
        self.on: set[str] = set()  # requests whose runner can be told
        self.lost: list[Item] = []  # leases that ran out; their runners may live yet
        self.known: list[Item] = []
        self.done: set[str] = set()
        self.parked: set[str] = set()

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    # What web processes do -------------------------------------------------------------------
    @rule(
        tenant=st.sampled_from(sorted(WEIGHTS)),
        klass=st.sampled_from([*CLASSES, "realtime", "realtime"]),
        estimate=costs,
    )
    def enqueue(self, tenant: str, klass: str, estimate: int) -> None:
        request_id = f"{len(self.known):04}-{uuid4()}"
        item = Item(1, estimate, WEIGHTS[tenant], klass, self.tenants[tenant], request_id)
        self.known.append(item)
        self.orders[item.id] = b"sealed " + item.id.encode()
        self.lines[klass].join(item)
        self._told(self.do(self.queue.enqueue(item, self.orders[item.id])))

    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def enqueue_one_that_is_in_there(self, data: st.DataObject) -> None:
        item = data.draw(st.sampled_from(self.known))
        if item.id in self.orders:
            self._told(self.do(self.queue.enqueue(item, b"another text")))

    def _told(self, publish: bool) -> None:
        if self.parked:
            assert not publish
            self.parked.clear()

    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        item = data.draw(st.sampled_from(self.known))
        expected = (
            "running" if item.id in self.on else "queued" if item.id in self.orders else "gone"
        )
        assert self.do(self.queue.cancel(item.id)) == expected
        if expected == "queued":
            del self.orders[item.id]
            self.done.add(item.id)

    # What runners do -------------------------------------------------------------------------
    @rule(n=st.integers(1, 5), runner=st.sampled_from(["runner-1", "runner-2"]))
    def pop(self, n: int, runner: str) -> None:
        expected = self._next(n)
        found = self.do(self.queue.pop(n, runner))
        assert [item for item, _ in found] == expected
        for item, sealed in found:
            assert sealed == b"sealed " + item.id.encode()
            assert item.id not in self.done
            assert item.id not in {leased.id for leased in self.leased}
        self.leased += expected
        self.on |= {item.id for item in expected}
        if len(expected) < n:
            self.parked = {runner}

    def _next(self, n: int) -> list[Item]:
        found: list[Item] = []
        for klass in CLASSES:
            line = self.lines[klass]
            while len(found) < n and line.active():
                item = line.take()
                if item.id in self.orders:
                    line.charge(item, item.estimate)
                    found.append(item)
                line.after_taking_from(item.tenant)
        return found

    @precondition(lambda self: self.leased)
    @rule(data=st.data(), cost=costs)
    def settle(self, data: st.DataObject, cost: int) -> None:
        item = data.draw(st.sampled_from(self.leased))
        self.leased.remove(item)
        self._over(item)
        self.lines[item.klass].charge(item, cost - item.estimate)
        assert self.do(self.queue.settle(item, cost))

    @precondition(lambda self: self.lost)
    @rule(data=st.data(), cost=costs)
    def settle_one_whose_lease_ran_out(self, data: st.DataObject, cost: int) -> None:
        item = data.draw(st.sampled_from(self.lost))
        self._over(item)
        assert not self.do(self.queue.settle(item, cost))

    def _over(self, item: Item) -> None:
        self.orders.pop(item.id, None)
        self.on.discard(item.id)
        self.done.add(item.id)

    @rule()
    def beat(self) -> None:
        items = [*self.leased, *self.lost]
        waits, _, lost = self.do(self.queue.beat("runner-1", False, items))
        assert lost == self.lost
        assert waits == any(line.active() for line in self.lines.values())

    # What goes wrong -------------------------------------------------------------------------
    @precondition(lambda self: self.leased)
    @rule(data=st.data())
    def a_runner_dies(self, data: st.DataObject) -> None:
        item = data.draw(st.sampled_from(self.leased))
        lease_ms, fair_queue.LEASE_MS = fair_queue.LEASE_MS, -1
        try:
            self.do(self.queue.beat("runner-1", False, [item]))
        finally:
            fair_queue.LEASE_MS = lease_ms
        _, _, *requeued = self.do(self.redis.run(SWEEP, [prefix(self.pool)], 500))
        self.parked.clear()
        self.leased.remove(item)
        self.lost.append(item)
        self.on.discard(item.id)
        if item.id in self.orders:
            line = self.lines[item.klass]
            line.charge(item, -item.estimate)
            line.waiting[item.tenant].appendleft(structs.replace(item, attempt=item.attempt + 1))
            assert requeued == [item.id.encode()]
        else:
            assert requeued == []

    @invariant()
    def everything_is_somewhere(self) -> None:
        held = self.do(self.redis.call("HKEYS", f"{prefix(self.pool)}:orders"))
        assert {key.decode() for key in held} == set(self.orders)
        assert {item.id for item in self.known} == set(self.orders) | self.done

    def teardown(self) -> None:
        try:
            expected = self._next(10_000)
            assert [item for item, _ in self.do(self.queue.pop(10_000, "last"))] == expected
            unfinished = [item.id for item in [*expected, *self.leased] if item.id not in self.done]
            assert sorted(unfinished) == sorted(self.orders)
        finally:
            self.do(self._clean())
            self.runner.close()

    async def _clean(self) -> None:
        await forget_pool(self.redis, self.pool)
        self.redis.close()
        await asyncio.sleep(0)


Queue.TestCase.settings = hypothesis.settings(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestQueue = Queue.TestCase
