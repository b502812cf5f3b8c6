"""An engine that holds its connections and says nothing: slow, stalled, or frozen?

Once a second a runner looks for requests of which nothing has come for a while (of a hosted service
every 10 s). If there is one, the engine is asked for its health; where it does not answer that
either, again and again for its `silence_s`, those requests have failed. Where it does, `stalls.py`
judges whether it gets on with its work.
"""

import asyncio
import logging
from collections.abc import Mapping

import aiohttp

from inference.engines.base import Engine, EngineFailed
from inference.engines.session import EngineSession
from inference.worker.handlers.base import Handler
from inference.worker.stalls import Heard, StallWatch

log = logging.getLogger(__name__)
EVERY_S, EVERY_HOSTED_S = 1.0, 10.0
SILENT_S = 2.0
LOOKS = 2  # in vain, in a row, at least


class EngineSilent(EngineFailed):
    may_be_the_requests = False

    def __init__(self) -> None:
        super().__init__(502, "engine_failed", "the engine does not answer any more")
        self.cause = "it holds connections and says nothing"


class SilenceWatch:
    """Of one runner."""

    def __init__(self, engine: Engine, session: EngineSession) -> None:
        self._engine, self._session = engine, session
        self._stalls = StallWatch(engine, session)
        self._heard: dict[Handler, Heard] = {}
        self._in_vain, self._in_vain_since = 0, 0.0

    async def keep_watch(self, running: Mapping[str, Handler]) -> None:
        """Until it is cancelled."""
        while True:
            await asyncio.sleep(EVERY_HOSTED_S if self._engine.config.hosted else EVERY_S)
            waiting = [each for each in running.values() if each.works and not each.lost]
            if silent := self._silent(waiting):
                await self._look(silent)
            else:
                self._in_vain = 0

    def _silent(self, running: list[Handler]) -> dict[Handler, Heard]:
        now, before = asyncio.get_running_loop().time(), self._heard
        self._heard = {
            handler: before[handler]
            if handler in before and before[handler].events == handler.heard
            else Heard(handler.heard, now)
            for handler in running
        }
        if not before or self._went_on(before):
            self._stalls.moved(now)
        return {
            handler: heard for handler, heard in self._heard.items() if now - heard.at > SILENT_S
        }

    def _went_on(self, before: dict[Handler, Heard]) -> bool:
        """Whether more came of any request, or one was answered. A cancelled one shows nothing."""
        return any(
            self._heard[handler].events != heard.events
            if handler in self._heard
            else not (handler.cancelled or handler.failure or handler.lost)
            for handler, heard in before.items()
        )

    async def _look(self, silent: dict[Handler, Heard]) -> None:
        clock = asyncio.get_running_loop().time
        began = clock()
        if await self._answers():
            self._in_vain = 0
            await self._stalls.look(silent)
            return
        if self._in_vain == 0:
            self._in_vain_since = began
        self._in_vain += 1
        too_long = clock() - self._in_vain_since >= self._engine.config.silence_s
        if self._in_vain < LOOKS or not too_long:
            return
        log.warning("%s: %d requests wait in vain", self._engine.config.id, len(silent))
        for handler in silent:
            handler.engine_lost(EngineSilent())

    async def _answers(self) -> bool:
        try:
            async with asyncio.timeout(self._engine.alive_within_s):
                return await self._engine.is_alive(self._session)
        except TimeoutError:
            return False
        except (aiohttp.ClientError, OSError):  # it is away: connections tell that themselves
            return True
