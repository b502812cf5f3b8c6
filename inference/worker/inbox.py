"""Notes of the queue to a runner: there is work, a request is cancelled, a request shall park."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import hiredis

from inference.queue.fair_queue import FairQueue
from inference.worker.idling import Idling
from inference.worker.requests import Requests
from inference.worker.run.run import Run
from infrastructure.redis.link import RedisGone

TROUBLE = (RedisGone, hiredis.ReplyError)  # Redis is away, or loads, or is full
AGAIN_S = 0.3


class Inbox:
    """`park`: asks a run to park, beside the reading of notes."""

    def __init__(
        self, requests: Requests, idling: Idling, park: Callable[[Run], Awaitable[None]]
    ) -> None:
        self._requests, self._idling, self._park = requests, idling, park
        self._beside: set[asyncio.Task[None]] = set()

    async def read(self, queue: FairQueue, runner_id: str) -> None:
        """Read notes until the task is cancelled."""
        while True:
            try:
                note = await queue.inbox(runner_id)
            except TROUBLE:
                self._idling.wake()
                await asyncio.sleep(AGAIN_S)
                continue
            self._take(note)

    def _take(self, note: bytes) -> None:
        verb, _, request_id = note.decode().partition(" ")
        if verb == "cancel":
            self._requests.cancel(request_id)
        elif verb == "park":
            if run := self._requests.running.get(request_id):
                self._begin(self._ask_to_park(run))
        else:
            self._idling.take_note()

    async def _ask_to_park(self, run: Run) -> None:
        await self._park(run)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)
