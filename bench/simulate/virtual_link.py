"""A link to Redis on which the queue's scripts run under a clock that the simulator sets."""

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from infrastructure.redis.link import WHEN_FULL, Answer, Call, RedisLink, Script

CLOCK = Path(__file__).with_name("virtual_clock.lua").read_text()
EPOCH_MS = 1_800_000_000_000  # when a simulated day begins


@cache
def under_virtual_clock(script: Script) -> Script:
    flags = WHEN_FULL if script.text.startswith(WHEN_FULL) else ""
    return Script.of(flags + CLOCK + script.text.removeprefix(flags))


class VirtualLink(RedisLink):
    """Every pool has a clock of its own, so that pools need not wait for each other."""

    def __init__(self, url: str) -> None:
        super().__init__(url, timeout_s=60)
        self._clocks: dict[str, int] = {}

    def set_clock(self, prefix: str, seconds: float) -> None:
        """`seconds` since the day began."""
        self._clocks[prefix] = EPOCH_MS + int(seconds * 1000)

    async def learn(self, scripts: Iterable[Script]) -> None:
        """Else the first call of each would go twice, and overtake what was to follow it."""
        for script in scripts:
            await self.call("SCRIPT", "LOAD", under_virtual_clock(script).text)

    async def run(self, script: Script, keys: list[Any], *arguments: Any) -> Answer:
        return await super().run(under_virtual_clock(script), self._timed(keys), *arguments)

    async def run_all(self, calls: list[Call]) -> list[Answer]:
        return await super().run_all(
            [
                Call(under_virtual_clock(call.script), self._timed(call.keys), call.arguments)
                for call in calls
            ]
        )

    def _timed(self, keys: list[Any]) -> list[Any]:
        return [*keys, self._clocks.get(keys[0], EPOCH_MS)]
