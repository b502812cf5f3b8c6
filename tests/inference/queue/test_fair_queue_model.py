"""Anything that web processes, runners and the sweeper may do to the queue, against a model."""

import asyncio
from collections import Counter, defaultdict, deque
from collections.abc import Coroutine
from typing import Any, ClassVar, TypeVar
from unittest.mock import patch
from uuid import uuid4

import hypothesis
from django.conf import settings
from hypothesis import HealthCheck
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from msgspec import structs

from inference import classes
from inference.classes import CLASSES, WorkClass
from inference.order import Item
from inference.queue import fair_queue
from inference.queue.fair_queue import (
    AHEAD,
    SWEEP,
    TAKE_OUT,
    FairQueue,
    prefix,
    sweep_arguments,
)
from infrastructure.redis.link import RedisLink
from tests.inference.conftest import forget_pool

T = TypeVar("T")
HOUR_S = 3600
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


class Turns:
    """What lower classes have coming to them before higher ones, by name."""

    def __init__(self, table: dict[str, WorkClass]) -> None:
        self.table, self.ranks = table, {name: rank for rank, name in enumerate(table)}
        self.owed: dict[str, float] = {}  # of classes that have been seen to wait
        self.hours: dict[str, int] = {}  # since their last turn
        self.starves: set[str] = set()  # those that have their minimum share by now

    def seen(self, waiting: set[str]) -> None:
        """By a pop, as it begins."""
        self.look(waiting)
        for name in self.owed:
            each = self.table[name]
            if each.minimum_share and self.hours[name] * HOUR_S >= each.share_after_s:
                self.starves.add(name)

    def look(self, waiting: set[str]) -> None:
        _, *lower = self.table
        for name in lower:
            if name not in waiting:
                self.owed.pop(name, None)
                self.hours.pop(name, None)
                self.starves.discard(name)
            else:
                self.owed.setdefault(name, 0.0)
                self.hours.setdefault(name, 0)

    def first(self, rank: int) -> str | None:
        """Who goes before the class of this rank."""
        for name in sorted(self.owed, key=self.ranks.__getitem__):
            if self.ranks[name] > rank:
                each = self.table[name]
                if name in self.starves and self.owed[name] + each.minimum_share >= 1:
                    return name
                if (
                    each.ageing_s
                    and self.hours[name]
                    and self.ranks[name] - self.hours[name] <= rank
                ):
                    return name
        return None

    def taken(self, klass: str) -> None:
        for name in self.starves:
            self.owed[name] += self.table[name].minimum_share
        if klass in self.owed:
            self.owed[klass] = max(0.0, self.owed[klass] - 1)
            self.hours[klass] = 0


class Queue(RuleBasedStateMachine):
    table: ClassVar[dict[str, WorkClass]] = CLASSES

    def __init__(self) -> None:
        super().__init__()
        self.patched = patch.object(classes, "CLASSES", self.table)
        self.patched.start()
        self.turns = Turns(self.table)
        self.runner = asyncio.Runner()
        self.pool = f"test-{uuid4().hex}"
        self.tenants = {name: f"{name}-{self.pool}" for name in WEIGHTS}
        self.redis = RedisLink(settings.REDIS_URL)
        self.queue = FairQueue(self.redis, self.pool)
        self.lines = {klass: Line() for klass in self.table}
        self.orders: dict[str, bytes] = {}
        self.leased: list[Item] = []
        self.charged: dict[Item, int] = {}  # tokens, of those that have begun
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
        self.orders[item.id] = b"encrypted " + item.id.encode()
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

    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def take_out(self, data: st.DataObject) -> None:
        item = data.draw(st.sampled_from(self.known))
        if taken := item.id not in self.on:
            self.orders.pop(item.id, None)
            self.done.add(item.id)
        assert self.do(self.redis.run(TAKE_OUT, [prefix(self.pool)], item.id)) == taken

    @precondition(lambda self: self.orders.keys() - self.on)
    @rule(data=st.data())
    def take_out_and_put_in_again(self, data: st.DataObject) -> None:
        """It was moved to another pool and back. Where it stood it may be found as well."""
        id_ = data.draw(st.sampled_from(sorted(self.orders.keys() - self.on)))
        assert self.do(self.redis.run(TAKE_OUT, [prefix(self.pool)], id_))
        item = next(item for item in self.known if item.id == id_)
        self.lines[item.klass].join(again := structs.replace(item, attempt=2))
        self._told(self.do(self.queue.enqueue(again, self.orders[id_])))

    @precondition(lambda self: self.known)
    @rule(data=st.data(), cost=costs)
    def settle_one_that_has_not_begun(self, data: st.DataObject, cost: int) -> None:
        item = data.draw(st.sampled_from(self.known))
        if item.id not in self.on and item not in self.lost:
            self._over(item)
            assert not self.do(self.queue.end_lease(item, cost))

    # What runners do -------------------------------------------------------------------------
    @rule(n=st.integers(1, 5), runner=st.sampled_from(["runner-1", "runner-2"]))
    def pop(self, n: int, runner: str) -> None:
        expected = self._next(n)
        found = self.do(self.queue.pop(n, runner))
        assert [item for item, _ in found] == expected
        for item, ciphertext in found:
            assert ciphertext == b"encrypted " + item.id.encode()
            assert item.id not in self.done
            assert item.id not in {leased.id for leased in self.leased}
        self.leased += expected
        self.on |= {item.id for item in expected}
        if len(expected) < n:
            self.parked = {runner}

    def _next(self, n: int) -> list[Item]:
        found: list[Item] = []
        self.turns.seen(self._waiting())
        for rank, klass in enumerate(self.table):
            while len(found) < n:
                first = self.turns.first(rank)
                item = self._take(first or klass)
                if item:
                    found.append(item)
                elif not first:
                    break
        return found

    def _waiting(self) -> set[str]:
        return {klass for klass, line in self.lines.items() if line.active()}

    def _take(self, klass: str) -> Item | None:
        line, found = self.lines[klass], None
        while line.active() and not found:
            item = line.take()
            if item.id in self.orders and item.id not in self.on:
                self.on.add(item.id)
                line.charge(item, self._at_first(item))
                found = item
            line.after_taking_from(item.tenant)
        if found:
            self.turns.taken(klass)
        self.turns.look(self._waiting())
        return found

    def _at_first(self, item: Item) -> int:
        self.charged[item] = min(item.estimate, AHEAD)
        return self.charged[item]

    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def tokens_come(self, data: st.DataObject) -> None:
        """Also of items that have not begun, are over, or have another runner by now."""
        chosen = data.draw(st.lists(st.sampled_from(self.known), unique=True, max_size=4))
        told = {item: data.draw(costs) for item in [*chosen, *self.leased[:2], *self.lost[:1]]}
        for item, cost in told.items():
            if item in self.leased and cost > self.charged[item]:
                self.lines[item.klass].charge(item, cost - self.charged[item])
                self.charged[item] = cost
        if told:
            self.do(self.queue.report_work(told))

    @precondition(lambda self: self.leased)
    @rule(data=st.data(), cost=costs)
    def end_lease(self, data: st.DataObject, cost: int) -> None:
        item = data.draw(st.sampled_from(self.leased))
        self.leased.remove(item)
        self._over(item)
        self.lines[item.klass].charge(item, cost - self.charged[item])
        assert self.do(self.queue.end_lease(item, cost))

    @precondition(lambda self: self.lost)
    @rule(data=st.data(), cost=costs)
    def settle_one_whose_lease_ran_out(self, data: st.DataObject, cost: int) -> None:
        item = data.draw(st.sampled_from(self.lost))
        self._over(item)
        assert not self.do(self.queue.end_lease(item, cost))

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
        _, _, *requeued = self.do(self.redis.run(SWEEP, [prefix(self.pool)], *sweep_arguments(500)))
        self.parked.clear()
        self.leased.remove(item)
        self.lost.append(item)
        self.on.discard(item.id)
        if item.id in self.orders:
            line = self.lines[item.klass]
            line.charge(item, -self.charged[item])
            line.waiting[item.tenant].appendleft(structs.replace(item, attempt=item.attempt + 1))
            assert requeued == [item.id.encode()]
        else:
            assert requeued == []

    @precondition(lambda self: self.orders)
    @rule(data=st.data())
    def everything_is_lost_and_put_back(self, data: st.DataObject) -> None:
        """Runners adopt what they have, the sweeper puts the rest back; or it is the first."""
        adopting = data.draw(st.sets(st.sampled_from(sorted(self.orders))))
        self.do(forget_pool(self.redis, self.pool))
        self.parked.clear()
        self.lines = {klass: Line() for klass in self.table}
        self.turns = Turns(self.table)
        kept = [item for item in self.leased if item.id in adopting and item.id in self.orders]
        for item in kept:
            assert self.do(self.queue.adopt(item, self.orders[item.id], "runner-1"))
            self.lines[item.klass].charge(item, self._at_first(item))
        self.on = {item.id for item in kept}
        self.leased, self.lost = kept, []
        known = {item.id: item for item in self.known}
        for id_ in sorted(self.orders.keys() - self.on):
            again = structs.replace(known[id_], attempt=2)
            self.lines[again.klass].join(again)
            self._told(self.do(self.queue.enqueue(again, self.orders[id_])))

    @invariant()
    def everything_is_somewhere(self) -> None:
        held = self.do(self.redis.call("HKEYS", f"{prefix(self.pool)}:orders"))
        assert {key.decode() for key in held} == set(self.orders)
        assert {item.id for item in self.known} == set(self.orders) | self.done

    @invariant()
    def every_tenant_has_paid_what_its_requests_took(self) -> None:
        """And what was charged while they ran is forgotten with their leases."""
        p = prefix(self.pool)
        counters = [("HGETALL", f"{p}:{klass}:counters") for klass in self.lines]
        kept, *all_told = self.do(self.redis.many([("HKEYS", f"{p}:charged"), *counters]))
        assert {key.decode() for key in kept} <= {item.id for item in self.leased}
        for told, line in zip(all_told, self.lines.values(), strict=True):
            names = [name.decode() for name in told[::2]]
            paid = dict(zip(names, map(float, told[1::2]), strict=True))
            assert {**dict.fromkeys(line.had, 0.0), **paid} == line.had

    @invariant()
    def what_runs_is_counted(self) -> None:
        for klass in self.lines:
            told = self.do(self.redis.call("HGETALL", f"{prefix(self.pool)}:{klass}:runs"))
            runs = zip(told[::2], map(int, told[1::2]), strict=True)
            leased = [item.tenant for item in self.leased if item.klass == klass]
            assert {t.decode(): n for t, n in runs if n} == Counter(leased)

    @invariant()
    def what_waits_is_counted(self) -> None:
        waiting = {i.id: i.klass for i in self.known if i.id in self.orders and i.id not in self.on}
        line = self.do(self.queue.look())
        assert line.waiting == {name: list(waiting.values()).count(name) for name in self.table}
        lower = {id_ for id_, klass in waiting.items() if klass != "realtime"}
        named = self.do(self.redis.call("HKEYS", f"{prefix(self.pool)}:lower"))
        assert {id_.decode() for id_ in named} == lower

    def teardown(self) -> None:
        try:
            expected = self._next(10_000)
            assert [item for item, _ in self.do(self.queue.pop(10_000, "last"))] == expected
            unfinished = [item.id for item in [*expected, *self.leased] if item.id not in self.done]
            assert sorted(unfinished) == sorted(self.orders)
        finally:
            self.do(self._clean())
            self.runner.close()
            self.patched.stop()

    async def _clean(self) -> None:
        await forget_pool(self.redis, self.pool)
        self.redis.close()
        await asyncio.sleep(0)


class QueueWithTurns(Queue):
    """The same, with classes that may go before higher ones."""

    table = classes.table(
        WorkClass("realtime"),
        WorkClass("batch", minimum_share=0.25, share_after_s=HOUR_S),
        WorkClass("finetune", minimum_share=0, ageing_s=HOUR_S),
        WorkClass("preprocess", minimum_share=0.4, share_after_s=0, ageing_s=HOUR_S),
        WorkClass("evaluation", minimum_share=0),
    )

    @precondition(lambda self: self.turns.hours)
    @rule(data=st.data())
    def an_hour_passes_for_one_that_waits(self, data: st.DataObject) -> None:
        klass = data.draw(st.sampled_from(sorted(self.turns.hours)))
        name = f"{prefix(self.pool)}:owed"
        owed, since, starves = self.do(self.redis.call("HGET", name, klass)).split(b"|")
        earlier = b"%b|%d|%b" % (owed, int(since) - HOUR_S * 1000, starves)
        self.do(self.redis.call("HSET", name, klass, earlier))
        self.turns.hours[klass] += 1


TestQueue, TestQueueWithTurns = Queue.TestCase, QueueWithTurns.TestCase
TestQueue.settings = TestQueueWithTurns.settings = hypothesis.settings(
    max_examples=30,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
