"""Whether a runner is the only one that uses an engine: then alone it knows what its slots hold.

Two of them overlap when a worker is replaced, or when a frozen one comes back. Each says in Redis
that it is there, and trusts what it knows of the slots only while it is surely the only one. In
seconds: for TRUST_S after it has heard so. A newcomer that may not be the only one sends nothing
for SETTLE_S, which is longer: by then nobody trusts any more. Whoever has not been heard for
COUNTS_S is forgotten, and has stopped sending before that, after SEND_S.

Redis may have lost its data, so it counts from when it first heard of an engine: who has said
nothing since then, for SETTLE_S, does not trust; for COUNTS_S, is not there. Of an engine that is
being loaded it hears at once (`foretold`), and the first runner of it need not wait.
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

import hiredis

from infrastructure.redis.link import RedisGone, RedisLink, Script

TRUST_S, SETTLE_S, SEND_S, COUNTS_S = 1.0, 1.5, 2.0, 3.0
BEAT_S = 0.25
LOOK_S = 0.05
USERS = Script.load(Path(__file__).parent / "users.lua", when_full=True)
_TROUBLE = (RedisGone, hiredis.ReplyError)


class EngineUse:
    """Of the engine at `url`, by one runner after another of a process."""

    def __init__(self, url: str) -> None:
        name = f"engine:{{{sha256(url.encode()).hexdigest()[:32]}}}"
        self.keys = [f"{name}:users", f"{name}:history"]
        self._me = secrets.token_hex(8)
        self._heard_at, self._may_send_at = -inf, 0.0
        self._history: tuple[object, ...] = ()
        self._mark: object | None = None

    @asynccontextmanager
    async def lasting(self, redis: RedisLink) -> AsyncIterator[None]:
        """When it ends, nothing that was sent may be under way."""
        keeping = asyncio.create_task(self.keep(redis))
        try:
            yield
        finally:
            keeping.cancel()
            await self.leave(redis)

    @asynccontextmanager
    async def foretold(self, redis: RedisLink) -> AsyncIterator[None]:
        """Meanwhile Redis knows of the engine, which nobody uses yet."""
        telling = asyncio.create_task(self._foretell(redis))
        try:
            yield
        finally:
            telling.cancel()

    async def _foretell(self, redis: RedisLink) -> None:
        while True:
            with contextlib.suppress(*_TROUBLE):  # then its first runner waits
                await redis.run(USERS, self.keys, self._me, -1)
            await asyncio.sleep(BEAT_S)

    @property
    def mark(self) -> object | None:
        """The same object for as long as nobody else can have used the engine in between."""
        return self._mark if monotonic() < self._heard_at + TRUST_S else None

    async def ready(self) -> None:
        """Returns once this runner may send the engine something."""
        while not self._may_send():  # noqa: ASYNC110 (a clock decides, not an event)
            await asyncio.sleep(LOOK_S)

    def _may_send(self) -> bool:
        return self._may_send_at <= monotonic() < self._heard_at + SEND_S

    async def keep(self, redis: RedisLink) -> None:
        while True:
            with contextlib.suppress(*_TROUBLE):  # the runner's own beats tell of it
                await self.beat(redis)
            await asyncio.sleep(BEAT_S)

    async def beat(self, redis: RedisLink) -> None:
        asked_at = monotonic()
        counts_ms = int(COUNTS_S * 1000)
        came, alone, lone_ms, *history = await redis.run(USERS, self.keys, self._me, counts_ms)
        if not alone:
            # An answer that was lost on its way may have been the one that said so.
            if came or asked_at > self._heard_at + SEND_S or history[0] not in self._history:
                self._may_send_at = monotonic() + max(0.0, SETTLE_S - lone_ms / 1000)
            self._mark = None
        else:
            self._may_send_at = 0.0  # the others have left, or have been forgotten
            if self._mark is None or self._history != tuple(history):
                self._mark = object()
        self._history, self._heard_at = tuple(history), asked_at

    async def leave(self, redis: RedisLink) -> None:
        self._heard_at = -inf
        with contextlib.suppress(*_TROUBLE):  # then it is forgotten in time
            await redis.run(USERS, self.keys, self._me, 0)
