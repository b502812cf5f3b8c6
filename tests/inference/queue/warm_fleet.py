"""Engines that serve a queue under a virtual clock, and ask for work when real runners do."""

import heapq
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

from bench.simulate.virtual_link import VirtualLink
from inference import engines
from inference.engine_entries import entries
from inference.order import Item
from inference.queue import fair_queue
from inference.queue.fair_queue import FairQueue, prefix
from tests.inference.orders import SEALED, an_item

SCRIPTS = (fair_queue.ENQUEUE, fair_queue.POP, fair_queue.END_LEASE, fair_queue.CANCEL)
Step = Callable[[], Awaitable[None]]


@contextmanager
def in_force(pool: str, count: int, slots: int) -> Iterator[None]:
    """Have this process serve a pool of so many engines: POOL.1 and so on."""
    urls = [{"url": f"http://127.0.0.1:{9000 + number}/v1"} for number in range(count)]
    limits = {"realtime": {"headroom": 0}}
    fields = {"kind": "openai", "slots": slots, "engines": urls, "limits": limits}
    engines.put_in_force(entries({pool: {"pools": {pool: fields}}}))
    try:
        yield
    finally:
        engines.forget()


def turn(number: int, talk: str = "a") -> str:
    """The hashes of a conversation's turn: each begins with the one before."""
    hashes = [f"{talk.encode().hex()}{n:04x}" for n in range(number, max(-1, number - 17), -1)]
    return f"{hashes[0]}|{' '.join(hashes[1:])}|"


@dataclass
class VirtualEngine:
    name: str
    slots: int
    running: set[str] = field(default_factory=set)
    idle: bool = False  # until it is woken
    is_dead: bool = False

    @property
    def free(self) -> int:
        return 0 if self.is_dead else self.slots - len(self.running)


@dataclass
class Ask:
    """One request. `prompt`: hashes as the queue gets them."""

    at: float
    tenant: str
    takes_s: float
    prompt: str = ""
    weight: int = 1
    tokens: int = 100
    item: Item = field(init=False)
    begun: float | None = None
    engine: str = ""
    beside_free: float = 0.0  # seconds that it waited while a slot was free

    def __post_init__(self) -> None:
        self.item = an_item(self.tenant, self.tokens, self.weight)


class VirtualFleet:
    def __init__(self, link: VirtualLink, pool: str, count: int, slots: int) -> None:
        self.queue, self.link, self._prefix = FairQueue(link, pool), link, prefix(pool)
        names = [f"{pool}.{number}" for number in range(1, count + 1)]
        self.engines = {name: VirtualEngine(name, slots) for name in names}
        self.waiting: dict[str, Ask] = {}
        self.served: Counter[str] = Counter()  # tokens by tenant
        self.counts: Counter[str] = Counter()  # as pops say
        self.now = 0.0
        self._events: list[tuple[float, int, Step]] = []
        self._number = 0

    async def play(self, asks: list[Ask], until: float) -> None:
        await self.link.learn(SCRIPTS)
        self.link.set_clock(self._prefix, self.now)
        await self.link.call("SET", f"{self._prefix}:runner", "virtual")
        for engine in self.engines.values():
            await self.fill(engine)
        for ask in asks:
            self.at(ask.at, partial(self._comes, ask))
        while self._events and self._events[0][0] <= until:
            when, _, step = heapq.heappop(self._events)
            self._pass(when - self.now)
            self.now = when
            self.link.set_clock(self._prefix, when)
            await step()
            await self._heed_notes()

    def at(self, when: float, step: Step) -> None:
        self._number += 1
        heapq.heappush(self._events, (when, self._number, step))

    def _pass(self, seconds: float) -> None:
        if any(engine.free > 0 for engine in self.engines.values()):
            for ask in self.waiting.values():
                ask.beside_free += seconds

    async def _comes(self, ask: Ask) -> None:
        self.waiting[ask.item.id] = ask
        await self.queue.join(ask.item, SEALED, ask.prompt)

    async def _heed_notes(self) -> None:
        while note := await self.link.call("LPOP", f"{self._prefix}:notes"):
            engine = self.engines[note.decode().split(" ")[0].rpartition("-")[0]]
            engine.idle = False
            await self.fill(engine)

    async def fill(self, engine: VirtualEngine) -> None:
        free = engine.free
        if free <= 0:
            return
        popped = await self.queue.pop(free, f"{engine.name}-1")
        self.counts.update(popped.warm)
        for item, _ in popped:
            self._begins(engine, self.waiting.pop(item.id))
        engine.idle = len(popped) < free
        if popped.look_in_ms is not None:
            self.at(self.now + popped.look_in_ms / 1000, partial(self.fill, engine))

    def _begins(self, engine: VirtualEngine, ask: Ask) -> None:
        ask.begun, ask.engine = self.now, engine.name
        engine.running.add(ask.item.id)
        self.at(self.now + ask.takes_s, partial(self._ends, engine, ask))

    async def _ends(self, engine: VirtualEngine, ask: Ask) -> None:
        engine.running.discard(ask.item.id)
        self.served[ask.tenant] += ask.tokens
        await self.queue.end_lease(ask.item, ask.tokens)
        if not engine.idle:
            await self.fill(engine)
