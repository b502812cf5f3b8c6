"""A runner's wait for work, and the queue's notes to it.

A note says that there is work, that a request is cancelled, or that one shall park.
"""

import asyncio
from collections.abc import Awaitable, Callable

from inference.queue.fair_queue import FairQueue, Popped
from inference.worker.held_requests import HeldRequests
from inference.worker.run.run import Run
from infrastructure.redis.link import TROUBLE

AGAIN_S = 0.3


class Idling:
    """The wait for work. `is_held`: requests wait for a slot that is kept for higher classes.

    `is_leaving`: the runner has told the queue that it goes; no beat may follow.
    """

    def __init__(self) -> None:
        self.is_idle = self.is_held = self.is_leaving = False
        self._was_woken = False
        self._event = asyncio.Event()

    def wake(self) -> None:
        """There may be work: the runner asks the queue again."""
        self.is_idle = False
        self._event.set()

    def take_note(self) -> None:
        """The queue says that there is work. The note may overtake the answer to a pop."""
        self._was_woken = True
        self.wake()

    def look_again(self) -> None:
        """Let the runner look whether it can do something, unless it is idle."""
        if not self.is_idle:
            self._event.set()

    def interrupt(self) -> None:
        """End the wait, idle or not: the runner stops."""
        self._event.set()

    def before_pop(self) -> None:
        self._was_woken = False

    def after_pop(self, popped: Popped) -> None:
        """Keep the words of a pop that gave fewer requests than there are free slots."""
        self.is_idle = not (self._was_woken or popped.again)
        self.is_held = popped.held
        if popped.look_in_ms is not None:
            asyncio.get_running_loop().call_later(popped.look_in_ms / 1000, self.wake)

    def slot_freed(self) -> None:
        """A request has ended; held ones may have waited for this slot."""
        if self.is_held:
            self.is_idle = False
        self.look_again()

    def clear(self) -> None:
        self._event.clear()

    async def wait(self, seconds: float) -> bool:
        """Return whether anything happened within `seconds`."""
        try:
            await asyncio.wait_for(self._event.wait(), seconds)
        except TimeoutError:
            return False
        return True


class Inbox:
    """`park`: asks a run to park, beside the reading of notes."""

    def __init__(
        self, requests: HeldRequests, idling: Idling, park: Callable[[Run], Awaitable[None]]
    ) -> None:
        self._requests, self._idling, self._park = requests, idling, park
        self._beside: set[asyncio.Future[None]] = set()

    async def read(self, queue: FairQueue, runner_id: str) -> None:
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
                task = asyncio.ensure_future(self._park(run))
                self._beside.add(task)
                task.add_done_callback(self._beside.discard)
        else:
            self._idling.take_note()
