"""Tells a runner whether it is the only one that uses an engine: only then it knows its slots.

Two runners overlap when a worker is replaced, or when a frozen one comes back. Each registers in
Redis, and trusts its knowledge of the slots only while it is surely the only one: for TRUST_S
seconds after Redis has confirmed that. A newcomer that may not be the only one sends nothing for
SETTLE_S, which is longer: by then no other trusts its knowledge. A runner that has not registered
for COUNTS_S is dropped, and has stopped sending before that, after SEND_S.

Redis may have lost its data, so it counts from its first registration of an engine: a runner that
has not registered within SETTLE_S of it does not trust, and within COUNTS_S is not there. An engine
that is being loaded is registered before it has a runner (`announced`), so that its first runner
need not wait.
"""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from math import inf
from pathlib import Path
from time import monotonic

from infrastructure.redis.link import TROUBLE, RedisLink, Script

TRUST_S, SETTLE_S, SEND_S, COUNTS_S = 1.0, 1.5, 2.0, 3.0
BEAT_S = 0.25
LOOK_S = 0.05
USERS = Script.load(Path(__file__).parent / "exclusive_use.lua", when_full=True)


class EngineUse:
    """The use of the engine at `url` by one runner after another of a process."""

    def __init__(self, url: str) -> None:
        name = f"engine:{{{sha256(url.encode()).hexdigest()[:32]}}}"
        self.keys = [f"{name}:users", f"{name}:history"]
        self._me = secrets.token_hex(8)
        self._confirmed_at, self._may_send_at = -inf, 0.0
        self._history: tuple[object, ...] = ()
        self._mark: object | None = None

    @asynccontextmanager
    async def lasting(self, redis: RedisLink) -> AsyncIterator[None]:
        """Register the use until the end. Nothing that was sent may be under way then."""
        beats = asyncio.create_task(self.keep(redis))
        try:
            yield
        finally:
            beats.cancel()
            await self.leave(redis)

    @asynccontextmanager
    async def announced(self, redis: RedisLink) -> AsyncIterator[None]:
        """Register the engine in Redis before anybody uses it."""
        beats = asyncio.create_task(self._announce(redis))
        try:
            yield
        finally:
            beats.cancel()

    async def _announce(self, redis: RedisLink) -> None:
        while True:
            with contextlib.suppress(*TROUBLE):  # then its first runner waits
                await redis.run(USERS, self.keys, self._me, -1)
            await asyncio.sleep(BEAT_S)

    @property
    def mark(self) -> object | None:
        """The same object while no other runner can have used the engine in between; else None."""
        return self._mark if monotonic() < self._confirmed_at + TRUST_S else None

    async def ready(self) -> None:
        """Returns once this runner may send the engine something."""
        while not self._may_send():  # noqa: ASYNC110 (a clock decides, not an event)
            await asyncio.sleep(LOOK_S)

    def _may_send(self) -> bool:
        return self._may_send_at <= monotonic() < self._confirmed_at + SEND_S

    async def keep(self, redis: RedisLink) -> None:
        while True:
            with contextlib.suppress(*TROUBLE):  # the runner's heartbeat reports it
                await self.beat(redis)
            await asyncio.sleep(BEAT_S)

    async def beat(self, redis: RedisLink) -> None:
        sent_at = monotonic()
        counts_ms = int(COUNTS_S * 1000)
        joined, alone, lone_ms, *history = await redis.run(USERS, self.keys, self._me, counts_ms)
        if not alone:
            # A lost answer may have been the one that reported the other runner.
            if joined or sent_at > self._confirmed_at + SEND_S or history[0] not in self._history:
                self._may_send_at = monotonic() + max(0.0, SETTLE_S - lone_ms / 1000)
            self._mark = None
        else:
            self._may_send_at = 0.0  # the others have left, or have been forgotten
            if self._mark is None or self._history != tuple(history):
                self._mark = object()
        self._history, self._confirmed_at = tuple(history), sent_at

    async def leave(self, redis: RedisLink) -> None:
        self._confirmed_at = -inf
        with contextlib.suppress(*TROUBLE):  # then it expires
            await redis.run(USERS, self.keys, self._me, 0)
