"""The sibling workers of a runner, which drain the same pool for its engine or for others.

A woken pool has one awake worker for each engine. A runner that became full may have left work
behind: it wakes a sleeping worker, until all are awake.

Several hosts may have workers for one engine: of those with the same name one at a time takes
requests, so that the engine never gets more of them than it has slots. If its host is lost, the
next wake-up reaches another.
"""

import asyncio
import contextlib
import socket
from hashlib import sha256
from math import inf
from pathlib import Path

from django.conf import settings

from inference.queue.pool_workers import AWAKE_MS, PoolWorker, wake, workers_of
from infrastructure.redis.link import TROUBLE, RedisLink, Script

AGAIN_S = 1.0
PLACE_MS = 4_000
KERNEL = Path("/proc/sys/kernel/random/boot_id")  # Linux: different on each machine
PLACE = Script.load(Path(__file__).parent / "place.lua", when_full=True)


def host_id() -> str:
    """Returns the id of this host, so that a restarted worker keeps its place.

    Hosts made from one image may have the same name.
    """
    kernel = KERNEL.read_text() if KERNEL.exists() else ""
    text = f"{socket.gethostname()}:{settings.FOREBAY_HOME}:{kernel}"
    return sha256(text.encode()).hexdigest()[:16]


class SiblingWorkers:
    """The siblings of one worker; none without an engine (in a test)."""

    def __init__(self, pool: str, engine: str = "", number: int = 1) -> None:
        self._name = pool, engine, number
        self._asleep: list[PoolWorker] = []
        self._call_at = -inf
        self._me, self._others = self._now()

    def _now(self) -> tuple[PoolWorker | None, list[PoolWorker]]:
        """Returns this worker and its present siblings: engines come and go."""
        pool, engine, number = self._name
        workers = workers_of(pool) if engine else []
        me = next((w for w in workers if (w.engine, w.number) == (engine, number)), None)
        return me, [worker for worker in workers if worker != me]

    @property
    def worker(self) -> str:
        """Returns its name among those of its engine, on all hosts."""
        return f"{host_id()}:{self._name[2]}"

    def share(self, slots: int) -> int:
        return self._me.share(slots) if self._me else slots

    async def may_run_here(self, redis: RedisLink) -> bool:
        """Returns False while a worker of the same name takes requests on another host.

        The claim expires unless it is repeated. Raises RedisGone.
        """
        if not self._me:
            return True
        return bool(await redis.run(PLACE, [self._me.place], host_id(), PLACE_MS))

    async def beat(self, redis: RedisLink) -> None:
        """Mark it awake, and read which siblings are. Raises RedisGone."""
        self._me, self._others = self._now()
        if not self._me or not self._others:
            self._asleep = []
            return
        others = [("EXISTS", other.awake) for other in self._others]
        mark = "SET", self._me.awake, 1, "PX", AWAKE_MS
        _, *awake = await redis.many([mark, *others])
        self._asleep = [w for w, there in zip(self._others, awake, strict=True) if there == 0]

    async def leave(self, redis: RedisLink) -> None:
        if not self._me:
            return
        with contextlib.suppress(*TROUBLE):  # it expires
            await redis.run(PLACE, [self._me.place], host_id(), 0)
            if self._others:
                await redis.call("DEL", self._me.awake)

    def call_one(self) -> None:
        """Wake a sleeping sibling, once in AGAIN_S: it needs a moment to start."""
        loop = asyncio.get_running_loop()
        if self._asleep and loop.time() >= self._call_at:
            self._call_at = loop.time() + AGAIN_S
            loop.run_in_executor(None, wake, [self._asleep[0]])
