"""The other workers of a runner's pool, of its engine or of others.

A pool that is woken has one worker of each engine awake. A runner that has come up full may have
left work behind: it calls one that sleeps, until all are awake.

Several hosts may have workers for one engine: of those of the same name one at a time takes
requests, so that the engine has no more at once than it has slots. When its host is lost, the next
wake-up reaches another.
"""

import asyncio
import contextlib
import socket
from hashlib import sha256
from math import inf
from pathlib import Path

import hiredis
from django.conf import settings

from inference.queue.pool_workers import AWAKE_MS, PoolWorker, workers_of
from inference.queue.wake_up import wake
from infrastructure.redis.link import RedisGone, RedisLink, Script

AGAIN_S = 1.0
PLACE_MS = 4_000
KERNEL = Path("/proc/sys/kernel/random/boot_id")  # of Linux: another one on each machine
PLACE = Script.load(Path(__file__).parent / "place.lua", when_full=True)
_TROUBLE = (RedisGone, hiredis.ReplyError)


def here() -> str:
    """This host, not another one: a worker that starts again has the place of its dead self.

    Hosts made from one image may have one name.
    """
    kernel = KERNEL.read_text() if KERNEL.exists() else ""
    named = f"{socket.gethostname()}:{settings.FOREBAY_HOME}:{kernel}"
    return sha256(named.encode()).hexdigest()[:16]


class Colleagues:
    """Of one worker; without a name (in a test) it has none."""

    def __init__(self, pool: str, engine: str = "", number: int = 1) -> None:
        self._name = pool, engine, number
        self._asleep: list[PoolWorker] = []
        self._call_at = -inf
        self._me, self._others = self._now()

    def _now(self) -> tuple[PoolWorker | None, list[PoolWorker]]:
        """This one and the others: engines come and go."""
        pool, engine, number = self._name
        workers = workers_of(pool) if engine else []
        me = _found(workers, engine, number)
        return me, [worker for worker in workers if worker != me]

    @property
    def worker(self) -> str:
        """What this one is called among those of its engine, on all hosts."""
        return f"{here()}:{self._name[2]}"

    def share(self, slots: int) -> int:
        """Of its engine's."""
        return self._me.share(slots) if self._me else slots

    async def takes_place(self, redis: RedisLink) -> bool:
        """False while a worker of the same name takes requests on another host.

        To be asked again all the time, or the place is free. Raises RedisGone.
        """
        if not self._me:
            return True
        return bool(await redis.run(PLACE, [self._me.place], here(), PLACE_MS))

    async def beat(self, redis: RedisLink) -> None:
        """Says that it is awake, and hears who else is. Raises RedisGone."""
        self._me, self._others = self._now()
        if not self._me or not self._others:
            self._asleep = []
            return
        answers = await redis.many(
            [
                ("SET", self._me.awake, 1, "PX", AWAKE_MS),
                *(("EXISTS", other.awake) for other in self._others),
            ]
        )
        awake = answers[1:]
        self._asleep = [w for w, there in zip(self._others, awake, strict=True) if there == 0]

    async def leave(self, redis: RedisLink) -> None:
        if not self._me:
            return
        with contextlib.suppress(*_TROUBLE):  # it is forgotten in time
            await redis.run(PLACE, [self._me.place], here(), 0)
            if self._others:
                await redis.call("DEL", self._me.awake)

    def call_one(self) -> None:
        """One that sleeps, if any does, and not each time: it takes a moment to come."""
        loop = asyncio.get_running_loop()
        if self._asleep and loop.time() >= self._call_at:
            self._call_at = loop.time() + AGAIN_S
            loop.run_in_executor(None, wake, [self._asleep[0]])


def _found(workers: list[PoolWorker], engine: str, number: int) -> PoolWorker | None:
    return next((w for w in workers if (w.engine, w.number) == (engine, number)), None)
