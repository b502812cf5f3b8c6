"""Redis's clock and ours, both moved by the test; in a database of Redis of its own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from uuid import uuid4

import pytest
from django.conf import settings

from infrastructure.redis.link import RedisLink, Script
from tenants.rate_limits import admission, held_slots
from tenants.rate_limits.admission import SharedAdmission

DATABASE = "/7"


@dataclass
class Clock:
    link: RedisLink
    key: str
    redis_ms: int = 1_700_000_000_000
    ours_s: float = 1000.0

    async def move(self, ms: int) -> None:
        """Time goes on, for everybody."""
        self.ours_s += ms / 1000
        await self.jump(ms)

    async def jump(self, ms: int) -> None:
        """Somebody sets the clock of Redis's machine."""
        self.redis_ms += ms
        await self.link.call("SET", self.key, self.redis_ms, "PX", 60_000)

    async def lose_everything(self) -> None:
        await self.link.call("FLUSHDB")
        await self.jump(0)

    def shared(self, link: RedisLink | None = None) -> SharedAdmission:
        """The admission of another web process."""
        return SharedAdmission(link or self.link, nothing)


async def nothing() -> None: ...


@asynccontextmanager
async def played_clock(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Clock]:
    link = RedisLink(settings.REDIS_URL.rpartition("/")[0] + DATABASE)
    clock = Clock(link, f"test:clock:{uuid4()}")
    told = (
        f"(function() local ms = tonumber(redis.call('GET', '{clock.key}'))"
        " return {math.floor(ms / 1000), ms % 1000 * 1000} end)()"
    )

    def moved(script: Script) -> Script:
        assert script.text.count("redis.call('TIME')") == 1
        return Script.of(script.text.replace("redis.call('TIME')", told))

    with monkeypatch.context() as patched:
        patched.setattr(admission, "_SCRIPT", moved(admission._SCRIPT))
        patched.setattr(admission, "time", SimpleNamespace(monotonic=lambda: clock.ours_s))
        patched.setattr(held_slots, "RELEASE", moved(held_slots.RELEASE))
        patched.setattr(held_slots, "REACQUIRE", moved(held_slots.REACQUIRE))
        await clock.lose_everything()
        yield clock
        await link.call("FLUSHDB")
    link.close()
