"""Detects a frozen engine, which holds its connections without sending anything.

Once a second (every 10 s for a hosted service) a runner looks for requests without an event for a
while. If there is one, it checks the engine's health. If that does not answer either, again and
again for the engine's `silence_s`, those requests fail. If it does, `stalls.py` checks whether the
engine makes progress.
"""

import asyncio
import logging
from collections.abc import Iterable, Mapping

import aiohttp

from inference.engines.base import Engine, EngineFailed
from inference.engines.transport.session import EngineSession
from inference.worker.run.run import Run
from inference.worker.stalls import Activity, StallWatch

log = logging.getLogger(__name__)
EVERY_S, EVERY_HOSTED_S = 1.0, 10.0
SILENT_S = 2.0
LOOKS = 2  # least number of failed checks in a row


class EngineSilent(EngineFailed):
    may_be_the_requests = False

    def __init__(self) -> None:
        super().__init__(502, "engine_failed", "the engine does not answer any more")
        self.cause = "it holds connections and says nothing"


class SilenceWatch:
    """The watch of one runner."""

    def __init__(self, engine: Engine, session: EngineSession) -> None:
        self._engine, self._session = engine, session
        self._stalls = StallWatch(engine, session)
        self._latest: dict[Run, Activity] = {}
        self._failed_checks, self._failed_since = 0, 0.0

    async def keep_watch(self, running: Mapping[str, Run]) -> None:
        """Watch until it is cancelled."""
        while True:
            await asyncio.sleep(EVERY_HOSTED_S if self._engine.config.hosted else EVERY_S)
            if silent := self._silent(self.waiting(running.values())):
                await self._look(silent)
            else:
                self._failed_checks = 0

    @staticmethod
    def waiting(runs: Iterable[Run]) -> list[Run]:
        """Return those that wait for the engine."""
        return [
            run
            for run in runs
            if run.signals.works and not run.signals.lost and run.handler.waits_for_engine
        ]

    def _silent(self, running: list[Run]) -> dict[Run, Activity]:
        now, previous = asyncio.get_running_loop().time(), self._latest
        self._latest = {
            run: previous[run]
            if run in previous and previous[run].events == run.handler.heard
            else Activity(run.handler.heard, now)
            for run in running
        }
        if not previous or self._has_progressed(previous):
            self._stalls.moved(now)
        return {
            run: activity for run, activity in self._latest.items() if now - activity.at > SILENT_S
        }

    def _has_progressed(self, previous: dict[Run, Activity]) -> bool:
        """Returns whether any request got more, or was answered. A cancelled one proves nothing."""
        return any(
            self._latest[run].events != activity.events
            if run in self._latest
            else not (run.signals.cancelled or run.failure or run.signals.lost)
            for run, activity in previous.items()
        )

    async def _look(self, silent: dict[Run, Activity]) -> None:
        clock = asyncio.get_running_loop().time
        began = clock()
        if await self._answers():
            self._failed_checks = 0
            await self._stalls.look(silent)
            return
        if self._failed_checks == 0:
            self._failed_since = began
        self._failed_checks += 1
        too_long = clock() - self._failed_since >= self._engine.config.silence_s
        if self._failed_checks < LOOKS or not too_long:
            return
        log.warning("%s: %d requests wait in vain", self._engine.config.id, len(silent))
        for run in silent:
            run.signals.lose_engine(EngineSilent())

    async def _answers(self) -> bool:
        try:
            async with asyncio.timeout(self._engine.alive_within_s):
                return await self._engine.is_alive(self._session)
        except TimeoutError:
            return False
        except (aiohttp.ClientError, OSError):  # it is away: connections fail by themselves
            return True
