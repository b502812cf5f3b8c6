"""One pool's day: virtual engines ask the real queue for work, as runners do."""

import asyncio
import heapq
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from bench.simulation.arrivals import Request
from bench.simulation.policy import Day
from bench.simulation.tally import Tally
from bench.simulation.virtual_link import VirtualLink
from inference.order import Item
from inference.queue import fair_queue
from inference.queue.fair_queue import FairQueue, prefix

ORDER = b"sealed"
MOST_NOTES = 100
Step = Callable[[], Coroutine[Any, Any, None]]


@dataclass(slots=True)
class Running:
    request: Request
    item: Item
    since: float


@dataclass(slots=True)
class VirtualEngine:
    """As its runner sees it: `parked` while it waits to be woken."""

    name: str
    slots: int
    parked: bool = False
    running: dict[str, Running] = field(default_factory=dict)  # by request id

    @property
    def free(self) -> int:
        return self.slots - len(self.running)


class SimulatedPool:
    def __init__(
        self, link: VirtualLink, name: str, engines: int, day: Day, arrivals: Iterator[Request]
    ) -> None:
        self.tally = Tally()
        self.engines = {f"e{n:03}": VirtualEngine(f"e{n:03}", day.slots) for n in range(engines)}
        self._link, self._prefix, self._day = link, prefix(name), day
        self._queue = FairQueue(link, name)
        self._arrivals = arrivals
        self._requests: dict[str, Request] = {}
        self._events: list[tuple[float, int, Step]] = []
        self._number = 0
        self._now = 0.0

    async def run(self, *, opens_at: float = 0.0) -> Tally:
        """Until the day is over; what runs or waits then is left.

        `opens_at`: when engines first ask for work, in seconds.
        """
        await self._link.learn((fair_queue.ENQUEUE, fair_queue.POP, fair_queue.SETTLE))
        await self._link.call("SET", f"{self._prefix}:runner", "simulated")
        for engine in self.engines.values():
            self._at(opens_at, partial(self._fill, engine))
        self._await_next()
        ends = self._day.hours * 3600
        while self._events and self._events[0][0] < ends:
            self._now, _, step = heapq.heappop(self._events)
            self._link.set_clock(self._prefix, self._now)
            await step()
        self._close(ends)
        return self.tally

    def _at(self, when: float, step: Step) -> None:
        self._number += 1
        heapq.heappush(self._events, (when, self._number, step))

    # Requests come -------------------------------------------------------------------------------
    def _await_next(self) -> None:
        if request := next(self._arrivals, None):
            self._at(request.at, partial(self._comes, request))

    async def _comes(self, request: Request) -> None:
        self._await_next()
        self._requests[request.id] = request
        self.tally.came(request)
        item = Item(1, request.estimate, request.weight, request.klass, request.tenant, request.id)
        _, notes = await asyncio.gather(self._queue.enqueue(item, ORDER), self._notes())
        await self._heed(notes)

    async def _notes(self) -> list[bytes]:
        return await self._link.call("LPOP", f"{self._prefix}:notes", MOST_NOTES) or []

    async def _heed(self, notes: list[bytes]) -> None:
        for note in notes:
            name, _, what = note.decode().partition(" ")
            engine = self.engines[name]
            if what == "wake":
                engine.parked = False
                await self._fill(engine)

    # Engines run them ----------------------------------------------------------------------------
    async def _fill(self, engine: VirtualEngine) -> None:
        if engine.free and not engine.parked:
            self._take(engine, await self._queue.pop(engine.free, engine.name))

    def _take(self, engine: VirtualEngine, popped: list[tuple[Item, bytes]]) -> None:
        self.tally.pops += 1
        engine.parked = len(popped) < engine.free
        for item, _ in popped:
            self._begin(engine, item)

    def _begin(self, engine: VirtualEngine, item: Item) -> None:
        request = self._requests[item.id]
        self.tally.began(request, self._now)
        engine.running[item.id] = running = Running(request, item, self._now)
        left = request.tokens - request.done
        ends = self._now + self._day.first_token_s + left / self._day.tokens_per_s
        self._at(ends, partial(self._ends, engine, running))

    async def _ends(self, engine: VirtualEngine, running: Running) -> None:
        request = running.request
        if engine.running.get(request.id) is not running:
            return  # it was parked meanwhile
        self._stops(engine, running)
        request.done = request.tokens
        self.tally.finished(request)
        del self._requests[request.id]
        settled = self._queue.settle(running.item, request.cost)
        if engine.parked:
            await settled
            return
        _, popped = await asyncio.gather(settled, self._queue.pop(engine.free, engine.name))
        self._take(engine, popped)

    def _stops(self, engine: VirtualEngine, running: Running) -> None:
        del engine.running[running.request.id]
        self.tally.ran(running.request.klass, running.since, self._now)

    def _close(self, ends: float) -> None:
        for engine in self.engines.values():
            for running in engine.running.values():
                self.tally.ran(running.request.klass, running.since, ends)
        for request in self._requests.values():
            if request.started is None:
                self.tally.waits_on(request, ends)
