"""Detects an engine that is frozen, or makes no progress, at all or with one request.

Once a second (every 10 s for a hosted service) a runner looks for requests without an event for a
while. If there is one, it checks the engine's health. If that does not answer either, again and
again for the engine's `silence_s`, those requests fail. If it does, the engine may have stalled.

There are three limits (docs/engines.md): `stall_s` for an engine that sends nothing and whose own
figures do not change, `first_token_s` and `between_tokens_s` for one request. A request has twice
as long while the engine makes progress with others: it may wait in the engine's own queue.
"""

import asyncio
import logging
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import aiohttp

from inference.engine_progress import STALL_S
from inference.engines.base import AnswerBroken, Engine, EngineFailed
from inference.engines.transport.session import EngineSession
from inference.worker.run.run import Run

log = logging.getLogger(__name__)
ASK_EVERY_S, ASK_WITHIN_S = 5.0, 5.0
WRITES = 1.0  # tokens of a whole answer a second, on the slowest engine
# Bytes of a prompt a second: of one request on the slowest acceptable engine, and of an engine
# whose figures do not change during prefill.
READS, READS_STANDING_STILL = 200, 2000
FIRST_TOKEN_S, BETWEEN_TOKENS_S = 180.0, 120.0  # unless the engine has its own
EVERY_S, EVERY_HOSTED_S = 1.0, 10.0
SILENT_S = 2.0
LOOKS = 2  # least number of failed checks in a row


class RequestStalled(AnswerBroken):
    """One request gets nothing. That may be its own fault: one other engine gets it."""

    def __init__(self) -> None:
        super().__init__("the engine did not go on with this request")
        self.cause = "nothing came of a request for too long"


class EngineStalled(AnswerBroken):
    """All requests get nothing. That is certain: the breaker opens at once."""

    may_be_the_requests = False
    opens_breaker = True

    def __init__(self) -> None:
        super().__init__("the engine does not get on with its work")
        self.cause = "it answers for its health and gets nothing done"


@dataclass(slots=True)
class Activity:
    """The number of events of a request, and the time of the last on the loop's clock (seconds)."""

    events: int
    at: float


class StallWatch:
    """The watch of one runner's engine."""

    def __init__(self, engine: Engine, session: EngineSession) -> None:
        self._engine, self._session = engine, session
        self._moved_at = 0.0
        self._asked_at = 0.0
        self._done: float | None = None  # the engine's own figure of progress; None: it has none
        config = engine.config
        usual = math.inf if config.hosted else 1.0  # a hosted service may reason for long
        self._stall_s = config.stall_s or STALL_S
        self._first_token_s = config.first_token_s or usual * FIRST_TOKEN_S
        self._between_tokens_s = config.between_tokens_s or usual * BETWEEN_TOKENS_S

    def moved(self, now: float) -> None:
        """Note progress: an event, the end of a request, or that nothing ran."""
        self._moved_at = now

    async def look(self, silent: dict[Run, Activity]) -> None:
        """End requests that have waited too long."""
        now = asyncio.get_running_loop().time()
        await self._ask(now)
        name = self._engine.config.id
        longest = max(len(run.order.body) for run in silent)
        stall_s = self._stall_s + longest / READS_STANDING_STILL
        if self._done is not None and now - self._moved_at > stall_s:
            log.warning("engine %s makes no progress; failing %d requests", name, len(silent))
            self._end(silent, EngineStalled())
            return
        late = [run for run, activity in silent.items() if self._is_late(run, activity, now)]
        if late:
            log.warning("%s: nothing came of %d requests for too long", name, len(late))
            self._end(late, RequestStalled())

    async def _ask(self, now: float) -> None:
        """Read the engine's own figures. Failing to answer counts as no progress."""
        if now - self._asked_at < ASK_EVERY_S:
            return
        self._asked_at = now
        try:
            async with asyncio.timeout(ASK_WITHIN_S):
                progress = await self._engine.progress(self._session)
        except TimeoutError:
            self._done = self._done or 0.0
            return
        except (aiohttp.ClientError, OSError, ValueError):  # away: connections fail by themselves
            return
        if progress is None:
            self._done = None
        elif progress.done != self._done:
            self._done = progress.done
            self.moved(now)

    def _is_late(self, run: Run, activity: Activity, now: float) -> bool:
        limit = self._between_tokens_s
        if not activity.events:
            limit = self._first_token_s + len(run.order.body) / READS
        if not run.handler.is_streamed:  # it gets nothing before its end
            limit += (run.order.charge.completion_tokens or math.inf) / WRITES
        progresses = now - self._moved_at < ASK_EVERY_S + ASK_WITHIN_S
        return now - activity.at > (2 * limit if progresses else limit)

    @staticmethod
    def _end(runs: Iterable[Run], failure: AnswerBroken) -> None:
        for run in runs:
            run.signals.lose_engine(failure)


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
