"""Asks an engine for one answer, again and again while it is away for a moment."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable

from inference.engines.base import EngineAway, EngineFailed, EngineFull
from inference.engines.health.breakers import Phase
from inference.worker.handlers.base import Handler
from inference.worker.run.run import Run

ENGINE_PATIENCE_S = 15.0  # an engine that restarts is back within this time
ELSEWHERE_AFTER_S = 1.0  # the patience if another pool of the model can take the request
REFUSES_WITHIN_S = 0.5  # an engine that has not refused by then works on the request
LATE = 504  # status of an answer that its deadline has cut
FIRST_S, LONGEST_S = 0.2, 4.0  # bounds of the pause before the first and before late retries


class Asking(Handler):
    """A handler whose work is one answer of an engine."""

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self.asked_at: float | None = None  # None after a refusal, and before the first call
        self.first_at: float | None = None  # when the engine first answered
        self.upstream = ""  # set when the engine is first called

    async def ask_patiently(
        self, ask: Callable[[], Awaitable[None]], has_begun: Callable[[], bool] | None = None
    ) -> None:
        """Ask, again while the engine has not begun to answer. Raises EngineFailed.

        `has_begun` says so for one of several questions.
        """
        has_begun = has_begun or self._has_begun
        self.upstream = self.engine.upstream
        began, retry = time.time(), 0
        while True:
            before, self.run.has_left = self.run.has_left, self.engine.config.hosted
            self.asked_at = time.time()
            try:
                return await ask()
            except EngineAway as failure:  # the engine has not begun to answer
                self.run.has_left = before or (failure.was_asked and self.run.has_left)
                if has_begun() or self.run.services.guard.phase is Phase.OPEN:
                    raise
                await self._back_off(failure, retry, began)
                retry += 1

    def _has_begun(self) -> bool:
        return self.first_at is not None

    async def _back_off(self, failure: EngineAway, retry: int, began: float) -> None:
        """Wait before the next retry. Raises the failure once the engine has had its time."""
        self.asked_at = None
        if isinstance(failure, EngineFull):
            self.run.services.note_full(failure)
        in_house = self.run.stays_in_house(failure)
        may_move = not self.output.sent and self.run.services.elsewhere(in_house=in_house)
        remaining_s = began + (ELSEWHERE_AFTER_S if may_move else ENGINE_PATIENCE_S) - time.time()
        if remaining_s <= 0 or failure.asked_to_wait > remaining_s:
            raise failure
        await asyncio.sleep(min(remaining_s, pause(retry, failure.asked_to_wait)))

    @property
    def is_let_in(self) -> bool:
        """Returns whether the engine seems to work for it.

        An answer in one piece shows nothing before its end, but a refusal comes at once: an engine
        that has not refused within REFUSES_WITHIN_S works.
        """
        return self.first_at is not None or is_worked_on(self.asked_at)

    def is_cut_off(self, failure: EngineFailed | None) -> bool:
        """Returns whether its client left, or its deadline came."""
        return self.run.signals.cancelled or (failure is not None and failure.status == LATE)


def is_worked_on(asked_at: float | None) -> bool:
    """Returns whether an engine that was asked then, and has not refused, works on the answer."""
    return asked_at is not None and time.time() - asked_at > REFUSES_WITHIN_S


def pause(retry: int, at_least: float = 0.0) -> float:
    """Returns seconds before the `retry`th retry, from 0, added to the engine's `at_least`.

    It grows exponentially, with full jitter: many requests that met the same failure come back
    spread out (Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015).
    """
    most = min(LONGEST_S, FIRST_S * 2**retry)
    return at_least + random.uniform(0, most)  # noqa: S311 (no secret)
