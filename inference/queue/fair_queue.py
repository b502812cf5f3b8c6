"""The fair queue of one pool: it leases the next request (pop.lua), and runs none twice.

Redis has order and leases. PostgreSQL is the source of truth, from which the sweeper repairs Redis.
Every method raises RedisGone if Redis is unavailable.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from django.conf import settings

from inference import classes
from inference.engines import all_queues
from inference.order import Item
from inference.queue import expected_wait
from inference.queue.client import client
from inference.queue.expected_wait import Place, QueueFigures
from inference.queue.limits import turns
from infrastructure.redis.link import WHEN_FULL, Call, RedisLink, Script

_HERE = Path(__file__).parent


def _text(name: str) -> str:
    return (_HERE / f"{name}.lua").read_text()


AHEAD = 128  # most tokens that count for a request at its start
# Idle runners: free for all classes, and not for all. Earlier releases use these names in Redis.
_IDLE = "local IDLE, PARTLY_IDLE = ':parked', ':keeping'\n"
_PACE, _LOWER, _WAKE = (_text(name) for name in ("pace", "lower", "wake"))
_PUSH_OUT = _IDLE + _text("push_out")
_WARM, _WARM_POP = _WAKE + _text("warm"), _text("warm_pop")
_REPORTED_WORK = f"local AHEAD = {AHEAD}\n{_text('reported_work')}"
_HEADROOM = _text("headroom")
_LEASES = _REPORTED_WORK + _HEADROOM  # needed wherever a lease begins or ends
ENQUEUE = Script.of(_LOWER + _PUSH_OUT + _WARM + _text("enqueue"))  # a full Redis takes nothing new
END_LEASE = Script.of(WHEN_FULL + _LOWER + _LEASES + _text("end_lease"))
_TURNS = _PACE + _LOWER + _LEASES + _PUSH_OUT
POP = Script.of(WHEN_FULL + _TURNS + _WARM + _WARM_POP + _text("pop"))
SWEEP = Script.of(WHEN_FULL + _TURNS + _text("sweep"))
PARK = Script.of(WHEN_FULL + _LOWER + _LEASES + _PUSH_OUT + _WAKE + _text("park"))
CANCEL, TAKE_OUT = (Script.of(WHEN_FULL + _LOWER + _text(name)) for name in ("cancel", "take_out"))
REPORT_WORK = Script.of(WHEN_FULL + _REPORTED_WORK + _text("report_work"))
ADOPT = Script.of(WHEN_FULL + _LEASES + _text("adopt"))
BEAT = Script.of(WHEN_FULL + _IDLE + _text("beat"))
COMPARED, RECOUNT, WAITING = (
    Script.of(WHEN_FULL + _text(name)) for name in ("compared", "recount", "waiting")
)
DEMOTE = Script.of(WHEN_FULL + _LOWER + _text("demote"))
OVERVIEW, TENANT_LINES = (Script.of(_text(name)) for name in ("overview", "tenant_lines"))
AHEAD_OF_IT = Script.of(_REPORTED_WORK + _text("ahead"))
LEASE_MS = 4_000
LARGEST_CARRIED = 32 * 1024  # bytes of an order
WARM_COUNTS = ("hit", "miss", "new", "waited")


def prefix(pool: str) -> str:
    return f"q:{{{pool}}}"


def carried(ciphertext: bytes) -> bytes:
    """Returns the order for Redis: b"" for a large one, which the runner reads from the record."""
    return ciphertext if len(ciphertext) <= LARGEST_CARRIED else b""


def sweep_arguments(most: int) -> list[str | int]:
    """Returns the arguments of SWEEP; `most` leases are examined."""
    return [most, *classes.names()]


def run_blocking(script: Script, pool: str, *arguments: Any) -> Any:
    """Runs a script of a pool's queue beside the hot path. Raises redis.RedisError."""
    return client().register_script(script.text)(keys=[prefix(pool)], args=arguments)


def lengths() -> dict[str, int]:
    """Returns the number of waiting requests by pool. Raises redis.RedisError."""
    names = list(all_queues())
    with client().pipeline(transaction=False) as ask:
        for pool in names:
            ask.hlen(f"{prefix(pool)}:orders")
            ask.zcard(f"{prefix(pool)}:leases")
        counts = ask.execute()
    return {pool: max(0, counts[2 * i] - counts[2 * i + 1]) for i, pool in enumerate(names)}


def enqueue_arguments(
    item: Item, ciphertext: bytes, place: str, prefixes: str = ""
) -> list[str | bytes]:
    """Returns the arguments of ENQUEUE.

    `place` is "tail" or "head". `prefixes` has hashes of its prompt (prefix_hashes.py). A further
    attempt goes to any engine: the warm one may have failed.
    """
    order, above = carried(ciphertext), classes.above(item.klass)
    warm_ms = settings.WARM_WAIT_MS if item.attempt == 1 else 0
    warm = f"{warm_ms}|{prefixes}" if prefixes and settings.WARM_WAIT_MS else ""
    return [item.klass, item.tenant, item.id, str(item), order, place, warm, *above]


def _slots(pool: str) -> int:
    known = all_queues().get(pool)
    return sum([engine.config.slots for engine in known.engines]) if known else 0


class Joined(NamedTuple):
    wakes: bool  # the caller must publish a wake-up: no runner lives
    place: Place
    asleep: str = ""  # the engine that has its prompt warm, whose worker the caller must wake


class Popped(list[tuple[Item, bytes]]):
    """Items with their encrypted orders, b"" for one that only the record has.

    `held`: others wait for a slot that is not kept free for higher classes. `again`: it has not
    looked at all of the line, because so many were cancelled while they waited. `look_in_ms`: until
    requests are left no longer to the engines that have their prompts warm. `warm` counts requests
    by WARM_COUNTS: begun where their prompt is warm, elsewhere, or where none is; left for a while.
    """

    def __init__(self, items: Iterable[tuple[Item, bytes]], words: bytes = b"") -> None:
        super().__init__(items)
        spoken = dict(word.split("=") for word in words.decode().split())
        self.held, self.again = "held" in spoken, "again" in spoken
        self.look_in_ms = int(spoken["look"]) if "look" in spoken else None
        self.warm = {name: int(spoken[name]) for name in WARM_COUNTS if name in spoken}


class FairQueue:
    def __init__(self, redis: RedisLink, pool: str) -> None:
        self._redis, self.pool, self._pool = redis, pool, [prefix(pool)]

    def of(self, pool: str) -> "FairQueue":
        """Returns another pool's queue over the same link."""
        return FairQueue(self._redis, pool)

    async def join(self, item: Item, ciphertext: bytes, prefixes: str = "") -> Joined:
        arguments = enqueue_arguments(item, ciphertext, "tail", prefixes)
        awake, *line = await self._redis.run(ENQUEUE, self._pool, *arguments)
        asleep = line.pop().decode() if len(line) == 1 else ""
        place = expected_wait.joined(self.pool, item.klass, line, _slots(self.pool))
        return Joined(awake == 0, msgspec.structs.replace(place, tenant=item.tenant), asleep)

    async def in_turn(self, place: Place, id_: str) -> Place:
        """Returns the place of a waiting request, with the turns of the tenants counted."""
        if not place.position:
            return place
        ahead = await self._redis.run(AHEAD_OF_IT, self._pool, place.klass, place.tenant, id_)
        return place.behind(int(ahead), self.pool) if int(ahead) >= 0 else place

    async def enqueue(self, item: Item, ciphertext: bytes, prefixes: str = "") -> bool:
        """Enqueue. Returns whether the caller must publish a wake-up, since no runner lives."""
        return (await self.join(item, ciphertext, prefixes)).wakes

    async def turns(self, klass: str, tenant: str) -> tuple[int, int]:
        """Returns the tenant's waiting requests, and the tenants that wait with one more of it."""
        line = f"{self._pool[0]}:{klass}"
        own, others = await self._redis.many(
            [("LLEN", f"{line}:line:{tenant}"), ("ZCARD", f"{line}:active")]
        )
        return int(own), int(others) + (not own)

    async def look(self) -> QueueFigures:
        """Read how many wait, and how fast they start."""
        answer = await self._redis.run(WAITING, self._pool, *classes.names())
        return expected_wait.learn(self.pool, answer)

    async def pop(self, n: int, runner: str) -> Popped:
        """Take up to n. With fewer, the runner now counts as idle."""
        rules = *turns(self.pool), *classes.names()
        flat = await self._redis.run(POP, self._pool, n, LEASE_MS, runner, *rules)
        words = flat.pop() if len(flat) % 2 else b""
        return Popped(((Item.parse(flat[i]), flat[i + 1]) for i in range(0, len(flat), 2)), words)

    async def report_work(self, costs: Mapping[Item, int]) -> None:
        """Report the tokens of running items so far, which never decrease."""
        arguments = [part for item, cost in costs.items() for part in (str(item), cost)]
        await self._redis.run(REPORT_WORK, self._pool, *arguments)

    async def end_lease(self, item: Item, cost: int) -> bool:
        """End a lease. Returns False if it had been lost."""
        (had_lease,) = await self._redis.run_all([self.ending_lease(item, cost)])
        return bool(had_lease)

    async def holds(self, item: Item) -> bool:
        """Returns whether it is still leased for this attempt."""
        return await self._redis.call("ZSCORE", f"{self._pool[0]}:leases", str(item)) is not None

    async def runs(self, request_id: str) -> bool:
        """Returns whether a runner has it."""
        return bool(await self._redis.call("HEXISTS", f"{self._pool[0]}:on", request_id))

    def ending_lease(self, item: Item, cost: int, *, reported: bool = True) -> Call:
        """Returns the call of `settle`. Without `reported` no work was reported since it began."""
        return Call(END_LEASE, self._pool, (str(item), cost, int(reported)))

    async def cancel(self, request_id: str, *, if_it_waits: bool = False) -> str:
        """Cancel. Returns "running", "queued" (the caller settles it) or "gone".

        With `if_it_waits` a running one goes on.
        """
        mode = "waits" if if_it_waits else ""
        answer: bytes = await self._redis.run(CANCEL, self._pool, request_id, mode)
        return answer.decode()

    async def was_cancelled(self, request_id: str) -> bool:
        """Returns whether it was cancelled lately: its runner may have died with the note.

        That is the last minute, or the last day if it waited again (lower.lua).
        """
        return bool(await self._redis.call("EXISTS", f"{self._pool[0]}:cancelled:{request_id}"))

    async def beat(
        self,
        runner: str,
        idle: bool,
        items: list[Item],
        *,
        leaving: bool = False,
        held: bool = False,
    ) -> tuple[bool, bytes, list[Item]]:
        """Renew leases. Returns (work waits, epoch, items whose lease is gone).

        `idle` and `held` are the result of its last pop.
        """
        mode, free = "renew" if leaving else "beat", int(idle) * (1 + held)
        waits, epoch, *lost = await self._beat(runner, mode, free, items)
        return bool(waits), epoch, [Item.parse(item) for item in lost]

    async def leave(self, runner: str, *, stop: bool) -> bool:
        """Unregister a runner. Returns False if work has come meanwhile (never with `stop`)."""
        mode = "stop" if stop else "leave"
        (may,) = await self._beat(runner, mode, 0, [])
        return bool(may)

    async def _beat(self, runner: str, mode: str, free: int, items: list[Item]) -> Any:
        names = classes.names()
        return await self._redis.run(
            BEAT, self._pool, runner, mode, free, LEASE_MS, len(names), *names, *map(str, items)
        )

    async def adopt(self, item: Item, ciphertext: bytes, runner: str) -> bool:
        """Put a running item back after Redis lost it. Returns False if another runner has it."""
        return bool(
            await self._redis.run(ADOPT, self._pool, str(item), ciphertext, runner, LEASE_MS)
        )

    # Preemption of requests in lower classes ------------------------------------------------------
    async def offer(self, item: Item, began_at: float) -> None:
        """Offer a running item for preemption. `began_at` is in seconds since the epoch."""
        await self._park("offer", item, began_at)

    async def still_wants(self, item: Item, began_at: float) -> bool:
        """Returns whether a higher class still waits for its slot; else it stays on offer."""
        return bool(await self._park("ask", item, began_at))

    async def decline(self, item: Item) -> None:
        """Report that it cannot be preempted, so that another one is chosen."""
        await self._park("stay", item)

    async def park(self, item: Item, cost: int, times: int = 1) -> bool:
        """Put it back at the head of its line. Returns False if its lease had been lost.

        `cost` is that since it began, in tokens. `times` is how often it has been parked, this time
        included; a repeated call has no effect.
        """
        return bool(await self._park("park", item, cost=cost, times=times))

    async def _park(
        self, verb: str, item: Item, began_at: float = 0, cost: int = 0, times: int = 0
    ) -> Any:
        return (await self._redis.run_all([self.parking(verb, item, began_at, cost, times)]))[0]

    def parking(
        self, verb: str, item: Item, began_at: float = 0, cost: int = 0, times: int = 0
    ) -> Call:
        above = classes.above(item.klass)
        began_ms = int(began_at * 1000)
        return Call(PARK, self._pool, (verb, str(item), began_ms, cost, times, *above))

    async def inbox(self, runner: str) -> bytes:
        """Wait for the next note: b"wake", b"cancel <id>" or b"park <id>".

        Needs a link of its own.
        """
        _, note = await self._redis.call("BLPOP", f"{self._pool[0]}:inbox:{runner}", 0)
        return bytes(note)
