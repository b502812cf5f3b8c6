"""The time that a decision has: until it is answered, and until its engine is asked no longer."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from inference.intake.errors import OutOfService

T = TypeVar("T")
RECORD_S = 0.25  # left for the record, at most a quarter of the time


class Clock:
    """`began` is the event loop's time at which the request arrived."""

    def __init__(self, began: float, deadline_ms: int, time_limit_s: float) -> None:
        self.began, whole_s = began, min(deadline_ms / 1000, time_limit_s)
        self._answer_by = began + whole_s
        self._ask_until = self._answer_by - min(RECORD_S, whole_s / 4)

    @property
    def asking_s(self) -> float:
        """Returns the seconds for which an engine may still be waited for."""
        return max(0.0, self._ask_until - asyncio.get_running_loop().time())

    @property
    def took_ms(self) -> int:
        return round((asyncio.get_running_loop().time() - self.began) * 1000)

    async def in_time(self, work: Awaitable[T]) -> T:
        """Returns what the work does. Raises OutOfService at the deadline."""
        left_s = self._answer_by - asyncio.get_running_loop().time()
        try:
            return await asyncio.wait_for(work, max(0.0, left_s))
        except TimeoutError:
            what = "a decision could not be put on record within its deadline"
            raise OutOfService(what) from None
