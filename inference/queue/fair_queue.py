"""The fair queue of one pool: who runs next (pop.lua), and nothing runs twice or gets lost.

Redis holds order and leases; PostgreSQL holds the truth, and the sweeper mends the one from the
other. Every method raises RedisGone when Redis is unavailable.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from inference import classes
from inference.engines import pools
from inference.order import Item
from inference.queue import expected_wait
from inference.queue.client import client
from inference.queue.expected_wait import Line, Place
from inference.queue.limits import turns
from infrastructure.redis.link import WHEN_FULL, Call, RedisLink, Script

_HERE = Path(__file__).parent


def _text(name: str) -> str:
    return (_HERE / f"{name}.lua").read_text()


AHEAD = 128  # tokens that a request is charged with at most as it begins
_PACE, _LOWER, _PUSH_OUT = _text("pace"), _text("lower"), _text("push_out")
_CHARGED = f"local AHEAD = {AHEAD}\n{_text('charged')}"
_HEADROOM = _text("headroom")
_LEASES = _CHARGED + _HEADROOM  # what ends or begins with one
ENQUEUE = Script.of(_LOWER + _PUSH_OUT + _text("enqueue"))  # a full Redis takes nothing new
SETTLE = Script.of(WHEN_FULL + _LOWER + _LEASES + _text("settle"))
POP, SWEEP, PARK = (
    Script.of(WHEN_FULL + _PACE + _LOWER + _LEASES + _PUSH_OUT + _text(name))
    for name in ("pop", "sweep", "park")
)
CANCEL, TAKE_OUT = (Script.of(WHEN_FULL + _LOWER + _text(name)) for name in ("cancel", "take_out"))
CHARGE = Script.of(WHEN_FULL + _CHARGED + _text("charge"))
ADOPT = Script.of(WHEN_FULL + _LEASES + _text("adopt"))
BEAT, COMPARED, RECOUNT, WAITING = (
    Script.of(WHEN_FULL + _text(name)) for name in ("beat", "compared", "recount", "waiting")
)
DEMOTE = Script.of(WHEN_FULL + _LOWER + _text("demote"))
OVERVIEW, TENANT_LINES = (Script.of(_text(name)) for name in ("overview", "tenant_lines"))
LEASE_MS = 4_000
LARGEST_CARRIED = 32 * 1024  # bytes of an order


def prefix(pool: str) -> str:
    return f"q:{{{pool}}}"


def carried(ciphertext: bytes) -> bytes:
    """The order as Redis carries it: a large one the runner reads from the record (recorded.py)."""
    return ciphertext if len(ciphertext) <= LARGEST_CARRIED else b""


def sweep_arguments(most: int) -> list[str | int]:
    """Of SWEEP; `most`: leases to look at."""
    return [most, *classes.names()]


def lengths() -> dict[str, int]:
    """Pool -> requests that wait. Raises redis.RedisError."""
    names = list(pools())
    with client().pipeline(transaction=False) as ask:
        for pool in names:
            ask.hlen(f"{prefix(pool)}:orders")
            ask.zcard(f"{prefix(pool)}:leases")
        found = ask.execute()
    return {pool: max(0, found[2 * i] - found[2 * i + 1]) for i, pool in enumerate(names)}


def enqueue_arguments(item: Item, ciphertext: bytes, place: str) -> list[str | bytes]:
    """Of ENQUEUE; `place`: "tail" or "head"."""
    order, above = carried(ciphertext), classes.above(item.klass)
    return [item.klass, item.tenant, item.id, str(item), order, place, *above]


def _slots(pool: str) -> int:
    found = pools().get(pool)
    return sum([engine.config.slots for engine in found.engines]) if found else 0


class Joined(NamedTuple):
    wakes: bool  # the caller must publish a wake-up: no runner lives
    place: Place


class Popped(list[tuple[Item, bytes]]):
    """Items with their encrypted orders, b"" for one that stands on record only.

    `held`: others wait for a slot that is not kept free for higher classes. `again`: so many were
    cancelled while they waited that it has not looked at all of them.
    """

    held = again = False


class FairQueue:
    def __init__(self, redis: RedisLink, pool: str) -> None:
        self._redis, self.pool, self._pool = redis, pool, [prefix(pool)]

    def of(self, pool: str) -> "FairQueue":
        """Another pool's, over the same link."""
        return FairQueue(self._redis, pool)

    async def join(self, item: Item, ciphertext: bytes) -> Joined:
        arguments = enqueue_arguments(item, ciphertext, "tail")
        told, *line = await self._redis.run(ENQUEUE, self._pool, *arguments)
        place = expected_wait.joined(self.pool, item.klass, line, _slots(self.pool))
        return Joined(told == 0, place)

    async def enqueue(self, item: Item, ciphertext: bytes) -> bool:
        """True when the caller must publish a wake-up: no runner lives."""
        return (await self.join(item, ciphertext)).wakes

    async def turns(self, klass: str, tenant: str) -> tuple[int, int]:
        """How many of a tenant's requests wait, and how many tenants' do, with this one's next."""
        line = f"{self._pool[0]}:{klass}"
        own, others = await self._redis.many(
            [("LLEN", f"{line}:line:{tenant}"), ("ZCARD", f"{line}:active")]
        )
        return int(own), int(others) + (not own)

    async def look(self) -> Line:
        """What waits in here, and how fast it goes on."""
        told = await self._redis.run(WAITING, self._pool, *classes.names())
        return expected_wait.looked(self.pool, told)

    async def pop(self, n: int, runner: str) -> Popped:
        """Up to n. Fewer means that the runner is parked."""
        rules = *turns(self.pool), *classes.names()
        flat = await self._redis.run(POP, self._pool, n, LEASE_MS, runner, *rules)
        whole = len(flat) // 2 * 2  # without what tells that some are held
        popped = Popped((Item.parse(flat[i]), flat[i + 1]) for i in range(0, whole, 2))
        popped.held, popped.again = b"held" in flat[whole:], b"again" in flat[whole:]
        return popped

    async def charge(self, costs: Mapping[Item, int]) -> None:
        """What items that run have cost up to now, in tokens. Lower ones than before do nothing."""
        told = [word for item, cost in costs.items() for word in (str(item), cost)]
        await self._redis.run(CHARGE, self._pool, *told)

    async def settle(self, item: Item, cost: int) -> bool:
        """False when the lease had been lost."""
        (held,) = await self._redis.run_all([self.settling(item, cost)])
        return bool(held)

    async def holds(self, item: Item) -> bool:
        """Whether it is still leased for this attempt."""
        return await self._redis.call("ZSCORE", f"{self._pool[0]}:leases", str(item)) is not None

    def settling(self, item: Item, cost: int, *, charged: bool = True) -> Call:
        """`charged`: something may have been, since it began."""
        return Call(SETTLE, self._pool, (str(item), cost, int(charged)))

    async def cancel(self, request_id: str, *, if_it_waits: bool = False) -> str:
        """ "running", "queued" (the caller now settles it) or "gone".

        `if_it_waits`: one that runs goes on.
        """
        mode = "waits" if if_it_waits else ""
        answer: bytes = await self._redis.run(CANCEL, self._pool, request_id, mode)
        return answer.decode()

    async def was_cancelled(self, request_id: str) -> bool:
        """Within the last minute, or the last day where it waited again (lower.lua): its runner may
        have died with the note.
        """
        return bool(await self._redis.call("EXISTS", f"{self._pool[0]}:cancelled:{request_id}"))

    async def beat(
        self,
        runner: str,
        parked: bool,
        items: list[Item],
        *,
        leaving: bool = False,
        held: bool = False,
    ) -> tuple[bool, bytes, list[Item]]:
        """(work waits, epoch, items whose lease is gone). `parked`, `held`: as it was popped."""
        mode, free = "renew" if leaving else "beat", int(parked) * (1 + held)
        waits, epoch, *lost = await self._beat(runner, mode, free, items)
        return bool(waits), epoch, [Item.parse(item) for item in lost]

    async def leave(self, runner: str, *, stop: bool) -> bool:
        """False when work has come in meanwhile (never with `stop`)."""
        mode = "stop" if stop else "leave"
        (may,) = await self._beat(runner, mode, 0, [])
        return bool(may)

    async def _beat(self, runner: str, mode: str, free: int, items: list[Item]) -> Any:
        names = classes.names()
        return await self._redis.run(
            BEAT, self._pool, runner, mode, free, LEASE_MS, len(names), *names, *map(str, items)
        )

    async def adopt(self, item: Item, ciphertext: bytes, runner: str) -> bool:
        """Puts a running item back after Redis lost it. False when somebody else has it."""
        return bool(
            await self._redis.run(ADOPT, self._pool, str(item), ciphertext, runner, LEASE_MS)
        )

    # Parking: of requests in classes that may be preempted ----------------------------------------
    async def offer(self, item: Item, began_at: float) -> None:
        """It runs here, and may be asked to wait again. `began_at`: seconds since the epoch."""
        await self._park("offer", item, began_at)

    async def still_wants(self, item: Item, began_at: float) -> bool:
        """Whether somebody of a higher class waits for its slot; else it stays on offer."""
        return bool(await self._park("ask", item, began_at))

    async def stays(self, item: Item) -> None:
        """It cannot be parked: another one is asked."""
        await self._park("stay", item)

    async def park(self, item: Item, cost: int, times: int = 1) -> bool:
        """It waits again, in front of its line; False when its lease had been lost.

        `cost`: of what came since it began, in tokens. `times`: that it has been parked with this
        one; called again for the same, it does nothing.
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
        """Waits for the next note: b"wake", b"cancel <id>" or b"park <id>".

        Needs a link of its own.
        """
        _, note = await self._redis.call("BLPOP", f"{self._pool[0]}:inbox:{runner}", 0)
        return bytes(note)


class FairQueues(dict[str, FairQueue]):
    """By pool, over one link. Pools come while the process runs."""

    def __init__(self, redis: RedisLink) -> None:
        super().__init__()
        self._redis = redis

    def __missing__(self, pool: str) -> FairQueue:
        made = self[pool] = FairQueue(self._redis, pool)
        return made
