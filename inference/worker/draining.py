"""The engines' queues that this process drains: one event loop, in a thread, serves all of them.

Each call comes from a thread of Celery, which it keeps until the queue is empty.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import NamedTuple

import uvloop

from inference import loop_heartbeats
from inference.queue.pool_workers import queue_of
from inference.worker.runner import Runners


class WakeUp(NamedTuple):
    """A Celery message: there is work in this pool for the `number`th worker of an engine."""

    pool: str
    engine: str
    number: int


class Draining:
    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._starts = threading.Lock()
        self._is_ending = False
        # What follows is used in the loop alone.
        self._running: set[Runners] = set()
        self._turns: dict[str, asyncio.Lock] = {}  # by Celery queue
        self._waiting: set[WakeUp] = set()
        self._pulse: asyncio.Task[None] | None = None

    def drain(self, pool: str, engine: str, number: int) -> None:
        """Serve the engine's requests. Returns when its queue is empty, or soon after `stop`."""
        work = self._drain_in_turn(WakeUp(pool, engine, number))
        asyncio.run_coroutine_threadsafe(work, self._running_loop()).result()

    def look(self) -> None:
        """Let all runners follow a change of engines."""
        if self._loop:
            self._loop.call_soon_threadsafe(self._look)

    def stop(self) -> None:
        """Take no more requests. Those that run are finished."""
        self._is_ending = True
        if self._loop:
            self._loop.call_soon_threadsafe(self._stop)

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        with self._starts:
            if self._loop is None:
                self._loop = uvloop.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name="engines", daemon=True).start()
            return self._loop

    async def _drain_in_turn(self, wake_up: WakeUp) -> None:
        """Drain after those of the same queue: an engine and its jobs have one worker.

        A wake-up that comes while another one like it waits adds nothing.
        """
        if wake_up in self._waiting:
            return
        queue = queue_of(*wake_up)
        with self._waits(wake_up):
            turn = self._turns.setdefault(queue, asyncio.Lock())
            await turn.acquire()
        try:
            await self._drain(wake_up, queue)
        finally:
            turn.release()

    @contextmanager
    def _waits(self, wake_up: WakeUp) -> Iterator[None]:
        self._waiting.add(wake_up)
        try:
            yield
        finally:
            self._waiting.discard(wake_up)

    async def _drain(self, wake_up: WakeUp, queue: str) -> None:
        if self._is_ending:
            return  # a delayed wake-up; the sweeper repeats it
        async with self._runs(Runners(wake_up.pool, queue, wake_up.number)) as runners:
            await runners.drain()

    @asynccontextmanager
    async def _runs(self, runners: Runners) -> AsyncIterator[Runners]:
        """The loop has a pulse as long as one of them runs."""
        self._running.add(runners)
        self._pulse = self._pulse or asyncio.create_task(loop_heartbeats.keep("worker"))
        try:
            yield runners
        finally:
            self._running.discard(runners)
            if not self._running:
                self._pulse.cancel()
                self._pulse = None

    def _look(self) -> None:
        for runners in self._running:
            runners.look()

    def _stop(self) -> None:
        for runners in self._running:
            runners.stop()
