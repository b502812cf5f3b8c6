"""One pool's day: virtual engines ask the real queue for work, as runners do."""

import asyncio
import heapq
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from bench.simulate.arrivals import Request
from bench.simulate.policy import Day
from bench.simulate.tally import Tally
from bench.simulate.virtual_link import EPOCH_MS, VirtualLink
from inference import classes
from inference.order import Item
from inference.queue import fair_queue
from inference.queue.fair_queue import FairQueue, Popped, prefix
from inference.record.parked import MOST_TIMES

SCRIPTS = (fair_queue.ENQUEUE, fair_queue.POP, fair_queue.END_LEASE)
BESIDE = (fair_queue.PARK, fair_queue.REPORT_WORK)
ORDER = b"sealed"
MOST_NOTES = 100
ASK_AGAIN_S = 15.0  # of engines whose free slots are kept: nobody may have come since
Step = Callable[[], Coroutine[Any, Any, None]]


@dataclass(slots=True)
class Running:
    """`before`: what earlier runs of a request that was parked cost."""

    request: Request
    item: Item
    since: float
    before: int

    @property
    def began_at(self) -> float:
        """Seconds since the epoch, by the virtual clock."""
        return EPOCH_MS / 1000 + self.since


@dataclass(slots=True)
class VirtualEngine:
    """An engine as its runner sees it: `asleep` until a note wakes it."""

    name: str
    slots: int
    asleep: bool = False
    held: bool = False  # work waits for a slot that is not kept free: asks when one ends
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
        """Play until the day is over; requests that run or wait then are not finished.

        `opens_at`: when engines first ask for work, in seconds.
        """
        await self._link.learn(SCRIPTS + BESIDE)
        await self._link.call("SET", f"{self._prefix}:runner", "simulated")
        for engine in self.engines.values():
            self._at(opens_at, partial(self._fill, engine))
        if self._day.report_every_s:
            self._at(opens_at + self._day.report_every_s, self._report)
        self._at(opens_at + ASK_AGAIN_S, self._ask_again)
        self._await_next()
        ends = self._day.hours * 3600
        while self._events and self._events[0][0] < ends:
            self._now, _, step = heapq.heappop(self._events)
            self._link.set_clock(self._prefix, self._now)
            await step()
        self._now = ends
        self._close()
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
        self.tally.came(request, self._now)
        item = Item(1, request.estimate, request.weight, request.klass, request.tenant, request.id)
        _, notes = await asyncio.gather(self._queue.enqueue(item, ORDER), self._notes())
        await self._heed(notes)

    async def _notes(self) -> list[bytes]:
        return await self._link.call("LPOP", f"{self._prefix}:notes", MOST_NOTES) or []

    async def _heed(self, notes: list[bytes]) -> None:
        for note in notes:
            name, verb, *about = note.decode().split(" ")
            engine = self.engines[name]
            if verb == "wake":
                engine.asleep = False
                await self._fill(engine)
            elif verb == "park":
                await self._park(engine, about[0])

    # Engines run them ----------------------------------------------------------------------------
    async def _fill(self, engine: VirtualEngine) -> None:
        if engine.free and not engine.asleep:
            await self._take(engine, await self._pop(engine))

    async def _ask_again(self) -> None:
        self._at(self._now + ASK_AGAIN_S, self._ask_again)
        for engine in self.engines.values():
            if engine.held and engine.free:
                await self._take(engine, await self._pop(engine))
                if engine.held:
                    return  # so are the others

    async def _pop(self, engine: VirtualEngine) -> Popped:
        return await self._queue.pop(engine.free, engine.name)

    async def _take(self, engine: VirtualEngine, popped: Popped) -> None:
        self.tally.pops += 1
        engine.asleep = len(popped) < engine.free
        engine.held = engine.asleep and popped.held
        started = [self._begin(engine, item) for item, _ in popped]
        if offers := [
            self._queue.parking("offer", running.item, running.began_at)
            for running in started
            if classes.of(running.request.klass).preemptible and running.request.parked < MOST_TIMES
        ]:
            await self._link.run_all(offers)
            await self._heed(await self._notes())

    def _begin(self, engine: VirtualEngine, item: Item) -> Running:
        request = self._requests[item.id]
        self.tally.began(request, self._now)
        before = request.work_units if request.parked else 0
        engine.running[item.id] = running = Running(request, item, self._now, before)
        rest = request.tokens - request.done
        ends = self._now + self._day.first_token_s + rest / self._day.tokens_per_s
        self._at(ends, partial(self._ends, engine, running))
        return running

    async def _ends(self, engine: VirtualEngine, running: Running) -> None:
        request = running.request
        if engine.running.get(request.id) is not running:
            return  # it was parked meanwhile
        self._stops(engine, running)
        request.done = request.tokens
        self.tally.classes[request.klass].counts["finished"] += 1
        del self._requests[request.id]
        calls = [self._queue.ending_lease(running.item, request.work_units - running.before)]
        if classes.of(request.klass).preemptible:
            calls.append(self._queue.parking("over", running.item))
        settled = self._link.run_all(calls)
        if engine.asleep and not engine.held:
            await settled
            return
        _, popped = await asyncio.gather(settled, self._pop(engine))
        await self._take(engine, popped)

    # Parking -------------------------------------------------------------------------------------
    async def _park(self, engine: VirtualEngine, request_id: str) -> None:
        running = engine.running.get(request_id)
        if not running or not await self._queue.still_wants(running.item, running.began_at):
            return
        self._stops(engine, running)
        request = running.request
        request.parked += 1
        request.done += self._came(running)
        self.tally.parked(request, self._now)
        await self._queue.park(running.item, request.work_units - running.before, request.parked)
        await self._fill(engine)

    def _came(self, running: Running) -> int:
        """Tokens since it began."""
        passed = self._now - running.since - self._day.first_token_s
        rest = running.request.tokens - running.request.done
        return min(rest, int(max(0.0, passed) * self._day.tokens_per_s))

    async def _report(self) -> None:
        """Report the tokens of all running requests."""
        self._at(self._now + self._day.report_every_s, self._report)
        running = [each for engine in self.engines.values() for each in engine.running.values()]
        if running:
            await self._queue.report_work({each.item: self._cost(each) for each in running})

    def _cost(self, running: Running) -> int:
        done = running.request.done + self._came(running)
        return replace(running.request, done=done).work_units - running.before

    def _stops(self, engine: VirtualEngine, running: Running) -> None:
        del engine.running[running.request.id]
        self.tally.classes[running.request.klass].busy_s += self._now - running.since

    def _close(self) -> None:
        for engine in self.engines.values():
            for running in list(engine.running.values()):
                self._stops(engine, running)
        for request in self._requests.values():
            if request.started is None:
                self.tally.waits_on(request, self._now)
